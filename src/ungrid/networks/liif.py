"""LIIF and MetaSR: continuous pictures from features at pixels, as published, computed so that a CPU can.

Convention: as `ungrid.networks.continuous`. Weights are named and ordered as in the files of LIIF's authors: the first
layer of LIIF's perceptron sees the 3 x 3 neighbourhood of features (channel by channel), then the offset (y, x) of the place
from the pixel in half pixels, then the width of its cell in half pixels.

Sources: Chen, Liu and Wang 2021, *Learning continuous image representation with local implicit image function* (equations
1 to 6); Hu et al. 2019, *Meta-SR*.

**What is exact and faster.** The first layer is linear, so its part for the features is a 3 x 3 convolution: once per pixel, in
place of once per place and corner, and no tensor of 576 unfolded channels exists. The part for offsets is the sum of one
for rows and one for columns. The last layer is linear as well: the corners' hidden values are averaged before it.
"""

from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.kernels.corners import phases
from ungrid.networks.continuous import ContinuousNetwork
from ungrid.networks.encoders import EDSR, RDN
from ungrid.networks.fused import on_threads
from ungrid.networks.layers import linears, uniform_linear
from ungrid.networks.spline_kernels import Colours, Encoded, Latents, Lattice, Picture, Positions, Scale, Scales

COLOURS = 3
CHUNK = 512  # places at once: their 256 hidden values are half a MB
LONG_CHUNK = 2048  # where chunks have no buffers of their own, and starting an operation costs more
NUDGE = 1e-6  # of a picture's half width: the published code moves places by it, so that ties go to the next pixel


Corners = list[tuple[Tensor, Tensor, Tensor]]
"""For each corner along an axis: the pixels, what their offsets add to the first layer, the shares."""


