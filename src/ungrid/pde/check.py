"""The check of a solution, at points of its own.

It evaluates every equation and condition. Its figure is the root mean square of a residual divided by that of the sum of the
sizes of its terms, ``Σ |a_α D_α u| + |b|``: 1e-6 says that six digits cancel. It is no bound of the error.
"""

from collections.abc import Callable

import torch

from ungrid.equations import Problem
from ungrid.fields import NeuralField
from ungrid.networks import Linear
from ungrid.objectives import Term
from ungrid.operators.jet import JetOperator, Jump, Partial
from ungrid.operators.linearise import linearise
from ungrid.pde.terms import EQUATION, Counts, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers.output_layer import prepared, user_partials


def relative_residuals(
    problem: Problem, u: NeuralField, parameters: dict[str, float], *, seed: int, points: int = 1000
) -> dict[str, float]:
    """The check of every term on points of its own, (root mean square residual) / (that of the sizes of its terms)."""
    numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in parameters.items()}
    return checked(u, problem_terms(problem, Counts(points, points // 2), seed=seed), problem, numbers)


def checked(u: NeuralField, terms: list[Term], problem: Problem, numbers: dict[str, torch.Tensor]) -> dict[str, float]:
    """The check of every term on its points."""
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
