"""Gridded variables of NetCDF 3 and 4 files.

Convention: the variable's own dimensions are the axes, with the names and units of their coordinates; every axis
increases (descending ones, such as latitudes from the north, are flipped together with the values); a dimension without
coordinates counts from 0. Times are measured from the first one, in the unit of the file. Packed integers are decoded;
fill values become NaN. Longitudes of 180 degrees and more throughout are given as negative ones. Longitudes in degrees east
whose samples go round the globe make an axis of 360 degrees: a circle, across whose ends a field is continuous.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import RegularGrid
from ungrid.io.arrays import check_samples, value_range
from ungrid.io.files import check_decoded_size, decoding, existing_file, replacing
from ungrid.sampling import GridSamples


def read_netcdf(
    path: str | os.PathLike[str], *, variable: str | None = None, select: Mapping[str, int] | None = None
) -> GridSamples:
    """Read one variable.

    Args:
        path: a NetCDF file (classic, 64-bit, or NetCDF 4).
        variable: its name; None if the file has a single gridded variable.
        select: an index for each dimension to leave out, for example ``{"time": 0, "level": 1}``; negative ones count
            from the end. Dimensions of length one are left out anyway.

    Returns:
        Values (*shape, 1). Metadata: ``variable``, ``unit``, ``selected`` (the coordinates left out, "level=500"),
        ``time_units`` and ``time_start`` where there is a time, ``format``.

    Raises:
        InputError: if the variable is not named and several could be meant, is not numeric, an axis is not equally
            spaced, or the file is damaged.
    """
    xarray = require("xarray", "science")
    require("netCDF4", "science")
    file = existing_file(path)
    with (
        decoding(file, "NetCDF"),
        xarray.open_dataset(file, engine=_engine(file), decode_times=False, cache=False) as dataset,
    ):
        name = _chosen(dataset, variable, file)
        array, selected = _selected(dataset[name], select or {})
        size = float(np.prod(array.shape, dtype=float)) * array.dtype.itemsize
        check_decoded_size(size, file.stat().st_size, f"variable {name!r} of shape {array.shape}")
        return _samples(array, name, selected)


def read_shape(path: str | os.PathLike[str], *, variable: str | None = None) -> tuple[str, dict[str, int]]:
    """The name of a variable and the sizes of its dimensions, in their order.

    Raises:
        InputError: if the variable is not named and several could be meant, or the file is damaged.
    """
    xarray = require("xarray", "science")
    require("netCDF4", "science")
    file = existing_file(path)
    with (
        decoding(file, "NetCDF"),
        xarray.open_dataset(file, engine=_engine(file), decode_times=False, cache=False) as dataset,
    ):
        name = _chosen(dataset, variable, file)
        return name, {str(dim): int(size) for dim, size in dataset[name].sizes.items()}


def _engine(file: Path) -> str:
    """SciPy for the classic formats, since the C library loops for seconds on damaged headers; else netCDF4."""
    with open(file, "rb") as stream:
        return "scipy" if stream.read(4) in (b"CDF\x01", b"CDF\x02") else "netcdf4"


def _chosen(dataset: Any, variable: str | None, file: Path) -> str:
    bounds = {dataset[name].attrs.get(key) for name in dataset.variables for key in ("bounds", "climatology")}
    gridded = {
        str(name): array
        for name, array in dataset.data_vars.items()
        if array.dtype.kind in "iuf" and name not in bounds and max(array.shape, default=1) > 1
    }
    if variable is None and len(gridded) == 1:
        return next(iter(gridded))
    if variable not in gridded:
        known = "; ".join(f"{name} ({', '.join(map(str, array.dims))})" for name, array in gridded.items())
        raise InputError(
            f"{file} and the variable {variable}",
            f"one of {known or 'none: it has no gridded variable'}",
            "name it with variable",
        )
    return variable


def _selected(array: Any, select: Mapping[str, int]) -> tuple[Any, list[str]]:
    for name, index in select.items():
        if name not in array.dims or not -array.sizes[name] <= index < array.sizes[name]:
            sizes = ", ".join(f"{dim} ({size})" for dim, size in array.sizes.items())
            raise InputError(f"index {index} of dimension {name!r}", f"a dimension and an index within {sizes}")
    array = array.isel(dict(select)).squeeze(drop=False)
    left_out = [f"{k}={float(c):g}" for k, c in array.coords.items() if c.ndim == 0 and c.dtype.kind in "iuf"]
    check_samples(array.shape, f"variable {array.name!r}")
    return array, left_out


def _samples(array: Any, name: str, selected: list[str]) -> GridSamples:
    values = np.asarray(array.values, dtype=np.float32)
    metadata: dict[str, Any] = {"format": "netcdf", "variable": name, "unit": str(array.attrs.get("units", ""))}
    metadata["selected"] = selected
    coordinates, units = {}, {}
    for index, dim in enumerate(map(str, array.dims)):
        points, units[dim] = _coordinate(array, dim, metadata)
        if points[0] > points[-1]:
            points, values = points[::-1], np.flip(values, axis=index)
        coordinates[dim] = points
    try:
        grid = RegularGrid.through(coordinates, units)
    except InputError as error:
        raise InputError(
            f"variable {name!r}: {error.given}", "equally spaced axes", "leave that dimension out with select"
        ) from error
    return GridSamples(grid, np.ascontiguousarray(values)[..., None], (name,), "grid", value_range(values), metadata)


def _coordinate(array: Any, dim: str, metadata: dict[str, Any]) -> tuple[np.ndarray, str]:
    if dim not in array.coords or array.coords[dim].dtype.kind not in "iuf":
        return np.arange(array.sizes[dim], dtype=np.float64), ""
    coordinate = array.coords[dim]
    points, unit = np.asarray(coordinate.values, dtype=np.float64), str(coordinate.attrs.get("units", ""))
    if not np.isfinite(points).all():
        raise InputError(f"coordinate {dim!r} with missing values", "finite coordinates")
    if " since " in unit:
        metadata["time_units"], metadata["time_start"] = unit, float(points.min())
        if "calendar" in coordinate.attrs:
            metadata["time_calendar"] = str(coordinate.attrs["calendar"])
        return points - points.min(), unit.split(" since ")[0]
    if unit.startswith("degree") and dim.lower().startswith("lon") and points.min() >= 180:
        points = points - 360.0
    return points, unit


def write_netcdf(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write the channels as variables on the grid's axes, NetCDF 4, float32, missing samples NaN.

    Raises:
        InputError: if an axis and a channel share a name.
    """
    xarray = require("xarray", "science")
    require("netCDF4", "science")
    axes = samples.grid.box.axes
    names = [axis.name for axis in axes]
    if clash := set(names) & set(samples.out_names):
        raise InputError(f"{sorted(clash)} as axis and as channel", "different names")
    coordinates = {axis.name: _written_axis(samples, index) for index, axis in enumerate(axes)}
    unit = {"units": samples.metadata["unit"]} if samples.metadata.get("unit") else {}
    variables = {name: (names, samples.values[..., k], unit) for k, name in enumerate(samples.out_names)}
    dataset = xarray.Dataset(variables, coordinates, {"Conventions": "CF-1.8"})
    with replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4")


def _written_axis(samples: GridSamples, index: int) -> tuple[str, np.ndarray, dict[str, str]]:
    axis, points, stored = samples.grid.box.axes[index], samples.grid.centers(index), samples.metadata
    if axis.unit and str(stored.get("time_units", "")).startswith(f"{axis.unit} since "):
        calendar = {"calendar": stored["time_calendar"]} if "time_calendar" in stored else {}
        return axis.name, points + stored["time_start"], {"units": stored["time_units"], **calendar}
    return axis.name, points, {"units": axis.unit} if axis.unit else {}
