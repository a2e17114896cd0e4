"""Finite elements for steady incompressible flow in the plane: the referee of what `pde.systems` finds.

Velocities of degree 2 and pressures of degree 1 on triangles (Taylor and Hood 1973), Newton's method from the flow without
inertia, viscosity lowered step by step where it does not converge. On parts without a condition for the velocity the force
``μ ∂u/∂n - p n`` vanishes, as where a channel ends.

Convention: points (n, 2), values (n, 3): two components of the velocity, the pressure. The pressure of a flow
that is closed all around has the mean zero.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import skfem
from scipy import sparse
from scipy.sparse.linalg import splu

from ungrid._base.errors import InputError
from ungrid.domains import Region
from ungrid.equations import Problem, coefficients
from ungrid.equations.conditions import Dirichlet
from ungrid.equations.fluids import NavierStokes, StreamFlow, StreamVelocity
from ungrid.reference.finite_elements import Locator, mesh_of

NEWTON_STEPS, NEWTON_ENOUGH = 12, 1e-8  # of a step, relative to the solution: the next would be its square
HARDEST = 64.0  # a viscosity with which Newton's method begins at most, relative to the wanted one
QUADRATURE = 5  # order: exact for the inertia


@dataclass(frozen=True, eq=False)
class FlowSolution:
    """Velocity and pressure on a mesh.

    Attributes:
        velocity, pressure: the bases of scikit-fem.
        values: the coefficients of the velocity, then those of the pressure.
        seconds: of assembly and solution.
    """

    velocity: Any
    pressure: Any
    values: np.ndarray
    seconds: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values (n, 3) at points (n, 2)."""
        cells, local = self._locator(np.asarray(points, dtype=np.float64))
        quadratic, linear = skfem.ElementTriP2(), skfem.ElementTriP1()
        dofs, of_pressure = self.velocity.element_dofs[:, cells], self.pressure.element_dofs[:, cells]
        shapes = np.stack([quadratic.lbasis(local.T, k)[0] for k in range(len(dofs) // 2)])  # dofs alternate u, v
        parts = [(shapes * self.values[dofs[k::2]]).sum(axis=0) for k in range(2)]
        flat = np.stack([linear.lbasis(local.T, k)[0] for k in range(3)])
        parts.append((flat * self.values[self.velocity.N :][of_pressure]).sum(axis=0))
        return np.column_stack(parts)

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self.velocity.mesh.p.T, self.velocity.mesh.t.T)


def solve_flow(problem: Problem, *, h: float, grading: float = 1.0) -> FlowSolution:
    """A steady flow in a plane region, of `NavierStokes` or `StreamFlow`.

    Args:
        problem: its conditions give components of the velocity; others are not looked at.
        h: the size of the triangles.
        grading: as in `meshing.mesh`.

    Raises:
        InputError: for another equation or domain, or if Newton's method does not converge.
    """
    equation, began = problem.equation, time.perf_counter()
    if (
        not isinstance(equation, NavierStokes | StreamFlow)
        or not isinstance(problem.domain, Region)
        or problem.domain.dim != 2
    ):
        raise InputError(
            f"elements for a {type(equation).__name__} on such a domain", "steady incompressible flow in the plane"
        )
    flow = _Flow(problem, mesh_of(problem.domain, h, grading), equation)
    viscosity, values = equation.viscosity, flow.start()
    factor = 1.0
    while True:
        found = flow.newton(values, factor * viscosity)
        if found is not None and factor == 1.0:
            return FlowSolution(flow.u, flow.p, found, time.perf_counter() - began)
        values, factor = (values, 4 * factor) if found is None else (found, factor / 2)
        if factor > HARDEST:
            raise InputError("a flow whose iteration does not converge", "a larger viscosity, or smaller triangles")


class _Flow:
    """The discrete equations on a mesh."""

    def __init__(self, problem: Problem, mesh: Any, equation: NavierStokes | StreamFlow) -> None:
        self.problem, self.equation = problem, equation
        self.u = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=QUADRATURE)
        self.p = skfem.Basis(mesh, skfem.ElementTriP1(), intorder=QUADRATURE)
        self.laplacian = skfem.BilinearForm(lambda u, v, w: _double(u.grad, v.grad)).assemble(self.u)
        divergence = skfem.BilinearForm(lambda u, q, w: -(u.grad[0][0] + u.grad[1][1]) * q)
        self.divergence = divergence.assemble(self.u, self.p)
        self.mass = skfem.LinearForm(lambda q, w: q).assemble(self.p)
        self.known, self.value, self.closed = self._held()

    def _held(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """The numbers that conditions give, all numbers with those in place, and whether no part is open."""
        value, given = np.zeros(self.u.N), np.zeros(self.u.N, dtype=bool)
        bare = {(part, k) for part in self.problem.lateral for k in range(2)}
        for condition, parts in self.problem.boundary_conditions():
            axis = condition.axis if isinstance(condition, StreamVelocity) else condition.component
            streams = isinstance(self.equation, StreamFlow)
            if not isinstance(condition, StreamVelocity if streams else Dirichlet) or axis > 1:
                continue
            for part in parts:
                dofs = self.u.get_dofs(part).all(f"u^{axis + 1}")
                places = self.u.doflocs[:, dofs].T
                value[dofs] = coefficients.values("a velocity", condition.value, places, self.problem.axes)
                given[dofs] = True
                bare.discard((part, axis))
        return given, value, not bare

    def start(self) -> np.ndarray:
        """Nothing moves but what conditions give."""
        return np.concatenate([self.value, np.zeros(self.p.N)])

    def newton(self, values: np.ndarray, viscosity: float) -> np.ndarray | None:
        """The solution from a start, None without convergence."""
        free = np.concatenate([~self.known, np.ones(self.p.N, dtype=bool)])
        free[-1] = not self.closed
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                matrix, residual = self._linearised(values, viscosity)
                step = np.zeros(len(free))
                step[free] = splu(sparse.csc_array(matrix[free][:, free])).solve(-residual[free])
                values = values + step
                if not np.isfinite(values).all():
                    return None
                if np.linalg.norm(step) <= NEWTON_ENOUGH * np.linalg.norm(values):
                    values[self.u.N :] -= self.closed * (self.mass @ values[self.u.N :]) / self.mass.sum()
                    return values
        return None

    def _linearised(self, values: np.ndarray, viscosity: float) -> tuple[Any, np.ndarray]:
        density, n = self.equation.density, self.u.N
        own = self.u.interpolate(values[:n])

        def carried(u: Any, v: Any, w: Any) -> Any:
            return density * _dot(_along(w["own"].grad, u) + _along(u.grad, w["own"]), v)

        def balance(v: Any, w: Any) -> Any:
            forces = self._forces(w.x)
            return density * _dot(_along(w["own"].grad, w["own"]), v) - forces[0] * v[0] - forces[1] * v[1]

        inertia = skfem.BilinearForm(carried).assemble(self.u, own=own)
        matrix = sparse.block_array(
            [[viscosity * self.laplacian + inertia, self.divergence.T], [self.divergence, None]], format="csr"
        )
        momentum = viscosity * (self.laplacian @ values[:n]) + self.divergence.T @ values[n:]
        momentum = momentum + skfem.LinearForm(balance).assemble(self.u, own=own)
        return matrix, np.concatenate([momentum, self.divergence @ values[:n]])

    def _forces(self, places: np.ndarray) -> list[np.ndarray]:
        points = places.reshape(2, -1).T
        found = [coefficients.values("the force", f, points, self.problem.axes) for f in self.equation.force]
        return [one.reshape(places.shape[1:]) for one in found]


def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1]


def _double(a: Any, b: Any) -> Any:
    return sum(a[i][j] * b[i][j] for i in range(2) for j in range(2))


def _along(gradient: Any, velocity: Any) -> Any:
    """``velocity·∇`` of a vector whose gradient is given, ``[i][j] = ∂_j u_i``."""
    return np.stack([gradient[i][0] * velocity[0] + gradient[i][1] * velocity[1] for i in range(2)])
