"""Fields from gridded samples: pictures, sounds, clips, volumes, gridded variables.

Convention: while it is fitted, a field gives normalised values, (value - mean) / (4 standard deviations); the finished field
gives the user's values. `psnr_db` is over all given samples, `heldout_psnr_db` over samples that were never used.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.fields import Field, NeuralField
from ungrid.objectives import Term, mean_absolute
from ungrid.operators.differences import Neighbours
from ungrid.sampling import GridBatches, GridSamples
from ungrid.signals.methods import Recipe, neural_field
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, fit_terms

MOST_SCORED = 1 << 19  # samples that a report during the fit evaluates; the final metrics use all
SUPERVISIONS = ("values", "gradient", "laplacian")


@dataclass(frozen=True)
class Objective:
    """What a field is fitted to: the samples' values or differences, sample weights, total variation."""

    supervise: str = "values"
    weights: np.ndarray | None = None
    total_variation: float = 0.0

    def __post_init__(self) -> None:
        if self.supervise not in SUPERVISIONS:
            raise InputError(f"supervision by {self.supervise!r}", f"one of {', '.join(SUPERVISIONS)}")
        if self.total_variation < 0:
            raise InputError(f"a total variation weight of {self.total_variation}", "0 or more")

    @property
    def plain(self) -> bool:
        """Whether it is the samples' values alone, so that their PSNR says which field is the best."""
        return self.supervise == "values" and self.weights is None and not self.total_variation


def split_grid(samples: GridSamples, holdout: float | str | None, seed: int) -> tuple[GridSamples, GridSamples | None]:
    """The samples to fit to, and those kept out (NaN elsewhere), or None.

    Raises:
        InputError: if `holdout` is neither a fraction between 0 and 1 nor "even".
    """
    if holdout is None:
        return samples, None
    if holdout == "even":
        if min(samples.grid.shape) < 4:
            raise InputError(f"every other sample of a grid of {samples.grid.shape}", "at least 4 samples on each axis")
        rest = samples.values.copy()
        rest[(slice(None, None, 2),) * samples.grid.box.dim] = np.nan
        return every_nth(samples, 2), replace(samples, values=rest)
    if not isinstance(holdout, float) or not 0 < holdout < 1:
        raise InputError(f"a hold-out of {holdout!r}", 'a fraction between 0 and 1, or "even"')
    out = np.random.default_rng(seed).random(samples.grid.shape) < holdout
    kept, rest = samples.values.copy(), samples.values.copy()
    kept[out], rest[~out] = np.nan, np.nan
    return replace(samples, values=kept), replace(samples, values=rest)


def every_nth(samples: GridSamples, stride: int) -> GridSamples:
    """The sub-lattice of every `stride`-th sample along each axis, as a grid of its own."""
    cut = (slice(None, None, stride),) * samples.grid.box.dim
    coordinates = {axis.name: samples.grid.centers(k)[::stride] for k, axis in enumerate(samples.grid.box.axes)}
    units = {axis.name: axis.unit for axis in samples.grid.box.axes}
    return replace(samples, values=samples.values[cut], grid=RegularGrid.through(coordinates, units))


def value_range(samples: GridSamples) -> tuple[np.ndarray, np.ndarray]:
    """Mean and four standard deviations of every channel; one common scale where the channels have one unit."""
    flat = samples.values.reshape(-1, len(samples.out_names))
    known = flat[~np.isnan(flat).any(axis=1)]
    if len(known) == 0:
        raise InputError("samples of which every one is missing", "at least one sample that is not NaN")
    offset, scale = known.mean(axis=0, dtype=np.float64), 4 * known.std(axis=0, dtype=np.float64)
    if samples.kind in ("image", "video", "audio"):
        scale = np.full_like(scale, scale.mean())
    return offset.astype(np.float32), np.where(scale > 0, scale, 1.0).astype(np.float32)


