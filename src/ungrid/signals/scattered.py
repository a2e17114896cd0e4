"""Scattered measurements to a field with calibrated intervals, in closed form.

The field is a cubic spline on a lattice with a Gaussian prior (`ungrid.solvers.least_squares`). What is chosen, by its
error on held-out groups of the training samples: the prior's weight, tension and decay, how far the lattice is
stretched along the directions in which the field is smooth, and how much of the given standard errors is believed.
Intervals: the posterior standard deviation and the local slope of the field give the shape, and the normalised errors
of the held-out groups give the width for every level (normalised conformal prediction; Papadopoulos, Gammerman and
Vovk 2008).

Convention: internal coordinates are kilometres for axes in degrees (plate carrée about the mean latitude); otherwise
the user's, axes of other units scaled to the spread of the first. Lengths are then divided by the mean distance of a
held-out sample from the nearest sample of another group.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.ndimage
import torch
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import SplineField
from ungrid.fields.field import CHUNK
from ungrid.io.tables import KILOMETRES_PER_DEGREE
from ungrid.metrics.intervals import coverage, interval_score
from ungrid.reference import Cubic, InverseDistance, LocalKriging, RadialBasis, merge_repeated
from ungrid.reference.interpolation import Interpolation
from ungrid.sampling import PointSamples
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.least_squares import Lattice, Posterior, SplinePrior

Holdout = Literal["auto", "random", "groups"]

CLASSICAL: dict[str, Interpolation] = {
    "inverse distance": InverseDistance(),
    "radial basis": RadialBasis(),
    "local kriging": LocalKriging(),
    "cubic": Cubic(),
}
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)

_FOLDS = 5
_FEW = 3000  # below this every fold of the table is run, above only one
_MOST_TESTED = 10_000  # held-out samples in the table
_MOST_SEARCHED = 40_000  # samples that take part in the search for the settings
_SEARCH_NODES = {1: 2000, 2: 8000, 3: 2500}  # lattice points while searching
_MOST_NODES = {1: 20_000, 2: 40_000, 3: 12_000}  # and of the field; three dimensions fill the factors most
_NODES_PER_SAMPLE = {1: 0.1, 2: 0.12, 3: 0.0}  # beyond that
_SEARCH_SECONDS = 15.0  # for the search, where no budget is given
_DRAWS = 64  # posterior draws: the standard deviation is then known to 9 %
_MARGIN = 2  # cells of the lattice beyond the part that is used
_EXPONENTS = [(a, b) for a in (0.0, 0.5, 1.0, 1.5) for b in (0.0, 0.25, 0.5, 0.75, 1.0)]
_HARMONIC_WEIGHT = 1e4  # of the squared Laplacian, relative to the prior's
_SWEEPS = 3
_TRIALS = (12, 60)  # of settings: at least, so that the weight is found, and at most
_SCAN = [(weight, tension) for weight in (1e-4, 1e-2, 1.0) for tension in (0.1, 1.0, 10.0)]  # where to start
_SCAN_FOLDS = 2
_FIRST_STEPS = {"weight": 8.0, "nugget": 8.0, "stretch": 0.5, "tension": 4.0, "decay": 4.0}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is chosen for a data set.

    Attributes:
        weight, tension, decay: of the `SplinePrior`, lengths in the unit of the hold-out distance.
        stretch: 0: isotropic; 1: scaled along the principal axes so that slopes have equal variance.
        nugget: variance, in units of the median given variance, that is added to the given ones.
    """

    weight: float = 1.0
    tension: float = 1.0
    decay: float = 0.1
    stretch: float = 0.5
    nugget: float = 0.1


@dataclass(frozen=True, eq=False)
class Measurements:
    """Merged samples in internal coordinates.

    Attributes:
        points: (n, d).
        values: (n, c).
        variance: (n, c), relative to the median of the column.
        groups: (n,) integers.
        scale: (d,) internal units per unit of every axis.
        has_sigma: whether the samples came with standard errors.
    """

    points: np.ndarray
    values: np.ndarray
    variance: np.ndarray
    groups: np.ndarray
    scale: np.ndarray
    has_sigma: bool

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: np.ndarray) -> "Measurements":
        """Some of the samples."""
        return replace(
            self,
            points=self.points[rows],
            values=self.values[rows],
            variance=self.variance[rows],
            groups=self.groups[rows],
        )


