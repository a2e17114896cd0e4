"""Several nonlinear equations for several functions: Newton's method on one orthonormal basis that they share.

The basis is that of a separable network, over a box around the domain, joined with the multipoles of round holes and with what
flows have at corners. Points crowd towards the faces of a box as the functions of the basis do.

A factorisation with pivots of all columns of all functions (`solvers.output_layer`) is slow: it is bound by memory. Here the
features are made orthonormal once, in values and derivatives together, which finds their numerical rank for all functions, and
every Newton step takes a factorisation without pivots, which is bound by arithmetic.

Convention: the unknowns of the linear systems are the coefficients of the orthonormal basis, function after function. Rows are
divided by the size that they have for one wave over every axis, then multiplied by the square root of their term's weight. A
function of which the equations know only derivatives, such as the pressure of a closed flow, is given the mean zero.

Source: Golub and Van Loan 2013, *Matrix computations*, sections 5.4.2 (rank by pivots) and 5.2.3 (blocked factorisation).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.linalg
import torch
from scipy.linalg import lapack
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Box, Domain, Interval, SpaceTime, Time
from ungrid.encodings import Joined, Separable
from ungrid.equations import Continuity, Dirichlet, Elasticity, Initial, Problem, coefficients
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.objectives import Term
from ungrid.operators.jet import Jet, JetOperator, Jump, Partial
from ungrid.operators.linearise import Linearisation, linearise
from ungrid.pde.check import relative_residuals
from ungrid.pde.corners import flow_corners, hole_functions
from ungrid.pde.spaces import drawn
from ungrid.pde.terms import EQUATION, Counts, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import Found, Rows, prepared, user_partials

FIRST, GROWTH = {1: 16, 2: 12, 3: 8}, 1.35  # functions along an axis of space, by the number of axes
SHORT = 0.45  # as many along the time
MOST = 4500  # unknowns
ROWS = 2.0  # points of the equation for each function
ON_FACE = 3.0  # points on the boundary for each function along all axes; on a surface for each product of two axes
POWER = 2.6  # of the number of functions, with which the seconds grow
GOOD_ENOUGH, WORTH = 1e-11, 0.5  # of the check
TRIED, MEAN_ORDER = 64, 24  # points at which a condition is looked at; order of the mean of a function
MOMENTS = 16  # at which the mean of a function is zero
RANK = 1e-12  # of the first pivot: features below it do not count
STEPS = 25
CONVERGED = 1e-11  # a step, relative to the solution
SHORTEST = 2.0**-8  # of a damped step
KEPT = 0.1  # the residual must fall below this share of itself for a factorisation to be used again
STALLED = 0.99


def needs_system(problem: Problem) -> bool:
    """Whether a problem is solved here: several functions other than a displacement, or a density, and nothing to identify."""
    equation = problem.equation
    several = len(equation.out_names) > 1 and not isinstance(equation, Elasticity)
    return (several or isinstance(equation, Continuity)) and not (problem.unknowns or problem.measured)


@dataclass
class Block:
    """The rows of one term.

    Attributes:
        rows: the term with its features.
        basis: the orthonormal functions and their derivatives at its points, (n, k) each.
        sizes: of the derivatives of one wave over every axis.
    """

    rows: Rows
    basis: dict[Partial, np.ndarray]
    sizes: dict[Partial, float]

    def residual(self, axes: tuple[str, ...], weights: Tensor) -> np.ndarray:
        """The residual (n, e)."""
        return self.rows.residual_of(axes, weights, {}).numpy()

    def linearised(self, axes: tuple[str, ...], weights: Tensor) -> Linearisation:
        """The residual and its derivatives."""
        operator, partials = self.rows.term.operator, self.rows.partials
        if isinstance(operator, Jump):
            value = partials[operator.partial] @ weights
            rate = torch.eye(weights.shape[1], dtype=weights.dtype).expand(len(value), -1, -1)
            return Linearisation(value, {operator.partial: rate}, {})
        assert isinstance(operator, JetOperator)
        return linearise(operator.equation, self.rows.points, axes, lambda one: partials[one] @ weights)


@dataclass
class System:
    """All rows, the weights, and the way from coefficients to weights.

    Attributes:
        blocks: one for each term.
        axes: their names.
        weights: (features, functions).
        change: (features, k): its columns are the orthonormal functions.
        means: of the features over space, a row for each time, (t, features).
        scales: of the rows of every block, (n, e), as in the last matrix.
        free: the functions that are given the mean zero.
    """

    blocks: list[Block]
    axes: tuple[str, ...]
    weights: Tensor
    change: np.ndarray
    means: np.ndarray
    scales: list[np.ndarray] = field(default_factory=list, init=False)
    free: list[int] = field(default_factory=list, init=False)

    def matrix(self) -> np.ndarray:
        """The scaled rows at the weights, in column-major order, and their scales."""
        parts = [block.linearised(self.axes, self.weights) for block in self.blocks]
        components, k = self.weights.shape[1], self.change.shape[1]
        self.free = self._free(parts)
        heights = [part.residual.numel() for part in parts]
        found = np.zeros((sum(heights) + len(self.means) * len(self.free), components * k), order="F")
        self.scales, top = [], 0
        for block, part in zip(self.blocks, parts, strict=True):
            scale = self._scale(block, part)
            self.scales.append(scale)
            for e in range(scale.shape[1]):
                rows = slice(top + e * len(scale), top + (e + 1) * len(scale))
                for partial, rates in part.by_partial.items():
                    self._add(found[rows], scale[:, e, None] * rates[:, e].numpy(), block.basis[partial])
            top += part.residual.numel()
        for row, component in enumerate(self.free):
            rows = slice(top + row * len(self.means), top + (row + 1) * len(self.means))
            found[rows, component * k : (component + 1) * k] = self.means @ self.change
        return found

    @staticmethod
    def _add(rows: np.ndarray, rates: np.ndarray, basis: np.ndarray) -> None:
        k = basis.shape[1]
        for component in range(rates.shape[1]):
            if rates[:, component].any():
                rows[:, component * k : (component + 1) * k] += rates[:, component, None] * basis

    def _free(self, parts: list[Linearisation]) -> list[int]:
        """The functions of which only derivatives occur."""
        valued = [part.by_partial[()] for part in parts if () in part.by_partial]
        jumps = any(isinstance(block.rows.term.operator, Jump) for block in self.blocks)
        return [c for c in range(self.weights.shape[1]) if not jumps and not any(v[:, :, c].any() for v in valued)]

    @staticmethod
    def _scale(block: Block, part: Linearisation) -> np.ndarray:
        total = sum(rate.abs().sum(dim=2) * block.sizes[partial] for partial, rate in part.by_partial.items())
        assert isinstance(total, Tensor)
        shares = 1.0 if block.rows.weight is None else np.sqrt(block.rows.weight.numpy())[:, None]
        return np.asarray(shares * np.sqrt(block.rows.term.weight) / np.maximum(total.numpy(), 1e-300))

    def right(self) -> np.ndarray:
        """The scaled residual at the weights, with the opposite sign, ordered as the rows."""
        parts = [
            (scale * block.residual(self.axes, self.weights)).T.ravel()
            for block, scale in zip(self.blocks, self.scales, strict=True)
        ]
        return -np.concatenate([*parts, (self.means @ self.weights[:, self.free].numpy()).T.ravel()])

    def moved(self, step: np.ndarray, length: float) -> Tensor:
        """The weights after a step of the coefficients."""
        k = self.change.shape[1]
        return self.weights + length * torch.from_numpy(self.change @ step.reshape(-1, k).T)

    def iterate(self) -> Found:
        """Newton's method, each factorisation used as long as it serves."""
        found, factors = Found(), None
        size = float("inf")
        for _ in range(STEPS):
            fresh = factors is None
            if factors is None:
                factors = Triangular(self.matrix())
            right = self.right()
            size = _rms(right)
            found.residuals.append(size)
            if not np.isfinite(size):
                raise InputError("an equation that is NaN or infinite at some point", "finite coefficients and values")
            step = factors.solve(right)
            length, left = self._damped(step, size)
            done = _norm(self.change @ step.reshape(-1, self.change.shape[1]).T) <= CONVERGED * _norm(self.weights)
            if done or (fresh and left > STALLED * size):
                break
            if length < 1 or left > KEPT * size:
                factors = None
        return found

    def _damped(self, step: np.ndarray, size: float) -> tuple[float, float]:
        """Take the longest of the halved steps that makes the residual smaller: its length, 0 for none, and the residual."""
        start, length = self.weights, 1.0
        while length >= SHORTEST:
            self.weights = start
            self.weights = self.moved(step, length)
            left = _rms(self.right())
            if left < size:
                return length, left
            length /= 2
        self.weights = start
        return 0.0, size


