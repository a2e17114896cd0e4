"""Finite differences on grids in any number of dimensions; `marching` goes on in time.

Conventions. The equation is

    L u = f,    capacity u_t + L u = f    or    capacity u_tt + L u = f,    with  L u = -div(a grad u) + v . grad u + c u;

Helmholtz's equation is c = -k^2. A condition on a side of the box is u = g (Dirichlet), a du/dn = g (Neumann) or
a du/dn + r u = g (Robin), n pointing outwards, so that with a conductivity a these are heat flux and heat transfer. Where
a = 0, `Neumann(0.0)` asks for nothing and is the condition at an outlet. A node on two sides follows Dirichlet's
condition, that of the earlier axis first.

A grid is a tuple of axes (see `stencils`), which may be stretched; nodes include the ends, but a periodic axis does not
repeat its first node. Coefficients are numbers or functions of the coordinates, ``f(x, y, ...)``, on arrays (n,); sources
and the values of conditions are called with the time as a further argument, ``f(x, y, ..., t)``, where there is one. Units
are the caller's own.

The fluxes -a du/dx live at the half points between the nodes, and a node at an end has half a cell: what leaves one cell
enters the next, and without velocity the matrix times the cells' volumes is symmetric (LeVeque 2007, "Finite Difference
Methods for Ordinary and Partial Differential Equations", chapters 2, 3, 9 and 10). All is of second order, but upwind
advection of first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from ungrid._base.errors import InputError
from ungrid.reference.stencils import along, derivative_matrix, is_uniform

Coefficient = float | Callable[..., np.ndarray | float]


@dataclass(frozen=True)
class Dirichlet:
    """``u = value``."""

    value: Coefficient = 0.0


@dataclass(frozen=True)
class Neumann:
    """``a du/dn = flux``, inwards positive."""

    flux: Coefficient = 0.0


@dataclass(frozen=True)
class Robin:
    """``a du/dn + transfer u = value``; cooling by an ambience at T is ``Robin(h, h * T)``."""

    transfer: Coefficient
    value: Coefficient = 0.0


@dataclass(frozen=True)
class Periodic:
    """The axis goes round."""


Side = Dirichlet | Neumann | Robin
Sides = Periodic | Side | Sequence[Periodic | Side | tuple[Side, Side]]


@dataclass(frozen=True, kw_only=True)
class Operator:
    """``L u = -div(diffusion grad u) + velocity . grad u + reaction u``.

    Attributes:
        diffusion: a, not negative.
        velocity: v, one coefficient for each axis; empty for none.
        reaction: c.
        capacity: factor of the time derivative, positive.
        advection: "central" (second order) or "upwind" (first order, and no overshoots).
    """

    diffusion: Coefficient = 1.0
    velocity: tuple[Coefficient, ...] = ()
    reaction: Coefficient = 0.0
    capacity: Coefficient = 1.0
    advection: Literal["central", "upwind"] = "central"


@dataclass(frozen=True)
class Rates:
    """What limits explicit time steps, in 1 / time.

    Attributes:
        diffusive: largest row sum of the matrix without velocity: ``4 a / h^2`` summed over the axes.
        advective: largest ``|v| / h`` summed over the axes.
        quotient: largest ``v^2 / 2a`` summed over the axes, for central differences; 0 for upwind ones.
        upwind: whether advection is.
    """

    diffusive: float
    advective: float
    quotient: float
    upwind: bool


@dataclass(frozen=True, kw_only=True)
class System:
    """A discretised operator with its conditions: ``capacity u' + matrix u = load`` at the free nodes.

    Attributes:
        axes: of the grid.
        periodic: for each axis.
        matrix: (N, N) over all nodes, Neumann's and Robin's conditions inside.
        capacity: (N,).
        volumes: (N,) of the cells; they sum to that of the box.
        free: (N,), False where Dirichlet's condition holds.
        load: (N,) from the time (no argument if steady).
        fixed: (N,) likewise: Dirichlet's values, 0 at free nodes.
        rates: limits of time steps.
        constant: whether load and fixed values are plain numbers, so that they need not be evaluated at every time.
    """

    axes: tuple[np.ndarray, ...]
    periodic: tuple[bool, ...]
    matrix: sparse.csr_array
    capacity: np.ndarray
    volumes: np.ndarray
    free: np.ndarray
    load: Callable[..., np.ndarray]
    fixed: Callable[..., np.ndarray]
    rates: Rates
    constant: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of values on the grid."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def inner(self) -> sparse.csr_array:
        """The matrix of the free nodes."""
        return self.matrix[self.free][:, self.free]

    def forcing(self, *t: float) -> np.ndarray:
        """Load of the free nodes, with what the fixed ones contribute."""
        return (self.load(*t) - self.matrix @ self.fixed(*t))[self.free]

    def forcing_in_time(self) -> Callable[[float], np.ndarray]:
        """`forcing` as a function of time, evaluated once where nothing depends on it."""
        if not self.constant:
            return self.forcing
        once = self.forcing()
        return lambda t: once

    def filled(self, u: np.ndarray, *t: float) -> np.ndarray:
        """Values (N,) of all nodes from those of the free ones."""
        values = self.fixed(*t).astype(u.dtype)
        values[self.free] = u
        return values

    def sample(self, values: Coefficient | np.ndarray, name: str = "initial value") -> np.ndarray:
        """A function or an array of the grid's shape, at the free nodes."""
        if isinstance(values, np.ndarray):
            if values.shape != self.shape:
                raise InputError(f"{name} of shape {values.shape}", f"{self.shape}, the grid's")
            return values.ravel()[self.free].astype(np.float64)
        return _evaluate(values, _points(self.axes), name)[self.free]

    def norm(self, values: np.ndarray) -> float:
        """The L2 norm of values on the grid, by the trapezoidal rule (periodic axes: the rectangle rule)."""
        return float(np.sqrt(self.volumes @ np.abs(values.ravel()) ** 2))