@dataclass(frozen=True, eq=False)
class _Frame:
    """Internal coordinates to lattice lengths: ``z = matrix @ x``, and the directions that it was made from."""

    unit: float
    reach: float  # how far from a sample the field is trusted, in internal units
    directions: np.ndarray  # (d, d), rows
    slopes: np.ndarray  # (d,) mean squared slope along each

    def matrix(self, stretch: float) -> np.ndarray:
        ratio = self.slopes / np.exp(np.log(self.slopes).mean())
        return ratio[:, None] ** (stretch / 2) * self.directions / self.unit


@dataclass(frozen=True, eq=False)
class _Solved:
    """A fit: the field's weights on its lattice, and the uncertainty's ingredients at the lattice points (size, c)."""

    lattice: Lattice
    matrix: np.ndarray
    shift: np.ndarray
    offset: np.ndarray
    weights: np.ndarray
    log_deviation: np.ndarray | None = None
    log_slope: np.ndarray | None = None

    def positions(self, points: np.ndarray) -> np.ndarray:
        return points @ self.matrix.T + self.shift

    def values(self, points: np.ndarray) -> np.ndarray:
        return self.lattice.design(self.positions(points)) @ self.weights + self.offset


def fit_scattered(
    samples: PointSamples,
    *,
    holdout: Holdout = "auto",
    seed: int = 0,
    budget: float | None = None,
    harmonic: bool = False,
) -> FitResult:
    """Fit a field with calibrated intervals to scattered measurements, and compare it with the classical methods.

    Repeated places are merged; given standard errors weigh the samples. The table is made from samples that took no
    part in fitting or choosing; then the field is fitted to all.

    Args:
        samples: measurements at points in one, two or three coordinates. Axes in degrees (by their unit) become local
            kilometres; project other geographic coordinates with `ungrid.io.tables.project` first.
        holdout: hold out whole ``samples.groups`` or random samples; "auto" takes the groups where there are any.
            Random hold-out flatters every method if the samples lie in lines, tracks or clusters.
        seed: of the folds and the posterior draws.
        budget: seconds for choosing the settings, the larger part of the work; default 15.
        harmonic: ask for a solution of Laplace's equation: a potential field in three coordinates of one unit.

    Returns:
        The field, a `SplineField`: value and ``interval``, NaN farther from the samples than twice the distance over
        which the hold-out tested it. In the stats: ``table``, one row for each method with rmse, mae, coverage_90,
        interval_width, interval_score (means over the columns), the field's row again as ``heldout_...``, ``settings``.

    Raises:
        InputError: with less than 10 different places, more than 3 coordinates, or less than two groups.
    """
    start = time.perf_counter()
    data = measurements(samples, harmonic=harmonic)
    if holdout == "groups" and samples.groups is None:
        raise InputError("samples without groups", "a column of lines, tracks or stations", "use holdout='random'")
    if holdout == "random" or samples.groups is None:
        data = replace(data, groups=np.arange(len(data)))
    folds = list(group_folds(data.groups, seed))
    seconds = _SEARCH_SECONDS if budget is None else budget
    few = len(data) < _FEW  # then every fold is tested and the search is repeated on all samples
    each = seconds / (1 + len(folds)) if few else seconds
    table, settings = _table(data, folds if few else folds[:1], samples, seed, each, harmonic)
    field, chosen = fit_field(
        data,
        samples.domain,
        samples.out_names,
        settings=None if few else settings,
        seed=seed,
        seconds=each,
        harmonic=harmonic,
    )
    ours = table[0]
    stats: dict[str, Any] = {
        "method": "spline-posterior",
        "seconds": time.perf_counter() - start,
        "parameters": field.weights.numel(),
        "holdout": "random" if holdout == "random" or samples.groups is None else "groups",
        "samples": len(samples.points),
        "places": len(data),
        "settings": dataclasses.asdict(chosen),
        "table": table,
        **{f"heldout_{name}": value for name, value in ours.items() if name != "method"},
    }
    return FitResult(field, Outcome.exact, [], stats)


