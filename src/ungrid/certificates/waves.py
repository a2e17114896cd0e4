"""Certificates for equations of waves on an interval or a rectangle: the error in the norm of energy.

    ρ u_tt + d u_t - a Δu + c u = f,   ρ and a positive numbers, d and c not negative

    2 E_e(t) = ∫ ρ e_t² + a |∇e|² + c e² dx

For v with the right values on Dirichlet's parts, the right slopes on Neumann's, and continuous first derivatives, e = u - v and
``r = f - ρ v_tt - d v_t + a Δv - c v``, the derivative of the energy is ``∫ r e_t - d e_t²``, so that

    √(2 E_e(t)) <= √(2 E_e(0)) + ∫_0^t ‖r(s)‖ ds / √ρ        (the energy estimate: Evans 2010, section 7.2.2)

with the constant 1. The right side grows with t, so that it bounds the largest error over time. Over a slab of time of length
τ, ``∫ ‖r‖ ds <= (τ ∫ ‖r‖² ds)^(1/2)``, the integral of a polynomial.

Convention: v is a function of `hermite`'s space on a grid of space and time.
"""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates.bound import Bound
from ungrid.certificates.enclosures import Enclosed
from ungrid.certificates.grid_data import EvolvingCertifier, GridDatum
from ungrid.certificates.hermite import DEGREE, OUT, Grid, Hermite, in_cells, largest
from ungrid.certificates.lagrange import FieldLike
from ungrid.equations import Problem
from ungrid.equations.equation import is_zero

NORM = "largest error over time in the norm of energy"
CELLS = {2: 12, 3: 6}  # along every axis of the first grid, by the number of axes
ROUNDS = 8  # of finer grids


def certify_wave(field: FieldLike, problem: Problem, *, cells: int | None = None, rounds: int = ROUNDS) -> Bound:
    """An upper bound of the error of a field for an equation of waves, in the norm of energy, over all times.

    Args:
        field: values (n, 1) at points (n, d + 1), the time last.
        problem: ``ρ u_tt + d u_t - a Δu + c u = f`` on an interval or a rectangle times `Time`, with numbers for coefficients;
            values and slopes at the boundary are polynomials of degree 5 at most along every axis.
        cells: of the first grid, along every axis.
        rounds: how often the grid may be made finer where most is contributed.

    Returns:
        The bound of the error of the interpolant, `certified_object`; its `lower` is 0, its `size` a lower bound.

    Raises:
        InputError: if the problem is of another kind, or the field's values are not finite.
    """
    return CertifierOfWaves(problem, cells=cells, rounds=rounds)(field)


