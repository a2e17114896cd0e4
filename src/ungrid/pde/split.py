"""The error of a solution by its causes: what its space cannot hold, what its equations miss, what its solver left.

Convention: u is the field, V the span of its features, r the reference; |.| is the relative L2 norm at points of its own.
`approximation` is |u_F - r| for the member u_F of V nearest to r, `generalisation` |u_T - u_F| for the member u_T of V that
solves the collocated equations best, `optimisation` |u - u_T|. Their sum is at least |u - r|.

Source: Lu, Meng, Mao and Karniadakis 2021, *DeepXDE*, SIAM Review 63, section 2.3.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.equations import Problem
from ungrid.fields import NeuralField
from ungrid.networks import Linear
from ungrid.pde.ladder import counts
from ungrid.pde.referee import check_points, distance
from ungrid.pde.terms import problem_terms
from ungrid.solvers import FitResult
from ungrid.solvers.output_layer import OutputLayer, least_squares, solve_output_layer, user_partials

Reference = Callable[[np.ndarray], np.ndarray]
"""From points (n, d) to values (n, c)."""

FITTED = 3.0  # points of the best fit for each feature
CONVERGED = OutputLayer(steps=100, tolerance=1e-14)


@dataclass(frozen=True)
class ErrorSplit:
    """The parts of the error, each relative in L2 to the reference.

    Attributes:
        approximation: of the best member of the field's space.
        generalisation: from there to the best solution of the collocated equations.
        optimisation: from there to the field.
        total: of the field; at most the sum.
    """

    approximation: float
    generalisation: float
    optimisation: float
    total: float


def can_split(result: FitResult) -> bool:
    """Whether the result's field is of one space: not in slabs."""
    return isinstance(result.field, NeuralField) and isinstance(result.field.network, Linear)


def split_error(problem: Problem, result: FitResult, reference: Reference, *, seed: int = 0) -> ErrorSplit:
    """Split the distance of a solution from a reference.

    Args:
        problem: what was solved, without unknown numbers.
        result: what `solve` gave.
        reference: the true solution, or one that is nearer to it than the field, such as `pde.reference` gives.
        seed: the one that `solve` had.

    Raises:
        InputError: if the field is not of one space, or the problem has unknown numbers.
    """
    u = result.field
    if not can_split(result) or problem.unknowns:
        raise InputError(f"a {type(u).__name__} with {len(problem.unknowns)} unknown numbers", "a field of one space")
    assert isinstance(u, NeuralField)
    points = check_points(problem, seed)
    truth = np.asarray(reference(points))
    nearest, solved = best_fit(u, problem, reference, seed), minimiser(u, problem, result.stats["features"], seed)
    size = float(np.linalg.norm(truth))

    def apart(one: NeuralField, other: NeuralField) -> float:
        return float(np.linalg.norm(one(points) - other(points))) / size

    return ErrorSplit(
        distance(nearest, truth, points).relative_l2, apart(solved, nearest), apart(u, solved),
        distance(u, truth, points).relative_l2,
    )  # fmt: skip


def best_fit(u: NeuralField, problem: Problem, reference: Reference, seed: int) -> NeuralField:
    """The member of the space of `u` that is nearest to the reference, at points of its own."""
    assert isinstance(u.network, Linear)
    n = round(FITTED * u.network.weight.shape[0])
    points = problem.domain.sample(n, np.random.default_rng(seed + 104729))
    features = user_partials(u, torch.from_numpy(points), [()])[()]
    return with_weights(u, least_squares(features, torch.from_numpy(np.asarray(reference(points)))))


def minimiser(u: NeuralField, problem: Problem, features: int, seed: int) -> NeuralField:
    """The best solution of the same collocated equations, from `u` on."""
    solved = copy.deepcopy(u)
    solve_output_layer(solved, problem_terms(problem, counts(features, problem), seed=seed), CONVERGED)
    return solved


def with_weights(u: NeuralField, weights: torch.Tensor) -> NeuralField:
    """A copy with other weights."""
    other = copy.deepcopy(u)
    assert isinstance(other.network, Linear)
    with torch.no_grad():
        other.network.weight.copy_(weights)
    return other
