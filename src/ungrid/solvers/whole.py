"""An objective as a function of all weights of a field: its residuals as one vector, and their Jacobian.

Convention: the row of equation e at point i of term k is ``sqrt(weight_k / (n_k e_k)) r``, so that the sum of the squares of
all rows is the objective. Weights are one vector in the order of ``u.parameters()``. A Jacobian is formed point by point: the
linearisation of the equation (`operators.linearise`) times the derivatives of that point's jet by the weights.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ungrid._base.errors import InputError
from ungrid._base.taylor import Needed
from ungrid.fields import NeuralField
from ungrid.objectives import Term
from ungrid.operators.jet import JetOperator, Jump, Partial
from ungrid.operators.linearise import linearise, requested, residual_values
from ungrid.sampling import Batch

CHUNK = 1 << 11  # points whose Jacobians are formed at once


class Derivatives(nn.Module):
    """The value and partial derivatives up to the second order of a field, as a module of its weights.

    Args:
        u: a field that propagates derivatives forward.
        partials: which, as columns of the points; in this order.

    Raises:
        InputError: if one is of a higher order, or the field cannot.
    """

    def __init__(self, u: NeuralField, partials: list[Partial]) -> None:
        super().__init__()
        if not u.offers_taylor or max(map(len, partials), default=0) > 2:
            raise InputError(
                f"derivatives of order {max(map(len, partials), default=0)} of a {type(u.network).__name__}",
                "up to the second, of a smooth network", 'leave it to solver="features"',
            )  # fmt: skip
        self.u = u
        pairs = sorted({(p[0], p[1]) for p in partials if len(p) == 2})
        columns = sorted({column for p in partials for column in p})
        self.needed = Needed(tuple(columns), tuple((pair,) for pair in pairs))
        rows: dict[Partial, int] = {(): 0} | {(c,): 1 + k for k, c in enumerate(columns)}
        rows |= {pair: 1 + len(columns) + k for k, pair in enumerate(pairs)}
        self.rows = [rows[p] for p in partials]

    def forward(self, x: Tensor) -> Tensor:
        """(partials, n, c) at points (n, d)."""
        if not self.needed.columns:
            return self.u(x)[None]
        return self.u.forward_taylor(x, self.needed)[self.rows]


@dataclass
class Part:
    """A term at its points: where the field is asked for what."""

    term: Term
    batch: Batch
    partials: list[Partial]
    derivatives: Derivatives

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(axis.name for axis in self.derivatives.u.domain.axes)

    def values(self) -> Tensor:
        """The partial derivatives (p, n, c); of a `Jump` their differences."""
        points = self.batch.points
        found: Tensor = self.derivatives(points)
        if isinstance(self.term.operator, Jump):
            found = self.derivatives(points + self._shift()) - found
        return found

    def _shift(self) -> Tensor:
        assert isinstance(self.term.operator, Jump)
        return torch.as_tensor(self.term.operator.shift, dtype=self.batch.points.dtype)

    def residual(self, values: Tensor) -> Tensor:
        """The residual (n, e) for these partial derivatives (p, n, c)."""
        operator = self.term.operator
        if isinstance(operator, Jump):
            return values[0]
        assert isinstance(operator, JetOperator)
        by, target = dict(zip(self.partials, values, strict=True)), self.batch.target
        found = residual_values(operator.equation, self.batch.points, self.axes, lambda partial: by[partial])
        return found if target is None else found - target

    def residual_and_rates(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The residual (n, e), and how it answers to the partial derivatives (n, e, p, c)."""
        operator, points = self.term.operator, self.batch.points
        if isinstance(operator, Jump):
            eye = torch.eye(values.shape[2], dtype=values.dtype)
            return values[0], eye[:, None, :].expand(len(points), -1, 1, -1)
        assert isinstance(operator, JetOperator)
        by = dict(zip(self.partials, values, strict=True))
        found = linearise(operator.equation, points, self.axes, lambda partial: by[partial])
        rates = torch.stack([found.by_partial[partial] for partial in self.partials], dim=2)
        target = self.batch.target
        return (found.residual if target is None else found.residual - target), rates

    def shares(self, residual: Tensor) -> Tensor:
        """The factors of the rows (n, 1)."""
        share = residual.new_full((len(residual), 1), math.sqrt(self.term.weight / residual.numel()))
        return share if self.batch.weight is None else share * self.batch.weight.reshape(-1, 1).sqrt()

    def jacobian(self, rates: Tensor) -> Tensor:
        """The derivatives of ``Σ rates · values`` by the weights, (n, e, weights)."""
        found = self._jacobian(self.batch.points, rates)
        if isinstance(self.term.operator, Jump):
            found = self._jacobian(self.batch.points + self._shift(), rates) - found
        return found

    def _jacobian(self, points: Tensor, rates: Tensor) -> Tensor:
        weights = {name: p.detach() for name, p in self.derivatives.named_parameters()}

        def contracted(weights: dict[str, Tensor], x: Tensor, rate: Tensor) -> Tensor:
            jet = functional_call(self.derivatives, weights, (x[None],))[:, 0]
            return torch.einsum("epc,pc->e", rate, jet)

        rows = vmap(jacrev(contracted), in_dims=(None, 0, 0), chunk_size=CHUNK)(weights, points, rates)
        return torch.cat([rows[name].flatten(2) for name in weights], dim=2)


class Whole:
    """The terms of an objective on one batch each.

    Args:
        u: a smooth field, in double precision.
        terms: with operators of the kind `JetOperator` or `Jump`.
        batches: of the terms.
    """

    def __init__(self, u: NeuralField, terms: list[Term], batches: list[Batch]) -> None:
        self.u = u
        self.parts = [_part(u, term, batch) for term, batch in zip(terms, batches, strict=True)]

    @property
    def weights(self) -> Tensor:
        """All weights (m,), a copy."""
        return parameters_to_vector(self.u.parameters()).detach().clone()

    @weights.setter
    def weights(self, values: Tensor) -> None:
        with torch.no_grad():
            vector_to_parameters(values, self.u.parameters())

    @torch.no_grad()
    def residual(self) -> Tensor:
        """All rows (r,)."""
        found = [part.residual(part.values()) for part in self.parts]
        return torch.cat([(part.shares(r) * r).flatten() for part, r in zip(self.parts, found, strict=True)])

    def system(self) -> tuple[Tensor, Tensor]:
        """The Jacobian (r, m) and the residual (r,)."""
        jacobians, residuals = [], []
        for part in self.parts:
            with torch.no_grad():
                values = part.values()
            residual, rates = part.residual_and_rates(values)
            shares = part.shares(residual)
            jacobians.append((part.jacobian(rates) * shares[:, :, None]).flatten(0, 1))
            residuals.append((residual * shares).flatten())
        return torch.cat(jacobians), torch.cat(residuals)


def _part(u: NeuralField, term: Term, batch: Batch) -> Part:
    operator: Any = term.operator
    if isinstance(operator, Jump):
        partials: list[Partial] = [operator.partial]
    elif isinstance(operator, JetOperator):
        axes = tuple(axis.name for axis in u.domain.axes)
        partials = requested(operator.equation, batch.points[:1], axes, len(u.out_names), {})
    else:
        raise InputError(f"the operator of the term {term.name!r}", "a JetOperator or a Jump")
    return Part(term, batch, partials, Derivatives(u, partials))
