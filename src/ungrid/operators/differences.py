"""Finite differences as observation operators.

A derivative that was measured on a grid is a difference of neighbouring samples, not the derivative at a point. Observing
the field through the same difference is exact for such data, and needs values of the field only.

Convention: neighbours are one `spacing` away along an axis and limited to the centres of the grid's outermost cells, which
makes the differences one-sided there (as ``numpy.gradient`` does).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ungrid.domains import RegularGrid


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of points on a grid, in the grid's own spacing."""

    grid: RegularGrid

    def shifted(self, x: Float[Tensor, "n d"], axis: int, steps: int) -> Float[Tensor, "n d"]:
        """The points moved by `steps` samples along one axis, at most to the outermost centres."""
        spacing = float(self.grid.spacing[axis])
        bounds = self.grid.box.axes[axis]
        moved = x.clone()
        moved[:, axis] = (x[:, axis] + steps * spacing).clamp(bounds.low + spacing / 2, bounds.high - spacing / 2)
        return moved

    def gradient(self, u: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> Float[Tensor, "n dc"]:
        """Central differences per sample, one block of c columns for each axis: (u(x + h) - u(x - h)) / (steps between)."""
        d = x.shape[1]
        ends = [self.shifted(x, axis, sign) for axis in range(d) for sign in (1, -1)]
        values = u(torch.cat(ends)).reshape(d, 2, len(x), -1)
        steps = [(ends[2 * k][:, k] - ends[2 * k + 1][:, k]) / float(self.grid.spacing[k]) for k in range(d)]
        quotients = [
            (values[k, 0] - values[k, 1]) / steps[k].round().clamp(min=1)[:, None].to(values.dtype) for k in range(d)
        ]
        return torch.cat(quotients, dim=-1)

    def laplacian(self, u: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Second differences per squared sample, summed over the axes; the samples beyond the border repeat the border."""
        d = x.shape[1]
        around = [self.shifted(x, axis, sign) for axis in range(d) for sign in (1, -1)]
        values = u(torch.cat([x, *around])).reshape(2 * d + 1, len(x), -1)
        return values[1:].sum(dim=0) - 2 * d * values[0]
