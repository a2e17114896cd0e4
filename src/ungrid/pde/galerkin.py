"""Regions of several materials, and nonlinear equations of first order in time beyond a line: Galerkin's method on random
features, each material with a basis of its own.

The weak form, integrated by quadrature, conserves what flows: with least squares of the strong form, small errors of the flux
at corners and interfaces add up along a slender body. Where materials meet, and where values are given, Nitsche's terms hold
them: consistent, with a penalty just large enough for the steepest function of the basis.
In time: Alexander's three implicit stages; a second solution of order 2 from the same stages tells how long the next step
may be. Nonlinear stages take Newton steps with a matrix that is kept while they converge fast.

Convention: d coordinates of space; u = values @ y, where the columns of `values` are combinations of features that are
orthonormal in ``∫ u v / size² + ∇u·∇v``, one material after another. At a stage ``u_t = (u - known) / short``.

Sources: Hairer and Wanner 1996, *Solving ordinary differential equations II*, sections IV.6 (stages) and IV.8 (steps);
Nitsche 1971, *Über ein Variationsprinzip zur Lösung von Dirichlet-Problemen*; Dolbow and Harari 2009, *An efficient finite
element method for embedded interface problems* (weights by conductivity, penalty by the largest eigenvalue).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import torch
from scipy.linalg import lapack

from ungrid._base.errors import InputError
from ungrid._base.tableaus import ALEXANDER, GAMMA
from ungrid.domains import BoundaryRule, Composite, Region, SpaceTime
from ungrid.equations import Condition, Dirichlet, Initial, Neumann, Problem, Robin, SecondOrder, coefficients
from ungrid.equations.equation import is_zero
from ungrid.fields import Field, NeuralField, PatchField, SteppedField
from ungrid.networks import Linear
from ungrid.pde.spaces import Features, material_field
from ungrid.reference.finite_elements import PointJet
from ungrid.solvers.output_layer import user_partials

POINTS = 10.0  # of the quadrature, for each feature
ORDER, EDGE_ORDER = 32, 64
SMALL = 1e-7  # of the first: directions of a basis below it are left away
LEAST = 40  # features of a material
SAFE = 4.0  # the penalty, for each unit of the least with which the form stays positive
NEWTON_STEPS, CONVERGED, KEPT = 40, 1e-10, 0.3
TINY = 1e-30  # of an imaginary step
FIRST_STEP = 1 / 8192  # of the time
TOLERANCE, AT = (
    3e-4,
    320,
)  # of the error of a step, relative to the largest value, with so many features; as their square
LONGER = 2.0
TRIAL_STEP = 1 / 16
CHECKS = 6  # moments at which a solution over time is checked
EMBEDDED = np.linalg.solve([[1.0, 1.0], [GAMMA, (1 + GAMMA) / 2]], [1.0, 0.5])  # order 2, of the first two stages
COEFFICIENTS = ("diffusion", "damping", "reaction", "source")


@dataclass(frozen=True)
class Moment:
    """A stage: its time, and ``u_t = (u - known) / short`` (m,); without time None stands for it."""

    time: float
    known: np.ndarray
    short: float


@dataclass(frozen=True)
class Trace:
    """A basis at points: of one material, or at an interface the difference of two.

    Attributes:
        points: (n, d).
        weights: of the quadrature, (n,).
        values: (n, k).
        slopes: (d, n, k); on a boundary those along the normal, (1, n, k), at an interface the sum of both materials'.
        columns: whose numbers they are, (k,).
    """

    points: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    columns: np.ndarray

    @cached_property
    def steepest(self) -> float:
        """The largest ``∫ (∂v/∂n)²`` of a function of length 1, per unit of length."""
        root = np.sqrt(self.weights)[:, None]
        return float(np.linalg.norm(root * self.slopes[0], 2) ** 2)


@dataclass(frozen=True)
class Edge:
    """A condition of one material on a part of its boundary."""

    trace: Trace
    material: str
    condition: Condition


@dataclass
class Space:
    """A problem on bases of its materials.

    Attributes:
        problem: that `needs_galerkin`.
        features: how many for all materials, and which.
        seed: of the features.
    """

    problem: Problem
    features: Features
    seed: int

    @cached_property
    def region(self) -> Region:
        """The region of space."""
        domain = self.problem.domain
        found: Region = domain.region if isinstance(domain, SpaceTime) else domain
        return found

    @property
    def size(self) -> float:
        """A length of the region."""
        return float(self.region.measure ** (1 / self.region.dim))

    @cached_property
    def materials(self) -> dict[str, Region]:
        """The regions of the materials; one of the name "" where there is one only."""
        return self.region.materials if isinstance(self.region, Composite) else {"": self.region}

    @cached_property
    def fields(self) -> dict[str, NeuralField]:
        """An unfitted field over the region of every material; a larger one gets more features."""
        sizes = {name: region.measure**0.5 for name, region in self.materials.items()}
        counts = {name: max(LEAST, round(self.features.count * s / sum(sizes.values()))) for name, s in sizes.items()}
        chosen = {name: Features(count, self.features.scale, self.features.shape) for name, count in counts.items()}
        return {
            name: material_field(self.problem, region, chosen[name], seed=self.seed + k)
            for k, (name, region) in enumerate(self.materials.items())
        }

    @cached_property
    def inside(self) -> dict[str, Trace]:
        """Every material's basis at the points of its quadrature."""
        return {name: trace for name, (trace, _) in self._bases.items()}

    @cached_property
    def turns(self) -> dict[str, np.ndarray]:
        """From the numbers of a material (k,) to the weights of its features (m, k)."""
        return {name: turn for name, (_, turn) in self._bases.items()}

    @cached_property
    def _bases(self) -> dict[str, tuple[Trace, np.ndarray]]:
        found, first = {}, 0
        for name, region in self.materials.items():
            u = self.fields[name]
            points, weights = quadrature(region, POINTS * width(u))
            values, slopes = features_at(u, points)
            turn = orthonormal(values, slopes, weights, self.size)
            columns = first + np.arange(turn.shape[1])
            found[name] = Trace(points, weights, values @ turn, slopes @ turn, columns), turn
            first += turn.shape[1]
        return found

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return sum(len(trace.columns) for trace in self.inside.values())

    def at(self, material: str, rule: BoundaryRule) -> Trace:
        """A material's basis on its boundary."""
        values, slopes = features_at(self.fields[material], rule.points)
        normal = np.einsum("nk,knm->nm", rule.normals, slopes)
        turn = self.turns[material]
        return Trace(rule.points, rule.weights, values @ turn, (normal @ turn)[None], self.inside[material].columns)

    @cached_property
    def edges(self) -> list[Edge]:
        """The conditions, for every material that their parts bound."""
        found = []
        for condition, parts in self.problem.boundary_conditions():
            for name, region in self.materials.items():
                pieces = [piece for piece in region.pieces if piece.name in parts]
                if isinstance(condition, Initial) or not pieces:
                    continue
                rules = [piece.rule(EDGE_ORDER) for piece in pieces]
                whole = BoundaryRule(*(np.concatenate(arrays) for arrays in zip(*rules, strict=True)))
                found.append(Edge(self.at(name, whole), name, condition.in_material(name) if name else condition))
        return found

    @cached_property
    def joints(self) -> list[tuple[Trace, tuple[str, str]]]:
        """The differences of the two materials at every interface."""
        found = []
        for one in self.region.interfaces if isinstance(self.region, Composite) else ():
            rule = one.piece.rule(EDGE_ORDER)
            first, second = (self.at(name, rule) for name in one.materials)
            values = np.concatenate([first.values, -second.values], axis=1)
            slopes = np.concatenate([first.slopes, second.slopes], axis=2)
            columns = np.concatenate([first.columns, second.columns])
            found.append((Trace(rule.points, rule.weights, values, slopes, columns), one.materials))
        return found

    def field(self, states: Sequence[np.ndarray], times: Sequence[float] = ()) -> Field:
        """The solution as a field, from its numbers: one array, or the values at the times and then the rates."""
        parts = [self._part(name, states, times) for name in self.materials]
        return parts[0] if len(parts) == 1 else PatchField(tuple(parts))

    def _part(self, name: str, states: Sequence[np.ndarray], times: Sequence[float]) -> Field:
        u, names = self.fields[name], self.problem.equation.out_names
        weights = self.turns[name] @ np.stack([y[self.inside[name].columns] for y in states], axis=1)
        network = Linear(width(u), weights.shape[1]).double()
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(weights))
        if not times:
            return NeuralField(u.domain, u.encoding, network, out_names=names)
        labels = tuple(f"{kind}_{k}" for kind in ("value", "rate") for k in range(len(times)))
        axis = self.problem.domain.axes[-1]
        space = NeuralField(u.domain, u.encoding, network, out_names=labels)
        return SteppedField(space, tuple(times), out_names=names, axis=axis.name, unit=axis.unit)


