"""Volumes and plain arrays: NIfTI, NRRD, npy and npz.

Convention: axes (z, y, x), a series (t, z, y, x); files store x fastest and are transposed on reading. Values keep the
units of the file (its scaling applied); NaN marks missing samples. Coordinates are in the file's unit of length
(millimetres unless it names another): those of its world where the axes of the array and of the world agree, else
distances from the first voxel along the axes of the array. The affine (voxel i, j, k of the file to world) stays in the
metadata, and writing gives it back.
"""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io.arrays import check_samples, from_array, value_range
from ungrid.io.files import byte_count, check_decoded_size, decoding, existing_file, opened, replacing
from ungrid.sampling import GridSamples

_UNITS = {"mm": "mm", "meter": "m", "micron": "um", "unknown": "mm"}  # NIfTI's names
_UNIT_NAMES = {unit: name for name, unit in _UNITS.items() if name != "unknown"}


def read_nifti(path: str | os.PathLike[str]) -> GridSamples:
    """Read a NIfTI-1 or NIfTI-2 file (.nii, .nii.gz).

    Returns:
        Values (z, y, x, 1), or (t, z, y, x, 1) for a series; metadata: ``affine`` (4 x 4), ``first`` and ``step``
        (coordinate of the first voxel and spacing, along x, y, z), ``dtype``, ``format``.

    Raises:
        InputError: if it is not a NIfTI file, is damaged or cut short, or does not hold real numbers.
    """
    nibabel = require("nibabel", "volume")
    with opened(existing_file(path), "a NIfTI volume") as stream:
        size = stream.read(4)
        stream.seek(0)
        kind = nibabel.Nifti2Image if size in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
        image = kind.from_stream(stream)
        header, shape = image.header, image.shape
        if header.get_data_dtype().kind not in "iuf":
            raise InputError(f"a NIfTI volume of type {header.get_data_dtype()}", "real numbers")
        size = float(np.prod(shape, dtype=float)) * header.get_data_dtype().itemsize
        check_decoded_size(size, byte_count(stream), f"a NIfTI volume of shape {shape}")
        values = image.get_fdata(dtype=np.float32, caching="unchanged")
        unit, clock = header.get_xyzt_units()
        metadata = {"format": "nii", "dtype": str(header.get_data_dtype()), "affine": image.affine.tolist()}
        frame_time = float(header.get_zooms()[3]) if len(shape) > 3 else 1.0
    return _volume(values, metadata, _UNITS.get(unit, "mm"), frame_time, clock if clock != "unknown" else "sec")


def read_nrrd(path: str | os.PathLike[str]) -> GridSamples:
    """Read an NRRD file with its data attached.

    Returns:
        Values (z, y, x, 1); metadata as of `read_nifti`, and ``space`` (the name of the world's axes).

    Raises:
        InputError: if it is not an NRRD file, its data is in another file, or it is damaged.
    """
    nrrd = require("nrrd", "volume")
    with opened(existing_file(path), "an NRRD volume") as stream:
        header = nrrd.read_header(stream)
        if {"data file", "datafile"} & set(header):
            raise InputError(f"{path}: an NRRD header whose data is in another file", "data attached to the header")
        sizes = [int(n) for n in header["sizes"]]
        if len(sizes) != 3:
            raise InputError(f"an NRRD array of sizes {sizes}", "three axes")
        check_decoded_size(float(np.prod(sizes, dtype=float)), byte_count(stream), f"an NRRD volume of {sizes}")
        data = nrrd.read_data(header, stream)
        if data.dtype.kind not in "iuf":
            raise InputError(f"an NRRD volume of type {data.dtype}", "real numbers")
        units = header.get("space units") or header.get("units") or ["mm"]
        metadata = {"format": "nrrd", "dtype": str(data.dtype), "affine": _nrrd_affine(header).tolist()}
        if "space" in header:
            metadata["space"] = str(header["space"])
    return _volume(data.astype(np.float32), metadata, str(units[0]) or "mm", 1.0, "sec")


def _nrrd_affine(header: dict[str, Any]) -> np.ndarray:
    affine = np.eye(4)
    if "space directions" in header:
        affine[:3, :3] = np.asarray(header["space directions"], dtype=float).T  # a row for each axis of the array
    elif "spacings" in header:
        affine[:3, :3] = np.diag(np.nan_to_num(np.asarray(header["spacings"], dtype=float), nan=1.0))
    affine[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), dtype=float)
    return affine


def _volume(values: np.ndarray, metadata: dict[str, Any], unit: str, frame_time: float, clock: str) -> GridSamples:
    """Samples from an array (x, y, z) or (x, y, z, t) as stored."""
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (3, 4):
        raise InputError(f"a volume of shape {values.shape}", "axes x, y, z, and t for a series")
    check_samples(values.shape, "a volume")
    affine = np.array(metadata["affine"])
    step = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not (step > 0).all():
        raise InputError(f"a volume with the affine {affine.tolist()}", "finite numbers and positive voxel sizes")
    aligned = np.allclose(affine[:3, :3], np.diag(step), rtol=0, atol=1e-6 * step.max())
    first = affine[:3, 3] if aligned else np.zeros(3)
    axes = [
        Axis(name, float(first[k] - step[k] / 2), float(first[k] + (values.shape[k] - 0.5) * step[k]), unit)
        for k, name in enumerate("xyz")
    ]
    if values.ndim == 4:
        frame_time = frame_time if frame_time > 0 else 1.0
        axes.append(Axis("t", -frame_time / 2, (values.shape[3] - 0.5) * frame_time, {"sec": "s"}.get(clock, clock)))
    grid = RegularGrid(Box(*axes[::-1]), values.shape[::-1])
    values = np.ascontiguousarray(values.T)[..., None]
    metadata = {**metadata, "first": first.tolist(), "step": step.tolist(), "shape": list(grid.shape)}
    return GridSamples(grid, values, ("value",), "volume", value_range(values), metadata)


