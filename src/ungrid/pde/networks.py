"""Solving a problem with all weights of a network: what is left where no fixed basis does, and what others compare with.

Convention: the network is an MLP of unit coordinates, in double precision. It is trained in rounds: each has points of its own,
half of them where the residual of the last round was large (Wu et al. 2023, *A comprehensive study of non-adaptive and
residual-based adaptive sampling for physics-informed neural networks*), and weights of the terms with which no one of them
rules the Jacobian (Wang, Yu and Perdikaris 2022, *When and why PINNs fail to train: a neural tangent kernel perspective*).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.encodings import Identity
from ungrid.equations import Problem
from ungrid.fields import NeuralField
from ungrid.networks import MLP
from ungrid.objectives import Term
from ungrid.pde.check import relative_residuals
from ungrid.pde.spaces import drawn, hard_groups
from ungrid.pde.stepping import needs_galerkin
from ungrid.pde.terms import BOUNDARY_WEIGHT, EQUATION, Counts, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers import Adam, FitResult, Limits, Outcome, fit_terms
from ungrid.solvers.gauss_newton import GaussNewton
from ungrid.solvers.quasi_newton import LBFGS, Broyden
from ungrid.solvers.whole import Whole

Report = Callable[[dict[str, float]], None]

WIDTH, DEPTH = 24, 2  # 697 weights over the plane
POINTS = Counts(1000, 400)
POOL = 4  # candidates for every point that is drawn by the residual
BALANCED = 100  # points of a term with which its weight is found
SHORTEST = 1e-2  # seconds of a round
ADAM = Adam(lr=3e-3, final=0.1)


@dataclass(frozen=True)
class Rung:
    """How a network is trained: the strategies in turn, each with its share of the budget and its number of rounds."""

    title: str
    stages: tuple[tuple[Any, float, int], ...]

    @property
    def rounds(self) -> list[tuple[Any, float]]:
        """Every round's strategy and share of the budget."""
        return [(strategy, share / count) for strategy, share, count in self.stages for _ in range(count)]


NETWORK_SOLVERS = {
    "gauss-newton": Rung("network, Gauss-Newton", ((GaussNewton(), 1.0, 5),)),
    "broyden": Rung("network, Adam and self-scaled Broyden", ((ADAM, 0.2, 1), (Broyden(), 0.8, 1))),
    "adam": Rung("network, Adam and L-BFGS", ((ADAM, 0.3, 1), (LBFGS(), 0.7, 2))),
}


def check_network(problem: Problem) -> None:
    """Raise an InputError if a network cannot be trained on the problem."""
    if problem.unknowns:
        raise InputError(f"a network and the unknown {problem.unknowns[0].name!r}", 'solver="features"')
    if hard_groups(problem):
        raise InputError("a network and a hard condition", "soft ones", 'leave hard out, or solver="features"')
    if needs_galerkin(problem):
        raise InputError("a network over several materials", 'solver="features"')
    u = network_field(problem, 0)
    for term in problem_terms(problem, Counts(1, 1), seed=0):
        Whole(u, [term], [term.points.draw(0, torch.Generator())])  # refuses derivatives of a higher order


def can_train(problem: Problem) -> bool:
    """Whether a network can be trained on the problem."""
    try:
        check_network(problem)
    except InputError:
        return False
    return True


