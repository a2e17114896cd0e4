"""Classical interpolation of scattered measurements: what a fitted field has to beat.

Convention: points (n, d) and values (n, c) are float64; all columns of the points share one unit of length, since every
method here is isotropic. `fit` gives a predictor: a function from points (m, d) to values (m, c). Repeated points must
have been merged (`merge_repeated`), since most of these methods turn singular on them, some of them silently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy import optimize
from scipy.interpolate import CloughTocher2DInterpolator, CubicSpline, RBFInterpolator
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError

Predictor = Callable[[np.ndarray], np.ndarray]

_MODELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # correlation at a distance in units of the range
    "exponential": lambda h: np.exp(-h),
    "spherical": lambda h: np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0.0),
    "matern32": lambda h: (1 + np.sqrt(3) * h) * np.exp(-np.sqrt(3) * h),
}
_LAG_BINS = 15
_VARIOGRAM_POINTS = 1500
_AT_ONCE = 4096  # kriging systems solved together: 4096 systems of 49 x 49 are 79 MB


@runtime_checkable
class Interpolation(Protocol):
    """A method of interpolation."""

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        """The predictor for values (n, c) measured at points (n, d)."""


def merge_repeated(
    points: np.ndarray, values: np.ndarray, weights: np.ndarray, *, tolerance: float = 1e-7
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One sample for each place: the weighted mean of the values, with the sum of the weights.

    With weights 1 / sigma^2 the sum is 1 / sigma^2 of the mean.

    Args:
        points: (n, d).
        values: (n, c).
        weights: (n, c), positive.
        tolerance: points that round to the same multiple of this fraction of the largest extent are one place.

    Returns:
        Points (m, d), values (m, c), weights (m, c), and the place of every sample (n,) as integers below m.
    """
    step = tolerance * max(float(np.ptp(points, axis=0).max()), np.finfo(np.float64).tiny)
    cells = np.round((points - points.min(axis=0)) / step).astype(np.int64)
    order = np.lexsort(cells.T)
    new = np.r_[True, (np.diff(cells[order], axis=0) != 0).any(axis=1)]
    place = np.empty(len(points), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    total = np.add.reduceat(weights[order], starts)
    mean = np.add.reduceat((weights * values)[order], starts) / total
    return points[order[starts]], mean, total, place


@dataclass(frozen=True, kw_only=True)
class InverseDistance:
    """Mean of the nearest neighbours, weighted by ``1 / distance^power`` (Shepard 1968)."""

    power: float = 2.0
    neighbours: int = 16

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        tree, count = cKDTree(points), min(self.neighbours, len(points))

        def predict(at: np.ndarray) -> np.ndarray:
            distance, index = _nearest(tree, at, count)
            nearest = distance[:, :1]
            ratio = np.where(nearest > 0, nearest, 1.0) / np.where(distance > 0, distance, 1.0)
            weight = np.where(nearest > 0, ratio**self.power, distance == 0)
            return np.einsum("mk,mkc->mc", weight / weight.sum(axis=1, keepdims=True), values[index])

        return predict


@dataclass(frozen=True, kw_only=True)
class RadialBasis:
    """Radial basis functions on the nearest neighbours, with a polynomial of the given degree."""

    kernel: str = "linear"
    degree: int = 0
    neighbours: int = 50

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        count = min(self.neighbours, len(points))
        return RBFInterpolator(points, values, neighbors=count, kernel=self.kernel, degree=self.degree)


@dataclass(frozen=True, kw_only=True)
class Cubic:
    """The C1 piecewise cubic on Delaunay triangles (Clough and Tocher 1965), in one dimension the cubic spline.

    Outside the convex hull it is the nearest value.
    """

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        """As for every method.

        Raises:
            InputError: in more than two dimensions.
        """
        d = points.shape[1]
        if d > 2:
            raise InputError(f"{d} coordinates", "one or two for cubic interpolation")
        tree = cKDTree(points)
        if d == 1:
            order = np.argsort(points[:, 0])
            spline = CubicSpline(points[order, 0], values[order], extrapolate=False)
            inside: Predictor = lambda at: spline(at[:, 0])  # noqa: E731
        else:
            inside = CloughTocher2DInterpolator(points, values)

        def predict(at: np.ndarray) -> np.ndarray:
            found = inside(at)
            return np.where(np.isnan(found), values[tree.query(at)[1]], found)

        return predict


@dataclass(frozen=True, kw_only=True)
class Variogram:
    """``gamma(h) = nugget + sill (1 - correlation(h / range))`` for h > 0, and gamma(0) = 0.

    Attributes:
        model: "exponential", "spherical" or "matern32".
        nugget: variance of the measurement errors.
        sill: variance of the field.
        range: length scale of the correlation, in the unit of the points.
    """

    model: str
    nugget: float
    sill: float
    range: float

    def covariance(self, distance: np.ndarray) -> np.ndarray:
        """Covariance of the field (without the nugget) at the distances, which may have any shape."""
        return self.sill * _MODELS[self.model](distance / self.range)

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        return np.where(distance > 0, self.nugget + self.sill - self.covariance(distance), 0.0)


def fit_variogram(points: np.ndarray, values: np.ndarray, *, seed: int = 0) -> Variogram:
    """The variogram model nearest to the empirical one, for values scaled to variance 1.

    Squared half differences (Matheron 1963) in bins of equal ratio up to a third of the extent, and models fitted by
    least squares with the weights ``pairs / gamma^2`` (Cressie 1985). Columns are scaled to variance 1 and pooled.

    Args:
        points: (n, d).
        values: (n, c).
        seed: of the choice of the points.
    """
    scale = np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
    lag, gamma, pairs = _empirical_variogram(points, values / scale, np.random.default_rng(seed))
    weight = np.sqrt(pairs) / np.maximum(gamma, 1e-3 * (gamma.max() or 1.0))
    fits = []
    for model, correlation in _MODELS.items():

        def misfit(theta: np.ndarray, correlation: Callable[[np.ndarray], np.ndarray] = correlation) -> np.ndarray:
            nugget, sill, length = np.exp(theta)
            return weight * (nugget + sill * (1 - correlation(lag / length)) - gamma)

        top = max(float(gamma.max()), 1e-12)
        start = np.log([max(0.5 * gamma[0], 1e-4 * top), top, lag[len(lag) // 2]])
        low, high = np.log([1e-7 * top, 1e-2 * top, lag[0] / 10]), np.log([2 * top, 10 * top, 10 * lag[-1]])
        found = optimize.least_squares(misfit, np.clip(start, low + 1e-9, high - 1e-9), bounds=(low, high))
        fits.append((float(found.cost), model, np.exp(found.x)))
    _, model, (nugget, sill, length) = min(fits, key=lambda fit: fit[0])
    return Variogram(model=model, nugget=float(nugget), sill=float(sill), range=float(length))


def _empirical_variogram(
    points: np.ndarray, values: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean lag, mean squared half difference and number of pairs, for every bin that has pairs."""
    chosen = rng.choice(len(points), min(_VARIOGRAM_POINTS, len(points)), replace=False)
    near = _nearest(cKDTree(points), points[chosen], min(30, len(points)))[1][:, 1:]  # lags below the mean distance
    first = np.r_[np.repeat(chosen, near.shape[1]), np.repeat(chosen, len(chosen))]
    second = np.r_[near.ravel(), np.tile(chosen, len(chosen))]
    lag = np.linalg.norm(points[first] - points[second], axis=1)
    kept = (lag > 0) & (lag < np.linalg.norm(np.ptp(points, axis=0)) / 3)
    lag, half = lag[kept], 0.5 * ((values[first] - values[second])[kept] ** 2).mean(axis=1)
    edges = np.geomspace(np.quantile(lag, 0.001), lag.max() * (1 + 1e-12), _LAG_BINS + 1)
    bins = np.clip(np.searchsorted(edges, lag, side="right") - 1, 0, _LAG_BINS - 1)
    pairs = np.bincount(bins, minlength=_LAG_BINS)
    there = pairs > 0
    mean = [np.bincount(bins, x, minlength=_LAG_BINS)[there] / pairs[there] for x in (lag, half)]
    return mean[0], mean[1], pairs[there].astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class LocalKriging:
    """Ordinary kriging from the nearest neighbours (Matheron 1963; Cressie 1993, section 3.2).

    Attributes:
        neighbours: how many.
        variogram: the model, for values of variance 1; None fits one.
    """

    neighbours: int = 48
    variogram: Variogram | None = None

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        predict = self.fit_with_variance(points, values)
        return lambda at: predict(at)[0]

    def fit_with_variance(
        self, points: np.ndarray, values: np.ndarray
    ) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """As `fit`, for a predictor that gives values (m, c) and the kriging variances (m, c) of new measurements."""
        model = self.variogram or fit_variogram(points, values)
        scale = values.var(axis=0) if self.variogram is None else np.ones(values.shape[1])
        tree, count = cKDTree(points), min(self.neighbours, len(points))

        def predict(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            value, variance = np.empty((len(at), values.shape[1])), np.empty(len(at))
            for start in range(0, len(at), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                distance, index = _nearest(tree, at[part], count)
                weights, variance[part] = _kriging_weights(model, points[index], distance)
                value[part] = np.einsum("mk,mkc->mc", weights, values[index])
            return value, variance[:, None] * scale

        return predict


def _kriging_weights(model: Variogram, near: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (m, k) of the neighbours and the kriging variance (m,), from ordinary kriging's bordered systems.

    The nugget is an error of the measurements, hence only on the diagonal; a tiny jitter keeps close points apart.
    """
    m, k, _ = near.shape
    system = np.ones((m, k + 1, k + 1))
    apart = np.linalg.norm(near[:, :, None] - near[:, None], axis=-1)
    system[:, :k, :k] = model.covariance(apart) + (model.nugget + 1e-10 * model.sill) * np.eye(k)
    system[:, k, k] = 0.0
    right = np.ones((m, k + 1, 1))
    right[:, :k, 0] = model.covariance(distance)
    solved = np.linalg.solve(system, right)[..., 0]
    variance = model.sill + model.nugget - (solved * right[..., 0]).sum(axis=1)
    return solved[:, :k], np.maximum(variance, 0.0)


def _nearest(tree: cKDTree, at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices (m, count); scipy drops the last axis for one neighbour."""
    distance, index = tree.query(at, k=count)
    return distance.reshape(len(at), count), index.reshape(len(at), count)
