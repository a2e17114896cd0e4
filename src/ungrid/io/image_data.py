"""Gridded samples as VTK image data (.vti) and as arrays of numpy (.npz).

Convention: every sample is a point at its cell's centre; the axes x, y and z lie where their names say, others take the places
that are left, in order (`vtk.columns`). Values are float32, little-endian; missing ones are NaN. In an .npz file every channel
is an array over the axes, and every axis an array of its coordinates, under their names.
"""

import os
import sys
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ungrid._base.errors import InputError
from ungrid.io.files import replacing
from ungrid.io.vtk import columns
from ungrid.sampling import GridSamples

ORDER = {"little": "LittleEndian", "big": "BigEndian"}[sys.byteorder]


def write_vti(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write the channels as point data of image data: XML with the numbers appended to it as they are in memory.

    Source: Kitware's *VTK file formats*, "XML file formats", serial ImageData with raw appended data.

    Args:
        path: .vti.
        samples: on 1 to 3 axes.

    Raises:
        InputError: if there are more axes.
    """
    shape, axes = samples.grid.shape, samples.grid.box.axes
    if len(shape) > 3:
        raise InputError(f"samples on {len(shape)} axes for VTK", "1 to 3 axes", "or write .npz")
    column = columns(samples)
    counts, origin, spacing = [1, 1, 1], [0.0] * 3, [1.0] * 3
    for k, place in enumerate(column):
        counts[place], spacing[place] = shape[k], float(samples.grid.spacing[k])
        origin[place] = axes[k].low + spacing[place] / 2
    order = np.argsort(column)[::-1]  # x varies fastest
    channels = [
        np.ascontiguousarray(samples.values[..., c].transpose(order), np.float32) for c in range(_count(samples))
    ]
    extent = " ".join(f"0 {n - 1}" for n in counts)
    size = 4 * int(np.prod(shape)) + 8
    arrays = "".join(
        f'<DataArray type="Float32" Name={quoteattr(name)} format="appended" offset="{k * size}"/>'
        for k, name in enumerate(samples.out_names)
    )
    head = (
        f'<?xml version="1.0"?>\n<VTKFile type="ImageData" version="1.0" byte_order="{ORDER}" header_type="UInt64">\n'
        f'<ImageData WholeExtent="{extent}" Origin="{_numbers(origin)}" Spacing="{_numbers(spacing)}">\n'
        f'<Piece Extent="{extent}"><PointData>{arrays}</PointData></Piece>\n</ImageData>\n'
        '<AppendedData encoding="raw">\n_'
    )
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(head.encode())
        for channel in channels:
            file.write(np.uint64(channel.nbytes).tobytes() + channel.tobytes())
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _count(samples: GridSamples) -> int:
    return int(samples.values.shape[-1])


def _numbers(values: list[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def write_npz(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write the channels and the coordinates of the axes, for ``numpy.load``.

    Raises:
        InputError: if an axis and a channel share a name.
    """
    axes = [axis.name for axis in samples.grid.box.axes]
    if clash := set(axes) & set(samples.out_names):
        raise InputError(f"{sorted(clash)} as axis and as channel", "different names")
    arrays: dict[str, Any] = {name: samples.values[..., c] for c, name in enumerate(samples.out_names)}
    arrays |= {name: samples.grid.centers(k) for k, name in enumerate(axes)}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
