"""Constructive solid geometry: unions, differences and intersections of regions, with exact boundaries.

On a line and in the plane every piece of one boundary is cut where it meets the other, and each stretch is kept or not
by the side of the other region on which it lies; stretches that the boundaries share count by their normals (Requicha,
Voelcker 1985: boundary evaluation). In space the surfaces are kept where they lie on the right side.

Names: the pieces keep theirs; a name that both operands use gets the first free number behind it in the second:
``Box - Box`` has ``x_low`` of the first and ``x_low_2`` of the second. Names that were given by ``named`` in both are
shared instead: two holes called ``hole`` are one part.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Body
from ungrid.domains.crossings import cut, meetings
from ungrid.domains.curves import Curve, Segment, pair
from ungrid.domains.domain import Axis
from ungrid.domains.outline import JOIN, Outline, joined
from ungrid.domains.pieces import Piece, Point
from ungrid.domains.region import Region, bounded_body, bounding_axes
from ungrid.domains.solids import CombinedBody
from ungrid.domains.surfaces import Surface

IN, OUT, SAME, OPPOSITE = 1, -1, 2, -2  # where a stretch lies: inside, outside, on the other boundary either way round


@dataclass(frozen=True)
class _Rule:
    """Which stretches of either boundary bound the result, and whether the second's are turned round."""

    verb: str
    first: tuple[int, ...]
    second: tuple[int, ...]
    turned: bool
    side: Callable[[np.ndarray, np.ndarray], np.ndarray]


def _outside_both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.minimum(first, -second)


_UNION = _Rule("union", (OUT, SAME), (OUT,), False, np.maximum)
_INTERSECTION = _Rule("intersection", (IN, SAME), (IN,), False, np.minimum)
_DIFFERENCE = _Rule("difference", (OUT, OPPOSITE), (IN,), True, _outside_both)


@dataclass(frozen=True)
class Combination(Region):
    """Two regions combined by the rule of the class."""

    first: Region
    second: Region
    _rule: ClassVar[_Rule]

    def __post_init__(self) -> None:
        _check(self.first, self.second, self)

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return _axes(self.first, self.pieces)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        return combined(self.first, self.second, self._rule)

    @property
    def given_names(self) -> frozenset[str]:
        return self.first.given_names | self.second.given_names

    @cached_property
    def body(self) -> Body:
        return _body(self, self.first, self.second, self._rule)


@dataclass(frozen=True)
class Union(Combination):
    """The points in `first` or in `second`."""

    _rule = _UNION


@dataclass(frozen=True)
class Intersection(Combination):
    """The points in `first` and in `second`."""

    _rule = _INTERSECTION


@dataclass(frozen=True)
class Difference(Combination):
    """The points in `first` that are not in `second`, with their boundary."""

    _rule = _DIFFERENCE


def _check(first: Region, second: Region, result: Region) -> None:
    names = [[axis.name for axis in region.axes] for region in (first, second)]
    if names[0] != names[1]:
        raise InputError(
            f"regions with the axes {', '.join(names[0])} and {', '.join(names[1])}", "the same axes in the same order"
        )
    units = [{axis.unit for axis in region.axes} - {""} for region in (first, second)]
    if all(units) and [a.unit for a in first.axes] != [a.unit for a in second.axes]:
        raise InputError(f"regions in {'/'.join(sorted(units[0]))} and {'/'.join(sorted(units[1]))}", "the same units")
    _ = result.pieces


def _axes(first: Region, pieces: Sequence[Piece]) -> tuple[Axis, ...]:
    bounds = bounding_axes(tuple(axis.name for axis in first.axes), "", pieces)
    return tuple(Axis(b.name, b.low, b.high, a.unit) for a, b in zip(first.axes, bounds, strict=True))


def _body(result: Region, first: Region, second: Region, rule: _Rule) -> Body:
    if result.dim < 3:
        return bounded_body(result)
    return CombinedBody(first, second, rule.side, result.low, result.high)


def combined(first: Region, second: Region, rule: _Rule) -> tuple[Piece, ...]:
    """The pieces of the boundary of two regions put together.

    Raises:
        InputError: if nothing is left.
    """
    theirs = _distinct(first.parts, second.pieces, first.given_names & second.given_names)
    if isinstance(first.pieces[0], Point):
        pieces: tuple[Piece, ...] = _combined_points(first, second, theirs, rule)
    elif isinstance(first.pieces[0], Curve):
        pieces = _combined_curves(first, second, theirs, rule)
    else:
        pieces = _combined_surfaces(first, second, theirs, rule)
    if not pieces:
        raise InputError(
            f"the {rule.verb} of two regions is empty", "regions that leave something", "check their sizes"
        )
    return pieces


