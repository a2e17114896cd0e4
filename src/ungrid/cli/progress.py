"""Progress of a fit on standard error: a bar in a terminal, one line for each report elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ungrid.cli.run import Run

Row = dict[str, float]
UNITS = {"psnr_db": "dB"}
SHOWN = (
    "psnr_db",
    "heldout_psnr_db",
    "rmse",
    "iou",
    "relative_l2",
    "relative_residual",
    "disagreement",
)  # the first of these that a row has


@contextmanager
def progress(run: Run) -> Iterator[Callable[[Row], None]]:
    """Gives the function that a fit calls with every row of its history."""
    if run.common.quiet:
        yield lambda row: None
    elif run.console.is_terminal:
        with _bar(run) as show:
            yield show
    else:
        yield lambda row: run.say(f"{described(row)}  {row.get('eta', 0.0):.1f} s left")


def described(row: Row) -> str:
    """Step, time, loss and the metric of a row, in one line."""
    name = next((name for name in SHOWN if name in row), None)
    metric = (
        "" if name is None else f"  {name.removesuffix('_db').replace('_', ' ')} {row[name]:.4g} {UNITS.get(name, '')}"
    )
    loss = f"  loss {row['loss']:.3g}" if "loss" in row else ""
    return f"step {row['step']:.0f}  {row['seconds']:.1f} s{loss}{metric.rstrip()}"


@contextmanager
def _bar(run: Run) -> Iterator[Callable[[Row], None]]:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Remaining(ProgressColumn):
        """Counts down from the last report's estimate."""

        def render(self, task: Task) -> Text:
            left = task.fields["ends"] - time.perf_counter()
            return Text(f"{max(0.0, left):.0f} s left", style="cyan")

    with Progress(
        BarColumn(30), TextColumn("{task.description}", markup=False), Remaining(), console=run.console, transient=True
    ) as bar:
        task = bar.add_task("fitting", total=1.0, ends=time.perf_counter() + (run.common.budget or 10.0))

        def show(row: Row) -> None:
            ends = time.perf_counter() + row.get("eta", 0.0)
            bar.update(task, completed=row.get("progress", 0.0), description=described(row), ends=ends)

        yield show
