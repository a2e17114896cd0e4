"""A field that is made of others, one after another along the last axis: the time slabs of a solution that was marched."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.fields.field import Field
from ungrid.fields.routing import routed


class SlabField(Field):
    """The field of the slab that a point lies in; at a cut that of the later one. Beyond the ends the nearest slab counts.

    Args:
        parts: at least one; their domains share all axes but the last, along which each begins where the one before ends.
    """

    def __init__(self, parts: tuple[Field, ...]) -> None:
        super().__init__()
        if not parts or len({part.out_names for part in parts}) != 1:
            raise InputError(f"{len(parts)} slabs", "at least one, all with the same values")
        first, last = parts[0].domain.axes, parts[-1].domain.axes
        cuts = [part.domain.axes[-1].low for part in parts[1:]]
        ends = [part.domain.axes[-1].high for part in parts[:-1]]
        if not np.allclose(cuts, ends, rtol=0, atol=1e-9 * (last[-1].high - first[-1].low)):
            raise InputError(f"slabs that end at {ends} and begin at {cuts}", "each to begin where the one before ends")
        self.parts = nn.ModuleList(parts)
        self.out_names = parts[0].out_names
        self.domain = Box(*first[:-1], Axis(first[-1].name, first[-1].low, last[-1].high, first[-1].unit))
        self.cuts = tuple(cuts)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"parts": tuple(self.parts)}

    def _parts(self) -> list[Any]:
        return list(self.parts)

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        cuts = torch.tensor(self.cuts, dtype=x.dtype, device=x.device)
        slab = torch.bucketize(x[..., -1].detach().reshape(-1).contiguous(), cuts, right=True)
        return routed(self._parts(), slab, x, footprint)
