"""Colours between pixels by learned kernels: features of the four nearest pixels, weighted by splines, then a perceptron.

Convention: positions are in pixels of the picture, (y, x), pixel i with its centre at i; `scale` is (2,): how many places
lie on a pixel along each axis, so that a place's cell is ``1 / scale`` pixels wide. Features are (b, k, h, w), pictures
(b, 3, h, w).

With features A_k at the pixels, the offset r of a place from a pixel, and K kernels psi_k that vanish outside (-1, 1)²,

    z_k = sum over the four nearest pixels of psi_k(r; scale) A_k,        colour = bicubic + L z + V relu(W z + b)
    psi_k(r; scale) = sum_mn C_kmn(scale) beta_m(r_y) beta_n(r_x)

where the beta are uniform cubic B-splines: everything before the perceptron is twice continuously differentiable. On a
lattice of places the kernels are needed once for each phase, which makes them a table. A picture's own bicubic
interpolation (Keys 1981, a = -1/2) is what the network corrects; weights that depend on the place and the scale are the idea
of MetaSR (Hu et al. 2019), a continuous picture from features at pixels that of LIIF (Chen, Liu and Wang 2021).
"""

from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.kernels import corners, scattered
from ungrid.networks.layers import uniform_linear

Latents: TypeAlias = Float[Tensor, "b k h w"]
Encoded: TypeAlias = Float[Tensor, "b e h w"]
Picture: TypeAlias = Float[Tensor, "b 3 h w"]
Way: TypeAlias = Float[Tensor, "b 2 h w"]
Positions: TypeAlias = Float[Tensor, "b q 2"]
Scale: TypeAlias = Float[Tensor, "2"]
Scales: TypeAlias = Float[Tensor, "#b 2"]
Lattice: TypeAlias = Float[Tensor, "b 3 y x"]
Colours: TypeAlias = Float[Tensor, "b q 3"]

COLOURS = 3
STEPS = 64  # of a table of kernels in a pixel, linear between: off by 1e-3 of the largest coefficient at most, measured
FEW_PHASES = 4096  # pairs of phases, up to which a table of the kernels is smaller than what it saves


def cubic_splines(r: Float[Tensor, "*n"], count: int) -> Float[Tensor, "*n count"]:
    """The `count` uniform cubic B-splines that live inside (-1, 1) and vanish twice differentiably at its ends."""
    step = 2 / (count + 3)
    u = ((r[..., None] + 1) / step - torch.arange(2, count + 2, dtype=r.dtype, device=r.device)).abs()
    inner, outer = 2 / 3 - u.square() * (1 - u / 2), (2 - u).clamp(min=0).pow(3) / 6
    return torch.where(u < 1, inner, outer)


def cubic_taps(fraction: Float[Tensor, "*n"]) -> Float[Tensor, "*n 4"]:
    """The four uniform cubic B-splines that live on a knot interval, at `fraction` of it, in their order."""
    t, s = fraction, 1 - fraction
    return torch.stack([s**3, 4 - 3 * t * t * (2 - t), 4 - 3 * s * s * (2 - s), t**3], dim=-1) / 6


def keys_weights(fraction: Float[Tensor, "*n"]) -> Float[Tensor, "*n 4"]:
    """The weights of the pixels at -1, 0, 1 and 2 for a place at `fraction` in [0, 1) (Keys 1981, equation 15)."""
    t = fraction
    outer, inner = ((-0.5 * t + 1) * t - 0.5) * t, (1.5 * t - 2.5) * t * t + 1
    right, last = ((-1.5 * t + 2) * t + 0.5) * t, (0.5 * t - 0.5) * t * t
    return torch.stack([outer, inner, right, last], dim=-1)


def bicubic_on_lattice(
    image: Float[Tensor, "b c h w"], rows: Float[Tensor, " y"], columns: Float[Tensor, " x"]
) -> Float[Tensor, "b c y x"]:
    """The picture's bicubic interpolation at a lattice of positions; beyond its edge its last pixels go on."""
    for axis, positions in ((2, rows), (3, columns)):
        below = positions.floor()
        taps = keys_weights(positions - below).to(image.dtype)
        shape = [1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1]
        places = [(below.long() + k - 1).clamp(0, image.shape[axis] - 1) for k in range(4)]
        image = sum(image.index_select(axis, places[k]) * taps[:, k].reshape(shape) for k in range(4))  # type: ignore[assignment]
    return image


