"""VTK files of gridded samples, for ParaView and its kind.

Convention: the axes x, y and z lie where their names say, others take the places that are left, in order. Every sample is a
point, cells join neighbours; cells at which a value is missing are left out, so that the shape of the domain is seen.
"""

import itertools
import os

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.io.files import replacing
from ungrid.sampling import GridSamples

CELLS = {1: "line", 2: "quad", 3: "hexahedron"}
AROUND = ((0, 0), (1, 0), (1, 1), (0, 1))  # VTK's order of a square's corners


def write_vtu(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write the channels as point data of an unstructured grid.

    Args:
        path: .vtu.
        samples: on 1 to 3 axes.

    Raises:
        InputError: if there are more axes, an axis has one sample only, or no cell has all its values.
    """
    meshio = require("meshio", "science")
    shape = samples.grid.shape
    if not 1 <= len(shape) <= 3 or min(shape) < 2:
        raise InputError(f"samples of shape {shape} for VTK", "1 to 3 axes of at least 2 samples", "or write .nc")
    values, column = samples.values.reshape(-1, samples.values.shape[-1]), columns(samples)
    index = np.arange(len(values)).reshape(shape).transpose(np.argsort(column))  # so that cells are not inside out
    cells = corners(index)
    cells = cells[~np.isnan(values[cells]).any(axis=(1, 2))]
    if len(cells) == 0:
        raise InputError("samples without a cell that has all its values", "a region or a size with some")
    used, cells = np.unique(cells, return_inverse=True)
    points = np.zeros((len(used), 3))
    points[:, column] = samples.grid.points().reshape(len(values), -1)[used]
    data = {name: values[used, k] for k, name in enumerate(samples.out_names)}
    mesh = meshio.Mesh(points, [(CELLS[len(shape)], cells.reshape(-1, 2 ** len(shape)))], point_data=data)
    with replacing(path) as temporary:
        meshio.write(temporary, mesh, file_format="vtu")


def columns(samples: GridSamples) -> list[int]:
    """Which of the three coordinates in space every axis is."""
    names = [axis.name for axis in samples.grid.box.axes]
    free = iter(k for k, name in enumerate("xyz") if name not in names)
    return ["xyz".index(name) if name in ("x", "y", "z") else next(free) for name in names]


def corners(index: np.ndarray) -> np.ndarray:
    """The samples at the corners of every cell of a grid of their numbers, (cells, 2^d), in VTK's order."""
    d = index.ndim
    above = itertools.product(*[(0, 1)] * (d - 2))
    steps = [(0,), (1,)] if d == 1 else [(*square, *up) for up in above for square in AROUND]
    parts = [index[tuple(slice(s, n - 1 + s) for s, n in zip(step, index.shape, strict=True))] for step in steps]
    return np.stack([part.ravel() for part in parts], axis=1)