def train_network(
    problem: Problem, solver: str, *, budget: float, seed: int, report: Report | None, began: float | None = None
) -> FitResult:
    """A network trained on the equation and the conditions.

    Args:
        problem: with derivatives up to the second order and without unknown numbers.
        solver: a name among `NETWORK_SOLVERS`.
        budget: seconds.
        seed: of weights and points.
        report: called with each row of the history.
        began: when the clock of the history started; None for now.

    Returns:
        The field; its stats as those of `solve`.

    Raises:
        InputError: if the problem is of another kind.
    """
    check_network(problem)
    now, rung = time.perf_counter(), NETWORK_SOLVERS[solver]
    began, end = now if began is None else began, now + budget
    u, steps, outcome = network_field(problem, seed), 0, Outcome.budget
    history: list[dict[str, float]] = []
    inside = problem.domain.sample(POINTS.inside, np.random.default_rng(seed))
    best: tuple[float, dict[str, float], dict[str, Any]] = (math.inf, {}, {})
    left = 1.0
    for k, (strategy, share) in enumerate(rung.rounds):
        terms = balanced(u, problem_terms(problem, POINTS, seed=seed + 31 * k, inside=inside))
        remaining = end - time.perf_counter()
        if history and remaining <= 0:
            break
        spent = fit_terms(u, terms, strategy, Limits(budget=max(remaining, SHORTEST) * share / left), seed=seed)
        steps, left, outcome = steps + spent.stats["steps"], left - share, spent.outcome
        parts = relative_residuals(problem, u, {}, seed=seed + 1)
        check, seconds = max(parts.values()), time.perf_counter() - began
        history.append(
            {"step": float(steps), "seconds": seconds, "relative_residual": check,
             "progress": min(1.0, seconds / (end - began)), "eta": max(0.0, end - began - seconds)}
        )  # fmt: skip
        if report is not None:
            report(history[-1])
        if not best[2] or check < best[0]:
            best = check, parts, {name: value.clone() for name, value in u.state_dict().items()}
        if outcome in (Outcome.interrupted, Outcome.diverged):
            break
        inside = adapted(u, problem, inside, np.random.default_rng(seed + k + 1))
    u.load_state_dict(best[2])
    stats = {
        "method": rung.title, "seconds": time.perf_counter() - began, "steps": steps,
        "parameters": sum(p.numel() for p in u.parameters()), "relative_residual": best[0], "residuals": best[1],
        "unknowns": {}, "deviations": {}, "intervals": {}, "problem": problem.name,
        "metrics": {"relative_residual": best[0]},
    }  # fmt: skip
    return FitResult(u, outcome, history, stats)


def network_field(problem: Problem, seed: int) -> NeuralField:
    """The untrained network."""
    names, dim = problem.equation.out_names, problem.domain.dim
    network = MLP(dim, len(names), width=WIDTH, depth=DEPTH, activation="tanh", seed=seed)
    return NeuralField(drawn(problem.domain), Identity(dim), network, out_names=names).double()


def balanced(u: NeuralField, terms: list[Term]) -> list[Term]:
    """The terms, weighted by the inverse mean square of the rows of their Jacobian; conditions count `BOUNDARY_WEIGHT` more."""
    found = []
    for term in terms:
        points, target, weight = term.points.draw(0, torch.Generator())
        some = AllPoints(points[:BALANCED], *(None if t is None else t[:BALANCED] for t in (target, weight)))
        rows, _ = Whole(u, [replace(term, weight=1.0)], [some.batch]).system()
        share = 1.0 if term.name == EQUATION else BOUNDARY_WEIGHT
        found.append(replace(term, weight=share / max(float(rows.square().sum()), 1e-300)))
    return found


def adapted(u: NeuralField, problem: Problem, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """New points: half uniform, half drawn by the size of the residual among `POOL` times as many candidates."""
    half = len(inside) // 2
    pool = problem.domain.sample(POOL * half, rng)
    term = next(t for t in problem_terms(problem, POINTS, seed=0, inside=pool) if t.name == EQUATION)
    sizes = (
        Whole(u, [term], [term.points.draw(0, torch.Generator())]).residual().reshape(len(pool), -1).norm(dim=1).numpy()
    )
    if not sizes.any():
        return problem.domain.sample(len(inside), rng)
    chosen = rng.choice(len(pool), half, replace=False, p=(sizes + sizes.mean()) / (2 * sizes.sum()))
    return np.concatenate([pool[chosen], problem.domain.sample(len(inside) - half, rng)])
