"""`ungrid evaluate F.field --against SOURCE`: how close a field is to samples, or to its own hold-out.

`ungrid evaluate light --against FOLDER`: how well a model enlarges pictures, by a benchmark's protocol.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.fit import shown_metrics
from ungrid.cli.nerf import GREYS
from ungrid.cli.reading import Reading
from ungrid.cli.run import Run, readable

MODELS = (".model", ".pth", ".pt")

if TYPE_CHECKING:
    from ungrid.cli.reading import Samples
    from ungrid.fields import Field


def evaluate(
    run: Run,
    field: Annotated[Path, Argument(metavar="F.field", help="The field; or a model that enlarges: light, or a file.")],
    against: Annotated[
        Path | None,
        Option(
            metavar="SOURCE", help="What to compare with; default: the source that it was fitted to, and its hold-out."
        ),
    ] = None,
    coords: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are coordinates.")] = None,
    values: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are values.")] = None,
    variable: Annotated[str | None, Option(help="Variable of a NetCDF file, or array of an npz file.")] = None,
    scales: Annotated[
        str, Option(metavar="S,S,...", help="Of a model: what is enlarged how many times.")
    ] = "2,3,4,6,8",
    protocol: Annotated[
        str, Option(help="Of a model: benchmark (luminance) or div2k (colours, wider margins).")
    ] = "benchmark",
    average: Annotated[bool, Option("--average", help="Of a model: mean over the eight orientations.")] = False,
) -> None:
    """Measure a field against samples, or a model against pictures that are shrunk first."""
    run.start()
    if field.suffix in MODELS or (not field.suffix and not field.exists()):
        evaluate_model(run, str(field), against, scales, protocol, average)
        return
    with run.setting_up():
        from ungrid import io, signals

        header = io.read_header(field)
        origin = header.get("provenance", {})
        source = against or own_source(field, origin)
        if header["class"] in ("BlockField", "BrickField", "NerfField"):
            evaluate_scene(run, field, source, origin, own=against is None)
            return
        reading = reading_of(origin, source, against is None)
        given = Reading(coords=coords, values=values, variable=variable).given()
        samples = Reading(**{**reading, **given}).samples(source)
        u = io.load(field)
    if run.common.plan:
        run.answer_rows({"field": str(field), "against": str(source)})
        return
    run.metrics.update(signals.evaluate(u, samples))
    if against is None:
        run.metrics.update(own_holdout(u, samples, origin))
    run.details["against"] = str(source)
    run.answer_rows(shown_metrics(run.metrics))


def evaluate_model(run: Run, model: str, against: Path | None, scales: str, protocol: str, average: bool) -> None:
    """Measure a model that enlarges on the pictures of a folder, beside bicubic interpolation."""
    from ungrid.cli.sizes import factors_of
    from ungrid.cli.upscale import pictures_of

    if against is None or not against.is_dir():
        raise InputError(f"a model against {against}", "--against and a folder of pictures")
    wanted = [factors_of(part)[0] for part in scales.split(",")]
    files = pictures_of(against)
    if run.common.plan:
        run.answer_rows({"model": model, "against": str(against), "pictures": len(files), "scales": scales})
        return
    with run.setting_up():
        import numpy as np
        from PIL import Image

        from ungrid.upscale import bicubic, load, mean_psnr

        upscaler = load(model).to(run.device)
        pictures = []
        for file in files:
            with Image.open(file) as image:
                pictures.append(np.asarray(image.convert("RGB")))
    rows = {}
    for scale in wanted:
        ours = mean_psnr(
            lambda low, shape: upscaler.enlarge(low, shape=shape, average=average), pictures, scale, protocol
        )
        rows[f"x{scale:g}"] = {"psnr_db": ours, "bicubic_db": mean_psnr(bicubic, pictures, scale, protocol)}
        run.say(f"x{scale:g}: {readable(rows[f'x{scale:g}'])}")
    run.metrics.update(rows)
    run.details.update({"against": str(against), "protocol": protocol, "average": average, "pictures": len(files)})
    run.page(f"Enlarging by {model}").table("PSNR, dB", rows)
    run.answer_rows({scale: readable(row) for scale, row in rows.items()})


def evaluate_scene(run: Run, field: Path, source: Path, origin: dict[str, Any], *, own: bool) -> None:
    """Measure a radiance field on the views that its scene holds out, as `ungrid nerf` read it."""
    from ungrid import io, radiance
    from ungrid.fields import RadianceField
    from ungrid.io.scenes import read_posed, read_scene

    grey = GREYS.get(origin.get("background", "white"), 1.0)
    stored = {name: origin[name] for name in ("holdout", "shrink") if name in origin}
    poses = origin.get("poses")
    if poses and own:
        scene = read_posed(Path(poses["photographs"]), Path(poses["model"]), background=grey, **stored)
    else:
        scene = read_scene(source, background=grey, **stored)
    if not scene.held_out:
        raise InputError(f"{source} without held-out views", "a test split, or --holdout N of `ungrid nerf`")
    if run.common.plan:
        run.answer_rows({"field": str(field), "against": str(source), "views": len(scene.held_out)})
        return
    u = io.load(field)
    if (factor := origin.get("scale", 1.0)) != 1.0:  # back to the units of the cameras
        assert isinstance(u, RadianceField)
        u = radiance.scaled(u, 1 / factor, "")
    run.metrics.update(radiance.held_out_metrics(u, scene))
    run.details.update(against=str(source), protocol=radiance.protocol(scene))
    run.answer_rows(shown_metrics(run.metrics))


def reading_of(origin: dict[str, Any], source: Path, own: bool) -> dict[str, Any]:
    """How the field's own source was read, as far as it applies to `source`."""
    stored = dict(origin.get("reading", {}))
    if own:
        return stored
    if source.suffix.lower() != Path(origin.get("source", "")).suffix.lower():
        return {}
    return {name: value for name, value in stored.items() if name not in ("group", "sigma")}


def own_holdout(u: "Field", samples: "Samples", origin: dict[str, Any]) -> dict[str, float]:
    """Metrics on the samples that the fit left out.

    The closed form of scattered samples is fitted to all of them in the end: its figures of the hold-out, which came
    before, are those in the file. A mesh has no hold-out.
    """
    from ungrid import signals
    from ungrid.domains import TriangleMesh

    if isinstance(samples, TriangleMesh):
        return {}
    if origin.get("method") == "spline":
        return {name: value for name, value in origin.items() if name.startswith("heldout_")}
    if "seed" not in origin:  # not made by `ungrid fit`
        return {}
    return signals.evaluate_heldout(u, samples, origin.get("holdout"), origin["seed"])


def own_source(field: Path, origin: dict[str, Any]) -> Path:
    """The source in the field's header, as it was named then or beside the field.

    Raises:
        InputError: if it is not there any more.
    """
    stored = Path(origin.get("source", ""))
    for candidate in (stored, field.parent / stored.name):
        if stored.name and candidate.exists():
            return candidate
    raise InputError(
        f"{field} was fitted to {str(stored)!r}, which is not there", "a source", "name one with --against"
    )
