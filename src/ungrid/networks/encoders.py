"""Convolutional encoders: a picture to features at its own pixels.

Convention: pictures (b, 3, h, w), features (b, out_features, h, w); every layer pads with zeros, so that a feature sees
`halo` pixels on each side. The parameters of `EDSR` and `RDN` are named as in the files that their authors published.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.random import torch_generator

CHANNELS = 3


def convolution(inputs: int, outputs: int, side: int, generator: torch.Generator, *, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps the picture's size, weights and biases U(±gain / sqrt(fan_in))."""
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, side, padding=side // 2)
    bound = gain / (inputs * side**2) ** 0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            unit = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((2 * unit - 1) * bound)
    return layer


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` (Lim et al. 2017, figure 2c)."""

    def __init__(self, features: int, generator: torch.Generator) -> None:
        super().__init__()
        first, second = (convolution(features, features, 3, generator) for _ in range(2))
        self.body = nn.Sequential(first, nn.ReLU(inplace=True), second)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x)


class EDSR(nn.Module):
    """The features of EDSR without its tail (Lim, Son, Kim, Nah and Lee 2017); 16 blocks of 64 are EDSR-baseline.

    The published files also hold two shifts of the mean colour, `sub_mean` and `add_mean`, which LIIF does not apply.

    Args:
        blocks: residual blocks.
        features: channels.
        seed: of the initialisation.
    """

    def __init__(self, *, blocks: int = 16, features: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.blocks, self.out_features, self.seed = blocks, features, seed
        generator = torch_generator(seed)
        self.sub_mean, self.add_mean = (convolution(CHANNELS, CHANNELS, 1, generator) for _ in range(2))
        for layer in (self.sub_mean, self.add_mean):
            layer.requires_grad_(False)
        self.head = nn.Sequential(convolution(CHANNELS, features, 3, generator))
        body = [ResidualBlock(features, generator) for _ in range(blocks)]
        self.body = nn.Sequential(*body, convolution(features, features, 3, generator))

    @property
    def halo(self) -> int:
        """Pixels on each side that a feature depends on."""
        return 2 * self.blocks + 2

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"blocks": self.blocks, "features": self.out_features, "seed": self.seed}

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        features = self.head(x)
        for layer in self.body:
            features = layer(features)
        return self.head(x).add_(features)  # once more, for little: kept, it would be one map more of four


class _DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv = nn.Sequential(convolution(inputs, growth, 3, generator), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], dim=1)


class _DenseBlock(nn.Module):
    """A residual dense block: every layer sees all before it, and a 1 x 1 convolution fuses them."""

    def __init__(self, features: int, growth: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.convs = nn.Sequential(*[_DenseLayer(features + c * growth, growth, generator) for c in range(layers)])
        self.LFF = convolution(features + layers * growth, features, 1, generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.LFF(self.convs(x)) + x


class RDN(nn.Module):
    """The features of the residual dense network without its tail (Zhang et al. 2018); the defaults are configuration B.

    Args:
        blocks: residual dense blocks.
        layers: convolutions in each.
        growth: channels that each of these adds.
        features: channels between the blocks.
        seed: of the initialisation.
    """

    def __init__(
        self, *, blocks: int = 16, layers: int = 8, growth: int = 64, features: int = 64, seed: int = 0
    ) -> None:
        super().__init__()
        self.blocks, self.layers, self.growth, self.out_features, self.seed = blocks, layers, growth, features, seed
        generator = torch_generator(seed)
        self.SFENet1 = convolution(CHANNELS, features, 3, generator)
        self.SFENet2 = convolution(features, features, 3, generator)
        self.RDBs = nn.ModuleList(_DenseBlock(features, growth, layers, generator) for _ in range(blocks))
        fused = convolution(blocks * features, features, 1, generator), convolution(features, features, 3, generator)
        self.GFF = nn.Sequential(*fused)

    @property
    def halo(self) -> int:
        """Pixels on each side that a feature depends on."""
        return self.blocks * self.layers + 3

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("blocks", "layers", "growth", "seed")
        return {name: getattr(self, name) for name in names} | {"features": self.out_features}

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        first = self.SFENet1(x)
        z, parts = self.SFENet2(first), []
        for block in self.RDBs:
            z = block(z)
            parts.append(z)
        return self.GFF(torch.cat(parts, dim=1)) + first


class LightEncoder(nn.Module):
    """Residual blocks between two convolutions, small enough for pictures of many megapixels on a CPU.

    Args:
        blocks: residual blocks of two 3 x 3 convolutions.
        width: channels inside.
        features: channels of the result.
        seed: of the initialisation.
    """

    def __init__(self, *, blocks: int = 6, width: int = 48, features: int = 48, seed: int = 0) -> None:
        super().__init__()
        self.blocks, self.width, self.out_features, self.seed = blocks, width, features, seed
        generator = torch_generator(seed)
        self.head = convolution(CHANNELS, width, 3, generator, gain=3**0.5)
        gains = [
            6**0.5,
            blocks**-0.5,
        ] * blocks  # the first one of a block sees all, the second changes little at the start
        self.body = nn.ModuleList(convolution(width, width, 3, generator, gain=gain) for gain in gains)
        self.tail = convolution(width, features, 3, generator, gain=3**0.5)

    @property
    def halo(self) -> int:
        """Pixels on each side that a feature depends on."""
        return 2 * self.blocks + 2

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"blocks": self.blocks, "width": self.width, "features": self.out_features, "seed": self.seed}

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        z = self.head(x)
        for first, second in zip(self.body[::2], self.body[1::2], strict=True):
            z = z + second(functional.relu(first(z)))
        return self.tail(z)
