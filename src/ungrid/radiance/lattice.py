"""The arrays of a `BrickField` as the kernels read them, kept up to date; and finer lattices from coarser ones."""

import math

import numpy as np
import torch
from scipy import ndimage

from ungrid.fields import BrickField
from ungrid.fields.radiance import BRICK, EMPTY
from ungrid.kernels import bricks as kernels
from ungrid.radiance.frames import Extent

STEP = 0.7  # spacings of the lattice
STOP = 1e-3  # of the transmittance
LEAST = 4e-3  # share of a sample that counts: what is sharp gets sharper
LEAST_CONTRACTED = 1e-3  # where all of space is in the lattice, and much of it is thin
FARTHEST = 200  # bricks in one jump
START = -4.0  # raw density of a new lattice: clear, so that rays see its far side
UNSEEN = 5e-3  # share of a ray below which a brick's best sample does not count
THIN = 1e-2  # optical depth of a step below which a cell is not kept for a finer lattice
CHUNK = 1 << 18  # points


class Lattice:
    """A field with the index, the cells and the masks that marching needs.

    Args:
        field: on the CPU, in float32; its nodes are shared, not copied.
        own: which of its bricks (kept,) rays are sampled in; None: in all. The others are neighbours' nodes.
    """

    def __init__(self, field: BrickField, own: np.ndarray | None = None) -> None:
        self.field, self.own = field, own
        self.index = field.index()
        self.places = np.concatenate([np.zeros((1, 3), np.int64), field.places.numpy().astype(np.int64)])
        self.nodes = field.nodes.detach().numpy()
        self.cells = np.full((field.kept + 1) * 128, EMPTY, np.float32)
        self.mask = np.zeros(field.kept + 1, np.uint64)
        self.far = np.zeros(field.blocks, np.uint8)
        kernels.fill_cells(self.index, self.places, self.nodes, self.cells)
        self.refresh()

    @property
    def how(self) -> kernels.March:
        """Steps, and what counts."""
        scale = STEP * self.field.depth_per_node
        least = LEAST_CONTRACTED if self.field.contracted else LEAST
        floor = math.log(math.expm1(least / scale))  # there scale * softplus(raw) is `least`: no share is more
        step, scaled, lowest, counted, stop = map(np.float32, (STEP, scale, floor, least, STOP))
        return kernels.March(step, scaled, lowest, counted, stop, self.field.contracted)

    @property
    def bricks(self) -> kernels.Bricks:
        return kernels.Bricks(self.index, self.far, self.mask, self.cells, self.nodes)

    @property
    def decoder(self) -> kernels.Decoder:
        field = self.field
        return kernels.Decoder(*(w.detach().numpy() for w in (field.first, field.second, field.last)))

    def refresh(self) -> None:
        """What of the lattice can be seen at all, after changes of the densities."""
        kernels.fill_mask(self.cells, self.how.floor, self.mask)
        if self.own is not None:
            self.mask[1:][~self.own] = 0
        unseen = self.mask[self.index] == 0
        away = ndimage.distance_transform_cdt(unseen, "chessboard")
        away[away < 0] = FARTHEST  # where nothing can be seen at all
        self.far = np.minimum(away, FARTHEST).astype(np.uint8)

    def solid_cells(self, seen: np.ndarray) -> np.ndarray:
        """Which cells of the lattice are not thin, in bricks that some ray did see: booleans of its shape.

        Args:
            seen: (bricks,), the largest share of a sample; all zero before any ray was drawn, when every brick counts.
        """
        if not (seen > UNSEEN).any():
            seen = np.ones_like(seen)
        mask = np.empty_like(self.mask)
        kernels.fill_mask(self.cells, np.float32(math.log(math.expm1(THIN / self.how.scale))), mask)
        bits = np.unpackbits(mask.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        solid = bits.astype(bool) & (seen > UNSEEN)[:, None]
        dense = solid[self.index].reshape(*self.field.blocks, BRICK, BRICK, BRICK)
        return dense.transpose(0, 3, 1, 4, 2, 5).reshape(self.field.shape)


def new_field(extent: Extent, longest: int, background: tuple[float, float, float], seed: int) -> BrickField:
    """A clear, grey lattice with all its bricks, and a decoder that adds nothing yet."""
    blocks = extent.blocks(longest)
    kept = math.prod(blocks)
    field = BrickField(
        extent.domain, blocks, kept, frame=extent.frame(blocks), background=background, contracted=extent.contracted
    )
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        field.places[:] = torch.from_numpy(np.argwhere(np.ones(blocks, bool)))
        field.nodes[BRICK**3 :, 0] = START
        field.nodes[:, 1:4] = 0.5
        field.nodes[BRICK**3 :, 4:].normal_(0.0, 0.05, generator=random)
        for weights in (field.first, field.second):
            weights.normal_(0.0, math.sqrt(2 / weights.shape[0]), generator=random)
    return field


def within_hull(field: BrickField, solid: np.ndarray) -> BrickField:
    """A clear field on the bricks that meet cells of a hull, which is empty outside of it.

    Args:
        field: with all its bricks.
        solid: booleans (X, Y, Z) of the lattice's nodes.
    """
    around = ndimage.binary_dilation(solid, np.ones((3, 3, 3), bool))  # with the nodes of all cells around
    x, y, z = field.blocks
    bricks = around.reshape(x, BRICK, y, BRICK, z, BRICK).transpose(0, 2, 4, 1, 3, 5).reshape(x, y, z, BRICK**3)
    places = np.argwhere(bricks.any(axis=3))
    made = BrickField(**{**field.arguments(), "kept": len(places)})
    rows = torch.from_numpy(np.concatenate([[0], field.index()[tuple(places.T)].astype(np.int64)]))
    with torch.no_grad():
        made.places[:] = torch.from_numpy(places)
        made.nodes[:] = field.nodes.reshape(-1, BRICK**3, field.nodes.shape[1])[rows].reshape(made.nodes.shape)
        outside = ~torch.from_numpy(bricks[tuple(places.T)].reshape(-1))
        made.nodes[BRICK**3 :, 0][outside] = EMPTY
        for name in ("first", "second", "last"):
            getattr(made, name).copy_(getattr(field, name))
    return made


def refined(lattice: Lattice, extent: Extent, longest: int, seen: np.ndarray) -> BrickField:
    """The same field on a lattice of about `longest` nodes, with the bricks that meet a cell that is not thin."""
    old = lattice.field
    blocks = extent.blocks(longest)
    frame = np.reshape(extent.frame(blocks), (4, 4))
    back = np.reshape(old.frame, (4, 4)) @ np.linalg.inv(frame)  # from new nodes to old ones: a scale and a shift
    occupied = lattice.solid_cells(seen)
    for axis, count in enumerate(blocks):
        nodes = back[axis, axis] * np.arange(BRICK * count + 1) + back[axis, 3]
        cells = np.clip(np.floor(nodes), 0, old.shape[axis] - 1).astype(int)
        touched = np.stack([cells[k : k + BRICK * count : BRICK] for k in range(BRICK + 1)], axis=1)  # (bricks, 5)
        split = (*occupied.shape[:axis], *touched.shape, *occupied.shape[axis + 1 :])
        occupied = np.asarray(np.take(occupied, touched.ravel(), axis=axis).reshape(split).any(axis=axis + 1))
    places = np.argwhere(occupied)
    field = BrickField(
        extent.domain, blocks, len(places), frame=tuple(frame.ravel().tolist()), background=old.background,
        view=old.view, width=old.width, contracted=old.contracted,
    )  # fmt: skip
    local = np.argwhere(np.ones((BRICK,) * 3, bool))
    with torch.no_grad():
        field.places[:] = torch.from_numpy(places)
        for begin in range(0, len(places), CHUNK // BRICK**3):
            part = places[begin : begin + CHUNK // BRICK**3]
            nodes = (BRICK * part[:, None, :] + local).reshape(-1, 3)
            points = torch.from_numpy((nodes * np.diag(back)[:3] + back[:3, 3]).astype(np.float32))
            top = torch.tensor(old.shape, dtype=torch.float32) - 1
            rows = slice((begin + 1) * BRICK**3, (begin + len(part) + 1) * BRICK**3)
            field.nodes[rows] = old.interpolated(points.clamp(torch.zeros(3), top))
        field.nodes[: BRICK**3, 1:4] = 0.5
        for name in ("first", "second", "last"):
            getattr(field, name).copy_(getattr(old, name))
    return field
