"""A spline posterior of scattered measurements: frame, lattice, one solve for given settings, and the field.

Convention: lengths are in the unit of `Frame`, the mean distance of a held-out sample from the nearest one of another
group. Folds are (n,) booleans, true where a sample is held out, and every sample is held out once.
"""

import functools
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.sparse as sp
import torch
from scipy.spatial import cKDTree

from ungrid.domains import Box
from ungrid.fields import SplineField
from ungrid.signals.conformal import LEVELS, Intervals
from ungrid.signals.measurements import Measurements
from ungrid.solvers.least_squares import Lattice, NormalEquations, Posterior, SplinePrior, normal_equations

MOST_SEARCHED = 40_000  # samples that take part in the search for the settings
_SEARCH_NODES = {1: 2000, 2: 8000, 3: 2500}  # lattice points while searching
_MOST_NODES = {1: 20_000, 2: 40_000, 3: 12_000}  # and of the field; three dimensions fill the factors most
_NODES_PER_SAMPLE = {1: 0.1, 2: 0.12, 3: 0.0}  # beyond that
_DRAWS = 64  # posterior draws: the standard deviation is then known to 9 %
_MARGIN = 2  # cells of the lattice beyond the part that is used
_HARMONIC_WEIGHT = 1e4  # of the squared Laplacian, relative to the prior's


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
class Frame:
    """Internal coordinates to lattice lengths: ``z = matrix @ x``, and the directions that it was made from."""

    unit: float
    reach: float  # how far from a sample the field is trusted, in internal units
    directions: np.ndarray  # (d, d), rows
    slopes: np.ndarray  # (d,) mean squared slope along each

    def matrix(self, stretch: float) -> np.ndarray:
        ratio = self.slopes / np.exp(np.log(self.slopes).mean())
        return ratio[:, None] ** (stretch / 2) * self.directions / self.unit


@dataclass(frozen=True, eq=False)
class Solved:
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


def search_nodes(data: Measurements) -> int:
    """How many lattice points for the search: several for each sample, as long as they are few."""
    return min(_SEARCH_NODES[data.points.shape[1]], 4 * len(data) + 500)


def node_count(data: Measurements) -> int:
    """How many lattice points: about one for each sample, bounded by what a direct solver does in seconds."""
    d, n = data.points.shape[1], len(data)
    return int(max(search_nodes(data), min(n, _MOST_NODES[d]), _NODES_PER_SAMPLE[d] * n))


def frame_of(data: Measurements, folds: list[np.ndarray], harmonic: bool, seed: int) -> Frame:
    """The unit of length from the hold-out distance; directions and slopes from a first, isotropic fit.

    Of many samples a random part asks for its nearest neighbour and gives the slopes.
    """
    d = data.points.shape[1]
    asking = np.zeros(len(data), dtype=bool)
    asking[np.random.default_rng(seed).permutation(len(data))[:MOST_SEARCHED]] = True
    held_out = [cKDTree(data.points[~held]).query(data.points[held & asking])[0] for held in folds]
    distance = np.concatenate(held_out)
    plain = Frame(float(distance.mean()), 2 * float(np.quantile(distance, 0.99)), np.eye(d), np.ones(d))
    if d == 1 or harmonic:  # Laplace's equation knows no direction
        return plain
    part = data.take(np.flatnonzero(asking))
    everything = [np.ones(len(part), dtype=bool)]
    first = Folded(part, plain, 0.0, search_nodes(data), everything, harmonic=False).solve(Settings(stretch=0.0))
    positions = first.positions(part.points)
    slopes = np.stack([first.lattice.slope_design(positions, k) @ first.weights for k in range(d)], axis=-1)
    slopes = slopes / np.maximum(part.values.std(axis=0), np.finfo(np.float64).tiny)[:, None]
    power, directions = np.linalg.eigh(np.einsum("nci,ncj->ij", slopes, slopes) / len(slopes))
    power = np.maximum(power, 1e-4 * power.max() + np.finfo(np.float64).tiny)
    return replace(plain, directions=directions.T, slopes=power)


