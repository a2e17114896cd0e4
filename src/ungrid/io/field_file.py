"""The field file: the weights of a field and a description from which it is built again.

Convention: one safetensors file whose metadata has one entry, ``"ungrid"``: a JSON object with

    format "ungrid-field" · version · ungrid (version of the library) · class · arguments · axes (name, low, high, unit)
    · out_names · provenance

An object among the arguments is ``{"class": name, "arguments": {...}}``, a dictionary is ``{"plain": {...}}``, an array
is a tuple. A trained network that makes fields is kept alike (``NAME.model``, format "ungrid-model"), with a ``card`` in
place of axes, names and provenance. Classes are looked up in `CLASSES`: loading executes nothing. The weights are named as
in the field's ``state_dict``.
"""

import dataclasses
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.version import __version__
from ungrid.domains import Arc, Axis, Box, Outlined, Segment
from ungrid.encodings import (
    Constrained,
    CornerFunctions,
    ElasticCorner,
    FourierFeatures,
    Identity,
    Joined,
    Multipoles,
    Positional,
    Products,
    RandomFeatures,
    Ridges,
    Separable,
    SplineGrid,
)
from ungrid.fields import (
    BlockField,
    BrickField,
    Field,
    LatentField,
    NerfField,
    NeuralField,
    PatchField,
    SlabField,
    SplineField,
    SteppedField,
    VideoField,
)
from ungrid.io.files import decoding, existing_file, replacing
from ungrid.networks import (
    EDSR,
    LIIF,
    MLP,
    RDN,
    GridDecoder,
    LightNetwork,
    LightVideo,
    Linear,
    MetaSR,
    Siren,
    SubPixel,
    VideoINR,
)

FORMAT, MODEL_FORMAT = "ungrid-field", "ungrid-model"
VERSION = 1
SUFFIX, MODEL_SUFFIX = ".field", ".model"
WHAT = {FORMAT: "field", MODEL_FORMAT: "model"}


def _box(axes: tuple[Axis, ...]) -> Box:
    return Box(*axes)


# Everything that a file may name. A class that is added here must keep its name and its arguments.
CLASSES: dict[str, Callable[..., Any]] = {
    "Arc": Arc,
    "Axis": Axis,
    "BlockField": BlockField,
    "BrickField": BrickField,
    "NerfField": NerfField,
    "Box": _box,
    "EDSR": EDSR,
    "Constrained": Constrained,
    "CornerFunctions": CornerFunctions,
    "ElasticCorner": ElasticCorner,
    "FourierFeatures": FourierFeatures,
    "GridDecoder": GridDecoder,
    "Identity": Identity,
    "Joined": Joined,
    "LIIF": LIIF,
    "LatentField": LatentField,
    "LightNetwork": LightNetwork,
    "LightVideo": LightVideo,
    "Linear": Linear,
    "MLP": MLP,
    "MetaSR": MetaSR,
    "Multipoles": Multipoles,
    "NeuralField": NeuralField,
    "Outlined": Outlined,
    "PatchField": PatchField,
    "Positional": Positional,
    "Products": Products,
    "RDN": RDN,
    "RandomFeatures": RandomFeatures,
    "Ridges": Ridges,
    "Separable": Separable,
    "Segment": Segment,
    "Siren": Siren,
    "SlabField": SlabField,
    "SplineField": SplineField,
    "SplineGrid": SplineGrid,
    "SteppedField": SteppedField,
    "SubPixel": SubPixel,
    "VideoField": VideoField,
    "VideoINR": VideoINR,
}


@runtime_checkable
class Described(Protocol):
    """An object that can tell the arguments of its constructor."""

    def arguments(self) -> dict[str, Any]: ...


