"""A radiance field seen by a camera: pictures, depths, normals, opacities.

Convention: pictures (height, width, channels), colours in [0, 1] on the field's background; depths along the optical axis in
the world's units, NaN where a ray meets less than half of an opacity; normals are unit vectors of the world, towards the
outside.
"""

from typing import cast

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.fields import BlockField, BrickField, Field, NerfField
from ungrid.kernels import bricks as kernels
from ungrid.kernels.blas import single_threaded_blas
from ungrid.kernels.bricks import SUMS
from ungrid.radiance.frames import lattice_rays, pixel_rays
from ungrid.radiance.lattice import Lattice
from ungrid.sampling import Camera, CameraArrays
from ungrid.solvers.processes import part, summed

QUANTITIES = ("value", "depth", "normals", "opacity")
CHUNK = 1 << 11  # rays that networks see at once
MET = 0.5  # opacity from which a ray counts as having met something


class Renderer:
    """Renders views of one field.

    Of a `BlockField`, every one of several processes (`ungrid.solvers.processes`) marches through its share of the blocks, and
    all of them get the picture, sample for sample that of one block.

    Args:
        field: on the CPU.
        lattice: the arrays of a `BrickField`, where they are at hand.

    Raises:
        InputError: if it is no radiance field.
    """

    def __init__(self, field: Field, lattice: Lattice | None = None) -> None:
        if not isinstance(field, BrickField | BlockField | NerfField):
            raise InputError(f"views of a {type(field).__name__}", "a radiance field")
        self.field = field
        self.shares: dict[int, Lattice] = {}
        if isinstance(field, BlockField):
            number, count = part()
            for k in range(number, len(field.parts), count):
                self.shares[k] = Lattice(cast(BrickField, field.parts[k]), field.owns(k))
        self.lattice = lattice or (Lattice(field) if isinstance(field, BrickField) else None)

    def view(self, camera: Camera, quantity: str = "value") -> np.ndarray:
        """A picture (height, width, channels).

        Raises:
            InputError: if there is no such quantity.
        """
        if quantity not in QUANTITIES:
            raise InputError(f"the quantity {quantity!r}", ", ".join(QUANTITIES))
        every = np.arange(camera.width * camera.height)
        first, widths = np.array([0, len(every)]), np.array([camera.width])
        (start, along), views = pixel_rays(CameraArrays.of([camera]), every, first, widths, 1, self.field)
        color, opacity, middle = self.rays(start, along, views)
        if quantity == "value":
            flat = color.clip(0, 1)
        elif quantity == "opacity":
            flat = opacity[:, None]
        elif quantity == "depth":
            depth = (self.world(middle, opacity) - camera.position) @ camera.forward
            flat = np.where(opacity >= MET, depth, np.nan)[:, None].astype(np.float32)
        else:
            normals = self.normals(np.nan_to_num(self.world(middle, opacity)))
            flat = np.where(opacity[:, None] >= MET, normals, np.nan).astype(np.float32)
        return flat.reshape(camera.height, camera.width, -1)

    def places(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean places in the world (n, 3) of rays of the world with unit directions (n, 3), and their opacities (n,)."""
        start, along = lattice_rays(self.field, origins, directions)
        _, opacity, middle = self.rays(start, along, np.ascontiguousarray(directions, np.float32))
        return self.world(middle, opacity), opacity

    def rays(
        self, start: np.ndarray, along: np.ndarray, views: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (n, 3), opacities (n,) and sums of places by shares (n, 3), of rays in the lattice's coordinates."""
        if isinstance(self.field, BlockField):
            return self._through_blocks(self.field, start, along, views)
        if self.lattice is None:
            return self._by_networks(start, along, views)
        return self._by_kernels(self.lattice, start, along, views)

    def world(self, middle: np.ndarray, opacity: np.ndarray) -> np.ndarray:
        """Mean places in the world (n, 3), from sums of places in the lattice by shares."""
        mean = middle / np.maximum(opacity, 1e-6)[:, None]
        return self.field.to_world(torch.from_numpy(mean).double()).numpy()

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) against the gradient of the raw density at points of the world, by central differences."""
        spacing = 1.0 / self.field.stretch
        slope = np.stack(
            [
                np.log(self.field(points + spacing * axis) + 1e-6) - np.log(self.field(points - spacing * axis) + 1e-6)
                for axis in np.eye(3)
            ],
            axis=1,
        )[..., 0]
        return -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)

    def _by_kernels(
        self, lattice: Lattice, start: np.ndarray, along: np.ndarray, views: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        color, middle = np.empty_like(start), np.empty_like(start)
        opacity = np.empty(len(start), np.float32)
        behind = np.array(self.field.background, np.float32)
        with single_threaded_blas():
            kernels.render(
                start, along, views, behind, lattice.bricks, lattice.how, lattice.decoder, color, opacity, middle
            )  # fmt: skip
        return color, opacity, middle

    def _through_blocks(
        self, field: BlockField, start: np.ndarray, along: np.ndarray, views: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Block after block: what rays have added up, and what is left of them, goes from each to the next behind it."""
        sums, left, middle = (
            np.zeros((len(start), SUMS), np.float32),
            np.ones(len(start), np.float32),
            np.zeros_like(start),
        )
        for following in field.order(along).T:  # the blocks that the rays meet next
            for number, lattice in self.shares.items():
                rows = np.flatnonzero(following == number)
                kernels.go_on(start, along, rows, lattice.bricks, lattice.how, sums, left, middle)
            others = ~np.isin(following, list(self.shares))
            for state in (sums, left, middle):
                state[others] = 0
                summed(state)
        with torch.no_grad():
            decoder = cast(BrickField, field.parts[0])
            added = decoder.decoded(torch.from_numpy(sums), torch.from_numpy(views)).numpy()
        behind = np.array(field.background, np.float32)
        return sums[:, :3] + left[:, None] * behind + (1 - left[:, None]) * added, 1 - left, middle

    def _by_networks(
        self, start: np.ndarray, along: np.ndarray, views: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By networks, whose samples lie in the middles of their parts."""
        field, parts = self.field, []
        assert isinstance(field, NerfField)
        first, more = field.samples
        further = (torch.arange(more) + 0.5) / more
        jitter = torch.cat([torch.full((first,), 0.5), further]).expand(CHUNK, -1)
        with torch.no_grad():
            for begin in range(0, len(start), CHUNK):
                some = slice(begin, min(begin + CHUNK, len(start)))
                one, other, view = (torch.from_numpy(part[some]) for part in (start, along, views))
                color, opacity, middle = field.render(one, other, view, jitter[: len(one)])
                parts.append((color[:, 1].numpy(), opacity.numpy(), middle.numpy()))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return columns[0], columns[1], columns[2]
