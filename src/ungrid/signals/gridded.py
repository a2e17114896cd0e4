"""Fields from gridded samples: pictures, sounds, clips, volumes, gridded variables.

Convention: while it is fitted, a field gives normalised values, (value - mean) / (4 standard deviations), or value / peak of
a picture where the method's output is logistic; the finished field gives the user's values. `psnr_db` is over all given
samples, `heldout_psnr_db` over samples that were never used.

Differences (steps, central differences, Laplacian) say little about slow changes: of a picture of n x n pixels the squared
residual of the Laplacian weighs the slowest wave by about (pi/n)^4 of the fastest. So its residual is also measured in the
norms of H^-1 and H^-2, the residual of steps in that of H^-1: after half and a whole inverse Laplacian, in which slow waves
count as much as steps and values do. On a full grid the inverse is exact and acts on the target alone
(`Neighbours.potential`). Differences leave each channel a constant, which the finished field takes from the samples' mean;
beyond the border a Laplacian repeats the samples, so it contains the slopes there, and no harmonic function is left open.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.fields import Field, NeuralField
from ungrid.metrics import relative_l2
from ungrid.objectives import DivergenceTerm, Term, mean_absolute
from ungrid.operators.differences import Neighbours
from ungrid.sampling import GridBatches, GridSamples
from ungrid.signals.methods import Recipe, neural_field
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, fit_terms

MOST_SCORED, SCORED_BATCHES = (
    1 << 19,
    4,
)  # samples and batches that a report evaluates at most; the final metrics use all
HALF, WHOLE = 3.0, 0.1  # weights of the residual after half and a whole inverse Laplacian
SUPERVISIONS = ("values", "gradient", "central", "laplacian", "distance")


@dataclass(frozen=True)
class Objective:
    """What a field is fitted to, as `ungrid.fit` takes it: what of the samples, and the terms beside them."""

    supervise: str = "values"
    weights: np.ndarray | None = None
    total_variation: float = 0.0
    target: np.ndarray | None = None
    eikonal: float = 0.0
    normals: float = 0.0

    def __post_init__(self) -> None:
        if self.supervise not in SUPERVISIONS:
            raise InputError(f"supervision by {self.supervise!r}", f"one of {', '.join(SUPERVISIONS)}")
        for name in ("total_variation", "eikonal", "normals"):
            weight = getattr(self, name)
            if not 0 <= weight < np.inf:
                raise InputError(f"a weight of {weight} of {name.replace('_', ' ')}", "a finite number, 0 or more")
        if self.target is not None and not self.differences:
            raise InputError(f"a target beside supervision by {self.supervise!r}", "gradient, central or laplacian")

    @property
    def differences(self) -> bool:
        """Whether the field is fitted to differences of samples, which leave its constant open."""
        return self.supervise in ("gradient", "central", "laplacian")

    @property
    def plain(self) -> bool:
        """Whether it is the samples' values alone, so that their PSNR says which field is the best."""
        terms = self.total_variation or self.eikonal or self.normals
        return self.supervise == "values" and self.weights is None and not terms


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


def is_bounded(samples: GridSamples) -> bool:
    """Whether the values are levels between black, 0, and white, 1, as those of pictures and clips of whole numbers are."""
    if samples.kind not in ("image", "video") or samples.peak != 1.0:
        return False
    return not bool(((samples.values < 0) | (samples.values > 1)).any())


def mixed_gradient(first: GridSamples, second: GridSamples) -> np.ndarray:
    """At every sample the steps of the one of two signals where they are the larger ones, over all axes and channels.

    A field that is fitted to them (``fit(first, supervise="gradient", target=...)``) shows the strong edges of both.
    Source: Pérez, Gangnet and Blake 2003, *Poisson image editing*, equation 12 (mixed gradients); with a field, Sitzmann
    et al. 2020, section 4.1.

    Args:
        first: a signal on a grid, none of its samples missing.
        second: another one, on a grid of the same shape, with as many channels.

    Returns:
        (*shape, d, c) steps to the next sample along every axis, in the signals' units.

    Raises:
        InputError: if the two differ in shape or channels, or miss samples.
    """
    if first.values.shape != second.values.shape:
        raise InputError(f"signals of shapes {first.values.shape} and {second.values.shape}", "one shape (*grid, c)")
    if first.missing or second.missing:
        raise InputError("a signal with missing samples to blend", "signals that are complete")
    steps = [Neighbours(part.grid).sampled_gradient(torch.from_numpy(part.values)) for part in (first, second)]
    size = [part.square().sum(dim=-1, keepdim=True) for part in steps]
    mixed = torch.where(size[0] >= size[1], steps[0], steps[1])
    return mixed.reshape(*first.grid.shape, first.grid.box.dim, -1).numpy()


