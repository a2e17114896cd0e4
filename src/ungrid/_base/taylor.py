"""Forward propagation of a value with chosen derivatives through the parts of a network.

Convention: everything that is carried lies in one tensor, ``streams (1 + k + p, N, m)``: the value in row 0, then k
first derivatives J, then p second-order forms. A form is a sum of second derivatives Σ ∂_i ∂_j u, given by its pairs
(i, j); a Laplacian is one form, hence one stream. Forms name their pairs by columns of x in `Needed`, by rows of the
streams in `Taylor`. Linear maps act on all rows at once; an elementwise f maps (v, J_i, s) to

    (f(v), f'(v) J_i, f'(v) s + f''(v) Σ J_i J_j),

the chain rule (Faà di Bruno 1855), for a Laplacian the forward Laplacian of Li et al. (2024). All of it is
differentiable, so a loss of derivatives can be trained.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

Form = tuple[tuple[int, int], ...]
Derivatives = Callable[[Tensor], Iterator[Tensor]]
"""``v -> f(v), f'(v), f''(v), f'''(v)``, each computed when it is asked for."""


@dataclass(frozen=True)
class Needed:
    """What a pass carries beside the value: first derivatives by columns of x, forms by pairs of these columns."""

    columns: tuple[int, ...]
    forms: tuple[Form, ...] = ()


class Taylor(NamedTuple):
    """Streams, and for each of the last rows its form, as pairs of rows."""

    streams: Tensor
    forms: tuple[Form, ...]


def start(x: Tensor, needed: Needed) -> Taylor:
    """The coordinates x (N, d) themselves: the first derivatives are unit vectors, the second ones vanish."""
    streams = x.new_zeros(1 + len(needed.columns) + len(needed.forms), *x.shape)
    streams[0] = x
    for row, column in enumerate(needed.columns, start=1):
        streams[row, :, column] = 1.0
    rows = {column: row for row, column in enumerate(needed.columns, start=1)}
    return Taylor(streams, tuple(tuple((rows[i], rows[j]) for i, j in form) for form in needed.forms))


def linear(z: Taylor, weight: Tensor, bias: Tensor | None = None) -> Taylor:
    """Through ``weight (k, m) @ v + bias``: every row maps linearly, the bias joins the value only."""
    moved = z.streams.flatten(0, 1).mm(weight.T).unflatten(0, z.streams.shape[:2])
    return Taylor(moved if bias is None else torch.cat([moved[:1] + bias, moved[1:]]), z.forms)


def elementwise(z: Taylor, function: Derivatives) -> Taylor:
    """Through an elementwise f, by the formula above."""
    streams, forms = z
    f, df, *ddf = islice(function(streams[0]), 3 if forms else 2)
    moved = df * streams[1:]
    if not forms:
        return Taylor(torch.cat([f[None], moved]), forms)
    first = len(moved) - len(forms)
    curved = moved[first:] + ddf[0] * torch.stack([_products(streams, form) for form in forms])
    return Taylor(torch.cat([f[None], moved[:first], curved]), forms)


def layer(z: Taylor, weight: Tensor, bias: Tensor, function: Derivatives) -> Taylor:
    """``elementwise(linear(z, weight, bias), function)`` with far fewer passes over the memory."""
    if torch._C._are_functorch_transforms_active():  # as torch.autograd asks itself: vmap needs the plain formula
        return elementwise(linear(z, weight, bias), function)
    return Taylor(_Layer.apply(z.streams, weight, bias, function, z.forms), z.forms)


class _Layer(torch.autograd.Function):
    """Works in place on what it has allocated; the plain formula serves where the gradient is to be differentiated."""

    @staticmethod
    def forward(
        ctx: Any, streams: Tensor, weight: Tensor, bias: Tensor, function: Derivatives, forms: tuple[Form, ...]
    ) -> Tensor:
        z = streams.flatten(0, 1).mm(weight.T).unflatten(0, streams.shape[:2])
        z[0] += bias
        f, *rates = islice(function(z[0]), (2 if forms else 1) + 1 + any(ctx.needs_input_grad))
        out = torch.empty_like(z)
        out[0] = f
        torch.mul(rates[0], z[1:], out=out[1:])
        for row, form in enumerate(forms, start=len(z) - len(forms)):
            out[row].addcmul_(rates[1], _products(z, form))
        ctx.save_for_backward(streams, weight, bias, z, *rates)
        ctx.function, ctx.forms = function, forms
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        streams, weight, bias, z, *rates = ctx.saved_tensors
        inputs = [
            tensor for tensor, needed in zip((streams, weight, bias), ctx.needs_input_grad, strict=False) if needed
        ]
        if torch.is_grad_enabled():
            plain = elementwise(linear(Taylor(streams, ctx.forms), weight, bias), ctx.function).streams
            found = iter(torch.autograd.grad(plain, inputs, g, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None, None
        by_z = _by_sums(g, z, rates, ctx.forms)
        flat, rows = by_z.flatten(0, 1), streams.flatten(0, 1)
        by_streams = flat.mm(weight).view(streams.shape) if ctx.needs_input_grad[0] else None
        # Laid out along the longer side: the product of a narrow layer is several times faster this way.
        by_weight = flat.T.mm(rows) if weight.shape[1] >= weight.shape[0] else rows.T.mm(flat).T
        return by_streams, by_weight, by_z[0].sum(dim=0), None, None


def _by_sums(g: Tensor, z: Tensor, rates: Sequence[Tensor], forms: tuple[Form, ...]) -> Tensor:
    """The gradient by the layer's sums z, from g by its output; rates are f', f'' and, with forms, f'''."""
    by_z = rates[0] * g
    work = torch.zeros_like(by_z[0])
    for row in range(1, len(z)):
        work.addcmul_(g[row], z[row])
    by_z[0].addcmul_(rates[1], work)
    for row, form in enumerate(forms, start=len(z) - len(forms)):
        by_z[0].addcmul_(rates[2], torch.mul(g[row], _products(z, form), out=work))
        torch.mul(g[row], rates[1], out=work)
        for i, j in form:
            by_z[i].addcmul_(work, z[j])
            by_z[j].addcmul_(work, z[i])
    return by_z


def _products(streams: Tensor, form: Form) -> Tensor:
    """Σ J_i J_j over the pairs of the form."""
    (i, j), *others = form
    total = streams[i] * streams[j]
    for i, j in others:
        total = torch.addcmul(total, streams[i], streams[j])
    return total


def sine(v: Tensor) -> Iterator[Tensor]:
    """The sine and its derivatives, for `elementwise`."""
    f = torch.sin(v)
    yield f
    df = torch.cos(v)
    yield df
    yield -f
    yield -df


def cosine(v: Tensor) -> Iterator[Tensor]:
    """The cosine and its derivatives, for `elementwise`."""
    f = torch.cos(v)
    yield f
    df = -torch.sin(v)
    yield df
    yield -f
    yield -df


def concatenate(parts: Sequence[Taylor]) -> Taylor:
    """Side by side along the features; all parts carry the same rows."""
    return Taylor(torch.cat([part.streams for part in parts], dim=-1), parts[0].forms)
