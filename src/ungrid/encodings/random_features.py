"""Random features: ridge functions with fixed random directions, of which a linear layer makes a function.

Convention: unit coordinates x (*batch, dim) in the box ``[-extent[k], extent[k]]``. A feature is ``s(w·x + b)`` with w
uniform in ``[-scale[k], scale[k]]`` on axis k, shifted by ``-center[k]``, 0 or ``center[k]`` (each as likely), and
``b = -w·p`` for a place p uniform in the box, so that every feature bends somewhere in the domain. The first feature is the
constant 1.

Sources: Huang, Zhu and Siew 2006, *Extreme learning machine*; Rahimi and Recht 2007, *Random features for large-scale
kernel machines*; for differential equations Dwivedi and Srinivasan 2020 (PIELM).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid._base.taylor import Taylor

Orders = Sequence[tuple[int, ...]]


def tanh_derivatives(z: Tensor, highest: int) -> list[Tensor]:
    """tanh and its derivatives: polynomials in T = tanh z, since T' = 1 - T²."""
    t = torch.tanh(z)
    slope = 1 - t * t
    made = [t, slope]
    if highest >= 2:
        made.append(-2 * t * slope)
    if highest >= 3:
        made.append(slope * (6 * t * t - 2))
    if highest >= 4:
        made.append(8 * t * slope * (2 - 3 * t * t))
    return made[: highest + 1]


def _sine(z: Tensor, highest: int) -> list[Tensor]:
    sine, cosine = torch.sin(z), torch.cos(z) if highest else z
    return [sine, cosine, -sine, -cosine, sine][: highest + 1]


SHAPES: dict[str, Callable[[Tensor, int], list[Tensor]]] = {"tanh": tanh_derivatives, "sine": _sine}
HIGHEST = 4  # order of the derivatives


def ridge_partials(
    x: Float[Tensor, "n d"], weight: Float[Tensor, "m d"], bias: Float[Tensor, " m"], shape: str, orders: Orders
) -> Float[Tensor, "p n f"]:
    """Partial derivatives of ``1, s(w_1·x + b_1), ...``; `orders` says how often each differentiates along every axis.

    Raises:
        InputError: above the fourth order.
    """
    totals = [sum(order) for order in orders]
    if max(totals) > HIGHEST:
        raise InputError(f"derivatives of order {max(totals)}", f"up to {HIGHEST}")
    weight = weight.to(x.dtype)
    rates = SHAPES[shape](x @ weight.T + bias.to(x.dtype), max(totals))
    rows = []
    for order, total in zip(orders, totals, strict=True):
        factor = torch.stack([weight[:, k] ** n for k, n in enumerate(order)]).prod(dim=0)
        constant = torch.full((len(x), 1), float(total == 0), dtype=x.dtype, device=x.device)
        rows.append(torch.cat([constant, rates[total] * factor], dim=1))
    return torch.stack(rows)


class RandomFeatures(nn.Module):
    """``1, s(w_1·x + b_1), ..., s(w_m·x + b_m)``.

    Args:
        dim: number of coordinates.
        features: m.
        scale: the largest slope along every axis.
        extent: half the length of the box on every axis.
        center: the slope of fast oscillations along every axis, around which slopes are drawn too; None: zeros.
        shape: "tanh" or "sine".
        seed: of slopes and places.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        dim: int,
        features: int,
        *,
        scale: tuple[float, ...],
        extent: tuple[float, ...],
        center: tuple[float, ...] | None = None,
        shape: str = "tanh",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if shape not in SHAPES:
            raise InputError(f"features of the shape {shape!r}", f"one of {', '.join(SHAPES)}")
        center = center or (0.0,) * dim
        if not len(scale) == len(extent) == len(center) == dim:
            raise InputError(f"scales {scale}, extents {extent}, centers {center}", f"one for each of {dim} axes")
        self.dim, self.features, self.scale, self.extent = dim, features, scale, extent
        self.center, self.shape, self.seed = center, shape, seed
        self.out_features = 1 + features
        generator = torch_generator(seed)
        uniform = 2 * torch.rand(2, features, dim, generator=generator, dtype=torch.float64) - 1
        weight = uniform[0] * torch.tensor(scale, dtype=torch.float64)
        if any(center):
            sides = torch.randint(-1, 2, (features, dim), generator=generator)
            weight += sides * torch.tensor(center, dtype=torch.float64)
        bias = -(weight * uniform[1] * torch.tensor(extent, dtype=torch.float64)).sum(dim=1)
        self.register_buffer("weight", weight.to(torch.get_default_dtype()))
        self.register_buffer("bias", bias.to(torch.get_default_dtype()))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("dim", "features", "scale", "extent", "center", "shape", "seed")
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """Features (*batch, 1 + features) of the coordinates (*batch, dim)."""
        flat = x.reshape(-1, self.dim)
        return self.partials(flat, ((0,) * self.dim,))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives of the features, as `ridge_partials` has them."""
        return ridge_partials(x, self.weight, self.bias, self.shape, orders)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        streams, forms = z
        weight = self.weight.to(streams.dtype)
        f, df, ddf = SHAPES[self.shape](streams[0] @ weight.T + self.bias.to(streams.dtype), 2)
        moved = streams[1:] @ weight.T
        first = len(moved) - len(forms)
        rows = [torch.cat([torch.ones_like(f[:, :1]), f], dim=1)]
        for k in range(len(moved)):
            curved = ddf * sum(moved[i - 1] * moved[j - 1] for i, j in forms[k - first]) if k >= first else 0.0
            rows.append(torch.cat([torch.zeros_like(f[:, :1]), df * moved[k] + curved], dim=1))
        return Taylor(torch.stack(rows), forms)