class Perceptron(nn.Module):
    """Linear layers with ReLU between them, named as LIIF's."""

    def __init__(self, sizes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            parts += [uniform_linear(inputs, outputs, inputs**-0.5, inputs**-0.5, generator), nn.ReLU()]
        self.layers = nn.Sequential(*parts[:-1])

    @property
    def linear(self) -> list[nn.Linear]:
        """The layers without what is between them."""
        return linears(nn.ModuleList(layer for layer in self.layers if isinstance(layer, nn.Linear)))


class LIIF(ContinuousNetwork):
    """The local implicit image function.

    Args:
        encoder: of the features, `EDSR` or `RDN`.
        hidden: width of the perceptron's hidden layers.
        depth: how many it has.
        local_ensemble: blend the predictions from the four nearest pixels by areas (equation 4); else take the nearest's.
        feat_unfold: join the features of the 3 x 3 neighbourhood (equation 3).
        cell_decode: tell the perceptron the size of the place's cell (equation 6).
        seed: of the perceptron's initialisation.
    """

    def __init__(
        self,
        encoder: EDSR | RDN,
        *,
        hidden: int = 256,
        depth: int = 4,
        local_ensemble: bool = True,
        feat_unfold: bool = True,
        cell_decode: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise InputError(f"a perceptron of {depth} hidden layers", "2 or more")
        self.encoder, self.hidden, self.depth, self.seed = encoder, hidden, depth, seed
        self.local_ensemble, self.feat_unfold, self.cell_decode = local_ensemble, feat_unfold, cell_decode
        self.seen = encoder.out_features * (9 if feat_unfold else 1)
        sizes = (self.seen + 2 + 2 * cell_decode, *[hidden] * depth, COLOURS)
        self.imnet = Perceptron(sizes, torch_generator(seed))

    @property
    def halo(self) -> int:
        """Pixels on each side that a latent depends on."""
        return self.encoder.halo + self.feat_unfold

    @property
    def channels(self) -> int:
        """Numbers of a latent."""
        return self.hidden

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("encoder", "hidden", "depth", "local_ensemble", "feat_unfold", "cell_decode", "seed")
        return {name: getattr(self, name) for name in names}

    def latents(self, image: Picture) -> Latents:
        """The features' part of the first layer, before its bias."""
        return self.spread(self.encoded(image))

    def encoded(self, image: Picture) -> Encoded:
        return self.encoder((2 * image - 1).contiguous(memory_format=torch.channels_last))

    def spread(self, encoded: Encoded) -> Latents:
        side = 3 if self.feat_unfold else 1
        weight = self.imnet.linear[0].weight[:, : self.seen].unflatten(1, (-1, side, side))
        return functional.conv2d(encoded, weight, padding=side // 2)

    def on_lattice(
        self, latents: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        h, w = latents.shape[2:]
        maps = latents.permute(0, 2, 3, 1)
        constant = self._constant(scale)
        down, across = self._axis(rows, h, 0, maps), self._axis(columns, w, 1, maps)
        in_place = not torch.is_grad_enabled() and not torch.is_autocast_enabled(maps.device.type)
        step = max(1, (CHUNK if in_place else LONG_CHUNK) // (len(columns) * len(maps)))
        if in_place:
            maps = maps.contiguous()
            return torch.stack([self._in_place(one, down, across, constant, step) for one in maps])
        strips = []
        for top in range(0, len(rows), step):
            lines = slice(top, top + step)
            total = maps.new_zeros(())
            for (y, part_y, weight_y), (x, part_x, weight_x) in product(down, across):
                z = maps[:, y[lines]][:, :, x] + (part_y[lines, None] + constant) + part_x
                weight = weight_y[lines, None, None] * weight_x[:, None]
                total = total + weight * self._hidden(z)
            strips.append(self._colours(total))
        return torch.cat(strips, dim=1).permute(0, 3, 1, 2)

    def at(self, latents: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        h, w = latents.shape[2:]
        axes = [self._corners(position[..., k], size) for k, size in enumerate((h, w))]
        by_offset = self.imnet.linear[0].weight[:, self.seen : self.seen + 2].T
        constant, total = self._constant(scales)[..., None, :], latents.new_zeros(())
        for (y, away_y, weight_y), (x, away_x, weight_x) in product(*axes):
            found = latents.flatten(2).gather(2, (y * w + x)[:, None].expand(-1, latents.shape[1], -1))
            away = torch.stack([away_y, away_x], dim=-1).to(latents.dtype)
            weight = (weight_y * weight_x)[..., None].to(latents.dtype)
            total = total + weight * self._hidden(found.transpose(1, 2) + 2 * away @ by_offset + constant)
        return self._colours(total)

    def _in_place(self, maps: Tensor, down: Corners, across: Corners, constant: Tensor, step: int) -> Tensor:
        """The colours (3, y, x) of latents (h, w, k) at a lattice; all intermediate values are in three buffers a thread.

        Where every chunk gets memory of its own, finding it takes as long as the products.
        """
        (h, w, k), y, x = maps.shape, len(down[0][0]), len(across[0][0])
        flat, out = maps.reshape(h * w, k), maps.new_empty(y, x, COLOURS)
        down = [(rows, part_y + constant, weight) for rows, part_y, weight in down]
        hidden = self.imnet.linear[1:-1]
        tops = range(0, y, step)
        parts = min(torch.get_num_threads(), len(tops))

        def work(part: int) -> None:
            first, second, total = (maps.new_empty(min(step, y) * x, k) for _ in range(3))
            for top in tops[part::parts]:
                lines = slice(top, top + step)
                count = len(down[0][0][lines]) * x
                total[:count].zero_()
                for (rows, part_y, weight_y), (columns, part_x, weight_x) in product(down, across):
                    z, other = first[:count], second[:count]
                    torch.index_select(flat, 0, (rows[lines, None] * w + columns).reshape(-1), out=z)
                    z.view(-1, x, k).add_(part_y[lines, None]).add_(part_x).relu_()
                    for layer in hidden:
                        torch.addmm(layer.bias, z, layer.weight.T, out=other).relu_()
                        z, other = other, z
                    total[:count].addcmul_(z, (weight_y[lines, None] * weight_x).reshape(-1, 1))
                out[lines] = self._colours(total[:count]).view(-1, x, COLOURS)

        on_threads(work, parts)
        return out.permute(2, 0, 1)

    def _constant(self, scale: Tensor) -> Tensor:
        """What the cell and the bias add to the first layer's sums, (*b, hidden) for scales (*b, 2)."""
        first = self.imnet.linear[0]
        if not self.cell_decode:
            return first.bias
        return first.bias + (2 / scale.to(first.weight)) @ first.weight[:, -2:].T

    def _axis(self, positions: np.ndarray, size: int, axis: int, maps: Tensor) -> Corners:
        """For each corner along an axis: the pixels, what the offsets add to the first layer (n, hidden), the weights."""
        where = torch.from_numpy(positions).to(maps.device)
        by_offset = self.imnet.linear[0].weight[:, self.seen + axis]
        found = self._corners(where, size)
        return [(pixel, 2 * away.to(maps.dtype)[:, None] * by_offset, w.to(maps.dtype)) for pixel, away, w in found]

    def _corners(self, position: Tensor, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each corner along an axis: its pixel, the offset from it in pixels, and the share of its prediction.

        Beyond the last pixels' centres both corners are the same pixel. On such a centre all areas are zero, and the
        published code divides their rounding errors; here the shares are those of its neighbourhood.
        """
        if not self.local_ensemble:
            pixel = (position.detach() + 0.5 + NUDGE * size / 2).floor().clamp(0, size - 1).long()
            return [(pixel, position - pixel, torch.ones_like(position))]
        below = position.detach().floor()
        pixels = [(below + corner).clamp(0, size - 1).long() for corner in (0, 1)]
        away = [position - pixel for pixel in pixels]
        total = away[0].abs() + away[1].abs()
        even = total == 0  # on the last pixel itself
        shares = [torch.where(even, 0.5, away[1 - k].abs() / torch.where(even, 1, total)) for k in (0, 1)]
        return list(zip(pixels, away, shares, strict=True))

    def _hidden(self, z: Tensor) -> Tensor:
        """The last hidden values from the first layer's sums."""
        for layer in self.imnet.linear[1:-1]:
            z = layer(functional.relu(z))
        return functional.relu(z)

    def _colours(self, hidden: Tensor) -> Tensor:
        return 0.5 * self.imnet.linear[-1](hidden) + 0.5


class MetaSR(ContinuousNetwork):
    """Weights of an upsampling convolution from the place and the scale, in the form that LIIF is compared with.

    Args:
        encoder: of the features.
        hidden: width of the perceptron that makes the weights.
        seed: of its initialisation.
    """

    def __init__(self, encoder: EDSR | RDN, *, hidden: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.encoder, self.hidden, self.seed = encoder, hidden, seed
        sizes = (3, hidden, encoder.out_features * 9 * COLOURS)
        self.imnet = Perceptron(sizes, torch_generator(seed))

    @property
    def halo(self) -> int:
        """Pixels on each side that a latent depends on: the features themselves."""
        return self.encoder.halo

    @property
    def channels(self) -> int:
        """Numbers of a latent."""
        return self.encoder.out_features

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"encoder": self.encoder, "hidden": self.hidden, "seed": self.seed}

    def latents(self, image: Picture) -> Latents:
        return self.encoder((2 * image - 1).contiguous(memory_format=torch.channels_last))

    def on_lattice(
        self, latents: Latents, image: Picture, rows: np.ndarray, columns: np.ndarray, scale: Scale
    ) -> Lattice:
        h, w = latents.shape[2:]
        (y, away_y), (x, away_x) = (
            self._cell(torch.from_numpy(places).to(latents.device), size, scale[k])
            for k, (places, size) in enumerate(((rows, h), (columns, w)))
        )
        distinct, phase = phases(away_x.cpu().numpy())
        across = torch.from_numpy(distinct).to(away_x)
        padded = functional.pad(latents, (1, 1, 1, 1))
        lines = []
        for row in range(len(rows)):
            inputs = torch.stack([away_y[row].expand_as(across), across, (1 / scale[0]).expand_as(across)], dim=-1)
            weights = self._weights(inputs.to(latents))[torch.from_numpy(phase).to(latents.device)]
            around = padded[:, :, y[row] : y[row] + 3].unfold(3, 3, 1)[:, :, :, x]  # (b, k, 3, x, 3)
            lines.append(torch.einsum("bkixj,xkijc->bxc", around, weights.unflatten(1, (-1, 3, 3))))
        return (0.5 * torch.stack(lines, dim=1) + 0.5).permute(0, 3, 1, 2)

    def at(self, latents: Latents, image: Picture, position: Positions, scales: Scales) -> Colours:
        h, w = latents.shape[2:]
        (y, away_y), (x, away_x) = (self._cell(position[..., k], size, scales[:, [k]]) for k, size in enumerate((h, w)))
        inputs = torch.stack([away_y, away_x, (1 / scales[:, [0]]).expand_as(away_y)], dim=-1).to(latents.dtype)
        padded = functional.pad(latents, (1, 1, 1, 1)).flatten(2)
        around = torch.stack([(y + i) * (w + 2) + x + j for i, j in product(range(3), repeat=2)], dim=-1)
        found = padded.gather(2, around.flatten(1)[:, None].expand(-1, latents.shape[1], -1)).unflatten(2, (-1, 9))
        weights = self._weights(inputs).unflatten(-2, (-1, 9))
        return 0.5 * torch.einsum("bkqn,bqknc->bqc", found, weights) + 0.5

    def _cell(self, position: Tensor, size: int, scale: Tensor) -> tuple[Tensor, Tensor]:
        """The pixel in which the upper left corner of a place's cell lies, and how far behind the pixel's own corner."""
        corner = position - 0.5 / scale.to(position) + 0.5
        pixel = (corner.detach() + NUDGE * size / 2).floor().clamp(0, size - 1).long()
        return pixel, corner - pixel

    def _weights(self, inputs: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n seen 3"]:
        """The convolution's weights: of the unfolded features to the colours."""
        return self.imnet.layers(inputs).unflatten(-1, (-1, COLOURS))
