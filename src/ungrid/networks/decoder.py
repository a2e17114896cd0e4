"""The small network on top of a grid: a linear map plus a narrow perceptron.

The linear map lets coarse and fine features reach the output from the first step; the perceptron learns what is not linear,
for example that colours follow brightness differently in every region.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator


def smooth_relu(z: Tensor) -> Tensor:
    """The once continuously differentiable ReLU: 0 below -1, (z + 1)^2 / 4 up to 1, z above."""
    return 0.25 * (z + 1).clamp(0, 2).square() + (z - 1).clamp(min=0)


def _smooth_relu(z: Tensor) -> Iterator[Tensor]:
    """With its derivatives, for `taylor.layer`; the second one jumps at -1 and 1."""
    yield smooth_relu(z)
    yield 0.5 * (z + 1).clamp(0, 2)
    yield 0.5 * (z.abs() < 1).to(z.dtype)
    yield torch.zeros_like(z)


class GridDecoder(nn.Module):
    """``z @ skip + bias + perceptron(z)`` with `depth` hidden layers of `width` smooth rectified units.

    Weights are stored as (inputs, outputs). The perceptron's last layer starts at zero, so training starts from a random
    linear map.
    """

    def __init__(self, in_features: int, out_features: int, *, width: int = 32, depth: int = 2, seed: int = 0) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise InputError(f"{depth} hidden layers of width {width}", "at least one layer and one unit")
        self.in_features, self.out_features = in_features, out_features
        self.width, self.depth, self.seed = width, depth, seed
        generator = torch_generator(seed)

        def uniform(rows: int, columns: int, bound: float) -> nn.Parameter:
            return nn.Parameter((2 * torch.rand(rows, columns, generator=generator) - 1) * bound)

        he = math.sqrt(6 / width)
        self.first = uniform(in_features, width, math.sqrt(6 / in_features))
        self.middle = nn.ParameterList([uniform(width, width, he) for _ in range(depth - 1)])
        self.biases = nn.ParameterList([uniform(1, width, 0.5) for _ in range(depth)])
        self.last = nn.Parameter(torch.zeros(width, out_features))
        self.last_bias = nn.Parameter(torch.zeros(out_features))
        self.skip = uniform(in_features, out_features, 1.0)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("in_features", "out_features", "width", "depth", "seed")
        return {name: getattr(self, name) for name in names}

    def forward(self, z: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch o"]:
        hidden = z
        for weight, bias in zip([self.first, *self.middle], self.biases, strict=True):
            hidden = smooth_relu(hidden @ weight + bias[0])
        return z @ self.skip + hidden @ self.last + self.last_bias

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        hidden = z
        for weight, bias in zip([self.first, *self.middle], self.biases, strict=True):
            hidden = taylor.layer(hidden, weight.T, bias[0], _smooth_relu)
        learned = taylor.linear(hidden, self.last.T, self.last_bias)
        return taylor.Taylor(learned.streams + taylor.linear(z, self.skip.T).streams, z.forms)
