"""Batches from a regular grid: interleaved sub-lattices.

Every batch covers the whole grid evenly and keeps the grid's rows, so the kernels interpolate whole rows at once and every
node of a coarse level is touched at every step. One pass over all sub-lattices, in random order, visits each sample once.
"""

import itertools
import math

import torch
from torch import Tensor

from ungrid._base.random import torch_generator
from ungrid.domains import RegularGrid
from ungrid.sampling.batch import Batch, Sampler

LONGEST_ROW_STRIDE = 2  # along the last axis: sparser rows would waste the kernels' interpolation of whole rows


def lattice_strides(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Strides of sub-lattices of about `size` points: a short one along the last axis, even ones along the others."""
    excess = max(1.0, math.prod(shape) / size)
    last = min(LONGEST_ROW_STRIDE, shape[-1], max(1, round(excess ** (1 / len(shape)))))
    if len(shape) == 1:
        return (min(shape[0], max(1, round(excess))),)
    lead = (excess / last) ** (1 / (len(shape) - 1))
    return (*(min(n, max(1, round(lead))) for n in shape[:-1]), last)


class GridBatches(Sampler):
    """Sub-lattices of a grid with its values, about `size` points each; missing samples (NaN) are left out.

    Args:
        grid: where the samples are.
        values: (*grid.shape, c), on any device; NaN is missing.
        size: points of a batch.
        seed: of the order of the sub-lattices.
        weight: (*grid.shape,) weights of the samples, or None.
    """

    def __init__(
        self, grid: RegularGrid, values: Tensor, *, size: int, seed: int = 0, weight: Tensor | None = None
    ) -> None:
        self.grid, self.values, self.seed, self.weight = grid, values, seed, weight
        self.strides = lattice_strides(grid.shape, size)
        self.offsets = list(itertools.product(*[range(stride) for stride in self.strides]))
        self.centers = [torch.from_numpy(grid.centers(k)) for k in range(grid.box.dim)]
        self.has_missing = bool(torch.isnan(values).any())

    def __len__(self) -> int:
        """How many batches make one pass."""
        return len(self.offsets)

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        epoch, place = divmod(step, len(self))
        order = torch.randperm(len(self), generator=torch_generator(self.seed + epoch))
        return self.lattice(self.offsets[int(order[place])])

    def lattice(self, offset: tuple[int, ...]) -> Batch:
        """The sub-lattice that begins at `offset`."""
        cut = tuple(slice(begin, None, stride) for begin, stride in zip(offset, self.strides, strict=True))
        axes = [center[part] for center, part in zip(self.centers, cut, strict=True)]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))
        target = self.values[cut].reshape(len(points), -1)
        weight = None if self.weight is None else self.weight[cut].reshape(-1)
        if self.has_missing:
            known = ~torch.isnan(target).any(dim=1)
            points, target = points[known], target[known]
            weight = None if weight is None else weight[known]
        return Batch(points.to(target.device), target, weight)
