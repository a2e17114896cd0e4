"""The coordinates as they are.

Convention: unit coordinates, shape ``(*batch, dim)``; the longest axis spans [-1, 1].
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.taylor import Taylor


class Identity(nn.Module):
    """Hands the coordinates on unchanged."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.out_features = dim

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"dim": self.dim}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """The coordinates (*batch, dim)."""
        return x

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return z
