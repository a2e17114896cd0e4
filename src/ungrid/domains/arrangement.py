"""The boundary of a region together with the boundaries of others inside it, cut where they meet.

Convention: the region's own pieces come first; curves inside follow, each once, whichever way it runs.
"""

from collections.abc import Sequence

import numpy as np

from ungrid.domains.crossings import cut, meetings
from ungrid.domains.curves import Curve
from ungrid.domains.outline import JOIN
from ungrid.domains.region import Region


def arranged(region: Region, others: Sequence[Region]) -> tuple[tuple[Curve, ...], int]:
    """Curves that meet at their ends only, and how many of them are the region's boundary.

    Args:
        region: a plane region.
        others: regions whose boundaries inside the first are wanted.
    """
    outer, tolerance = region.outline.pieces, JOIN * region.outline.extent
    inner = [piece for other in others for piece in other.outline.pieces]
    if not inner:
        return outer, len(outer)
    every = [*outer, *inner]
    parts = [
        cut(piece, [meetings(piece, other, tolerance) for other in every if other is not piece], tolerance)
        for piece in every
    ]
    mine = [part for some in parts[: len(outer)] for part in some]
    inside = [part for some in parts[len(outer) :] for part in some if _is_inside(part, region, mine, tolerance)]
    return (*mine, *_once(inside, tolerance)), len(mine)


def _is_inside(part: Curve, region: Region, boundary: Sequence[Curve], tolerance: float) -> bool:
    probes = part.at(np.array([0.3, 0.5, 0.7]))
    if region.outline.side(probes[1:2])[0] <= 0:
        return False
    return not any(piece.holds(probes, tolerance).all() for piece in boundary)


def _once(parts: Sequence[Curve], tolerance: float) -> list[Curve]:
    """Of parts that run along each other the first."""
    result: list[Curve] = []
    for part in parts:
        probes = part.at(np.array([0.3, 0.5, 0.7]))
        if not any(other.holds(probes, tolerance).all() for other in result):
            result.append(part)
    return result
