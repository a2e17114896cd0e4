"""Multiresolution B-spline grid: dense levels, hash tables for levels that would be too large.

Convention: unit coordinates; the grid covers the box ``[-extent[k], extent[k]]`` on axis k, and points outside are moved
to its surface. A level with n cells on an axis has its nodes at the cell centres, so that a level of the sample grid's
own size has one node for each sample, plus two further nodes at each end. Values between nodes are uniform B-splines
of degree `order`: 1 is multilinear, 3 is twice continuously differentiable. Derivatives are those inside the cells: the
second ones of order 1 miss the kinks at the nodes. Outside the box the features are constant, so they have none; on its
surface they are those from inside. On an axis that is a circle the further nodes are those of the other end, so that
features and derivatives agree at the two ends; who calls the grid wraps the points.

Sources: Müller, Evans, Schied and Keller 2022, *Instant neural graphics primitives* (levels, hashing); de Boor 1978, *A
practical guide to splines* (basis). Differences: splines instead of linear interpolation, whole rows are hashed instead of
single nodes, and levels may hold different numbers of features.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid._base.taylor import Form, Taylor
from ungrid.kernels import grid as kernel
from ungrid.kernels import grid_derivatives as derivative_kernel

PAD = 2  # nodes beyond the outermost cell centres
LONGEST_GAP = 8.0  # in cells of the finest level: points further apart do not share an interpolated row
SURFACE = 4.0  # roundings by which a point may lie outside the box and still count as one of its surface

PIECES: dict[int, tuple[tuple[float, ...], ...]] = {  # the weights of the taps, by rising powers of the place in a cell
    1: ((1, -1), (0, 1)),
    2: ((1 / 8, -1 / 2, 1 / 2), (3 / 4, 0, -1), (1 / 8, 1 / 2, 1 / 2)),
    3: (
        (1 / 6, -1 / 2, 1 / 2, -1 / 6),
        (2 / 3, 0, -1, 1 / 2),
        (1 / 6, 1 / 2, 1 / 2, -1 / 2),
        (0, 0, 0, 1 / 6),
    ),
}

Orders = tuple[tuple[int, ...], ...]  # partial derivatives: how often each one differentiates along every axis


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
        circles: the axes whose two ends are one place; their levels must be dense.
    """

    ties: Tensor | None

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
        circles: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        if order not in (1, 2, 3):
            raise InputError(f"splines of order {order}", "1, 2 or 3")
        if len(cells) != len(features) or not cells or any(len(level) != len(extent) for level in cells):
            raise InputError(f"levels {cells} with features {features}", f"levels with {len(extent)} axes each")
        self.cells, self.features, self.extent, self.order = cells, features, extent, order
        self.max_entries, self.seed, self.spread, self.circles = max_entries, seed, spread, circles
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
        if circles and (self._hashed.any() or not set(circles) <= set(range(self.dim))):
            raise InputError(
                f"the circles {circles} of a grid of {self.dim} axes", "axes of a grid without hashed levels"
            )
        self.register_buffer("ties", self._tied_places() if circles else None, persistent=False)
        self.tied_table()

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("cells", "features", "extent", "order", "max_entries", "seed", "spread", "circles")
        return {name: getattr(self, name) for name in names}

    def _tied_places(self) -> Tensor:
        """For every number of the table the place of the number that it is a copy of: itself, except round a circle."""
        places = []
        for level, cells in enumerate(self.cells):
            axes = [np.arange(n + 2 * PAD) for n in cells]
            for k in self.circles:
                axes[k] = (axes[k] - PAD) % cells[k] + PAD
            node = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), self._shape[level]).reshape(-1, 1)
            features = self.features[level]
            places.append((self._start[level] + node * features + np.arange(features)).reshape(-1))
        return torch.from_numpy(np.concatenate(places))

    def tied_table(self) -> Tensor:
        """The table, with the further nodes of circles renewed; its gradients reach the nodes that they are copies of."""
        if self.ties is None:
            return self.table
        self.table.data.copy_(
            self.table.data[self.ties]
        )  # by its data: an operation that saved the table keeps its values
        return self.table[self.ties] if torch.is_grad_enabled() else self.table

    @property
    def finest_cell(self) -> tuple[float, ...]:
        """The width of the smallest cell on every axis, in unit coordinates."""
        return tuple(float(1 / scale) for scale in self._scale.max(axis=0))

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """Features at unit coordinates, differentiable to any order: by the kernels on a CPU, else by `interpolate`."""
        if self.runs_fused(x):
            flat = x.reshape(-1, self.dim).float().contiguous()
            return _Encode.apply(flat, self.tied_table(), self).reshape(*x.shape[:-1], self.out_features)
        if self._has_kernel(x):
            flat = self.inside(x.reshape(-1, self.dim))
            return self.partials(flat, ((0,) * self.dim,))[0].reshape(*x.shape[:-1], self.out_features)
        return self.interpolate(x)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        x, rates = z.streams[0], z.streams[1:]
        extent = torch.as_tensor(self.extent, dtype=x.dtype, device=x.device)
        surface = extent * (1 + SURFACE * torch.finfo(x.dtype).eps)
        moving = rates * (x.detach().abs() <= surface)  # the chain rule's factor of `inside`
        touched, first = self._touched_axes(rates), len(rates) - len(z.forms)
        orders = _partials_needed(self.dim, touched, z.forms)
        found = dict(zip(orders, self.partials(self.inside(x), orders).to(x.dtype), strict=True))
        streams = [found[_order(self.dim)]]
        for row, axes in enumerate(touched):
            total = torch.zeros_like(streams[0])
            for a in axes:
                total = torch.addcmul(total, moving[row, :, a, None], found[_order(self.dim, a)])
            for i, j in z.forms[row - first] if row >= first else ():
                for a, b in itertools.product(touched[i - 1], touched[j - 1]):
                    factor = moving[i - 1, :, a, None] * moving[j - 1, :, b, None]
                    total = torch.addcmul(total, factor, found[_order(self.dim, a, b)])
            streams.append(total)
        return Taylor(torch.stack(streams), z.forms)

    def _touched_axes(self, rates: Float[Tensor, "s n d"]) -> list[list[int]]:
        """The axes along which every stream moves the points: straight from the coordinates, one axis or none."""
        if rates.requires_grad or torch._C._are_functorch_transforms_active():  # zeros may have gradients, too
            return [list(range(self.dim)) for _ in rates]
        return [[a for a, moves in enumerate(row) if moves] for row in (rates != 0).any(dim=1).tolist()]

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n e"]:
        """Partial derivatives of the features at points of the box, differentiable to any order themselves.

        Args:
            x: points inside the box, in unit coordinates.
            orders: for each derivative how often it differentiates along every axis; zeros are the features.
        """
        x = x.to(self.table.dtype)
        return (
            _Partials.apply(x, self.tied_table(), self, orders)
            if self._has_kernel(x)
            else self.plain_partials(x, orders)
        )

    def plain_partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n e"]:
        """`partials` in plain PyTorch, on any device."""
        return torch.cat([self._level_partials(x, level, orders) for level in range(len(self.cells))], dim=-1)

    def _has_kernel(self, x: Tensor) -> bool:
        """Whether the kernels of derivatives can serve these points: on a CPU, at most 4 axes, outside of vmap."""
        on_cpu = self.table.device.type == "cpu" and x.device.type == "cpu"
        known = self.table.dtype in (torch.float32, torch.float64)
        return on_cpu and known and self.dim <= 4 and not torch._C._are_functorch_transforms_active()

    def runs_fused(self, x: Tensor) -> bool:
        """Whether the CPU kernel can serve these points: float32 weights on a CPU, at most 4 axes, no derivatives in x."""
        differentiates = x.requires_grad and torch.is_grad_enabled()
        on_cpu = self.table.device.type == "cpu" and x.device.type == "cpu"
        return on_cpu and self.table.dtype == torch.float32 and self.dim <= 4 and not differentiates

    def kernel_arguments(self) -> tuple[Any, int, float]:
        """The levels as arrays, the order and the longest gap, as the kernels want them."""
        return self._levels(np.dtype(np.float32)), self.order, LONGEST_GAP * self.finest_cell[-1]

    def derivative_arguments(self, orders: Orders, dtype: np.dtype) -> tuple[Any, ...]:
        """Levels, order, half, pieces and orders, as `kernels.grid_derivatives` names them."""
        highest = max(max(order) for order in orders)
        half = dtype.type(0.5 if self.order == 2 else 0.0)
        pieces = np.stack([_piece_derivatives(self.order, q) for q in range(highest + 1)]).astype(dtype)
        return self._levels(dtype), self.order, half, pieces, np.array(orders, dtype=np.int64)

    def _levels(self, dtype: np.dtype) -> tuple[np.ndarray, ...]:
        scale, shift = self._scale.astype(dtype), self._shift.astype(dtype)
        features = np.array(self.features, dtype=np.int64)
        return self._shape, scale, shift, self._start, self._entries, features, self._hashed

    def inside(self, x: Tensor) -> Tensor:
        """The points, moved to the surface of the box where they lie outside.

        Raises:
            InputError: if a coordinate is NaN, which would be an index anywhere in memory for the kernels.
        """
        if torch.isnan(x.detach()).any():
            raise InputError("NaN coordinates", "finite ones")
        extent = torch.as_tensor(self.extent, dtype=x.dtype, device=x.device)
        return torch.minimum(torch.maximum(x, -extent), extent)

    def interpolate(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch e"]:
        """The same features in plain PyTorch: differentiable in x to any order, on any device and dtype."""
        flat = self.inside(x.reshape(-1, self.dim))
        columns = [self._level(flat, level) for level in range(len(self.cells))]
        return torch.cat(columns, dim=-1).reshape(*x.shape[:-1], self.out_features).to(self.table.dtype)

    def _level(self, x: Float[Tensor, "n d"], level: int) -> Float[Tensor, "n f"]:
        first, weights = _taps(self._lattice(x, level)[0], self.order)
        offsets, nodes = self._nodes(first, level)
        product = torch.stack([weights[:, k, offsets[:, k]] for k in range(self.dim)]).prod(dim=0)
        return (product[..., None].to(nodes.dtype) * nodes).sum(dim=1)

    def _level_partials(self, x: Float[Tensor, "n d"], level: int, orders: Orders) -> Float[Tensor, "p n f"]:
        t, scale = self._lattice(x, level)
        first, _ = _taps(t, self.order)
        place = t - first - int(self.order > 1)
        powers = torch.stack([place**m for m in range(self.order + 1)], dim=-1)
        offsets, nodes = self._nodes(first, level)
        weights = []
        for q in range(1 + max(max(order) for order in orders)):
            pieces = torch.as_tensor(_piece_derivatives(self.order, q), dtype=x.dtype, device=x.device)
            weights.append(powers @ pieces.T * (scale**q)[:, None])
        products = [torch.stack([weights[q][:, k, offsets[:, k]] for k, q in enumerate(o)]).prod(dim=0) for o in orders]
        return torch.einsum("pnt,ntf->pnf", torch.stack(products), nodes)

    def _lattice(self, x: Float[Tensor, "n d"], level: int) -> tuple[Tensor, Tensor]:
        """Lattice coordinates (n, d) on a level, and their derivatives (d,)."""
        scale = torch.as_tensor(self._scale[level], dtype=x.dtype, device=x.device)
        return x * scale + torch.as_tensor(self._shift[level], dtype=x.dtype, device=x.device), scale

    def _nodes(self, first: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """The taps as offsets (t, d) from the first node (n, d), and the level's numbers there (n, t, f)."""
        taps, d, f = self.order + 1, self.dim, self.features[level]
        offsets = torch.cartesian_prod(*[torch.arange(taps, device=first.device)] * d).reshape(-1, d)
        start, entries = int(self._start[level]), int(self._entries[level])
        table = self.tied_table()[start : start + entries * f].reshape(entries, f)
        return offsets, table[self._index(first[:, None, :] + offsets, level)]

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


def _order(dim: int, *axes: int) -> tuple[int, ...]:
    """The partial derivative that differentiates once along each of the given axes."""
    return tuple(axes.count(k) for k in range(dim))


def _raised(orders: Orders) -> Orders:
    """Every partial derivative differentiated once more along every axis, (P, d) of them in row-major order."""
    return tuple(tuple(n + (k == a) for k, n in enumerate(order)) for order in orders for a in range(len(order)))


def _piece_derivatives(order: int, q: int) -> np.ndarray:
    """Coefficients (taps, order + 1), by rising powers, of the q-th derivatives of the weights as `_taps` has them."""
    coefficients = np.zeros((order + 1, order + 1))
    for tap, weight in enumerate(PIECES[order]):
        derived = np.polynomial.polynomial.polyder(weight, q)
        coefficients[tap, : len(derived)] = derived
    return coefficients


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


def _partials_needed(dim: int, touched: list[list[int]], forms: tuple[Form, ...]) -> Orders:
    """The partial derivatives that streams and forms are made of, starting with the features themselves."""
    first = {_order(dim, a) for axes in touched for a in axes}
    pairs = [pair for form in forms for pair in form]
    second = {_order(dim, a, b) for i, j in pairs for a in touched[i - 1] for b in touched[j - 1]}
    return _order(dim), *sorted(first), *sorted(second)


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


class _Partials(torch.autograd.Function):
    """`SplineGrid.partials` by the kernel. Its derivatives in x are further partials; in the table it is linear."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, table: Tensor, grid: SplineGrid, orders: Orders) -> Tensor:
        ctx.grid, ctx.orders = grid, orders
        ctx.save_for_backward(x, table)
        points, numbers = x.detach().contiguous().numpy(), table.detach().contiguous().numpy()
        arguments = grid.derivative_arguments(orders, numbers.dtype)
        threads = torch.get_num_threads()
        return torch.from_numpy(derivative_kernel.partials(points, numbers, *arguments, grid.out_features, threads))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, table = ctx.saved_tensors
        by_x = _pull_points(x, table, grads[0], ctx.grid, ctx.orders) if ctx.needs_input_grad[0] else None
        by_table = _Spread.apply(x, grads[0], ctx.grid, ctx.orders) if ctx.needs_input_grad[1] else None
        return by_x, by_table, None, None


class _Spread(torch.autograd.Function):
    """The transpose of `_Partials`: from a gradient by the partial derivatives (P, N, E) to one by the table."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, grid: SplineGrid, orders: Orders) -> Tensor:
        ctx.grid, ctx.orders = grid, orders
        ctx.save_for_backward(x, grad)
        points, numbers = x.detach().contiguous().numpy(), grad.detach().contiguous().numpy()
        arguments = grid.derivative_arguments(orders, numbers.dtype)
        threads = torch.get_num_threads()
        return torch.from_numpy(derivative_kernel.spread(points, numbers, *arguments, grid.table.numel(), threads))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, grad = ctx.saved_tensors
        by_x = _pull_points(x, grads[0], grad, ctx.grid, ctx.orders) if ctx.needs_input_grad[0] else None
        by_grad = _Partials.apply(x, grads[0], ctx.grid, ctx.orders) if ctx.needs_input_grad[1] else None
        return by_x, by_grad, None, None


def _pull_points(x: Tensor, table: Tensor, grad: Tensor, grid: SplineGrid, orders: Orders) -> Tensor:
    """The gradient (N, d) in the points of the sum of grad (P, N, E) times the partials that `table` gives."""
    higher = _Partials.apply(x, table, grid, _raised(orders)).unflatten(0, (len(orders), grid.dim))
    return torch.einsum("pne,pdne->nd", grad, higher)
