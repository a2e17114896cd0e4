"""Products of functions of one coordinate each: a separable network, whose derivatives are products too.

Convention: unit coordinates x (*batch, dim) in ``[-extent[k], extent[k]]``; the functions along an axis are the waves
``cos(n θ)`` of the angle θ with ``x = extent cos θ``, which are Chebyshev's polynomials: as a basis on a box they are those of
spectral methods. The last axis runs fastest in the products.

Sources: Cho et al. 2023, *Separable physics-informed neural networks*; Trefethen 2000, *Spectral methods in MATLAB*, chapter 5.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.taylor import Taylor
from ungrid.encodings.random_features import Orders
from ungrid.encodings.singular import taylor_of_partials


class Separable(nn.Module):
    """Every product of one function of each coordinate.

    Args:
        counts: functions along every axis.
        extent: half the length of the box on every axis.
    """

    def __init__(self, counts: tuple[int, ...], extent: tuple[float, ...]) -> None:
        super().__init__()
        self.counts, self.extent, self.dim = tuple(counts), tuple(extent), len(counts)
        self.out_features = int(np.prod(counts))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"counts": self.counts, "extent": self.extent}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, out_features) of the coordinates (*batch, dim)."""
        flat = x.reshape(-1, self.dim)
        return self.partials(flat, ((0,) * self.dim,))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives of the features; `orders` says how often each differentiates along every axis."""
        parts = [
            waves(x[:, k] / self.extent[k], count, max(order[k] for order in orders))
            for k, count in enumerate(self.counts)
        ]
        rows = []
        for order in orders:
            product = torch.ones_like(x[:, :1])
            for part, n, extent in zip(parts, order, self.extent, strict=True):
                product = (product[:, :, None] * (part[n] / extent**n)[:, None, :]).flatten(1)
            rows.append(product)
        return torch.stack(rows)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


def waves(s: Float[Tensor, " n"], count: int, derivatives: int) -> list[Tensor]:
    """``cos(k arccos s)`` for k below `count`, by their recurrence, and their derivatives up to an order, (n, count) each."""
    rows = [torch.ones_like(s), s][:count]
    while len(rows) < count:
        rows.append(2 * s * rows[-1] - rows[-2])
    values = torch.stack(rows, dim=1)
    found, matrix = [values], slopes(count)
    combined = np.eye(count)
    for _ in range(derivatives):
        combined = combined @ matrix
        found.append(values @ torch.from_numpy(combined).to(s))
    return found


def slopes(count: int) -> np.ndarray:
    """The derivatives of the polynomials in terms of themselves, (count, count): ``T_n' = 2 n (T_(n-1) + T_(n-3) + ...)``."""
    found = np.zeros((count, count))
    for n in range(1, count):
        found[n - 1 :: -2, n] = 2.0 * n
    found[0] /= 2
    return found
