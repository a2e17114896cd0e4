"""Solving a problem: the ladder of solvers, and the check of what they give.

The check never is the loss: it evaluates every equation and condition at points of its own. Its figure is the root mean
square of a residual divided by that of the sum of the sizes of its terms, ``Σ |a_α D_α u| + |b|``: 1e-6 says that six digits
cancel. It is what the ladder chooses by; it is no bound of the error.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from ungrid._base.devices import set_threads
from ungrid.equations import Measured, Problem
from ungrid.fields import NeuralField
from ungrid.networks import Linear
from ungrid.objectives import Term
from ungrid.operators.jet import JetOperator, Jump, Partial
from ungrid.operators.linearise import linearise
from ungrid.pde.spaces import random_field
from ungrid.pde.terms import EQUATION, Counts, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import Found, OutputLayer, prepared, solve_output_layer, user_partials

Report = Callable[[dict[str, float]], None]

SCALES = (1.0, 2.0, 3.5, 6.0, 10.0, 16.0)
PILOT = 160  # features with which the scale is chosen
ROWS_PER_FEATURE = 2.5  # of the equation
BOUNDARY_SHARE = 0.35  # boundary points for each point inside
GROWTH = 2.0
FIRST = 320
MOST = 3000  # features: then one solve takes about 10 s on two cores
GOOD_ENOUGH = 1e-13  # relative residual at which nothing is left to gain
WORTH = 0.7  # a larger basis must bring the check below this share of the last one


@dataclass
class Attempt:
    """One basis, solved and checked."""

    field: NeuralField
    check: float
    parts: dict[str, float]
    features: int
    scale: float
    found: Found
    seconds: float


@dataclass
class Ladder:
    """What has been tried within the budget."""

    problem: Problem
    budget: float
    seed: int
    report: Report | None
    began: float = field(default_factory=time.perf_counter)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def attempt(self, features: int, scale: float, *, keep: bool = True) -> Attempt:
        """Solve on a basis of its own and check it."""
        began = time.perf_counter()
        u = random_field(self.problem, features, scale, seed=self.seed)
        terms = problem_terms(self.problem, counts(features, self.problem), seed=self.seed)
        unknowns = {unknown.name: (unknown.start, unknown.positive) for unknown in self.problem.unknowns}
        found = solve_output_layer(u, terms, OutputLayer(), unknowns=unknowns)
        parts = relative_residuals(self.problem, u, found.parameters, seed=self.seed + 1)
        check = max(value for name, value in parts.items() if name != Measured.label)
        made = Attempt(u, check, parts, features, scale, found, time.perf_counter() - began)
        if keep:
            self.attempts.append(made)
        if self.report is not None:
            self.report(self.row(made))
        return made

    def row(self, made: Attempt) -> dict[str, float]:
        """A row of the history."""
        return {
            "step": float(len(self.attempts)), "seconds": self.seconds, "features": float(made.features),
            "scale": made.scale, "relative_residual": made.check, "progress": min(1.0, self.seconds / self.budget),
        }  # fmt: skip


def counts(features: int, problem: Problem) -> Counts:
    """Points for a basis: more rows than unknowns."""
    inside = round(ROWS_PER_FEATURE * (features + 1))
    return Counts(inside, round(BOUNDARY_SHARE * inside) if problem.domain.dim > 1 else 2)


def solve(
    problem: Problem,
    *,
    budget: float = 10.0,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
) -> FitResult:
    """Solve a problem by random features and least squares; a nonlinear one by Newton on the output layer.

    The slope of the features is chosen with few of them, then their number grows while the check gains and time is left.

    Args:
        problem: the problem.
        budget: seconds.
        seed: of features and points.
        threads: of the CPU; None takes all cores.
        report: called with each row of the history.

    Returns:
        The field. In the stats ``relative_residual`` (the largest over equation and conditions, on fresh points),
        ``residuals`` (each), ``unknowns`` and their ``deviations``, seconds and parameters; in the history the bases after
        the choice of the slope.

    Raises:
        InputError: if an equation gives values of a wrong shape or that are not finite.
    """
    set_threads(threads)
    ladder = Ladder(problem, budget, seed, report)
    scale = choose_scale(ladder)
    features, history = FIRST, []
    best: Attempt | None = None
    while best is None or (features <= MOST and ladder.seconds + 6 * ladder.attempts[-1].seconds < budget):
        made = ladder.attempt(features, scale)
        history.append(ladder.row(made))
        worth = best is None or made.check < WORTH * best.check
        best = made if best is None or made.check < best.check else best
        if not worth or best.check < GOOD_ENOUGH:
            break
        features = round(GROWTH * features)
    outcome = Outcome.exact if best.found.linear else Outcome.converged
    return FitResult(best.field, outcome, history, statistics(problem, best, ladder))


def choose_scale(ladder: Ladder) -> float:
    """The slope with the least check on a small basis, in which measured values count too."""
    tried = {scale: max(ladder.attempt(PILOT, scale, keep=False).parts.values()) for scale in SCALES}
    return min(tried, key=lambda scale: tried[scale])


def statistics(problem: Problem, best: Attempt, ladder: Ladder) -> dict[str, Any]:
    """The single numbers of a result."""
    return {
        "method": "random features, least squares", "seconds": ladder.seconds, "steps": len(best.found.residuals) - 1,
        "parameters": sum(p.numel() for p in best.field.parameters()), "features": best.features, "scale": best.scale,
        "relative_residual": best.check, "residuals": best.parts, "unknowns": best.found.parameters,
        "deviations": best.found.deviations, "problem": problem.name, "metrics": {"relative_residual": best.check},
    }  # fmt: skip


def relative_residuals(
    problem: Problem, u: NeuralField, parameters: dict[str, float], *, seed: int, points: int = 1000
) -> dict[str, float]:
    """The check of every term on points of its own, (root mean square residual) / (that of the sizes of its terms)."""
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}
    fresh = Counts(points, points // 2)
    terms = problem_terms(problem, fresh, seed=seed)
    unknowns = {unknown.name: (unknown.start, unknown.positive) for unknown in problem.unknowns}
    sizes: dict[Partial, torch.Tensor] = {}

    def typical(partial: Partial) -> torch.Tensor:
        if partial not in sizes:
            sizes[partial] = typical_size(u, terms, partial)
        return sizes[partial]

    return {term.name: relative_residual(u, term, numbers, unknowns, typical) for term in terms}


def typical_size(u: NeuralField, terms: list[Term], partial: Partial) -> torch.Tensor:
    """The root mean square over the domain of a derivative of every component, (c,)."""
    inside = next(term for term in terms if term.name == EQUATION)
    assert isinstance(inside.points, AllPoints)
    assert isinstance(u.network, Linear)
    rows = user_partials(u, inside.points.batch.points, [partial])[partial]
    return (rows @ u.network.weight.detach()).square().mean(dim=0).sqrt()


def relative_residual(
    u: NeuralField,
    term: Term,
    numbers: dict[str, torch.Tensor],
    unknowns: dict[str, tuple[float, bool]],
    typical: Callable[[Partial], torch.Tensor],
) -> float:
    """One term's check. Boundary terms count at least the size that their parts have inside, so that zeros can be met."""
    axes = tuple(axis.name for axis in u.domain.axes)
    rows = prepared(u, term, axes, unknowns)
    assert isinstance(u.network, Linear)
    weights = u.network.weight.detach()
    if isinstance(term.operator, Jump):
        residual = rows.partials[term.operator.partial] @ weights
        size = typical(term.operator.partial).expand_as(residual)
    else:
        assert isinstance(term.operator, JetOperator)
        found = linearise(
            term.operator.equation, rows.points, axes, lambda partial: rows.partials[partial] @ weights, numbers
        )
        target = torch.zeros_like(found.residual) if rows.target is None else rows.target
        residual, size = found.residual - target, found.residual.abs() + target.abs()
        for partial, rate in found.by_partial.items():
            size = size + (rate * (rows.partials[partial] @ weights)[:, None, :]).abs().sum(dim=2)
            if term.name != EQUATION:
                size = size + (rate.abs() * typical(partial)).sum(dim=2)
    scale = float(size.square().mean().sqrt())
    return float(residual.square().mean().sqrt()) / max(scale, 1e-300)
