"""Positional encoding: sines and cosines of the coordinates at doubling frequencies.

Convention: unit coordinates, shape ``(*batch, dim)``; the longest axis spans [-1, 1], the interval of the paper.
Features: the coordinates (if included), then all sines, then all cosines; within each, octaves vary slowest.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.errors import InputError


class Positional(nn.Module):
    """sin(2^k π x) and cos(2^k π x) for k = 0 ... octaves - 1 (Mildenhall et al. 2020, equation 4).

    Args:
        dim: number of coordinates.
        octaves: number of frequencies L; the highest is 2^(L-1) half-cycles per unit.
        include_input: put the coordinates themselves in front, as the paper's code does.
    """

    def __init__(self, dim: int, octaves: int, include_input: bool = True) -> None:
        super().__init__()
        if octaves < 1:
            raise InputError(f"{octaves} octaves", "1 or more")
        self.dim = dim
        self.octaves = octaves
        self.include_input = include_input
        self.out_features = 2 * dim * octaves + (dim if include_input else 0)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"dim": self.dim, "octaves": self.octaves, "include_input": self.include_input}

    def _frequencies(self, x: Tensor) -> Tensor:
        """Angular frequencies, shape (octaves * dim, dim)."""
        scale = math.pi * 2.0 ** torch.arange(self.octaves, dtype=x.dtype, device=x.device)
        return torch.kron(scale[:, None], torch.eye(self.dim, dtype=x.dtype, device=x.device))

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, out_features) of the coordinates (*batch, dim)."""
        scale = math.pi * 2.0 ** torch.arange(self.octaves, dtype=x.dtype, device=x.device)
        angle = (x[..., None, :] * scale[:, None]).flatten(-2)
        parts = [x] * self.include_input + [torch.sin(angle), torch.cos(angle)]
        return torch.cat(parts, dim=-1)

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        angle = taylor.linear(z, self._frequencies(z.streams))
        waves = [taylor.elementwise(angle, function) for function in (taylor.sine, taylor.cosine)]
        return taylor.concatenate([z] * self.include_input + waves)
