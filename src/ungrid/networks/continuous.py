"""Networks that turn a picture into a continuous one: an encoder at the pixels and a decoder between them.

Convention: pictures (b, 3, h, w) in [0, 1], sRGB-coded. Positions are in pixels of the picture, (y, x), pixel i with its
centre at i. `scale` (2,) says how many places lie on a pixel along each axis: a place's cell is ``1 / scale`` pixels wide.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import nn

from ungrid.networks.encoders import LightEncoder
from ungrid.networks.spline_kernels import (
    Colours,
    Encoded,
    Latents,
    Lattice,
    Picture,
    Positions,
    Scale,
    Scales,
    SplineKernels,
)


class ContinuousNetwork(nn.Module, ABC):
    """From a picture to colours at any position."""

    @property
    @abstractmethod
    def halo(self) -> int:
        """Pixels on each side that a latent depends on."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Numbers of a latent."""

    @abstractmethod
    def latents(self, image: Picture) -> Latents:
        """The features at the pixels that the decoder reads."""

    def encoded(self, image: Picture) -> Encoded:
        """What may be kept of a picture in place of its latents: as many numbers or fewer."""
        return self.latents(image)

    def spread(self, encoded: Encoded) -> Latents:
        """The latents of what was encoded, of a part of it too: right where a latent and its neighbours are in the part."""
        return encoded

    @abstractmethod
    def on_lattice(
        self, latents: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        """The colours at a lattice of positions, (y,) and (x,) float64."""

    @abstractmethod
    def at(self, latents: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        """The colours at points, differentiable by their positions; each picture may have its own scales."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def forward(self, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale) -> Lattice:
        """The colours at a lattice of positions."""
        return self.on_lattice(self.latents(image), image, rows, columns, scale)


class LightNetwork(ContinuousNetwork):
    """`LightEncoder` and `SplineKernels`: some 20 thousand multiplications for each pixel of a fourfold enlargement.

    Args:
        blocks, width: of the encoder.
        features, hidden, splines: of the decoder.
        seed: of the initialisation.
    """

    def __init__(
        self,
        *,
        blocks: int = 6,
        width: int = 48,
        features: int = 48,
        hidden: int = 48,
        splines: int = 9,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = LightEncoder(blocks=blocks, width=width, features=features, seed=seed)
        self.decoder = SplineKernels(features, hidden=hidden, splines=splines, seed=seed + 1)
        self.seed = seed

    @property
    def halo(self) -> int:
        """Pixels on each side that a latent depends on."""
        return self.encoder.halo

    @property
    def channels(self) -> int:
        """Numbers of a latent."""
        return self.encoder.out_features

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        inner = {"blocks": self.encoder.blocks, "width": self.encoder.width}
        return inner | self.decoder.arguments() | {"seed": self.seed}

    def latents(self, image: Picture) -> Latents:
        return self.encoder((image - 0.5).contiguous(memory_format=torch.channels_last))

    def on_lattice(
        self, latents: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        return self.decoder.on_lattice(latents, image, rows, columns, scale)

    def at(self, latents: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        return self.decoder.at(latents, image, position, scales)
