"""Forward propagation of a value with its first and second derivatives through the parts of a network.

Convention: z = (value (N, m), jacobian (d, N, m), second (p, N, m) or None), derivatives with respect to d coordinates.
``second`` stacks the p = d (d + 1) / 2 pairs (i, j), i <= j, in the order (0, 0), (0, 1), ..., (1, 1), ....
Everything is made of differentiable torch operations, so a loss of derivatives can be trained.
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

Taylor = tuple[Tensor, Tensor, Tensor | None]
Derivatives = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def start(x: Tensor, *, order: int = 2) -> Taylor:
    """The coordinates x (N, d) themselves: the jacobian is the identity, the second derivatives vanish.

    With order 1 no second derivatives are carried.
    """
    n, d = x.shape
    jacobian = torch.eye(d, dtype=x.dtype, device=x.device)[:, None, :].expand(d, n, d)
    return x, jacobian, x.new_zeros(()).expand(d * (d + 1) // 2, n, d) if order > 1 else None


def linear(z: Taylor, weight: Tensor, bias: Tensor | None = None) -> Taylor:
    """Through ``weight (k, m) @ v + bias``: each component maps linearly, the bias joins the value only."""
    value, jacobian, second = z
    matrix = weight.T
    moved = value @ matrix if bias is None else torch.addmm(bias, value, matrix)
    return moved, jacobian @ matrix, None if second is None else second @ matrix


def elementwise(z: Taylor, function: Derivatives) -> Taylor:
    """Through an elementwise f, given as ``v -> (f(v), f'(v), f''(v))``.

    (v, J_i, H_ij) becomes (f(v), f'(v) J_i, f''(v) J_i J_j + f'(v) H_ij), the chain rule (Faà di Bruno, 1855).
    """
    value, jacobian, second = z
    f, df, ddf = function(value)
    if second is None:
        return f, df * jacobian, None
    first, last = zip(*combinations_with_replacement(range(len(jacobian)), 2), strict=True)
    curved = ddf * (jacobian[list(first)] * jacobian[list(last)])
    return f, df * jacobian, torch.addcmul(curved, df, second)


def sine(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sine and its derivatives, for `elementwise`."""
    f = torch.sin(v)
    return f, torch.cos(v), -f


def cosine(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cosine and its derivatives, for `elementwise`."""
    f = torch.cos(v)
    return f, -torch.sin(v), -f


def concatenate(parts: Sequence[Taylor]) -> Taylor:
    """Side by side along the features."""
    values, jacobians, seconds = zip(*parts, strict=True)
    second = None if seconds[0] is None else torch.cat(seconds, dim=-1)
    return torch.cat(values, dim=-1), torch.cat(jacobians, dim=-1), second
