"""Features that meet Dirichlet conditions exactly: every one vanishes on the constrained pieces, one more has their values.

Convention: unit coordinates. A piece is a tuple of numbers: ``(x,)`` a point of a line, ``(ax, ay, bx, by)`` a segment with the
domain on the left of a to b, ``(cx, cy, rx, ry, angle, start, end)`` an arc of an ellipse, run through from start to end
with the domain on its left. φ of a piece is zero on it and nowhere else, positive, and near it the distance.

Sources: Rvachev's R-functions in Biswas and Shapiro 2004, *Approximate distance fields with non-vanishing gradients*, and
Sukumar and Srivastava 2022, Comput. Methods Appl. Mech. Eng. 389, 114333: pieces trimmed by equation 13, joined by
R-equivalence of order 1 (equation 17), values by transfinite interpolation with inverse distances (section 4.2).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.taylor import Taylor
from ungrid.encodings.singular import Orders, taylor_of_partials

Numbers = tuple[float, ...]


class Constrained(nn.Module):
    """``φ ψ_1, ..., φ ψ_m, g``: φ vanishes on all pieces, g has the value of the condition that a piece belongs to.

    Args:
        inner: the ψ, an encoding that knows its partial derivatives.
        pieces: for every condition the pieces of its parts.
        values: for every condition the coefficients of a tensor Chebyshev polynomial over the box, the last axis fastest.
        low, high: the box.
    """

    def __init__(
        self,
        inner: Any,
        pieces: tuple[tuple[Numbers, ...], ...],
        values: tuple[Numbers, ...],
        low: Numbers,
        high: Numbers,
    ) -> None:
        super().__init__()
        if not pieces or len(pieces) != len(values) or not all(pieces):
            raise InputError(
                f"{len(pieces)} groups of pieces and {len(values)} values", "as many, with a piece in each"
            )
        self.inner, self.pieces, self.values, self.low, self.high = inner, pieces, values, low, high
        self.dim, self.out_features = inner.dim, inner.out_features + 1

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in ("inner", "pieces", "values", "low", "high")}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """The features (*batch, m + 1) at the points (*batch, d)."""
        flat = x.reshape(-1, self.dim)
        distance, value = self.join(flat)
        found = torch.cat([distance[:, None] * self.inner(flat), value[:, None]], dim=1)
        return found.reshape(*x.shape[:-1], self.out_features)

    def join(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """φ and g (n,): ``1/φ = Σ 1/φ_i`` and ``g/φ = Σ g_i/φ_i``, two at a time."""
        distance, value = self._condition(x, 0)
        for k in range(1, len(self.pieces)):
            other, its = self._condition(x, k)
            value = (value * other + its * distance) / (distance + other)
            distance = _together(distance, other)
        return distance, value

    def _condition(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        first, *others = (piece_distance(piece, x) for piece in self.pieces[k])
        for other in others:
            first = _together(first, other)
        return first, chebyshev(self.values[k], x, self.low, self.high)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives by Leibniz' rule; `orders` says how often each differentiates along every axis."""
        below = {order: list(itertools.product(*(range(k + 1) for k in order))) for order in map(tuple, orders)}
        needed = sorted({b for every in below.values() for b in every}, key=lambda b: (sum(b), b))
        inner = dict(zip(needed, self.inner.partials(x, needed), strict=True))
        distances = derivatives(lambda z: self.join(z)[0], x, needed)
        values = derivatives(lambda z: self.join(z)[1], x, needed)
        rows = []
        for order, every in below.items():
            total: Any = 0.0
            for b in every:
                rest = tuple(n - k for n, k in zip(order, b, strict=True))
                total = total + _binomial(order, b) * distances[b][:, None] * inner[rest]
            rows.append(torch.cat([total, values[order][:, None]], dim=1))
        by_order = dict(zip(below, rows, strict=True))
        return torch.stack([by_order[tuple(order)] for order in orders])

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


def _together(a: Tensor, b: Tensor) -> Tensor:
    return a * b / (a + b)


def _binomial(order: tuple[int, ...], part: tuple[int, ...]) -> int:
    return math.prod(math.comb(n, k) for n, k in zip(order, part, strict=True))


