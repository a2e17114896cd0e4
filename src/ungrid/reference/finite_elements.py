"""Finite elements for equations of second order: the referee on any region that can be meshed.

Lagrange elements of degree 1 or 2 on simplices (scikit-fem), Newton's method for a nonlinearity, and in time the three
stages of Alexander 1977 (*Diagonally implicit Runge-Kutta methods for stiff o.d.e.'s*, theorem 5): order 3, L-stable. A
second derivative in time is one equation more: ``u' = v``, whose stages are eliminated.

Convention: points (n, d), with time as the last column where there is one; a space of m numbers has vectors (m,), one for each
time. Curved edges are straight in the mesh: their error is of second order in the mesh size and part of the estimate.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid._base.tableaus import ALEXANDER, GAMMA
from ungrid.domains import Composite, Region, SpaceTime
from ungrid.equations import (
    Dirichlet,
    Elasticity,
    Initial,
    Neumann,
    Problem,
    Robin,
    SecondOrder,
    Traction,
    coefficients,
)
from ungrid.equations.coefficients import ByMaterial, Coefficient, Unknown, UnknownFunction
from ungrid.equations.equation import is_zero
from ungrid.reference.meshing import mesh

ELEMENTS = {
    (1, 1): skfem.ElementLineP1, (1, 2): skfem.ElementLineP2, (2, 1): skfem.ElementTriP1, (2, 2): skfem.ElementTriP2,
    (3, 1): skfem.ElementTetP1, (3, 2): skfem.ElementTetP2,
}  # fmt: skip
NEWTON_STEPS = 30
NEWTON_ENOUGH = 1e-10  # of a step, relative to the solution
TINY = 1e-30  # of an imaginary step: derivatives without cancellation
NEAREST = 16  # cells that are tried for a point before all are
ROUNDS = 8  # refinements at most
SMALLEST_GRADING = 0.2
FIRST_CELLS, FIRST_STEPS = 8, 16


@dataclass(frozen=True, eq=False)
class ElementSolution:
    """A finite element function, of time too where the problem has it.

    Attributes:
        basis: of scikit-fem, over the mesh.
        times: (k,), or None.
        values: (m,), or (k, m); of a displacement (m, d).
        seconds: of assembly and solution.
        error: the estimate, relative in L2, from the mesh of twice the size; NaN where there was none.
    """

    basis: Any
    times: np.ndarray | None
    values: np.ndarray
    seconds: float
    error: float = np.nan

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values (n, c) at points (n, d); outside of the mesh, as beside a curved edge, the nearest cell's polynomial."""
        points = np.atleast_2d(np.asarray(points, dtype=np.float64))
        space = points if self.times is None else points[:, :-1]
        dofs, shapes = self._shapes(space)
        if self.times is None:
            return np.einsum("na,na...->n...", shapes, self.values[dofs]).reshape(len(points), -1)
        first, weights = cubic_weights(self.times, points[:, -1])
        total = sum(
            weights[:, k] * np.einsum("na,na->n", shapes, self.values[(first + k)[:, None], dofs])
            for k in range(weights.shape[1])
        )
        return np.asarray(total)[:, None]

    def integral(self) -> float:
        """The integral over space, at the last time."""
        last = self.values if self.times is None else self.values[-1]
        return float(skfem.Functional(lambda w: w["u"]).assemble(self.basis, u=self.basis.interpolate(last)))

    def _shapes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The numbers (n, a) that a point depends on, and how much (n, a)."""
        cells, local = self._locator(points)
        parts = [self.basis.elem.lbasis(local.T, k)[0] for k in range(self.basis.Nbfun)]
        return self.basis.element_dofs[:, cells].T, np.stack(parts, axis=-1)

    @cached_property
    def _locator(self) -> "Locator":
        return Locator(self.basis.mesh.p.T, self.basis.mesh.t.T)


class Locator:
    """The simplices that points lie in, and where in them.

    Args:
        nodes: (n, d).
        cells: (k, d + 1).
    """

    def __init__(self, nodes: np.ndarray, cells: np.ndarray) -> None:
        self.origins = nodes[cells[:, 0]]
        edges = nodes[cells[:, 1:]] - self.origins[:, None]  # (k, d, d), a row for each edge
        self.inverses = np.linalg.inv(edges)
        self.tree = cKDTree(nodes[cells].mean(axis=1))

    def __call__(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For points (n, d) the cells (n,) and the coordinates (n, d) in them, along the edges from the first node."""
        _, near = self.tree.query(points, k=min(NEAREST, len(self.origins)))
        near = near.reshape(len(points), -1)
        cells, inside = self._best(points, near)
        for row in np.flatnonzero(inside < -1e-9):  # small cells beside a large one, or beyond a curved edge
            found, _ = self._best(points[row : row + 1], np.arange(len(self.origins))[None])
            cells[row] = found[0]
        return cells, np.einsum("nd,nde->ne", points - self.origins[cells], self.inverses[cells])

    def _best(self, points: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The candidate whose least barycentric coordinate is the largest, and that coordinate."""
        local = np.einsum("nkd,nkde->nke", points[:, None] - self.origins[candidates], self.inverses[candidates])
        least = np.minimum(local.min(axis=2), 1 - local.sum(axis=2))
        chosen = least.argmax(axis=1)
        rows = np.arange(len(points))
        return candidates[rows, chosen], least[rows, chosen]


def cubic_weights(times: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of four neighbouring times (fewer where there are fewer), and Lagrange's weights (n, 4) of them."""
    count = min(4, len(times))
    first = np.clip(np.searchsorted(times, at) - 2, 0, len(times) - count)
    nodes = times[first[:, None] + np.arange(count)]
    weights = np.ones_like(nodes)
    for k in range(count):
        for j in range(count):
            if j != k:
                weights[:, k] *= (at - nodes[:, j]) / (nodes[:, k] - nodes[:, j])
    return first, weights


@dataclass(frozen=True, eq=False)
class PointJet(JetLike):
    """A finite element function at quadrature points, as an equation asks for it: value and first derivatives in space."""

    points: np.ndarray  # (n, d), with the time
    axes: tuple[str, ...]
    values: np.ndarray  # (n, 1)
    slopes: dict[str, np.ndarray]  # (n, 1) each

    @property
    def value(self) -> np.ndarray:
        return self.values

    def d(self, *axes: str) -> np.ndarray:
        """A first derivative in space.

        Raises:
            InputError: if a nonlinearity asks for another one.
        """
        if len(axes) != 1 or axes[0] not in self.slopes:
            raise InputError(f"a nonlinearity with the derivative by {', '.join(axes)}", "first ones in space")
        return self.slopes[axes[0]]

    def evaluate(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return function(self.points)

    def of_value(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        return function(self.points, self.values[:, 0])[:, None]

    def parameter(self, name: str) -> float:
        raise InputError(f"the unknown {name!r} in an equation for finite elements", "a number in its place")


@dataclass(eq=False)
class Elements:
    """A problem on a space of finite elements: its matrices and vectors, at a time.

    Attributes:
        problem: with an equation of second order without unknowns.
        basis: over a mesh of its region.
    """

    problem: Problem
    basis: Any
    factors: dict[float, Any] = field(default_factory=dict)  # of a linear equation, by the step
    facets: dict[str, Any] = field(default_factory=dict)  # bases on the parts of the boundary

    @property
    def equation(self) -> SecondOrder:
        """The problem's equation."""
        assert isinstance(self.problem.equation, SecondOrder)
        return self.problem.equation

    @property
    def space(self) -> tuple[str, ...]:
        """The names of the spatial axes."""
        return self.problem.axes[: self.basis.mesh.dim()]

    def points(self, x: np.ndarray, t: float | None) -> np.ndarray:
        """Points (n, d) of the problem at coordinates (d, ...) of the mesh."""
        flat = x.reshape(len(x), -1).T
        return flat if t is None else np.column_stack([flat, np.full(len(flat), t)])

    def at(self, what: str, given: Any, x: np.ndarray, t: float | None, u: np.ndarray | None = None) -> np.ndarray:
        """A coefficient at coordinates (d, ...), where the solution has the values u (...): (..., *components)."""
        if isinstance(given, Unknown | UnknownFunction):
            raise InputError(f"{what} that is the unknown {given.name!r}", "a number for finite elements")
        value = None if u is None else np.asarray(u).ravel()
        found = coefficients.values(what, given, self.points(x, t), self.problem.axes, value)
        return found.reshape(*x.shape[1:], *found.shape[1:])

    def on(self, basis: Any, what: str, given: Any, t: float | None, at: np.ndarray | None = None) -> np.ndarray:
        """A coefficient at the points of a basis, in its cells or at its facets: (cells, points, *components).

        Args:
            basis: of cells or facets.
            what: how an error calls the coefficient.
            given: the coefficient.
            t: the time.
            at: the numbers (m,) of the solution on which it may depend.
        """
        x = np.asarray(basis.global_coordinates())
        u = None if at is None else np.asarray(basis.interpolate(at))
        if not isinstance(given, ByMaterial):
            return self.at(what, given, x, t, u)
        cells = np.arange(basis.mesh.nelements) if basis.tind is None else basis.tind
        found = np.zeros(x.shape[1:])
        for name, inside in basis.mesh.subdomains.items():
            own = np.isin(cells, inside)
            if own.any():
                found[own] = self.at(f"{what} in {name}", given[name], x[:, own], t, None if u is None else u[own])
        return found

    def varies(self) -> bool:
        """Whether a matrix changes with time or with the solution."""
        given: list[Any] = [self.equation.diffusion, self.equation.velocity, self.equation.reaction]
        given += [self.equation.damping, self.equation.inertia]
        given += [c.coefficient for c, _ in self.problem.boundary_conditions() if isinstance(c, Robin)]
        return any(coefficients.asks_for(c, name) for c in given for name in ("t", coefficients.VALUE))

    def mass(self, name: str, t: float | None, at: np.ndarray | None = None) -> sparse.csr_array:
        """The matrix of a coefficient times u; a coefficient that depends on the solution is that of `at` (m,)."""
        given = getattr(self.equation, name)
        if is_zero(given):
            return sparse.csr_array((self.basis.N, self.basis.N))
        factor = self.on(self.basis, f"the {name}", given, t, at)
        return self._matrix(lambda u, v, w: factor * u * v)

    def stiffness(self, t: float | None, at: np.ndarray | None = None) -> sparse.csr_array:
        """The matrix of diffusion, advection, reaction and of Robin's conditions, as `mass`."""
        e, basis = self.equation, self.basis
        reaction, diffusion = (self.on(basis, f"the {n}", getattr(e, n), t, at) for n in ("reaction", "diffusion"))
        velocity = None if is_zero(e.velocity) else np.moveaxis(self._vector(e.velocity, t), -1, 0)

        def form(u: Any, v: Any, w: Any) -> Any:
            total = reaction * u * v + np.einsum("j...,j...->...", flux(diffusion, u.grad), v.grad)
            return total if velocity is None else total + np.einsum("j...,j...->...", velocity, u.grad) * v

        total = self._matrix(form)
        for condition, parts in self.problem.boundary_conditions():
            if isinstance(condition, Robin):
                for part in parts:
                    total = total + self._robin(condition, part, t, at)
        return total

    def _robin(self, condition: Robin, part: str, t: float | None, at: np.ndarray | None) -> sparse.csr_array:
        basis = self.facets_of(part)
        factor = self.on(basis, f"the coefficient of {condition.label}", condition.coefficient, t, at)
        factor = factor * self._conductivity(basis, t, at)
        return self._matrix(lambda u, v, w: factor * u * v, basis)

    def _conductivity(self, basis: Any, t: float | None, at: np.ndarray | None) -> np.ndarray:
        """The scalar diffusion, by which a condition on ∂u/∂n becomes one on the flux: (facets, points)."""
        given = self.on(basis, "the diffusion", self.equation.diffusion, t, at)
        if given.ndim > 2:
            raise InputError("a condition on the normal derivative beside a diffusion matrix", "a scalar diffusion")
        return given

    def load(self, t: float | None, at: np.ndarray | None = None) -> np.ndarray:
        """The vector of the source and of the conditions' values, as `mass`."""
        total = self.loaded(self.basis, self.on(self.basis, "the source", self.equation.source, t, at))
        for condition, parts in self.problem.boundary_conditions():
            if isinstance(condition, Neumann | Robin) and not is_zero(condition.value):
                for part in parts:
                    basis = self.facets_of(part)
                    value = self.on(basis, f"the value of {condition.label}", condition.value, t, at)
                    total = total + self.loaded(basis, value * self._conductivity(basis, t, at))
        return total

    @staticmethod
    def loaded(basis: Any, density: np.ndarray) -> np.ndarray:
        """The vector of a density on a basis."""
        return np.asarray(skfem.LinearForm(lambda v, w: density * v).assemble(basis))

    def nonlinear(self, u: np.ndarray, t: float | None) -> tuple[np.ndarray, sparse.csr_array]:
        """The vector of the nonlinearity at u, and its matrix of derivatives (by imaginary steps of the integrand)."""
        found = self.basis.interpolate(u)
        value, slopes = np.asarray(found), [found.grad[k] for k in range(len(self.space))]
        x = np.asarray(self.basis.global_coordinates())
        integrand = self._nonlinearity(x, t, value, slopes)
        by_value = self._nonlinearity(x, t, value + 1j * TINY, slopes).imag / TINY
        by_slopes = [
            self._nonlinearity(x, t, value, [s + 1j * TINY * (j == k) for j, s in enumerate(slopes)]).imag / TINY
            for k in range(len(slopes))
        ]
        vector = skfem.LinearForm(lambda v, w: integrand.real * v).assemble(self.basis)
        matrix = self._matrix(
            lambda u, v, w: (by_value * u + sum(s * u.grad[k] for k, s in enumerate(by_slopes))) * v
        )  # fmt: skip
        return vector, matrix

    def _nonlinearity(self, x: np.ndarray, t: float | None, value: np.ndarray, slopes: list[np.ndarray]) -> np.ndarray:
        assert self.equation.nonlinearity is not None
        by_axis = {name: s.reshape(-1, 1) for name, s in zip(self.space, slopes, strict=True)}
        jet = PointJet(self.points(x, t), self.problem.axes, value.reshape(-1, 1), by_axis)
        return np.asarray(self.equation.nonlinearity(jet)).reshape(value.shape)

    def _vector(self, given: Coefficient, t: float | None) -> np.ndarray:
        found = self.on(self.basis, "the velocity", given, t)
        wide = found if found.ndim == 3 else found[..., None]
        return np.broadcast_to(wide, (*wide.shape[:-1], len(self.space)))

    def _matrix(self, form: Callable[..., Any], basis: Any = None) -> sparse.csr_array:
        return sparse.csr_array(skfem.BilinearForm(form).assemble(self.basis if basis is None else basis))

    def facets_of(self, part: str) -> Any:
        """The basis on a part of the boundary."""
        if part not in self.facets:
            self.facets[part] = skfem.FacetBasis(self.basis.mesh, self.basis.elem, facets=part)
        return self.facets[part]

    # -- conditions on values ----------------------------------------------------------------------------------------

    @cached_property
    def fixed(self) -> np.ndarray:
        """The numbers of the space that Dirichlet's conditions give."""
        found = [self.basis.get_dofs(part).all() for _, part in self._fixing()]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=int)

    def fixed_values(self, t: float | None) -> np.ndarray:
        """Their values at a time."""
        full = np.zeros(self.basis.N)
        for condition, part in self._fixing():
            dofs = self.basis.get_dofs(part).all()
            label = f"the value of {condition.label}"
            full[dofs] = self.at(label, condition.value, self.basis.doflocs[:, dofs], t)
        return full[self.fixed]

    def _fixing(self) -> list[tuple[Dirichlet, str]]:
        pairs = self.problem.boundary_conditions()
        return [(c, part) for c, parts in pairs if isinstance(c, Dirichlet) for part in parts]

    @cached_property
    def folding(self) -> sparse.csr_array:
        """From the numbers that are free to all of the space: those at the high end of a periodic axis repeat the low ones."""
        partner = np.arange(self.basis.N)
        for periodic in self.problem.periodic:
            low, high = (self.basis.get_dofs(part).all() for part in self.problem.ends(periodic))
            column = self.space.index(periodic.axis)
            others = [k for k in range(len(self.space)) if k != column]
            places = [self.basis.doflocs[others][:, dofs].T for dofs in (low, high)]
            distance, match = cKDTree(places[0]).query(places[1]) if others else (np.zeros(1), np.zeros(1, dtype=int))
            extent = float(self.problem.domain.axes[column].length)
            if len(low) != len(high) or np.max(distance) > 1e-9 * extent:
                raise InputError(f"{periodic.label} on a mesh whose ends differ", "a box or an interval")
            partner[high] = partner[low[match]]
        while (partner[partner] != partner).any():
            partner = partner[partner]
        free = np.setdiff1d(np.unique(partner), self.fixed)
        number = np.full(self.basis.N, -1)
        number[free] = np.arange(len(free))
        rows = np.flatnonzero(number[partner] >= 0)
        return sparse.csr_array((np.ones(len(rows)), (rows, number[partner[rows]])), shape=(self.basis.N, len(free)))

    # -- solution ----------------------------------------------------------------------------------------------------

    def root(
        self,
        system: Callable[[np.ndarray], tuple[sparse.csr_array, np.ndarray]],
        u: np.ndarray,
        t: float | None,
        step: float | None = None,
    ) -> np.ndarray:
        """``matrix(u) u + nonlinearity(u) = right(u)`` for the free numbers; u has the given ones, and a start.

        The nonlinearity by Newton's method, coefficients that depend on u by repeated substitution.

        Args:
            system: matrix (m, m) and right-hand side (m,) with the coefficients of a solution (m,).
            u: (m,).
            t: the time.
            step: of time, under which a linear equation keeps its factors; None keeps nothing.

        Raises:
            InputError: if the iteration does not converge.
        """
        fold, linear = self.folding, self.problem.is_linear
        for _ in range(1 if linear else NEWTON_STEPS):
            matrix, right = system(u)
            residual, slope = right - matrix @ u, matrix
            if self.equation.nonlinearity is not None:
                vector, by_u = self.nonlinear(u, t)
                residual, slope = residual - vector, matrix + by_u
            if not linear or step is None or step not in self.factors:
                factors = splu(sparse.csc_matrix(fold.T @ slope @ fold))
                if linear and step is not None:
                    self.factors = {step: factors}
            else:
                factors = self.factors[step]
            change = fold @ factors.solve(fold.T @ residual)
            u = u + change
            if linear or np.linalg.norm(change) <= NEWTON_ENOUGH * max(float(np.linalg.norm(u)), 1e-30):
                return u
        raise InputError("a nonlinear equation that Newton's method does not solve", "a smaller step, or a finer mesh")

    def steady(self) -> np.ndarray:
        """The numbers of the stationary solution."""
        u = np.zeros(self.basis.N)
        u[self.fixed] = self.fixed_values(None)
        return self.root(lambda at: (self.stiffness(None, at), self.load(None, at)), u, None)

    def march(self, times: np.ndarray) -> np.ndarray:
        """The numbers at evenly spaced times (k, m), from the initial conditions."""
        u, rate = self.initial(float(times[0]))
        found, constant = [u], None if self.varies() else self.matrices(float(times[0]))
        step = float(times[-1] - times[0]) / (len(times) - 1)
        for begin in times[:-1]:
            u, rate = self.advance(u, rate, float(begin), step, constant)
            found.append(u)
        return np.stack(found)

    def initial(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Value and rate at the start."""
        start = next(c for c in self.problem.conditions if isinstance(c, Initial))
        u = self.at("the initial value", start.value, self.basis.doflocs, t).astype(np.float64)
        u[self.fixed] = self.fixed_values(t)
        rate = np.zeros_like(u)
        if start.rate is not None:
            rate = self.at("the initial rate", start.rate, self.basis.doflocs, t).astype(np.float64)
        return u, rate

    def matrices(
        self, t: float, at: np.ndarray | None = None
    ) -> tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]:
        """Of inertia, damping and stiffness."""
        return self.mass("inertia", t), self.mass("damping", t, at), self.stiffness(t, at)

    def advance(
        self, u: np.ndarray, rate: np.ndarray, t: float, step: float, constant: tuple[Any, Any, Any] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Value and rate one step later."""
        rates: list[np.ndarray] = []  # of u, at the stages
        seconds: list[np.ndarray] = []  # of the rate
        short = GAMMA * step
        for weights in ALEXANDER:
            now = t + step * sum(weights)
            known = u + step * sum((w * r for w, r in zip(weights[:-1], rates, strict=True)), start=np.zeros_like(u))
            drift = rate + step * sum(
                (w * s for w, s in zip(weights[:-1], seconds, strict=True)), start=np.zeros_like(u)
            )
            start = (known + short * rates[-1] if rates else known).copy()
            start[self.fixed] = self.fixed_values(now)

            def system(
                at: np.ndarray, now: float = now, known: np.ndarray = known, drift: np.ndarray = drift
            ) -> tuple[sparse.csr_array, np.ndarray]:
                inertia, damping, stiffness = constant or self.matrices(now, at)
                right = self.load(now, at) + inertia @ (known / short**2 + drift / short) + damping @ known / short
                return inertia / short**2 + damping / short + stiffness, right

            stage = self.root(system, start, now, None if constant is None else step)
            rates.append((stage - known) / short)
            seconds.append((rates[-1] - drift) / short)
        return stage, rates[-1]


def flux(diffusion: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """``A ∇u`` for numbers (...) or matrices (..., d, d), and gradients (d, ...)."""
    if diffusion.ndim == gradient.ndim - 1:
        return diffusion * gradient
    return np.einsum("...ij,j...->i...", diffusion, gradient)


def solve_elements(
    problem: Problem, *, h: float, steps: int | None = None, degree: int = 2, grading: float = 1.0
) -> ElementSolution:
    """The solution on one mesh.

    Args:
        problem: an equation of second order without unknowns, on a region or a region over time, or an elastic body.
        h: the size of the mesh, in the units of the region.
        steps: of time.
        degree: of the elements, 1 or 2.
        grading: of the mesh at re-entrant corners, as in `meshing`.

    Raises:
        InputError: if the equation has no weak form here, or the region cannot be meshed.
    """
    region = region_of(problem)
    began = time.perf_counter()
    whole = mesh_of(region, h, grading)
    basis = skfem.Basis(whole, ELEMENTS[whole.dim(), degree](), intorder=2 * degree + 2)
    space = Elements(problem, basis)
    if isinstance(problem.equation, Elasticity):
        values, times = deflected(space, problem.equation), None
    elif not problem.changes:
        values, times = space.steady(), None
    else:
        times = np.linspace(problem.domain.time.start, problem.domain.time.end, 1 + (steps or FIRST_STEPS))
        values = space.march(times)
    return ElementSolution(basis, times, values, time.perf_counter() - began)


def deflected(space: Elements, body: Elasticity) -> np.ndarray:
    """The displacement (m, d) of an elastic body: ``∫ σ(u) : ε(v) = ∫ force · v + ∫ traction · v``."""
    d, count, problem = len(space.space), space.basis.N, space.problem

    def block(i: int, j: int) -> sparse.csr_array:
        """How component i of the test function meets component j of the displacement."""

        def form(u: Any, v: Any, w: Any) -> Any:
            total = body.first * u.grad[j] * v.grad[i] + body.shear * u.grad[i] * v.grad[j]
            return total + (body.shear * np.einsum("k...,k...->...", u.grad, v.grad) if i == j else 0.0)

        return sparse.csr_array(skfem.BilinearForm(form).assemble(space.basis))

    matrix = sparse.csr_array(sparse.block_array([[block(i, j) for j in range(d)] for i in range(d)]))
    right, u, fixed = np.zeros(d * count), np.zeros(d * count), np.zeros(d * count, dtype=bool)
    for k, force in enumerate(body.force):
        right[k * count : (k + 1) * count] = space.loaded(space.basis, space.on(space.basis, "the force", force, None))
    for condition, part in ((c, part) for c, parts in problem.boundary_conditions() for part in parts):
        first, label = condition.component * count, f"the value of {condition.label}"
        if isinstance(condition, Traction):
            facets = space.facets_of(part)
            right[first : first + count] += space.loaded(facets, space.on(facets, label, condition.value, None))
        else:
            dofs = space.basis.get_dofs(part).all()
            u[first + dofs] = space.at(label, condition.value, space.basis.doflocs[:, dofs], None)
            fixed[first + dofs] = True
    free = np.flatnonzero(~fixed)
    u[free] = splu(sparse.csc_matrix(matrix[free][:, free])).solve((right - matrix @ u)[free])
    return u.reshape(d, count).T


def mesh_of(region: Region, h: float, grading: float) -> Any:
    """A mesh whose elements lie in one material each; the subdomains have the names of the materials."""
    if not isinstance(region, Composite):
        return mesh(region, h, grading=grading)
    found = mesh(region.whole, h, grading=grading, interfaces=region.inside)
    named = {region.rest if name == "outside" else name: elements for name, elements in found.subdomains.items()}
    return replace(found, _subdomains=named)


def region_of(problem: Problem) -> Region:
    """The region of space of a problem that finite elements can solve.

    Raises:
        InputError: an equation without a weak form, with unknowns, or of time alone.
    """
    if not isinstance(problem.equation, SecondOrder | Elasticity):
        raise InputError(
            f"finite elements for an equation of type {type(problem.equation).__name__}", "one of second order, or elasticity",
            "compare with ungrid.reference.spectral, or with values of your own",
        )  # fmt: skip
    if problem.unknowns:
        raise InputError(f"finite elements with the unknown {problem.unknowns[0].name!r}", "a number in its place")
    domain = problem.domain.region if isinstance(problem.domain, SpaceTime) else problem.domain
    if not isinstance(domain, Region) or problem.axes == ("t",):
        raise InputError("finite elements for an equation of time alone", "a region of space")
    return domain


def solve_to(problem: Problem, tolerance: float, *, budget: float = 60.0, degree: int = 2) -> ElementSolution:
    """Meshes of half the size, and steps of half the length, until the estimated error is below the tolerance.

    Args:
        problem: as for `solve_elements`.
        tolerance: relative, in L2 over the domain.
        budget: seconds after which no finer mesh is begun; the solution then says what was reached.
        degree: of the elements, 1 or 2.

    Returns:
        The solution on the last mesh; its error is what the last halving changed, which for a method of order p is
        2^p - 1 times what is left.
    """
    region, began = region_of(problem), time.perf_counter()
    h, steps = float(np.max(region.high - region.low)) / FIRST_CELLS, FIRST_STEPS
    points = problem.domain.sample(2000, np.random.default_rng(0))
    grading = grading_for(region, degree)
    found = solve_elements(problem, h=h, steps=steps, degree=degree, grading=grading)
    for _ in range(ROUNDS):
        h, steps = h / 2, 2 * steps
        finer = solve_elements(problem, h=h, steps=steps, degree=degree, grading=grading)
        new, old = finer(points), found(points)
        error = float(np.linalg.norm(new - old) / max(float(np.linalg.norm(new)), 1e-300))
        found = replace(finer, error=error)
        growth = 2 ** (region.dim + problem.changes)
        if error <= tolerance or time.perf_counter() - began + 1.5 * growth * finer.seconds > budget:
            break
    return found


def grading_for(region: Region, degree: int) -> float:
    """The grading that restores the order at the sharpest re-entrant corner of a plane region (see `meshing`)."""
    widest = max((corner.angle for corner in region.corners), default=0.0)
    if region.dim != 2 or widest <= np.pi * (1 + 1e-6):
        return 1.0
    return max(SMALLEST_GRADING, min(1.0, 0.9 * (np.pi / widest) / degree))
