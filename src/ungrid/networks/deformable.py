"""Modulated deformable convolution in plain PyTorch: every tap of the kernel looks where its offset says.

Convention: features (b, c, h, w). The c channels form `groups` groups; each group has for each of the 3 x 3 taps an offset
(y, x) in pixels and a weight between 0 and 1. Offsets are ordered group, tap, (y, x), weights group, tap; between pixels
values are bilinear, outside of the picture zero.

Source: Zhu, Hu, Lin and Dai 2019, *Deformable ConvNets v2* (equation 1).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid.networks.encoders import convolution

SIDE = 3


def deformable_convolution(
    x: Float[Tensor, "b c h w"],
    offset: Float[Tensor, "b gt2 h w"],
    modulation: Float[Tensor, "b gt h w"],
    weight: Float[Tensor, "o c 3 3"],
    bias: Float[Tensor, " o"],
) -> Float[Tensor, "b o h w"]:
    """Equation 1 for a 3 x 3 kernel of stride 1 that keeps the size."""
    b, c, h, w = x.shape
    taps = SIDE * SIDE
    groups = modulation.shape[1] // taps
    steps = torch.arange(SIDE, dtype=x.dtype, device=x.device) - SIDE // 2
    lines, columns = torch.arange(h, dtype=x.dtype, device=x.device), torch.arange(w, dtype=x.dtype, device=x.device)
    moved = offset.reshape(b * groups, SIDE, SIDE, 2, h, w)
    y = moved[:, :, :, 0] + steps[:, None, None, None] + lines[:, None]
    x_place = moved[:, :, :, 1] + steps[:, None, None] + columns
    place = torch.stack([(2 * x_place + 1) / w - 1, (2 * y + 1) / h - 1], dim=-1).reshape(b * groups, taps * h, w, 2)
    seen = functional.grid_sample(
        x.reshape(b * groups, c // groups, h, w), place, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    seen = seen.reshape(b * groups, c // groups, taps, h * w) * modulation.reshape(b * groups, 1, taps, h * w)
    found = weight.reshape(len(weight), -1) @ seen.reshape(b, c * taps, h * w)
    return (found + bias[:, None]).reshape(b, len(weight), h, w)


class DeformableConvolution(nn.Module):
    """A 3 x 3 deformable convolution whose offsets and weights come from other features.

    The parameters are named as those of the authors' ``DCN_sep``; offsets start at zero, and weights of the taps at 1/2.

    Args:
        features: channels in and out.
        groups: of channels, with offsets of their own.
        generator: of the initialisation.
    """

    def __init__(self, features: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        self.groups = groups
        plain = convolution(features, features, SIDE, generator)
        self.weight, self.bias = plain.weight, nn.Parameter(torch.zeros(features))
        self.conv_offset_mask = convolution(features, 3 * groups * SIDE * SIDE, SIDE, generator, gain=0.0)

    def forward(self, x: Float[Tensor, "b c h w"], guide: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        found: Any = self.conv_offset_mask(guide)
        offset, modulation = found.split((2 * self.groups * SIDE * SIDE, self.groups * SIDE * SIDE), dim=1)
        return deformable_convolution(x, offset, torch.sigmoid(modulation), self.weight, self.bias)
