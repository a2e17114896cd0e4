"""Regions from meshes: triangles, tetrahedra, and closed surfaces.

Convention: cells may have either orientation; surfaces are counter-clockwise seen from outside. Boundary facets that no
name is given for are called ``boundary``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Body, Rule, tensor_rule
from ungrid.domains.curves import Curve, Segment
from ungrid.domains.domain import Axis
from ungrid.domains.enclosure import Enclosure
from ungrid.domains.mesh import TriangleMesh
from ungrid.domains.outline import joined
from ungrid.domains.pieces import Piece, gauss
from ungrid.domains.region import Region, bounding_axes
from ungrid.domains.surfaces import Sheet

BOUNDARY = "boundary"
_CELLS = 48  # of the quadrature inside a closed surface, along its longest axis


@dataclass(frozen=True, eq=False)
class TriangulatedRegion(Region):
    """A region made of triangles in the plane or of tetrahedra in space.

    Args:
        vertices: (V, d) in the user's units, d = 2 or 3.
        cells: (T, d + 1) indices.
        names: facets (k, d) of the boundary by the name of their part.
        axes_names: the names of the coordinates; by default the first of x, y, z.
        unit: their unit.

    Raises:
        InputError: if the shapes do not fit, a cell is flat, or a facet belongs to more than two cells.
    """

    vertices: np.ndarray
    cells: np.ndarray
    names: Mapping[str, np.ndarray] = field(default_factory=dict)
    axes_names: Sequence[str] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        v, c = self.vertices, self.cells
        if v.ndim != 2 or v.shape[1] not in (2, 3) or c.ndim != 2 or c.shape[1] != v.shape[1] + 1 or len(c) == 0:
            raise InputError(f"vertices {v.shape} and cells {c.shape}", "(V, d) and (T, d + 1) with d = 2 or 3")
        if c.min() < 0 or c.max() >= len(v) or not np.isfinite(v).all():
            raise InputError("cells that name missing vertices, or vertices that are not finite", "a sound mesh")
        flat = np.flatnonzero(np.abs(self.sizes) <= 1e-15 * np.ptp(v, axis=0).max() ** v.shape[1])
        if len(flat):
            raise InputError(f"a mesh whose cell {flat[0]} is flat", "cells with an area or a volume")
        _ = self.pieces

    @cached_property
    def sizes(self) -> np.ndarray:
        """The area or volume of every cell, (T,)."""
        corners = self.vertices[self.cells]
        edges = corners[:, 1:] - corners[:, :1]
        return np.abs(np.linalg.det(edges)) / (2 if edges.shape[1] == 2 else 6)

    @property
    def axes(self) -> tuple[Axis, ...]:
        names = tuple(self.axes_names) or ("x", "y", "z")[: self.vertices.shape[1]]
        return bounding_axes(names, self.unit, self.pieces)

    @cached_property
    def facets(self) -> np.ndarray:
        """The facets (F, d) of the boundary, with the region on the left, or counter-clockwise seen from outside."""
        d = self.vertices.shape[1]
        every = np.concatenate([self._turned(np.array(k)) for k in combinations(range(d + 1), d)])
        _, first, count = np.unique(np.sort(every, axis=1), axis=0, return_index=True, return_counts=True)
        if count.max() > 2:
            raise InputError("a mesh with a facet in more than two cells", "a mesh without overlaps")
        return every[np.sort(first[count == 1])]

    def _turned(self, corners: np.ndarray) -> np.ndarray:
        """One facet of every cell, turned so that the rest of the cell lies behind it."""
        (other,) = set(range(self.cells.shape[1])) - set(corners.tolist())
        facets = self.cells[:, corners]
        places = self.vertices[facets]
        inwards = self.vertices[self.cells[:, other]] - places[:, 0]
        volume = np.linalg.det(np.concatenate([places[:, 1:] - places[:, :1], inwards[:, None]], axis=1))
        wrong = volume < 0 if facets.shape[1] == 2 else volume > 0
        return np.where(wrong[:, None], facets[:, ::-1], facets)

    @property
    def given_names(self) -> frozenset[str]:
        return frozenset(self.parts) - {BOUNDARY}

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        labels = self._labels()
        if self.vertices.shape[1] == 2:
            edges = [self._segment(facet, name) for facet, name in zip(self.facets, labels, strict=True)]
            return joined(edges)
        order = dict.fromkeys(labels)
        return tuple(Sheet(self.vertices, self.facets[[n == name for n in labels]], name) for name in order)

    def _segment(self, facet: np.ndarray, name: str) -> Curve:
        (a, b), (c, d) = self.vertices[facet].tolist()
        return Segment((a, b), (c, d), name)

    def _labels(self) -> list[str]:
        known = {
            tuple(sorted(facet)): name for name, facets in self.names.items() for facet in np.asarray(facets).tolist()
        }
        return [known.get(tuple(sorted(facet)), BOUNDARY) for facet in self.facets.tolist()]

    @cached_property
    def body(self) -> Body:
        return _CellsBody(self, _enclosure(self.pieces) if self.vertices.shape[1] == 3 else None)


@dataclass(frozen=True, eq=False)
class _CellsBody(Body):
    """Quadrature cell by cell."""

    region: TriangulatedRegion
    enclosure: Enclosure | None

    @property
    def size(self) -> float:
        return float(self.region.sizes.sum())

    def side(self, points: np.ndarray) -> np.ndarray:
        return self.enclosure.side(points) if self.enclosure is not None else self.region.outline.side(points)

    def rule(self, order: int, h: float | None) -> Rule:
        """Products of Gauss rules in collapsed coordinates; `h` has no effect, as the cells are given."""
        corners = self.region.vertices[self.region.cells]
        weights, shares = simplex_rule(corners.shape[2], order)
        points = np.einsum("qk,tki->tqi", shares, corners).reshape(-1, corners.shape[2])
        return Rule(points, np.outer(self.region.sizes, weights).ravel())


def simplex_rule(dim: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (n,) of sum 1 and barycentric coordinates (n, d + 1), exact for polynomials of the given degree."""
    nodes, weights = gauss(order + dim - 1)
    grids = [grid.ravel() for grid in np.meshgrid(*dim * [nodes], indexing="ij")]
    total = np.prod([grid.ravel() for grid in np.meshgrid(*dim * [weights], indexing="ij")], axis=0)
    shares, left = [], np.ones_like(total)
    for power, grid in enumerate(grids):  # a share of what the earlier coordinates left (Duffy 1982)
        shares.append(left * (1 - grid))
        left = left * grid
        total = total * grid ** (dim - 1 - power)
    scale = {2: 2, 3: 6}[dim]
    return total * scale, np.stack([*shares, left], axis=-1)


