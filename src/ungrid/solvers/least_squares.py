"""A field that is linear in its weights, solved directly, with the posterior of its weights.

The basis: cubic B-splines on a regular lattice in d dimensions. The prior: a Gaussian Markov field on the lattice, the
finite-difference form of the stochastic equation whose solution is a Matérn field (Lindgren, Rue and Lindström 2011,
section 2), extended by a tension:

    precision = weight h^d (K K + tension K),    K = decay^2 - Laplacian,

so that the field is as smooth as a thin plate below the length ``tension^-1/2`` and only as a membrane above it. With
observations ``y = B w + e``, e of variance sigma^2 / weights, the weights of the field are Gaussian with the precision
``A / sigma^2``, ``A = precision + B^T diag(weights) B``, and the mean ``A^-1 B^T diag(weights) y``. The measurements enter
only by their normal equations, which add up: so a fit without some of them costs no second pass over the others.

Convention: positions are lattice coordinates (n, d): spline j of an axis has its centre at j, and positions lie in
``[1, size - 2]`` of each axis. Lengths of the prior are in the caller's unit, of which a cell has `spacing`.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.sparse as sp

from ungrid._base.errors import InputError
from ungrid.kernels.lattice import add_products
from ungrid.solvers.dissection import REACH, Cholesky, band_offsets

_ROWS_AT_ONCE = 1 << 17
_VALUE = (1 / 6, 4 / 6, 1 / 6)  # of the cubic B-spline at the three lattice points in its support
_SLOPE = (-0.5, 0.0, 0.5)
_CURVATURE = (1.0, -2.0, 1.0)


@dataclass(frozen=True)
class Lattice:
    """A regular lattice of cubic B-splines: how many along each axis, and the side of a cell."""

    shape: tuple[int, ...]
    spacing: float

    def __post_init__(self) -> None:
        if min(self.shape) < 4 or not self.spacing > 0:
            raise InputError(f"a lattice of shape {self.shape} and spacing {self.spacing}", "4 or more, above 0")

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def design(self, positions: np.ndarray) -> sp.csr_matrix:
        """The values of the splines at positions (n, d), as a sparse matrix (n, size)."""
        return self._design(positions)

    def slope_design(self, positions: np.ndarray, axis: int) -> sp.csr_matrix:
        """The derivatives of the splines along `axis`, per unit of length."""
        return self._design(positions, axis) / self.spacing

    def _design(self, positions: np.ndarray, axis: int | None = None) -> sp.csr_matrix:
        n, d = positions.shape
        cell = self.cells(positions)
        weights, index = np.ones((n, 1)), np.zeros((n, 1), dtype=np.int64)
        for k in range(d):
            t = positions[:, k] - cell[:, k]
            here = _spline_slopes(t) if k == axis else _splines(t)
            weights = (weights[:, :, None] * here[:, None, :]).reshape(n, -1)
            index = (index[:, :, None] * self.shape[k] + (cell[:, k, None] + np.arange(-1, 3))[:, None, :]).reshape(
                n, -1
            )
        rows = np.arange(0, index.size + 1, index.shape[1])
        return sp.csr_matrix((weights.ravel(), index.astype(np.int32).ravel(), rows), shape=(n, self.size))

    def cells(self, positions: np.ndarray) -> np.ndarray:
        """The cells (n, d) of positions: the second of the four splines along each axis."""
        return np.clip(np.floor(positions).astype(np.int64), 1, np.array(self.shape) - 3)

    def at_nodes(self, coefficients: np.ndarray, slope: int | None = None) -> np.ndarray:
        """Values, or slopes along an axis per unit of length, at the lattice points: (size, ...) to (size, ...)."""
        values = coefficients.reshape(*self.shape, -1)
        for axis in range(len(self.shape)):
            stencil = _SLOPE if axis == slope else _VALUE
            values = scipy.ndimage.correlate1d(values, stencil, axis=axis, mode="nearest")
        scale = 1.0 if slope is None else 1 / self.spacing
        return scale * values.reshape(coefficients.shape)


@dataclass(frozen=True, kw_only=True)
class SplinePrior:
    """The prior precision of the weights, relative to the inverse variance of one measurement.

    Attributes:
        weight: of the whole; larger is smoother.
        tension: per unit of length squared.
        decay: per unit of length; the field returns to its mean over 1 / decay.
        harmonic: weight of the squared Laplacian of the field itself at the lattice points; above all others it makes
            the field a solution of Laplace's equation.
    """

    weight: float
    tension: float
    decay: float
    harmonic: float = 0.0

    def root(self, lattice: Lattice) -> sp.csr_matrix:
        """A matrix R (rows, size) with ``R^T R`` the precision."""
        d, h = len(lattice.shape), lattice.spacing
        steps = [_along(lattice.shape, k, _difference(n)) / h for k, n in enumerate(lattice.shape)]
        identity = sp.identity(lattice.size, format="csr")
        curvature = sum((step.T @ step for step in steps), start=self.decay**2 * identity)
        blocks = [curvature, np.sqrt(self.tension) * self.decay * identity]
        blocks += [np.sqrt(self.tension) * step for step in steps]
        root = np.sqrt(self.weight * h**d) * sp.vstack(blocks)
        if self.harmonic:
            root = sp.vstack([root, np.sqrt(self.harmonic * h**d) * _spline_laplacian(lattice)])
        return root.tocsr()

    def bands(self, lattice: Lattice) -> np.ndarray:
        """The precision itself in bands (`ungrid.solvers.dissection`), from stencils that a search makes only once."""
        once, twice, harmonic = _stencils(lattice, self.harmonic > 0)
        decay = self.decay**2
        found = twice + (2 * decay + self.tension) * once
        found[0] += decay * (decay + self.tension)
        return lattice.spacing ** len(lattice.shape) * (self.weight * found + self.harmonic * harmonic)


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """What measurements say about the weights of a lattice; the equations of two sets of measurements add up.

    Attributes:
        lattice: the basis.
        bands: ``B^T diag(weights) B``, (offsets, size) as in `ungrid.solvers.dissection`.
        right: ``B^T diag(weights) y``, (size, c).
    """

    lattice: Lattice
    bands: np.ndarray
    right: np.ndarray

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(self.lattice, self.bands + other.bands, self.right + other.right)


def normal_equations(
    lattice: Lattice, positions: np.ndarray, weights: np.ndarray, values: np.ndarray
) -> NormalEquations:
    """The equations of measured values (n, c) at positions (n, d) with relative inverse variances (n,).

    The samples are taken in parts, so that their splines are never all in memory.
    """
    d, corners = len(lattice.shape), np.array(list(itertools.product(range(4), repeat=len(lattice.shape))))
    flat = np.ravel_multi_index(tuple(corners.T), lattice.shape)
    band = np.stack([_band_of(corners - corner) for corner in corners])
    bands = np.zeros((len(band_offsets(d)), lattice.size))
    right = np.zeros((lattice.size, values.shape[1]))
    for start in range(0, len(positions), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        cell = lattice.cells(positions[part])
        base = np.ravel_multi_index(tuple((cell - 1).T), lattice.shape)
        order = np.argsort(base, kind="stable")
        taps = np.stack([_splines((positions[part, k] - cell[:, k])[order]) for k in range(d)])
        add_products(bands, right, base[order], taps, weights[part][order], values[part][order], flat, band)
    return NormalEquations(lattice, bands, right)


class Posterior:
    """The Gaussian posterior of the weights.

    Args:
        equations: of the measurements.
        prior: of the field's weights.
    """

    def __init__(self, equations: NormalEquations, prior: SplinePrior) -> None:
        self.lattice, self.right = equations.lattice, equations.right
        self.precision = equations.bands + prior.bands(self.lattice)

    @functools.cached_property
    def _factors(self) -> Cholesky:
        """The factorisation; a matrix that rounding made indefinite gets the smallest ridge that helps."""
        ridge = 0.0
        while True:
            try:
                return Cholesky(self.lattice.shape, self.precision)
            except np.linalg.LinAlgError:
                ridge = 100 * ridge or 1e-14
                if ridge > 1e-6:
                    raise
                self.precision[0] += ridge * self.precision[0].max()

    def mean(self) -> np.ndarray:
        """The weights of the field, (size, c)."""
        return self._factors.solve(self.right)

    def draws(self, count: int, seed: int) -> np.ndarray:
        """Draws (size, count) of the weights about their mean, for measurements of variance 1 / weights."""
        return self._factors.colour(np.random.default_rng(seed).standard_normal((self.lattice.size, count)))

    def variance(self, positions: np.ndarray) -> np.ndarray:
        """The exact variance (m,) of the field at a few positions, for measurements of variance 1 / weights."""
        design = self.lattice.design(positions).toarray().T
        return np.einsum("ij,ij->j", design, self._factors.solve(design))


def _band_of(offsets: np.ndarray) -> np.ndarray:
    """The rows of the bands that hold offsets (m, d) of the later half."""
    d = offsets.shape[1]
    digits = (2 * REACH + 1) ** np.arange(d)[::-1]
    return (offsets + REACH) @ digits - ((2 * REACH + 1) ** d - 1) // 2


def _in_bands(matrix: sp.spmatrix, lattice: Lattice) -> np.ndarray:
    """A symmetric sparse matrix over the lattice in bands."""
    entries = matrix.tocoo()
    row, column = (np.stack(np.unravel_index(part, lattice.shape), axis=1) for part in (entries.row, entries.col))
    band = _band_of(row - column)
    bands = np.zeros((len(band_offsets(len(lattice.shape))), lattice.size))
    bands[band[band >= 0], entries.col[band >= 0]] = entries.data[band >= 0]
    return bands


@functools.lru_cache(maxsize=4)  # pure, and asked for by every trial of a search on the same few lattices
def _stencils(lattice: Lattice, harmonic: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In bands: the negative Laplacian of the lattice, its square, and that of the spline field squared or zero."""
    steps = [_along(lattice.shape, k, _difference(n)) / lattice.spacing for k, n in enumerate(lattice.shape)]
    laplacian = sum((step.T @ step for step in steps), start=sp.csr_matrix((lattice.size, lattice.size)))
    once, twice = _in_bands(laplacian, lattice), _in_bands(laplacian @ laplacian, lattice)
    if not harmonic:
        return once, twice, np.zeros(1)
    field = _spline_laplacian(lattice)
    return once, twice, _in_bands(field.T @ field, lattice)


