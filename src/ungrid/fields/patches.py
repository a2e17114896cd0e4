"""A field that is another one in every part of space: the materials of a solution."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Domain, Region, SpaceTime
from ungrid.fields.field import Field
from ungrid.fields.routing import routed


@dataclass(frozen=True)
class Patches(Domain):
    """Domains side by side.

    Attributes:
        parts: regions with the same axes, or such regions over the same time.
    """

    parts: tuple[Domain, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        lows, highs = (np.stack([getattr(part, end) for part in self.parts]) for end in ("low", "high"))
        return tuple(
            Axis(axis.name, float(low), float(high), axis.unit)
            for axis, low, high in zip(self.parts[0].axes, lows.min(axis=0), highs.max(axis=0), strict=True)
        )

    def contains(self, points: np.ndarray) -> np.ndarray:
        return np.any([part.contains(points) for part in self.parts], axis=0)


class PatchField(Field):
    """The field of the part in whose region a point lies, the first of several; elsewhere that of the nearest part.

    Args:
        parts: at least one; fields over regions with the same axes, or over such regions and the same time.
    """

    def __init__(self, parts: tuple[Field, ...]) -> None:
        super().__init__()
        axes = {tuple(axis.name for axis in part.domain.axes) for part in parts}
        if len(axes) != 1 or len({part.out_names for part in parts}) != 1:
            raise InputError(
                f"{len(parts)} parts over the axes {axes}", "at least one, all with the same axes and values"
            )
        self.parts = nn.ModuleList(parts)
        self.out_names = parts[0].out_names
        self.regions = tuple(_region(part.domain) for part in parts)
        self.domain = Patches(tuple(part.domain for part in parts))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"parts": tuple(self.parts)}

    def part_of(self, points: np.ndarray) -> np.ndarray:
        """The number of the part (n,) that counts at points (n, d)."""
        places = points[:, : self.regions[0].dim]
        inside = np.stack([region.contains(places) for region in self.regions])
        found = inside.argmax(axis=0)
        outside = np.flatnonzero(~inside.any(axis=0))
        if len(outside):
            away = [np.min([p.distance(places[outside]) for p in region.pieces], axis=0) for region in self.regions]
            found[outside] = np.argmin(away, axis=0)
        return found

    def _parts(self) -> list[Any]:
        return list(self.parts)

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        places = x.detach().reshape(-1, x.shape[-1]).cpu().double().numpy()
        return routed(self._parts(), torch.from_numpy(self.part_of(places)).to(x.device), x, footprint)


def _region(domain: Domain) -> Region:
    region = domain.region if isinstance(domain, SpaceTime) else domain
    if not isinstance(region, Region):
        raise InputError(f"a field over a {type(domain).__name__}", "a region, or one over time")
    return region
