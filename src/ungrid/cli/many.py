"""`ungrid fit FOLDER/ -o STORE.zarr`: a field for every signal of a folder, of a NetCDF variable or of an array."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ungrid._base.errors import InputError
from ungrid.cli.reading import Reading, indices
from ungrid.cli.run import INTERRUPTED, Run, readable
from ungrid.cli.sizes import check_disk, check_memory

if TYPE_CHECKING:
    from ungrid.signals.many import ManyResult

SUFFIX = ".zarr"
SILENCE = 2.0  # seconds between two lines of progress
SHOWN_MISSING = 10
NOT_OF_MANY = ("holdout", "supervise", "blend", "init", "half", "total_variation", "eikonal", "normals", "harmonic")


def is_many(source: Path, output: Path | None) -> bool:
    """Whether a source is to become a store of fields."""
    return source.is_dir() or (output is not None and output.suffix.lower() == SUFFIX)


def fit_store(
    run: Run, source: Path, output: Path | None, reading: Reading, given: dict[str, Any], *, target: float, warm: bool,
    resume: bool,
) -> None:  # fmt: skip
    """Fit every signal; `given` are the flags of a single fit, of which none may be set.

    Raises:
        InputError: if one of those flags is set, or the output's name is no store's.
    """
    if stray := [name for name in NOT_OF_MANY if given.get(name) not in (None, False, 0.0, "values")]:
        raise InputError(f"--{stray[0].replace('_', '-')} with many signals", "that flag with a single source")
    if given["method"] not in ("auto", "siren"):
        raise InputError(f"--method {given['method']} with many signals", "auto or siren")
    store = output or Path(source.resolve().name + SUFFIX)
    if store.suffix.lower() != SUFFIX or not store.parent.is_dir():
        raise InputError(f"the output {str(store)!r} of many signals", f"a name that ends in {SUFFIX}")
    if run.common.budget is not None:
        raise InputError("--budget with many signals", "--target, a PSNR in dB at which a signal is done, or --steps")
    run.start()
    with run.setting_up():
        from ungrid.signals.many import fit_many, plan_many

    settings: dict[str, Any] = {
        "target_db": target, "warm": warm, "seed": run.common.seed, "threads": run.common.threads,
        "variable": reading.variable, "select": indices(reading.select),
        **({} if run.common.steps is None else {"steps": run.common.steps}),
    }  # fmt: skip
    if run.common.plan:
        planned = plan_many(source, **settings)
        check_memory(1e6 * planned["memory_mb"], f"a store of {planned['signals']} fields")
        check_disk(planned["bytes"], f"a store of {planned['signals']} fields", store)
        run.details["plan"] = planned
        run.answer_rows({**planned, "output": str(store)})
        return
    if resume and not store.exists():
        run.say(f"there is no store {store}: starting at the beginning")
    result = fit_many(source, store, resume=resume, report=_progress(run), **settings)
    record(run, result)
    run.answer(f"{store}: {readable({k: v for k, v in result.stats.items() if isinstance(v, int | float)})}")


def _progress(run: Run) -> Callable[[dict[str, float]], None]:
    last = time.perf_counter()

    def show(row: dict[str, float]) -> None:
        nonlocal last
        if time.perf_counter() - last < SILENCE and row["done"] < row["signals"]:
            return
        last = time.perf_counter()
        left = row["seconds"] * (row["signals"] / max(1, row["done"]) - 1)
        run.say(f"{row['done']:.0f} of {row['signals']:.0f} signals  {row['seconds']:.1f} s  "
                f"{row['psnr_db']:.4g} dB  {left:.1f} s left")  # fmt: skip

    return show


def record(run: Run, result: "ManyResult") -> None:
    """Put a result's figures into the run, and say which signals are missing, and why."""
    from ungrid.solvers import Outcome

    stats = result.stats
    run.seconds, run.setup_seconds = stats["seconds"], run.setup_seconds + stats["setup_seconds"]
    run.metrics.update({name: value for name, value in stats.items() if not name.endswith("seconds")})
    run.details["outcome"] = result.outcome.name
    run.outputs.append(str(result.store.path))
    missing = [line for line in result.store.lines() if "error" in line]
    for line in missing[:SHOWN_MISSING]:
        run.say(f"not fitted: {line['error']}")
    if len(missing) > SHOWN_MISSING:
        run.say(f"... and {len(missing) - SHOWN_MISSING} more, in the store's manifest")
    if result.outcome is Outcome.interrupted:
        run.code = INTERRUPTED