class Triangular:
    """A factorisation without pivots of a matrix in column-major order, which it overwrites."""

    def __init__(self, matrix: np.ndarray) -> None:
        if not np.isfinite(matrix).all():
            raise InputError("an equation that is NaN or infinite at some point", "finite coefficients and values")
        self.lengths = np.linalg.norm(matrix, axis=0)
        self.lengths[self.lengths == 0] = 1.0
        matrix /= self.lengths
        self.space = 64 * (matrix.shape[1] + 1)
        self.factors, self.tau, _, _ = lapack.dgeqrf(matrix, lwork=self.space, overwrite_a=True)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """The solution of least squares; directions that the rows do not see stay as they are."""
        n = self.factors.shape[1]
        turned = lapack.dormqr("L", "T", self.factors, self.tau, right[:, None], lwork=self.space)[0][:n, 0]
        diagonal = np.abs(np.diag(self.factors))
        blind = diagonal < 1e-14 * diagonal.max()
        triangle = self.factors[:n]
        if blind.any():
            triangle = triangle.copy()
            triangle[blind, blind] = 1e30
        return np.asarray(scipy.linalg.solve_triangular(triangle, turned)) / self.lengths


def orthonormal(parts: list[Tensor]) -> np.ndarray:
    """The change from features to functions that are orthonormal in values and derivatives over all points, (features, k)."""
    stacked = np.concatenate([one.numpy() / max(float(one.abs().max()), 1e-300) for one in parts])
    triangle = scipy.linalg.qr(stacked, mode="r", overwrite_a=True)[0][: stacked.shape[1]]
    upper, pivots = scipy.linalg.qr(triangle, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(upper))
    rank = int((diagonal > RANK * diagonal[0]).sum())
    change = np.zeros((stacked.shape[1], rank))
    change[pivots[:rank]] = scipy.linalg.solve_triangular(upper[:rank, :rank], np.eye(rank))
    return change


