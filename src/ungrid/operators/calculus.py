"""The operators of vector calculus, for any callable.

Convention: they take the function u and the points x ``(*batch, d)``; u maps to ``(*batch, c)``. Derivatives are taken
with respect to all columns of x, whatever their names (`Jet` knows names and leaves out time). Results keep a channel
axis, also if it has length one, so that ``laplacian(u, x) - f`` cannot broadcast by accident.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.operators.jet import Jet, Request


def gradient(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
    """∇u of a scalar function.

    Raises:
        InputError: if u has more than one component; use `jacobian`.
    """
    jet = _numbered(u, x)
    return jet.gradient(*jet.axes)


def jacobian(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c d"]:
    """∂u_i / ∂x_j, components in rows, coordinates in columns."""
    jet = _numbered(u, x, frozenset({((k,),) for k in range(x.shape[-1])}))
    return jet.jacobian(*jet.axes)


def divergence(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch 1"]:
    """∇·u = Σ ∂u_i / ∂x_i of a vector function with as many components as coordinates."""
    rates = _square_jacobian(u, x)
    return rates.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True)


def curl(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch k"]:
    """∇×u of a vector function in three dimensions (k = 3), or ∂u_1/∂x_0 - ∂u_0/∂x_1 in two (k = 1).

    The columns of x are a right-handed system in their order.

    Raises:
        InputError: in other dimensions.
    """
    rates = _square_jacobian(u, x)
    turns = {2: [(1, 0)], 3: [(2, 1), (0, 2), (1, 0)]}.get(x.shape[-1])
    if turns is None:
        raise InputError(f"the curl in {x.shape[-1]} dimensions", "2 or 3 dimensions")
    return torch.stack([rates[..., i, j] - rates[..., j, i] for i, j in turns], dim=-1)


def laplacian(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c"]:
    """Δu = Σ ∂²u / ∂x_j², of each component."""
    needs = frozenset({tuple((k, k) for k in range(x.shape[-1]))})
    jet = _numbered(u, x, needs)
    return jet.laplacian(*jet.axes)


def hessian(u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c d d"]:
    """∂²u_i / ∂x_j ∂x_k."""
    jet = _numbered(u, x)
    return jet.hessian(*jet.axes)


def normal_derivative(
    u: Callable[[Tensor], Tensor], x: Float[Tensor, "*batch d"], normal: Float[Tensor, "..."]
) -> Float[Tensor, "*batch c"]:
    """∂u/∂n = n·∇u of each component, for one outward unit normal for each point.

    Raises:
        InputError: if the normals do not have the shape of the points.
    """
    if normal.shape != x.shape:
        raise InputError(f"normals of shape {tuple(normal.shape)}", f"{tuple(x.shape)}, one for each point")
    return (jacobian(u, x) * normal.unsqueeze(-2)).sum(dim=-1)


def _numbered(u: Callable[[Tensor], Tensor], x: Tensor, needs: frozenset[Request] = frozenset()) -> Jet:
    return Jet(u, x, axes=tuple(str(k) for k in range(x.shape[-1])), needs=needs)


def _square_jacobian(u: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    rates = jacobian(u, x)
    if rates.shape[-2] != rates.shape[-1]:
        raise InputError(
            f"a function with {rates.shape[-2]} components of {rates.shape[-1]} coordinates",
            "a vector function with as many components as coordinates",
        )
    return rates