def save(
    field: Field, path: str | os.PathLike[str], *, provenance: dict[str, Any] | None = None, half: bool = False
) -> Path:
    """Write a field; an existing file is replaced only when the new one is complete.

    Args:
        field: the field.
        path: where to; ends in ``.field``.
        provenance: how it came about (source, seed, seconds, metrics, ...): numbers, strings, lists and dictionaries.
        half: store the weights in 16 bits, with about three digits, so that the file has half the size. Constants of
            the field (buffers, such as the frequencies of Fourier features) keep their precision.

    Returns:
        The path.

    Raises:
        InputError: if the field cannot be described, has weights that are NaN, infinite or too large for 16 bits,
            or the path cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != SUFFIX:
        raise InputError(f"the name {target.name!r} for a field", f"a name that ends in {SUFFIX}")
    header = {"format": FORMAT, "version": VERSION, "ungrid": __version__, **description(field)}
    return _written(target, header | {"provenance": _plain(provenance or {})}, field, half)


def description(field: Field) -> dict[str, Any]:
    """The class of a field, its arguments, its axes and names, as a field file has them.

    Raises:
        InputError: if the field, or a part of it, is of no class of the table.
    """
    axes = [dataclasses.asdict(axis) for axis in field.domain.axes]
    return {**_described(field), "axes": axes, "out_names": list(field.out_names)}


def save_model(
    network: nn.Module, path: str | os.PathLike[str], *, card: dict[str, Any] | None = None, half: bool = False
) -> Path:
    """Write a trained network that makes fields; an existing file is replaced only when the new one is complete.

    Args:
        network: of a class of the table.
        path: where to; ends in ``.model``.
        card: how it came about: data, teachers, protocol, measured quality, licence; plain values as in `save`.
        half: as in `save`.

    Returns:
        The path.

    Raises:
        InputError: as `save`.
    """
    target = Path(path)
    if target.suffix != MODEL_SUFFIX:
        raise InputError(f"the name {target.name!r} for a model", f"a name that ends in {MODEL_SUFFIX}")
    described = _described(network)  # type: ignore[arg-type]  # where it cannot tell, the table refuses it
    first = {"format": MODEL_FORMAT, "version": VERSION, "ungrid": __version__}
    return _written(target, {**first, **described, "card": _plain(card or {})}, network, half)


def _written(target: Path, header: dict[str, Any], module: nn.Module, half: bool) -> Path:
    halved = {name for name, _ in module.named_parameters()} if half else set()
    weights = {name: _stored(name, weight, name in halved) for name, weight in module.state_dict().items()}
    content = safetensors.save(weights, {"ungrid": json.dumps(header, allow_nan=False)})
    with replacing(target) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return target


def load(path: str | os.PathLike[str]) -> Field:
    """Read a field, on the CPU, in the precision in which it was saved (float32 if that was 16 bits).

    Raises:
        InputError: if this is no field file, it is damaged, or a newer version of ungrid wrote it.
    """
    field = _read(existing_file(path), FORMAT)[0]
    if not isinstance(field, Field):
        raise InputError(f"{path} describes a {type(field).__name__}", "a field")
    return field


def load_model(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """Read a trained network, on the CPU, and its card.

    Raises:
        InputError: as `load`.
    """
    network, header = _read(existing_file(path), MODEL_FORMAT)
    return network.eval(), header["card"]


def _read(source: Path, kind: str) -> tuple[nn.Module, dict[str, Any]]:
    with decoding(source, WHAT[kind]), open(source, "rb") as file:
        header = _header(file, source, kind)
        file.seek(0)
        weights = {name: _loaded(name, weight) for name, weight in safetensors.load(file.read()).items()}
        module = _built({"class": header["class"], "arguments": header["arguments"]})
        _check_fit(module, weights)
        module.load_state_dict(weights, assign=True)  # assign: keep the file's precision
    return module, header


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The description in a field file, without its weights.

    Raises:
        InputError: as `load`.
    """
    source = existing_file(path)
    with decoding(source, WHAT[FORMAT]), open(source, "rb") as file:
        return _header(file, source, FORMAT)


