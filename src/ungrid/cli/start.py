"""`ungrid train start FOLDER -o M.model`: what pictures have in common, as a start for fits of further ones."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ungrid._base.errors import InputError
from ungrid.cli.progress import progress
from ungrid.cli.run import Run, readable

if TYPE_CHECKING:
    import numpy as np

HELD_OUT = 29  # every so many pictures one is held out
MEASURED = 8  # of those, at most
TRIALS = 3  # iterations whose speed turns a budget into a number of them
ITERATIONS = 500
TARGET_DB = 30.0


def train_start(run: Run, data: list[Path], output: Path, init: Path | None, side: int, batch: int, lr: float) -> None:
    """Learn a start from folders of pictures, and measure it on those held out.

    Raises:
        InputError: if the folders hold too few pictures, or too small ones.
    """
    run.start()
    with run.setting_up():
        from ungrid.signals.many.starts import learn_start, load_start

        pictures, held = read_pictures(data, side)
        begun = None if init is None else load_start(init)
    given: dict[str, Any] = {"size": batch, "side": side, "lr": lr, "seed": run.common.seed, "begun": begun}
    steps = run.common.steps or ITERATIONS
    if run.common.budget is not None or run.common.plan:
        began = time.perf_counter()
        learn_start(pictures, iterations=TRIALS, **{**given, "begun": None})
        speed = (time.perf_counter() - began) / TRIALS
        if run.common.steps is None and run.common.budget is not None:
            steps = max(1, int(run.common.budget / speed))
        if run.common.plan:
            run.details["plan"] = {"iterations": steps, "seconds": round(steps * speed, 1), "pictures": len(pictures)}
            run.answer_rows({**run.details["plan"], "output": str(output)})
            return
    began = time.perf_counter()
    with progress(run) as report:
        made = learn_start(pictures, iterations=steps, report=lambda row: report(_row(row, steps, began)), **given)
    run.seconds = time.perf_counter() - began
    found = measured(held, made)
    made.card.update(data=[folder.name for folder in data], seconds=run.seconds, metrics=found)
    made.save(output)
    run.outputs.append(str(output))
    run.metrics.update(found)
    run.details["steps"] = steps
    run.answer(f"{output}: {steps} iterations, {readable(found)}")


def _row(row: dict[str, float], steps: int, began: float) -> dict[str, float]:
    seconds, share = time.perf_counter() - began, row["step"] / steps
    return {**row, "seconds": seconds, "progress": share, "eta": seconds * (1 / share - 1)}


def read_pictures(data: list[Path], side: int) -> "tuple[list[np.ndarray], list[np.ndarray]]":
    """The colour pictures of folders that are large enough, and those of them that are held out.

    Raises:
        InputError: if there are none.
    """
    from ungrid.io import read
    from ungrid.sampling import GridSamples

    found = []
    for folder in data:
        if not folder.is_dir():
            raise InputError(f"{folder}", "a folder of pictures")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"):
                continue
            samples = read(path)
            if isinstance(samples, GridSamples) and samples.values.shape[-1] == 3 and min(samples.grid.shape) >= side:
                found.append(samples.values)
    held = found[HELD_OUT // 2 :: HELD_OUT]
    kept = [picture for k, picture in enumerate(found) if k % HELD_OUT != HELD_OUT // 2]
    if not kept:
        raise InputError(f"no colour picture of {side} pixels a side in {', '.join(map(str, data))}", "pictures")
    return kept, held


def measured(held: "list[np.ndarray]", start: Any) -> dict[str, Any]:
    """Steps from the start to 30 dB on held-out pictures, the median; at most 100."""
    import numpy as np

    from ungrid.signals.many.starts import fit_from_start

    if not held:
        return {}
    steps = [fit_from_start(picture, start, target_db=TARGET_DB).steps for picture in held[:MEASURED]]
    return {"heldout_pictures": len(steps), "median_steps_to_30_db": float(np.median(steps))}
