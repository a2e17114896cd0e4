"""Tables of scattered measurements: CSV and Parquet, and the projections of their coordinates.

Convention: one row for each point; coordinates, values, standard errors and the group are columns chosen by name, or
guessed from their names (the guess is in the metadata). Longitudes are in [-180, 180), or in [0, 360) where the
points lie across the date line. Values stay in the table's units, float64.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedIOBase
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import Axis, Box
from ungrid.io.files import byte_count, check_decoded_size, existing_file, opened, replacing
from ungrid.sampling import PointSamples

KILOMETRES_PER_DEGREE = 111.195  # of a great circle on a sphere of radius 6371 km

_LONGITUDE = ("longitude", "lon", "long", "lng")
_LATITUDE = ("latitude", "lat")
_PLANE = (("x", "y"), ("easting", "northing"), ("east", "north"), ("x_m", "y_m"))
_TIME = ("t", "time", "date", "datetime", "timestamp")
_VERTICAL = re.compile(r"^(z|height|elevation|altitude|depth|alt|elev)([ _(\[].*)?$")
_GROUP = ("line_number", "line", "line_id", "group", "track", "track_id", "flight", "profile", "transect")
_SIGMA = re.compile(r"^(?:(?:std|sigma|stderr|error|err|uncertainty)[ _](.+)|(.+)[ _](?:std|sigma|stderr|error|err))$")
_NAMES_ROWS = re.compile(r"(^|_)(id|index|row|code|name)$")
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none", "-", "--"))
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what."""

    coords: tuple[str, ...]
    values: tuple[str, ...]
    sigma: tuple[str, ...] = ()
    group: str | None = None
    guessed: tuple[str, ...] = field(default=())


def read_table(
    path: str | os.PathLike[str],
    *,
    coords: Sequence[str] | None = None,
    values: Sequence[str] | None = None,
    sigma: Sequence[str] | None = None,
    group: str | None = None,
) -> PointSamples:
    """Read scattered measurements.

    Args:
        path: .csv (also .gz, .xz; separated by comma, semicolon, tab or bar, with a line of names) or .parquet.
        coords: columns of the coordinates, in the order wanted; None guesses: longitude and latitude, or x, y (and z
            where another column is left for the values), and a time. A height beside longitude and latitude is taken
            for a coordinate only if it is named here.
        values: columns of the values; None takes every other column of numbers that is not a height, an error, or an
            identifier.
        sigma: columns of the standard errors, one for each value; None takes those named after the values.
        group: column that says which rows belong together; None takes one named line, track, group, ...

    Returns:
        Points, values, standard errors and group codes. Metadata: ``coords``, ``values``, ``sigma``, ``group`` (names
        of the columns), ``guessed`` (which of these four were), ``rows``, ``dropped_rows`` (a value was missing),
        ``time_origin`` of date columns (then in seconds), ``format``.

    Raises:
        InputError: if the file is no table, a column is missing or not numeric, or a coordinate is missing (with row).
    """
    file = existing_file(path)
    with opened(file, "a table") as stream:
        parquet = stream.read(4) == b"PAR1"
        stream.seek(0)
        table = _Parquet(stream) if parquet else _Csv(stream)
        columns = _choose(table, coords, values, sigma, group)
        wanted = (*columns.coords, *columns.values, *columns.sigma, *((columns.group,) if columns.group else ()))
        return _assemble(table.read(wanted, columns.group), columns, "parquet" if parquet else "csv")