def discretise(axes: Sequence[np.ndarray], operator: Operator, sides: Sides, source: Coefficient = 0.0) -> System:
    """The operator on a grid.

    Args:
        axes: nodes of each axis.
        operator: its coefficients.
        sides: for each axis the conditions at its low and high end, as a pair, or one for both, or `Periodic()`; one
            condition alone is meant for all sides.
        source: f.

    Raises:
        InputError: wrong axes, numbers of conditions or velocities, or coefficients that are not finite.
    """
    grid = tuple(np.asarray(axis, dtype=np.float64) for axis in axes)
    pairs = _pairs(sides, grid)
    periodic = tuple(isinstance(pair, Periodic) for pair in pairs)
    if len(operator.velocity) not in (0, len(grid)):
        raise InputError(f"{len(operator.velocity)} velocities", f"{len(grid)}, one for each axis, or none")
    points, shape = _points(grid), [len(axis) for axis in grid]
    faces = _faces(pairs, shape)
    cells = [_volumes(axis, wraps) for axis, wraps in zip(grid, periodic, strict=True)]
    capacity = _evaluate(operator.capacity, points, "capacity")
    still = _diffusion(grid, periodic, operator.diffusion, cells) + sparse.diags_array(
        _evaluate(operator.reaction, points, "reaction") + _transfer(faces, points, cells)
    )
    moving = _advection(grid, periodic, operator, points)
    free = np.ones(len(capacity), dtype=bool)
    for _, nodes, side in faces:
        if isinstance(side, Dirichlet):
            free[nodes] = False
    return System(
        axes=grid,
        periodic=periodic,
        matrix=sparse.csr_array(still + moving),
        capacity=capacity,
        volumes=_outer(cells),
        free=free,
        load=lambda *t: _evaluate(source, (*points, *t), "source") + _inflow(faces, points, cells, t),
        fixed=lambda *t: _prescribed(faces, points, t),
        rates=_rates(still, operator, grid, points, capacity, free),
        constant=not any(map(callable, [source, *(_value(side) for _, _, side in faces)])),
    )


def _pairs(sides: Sides, grid: tuple[np.ndarray, ...]) -> list[Periodic | tuple[Side, Side]]:
    entries = list(sides) if isinstance(sides, Sequence) else [sides] * len(grid)
    if len(entries) != len(grid):
        raise InputError(f"conditions for {len(entries)} axes", f"{len(grid)}, one entry for each axis")
    for k, (axis, entry) in enumerate(zip(grid, entries, strict=True)):
        if not is_uniform(axis) and isinstance(entry, Periodic):
            raise InputError(f"axis {k}, periodic with unequal steps", "equal steps")
        if len(axis) < 3:
            raise InputError(f"axis {k} with {len(axis)} nodes", "at least 3")
    return [entry if isinstance(entry, Periodic | tuple) else (entry, entry) for entry in entries]


Face = tuple[tuple[int, int], np.ndarray, Side]  # (axis, end), its nodes, its condition


def _faces(pairs: list[Periodic | tuple[Side, Side]], shape: list[int]) -> list[Face]:
    """All sides of the box, in the order of the axes."""
    index = np.arange(int(np.prod(shape))).reshape(shape)
    return [
        ((k, end), index.take(end, axis=k).ravel(), pair[end])
        for k, pair in enumerate(pairs)
        if not isinstance(pair, Periodic)
        for end in (0, -1)
    ]


