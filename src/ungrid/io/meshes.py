"""Triangle meshes: files, exact distances to them, and points on them.

Convention: vertices (V, 3) float64 in the units of the file; faces counter-clockwise seen from outside (a watertight
mesh stored inside out is turned); corners at one place are one vertex, so that `TriangleMesh.open_edges` is meaningful.
The signed distance is negative inside, so its gradient points outwards.
"""

import os
from io import BufferedIOBase
from typing import Any, NamedTuple

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import TriangleMesh
from ungrid.io.files import existing_file, opened, replacing

_KINDS = (".obj", ".ply", ".stl")
_COLORED = (".obj", ".ply", ".glb")
_CELLS = 32  # of the sorting grid, along an axis
_ON_SURFACE = 1e-9  # of the mesh's diagonal: closer points take the normal of their face as the gradient


class SurfaceDistance(NamedTuple):
    """Signed distances (N,), their gradients (N, 3), and the index of the closest face (N,)."""

    value: np.ndarray
    gradient: np.ndarray
    face: np.ndarray


def read_mesh(path: str | os.PathLike[str]) -> TriangleMesh:
    """Read a mesh; polygons are split into triangles, degenerate triangles left out, all parts of a file joined.

    Args:
        path: .obj, .ply or .stl, also with .gz or .xz behind it.

    Raises:
        InputError: if it is no such file, is damaged, or has no triangle.
    """
    file = existing_file(path)
    suffix = next((s.lower() for s in reversed(file.suffixes) if s.lower() not in (".gz", ".xz")), "")
    if suffix not in _KINDS:
        raise InputError(f"a mesh named {file.name!r}", f"one of {', '.join(_KINDS)}, also with .gz or .xz")
    trimesh = require("trimesh", "mesh")
    with opened(file, "a mesh") as stream:
        loaded = _loaded(trimesh, stream, suffix)
        vertices, faces = np.asarray(loaded.vertices, dtype=np.float64), np.asarray(loaded.faces, dtype=np.int64)
        if len(faces) == 0:
            raise InputError(f"{file} has no triangles", "a mesh with faces")
        TriangleMesh(vertices, faces)  # checks finite vertices and the range of the indices
        return _outwards(_merged(vertices, faces))


def _loaded(trimesh: Any, stream: BufferedIOBase, suffix: str) -> Any:
    options = {"skip_materials": True} if suffix == ".obj" else {}
    return trimesh.load_mesh(stream, file_type=suffix[1:], process=False, **options)


def _merged(vertices: np.ndarray, faces: np.ndarray) -> TriangleMesh:
    """One vertex for all corners at one place, in the order of their first mention; no face with a corner twice."""
    vertices = vertices + 0.0  # -0 becomes 0
    order = np.lexsort(vertices.T)  # stable: among equal ones the first of the file comes first
    differs = np.r_[True, (np.diff(vertices[order], axis=0) != 0).any(axis=1)]
    same = np.empty(len(vertices), dtype=np.int64)
    same[order] = order[differs][np.cumsum(differs) - 1]
    faces = same[faces]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (c != a)]
    used, compact = np.unique(faces, return_inverse=True)
    return TriangleMesh(vertices[used], compact.reshape(-1, 3).astype(np.int64))


def _outwards(mesh: TriangleMesh) -> TriangleMesh:
    a, b, c = np.moveaxis(mesh.corners - mesh.vertices.mean(axis=0), 1, 0)
    inside_out = np.einsum("fi,fi->", a, np.cross(b, c)) < 0  # six times the enclosed volume
    if inside_out and mesh.open_edges() == 0:
        return TriangleMesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))
    return mesh


def write_mesh(path: str | os.PathLike[str], mesh: TriangleMesh, *, colors: np.ndarray | None = None) -> None:
    """Write a mesh.

    Args:
        path: .obj (17 digits, exact), .ply, .stl or .glb (binary, float32).
        mesh: the mesh.
        colors: (V, 3) or (V, 4) colours of the vertices in [0, 1], sRGB-coded; not for .stl.

    Raises:
        InputError: if the format is unknown or cannot hold colours, or the colours have another shape.
    """
    trimesh = require("trimesh", "mesh")
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in (*_KINDS, ".glb") or (colors is not None and suffix not in _COLORED):
        raise InputError(f"a mesh named {suffix!r}", f"one of {', '.join((*_KINDS, '.glb'))}; colours not in .stl")
    if colors is not None and colors.shape not in ((len(mesh.vertices), 3), (len(mesh.vertices), 4)):
        raise InputError(f"colours of shape {colors.shape}", f"({len(mesh.vertices)}, 3) or (..., 4)")
    bytes_ = None if colors is None else np.rint(np.clip(colors, 0, 1) * 255).astype(np.uint8)
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=bytes_, process=False)
    options = {"digits": 17, "include_normals": False} if suffix == ".obj" else {}
    data = whole.export(file_type=suffix[1:], **options)
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def signed_distance(mesh: TriangleMesh, points: np.ndarray) -> np.ndarray:
    """The exact distance from `points` (N, 3) to the surface, (N,) float64, negative inside.

    The sign of a watertight mesh comes from the angle-weighted pseudonormals (Baerentzen, Aanaes 2005), that of an open
    or non-manifold one from the winding number (Barill et al. 2018: inside where it is above 1/2).
    """
    return distance_to_surface(mesh, points).value


