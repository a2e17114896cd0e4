"""The agreement of two shapes, given as occupied cells or as points on their surfaces."""

import numpy as np
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boolean arrays of one shape; 1 if both are empty.

    Raises:
        InputError: if the shapes differ or the arrays are not boolean.
    """
    if a.shape != b.shape or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise InputError(f"arrays {a.dtype} {a.shape} and {b.dtype} {b.shape}", "two boolean arrays of one shape")
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def chamfer(points_a: np.ndarray, points_b: np.ndarray) -> float:
    """The Chamfer-L1 distance of two point sets, in the points' units.

    The mean of two mean Euclidean (not squared) distances: from every point of `a` to the nearest of `b`, and from
    every point of `b` to the nearest of `a` (Mescheder et al. 2019, Occupancy Networks, section 4).

    Args:
        points_a: (N, d).
        points_b: (M, d).

    Raises:
        InputError: if a set is empty, has a NaN or infinite coordinate, or the dimensions differ.
    """
    if points_a.ndim != 2 or points_b.ndim != 2 or points_a.shape[1] != points_b.shape[1]:
        raise InputError(f"points of shapes {points_a.shape} and {points_b.shape}", "(N, d) and (M, d)")
    for points in (points_a, points_b):
        if len(points) == 0 or not np.isfinite(points).all():
            raise InputError(f"{len(points)} points, not all finite", "at least one point, all of them finite")
    to_b, _ = cKDTree(points_b).query(points_a)
    to_a, _ = cKDTree(points_a).query(points_b)
    return float((to_b.mean() + to_a.mean()) / 2)
