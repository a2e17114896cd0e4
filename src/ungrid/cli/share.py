"""`ungrid share F.field -o page.html`: one HTML file that is the function, evaluated in the browser.

Convention: the page needs no server and no network; its numbers, scripts and styles are inside.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.run import Run, check_target

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ungrid.fields import Field
    from ungrid.sampling import GridSamples
    from ungrid.viewer import SharedPage

LARGE = 3e6  # bytes of a page above which --tolerance is recommended


def share(
    run: Run,
    field: Annotated[
        Path,
        Argument(metavar="F.field", help="The field: of a picture, a sound, a clip, an equation, a shape, a scene."),
    ],
    output: Annotated[Path, Option("--output", "-o", metavar="PAGE.html", help="The page.")],
    against: Annotated[
        Path | None, Option(metavar="PICTURE", help="The picture, for a slider between its pixels and the field.")
    ] = None,
    problem: Annotated[
        str | None,
        Option(
            metavar="NAME", help="What the field solves: a name of the gallery or a Python file; default: as it says."
        ),
    ] = None,
    reference: Annotated[
        bool, Option("--reference", help="Also solve the field's problem by finite elements, and show the difference.")
    ] = False,
    certify: Annotated[
        bool, Option("--certify", help="Also bound the error, and write the bound on the page.")
    ] = False,
    title: Annotated[str, Option(help="Of the page; default: the field's name.")] = "",
    tolerance: Annotated[
        float,
        Option(
            min=0.0,
            help="How much values may change so that the page is smaller; 0.001 for a third of it. Scenes: 0.02.",
        ),
    ] = 0.0,
) -> None:
    """Write one HTML file that runs the field itself in a browser, opened from disk."""
    check_target(output, (".html", ".htm"), source=field)
    run.start()
    with run.setting_up():
        from ungrid import io, viewer
        from ungrid.fields import RadianceField

        header = io.read_header(field)
        u = io.load(field)
        is_scene = isinstance(u, RadianceField)
        pixels = None if against is None else picture(against)
    if run.common.plan:
        run.answer_rows(
            {"field": str(field), "output": str(output), "parameters": sum(p.numel() for p in u.parameters())}
        )
        return
    origin = header.get("provenance", {})
    facts, name = known_facts(origin), title or field.stem
    if is_scene:
        given = {"--against": against, "--problem": problem, "--reference": reference, "--certify": certify}
        page = scene_page(u, output, name, facts, tolerance, given)
    else:
        solved = problem or origin.get("problem")
        if solved is None and (reference or certify):
            raise InputError(f"{field}, which does not say what it solves", "the name of its problem", "give --problem")
        beside = {} if solved is None else solutions_beside(solved, reference)
        if certify:
            facts["Error"] = certified(u, str(solved))
        page = viewer.share(u, output, title=name, facts=facts, against=pixels, beside=beside, tolerance=tolerance)
    run.outputs.append(str(output))
    run.details.update(bytes=page.size, rounding=page.rounding)
    run.answer(f"{output}: {page.size / 1e6:.2f} MB, opens in a browser from disk")
    if page.size > LARGE and is_scene:
        run.say(f"{page.size / 1e6:.1f} MB is long for a page; a larger --tolerance or a shorter fit makes it smaller")
    if page.rounding:
        run.say(f"rounded numbers change values by up to {page.rounding:.1e}")
    elif page.size > LARGE:
        run.say(f"{page.size / 1e6:.1f} MB is long for a page; --tolerance 0.001 makes it smaller")


def scene_page(
    u: "Field", output: Path, title: str, facts: dict[str, Any], tolerance: float, others: dict[str, Any]
) -> "SharedPage":
    """The page of a radiance field.

    Args:
        u: the field.
        output: where to.
        title: of the page.
        facts: further lines about the field.
        tolerance: of colours; 0 for the default.
        others: the values of flags that only other fields have.

    Raises:
        InputError: if one of these was given, or there is no page for the field.
    """
    from ungrid import radiance
    from ungrid.radiance.page import TOLERANCE

    wrong = [flag for flag, value in others.items() if value]
    if wrong:
        raise InputError(f"{', '.join(wrong)} with the field of a scene", "none of them")
    return radiance.share_scene(u, output, title=title, facts=facts, tolerance=tolerance or TOLERANCE)


def solutions_beside(problem: str, reference: bool) -> "dict[str, Callable[[np.ndarray], np.ndarray]]":
    """The exact solution where the gallery has one, and where asked for that by finite elements.

    A problem of a Python file, or one that the gallery no longer has, is solved beside the field only where it is asked for.
    """
    from ungrid import pde
    from ungrid.cli.solve import chosen_problem

    if not reference and problem not in pde.GALLERY:
        return {}
    chosen, posed = chosen_problem(problem)
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if chosen is not None and chosen.exact is not None:
        exact = chosen.exact
        found["exact"] = lambda points: pde.exact_values(posed, exact, points)
    if reference:
        pde.check_reference(posed)
        found["finite elements"] = pde.reference(posed)
    return found


def certified(u: "Field", problem: str) -> str:
    """The bound of the field's error, in words."""
    from ungrid.certificates import certifier
    from ungrid.cli.solve import chosen_problem

    return str(certifier(chosen_problem(problem)[1])(u))


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
        "PSNR": decibels(metrics.get("psnr_db")),
        "Held-out PSNR": decibels(metrics.get("heldout_psnr_db")),
    }
    return {name: value for name, value in facts.items() if value is not None}


def decibels(value: float | None) -> str | None:
    """With one digit after the point."""
    return None if value is None else f"{value:.1f} dB"
