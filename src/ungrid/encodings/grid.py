"""Multiresolution B-spline grid: dense levels, hash tables for levels that would be too large.

Convention: unit coordinates; the grid covers the box ``[-extent[k], extent[k]]`` on axis k, and points outside are moved
to its surface. A level with n cells on an axis has its nodes at the cell centres, so that a level of the sample grid's
own size has one node for each sample, plus two further nodes at each end. Values between nodes are uniform B-splines
of degree `order`: 1 is multilinear, 3 is twice continuously differentiable.

Sources: Müller, Evans, Schied and Keller 2022, *Instant neural graphics primitives* (levels, hashing); de Boor 1978, *A
practical guide to splines* (basis). Differences: splines instead of linear interpolation, whole rows are hashed instead of
single nodes, and levels may hold different numbers of features.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.kernels import grid as kernel

PAD = 2  # nodes beyond the outermost cell centres
LONGEST_GAP = 8.0  # in cells of the finest level: points further apart do not share an interpolated row


class SplineGrid(nn.Module):
    """Features interpolated from learned numbers on lattices of several resolutions.

    Args:
        cells: the number of cells on every axis, one tuple for each level.
        features: the features at each node, one number for each level.
        extent: half the length of the box on every axis, in unit coordinates.
        order: degree of the splines, 1 to 3.
        max_entries: nodes of a level above which it becomes a hash table of this many nodes; None: all levels are dense.
        seed: of the initial values.
        spread: the initial values are uniform in [-spread, spread].
    """

    def __init__(
        self,
        cells: tuple[tuple[int, ...], ...],
        features: tuple[int, ...],
        *,
        extent: tuple[float, ...],
        order: int = 3,
        max_entries: int | None = None,
        seed: int = 0,
        spread: float = 1e-2,
    ) -> None:
        super().__init__()
        if order not in (1, 2, 3):
            raise InputError(f"splines of order {order}", "1, 2 or 3")
        if len(cells) != len(features) or not cells or any(len(level) != len(extent) for level in cells):
            raise InputError(f"levels {cells} with features {features}", f"levels with {len(extent)} axes each")
        self.cells, self.features, self.extent, self.order = cells, features, extent, order
        self.max_entries, self.seed, self.spread = max_entries, seed, spread
        self.dim, self.out_features = len(extent), sum(features)
        self._shape = np.array([[n + 2 * PAD for n in level] for level in cells], dtype=np.int64)
        nodes = [math.prod(int(n) for n in shape) for shape in self._shape]
        limit = max_entries or max(nodes)
        self._hashed = np.array([n > limit for n in nodes])
        self._entries = np.array([min(n, limit) for n in nodes], dtype=np.int64)
        sizes = self._entries * np.array(features, dtype=np.int64)
        self._start = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._scale = np.array([[n / (2 * e) for n, e in zip(level, extent, strict=True)] for level in cells])
        self._shift = self._scale * np.array(extent) - 0.5 + PAD
        uniform = torch.rand(int(sizes.sum()), generator=torch_generator(seed))
        self.table = nn.Parameter((2 * uniform - 1) * spread)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("cells", "features", "extent", "order", "max_entries", "seed", "spread")
        return {name: getattr(self, name) for name in names}

    @property
    def finest_cell(self) -> tuple[float, ...]:
        """The width of the smallest cell on every axis, in unit coordinates."""
        return tuple(float(1 / scale) for scale in self._scale.max(axis=0))

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Features at unit coordinates; the fused kernel where nothing needs derivatives in x, else `interpolate`."""
        if self.runs_fused(x):
            flat = x.reshape(-1, self.dim).float().contiguous()
            return _Encode.apply(flat, self.table, self).reshape(*x.shape[:-1], self.out_features)
        return self.interpolate(x)

    def runs_fused(self, x: Tensor) -> bool:
        """Whether the CPU kernel can serve these points: float32 weights on a CPU, at most 4 axes, no derivatives in x."""
        differentiates = x.requires_grad and torch.is_grad_enabled()
        on_cpu = self.table.device.type == "cpu" and x.device.type == "cpu"
        return on_cpu and self.table.dtype == torch.float32 and self.dim <= 4 and not differentiates

    def kernel_arguments(self) -> tuple[Any, int, float]:
        """The levels as arrays, the order and the longest gap, as the kernels want them."""
        scale, shift = self._scale.astype(np.float32), self._shift.astype(np.float32)
        features = np.array(self.features, dtype=np.int64)
        levels = (self._shape, scale, shift, self._start, self._entries, features, self._hashed)
        return levels, self.order, LONGEST_GAP * self.finest_cell[-1]

    def inside(self, x: Tensor) -> Tensor:
        """The points, moved to the surface of the box where they lie outside."""
        extent = torch.as_tensor(self.extent, dtype=x.dtype, device=x.device)
        return torch.minimum(torch.maximum(x, -extent), extent)

    def interpolate(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """The same features in plain PyTorch: differentiable in x to any order, on any device and dtype."""
        flat = self.inside(x.reshape(-1, self.dim))
        columns = [self._level(flat, level) for level in range(len(self.cells))]
        return torch.cat(columns, dim=-1).reshape(*x.shape[:-1], self.out_features).to(self.table.dtype)

    def _level(self, x: Float[Tensor, "n d"], level: int) -> Float[Tensor, "n f"]:
        scale = torch.as_tensor(self._scale[level], dtype=x.dtype, device=x.device)
        shift = torch.as_tensor(self._shift[level], dtype=x.dtype, device=x.device)
        first, weights = _taps(x * scale + shift, self.order)
        taps, d, f = self.order + 1, self.dim, self.features[level]
        offsets = torch.cartesian_prod(*[torch.arange(taps, device=x.device)] * d).reshape(-1, d)
        nodes = first[:, None, :] + offsets
        product = torch.stack([weights[:, k, offsets[:, k]] for k in range(d)]).prod(dim=0)
        start, entries = int(self._start[level]), int(self._entries[level])
        table = self.table[start : start + entries * f].reshape(entries, f)
        return (product[..., None].to(table.dtype) * table[self._index(nodes, level)]).sum(dim=1)

    def _index(self, nodes: Tensor, level: int) -> Tensor:
        """Place in the level's table of nodes (..., d); mirrors ``kernels.grid.row_start``."""
        shape, entries = self._shape[level], int(self._entries[level])
        row = torch.zeros_like(nodes[..., 0])
        for k in range(self.dim - 1):
            if self._hashed[level]:
                row = row ^ ((nodes[..., k] + 1) * int(kernel.HASH_PRIMES[k]))
            else:
                row = row * int(shape[k]) + nodes[..., k]
        if self._hashed[level]:
            row = ((row ^ (row >> 17)) & 0x7FFFFFFFFFFF) % entries
        else:
            row = row * int(shape[-1])
        return (row + nodes[..., -1]) % entries


def _taps(t: Float[Tensor, "n d"], order: int) -> tuple[Tensor, Tensor]:
    """First node (n, d) and spline weights (n, d, order + 1) at lattice coordinates t."""
    if order == 1:
        j = t.detach().floor()
        f = t - j
        return j.long(), torch.stack([1 - f, f], dim=-1)
    if order == 2:
        j = (t.detach() + 0.5).floor()
        f = t - j
        return j.long() - 1, torch.stack([(0.5 - f) ** 2 / 2, 0.75 - f**2, (0.5 + f) ** 2 / 2], dim=-1)
    j = t.detach().floor()
    f = t - j
    w0, w3 = (1 - f) ** 3 / 6, f**3 / 6
    w1 = (4 - 6 * f**2 + 3 * f**3) / 6
    return j.long() - 1, torch.stack([w0, w1, 1 - w0 - w1 - w3, w3], dim=-1)


class _Encode(torch.autograd.Function):
    """The kernel's features with the kernel's gradient for the table."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grid: SplineGrid) -> Tensor:
        ctx.grid = grid
        points = grid.inside(x.detach())
        ctx.save_for_backward(points)
        width, threads = grid.out_features, torch.get_num_threads()
        features = kernel.encode(points.numpy(), table.detach().numpy(), *grid.kernel_arguments(), width, threads)
        return torch.from_numpy(features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        (points,) = ctx.saved_tensors
        size, threads = ctx.grid.table.numel(), torch.get_num_threads()
        grad = np.ascontiguousarray(grads[0].numpy())
        return None, torch.from_numpy(
            kernel.encode_backward(points.numpy(), grad, *ctx.grid.kernel_arguments(), size, threads)
        ), None  # fmt: skip