def _value(side: Side) -> Coefficient:
    return side.flux if isinstance(side, Neumann) else side.value


def _points(axes: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Coordinates (N,) of all nodes, one array for each axis."""
    return tuple(x.ravel() for x in np.meshgrid(*axes, indexing="ij"))


def _evaluate(value: Coefficient, points: Sequence[np.ndarray | float], name: str) -> np.ndarray:
    """A coefficient at points, (n,)."""
    found = np.asarray(value(*points) if callable(value) else value)
    try:
        found = np.broadcast_to(found, np.shape(points[0])).astype(np.result_type(found, np.float64))
    except ValueError:
        raise InputError(f"{name} of shape {found.shape}", f"{np.shape(points[0])}, as its points") from None
    if not np.isfinite(found).all():
        where = [float(np.broadcast_to(x, found.shape)[np.flatnonzero(~np.isfinite(found))[0]]) for x in points]
        raise InputError(f"{name} is not finite at {tuple(where)}", "finite numbers everywhere on the grid")
    return found


def _volumes(axis: np.ndarray, periodic: bool) -> np.ndarray:
    """Length of the cell of each node, (n,): half a step to either side."""
    steps = np.diff(axis)
    if periodic:
        return np.full(len(axis), steps[0])
    return np.r_[steps[0], steps[:-1] + steps[1:], steps[-1]] / 2


def _outer(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Products over the axes, flattened."""
    product = np.ones(1)
    for lengths in cells:
        product = np.outer(product, lengths).ravel()
    return product


def _jumps(n: int, periodic: bool) -> sparse.csr_array:
    """From nodes to the half points after them: ``u_(i+1) - u_i``, (n - 1, n), or (n, n) if periodic."""
    rows = np.arange(n if periodic else n - 1)
    ones = np.ones(len(rows))
    columns = np.r_[rows, (rows + 1) % n]
    return sparse.csr_array((np.r_[-ones, ones], (np.r_[rows, rows], columns)), shape=(len(rows), n))


def _half_steps(axis: np.ndarray, periodic: bool) -> np.ndarray:
    steps = np.diff(axis)
    return np.r_[steps, steps[:1]] if periodic else steps


def _diffusion(
    axes: tuple[np.ndarray, ...], periodic: tuple[bool, ...], a: Coefficient, cells: list[np.ndarray]
) -> sparse.csr_array:
    """``-div(a grad u)`` with fluxes at the half points, and none through the ends."""
    shape = [len(axis) for axis in axes]
    total = sparse.csr_array((int(np.prod(shape)),) * 2)
    for k, axis in enumerate(axes):
        steps, jumps = _half_steps(axis, periodic[k]), _jumps(len(axis), periodic[k])
        halves = axis[: len(steps)] + steps / 2
        at = _points([*axes[:k], halves, *axes[k + 1 :]])
        weight = _evaluate(a, at, "diffusion")
        if (weight < 0).any():
            raise InputError(f"diffusion {weight.min():.3g}", "no negative values")
        slopes = along(sparse.csr_array(sparse.diags_array(1 / steps) @ jumps), k, shape)
        back = sparse.csr_array(sparse.diags_array(1 / cells[k]) @ jumps.T)
        collect = along(back, k, [*shape[:k], len(steps), *shape[k + 1 :]])
        total = total + collect @ sparse.diags_array(weight) @ slopes
    return sparse.csr_array(total)


def _advection(
    axes: tuple[np.ndarray, ...], periodic: tuple[bool, ...], operator: Operator, points: tuple[np.ndarray, ...]
) -> sparse.csr_array:
    """``v . grad u``; at the ends one-sided."""
    shape = [len(axis) for axis in axes]
    total = sparse.csr_array((len(points[0]),) * 2)
    for k, coefficient in enumerate(operator.velocity):
        v = _evaluate(coefficient, points, f"velocity {k}")
        if operator.advection == "central":
            parts = [(v, derivative_matrix(axes[k], 1, 2, periodic=periodic[k]))]
        else:
            backward, forward = _one_sided(axes[k], periodic[k])
            parts = [(np.maximum(v, 0), backward), (np.minimum(v, 0), forward)]
        for speed, matrix in parts:
            total = total + sparse.diags_array(speed) @ along(matrix, k, shape)
    return sparse.csr_array(total)


def _one_sided(axis: np.ndarray, periodic: bool) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Backward and forward difference; each borrows the other's row at the end where it has no neighbour."""
    slopes = sparse.csr_array(sparse.diags_array(1 / _half_steps(axis, periodic)) @ _jumps(len(axis), periodic))
    last, rows = slopes.shape[0] - 1, np.arange(len(axis))
    before = (rows - 1) % len(axis) if periodic else np.maximum(rows - 1, 0)
    return slopes[before], slopes[np.minimum(rows, last)]


def _at(points: tuple[np.ndarray, ...], nodes: np.ndarray, t: tuple[float, ...] = ()) -> list[np.ndarray | float]:
    """The arguments of a function on a side: coordinates of its nodes, then the time if there is one."""
    return [*(x[nodes] for x in points), *t]


def _transfer(faces: list[Face], points: tuple[np.ndarray, ...], cells: list[np.ndarray]) -> np.ndarray:
    """Robin's share of the diagonal, (N,)."""
    diagonal = np.zeros(len(points[0]))
    for (k, end), nodes, side in faces:
        if isinstance(side, Robin):
            diagonal[nodes] += _evaluate(side.transfer, _at(points, nodes), "Robin's transfer") / cells[k][end]
    return diagonal


def _inflow(
    faces: list[Face], points: tuple[np.ndarray, ...], cells: list[np.ndarray], t: tuple[float, ...]
) -> np.ndarray:
    """Neumann's and Robin's share of the load, (N,)."""
    load = np.zeros(len(points[0]))
    for (k, end), nodes, side in faces:
        if isinstance(side, Neumann | Robin):
            at = _at(points, nodes, t)
            load[nodes] += _evaluate(_value(side), at, f"value of {type(side).__name__}'s condition") / cells[k][end]
    return load


def _prescribed(faces: list[Face], points: tuple[np.ndarray, ...], t: tuple[float, ...]) -> np.ndarray:
    """Dirichlet's values (N,); the earlier axis is written last."""
    values = np.zeros(len(points[0]))
    for _, nodes, side in reversed(faces):
        if isinstance(side, Dirichlet):
            values[nodes] = _evaluate(side.value, _at(points, nodes, t), "value of Dirichlet's condition")
    return values


def _rates(
    still: sparse.csr_array,
    operator: Operator,
    axes: tuple[np.ndarray, ...],
    points: tuple[np.ndarray, ...],
    capacity: np.ndarray,
    free: np.ndarray,
) -> Rates:
    if (capacity <= 0).any():
        raise InputError(f"capacity {capacity.min():.3g}", "positive values")
    a = _evaluate(operator.diffusion, points, "diffusion")
    advective, quotient = np.zeros(len(a)), np.zeros(len(a))
    for k, coefficient in enumerate(operator.velocity):
        speed = np.abs(_evaluate(coefficient, points, f"velocity {k}"))
        advective += speed / np.diff(axes[k]).min()
        quotient += np.divide(speed**2, 2 * a, out=np.where(speed > 0, np.inf, 0.0), where=a > 0)
    upwind = operator.advection == "upwind"
    rows = abs(still).sum(axis=1)
    largest = [float((rate / capacity)[free].max(initial=0.0)) for rate in (rows, advective, quotient)]
    return Rates(largest[0], largest[1], 0.0 if upwind else largest[2], upwind)


# Steady


def solve(system: System) -> np.ndarray:
    """Values on the grid with ``L u = f``, by a sparse LU factorisation.

    Where neither a condition nor the reaction fixes the constant (Neumann and periodic sides only), the solution of mean
    zero is taken, and an imbalance of source and fluxes as small as the discretisation's error is spread evenly.

    Raises:
        InputError: source and fluxes that do not balance although nothing fixes the constant.
    """
    matrix, right = system.inner, system.forcing()
    rounding = 1e-12 * float(abs(matrix).max())
    if system.free.all() and np.abs(matrix @ np.ones(len(right))).max() <= rounding:
        return _solve_to_a_constant(system, matrix, right).reshape(system.shape)
    return system.filled(factorise(matrix).solve(right)).reshape(system.shape)


def factorise(matrix: sparse.csr_array) -> SuperLU:
    """LU factors of a matrix whose pattern is symmetric, ordered by minimum degree."""
    return splu(sparse.csc_array(matrix), permc_spec="MMD_AT_PLUS_A")


def _solve_to_a_constant(system: System, matrix: sparse.csr_array, right: np.ndarray) -> np.ndarray:
    """The matrix bordered by ones (the kernel) and by the condition of mean zero."""
    volumes, ones = system.volumes, np.ones((len(right), 1))
    bordered = sparse.block_array([[matrix, ones], [volumes[None], None]], format="csc")
    found = splu(bordered).solve(np.r_[right, 0.0])
    if abs(found[-1]) * volumes.sum() > 0.1 * (volumes @ np.abs(right)) + 1e-12:
        raise InputError(
            f"a source and fluxes that sum to {volumes @ right:.3g}",
            "0, since no condition fixes the constant",
            "correct them, or add a Dirichlet or Robin condition",
        )
    return found[:-1]
