"""Galerkin's method on random features: equations of second order on regions of one or several materials.

The weak form, integrated by quadrature, conserves what flows: with least squares of the strong form, small errors of the flux
at corners and interfaces add up along a slender body. Where materials meet, and where values are given, Nitsche's terms hold
them: consistent, with a penalty just large enough for the steepest function of the basis. Newton's method keeps its matrix
while it converges fast.

Convention: as in `material_spaces`; at a stage of time ``u_t = (u - known) / short``.

Sources: Nitsche 1971, *Über ein Variationsprinzip zur Lösung von Dirichlet-Problemen*; Dolbow and Harari 2009, *An efficient
finite element method for embedded interface problems* (weights by conductivity, penalty by the largest eigenvalue).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg

from ungrid._base.errors import InputError
from ungrid.equations import Dirichlet, Neumann, Problem, Robin, SecondOrder, coefficients
from ungrid.equations.equation import TIME, is_zero
from ungrid.pde.material_spaces import Edge, Space, Trace
from ungrid.reference.finite_elements import PointJet

SAFE = 4.0  # the penalty, for each unit of the least with which the form stays positive
NEWTON_STEPS, KEPT = 40, 0.3
CONVERGED = 1e-10  # of a step, relative to the solution
ROUNDING = 1e-7  # the same, where steps do not fall any more
TINY = 1e-30  # of an imaginary step: derivatives without cancellation
COEFFICIENTS = ("diffusion", "damping", "reaction", "source")


class NoRootError(InputError):
    """Newton's iteration does not converge: in time, that of a shorter step may."""


@dataclass(frozen=True)
class Moment:
    """A stage: its time, and ``u_t = (u - known) / short`` (m,); without time None stands for it."""

    time: float
    known: np.ndarray
    short: float


