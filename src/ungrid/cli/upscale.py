"""`ungrid upscale INPUT -s 3.7 -o OUT`: pictures at any scale, and clips."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.clips import VIDEOS, upscale_clip
from ungrid.cli.run import FAILED, Run, check_target, readable
from ungrid.cli.sizes import Wanted, check_disk, check_memory, shape_of, wanted_size

if TYPE_CHECKING:
    import numpy as np

    from ungrid.upscale import Photograph, Upscaler

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
CHOICES = ("auto", "on", "off")
MOST_EXIF = 65533  # bytes, in a JPEG
RATE = 9e4  # input pixels a second of the light model on two cores, measured at x2 and x4, for --plan


def upscale(
    run: Run,
    source: Annotated[Path, Argument(metavar="INPUT", help="A picture, a folder of pictures, or a clip.")],
    output: Annotated[Path, Option("--output", "-o", metavar="OUT", help="A picture, a folder, or a clip.")],
    scale: Annotated[
        str | None, Option("--scale", "-s", metavar="S|SxT", help="Times across and down: 3.7, or 2x1.5.")
    ] = None,
    size: Annotated[str | None, Option(metavar="WxH|W", help="Pixels of the result, or its width alone.")] = None,
    time_scale: Annotated[
        int | None, Option("--time-scale", metavar="K", help="Of a clip: K frames for each one.")
    ] = None,
    fps: Annotated[float | None, Option("--fps", help="Of a clip: frames a second, in place of --time-scale.")] = None,
    slow: Annotated[
        float, Option("--slow", metavar="F", help="Of a clip: play it F times slower; voices keep their pitch.")
    ] = 1.0,
    model: Annotated[str, Option(help="light, or a file .model, or .pth as LIIF's authors publish them.")] = "light",
    denoise: Annotated[
        str, Option(help="auto, on or off: of light, the weights for pictures with noise or the blocks of JPEG.")
    ] = "auto",
    bfloat16: Annotated[
        bool, Option("--bfloat16", help="Products in 16 bits: faster where the processor can.")
    ] = False,
    average: Annotated[
        bool, Option("--average", help="Mean over the eight orientations: eight times the work, about 0.1 dB.")
    ] = False,
    resume: Annotated[
        bool, Option("--resume", help="Go on: leave out pictures of a folder that are there; finish a clip.")
    ] = False,
) -> None:
    """Enlarge pictures, keeping alpha, grey, 16 bits, colour profile and EXIF tags; enlarge clips, in time too."""
    if denoise not in CHOICES or (denoise == "on" and model != "light"):
        raise InputError(f"--denoise {denoise} of the model {model!r}", "auto, on or off, of light")
    in_time = time_scale is not None or fps is not None or slow != 1
    if source.suffix.lower() in VIDEOS:
        if average or denoise == "on":
            raise InputError("--average or --denoise on of a clip", "these flags with pictures")
        whole = "1" if in_time and scale is None and size is None else scale
        upscale_clip(
            run, source, output, wanted_size(whole, size), model=model, time_scale=time_scale, fps=fps, slow=slow,
            bfloat16=bfloat16, resume=resume,
        )  # fmt: skip
        return
    if in_time:
        raise InputError(f"--time-scale, --fps or --slow of {source}", f"a clip: {' '.join(VIDEOS)}")
    wanted = wanted_size(scale, size)
    pictures = [source] if not source.is_dir() else pictures_of(source)
    if source.is_dir():
        if output.exists() and not output.is_dir():
            raise InputError(f"the output {str(output)!r} of a folder", "a folder")
        if output.exists() and output.samefile(source):
            raise InputError(f"{str(output)!r} as source and as output", "two folders")
        if source.resolve() in output.resolve().parents:  # a second run would enlarge its results
            raise InputError(f"{str(output)!r} inside of its source", "a folder beside it")
    else:
        check_target(output, SUFFIXES, source=source)
    targets = [output / picture.relative_to(source) for picture in pictures] if source.is_dir() else [output]
    run.start()
    with run.setting_up():
        from ungrid.upscale import load

        upscalers = {
            name: load(name).to(run.device) for name in (("light", "denoise") if model == "light" else (model,))
        }
    failures: dict[str, str] = {}
    for picture, target in zip(pictures, targets, strict=True):
        if resume and target.exists():
            run.say(f"{target} is already there")
            continue
        try:
            options: dict[str, Any] = {"denoise": denoise, "bfloat16": bfloat16, "average": average}
            one(run, upscalers, picture, target, wanted, **options)
        except InputError as error:
            if not source.is_dir():
                raise
            failures[str(picture)] = str(error)
            run.say(f"left out: {error}")
    if failures:
        run.code = FAILED
        run.details["failures"] = failures
        run.answer(f"{len(failures)} of {len(pictures)} pictures were left out:")
        for reason in failures.values():
            run.answer(f"  {reason}")


def one(
    run: Run,
    upscalers: "dict[str, Upscaler]",
    picture: Path,
    target: Path,
    wanted: Wanted,
    *,
    denoise: str,
    bfloat16: bool,
    average: bool,
) -> None:
    """Enlarge one picture."""
    from ungrid.io.images import check_pixels
    from ungrid.upscale import read_photograph, stored_type, write_photograph

    given = read_photograph(picture)
    if target.suffix.lower() in (".jpg", ".jpeg") and len(given.exif or b"") > MOST_EXIF:
        given = replace(given, exif=None, notes=(*given.notes, f"{picture.name}: its EXIF tags do not fit into a JPEG"))
    for note in given.notes:
        run.say(note)
    h, w = given.colours.shape[:2]
    shape = shape_of((h, w), wanted)
    upscaler = chosen(run, upscalers, picture, given, denoise)
    dtype = stored_type(given, target)
    check_pixels(target.suffix.lower(), (1 if given.grey else 3) + (given.alpha is not None), 8 * dtype().itemsize)
    check_room(given, shape, target, dtype)
    if run.common.plan:
        memory = peak_bytes(given, shape, dtype) / 1e6
        seconds = h * w / RATE * (8 if average else 1)
        run.details["plan"] = {"shape": list(shape), "memory_mb": memory, "seconds": seconds}
        run.answer_rows({**run.details["plan"], "model": upscaler.name, "output": str(target)})
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    began, said = time.perf_counter(), [time.perf_counter()]

    def report(share: float) -> None:
        now = time.perf_counter()
        if now - said[0] > 2:
            said[0] = now
            run.say(f"{picture.name}: {100 * share:.0f} %, {(now - began) * (1 / share - 1):.0f} s left")

    found = upscaler.enlarge(
        given.colours, shape=shape, bfloat16=bfloat16, average=average, dtype=dtype, report=report
    )  # fmt: skip
    if given.alpha is not None:
        run.say(f"{picture.name}: alpha enlarged by bicubic interpolation")
    write_photograph(target, given, found)
    show_on_page(run, picture, given.colours, found)
    run.outputs.append(str(target))
    run.details.setdefault("shapes", []).append(list(shape))
    run.details["model"] = {"name": upscaler.name, "average": average, "bfloat16": bfloat16}
    run.answer(f"{target}: {shape[1]} x {shape[0]} pixels in {readable(time.perf_counter() - began)} s")


def chosen(run: Run, upscalers: "dict[str, Upscaler]", picture: Path, given: "Photograph", denoise: str) -> "Upscaler":
    """The model for a picture."""
    from ungrid.upscale import is_spoilt

    first, *other = upscalers.values()
    if not other or denoise == "off":
        return first
    reason = "asked for" if denoise == "on" else is_spoilt(picture, given.colours)
    if reason:
        run.say(f"{picture.name}: denoised ({reason}; --denoise off leaves it)")
    return other[0] if reason else first


def pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder and its folders, without hidden ones.

    Raises:
        InputError: if there is none.
    """
    found = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    if not found:
        raise InputError(f"no picture in {folder}", f"files that end in {' '.join(SUFFIXES)}")
    return found