def measurements(samples: PointSamples, *, harmonic: bool = False) -> Measurements:
    """The samples in internal coordinates, with the repeated places merged.

    Raises:
        InputError: if they cannot be fitted.
    """
    d = samples.domain.dim
    if d > 3:
        raise InputError(f"{d} coordinates", "one to three")
    if not np.isfinite(samples.values).all():
        raise InputError("values that are NaN or infinite", "finite values", "leave out the rows that miss a value")
    if harmonic and d != 3:
        raise InputError(f"a harmonic field in {d} coordinates", "three: two horizontal ones and the height")
    scale = _axis_scales(samples, harmonic)
    variance = np.ones_like(samples.values)
    if samples.sigma is not None:
        floor = np.maximum(1e-3 * np.median(samples.sigma, axis=0), np.finfo(np.float64).tiny)
        variance = np.maximum(samples.sigma, floor) ** 2
    points, values, weights, place = merge_repeated(samples.points * scale, samples.values, 1 / variance)
    if len(points) < 10:
        raise InputError(f"measurements at {len(points)} different places", "10 or more")
    groups = np.empty(len(points), dtype=np.int64)
    given = np.arange(len(place)) if samples.groups is None else samples.groups
    groups[place[::-1]] = given[::-1]  # a place that two groups share belongs to the first
    relative = 1 / weights
    relative = relative / np.median(relative, axis=0)
    return Measurements(points, values, relative, groups, scale, samples.sigma is not None)


def group_folds(groups: np.ndarray, seed: int, count: int = _FOLDS) -> Iterator[np.ndarray]:
    """For each fold which samples are held out, (n,) booleans: a random part of the groups.

    Raises:
        InputError: if there is only one group.
    """
    names, code = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError("samples that all belong to one group", "two groups or more", "use holdout='random'")
    fold = np.random.default_rng(seed).permutation(len(names)) % count
    for k in range(min(count, len(names))):
        yield fold[code] == k


def fit_field(
    data: Measurements,
    domain: Box,
    out_names: tuple[str, ...],
    *,
    settings: Settings | None = None,
    seed: int = 0,
    seconds: float = _SEARCH_SECONDS,
    harmonic: bool = False,
) -> tuple[SplineField, Settings]:
    """Choose the settings by cross-validation over the groups of `data`, calibrate on the same folds, and fit to all.

    Args:
        data: what `measurements` gave.
        domain: of the field.
        out_names: of the values.
        settings: None searches for them.
        seed: of the folds and draws.
        seconds: for the search.
        harmonic: as in `fit_scattered`.
    """
    folds = list(group_folds(data.groups, seed + 1))
    frame = _frame(data, folds, harmonic)
    settings = settings or _search(data, frame, folds, seconds, seed, harmonic)
    nodes = _node_count(data)
    solved = _solve(data, frame, settings, nodes, harmonic=harmonic, draws_seed=seed)
    intervals = _calibrated(*_crossvalidated(data, frame, settings, folds, nodes, seed, harmonic))
    return _as_field(solved, data, frame.reach, domain, out_names, intervals), settings


def _search_nodes(data: Measurements) -> int:
    """How many lattice points for the search: several for each sample, as long as they are few."""
    return min(_SEARCH_NODES[data.points.shape[1]], 4 * len(data) + 500)


def _node_count(data: Measurements) -> int:
    """How many lattice points: about one for each sample, bounded by what a direct solver does in seconds."""
    d, n = data.points.shape[1], len(data)
    return int(max(_search_nodes(data), min(n, _MOST_NODES[d]), _NODES_PER_SAMPLE[d] * n))