def begin_with(u: NeuralField, problem: Problem) -> None:
    """Set each function to the mean of what conditions give for it: a gas without density would have no equations."""
    assert isinstance(u.network, Linear)
    rng = np.random.default_rng(0)
    for component in range(len(u.out_names)):
        given = [
            coefficients.values(
                "a value", c.value, problem.domain.sample_boundary(TRIED, rng, part=part).points, problem.axes
            )
            for c, parts in problem.boundary_conditions()
            if isinstance(c, Dirichlet | Initial) and c.component == component
            for part in parts
        ]
        if given:
            with torch.no_grad():
                u.network.weight[0, component] = float(np.mean(np.stack(given)))


def moments(problem: Problem) -> list[float | None]:
    """The times at which a function has a mean; None without time."""
    if not problem.changes:
        return [None]
    span = problem.domain.time
    return [
        span.start + share * span.length for share in (1 - np.cos(np.pi * (np.arange(MOMENTS) + 0.5) / MOMENTS)) / 2
    ]


def mean_of_features(u: NeuralField, problem: Problem, at: float | None) -> np.ndarray:
    """The means of the features over space, (features,)."""
    points, shares = (problem.domain if at is None else problem.domain.region).quadrature(MEAN_ORDER)
    places = points if at is None else np.column_stack([points, np.full(len(points), at)])
    values = user_partials(u, torch.from_numpy(places), [()])[()].numpy()
    return np.asarray(shares @ values / shares.sum())