class _Csv:
    """A text table: the names, the first rows, and the columns as lists of strings."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.text, self.delimiter = _decoded(stream), ","
        start = self.text[: 1 << 16]
        lines = [line for line in start.splitlines() if line and not line.startswith("#")]
        if not lines:
            raise InputError("a table without lines", "a line of names, then rows")
        self.delimiter = max(",;\t|", key=lines[0].count)
        rows = self._rows()
        self.names = [name.strip().lstrip("\ufeff") for name in next(rows, [])]
        if len(set(self.names)) < len(self.names) or all(_is_number(name) for name in self.names):
            raise InputError(f"a table that begins with {self.names[:8]}", "a first line of different column names")
        self.first_rows = list(islice(rows, 200))

    def _rows(self) -> Iterator[list[str]]:
        lines = (line for line in io.StringIO(self.text, newline="") if line.strip() and not line.startswith("#"))
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)

    def numeric(self, name: str) -> bool:
        """Whether the first rows hold numbers, and at least one, in a column."""
        index = self.names.index(name)
        cells = [row[index] for row in self.first_rows if len(row) == len(self.names)]
        given = [cell for cell in cells if cell.strip().lower() not in _MISSING]
        return bool(given) and all(_is_number(cell) for cell in given)

    def read(self, wanted: tuple[str, ...], text: str | None) -> dict[str, np.ndarray]:
        """The wanted columns; the one called `text` as it is written."""
        indices = [self.names.index(name) for name in wanted]
        parts: list[list[np.ndarray]] = [[] for _ in wanted]
        rows, count = self._rows(), 0
        next(rows)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            _check_widths(chunk, len(self.names), count)
            for name, part, index in zip(wanted, parts, indices, strict=True):
                cells = [row[index] for row in chunk]
                part.append(np.array(cells, dtype=object) if name == text else _column(cells))
            count += len(chunk)
        if not count:
            raise InputError("a table without rows below its names", "at least two rows")
        return {name: _joined(part) for name, part in zip(wanted, parts, strict=True)}


class _Parquet:
    """A Parquet table, read column by column."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.file = require("pyarrow.parquet", "table").ParquetFile(stream)
        self.names = [str(name) for name in self.file.schema_arrow.names]
        check_decoded_size(8.0 * self.file.metadata.num_rows, byte_count(stream), "a Parquet table")

    def numeric(self, name: str) -> bool:
        types = require("pyarrow", "table").types
        kind = self.file.schema_arrow.field(name).type
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))

    def read(self, wanted: tuple[str, ...], text: str | None) -> dict[str, np.ndarray]:
        """The wanted columns; the one called `text` as it is stored."""
        table = self.file.read(columns=list(dict.fromkeys(wanted)))
        columns = {name: table.column(name).to_numpy() for name in wanted}
        return {
            name: array.astype(np.float64) if self.numeric(name) and name != text else array
            for name, array in columns.items()
        }


def _decoded(stream: BufferedIOBase) -> str:
    data = stream.read()
    if b"\0" in data:
        raise InputError("a table with zero bytes", "a text file", "is it a spreadsheet? save it as CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # what older spreadsheets write; every byte has a meaning in it


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_widths(rows: list[list[str]], width: int, before: int) -> None:
    for number, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"row {before + number + 1} with {len(row)} cells", f"{width}, as in the line of names")


def _column(cells: list[str]) -> np.ndarray:
    """Cells as float64 (missing ones NaN) if all are numbers, else as the strings they are."""
    try:
        return np.array(list(map(float, cells)))
    except ValueError:
        pass
    try:
        return np.array([np.nan if cell.strip().lower() in _MISSING else float(cell) for cell in cells])
    except ValueError:
        return np.array(cells, dtype=object)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    kinds = {part.dtype.kind for part in parts}
    return np.concatenate(parts if len(kinds) == 1 else [part.astype(object) for part in parts])


def _choose(
    table: _Csv | _Parquet,
    coords: Sequence[str] | None,
    values: Sequence[str] | None,
    sigma: Sequence[str] | None,
    group: str | None,
) -> Columns:
    for name in (*(coords or ()), *(values or ()), *(sigma or ()), *((group,) if group else ())):
        if name not in table.names:
            raise InputError(f"column {name!r}", f"one of {', '.join(table.names)}")
    guessed = [word for word, given in (("coords", coords), ("values", values)) if given is None]
    numeric = [name for name in table.names if table.numeric(name)]
    taken = {*(values or ()), *(sigma or ()), group}
    coords = _guess_coords([name for name in table.names if name not in taken], numeric) if coords is None else coords
    found = _guess_group(table.names, coords) if group is None else group
    if values is None:
        values = [name for name in numeric if _is_value(name, {*coords, *(sigma or ()), found or ""})]
    if sigma is None and (sigma := _guess_sigma(values, numeric)):
        guessed.append("sigma")
    if group is None and found:
        guessed.append("group")
    if not coords or not values or (sigma and len(sigma) != len(values)) or set(coords) & set(values):
        raise InputError(
            f"coordinates {list(coords)}, values {list(values)}, sigma {list(sigma or ())} of {table.names}",
            "at least one coordinate, one other column of values, and sigma for none or all of them",
            "name them with coords, values and sigma",
        )
    return Columns(tuple(coords), tuple(values), tuple(sigma or ()), found, tuple(guessed))


