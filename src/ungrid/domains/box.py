"""Boxes with named axes.

Convention: points are arrays of shape ``(*batch, d)``, columns in the order of ``domain.axes``, in the user's units.
The boundary parts of a box in one to three dimensions are ``x_low``, ``x_high``, ``y_low``, ..., after its axes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Body, BoxBody
from ungrid.domains.curves import Segment
from ungrid.domains.domain import Axis as Axis
from ungrid.domains.domain import Domain as Domain
from ungrid.domains.pieces import Piece, Point
from ungrid.domains.region import Region
from ungrid.domains.surfaces import Facet


@dataclass(frozen=True, init=False)
class Box(Region):
    """The product of intervals: ``Box(x=(0, 1), y=(0, 2))``, or from `Axis` objects where units matter."""

    _axes: tuple[Axis, ...]

    def __init__(self, *axes: Axis, **bounds: tuple[float, float]) -> None:
        named = tuple(Axis(name, float(low), float(high)) for name, (low, high) in bounds.items())
        everything = axes + named
        names = [axis.name for axis in everything]
        if not everything or len(set(names)) < len(names):
            raise InputError(f"a box with the axes {names}", "at least one axis and no name twice")
        object.__setattr__(self, "_axes", everything)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self._axes

    def contains(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points)
        return np.asarray(((points >= self.low) & (points <= self.high)).all(axis=-1))

    @cached_property
    def body(self) -> Body:
        return BoxBody(self.low, self.high)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The faces: low and high for each axis.

        Raises:
            InputError: for a box of more than three axes, whose boundary is not described.
        """
        if self.dim == 1:
            (axis,) = self.axes
            return Point(axis.low, -1.0, f"{axis.name}_low"), Point(axis.high, 1.0, f"{axis.name}_high")
        if self.dim == 2:
            return self._edges()
        if self.dim == 3:
            return tuple(self._face(axis, top) for axis in range(3) for top in (False, True))
        raise InputError(f"the boundary of a box of {self.dim} axes", "one to three axes")

    def _edges(self) -> tuple[Segment, ...]:
        (x, y), (x0, y0), (x1, y1) = (axis.name for axis in self.axes), self.low.tolist(), self.high.tolist()
        return (
            Segment((x0, y1), (x0, y0), f"{x}_low"),
            Segment((x1, y0), (x1, y1), f"{x}_high"),
            Segment((x0, y0), (x1, y0), f"{y}_low"),
            Segment((x1, y1), (x0, y1), f"{y}_high"),
        )

    def _face(self, axis: int, top: bool) -> Facet:
        """With ``u x v`` along the outward normal."""
        first, second = np.diag(self.high - self.low)[[(axis + 1) % 3, (axis + 2) % 3]]
        origin = self.low.copy()
        if top:
            origin[axis] = self.high[axis]
        sides = (first, second) if top else (second, first)
        name = f"{self.axes[axis].name}_{'high' if top else 'low'}"
        return Facet(tuple(origin.tolist()), tuple(sides[0].tolist()), tuple(sides[1].tolist()), name)
