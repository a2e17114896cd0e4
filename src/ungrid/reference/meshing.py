"""Meshes of regions for scikit-fem: intervals, triangles, tetrahedra, with the names of the boundary's parts.

In the plane: points at even steps of the wanted size on the exact curves, a hexagonal lattice inside, and then Delaunay
refinement: the centers of the circumcircles of triangles that are too large or too thin become points, and a boundary
edge whose diametral circle would hold one is halved instead (Ruppert 1995; Shewchuk 2002), followed by some moves of the
inner points to the middle of their neighbours. Vertices and straight edges are exact, and all nodes of curved edges lie
on the curve.

Convention: sizes are lengths of edges in the region's units. ``grading`` g in (0, 1] makes the size at a distance r from
a re-entrant corner ``h (r / R)^(1 - g)``, R a third of the shortest edge there, down to ``h^(1/g)`` in units of R: g = 1
is uniform; with elements of degree p, g < alpha / p restores the full order for a solution like ``r^alpha`` (Babuska
1970; Schatz, Wahlbin 1979).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import skfem
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains import Curve, Outline, Point, Region
from ungrid.domains.arrangement import arranged
from ungrid.domains.triangulation import (
    BoundaryEdges,
    Triangles,
    boundary_edges,
    doubled_areas,
    halved,
    sides,
    triangulated,
)

SMALLEST_ANGLE = 27.0  # degrees that refinement asks for; Ruppert's proof ends at 20.7, practice near 33
REENTRANT = np.pi * (1 + 1e-6)
_ROUNDS = 60
_LARGE = 0.72  # of the wanted size: the largest radius of a circumcircle (an even triangle has 0.577)
_SHORT = 0.2  # of the wanted size: triangles with shorter edges are thin because the shape is, and stay
_CLEAR = 0.6  # of the wanted size: the distance that lattice points keep from the boundary
_MOVES = 6
Size = Callable[[np.ndarray], np.ndarray]


def mesh(
    region: Region,
    h: float,
    *,
    grading: float = 1.0,
    interfaces: Sequence[Region] | Mapping[str, Region] = (),
) -> Any:
    """A mesh of the region.

    Args:
        region: in one to three dimensions.
        h: the size of the elements.
        grading: 1 for a uniform size, less for small elements at re-entrant corners (see above); plane regions only.
        interfaces: further regions whose boundaries inside the first are kept as edges, for several materials; plane
            regions and intervals. A mapping gives the subdomains' names; otherwise they are ``inside_1``, ...

    Returns:
        A scikit-fem mesh (MeshLine, MeshTri or MeshTet) with a boundary for each part of the region; with interfaces
        also the boundary ``interface`` and the subdomains: one for each interface, and ``outside`` for the rest.

    Raises:
        InputError: if h or the grading is out of range, or the region is of a kind that cannot be meshed.
    """
    if not h > 0 or not 0 < grading <= 1:
        raise InputError(f"a mesh of size {h} and grading {grading}", "a positive size and a grading in (0, 1]")
    inner = dict(interfaces) if isinstance(interfaces, Mapping) else _numbered(interfaces)
    if isinstance(region.pieces[0], Point):
        return _line_mesh(region, h, inner)
    if isinstance(region.pieces[0], Curve):
        return _plane_mesh(region, h, grading, inner)
    if inner:
        raise InputError("interfaces in space", "plane regions or intervals")
    from ungrid.reference.solid_meshing import solid_mesh

    return solid_mesh(region, h)


def _numbered(interfaces: Sequence[Region]) -> dict[str, Region]:
    return {f"inside_{k + 1}": region for k, region in enumerate(interfaces)}


# -- on a line ----------------------------------------------------------------------------------------------------------


def _line_mesh(region: Region, h: float, inner: Mapping[str, Region]) -> Any:
    ends = sorted(piece.x for piece in region.pieces if isinstance(piece, Point))
    cuts = [p.x for other in inner.values() for p in other.pieces if isinstance(p, Point)]
    nodes, elements, total = [], [], 0
    for low, high in zip(ends[::2], ends[1::2], strict=True):
        stops = [low, *sorted({x for x in cuts if low < x < high}), high]
        steps = [np.linspace(a, b, int(np.ceil((b - a) / h - 1e-9)) + 1) for a, b in itertools.pairwise(stops)]
        x = np.unique(np.concatenate(steps))
        elements.append(total + np.stack([np.arange(len(x) - 1), np.arange(1, len(x))]))
        nodes.append(x)
        total += len(x)
    line = skfem.MeshLine(np.concatenate(nodes)[None], np.concatenate(elements, axis=1))
    named = {part: _facets_at(line, [p.x for p in _points(region, part)]) for part in region.parts}
    return _with_materials(line.with_boundaries(named), inner, {"interface": _facets_at(line, cuts)})


def _points(region: Region, part: str) -> list[Point]:
    return [piece for piece in region.pieces_of(part) if isinstance(piece, Point)]


def _facets_at(line: Any, places: Sequence[float]) -> np.ndarray:
    return np.flatnonzero(np.isin(line.p[0][line.facets[0]], places))


def _with_materials(whole: Any, inner: Mapping[str, Region], interface: dict[str, np.ndarray]) -> Any:
    """Subdomains by the middles of the elements; only for meshes whose elements do not cross the interfaces."""
    if not inner:
        return whole
    middles = whole.p[:, whole.t].mean(axis=1).T
    return _named_materials(whole, {name: other.contains(middles) for name, other in inner.items()}, interface)


def _named_materials(whole: Any, within: Mapping[str, np.ndarray], interface: dict[str, np.ndarray]) -> Any:
    """The first region that contains an element names its subdomain."""
    left, named = np.ones(whole.nelements, dtype=bool), {}
    for name, inside in within.items():
        named[name] = np.flatnonzero(inside & left)
        left &= ~inside
    named["outside"] = np.flatnonzero(left)
    empty = [name for name, elements in named.items() if len(elements) == 0 and name != "outside"]
    if empty:
        raise InputError(f"an interface {empty[0]!r} that encloses nothing of the region", "regions that overlap it")
    return whole.with_subdomains(named).with_boundaries({**whole.boundaries, **interface})


# -- in the plane -------------------------------------------------------------------------------------------------------


def _plane_mesh(region: Region, h: float, grading: float, inner: Mapping[str, Region]) -> Any:
    curves, bounding = arranged(region, tuple(inner.values()))
    outline = Outline(curves) if bounding == len(curves) else None
    triangles = triangulate(curves, bounding, size_function(region, h, grading), outline)
    whole = skfem.MeshTri(triangles.points.T.copy(), triangles.triangles.T.copy(), sort_t=False)
    names = np.array([curve.name for curve in curves])[triangles.edges.piece]
    outer = triangles.edges.piece < bounding
    facet = _facet_numbers(whole, triangles.edges.ends)
    named = {part: np.sort(facet[outer & (names == part)]) for part in region.parts}
    whole = whole.with_boundaries(named)
    if not inner:
        return whole
    middle = _patch_middles(triangles)
    within = {name: (other.side(middle) > 0)[triangles.patch] for name, other in inner.items()}
    return _named_materials(whole, within, {"interface": np.sort(facet[~outer])})


def _patch_middles(triangles: Triangles) -> np.ndarray:
    """For each patch the middle of its roundest large triangle, which is safely on its side of every arc."""
    points, count = triangles.points, int(triangles.patch.max()) + 1
    area = doubled_areas(points, triangles.triangles)
    order = np.lexsort((area / _longest(points, triangles.triangles), triangles.patch))
    middles = np.zeros((count, 2))
    middles[triangles.patch[order]] = points[triangles.triangles[order]].mean(axis=1)  # the last one stays
    return middles


def _facet_numbers(whole: Any, ends: np.ndarray) -> np.ndarray:
    count = whole.p.shape[1]
    code = whole.facets[0].astype(np.int64) * count + whole.facets[1]
    order, low, high = np.argsort(code), ends.min(axis=1), ends.max(axis=1)
    return order[np.searchsorted(code[order], low * count + high)]


@dataclass(frozen=True)
class _Graded:
    """The wanted size, smaller towards some points."""

    h: float
    grading: float
    corners: np.ndarray
    reach: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        if not len(self.corners):
            return np.full(len(points), self.h)
        far = np.linalg.norm(points[:, None] - self.corners, axis=-1) / self.reach
        least = np.minimum(self.h / self.reach, 1.0) ** (1 / self.grading)
        return self.h * np.minimum(np.maximum(far, least), 1.0).min(axis=1) ** (1 - self.grading)


def size_function(region: Region, h: float, grading: float) -> Size:
    """The wanted length of edges at points (n, 2), (n,)."""
    corners = [corner for corner in region.corners if corner.angle > REENTRANT and grading < 1]
    places = np.array([corner.vertex for corner in corners]).reshape(-1, 2)
    curves = [piece for piece in region.pieces if isinstance(piece, Curve)]
    shortest = [min(c.length for c in curves if c.distance(place[None])[0] < 1e-9 * c.length) for place in places]
    return _Graded(h, grading, places, np.array(shortest) / 3)


def triangulate(curves: Sequence[Curve], bounding: int, size: Size, outline: Outline | None = None) -> Triangles:
    """Triangles of the wanted size with angles above about 27 degrees, but for sharper ones of the region itself.

    Args:
        curves: the boundary, and then curves inside that edges must follow.
        bounding: how many of them are the boundary.
        size: the wanted length of edges at points.
        outline: the curves with their joints, if known.
    """
    outline = outline if outline is not None else Outline(tuple(curves))
    edges = boundary_edges(outline, lambda k: _steps(curves[k], size))
    current = triangulated(curves, edges, np.zeros((0, 2)), bounding)
    current = triangulated(curves, current.edges, _lattice(current, size), bounding)
    for _ in range(_ROUNDS):
        centers = _wanted(current, size)
        if not len(centers):
            break
        current = _inserted(curves, current, centers, size, bounding)
    for _ in range(_MOVES):
        current = _moved(curves, current, bounding)
    return current


def _steps(curve: Curve, size: Size) -> np.ndarray:
    """Parameters from 0 to 1 at steps of the wanted size, on arcs also of at most an eighth of a turn."""
    fine = np.geomspace(1e-9, 0.05, 400)
    s = np.unique(np.concatenate([np.linspace(0, 1, 2001), fine, 1 - fine]))  # graded towards both ends
    points = curve.at(s)
    step = np.linalg.norm(np.diff(points, axis=0), axis=1) / size((points[1:] + points[:-1]) / 2)
    run = np.concatenate([[0.0], np.cumsum(step)])
    count = max(int(np.ceil(run[-1] - 1e-6)), curve.panels, 1)
    if _closed(curve):
        count = max(count, 6)
    inner = np.interp(np.arange(1, count) / count * run[-1], run, s)
    return np.concatenate([[0.0], inner, [1.0]])


def _closed(curve: Curve) -> bool:
    """Whether the curve ends where it begins."""
    return bool(np.linalg.norm(curve.at(1.0) - curve.at(0.0)) < 1e-9 * curve.length)


def _lattice(coarse: Triangles, size: Size) -> np.ndarray:
    """A hexagonal lattice where the wanted size is near its largest, clear of the boundary; the rest is refinement."""
    low, high = coarse.points.min(axis=0), coarse.points.max(axis=0)
    step = float(size(np.concatenate([coarse.points, coarse.points[coarse.triangles].mean(axis=1)])).max())
    candidates = _hexagonal(low, high, step)
    candidates = candidates[size(candidates) > step / 2]
    candidates = candidates[_within(coarse, candidates)]
    return candidates[_clear(coarse.edges, candidates, size)]


def _hexagonal(low: np.ndarray, high: np.ndarray, step: float) -> np.ndarray:
    rows = np.arange(int((high[1] - low[1]) / (step * np.sqrt(0.75))) + 2)
    columns = np.arange(int((high[0] - low[0]) / step) + 2)
    x = low[0] + step * (columns[None] + 0.5 * (rows[:, None] % 2))
    y = np.broadcast_to(low[1] + step * np.sqrt(0.75) * rows[:, None], x.shape)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def _within(triangles: Triangles, points: np.ndarray) -> np.ndarray:
    """Which points lie inside the chords: by the parity of the boundary's edges to the right."""
    right = triangles.edges.ends
    inside_edges = np.isin(np.sort(right, axis=1) @ [len(triangles.points), 1], _outer_codes(triangles))
    chords = triangles.points[right[inside_edges]]
    odd = np.zeros(len(points), dtype=bool)
    order = np.argsort(points[:, 1])
    x, y = points[order].T
    for (ax, ay), (bx, by) in chords.tolist():
        rows = slice(*np.searchsorted(y, sorted((ay, by))))
        if rows.start < rows.stop:
            odd[rows] ^= ax + (y[rows] - ay) * (bx - ax) / (by - ay) > x[rows]
    result = np.empty_like(odd)
    result[order] = odd
    return result


