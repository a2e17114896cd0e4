"""Quadrature over plane regions with curved boundaries.

The region is cut into triangles of which at most one side is an arc. A cell is a cone over a side c(s) with its apex p
at the opposite vertex: ``x(s, t) = p + t (c(s) - p)`` with the Jacobian ``t cross(c - p, c')``. Gauss rules in s and t
integrate polynomials exactly over straight cells. Where an apex does not see its whole arc the arc is halved; as all
Jacobians are then positive, the cells cover the region once. (Between two arcs that touch, cells shorter than 1e-3 of
the extent may overlap: a few weights are then negative, by less than 1e-9 of the area, and the sums still exact.)
"""

from collections.abc import Sequence

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.curves import Arc, Curve, Segment
from ungrid.domains.outline import Outline
from ungrid.domains.pieces import gauss
from ungrid.domains.triangulation import BoundaryEdges, Triangles, boundary_edges, halved, sides, triangulated

_ARC_ORDER = 18  # added to the degree along arcs
_ROUNDS = 30
_TANGENT = 1e-12  # at a cusp the apex lies on the tangent at the arc's end
_CUSP = 1e-3  # of the extent: shorter arcs are not halved, as between two arcs that touch nothing sees both
Cell = tuple[np.ndarray, Curve]


def planar_rule(outline: Outline, order: int, h: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) inside the outline and positive weights (n,).

    Args:
        outline: the boundary.
        order: the degree of exactness on straight cells.
        h: the largest size of a cell, or None.
    """
    cells = cone_cells(outline)
    rules = [_cone_rule(apex, side, order, h) for apex, side in cells]
    points, weights = zip(*rules, strict=True)
    return np.concatenate(points), np.concatenate(weights)


def cone_cells(outline: Outline) -> list[Cell]:
    """Apexes and sides whose cones cover the region once."""
    edges = boundary_edges(outline, lambda k: _to_begin_with(outline.pieces[k]))
    for _ in range(_ROUNDS):
        mesh = triangulated(outline.pieces, edges, np.zeros((0, 2)))
        cells, numbers = _cells(outline, mesh)
        cusp = _CUSP * outline.extent
        hidden = [k for (apex, side), k in zip(cells, numbers, strict=True) if not _seen(apex, side, cusp)]
        if not hidden:
            return cells
        edges = halved(outline.pieces, mesh.edges, np.unique([k for k in hidden if k >= 0]))
    raise InputError("an outline too intricate for quadrature", "fewer arcs that nearly touch")


def _to_begin_with(piece: Curve) -> np.ndarray:
    """The ends, and for arcs some places between: at least one, so that a lens of two arcs has four points."""
    return np.linspace(0, 1, (1 if isinstance(piece, Segment) else max(piece.panels, 2)) + 1)


def _cells(outline: Outline, mesh: Triangles) -> tuple[list[Cell], list[int]]:
    """The cones, and for each the number of its arc's edge (-1: straight)."""
    arcs = _arc_edges(outline, mesh.edges)
    cells: list[Cell] = []
    numbers: list[int] = []
    for triangle, around in zip(mesh.triangles, sides(mesh.triangles).tolist(), strict=True):
        curved = [arcs.get((a, b), -1) for a, b in around]
        apexes = mesh.points[triangle[[2, 0, 1]]]
        if sum(number >= 0 for number in curved) > 1:  # the middle of the triangle sees all three sides
            apexes, chosen = np.repeat(mesh.points[triangle].mean(axis=0)[None], 3, axis=0), [0, 1, 2]
        else:
            chosen = [int(np.argmax(curved))]
        for k in chosen:
            cells.append((apexes[k], _side(outline, mesh, curved[k], around[k])))
            numbers.append(curved[k])
    return cells, numbers


def _arc_edges(outline: Outline, edges: BoundaryEdges) -> dict[tuple[int, int], int]:
    """The number of the edge for the two points of every arc."""
    curved = [k for k, piece in enumerate(edges.piece) if isinstance(outline.pieces[piece], Arc)]
    return {(int(edges.ends[k, 0]), int(edges.ends[k, 1])): k for k in curved}


def _side(outline: Outline, mesh: Triangles, number: int, ends: Sequence[int]) -> Curve:
    if number < 0:
        (a, b), (c, d) = mesh.points[list(ends)].tolist()
        return Segment((a, b), (c, d))
    start, end = mesh.edges.s[number]
    return outline.pieces[mesh.edges.piece[number]].part(float(start), float(end))


def _jacobian(apex: np.ndarray, side: Curve, s: np.ndarray) -> np.ndarray:
    out, along = side.at(s) - apex, side.derivative(s)
    return out[..., 0] * along[..., 1] - out[..., 1] * along[..., 0]


def _seen(apex: np.ndarray, side: Curve, cusp: float) -> bool:
    """Whether the Jacobian is positive along the side.

    In the plane where the ellipse is the unit circle and the apex is q, it is ``± (1 - q . e(t))``, positive if q lies
    on the inner side of all tangents of a bulge, or on the outer side of all tangents of a dent.
    """
    if not isinstance(side, Arc) or side.length < cusp:
        return True
    q = np.linalg.solve(side.frame, apex - side.center)
    t = np.array([side.start, side.end])
    reach = q[0] * np.cos(t) + q[1] * np.sin(t)
    if side.end < side.start:
        return bool(reach.min() >= 1 - _TANGENT)
    facing = 0 <= side.parameter(np.arctan2(q[1], q[0])) <= 1
    return bool((np.hypot(*q) if facing else reach.max()) <= 1 + _TANGENT)


def _cone_rule(apex: np.ndarray, side: Curve, order: int, h: float | None) -> tuple[np.ndarray, np.ndarray]:
    longest = max(side.length, *(float(np.linalg.norm(side.at(s) - apex)) for s in (0.0, 1.0)))
    count = 1 if h is None else max(1, int(np.ceil(longest / h - 1e-9)))
    s, along = _tiled(order + (0 if isinstance(side, Segment) else _ARC_ORDER), count)
    t, outwards = _tiled(order + 1, count)
    points = apex + t[:, None, None] * (side.at(s) - apex)
    weights = np.outer(t * outwards, along * _jacobian(apex, side, s))
    return points.reshape(-1, 2), weights.ravel()


def _tiled(order: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = gauss(order)
    return ((np.arange(count)[:, None] + nodes) / count).ravel(), np.tile(weights / count, count)
