"""Surfaces of shapes as glTF 2.0, for web pages, game engines and office programs.

Convention: glTF has y up and metres; vertices keep the field's coordinates. Normals point to where the field grows.
"""

import os
from pathlib import Path

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import TriangleMesh
from ungrid.io.files import replacing


def write_gltf(path: str | os.PathLike[str], mesh: TriangleMesh, normals: np.ndarray) -> None:
    """Write one file: .glb in binary, .gltf as JSON with the numbers inside.

    Args:
        path: .glb or .gltf.
        mesh: the surface.
        normals: (V, 3) at its vertices, of any length.

    Raises:
        InputError: if there are not as many normals as vertices, or the suffix is another one.
    """
    trimesh = require("trimesh", "mesh")
    suffix = Path(path).suffix.lower()
    if normals.shape != mesh.vertices.shape or suffix not in (".glb", ".gltf"):
        given = f"normals of shape {normals.shape} for {len(mesh.vertices)} vertices, as {suffix}"
        raise InputError(given, "a normal for each vertex, as .glb or .gltf")
    length = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_normals=normals / length, process=False)
    exchange = require("trimesh.exchange.gltf", "mesh")
    if suffix == ".glb":
        data = exchange.export_glb(trimesh.Scene(whole), include_normals=True)
    else:
        files = exchange.export_gltf(trimesh.Scene(whole), include_normals=True, merge_buffers=True, embed_buffers=True)
        (data,) = files.values()
    with replacing(path) as temporary:
        temporary.write_bytes(data)
