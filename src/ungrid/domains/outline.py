"""Closed outlines in the plane: loops of curves with the region on their left.

Convention: loops may be nested and may touch in single vertices; outer ones run counter-clockwise, holes clockwise.
Ends closer than `JOIN` times the extent are one vertex; points closer than `ON` times the extent lie on the boundary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains.curves import Arc, Curve, Pair, Segment, pair

JOIN = 1e-9
ON = 1e-12
STRAIGHT = 1e-7  # radians: directions closer than this are the same


@dataclass(frozen=True)
class Corner:
    """A vertex of a boundary, or a place on a smooth boundary where the name of the part changes (angle pi).

    Attributes:
        vertex: its position.
        angle: the interior angle in radians, from 0 (an inward cusp) to 2 pi (a slit or an outward cusp).
        directions: the unit directions of the two edges from the vertex on; the region lies at the angles 0 to `angle`
            counter-clockwise from the first, and the second is at `angle`.
        parts: the names of the pieces along the two directions.
    """

    vertex: Pair
    angle: float
    directions: tuple[Pair, Pair]
    parts: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Outline:
    """The boundary of a plane region, made of curves in any order.

    Raises:
        InputError: at the first use, if the curves do not close; the message names the gap.
    """

    pieces: tuple[Curve, ...]

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = zip(*(piece.bounds for piece in self.pieces), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    @cached_property
    def extent(self) -> float:
        """The diagonal of the bounding box."""
        low, high = self.bounds
        return float(np.linalg.norm(high - low))

    @cached_property
    def _joints(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 2), and for each piece the numbers of its first and its last vertex, (P, 2)."""
        ends = np.concatenate([piece.at(np.array([0.0, 1.0])) for piece in self.pieces])
        pairs = cKDTree(ends).query_pairs(JOIN * self.extent, output_type="ndarray")
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(ends), len(ends)))
        count, label = connected_components(graph, directed=False)
        exact = np.repeat([isinstance(piece, Segment) for piece in self.pieces], 2)
        order = np.lexsort((~exact, label))  # the vertex is an end of a segment, where there is one
        first = np.searchsorted(label[order], np.arange(count))
        return ends[order[first]], label.reshape(-1, 2)

    def _check_closed(self) -> None:
        vertices = self.vertices
        starts, stops = (np.bincount(column, minlength=len(vertices)) for column in self.ends.T)
        odd = np.flatnonzero(starts != stops)
        if len(odd):
            places = " and ".join(f"({x:.6g}, {y:.6g})" for x, y in vertices[odd[:2]])
            raise InputError(f"an open outline with a gap at {places}", "closed loops", "join the ends of the curves")

    @cached_property
    def vertices(self) -> np.ndarray:
        """The points (V, 2) where pieces meet."""
        return self._joints[0]

    @cached_property
    def ends(self) -> np.ndarray:
        """For each piece the numbers of its first and its last vertex, (P, 2)."""
        return self._joints[1]

    @cached_property
    def following(self) -> np.ndarray:
        """For each piece the number of the next one on its loop, (P,)."""
        self._check_closed()
        result = np.empty(len(self.pieces), dtype=np.int64)
        for vertex in range(len(self.vertices)):
            coming, leaving = (np.flatnonzero(column == vertex) for column in (self.ends[:, 1], self.ends[:, 0]))
            if len(coming) > 1:  # loops that touch stay apart: the interior angles have the smallest sum
                angles = np.array([[self._angle(int(i), int(k)) for k in leaving] for i in coming])
                leaving = leaving[linear_sum_assignment(angles)[1]]
            result[coming] = leaving
        return result

    def _angle(self, number: int, following: int) -> float:
        """The interior angle between a piece and the next one."""
        if number == following and isinstance(self.pieces[number], Arc):
            return float(np.pi)
        back, on = -self.pieces[number].tangent(1.0), self.pieces[following].tangent(0.0)
        angle = _turn(on, back)
        if min(angle, 2 * np.pi - angle) > STRAIGHT:
            return angle
        vertex = self.pieces[following].at(0.0)  # a cusp: which curve is which shows a little further on
        before, after = self.pieces[number].at(1 - 1e-3) - vertex, self.pieces[following].at(1e-3) - vertex
        return 0.0 if _turn(after, before) < np.pi else 2 * np.pi

    @cached_property
    def loops(self) -> tuple[tuple[int, ...], ...]:
        """The numbers of the pieces, loop by loop."""
        left, loops = set(range(len(self.pieces))), []
        while left:
            loop = [min(left)]
            while (following := int(self.following[loop[-1]])) != loop[0]:
                loop.append(following)
            loops.append(tuple(loop))
            left -= set(loop)
        return tuple(loops)

    @cached_property
    def corners(self) -> tuple[Corner, ...]:
        """The corners, loop by loop."""
        joined = [(k, int(self.following[k])) for loop in self.loops for k in loop]
        return tuple(corner for pair_ in joined if (corner := self._corner(*pair_)) is not None)

    def _corner(self, number: int, following: int) -> Corner | None:
        angle = self._angle(number, following)
        before, after = self.pieces[number], self.pieces[following]
        if abs(angle - np.pi) <= STRAIGHT and before.name == after.name:
            return None
        directions = (pair(after.tangent(0.0)), pair(-before.tangent(1.0)))
        return Corner(pair(self.vertices[self.ends[number, 1]]), angle, directions, (after.name, before.name))

    @property
    def area(self) -> float:
        """Half the integral of x dy - y dx (Green's theorem)."""
        return sum(piece.doubled_area for piece in self.pieces) / 2

    @cached_property
    def _monotone(self) -> list[tuple[Curve, float, float, float, float]]:
        """The curves cut where y turns: curve, start, end, y there. Neighbours share the very same y."""
        self._check_closed()
        result = []
        for piece, (first, last) in zip(self.pieces, self.ends, strict=True):
            s = np.concatenate([[0.0], piece.turns(), [1.0]])
            y = piece.at(s)[:, 1]
            y[0], y[-1] = self.vertices[first, 1], self.vertices[last, 1]
            result += [(piece, *row) for row in zip(s[:-1], s[1:], y[:-1], y[1:], strict=True)]
        return result

    def side(self, points: np.ndarray) -> np.ndarray:
        """1 inside, 0 on the boundary, -1 outside: int8 (*batch,)."""
        flat = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        side = np.where(self._odd(flat), 1, -1).astype(np.int8)
        side[self._on(flat)] = 0
        return side.reshape(np.shape(points)[:-1])

    def _odd(self, points: np.ndarray) -> np.ndarray:
        """Whether the ray to the right crosses the boundary an odd number of times."""
        order = np.argsort(points[:, 1])
        x, y = points[order].T
        odd = np.zeros(len(points), dtype=bool)
        for curve, start, end, y0, y1 in self._monotone:
            rows = slice(*np.searchsorted(y, sorted((y0, y1))))  # y0 <= y < y1: a vertex counts for one of two
            if rows.start < rows.stop:
                odd[rows] ^= curve.x_at(y[rows], start, end) > x[rows]
        result = np.empty_like(odd)
        result[order] = odd
        return result

    def _on(self, points: np.ndarray) -> np.ndarray:
        tolerance, on = ON * self.extent, np.zeros(len(points), dtype=bool)
        for piece in self.pieces:
            low, high = piece.bounds
            near = np.flatnonzero(((points >= low - tolerance) & (points <= high + tolerance)).all(axis=1))
            on[near] |= piece.holds(points[near], tolerance)
        return on


