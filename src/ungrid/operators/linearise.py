"""An equation's linearisation: how its residual answers to each partial derivative of the unknown, point by point.

A residual at a point is a function of the values ``D_α u`` there and of the unknown numbers, so its derivative in the
direction of a function v is ``Σ_α a_α D_α v`` with ``a_α = ∂ residual / ∂ D_α u``. A linear equation has the same a_α for
every u. Solvers turn this into rows of a linear system for whatever basis they have.

Convention: points (n, d); residuals (n, e); D_α u (n, c).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.operators.jet import LocalDerivatives, Partial, Request


class GivenDerivatives(LocalDerivatives):
    """A jet whose partial derivatives come from a function, each kept as a variable of its own.

    Args:
        points: (n, d).
        axes: the names of the columns.
        partial_of: gives D_α u, (n, c).
        parameters: unknown numbers.
    """

    def __init__(
        self,
        points: Tensor,
        axes: tuple[str, ...],
        partial_of: Callable[[Partial], Tensor],
        parameters: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.points, self.axes, self._partial_of = points, axes, partial_of
        self.parameters = {  # a copy for each point, whose derivatives then come together in one reverse pass
            name: number.detach().expand(len(points), 1).clone().requires_grad_()
            for name, number in (parameters or {}).items()
        }
        self.variables: dict[Partial, Tensor] = {}

    def _sum(self, request: Request) -> Tensor:
        first, *others = (self._variable(partial) for partial in request)
        return sum(others, start=first)

    def _variable(self, partial: Partial) -> Tensor:
        if partial not in self.variables:
            self.variables[partial] = self._partial_of(partial).detach().clone().requires_grad_()
        return self.variables[partial]


@dataclass(frozen=True)
class Linearisation:
    """A residual and its derivatives at a function.

    Attributes:
        residual: (n, e).
        by_partial: for every partial derivative that occurs, (n, e, c).
        by_parameter: for every unknown number, (n, e).
    """

    residual: Tensor
    by_partial: dict[Partial, Tensor]
    by_parameter: dict[str, Tensor]


def linearise(
    equation: Callable[[LocalDerivatives], Tensor],
    points: Float[Tensor, "n d"],
    axes: tuple[str, ...],
    partial_of: Callable[[Partial], Tensor],
    parameters: Mapping[str, Tensor] | None = None,
) -> Linearisation:
    """The linearisation of ``equation(jet) = 0`` about the function whose partial derivatives are given.

    Raises:
        InputError: if the equation gives values of another shape than (n, e).
    """
    with torch.enable_grad():
        jet = GivenDerivatives(points, axes, partial_of, parameters)
        found = _values(equation, jet)
    variables = [*jet.variables.values(), *jet.parameters.values()]
    columns = [_gradients(found[:, e], variables) for e in range(found.shape[1])]
    stacked = [torch.stack(parts, dim=1) for parts in zip(*columns, strict=True)]
    by_partial = dict(zip(jet.variables, stacked, strict=False))
    by_parameter = {
        name: rates[..., 0] for name, rates in zip(jet.parameters, stacked[len(jet.variables) :], strict=True)
    }
    return Linearisation(found.detach(), by_partial, by_parameter)


def residual_values(
    equation: Callable[[LocalDerivatives], Tensor],
    points: Float[Tensor, "n d"],
    axes: tuple[str, ...],
    partial_of: Callable[[Partial], Tensor],
    parameters: Mapping[str, Tensor] | None = None,
) -> Float[Tensor, "n e"]:
    """The residual of ``equation(jet) = 0`` alone, for the function whose partial derivatives are given.

    Raises:
        InputError: if the equation gives values of another shape than (n, e).
    """
    with torch.no_grad():
        return _values(equation, GivenDerivatives(points, axes, partial_of, parameters)).detach()


def requested(
    equation: Callable[[LocalDerivatives], Tensor],
    point: Tensor,
    axes: tuple[str, ...],
    components: int,
    unknowns: Mapping[str, tuple[float, bool]],
) -> list[Partial]:
    """The partial derivatives that an equation asks for."""
    parameters = {name: torch.tensor(start, dtype=point.dtype) for name, (start, _) in unknowns.items()}
    jet = GivenDerivatives(point, axes, lambda _: torch.ones(len(point), components, dtype=point.dtype), parameters)
    with torch.enable_grad():
        equation(jet)
    return list(jet.variables)


def _values(equation: Callable[[LocalDerivatives], Tensor], jet: GivenDerivatives) -> Tensor:
    found, n = equation(jet), len(jet.points)
    if found.ndim != 2 or len(found) != n:
        raise InputError(
            f"an equation that gives values of shape {tuple(found.shape)} at {n} points",
            f"({n}, number of equations)", "keep the column axis: u.value is (n, 1)",
        )  # fmt: skip
    return found


def _gradients(component: Tensor, variables: list[Tensor]) -> list[Tensor]:
    """The gradients of the sum over points: row by row, since no row depends on another point's variables."""
    if not component.requires_grad or not variables:
        return [torch.zeros_like(v) for v in variables]
    return list(torch.autograd.grad(component.sum(), variables, retain_graph=True, materialize_grads=True))