def _guess_coords(names: list[str], numeric: list[str]) -> list[str]:
    lower = {name.lower(): name for name in names}
    number = {name.lower() for name in numeric}
    time = [lower[word] for word in _TIME if word in lower][:1]
    longitude = [lower[word] for word in _LONGITUDE if word in number & set(lower)][:1]
    latitude = [lower[word] for word in _LATITUDE if word in number & set(lower)][:1]
    if longitude and latitude:
        return longitude + latitude + time
    for first, second in _PLANE:
        if {first, second} <= number & set(lower):
            rest = number - {first, second, "z"} - {name.lower() for name in time}
            height = ["z"] if first == "x" and "z" in number & set(lower) and rest else []
            return [lower[name] for name in (first, second, *height)] + time
    return [lower["x"]] if "x" in number & set(lower) else time


def _guess_group(names: list[str], coords: Sequence[str]) -> str | None:
    return next((name for word in _GROUP for name in names if name.lower() == word and name not in coords), None)


def _is_value(name: str, taken: set[str]) -> bool:
    lower = name.lower()
    special = lower in (*_GROUP, *_TIME, *_LONGITUDE, *_LATITUDE) or _NAMES_ROWS.search(lower) or _SIGMA.match(lower)
    is_height = _VERTICAL.match(lower) and not (lower == "z" and "x" in taken and "y" in taken)
    return name not in taken and bool(name) and not special and not is_height


def _guess_sigma(values: Sequence[str], numeric: list[str]) -> tuple[str, ...]:
    """For each value the column ``std_value`` or ``value_std``, ``std_north`` for ``velocity_north``; all or none."""
    found = []
    for value in values:
        for name in numeric:
            match = _SIGMA.match(name.lower())
            of = (match[1] or match[2]) if match else None
            if of and (value.lower() == of or value.lower().endswith("_" + of)):
                found.append(name)
                break
    return tuple(found) if len(found) == len(values) and len(set(found)) == len(found) else ()


def _assemble(table: dict[str, np.ndarray], columns: Columns, kind: str) -> PointSamples:
    metadata: dict[str, Any] = {"format": kind, "guessed": list(columns.guessed)}
    metadata |= {"coords": list(columns.coords), "values": list(columns.values), "sigma": list(columns.sigma)}
    metadata["group"] = columns.group or ""
    points = np.stack([_coordinate(table[name], name, metadata) for name in columns.coords], axis=1)
    values = np.stack([_numbers(table[name], name) for name in columns.values], axis=1)
    sigma = np.stack([_numbers(table[name], name) for name in columns.sigma], axis=1) if columns.sigma else None
    kept = np.isfinite(values).all(axis=1)
    if sigma is not None:
        kept &= np.isfinite(sigma).all(axis=1) & (sigma >= 0).all(axis=1)
    metadata |= {"rows": len(kept), "dropped_rows": int((~kept).sum())}
    groups = None
    if columns.group:
        codes: dict[Any, int] = {}  # numbered in the order of their first row
        groups = np.array([codes.setdefault(name, len(codes)) for name in table[columns.group].tolist()])[kept]
    if kept.sum() < 2:
        raise InputError(f"a table with {int(kept.sum())} rows whose values are numbers", "at least two")
    points = points[kept]
    return PointSamples(
        points,
        values[kept],
        Box(*_axes(points, columns.coords)),
        columns.values,
        None if sigma is None else sigma[kept],
        groups,
        metadata,
    )


def _numbers(column: np.ndarray, name: str) -> np.ndarray:
    if column.dtype != object and column.dtype.kind in "buif":
        return column.astype(np.float64)
    for row, cell in enumerate(column):
        if str(cell).strip().lower() not in _MISSING and not _is_number(str(cell)):
            raise InputError(f"{str(cell)[:40]!r} in column {name!r}, row {row + 1}", "a number")
    return np.array([np.nan if str(cell).strip().lower() in _MISSING else float(cell) for cell in column])


