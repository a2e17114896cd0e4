"""The parts of the error: a triangle, a damage that is known, a space that is too small."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.fields import FunctionField
from ungrid.pde.ladder import Ladder
from ungrid.pde.spaces import Features
from ungrid.solvers import FitResult, Outcome

EXAMPLE = pde.example("poisson-square")
PROBLEM = EXAMPLE.make()


def exact(points):
    return pde.exact_values(PROBLEM, EXAMPLE.exact, points)


def solved(count: int) -> FitResult:
    made = Ladder(PROBLEM, 1.0, 0, None).attempt(Features(count, 2.0, "tanh"))
    return FitResult(made.field, Outcome.exact, [], {"features": count})


def test_the_parts_are_at_least_the_total_and_the_best_fit_is_no_worse():
    for count in (40, 80, 160):
        parts = pde.split_error(PROBLEM, solved(count), exact)
        assert parts.total <= parts.approximation + parts.generalisation + parts.optimisation + 1e-14
        assert parts.approximation < 1.2 * parts.total  # least squares at other points
        assert parts.optimisation < 1e-8 * parts.total + 1e-12  # one solve is the minimiser
    assert parts.total < 1e-3


def test_a_damage_to_the_weights_is_the_optimisation_error():
    result = solved(80)
    damaged = copy.deepcopy(result.field)
    with torch.no_grad():
        damaged.network.weight += 0.1 * torch.randn(
            damaged.network.weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
    points = pde.check_points(PROBLEM, 0)
    damage = np.linalg.norm(damaged(points) - result.field(points)) / np.linalg.norm(exact(points))
    before = pde.split_error(PROBLEM, result, exact)
    after = pde.split_error(PROBLEM, replace(result, field=damaged), exact)
    assert after.optimisation == pytest.approx(damage, rel=1e-6)
    assert after.generalisation == pytest.approx(before.generalisation, rel=1e-4)
    assert after.approximation == pytest.approx(before.approximation, rel=1e-4)


def test_a_field_without_a_space_cannot_be_split():
    other = FitResult(FunctionField(PROBLEM.domain, torch.sin, ("u",)), Outcome.converged, [], {})
    assert not pde.can_split(other)
    with pytest.raises(InputError, match="one space"):
        pde.split_error(PROBLEM, other, exact)