def _splines(t: np.ndarray) -> np.ndarray:
    """The four cubic B-splines at t in [0, 1] of a cell, (n, 4)."""
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6


def _spline_slopes(t: np.ndarray) -> np.ndarray:
    return np.stack([-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2], axis=1) / 2


def _difference(n: int) -> sp.csr_matrix:
    return sp.diags([-np.ones(n - 1), np.ones(n - 1)], [0, 1], shape=(n - 1, n), format="csr")


def _along(shape: tuple[int, ...], axis: int, matrix: sp.spmatrix) -> sp.csr_matrix:
    """`matrix` applied along one axis of a flattened lattice."""
    parts = [matrix if k == axis else sp.identity(n, format="csr") for k, n in enumerate(shape)]
    return functools.reduce(lambda a, b: sp.kron(a, b, format="csr"), parts)


def _spline_laplacian(lattice: Lattice) -> sp.csr_matrix:
    """The Laplacian of the spline field at the inner lattice points, from its weights."""
    total = sp.csr_matrix((int(np.prod([n - 2 for n in lattice.shape])), lattice.size))
    for curved in range(len(lattice.shape)):
        parts = [
            sp.diags(_CURVATURE if k == curved else _VALUE, [0, 1, 2], shape=(n - 2, n), format="csr")
            for k, n in enumerate(lattice.shape)
        ]
        total = total + functools.reduce(lambda a, b: sp.kron(a, b, format="csr"), parts)
    return total / lattice.spacing**2
