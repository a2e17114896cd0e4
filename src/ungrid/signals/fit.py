"""Fitting one signal: `fit(source)`.

Convention: while it is fitted, a field gives normalised values, (value - mean) / (4 standard deviations); the finished field
gives the user's values. `psnr_db` is over all given samples, `heldout_psnr_db` over samples that were never used.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ungrid._base.devices import choose_device, set_threads
from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid, TriangleMesh
from ungrid.fields import Field, NeuralField
from ungrid.objectives import Term
from ungrid.sampling import GridBatches, GridSamples, PointSamples
from ungrid.signals.methods import METHODS, Recipe, neural_field, recipe
from ungrid.solvers import FitResult, Limits, Outcome, fit_terms, remove_checkpoint

Source = str | Path | np.ndarray | GridSamples | PointSamples | TriangleMesh
Report = Callable[[dict[str, float]], None]

MOST_SCORED = 1 << 19  # samples that a report during the fit evaluates; the final metrics use all


def fit(
    source: Source,
    method: str = "auto",
    *,
    budget: float = 10.0,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    holdout: float | str | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> FitResult:
    """Fit a field to the samples of one signal.

    Args:
        source: a file, an array, or samples as the readers of ``ungrid.io`` give them.
        method: "auto", "grid", "siren", "fourier", "positional" or "relu".
        budget: seconds of optimisation.
        steps: a number of steps instead; equal steps, seed and threads give the same bits.
        seed: of every random draw.
        device: "auto", "cpu", "cuda", "mps".
        threads: of the CPU; None takes all cores.
        holdout: samples kept out of the fit, to measure on: a fraction of them, or "even" (fit to every other sample of each
            axis only); None fits to all.
        checkpoint: a folder for checkpoints.
        resume: go on from the checkpoint.
        report: called with each row of the history.

    Returns:
        The field, why the fit stopped, the history, and in ``stats`` the method, seconds, parameters and metrics.

    Raises:
        InputError: if the source or an argument cannot be used.
    """
    began = time.perf_counter()
    set_threads(threads)
    chosen = choose_device(device)
    samples = load_samples(source)
    if isinstance(samples, GridSamples):
        given, hidden = split_grid(samples, holdout, seed)
        parts = recipe(choose_method(method), given.grid, len(given.out_names), seed=seed)
        compile_kernels(parts, given)
        setup = time.perf_counter() - began
        result = _fit_grid(parts, given, hidden, Limits(budget=budget, steps=steps), seed=seed, device=chosen,
                           checkpoint=None if checkpoint is None else Path(checkpoint), resume=resume,
                           report=report)  # fmt: skip
        result.stats.update(setup_seconds=setup, method=parts.method)
        return result
    raise InputError(f"a source of type {type(samples).__name__}", "gridded samples")


def load_samples(source: Source) -> GridSamples | PointSamples | TriangleMesh:
    """The samples of a source: read, wrapped, or as they are."""
    from ungrid.io.source import from_array, read

    if isinstance(source, str | Path):
        return read(source)
    return from_array(source) if isinstance(source, np.ndarray) else source


def choose_method(method: str) -> str:
    """The method to use.

    Raises:
        InputError: if there is no such method.
    """
    if method not in ("auto", *METHODS):
        raise InputError(f"the method {method!r}", f"one of auto, {', '.join(METHODS)}")
    return "grid" if method == "auto" else method


def split_grid(samples: GridSamples, holdout: float | str | None, seed: int) -> tuple[GridSamples, GridSamples | None]:
    """The samples to fit to, and those kept out (NaN elsewhere), or None.

    Raises:
        InputError: if `holdout` is neither a fraction between 0 and 1 nor "even".
    """
    if holdout is None:
        return samples, None
    if holdout == "even":
        every_other = (slice(None, None, 2),) * samples.grid.box.dim
        coordinates = {axis.name: samples.grid.centers(k)[::2] for k, axis in enumerate(samples.grid.box.axes)}
        units = {axis.name: axis.unit for axis in samples.grid.box.axes}
        given = _replace(samples, samples.values[every_other], RegularGrid.through(coordinates, units))
        rest = samples.values.copy()
        rest[every_other] = np.nan
        return given, _replace(samples, rest)
    if not isinstance(holdout, float) or not 0 < holdout < 1:
        raise InputError(f"a hold-out of {holdout!r}", 'a fraction between 0 and 1, or "even"')
    out = np.random.default_rng(seed).random(samples.grid.shape) < holdout
    kept, rest = samples.values.copy(), samples.values.copy()
    kept[out], rest[~out] = np.nan, np.nan
    return _replace(samples, kept), _replace(samples, rest)


def _replace(samples: GridSamples, values: np.ndarray, grid: RegularGrid | None = None) -> GridSamples:
    return GridSamples(
        grid or samples.grid, values, samples.out_names, samples.kind, samples.peak, samples.metadata
    )  # fmt: skip


def compile_kernels(parts: Recipe, samples: GridSamples) -> None:
    """Run one tiny step, so that compilation counts as set-up."""
    field = neural_field(parts, samples.grid, samples.out_names)
    points = torch.zeros(2, samples.grid.box.dim, dtype=torch.float64) + torch.as_tensor(samples.grid.box.low)
    field.square_error(points, torch.zeros(2, len(samples.out_names)))
    with torch.no_grad():
        field(points)


def _fit_grid(
    parts: Recipe, given: GridSamples, hidden: GridSamples | None, limits: Limits, *, seed: int, device: torch.device,
    checkpoint: Path | None, resume: bool, report: Report | None,
) -> FitResult:  # fmt: skip
    offset, scale = value_range(given)
    normal = torch.as_tensor((given.values - offset) / scale, dtype=torch.float32, device=device)
    field = neural_field(parts, given.grid, given.out_names).to(device)
    term = Term(points=GridBatches(given.grid, normal, size=parts.batch, seed=seed), name="data")
    shown = every_nth(given, MOST_SCORED)

    def metrics(u: Field) -> dict[str, float]:
        return {"psnr_db": _psnr(with_values(u, offset, scale), shown)}

    result = fit_terms(
        field, [term], parts.solver, limits, seed=seed, metrics=metrics, better="psnr_db", report=report,
        checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    final = with_values(result.field, offset, scale, given)
    found = {"psnr_db": _psnr(final, given)}
    if hidden is not None:
        found["heldout_psnr_db"] = _psnr(final, hidden)
    stats = {**result.stats, "samples": given.values.size, "missing": given.missing, "metrics": found}
    if checkpoint is not None and result.outcome in (Outcome.budget, Outcome.steps, Outcome.converged):
        remove_checkpoint(checkpoint)
    return FitResult(final, result.outcome, result.history, stats)


def value_range(samples: GridSamples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and four standard deviations of every channel; one common scale where the channels have one unit."""
    flat = samples.values.reshape(-1, len(samples.out_names)).astype(np.float64)
    offset, scale = np.nanmean(flat, axis=0), 4 * np.nanstd(flat, axis=0)
    if samples.kind in ("image", "video", "audio"):
        scale = np.full_like(scale, scale.mean())
    if not np.isfinite(offset).all():
        raise InputError("a channel without a single value", "at least one sample that is not NaN")
    return offset.astype(np.float32), np.where(scale > 0, scale, 1.0).astype(np.float32)


