"""Finite differences as observation operators.

A derivative that was measured on a grid is a difference of neighbouring samples, not the derivative at a point. Observing
the field through the same difference is exact for such data, and needs values of the field only.

Convention: a gradient is the step to the next sample along every axis, a Laplacian the sum over the neighbours of their
steps from the sample, both per sample (not per unit of the axes). The samples beyond the border repeat the border, so the
last step along an axis is 0; round a circle the next of the last sample is the first. With D for all steps the Laplacian is
then exactly ``-D^T D``, the five-point Laplacian with Neumann borders: it determines samples up to a constant. Central
differences hardly see what alternates from sample to sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid.domains import RegularGrid
from ungrid.domains.circle import is_circle


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of points on a grid, in the grid's own spacing."""

    grid: RegularGrid

    def shifted(self, x: Float[Tensor, "n d"], axis: int, steps: int) -> Float[Tensor, "n d"]:
        """The points moved by `steps` samples along one axis, at most to the outermost centres unless it is a circle."""
        spacing = float(self.grid.spacing[axis])
        bounds = self.grid.box.axes[axis]
        moved = x.clone()
        moved[:, axis] += steps * spacing
        if not is_circle(bounds):
            moved[:, axis] = moved[:, axis].clamp(bounds.low + spacing / 2, bounds.high - spacing / 2)
        return moved

    def gradient(self, u: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> Float[Tensor, "n dc"]:
        """The step of u to the next sample along every axis, one block of c columns for each: u(x + h) - u(x)."""
        d = x.shape[1]
        values = u(torch.cat([x, *(self.shifted(x, axis, 1) for axis in range(d))])).reshape(d + 1, len(x), -1)
        return torch.cat([values[k + 1] - values[0] for k in range(d)], dim=-1)

    def central(self, u: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> Float[Tensor, "n dc"]:
        """Central differences of u along every axis: (u(x + h) - u(x - h)) / 2."""
        d = x.shape[1]
        around = [self.shifted(x, axis, sign) for axis in range(d) for sign in (1, -1)]
        values = u(torch.cat(around)).reshape(2 * d, len(x), -1)
        return torch.cat([(values[2 * k] - values[2 * k + 1]) / 2 for k in range(d)], dim=-1)

    def laplacian(self, u: Callable[[Tensor], Tensor], x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """The sum of the steps of u to all neighbours."""
        d = x.shape[1]
        around = [self.shifted(x, axis, sign) for axis in range(d) for sign in (1, -1)]
        values = u(torch.cat([x, *around])).reshape(2 * d + 1, len(x), -1)
        return values[1:].sum(dim=0) - 2 * d * values[0]

    def sampled_gradient(self, values: Tensor) -> Tensor:
        """`gradient` of gridded values (*shape, c): (*shape, d c)."""
        return torch.cat([self._next(values, k, 1) - values for k in range(self.grid.box.dim)], dim=-1)

    def sampled_central(self, values: Tensor) -> Tensor:
        """`central` of gridded values (*shape, c): (*shape, d c)."""
        parts = [(self._next(values, k, 1) - self._next(values, k, -1)) / 2 for k in range(self.grid.box.dim)]
        return torch.cat(parts, dim=-1)

    def sampled_laplacian(self, values: Tensor) -> Tensor:
        """`laplacian` of gridded values (*shape, c)."""
        d = self.grid.box.dim
        around = [self._next(values, k, sign) for k in range(d) for sign in (1, -1)]
        return torch.stack(around).sum(dim=0) - 2 * d * values

    def divergence(self, steps: Tensor) -> Tensor:
        """``-D^T`` of steps (*shape, d c): (*shape, c); the last steps along an axis that is no circle count as 0."""
        d = self.grid.box.dim
        total = torch.zeros_like(steps[..., : steps.shape[-1] // d])
        for k, part in enumerate(steps.chunk(d, dim=-1)):
            kept = part.clone()
            if not is_circle(self.grid.box.axes[k]):
                kept.select(k, -1).zero_()
            total = total + kept - kept.roll(1, dims=k)
        return total

    def potential(self, laplacian: Tensor) -> Tensor:
        """The gridded values (*shape, c) of mean 0 whose Laplacian is the given one, as nearly as one can be.

        It is the least-squares solution, in closed form: cosines (circles: complex waves) are the eigenvectors of the
        Laplacian (Strang 1999, *The discrete cosine transform*, section 2). For steps g, ``potential(divergence(g))`` is
        the least-squares solution of ``D u = g``.
        """
        axes = self.grid.box.axes
        circles = [k for k, axis in enumerate(axes) if is_circle(axis)]
        lines = [k for k, axis in enumerate(axes) if not is_circle(axis)]
        waves = laplacian.detach().cpu().double().numpy()
        waves = scipy.fft.dctn(waves, axes=lines, norm="ortho") if lines else waves
        waves = scipy.fft.fftn(waves, axes=circles) if circles else waves
        eigenvalues = np.zeros(())
        for k, n in enumerate(self.grid.shape):
            own = 2 * np.cos(np.pi * (2 if k in circles else 1) * np.arange(n) / n) - 2
            eigenvalues = eigenvalues + own.reshape(-1, *[1] * (len(axes) - k - 1))
        eigenvalues.flat[0] = np.inf  # the constant, of which the Laplacian knows nothing
        waves = waves / eigenvalues[..., None]
        waves = scipy.fft.ifftn(waves, axes=circles).real if circles else waves
        waves = scipy.fft.idctn(waves, axes=lines, norm="ortho") if lines else waves
        return torch.from_numpy(waves).to(laplacian)

    def _next(self, values: Tensor, axis: int, steps: int) -> Tensor:
        """Gridded values moved by one sample: of every sample its neighbour `steps` further along the axis."""
        n = values.shape[axis]
        index = torch.arange(n, device=values.device) + steps
        circle = is_circle(self.grid.box.axes[axis])
        return values.index_select(axis, index % n if circle else index.clamp(0, n - 1))
