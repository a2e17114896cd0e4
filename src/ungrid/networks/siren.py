"""Sinusoidal representation networks.

Convention: rows are samples, shape ``(*batch, in_features)``; coordinates of a SIREN lie in [-1, 1]; `depth` counts the
sine layers, so a SIREN "2-256x4-3" has depth 4 and five linear maps.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.random import torch_generator
from ungrid.kernels.sine import sine_layer
from ungrid.networks.fused import Precision, fused_mean, numbers, squares
from ungrid.networks.layers import linears, uniform_linear


class Siren(nn.Module):
    """Layers sin(ω0 (W x + b)) and a linear last layer (Sitzmann et al. 2020).

    Weights as in the paper's section 3.2 and its supplement 1.5: U(±1/n) in the first layer, U(±sqrt(6/n) / ω0) after
    it, n being the fan-in. The paper leaves the biases open; its code keeps torch's U(±1/sqrt(n)), and so do we: in the
    first layer ω0 b spreads the phases over several periods, without which the network could only be odd in x.

    Args:
        in_features: columns of the input.
        out_features: columns of the output.
        width: units in a hidden layer.
        depth: number of sine layers.
        omega0: ω0 of the hidden layers.
        first_omega0: ω0 of the first layer: sets the frequencies that are easy to represent.
        seed: of the initialisation.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        depth: int = 4,
        omega0: float = 30.0,
        first_omega0: float = 30.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.width = width
        self.depth = depth
        self.omega0 = omega0
        self.first_omega0 = first_omega0
        self.seed = seed
        self.layers = nn.ModuleList(self._layers(torch_generator(seed)))

    def _layers(self, generator: torch.Generator) -> list[nn.Linear]:
        sizes = [self.in_features, *[self.width] * self.depth, self.out_features]
        layers: list[nn.Linear] = []
        for n, m in pairwise(sizes):
            bound = math.sqrt(6.0 / n) / self.omega0 if layers else 1.0 / n
            layers.append(uniform_linear(n, m, bound, 1.0 / math.sqrt(n), generator))
        return layers

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("in_features", "out_features", "width", "depth", "omega0", "first_omega0", "seed")
        return {name: getattr(self, name) for name in names}

    @property
    def frequencies(self) -> list[float]:
        """ω0 of each sine layer."""
        return [self.first_omega0] + [self.omega0] * (self.depth - 1)

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Values (*batch, out_features) at coordinates (*batch, in_features)."""
        *hidden, last = linears(self.layers)
        for layer, omega in zip(hidden, self.frequencies, strict=True):
            x = torch.sin(omega * layer(x))
        return last(x)

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        *hidden, last = linears(self.layers)
        for layer, omega in zip(hidden, self.frequencies, strict=True):
            z = taylor.layer(z, omega * layer.weight, omega * layer.bias, taylor.sine)
        return taylor.linear(z, last.weight, last.bias)

    def fused_square_error(
        self,
        x: Float[Tensor, "n i"],
        target: Float[Tensor, "n o"],
        weight: Tensor | None = None,
        *,
        precision: Precision = "float32",
    ) -> Float[Tensor, ""]:
        """The mean over rows and columns of ``weight (forward(x) - target)^2``, for training by first derivatives.

        In float32 on a CPU it is fused with its gradients; otherwise this is the plain formula.

        Args:
            x: rows of features; they may require gradients.
            target: the values to meet.
            weight: one for each row, (n,) or (n, 1), or None.
            precision: "bfloat16" takes bfloat16 factors in the products between hidden layers.
        """
        layers = linears(self.layers)
        return fused_mean(self, layers, self._activate, x, target, weight, squares, precision)

    def _activate(self, layer: int, z: Tensor, bias: Tensor, h: Tensor, slope: Tensor) -> None:
        sine_layer(numbers(z), bias.detach().numpy(), self.frequencies[layer], numbers(h), numbers(slope))
