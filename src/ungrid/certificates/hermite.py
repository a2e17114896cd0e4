"""Piecewise quintic functions with two continuous derivatives on a grid of space and time, and exact integrals over its cells.

Convention: a grid is the product of sorted nodes, one array for each axis, taken as exact; time is the last axis. A function
of Hermite's space has at every node the numbers ``∂^a v``, a in {0, 1, 2}^d: data (3, ..., 3, N_1, ..., N_d). In a cell it is
a polynomial of degree 5 along every axis. Values in cells have the shape (cells_1, ..., cells_d, n_1, ..., n_d) at the product
of the lattices of the axes (`lattices`, dimension 1).

Source: Bogner, Fox and Schmit 1965 (products of Hermite's polynomials, with the mixed derivatives at the nodes).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from ungrid._base.errors import InputError
from ungrid.certificates import lattices
from ungrid.certificates.enclosures import OUTWARD, Enclosed, contract, rational
from ungrid.certificates.lagrange import FieldLike
from ungrid.certificates.polynomials import Polynomial

LETTERS, POINTS = "abcd", "wxyz"  # of cells and of lattice points, in contractions
DEGREE, KINDS = 5, (0, 1, 2)  # of the polynomials; of the derivatives at a node
SHAPE_SUMS = {
    0: (1.0, 0.4, 0.04),
    1: (3.8, 2.0, 0.3),
}  # largest sums of |shapes| of a kind on the unit interval, by order
QUINTICS = (  # value, slope and bend at 0, and at 1: the coefficients of 1, s, ..., s^5, the last of them twice as large
    (1, 0, 0, -10, 15, -6), (0, 1, 0, -6, 8, -3), (0, 0, 1, -3, 3, -1),
    (0, 0, 0, 10, -15, 6), (0, 0, 0, -4, 7, -3), (0, 0, 0, 1, -2, 1),
)  # fmt: skip
HALVED = (1, 1, 2, 1, 1, 2)
OUT = 1 + 1e-14


@lru_cache
def shapes(order: int, degree: int) -> Enclosed:
    """Derivatives of the six quintics on the unit interval: (lattice points, 6)."""
    found = []
    for row, below in zip(QUINTICS, HALVED, strict=True):
        one = Polynomial({(k,): Fraction(c, below) for k, c in enumerate(row)}, 1)
        for _ in range(order):
            one = one.derivative(0)
        found.append(one)
    return lattices.exact_values(found, lattices.points(1, degree))


@dataclass(frozen=True, eq=False)
class Grid:
    """The product of intervals in pieces.

    Attributes:
        nodes: one sorted array for every axis.
    """

    nodes: tuple[np.ndarray, ...]

    @property
    def dim(self) -> int:
        """The number of axes."""
        return len(self.nodes)

    @property
    def cells(self) -> tuple[int, ...]:
        """How many there are along every axis."""
        return tuple(len(x) - 1 for x in self.nodes)

    @cached_property
    def lengths(self) -> tuple[Enclosed, ...]:
        """Of the pieces, for every axis (cells,)."""
        return tuple(Enclosed(x[1:]) - x[:-1] for x in self.nodes)

    def along(self, axis: int, numbers: Enclosed, ahead: int = 0) -> Enclosed:
        """Numbers of the cells along an axis, shaped to multiply values in cells with `ahead` leading axes."""
        shape = [1] * (ahead + 2 * self.dim)
        shape[ahead + axis] = len(numbers.mid)
        return Enclosed(numbers.mid.reshape(shape), numbers.rad.reshape(shape))

    def places(self, axis: int, degree: int) -> Enclosed:
        """The lattice points of an axis, shaped as values in cells."""
        parts = rational([s for (s,) in lattices.points(1, degree)])
        x = Enclosed(self.nodes[axis][:-1, None]) + contract("c,n->cn", self.lengths[axis], parts)
        shape = [1] * (2 * self.dim)
        shape[axis], shape[self.dim + axis] = x.shape
        return Enclosed(x.mid.reshape(shape), x.rad.reshape(shape))

    def points(self, degrees: Sequence[int]) -> Enclosed:
        """All lattice points: (dim, cells..., n...)."""
        parts = [self.places(axis, degree) for axis, degree in enumerate(degrees)]
        mids = np.broadcast_arrays(*(one.mid for one in parts))
        rads = np.broadcast_arrays(*(one.rad for one in parts))
        return Enclosed(np.stack(mids), np.stack(rads))

    def corners(self) -> np.ndarray:
        """All nodes: (N_1 ... N_d, d), the last axis the fastest."""
        return np.stack(np.meshgrid(*self.nodes, indexing="ij"), axis=-1).reshape(-1, self.dim)

    def turned(self, values: Enclosed, matrices: Sequence[Enclosed]) -> Enclosed:
        """A matrix (m, n) applied to the lattice points along every axis."""
        d = self.dim
        for axis, matrix in enumerate(matrices):
            own = LETTERS[:d] + POINTS[:d]
            values = contract(f"{own},n{POINTS[axis]}->{own.replace(POINTS[axis], 'n')}", values, matrix)
        return values

    def squares(self, values: Enclosed, degrees: Sequence[int]) -> Enclosed:
        """The integral of the square over every cell: (cells...)."""
        folded = self.turned(values, [lattices.products(1, p, p) for p in degrees])
        every = LETTERS[: self.dim] + POINTS[: self.dim]
        found = contract(f"{every},{every}->{LETTERS[: self.dim]}", folded, values)
        return found * self.volumes

    def integrals(self, values: Enclosed, degrees: Sequence[int]) -> Enclosed:
        """The integral over every cell: (cells...)."""
        every = LETTERS[: self.dim] + POINTS[: self.dim]
        for axis, p in enumerate(degrees):
            point = POINTS[axis]
            values = contract(f"{every},{point}->{every.replace(point, '')}", values, lattices.means(1, p))
            every = every.replace(point, "")
        return values * self.volumes

    @cached_property
    def volumes(self) -> Enclosed:
        """Of the cells: (cells...)."""
        found = Enclosed(np.ones((1,) * self.dim))
        for axis, h in enumerate(self.lengths):
            shape = [1] * self.dim
            shape[axis] = len(h.mid)
            found = found * Enclosed(h.mid.reshape(shape), h.rad.reshape(shape))
        return found

    def slopes(self, values: Enclosed, axis: int, degrees: Sequence[int]) -> Enclosed:
        """The derivative along an axis of polynomials by their values at lattices, at the same lattices."""
        p = degrees[axis]
        matrices = [rational(np.eye(q + 1, dtype=int).tolist()) for q in degrees]
        matrices[axis] = lattices.gradients(1, p, lattices.points(1, p))[0]
        return self.turned(values, matrices) / self.along(axis, self.lengths[axis])

    def start(self) -> "Grid":
        """That of space."""
        return Grid(self.nodes[:-1])

    def halved(self, shares: np.ndarray, part: float) -> "Grid":
        """A finer grid: along every axis, the intervals whose contributions make up a part of the whole are halved.

        Args:
            shares: not negative (cells...).
            part: of the whole, for each axis.
        """
        nodes = []
        for axis, x in enumerate(self.nodes):
            own = shares.sum(axis=tuple(k for k in range(self.dim) if k != axis))
            order = np.argsort(-own)
            count = int(np.searchsorted(np.cumsum(own[order]), part * own.sum())) + 1
            chosen = np.sort(order[:count])
            nodes.append(np.sort(np.concatenate([x, (x[chosen] + x[chosen + 1]) / 2])))
        return Grid(tuple(nodes))


def even_grid(low: np.ndarray, high: np.ndarray, cells: int) -> Grid:
    """A grid of a box with equal pieces."""
    return Grid(tuple(np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)))


@dataclass(frozen=True, eq=False)
class Hermite:
    """A function of Hermite's space: what is certified.

    Attributes:
        grid: whose nodes it has.
        data: (3, ..., 3, N_1, ..., N_d), the values and the mixed derivatives at the nodes.
    """

    grid: Grid
    data: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values (n, 1) at points (n, d) of the box."""
        return self.derivative(points, (0,) * self.grid.dim)[:, None]

    def derivative(self, points: np.ndarray, orders: Sequence[int]) -> np.ndarray:
        """A derivative (n,) at points (n, d)."""
        d, at, weights = self.grid.dim, [], []
        for axis, x in enumerate(self.grid.nodes):
            cell = np.clip(np.searchsorted(x, points[:, axis], side="right") - 1, 0, len(x) - 2)
            h = x[cell + 1] - x[cell]
            at.append(cell)
            weights.append(_rounded_shapes((points[:, axis] - x[cell]) / h, orders[axis], h))
        total = np.zeros(len(points))
        for kind, side in itertools.product(itertools.product(KINDS, repeat=d), itertools.product((0, 1), repeat=d)):
            factor = np.prod([w[3 * s + k] for w, s, k in zip(weights, side, kind, strict=True)], axis=0)
            total += factor * self.data[kind][tuple(cell + s for cell, s in zip(at, side, strict=True))]
        return total


