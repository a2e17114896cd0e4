"""The store of many fields: one folder in the Zarr format, version 3.

Convention: signals that are fitted by networks of one shape are a group ``g000``, ``g001``, ... of arrays with one row for
each signal:

    weights (n, P) float32 · value_scale (n, c) · value_offset (n, c) · psnr_db (n) · steps (n) int32

whose attribute ``ungrid`` describes the field as a field file does; a row of weights is the field's ``state_dict`` in order,
flattened. All arrays are cut along the signals at the same places, and who writes a shard writes whole chunks. A signal that
could not be fitted has NaN in its row. ``manifest.jsonl`` has one line for each signal: name, group and row, metric and
outcome, or the reason why it is missing. While a store is being made, ``signals.jsonl`` says what goes where, and
``shards/`` has the lines of those shards that are complete; both vanish when the manifest is written. Nothing in a store
depends on clocks, on who wrote which shard, or on how often writing was interrupted.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid._base.version import __version__
from ungrid.fields import Field, NeuralField
from ungrid.io import field_file
from ungrid.io.field_file import _built, _described, _plain
from ungrid.io.files import replacing

FORMAT, VERSION = "ungrid-store", 1
SUFFIX = ".zarr"
MANIFEST, SIGNALS, SHARDS = "manifest.jsonl", "signals.jsonl", "shards"
Line = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Signals of one shape.

    Attributes:
        field: a field of this shape; its weights and its range do not matter.
        names: of the signals, in the order of the rows.
    """

    field: NeuralField
    names: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """What a shard writes: consecutive rows of a group.

    Attributes:
        weights: (k, P) float32.
        value_scale, value_offset: (k, c).
        psnr_db: (k,).
        steps: (k,).
        lines: of the manifest, without group and row.
    """

    weights: np.ndarray
    value_scale: np.ndarray
    value_offset: np.ndarray
    psnr_db: np.ndarray
    steps: np.ndarray
    lines: list[Line]


def create_store(
    path: str | os.PathLike[str], groups: Sequence[Group], missing: dict[str, str], *, shard: int, settings: Line
) -> "FieldStore":
    """Make an empty store.

    Args:
        path: a name that ends in ``.zarr`` and does not exist.
        groups: the signals by their shape.
        missing: names of signals that cannot be fitted, with the reason.
        shard: rows of a shard.
        settings: how the fields are made; a later run that goes on must have the same.

    Raises:
        InputError: if there is something of this name, or its folder is missing.
    """
    zarr = require("zarr", "many")
    target = Path(path)
    check_store_name(target)
    if target.exists():
        raise InputError(f"{target}, which exists", "a new name", "go on with --resume, or delete it first")
    made = target.with_name(f".{target.name}.{os.getpid()}")
    root = zarr.open_group(made, mode="w-", zarr_format=3)
    root.attrs["ungrid"] = {
        "format": FORMAT, "version": VERSION, "ungrid": __version__, "shard": shard, "groups": len(groups),
        "settings": _plain(settings),
    }  # fmt: skip
    lines: list[Line] = [{"name": name, "error": reason} for name, reason in missing.items()]
    for k, group in enumerate(groups):
        _create_arrays(root.create_group(f"g{k:03d}"), group, shard)
        lines += [{"name": name, "group": k, "row": row} for row, name in enumerate(group.names)]
    (made / SHARDS).mkdir()
    _write_lines(made / SIGNALS, lines)
    os.replace(made, target)
    return FieldStore(target)


def _create_arrays(into: Any, group: Group, shard: int) -> None:
    n, c = len(group.names), len(group.field.out_names)
    parameters = sum(weight.numel() for weight in group.field.state_dict().values())
    into.attrs["ungrid"] = _described(group.field)
    columns = {"weights": (parameters, "weight"), "value_scale": (c, "value"), "value_offset": (c, "value")}
    for name, (width, dimension) in columns.items():
        into.create_array(
            name, shape=(n, width), chunks=(shard, width), dtype="float32" if name == "weights" else "float64",
            fill_value=np.nan, compressors=None, dimension_names=("signal", dimension),
        )  # fmt: skip
    common: dict[str, Any] = {"shape": (n,), "chunks": (shard,), "compressors": None, "dimension_names": ("signal",)}
    into.create_array("psnr_db", dtype="float64", fill_value=np.nan, **common)
    into.create_array("steps", dtype="int32", fill_value=0, **common)


def check_store_name(target: Path) -> None:
    """Refuse a name that cannot be that of a store.

    Raises:
        InputError: if it does not end in ``.zarr``, or its folder is missing.
    """
    if target.suffix != SUFFIX or not target.parent.is_dir():
        raise InputError(f"the store {str(target)!r}", f"a name that ends in {SUFFIX}, in an existing folder")


