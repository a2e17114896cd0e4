"""Regions of several materials, on a line and in the plane.

Convention: every point of the region belongs to one material, those on an interface to either; the normal of an interface
points from its first material into its second. Boundary parts are those of the whole region.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.arrangement import arranged
from ungrid.domains.bodies import Body
from ungrid.domains.csg import Difference, Intersection
from ungrid.domains.domain import Axis
from ungrid.domains.pieces import Piece, Point
from ungrid.domains.region import Region

BESIDE = 1e-7  # of the region's extent: how far from an interface its materials are looked up


@dataclass(frozen=True)
class Interface:
    """A smooth piece between two materials; its normals point from the first into the second."""

    piece: Piece
    materials: tuple[str, str]


@dataclass(frozen=True, init=False)
class Composite(Region):
    """A region that is made of several materials.

    Args:
        whole: all of it; its boundary parts keep their names.
        inside: regions by the names of their materials; of overlapping ones the first counts, and what lies outside the
            whole is left away.
        rest: the name of the material everywhere else.

    Raises:
        InputError: if a material lies outside the whole, none is left over for the rest, names repeat, or the region is
            neither on a line nor in the plane.
    """

    whole: Region
    inside: Mapping[str, Region]
    rest: str

    def __init__(self, whole: Region, inside: Mapping[str, Region], *, rest: str) -> None:
        if whole.dim > 2 or not inside or rest in inside:
            raise InputError(
                f"materials {', '.join(inside) or 'none'} and the rest {rest!r} in {whole.dim} dimensions",
                "different names, on a line or in the plane",
            )
        object.__setattr__(self, "whole", whole)
        object.__setattr__(self, "inside", dict(inside))
        object.__setattr__(self, "rest", rest)
        _ = self.materials  # checks them

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.whole.axes

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.whole.pieces

    @property
    def body(self) -> Body:
        return self.whole.body

    @property
    def given_names(self) -> frozenset[str]:
        return self.whole.given_names

    @cached_property
    def materials(self) -> dict[str, Region]:
        """The region of every material."""
        found: dict[str, Region] = {}
        left = self.whole
        for name, region in self.inside.items():
            found[name] = Intersection(left, region)
            left = Difference(left, region)
        return found | {self.rest: left}

    @cached_property
    def interfaces(self) -> tuple[Interface, ...]:
        """The pieces between materials."""
        found = []
        for piece in self._inner_pieces():
            point, normal = (part[:1] for part in piece.draw(1, np.random.default_rng(0)))
            step = BESIDE * float(np.linalg.norm(self.high - self.low)) * normal
            sides = [str(self.material_of(point + sign * step)[0]) for sign in (-1, 1)]
            if sides[0] != sides[1]:
                found.append(Interface(piece, (sides[0], sides[1])))
        return tuple(found)

    def _inner_pieces(self) -> tuple[Piece, ...]:
        if self.dim == 2:
            curves, bounding = arranged(self.whole, tuple(self.inside.values()))
            return curves[bounding:]
        points = [p for region in self.inside.values() for p in region.pieces if isinstance(p, Point)]
        return tuple(p for p in points if self.whole.side(np.array([[p.x]]))[0] > 0)

    def material_of(self, points: np.ndarray) -> np.ndarray:
        """The names (n,) of the materials at points (n, d)."""
        found = np.full(len(points), self.rest, dtype=object)
        for name, region in [*self.inside.items()][::-1]:
            found[region.contains(points)] = name
        return found
