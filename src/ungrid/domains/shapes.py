"""The plain shapes: interval, disk and ball, ellipse, polygon, and any outline of lines and arcs.

Convention: plane shapes have the axes ("x", "y") and no unit unless told otherwise; angles are in radians,
counter-clockwise from the first axis.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.bodies import BallBody, Body, EllipseBody
from ungrid.domains.curves import Arc, Curve, Pair, Segment, pair
from ungrid.domains.domain import Axis
from ungrid.domains.outline import Outline, joined, oriented
from ungrid.domains.pieces import Piece, Point
from ungrid.domains.region import Region, bounding_axes
from ungrid.domains.surfaces import SpherePatch

PLANE = ("x", "y")


@dataclass(frozen=True, init=False)
class Interval(Region):
    """``Interval(x=(0, 1))``: parts ``x_low`` and ``x_high``; or from an `Axis` where a unit matters."""

    _axes: tuple[Axis, ...]

    def __init__(self, axis: Axis | None = None, **bounds: tuple[float, float]) -> None:
        named = [Axis(name, float(low), float(high)) for name, (low, high) in bounds.items()]
        everything = ([axis] if axis is not None else []) + named
        if len(everything) != 1:
            raise InputError(f"an interval of {len(everything)} axes", "exactly one, as in Interval(x=(0, 1))")
        object.__setattr__(self, "_axes", tuple(everything))

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self._axes

    @cached_property
    def pieces(self) -> tuple[Point, ...]:
        (axis,) = self._axes
        return Point(axis.low, -1.0, f"{axis.name}_low"), Point(axis.high, 1.0, f"{axis.name}_high")


@dataclass(frozen=True, init=False)
class Ball(Region):
    """A disk or a ball, with one part, ``boundary``.

    Args:
        center: two or three coordinates.
        radius: positive.
        axes: the names of the coordinates; by default the first of x, y, z.
        unit: their unit.

    Raises:
        InputError: if the radius is not positive or the numbers of coordinates and axes differ.
    """

    center: tuple[float, ...]
    radius: float
    names: tuple[str, ...]
    unit: str

    def __init__(
        self, center: Sequence[float], radius: float, axes: Sequence[str] | None = None, unit: str = ""
    ) -> None:
        names = tuple(axes) if axes is not None else ("x", "y", "z")[: len(center)]
        if len(center) not in (2, 3) or len(names) != len(center) or not (np.isfinite(radius) and radius > 0):
            raise InputError(
                f"a ball at {tuple(center)} of radius {radius} in the axes {names}",
                "two or three coordinates, a name for each, and a positive radius",
            )
        object.__setattr__(self, "center", tuple(float(c) for c in center))
        object.__setattr__(self, "radius", float(radius))
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "unit", unit)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(
            Axis(name, c - self.radius, c + self.radius, self.unit)
            for name, c in zip(self.names, self.center, strict=True)
        )

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        if len(self.center) == 2:
            return (Arc(pair(self.center), (self.radius, self.radius)),)
        return (SpherePatch(self.center, self.radius),)

    @cached_property
    def body(self) -> Body:
        if len(self.center) == 2:
            return EllipseBody(np.array(self.center), self.radius * np.eye(2))
        return BallBody(np.array(self.center), self.radius)


@dataclass(frozen=True, init=False)
class Ellipse(Region):
    """An ellipse with one part, ``boundary``.

    Args:
        center: two coordinates.
        radii: the half axes.
        angle: of the first half axis.
        axes: the names of the coordinates.
        unit: their unit.
    """

    center: Pair
    radii: Pair
    angle: float
    names: tuple[str, ...]
    unit: str

    def __init__(
        self,
        center: Sequence[float],
        radii: Sequence[float],
        angle: float = 0.0,
        axes: Sequence[str] = PLANE,
        unit: str = "",
    ) -> None:
        values = (pair(center), pair(radii), float(angle), tuple(axes), unit)
        for name, value in zip(("center", "radii", "angle", "names", "unit"), values, strict=True):
            object.__setattr__(self, name, value)
        Arc(self.center, self.radii)  # checks the radii

    @property
    def axes(self) -> tuple[Axis, ...]:
        return bounding_axes(self.names, self.unit, self.pieces)

    @cached_property
    def pieces(self) -> tuple[Arc, ...]:
        return (Arc(self.center, self.radii, self.angle),)

    @cached_property
    def body(self) -> Body:
        return EllipseBody(np.array(self.center), self.pieces[0].frame)


@dataclass(frozen=True, init=False)
class Outlined(Region):
    """The inside of closed loops of lines and arcs, as a drawing has them; loops within loops are holes.

    Args:
        loops: closed loops of `Segment` and `Arc`, each in order, running either way; their names become the parts.
        axes: the names of the coordinates.
        unit: their unit.

    Raises:
        InputError: if a loop is open; the message names the gap.
    """

    loops: tuple[tuple[Curve, ...], ...]
    names: tuple[str, ...]
    unit: str

    def __init__(self, loops: Iterable[Iterable[Curve]], axes: Sequence[str] = PLANE, unit: str = "") -> None:
        object.__setattr__(self, "loops", tuple(tuple(loop) for loop in loops))
        object.__setattr__(self, "names", tuple(axes))
        object.__setattr__(self, "unit", unit)
        if not self.loops or not all(self.loops):
            raise InputError("an outline without curves", "at least one closed loop")
        _ = self.pieces

    @property
    def axes(self) -> tuple[Axis, ...]:
        return bounding_axes(self.names, self.unit, self.pieces)

    @property
    def given_names(self) -> frozenset[str]:
        return frozenset(self.parts) - {"boundary"}

    @cached_property
    def pieces(self) -> tuple[Curve, ...]:
        return joined(oriented(self.loops))


@dataclass(frozen=True, init=False)
class Polygon(Region):
    """A simple polygon, with the parts ``edge_0`` (from vertex 0 to vertex 1), ``edge_1``, ...

    Args:
        vertices: (n, 2), in order, either way round; the last is joined to the first.
        axes: the names of the coordinates.
        unit: their unit.

    Raises:
        InputError: if there are fewer than three vertices, two neighbours coincide, two edges cross or touch, or there
            is no area.
    """

    vertices: tuple[Pair, ...]
    names: tuple[str, ...]
    unit: str

    def __init__(
        self, vertices: Sequence[Sequence[float]] | np.ndarray, axes: Sequence[str] = PLANE, unit: str = ""
    ) -> None:
        object.__setattr__(self, "vertices", tuple(pair(vertex) for vertex in vertices))
        object.__setattr__(self, "names", tuple(axes))
        object.__setattr__(self, "unit", unit)
        _check_simple(np.array(self.vertices).reshape(-1, 2))

    @property
    def axes(self) -> tuple[Axis, ...]:
        return bounding_axes(self.names, self.unit, self.pieces)

    @cached_property
    def pieces(self) -> tuple[Segment, ...]:
        following = (*self.vertices[1:], self.vertices[0])
        edges = [Segment(a, b, f"edge_{k}") for k, (a, b) in enumerate(zip(self.vertices, following, strict=True))]
        if Outline(tuple(edges)).area > 0:
            return tuple(edges)
        return tuple(Segment(edge.b, edge.a, edge.name) for edge in edges[::-1])


def _check_simple(vertices: np.ndarray) -> None:
    if len(vertices) < 3:
        raise InputError(f"a polygon of {len(vertices)} vertices", "at least three")
    following = np.roll(vertices, -1, axis=0)
    extent = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    short = np.flatnonzero(np.linalg.norm(following - vertices, axis=1) <= 1e-12 * extent)
    if len(short):
        k, place = int(short[0]), vertices[short[0]].tolist()
        raise InputError(
            f"a polygon whose vertices {k} and {(k + 1) % len(vertices)} are both at {place}",
            "different neighbours; the last vertex is joined to the first by itself",
            "leave one of them out",
        )
    crossing = _first_crossing(vertices, following)
    if crossing is not None:
        raise InputError(f"a polygon whose edges {crossing[0]} and {crossing[1]} cross or touch", "a simple polygon")


def _first_crossing(starts: np.ndarray, ends: np.ndarray) -> tuple[int, int] | None:
    """The first two edges that meet anywhere but where neighbours join."""
    count = len(starts)
    for k in range(count - 1):
        others = np.arange(k + 1, count)
        meet = _meet(starts[k], ends[k], starts[others], ends[others])
        after, before = others == k + 1, (others == count - 1) & (k == 0)
        meet[after | before] = False
        folded = np.flatnonzero((after & _folds(starts[k], ends[k], ends[others]))
                                | (before & _folds(ends[k], starts[k], starts[others])))  # fmt: skip
        hits = np.union1d(others[meet], others[folded])
        if len(hits):
            return k, int(hits[0])
    return None


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether the segment a b meets the segments c d: each has its ends on different sides of, or on, the other."""
    first, second = _cross(b - a, c - a), _cross(b - a, d - a)
    third, fourth = _cross(d - c, a - c), _cross(d - c, b - c)
    overlap = (np.minimum(a, b) <= np.maximum(c, d)) & (np.minimum(c, d) <= np.maximum(a, b))
    return np.asarray((first * second <= 0) & (third * fourth <= 0) & overlap.all(axis=-1))


def _folds(start: np.ndarray, joint: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether the edge from the joint on runs back along the edge that led there."""
    back, on = start - joint, end - joint
    return np.asarray((np.abs(_cross(back, on)) <= 1e-14 * np.abs(on).sum() * np.abs(back).sum()) & (on @ back > 0))