def _axis_scales(samples: PointSamples, harmonic: bool) -> np.ndarray:
    """Internal units per unit of every axis."""
    axes = samples.domain.axes
    degrees = [axis.unit in ("degrees", "degree", "deg", "°") for axis in axes]
    scale, kinds = np.ones(len(axes)), [axis.unit for axis in axes]
    if any(degrees):
        latitudes = [k for k in range(len(axes)) if degrees[k] and axes[k].name.lower().startswith("lat")]
        middle = float(samples.points[:, latitudes[0]].mean()) if latitudes else 0.0
        for k, axis in enumerate(axes):
            if degrees[k]:
                scale[k] = KILOMETRES_PER_DEGREE * (1 if k in latitudes else math.cos(math.radians(middle)))
                kinds[k] = "km"
            elif axis.unit in ("m", "metre", "metres", "meters"):
                scale[k], kinds[k] = 1e-3, "km"
    spread = {kind: _spread(samples, scale, [k for k in range(len(axes)) if kinds[k] == kind]) for kind in set(kinds)}
    if harmonic and len(spread) > 1:
        raise InputError(f"a harmonic field over axes of the units {', '.join(kinds)}", "one unit of length")
    return scale * np.array([spread[kinds[0]] / spread[kind] for kind in kinds])


def _spread(samples: PointSamples, scale: np.ndarray, axes: list[int]) -> float:
    return float(np.sqrt(((samples.points[:, axes] * scale[axes]).var(axis=0)).mean())) or 1.0


def _frame(data: Measurements, folds: list[np.ndarray], harmonic: bool) -> _Frame:
    """The unit of length from the hold-out distance; directions and slopes from a first, isotropic fit."""
    d = data.points.shape[1]
    held_out = [cKDTree(data.points[~held]).query(data.points[held])[0] for held in folds]
    distance = np.concatenate(held_out)
    plain = _Frame(float(distance.mean()), 2 * float(np.quantile(distance, 0.99)), np.eye(d), np.ones(d))
    if d == 1 or harmonic:  # Laplace's equation knows no direction
        return plain
    first = _solve(data, plain, Settings(stretch=0.0), _search_nodes(data))
    positions = first.positions(data.points)
    slopes = np.stack([first.lattice.slope_design(positions, k) @ first.weights for k in range(d)], axis=-1)
    slopes = slopes / np.maximum(data.values.std(axis=0), np.finfo(np.float64).tiny)[:, None]
    power, directions = np.linalg.eigh(np.einsum("nci,ncj->ij", slopes, slopes) / len(slopes))
    power = np.maximum(power, 1e-4 * power.max() + np.finfo(np.float64).tiny)
    return replace(plain, directions=directions.T, slopes=power)


def _solve(
    data: Measurements,
    frame: _Frame,
    settings: Settings,
    nodes: int,
    *,
    held: np.ndarray | None = None,
    harmonic: bool = False,
    draws_seed: int | None = None,
) -> _Solved:
    """The posterior mean from the samples that are not held out, on a lattice over all of them.

    With a seed for the draws, the ingredients of the uncertainty too.
    """
    matrix = frame.matrix(settings.stretch)
    z = data.points @ matrix.T
    lattice, shift = _lattice(z, frame.reach * np.linalg.norm(matrix, axis=1), nodes)
    if held is not None:
        data, z = data.take(~held), z[~held]
    prior = SplinePrior(
        weight=settings.weight,
        tension=settings.tension,
        decay=settings.decay,
        harmonic=_HARMONIC_WEIGHT * settings.weight if harmonic else 0.0,
    )
    offset = np.median(data.values, axis=0)
    positions = z / lattice.spacing + shift
    weights, deviation = np.empty((lattice.size, len(offset))), np.empty((lattice.size, len(offset)))
    for columns, relative in _columns_of_equal_weights(data, settings):
        posterior = Posterior(lattice, positions, relative, prior)
        weights[:, columns] = posterior.mean((data.values - offset)[:, columns])
        if draws_seed is not None:
            draws = lattice.at_nodes(posterior.draws(_DRAWS, draws_seed))
            deviation[:, columns] = np.sqrt((draws**2).mean(axis=1))[:, None]
    solved = _Solved(lattice, matrix / lattice.spacing, shift, offset, weights)
    if draws_seed is None:
        return solved
    floor = np.finfo(np.float64).tiny
    return replace(solved, log_deviation=np.log(deviation + floor), log_slope=_log_slope(lattice, weights))


