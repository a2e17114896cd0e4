"""Problems of several materials, and nonlinear ones of first order in time beyond a line: one solution, or steps of time.

Steps have Alexander's three implicit stages; a second solution of order 2 from the same stages tells how long the next step may
be. Between two times the field is the cubic of values and rates.

Sources: Hairer and Wanner 1996, *Solving ordinary differential equations II*, sections IV.6 (stages) and IV.8 (step sizes).
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ungrid._base.errors import InputError
from ungrid._base.tableaus import ALEXANDER, GAMMA
from ungrid.equations import Dirichlet, Initial, Problem, SecondOrder, coefficients
from ungrid.equations.equation import is_zero
from ungrid.fields import Field
from ungrid.pde.galerkin import Moment, NoRootError, Weak
from ungrid.pde.material_spaces import Space
from ungrid.pde.spaces import Features

FIRST_STEP, SHORTEST = 1 / 8192, 1e-7  # of the time
TOLERANCE = 3e-4  # of the error of a step, relative to the largest value, with `AT` features; it falls as their square
AT = 320
LONGER = 2.0
TRIAL_STEP = 1 / 16
CHECKS = 6  # moments at which a solution over time is checked
EMBEDDED = np.linalg.solve([[1.0, 1.0], [GAMMA, (1 + GAMMA) / 2]], [1.0, 0.5])  # order 2, of the first two stages


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
        """State and rate after a step, its length and its error: halved until that is small enough, or the step very short."""
        y, rate, length, error = self.possible(now, length)
        while error > self.tolerance and length > SHORTEST * self.weak.problem.domain.time.length:
            y, rate, length, error = self.possible(now, length / 2)
        return y, rate, length, error

    def possible(self, now: float, length: float) -> tuple[np.ndarray, np.ndarray, float, float]:
        """The same of the first of the halved steps whose equations have a solution that is found.

        Raises:
            NoRootError: if not even a very short one has.
        """
        while True:
            try:
                y, rate, error = self.step(now, length)
            except NoRootError:
                if length <= SHORTEST * self.weak.problem.domain.time.length:
                    raise
                length /= 2
            else:
                return y, rate, length, error

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
    found = {}
    for name, trace in weak.space.inside.items():
        at = np.column_stack([trace.points, np.full(len(trace.points), weak.problem.domain.time.start)])
        value = coefficients.in_material(given.value, name)
        found[name] = coefficients.values("the initial value", value, at, weak.problem.axes)
    return weak.space.closest(found)


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
        sums = [float(t.weights @ (t.values @ y[t.columns])) for t in space.inside.values()]
        mean = sum(sums) / sum(float(t.weights.sum()) for t in space.inside.values())
        return space.closest({name: np.full(len(t.points), mean) for name, t in space.inside.items()})


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
        check.add(*first_step(weak, TRIAL_STEP * problem.domain.time.length))
        field = None
    else:
        field = march(weak, check)
    return field, {"energy": check.worst}


def first_step(weak: Weak, length: float) -> tuple[np.ndarray, Moment]:
    """The state after an implicit step (Euler's) from the start, halved until its equations have a solution that is found."""
    time, known = weak.problem.domain.time, start(weak)
    while True:
        moment = Moment(time.start + length, known, length)
        try:
            return weak.root(known, moment), moment
        except NoRootError:
            if length <= SHORTEST * time.length:
                raise
            length /= 2


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
