"""The plain PyTorch twin of `ungrid.kernels.bricks`: slower, differentiable by autograd, on any device.

It takes every step of a ray, also where nothing is; shares below `least` count as well.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus
from torch.nn.utils.rnn import pad_sequence

from ungrid.fields import BrickField
from ungrid.kernels import bricks as kernels
from ungrid.radiance.lattice import STEP


def render_rays(
    field: BrickField,
    start: Float[Tensor, "rays 3"],
    along: Float[Tensor, "rays 3"],
    views: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colours and opacities of rays in the lattice's coordinates, which begin at t = 0; the jitter as in the kernel.

    A contracted lattice cuts them on the CPU.
    """
    places, counted = (
        _in_pieces(field, start, along, jitter) if field.contracted else _in_box(field, start, along, jitter)
    )
    values = field.interpolated(places)
    depth = STEP * field.depth_per_node * softplus(values[..., 0]) * counted
    before = torch.cumsum(depth, dim=1) - depth
    shares = torch.exp(-before) * -torch.expm1(-depth)
    left = torch.exp(-depth.sum(dim=1))
    sums = (shares[..., None] * values[..., 1:]).sum(dim=1)
    behind = torch.tensor(field.background, dtype=sums.dtype, device=start.device)
    color = sums[:, :3] + left[:, None] * behind + (1 - left[:, None]) * field.decoded(sums, views)
    return color, 1 - left


def _in_box(
    field: BrickField, start: Float[Tensor, "rays 3"], along: Float[Tensor, "rays 3"], jitter: Float[Tensor, " rays"]
) -> tuple[Float[Tensor, "rays samples 3"], Bool[Tensor, "rays samples"]]:
    """Samples within the lattice, and which of them count."""
    top = torch.tensor(field.shape, dtype=start.dtype, device=start.device) - 1.001
    first, second = -start / along, (top - start) / along
    begin = torch.minimum(first, second).amax(dim=1).clamp(min=0)
    end = torch.maximum(first, second).amin(dim=1)
    dt = STEP / along.norm(dim=1)
    counts = ((end - begin) / dt).clamp(min=0).floor()
    k = torch.arange(int(counts.max()) if len(counts) else 0, device=start.device)
    t = begin[:, None] + (k + jitter[:, None]) * dt[:, None]
    return start[:, None] + t[..., None] * along[:, None], k < counts[:, None]


def _in_pieces(
    field: BrickField, start: Float[Tensor, "rays 3"], along: Float[Tensor, "rays 3"], jitter: Float[Tensor, " rays"]
) -> tuple[Float[Tensor, "rays samples 3"], Bool[Tensor, "rays samples"]]:
    """The same in a contracted lattice."""
    rows, ends = [], np.empty((kernels.PIECES, 2, 3))
    for one, other, shift in zip(start.cpu().numpy(), along.cpu().numpy(), jitter.cpu().numpy(), strict=True):
        parts = [np.empty((0, 3))]
        for first, last in ends[: kernels.pieces(one, other, field.blocks, ends)]:
            count = kernels.steps_of(np.stack([first, last]), STEP)
            parts.append(first + (np.arange(count)[:, None] + shift) / max(count, 1) * (last - first))
        rows.append(torch.from_numpy(np.concatenate(parts)).to(start))
    counts = torch.tensor([len(row) for row in rows], device=start.device)
    k = torch.arange(int(counts.max()), device=start.device)
    return pad_sequence(rows, batch_first=True), k < counts[:, None]
