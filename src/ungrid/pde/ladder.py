"""Solving a problem: the ladder of solvers.

It goes by the check (`pde.check`) of what they give, which never is the loss, and is no bound of the error. Over an interval
and time, nonlinear equations are marched (`pde.marching`), and linear ones where one basis for all times stays poor. Waves in
closed cavities have modes (`pde.cavities`). Elsewhere the last rung trains a whole network (`pde.networks`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

from ungrid._base.devices import set_threads
from ungrid._base.errors import InputError
from ungrid.equations import Elasticity, Measured, Problem
from ungrid.fields import SlabField
from ungrid.pde.cavities import is_cavity, solve_cavity
from ungrid.pde.check import relative_residuals
from ungrid.pde.marching import Slab, can_march, march
from ungrid.pde.networks import NETWORK_SOLVERS, can_train, train_network
from ungrid.pde.spaces import Features, hard_groups, random_field
from ungrid.pde.stepping import check_galerkin, needs_galerkin, solve_weak
from ungrid.pde.systems import climb_systems, needs_system
from ungrid.pde.terms import Counts, problem_terms
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import Found, OutputLayer, solve_output_layer

Report = Callable[[dict[str, float]], None]

SOLVERS = ("auto", "features", *NETWORK_SOLVERS)
LAST = "gauss-newton"  # the rung where features stay poor
SCALES = (1.0, 2.0, 3.5, 6.0, 10.0, 16.0)
SHAPES = ("sine", "tanh")
SMOOTH_SHAPES = ("tanh",)  # where places are chosen, and of elastic bodies, which do not oscillate
PILOTS = (160, 320, 640, 1280)  # features with which shape and slope are chosen
KEPT = 6  # of the trials for a larger pilot
MUCH = 3.0
GOOD, EXCELLENT = 1e-6, 1e-10  # for a basis of the first pilot: enough once the next is worse, and at once
POOR = 1e-2  # a check above it says little
HOPELESS = 0.1
PILOT_SHARE = 0.15  # of the budget, after which no larger pilot is begun
CHECKED, TRIED = 1000, 400  # points of the equation at which a solution is checked, and a first trial
ROWS_PER_FEATURE = 2.5  # of the equation
BOUNDARY_SHARE = 0.35  # boundary points for each point inside
GROWTH = 2.0
FIRST = 320
MOST = 3000  # features: then one solve takes about 10 s on two cores
GOOD_ENOUGH = 1e-13  # relative residual at which nothing is left to gain
MARCH = 2.0  # seconds, without which no march and no network is begun
BELOW_NOISE = 1e-5  # relative residual at which measurements, not equations, limit what is known
WORTH = 0.7  # a larger basis must bring the check below this share of the last one


@dataclass
class Attempt:
    """One basis, solved and checked."""

    field: Any
    check: float
    parts: dict[str, float]
    features: Features
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

    def attempt(self, features: Features, *, keep: bool = True, points: int = CHECKED) -> Attempt:
        """Solve on a basis of its own and check it; a trial leaves measurements out, and unknowns where they start."""
        began = time.perf_counter()
        if needs_galerkin(self.problem):
            field, parts = solve_weak(self.problem, features, seed=self.seed, trial=not keep)
            return self._made(
                Attempt(field, max(parts.values()), parts, features, Found(), time.perf_counter() - began), keep
            )
        u = random_field(self.problem, features, seed=self.seed)
        terms = problem_terms(self.problem, counts(features.count, self.problem), seed=self.seed)
        best = self.attempts[-1].found.parameters if self.attempts else {}
        unknowns = {one.name: (best.get(one.name, one.start), one.positive) for one in self.problem.unknowns}
        if not keep:
            terms = [term for term in terms if term.name != Measured.label]
        found = solve_output_layer(u, terms, OutputLayer(search=keep), unknowns=unknowns)
        parts = relative_residuals(self.problem, u, found.parameters, seed=self.seed + 1, points=points)
        check = max(value for name, value in parts.items() if name != Measured.label)
        return self._made(Attempt(u, check, parts, features, found, time.perf_counter() - began), keep)

    def _made(self, made: Attempt, keep: bool) -> Attempt:
        if keep:
            self.attempts.append(made)
        if self.report is not None:
            self.report(self.row(made))
        return made

    def row(self, made: Attempt) -> dict[str, float]:
        """A row of the history."""
        seconds = self.seconds
        return {
            "step": float(len(self.attempts)), "seconds": seconds, "features": float(made.features.count),
            "scale": made.features.scale, "relative_residual": made.check, "progress": min(1.0, seconds / self.budget),
            "eta": max(0.0, self.budget - seconds),
        }  # fmt: skip


def counts(features: int, problem: Problem) -> Counts:
    """Points for a basis: more rows than unknowns."""
    inside = round(ROWS_PER_FEATURE * (features + 1))
    return Counts(inside, round(BOUNDARY_SHARE * inside) if problem.domain.dim > 1 else 2)


def solve(
    problem: Problem,
    *,
    solver: str = "auto",
    budget: float = 10.0,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
) -> FitResult:
    """Solve a problem by random features and least squares; a nonlinear one by Newton on the output layer.

    Shape and slope of the features are chosen with few of them, then their number grows while the check gains and time is left.
    Where that stays poor, a whole network is trained in the time that is left.

    Args:
        problem: the problem.
        solver: "auto", "features" without the last rung, or "gauss-newton", "broyden" or "adam" for a whole network alone.
        budget: seconds.
        seed: of features and points.
        threads: of the CPU; None takes all cores.
        report: called with each row of the history.

    Returns:
        The field. In the stats ``relative_residual`` (the largest over equation and conditions, on fresh points),
        ``residuals`` (each), ``unknowns`` and their ``deviations``, seconds and parameters; in the history the bases after
        the choice of the slope.

    Raises:
        InputError: if an equation gives values of a wrong shape or that are not finite, or the solver is unknown or cannot
            take the problem.
    """
    set_threads(threads)
    if solver not in SOLVERS:
        raise InputError(f"the solver {solver!r}", f"one of {', '.join(SOLVERS)}")
    if solver in NETWORK_SOLVERS:
        return train_network(problem, solver, budget=budget, seed=seed, report=report)
    if is_cavity(problem):
        return solve_cavity(problem, budget=budget, seed=seed, report=report)
    if needs_system(problem):
        return climb_systems(problem, budget=budget, seed=seed, report=report)
    if needs_galerkin(problem):
        check_galerkin(problem)
    else:
        hard_groups(problem)  # refuses what cannot be hard
    if can_march(problem) and not problem.is_linear:
        return marched(problem, budget=budget, seed=seed, report=report)
    ladder = Ladder(problem, budget, seed, report)
    found = climbed(ladder)
    left = budget - ladder.seconds
    if found.stats["relative_residual"] < POOR or left < MARCH:
        return found
    if can_march(problem):
        other = marched(problem, budget=left, seed=seed, report=report, began=ladder.began)
    elif solver == "auto" and can_train(problem):
        other = train_network(problem, LAST, budget=left, seed=seed, report=report, began=ladder.began)
    else:
        return found
    return min(other, found, key=lambda result: result.stats["relative_residual"])


def climbed(ladder: Ladder) -> FitResult:
    """Bases for the whole domain, of more and more features."""
    chosen = choose_features(ladder)
    count, history = max(FIRST, 2 * pilots(ladder.problem)[0]), []
    best: Attempt | None = None
    while best is None or (count <= MOST and ladder.seconds + 6 * ladder.attempts[-1].seconds < ladder.budget):
        made = ladder.attempt(replace(chosen, count=count))
        history.append(ladder.row(made))
        worth = best is None or made.check < WORTH * best.check
        best = made if best is None or made.check < best.check else best
        if (not worth and best.check < POOR) or best.check < (BELOW_NOISE if ladder.problem.unknowns else GOOD_ENOUGH):
            break
        count = round(GROWTH * count)
    outcome = Outcome.exact if best.found.linear else Outcome.converged
    return FitResult(best.field, outcome, history, statistics(ladder.problem, best, ladder))


def marched(
    problem: Problem, *, budget: float, seed: int, report: Report | None, began: float | None = None
) -> FitResult:
    """The slabs of a problem that `can_march`, as one field; the check is that of the worst slab."""
    began = time.perf_counter() if began is None else began
    history: list[dict[str, float]] = []

    def show(share: float, slab: Slab, ridges: int) -> None:
        seconds = time.perf_counter() - began
        history.append(
            {"step": len(history) + 1.0, "seconds": seconds, "features": float(ridges), "time": slab.end,
             "relative_residual": slab.check, "progress": share, "eta": seconds * (1 / share - 1)}
        )  # fmt: skip
        if report is not None:
            report(history[-1])

    slabs = march(problem, budget=budget, seed=seed, report=show)
    field = SlabField(tuple(slab.field for slab in slabs))
    worst = max(slab.check for slab in slabs)
    parts = {name: max(slab.parts[name] for slab in slabs) for name in slabs[0].parts}
    stats = {
        "method": "time slabs of ridges, Newton", "seconds": time.perf_counter() - began, "steps": len(slabs),
        "parameters": sum(p.numel() for p in field.parameters()), "features": int(history[-1]["features"]),
        "relative_residual": worst, "residuals": parts, "unknowns": {}, "deviations": {}, "intervals": {},
        "problem": problem.name,
        "metrics": {"relative_residual": worst},
    }  # fmt: skip
    return FitResult(field, Outcome.converged, history, stats)


def choose_features(ladder: Ladder) -> Features:
    """Shape and slope with the least check on a small basis.

    Where the best is still poor, so that it says little, the better ones are tried again with more features.
    """
    tried = first_trials(ladder)
    for count in pilots(ladder.problem)[1:]:
        least = min(tried.values())
        if (
            least < POOR
            or ladder.seconds > PILOT_SHARE * ladder.budget
            or (least > HOPELESS and can_march(ladder.problem))
        ):
            break
        better = sorted(tried, key=lambda features: tried[features])[:KEPT]
        again = [replace(features, count=count) for features in better]
        tried = {features: ladder.attempt(features, keep=False).check for features in again}
    return min(tried, key=lambda features: tried[features])


def pilots(problem: Problem) -> tuple[int, ...]:
    """The sizes of bases with which shape and slope are chosen; several functions together need larger ones."""
    return PILOTS if len(problem.equation.out_names) == 1 else PILOTS[1:]


def first_trials(ladder: Ladder) -> dict[Features, float]:
    """The checks of the smallest bases, by shape and rising slope.

    They fall and rise with the slope: two much worse ones in a row end a shape's search, one the whole search where the best is
    good already, and an excellent one at once.
    """
    tried: dict[Features, float] = {}
    smooth = needs_galerkin(ladder.problem) or isinstance(ladder.problem.equation, Elasticity)
    for shape in SMOOTH_SHAPES if smooth else SHAPES:
        found: list[float] = []
        for scale in SCALES:
            features = Features(pilots(ladder.problem)[0], scale, shape)
            tried[features] = ladder.attempt(features, keep=False, points=TRIED).check
            found.append(tried[features])
            if len(found) > 2 and min(found[-2:]) > MUCH * min(found):
                break
            if found[-1] < EXCELLENT or (min(found) < GOOD and found[-1] > min(found)):
                return tried
    return tried


def statistics(problem: Problem, best: Attempt, ladder: Ladder) -> dict[str, Any]:
    """The single numbers of a result."""
    return {
        "method": f"random features, {'Galerkin' if needs_galerkin(problem) else 'least squares'}",
        "seconds": ladder.seconds, "steps": len(best.found.residuals) - 1,
        "parameters": sum(p.numel() for p in best.field.parameters()), "features": best.features.count,
        "scale": best.features.scale, "shape": best.features.shape,
        "relative_residual": best.check, "residuals": best.parts, "unknowns": best.found.parameters,
        "deviations": best.found.deviations, "covariance": best.found.covariance, "intervals": intervals(best.found),
        "problem": problem.name, "metrics": {"relative_residual": best.check},
    }  # fmt: skip


def intervals(found: Found, level: float = 0.9) -> dict[str, tuple[float, float]]:
    """The interval of each unknown number that covers it with this probability, from its deviation (normal)."""
    quantile = NormalDist().inv_cdf((1 + level) / 2)
    return {
        name: (found.parameters[name] - quantile * deviation, found.parameters[name] + quantile * deviation)
        for name, deviation in found.deviations.items()
    }
