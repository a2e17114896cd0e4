"""The abstract field: a differentiable function from coordinates to values.

Convention: coordinates have shape ``(*batch, d)``, columns in the order of ``field.domain.axes``, in the user's units;
values have shape ``(*batch, c)``, in the user's units, one column for each of ``field.out_names``. A footprint is the
full width of the query's cell along every axis, in the user's units; None asks for the value at the point itself.
"""

from abc import ABC, abstractmethod
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.domains import Domain, RegularGrid

CERTAIN = 1e-7  # probabilities are kept this far from 0 and 1
CHUNK = 1 << 16  # points in one evaluation: the largest intermediate of a 256-wide network is then 64 MB


class Field(nn.Module, ABC):
    """A function ``u: domain -> R^c`` with named axes and named values.

    Call it on a tensor, to differentiate through it, or on a numpy array, to get a numpy array back.
    """

    domain: Domain
    out_names: tuple[str, ...]

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        """The values at `x`, averaged over the footprint where one is given."""

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, as stored in a field file."""

    @overload
    def __call__(self, x: np.ndarray, footprint: Any = None) -> np.ndarray: ...
    @overload
    def __call__(self, x: Tensor, footprint: Any = None) -> Tensor: ...
    def __call__(self, x: Any, footprint: Any = None) -> Any:
        if x.shape[-1:] != (self.domain.dim,):
            names = ", ".join(axis.name for axis in self.domain.axes)
            raise InputError(f"points of shape {tuple(x.shape)}", f"(..., {self.domain.dim}) with columns {names}")
        if isinstance(x, np.ndarray):
            return self._on_array(x, footprint)
        return super().__call__(x, footprint)

    def square_error(
        self, x: Float[Tensor, "n d"], target: Float[Tensor, "n c"], weight: Float[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        """The mean of ``weight * (u(x) - target)^2`` over points and channels; field classes may fuse it."""
        square = (self(x) - target).square()
        return (square if weight is None else square * weight[:, None]).mean()

    def divergence(
        self, x: Float[Tensor, "n d"], target: Float[Tensor, "n c"], weight: Float[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        """The mean of ``weight`` times the Kullback-Leibler divergence of ``u(x)`` from the target, both in [0, 1].

        Values and targets count as the probabilities of one of two outcomes; field classes may fuse it.
        """
        values = self(x).clamp(CERTAIN, 1 - CERTAIN)
        entropy = torch.special.entr(target) + torch.special.entr(1 - target)
        parts = -(target.xlogy(values) + (1 - target).xlogy(1 - values) + entropy)
        return (parts if weight is None else parts * weight[:, None]).mean()

    def on_grid(self, grid: RegularGrid, footprint: bool = False) -> np.ndarray:
        """The values at the centres of `grid`, shape ``(*grid.shape, c)``; with `footprint`, means over its cells."""
        cell = grid.spacing if footprint else None
        first, *rest = (grid.centers(k) for k in range(grid.box.dim))
        slab = max(1, CHUNK // (grid.size // grid.shape[0]))
        parts = []
        for begin in range(0, len(first), slab):
            points = np.stack(np.meshgrid(first[begin : begin + slab], *rest, indexing="ij"), axis=-1)
            parts.append(self._on_array(points, cell))
        return np.concatenate(parts)

    def _on_array(self, x: np.ndarray, footprint: Any) -> np.ndarray:
        device = next(self.parameters(), torch.empty(0)).device
        precise = torch.float32 if device.type == "mps" else torch.float64
        points = torch.as_tensor(np.ascontiguousarray(x), dtype=precise).reshape(-1, x.shape[-1])
        cell = None if footprint is None else torch.as_tensor(np.asarray(footprint), dtype=precise).to(device)
        if cell is not None and cell.ndim > 1:
            raise InputError(f"a footprint of shape {tuple(cell.shape)}", "one width, or one for each axis")
        if cell is not None:
            cell = cell.expand(x.shape[-1])
        with torch.no_grad():
            values = [super(Field, self).__call__(part.to(device), cell).cpu() for part in points.split(CHUNK)]
        return torch.cat(values).reshape(*x.shape[:-1], len(self.out_names)).numpy()
