"""Samples of a grid, drawn more often where the signal varies: what a flat region has to teach is soon learned.

Source of the idea of sampling by difficulty: Alain et al. 2015, *Variance reduction in SGD by distributed importance
sampling*. The draws are not reweighted: a batch's loss counts the varied parts more, on purpose.
"""

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

from ungrid.domains import RegularGrid
from ungrid.sampling.batch import Batch, Sampler

SHARE = 0.75  # of a batch that comes from the varied samples, where fewer than so many vary
REACH = 5  # samples of the window along every axis
LEAST_RANGE = 0.02  # within a window, of the whole signal's range


def varies(values: np.ndarray) -> np.ndarray:
    """Where a signal (*shape, c) has a range above `LEAST_RANGE` of its whole one within a window: booleans (*shape,).

    Missing samples (NaN) do not count.
    """
    known = ~np.isnan(values)
    if not known.any():
        return np.zeros(values.shape[:-1], dtype=bool)
    low, high = values[known].min(), values[known].max()
    size = (*[REACH] * (values.ndim - 1), 1)
    highest = scipy.ndimage.maximum_filter(np.where(known, values, low), size)
    lowest = scipy.ndimage.minimum_filter(np.where(known, values, high), size)
    return np.asarray(((highest - lowest) > LEAST_RANGE * (high - low)).any(axis=-1))


class VariedPoints(Sampler):
    """`size` samples of a grid at each step: `SHARE` of them where the signal varies, the rest anywhere.

    Args:
        grid: where the samples are.
        values: (*grid.shape, c), on any device; NaN is missing, and never drawn.
        size: points of a batch.
        weight: (*grid.shape,) weights of the samples, or None.
    """

    def __init__(self, grid: RegularGrid, values: Tensor, *, size: int, weight: Tensor | None = None) -> None:
        flat = values.reshape(-1, values.shape[-1])
        known = ~torch.isnan(flat).any(dim=1).cpu()
        varied = torch.from_numpy(varies(values.cpu().numpy()).reshape(-1)) & known
        self.known, self.varied = known.nonzero()[:, 0], varied.nonzero()[:, 0]
        self.share = SHARE if len(self.varied) < SHARE * len(self.known) else 0.0
        self.grid, self.values, self.size = grid, flat, min(size, len(self.known))
        self.weight = None if weight is None else weight.reshape(-1)
        self.centers = [torch.from_numpy(grid.centers(k)) for k in range(grid.box.dim)]

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        chosen = round(self.share * self.size) if len(self.varied) else 0
        parts = [
            rows[torch.randint(len(rows), (n,), generator=generator)]
            for rows, n in ((self.varied, chosen), (self.known, self.size - chosen))
            if n
        ]
        rows = torch.cat(parts)
        places = torch.unravel_index(rows, self.grid.shape)
        points = torch.stack([center[place] for center, place in zip(self.centers, places, strict=True)], dim=-1)
        index = rows.to(self.values.device)
        weight = None if self.weight is None else self.weight[index]
        return Batch(points.to(self.values.device), self.values[index], weight)