def _coordinate(column: np.ndarray, name: str, metadata: dict[str, Any]) -> np.ndarray:
    if name.lower() in _TIME and column.dtype.kind in "OM":
        moments = column.astype("datetime64[us]")
        start = moments[~np.isnat(moments)].min()
        metadata["time_origin"] = str(start)
        numbers = np.where(np.isnat(moments), np.nan, (moments - start).astype(np.float64) / 1e6)
    else:
        numbers = _numbers(column, name)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(f"{len(bad)} missing or infinite coordinates {name!r}, first in row {bad[0] + 1}", "a number")
    if name.lower() in _LATITUDE and (bad := np.flatnonzero(np.abs(numbers) > 90)).size:
        raise InputError(f"latitude {numbers[bad[0]]} in row {bad[0] + 1}", "-90 to 90 degrees")
    return wrap_longitudes(numbers) if name.lower() in _LONGITUDE else numbers


def _axes(points: np.ndarray, names: tuple[str, ...]) -> Iterable[Axis]:
    for name, column in zip(names, points.T, strict=True):
        if column.min() == column.max():
            raise InputError(f"a coordinate {name!r} that is {column[0]} everywhere", "at least two values of it")
        unit = "degrees" if name.lower() in (*_LONGITUDE, *_LATITUDE) else ""
        yield Axis(name, float(column.min()), float(column.max()), unit)


def wrap_longitudes(longitudes: np.ndarray) -> np.ndarray:
    """Degrees brought into [-180, 180), or into [0, 360) if the points then span less."""
    west = (longitudes + 180.0) % 360.0 - 180.0
    west = np.where((longitudes >= -180) & (longitudes < 180), longitudes, west)  # untouched bits where none is needed
    east = np.where(west < 0, west + 360.0, west)
    return east if np.ptp(east) < np.ptp(west) - 1.0 else west  # by a degree: more than rounding


def project(points: np.ndarray, from_crs: str, to_crs: str) -> np.ndarray:
    """Points (N, 2) from one coordinate reference system to another.

    Args:
        points: columns (x, y), or (longitude, latitude) in degrees: east first in every system.
        from_crs: what pyproj understands, for example "EPSG:4326".
        to_crs: likewise.

    Raises:
        InputError: if a system is unknown or a point lies outside of its range.
    """
    pyproj = require("pyproj", "table")
    try:
        transformer = pyproj.Transformer.from_crs(from_crs, to_crs, always_xy=True)
    except pyproj.exceptions.ProjError as error:
        raise InputError(f"from {from_crs!r} to {to_crs!r} ({error})", 'names such as "EPSG:4326"') from error
    x, y = transformer.transform(points[:, 0], points[:, 1])
    bad = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if len(bad):
        raise InputError(f"the point {points[bad[0]].tolist()}", f"a point within the range of {to_crs}")
    return np.stack([x, y], axis=1)


def local_kilometres(longitudes: np.ndarray, latitudes: np.ndarray) -> np.ndarray:
    """The plate carrée in kilometres, (N, 2): 111.195 km a degree, longitudes times the cosine of the mean latitude."""
    x = KILOMETRES_PER_DEGREE * np.cos(np.deg2rad(np.mean(latitudes))) * np.asarray(longitudes)
    return np.stack([x, KILOMETRES_PER_DEGREE * np.asarray(latitudes)], axis=1)


def write_table(path: str | os.PathLike[str], samples: PointSamples) -> None:
    """Write points, values, standard errors (``NAME_sigma``) and groups as .csv (17 digits, exact) or .parquet.

    Raises:
        InputError: if the suffix is another.
    """
    suffix = Path(path).suffix.lower()
    columns = dict(zip([axis.name for axis in samples.domain.axes], samples.points.T, strict=True))
    columns |= dict(zip(samples.out_names, samples.values.T, strict=True))
    if samples.sigma is not None:
        columns |= {f"{name}_sigma": column for name, column in zip(samples.out_names, samples.sigma.T, strict=True)}
    if samples.groups is not None:
        columns["group"] = samples.groups
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"a table named {suffix!r}", ".csv or .parquet")
    with replacing(path) as temporary:
        if suffix == ".parquet":
            arrow = require("pyarrow", "table")
            require("pyarrow.parquet", "table").write_table(arrow.table(columns), temporary)
            return
        with open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
