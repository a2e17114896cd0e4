"""Where many signals come from: the files of a folder, the steps of a NetCDF variable, the rows of an array.

Convention: an item knows its name and how to read itself, and can be sent to another process, which then reads it there.
Items are in the order of their names, steps and rows in their own.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.io.arrays import from_array
from ungrid.io.netcdf import read_netcdf, read_shape
from ungrid.io.source import read
from ungrid.sampling import GridSamples

Many = str | Path | np.ndarray | Sequence[str | Path]


@dataclass(frozen=True)
class Item:
    """One signal that has not been read yet.

    Attributes:
        name: of the field in the store.
        reader: gives the samples; raises `InputError` where it cannot.
    """

    name: str
    reader: Callable[[], GridSamples]


@dataclass(frozen=True)
class Shape:
    """What signals must share to be fitted together."""

    grid: RegularGrid
    out_names: tuple[str, ...]
    kind: str


def items_of(source: Many, *, variable: str | None = None, select: Mapping[str, int] | None = None) -> list[Item]:
    """The signals of a source.

    Args:
        source: a folder of files, taken with its folders; a NetCDF file, whose variable is cut along its first dimension; an
            .npy file or an array, cut along its first axis; or a list of files.
        variable: of the NetCDF file.
        select: dimensions of the variable to leave out, as `ungrid.io.netcdf.read_netcdf` takes them.

    Raises:
        InputError: if there is nothing to cut, or no file in the folder.
    """
    if isinstance(source, np.ndarray):
        return _rows(source)
    if not isinstance(source, str | Path):
        return [_file(Path(path), str(path)) for path in source]
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if not p.is_dir() and not p.name.startswith("."))
        if not found:
            raise InputError(f"the folder {path}, which holds no file", "a folder of pictures or sounds")
        return [_file(p, p.relative_to(path).as_posix()) for p in found]
    if path.suffix.lower() in (".nc", ".nc4"):
        return _steps(path, variable, dict(select or {}))
    samples = read(path)
    if path.suffix.lower() != ".npy" or not isinstance(samples, GridSamples):
        raise InputError(f"{path} as many signals", "a folder, a NetCDF file or an .npy file")
    return _rows(np.load(path))


def _file(path: Path, name: str) -> Item:
    return Item(name, partial(_read_gridded, path))


def _read_gridded(path: Path) -> GridSamples:
    samples = read(path)
    if not isinstance(samples, GridSamples):
        raise InputError(f"{path}, whose samples are not on a grid", "a picture, a sound or a volume")
    return samples


def _steps(path: Path, variable: str | None, select: dict[str, int]) -> list[Item]:
    name, sizes = read_shape(path, variable=variable)
    left = [dim for dim in sizes if dim not in select and sizes[dim] > 1]
    if len(left) < 2:
        raise InputError(f"variable {name!r} over {sizes}", "two dimensions of more than one sample, to cut the first")
    count, digits = sizes[left[0]], len(str(sizes[left[0]] - 1))
    return [
        Item(f"{left[0]}={k:0{digits}d}", partial(read_netcdf, path, variable=name, select={**select, left[0]: k}))
        for k in range(count)
    ]


def _rows(array: np.ndarray) -> list[Item]:
    if array.ndim < 2 or len(array) == 0:
        raise InputError(
            f"an array of shape {array.shape} as many signals", "a first axis of signals: (n, N), (n, H, W, c)"
        )
    digits = len(str(len(array) - 1))
    return [Item(f"{k:0{digits}d}", partial(from_array, row)) for k, row in enumerate(array)]


def shape_of(item: Item) -> Shape | str:
    """The shape of an item, or why it cannot be read."""
    try:
        samples = item.reader()
        if not np.isfinite(samples.values).any():
            return f"{item.name}: no sample is a finite number"
    except InputError as error:
        return str(error)
    except OSError as error:
        return f"{item.name} cannot be read ({os.strerror(error.errno or 0)})"
    return Shape(samples.grid, samples.out_names, samples.kind)
