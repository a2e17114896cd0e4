"""Regions from files: drawings (DXF, SVG), meshes (.msh) and closed surfaces (STL)."""

import os
from collections.abc import Sequence

from ungrid._base.errors import InputError
from ungrid.domains import ClosedSurface, Curve, Outlined, Region
from ungrid.io.drawings import closed_loops
from ungrid.io.dxf import read_dxf
from ungrid.io.files import existing_file
from ungrid.io.gmsh import read_msh
from ungrid.io.meshes import read_mesh
from ungrid.io.svg import read_svg

KINDS = (".dxf", ".svg", ".msh", ".stl", ".obj", ".ply")


def read_region(path: str | os.PathLike[str], *, layers: Sequence[str] | None = None) -> Region:
    """A region from a file.

    Args:
        path: a drawing of closed outlines in .dxf (ASCII; parts named by layer) or .svg (parts named by id), where
            outlines within outlines are holes; a gmsh mesh of triangles or tetrahedra in .msh (parts named by physical
            group); or a watertight surface in .stl, .obj or .ply.
        layers: of a .dxf drawing that are read; None reads all.

    Raises:
        InputError: if the file is of another kind or damaged, has no such layer, or an outline or a surface is open (the
            message says where).
    """
    file = existing_file(path)
    suffix = file.suffix.lower()
    if suffix == ".dxf":
        curves, unit = read_dxf(file)
        return Outlined(closed_loops(_on_layers(curves, layers, str(file)), str(file)), unit=unit)
    if layers is not None:
        raise InputError(f"layers of {file.name!r}", "a .dxf drawing")
    if suffix == ".svg":
        loops = [loop for shape in read_svg(file) for loop in closed_loops(shape, str(file))]
        return Outlined(loops)
    if suffix == ".msh":
        return read_msh(file)
    if suffix in KINDS:
        return ClosedSurface(read_mesh(file))
    raise InputError(f"a region in {file.name!r}", f"one of {', '.join(KINDS)}")


def _on_layers(curves: list[Curve], layers: Sequence[str] | None, source: str) -> list[Curve]:
    if layers is None:
        return curves
    known = list(dict.fromkeys(curve.name for curve in curves))
    if missing := [name for name in layers if name not in known]:
        raise InputError(f"the layer {missing[0]!r} of {source}", f"one of {', '.join(known)}")
    return [curve for curve in curves if curve.name in layers]
