"""Tetrahedra for regions in space.

Boxes are cut into bricks, balls are refined from eight tetrahedra, and regions made of tetrahedra are refined as they
are. Combined regions need the optional mesher netgen (the extra ``geometry``).
"""

from typing import Any

import numpy as np
import skfem

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Box, Region, TriangulatedRegion


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
    raise InputError(f"a mesh of a {type(region).__name__} in space", "a box, a ball or a region of tetrahedra")


def _longest(whole: Any) -> float:
    ends = whole.p[:, whole.edges]
    return float(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=0).max())


def _named(whole: Any, region: Region) -> Any:
    facets = whole.boundary_facets()
    middles = whole.p[:, whole.facets[:, facets]].mean(axis=1).T
    closest = np.argmin([piece.distance(middles) for piece in region.pieces], axis=0)
    names = np.array([piece.name for piece in region.pieces])[closest]
    return whole.with_boundaries({part: facets[names == part] for part in region.parts})
