"""`ungrid fit SOURCE -o F.field`: samples to a field."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.many import fit_store, is_many
from ungrid.cli.progress import described, progress
from ungrid.cli.reading import Reading
from ungrid.cli.run import FAILED, INTERRUPTED, Run, check_target, readable
from ungrid.cli.sizes import check_memory

if TYPE_CHECKING:
    import numpy as np

    from ungrid.cli.reading import Samples
    from ungrid.solvers import FitResult


def fit(
    run: Run,
    source: Annotated[
        Path,
        Argument(
            help="png jpg tif, wav flac, mp4, nii nrrd npy, obj ply stl, csv parquet, nc; csv, obj ... also .gz .xz; "
            "or a folder of pictures or sounds."
        ),
    ],
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            metavar="F.field|STORE.zarr",
            help="Where to; default: the source's name, here. A store holds a field for every file of a folder, step of a "
            "NetCDF variable or row of an npy.",
        ),
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
    group: Annotated[
        str | None, Option(metavar="COLUMN", help="Column of a table that says which rows belong together.")
    ] = None,
    variable: Annotated[str | None, Option(help="Variable of a NetCDF file, or array of an npz file.")] = None,
    select: Annotated[
        str | None, Option(metavar="NAME=INDEX,...", help="Dimensions of a NetCDF variable to leave out.")
    ] = None,
    scale: Annotated[int | None, Option(min=1, help="Average boxes of N x N pixels of a clip while reading.")] = None,
    crs_from: Annotated[str | None, Option(metavar="EPSG", help="Reference system of a table's coordinates.")] = None,
    crs_to: Annotated[str | None, Option(metavar="EPSG", help="Reference system to project them to.")] = None,
    supervise: Annotated[
        str,
        Option(help="What is fitted: values, gradient, central or laplacian; distance: values are signed distances."),
    ] = "values",
    blend: Annotated[
        Path | None, Option(metavar="B", help="With --supervise gradient: blend with B, by the stronger gradients.")
    ] = None,
    total_variation: Annotated[
        float, Option(min=0.0, metavar="WEIGHT", help="Of the mean absolute difference between neighbours, on grids.")
    ] = 0.0,
    eikonal: Annotated[
        float, Option(min=0.0, metavar="WEIGHT", help="Of (|gradient| - 1)^2 over the box of a shape; try 0.001.")
    ] = 0.0,
    normals: Annotated[
        float, Option(min=0.0, metavar="WEIGHT", help="Of the error of a shape's gradients near its surface.")
    ] = 0.0,
    harmonic: Annotated[
        bool, Option("--harmonic", help="Solve Laplace's equation: a potential field over x, y and a height.")
    ] = False,
    init: Annotated[
        Path | None, Option(metavar="F.field", help="Start from this field instead of from nothing.")
    ] = None,
    half: Annotated[
        bool, Option("--half", help="Store the weights in 16 bits: half the file, about three digits.")
    ] = False,
    target_db: Annotated[
        float, Option("--target", metavar="DB", help="Of a store: the PSNR at which a signal is done.")
    ] = 35.0,
    warm: Annotated[
        bool, Option("--warm", help="Of a store: each signal starts from the one before it, as steps of time may.")
    ] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
) -> None:
    """Fit a field to the samples of a picture, sound, clip, mesh, volume or table, or to each of many."""
    if is_many(source, output):
        given = dict(locals())
        reading = Reading(variable=variable, select=select)
        fit_store(run, source, output, reading, given, target=target_db, warm=warm, resume=resume)
        return
    target = output or Path(source_stem(source) + ".field")
    check_target(target, (".field",), source)
    run.start()
    kept_out = holdout_of(holdout)
    reading = Reading(
        coords=coords, values=values, sigma=sigma, group=group_of(group, kept_out), variable=variable, select=select,
        scale=scale, crs_from=crs_from, crs_to=crs_to,
    )  # fmt: skip
    with run.setting_up():
        samples = reading.samples(source)
        from ungrid import signals
        from ungrid.io import load, save
        from ungrid.solvers import Outcome, remove_checkpoint

        target_steps = None if blend is None else blended(samples, reading.samples(blend), supervise)
    facts: dict[str, Any] = getattr(samples, "metadata", {})
    if facts.get("dropped_rows"):
        run.say(f"{facts['dropped_rows']} of {facts['rows']} rows are left out: a value is missing in them")
    if is_column(kept_out):
        kept_out = "groups"
    budget: dict[str, Any] = (
        {} if run.common.budget is None else {"budget": run.common.budget}
    )  # or else the library's default
    machine: dict[str, Any] = {"steps": run.common.steps, "device": run.common.device, "threads": run.common.threads}
    if run.common.plan:
        planned = signals.plan(samples, method, holdout=kept_out, **budget, **machine)
        check_memory(1e6 * planned["memory_mb"], f"a fit to {planned['samples']} samples")
        run.details["plan"] = planned
        run.answer_rows({**planned, "output": str(target)})
        return
    settings: dict[str, Any] = {
        "method": method, "holdout": kept_out, "seed": run.common.seed, "supervise": supervise,
        "total_variation": total_variation, "eikonal": eikonal, "normals": normals, "harmonic": harmonic,
    }  # fmt: skip
    checkpoint = target.with_suffix(".checkpoint")
    if resume and not checkpoint.is_dir():
        run.say(f"there is no checkpoint {checkpoint}: starting at the beginning")
    with progress(run) as report:
        result = signals.fit(
            samples, target=target_steps, init=None if init is None else load(init), report=report,
            checkpoint=checkpoint, resume=resume, **settings, **budget, **machine,
        )  # fmt: skip
    made = {**settings, "reading": reading.given(), **({} if blend is None else {"blend": str(blend)})}
    try:
        save(result.field, target, provenance=provenance(source, result, made), half=half)
    except InputError as error:
        if not half:
            raise
        run.say(f"{error}: stored in 32 bits")
        save(result.field, target, provenance=provenance(source, result, made))
    if result.outcome not in (Outcome.interrupted, Outcome.diverged):
        remove_checkpoint(checkpoint)
    run.outputs.append(str(target))
    record(run, result)
    run.say(f"{result.outcome.value}: {described(result.history[-1])}" if result.history else result.outcome.value)
    show_picture(run, result)
    show_table(run, result)
    fill_page(run, source, samples, result)
    run.answer(f"{target}: {readable(target.stat().st_size)} bytes, {readable(shown_metrics(run.metrics))}")


def blended(samples: "Samples", other: "Samples", supervise: str) -> "np.ndarray":
    """The gradients of ``--blend``.

    Raises:
        InputError: if gradients are not what is fitted, or the two sources are not grids of one shape.
    """
    from ungrid.sampling import GridSamples
    from ungrid.signals import mixed_gradient

    if supervise != "gradient":
        raise InputError(f"--blend with --supervise {supervise}", "--supervise gradient")
    if not (isinstance(samples, GridSamples) and isinstance(other, GridSamples)):
        raise InputError("--blend of a source that is not on a grid", "two pictures, clips or volumes of equal size")
    return mixed_gradient(samples, other)


def source_stem(source: Path) -> str:
    """The name of a source without its suffixes: ``dragon.obj.xz`` gives ``dragon``."""
    packed = source.suffix.lower() in (".gz", ".xz")
    return Path(source.stem).stem if packed else source.stem


def is_column(holdout: float | str | None) -> bool:
    """A hold-out that is neither a number nor one of the library's words names a table's column of groups."""
    return isinstance(holdout, str) and holdout not in ("even", "groups", "random")


def group_of(group: str | None, holdout: float | str | None) -> str | None:
    """The column of groups, from either flag.

    Raises:
        InputError: if both flags name one, and not the same.
    """
    if not is_column(holdout):
        return group
    if group not in (None, holdout):
        raise InputError(f"--group {group} and --holdout {holdout}", "one column", "--group COLUMN --holdout groups")
    return str(holdout)


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
    if "table" in stats:
        run.metrics["table"] = stats["table"]
    run.details.update(method=stats.get("method"), steps=stats.get("steps"), outcome=result.outcome.name)
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


def show_table(run: Run, result: "FitResult") -> None:
    """The comparison with the classical methods on held-out samples, on standard error."""
    rows = result.stats.get("table")
    if not rows or run.common.quiet:
        return
    from rich.table import Table

    shown = Table(title="on held-out samples", title_justify="left")
    for name in rows[0]:
        shown.add_column(
            name.replace("_", " "), justify="left" if name == "method" else "right", no_wrap=name == "method"
        )
    for row in rows:
        shown.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else readable(cell) for cell in map(row.get, rows[0])))
    run.console.print(shown)


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
    page.table(
        "On held-out samples",
        {row["method"]: {k: v for k, v in row.items() if k != "method"} for row in result.stats.get("table", ())},
    )
    page.table("Settings", provenance(source, result, {"seed": run.common.seed}) | {"metrics": None})
