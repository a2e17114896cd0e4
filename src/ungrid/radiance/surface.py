"""The surface of a radiance field, as triangles with colours, in the world's coordinates.

Convention: faces are counter-clockwise seen from outside. The surface lies where one spacing of the lattice absorbs a quarter
of the light: fitted densities rise over some spacings, and the light is lost in the outer ones. In a contracted lattice it ends
with the box of the domain. What is enclosed counts as solid, since no photograph shows it; parts with less than a thousandth of
the volume of the largest are left out as floaters.
"""

import math

import numpy as np
import torch
from scipy import ndimage

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import TriangleMesh
from ungrid.fields import BrickField, RadianceField
from ungrid.fields.radiance import BRICK, EMPTY

ABSORBED = 0.25  # of the light, by a spacing at the surface
SMALLEST = 1e-3  # of the largest part's volume
CHUNK = 1 << 16  # nodes
SOLID = 20.0  # the raw density of what is enclosed


def surface(field: RadianceField) -> tuple[TriangleMesh, np.ndarray]:
    """The surface, and the colours (V, 3) of its vertices seen head-on.

    Marching cubes (Lewiner et al. 2003) on the raw densities, which end in emptiness all around: the surface is closed.

    Raises:
        InputError: if nothing in the field is dense enough.
    """
    level = math.log(math.expm1(-math.log1p(-ABSORBED) / field.depth_per_node))
    raw = raw_densities(field)
    if field.contracted:
        middle, half = field.inner
        outside = np.abs(np.arange(len(raw)) - middle) > half
        raw[outside], raw[:, outside], raw[:, :, outside] = EMPTY, EMPTY, EMPTY
    raw = np.pad(raw, 1, constant_values=EMPTY)
    raw = _solid(raw, level)
    measure = require("skimage.measure", "mesh")
    vertices, faces, _, _ = measure.marching_cubes(raw, level, gradient_direction="ascent")
    world = field.to_world(torch.from_numpy(vertices.astype(np.float64) - 1)).numpy()
    back = np.linalg.inv(np.reshape(field.frame, (4, 4)))
    mesh = TriangleMesh(world, _outwards(world, faces.astype(np.int64), back))
    with torch.no_grad():
        points = torch.from_numpy(world).float()
        directions = torch.from_numpy(-vertex_normals(mesh)).float()
        colors = field.color(points, directions).clamp(0, 1).numpy()
    return mesh, colors


def raw_densities(field: RadianceField) -> np.ndarray:
    """The raw densities of all nodes of the lattice, also of bricks that are not kept."""
    if not isinstance(field, BrickField):
        nodes = np.moveaxis(np.indices(field.shape, dtype=np.float32), 0, -1).reshape(-1, 3)
        with torch.no_grad():
            parts = [field.raw(torch.from_numpy(part)) for part in np.array_split(nodes, 1 + len(nodes) // CHUNK)]
        return torch.cat(parts).reshape(field.shape).numpy()
    bricks = field.nodes.detach()[:, 0].numpy().reshape(-1, BRICK, BRICK, BRICK)[field.index()]
    return bricks.transpose(0, 3, 1, 4, 2, 5).reshape(field.shape)


def _solid(raw: np.ndarray, level: float) -> np.ndarray:
    """The densities with enclosed hollows filled, and without floaters."""
    dense = raw > level
    if not dense.any():
        raise InputError("a field that is nowhere opaque", "a scene that was fitted for longer")
    filled = ndimage.binary_fill_holes(dense)
    raw = np.where(filled & ~dense, np.float32(SOLID), raw)
    parts, count = ndimage.label(filled)
    sizes = ndimage.sum_labels(filled, parts, np.arange(1, count + 1))
    small = np.concatenate([[False], sizes < SMALLEST * sizes.max()])
    return np.where(small[parts], np.float32(EMPTY), raw)


def _outwards(vertices: np.ndarray, faces: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Faces as seen from outside: a frame that mirrors turns them around, a projective one by its sign at the vertices."""
    first = vertices[faces[0, 0]]
    forward = np.linalg.inv(back)
    w = forward[3] @ [*first, 1.0]
    jacobian = (forward[:3, :3] - np.outer(forward[:3] @ [*first, 1.0] / w, forward[3, :3])) / w
    return np.ascontiguousarray(faces if np.linalg.det(jacobian) > 0 else faces[:, ::-1])


def vertex_normals(mesh: TriangleMesh) -> np.ndarray:
    """Unit normals (V, 3), means over the faces around by their areas; zero for vertices without area."""
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    doubled = np.cross(b - a, c - a)
    normals = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(normals, mesh.faces[:, corner], doubled)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