def _outer_codes(triangles: Triangles) -> np.ndarray:
    """Codes of the sides that belong to one triangle only."""
    around = np.sort(sides(triangles.triangles).reshape(-1, 2), axis=1) @ [len(triangles.points), 1]
    codes, counts = np.unique(around, return_counts=True)
    return codes[counts == 1]


def _clear(edges: BoundaryEdges, points: np.ndarray, size: Size) -> np.ndarray:
    """Which points keep off the boundary edges and out of their diametral circles."""
    a, b = edges.points[edges.ends[:, 0]], edges.points[edges.ends[:, 1]]
    nodes = np.concatenate([a, (a + b) / 2])
    radius = np.concatenate([np.zeros(len(a)), np.linalg.norm(b - a, axis=1) / 2])
    far, near = cKDTree(nodes).query(points, k=min(4, len(nodes)))
    margin = np.maximum(radius[near] * 1.02, _CLEAR * size(points)[:, None])
    return np.asarray((far > margin).all(axis=1))


def _longest(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(points[sides(triangles)], axis=2), axis=-1).max(axis=(1, 2))


def _wanted(current: Triangles, size: Size) -> np.ndarray:
    """Centers of the circumcircles of triangles that are too large or too thin, the largest first."""
    corners = current.points[current.triangles]
    lengths = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=-1)  # opposite each corner
    area = doubled_areas(current.points, current.triangles)
    radius = lengths.prod(axis=1) / (2 * area)
    sine = lengths / (2 * radius[:, None])
    center = _circumcenters(corners, area)
    local = size(corners.mean(axis=1))
    sharpest = current.triangles[np.arange(len(area)), lengths.argmin(axis=1)]
    given = sharpest < current.edges.fixed  # an angle of the region itself cannot be mended
    thin = (sine.min(axis=1) < np.sin(np.radians(SMALLEST_ANGLE))) & (lengths.min(axis=1) > _SHORT * local) & ~given
    bad = np.flatnonzero((radius > _LARGE * local) & (lengths.max(axis=1) > local) | thin)
    return center[bad[np.argsort(-(radius / local)[bad])]]


