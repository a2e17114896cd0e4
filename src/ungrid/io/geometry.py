"""Regions from files: drawings (DXF, SVG), meshes (.msh) and closed surfaces (STL)."""

import os

from ungrid._base.errors import InputError
from ungrid.domains import ClosedSurface, Outlined, Region
from ungrid.io.drawings import closed_loops
from ungrid.io.dxf import read_dxf
from ungrid.io.files import existing_file
from ungrid.io.gmsh import read_msh
from ungrid.io.meshes import read_mesh
from ungrid.io.svg import read_svg

KINDS = (".dxf", ".svg", ".msh", ".stl", ".obj", ".ply")


def read_region(path: str | os.PathLike[str]) -> Region:
    """A region from a file.

    Args:
        path: a drawing of closed outlines in .dxf (ASCII; parts named by layer) or .svg (parts named by id), where
            outlines within outlines are holes; a gmsh mesh of triangles or tetrahedra in .msh (parts named by physical
            group); or a watertight surface in .stl, .obj or .ply.

    Raises:
        InputError: if the file is of another kind or damaged, or an outline or a surface is open (the message says
            where).
    """
    file = existing_file(path)
    suffix = file.suffix.lower()
    if suffix == ".dxf":
        curves, unit = read_dxf(file)
        return Outlined(closed_loops(curves, str(file)), unit=unit)
    if suffix == ".svg":
        loops = [loop for shape in read_svg(file) for loop in closed_loops(shape, str(file))]
        return Outlined(loops)
    if suffix == ".msh":
        return read_msh(file)
    if suffix in KINDS:
        return ClosedSurface(read_mesh(file))
    raise InputError(f"a region in {file.name!r}", f"one of {', '.join(KINDS)}")
