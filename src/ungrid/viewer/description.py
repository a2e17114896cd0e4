"""A neural field as the page evaluates it: plain values, and its numbers in one block of bytes.

Convention: ``unit = (x - center) / scale`` for every axis; then an encoding,

    grid    the features of `SplineGrid`: for every level nodes, features, scale, shift and the place of its first number
    ridges  ``f_k(rows_k . unit + shifts_k)``: what Fourier features, random features, the positional encoding and plain
            coordinates are
    joined, products, separable, corner, elastic, multipoles: as the classes of these names, with their arguments

then layers ``activation(factor * (weight h + bias))``, weights (outputs, inputs), and, where there is one, a linear `skip`
from the features to the values; then ``value * value_scale + value_offset``. JavaScript numbers are float64, so the page
has the values of the field in double precision. A field may also be made of others: "slabs" of `SlabField`, "steps" of
`SteppedField`. Scenes are described in `ungrid.radiance.page`.

An array is the number of its entry in the list of arrays. Its bytes are little-endian and lie plane by plane, the first
bytes of all its numbers before all second ones, which lets deflate find what they have in common; an array of the type
int16 is to be multiplied by its step.
"""

import copy
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.domains import Axis
from ungrid.domains.circle import is_circle
from ungrid.encodings import (
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
from ungrid.fields import Field, NeuralField, SlabField, SteppedField
from ungrid.fields.neural import unit_scale
from ungrid.networks import MLP, GridDecoder, Linear, Siren

Entry = dict[str, Any]


@dataclass
class Numbers:
    """The arrays of a page: their types and shapes, and their bytes one after another."""

    entries: list[Entry] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, values: Any, dtype: str = "float32", step: float = 1.0) -> int:
        """Take an array, in multiples of `step` where its type is int16, and give its number."""
        array = np.asarray(values.detach().cpu().numpy() if isinstance(values, Tensor) else values)
        stored = np.rint(array / step) if dtype == "int16" else array
        planes = stored.astype(np.dtype(dtype).newbyteorder("<")).reshape(-1, 1).view(np.uint8)
        self.entries.append({"type": dtype, "step": step, "offset": self.size, "shape": list(array.shape)})
        self.parts.append(planes.T.tobytes())
        self.size += planes.size
        return len(self.entries) - 1

    def content(self) -> bytes:
        """All bytes, deflated."""
        return zlib.compress(b"".join(self.parts), 6)


def describe(u: Field, numbers: Numbers, *, step: float | None = None) -> Entry:
    """The field's description; its numbers go to `numbers`, those of a grid's table as multiples of `step`.

    Raises:
        InputError: if the page has no evaluator for this field.
    """
    common = {
        "axes": [_axis(axis) for axis in u.domain.axes],
        "center": ((u.domain.low + u.domain.high) / 2).tolist(),
        "scale": list(unit_scale(u.domain)),
        "out_names": list(u.out_names),
        "precise": is_precise(u),
    }
    if isinstance(u, SlabField):
        return {**common, "kindOfField": "slabs", "parts": [describe(part, numbers) for part in u.arguments()["parts"]]}
    if isinstance(u, SteppedField):
        return {**common, "kindOfField": "steps", "space": describe(u.space, numbers), "times": list(u.times)}
    if not isinstance(u, NeuralField):
        raise InputError(
            f"a {type(u).__name__} for a page",
            "a neural field, or one of slabs or steps of time",
            "scenes have `ungrid.radiance.share_scene`",
        )
    return {
        **common,
        "kindOfField": "network",
        "value_scale": list(u.value_scale),
        "value_offset": list(u.value_offset),
        "spacing": None if u.spacing is None else list(u.spacing),
        "encoding": _encoding(u.encoding, numbers, step),
        "network": _network(u.network, numbers),
    }


def _axis(axis: Axis) -> Entry:
    """With the name of the number of a family (`ungrid.pde.family`), or of its logarithm, whose unit says so."""
    family = re.fullmatch(r"1 \((\w+)\)", axis.unit)
    entry = {"name": axis.name, "low": axis.low, "high": axis.high, "unit": axis.unit, "circle": is_circle(axis)}
    return {**entry, "parameter": family.group(1)} if family else entry


def is_precise(u: Field) -> bool:
    """Whether the field has weights in double precision, as solutions of equations have: large ones may cancel each other."""
    return any(weight.dtype == torch.float64 for weight in u.parameters())


def rounded(u: NeuralField, step: float) -> NeuralField:
    """The field with the numbers of its grid's table rounded to multiples of `step`, as its page has them."""
    coarse = copy.deepcopy(u)
    assert isinstance(coarse.encoding, SplineGrid)
    coarse.encoding.table.data = (coarse.encoding.table.data / step).round() * step
    return coarse


def _encoding(encoding: nn.Module, numbers: Numbers, step: float | None) -> Entry:
    if type(encoding) not in ENCODINGS:
        known = ", ".join(cls.__name__ for cls in ENCODINGS)
        raise InputError(f"the encoding {type(encoding).__name__} for a page", known)
    return ENCODINGS[type(encoding)](encoding, numbers, step)


def _grid(grid: SplineGrid, numbers: Numbers, step: float | None) -> Entry:
    shape, scale, shift, start, _, features, hashed = grid.derivative_arguments(
        ((0,) * grid.dim,), np.dtype(np.float64)
    )[0]
    if hashed.any():
        raise InputError("a grid with hashed levels for a page", "dense levels")
    table = grid.tied_table().detach()
    levels = [
        {
            "nodes": shape[k].tolist(),
            "features": int(features[k]),
            "scale": scale[k].tolist(),
            "shift": shift[k].tolist(),
            "start": int(start[k]),
        }
        for k in range(len(shape))
    ]
    stored = numbers.add(table, _type(table)) if step is None else numbers.add(table, "int16", step)
    return {"kind": "grid", "order": grid.order, "extent": list(grid.extent), "levels": levels, "table": stored}