def _header(file: BinaryIO, source: Path, kind: str) -> dict[str, Any]:
    size = int.from_bytes(file.read(8), "little")
    if size > source.stat().st_size - 8:  # also where the first bytes are no length at all
        raise InputError(f"{source} is not a {WHAT[kind]} file, or it is cut short", "a file written by ungrid")
    metadata = json.loads(file.read(size)).get("__metadata__") or {}
    header = json.loads(metadata.get("ungrid", "{}"))
    if header.get("format") != kind:
        raise InputError(f"{source} is not a {WHAT[kind]} file", f"a safetensors file of the format {kind}")
    version = header["version"]
    if not isinstance(version, int) or version < 1:
        raise InputError(f"{source} has the version {version!r}", f"1 to {VERSION}")
    if version > VERSION:
        raise InputError(f"{source} has version {version} of the format", f"up to {VERSION}", "update ungrid")
    return header


def _described(value: Described) -> dict[str, Any]:
    """An object of a class of the table, as JSON."""
    name = type(value).__name__
    arguments = value.arguments()
    if CLASSES.get(name) is not type(value):
        raise InputError(f"an object of the class {name}, which a field file cannot hold", ", ".join(CLASSES))
    return {"class": name, "arguments": {key: _argument(item) for key, item in arguments.items()}}


def _argument(value: Any) -> Any:
    """One argument of a constructor, as JSON."""
    if isinstance(value, (Axis, Segment, Arc)):
        return {"class": type(value).__name__, "arguments": dataclasses.asdict(value)}
    if isinstance(value, Outlined):
        given = {"loops": _argument(value.loops), "axes": list(value.names), "unit": value.unit}
        return {"class": "Outlined", "arguments": given}
    if isinstance(value, Box):
        return {"class": "Box", "arguments": {"axes": [_argument(axis) for axis in value.axes]}}
    if isinstance(value, Described):
        return _described(value)
    if isinstance(value, dict):
        return {"plain": _plain(value)}
    if isinstance(value, (tuple, list)):
        return [_argument(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise InputError(f"an argument of type {type(value).__name__}", "numbers, strings, tuples or known objects")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"the argument {value}", "a finite number")
    return value


def _plain(value: Any) -> Any:
    """Metadata as JSON, which has no NaN and no infinity: null, and the strings "inf" and "-inf"."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise InputError(f"metadata of type {type(value).__name__}", "numbers, strings, lists and dictionaries")
    return value


def _built(value: Any) -> Any:
    """What `_argument` described, made again."""
    if isinstance(value, list):
        return tuple(_built(item) for item in value)
    if not isinstance(value, dict):
        return value
    if set(value) == {"plain"}:
        return value["plain"]
    if value["class"] not in CLASSES:
        raise InputError(f"the class {value['class']!r}", f"one of {', '.join(CLASSES)}", "update ungrid")
    return CLASSES[value["class"]](**{key: _built(item) for key, item in value["arguments"].items()})


def _stored(name: str, weight: Tensor, half: bool) -> Tensor:
    """A tensor as it is written: on the CPU, its own memory, finite."""
    stored = weight.detach().cpu().contiguous().clone()
    _check_finite(name, stored)
    if half:
        stored = stored.half()
        if not stored.isfinite().all():
            raise InputError(f"weights {name!r} up to {weight.abs().max():.3g}", "up to 65504", "save without half")
    return stored


def _loaded(name: str, stored: Tensor) -> Tensor:
    _check_finite(name, stored)
    return stored.float() if stored.dtype in (torch.float16, torch.bfloat16) else stored


def _check_finite(name: str, weight: Tensor) -> None:
    if not weight.isfinite().all():
        raise InputError(f"weights {name!r} that are NaN or infinite", "finite numbers", "was the training unstable?")


def _check_fit(field: nn.Module, weights: dict[str, Tensor]) -> None:
    """Whether the weights are those of the described field; torch's own check would let integers stand for weights."""
    own = {name: (tuple(w.shape), w.is_floating_point()) for name, w in field.state_dict().items()}
    found = {name: (tuple(w.shape), w.is_floating_point()) for name, w in weights.items()}
    wrong = sorted(name for name in own.keys() | found.keys() if own.get(name) != found.get(name))
    if wrong:
        raise InputError(
            f"weights {wrong[0]!r} that do not fit the description of the field",
            f"{own.get(wrong[0], 'none')} as (shape, floating point), found {found.get(wrong[0], 'none')}",
        )