def _rounded_shapes(s: np.ndarray, order: int, h: np.ndarray) -> np.ndarray:
    """The six quintics (6, n) at places of the unit interval, for derivatives along an interval of length h."""
    rows = []
    for number, (row, below) in enumerate(zip(QUINTICS, HALVED, strict=True)):
        one = np.polynomial.Polynomial(np.array(row) / below)
        rows.append((one.deriv(order) if order else one)(s) * h ** float(number % 3 - order))
    return np.stack(rows)


def interpolant(field: FieldLike, grid: Grid, periodic: tuple[int, ...] = ()) -> Hermite:
    """The function of Hermite's space with the field's values at the nodes, and the slopes of the quintic spline through them.

    Args:
        field: values (n, 1) at points (n, d).
        grid: the nodes.
        periodic: axes whose ends agree.

    Raises:
        InputError: if the field's values are not finite numbers (n, 1).
    """
    points = grid.corners()
    found = np.asarray(field(points), dtype=np.float64)
    if found.shape != (len(points), 1):
        raise InputError(f"a field with values of shape {found.shape} at {len(points)} points", f"({len(points)}, 1)")
    if not np.isfinite(found).all():
        bad = points[np.flatnonzero(~np.isfinite(found[:, 0]))[0]]
        raise InputError(f"a field that is not finite at {', '.join(f'{x:.4g}' for x in bad)}", "finite values")
    d = grid.dim
    data = np.zeros((len(KINDS),) * d + tuple(len(x) for x in grid.nodes))
    data[(0,) * d] = found.reshape(data.shape[d:])
    for axis in periodic:
        data[(0,) * d] = _closed(data[(0,) * d], axis)
    for axis, x in enumerate(grid.nodes):
        ends = "periodic" if axis in periodic else None
        for kind in itertools.product(*[KINDS] * axis, *[(0,)] * (d - axis)):
            spline = make_interp_spline(x, data[kind], k=min(DEGREE, len(x) - 1), axis=axis, bc_type=ends)
            for order in KINDS[1:]:
                data[(*kind[:axis], order, *kind[axis + 1 :])] = spline.derivative(order)(x)
    for axis in periodic:
        data = _closed(data, d + axis)
    return Hermite(grid, data)


