"""`ungrid upscale CLIP -s 2 --time-scale 4 -o OUT`: clips at any size and rate."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ungrid._base.errors import InputError
from ungrid.cli.run import FAILED, INTERRUPTED, Run, check_target, readable
from ungrid.cli.sizes import Wanted, check_disk, shape_of

if TYPE_CHECKING:
    from ungrid.io.streams import ClipReader
    from ungrid.upscale.streaming import Plan, Scan

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
WRITTEN = (".mp4", ".m4v", ".mov", ".mkv")
BYTES = 0.4  # a pixel and frame of the result on disk, more than most clips take, for the check of room
# pixels a second for --plan, of the source, of the result, and of one with frames made up: 298 frames of 854 x 480, x2, x2,
# took 1543 s on two cores
RATES = (1.0e6, 1.6e6, 0.72e6)


def upscale_clip(
    run: Run,
    source: Path,
    output: Path,
    wanted: Wanted,
    *,
    model: str,
    time_scale: int | None,
    fps: float | None,
    slow: float,
    bfloat16: bool,
    resume: bool,
) -> None:
    """Enlarge a clip, in time too."""
    check_target(output, WRITTEN, source=source)
    if time_scale is not None and fps is not None:
        raise InputError(f"--time-scale {time_scale} and --fps {fps:g}", "one of the two")
    if time_scale is not None and time_scale < 1:
        raise InputError(f"--time-scale {time_scale}", "a whole number from 1")
    run.start()
    with run.setting_up():
        from ungrid.io.streams import ClipReader
        from ungrid.upscale import load_video, plan_clip, scan_clip
        from ungrid.upscale import upscale_clip as write

        upscaler = load_video("video" if model == "light" else model).to(run.device)
    reader = ClipReader(source)
    shape = even(run, shape_of(reader.shape, wanted))
    began = time.perf_counter()
    scanned = scan_clip(reader)
    made = plan_clip(scanned, time_scale=time_scale or 1, fps=fps, slower=slow)
    tell(run, reader, scanned)
    check_disk(BYTES * shape[0] * shape[1] * len(made), f"a clip of {len(made)} frames", output)
    facts = facts_of(reader, scanned, made, shape)
    if run.common.plan:
        run.details["plan"] = facts
        run.answer_rows({**facts, "model": upscaler.name, "output": str(output)})
        return
    said = [time.perf_counter()]

    def report(done: int, begin: int) -> None:
        now = time.perf_counter()
        if now - said[0] > 2:
            said[0] = now
            left = (now - began) / (done - begin) * (len(made) - done)
            run.say(f"{source.name}: frame {done} of {len(made)}, {left:.0f} s left")

    try:
        lost = write(
            upscaler.network, reader, output, shape, made, slower=slow, bfloat16=bfloat16, resume=resume,
            report=report,
        )  # fmt: skip
    except KeyboardInterrupt:
        run.code = INTERRUPTED
        run.answer(f"interrupted; what is done lies in {output}.parts: go on with --resume")
        return
    seconds = time.perf_counter() - began
    show_on_page(run, output, made)
    run.outputs.append(str(output))
    run.metrics["seconds_per_frame"] = seconds / len(made)
    run.details.update({**facts, "model": upscaler.name, "bfloat16": bfloat16})
    if scanned.damaged or lost:
        run.code = FAILED
        run.details["damaged_packets"] = {"pictures": scanned.damaged, "sound": lost}
        run.answer(f"{source} is damaged: {scanned.damaged} packets of pictures and {lost} of sound were left out")
    run.answer(
        f"{output}: {len(made)} frames of {shape[1]} x {shape[0]} pixels in {readable(seconds)} s, "
        f"{seconds / len(made):.2f} s each"
    )


def even(run: Run, shape: tuple[int, int]) -> tuple[int, int]:
    """The nearest even sides, which players need."""
    rows, columns = (max(2, 2 * round(n / 2)) for n in shape)
    if (rows, columns) != shape:
        run.say(f"{columns} x {rows} pixels in place of {shape[1]} x {shape[0]}: players need even sides")
    return rows, columns


def show_on_page(run: Run, output: Path, made: "Plan") -> None:
    """What ``--report`` shows of a clip: frames of its middle, each with the share of the way to the next given one."""
    if run.common.report is None:
        return
    from ungrid.io.streams import ClipReader
    from ungrid.upscale import fractions

    middle = int(made.index[len(made) // 2])
    shown = {k: float(made.share[k]) for k in range(len(made)) if made.index[k] == middle}
    shown[min(max(shown) + 1, len(made) - 1)] = 1.0
    panels = {
        f"frame {number}, {100 * shown[number]:.0f} % of the way": fractions(frame.pixels())
        for number, frame in enumerate(ClipReader(output).frames())
        if number in shown
    }
    run.page("A clip").pictures(f"{output.name}, the middle", panels)


def tell(run: Run, reader: "ClipReader", scanned: "Scan") -> None:
    """What one should know about a source."""
    if scanned.cuts:
        run.say(f"{len(scanned.cuts)} cuts, across which nothing is made up")
    if reader.dropped:
        run.say(f"left out: {', '.join(reader.dropped)}")


def facts_of(reader: "ClipReader", scanned: "Scan", made: "Plan", shape: tuple[int, int]) -> dict[str, Any]:
    """Numbers of a run."""
    between = int((made.share > 0).sum())
    pixels, target = reader.shape[0] * reader.shape[1], shape[0] * shape[1]
    return {
        "frames": len(made),
        "made_up": between,
        "shape": list(shape),
        "duration": made.end - float(made.times[0]),
        "cuts": len(scanned.cuts),
        "estimated_seconds": len(scanned.times) * pixels / RATES[0]
        + len(made) * target / RATES[2 if made.share.any() else 1],
    }
