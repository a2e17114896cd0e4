"""One function that reads any source, and one that writes any samples.

Convention: the content decides where it has a signature (a JPEG named .png is read as a JPEG); the suffix decides among
the formats without one (CSV, OBJ, STL), and a suffix whose signature is absent is an error.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ungrid._base.errors import InputError
from ungrid.domains import TriangleMesh
from ungrid.io.audio import read_audio, write_audio
from ungrid.io.files import existing_file, first_bytes
from ungrid.io.images import read_image, write_image
from ungrid.io.meshes import read_mesh, write_mesh
from ungrid.io.netcdf import read_netcdf, write_netcdf
from ungrid.io.tables import read_table, write_table
from ungrid.io.video import read_video, write_video
from ungrid.io.volumes import read_nifti, read_nrrd, read_numpy, write_nifti, write_nrrd, write_numpy
from ungrid.io.vtk import write_vtu
from ungrid.sampling import GridSamples, PointSamples

_FORMAT_OF = {
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".tif": "image", ".tiff": "image", ".bmp": "image",
    ".webp": "image", ".wav": "audio", ".flac": "audio", ".mp4": "video", ".m4v": "video", ".mov": "video",
    ".mkv": "video", ".webm": "video", ".avi": "video", ".nii": "nifti", ".nrrd": "nrrd", ".npy": "numpy",
    ".npz": "numpy", ".obj": "mesh", ".ply": "mesh", ".stl": "mesh", ".csv": "table", ".tsv": "table",
    ".txt": "table", ".parquet": "table", ".nc": "netcdf", ".nc4": "netcdf",
}  # fmt: skip
_WITHOUT_SIGNATURE = (".csv", ".tsv", ".txt", ".obj", ".stl")
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes, format
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"II*\0", "image"),
    (0, b"MM\0*", "image"),
    (0, b"II+\0", "image"),
    (0, b"MM\0+", "image"),
    (8, b"WEBP", "image"),
    (8, b"WAVE", "audio"),
    (0, b"fLaC", "audio"),
    (4, b"ftyp", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (8, b"AVI ", "video"),
    (344, b"n+1\0", "nifti"),
    (4, b"n+2\0\r\n\x1a\n", "nifti"),
    (0, b"NRRD000", "nrrd"),
    (0, b"\x93NUMPY", "numpy"),
    (0, b"PK\x03\x04", "numpy"),
    (0, b"PAR1", "table"),
    (0, b"CDF\x01", "netcdf"),
    (0, b"CDF\x02", "netcdf"),
    (0, b"CDF\x05", "netcdf"),
    (0, b"\x89HDF\r\n\x1a\n", "netcdf"),
    (0, b"ply\n", "mesh"),
    (0, b"ply\r", "mesh"),
)
_READERS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {  # with the options each of them takes
    "image": (read_image, ()),
    "audio": (read_audio, ()),
    "video": (read_video, ("scale",)),
    "nifti": (read_nifti, ()),
    "nrrd": (read_nrrd, ()),
    "numpy": (read_numpy, ("variable",)),
    "mesh": (read_mesh, ()),
    "table": (read_table, ("coords", "values", "sigma", "group")),
    "netcdf": (read_netcdf, ("variable", "select")),
}
_GRID_WRITERS: dict[tuple[str, ...], Callable[[Path, GridSamples], None]] = {
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"): write_image,
    (".wav", ".flac"): write_audio,
    (".mp4", ".m4v", ".mov", ".mkv"): write_video,
    (".nii", ".nii.gz"): write_nifti,
    (".nrrd",): write_nrrd,
    (".npy",): write_numpy,
    (".nc",): write_netcdf,
    (".vtu",): write_vtu,
}


def read(
    path: str | os.PathLike[str],
    *,
    coords: Sequence[str] | None = None,
    values: Sequence[str] | None = None,
    sigma: Sequence[str] | None = None,
    group: str | None = None,
    variable: str | None = None,
    select: Mapping[str, int] | None = None,
    scale: int | None = None,
) -> GridSamples | PointSamples | TriangleMesh:
    """Read a source of any kind.

    Args:
        path: png jpg tif bmp webp; wav flac; mp4 mov mkv webm avi; nii nrrd npy npz; obj ply stl; csv parquet; nc. csv,
            obj, ply, stl and nii also with .gz or .xz.
        coords: columns of a table that are coordinates (`read_table`).
        values: columns of a table that are values.
        sigma: columns of a table that are standard errors.
        group: column of a table that says which rows belong together.
        variable: which variable of a NetCDF file, or array of an .npz file.
        select: indices of the dimensions of a NetCDF variable to leave out (`read_netcdf`).
        scale: the box of pixels to average in a video (`read_video`).

    Returns:
        Gridded samples, scattered samples or a mesh.

    Raises:
        InputError: if the file is missing, empty, damaged, of an unknown kind, or an option does not apply to it.
    """
    file = existing_file(path)
    kind = _kind(file)
    reader, allowed = _READERS[kind]
    options = {
        "coords": coords, "values": values, "sigma": sigma, "group": group,
        "variable": variable, "select": select, "scale": scale,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if stray := [name for name in given if name not in allowed]:
        raise InputError(f"{', '.join(stray)} for {file.name}, read as {kind}", f"{', '.join(allowed) or 'no options'}")
    result: GridSamples | PointSamples | TriangleMesh = reader(file, **given)
    return result


def _kind(file: Path) -> str:
    suffix = _suffix(file)
    head = first_bytes(file, 352)
    for offset, signature, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    if suffix in _WITHOUT_SIGNATURE:
        return _FORMAT_OF[suffix]
    if suffix == ".bmp" and head[:2] == b"BM":
        return "image"
    if suffix in _FORMAT_OF:
        raise InputError(f"{file} begins with {head[:8]!r}", f"a {suffix} file", "is it damaged, or of another kind?")
    raise InputError(f"{file} of unknown kind {suffix!r}", f"one of {', '.join(sorted(_FORMAT_OF))}")


def _suffix(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".xz"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def write(path: str | os.PathLike[str], samples: GridSamples | PointSamples | TriangleMesh) -> None:
    """Write samples or a mesh in the format that the suffix names; the target appears whole or not at all.

    Args:
        path: gridded samples: png jpg tif bmp webp, wav flac, mp4 m4v mov mkv, nii nii.gz nrrd npy, nc, vtu; scattered
            ones: csv parquet; meshes: obj ply stl glb.
        samples: what to write; its metadata say the bit depth, the affine and the like.

    Raises:
        InputError: if the suffix is unknown, or the format cannot hold the samples.
    """
    target = Path(path)
    if isinstance(samples, TriangleMesh):
        write_mesh(target, samples)
    elif isinstance(samples, PointSamples):
        write_table(target, samples)
    else:
        for suffixes, writer in _GRID_WRITERS.items():
            if target.name.lower().endswith(suffixes):
                writer(target, samples)
                return
        known = ", ".join(suffix for suffixes in _GRID_WRITERS for suffix in suffixes)
        raise InputError(f"gridded samples to be written as {target.name!r}", f"one of {known}")
