"""Pictures at twice their sampling rate: a cubic spline plus a learned correction half-way between the samples.

Convention: a picture of (n, m) samples has further places half-way to the next sample on the right (place 1), below (place
2) and to both (place 3). The dense lattice that `densify` gives begins half a step before the first sample and ends half
a step after the last one: sample (i, j) is its node (2 i + 1, 2 j + 1). Beyond its edge a picture is continued by reflection.

The correction is a function of a neighbourhood's differences from its own mean, so that adding a constant to the picture
adds it to the result. Idea of learning what a linear interpolation lacks: Dong, Loy, He and Tang 2016, *Image
super-resolution using deep convolutional networks*; of the mean over symmetries: Timofte, Rothe and Van Gool 2016,
*Seven ways to improve example-based single image super resolution*.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import make_interp_spline
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.random import torch_generator

CHANNELS = 3
TAPS = 8  # samples on either side of a half place that the spline's filter sees; the rest is below 1e-4
SCALE = 4.0  # of the network's inputs and, inversely, outputs: differences between neighbours become of order 1
STRIP = 192  # rows of samples that are worked on at once


def half_place_filter(taps: int = TAPS) -> np.ndarray:
    """Weights (2 * taps,) of the samples around a half place in the cubic spline through all of them; they sum to 1."""
    places = np.arange(-4 * taps, 4 * taps + 1)
    impulse = (places == 0).astype(np.float64)
    weights = np.asarray(make_interp_spline(places, impulse, k=3)(np.arange(-taps, taps) + 0.5))
    return weights / weights.sum()


def convolution(inputs: int, outputs: int, side: int, generator: torch.Generator | None) -> nn.Conv2d:
    """A convolution with weights U(±sqrt(6 / fan_in)) (He et al. 2015), or all zero without a generator."""
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, side)
    bound = 0.0 if generator is None else (6 / (inputs * side**2)) ** 0.5
    with torch.no_grad():
        unit = torch.rand(layer.weight.shape, generator=generator or torch_generator(0), dtype=torch.float64)
        layer.weight.copy_((2 * unit - 1) * bound)
        assert layer.bias is not None
        layer.bias.zero_()
    return layer


class HalfLattice(nn.Module):
    """The values at the three half places of every sample.

    Args:
        width: channels of the hidden layers.
        depth: hidden 3 x 3 convolutions.
        seed: of the initialisation; the last layer starts at zero, so the start is the spline.
    """

    def __init__(self, *, width: int = 48, depth: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.width, self.depth, self.seed = width, depth, seed
        sizes = [4 * CHANNELS, *[width] * depth]
        generator = torch_generator(seed)
        self.layers = nn.ModuleList(convolution(a, b, 3, generator) for a, b in pairwise(sizes))
        self.last = convolution(width, 3 * CHANNELS, 1, None)
        self.register_buffer("filter", torch.from_numpy(half_place_filter()).float(), persistent=False)

    @property
    def margin(self) -> int:
        """Samples before those whose half places are asked for; after them one more is needed."""
        return TAPS + self.depth

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"width": self.width, "depth": self.depth, "seed": self.seed}

    def forward(self, z: Float[Tensor, "b 3 n m"]) -> Float[Tensor, "b 4 3 p q"]:
        """The samples and their half places, without `margin` samples before and one more after them on each axis."""
        inner = slice(TAPS - 1, -TAPS)
        right, down = self._halfway(z, 3), self._halfway(z, 2)
        both = self._halfway(down, 3)
        near = torch.cat([z[..., inner, inner], right[..., inner, :], down[..., inner], both], dim=1)
        level = functional.avg_pool2d(near[:, :CHANNELS], 3, stride=1)
        hidden = SCALE * (near[..., 1:-1, 1:-1] - level.repeat(1, 4, 1, 1))
        for layer in self.layers:
            hidden = functional.relu(layer(hidden))
        cut = slice(1 + self.depth, -1 - self.depth)
        correction = functional.pad(self.last(hidden) / SCALE, (0, 0, 0, 0, CHANNELS, 0))
        return (near[..., cut, cut] + correction).unflatten(1, (4, CHANNELS))

    def _halfway(self, z: Tensor, axis: int) -> Tensor:
        """The spline half-way between neighbours along an axis, where the whole filter fits."""
        shape = [1, 1, 1, 1]
        shape[axis] = 2 * TAPS
        kernel = self.get_buffer("filter").reshape(shape).to(z.dtype)
        b, c, n, m = z.shape
        return functional.conv2d(z.reshape(b * c, 1, n, m), kernel)[:, 0].unflatten(0, (b, c))

    @torch.no_grad()
    def densify(self, picture: Float[Tensor, "n m 3"]) -> Float[Tensor, "n2 m2 3"]:
        """The dense lattice (2 n + 1, 2 m + 1, 3), the mean of the predictions in all eight orientations."""
        total = torch.zeros(2 * picture.shape[0] + 1, 2 * picture.shape[1] + 1, CHANNELS, dtype=picture.dtype)
        for turns in range(4):
            for flipped in (False, True):
                turned = torch.rot90(picture, turns)
                dense = self._dense(turned.flip(1) if flipped else turned)
                total += torch.rot90(dense.flip(1) if flipped else dense, -turns)
        return total / 8

    def _dense(self, picture: Tensor) -> Tensor:
        """The dense lattice in one orientation, strip by strip."""
        n, m = picture.shape[:2]
        pad = self.margin + 1
        around = np.pad(picture.numpy(), ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
        z = torch.from_numpy(around).permute(2, 0, 1)[None]
        strips = []
        for top in range(0, n + 1, STRIP):  # from the sample before the first one, whose half places are asked for
            rows = min(STRIP, n + 1 - top)
            strips.append(self(z[:, :, top : top + rows + 2 * self.margin + 1]))
        near = torch.cat(strips, dim=-2)[0]  # (4, 3, n + 1, m + 1)
        dense = near.reshape(2, 2, CHANNELS, n + 1, m + 1).permute(3, 0, 4, 1, 2)
        return dense.reshape(2 * n + 2, 2 * m + 2, CHANNELS)[1:, 1:]
