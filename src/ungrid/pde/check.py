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
from ungrid.operators.linearise import linearise, requested
from ungrid.pde.terms import EQUATION, Counts, problem_terms
from ungrid.sampling import AllPoints
from ungrid.solvers.output_layer import user_partials
from ungrid.solvers.whole import Derivatives


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
    return partial_values(u, inside.points.batch.points, [partial])[partial].square().mean(dim=0).sqrt()


def partial_values(u: NeuralField, points: torch.Tensor, partials: list[Partial]) -> dict[Partial, torch.Tensor]:
    """Partial derivatives of a field (n, c), of any order that it knows."""
    if isinstance(u.network, Linear):
        weights = u.network.weight.detach()
        return {partial: rows @ weights for partial, rows in user_partials(u, points, partials).items()}
    with torch.no_grad():
        return dict(zip(partials, Derivatives(u, partials)(points), strict=True))


def relative_residual(
    u: NeuralField,
    term: Term,
    numbers: dict[str, torch.Tensor],
    unknowns: dict[str, tuple[float, bool]],
    typical: Callable[[Partial], torch.Tensor],
) -> float:
    """One term's check. Boundary terms count at least the size that their parts have inside, so that zeros can be met."""
    axes = tuple(axis.name for axis in u.domain.axes)
    assert isinstance(term.points, AllPoints)
    points, target, _ = term.points.batch
    if isinstance(term.operator, Jump):
        partial = term.operator.partial
        shift = torch.as_tensor(term.operator.shift, dtype=points.dtype)
        here, there = (partial_values(u, x, [partial])[partial] for x in (points, points + shift))
        residual, size = there - here, typical(partial).expand_as(here)
    else:
        assert isinstance(term.operator, JetOperator)
        needed = requested(term.operator.equation, points[:1], axes, len(u.out_names), unknowns)
        values = partial_values(u, points, needed)
        found = linearise(term.operator.equation, points, axes, lambda partial: values[partial], numbers)
        target = torch.zeros_like(found.residual) if target is None else target
        residual, size = found.residual - target, found.residual.abs() + target.abs()
        for partial, rate in found.by_partial.items():
            size = size + (rate * values[partial][:, None, :]).abs().sum(dim=2)
            if term.name != EQUATION:
                size = size + (rate.abs() * typical(partial)).sum(dim=2)
    scale = float(size.square().mean().sqrt())
    return float(residual.square().mean().sqrt()) / max(scale, 1e-300)
