"""`ungrid evaluate F.field --against SOURCE`: how close a field is to samples."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.fit import read_samples, shown_metrics
from ungrid.cli.run import Run


def evaluate(
    run: Run,
    field: Annotated[Path, Argument(metavar="F.field", help="The field.")],
    against: Annotated[
        Path | None, Option(metavar="SOURCE", help="What to compare with; default: the source that it was fitted to.")
    ] = None,
    coords: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are coordinates.")] = None,
    values: Annotated[str | None, Option(metavar="A,B,...", help="Columns of a table that are values.")] = None,
    variable: Annotated[str | None, Option(help="Variable of a NetCDF file, or array of an npz file.")] = None,
) -> None:
    """Measure a field against samples."""
    run.start()
    with run.setting_up():
        from ungrid import io, signals

        source = against or own_source(field)
        samples = read_samples(source, coords, values, None, variable, None)
        u = io.load(field)
    if run.common.plan:
        run.answer_rows({"field": str(field), "against": str(source)})
        return
    run.metrics.update(signals.evaluate(u, samples))
    run.details["against"] = str(source)
    run.answer_rows(shown_metrics(run.metrics))


def own_source(field: Path) -> Path:
    """The source in the field's header, as it was named then or beside the field.

    Raises:
        InputError: if it is not there any more.
    """
    from ungrid.io import read_header

    stored = Path(read_header(field)["provenance"].get("source", ""))
    for candidate in (stored, field.parent / stored.name):
        if candidate.is_file():
            return candidate
    raise InputError(
        f"{field} was fitted to {str(stored)!r}, which is not there", "a source", "name one with --against"
    )
