"""Triangles that fit an outline: a Delaunay triangulation that contains every edge of the boundary.

Convention: a boundary edge is a stretch of one piece between two parameters, with its two points on the curve; chords
replace arcs. Edges that the Delaunay triangulation lacks are halved until none is missing. Next to a vertex of the
outline an edge is cut at a power of two of a common length, so that two edges at an acute angle do not cut each other
for ever (concentric shells; Ruppert 1995, section 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from ungrid._base.errors import InputError
from ungrid.domains.curves import Curve
from ungrid.domains.outline import Outline

_MOST = 100_000  # edges of a boundary
_FLAT = 1e-12  # twice the area of a triangle, of its longest side squared, below which it has none


@dataclass(frozen=True, eq=False)
class BoundaryEdges:
    """Stretches of an outline's pieces.

    Attributes:
        points: (P, 2), the vertices of the outline first.
        piece: (E,) the number of the piece.
        s: (E, 2) its parameters at both ends.
        ends: (E, 2) the numbers of the two points; the region lies on the left.
        fixed: how many of the points are vertices of the outline.
    """

    points: np.ndarray
    piece: np.ndarray
    s: np.ndarray
    ends: np.ndarray
    fixed: int


class Triangles(NamedTuple):
    """Counter-clockwise triangles (T, 3) on points (P, 2); the edges that they were made to contain; and for each
    triangle the number of its patch (T,): patches are bounded by those edges.
    """

    points: np.ndarray
    triangles: np.ndarray
    edges: BoundaryEdges
    patch: np.ndarray


def boundary_edges(outline: Outline, counts: Callable[[int], np.ndarray]) -> BoundaryEdges:
    """The pieces cut at the parameters ``counts(piece)``, which run from 0 to 1."""
    points, rows = [outline.vertices], []
    total = len(outline.vertices)
    for number, (piece, (first, last)) in enumerate(zip(outline.pieces, outline.ends, strict=True)):
        s = counts(number)
        inner = np.arange(total, total + len(s) - 2)
        total += len(inner)
        points.append(piece.at(s[1:-1]))
        chain = np.concatenate([[first], inner, [last]])
        rows.append((np.full(len(s) - 1, number), np.stack([s[:-1], s[1:]], 1), np.stack([chain[:-1], chain[1:]], 1)))
    piece_, s_, ends = (np.concatenate(column) for column in zip(*rows, strict=True))
    return BoundaryEdges(np.concatenate(points), piece_, s_, ends, len(outline.vertices))


def halved(pieces: Sequence[Curve], edges: BoundaryEdges, chosen: np.ndarray) -> BoundaryEdges:
    """The chosen edges (booleans or numbers) cut in two."""
    chosen = np.arange(len(edges.piece))[chosen]
    kept = np.setdiff1d(np.arange(len(edges.piece)), chosen)
    middle = np.array([_cut(edges, int(k)) for k in chosen])
    new = np.array([pieces[edges.piece[k]].at(s) for k, s in zip(chosen, middle, strict=True)]).reshape(-1, 2)
    number = len(edges.points) + np.arange(len(chosen))
    s, ends = edges.s[chosen], edges.ends[chosen]
    return BoundaryEdges(
        np.concatenate([edges.points, new]),
        np.concatenate([edges.piece[kept], edges.piece[chosen], edges.piece[chosen]]),
        np.concatenate([edges.s[kept], np.stack([s[:, 0], middle], 1), np.stack([middle, s[:, 1]], 1)]),
        np.concatenate([edges.ends[kept], np.stack([ends[:, 0], number], 1), np.stack([number, ends[:, 1]], 1)]),
        edges.fixed,
    )


def _cut(edges: BoundaryEdges, k: int) -> float:
    """The middle, or from a vertex of the outline the power of two of the length that is closest to the middle."""
    (s0, s1), (first, last) = edges.s[k], edges.ends[k]
    if (first < edges.fixed) == (last < edges.fixed):
        return float(s0 + s1) / 2
    length = float(np.linalg.norm(edges.points[last] - edges.points[first]))
    fraction = 2.0 ** np.round(np.log2(length / 2)) / length
    return float(s0 + (s1 - s0) * fraction) if first < edges.fixed else float(s1 - (s1 - s0) * fraction)


def triangulated(
    pieces: Sequence[Curve], edges: BoundaryEdges, interior: np.ndarray, bounding: int | None = None
) -> Triangles:
    """The Delaunay triangles of a region, with edges halved until all of them are sides of triangles.

    Args:
        pieces: the curves that the edges are stretches of: the boundary, and perhaps curves inside.
        edges: the stretches to begin with.
        interior: (K, 2) further points inside.
        bounding: how many of the pieces, the first ones, are the boundary, with the region on their left; None: all.

    Raises:
        InputError: if the pieces cross or touch where they should not, so that no halving helps.
    """
    while len(edges.piece) <= _MOST:
        points = np.concatenate([edges.points, interior])
        triangles = delaunay(points)
        missing = ~_present(edges.ends, triangles, len(points))
        if not missing.any():
            patch = patches(triangles, edges.ends, len(points))
            boundary = edges.ends[edges.piece < (len(pieces) if bounding is None else bounding)]
            inside = _inside(triangles, patch, boundary, len(points))
            return Triangles(points, triangles[inside], edges, patch[inside])
        edges = halved(pieces, edges, missing)
    raise InputError("an outline that touches itself, or nearly so", "pieces that meet at their ends only")


def patches(triangles: np.ndarray, walls: np.ndarray, count: int) -> np.ndarray:
    """The number of the patch (T,) of every triangle; a patch ends at the walls (E, 2), pairs of points."""
    around = np.sort(sides(triangles).reshape(-1, 2), axis=1)
    owner, code = np.repeat(np.arange(len(triangles)), 3), _codes(around, count)
    order = np.argsort(code, kind="stable")
    same = np.flatnonzero(np.diff(code[order]) == 0)
    free = ~np.isin(code[order[same]], _codes(np.sort(walls, axis=1), count))
    first, second = owner[order[same[free]]], owner[order[same[free] + 1]]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(triangles), len(triangles)))
    return np.asarray(connected_components(graph, directed=False)[1]).astype(np.int64)


def _inside(triangles: np.ndarray, patch: np.ndarray, boundary: np.ndarray, count: int) -> np.ndarray:
    """Which triangles (T,) lie inside: those of patches that have no boundary edge (E, 2) on their right."""
    right = np.isin(_codes(sides(triangles), count), _codes(boundary[:, ::-1], count)).any(axis=1)
    return ~np.isin(patch, patch[right])


def delaunay(points: np.ndarray) -> np.ndarray:
    """Counter-clockwise Delaunay triangles (T, 3), without flat ones on the hull."""
    triangles = Delaunay(points).simplices.astype(np.int64)
    area = doubled_areas(points, triangles)
    triangles = np.where(area[:, None] < 0, triangles[:, ::-1], triangles)
    longest = np.linalg.norm(np.diff(points[sides(triangles)], axis=2), axis=-1).max(axis=(1, 2))
    return triangles[np.abs(area) > _FLAT * longest**2]


def doubled_areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the signed areas (T,)."""
    a, b, c = (points[triangles[:, k]] for k in range(3))
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])


def sides(triangles: np.ndarray) -> np.ndarray:
    """The three directed sides of every triangle, (T, 3, 2)."""
    return triangles[:, [[0, 1], [1, 2], [2, 0]]]


def _codes(ends: np.ndarray, count: int) -> np.ndarray:
    return ends[..., 0] * count + ends[..., 1]


def _present(ends: np.ndarray, triangles: np.ndarray, count: int) -> np.ndarray:
    """Which edges are sides of triangles."""
    around = np.sort(sides(triangles).reshape(-1, 2), axis=1)
    return np.isin(_codes(np.sort(ends, axis=1), count), _codes(around, count))