def bicubic_at(image: Float[Tensor, "b c h w"], position: Float[Tensor, "b q 2"]) -> Float[Tensor, "b q c"]:
    """The picture's bicubic interpolation at points."""
    below = position.floor()
    taps = keys_weights(position - below)  # (b, q, 2, 4)
    steps = torch.arange(-1, 3, device=position.device)
    h, w = image.shape[2:]
    y = (below[..., 0, None].long() + steps).clamp(0, h - 1)
    x = (below[..., 1, None].long() + steps).clamp(0, w - 1)
    flat = (y[..., :, None] * w + x[..., None, :]).flatten(1)  # (b, q * 16)
    found = image.flatten(2).gather(2, flat[:, None].expand(-1, image.shape[1], -1))
    found = found.unflatten(2, (-1, 4, 4))
    return torch.einsum("bcqij,bqi,bqj->bqc", found, taps[..., 0, :].to(image.dtype), taps[..., 1, :].to(image.dtype))


class _CornerSums(torch.autograd.Function):
    """`corner_sums` on a CPU, by kernels, with both gradients."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weights: Tensor, *indices: np.ndarray) -> Tensor:
        ctx.save_for_backward(maps, weights)
        ctx.indices = indices
        rows, columns = indices[:2]
        out = torch.empty(len(maps), len(rows), len(columns), maps.shape[-1])
        corners.corner_sums(maps.detach().numpy(), weights.detach().numpy(), *indices, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        maps, weights = ctx.saved_tensors
        grad, needed = grads[0].contiguous().numpy(), ctx.needs_input_grad
        by_maps, by_weights = torch.zeros_like(maps), torch.zeros_like(weights)
        if needed[0]:
            corners.maps_gradient(grad, weights.detach().numpy(), *ctx.indices, by_maps.numpy())
        if needed[1]:
            corners.weights_gradient(grad, maps.detach().numpy(), *ctx.indices, by_weights.numpy())
        return by_maps if needed[0] else None, by_weights if needed[1] else None, *[None] * len(ctx.indices)


def corner_sums(
    maps: Float[Tensor, "b h w k"], weights: Float[Tensor, "p q 2 2 k"], *indices: np.ndarray
) -> Float[Tensor, "b y x k"]:
    """The sums that `ungrid.kernels.corners` defines, with its indices: the plain twin of its kernels."""
    rows, columns, row_phase, column_phase = (torch.from_numpy(part).to(maps.device) for part in indices)
    table = weights[row_phase][:, column_phase]
    total = maps.new_zeros(())
    for i in range(2):
        lines = maps[:, rows[:, i]]
        for j in range(2):
            total = total + table[:, :, i, j] * lines[:, :, columns[:, j]]
    return total


def _channels_last(maps: Tensor) -> Tensor:
    """(b, h, w, k) float32, as the kernels take it."""
    return maps.permute(0, 2, 3, 1).float().contiguous()


def _padded(coefficients: Float[Tensor, "k m n"]) -> Float[Tensor, "p q k"]:
    """Coefficients with zeros for the splines that end outside of (-1, 1), as the kernels take them."""
    return functional.pad(coefficients.permute(1, 2, 0).float(), (0, 0, 3, 4, 3, 4)).contiguous()


class _AtPoints(torch.autograd.Function):
    """The sums and the bicubic interpolation at points, on a CPU, by kernels, with their gradient by the points."""

    @staticmethod
    def forward(
        ctx: Any, position: Tensor, maps: Tensor, coefficients: Tensor, picture: Tensor
    ) -> tuple[Tensor, Tensor]:
        points = position.detach().numpy()
        sums = torch.empty(*position.shape[:2], maps.shape[-1])
        colours, by_y, by_x = torch.empty(3, *position.shape[:2], picture.shape[-1])
        scattered.spline_sums(maps.numpy(), coefficients.numpy(), points, sums.numpy())
        scattered.bicubic_points(picture.numpy(), points, colours.numpy(), by_y.numpy(), by_x.numpy())
        ctx.save_for_backward(position, maps, coefficients, by_y, by_x)
        return sums, colours

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        position, maps, coefficients, by_y, by_x = ctx.saved_tensors
        found = torch.empty_like(position)
        points, by_sums = position.detach().numpy(), grads[0].contiguous().numpy()
        scattered.spline_slopes(by_sums, maps.numpy(), coefficients.numpy(), points, found.numpy())
        by_colours = torch.stack([(grads[1] * slopes).sum(dim=-1) for slopes in (by_y, by_x)], dim=-1)
        return found + by_colours, None, None, None


class SplineKernels(nn.Module):
    """The decoder of this file.

    Args:
        features: K, of the features that it weighs.
        hidden: width of the perceptron.
        splines: along each axis of a kernel, an odd number.
        seed: of the initialisation.

    Raises:
        InputError: if the number of splines is even: a pixel would not be a whole number of their steps.
    """

    SCALES = (1.0, 4.0)  # of the training; beyond them the kernels are those of the nearer end

    def __init__(self, features: int = 48, *, hidden: int = 48, splines: int = 9, seed: int = 0) -> None:
        super().__init__()
        if splines % 2 == 0:
            raise InputError(f"{splines} splines along each axis of a kernel", "an odd number")
        self.features, self.hidden, self.splines, self.seed = features, hidden, splines, seed
        generator = torch_generator(seed)
        centres = (torch.arange(2, splines + 2) * 2 / (splines + 3) - 1).double()
        hat = 1 - centres.abs()
        noise = torch.randn(features, splines, splines, generator=generator, dtype=torch.float64)
        shape = (hat[:, None] * hat) * (1 + 0.5 * noise)
        self.kernels = nn.Parameter(shape.to(torch.get_default_dtype()))
        self.of_scale = uniform_linear(2, 16, 1.0, 1.0, generator)
        self.changes = nn.Parameter(torch.zeros(16, features, splines, splines))
        self.linear = uniform_linear(features, COLOURS, 0.0, 0.0, generator)
        self.first = uniform_linear(features, hidden, (6 / features) ** 0.5, 0.1, generator)
        self.last = uniform_linear(hidden, COLOURS, 0.0, 0.0, generator)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("features", "hidden", "splines", "seed")
        return {name: getattr(self, name) for name in names}

    def coefficients(self, scale: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b k m n"]:
        """The kernels' coefficients for a scale."""
        weight = self.kernels
        octave = scale.to(weight).clamp(*self.SCALES).log2() - 1
        return weight + torch.einsum("...u,ukmn->...kmn", functional.silu(self.of_scale(octave)), self.changes)

    def on_lattice(self, maps: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale) -> Lattice:
        """The colours at a lattice of positions (float64 arrays)."""
        with torch.autocast(maps.device.type, enabled=False):  # kernels and sums keep their precision
            sums = self._sums(maps, rows, columns, scale)
        places = [torch.from_numpy(positions).to(maps.device) for positions in (rows, columns)]
        return self.colours(sums).permute(0, 3, 1, 2) + bicubic_on_lattice(image, *places)

    def _sums(self, maps: Tensor, rows: np.ndarray, columns: np.ndarray, scale: Tensor) -> Tensor:
        """The weighted features (b, y, x, k) at a lattice of positions."""
        coefficients = self.coefficients(scale)
        last = maps.permute(0, 2, 3, 1).to(coefficients).contiguous()
        (down, lines), (across, cells) = (
            corners.lattice_indices(positions, size)
            for positions, size in ((rows, maps.shape[2]), (columns, maps.shape[3]))
        )
        on_cpu = last.device.type == "cpu" and last.dtype == torch.float32
        (heights, row_phase), (widths, column_phase) = corners.phases(lines), corners.phases(cells)
        few = len(heights) * len(widths) <= FEW_PHASES
        if few or not on_cpu or torch.is_grad_enabled():
            upper, left = (self._splines(f, coefficients) for f in (heights, widths))
            halves = torch.einsum("qjn,kmn->qjkm", left, coefficients)
            table = torch.einsum("pim,qjkm->pqijk", upper, halves).contiguous()
            sum_up = _CornerSums.apply if on_cpu else corner_sums
            return sum_up(last, table, down, across, row_phase, column_phase)
        return self._sums_without_table(last, coefficients, (down, lines), (across, cells))

    def _splines(self, fractions: np.ndarray, like: Tensor) -> Tensor:
        """The splines (n, 2, splines) at places behind the first and before the second of two pixels."""
        behind = torch.from_numpy(fractions).to(like.device)
        return cubic_splines(torch.stack([behind, behind - 1], dim=-1), self.splines).to(like)

    def _sums_without_table(
        self, maps: Tensor, coefficients: Tensor, down: tuple[np.ndarray, ...], across: tuple[np.ndarray, ...]
    ) -> Tensor:
        """The weighted features (b, y, x, k), where phases are too many for a table."""
        (rows, behind), (columns, right) = down, across
        halves = torch.einsum("yim,kmn->yink", self._splines(behind, coefficients), coefficients)
        halves = functional.pad(halves, (0, 0, 3, 4)).contiguous()  # splines outside of (-1, 1) count as none
        place = (np.stack([right, right - 1], axis=-1) + 1) * (self.splines + 3) / 2
        first = np.floor(place).astype(np.int64)
        taps = cubic_taps(torch.from_numpy(place - first)).float().numpy()
        out = torch.empty(len(maps), len(rows), len(columns), maps.shape[-1])
        corners.spline_corner_sums(maps.numpy(), halves.numpy(), first, taps, rows, columns, out.numpy())
        return out

    def at(self, maps: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        """The colours at points, differentiable by the positions too."""
        h, w = maps.shape[2:]
        below = position.detach().floor()
        offsets = torch.stack([position - below, position - below - 1], dim=-1)  # (b, q, axis, corner)
        coefficients = self.coefficients(scales).expand(len(position), -1, -1, -1)
        splines = cubic_splines(offsets, self.splines).to(coefficients.dtype)
        kernels = torch.einsum("bqim,bqjn,bkmn->bqijk", splines[:, :, 0], splines[:, :, 1], coefficients)
        pixels = torch.stack([below, below + 1], dim=-1).long()
        y, x = pixels[:, :, 0].clamp(0, h - 1), pixels[:, :, 1].clamp(0, w - 1)
        flat = (y[..., :, None] * w + x[..., None, :]).flatten(1)
        found = maps.flatten(2).gather(2, flat[:, None].expand(-1, maps.shape[1], -1)).unflatten(2, (-1, 2, 2))
        sums = torch.einsum("bqijk,bkqij->bqk", kernels, found)
        return self.colours(sums) + bicubic_at(image, position)

    def led(
        self, maps: Latents, image: Picture, way: Way, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        """The colours at a lattice of positions (float64 arrays) that go along a way (x, y) in pixels.

        By kernels where these can: only the way has a gradient then, and no second one. Without gradients, the features'
        weights are linear between `STEPS` places of a pixel.
        """
        others = (maps, image, *self.parameters())
        learned = torch.is_grad_enabled() and any(part.requires_grad for part in others)
        by_kernels = not learned and maps.device.type == "cpu"
        with torch.autocast(maps.device.type, enabled=False):  # kernels and sums keep their precision
            if by_kernels and not (torch.is_grad_enabled() and way.requires_grad):
                return self._led_colours(maps, image, way, rows, columns, scale)
            coefficients = self.coefficients(scale)
        down, across = (torch.from_numpy(places).to(way.device) for places in (rows, columns))
        moved = bicubic_on_lattice(way.flip(1), down, across).permute(0, 2, 3, 1)
        position = (torch.stack(torch.meshgrid(down, across, indexing="ij"), dim=-1) + moved).flatten(1, 2)
        if by_kernels:
            last, picture = (_channels_last(part) for part in (maps, image))
            sums, bicubic = _AtPoints.apply(position.double().contiguous(), last, _padded(coefficients), picture)
            found = self.colours(sums) + bicubic
        else:
            found = self.at(maps, image, position, scale[None])
        return found.transpose(1, 2).unflatten(2, (len(rows), len(columns)))

    @torch.no_grad()
    def _led_colours(
        self, maps: Tensor, image: Tensor, way: Tensor, rows: np.ndarray, columns: np.ndarray, scale: Tensor
    ) -> Tensor:
        """`led` without gradients, by a table of the kernels."""
        weights = (self.first.weight.T, self.first.bias, self.last.weight.T, self.linear.weight.T)
        perceptron = [part.float().contiguous().numpy() for part in (*weights, self.last.bias + self.linear.bias)]
        given = (_channels_last(maps), self._table(scale), _channels_last(image), way.float().contiguous())
        out = torch.empty(len(maps), len(rows), len(columns), COLOURS)
        scattered.led_colours(*(part.numpy() for part in given), rows, columns, *perceptron, out.numpy())
        return out.permute(0, 3, 1, 2)

    def _table(self, scale: Scale) -> Float[Tensor, "p p k"]:
        """The kernels at `STEPS` places of a pixel, from -1 to 1 along both axes."""
        coefficients = self.coefficients(scale)
        places = torch.arange(-STEPS, STEPS + 1, dtype=torch.float64, device=coefficients.device) / STEPS
        splines = cubic_splines(places, self.splines).to(coefficients)
        return torch.einsum("pm,kmn,qn->pqk", splines, coefficients, splines).contiguous().float()

    def colours(self, sums: Float[Tensor, "*n k"]) -> Float[Tensor, "*n 3"]:
        """What the weighted features add to the bicubic interpolation."""
        return self.linear(sums) + self.last(functional.relu(self.first(sums)))
