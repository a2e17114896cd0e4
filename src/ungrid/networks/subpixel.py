"""A network for one scale, which others have to be compared with: sub-pixel convolutions behind an encoder.

Convention: as `ungrid.networks.continuous`. The latents of a pixel are the colours of its ``scale x scale`` parts, as
`pixel_unshuffle` orders them. At its own scale the network gives exactly these; elsewhere their bicubic interpolation, which is
what programs with networks for fixed scales do for others.

Sources: Shi et al. 2016, *Real-time single image and video super-resolution using an efficient sub-pixel convolution*; the tail
is that of EDSR (Lim et al. 2017, figure 3): fourfold in two steps.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.networks.continuous import ContinuousNetwork
from ungrid.networks.encoders import CHANNELS, EDSR, RDN, convolution
from ungrid.networks.spline_kernels import (
    Colours,
    Latents,
    Lattice,
    Picture,
    Positions,
    Scale,
    Scales,
    bicubic_at,
    bicubic_on_lattice,
)

STEPS = {2: (2,), 3: (3,), 4: (2, 2)}  # of the enlargement, by scale
TAIL = 3  # pixels on each side that the tail reads


class SubPixel(ContinuousNetwork):
    """EDSR or RDN with their own tail.

    Args:
        encoder: of the features.
        scale: 2, 3 or 4.
        seed: of the tail's initialisation.

    Raises:
        InputError: at another scale.
    """

    def __init__(self, encoder: EDSR | RDN, *, scale: int, seed: int = 0) -> None:
        super().__init__()
        if scale not in STEPS:
            raise InputError(f"a network for the scale {scale}", f"one of {', '.join(map(str, STEPS))}")
        self.encoder, self.scale, self.seed = encoder, scale, seed
        generator, width = torch_generator(seed), encoder.out_features
        layers: list[nn.Module] = []
        for step in STEPS[scale]:
            layers += [convolution(width, width * step**2, 3, generator), nn.PixelShuffle(step)]
        self.tail = nn.Sequential(*layers, convolution(width, CHANNELS, 3, generator))

    @property
    def halo(self) -> int:
        """Pixels on each side that a latent depends on."""
        return self.encoder.halo + TAIL

    @property
    def channels(self) -> int:
        """Numbers of a latent."""
        return CHANNELS * self.scale**2

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"encoder": self.encoder, "scale": self.scale, "seed": self.seed}

    def latents(self, image: Picture) -> Latents:
        """The colours of the pixels' parts."""
        features = self.encoder((2 * image - 1).contiguous(memory_format=torch.channels_last))
        return functional.pixel_unshuffle(self.tail(features) / 2 + 0.5, self.scale)

    def on_lattice(
        self, latents: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        large = functional.pixel_shuffle(latents, self.scale)
        places = [torch.from_numpy(self.scale * (x + 0.5) - 0.5).to(large.device) for x in (rows, columns)]
        return bicubic_on_lattice(large, *places)

    def at(self, latents: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        large = functional.pixel_shuffle(latents, self.scale)
        return bicubic_at(large, self.scale * (position + 0.5) - 0.5)