@dataclass
class Weak:
    """The weak form on a space: residual and matrix at a state, and its roots.

    Attributes:
        space: the space.
        factors: of the last matrix, with what ``1 / short`` it was made for.
    """

    space: Space
    factors: tuple[Any, float] | None = field(default=None, init=False)

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
                u = trace.values @ y[trace.columns]
                value = self._given(f"the value of {edge.condition.label}", edge.condition.value, trace, u, moment)
                hold(found, trace, test, y, self._conductivity(edge.material, trace, u, moment), value)
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
        space = self.space
        tests = tests or space
        found = np.zeros((tests.total, tests.total))
        for name, trace in space.inside.items():
            test = tests.inside[name]
            found[np.ix_(test.columns, test.columns)] += self._block(name, trace, test, y, moment)
        for edge, other in zip(space.edges, tests.edges, strict=True):
            trace, test = edge.trace, other.trace
            if isinstance(edge.condition, Dirichlet):
                add_hold(found, test, self._conductivity(edge.material, trace, trace.values @ y[trace.columns], moment))
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
        total = 0.0
        for edge in self.space.edges:
            if isinstance(edge.condition, Dirichlet):
                u = edge.trace.values @ y[edge.trace.columns]
                value = self._given(f"the value of {edge.condition.label}", edge.condition.value, edge.trace, u, moment)
                conductivity = self._conductivity(edge.material, edge.trace, u, moment)
                total += SAFE * edge.trace.steepest * float(edge.trace.weights @ (conductivity * (u - value) ** 2))
        for trace, materials in self.space.joints:
            gap, conductivity = trace.values @ y[trace.columns], self._joint(materials, trace, y, moment)
            total += SAFE * trace.steepest * float(trace.weights @ (conductivity * gap**2))
        return total

    def root(self, y: np.ndarray, moment: Moment | None) -> np.ndarray:
        """The state whose residual vanishes, from a start.

        Raises:
            InputError: if the iteration does not converge.
        """
        pace, last = 0.0 if moment is None else 1 / moment.short, np.inf
        if self.factors is None or self.factors[1] != pace:
            self.factors = scipy.linalg.lu_factor(self.matrix(y, moment)), pace
        for _ in range(NEWTON_STEPS):
            step = scipy.linalg.lu_solve(self.factors[0], -self.residual(y, moment))
            y, size = y + step, float(np.linalg.norm(step))
            if not np.isfinite(size):
                raise InputError("an equation that is NaN or infinite at some point", "finite coefficients and values")
            if size <= CONVERGED * float(np.linalg.norm(y)) or (self.problem.is_linear and last < np.inf):
                return y
            if size > KEPT * last:
                self.factors = scipy.linalg.lu_factor(self.matrix(y, moment)), pace
            last = size
        raise InputError(
            "a nonlinear equation whose iteration does not converge", "a weaker nonlinearity, or shorter times"
        )

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

    def _exchange(self, edge: Edge, y: np.ndarray, moment: Moment | None) -> tuple[np.ndarray, np.ndarray]:
        """What flows out of a boundary for each unit of u, and what flows in regardless, (n,) each."""
        trace, condition = edge.trace, edge.condition
        u = trace.values @ y[trace.columns]
        value = self._given(f"the value of {condition.label}", condition.value, trace, u, moment)
        conductivity = self._conductivity(edge.material, trace, u, moment)
        if isinstance(condition, Robin):
            factor = self._given(f"the coefficient of {condition.label}", condition.coefficient, trace, u, moment)
            return conductivity * factor, conductivity * value
        assert isinstance(condition, Neumann)
        return np.zeros(len(u)), conductivity * value

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