def distance_to_surface(mesh: TriangleMesh, points: np.ndarray) -> SurfaceDistance:
    """Signed distances with their gradients: the unit vector along which the distance grows.

    Args:
        mesh: the surface.
        points: (N, 3) in its units.

    Returns:
        Value, gradient and closest face. On the surface itself the gradient is the normal of the closest face.

    Raises:
        InputError: if the points are not (N, 3) finite numbers.
    """
    igl = require("igl", "mesh")
    points = _points(points)
    closed = mesh.open_edges() == 0
    names = igl.SignedDistanceType
    kind = names.SIGNED_DISTANCE_TYPE_PSEUDONORMAL if closed else names.SIGNED_DISTANCE_TYPE_FAST_WINDING_NUMBER
    order = _by_cell(points)
    value, face, closest = (np.empty_like(a) for a in (points[:, 0], np.empty(len(points), np.int64), points))
    value[order], face[order], closest[order], _ = igl.signed_distance(points[order], *_contiguous(mesh), kind)
    away = points - closest
    length = np.linalg.norm(away, axis=1)
    near = length <= _ON_SURFACE * np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    safe = np.where(near, 1.0, length)
    gradient = np.where(value < 0, -1.0, 1.0)[:, None] * away / safe[:, None]
    gradient[near] = face_normals(mesh)[face[near]]
    return SurfaceDistance(value, gradient, face)


def _by_cell(points: np.ndarray) -> np.ndarray:
    """An order in which neighbours in space follow each other: the search tree stays in the cache (twice as fast)."""
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    cells = ((points - low) * (_CELLS / np.maximum(high - low, 1e-300))).astype(np.int64).clip(0, _CELLS - 1)
    return np.argsort(cells @ np.array([_CELLS * _CELLS, _CELLS, 1]), kind="stable")


def winding_number(mesh: TriangleMesh, points: np.ndarray) -> np.ndarray:
    """The generalised winding number at `points` (N, 3), (N,) float64: 1 inside, 0 outside of a watertight mesh.

    Fast approximation (Barill, Dickson, Schmidt, Levin, Jacobson 2018), to about 1e-2.
    """
    return np.asarray(require("igl", "mesh").fast_winding_number(*_contiguous(mesh), _points(points)))


def face_normals(mesh: TriangleMesh) -> np.ndarray:
    """Unit normals (F, 3) of the faces; zero for faces without area."""
    doubled = _doubled_areas(mesh)
    length = np.linalg.norm(doubled, axis=1, keepdims=True)
    return np.divide(doubled, length, out=np.zeros_like(doubled), where=length > 0)


def sample_surface(mesh: TriangleMesh, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`n` points uniform in area, and the normals of their faces: two arrays (n, 3).

    The point in a triangle is ``(1 - sqrt(u)) a + sqrt(u) (1 - v) b + sqrt(u) v c`` (Osada et al. 2002, equation 1).

    Raises:
        InputError: if the mesh has no area or n is negative.
    """
    area = np.linalg.norm(_doubled_areas(mesh), axis=1)
    if n < 0 or not area.sum() > 0:
        raise InputError(f"{n} points on a mesh of area {area.sum() / 2}", "n >= 0 and a mesh with area")
    cumulative = np.cumsum(area)
    index = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right").clip(max=len(area) - 1)
    root, v = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    a, b, c = np.moveaxis(mesh.corners[index], 1, 0)
    return (1 - root) * a + root * (1 - v) * b + root * v * c, face_normals(mesh)[index]


def _doubled_areas(mesh: TriangleMesh) -> np.ndarray:
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return np.cross(b - a, c - a)


def _contiguous(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(mesh.vertices, dtype=np.float64), np.ascontiguousarray(mesh.faces, dtype=np.int64)


def _points(points: np.ndarray) -> np.ndarray:
    points = np.ascontiguousarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"points of shape {points.shape}", "(N, 3) finite numbers")
    return points