def _lattice(z: np.ndarray, reach: np.ndarray, nodes: int) -> tuple[Lattice, np.ndarray]:
    """About `nodes` splines over the points `z` and `reach` around them; positions are ``z / spacing + shift``."""
    low, extent = z.min(axis=0) - reach, np.ptp(z, axis=0) + 2 * reach
    spacing = float(extent.max())
    while True:  # the margin counts too, which matters for thin boxes
        shape = np.ceil(extent / spacing).astype(int) + 2 * _MARGIN + 2
        if np.prod(shape.astype(float)) >= nodes:
            break
        spacing /= 1.05
    return Lattice(tuple(int(n) for n in shape), spacing), _MARGIN + 0.5 - low / spacing


def _columns_of_equal_weights(data: Measurements, settings: Settings) -> Iterator[tuple[list[int], np.ndarray]]:
    """Columns that share one factorisation, and their relative weights (n,)."""
    weights = (1 + settings.nugget) / (data.variance + settings.nugget)
    left = list(range(weights.shape[1]))
    while left:
        same = [k for k in left if np.array_equal(weights[:, k], weights[:, left[0]])]
        yield same, weights[:, left[0]]
        left = [k for k in left if k not in same]


def _log_slope(lattice: Lattice, weights: np.ndarray) -> np.ndarray:
    """Logarithm of the field's slope over about one unit of length around every lattice point, (size, c)."""
    square = sum(lattice.at_nodes(weights, slope=k) ** 2 for k in range(len(lattice.shape)))
    grid = np.asarray(square).reshape(*lattice.shape, -1)
    width = [1 / lattice.spacing] * len(lattice.shape) + [0.0]
    local = scipy.ndimage.gaussian_filter(grid, np.minimum(width, 20.0), mode="nearest").reshape(weights.shape)
    floor = 0.01 * np.median(local, axis=0) + 1e-4 * local.mean(axis=0) + np.finfo(np.float64).tiny
    return 0.5 * np.log(local + floor)


def _search(
    data: Measurements, frame: _Frame, folds: list[np.ndarray], seconds: float, seed: int, harmonic: bool
) -> Settings:
    """A scan over decades, then a search over one setting after the other with steps that shrink, for the least error.

    The seconds are turned into a number of trials by the time of the first: only this number depends on the clock.
    """
    steps = {name: step for name, step in _FIRST_STEPS.items() if name != "nugget" or data.has_sigma}
    if data.points.shape[1] == 1 or harmonic:
        del steps["stretch"]
    if harmonic:  # then the prior's own form matters little
        del steps["tension"], steps["decay"]
    rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:_MOST_SEARCHED])
    part, parts = data.take(rows), [fold[rows] for fold in folds]
    plain = Settings(stretch=steps.get("stretch", 0.0))
    began = time.perf_counter()
    starts = [replace(plain, weight=weight, tension=tension) for weight, tension in _SCAN]
    best = min(starts, key=lambda start: _error(part, frame, start, parts[:_SCAN_FOLDS], harmonic))
    left, started = seconds - (time.perf_counter() - began), time.perf_counter()
    least = _error(part, frame, best, parts, harmonic)
    trials = int(np.clip(left / (time.perf_counter() - started), *_TRIALS))
    for _sweep in range(_SWEEPS):
        for name, sign in [(name, sign) for name in steps for sign in (1, -1)]:
            found = 0.0
            while trials > 0 and found < least:
                trial = _moved(best, name, steps[name], sign)
                found, trials = _error(part, frame, trial, parts, harmonic), trials - 1
                if found < least:
                    best, least, found = trial, found, 0.0
        steps = {name: step / 2 if name == "stretch" else math.sqrt(step) for name, step in steps.items()}
    return best


def _moved(settings: Settings, name: str, step: float, sign: int) -> Settings:
    """One setting changed by a step: the stretch by adding, all others by a factor."""
    value = getattr(settings, name)
    return replace(settings, **{name: value + sign * step if name == "stretch" else value * step**sign})