def quadrature(region: Region, count: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and weights (n,), at least `count`."""
    h = float(np.max(region.high - region.low))
    while True:
        rule = region.quadrature(ORDER, h)
        if len(rule.points) >= count:
            return rule.points, rule.weights
        h /= 1.4


def features_at(u: NeuralField, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features (n, m) of a field at points, and their slopes (d, n, m)."""
    d = points.shape[1]
    partials = user_partials(u, torch.from_numpy(points), [(), *((k,) for k in range(d))])
    values, *slopes = (one.numpy() for one in partials.values())
    return values, np.stack(slopes)


def orthonormal(values: np.ndarray, slopes: np.ndarray, weights: np.ndarray, size: float) -> np.ndarray:
    """Combinations (m, k) of features that are orthonormal in ``∫ u v / size² + ∇u·∇v``, without those that hardly count."""
    root = np.sqrt(weights)[:, None]
    rows = np.concatenate([root * values / size, *(root * slope for slope in slopes)])
    lengths = np.linalg.norm(rows, axis=0)
    factors, pivots, _, _, _ = lapack.dgeqp3(np.asfortranarray(rows / lengths), overwrite_a=True)
    diagonal = np.abs(np.diag(factors))
    rank = int((diagonal > SMALL * diagonal[0]).sum())
    found = np.zeros((len(lengths), rank))
    found[pivots[:rank] - 1] = scipy.linalg.solve_triangular(np.triu(factors[:rank, :rank]), np.eye(rank))
    return found / lengths[:, None]


def width(u: NeuralField) -> int:
    """The number of features of a field."""
    return int(u.encoding.out_features)  # type: ignore[arg-type]


# -- steps ---------------------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """Steps of a solution in time.

    Attributes:
        weak: the weak form.
        y: the state.
        tolerance: of the error of a step, relative to the largest value.
    """

    weak: Weak
    y: np.ndarray
    tolerance: float

    def accepted(self, now: float, length: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """State and rate after a step, its length and its error: halved until that is small enough."""
        while True:
            y, rate, error = self.step(now, length)
            if error <= self.tolerance:
                return y, rate, length, error
            length /= 2

    def step(self, now: float, length: float) -> tuple[np.ndarray, np.ndarray, float]:
        """State and rate one step later, and the relative error of the step."""
        short, rates = GAMMA * length, list[np.ndarray]()
        stage, moment = self.y, None
        for row in ALEXANDER:
            known = self.y + length * sum((a * r for a, r in zip(row[:-1], rates, strict=True)), start=0 * self.y)
            moment = Moment(now + length * sum(row), known, short)
            stage = self.weak.root(known + short * rates[-1] if rates else known, moment)
            rates.append((stage - known) / short)
        assert moment is not None
        other = self.y + length * sum(b * r for b, r in zip(EMBEDDED, rates[:2], strict=True))
        return stage, rates[-1], self._largest(self._filtered(other - stage, stage, moment)) / self._largest(stage)

    def _filtered(self, difference: np.ndarray, stage: np.ndarray, moment: Moment) -> np.ndarray:
        """Without what an implicit step damps: ``(1 - short J)^-1`` of the difference of two solutions."""
        moved = Moment(moment.time, moment.known + difference, moment.short)
        change = self.weak.residual(stage, moment) - self.weak.residual(stage, moved)
        assert self.weak.factors is not None
        return np.asarray(scipy.linalg.lu_solve(self.weak.factors[0], change))

    def _largest(self, y: np.ndarray) -> float:
        inside = self.weak.space.inside.values()
        return max(1e-300, *(float(np.abs(trace.values @ y[trace.columns]).max()) for trace in inside))


def start(weak: Weak) -> np.ndarray:
    """The state that is closest to the initial value, in the square mean."""
    given = next(c for c in weak.problem.conditions if isinstance(c, Initial))
    found = np.zeros(weak.space.total)
    for name, trace in weak.space.inside.items():
        at = np.column_stack([trace.points, np.full(len(trace.points), weak.problem.domain.time.start)])
        value = coefficients.values(
            "the initial value", coefficients.in_material(given.value, name), at, weak.problem.axes
        )
        root = np.sqrt(trace.weights)
        found[trace.columns] = np.linalg.lstsq(root[:, None] * trace.values, root * value, rcond=None)[0]
    return found


class Check:
    """How far functions of another basis would move a solution: an estimate of its error, in the norm of the energy.

    The residual is tested with functions that the solution does not know, and its length is that of what they would add. To it
    comes the energy of the gaps at interfaces and on fixed boundaries, which a true solution does not have. Both are put in
    relation to the length of the solution, without its mean.

    Args:
        weak: the weak form.
        seed: of the other basis.
    """

    def __init__(self, weak: Weak, seed: int) -> None:
        self.weak, self.tests = weak, Space(weak.problem, weak.space.features, seed)
        self.worst = 0.0

    def add(self, y: np.ndarray, moment: Moment | None) -> None:
        """Count a solution."""
        left = self.weak.residual(y, moment, self.tests)
        added = np.linalg.solve(self.weak.matrix(y, moment, self.tests), left)
        varying = y - self._mean(y)
        size = float(varying @ self.weak.matrix(y, moment) @ varying)
        square = abs(float(left @ added)) + self.weak.gaps(y, moment)
        self.worst = max(self.worst, (square / max(size, 1e-300)) ** 0.5)

    def _mean(self, y: np.ndarray) -> np.ndarray:
        """The state that is everywhere the mean of another."""
        space = self.weak.space
        means = [float(t.weights @ (t.values @ y[t.columns])) for t in space.inside.values()]
        return constant(space, sum(means) / sum(float(t.weights.sum()) for t in space.inside.values()))


def constant(space: Space, number: float) -> np.ndarray:
    """The state that is a number everywhere."""
    found = np.zeros(space.total)
    for trace in space.inside.values():
        root = np.sqrt(trace.weights)
        found[trace.columns] = np.linalg.lstsq(root[:, None] * trace.values, number * root, rcond=None)[0]
    return found


def solve_weak(
    problem: Problem, features: Features, *, seed: int, trial: bool
) -> tuple[Field | None, dict[str, float]]:
    """The field, and its check; of a trial over time the check alone."""
    weak = Weak(Space(problem, features, seed))
    check = Check(weak, seed + 1000)
    if not problem.changes:
        y = weak.root(np.zeros(weak.space.total), None)
        check.add(y, None)
        field: Field | None = weak.space.field([y])
    elif trial:
        length = TRIAL_STEP * problem.domain.time.length
        moment = Moment(problem.domain.time.start + length, start(weak), length)
        check.add(weak.root(moment.known, moment), moment)
        field = None
    else:
        field = march(weak, check)
    return field, {"energy": check.worst}


def march(weak: Weak, check: Check) -> Field:
    """The solution over all of the time; at some of the moments it is checked, in the middle of a step."""
    time = weak.problem.domain.time
    tolerance = TOLERANCE * (AT / weak.space.features.count) ** 2
    walk, now, step = Walk(weak, start(weak), tolerance), time.start, FIRST_STEP * time.length
    times, values, rates = [now], [walk.y], list[np.ndarray]()
    while now < time.end - 1e-9 * time.length:
        y, rate, step, error = walk.accepted(now, min(step, time.end - now))
        rates = rates or [2 * (y - walk.y) / step - rate]  # the cubic of the first step is a parabola
        if (now - time.start) * CHECKS // time.length < (now + step - time.start) * CHECKS // time.length:
            check.add(*between(now, step, (walk.y, y), (rates[-1], rate)))
        walk.y, now = y, now + step
        times.append(now)
        values.append(y)
        rates.append(rate)
        left = time.end - now
        if error < tolerance / LONGER**3:
            step *= LONGER
        if left < 2 * step:  # one step to the end, or two
            step = left if left < 1.2 * step else left / 2
    return weak.space.field([*values, *rates], times)


def between(
    now: float, step: float, values: tuple[np.ndarray, np.ndarray], rates: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, Moment]:
    """The state in the middle of a step, with its rate, by the cubic of values and rates at both ends."""
    middle = (values[0] + values[1]) / 2 + step * (rates[0] - rates[1]) / 8
    rate = 1.5 * (values[1] - values[0]) / step - (rates[0] + rates[1]) / 4
    short = GAMMA * step
    return middle, Moment(now + step / 2, middle - short * rate, short)


def needs_galerkin(problem: Problem) -> bool:
    """Whether a problem is solved here: of several materials, or nonlinear and of first order in time beyond a line."""
    if problem.materials:
        return True
    equation = problem.equation
    fits = isinstance(equation, SecondOrder) and problem.changes and is_zero(equation.inertia)
    return fits and not problem.is_linear and problem.domain.dim > 2 and not (problem.unknowns or problem.measured)


def check_galerkin(problem: Problem) -> None:
    """Raise an InputError for what cannot be solved here."""
    equation = problem.equation
    if not isinstance(equation, SecondOrder) or not is_zero(equation.inertia):
        raise InputError("several materials and such an equation", "one of second order, of first order in time")
    hard = [c.label for c in problem.conditions if isinstance(c, Dirichlet) and c.hard]
    found = hard or [c.label for c in problem.periodic] or ["unknowns or measurements"]
    if hard or problem.periodic or problem.unknowns or problem.measured:
        raise InputError(f"several materials, or a nonlinear equation over a plane and time, with {found[0]}",
                         "soft conditions on the boundary alone")  # fmt: skip