class Folded:
    """Samples on the lattice of one stretch, as normal equations of every fold: a fit without one adds the others.

    Args:
        data: the samples.
        frame: their unit and directions.
        stretch: of the `Settings`.
        nodes: about how many lattice points.
        folds: which samples are held out.
        harmonic: as in `fit_scattered`.
    """

    def __init__(
        self, data: Measurements, frame: Frame, stretch: float, nodes: int, folds: list[np.ndarray], *, harmonic: bool
    ) -> None:
        matrix = frame.matrix(stretch)
        reach = frame.reach * np.linalg.norm(matrix, axis=1)
        self.lattice, self.shift = _lattice(data.points @ matrix.T, reach, nodes)
        self.matrix, self.harmonic = matrix / self.lattice.spacing, harmonic
        self.data, self.folds = data, folds
        self.offset = np.median(data.values, axis=0)
        self._nugget = np.nan
        self._equations: list[tuple[list[int], list[NormalEquations]]] = []
        self._designs: dict[int, sp.csr_matrix] = {}

    def held_out_values(self, solved: Solved, fold: int) -> np.ndarray:
        """The field's values (m, c) at the held-out samples of a fold, whose splines are computed once."""
        return self.held_out_design(fold) @ solved.weights + solved.offset

    def held_out_design(self, fold: int) -> sp.csr_matrix:
        if fold not in self._designs:
            points = self.data.points[self.folds[fold]]
            self._designs[fold] = self.lattice.design(points @ self.matrix.T + self.shift)
        return self._designs[fold]

    def solve(self, settings: Settings, *, held: int | None = None, draws_seed: int | None = None) -> Solved:
        """The posterior mean from the samples of all folds but one; with a seed the ingredients of the uncertainty too.

        Raises:
            numpy.linalg.LinAlgError: if the settings make a matrix that double precision cannot factorise.
        """
        prior = SplinePrior(
            weight=settings.weight,
            tension=settings.tension,
            decay=settings.decay,
            harmonic=_HARMONIC_WEIGHT * settings.weight if self.harmonic else 0.0,
        )
        size, c = self.lattice.size, len(self.offset)
        weights, deviation = np.empty((size, c)), np.empty((size, c))
        for columns, parts in self._by_fold(settings.nugget):
            kept = [part for k, part in enumerate(parts) if k != held]
            posterior = Posterior(functools.reduce(operator.add, kept), prior)
            weights[:, columns] = posterior.mean()
            if draws_seed is not None:
                draws = self.lattice.at_nodes(posterior.draws(_DRAWS, draws_seed))
                deviation[:, columns] = np.sqrt((draws**2).mean(axis=1))[:, None]
        solved = Solved(self.lattice, self.matrix, self.shift, self.offset, weights)
        if draws_seed is None:
            return solved
        floor = np.finfo(np.float64).tiny
        return replace(solved, log_deviation=np.log(deviation + floor), log_slope=_log_slope(self.lattice, weights))

    def _by_fold(self, nugget: float) -> list[tuple[list[int], list[NormalEquations]]]:
        """For columns that share one factorisation the equations of every fold; those of the last nugget are kept."""
        if nugget != self._nugget:
            found = []
            for columns, relative in _columns_of_equal_weights(self.data, nugget):
                values = (self.data.values - self.offset)[:, columns]
                parts = []
                for held in self.folds:
                    positions = self.data.points[held] @ self.matrix.T + self.shift
                    parts.append(normal_equations(self.lattice, positions, relative[held], values[held]))
                found.append((columns, parts))
            self._nugget, self._equations = nugget, found
        return self._equations


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


def _columns_of_equal_weights(data: Measurements, nugget: float) -> Iterator[tuple[list[int], np.ndarray]]:
    """Columns that share one factorisation, and their relative weights (n,)."""
    weights = (1 + nugget) / (data.variance + nugget)
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


def as_field(
    solved: Solved,
    data: Measurements,
    reach: float,
    domain: Box,
    out_names: tuple[str, ...],
    intervals: Intervals | None,
) -> SplineField:
    """The field in the user's units; without `intervals` it has none."""
    calibrated: dict[str, Any] = {}
    if intervals is not None:
        calibrated = {
            "levels": LEVELS, "multipliers": tuple(intervals.multipliers), "deviations": tuple(intervals.deviations)
        }  # fmt: skip
    field = SplineField(
        domain,
        out_names=out_names,
        shape=solved.lattice.shape,
        matrix=tuple(tuple(float(m) for m in row * data.scale) for row in solved.matrix),
        shift=tuple(float(s) for s in solved.shift),
        **calibrated,
    ).double()
    log_scale = np.zeros_like(solved.weights)
    if intervals is not None:
        assert solved.log_deviation is not None
        assert solved.log_slope is not None
        a, b = np.array(intervals.exponents).T
        log_scale = a * solved.log_deviation + b * solved.log_slope
    state = {
        "weights": torch.from_numpy(solved.weights + solved.offset),  # the splines sum to 1
        "log_scale": torch.from_numpy(log_scale),
        "near": torch.from_numpy(_near(solved, data.points, reach).astype(np.uint8)),
    }
    field.load_state_dict(state)
    return field


def _near(solved: Solved, points: np.ndarray, reach: float) -> np.ndarray:
    """Which lattice points lie within `reach` of a sample, (size,)."""
    nodes = np.stack(np.meshgrid(*map(np.arange, solved.lattice.shape), indexing="ij"), axis=-1)
    at = np.linalg.solve(solved.matrix, (nodes.reshape(-1, len(solved.shift)) - solved.shift).T).T
    half_cell = 0.5 * float(np.linalg.norm(np.linalg.inv(solved.matrix), axis=0).sum())
    return cKDTree(points).query(at, distance_upper_bound=reach + half_cell)[0] <= reach + half_cell