def with_values(u: Field, offset: np.ndarray, scale: np.ndarray, samples: GridSamples | None = None) -> NeuralField:
    """The same networks with values in the user's units."""
    assert isinstance(u, NeuralField)
    metadata = {} if samples is None else {**samples.metadata, "kind": samples.kind, "peak": samples.peak,
                                           "shape": list(samples.grid.shape)}  # fmt: skip
    return NeuralField(
        u.domain, u.encoding, u.network, out_names=u.out_names, value_scale=tuple(scale.tolist()),
        value_offset=tuple(offset.tolist()), spacing=u.spacing, metadata=metadata,
    )  # fmt: skip


def every_nth(samples: GridSamples, most: int) -> GridSamples:
    """An even sub-lattice with at most `most` samples."""
    stride = 1
    while np.prod([-(-n // stride) for n in samples.grid.shape]) > most:
        stride += 1
    if stride == 1:
        return samples
    cut = (slice(None, None, stride),) * samples.grid.box.dim
    coordinates = {axis.name: samples.grid.centers(k)[::stride] for k, axis in enumerate(samples.grid.box.axes)}
    return _replace(samples, samples.values[cut], RegularGrid.through(coordinates))


def _psnr(field: Field, samples: GridSamples) -> float:
    """Over the samples that are not NaN; values of pictures are limited to their range first."""
    error = squared_error_sum(field, samples)
    count = int((~np.isnan(samples.values)).sum())
    return float(10 * np.log10(samples.peak**2 * count / max(error, 1e-30)))


def squared_error_sum(field: Field, samples: GridSamples) -> float:
    """The sum of squared errors over all samples that are not NaN, slab by slab."""
    values = field.on_grid(samples.grid)
    if samples.kind in ("image", "video"):
        values = np.clip(values, 0.0, samples.peak)
    return float(np.nansum((values - samples.values) ** 2, dtype=np.float64))


def plan(source: Source, method: str = "auto") -> dict[str, Any]:
    """What `fit` would do: method, samples, parameters and bytes; fits nothing."""
    samples = load_samples(source)
    if not isinstance(samples, GridSamples):
        raise InputError(f"a source of type {type(samples).__name__}", "gridded samples")
    parts = recipe(choose_method(method), samples.grid, len(samples.out_names), seed=0)
    parameters = sum(p.numel() for part in (parts.encoding, parts.network) for p in part.parameters())
    return {
        "method": parts.method,
        "samples": samples.values.size,
        "parameters": parameters,
        "bytes": 4 * parameters,
        "memory_mb": round((samples.values.nbytes * 2 + parameters * 4 * 8) / 1e6, 1),
    }