def _circumcenters(corners: np.ndarray, doubled: np.ndarray) -> np.ndarray:
    b, c = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    bb, cc = (b**2).sum(axis=1), (c**2).sum(axis=1)
    x = (c[:, 1] * bb - b[:, 1] * cc) / (2 * doubled)
    y = (b[:, 0] * cc - c[:, 0] * bb) / (2 * doubled)
    return corners[:, 0] + np.stack([x, y], axis=-1)


def _inserted(curves: Sequence[Curve], current: Triangles, centers: np.ndarray, size: Size, bounding: int) -> Triangles:
    """With those centers as points that keep off each other, or with the boundary edges halved that they encroach on."""
    edges, interior = current.edges, current.points[len(current.edges.points) :]
    a, b = (edges.points[edges.ends[:, k]] for k in (0, 1))
    middle, radius = (a + b) / 2, np.linalg.norm(b - a, axis=1) / 2
    close = cKDTree(centers).query_ball_point(middle, radius)
    encroached = np.array([len(some) > 0 for some in close], dtype=bool)
    encroached &= 2 * radius > _SHORT * size(middle)
    taken = np.unique(np.concatenate([np.asarray(some, dtype=np.int64) for some in close] or [np.zeros(0, np.int64)]))
    free = np.setdiff1d(np.arange(len(centers)), taken)
    free = free[_within(current, centers[free])]
    chosen = centers[free][_spread(centers[free], 0.7 * size(centers[free]))]
    edges = halved(curves, edges, encroached) if encroached.any() else edges
    return triangulated(curves, edges, np.concatenate([interior, chosen]), bounding)