@dataclass
class Weak:
    """The weak form on a space: residual and matrix at a state, and its roots.

    Attributes:
        space: the space.
        factors: of the last matrix, with what ``1 / short`` it was made for.
        steady: where nothing in the matrix but `short` changes, what it is without damping, and the damping's part of it.
    """

    space: Space
    factors: tuple[Any, float] | None = field(default=None, init=False)
    steady: tuple[np.ndarray, np.ndarray] | None = field(default=None, init=False)

    @property
    def problem(self) -> Problem:
        return self.space.problem

    def equation(self, material: str) -> SecondOrder:
        """The equation in one material."""
        equation = self.problem.equation
        assert isinstance(equation, SecondOrder)
        return equation.in_material(material) if material else equation

    def residual(self, y: np.ndarray, moment: Moment | None, tests: Space | None = None) -> np.ndarray:
        """The weak form tested with every function of the basis, or with those of another space on the same points."""
        space = self.space
        tests = tests or space
        found = np.zeros(tests.total)
        for name, trace in space.inside.items():
            self._add_inside(found, name, trace, tests.inside[name], y, moment)
        for edge, other in zip(space.edges, tests.edges, strict=True):
            trace, test = edge.trace, other.trace
            if isinstance(edge.condition, Dirichlet):
                hold(found, trace, test, y, *self._known(edge, y, moment))
                continue
            transfer, inflow = self._exchange(edge, y, moment)
            outflow = transfer * (trace.values @ y[trace.columns]) - inflow
            found[test.columns] += test.values.T @ (trace.weights * outflow)
        for (trace, materials), (test, _) in zip(space.joints, tests.joints, strict=True):
            hold(found, trace, test, y, self._joint(materials, trace, y, moment), 0.0)
        return found

    def _add_inside(
        self, found: np.ndarray, name: str, trace: Trace, test: Trace, y: np.ndarray, moment: Moment | None
    ) -> None:
        given, own = self._coefficients(name, trace, y, moment), y[trace.columns]
        value, slopes = trace.values @ own, trace.slopes @ own
        density = given["reaction"] * value - given["source"]
        if moment is not None:
            density = density + given["damping"] * (value - trace.values @ moment.known[trace.columns]) / moment.short
        if (velocity := self._velocity(name, trace, moment)) is not None:
            density = density + (velocity * slopes).sum(axis=0)
        if self.equation(name).nonlinearity is not None:
            density = density + self._nonlinear(name, trace, value, slopes, moment)
        found[test.columns] += test.values.T @ (trace.weights * density)
        for k, flux in enumerate(flow(given["diffusion"], slopes)):
            found[test.columns] += test.slopes[k].T @ (trace.weights * flux)

    def matrix(self, y: np.ndarray, moment: Moment | None, tests: Space | None = None) -> np.ndarray:
        """The derivative of the residual, coefficients that depend on the solution held; or that of another space there."""
        if moment is None or tests is not None or not self._is_steady:
            return self._assembled(y, moment, tests or self.space)
        if self.steady is None:
            still = self._assembled(y, replace(moment, short=np.inf), self.space)
            self.steady = still, self._assembled(y, replace(moment, short=1.0), self.space) - still
        return self.steady[0] + self.steady[1] / moment.short

    @cached_property
    def _is_steady(self) -> bool:
        """Whether the problem is linear, with coefficients that do not change in time; sources and values may."""
        keys = ("diffusion", "damping", "reaction", "velocity")
        given = [getattr(self.equation(name), key) for name in self.space.materials for key in keys]
        given += [edge.condition.coefficient for edge in self.space.edges if isinstance(edge.condition, Robin)]
        return self.problem.is_linear and not any(coefficients.asks_for(one, TIME) for one in given)

    def _assembled(self, y: np.ndarray, moment: Moment | None, tests: Space) -> np.ndarray:
        space = self.space
        found = np.zeros((tests.total, tests.total))
        for name, trace in space.inside.items():
            test = tests.inside[name]
            found[np.ix_(test.columns, test.columns)] += self._block(name, trace, test, y, moment)
        for edge, other in zip(space.edges, tests.edges, strict=True):
            test = other.trace
            if isinstance(edge.condition, Dirichlet):
                add_hold(found, test, self._known(edge, y, moment)[0])
            else:
                add_product(found, test, self._exchange(edge, y, moment)[0])
        for (trace, materials), (test, _) in zip(space.joints, tests.joints, strict=True):
            add_hold(found, test, self._joint(materials, trace, y, moment))
        return found

    def _block(self, name: str, trace: Trace, test: Trace, y: np.ndarray, moment: Moment | None) -> np.ndarray:
        given, own = self._coefficients(name, trace, y, moment), y[trace.columns]
        by_value = given["reaction"] + (0.0 if moment is None else given["damping"] / moment.short)
        by_slope = self._velocity(name, trace, moment)
        if self.equation(name).nonlinearity is not None:
            rates = self._rates(name, trace, trace.values @ own, trace.slopes @ own, moment)
            by_value, by_slope = by_value + rates[0], rates[1:] if by_slope is None else by_slope + rates[1:]
        found: np.ndarray = test.values.T @ ((trace.weights * by_value)[:, None] * test.values)
        for k, rate in enumerate(() if by_slope is None else by_slope):
            found += test.values.T @ ((trace.weights * rate)[:, None] * test.slopes[k])
        diffusion = given["diffusion"]
        for i, first in enumerate(test.slopes):
            for j, second in enumerate(test.slopes):
                if diffusion.ndim > 1 or i == j:
                    factor = diffusion if diffusion.ndim == 1 else diffusion[:, i, j]
                    found += first.T @ ((trace.weights * factor)[:, None] * second)
        return found

    def gaps(self, y: np.ndarray, moment: Moment | None) -> float:
        """The penalty of the gaps at interfaces, and between the solution and what Dirichlet's conditions give."""
        space, total = self.space, 0.0
        held = [(e.trace, *self._known(e, y, moment)) for e in space.edges if isinstance(e.condition, Dirichlet)]
        held += [(trace, self._joint(pair, trace, y, moment), np.zeros(1)) for trace, pair in space.joints]
        for trace, conductivity, value in held:
            gap = trace.values @ y[trace.columns] - value
            total += SAFE * trace.steepest * float(trace.weights @ (conductivity * gap**2))
        return total

    def root(self, y: np.ndarray, moment: Moment | None) -> np.ndarray:
        """The state whose residual vanishes, from a start.

        Raises:
            NoRootError: if the iteration does not converge.
            InputError: if the equation has no value somewhere.
        """
        pace, last = 0.0 if moment is None else 1 / moment.short, np.inf
        if self.factors is None or self.factors[1] != pace:
            self.factors = scipy.linalg.lu_factor(self.matrix(y, moment)), pace
        for _ in range(NEWTON_STEPS):
            step = scipy.linalg.lu_solve(self.factors[0], -self.residual(y, moment))
            y, size = y + step, float(np.linalg.norm(step))
            if not np.isfinite(size):
                raise InputError("an equation that is NaN or infinite at some point", "finite coefficients and values")
            length = float(np.linalg.norm(y))
            if size <= CONVERGED * length or (KEPT * last < size <= ROUNDING * length):
                return y
            if size > KEPT * last:
                self.factors = scipy.linalg.lu_factor(self.matrix(y, moment)), pace
            last = size
        raise NoRootError("a nonlinear equation whose iteration does not converge", "a weaker nonlinearity")

    # -- coefficients ------------------------------------------------------------------------------------------------

    def _coefficients(self, name: str, trace: Trace, y: np.ndarray, moment: Moment | None) -> dict[str, np.ndarray]:
        equation, u = self.equation(name), trace.values @ y[trace.columns]
        return {key: self._given(f"the {key}", getattr(equation, key), trace, u, moment) for key in COEFFICIENTS}

    def _given(self, what: str, given: Any, trace: Trace, u: np.ndarray, moment: Moment | None) -> np.ndarray:
        """A coefficient at the points of a trace."""
        return coefficients.values(what, given, self._places(trace, moment), self.problem.axes, u)

    @staticmethod
    def _places(trace: Trace, moment: Moment | None) -> np.ndarray:
        points = trace.points
        return points if moment is None else np.column_stack([points, np.full(len(points), moment.time)])

    def _velocity(self, name: str, trace: Trace, moment: Moment | None) -> np.ndarray | None:
        """The velocity (d, n)."""
        given = self.equation(name).velocity
        if is_zero(given):
            return None
        found = coefficients.values("the velocity", given, self._places(trace, moment), self.problem.axes)
        return np.broadcast_to(found.reshape(len(trace.points), -1), trace.points.shape).T

    def _conductivity(self, material: str, trace: Trace, u: np.ndarray, moment: Moment | None) -> np.ndarray:
        found = self._given("the diffusion", self.equation(material).diffusion, trace, u, moment)
        if found.ndim > 1:
            raise InputError(
                "a condition on a flux or an interface beside a diffusion matrix", "a number for each point"
            )
        return found

    def _joint(self, materials: tuple[str, str], trace: Trace, y: np.ndarray, moment: Moment | None) -> np.ndarray:
        """The conductivity by which the sum of both slopes is the flux: ``k1 k2 / (k1 + k2)``."""
        split = len(self.space.inside[materials[0]].columns)
        own = y[trace.columns]
        first = self._conductivity(materials[0], trace, trace.values[:, :split] @ own[:split], moment)
        second = self._conductivity(materials[1], trace, -trace.values[:, split:] @ own[split:], moment)
        return first * second / (first + second)

    def _known(self, edge: Edge, y: np.ndarray, moment: Moment | None) -> tuple[np.ndarray, np.ndarray]:
        """The conductivity and the value of the condition on an edge, (n,) each."""
        trace, condition = edge.trace, edge.condition
        u = trace.values @ y[trace.columns]
        value = self._given(f"the value of {condition.label}", condition.value, trace, u, moment)
        return self._conductivity(edge.material, trace, u, moment), value

    def _exchange(self, edge: Edge, y: np.ndarray, moment: Moment | None) -> tuple[np.ndarray, np.ndarray]:
        """What flows out of a boundary for each unit of u, and what flows in regardless, (n,) each."""
        trace, condition = edge.trace, edge.condition
        conductivity, value = self._known(edge, y, moment)
        if isinstance(condition, Robin):
            u, what = trace.values @ y[trace.columns], f"the coefficient of {condition.label}"
            return conductivity * self._given(what, condition.coefficient, trace, u, moment), conductivity * value
        assert isinstance(condition, Neumann)
        return np.zeros(len(value)), conductivity * value

    def _nonlinear(
        self, name: str, trace: Trace, value: np.ndarray, slopes: np.ndarray, moment: Moment | None
    ) -> np.ndarray:
        nonlinearity = self.equation(name).nonlinearity
        assert nonlinearity is not None
        by_axis = {axis: slope[:, None] for axis, slope in zip(self.problem.axes, slopes, strict=False)}
        jet = PointJet(self._places(trace, moment), self.problem.axes, value[:, None], by_axis)
        return np.asarray(nonlinearity(jet))[:, 0]

    def _rates(
        self, name: str, trace: Trace, value: np.ndarray, slopes: np.ndarray, moment: Moment | None
    ) -> np.ndarray:
        """Derivatives of the nonlinearity by value and slopes, (1 + d, n), by imaginary steps."""
        shifts = 1j * TINY * np.eye(1 + len(slopes))[:, :, None]
        found = [self._nonlinear(name, trace, value + s[0], slopes + s[1:], moment).imag / TINY for s in shifts]
        return np.stack(found)


