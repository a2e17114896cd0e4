"""A linear map without a bias: the output layer on top of a basis."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.random import torch_generator


class Linear(nn.Module):
    """``z @ weight`` with the weight (in_features, out_features), at the start N(0, 1 / in_features).

    Args:
        in_features: columns of the input.
        out_features: columns of the output.
        seed: of the initialisation.
    """

    def __init__(self, in_features: int, out_features: int, *, seed: int = 0) -> None:
        super().__init__()
        self.in_features, self.out_features, self.seed = in_features, out_features, seed
        normal = torch.randn(in_features, out_features, generator=torch_generator(seed), dtype=torch.float64)
        self.weight = nn.Parameter((normal / in_features**0.5).to(torch.get_default_dtype()))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"in_features": self.in_features, "out_features": self.out_features, "seed": self.seed}

    def forward(self, z: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        """Values (*batch, out_features) of features (*batch, in_features)."""
        return z @ self.weight

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor.linear(z, self.weight.T)