def fit_gridded(
    given: GridSamples, hidden: GridSamples | None, parts: Recipe, objective: Objective, options: Options
) -> FitResult:
    """Fit the field of a recipe to gridded samples; `hidden` ones are only measured on."""
    offset, scale = value_range(given)
    normal = torch.from_numpy((given.values - offset) / scale).to(options.device)
    field = neural_field(parts, given.grid, given.out_names).to(options.device)
    shown = every_nth(given, 1 + int((given.grid.size / MOST_SCORED) ** (1 / given.grid.box.dim) - 1e-9))
    level_free = objective.supervise != "values"

    def metrics(u: Field) -> dict[str, float]:
        return {"psnr_db": psnr(with_values(u, offset, scale), shown, level_free)}

    terms = objective_terms(given.grid, normal, parts.batch, objective, options.seed)
    result = fit_terms(
        field, terms, parts.solver, options.limits, seed=options.seed, metrics=metrics,
        better="psnr_db" if objective.plain else None, report=options.report, checkpoint=options.checkpoint,
        resume=options.resume,
    )  # fmt: skip
    final = with_values(result.field, offset, scale, given)
    found = {"psnr_db": psnr(final, given, level_free)}
    if hidden is not None:
        found["heldout_psnr_db"] = psnr(final, hidden, level_free)
    stats = {**result.stats, "samples": given.values.size, "missing": given.missing, "metrics": found}
    return FitResult(final, result.outcome, result.history, stats)


def objective_terms(grid: RegularGrid, values: Tensor, batch: int, objective: Objective, seed: int) -> list[Term]:
    """The terms of an objective on normalised values (*grid.shape, c)."""
    weight = None if objective.weights is None else torch.as_tensor(objective.weights, dtype=torch.float32)
    neighbours = Neighbours(grid)
    if objective.supervise == "values":
        terms = [Term(points=GridBatches(grid, values, size=batch, seed=seed, weight=weight))]
    else:
        operator = neighbours.gradient if objective.supervise == "gradient" else neighbours.laplacian
        target = observed_differences(values, objective.supervise)
        points = GridBatches(grid, target, size=batch // 4, seed=seed, weight=weight)
        terms = [Term(points=points, operator=operator, name=objective.supervise)]
    if objective.total_variation:
        everywhere = GridBatches(grid, torch.zeros(*grid.shape, values.shape[-1] * grid.box.dim), size=batch // 4,
                                 seed=seed + 1)  # fmt: skip
        terms.append(Term(points=everywhere, operator=neighbours.gradient, norm=mean_absolute,
                          weight=objective.total_variation, name="total_variation"))  # fmt: skip
    return terms


def observed_differences(values: Tensor, supervise: str) -> Tensor:
    """Differences of gridded values (*shape, c), per sample, as `Neighbours` takes them of a field."""
    axes = range(values.ndim - 1)
    if supervise == "gradient":
        return torch.cat([torch.gradient(values, dim=k)[0] for k in axes], dim=-1)
    total = torch.zeros_like(values)
    for k in axes:
        n = values.shape[k]
        index = torch.arange(n, device=values.device)
        after, before = (index + 1).clamp(max=n - 1), (index - 1).clamp(min=0)
        total = total + values.index_select(k, after) + values.index_select(k, before) - 2 * values
    return total


def with_values(u: Field, offset: np.ndarray, scale: np.ndarray, samples: GridSamples | None = None) -> NeuralField:
    """The same networks with values in the user's units."""
    assert isinstance(u, NeuralField)
    signal = {} if samples is None else {"kind": samples.kind, "peak": samples.peak, "shape": list(samples.grid.shape)}
    metadata = {**samples.metadata, **signal} if samples is not None else {}
    return NeuralField(
        u.domain, u.encoding, u.network, out_names=u.out_names, value_scale=tuple(scale.tolist()),
        value_offset=tuple(offset.tolist()), spacing=u.spacing, metadata=metadata,
    )  # fmt: skip


def psnr(field: Field, samples: GridSamples, level_free: bool = False) -> float:
    """Over the samples that are not NaN, in dB; pictures and clips are limited to their range first.

    With `level_free` each channel may be off by a constant, as after a fit to differences.
    """
    values = field.on_grid(samples.grid)
    if level_free:
        values = values - np.nanmean(values - samples.values, axis=tuple(range(values.ndim - 1)))
    if samples.kind in ("image", "video"):
        values = np.clip(values, 0.0, samples.peak)
    residual = values - samples.values
    known = ~np.isnan(residual)
    error = float(np.square(residual, where=known, out=np.zeros_like(residual)).sum(dtype=np.float64))
    return float(10 * np.log10(samples.peak**2 * known.sum() / max(error, 1e-30)))
