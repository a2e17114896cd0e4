"""A term of an objective: ``weight * norm(operator[u](points) - target)``.

Everything the library fits is a sum of such terms; an application supplies the operator, the target and the points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ungrid.fields import Field
from ungrid.sampling import Batch, Sampler

FieldLike = Callable[[Tensor], Tensor]
Operator = Callable[[FieldLike, Tensor], Tensor]
Norm = Callable[[Tensor, Tensor | None], Tensor]


def value(u: FieldLike, points: Tensor) -> Tensor:
    """The observation operator of plain regression: ``u(points)``."""
    return u(points)


def mean_square(residual: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean of the squared residual over points (N, c) and channels; `weight` (N,) or (N, 1) multiplies each point."""
    square = residual.square()
    if weight is not None:
        square = square * weight.reshape(-1, *[1] * (square.ndim - 1))
    return square.mean()


def mean_absolute(residual: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean of the absolute residual; weights as in `mean_square`."""
    size = residual.abs()
    if weight is not None:
        size = size * weight.reshape(-1, *[1] * (size.ndim - 1))
    return size.mean()


@dataclass(frozen=True, kw_only=True)
class Term:
    """One part of an objective.

    Attributes:
        points: where the operator is evaluated; draws a `Batch` for each step.
        operator: the observation operator A[u]; `value` for plain regression.
        target: b where the batch does not carry it: a number, or a function of the points.
        norm: of the residual and the batch's weights.
        weight: of this term in the sum.
        name: under which its loss appears in the history.
    """

    points: Sampler
    operator: Operator = value
    target: float | Callable[[Tensor], Tensor] = 0.0
    norm: Norm = mean_square
    weight: float = 1.0
    name: str = "data"

    def loss(self, u: FieldLike, batch: Batch) -> Tensor:
        """The weighted loss of this term on one batch, a scalar."""
        if batch.target is not None:
            target: Tensor | float = batch.target
        else:
            target = self.target(batch.points) if callable(self.target) else self.target
        if self.operator is value and self.norm is mean_square and isinstance(u, Field) and isinstance(target, Tensor):
            return self.weight * u.square_error(batch.points, target, batch.weight)  # may run as one fused kernel
        return self.weight * self.norm(self.operator(u, batch.points) - target, batch.weight)


@dataclass(frozen=True, kw_only=True)
class DivergenceTerm(Term):
    """The Kullback-Leibler divergence of a field's values from the batch's, both in [0, 1], instead of a norm."""

    def loss(self, u: FieldLike, batch: Batch) -> Tensor:
        """The weighted divergence on one batch, a scalar."""
        assert isinstance(u, Field)
        assert batch.target is not None
        return self.weight * u.divergence(batch.points, batch.target, batch.weight)


def total_loss(u: FieldLike, terms: list[Term], batches: list[Batch]) -> Tensor:
    """The sum of the terms' losses, each on its own batch."""
    return torch.stack([term.loss(u, batch) for term, batch in zip(terms, batches, strict=True)]).sum()
