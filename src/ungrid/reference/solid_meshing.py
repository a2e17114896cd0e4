"""Tetrahedra for regions in space.

Boxes are cut into bricks, balls are refined from eight tetrahedra, and regions made of tetrahedra are refined as they
are. Boxes and balls put together need the optional mesher netgen (the extra ``geometry``).
"""

from typing import Any

import numpy as np
import skfem

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import (
    Ball,
    Box,
    Difference,
    Intersection,
    Named,
    Piece,
    Region,
    TriangulatedRegion,
    Trimmed,
    Union,
)


def solid_mesh(region: Region, h: float) -> Any:
    """A mesh of tetrahedra whose boundary has the names of the region's parts."""
    if isinstance(region, Box):
        axes = (np.linspace(a.low, a.high, int(np.ceil(a.length / h - 1e-9)) + 1) for a in region.axes)
        return _named(skfem.MeshTet.init_tensor(*axes), region)
    if isinstance(region, Ball):
        levels = max(1, int(np.ceil(np.log2(1.5 * region.radius / h))))
        ball = skfem.MeshTet.init_ball(levels)
        return _named(skfem.MeshTet(np.array(region.center)[:, None] + region.radius * ball.p, ball.t), region)
    if isinstance(region, TriangulatedRegion):
        whole = skfem.MeshTet(region.vertices.T.copy(), region.cells.T.copy())
        while _longest(whole) > 2 * h:
            whole = whole.refined()
        return _named(whole, region)
    return _named(_by_netgen(region, h), region)


def _by_netgen(region: Region, h: float) -> Any:
    """Netgen meshes the same shape, built by its geometry kernel (Schoeberl 1997)."""
    occ = require("netgen.occ", "geometry")
    found = occ.OCCGeometry(_shape(occ, region)).GenerateMesh(maxh=h)
    points = np.asarray(found.Coordinates(), dtype=np.float64)
    cells = np.asarray(found.Elements3D().NumPy()["nodes"], dtype=np.int64)[:, :4] - 1
    return skfem.MeshTet(points.T.copy(), cells.T.copy())


def _shape(occ: Any, region: Region) -> Any:
    if isinstance(region, Named):
        return _shape(occ, region.region)
    if isinstance(region, Box):
        return occ.Box(tuple(region.low.tolist()), tuple(region.high.tolist()))
    if isinstance(region, Ball):
        return occ.Sphere(region.center, region.radius)
    if isinstance(region, Union):
        return _shape(occ, region.first) + _shape(occ, region.second)
    if isinstance(region, Intersection):
        return _shape(occ, region.first) * _shape(occ, region.second)
    if isinstance(region, Difference):
        return _shape(occ, region.first) - _shape(occ, region.second)
    raise InputError(
        f"a mesh with a {type(region).__name__} in space", "boxes and balls put together, or a region of tetrahedra"
    )


def _longest(whole: Any) -> float:
    ends = whole.p[:, whole.edges]
    return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=0).max())


def _named(whole: Any, region: Region) -> Any:
    """Every facet of the boundary under the name of the closest piece, of which it should be a kept part."""
    facets = whole.boundary_facets()
    middles = whole.p[:, whole.facets[:, facets]].mean(axis=1).T
    extent = float(np.linalg.norm(region.high - region.low))
    closest = np.argmin([_distance(piece, middles, extent) for piece in region.pieces], axis=0)
    names = np.array([piece.name for piece in region.pieces])[closest]
    return whole.with_boundaries({part: facets[names == part] for part in region.parts})


def _distance(piece: Piece, points: np.ndarray, extent: float) -> np.ndarray:
    """To the whole surface, with a small addition where another part of it was kept."""
    if not isinstance(piece, Trimmed):
        return piece.distance(points)
    return piece.surface.distance(points) + np.where(np.isfinite(piece.distance(points)), 0.0, 1e-6 * extent)
