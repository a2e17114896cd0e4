"""A picture as a continuous function, by a network that learned from other pictures what lies between pixels.

Convention: axes (y, x), +y down, in the units of the domain; the picture's pixels fill the domain. A footprint is the width
of a place's cell: down to `FINEST` places on a pixel the network knows it, and cells wider than a pixel are averaged over
places one pixel wide or less.
"""

import math
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Box, RegularGrid
from ungrid.fields.field import Field
from ungrid.networks import ContinuousNetwork

FINEST = (
    4.0  # places on a pixel of the largest enlargement that the networks learn; also for values at points themselves
)
ROWS = 64  # of a grid at once


class LatentField(Field):
    """The enlargement of one picture to any scale, at any place.

    Args:
        network: that reads the latents.
        shape: rows and columns of the picture.
        box: where the picture lies; None: the longer axis spans [-1, 1], and pixels are square.

    The picture itself is given by `encode`; its latents are stored with the field.
    """

    image: Tensor
    latents: Tensor

    def __init__(self, network: ContinuousNetwork, *, shape: tuple[int, int], box: Box | None = None) -> None:
        super().__init__()
        if len(shape) != 2 or min(shape) < 1:
            raise InputError(f"a picture of shape {shape}", "two sizes of 1 and more")
        self.network, self.shape = network, shape
        self.domain: Box = box or RegularGrid.isotropic(shape, ("y", "x")).box
        self.out_names = ("red", "green", "blue")
        like = next(network.parameters()).detach()
        self.register_buffer("image", like.new_zeros(1, 3, *shape))
        self.register_buffer("latents", like.new_zeros(1, network.channels, *shape))

    @classmethod
    def encode(cls, network: ContinuousNetwork, picture: np.ndarray, box: Box | None = None) -> "LatentField":
        """The field of a picture (h, w, 3) in [0, 1]."""
        field = cls(network, shape=(picture.shape[0], picture.shape[1]), box=box)
        image = torch.from_numpy(np.ascontiguousarray(picture)).to(field.image).permute(2, 0, 1)[None]
        with torch.no_grad():
            field.image, field.latents = image, network.latents(image).contiguous()
        return field

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"network": self.network, "shape": self.shape, "box": self.domain}

    def forward(
        self, x: Float[Tensor, "*batch 2"], footprint: Float[Tensor, "#*batch 2"] | None = None
    ) -> Float[Tensor, "*batch 3"]:
        position = (x.to(self._pixel) - self._low) / self._pixel - 0.5
        flat = position.reshape(1, -1, 2)
        if footprint is None:
            found = self._at(flat, torch.full((2,), 1 / FINEST, dtype=flat.dtype, device=flat.device))
            return found.reshape(*x.shape[:-1], 3)
        cells = (footprint / self._pixel).reshape(-1, 2)
        if len(cells) > 1 and (cells != cells[:1]).any():
            parts = [self._averaged(flat[:, [k]], cells[min(k, len(cells) - 1)]) for k in range(flat.shape[1])]
            return torch.cat(parts, dim=1).reshape(*x.shape[:-1], 3)
        return self._averaged(flat, cells[0]).reshape(*x.shape[:-1], 3)

    def _averaged(self, position: Tensor, cell: Tensor) -> Tensor:
        """The means over cells (2,) pixels wide around positions (1, q, 2)."""
        counts = [max(1, math.ceil(float(width) - 1e-9)) for width in cell]
        steps = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        part = cell / torch.tensor(counts, dtype=cell.dtype, device=cell.device)
        total = torch.zeros((), dtype=self.latents.dtype, device=cell.device)
        for offset in product(*steps):
            total = total + self._at(position + cell * torch.tensor(offset).to(cell), part)
        return total / (counts[0] * counts[1])

    def _at(self, position: Tensor, cell: Tensor) -> Tensor:
        return self.network.at(self.latents, self.image, position, 1 / cell.clamp(min=1 / FINEST)[None])

    def _on_lattice(self, rows: np.ndarray, columns: np.ndarray, scale: Tensor) -> Tensor:
        return self.network.on_lattice(self.latents, self.image, rows, columns, scale)

    @property
    def _pixel(self) -> Tensor:
        """The size of a pixel (2,)."""
        widths = (np.asarray(self.domain.high) - self.domain.low) / self.shape
        return torch.from_numpy(widths).to(self.latents.device)

    @property
    def _low(self) -> Tensor:
        return torch.from_numpy(np.asarray(self.domain.low)).to(self.latents.device)

    def on_grid(self, grid: RegularGrid, footprint: bool = False) -> np.ndarray:
        """The values at the centres of `grid`; with `footprint`, means over its cells.

        The network's form for lattices is used where cells are not wider than pixels.
        """
        pixel, low = self._pixel.cpu().numpy(), np.asarray(self.domain.low)
        cell = torch.from_numpy(np.asarray(grid.spacing) / pixel) if footprint else torch.full((2,), 1 / FINEST)
        if float(cell.max()) > 1 + 1e-9:
            return super().on_grid(grid, footprint)
        rows, columns = ((grid.centers(k) - low[k]) / pixel[k] - 0.5 for k in range(2))
        scale = 1 / cell.clamp(min=1 / FINEST).to(self.latents)
        with torch.no_grad():
            parts = [
                self._on_lattice(rows[top : top + ROWS], columns, scale)[0].cpu() for top in range(0, len(rows), ROWS)
            ]
        return torch.cat(parts, dim=1).permute(1, 2, 0).numpy()