def solve_system(u: NeuralField, problem: Problem, terms: list[Term]) -> Found:
    """Minimise the sum of the terms over the output layer of `u`, in place.

    Args:
        problem: the problem.
        u: a field whose encoding knows its partial derivatives and whose network is `Linear`, in double precision.
        terms: their points are `AllPoints`, their operators `JetOperator` or `Jump`, without targets.

    Raises:
        InputError: if the system is not finite.
    """
    assert isinstance(u.network, Linear)
    axes = tuple(axis.name for axis in u.domain.axes)
    rows = [prepared(u, term, axes, {}) for term in terms]
    half = [axis.length / 2 for axis in u.domain.axes]
    sizes = {partial: float(np.prod([math.pi / half[k] for k in partial])) for row in rows for partial in row.partials}
    inside = [row for row in rows if row.term.name == EQUATION]
    plain = isinstance(u.encoding, Separable) and is_box(problem.domain)  # independent and well scaled as they are
    if plain:
        change = np.eye(u.network.weight.shape[0])
    else:
        values = user_partials(u, inside[0].points, [()])[()]  # a constant counts, though equations may not see it
        change = orthonormal([values, *inside[0].partials.values()])
    means = np.stack([mean_of_features(u, problem, at) for at in moments(problem)])
    blocks = [
        Block(row, {p: v.numpy() if plain else v.numpy() @ change for p, v in row.partials.items()}, sizes)
        for row in rows
    ]
    system = System(blocks, axes, u.network.weight.detach().clone(), change, means)
    found = system.iterate()
    with torch.no_grad():
        u.network.weight.copy_(system.weights)
    return found


def even_counts(problem: Problem, count: int) -> tuple[int, ...]:
    """So many functions along every axis of space, fewer along the time."""
    return tuple(max(4, round(SHORT * count)) if name == "t" else count for name in problem.axes)


def separable_field(problem: Problem, counts: tuple[int, ...]) -> NeuralField:
    """An unfitted separable field with so many functions along every axis."""
    domain = problem.domain
    units = unit_scale(domain)
    extent = tuple(axis.length / 2 / s for axis, s in zip(domain.axes, units, strict=True))
    singular = () if problem.changes else (*hole_functions(domain, units), *flow_corners(problem))
    encoding = Joined((Separable(counts, extent), *singular)) if singular else Separable(counts, extent)
    network = Linear(encoding.out_features, len(problem.equation.out_names))
    torch.nn.init.zeros_(network.weight)
    return NeuralField(drawn(domain), encoding, network, out_names=problem.equation.out_names).double()


def system_terms(problem: Problem, u: NeuralField, counts: tuple[int, ...], *, seed: int) -> list[Term]:
    """The terms on enough points for a basis, which crowd towards the faces of a box."""
    assert isinstance(u.network, Linear)
    inside = round(ROWS * u.network.weight.shape[0])
    given = [part for _, parts in problem.boundary_conditions() for part in parts]
    sizes = {part: problem.domain.boundary_measure(part) for part in problem.domain.parts}
    repeated = sum(sizes[part] for part in given) / max(sum(sizes[part] for part in set(given)), 1e-300)
    faces = repeated * ON_FACE * 4 * max(counts) ** max(1, len(counts) - 1)
    terms = problem_terms(problem, Counts(inside, round(faces)), seed=seed)
    return [crowded(term, problem.domain) for term in terms] if is_box(problem.domain) else terms