def fit_gridded(
    given: GridSamples, hidden: GridSamples | None, parts: Recipe, objective: Objective, options: Options
) -> FitResult:
    """Fit the field of a recipe to gridded samples; `hidden` ones are only measured on."""
    offset, scale = value_range(given)
    if parts.logistic:
        offset, scale = np.zeros_like(offset), np.full_like(scale, given.peak)
    normal = torch.from_numpy((given.values - offset) / scale).to(options.device)
    target = observed(given, normal, objective, scale)
    field = neural_field(parts, given.grid, given.out_names).to(options.device)
    scored = min(MOST_SCORED, SCORED_BATCHES * parts.batch)
    shown = every_nth(given, 1 + int((given.grid.size / scored) ** (1 / given.grid.box.dim) - 1e-9))

    def metrics(u: Field) -> dict[str, float]:
        if objective.target is not None:
            return {}
        return {"psnr_db": psnr(with_values(u, offset, scale), shown, objective.differences)}

    terms = objective_terms(given.grid, target, parts, objective, options.seed)
    result = fit_terms(
        field, terms, parts.solver, options.limits, seed=options.seed, metrics=metrics,
        better="psnr_db" if objective.plain else None, report=options.report, checkpoint=options.checkpoint,
        resume=options.resume,
    )  # fmt: skip
    final = with_values(result.field, offset, scale, given)
    if objective.differences:
        missed = np.nanmean(given.values - final.on_grid(given.grid), axis=tuple(range(given.values.ndim - 1)))
        final = with_values(result.field, offset + missed, scale, given)
    found = metrics_of(final, given, hidden, target, objective, scale)
    stats = {**result.stats, "samples": given.values.size, "missing": given.missing, "metrics": found}
    return FitResult(final, result.outcome, result.history, stats)


def metrics_of(
    final: NeuralField, given: GridSamples, hidden: GridSamples | None, target: Tensor, objective: Objective,
    scale: np.ndarray,
) -> dict[str, float]:  # fmt: skip
    """PSNR on given and hidden samples, unless they are not what was fitted; the relative error of fitted differences."""
    found = {}
    if objective.target is None:
        found["psnr_db"] = psnr(final, given, objective.differences)
    if hidden is not None:
        found["heldout_psnr_db"] = psnr(final, hidden, objective.differences)
    if objective.differences:
        values = torch.from_numpy(final.on_grid(given.grid) / scale).to(target)
        found["differences_relative_l2"] = relative_l2(
            _differences(given.grid, values, objective.supervise).cpu().numpy(), target.cpu().numpy()
        )
    return found


def observed(given: GridSamples, normal: Tensor, objective: Objective, scale: np.ndarray) -> Tensor:
    """What the field is fitted to, in normalised values: (*shape, c) values or Laplacians, (*shape, d c) steps.

    Raises:
        InputError: if a target of differences has another shape, or is not finite.
    """
    if not objective.differences:
        return normal
    if objective.target is None:
        return _differences(given.grid, normal, objective.supervise)
    c = len(given.out_names)
    shape = (*given.grid.shape, *([given.grid.box.dim] if objective.supervise != "laplacian" else []), c)
    target = np.asarray(objective.target)
    if target.shape != shape or not np.isfinite(target).all():
        raise InputError(f"a target of shape {target.shape}", f"finite numbers of shape {shape}, per sample")
    return torch.from_numpy((target / scale).astype(np.float32)).reshape(*given.grid.shape, -1).to(normal.device)


def objective_terms(grid: RegularGrid, target: Tensor, parts: Recipe, objective: Objective, seed: int) -> list[Term]:
    """The terms of an objective on normalised values or differences, as `observed` gives them."""
    batch = parts.batch
    weight = None if objective.weights is None else torch.as_tensor(objective.weights, dtype=torch.float32)
    neighbours = Neighbours(grid)
    channels = target.shape[-1]
    if not objective.differences:
        plain = DivergenceTerm if parts.logistic else Term
        terms = [plain(points=GridBatches(grid, target, size=batch, seed=seed, weight=weight))]
    else:
        operator = getattr(neighbours, objective.supervise)
        points = GridBatches(grid, target, size=batch // 4, seed=seed, weight=weight)
        terms = [Term(points=points, operator=operator, name=objective.supervise)]
        if objective.supervise != "laplacian":
            channels //= grid.box.dim
        if objective.supervise != "central" and weight is None and not torch.isnan(target).any():
            laplacian = neighbours.divergence(target) if objective.supervise == "gradient" else target
            potential = neighbours.potential(laplacian)
            everywhere = GridBatches(grid, potential, size=batch, seed=seed + 2)
            terms.append(Term(points=everywhere, weight=WHOLE, name="inverse"))
            if objective.supervise == "laplacian":
                steps = GridBatches(grid, neighbours.sampled_gradient(potential), size=batch // 4, seed=seed + 3)
                terms.append(Term(points=steps, operator=neighbours.gradient, weight=HALF, name="half_inverse"))
    if objective.total_variation:
        everywhere = GridBatches(grid, torch.zeros(*grid.shape, channels * grid.box.dim), size=batch // 4,
                                 seed=seed + 1)  # fmt: skip
        terms.append(Term(points=everywhere, operator=neighbours.gradient, norm=mean_absolute,
                          weight=objective.total_variation, name="total_variation"))  # fmt: skip
    return terms


def _differences(grid: RegularGrid, values: Tensor, supervise: str) -> Tensor:
    """Differences of gridded values (*shape, c), as `Neighbours` takes them of a field."""
    found: Tensor = getattr(Neighbours(grid), f"sampled_{supervise}")(values)
    return found


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