@dataclass(frozen=True, eq=False)
class ClosedSurface(Region):
    """The inside of a watertight triangle mesh, with one part, ``boundary``.

    Args:
        mesh: the surface, counter-clockwise seen from outside.
        axes_names: the names of the coordinates.
        unit: their unit.

    Raises:
        InputError: if the mesh has open edges, or encloses a negative volume.
    """

    mesh: TriangleMesh
    axes_names: Sequence[str] = ("x", "y", "z")
    unit: str = ""

    def __post_init__(self) -> None:
        gaps = self.mesh.open_edges()
        if gaps:
            raise InputError(f"a surface with {gaps} open edges", "a watertight mesh", "close its holes")
        if not self.measure > 0:
            raise InputError("a surface that is inside out", "faces counter-clockwise seen from outside", "turn them")

    @property
    def axes(self) -> tuple[Axis, ...]:
        return bounding_axes(tuple(self.axes_names), self.unit, self.pieces)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        a, b, c = np.moveaxis(self.mesh.corners, 1, 0)
        solid = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0
        return (Sheet(self.mesh.vertices, self.mesh.faces[solid], BOUNDARY),)

    @cached_property
    def body(self) -> Body:
        return _EnclosedBody(_enclosure(self.pieces))


@dataclass(frozen=True, eq=False)
class _EnclosedBody(Body):
    """The volume is exact; quadrature keeps the points of a fine grid that lie inside, and is an estimate."""

    enclosure: Enclosure

    @property
    def size(self) -> float:
        return self.enclosure.volume

    def side(self, points: np.ndarray) -> np.ndarray:
        return self.enclosure.side(points)

    def rule(self, order: int, h: float | None) -> Rule:
        low, high = self.enclosure.bounds
        points, weights = tensor_rule(low, high, min(order, 3), h or float((high - low).max()) / _CELLS)
        inside = self.side(points) > 0
        return Rule(points[inside], weights[inside])


def _enclosure(pieces: Sequence[Piece]) -> Enclosure:
    sheets = [piece for piece in pieces if isinstance(piece, Sheet)]
    return Enclosure(np.concatenate([sheet.triangles for sheet in sheets]))
