"""The classical solution of a problem, and how far a field is from it."""

from dataclasses import dataclass

import numpy as np

from ungrid.equations import Problem
from ungrid.fields import Field
from ungrid.metrics import relative_l2
from ungrid.reference.finite_elements import ElementSolution, region_of, solve_to

CHECKED = 4000  # points at which two solutions are compared


@dataclass(frozen=True)
class Distance:
    """How far a field is from a reference, at points of its own.

    Attributes:
        relative_l2: root mean square of the difference, over that of the reference.
        largest: of the absolute differences.
    """

    relative_l2: float
    largest: float


def reference(problem: Problem, *, tolerance: float = 1e-4, budget: float = 30.0) -> ElementSolution:
    """The finite element solution on a mesh of the same domain, refined until the last halving changed it by less.

    Args:
        problem: of second order, without unknowns.
        tolerance: relative, in L2.
        budget: seconds after which no finer mesh is begun.

    Returns:
        A function of points (n, d) -> (n, 1), with its estimated ``error`` and its ``seconds``.

    Raises:
        InputError: if the problem has no weak form here, or its domain cannot be meshed.
    """
    return solve_to(problem, tolerance, budget=budget)


def check_reference(problem: Problem) -> None:
    """Raise the InputError that `reference` would raise for the kind of problem, without solving it."""
    region_of(problem)


def distance(field: Field, values: np.ndarray, points: np.ndarray) -> Distance:
    """Between a field and reference values (n, 1) at points (n, d) of the problem's domain."""
    found = np.asarray(field(points))[:, : values.shape[1]]
    return Distance(relative_l2(found, values), float(np.abs(found - values).max()))


def check_points(problem: Problem, seed: int) -> np.ndarray:
    """Points (n, d) inside, of which neither solver knows."""
    return problem.domain.sample(CHECKED, np.random.default_rng(seed + 7919))
