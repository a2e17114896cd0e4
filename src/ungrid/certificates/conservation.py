"""Certificates for viscous conservation laws on an interval, such as Burgers's equation: the error in L1.

    ρ u_t + F(u)_x - ν u_xx = f,   F polynomial, ρ and ν positive numbers

For v with the same boundary values (Dirichlet's at both ends, or periodic) and continuous slopes, e = u - v and the residual
``r = f - ρ v_t - F(v)_x + ν v_xx``, multiply the difference of the equations by a smoothed sign of e: the viscous term is not
negative, the integral of ``(F(u) - F(v))_x sign(e)`` vanishes in the limit, and what remains is

    ρ ‖e(t)‖_1 <= ρ ‖e(0)‖_1 + ∫_0^t ‖r(s)‖_1 ds                                     (Kruzhkov 1970; Kato 1972)

with the constant 1 and no exponential, however steep v is: estimates in L2 have the factor ``exp(½ ∫ max(-v_x) dt)``. On a
cell K of the grid ``∫_K |r| <= (|K| ∫_K r²)^(1/2)``, the integral of a polynomial. The right side grows with t, so that it
bounds the largest error over time.

Convention: v is a function of `hermite`'s space on a grid of space and time.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.certificates.bound import Bound
from ungrid.certificates.enclosures import Enclosed, stack
from ungrid.certificates.grid_data import EvolvingCertifier, OnGrids
from ungrid.certificates.hermite import DEGREE, OUT, Grid, Hermite, in_cells, largest
from ungrid.certificates.lagrange import FieldLike
from ungrid.certificates.polynomials import Polynomial, variables
from ungrid.equations import Neumann, Problem
from ungrid.equations.equation import is_zero

NORM = "largest error over time in L1"
CELLS, ROUNDS = 12, 12  # along every axis of the first grid; of finer ones
LARGEST_FLUX = 3  # degree of F'(v) v_x in v and v_x together


def certify_conservation(field: FieldLike, problem: Problem, *, cells: int = CELLS, rounds: int = ROUNDS) -> Bound:
    """An upper bound of the error of a field for a viscous conservation law, in L1 of space, over all times.

    Args:
        field: values (n, 1) at points (n, 2), the time last.
        problem: ``ρ u_t + a(u) u_x - ν u_xx = f`` on an interval times `Time`, a polynomial, with periodic conditions, or with
            values at both ends that are polynomials of time of degree 5 at most.
        cells: of the first grid, along space and along time.
        rounds: how often the grid may be made finer where most is contributed.

    Returns:
        The bound of the error of the interpolant, `certified_object`; its `lower` is 0, its `size` a lower bound.

    Raises:
        InputError: if the problem is of another kind, or the field's values are not finite.
    """
    return CertifierInL1(problem, cells=cells, rounds=rounds)(field)


class _Symbols(JetLike):
    """Value and slope as the variables of polynomials."""

    def __init__(self, axis: str) -> None:
        self.axes = (axis,)
        self._value, self._slope = variables(2)

    @property
    def value(self) -> Polynomial:
        return self._value

    def d(self, *axes: str) -> Polynomial:
        if axes != self.axes:
            raise TypeError(f"a derivative along {axes}")
        return self._slope

    def evaluate(self, function: Callable[[np.ndarray], np.ndarray]) -> Any:
        raise TypeError("a function of the coordinates")

    def of_value(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
        raise TypeError("a function of the value")

    def parameter(self, name: str) -> Any:
        raise TypeError("an unknown number")


def transport(problem: Problem) -> Polynomial:
    """``F(u)_x`` as a polynomial of u and u_x.

    Raises:
        InputError: if the nonlinearity is not of that kind.
    """
    equation, axis = problem.equation, problem.axes[0]
    u, slope = variables(2)
    total: Polynomial = u * 0
    if equation.nonlinearity is not None:  # type: ignore[attr-defined]
        try:
            total = total + equation.nonlinearity(_Symbols(axis))  # type: ignore[attr-defined]
        except Exception as error:  # whatever a user's function raises when it gets no numbers
            raise InputError(f"a nonlinearity with {error}", f"a polynomial of u times u.d({axis!r})") from error
    if any(exponents[1] != 1 for exponents in total.terms) or total.degree > LARGEST_FLUX:
        raise InputError(
            "a nonlinearity that is not the derivative of a flux F(u) of degree 3 at most",
            f"a polynomial of u times u.d({axis!r})",
        )
    velocity = OnGrids(problem).number("velocity", equation.velocity)  # type: ignore[attr-defined]
    return total + velocity * slope


class CertifierInL1(EvolvingCertifier):
    """A viscous conservation law and its data.

    Args:
        problem: as for `certify_conservation`; so are the others.
        cells: of the first grid.
        rounds: of finer ones.

    Raises:
        InputError: if the problem is of another kind.
    """

    def __init__(self, problem: Problem, *, cells: int = CELLS, rounds: int = ROUNDS) -> None:
        super().__init__(problem, NORM, cells, rounds)
        equation = self.data.equation
        if len(problem.axes) != 2 or not is_zero(equation.inertia) or not is_zero(equation.reaction):
            raise InputError(
                "a conservation law with an inertia or a reaction, or over more than a line",
                "ρ u_t + a(u) u_x - ν u_xx = f on an interval",
            )
        self.density = self.data.number("damping", equation.damping)
        self.viscosity = self.data.number("diffusion", equation.diffusion)
        if not self.density > 0 or not self.viscosity > 0:
            raise InputError(f"a viscosity of {self.viscosity} and a damping of {self.density}", "positive numbers")
        if any(isinstance(c, Neumann) for c in problem.conditions):
            raise InputError("a conservation law with a given slope at an end", "values at both ends, or Periodic")
        self.transport = transport(problem)

    def _changed(self, exact: Enclosed, grid: Grid) -> float:
        length = float(grid.nodes[0][-1] - grid.nodes[0][0])
        return largest(exact.rad, grid, (0, 0)) * length

    def _size(self, v: Hermite) -> float:
        return size_below(v)

    def _upper(self, exact: Enclosed, grid: Grid, sampled: int) -> tuple[float, np.ndarray]:
        """The bound for exact boundary values, and the cells' contributions (cells of space, of time)."""
        squares = grid.squares(*self._residual(exact, grid, sampled))
        shares = np.asarray((squares * grid.volumes).sqrt().upper)
        total = float(shares.sum()) * OUT / self.density + self._start(exact, grid, sampled)
        return total * OUT, shares

    def _residual(self, exact: Enclosed, grid: Grid, sampled: int) -> tuple[Enclosed, tuple[int, ...]]:
        """r at lattices, and their degrees."""
        flux = DEGREE * max(1, self.transport.degree)
        degrees = tuple(max(flux, p) for p in self.data.source.degrees(sampled))
        v, rate, slope, bend = (in_cells(exact, grid, a, degrees) for a in ((0, 0), (0, 1), (1, 0), (2, 0)))
        r = self.data.source.at(grid, degrees) - self.density * rate + self.viscosity * bend
        return r - self.transport.at(stack([v, slope])), degrees

    def _start(self, exact: Enclosed, grid: Grid, sampled: int) -> float:
        """``‖u(0) - v(0)‖_1`` from above."""
        space, datum = grid.start(), self.data.at_start("the initial value", self.data.start.value)
        degrees = (max(DEGREE, *datum.degrees(sampled)),)
        missed = datum.at(space, degrees) - in_cells(exact[:, 0, :, 0], space, (0,), degrees)
        return float((space.squares(missed, degrees) * space.volumes).sqrt().upper.sum()) * OUT

    def _assumptions(self, grid: Grid, apart: float) -> tuple[str, ...]:
        made = " x ".join(map(str, grid.cells))
        said = [
            f"the error of the interpolant by Hermite's quintics on a grid of {made} cells of space and time, with the given "
            "values at the ends",
            "upper bound: contraction in L1 of viscous conservation laws (Kruzhkov, Kato); no lower bound",
            "all data are polynomials, whose integrals are exact up to roundings, which are enclosed" if self.data.exact
            else f"data that are no polynomials stand in by such of two degrees; the bounds differ by {apart:.2g}, which is "
            "added",
        ]  # fmt: skip
        return tuple(said)


def size_below(v: Hermite) -> float:
    """A lower bound of the largest L1 norm over time, by ``Σ_K |∫_K v dx|`` at the nodes in time."""
    space, best = v.grid.start(), 0.0
    for k in range(len(v.grid.nodes[1])):
        values = in_cells(Enclosed(v.data[:, 0, :, k]), space, (0,), (DEGREE,))
        parts = np.abs(space.integrals(values, (DEGREE,)).mid)
        best = max(best, float(parts.sum()))
    return best * (1 - 1e-12)
