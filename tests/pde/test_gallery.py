"""The gallery's exact solutions satisfy its equations and conditions, and the solver finds them."""

import numpy as np
import pytest

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike

KNOWN = [name for name, each in pde.GALLERY.items() if each.exact is not None and not each.make().unknowns]
LONG = {
    "burgers",
    "step",
    "kovasznay",
    "taylor-green",
    "bearing",
    "isentropic",
    "continuity",
    "resonator-3d",
}  # have tests of their own
THIRD = {"taylor-green"}  # derivatives of third order
SECONDS = {"wave": 8.0, "plate-with-hole": 8.0}  # of the others 0.6
STEP = 1e-3


class Differences(JetLike):
    """A closed form with derivatives by central differences."""

    def __init__(self, problem, exact, points):
        self.axes, self.points = problem.axes, points
        self.at = lambda shift: pde.exact_values(problem, exact, points + shift)

    @property
    def value(self):
        return self.at(0.0)

    def d(self, *axes):
        step, *others = (STEP * np.eye(len(self.axes))[self.axes.index(axis)] for axis in axes)
        if not others:
            return (self.at(step) - self.at(-step)) / (2 * STEP)
        if axes[0] == axes[1]:
            return (self.at(step) - 2 * self.value + self.at(-step)) / STEP**2
        ends = [self.at(step + sign * others[0]) - self.at(sign * others[0] - step) for sign in (1, -1)]
        return (ends[0] - ends[1]) / (4 * STEP**2)

    def evaluate(self, function):
        return function(self.points)

    def of_value(self, function):
        return function(self.points, self.value[:, 0])[:, None]

    def parameter(self, name):
        raise AssertionError(name)


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in LONG])
def test_the_solver_finds_the_exact_solution(name):
    problem, exact = pde.example(name).make(), pde.example(name).exact
    result = pde.solve(problem, budget=SECONDS.get(name, 0.6))
    points = pde.check_points(problem, 0)
    apart = pde.distance(result.field, pde.exact_values(problem, exact, points), points)
    assert apart.relative_l2 < 2e-3


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in THIRD])
def test_the_exact_solution_satisfies_equation_and_conditions_by_differences(name):
    problem, exact = pde.example(name).make(), pde.example(name).exact
    rng = np.random.default_rng(0)
    points = problem.domain.sample(400, rng)
    inside = Differences(problem, exact, points[(points > problem.domain.low + STEP).all(axis=1)])
    largest = max(1.0, *(float(np.abs(inside.d(axis, axis)).max()) for axis in problem.axes))
    assert np.abs(problem.equation.residual(inside)).max() < 3e-4 * largest
    for condition, parts in problem.boundary_conditions():
        for part in parts:
            sample = problem.domain.sample_boundary(50, rng, part=part)
            jet = Differences(problem, exact, sample.points)
            assert np.abs(condition.residual(jet, sample.normals)).max() < 3e-4
            if getattr(condition, "rate", None) is not None:
                assert np.abs(condition.rate_residual(jet)).max() < 1e-4 * largest


def test_an_unknown_name():
    with pytest.raises(InputError, match="poisson-lshape"):
        pde.example("nothing")
