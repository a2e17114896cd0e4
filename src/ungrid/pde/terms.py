"""From a problem to the terms of an objective: which points, which operator, which weight.

Convention: points in double precision, in the user's coordinates. A condition's term is named after its label; the equation's
is called "equation". Terms of one problem drawn with different seeds have independent points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ungrid.domains import BoundarySample
from ungrid.equations import Condition, Dirichlet, Initial, Measured, Periodic, Problem
from ungrid.objectives import Term
from ungrid.operators import JetOperator, Jump
from ungrid.sampling import AllPoints

EQUATION = "equation"
BOUNDARY_WEIGHT = 100.0  # squares: boundary rows count ten times as much as rows of the equation


@dataclass(frozen=True)
class Counts:
    """How many points: inside, and on the whole boundary with the start."""

    inside: int
    boundary: int


def problem_terms(
    problem: Problem, counts: Counts, *, seed: int, inside: np.ndarray | None = None, start: np.ndarray | None = None
) -> list[Term]:
    """The equation, every condition, every measurement as terms on their own points.

    Args:
        problem: the problem.
        counts: how many points.
        seed: of the points.
        inside: points (n, d) of the equation instead of drawn ones.
        start: points (n, d) of the initial conditions instead of drawn ones.
    """
    rng = np.random.default_rng(seed)
    terms = [_equation_term(problem, problem.domain.sample(counts.inside, rng) if inside is None else inside)]
    sizes = {part: problem.domain.boundary_measure(part) for part in problem.domain.parts}
    soft = [(c, parts) for c, parts in problem.boundary_conditions() if not is_hard(c)]
    total = sum(sizes[part] for _, parts in soft for part in parts) or 1.0
    for condition, parts in soft:
        for part in parts:
            n = max(1 if problem.domain.dim == 1 else 8, round(counts.boundary * sizes[part] / total))
            sample = problem.domain.sample_boundary(n, rng, part=part)
            if start is not None and isinstance(condition, Initial):
                normals = np.zeros_like(start)
                sample = BoundarySample(start, normals, np.full(len(start), part))
            terms += _condition_terms(problem, condition, part, sample)
    for periodic in problem.periodic:
        terms += _periodic_terms(problem, periodic, max(8, counts.boundary // 4), rng)
    return terms + [_measured_term(problem, given) for given in problem.measured]


def is_hard(condition: Condition) -> bool:
    """Whether the field meets the condition by construction."""
    return isinstance(condition, Dirichlet) and condition.hard


def _equation_term(problem: Problem, inside: np.ndarray) -> Term:
    points = AllPoints(torch.from_numpy(inside))
    return Term(points=points, operator=JetOperator(problem.equation.residual, problem.axes), name=EQUATION)


def _condition_terms(problem: Problem, condition: Condition, part: str, sample: BoundarySample) -> list[Term]:
    points, normals = torch.from_numpy(sample.points), torch.from_numpy(sample.normals)

    def residual(u: Any) -> Tensor:  # a jet at one point asks which derivatives occur
        found: Tensor = condition.residual(u, normals[: len(u.points)])
        return found

    name = f"{condition.label}: {part}"
    terms = [_boundary_term(points, JetOperator(residual, problem.axes), name)]
    if isinstance(condition, Initial) and condition.rate is not None:
        terms.append(_boundary_term(points, JetOperator(condition.rate_residual, problem.axes), f"{name}, rate"))
    return terms


def _boundary_term(points: Tensor, operator: JetOperator | Jump, name: str) -> Term:
    return Term(points=AllPoints(points), operator=operator, weight=BOUNDARY_WEIGHT, name=name)


def _periodic_terms(problem: Problem, periodic: Periodic, n: int, rng: np.random.Generator) -> list[Term]:
    low, _ = problem.ends(periodic)
    column = problem.axes.index(periodic.axis)
    points = torch.from_numpy(problem.domain.sample_boundary(n, rng, part=low).points)
    shift = tuple(float(problem.domain.axes[column].length) if k == column else 0.0 for k in range(problem.domain.dim))
    return [
        _boundary_term(points, Jump((column,) * order, shift, problem.axes), f"{periodic.label}, order {order}")
        for order in range(periodic.order + 1)
    ]


def _measured_term(problem: Problem, measured: Measured) -> Term:
    points = torch.from_numpy(np.asarray(measured.points, dtype=np.float64))
    target = torch.from_numpy(np.asarray(measured.values, dtype=np.float64))[:, None]
    sigma = (
        None
        if measured.sigma is None
        else np.broadcast_to(np.asarray(measured.sigma, dtype=np.float64), (len(points),))
    )
    weight = None if sigma is None else torch.from_numpy(1 / sigma**2)
    k = measured.component
    operator = JetOperator(lambda u: u.value[:, k : k + 1], problem.axes)
    return Term(points=AllPoints(points, target, weight), operator=operator, name=measured.label)