def is_box(domain: Domain) -> bool:
    """Whether a domain is a box, or one over time."""
    return isinstance(domain.region if isinstance(domain, SpaceTime) else domain, Box | Interval | Time)


def crowded(term: Term, domain: Domain) -> Term:
    """A term with its even points moved towards the faces, ``x = sin(π s / 2)`` along every axis; faces stay faces."""
    assert isinstance(term.points, AllPoints)
    points, low, high = term.points.batch.points, torch.from_numpy(domain.low), torch.from_numpy(domain.high)
    middle, half = (low + high) / 2, (high - low) / 2
    return replace(term, points=AllPoints(middle + half * torch.sin(math.pi / 2 * (points - middle) / half)))


def climb_systems(
    problem: Problem, *, budget: float, seed: int, report: Callable[[dict[str, float]], None] | None
) -> FitResult:
    """Bases of more and more functions, while the check gains and time is left.

    Args:
        problem: one that `needs_system`.
        budget: seconds, within which the last basis should be solved.
        seed: of the points.
        report: called with each row of the history.

    Returns:
        The field with the least check; stats as those of `pde.solve`.

    Raises:
        InputError: if an equation gives values of a wrong shape or that are not finite.
    """
    began, history, best = time.perf_counter(), list[dict[str, float]](), None
    space = sum(name != "t" for name in problem.axes)
    count = FIRST[problem.domain.dim]
    while True:
        start = time.perf_counter()
        counts = even_counts(problem, count)
        u = separable_field(problem, counts)
        begin_with(u, problem)
        assert isinstance(u.network, Linear)
        features, functions = u.network.weight.shape
        found = solve_system(u, problem, system_terms(problem, u, counts, seed=seed))
        parts = relative_residuals(problem, u, {}, seed=seed + 1)
        check, seconds = max(parts.values()), time.perf_counter() - began
        history.append({"step": len(history) + 1.0, "seconds": seconds, "features": float(features),
                        "relative_residual": check, "progress": min(1.0, seconds / budget),
                        "eta": max(0.0, budget - seconds)})  # fmt: skip
        if report is not None:
            report(history[-1])
        worth = best is None or check < WORTH * best[1]
        best = (u, check, parts, found) if best is None or check < best[1] else best
        growth = (GROWTH**space) ** POWER
        count, last = round(GROWTH * count), time.perf_counter() - start
        unknowns = features * functions * GROWTH**space
        if not worth or check < GOOD_ENOUGH or seconds + growth * last > budget or unknowns > MOST:
            return _result(problem, best, history)


def _result(
    problem: Problem, best: tuple[NeuralField, float, dict[str, float], Found], history: list[dict[str, float]]
) -> FitResult:
    u, check, parts, found = best
    assert isinstance(u.network, Linear)
    stats = {
        "method": "separable network, Newton", "seconds": history[-1]["seconds"], "steps": len(found.residuals),
        "parameters": sum(p.numel() for p in u.parameters()), "features": u.network.weight.shape[0],
        "relative_residual": check, "residuals": parts, "unknowns": {}, "deviations": {}, "intervals": {},
        "problem": problem.name, "metrics": {"relative_residual": check},
    }  # fmt: skip
    return FitResult(u, Outcome.converged, history, stats)


def stream_velocity(field: NeuralField, points: np.ndarray) -> np.ndarray:
    """The velocity ``(ψ_y, -ψ_x)`` (n, 2) at points (n, d) of a field whose first output is a stream function ψ of x and y.

    Its divergence vanishes exactly, whatever the weights.
    """
    x, y = (axis.name for axis in field.domain.axes if axis.name != "t")
    jet = Jet(field, torch.as_tensor(points, dtype=torch.float64))
    return torch.stack([jet.d(y)[:, 0], -jet.d(x)[:, 0]], dim=1).detach().numpy()


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _norm(values: np.ndarray | Tensor) -> float:
    return float(np.linalg.norm(np.asarray(values)))
