"""Triangle meshes as data."""

from dataclasses import dataclass

import numpy as np

from ungrid._base.errors import InputError


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Triangles in space: `vertices` (V, 3) float64 in the user's units, `faces` (F, 3) int64, counter-clockwise
    seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def __post_init__(self) -> None:
        v, f = self.vertices, self.faces
        if v.ndim != 2 or v.shape[1] != 3 or f.ndim != 2 or f.shape[1] != 3 or len(f) == 0:
            raise InputError(f"vertices {v.shape} and faces {f.shape}", "(V, 3) and (F, 3) with at least one face")
        if not np.isfinite(v).all():
            raise InputError("a mesh with NaN or infinite vertices", "finite coordinates")
        if f.min() < 0 or f.max() >= len(v):
            raise InputError("faces that name missing vertices", f"indices from 0 to {len(v) - 1}")

    @property
    def corners(self) -> np.ndarray:
        """The corner points of every face, shape (F, 3, 3)."""
        return self.vertices[self.faces]

    def open_edges(self) -> int:
        """How many edges do not belong to exactly two faces; 0 means watertight."""
        edges = np.sort(self.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        _, counts = np.unique(edges, axis=0, return_counts=True)
        return int((counts != 2).sum())