def _turn(first: np.ndarray, second: np.ndarray) -> float:
    """The angle in [0, 2 pi) from one direction counter-clockwise to another."""
    cross, dot = first[0] * second[1] - first[1] * second[0], first @ second
    return float(np.mod(np.arctan2(cross, dot), 2 * np.pi))


def joined(pieces: Sequence[Curve]) -> tuple[Curve, ...]:
    """Curves that run on as the same line or ellipse under one name, made one; the order of the loops is kept."""
    outline = Outline(tuple(pieces))
    return tuple(curve for loop in outline.loops for curve in _joined_loop(outline, loop))


def _joined_loop(outline: Outline, loop: Sequence[int]) -> list[Curve]:
    tolerance, meeting = JOIN * outline.extent, np.bincount(outline.ends.ravel())
    chain: list[Curve] = []
    for number in loop:
        whole, piece = None, outline.pieces[number]
        if chain and meeting[outline.ends[number, 0]] == 2:  # where loops touch the vertex stays
            whole = chain[-1].continued_by(piece, tolerance)
        chain[-1:] = [whole] if whole is not None else [*chain[-1:], piece]
    if len(chain) > 1 and meeting[outline.ends[loop[0], 0]] == 2:
        whole = chain[-1].continued_by(chain[0], tolerance)
        chain = [whole, *chain[1:-1]] if whole is not None else chain
    return chain


def oriented(loops: Sequence[Sequence[Curve]]) -> tuple[Curve, ...]:
    """Closed loops of any direction, turned so that the points inside an odd number of them are the region."""
    result: list[Curve] = []
    outlines = [Outline(tuple(loop)) for loop in loops]
    for number, outline in enumerate(outlines):
        place = outline.pieces[0].at(np.array([0.382]))
        depth = sum(int(other.side(place)[0] > 0) for k, other in enumerate(outlines) if k != number)
        forward = (outline.area > 0) == (depth % 2 == 0)
        result += outline.pieces if forward else [piece.flipped() for piece in outline.pieces[::-1]]
    return tuple(result)