def _error(data: Measurements, frame: _Frame, settings: Settings, folds: list[np.ndarray], harmonic: bool) -> float:
    """RMSE plus MAE over the held-out samples, in standard deviations, mean over the columns; infinite out of range.

    Samples with a large variance count less, however much of the variances the settings believe.
    """
    if not -0.5 <= settings.stretch <= 2 or not 1e-3 < settings.decay < 30 or not 1e-3 < settings.tension < 1e3:
        return math.inf
    errors, weights, nodes = [], [], _search_nodes(data)
    for held in folds:
        solved = _solve(data, frame, settings, nodes, held=held, harmonic=harmonic)
        errors.append(solved.values(data.points[held]) - data.values[held])
        weights.append(1 / (data.variance[held] + Settings.nugget))
    w = np.concatenate(weights) / np.concatenate(weights).mean(axis=0)
    e = np.concatenate(errors) / np.maximum(data.values.std(axis=0), np.finfo(np.float64).tiny)
    return float((np.sqrt((w * e**2).mean(axis=0)) + (np.sqrt(w) * np.abs(e)).mean(axis=0)).mean())


def _crossvalidated(
    data: Measurements,
    frame: _Frame,
    settings: Settings,
    folds: list[np.ndarray],
    nodes: int,
    seed: int,
    harmonic: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out absolute errors and there the logarithms of posterior deviation and local slope, all (n, c)."""
    found = []
    for held in folds:
        solved = _solve(data, frame, settings, nodes, held=held, harmonic=harmonic, draws_seed=seed)
        design = solved.lattice.design(solved.positions(data.points[held]))
        error = np.abs(design @ solved.weights + solved.offset - data.values[held])
        found.append((error, design @ solved.log_deviation, design @ solved.log_slope))
    error, deviation, slope = (np.concatenate(part) for part in zip(*found, strict=True))
    return error, deviation, slope


@dataclass(frozen=True)
class _Intervals:
    """For each value: exponents of deviation and slope in the scale, half widths for the levels, standard deviation."""

    exponents: list[tuple[float, float]]
    multipliers: list[tuple[float, ...]]
    deviations: list[float]


def _calibrated(error: np.ndarray, log_deviation: np.ndarray, log_slope: np.ndarray) -> _Intervals:
    """The exponents with the least interval score at 90 %, and the quantiles of the normalised errors."""
    intervals = _Intervals([], [], [])
    for k in range(error.shape[1]):
        candidates = []
        for a, b in _EXPONENTS:
            scale = np.exp(a * log_deviation[:, k] + b * log_slope[:, k])
            half = scale * _conformal_quantile(error[:, k] / scale, 0.9)
            candidates.append((interval_score(-half, half, error[:, k], 0.1), a, b))
        _, a, b = min(candidates)
        normalised = error[:, k] / np.exp(a * log_deviation[:, k] + b * log_slope[:, k])
        intervals.exponents.append((a, b))
        intervals.multipliers.append(tuple(_conformal_quantile(normalised, level) for level in LEVELS))
        intervals.deviations.append(float(np.sqrt((normalised**2).mean())))
    return intervals


def _conformal_quantile(errors: np.ndarray, level: float) -> float:
    """The quantile with the correction for a finite number of errors (Papadopoulos, Gammerman and Vovk 2008)."""
    return float(np.quantile(errors, min(1.0, math.ceil((len(errors) + 1) * level) / len(errors)), method="higher"))


def _as_field(
    solved: _Solved,
    data: Measurements,
    reach: float,
    domain: Box,
    out_names: tuple[str, ...],
    intervals: _Intervals,
) -> SplineField:
    field = SplineField(
        domain,
        out_names=out_names,
        shape=solved.lattice.shape,
        matrix=tuple(tuple(float(m) for m in row * data.scale) for row in solved.matrix),
        shift=tuple(float(s) for s in solved.shift),
        levels=LEVELS,
        multipliers=tuple(intervals.multipliers),
        deviations=tuple(intervals.deviations),
    ).double()
    a, b = np.array(intervals.exponents).T
    state = {
        "weights": torch.from_numpy(solved.weights + solved.offset),  # the splines sum to 1
        "log_scale": torch.from_numpy(a * solved.log_deviation + b * solved.log_slope),
        "near": torch.from_numpy(_near(solved, data.points, reach).astype(np.uint8)),
    }
    field.load_state_dict(state)
    return field


def _near(solved: _Solved, points: np.ndarray, reach: float) -> np.ndarray:
    """Which lattice points lie within `reach` of a sample, (size,)."""
    nodes = np.stack(np.meshgrid(*map(np.arange, solved.lattice.shape), indexing="ij"), axis=-1)
    at = np.linalg.solve(solved.matrix, (nodes.reshape(-1, len(solved.shift)) - solved.shift).T).T
    half_cell = 0.5 * float(np.linalg.norm(np.linalg.inv(solved.matrix), axis=0).sum())
    return cKDTree(points).query(at, distance_upper_bound=reach + half_cell)[0] <= reach + half_cell


def _table(
    data: Measurements, folds: list[np.ndarray], samples: PointSamples, seed: int, seconds: float, harmonic: bool
) -> tuple[list[dict[str, Any]], Settings]:
    """One row for each method, ours first, on samples that none of them has seen; and the settings of the last fold."""
    names = ["spline posterior", *(name for name in CLASSICAL if name != "cubic" or data.points.shape[1] < 3)]
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in names}
    truth = []
    for held in folds:
        train, test = data.take(~held), _some(data.take(held), seed)
        field, settings = fit_field(
            train, samples.domain, samples.out_names, seed=seed, seconds=seconds, harmonic=harmonic
        )
        truth.append(test.values)
        found[names[0]].append(values_and_half_widths(field, test.points / data.scale))
        for name in names[1:]:
            found[name].append(with_conformal_width(CLASSICAL[name], train, test.points, seed))
    y = np.concatenate(truth)
    return [summary(name, y, *map(np.concatenate, zip(*found[name], strict=True))) for name in names], settings


def _some(data: Measurements, seed: int) -> Measurements:
    """At most `_MOST_TESTED` of the samples."""
    return data.take(np.random.default_rng(seed).permutation(len(data))[:_MOST_TESTED])


def values_and_half_widths(field: SplineField, points: np.ndarray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """The field and the half widths of its intervals at points (n, d) in the user's units, both (n, c)."""
    values, halves = [], []
    with torch.no_grad():
        for part in torch.from_numpy(points).split(CHUNK):
            low, high = field.interval(part, level)
            values.append((low + high) / 2)
            halves.append((high - low) / 2)
    return torch.cat(values).numpy(), torch.cat(halves).numpy()


def with_conformal_width(
    method: Interpolation, train: Measurements, at: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A classical method's values, and its constant half width from groups that it was not given (split conformal)."""
    held = next(group_folds(train.groups, seed + 1))
    rest, kept = _some(train.take(held), seed), train.take(~held)
    error = np.abs(method.fit(kept.points, kept.values)(rest.points) - rest.values)
    error = error[~np.isnan(error).any(axis=1)]
    half = np.array([_conformal_quantile(column, 0.9) for column in error.T])
    value = method.fit(train.points, train.values)(at)
    return value, np.broadcast_to(half, value.shape)


def summary(name: str, truth: np.ndarray, value: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """A row of the table, means over the columns; samples off the field are counted apart."""
    error, columns = value - truth, range(truth.shape[1])
    there = ~np.isnan(error).any(axis=1)
    low, high, truth, error = (part[there] for part in (value - half, value + half, truth, error))
    return {
        "method": name,
        "rmse": float(np.sqrt((error**2).mean(axis=0)).mean()),
        "mae": float(np.abs(error).mean()),
        "coverage_90": coverage(low, high, truth),
        "interval_width": float((high - low).mean()),
        "interval_score": float(np.mean([interval_score(low[:, k], high[:, k], truth[:, k], 0.1) for k in columns])),
        "off_field": int((~there).sum()),
    }