def derivatives(
    function: Callable[[Tensor], Tensor], x: Tensor, orders: Sequence[tuple[int, ...]]
) -> dict[tuple[int, ...], Tensor]:
    """Partial derivatives (n,) of a function (n, d) -> (n,); the orders hold every lower one, and rise in their sum."""
    kept = torch.is_grad_enabled() and x.requires_grad
    with torch.enable_grad():
        at = x if kept else x.detach().requires_grad_()
        found = {orders[0]: function(at)}
        for order in orders[1:]:
            axis = next(k for k, n in enumerate(order) if n)
            lower = found[tuple(n - (k == axis) for k, n in enumerate(order))]
            found[order] = _slope(lower, at, axis)
    return found if kept else {order: value.detach() for order, value in found.items()}


def _slope(value: Tensor, x: Tensor, axis: int) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(value)
    (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True, materialize_grads=True)
    return gradient[:, axis]


def piece_distance(piece: Numbers, x: Tensor) -> Tensor:
    """φ of a piece at points (n, d): (n,)."""
    if len(piece) == 1:
        return _size(x[:, 0] - piece[0])
    if len(piece) == 4:
        a, b = x.new_tensor(piece[:2]), x.new_tensor(piece[2:])
        along, length = b - a, math.hypot(piece[2] - piece[0], piece[3] - piece[1])
        from_a = x - a
        f = (along[0] * from_a[:, 1] - along[1] * from_a[:, 0]) / length
        trim = (length / 2) ** 2 - ((x - (a + b) / 2) ** 2).sum(dim=1)
        return trimmed(f, trim / length)
    return arc_distance(piece, x)


def arc_distance(piece: Numbers, x: Tensor) -> Tensor:
    """φ of an arc; a whole turn needs no trimming."""
    cx, cy, rx, ry, angle, start, end = piece
    c, s = math.cos(angle), math.sin(angle)
    dx, dy = x[:, 0] - cx, x[:, 1] - cy
    p, q = (c * dx + s * dy) / rx, (c * dy - s * dx) / ry  # on the unit circle
    inside = 1.0 if end > start else -1.0
    level = 1 - p**2 - q**2
    slope = 2 * torch.sqrt((p / rx) ** 2 + (q / ry) ** 2 + (level / min(rx, ry)) ** 2)  # of the level where it is zero
    f = inside * level / (slope if rx != ry else 2 / rx)
    if abs(end - start) >= 2 * math.pi * (1 - 1e-12):
        return _size(f)
    middle, half = (start + end) / 2, abs(end - start) / 2
    return trimmed(f, (math.cos(middle) * p + math.sin(middle) * q - math.cos(half)) * min(rx, ry))


def trimmed(f: Tensor, t: Tensor) -> Tensor:
    """A function that is zero where f is and t is not negative: ``sqrt(f² + s²)`` with ``s = (sqrt(t² + f⁴) - t) / 2``.

    For positive t in a form without cancellation, which near the piece is |f| to all orders.
    """
    positive, tiny = t > 0, torch.where(t > 0, 0.0, torch.finfo(t.dtype).tiny)  # the slope of a root of zero is none
    root = torch.sqrt(t**2 + f**4 + tiny)
    share = f**3 / torch.where(positive, 2 * (root + t), torch.ones_like(t))
    near = _size(f) * torch.sqrt(1 + share**2)
    s = torch.where(positive, torch.ones_like(t), (root - t) / 2)
    far = torch.sqrt(f**2 + s**2 + tiny)
    return torch.where(positive, near, far)


def _size(f: Tensor) -> Tensor:
    """|f|, with the slope of the domain's side where f is zero."""
    return torch.where(f >= 0, f, -f)


def chebyshev(coefficients: Numbers, x: Tensor, low: Numbers, high: Numbers) -> Tensor:
    """A tensor Chebyshev polynomial of equal degree along the axes of a box: (n,) at points (n, d)."""
    d = x.shape[1]
    n = round(len(coefficients) ** (1 / d))
    table = x.new_tensor(coefficients).reshape((n,) * d)
    for k in reversed(range(d)):
        t = (2 * x[:, k] - low[k] - high[k]) / (high[k] - low[k])
        each = [torch.ones_like(t), t]
        for _ in range(2, n):
            each.append(2 * t * each[-1] - each[-2])
        basis = torch.stack(each[:n], dim=1)
        table = table @ basis.T if k == d - 1 else (table * basis.T).sum(dim=-2)
    return table