def read_numpy(path: str | os.PathLike[str], *, variable: str | None = None) -> GridSamples:
    """Read an .npy file, or an array of an .npz file, as `from_array` understands its shape; no pickled objects.

    Args:
        path: the file.
        variable: the name of the array in an .npz file that holds several.

    Raises:
        InputError: if it is no such file, is damaged, holds objects, or the array cannot be chosen.
    """
    file = existing_file(path)
    with decoding(file, "a numpy array"):
        if zipfile.is_zipfile(file):
            return from_array(_from_npz(file, variable))
        mapped = np.lib.format.open_memmap(file, mode="r")  # mapping checks the size against the header
        return from_array(np.array(mapped))


def _from_npz(file: Path, variable: str | None) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if variable is None and len(members) == 1:
            variable = next(iter(members))
        if variable not in members:
            raise InputError(
                f"{file} holds the arrays {', '.join(members)}; asked for {variable}", "one of them", "give variable"
            )
        info = members[variable]
        check_decoded_size(info.file_size, file.stat().st_size, str(file))
        with archive.open(info) as stream:
            _check_npy_header(stream, info.file_size)
        with archive.open(info) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


def _check_npy_header(stream: Any, size: int) -> None:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if float(np.prod(shape, dtype=float)) * dtype.itemsize > size:
        raise InputError(f"an array of shape {shape} in {size} bytes", "a header that fits the file")


def write_nifti(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write a volume or a series as float32 NIfTI-1, with the affine it was read with.

    Raises:
        InputError: if the samples have not the axes (z, y, x) or (t, z, y, x) and one channel.
    """
    nibabel = require("nibabel", "volume")
    data = _stored_order(samples)
    image = nibabel.Nifti1Image(data, affine_of(samples))
    axes = samples.grid.box.axes
    image.header.set_xyzt_units(_UNIT_NAMES.get(axes[-1].unit, "unknown"), "sec")
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], float(samples.grid.spacing[0])))
    suffix = ".nii.gz" if str(path).lower().endswith(".gz") else ".nii"
    if not str(path).lower().endswith(suffix) or max(data.shape) > 32767:
        raise InputError(f"{path} of shape {data.shape}", "a name in .nii or .nii.gz, at most 32767 along an axis")
    with replacing(path) as temporary:
        nibabel.save(image, temporary)


def write_nrrd(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write a volume as float32 NRRD, gzip-compressed, with the affine it was read with.

    Raises:
        InputError: if the samples have not the axes (z, y, x) and one channel.
    """
    nrrd = require("nrrd", "volume")
    data, affine = _stored_order(samples), affine_of(samples)
    if data.ndim != 3:
        raise InputError(f"samples with axes {[axis.name for axis in samples.grid.box.axes]}", "(z, y, x)")
    unit = samples.grid.box.axes[-1].unit or "mm"
    header: dict[str, Any] = {
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "space units": [unit] * 3,
        "encoding": "gzip",
    }
    header |= {"space": samples.metadata["space"]} if "space" in samples.metadata else {"space dimension": 3}
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        nrrd.write(stream, data, header)


def write_numpy(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write the values as .npy; the last axis is left out where there is one channel."""
    values = samples.values[..., 0] if len(samples.out_names) == 1 else samples.values
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, values, allow_pickle=False)


def affine_of(samples: GridSamples) -> np.ndarray:
    """The matrix (4, 4) from voxel indices (i, j, k) of the file to its world, for the grid of `samples`.

    With the ``affine``, ``first`` and ``step`` that a reader left in the metadata it is the affine of the file, adapted
    to a grid that was resampled or cut; without them coordinates are the world.
    """
    spacing = samples.grid.spacing[::-1][:3]
    start = np.array([samples.grid.centers(samples.grid.box.dim - 1 - k)[0] for k in range(3)])
    stored = samples.metadata
    first, step = np.array(stored.get("first", np.zeros(3))), np.array(stored.get("step", np.ones(3)))
    local = np.eye(4)  # new voxel indices to those of the file that was read
    local[:3, :3], local[:3, 3] = np.diag(spacing / step), (start - first) / step
    local = np.where(np.abs(local - np.rint(local)) < 1e-9 * max(samples.grid.shape), np.rint(local), local)
    return np.array(stored.get("affine", np.eye(4))) @ local


def _stored_order(samples: GridSamples) -> np.ndarray:
    names = "".join(axis.name for axis in samples.grid.box.axes)
    if names not in ("zyx", "tzyx") or len(samples.out_names) != 1:
        raise InputError(
            f"samples with axes {names} and channels {samples.out_names}", "axes z, y, x and one channel", "write .npy"
        )
    return samples.values[..., 0].T.astype(np.float32)