def _spread(points: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Which points to take, in order, so that none is closer to an earlier one than its distance."""
    taken = np.ones(len(points), dtype=bool)
    near = cKDTree(points).query_ball_point(points, distance) if len(points) else []
    for number, others in enumerate(near):
        if taken[number]:
            later = [k for k in others if k > number]
            taken[later] = False
    return taken


def _moved(curves: Sequence[Curve], current: Triangles, bounding: int) -> Triangles:
    """Inner points moved to the middle of their neighbours, unless that makes the smallest angle smaller."""
    fixed, count = len(current.edges.points), len(current.points)
    links = np.concatenate([sides(current.triangles).reshape(-1, 2), sides(current.triangles).reshape(-1, 2)[:, ::-1]])
    total, degree = np.zeros((count, 2)), np.bincount(links[:, 0], minlength=count)
    np.add.at(total, links[:, 0], current.points[links[:, 1]])
    interior = (total / np.maximum(degree, 1)[:, None])[fixed:]
    moved = triangulated(curves, current.edges, interior, bounding)
    same = len(moved.edges.piece) == len(current.edges.piece)
    return moved if same and smallest_angle(moved) >= smallest_angle(current) else current


def smallest_angle(triangles: Triangles) -> float:
    """The smallest angle of all triangles, in degrees."""
    corners = triangles.points[triangles.triangles]
    lengths = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=-1)
    area = doubled_areas(triangles.points, triangles.triangles)
    sine = area[:, None] * lengths / lengths.prod(axis=1)[:, None]
    return float(np.degrees(np.arcsin(np.clip(sine.min(), 0, 1))))
