"""A field that is linear in its weights, solved directly, with the posterior of its weights.

The basis: cubic B-splines on a regular lattice in d dimensions. The prior: a Gaussian Markov field on the lattice, the
finite-difference form of the stochastic equation whose solution is a Matérn field (Lindgren, Rue and Lindström 2011,
section 2), extended by a tension:

    precision = weight h^d (K K + tension K),    K = decay^2 - Laplacian,

so that the field is as smooth as a thin plate below the length ``tension^-1/2`` and only as a membrane above it. With
observations ``y = B w + e``, e of variance sigma^2 / weights, the weights of the field are Gaussian with the precision
``A / sigma^2``, ``A = precision + B^T diag(weights) B``, and the mean ``A^-1 B^T diag(weights) y``.

Convention: positions are lattice coordinates (n, d): spline j of an axis has its centre at j, and positions lie in
``[1, size - 2]`` of each axis. Lengths of the prior are in the caller's unit, of which a cell has `spacing`.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.sparse as sp
import scipy.sparse.linalg

from ungrid._base.errors import InputError

_ROWS_AT_ONCE = 1 << 16
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
        cell = np.clip(np.floor(positions).astype(np.int64), 1, np.array(self.shape) - 3)
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


class Posterior:
    """The Gaussian posterior of the weights for one set of weights of the measurements.

    Args:
        lattice: the basis.
        positions: of the measurements, (n, d) lattice coordinates.
        weights: of the measurements, (n,): relative inverse variances.
        prior: of the field's weights.
    """

    def __init__(self, lattice: Lattice, positions: np.ndarray, weights: np.ndarray, prior: SplinePrior) -> None:
        self.lattice, self.positions, self.weights = lattice, positions, weights
        self.root = prior.root(lattice)
        self.precision = (self.root.T @ self.root).tocsc()
        for rows in self._parts():
            scaled = sp.diags(np.sqrt(weights[rows])) @ lattice.design(positions[rows])
            self.precision = self.precision + (scaled.T @ scaled).tocsc()

    @functools.cached_property
    def _solve(self) -> Any:
        """The factorisation. It is symmetric, so that no pivoting is needed and a minimum-degree order serves."""
        options = {"SymmetricMode": True}
        factors = scipy.sparse.linalg.splu(
            self.precision, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
        )
        return factors.solve

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The weights of the field (size, c) for measured values (n, c)."""
        right = np.zeros((self.lattice.size, values.shape[1]))
        for rows in self._parts():
            right += self.lattice.design(self.positions[rows]).T @ (self.weights[rows, None] * values[rows])
        return self._solve(right)

    def draws(self, count: int, seed: int) -> np.ndarray:
        """Draws (size, count) of the weights about their mean, for measurements of variance 1 / weights.

        Perturb and solve (Papandreou and Yuille 2010): if data and prior are perturbed by their own noise, the solution
        has exactly the covariance ``A^-1``.
        """
        rng = np.random.default_rng(seed)
        right = self.root.T @ rng.standard_normal((self.root.shape[0], count))
        for rows in self._parts():
            noise = np.sqrt(self.weights[rows, None]) * rng.standard_normal((len(self.weights[rows]), count))
            right += self.lattice.design(self.positions[rows]).T @ noise
        return self._solve(right)

    def variance(self, positions: np.ndarray) -> np.ndarray:
        """The exact variance (m,) of the field at a few positions, for measurements of variance 1 / weights."""
        design = self.lattice.design(positions).toarray().T
        return np.einsum("ij,ij->j", design, self._solve(design))

    def _parts(self) -> list[slice]:
        """The measurements in parts, so that the design matrix of a million points is never held."""
        return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(self.positions), _ROWS_AT_ONCE)]


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