def peak_bytes(given: "Photograph", shape: tuple[int, int], dtype: "type[np.generic]") -> float:
    """What an enlargement needs, about: the library, the input, the result and its encoded form."""
    import numpy as np

    channels = 3 + (given.alpha is not None)
    return 6e8 + 2 * given.colours.nbytes + 2.5 * shape[0] * shape[1] * channels * np.dtype(dtype).itemsize


def check_room(given: "Photograph", shape: tuple[int, int], target: Path, dtype: "type[np.generic]") -> None:
    """Refuse, before the work, a result that its format cannot count or that memory or disk cannot hold.

    Raises:
        InputError: it says what is missing.
    """
    import numpy as np

    from ungrid.io.images import LONGEST_SIDE

    longest = LONGEST_SIDE.get(target.suffix.lower())
    if longest is not None and max(shape) > longest:
        raise InputError(
            f"{shape[1]} x {shape[0]} pixels in a {target.suffix} file", f"up to {longest} a side", "use .png"
        )
    what = f"a result of {shape[1]} x {shape[0]} pixels"
    check_memory(peak_bytes(given, shape, dtype), what)
    check_disk(shape[0] * shape[1] * 3 * np.dtype(dtype).itemsize, what, target)


def show_on_page(run: Run, picture: Path, before: "np.ndarray", after: "np.ndarray") -> None:
    """What ``--report`` shows of a picture: its middle, enlarged by bicubic interpolation and by the network."""
    if run.common.report is None:
        return
    import numpy as np

    from ungrid.upscale import fractions, resized

    page = run.__dict__.get("_page") or run.page("Enlarged pictures")
    shape = after.shape[0], after.shape[1]
    side = tuple(min(n, 480) for n in shape)
    top, left = ((n - s) // 2 for n, s in zip(shape, side, strict=True))
    cut = (slice(top, top + side[0]), slice(left, left + side[1]))
    rows, columns = (max(1, round(s * n / m)) for s, n, m in zip(side, before.shape, shape, strict=False))
    first, second = ((n - m) // 2 for n, m in zip(before.shape, (rows, columns), strict=False))
    part = np.asarray(before[first : first + rows, second : second + columns], dtype=np.float32)
    plain = np.clip(resized(part, (side[0], side[1])), 0, 1)
    panels: dict[str, Any] = {"bicubic": plain, "ungrid": fractions(after[cut])}
    page.pictures(f"{picture.name}, the middle", panels)