class FieldStore:
    """Fields by name: ``store["a.png"]``, ``len(store)``, ``for name in store``.

    Args:
        path: of the store.

    Raises:
        InputError: if there is none, it is damaged, or a newer version of ungrid made it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        zarr = require("zarr", "many")
        self.path = Path(path)
        if not (self.path / "zarr.json").is_file():
            raise InputError(f"{self.path}, in which there is no zarr.json", "a store that ungrid made")
        try:
            self._root = zarr.open_group(self.path, mode="r+", zarr_format=3)
            header = dict(self._root.attrs).get("ungrid", {})
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{self.path} cannot be read as a store ({error})", "a complete store") from error
        if header.get("format") != FORMAT or header.get("version", 0) > VERSION:
            raise InputError(f"{self.path} of the format {header.get('format')!r}", f"{FORMAT}, version {VERSION}")
        self.shard, self.settings, self._count = header["shard"], header["settings"], header["groups"]

    @property
    def complete(self) -> bool:
        """Whether every shard has been written."""
        return (self.path / MANIFEST).is_file()

    def lines(self) -> list[Line]:
        """The manifest; of a store that is not complete, what there is of it, then signals with nothing but their places."""
        if self.complete:
            return _read_lines(self.path / MANIFEST)
        known = {(line["group"], line["row"]): line for file in self._shards() for line in _read_lines(file)}
        planned = _read_lines(self.path / SIGNALS)
        return [known.get((line.get("group"), line.get("row")), line) for line in planned]

    def __iter__(self) -> Iterator[str]:
        return (line["name"] for line in self.lines() if "outcome" in line)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)

    def __getitem__(self, name: str) -> Field:
        """The field of a signal, on the CPU.

        Raises:
            InputError: if the signal is not in the store, or has no field.
        """
        line = next((line for line in self.lines() if line["name"] == name), None)
        if line is None or "outcome" not in line:
            reason = "" if line is None else f" ({line.get('error', 'not fitted yet')})"
            raise InputError(f"the signal {name!r}{reason}", f"one of the {len(self)} of {self.path}")
        return self._field(line)

    def _field(self, line: Line) -> Field:
        group, row = self._root[f"g{line['group']:03d}"], line["row"]
        described = group.attrs["ungrid"]
        changed = {
            "value_scale": group["value_scale"][row].tolist(),
            "value_offset": group["value_offset"][row].tolist(),
            "metadata": {"plain": line["metadata"]},
        }
        field: Field = _built({"class": described["class"], "arguments": {**described["arguments"], **changed}})
        weights, state, at = torch.from_numpy(group["weights"][row]), field.state_dict(), 0
        if not weights.isfinite().all():
            raise InputError(f"{line['name']!r}, whose weights are not finite", "a store that is not damaged")
        for weight in state.values():
            weight.copy_(weights[at : at + weight.numel()].reshape(weight.shape))
            at += weight.numel()
        return field

    def names_by_group(self) -> list[list[str]]:
        """The names of the signals of every group, in the order of the rows."""
        names: list[list[str]] = [[] for _ in range(self._count)]
        for line in self.lines():
            if "group" in line:
                names[line["group"]].append(line["name"])
        return names

    def shards(self) -> list[tuple[int, int]]:
        """All shards as (group, first row)."""
        sizes = [self._root[f"g{k:03d}/psnr_db"].shape[0] for k in range(self._count)]
        return [(k, first) for k, size in enumerate(sizes) for first in range(0, size, self.shard)]

    def missing_shards(self) -> list[tuple[int, int]]:
        """The shards that have not been written."""
        if self.complete:
            return []
        return [shard for shard in self.shards() if not self._lines_of(*shard).is_file()]

    def write(self, group: int, first: int, rows: Rows) -> None:
        """Write one shard; it counts as written once everything else of it is on disk."""
        arrays, part = self._root[f"g{group:03d}"], slice(first, first + len(rows.lines))
        for name in ("weights", "value_scale", "value_offset", "psnr_db", "steps"):
            arrays[name][part] = getattr(rows, name)
        lines = [{**line, "group": group, "row": first + k} for k, line in enumerate(rows.lines)]
        _write_lines(self._lines_of(group, first), lines)

    def finish(self) -> None:
        """Write the manifest, once all shards are there."""
        if self.complete:
            return
        _write_lines(self.path / MANIFEST, self.lines())
        (self.path / SIGNALS).unlink()
        shutil.rmtree(self.path / SHARDS)

    def _lines_of(self, group: int, first: int) -> Path:
        return self.path / SHARDS / f"g{group:03d}-{first // self.shard:06d}.jsonl"

    def _shards(self) -> list[Path]:
        return sorted((self.path / SHARDS).glob("g*.jsonl"))


def load(path: str | os.PathLike[str]) -> Field:
    """Read a field, on the CPU, in the precision in which it was saved (float32 if that was 16 bits).

    Args:
        path: of a field file, or ``STORE.zarr/NAME`` for a field of a store.

    Raises:
        InputError: if this is no field file, it is damaged, or a newer version of ungrid wrote it; if the store has no such
            field.
    """
    given = Path(path)
    for folder in given.parents:
        if folder.suffix == SUFFIX and (folder / "zarr.json").is_file():
            return FieldStore(folder)[given.relative_to(folder).as_posix()]
    return field_file.load(given)


def _read_lines(path: Path) -> list[Line]:
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error})", "a store that is not damaged") from error


def _write_lines(path: Path, lines: list[Line]) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(_plain(line), ensure_ascii=False) + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
