"""A domain in overlapping parts, each with a basis of its own, which agree about what lies between them: Schwarz's method.

For problems too large for one basis or one machine: a part's system is factorised once, by the process whose part it is, and
what is exchanged are values on the cuts alone (`ungrid.solvers.processes`; with one process the parts follow each other).

Convention: a *cut* is what bounds a part and not the domain. Values on the cuts (n,) are those of all parts, one after another;
each part is solved with them as Dirichlet's condition, and answers with its own values on the cuts of its neighbours: a map
whose fixed point is the solution of the whole. Differences are relative to the largest value.

Sources: Schwarz 1870; Lions 1988, *On the Schwarz alternating method I* (convergence); Anderson 1965 and Walker and Ni 2011,
*Anderson acceleration for fixed-point iterations*, equation 2.1; Moseley, Markham and Nissen-Meyer 2023, *Finite basis
physics-informed neural networks* (networks on overlapping parts).
"""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ungrid._base.devices import set_threads
from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, Composite, Region, SpaceTime
from ungrid.equations import Condition, Dirichlet, Initial, Problem, SecondOrder
from ungrid.fields import Field, NeuralField, PatchField
from ungrid.objectives import Term
from ungrid.operators import JetOperator
from ungrid.pde.check import checked
from ungrid.pde.ladder import Ladder, Report, choose_features, climbed, counts
from ungrid.pde.spaces import Features, random_field
from ungrid.pde.stepping import needs_galerkin
from ungrid.pde.terms import Counts, is_hard, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import OutputLayer, Repeated
from ungrid.solvers.processes import part, shared, summed

CUT = "cut between parts"
OVERLAP = 0.4  # of two neighbours, as a share of a part's width
COARSE = 320  # features of the first guess
COARSE_SHARE, PART_SHARE = 0.2, 0.6  # of the budget: for the guess, and for all parts' bases
ROUNDS, MEMORY = 60, 20  # of the exchange: at most, and those that the acceleration knows
AGREED, STALLED = 1e-13, 4  # relative change at which the exchange ends, or rounds without a smaller one
CHECKED = 1000


@dataclass
class Part:
    """One part, solved again for every round.

    Attributes:
        problem: on the part, with Dirichlet's condition on its cuts.
        u: its field.
        points: on its cuts (m, d).
        given: the values there (m, 1).
        system: its factorised equations.
    """

    problem: Problem
    u: NeuralField
    points: np.ndarray
    given: Tensor
    system: Repeated

    def solve(self, given: np.ndarray) -> None:
        """For these values (m,) on the cuts."""
        self.given[:, 0] = torch.from_numpy(given)
        self.system.solve()


