"""The gradient of a field as an observation operator, and the eikonal term.

A distance to a surface has a gradient of length one wherever it has a gradient (the eikonal equation), and at the surface
that gradient is the normal. Sources: Gropp, Yariv, Haim, Atzmon and Lipman 2020, *Implicit geometric regularization for
learning shapes*, equation 2; Sitzmann et al. 2020, section 4.2.

Convention: points (N, d), gradients (N, d), both in the user's units.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.taylor import Needed
from ungrid.domains import Box
from ungrid.objectives.term import FieldLike
from ungrid.operators.jet import Jet, TaylorField
from ungrid.sampling import Batch, Sampler

SMALLEST = 1e-12  # added to the squared length, whose root has no derivative at zero


@dataclass(frozen=True)
class UniformPoints(Sampler):
    """`size` points at each step, uniform in a box."""

    box: Box
    size: int
    device: torch.device

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        """The batch of step number `step`."""
        low, high = torch.from_numpy(self.box.low), torch.from_numpy(self.box.high)
        precise = torch.float32 if self.device.type == "mps" else torch.float64
        points = low + (high - low) * torch.rand(self.size, self.box.dim, generator=generator, dtype=torch.float64)
        return Batch(points.to(self.device, precise))


def spatial_gradient(u: FieldLike, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The exact gradient of a scalar function, differentiable by its parameters; forward where the field offers it."""
    columns = tuple(range(x.shape[1]))
    if isinstance(u, TaylorField) and u.offers_taylor:
        return u.forward_taylor(x, Needed(columns))[1:, :, 0].T
    return Jet(u, x, axes=tuple(f"x{k}" for k in columns)).gradient()


def slope(u: FieldLike, x: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
    """The length of the gradient, which the eikonal equation makes one."""
    return (spatial_gradient(u, x).square().sum(dim=1, keepdim=True) + SMALLEST).sqrt()
