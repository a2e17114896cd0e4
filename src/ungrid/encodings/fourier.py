"""Random Fourier features.

Convention: unit coordinates x, shape ``(*batch, dim)``; the longest axis spans [-1, 1]. The paper's coordinates v span
[0, 1], so v = (x + 1) / 2, and its cos(2π b·v) is cos(π b·x) up to a constant phase. Bandwidths are the paper's σ: the
standard deviation of the frequencies in cycles across the longest axis.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator


class FourierFeatures(nn.Module):
    """cos(π B x) and sin(π B x) with the rows of B drawn from N(0, σ²) (Tancik et al. 2020, section 6).

    Args:
        dim: number of coordinates.
        features: number of frequencies m; there are 2 m outputs, all cosines and then all sines.
        bandwidth: σ in cycles across the longest axis, one for all axes or one for each. The paper's best values are
            10 for photographs and 14 for pictures of text.
        seed: of B.
    """

    frequencies: Tensor

    def __init__(self, dim: int, features: int, bandwidth: float | Sequence[float], seed: int = 0) -> None:
        super().__init__()
        if isinstance(bandwidth, Sequence) and len(bandwidth) != dim:
            raise InputError(f"{len(bandwidth)} bandwidths", f"one, or {dim}: one for each axis")
        self.dim = dim
        self.features = features
        self.bandwidth = bandwidth
        self.seed = seed
        self.out_features = 2 * features
        normal = torch.randn(features, dim, generator=torch_generator(seed), dtype=torch.float64)
        cycles = normal * torch.tensor(bandwidth, dtype=torch.float64)
        self.register_buffer("frequencies", cycles.to(torch.get_default_dtype()))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"dim": self.dim, "features": self.features, "bandwidth": self.bandwidth, "seed": self.seed}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, 2 * features) of the coordinates (*batch, dim)."""
        angle = (math.pi * x) @ self.frequencies.to(x.dtype).T
        return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        angle = taylor.linear(z, math.pi * self.frequencies.to(z.streams.dtype))
        return taylor.concatenate([taylor.elementwise(angle, f) for f in (taylor.cosine, taylor.sine)])
