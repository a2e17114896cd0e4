"""Multilayer perceptrons.

Convention: rows are samples, shape ``(*batch, in_features)``; `depth` counts the hidden layers.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.kernels.sine import relu_layer
from ungrid.networks.fused import (
    Precision,
    divergences,
    fused_mean,
    mean_square_error,
    numbers,
    squares,
    weighted_mean,
)
from ungrid.networks.layers import linears, uniform_linear


def _relu(v: Tensor) -> Iterator[Tensor]:
    yield torch.relu(v)
    yield (v > 0).to(v.dtype)
    yield torch.zeros_like(v)
    yield torch.zeros_like(v)


def _tanh(v: Tensor) -> Iterator[Tensor]:
    f = torch.tanh(v)
    yield f
    df = 1.0 - f * f
    yield df
    ddf = -2.0 * f * df
    yield ddf
    yield -2.0 * torch.addcmul(df * df, f, ddf)


def _softplus(v: Tensor) -> Iterator[Tensor]:
    yield functional.softplus(v)
    s = torch.sigmoid(v)
    yield s
    ds = s * (1.0 - s)
    yield ds
    yield ds * (1.0 - 2.0 * s)


def _silu(v: Tensor) -> Iterator[Tensor]:
    s = torch.sigmoid(v)
    yield v * s
    ds = s * (1.0 - s)
    yield s + v * ds
    odd = 1.0 - 2.0 * s
    yield ds * (2.0 + v * odd)
    yield ds * (3.0 * odd + v * (1.0 - 6.0 * ds))


def _logistic(v: Tensor) -> Iterator[Tensor]:
    s = torch.sigmoid(v)
    yield s
    ds = s * (1.0 - s)
    yield ds
    odd = 1.0 - 2.0 * s
    yield ds * odd
    yield ds * (1.0 - 6.0 * ds)


def _gelu(v: Tensor) -> Iterator[Tensor]:
    mass = 0.5 * (1.0 + torch.erf(v / math.sqrt(2.0)))
    yield v * mass
    density = torch.exp(-0.5 * v * v) / math.sqrt(2.0 * math.pi)
    yield mass + v * density
    yield density * (2.0 - v * v)
    yield density * v * (v * v - 4.0)


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], taylor.Derivatives]] = {
    "relu": (torch.relu, _relu),
    "gelu": (functional.gelu, _gelu),
    "tanh": (torch.tanh, _tanh),
    "silu": (functional.silu, _silu),
    "softplus": (functional.softplus, _softplus),
}
OUTPUTS = ("linear", "logistic")


class MLP(nn.Module):
    """Linear layers with one activation between them.

    Hidden weights are U(±sqrt(6 / fan_in)) for relu, gelu and silu (He et al. 2015), and U(±sqrt(6 / (fan_in +
    fan_out))) for tanh, softplus and the last layer (Glorot and Bengio 2010). Biases are U(±1 / sqrt(fan_in)): with
    zero biases all kinks of a relu network on coordinates would pass through the origin.

    Args:
        in_features: columns of the input.
        out_features: columns of the output.
        width: units in a hidden layer.
        depth: number of hidden layers.
        activation: "relu", "gelu", "tanh", "silu" or "softplus".
        output: "linear", or "logistic" for values between 0 and 1, as pictures have (Tancik et al. 2020).
        seed: of the initialisation.
    """

    def __init__(
        self, in_features: int, out_features: int, *, width: int, depth: int, activation: str = "relu",
        output: str = "linear", seed: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r}", f"one of {', '.join(ACTIVATIONS)}")
        if output not in OUTPUTS:
            raise InputError(f"output {output!r}", f"one of {', '.join(OUTPUTS)}")
        self.in_features = in_features
        self.out_features = out_features
        self.width = width
        self.depth = depth
        self.activation = activation
        self.output = output
        self.seed = seed
        self.layers = nn.ModuleList(self._layers(torch_generator(seed)))

    def _layers(self, generator: torch.Generator) -> list[nn.Linear]:
        sizes = [self.in_features, *[self.width] * self.depth, self.out_features]
        layers: list[nn.Linear] = []
        for n, m in pairwise(sizes):
            he = self.activation in ("relu", "gelu", "silu") and len(layers) < self.depth
            bound = math.sqrt(6.0 / n) if he else math.sqrt(6.0 / (n + m))
            layers.append(uniform_linear(n, m, bound, 1.0 / math.sqrt(n), generator))
        return layers

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("in_features", "out_features", "width", "depth", "activation", "output", "seed")
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """Values (*batch, out_features) at features (*batch, in_features)."""
        last = self.last_sums(x)
        return last if self.output == "linear" else torch.sigmoid(last)

    def last_sums(self, x: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m"]:
        """The sums of the last layer: the values of a linear output, the log-odds of a logistic one."""
        activate = ACTIVATIONS[self.activation][0]
        for layer in self.layers[:-1]:
            x = activate(layer(x))
        return self.layers[-1](x)

    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out (relu: almost everywhere)."""
        derivatives = ACTIVATIONS[self.activation][1]
        *hidden, last = linears(self.layers)
        for layer in hidden:
            z = taylor.layer(z, layer.weight, layer.bias, derivatives)
        if self.output == "linear":
            return taylor.linear(z, last.weight, last.bias)
        return taylor.layer(z, last.weight, last.bias, _logistic)

    def fused_square_error(
        self,
        x: Float[Tensor, "n i"],
        target: Float[Tensor, "n o"],
        weight: Tensor | None = None,
        *,
        precision: Precision = "float32",
    ) -> Float[Tensor, ""]:
        """The mean over rows and columns of ``weight (forward(x) - target)^2``, for training by first derivatives.

        In float32 on a CPU a relu network is fused with its gradients; otherwise this is the plain formula.

        Args:
            x: rows of features; they may require gradients.
            target: the values to meet.
            weight: one for each row, (n,) or (n, 1), or None.
            precision: "bfloat16" takes bfloat16 factors in the products between hidden layers.
        """
        if self.activation != "relu" or self.output != "linear":
            return mean_square_error(self(x), target, weight)
        return fused_mean(self, linears(self.layers), self._activate, x, target, weight, squares, precision)

    def fused_divergence(
        self, x: Float[Tensor, "n i"], target: Float[Tensor, "n o"], weight: Tensor | None = None
    ) -> Float[Tensor, ""]:
        """The mean of ``weight`` times the `divergences` of a logistic output, fused as `fused_square_error` is.

        Args:
            x: rows of features; they may require gradients.
            target: the values to meet, in [0, 1].
            weight: one for each row, (n,) or (n, 1), or None.

        Raises:
            InputError: if the output is linear.
        """
        if self.output != "logistic":
            raise InputError("a divergence of a linear output", 'a network with output="logistic"')
        if self.activation != "relu":
            return weighted_mean(divergences(self.last_sums(x), target)[0], weight)
        return fused_mean(self.last_sums, linears(self.layers), self._activate, x, target, weight, divergences)

    def _activate(self, layer: int, z: Tensor, bias: Tensor, h: Tensor, slope: Tensor) -> None:
        relu_layer(numbers(z), bias.detach().numpy(), numbers(h), numbers(slope))
