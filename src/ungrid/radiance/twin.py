"""The plain PyTorch twin of `ungrid.kernels.bricks`: slower, differentiable by autograd, on any device.

It takes every step of a ray, also where nothing is; shares below `least` count as well.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from ungrid.fields import BrickField
from ungrid.radiance.lattice import STEP


def render_rays(
    field: BrickField,
    start: Float[Tensor, "rays 3"],
    along: Float[Tensor, "rays 3"],
    views: Float[Tensor, "rays 3"],
    jitter: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colours and opacities of rays in the lattice's coordinates, which begin at t = 0; the jitter as in the kernel."""
    top = torch.tensor(field.shape, dtype=start.dtype, device=start.device) - 1.001
    first, second = -start / along, (top - start) / along
    begin = torch.minimum(first, second).amax(dim=1).clamp(min=0)
    end = torch.maximum(first, second).amin(dim=1)
    dt = STEP / along.norm(dim=1)
    counts = ((end - begin) / dt).clamp(min=0).floor()
    k = torch.arange(int(counts.max()) if len(counts) else 0, device=start.device)
    t = begin[:, None] + (k + jitter[:, None]) * dt[:, None]
    values = field.interpolated(start[:, None] + t[..., None] * along[:, None])
    depth = STEP * field.depth_per_node * softplus(values[..., 0]) * (k < counts[:, None])
    before = torch.cumsum(depth, dim=1) - depth
    shares = torch.exp(-before) * -torch.expm1(-depth)
    left = torch.exp(-depth.sum(dim=1))
    sums = (shares[..., None] * values[..., 1:]).sum(dim=1)
    behind = torch.tensor(field.background, dtype=sums.dtype, device=start.device)
    color = sums[:, :3] + left[:, None] * behind + (1 - left[:, None]) * field.decoded(sums, views)
    return color, 1 - left
