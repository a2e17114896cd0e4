"""A radiance field cut into blocks, each with its own bricks: for several processes, and for scenes too large for one.

Convention: `ungrid.fields.radiance` says what bricks and lattices are. All blocks share one lattice, frame and decoder. A block
owns the bricks of its part of the lattice; where a cell reaches over the upper faces, it has copies of the bricks behind.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.fields.radiance import BRICK, BrickField, RadianceField

Cuts = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class BlockField(RadianceField):
    """`BrickField` in blocks.

    Args:
        parts: a block for every cell of the grid of cuts, in row-major order.
        cuts: for each axis the first bricks of the blocks along it, from 0 on.

    Raises:
        InputError: if they do not belong together, or the lattice holds all of space: there rays are bent, and may enter a
            block twice.
    """

    def __init__(self, parts: tuple[BrickField, ...], cuts: Cuts) -> None:
        super().__init__()
        first, counts = parts[0], tuple(len(along) for along in cuts)
        if len(parts) != np.prod(counts) or any(
            list(along) != sorted(set(along)) or along[0] != 0 or along[-1] >= size
            for along, size in zip(cuts, first.blocks, strict=True)
        ):
            raise InputError(
                f"{len(parts)} blocks cut at {cuts}", "rising numbers of bricks from 0 on, a block for each"
            )
        if any((one.blocks, one.frame) != (first.blocks, first.frame) for one in parts):
            raise InputError("blocks of different lattices", "parts of one")
        if first.contracted:
            raise InputError("blocks of a lattice that holds all of space", "a scene within a box")
        self.parts, self.cuts, self.counts = nn.ModuleList(parts), cuts, counts
        self.domain, self.blocks, self.frame = first.domain, first.blocks, first.frame
        self.background, self.view = first.background, first.view

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"parts": tuple(self.parts), "cuts": self.cuts}

    def owns(self, number: int) -> np.ndarray:
        """Which bricks (kept,) of a block are its own."""
        block: Any = self.parts[number]
        place = np.unravel_index(number, self.counts)
        ends = [(*along, size)[k + 1] for along, size, k in zip(self.cuts, self.blocks, place, strict=True)]
        own: np.ndarray = (block.places.cpu().numpy() < ends).all(axis=1)
        return own

    def order(self, along: np.ndarray) -> np.ndarray:
        """The numbers of the blocks (rays, blocks) in an order in which rays of these directions (rays, 3) can meet them."""
        places = np.stack(np.unravel_index(np.arange(len(self.parts)), self.counts), axis=1)
        found: np.ndarray = np.argsort(np.where(along < 0, -1, 1) @ places.T, axis=1, kind="stable")
        return found

    def block_of(self, lattice: Float[Tensor, "n 3"]) -> Int[Tensor, " n"]:
        """The number of the block whose cells hold points in the lattice's coordinates."""
        top = np.array(self.shape) - 2  # of the lower corners of cells
        bricks = lattice.detach().cpu().double().numpy().clip(0, top).astype(np.int64) // BRICK
        along = [np.searchsorted(cut, bricks[:, a], side="right") - 1 for a, cut in enumerate(self.cuts)]
        return torch.from_numpy(np.ravel_multi_index(along, self.counts)).to(lattice.device)

    def raw(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        flat = lattice.reshape(-1, 3)
        return self._by_block("raw", flat, (flat,), 1).reshape(*lattice.shape[:-1], 1)

    def color(self, x: Float[Tensor, "*batch 3"], direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        flat, along = x.reshape(-1, 3), direction.expand_as(x).reshape(-1, 3)
        return self._by_block("color", self.to_lattice(flat), (flat, along), 3).reshape(x.shape)

    def _by_block(self, method: str, lattice: Tensor, given: tuple[Tensor, ...], width: int) -> Tensor:
        """What a method of the blocks answers (n, width), each for its own points."""
        numbers = self.block_of(lattice)
        found = torch.zeros(len(lattice), width, dtype=next(self.parameters()).dtype, device=lattice.device)
        for number in numbers.unique().tolist():
            rows = numbers == number
            found[rows] = getattr(self.parts[number], method)(*(one[rows] for one in given))
        return found


def divided(field: BrickField, counts: tuple[int, int, int]) -> BlockField:
    """A field in blocks, so many along each axis, with about equally many bricks along it.

    Raises:
        InputError: if there are more blocks than bricks along an axis, or the lattice holds all of space.
    """
    if any(not 0 < count <= size for count, size in zip(counts, field.blocks, strict=True)):
        raise InputError(f"{counts} blocks of {field.blocks} bricks", "at least one, and no more than there are bricks")
    places = field.places.cpu().numpy()
    cuts = tuple(_even_cuts(places[:, a], field.blocks[a], count) for a, count in enumerate(counts))
    parts = []
    for place in np.ndindex(*counts):
        lows = np.array([cut[k] for cut, k in zip(cuts, place, strict=True)])
        highs = np.array([(*cut, size)[k + 1] for cut, size, k in zip(cuts, field.blocks, place, strict=True)])
        inside = (places >= lows) & (places <= highs)  # with the bricks behind
        parts.append(of_bricks(field, np.asarray(inside.all(axis=1))))
    return BlockField(tuple(parts), (cuts[0], cuts[1], cuts[2]))


def _even_cuts(places: np.ndarray, size: int, count: int) -> tuple[int, ...]:
    """The first bricks of blocks along an axis (n,), each with about as many bricks, at least one layer of the lattice."""
    below = np.cumsum(np.bincount(places, minlength=size))
    cuts = [0]
    for k in range(1, count):
        wanted = int(np.searchsorted(below, k / count * len(places))) + 1
        cuts.append(min(max(wanted, cuts[-1] + 1), size - count + k))
    return tuple(cuts)


def of_bricks(field: BrickField, chosen: np.ndarray) -> BrickField:
    """The same field with some of its bricks (kept,) only."""
    numbers = torch.from_numpy(np.flatnonzero(chosen))
    made = BrickField(**{**field.arguments(), "kept": len(numbers)})
    rows = torch.cat([torch.zeros(1, dtype=torch.long), numbers + 1])
    with torch.no_grad():
        made.places[:] = field.places[numbers]
        made.nodes[:] = field.nodes.reshape(-1, BRICK**3, field.nodes.shape[1])[rows].reshape(made.nodes.shape)
        for name in ("first", "second", "last"):
            getattr(made, name).copy_(getattr(field, name))
    return made


def joined(field: BlockField) -> BrickField:
    """The field in one block."""
    blocks: list[Any] = list(field.parts)
    own = [torch.from_numpy(np.flatnonzero(field.owns(k))) for k in range(len(blocks))]
    first = blocks[0]
    made = BrickField(**{**first.arguments(), "kept": sum(len(rows) for rows in own)})
    with torch.no_grad():
        made.places[:] = torch.cat([one.places[rows] for one, rows in zip(blocks, own, strict=True)])
        nodes = [
            one.nodes.reshape(-1, BRICK**3, one.nodes.shape[1])[rows + 1] for one, rows in zip(blocks, own, strict=True)
        ]
        made.nodes[BRICK**3 :] = torch.cat(nodes).reshape(-1, first.nodes.shape[1])
        made.nodes[: BRICK**3] = first.nodes[: BRICK**3]
        for name in ("first", "second", "last"):
            getattr(made, name).copy_(getattr(first, name))
    return made
