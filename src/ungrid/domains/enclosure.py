"""Which points a closed surface of triangles encloses.

A ray in a fixed general direction crosses the surface an odd number of times from inside. Rays that pass close to an
edge are decided by the sum of the solid angles instead (Van Oosterom, Strackee 1983), which costs a sum over all faces.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from ungrid.domains.outline import ON

_EDGE = 1e-9  # of a triangle's height: closer to an edge a ray is undecided
_AT_ONCE = 2**22  # solid angles


@dataclass(frozen=True, eq=False)
class Enclosure:
    """A closed surface: the corners of its triangles (F, 3, 3), counter-clockwise seen from outside."""

    triangles: np.ndarray

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.triangles.min(axis=(0, 1)), self.triangles.max(axis=(0, 1))

    @cached_property
    def volume(self) -> float:
        """The enclosed volume: a sixth of the sum of the determinants (Gauss' theorem)."""
        return float(np.linalg.det(self.triangles - self.triangles.mean(axis=(0, 1))).sum()) / 6

    @cached_property
    def _turned(self) -> tuple[np.ndarray, np.ndarray]:
        """The triangles in coordinates whose third axis is the ray, and the matrix that turns to them."""
        turn, _ = np.linalg.qr(np.array([[0.71, 0.23, 0.41], [-0.37, 0.83, 0.53], [0.29, -0.61, 0.97]]))
        return self.triangles @ turn, turn

    def side(self, points: np.ndarray) -> np.ndarray:
        """1 inside, 0 on the surface, -1 outside: int8 (*batch,) for points (*batch, 3)."""
        flat = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        low, high = self.bounds
        side = np.full(len(flat), -1, dtype=np.int8)
        near = np.flatnonzero(((flat >= low) & (flat <= high)).all(axis=1))
        if len(near):
            side[near] = self._side_of(flat[near])
        return side.reshape(np.shape(points)[:-1])

    def _side_of(self, points: np.ndarray) -> np.ndarray:
        triangles, turn = self._turned
        turned = points @ turn
        face, point = _pairs(triangles, turned)
        share, height = _crossing(triangles[face], turned[point])
        hit = (share >= 0).all(axis=1)
        unclear = (np.abs(share) <= _EDGE).any(axis=1) & (share >= -_EDGE).all(axis=1)
        odd = np.bincount(point[hit & (height > 0)], minlength=len(points)) % 2 == 1
        doubtful = np.unique(point[unclear])
        if len(doubtful):
            odd[doubtful] = np.abs(self.winding(points[doubtful])) > 0.5
        side = np.where(odd, 1, -1)
        side[point[(share >= -_EDGE).all(axis=1) & (np.abs(height) <= self._tolerance)]] = 0
        return side.astype(np.int8)

    @property
    def _tolerance(self) -> float:
        low, high = self.bounds
        return 4 * ON * float(np.linalg.norm(high - low))

    def winding(self, points: np.ndarray) -> np.ndarray:
        """The exact winding number at points (n, 3), (n,): 1 inside, 0 outside."""
        step = max(1, _AT_ONCE // len(self.triangles))
        parts = [self._winding(points[k : k + step]) for k in range(0, len(points), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _winding(self, points: np.ndarray) -> np.ndarray:
        a, b, c = (self.triangles[None, :, k] - points[:, None] for k in range(3))
        la, lb, lc = (np.linalg.norm(corner, axis=-1) for corner in (a, b, c))
        volume = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
        ab, bc, ca = ((p * q).sum(axis=-1) for p, q in ((a, b), (b, c), (c, a)))
        return np.arctan2(volume, la * lb * lc + ab * lc + bc * la + ca * lb).sum(axis=1) / (2 * np.pi)


def _pairs(triangles: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces and points that the ray may meet: those within the circle around the face in the plane across the ray."""
    middle = triangles[:, :, :2].mean(axis=1)
    reach = np.linalg.norm(triangles[:, :, :2] - middle[:, None], axis=-1).max(axis=1) * (1 + 1e-9)
    lists = cKDTree(points[:, :2]).query_ball_point(middle, reach)
    face = np.repeat(np.arange(len(triangles)), [len(some) for some in lists])
    return face, np.concatenate([np.asarray(some, dtype=np.int64) for some in lists])


def _crossing(triangles: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric coordinates (n, 3) of the points in the triangles across the ray, and the heights above (n,)."""
    a, b, c = np.moveaxis(triangles[:, :, :2] - points[:, None, :2], 1, 0)
    parts = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=-1)
    total = parts.sum(axis=1, keepdims=True)
    share = np.divide(parts, total, out=np.full_like(parts, -1.0), where=total != 0)
    return share, (share * triangles[:, :, 2]).sum(axis=1) - points[:, 2]


def _cross(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