def _distinct(names: Sequence[str], pieces: Sequence[Piece], shared: frozenset[str]) -> tuple[Piece, ...]:
    """The pieces under names that are not taken yet, or that may be shared."""
    new: dict[str, str] = {}
    for piece in pieces:
        if piece.name not in new:
            numbers = [piece.name, *(f"{piece.name}_{k}" for k in range(2, len(names) + len(pieces) + 2))]
            free = (n for n in numbers if n in shared or (n not in names and n not in new.values()))
            new[piece.name] = next(free)
    return tuple(piece.renamed(new[piece.name]) for piece in pieces)


def _combined_points(first: Region, second: Region, theirs: Sequence[Piece], rule: _Rule) -> tuple[Point, ...]:
    def place(point: Piece, other: Region) -> int:
        assert isinstance(point, Point)
        same = [end.outward for end in other.pieces if isinstance(end, Point) and end.x == point.x]
        if same:
            return SAME if point.outward in same else OPPOSITE
        return int(other.side(np.array([[point.x]]))[0])

    kept = [point for point in first.pieces if place(point, second) in rule.first]
    kept += [point.flipped() if rule.turned else point for point in theirs if place(point, first) in rule.second]
    points = [point for point in kept if isinstance(point, Point)]
    return tuple(sorted(points, key=lambda point: (point.x, -point.outward)))


def _combined_curves(first: Region, second: Region, theirs: Sequence[Piece], rule: _Rule) -> tuple[Curve, ...]:
    tolerance = JOIN * max(first.outline.extent, second.outline.extent)
    mine, yours = first.outline, Outline(tuple(piece for piece in theirs if isinstance(piece, Curve)))
    cuts = _cuts(mine.pieces, yours.pieces, tolerance)
    kept = [curve for curve, place in _placed(mine, cuts[0], yours, tolerance) if place in rule.first]
    others = [curve for curve, place in _placed(yours, cuts[1], mine, tolerance) if place in rule.second]
    kept += [curve.flipped() for curve in others] if rule.turned else others
    return joined(_snapped(kept)) if kept else ()


def _cuts(
    mine: Sequence[Curve], yours: Sequence[Curve], tolerance: float
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """For every piece the points where it meets the other boundary; the same points for both."""
    cuts: tuple[list[list[np.ndarray]], list[list[np.ndarray]]] = ([[] for _ in mine], [[] for _ in yours])
    for i, curve in enumerate(mine):
        low, high = curve.bounds
        for j, other in enumerate(yours):
            below, above = other.bounds
            if (below <= high + tolerance).all() and (above >= low - tolerance).all():
                points = meetings(curve, other, tolerance)
                cuts[0][i].append(points)
                cuts[1][j].append(points)
    return cuts


def _placed(
    outline: Outline, cuts: Sequence[Sequence[np.ndarray]], other: Outline, tolerance: float
) -> list[tuple[Curve, int]]:
    """The stretches between the cuts, and where they lie."""
    pairs = zip(outline.pieces, cuts, strict=True)
    stretches = [part for piece, points in pairs for part in cut(piece, points, tolerance)]
    places = other.side(np.array([stretch.at(0.5) for stretch in stretches])).astype(int)
    for number, stretch in enumerate(stretches):
        probes = stretch.at(np.array([0.3, 0.5, 0.7]))
        shared = [piece for piece in other.pieces if piece.holds(probes, tolerance).all()]
        if shared:
            same = (shared[0].normal_at(probes[1]) * stretch.normal(0.5)).sum() > 0
            places[number] = SAME if same else OPPOSITE
    return list(zip(stretches, places.tolist(), strict=True))


def _snapped(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The segments moved, by rounding errors, to the vertices they share."""
    outline = Outline(tuple(curves))
    corners = outline.vertices[outline.ends]
    return tuple(
        Segment(pair(ends[0]), pair(ends[1]), curve.name) if isinstance(curve, Segment) else curve
        for curve, ends in zip(curves, corners, strict=True)
    )


def _combined_surfaces(first: Region, second: Region, theirs: Sequence[Piece], rule: _Rule) -> tuple[Surface, ...]:
    mine = [_kept(piece, second, rule.first) for piece in first.pieces]
    yours = [_kept(piece, first, rule.second) for piece in theirs]
    yours = [piece.flipped() if rule.turned and piece is not None else piece for piece in yours]
    return tuple(piece for piece in (*mine, *yours) if isinstance(piece, Surface))


def _kept(piece: Piece, other: Region, wanted: tuple[int, ...]) -> Piece | None:
    """The part of a surface that lies on the wanted sides of the other region."""

    def where(points: np.ndarray) -> np.ndarray:
        places = other.side(points).astype(int)
        on = np.flatnonzero(places == 0)
        if len(on):
            along = np.einsum("ni,ni->n", piece.normal_at(points[on]), other.normal(points[on]))
            places[on] = np.where(along > 0, SAME, OPPOSITE)
        return np.isin(places, wanted)

    assert isinstance(piece, Surface)
    parts = [part for part, value in piece.split(where) if value]
    return parts[0] if parts else None
