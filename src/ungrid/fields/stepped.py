"""A field over space and time that was found step by step: what it is at some times, and how fast it changes there.

Between two times it is the cubic that has value and rate at both (Hermite).
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Region, SpaceTime, Time
from ungrid.fields.field import Field


class SteppedField(Field):
    """The field over the region of `space` from the first to the last time; before and after the cubics go on.

    Args:
        space: a field over a region whose values are those at all times, one time after another, and then all rates.
        times: rising, at least two.
        out_names: of the values at one time.
        axis: name of the time.
        unit: of the time.
    """

    def __init__(
        self, space: Field, times: tuple[float, ...], *, out_names: tuple[str, ...], axis: str = "t", unit: str = ""
    ) -> None:
        super().__init__()
        wanted = 2 * len(times) * len(out_names)
        if len(times) < 2 or not (np.diff(times) > 0).all() or len(space.out_names) != wanted:
            raise InputError(
                f"{len(times)} times and {len(space.out_names)} values", f"two or more rising times and {wanted} values"
            )
        if not isinstance(space.domain, Region):
            raise InputError(f"a field over a {type(space.domain).__name__}", "a field over a region of space")
        self.space, self.times, self.out_names, self.axis, self.unit = space, tuple(times), out_names, axis, unit
        self.domain = SpaceTime(space.domain, Time(times[0], times[-1], axis, unit))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in ("space", "times", "out_names", "axis", "unit")}

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        where, t = x[..., :-1], x[..., -1]
        found = self.space(where, None if footprint is None else footprint[..., :-1])
        values = found.unflatten(-1, (2, len(self.times), len(self.out_names)))
        times = torch.tensor(self.times, dtype=t.dtype, device=t.device)
        first = (torch.searchsorted(times, t.detach().contiguous(), right=True) - 1).clamp(0, len(times) - 2)
        step = times[first + 1] - times[first]
        s = (t - times[first]) / step
        weights = torch.stack(
            [(1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s), step * s * (1 - s) ** 2, -step * s**2 * (1 - s)], dim=-1
        )
        index = torch.stack([first, first + 1], dim=-1)[..., None, :, None].expand(
            *values.shape[:-2], 2, values.shape[-1]
        )
        at_ends = values.gather(-2, index).flatten(-3, -2)  # values at both ends, then rates
        return (weights[..., None].to(at_ends.dtype) * at_ends).sum(dim=-2)
