"""Ridge functions at chosen places, and products of features of space with polynomials of time.

Convention: unit coordinates; the last column of a product's coordinates is time, in ``[-extent, extent]``.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.random import torch_generator
from ungrid._base.taylor import Taylor
from ungrid.encodings.random_features import Orders, ridge_partials
from ungrid.encodings.singular import taylor_of_partials


class Ridges(nn.Module):
    """``1, tanh(w_1·x + b_1), ..., tanh(w_m·x + b_m)``.

    Args:
        dim: number of coordinates.
        features: m.
        seed: of slopes and shifts before they are chosen (`at`).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, dim: int, features: int, *, seed: int = 0) -> None:
        super().__init__()
        self.dim, self.features, self.seed = dim, features, seed
        self.out_features = 1 + features
        drawn = torch.randn(features, dim + 1, generator=torch_generator(seed))
        self.register_buffer("weight", drawn[:, :dim].contiguous())
        self.register_buffer("bias", drawn[:, dim].contiguous())

    @classmethod
    def at(cls, places: np.ndarray, slopes: np.ndarray) -> "Ridges":
        """Ridges that bend at the places (m, dim) with the slopes (m, dim), in double precision."""
        made = cls(places.shape[1], len(places)).double()
        made.weight.copy_(torch.from_numpy(slopes))
        made.bias.copy_(torch.from_numpy(-(slopes * places).sum(axis=1)))
        return made

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"dim": self.dim, "features": self.features, "seed": self.seed}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, 1 + features) of the coordinates (*batch, dim)."""
        flat = x.reshape(-1, self.dim)
        return self.partials(flat, ((0,) * self.dim,))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives of the features, as `ridge_partials` has them."""
        return ridge_partials(x, self.weight, self.bias, "tanh", orders)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


class Products(nn.Module):
    """Every feature of space times every Legendre polynomial of time up to a degree, the polynomials running fastest.

    Args:
        space: the encoding of all coordinates but the last.
        degree: of the highest polynomial.
        extent: half the length of the time, in unit coordinates.
    """

    def __init__(self, space: Any, degree: int, extent: float) -> None:
        super().__init__()
        self.space, self.degree, self.extent = space, degree, extent
        self.dim = space.dim + 1
        self.out_features = space.out_features * (degree + 1)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"space": self.space, "degree": self.degree, "extent": self.extent}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, out_features) of the coordinates (*batch, dim)."""
        flat = x.reshape(-1, self.dim)
        return self.partials(flat, ((0,) * self.dim,))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives of the features; `orders` says how often each differentiates along every axis."""
        spatial = list(dict.fromkeys(order[:-1] for order in orders))
        space = self.space.partials(x[:, :-1], spatial)
        time = legendre(x[:, -1] / self.extent, self.degree, max(order[-1] for order in orders))
        rows = [
            space[spatial.index(order[:-1])][:, :, None] * time[order[-1]][:, None, :] / self.extent ** order[-1]
            for order in orders
        ]
        return torch.stack(rows).flatten(2)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


def legendre(s: Float[Tensor, " n"], degree: int, derivatives: int) -> Float[Tensor, "k n f"]:
    """Legendre polynomials up to a degree and their derivatives up to an order, (1 + derivatives, n, 1 + degree)."""
    powers = s[:, None] ** torch.arange(degree + 1, device=s.device)
    coefficients = np.zeros((derivatives + 1, degree + 1, degree + 1))  # [derivative, power, polynomial]
    for k in range(derivatives + 1):
        for n in range(degree + 1):
            found = np.polynomial.Polynomial(np.polynomial.legendre.leg2poly(np.eye(degree + 1)[n])).deriv(k).coef
            coefficients[k, : len(found), n] = found
    return powers @ torch.from_numpy(coefficients).to(s)