def add_product(found: np.ndarray, trace: Trace, factor: np.ndarray) -> None:
    """Add ``∫ factor u v`` over the points of a trace to a matrix."""
    found[np.ix_(trace.columns, trace.columns)] += trace.values.T @ ((trace.weights * factor)[:, None] * trace.values)


def hold(
    found: np.ndarray, trace: Trace, test: Trace, y: np.ndarray, conductivity: np.ndarray, value: np.ndarray | float
) -> None:
    """Add Nitsche's terms of ``u = value`` to a residual: at an interface u is the difference of both materials."""
    gap, slope = trace.values @ y[trace.columns] - value, trace.slopes[0] @ y[trace.columns]
    factor = trace.weights * conductivity
    found[test.columns] += test.values.T @ (factor * (SAFE * trace.steepest * gap - slope))
    found[test.columns] -= test.slopes[0].T @ (factor * gap)


def add_hold(found: np.ndarray, trace: Trace, conductivity: np.ndarray) -> None:
    """Add the derivative of `hold` to a matrix."""
    weighted = (trace.weights * conductivity)[:, None] * trace.values
    mixed = trace.slopes[0].T @ weighted
    block = SAFE * trace.steepest * (trace.values.T @ weighted) - mixed - mixed.T
    found[np.ix_(trace.columns, trace.columns)] += block


def flow(diffusion: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """``A ∇u`` (d, n) for numbers (n,) or matrices (n, d, d)."""
    return diffusion * slopes if diffusion.ndim == 1 else np.einsum("nij,jn->in", diffusion, slopes)