class CertifierOfWaves(EvolvingCertifier):
    """An equation of waves and its data.

    Args:
        problem: as for `certify_wave`; so are the others.
        cells: of the first grid.
        rounds: of finer ones.

    Raises:
        InputError: if the problem is of another kind.
    """

    def __init__(self, problem: Problem, *, cells: int | None = None, rounds: int = ROUNDS) -> None:
        super().__init__(problem, NORM, cells or CELLS[problem.domain.dim], rounds)
        equation = self.data.equation
        if not problem.is_linear or not is_zero(equation.velocity):
            raise InputError("a wave with a nonlinearity or a velocity", "ρ u_tt + d u_t - a Δu + c u = f")
        self.inertia, self.stiffness, self.damping, self.reaction = (
            self.data.number(name, getattr(equation, name)) for name in ("inertia", "diffusion", "damping", "reaction")
        )
        if not (self.inertia > 0 and self.stiffness > 0 and self.damping >= 0 and self.reaction >= 0):
            raise InputError(
                f"an inertia of {self.inertia}, a diffusion of {self.stiffness}, a damping of {self.damping} and a reaction "
                f"of {self.reaction}", "two positive numbers and two that are not negative",
            )  # fmt: skip

    def _upper(self, exact: Enclosed, grid: Grid, sampled: int) -> tuple[float, np.ndarray]:
        """The bound for exact boundary values, and the cells' contributions (cells...)."""
        squares = grid.squares(*self._residual(exact, grid, sampled)).upper
        slabs = squares.sum(axis=tuple(range(grid.dim - 1))) * OUT
        parts = np.sqrt(grid.lengths[-1].upper * slabs / self.inertia) * OUT
        shares = squares / np.maximum(slabs, 1e-300) * parts
        return (float(parts.sum()) * OUT + self._start(exact, grid, sampled)) * OUT, shares

    def _residual(self, exact: Enclosed, grid: Grid, sampled: int) -> tuple[Enclosed, tuple[int, ...]]:
        """r at lattices, and their degrees."""
        degrees = tuple(max(DEGREE, p) for p in self.data.source.degrees(sampled))
        d = grid.dim

        def part(axis: int, order: int) -> Enclosed:
            return in_cells(exact, grid, tuple(order if k == axis else 0 for k in range(d)), degrees)

        r = self.data.source.at(grid, degrees) - self.inertia * part(d - 1, 2)
        for axis in range(d - 1):
            r = r + self.stiffness * part(axis, 2)
        if self.damping:
            r = r - self.damping * part(d - 1, 1)
        if self.reaction:
            r = r - self.reaction * part(0, 0)
        return r, degrees

    def _start(self, exact: Enclosed, grid: Grid, sampled: int) -> float:
        """``√(2 E_e(0))`` from above."""
        start = self.data.start
        space, first = grid.start(), (slice(None),) * (grid.dim - 1)
        value = self.data.at_start("the initial value", start.value)
        rate = self.data.at_start("the initial rate", start.rate)
        total = self._energy(
            exact[(*first, 0, *first, 0)], exact[(*first, 1, *first, 0)], space, (value, rate), sampled
        )
        return float(total.sqrt().upper)

    def _energy(
        self, v: Enclosed, rate: Enclosed, space: Grid, given: tuple[GridDatum, GridDatum] | None, sampled: int
    ) -> Enclosed:
        """Twice the energy of a state, or of what it misses of a given one."""
        degrees = tuple(
            max(DEGREE, *own) for own in zip(*(one.degrees(sampled) for one in given or ()), strict=True)
        ) or (DEGREE,) * space.dim  # fmt: skip
        plain = (0,) * space.dim
        value, speed = (in_cells(one, space, plain, degrees) for one in (v, rate))
        if given is not None:
            value, speed = (one.at(space, degrees) - own for one, own in zip(given, (value, speed), strict=True))
        total = self.inertia * space.squares(speed, degrees).total()
        for axis in range(space.dim):
            total = total + self.stiffness * space.squares(space.slopes(value, axis, degrees), degrees).total()
        return total + self.reaction * space.squares(value, degrees).total()

    def _size(self, v: Hermite) -> float:
        """A lower bound of the largest norm of energy over time: at the nodes in time."""
        grid, every = v.grid, (slice(None),) * (v.grid.dim - 1)
        data, best = Enclosed(v.data), 0.0
        for k in range(len(grid.nodes[-1])):
            found = self._energy(data[(*every, 0, *every, k)], data[(*every, 1, *every, k)], grid.start(), None, DEGREE)
            best = max(best, float(np.sqrt(max(0.0, float(found.mid)))))
        return best * (1 - 1e-12)

    def _changed(self, exact: Enclosed, grid: Grid) -> float:
        """The largest norm of energy of what rounding of the boundary's values changes."""
        d = grid.dim
        volume = float(np.prod([x[-1] - x[0] for x in grid.nodes[:-1]]))

        def along(axis: int | None) -> float:
            return largest(exact.rad, grid, tuple(int(k == axis) for k in range(d)))

        square = self.inertia * along(d - 1) ** 2 + self.reaction * along(None) ** 2
        square += self.stiffness * sum(along(axis) ** 2 for axis in range(d - 1))
        return float(np.sqrt(square * volume)) * OUT

    def _assumptions(self, grid: Grid, apart: float) -> tuple[str, ...]:
        made = " x ".join(map(str, grid.cells))
        return (
            f"the error of the interpolant by Hermite's quintics on a grid of {made} cells of space and time, with the given "
            "values and slopes at the boundary",
            "upper bound: the energy estimate of waves; no lower bound",
            "all data are polynomials, whose integrals are exact up to roundings, which are enclosed" if self.data.exact
            else f"data that are no polynomials stand in by such of two degrees; the bounds differ by {apart:.2g}, which is "
            "added",
        )  # fmt: skip