def solve_in_parts(
    problem: Problem,
    number: int = 2,
    *,
    axis: str | None = None,
    budget: float = 20.0,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
) -> FitResult:
    """Solve a problem on overlapping parts that exchange the values between them.

    Args:
        problem: of second order for one function, without unknown numbers, measurements, hard or periodic conditions.
        number: of parts.
        axis: along which the domain is cut; None takes the longest axis of space.
        budget: seconds for the choice of the bases; the exchange takes a few more.
        seed: of features and points.
        threads: of the CPU; None takes all cores.
        report: called with each row of the history.

    Returns:
        One field of all parts, the same in every process. In the stats ``rounds``, ``relative_residual`` (as `pde.solve`),
        ``disagreement`` (the largest relative difference between neighbours on the cuts); in the history a row for each round.

    Raises:
        InputError: if the problem is of another kind, or there is no such axis.
    """
    set_threads(threads)
    began = time.perf_counter()
    regions = overlapping(problem, number, axis)
    me, processes = part()
    start = coarse_solution(problem, COARSE_SHARE * budget, seed)
    each = PART_SHARE * budget / -(-number // processes)
    own = {k: made(problem, regions[k], start, each, seed + k) for k in range(me, number, processes)}
    exchange = Exchange(problem, regions, own)
    history: list[dict[str, float]] = []

    def show(change: float) -> None:
        step, seconds = len(history) + 1.0, time.perf_counter() - began
        history.append({"step": step, "seconds": seconds, "disagreement": change, "progress": step / ROUNDS})
        if report is not None:
            report(history[-1])

    values = fixed_point(exchange, np.asarray(start(exchange.points))[:, 0], show)
    left = relative(exchange(values), values)
    every = shared({k: one.u for k, one in own.items()})
    field = PatchField(tuple(every[k] for k in range(number)))
    residuals = worst_residuals(own, seed)
    check = max(residuals.values())
    stats = {
        "method": f"{number} overlapping parts of random features, least squares", "seconds": time.perf_counter() - began,
        "steps": len(history), "rounds": len(history), "parts": number, "processes": processes, "disagreement": left,
        "parameters": sum(p.numel() for p in field.parameters()), "relative_residual": check, "residuals": residuals,
        "unknowns": {}, "deviations": {}, "intervals": {}, "problem": problem.name, "metrics": {"relative_residual": check},
    }  # fmt: skip
    return FitResult(field, Outcome.converged, history, stats)


def check_parts(problem: Problem) -> Region:
    """The region of space of a problem that can be solved in parts.

    Raises:
        InputError: if it cannot.
    """
    domain = problem.domain
    region = domain.region if isinstance(domain, SpaceTime) else domain
    hard = any(is_hard(condition) for condition, _ in problem.boundary_conditions())
    if not isinstance(problem.equation, SecondOrder) or isinstance(region, Composite) or needs_galerkin(problem):
        raise InputError(f"{problem.name} in parts", "an equation of second order for one function, of one material")
    if hard or problem.unknowns or problem.measured or problem.periodic:
        raise InputError(f"{problem.name} in parts", "no unknowns, measurements, hard or periodic conditions")
    found: Region = region
    return found


def overlapping(problem: Problem, number: int, axis: str | None) -> list["Strip"]:
    """The domain in strips across an axis, from its low end on."""
    region = check_parts(problem)
    names = [one.name for one in region.axes]
    if number < 2 or (axis is not None and axis not in names):
        raise InputError(f"{number} parts along {axis}", f"at least two along one of {', '.join(names)}")
    column = names.index(axis) if axis is not None else int(np.argmax(region.high - region.low))
    ends = np.linspace(region.low[column], region.high[column], number + 1)
    return [Strip(region, column, float(a), float(b)) for a, b in pairwise(ends)]


@dataclass(frozen=True)
class Strip:
    """What of a region lies between two places on an axis, and somewhat more."""

    region: Region
    column: int
    low: float
    high: float

    def domain(self, of: Any) -> Any:
        """The part of a problem's domain, its neighbours' ends included."""
        extent = self.region.high - self.region.low
        low, high = self.region.low - extent, self.region.high + extent  # beside the region: no cuts there
        more = OVERLAP / 2 * (self.high - self.low)
        if self.low > self.region.low[self.column]:
            low[self.column] = self.low - more
        if self.high < self.region.high[self.column]:
            high[self.column] = self.high + more
        axes = zip(self.region.axes, low.tolist(), high.tolist(), strict=True)
        box = Box(*(Axis(one.name, a, b, one.unit) for one, a, b in axes)).named(CUT)
        return (self.region & box) * of.time if isinstance(of, SpaceTime) else self.region & box

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Whether points (n, d) are its own."""
        return (points[:, self.column] >= self.low) & (points[:, self.column] < self.high)


def on_part(problem: Problem, strip: Strip, between: Callable[[np.ndarray], np.ndarray]) -> Problem:
    """The problem on a part, with the values of a function of points on its cuts."""
    domain = strip.domain(problem.domain)

    def value(*columns: np.ndarray) -> np.ndarray:
        return np.asarray(between(np.stack(columns, axis=-1)))[:, 0]

    names = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in problem.axes]
    value.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    conditions: list[Condition] = [Dirichlet(value, CUT)]
    for condition, parts in problem.boundary_conditions():
        left = tuple(name for name in parts if name in domain.parts)
        if left:
            conditions.append(condition if isinstance(condition, Initial) else replace(condition, on=left))
    return Problem(domain, problem.equation, conditions, name=problem.name)


def coarse_solution(problem: Problem, budget: float, seed: int) -> Field:
    """A first guess of the whole, which every process makes for itself."""
    ladder = Ladder(problem, budget, seed, None)
    found: Field = ladder.attempt(replace(choose_features(ladder), count=COARSE)).field
    return found


def made(problem: Problem, strip: Strip, start: Field, budget: float, seed: int) -> Part:
    """A part with the basis that does best for the values of the first guess on its cuts."""
    sub = on_part(problem, strip, start)
    stats = climbed(Ladder(sub, budget, seed, None)).stats
    features = Features(stats["features"], stats["scale"], stats["shape"])
    u = random_field(sub, features, seed=seed)
    terms = problem_terms(sub, counts(features.count, sub), seed=seed)
    place = next(k for k, term in enumerate(terms) if term.name.endswith(f": {CUT}"))
    drawn = terms[place].points
    assert isinstance(drawn, AllPoints)
    points = drawn.batch.points
    given = torch.zeros(len(points), 1, dtype=points.dtype)

    def residual(jet: Any) -> Tensor:  # a jet at one point asks which derivatives occur
        found: Tensor = jet.value - given[: len(jet.points)]
        return found

    terms[place] = replace(terms[place], operator=JetOperator(residual, problem.axes))
    return Part(sub, u, points.numpy(), given, Repeated(u, terms, OutputLayer()))


class Exchange:
    """From values on all cuts to their change by a round.

    Attributes:
        points: on all cuts (n, d).
    """

    def __init__(self, problem: Problem, strips: list[Strip], own: dict[int, Part]) -> None:
        lengths = np.zeros(len(strips), np.int64)
        for k, one in own.items():
            lengths[k] = len(one.points)
        ends = np.cumsum(summed(lengths))
        self.own, self.rows = own, [slice(b - n, b) for b, n in zip(ends.tolist(), lengths.tolist(), strict=True)]
        self.points = np.zeros((int(ends[-1]), problem.domain.dim))
        for k, one in own.items():
            self.points[self.rows[k]] = one.points
        summed(self.points)
        self.asked = {
            k: np.flatnonzero(strips[k].holds(self.points)) for k in own
        }  # no cut lies at an end of the domain

    def __call__(self, values: np.ndarray) -> np.ndarray:
        found = np.zeros_like(values)
        for k, one in self.own.items():
            one.solve(values[self.rows[k]])
            found[self.asked[k]] = np.asarray(one.u(self.points[self.asked[k]]))[:, 0]
        return summed(found) - values


def relative(change: np.ndarray, values: np.ndarray) -> float:
    """The largest change, relative to the largest value."""
    return float(np.abs(change).max(initial=0.0)) / max(float(np.abs(values).max(initial=0.0)), 1e-300)


def fixed_point(
    exchange: Callable[[np.ndarray], np.ndarray], values: np.ndarray, show: Callable[[float], None]
) -> np.ndarray:
    """The values that a round leaves as they are, as far as rounds come (Walker and Ni 2011, equation 2.1)."""
    places, changes, best, least, since = list[np.ndarray](), list[np.ndarray](), values, np.inf, 0
    for _ in range(ROUNDS):
        change = exchange(values)
        size = relative(change, values)
        show(size)
        best, least, since = (values, size, 0) if size < least else (best, least, since + 1)
        if size <= AGREED or since >= STALLED:
            break
        places, changes = [*places, values][-MEMORY:], [*changes, change][-MEMORY:]
        values = values + change
        if len(changes) > 1:
            turns, moves = np.diff(np.stack(changes, axis=1)), np.diff(np.stack(places, axis=1))
            values = values - (moves + turns) @ np.linalg.lstsq(turns, change, rcond=None)[0]
    return best


def worst_residuals(own: dict[int, Part], seed: int) -> dict[str, float]:
    """The check of equation and conditions, the worst of all parts; of the cuts `disagreement` tells."""
    found: dict[str, float] = {}
    for one in own.values():
        terms = problem_terms(one.problem, Counts(CHECKED, CHECKED // 2), seed=seed + 1)
        kept: list[Term] = [term for term in terms if not term.name.endswith(f": {CUT}")]
        for name, value in checked(one.u, kept, one.problem, {}).items():
            found[name] = max(value, found.get(name, 0.0))
    return found
