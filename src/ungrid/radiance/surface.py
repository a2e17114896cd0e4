"""The surface of a radiance field, as triangles with colours, in the world's coordinates.

Convention: faces are counter-clockwise seen from outside. The surface lies where one spacing of the lattice absorbs a quarter
of the light: fitted densities rise over some spacings, and the light is lost in the outer ones. What is enclosed counts as
solid, since no photograph shows it, also where its hull leaks a little. In a contracted lattice the surface ends with the box
of the domain. Parts with less than a thousandth of the volume of the largest are left out as floaters.
"""

import numpy as np
import torch
from scipy import ndimage

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import TriangleMesh
from ungrid.fields import BrickField, RadianceField
from ungrid.fields.radiance import BRICK

ABSORBED = 0.25  # of the light, by a spacing at the surface
ROUGH = 0.5  # spacings over which shares are smoothed
CLOSED = 1  # spacings, half of what slots and pits are at most that the lattice cannot tell from a surface
LEAKS = (2, 3)  # spacings, of the radii of holes through which an inside does not leak
SMALLEST = 1e-3  # of the largest part's volume
CHUNK = 1 << 16  # nodes


def surface(field: RadianceField) -> tuple[TriangleMesh, np.ndarray]:
    """The surface, and the colours (V, 3) of its vertices seen head-on.

    Marching cubes (Lewiner et al. 2003) on the shares that spacings absorb, which end in emptiness all around: the surface is
    closed.

    Raises:
        InputError: if nothing in the field is dense enough.
    """
    taken = -np.expm1(-field.depth_per_node * np.logaddexp(0, raw_densities(field)))
    if field.contracted:
        middle, half = field.inner
        outside = np.abs(np.arange(len(taken)) - middle) > half - 1  # faces lie outside of the last nodes
        taken[outside], taken[:, outside], taken[:, :, outside] = 0, 0, 0
    edge = max(LEAKS) + 1
    taken = ndimage.gaussian_filter(_solid(np.pad(taken, edge)), ROUGH)
    measure = require("skimage.measure", "mesh")
    vertices, faces, _, _ = measure.marching_cubes(taken, ABSORBED, gradient_direction="ascent")
    world = field.to_world(torch.from_numpy(vertices.astype(np.float64) - edge)).numpy()
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


def _solid(taken: np.ndarray) -> np.ndarray:
    """The shares without those of floaters, and 1 in what is enclosed, also where its hull leaks a little."""
    dense = taken > ABSORBED
    if not dense.any():
        raise InputError("a field that is nowhere opaque", "a scene that was fitted for longer")
    parts, count = ndimage.label(dense)
    sizes = ndimage.sum_labels(dense, parts, np.arange(1, count + 1))
    small = np.concatenate([[False], sizes < SMALLEST * sizes.max()])[parts]
    filled = _filled(dense & ~small)
    return np.where(filled & ~dense, np.float32(1), np.where(small & ~filled, np.float32(0), taken))


def _filled(solid: np.ndarray) -> np.ndarray:
    """With the cavities that are left when holes are stopped by growing the solid; a slot is no cavity: it grows shut."""
    solid = ndimage.binary_closing(solid, iterations=CLOSED)
    for leak in LEAKS:
        grown = ndimage.binary_dilation(solid, iterations=leak)
        cavities = ndimage.binary_fill_holes(grown) & ~grown
        solid = solid | ndimage.binary_dilation(cavities, iterations=leak)
    return np.asarray(ndimage.binary_fill_holes(solid))


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
