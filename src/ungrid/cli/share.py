"""`ungrid share F.field -o page.html`: one HTML file that is the function, evaluated in the browser.

Convention: the page needs no server and no network; its numbers, scripts and styles are inside.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.run import Run, check_target

if TYPE_CHECKING:
    from ungrid.sampling import GridSamples

LARGE = 3e6  # bytes of a page above which --tolerance is recommended


def share(
    run: Run,
    field: Annotated[Path, Argument(metavar="F.field", help="The field: of a picture, a plane or a sound.")],
    output: Annotated[Path, Option("--output", "-o", metavar="PAGE.html", help="The page.")],
    against: Annotated[
        Path | None, Option(metavar="PICTURE", help="The picture, for a slider between its pixels and the field.")
    ] = None,
    title: Annotated[str, Option(help="Of the page; default: the field's name.")] = "",
    tolerance: Annotated[
        float, Option(min=0.0, help="How much values may change so that the page is smaller; 0.001 for a third of it.")
    ] = 0.0,
) -> None:
    """Write one HTML file that runs the field itself in a browser, opened from disk."""
    check_target(output, (".html", ".htm"), source=field)
    run.start()
    with run.setting_up():
        from ungrid import io, viewer

        header = io.read_header(field)
        u = io.load(field)
        pixels = None if against is None else picture(against)
    if run.common.plan:
        run.answer_rows(
            {"field": str(field), "output": str(output), "parameters": sum(p.numel() for p in u.parameters())}
        )
        return
    facts = known_facts(header.get("provenance", {}))
    page = viewer.share(u, output, title=title or field.stem, facts=facts, against=pixels, tolerance=tolerance)
    run.outputs.append(str(output))
    run.details.update(bytes=page.size, rounding=page.rounding)
    run.answer(f"{output}: {page.size / 1e6:.2f} MB, opens in a browser from disk")
    if page.rounding:
        run.say(f"rounded numbers change values by up to {page.rounding:.1e}")
    elif page.size > LARGE:
        run.say(f"{page.size / 1e6:.1f} MB is long for a page; --tolerance 0.001 makes it smaller")


def picture(path: Path) -> "GridSamples":
    """The picture to compare with.

    Raises:
        InputError: if the file is no picture.
    """
    from ungrid import io
    from ungrid.sampling import GridSamples

    samples = io.read(path)
    if not isinstance(samples, GridSamples) or samples.kind != "image":
        raise InputError(f"{path} to compare with", "a picture (png, jpg, tif, ...)")
    return samples


def known_facts(origin: dict[str, Any]) -> dict[str, Any]:
    """What the page says about the fit, as far as the file knows it."""
    metrics = origin.get("metrics", {})
    facts = {
        "Method": origin.get("method"),
        "Fitted in": f"{origin['seconds']:.1f} s" if "seconds" in origin else None,
        "PSNR": f"{metrics['psnr_db']:.1f} dB" if metrics.get("psnr_db") is not None else None,
    }
    return {name: value for name, value in facts.items() if value is not None}