def _ridges(rows: np.ndarray, functions: list[str], numbers: Numbers) -> Entry:
    shifts = np.zeros(len(rows))
    stored = {"rows": numbers.add(rows, "float64"), "shifts": numbers.add(shifts, "float64")}
    return {"kind": "ridges", "functions": functions, **stored}


def _fourier(encoding: FourierFeatures, numbers: Numbers, step: float | None) -> Entry:
    rows = np.pi * encoding.frequencies.double().numpy()
    m = encoding.features
    return _ridges(np.concatenate([rows, rows]), ["cosine"] * m + ["sine"] * m, numbers)


def _positional(encoding: Positional, numbers: Numbers, step: float | None) -> Entry:
    d, octaves = encoding.dim, encoding.octaves
    rows = np.kron(np.pi * 2.0 ** np.arange(octaves)[:, None], np.eye(d))
    given = np.eye(d)[: d * encoding.include_input]
    functions = ["linear"] * len(given) + ["sine"] * len(rows) + ["cosine"] * len(rows)
    return _ridges(np.concatenate([given, rows, rows]), functions, numbers)


def _identity(encoding: Identity, numbers: Numbers, step: float | None) -> Entry:
    return _ridges(np.eye(encoding.dim), ["linear"] * encoding.dim, numbers)


def _random(encoding: RandomFeatures | Ridges, numbers: Numbers, step: float | None) -> Entry:
    """1, whose row is zero and whose shift is 1, and the ridges."""
    shape = encoding.shape if isinstance(encoding, RandomFeatures) else "tanh"
    rows, shifts = encoding.weight.double().numpy(), encoding.bias.double().numpy()
    constant = np.zeros((1, encoding.dim))
    stored = {
        "rows": numbers.add(np.concatenate([constant, rows]), "float64"),
        "shifts": numbers.add(np.concatenate([[1.0], shifts]), "float64"),
    }
    return {"kind": "ridges", "functions": ["linear"] + [shape] * encoding.features, **stored}


def _joined(encoding: Joined, numbers: Numbers, step: float | None) -> Entry:
    return {"kind": "joined", "parts": [_encoding(part, numbers, step) for part in encoding.arguments()["parts"]]}


def _products(encoding: Products, numbers: Numbers, step: float | None) -> Entry:
    space = _encoding(encoding.space, numbers, step)
    return {"kind": "products", "space": space, "degree": encoding.degree, "extent": encoding.extent}


def _plain(kind: str) -> Callable[[Any, Numbers, float | None], Entry]:
    """Of an encoding whose arguments are all of it."""
    return lambda encoding, numbers, step: {"kind": kind, **encoding.arguments()}


def _network(network: nn.Module, numbers: Numbers) -> Entry:
    if type(network) not in NETWORKS:
        known = ", ".join(cls.__name__ for cls in NETWORKS)
        raise InputError(f"the network {type(network).__name__} for a page", known)
    return NETWORKS[type(network)](network, numbers)


def _layer(numbers: Numbers, weight: Tensor, bias: Tensor | None, activation: str, factor: float = 1.0) -> Entry:
    bias = torch.zeros(len(weight), dtype=weight.dtype) if bias is None else bias
    stored = {"weight": numbers.add(weight, _type(weight)), "bias": numbers.add(bias, _type(bias))}
    return {**stored, "activation": activation, "factor": factor}


def _decoder(network: GridDecoder, numbers: Numbers) -> Entry:
    hidden = zip([network.first, *network.middle], network.biases, strict=True)
    layers = [_layer(numbers, weight.T, bias[0], "smooth_relu") for weight, bias in hidden]
    layers.append(_layer(numbers, network.last.T, network.last_bias, "linear"))
    return {"layers": layers, "skip": numbers.add(network.skip.T, _type(network.skip))}


def _mlp(network: MLP, numbers: Numbers) -> Entry:
    functions = [network.activation] * network.depth + [network.output]
    pairs = zip(network.layers, functions, strict=True)
    return {"layers": [_layer(numbers, layer.weight, layer.bias, name) for layer, name in pairs], "skip": None}  # type: ignore[arg-type]


def _siren(network: Siren, numbers: Numbers) -> Entry:
    ends = [("sine", omega) for omega in network.frequencies] + [("linear", 1.0)]
    pairs = zip(network.layers, ends, strict=True)
    return {"layers": [_layer(numbers, layer.weight, layer.bias, *end) for layer, end in pairs], "skip": None}  # type: ignore[arg-type]


def _linear(network: Linear, numbers: Numbers) -> Entry:
    return {"layers": [_layer(numbers, network.weight.T, None, "linear")], "skip": None}


def _type(values: Tensor) -> str:
    return "float64" if values.dtype == torch.float64 else "float32"


ENCODINGS: dict[type, Callable[[Any, Numbers, float | None], Entry]] = {
    SplineGrid: _grid,
    FourierFeatures: _fourier,
    Positional: _positional,
    Identity: _identity,
    RandomFeatures: _random,
    Ridges: _random,
    Joined: _joined,
    Products: _products,
    Separable: _plain("separable"),
    CornerFunctions: _plain("corner"),
    ElasticCorner: _plain("elastic"),
    Multipoles: _plain("multipoles"),
}
NETWORKS: dict[type, Callable[[Any, Numbers], Entry]] = {
    GridDecoder: _decoder,
    MLP: _mlp,
    Siren: _siren,
    Linear: _linear,
}