def _closed(values: np.ndarray, axis: int) -> np.ndarray:
    """The same with those at the end of an axis equal to those at its start."""
    changed = np.moveaxis(values.copy(), axis, 0)
    changed[-1] = changed[0]
    return np.moveaxis(changed, 0, axis)


def in_cells(data: Enclosed, grid: Grid, orders: Sequence[int], degrees: Sequence[int]) -> Enclosed:
    """A derivative of a function of Hermite's space at lattices of its cells: (cells..., n...).

    Args:
        data: as of `Hermite`.
        grid: its grid.
        orders: of the derivative, along every axis.
        degrees: of the lattices.
    """
    d = grid.dim
    mid, rad = np.zeros((2, *grid.cells, *(2 * len(KINDS),) * d))
    for kind in itertools.product(KINDS, repeat=d):
        part = _scaled(data[kind], grid, kind)
        for side in itertools.product((0, 1), repeat=d):
            place = (..., *(3 * s + k for s, k in zip(side, kind, strict=True)))
            at = tuple(2 * np.arange(n) + s for s, n in zip(side, grid.cells, strict=True))
            mid[place], rad[place] = part.mid[np.ix_(*at)], part.rad[np.ix_(*at)]
    found = grid.turned(
        Enclosed(mid, rad), [shapes(order, degree) for order, degree in zip(orders, degrees, strict=True)]
    )
    for axis, order in enumerate(orders):
        for _ in range(order):
            found = found / grid.along(axis, grid.lengths[axis])
    return found


def _scaled(part: Enclosed, grid: Grid, kind: tuple[int, ...]) -> Enclosed:
    """One kind of data at both ends of every cell, (2 cells_1, ..., 2 cells_d), times the lengths of the cells."""
    for axis, order in enumerate(kind):
        twice = np.arange(2 * grid.cells[axis])
        part = part[(*[slice(None)] * axis, (twice + 1) // 2)]
        shape = [1] * grid.dim
        shape[axis] = -1
        h = grid.lengths[axis][twice // 2]
        for _ in range(order):
            part = part * Enclosed(h.mid.reshape(shape), h.rad.reshape(shape))
    return part


def largest(rad: np.ndarray, grid: Grid, orders: Sequence[int]) -> float:
    """An upper bound of the absolute value of a derivative, of order 0 or 1 along every axis, whose data are at most these."""
    d, total = grid.dim, 0.0
    for kind in itertools.product(KINDS, repeat=d):
        factor = 1.0
        for axis, (k, order) in enumerate(zip(kind, orders, strict=True)):
            h = grid.lengths[axis].mid
            factor *= SHAPE_SUMS[order][k] * float(np.max(h)) ** k / float(np.min(h)) ** order
        total += factor * float(np.abs(rad[kind]).max())
    return total * OUTWARD


def degrees_of(polynomial: Polynomial) -> tuple[int, ...]:
    """The degree along every axis."""
    return tuple(max((a[k] for a in polynomial.terms), default=0) for k in range(polynomial.dim))


def at_place(polynomial: Polynomial, axis: int, place: float) -> Polynomial:
    """The polynomial with one coordinate fixed, as one that no longer depends on it."""
    terms: dict[tuple[int, ...], Fraction] = {}
    for a, c in polynomial.terms.items():
        rest = tuple(0 if k == axis else e for k, e in enumerate(a))
        terms[rest] = terms.get(rest, Fraction(0)) + c * Fraction(place) ** a[axis]
    return Polynomial(terms, polynomial.dim)
