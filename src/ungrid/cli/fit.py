"""`ungrid fit SOURCE -o F.field`: samples to a field."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.progress import described, progress
from ungrid.cli.run import FAILED, INTERRUPTED, Run, check_target, readable

if TYPE_CHECKING:
    from ungrid.domains import TriangleMesh
    from ungrid.sampling import GridSamples, PointSamples
    from ungrid.solvers import FitResult

    Samples = GridSamples | PointSamples | TriangleMesh


def fit(
    run: Run,
    source: Annotated[
        Path,
        Argument(
            help="png jpg tif, wav flac, mp4, nii nrrd npy, obj ply stl, csv parquet, nc; csv, obj ... also .gz .xz."
        ),
    ],
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="F.field", help="Where to; default: the source's name, here.")
    ] = None,
    method: Annotated[str, Option(help="auto, grid, siren, fourier, positional or relu.")] = "auto",
    holdout: Annotated[
        str | None,
        Option(metavar="FRACTION|even|random|groups|COLUMN", help="Samples to keep out of the fit and to measure on."),
    ] = None,
    coords: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are coordinates.")] = None,
    values: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are values.")] = None,
    sigma: Annotated[
        str | None, Option(metavar="A,B,...", help="Columns that are standard errors of the values.")
    ] = None,
    variable: Annotated[str | None, Option(help="Variable of a NetCDF file, or array of an npz file.")] = None,
    supervise: Annotated[str, Option(help="What is fitted: values, gradient or laplacian.")] = "values",
    init: Annotated[
        Path | None, Option(metavar="F.field", help="Start from this field instead of from nothing.")
    ] = None,
    half: Annotated[
        bool, Option("--half", help="Store the weights in 16 bits: half the file, about three digits.")
    ] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
) -> None:
    """Fit a field to the samples of a picture, sound, clip, mesh, volume or table."""
    target = output or Path(source_stem(source) + ".field")
    check_target(target, (".field",), source)
    run.start()
    with run.setting_up():
        samples = read_samples(source, coords, values, sigma, variable, holdout)
        from ungrid import signals
        from ungrid.io import load, save
    if run.common.plan:
        planned = signals.plan(samples, method)
        run.details["plan"] = planned
        run.answer_rows({**planned, "output": str(target)})
        return
    kept_out = "groups" if group_column(holdout) else holdout_of(holdout)
    settings: dict[str, Any] = {"method": method, "holdout": kept_out, "seed": run.common.seed}
    chosen: dict[str, Any] = {}  # what is left alone keeps the library's default
    if run.common.budget is not None:
        chosen["budget"] = run.common.budget
    if supervise != "values":
        chosen["supervise"] = supervise
    if init is not None:
        chosen["init"] = load(init)
    with progress(run) as report:
        result = signals.fit(
            samples, steps=run.common.steps, device=run.common.device, threads=run.common.threads, report=report,
            checkpoint=target.with_suffix(".checkpoint"), resume=resume, **settings, **chosen,
        )  # fmt: skip
    save(result.field, target, provenance=provenance(source, result, {**settings, "supervise": supervise}), half=half)
    run.outputs.append(str(target))
    record(run, result)
    run.say(f"{result.outcome.value}: {described(result.history[-1])}" if result.history else result.outcome.value)
    show_picture(run, result)
    fill_page(run, source, samples, result)
    run.answer(f"{target}: {readable(target.stat().st_size)} bytes, {readable(shown_metrics(run.metrics))}")


def source_stem(source: Path) -> str:
    """The name of a source without its suffixes: ``dragon.obj.xz`` gives ``dragon``."""
    packed = source.suffix.lower() in (".gz", ".xz")
    return Path(source.stem).stem if packed else source.stem


def read_samples(
    source: Path, coords: str | None, values: str | None, sigma: str | None, variable: str | None, holdout: str | None
) -> "Samples":
    """The source's samples."""
    from ungrid.io import read

    return read(
        source, coords=names(coords), values=names(values), sigma=names(sigma), group=group_column(holdout),
        variable=variable,
    )  # fmt: skip


def group_column(holdout: str | None) -> str | None:
    """A hold-out that is neither a number nor one of the library's words names a table's column of groups."""
    return holdout if isinstance(holdout_of(holdout), str) and holdout not in ("even", "groups", "random") else None


def names(text: str | None) -> list[str] | None:
    """``"lon, lat"`` as a list."""
    return None if text is None else [name.strip() for name in text.split(",")]


def holdout_of(text: str | None) -> float | str | None:
    """The hold-out as the library takes it: a fraction as a number, a word as it is.

    Raises:
        InputError: if it is a number, but no fraction.
    """
    try:
        fraction = None if text is None else float(text)
    except ValueError:
        return text
    if fraction is not None and not 0 < fraction < 1:
        raise InputError(f"a hold-out of {text}", "a fraction between 0 and 1, even, or the name of a column")
    return fraction


def provenance(source: Path, result: "FitResult", settings: dict[str, Any]) -> dict[str, Any]:
    """How the field came about, for its header."""
    kept = {name: value for name, value in result.stats.items() if isinstance(value, (bool, int, float, str, dict))}
    return {"source": str(source), **settings, **kept, "outcome": result.outcome.name}


def record(run: Run, result: "FitResult") -> None:
    """Put the result's figures into the run, and its exit code."""
    from ungrid.solvers import Outcome

    stats = result.stats
    run.seconds = stats["seconds"]
    run.setup_seconds += stats.get("setup_seconds", 0.0)
    run.metrics.update(stats.get("metrics", {}), parameters=stats["parameters"], history=result.history)
    run.details.update(method=stats.get("method"), steps=stats["steps"], outcome=result.outcome.name)
    run.code = {Outcome.interrupted: INTERRUPTED, Outcome.diverged: FAILED}.get(result.outcome, run.code)


def shown_metrics(metrics: dict[str, Any]) -> dict[str, Any]:
    """The single numbers among the metrics."""
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float))}


def show_picture(run: Run, result: "FitResult") -> None:
    """The fitted picture in the terminal, if it is a picture and this is a terminal."""
    metadata = getattr(result.field, "metadata", {})
    if run.common.quiet or metadata.get("kind") != "image" or not run.console.is_terminal:
        return
    from ungrid.cli.picture import half_blocks
    from ungrid.signals import sample_grid

    columns = min(64, run.console.width - 1)
    height, width = metadata["shape"]
    small = sample_grid(result.field, (max(1, round(2 * columns * height / width)), 2 * columns))
    run.console.print(half_blocks(small, columns))


def fill_page(run: Run, source: Path, samples: "Samples", result: "FitResult") -> None:
    """What ``--report`` shows of a fit: pictures, curves, settings."""
    if run.common.report is None:
        return
    import numpy as np

    from ungrid.sampling import GridSamples

    page = run.page(f"A field of {source.name}")
    if isinstance(samples, GridSamples) and samples.kind == "image":
        fitted = result.field.on_grid(samples.grid)
        error = np.abs(np.clip(fitted, 0, 1) - samples.values).mean(axis=-1, keepdims=True)
        page.pictures("Pictures", {"the source": samples.values, "the field": fitted, "error, ten times": 10 * error})
    curves = {
        name: [(row["seconds"], row[name]) for row in result.history if name in row] for name in ("loss", "psnr_db")
    }
    page.curves("The fit", {name.replace("_", " "): {name: curve} for name, curve in curves.items() if curve})
    page.table("Settings", provenance(source, result, {"seed": run.common.seed}) | {"metrics": None})
