"""Fields as ONNX graphs, for onnxruntime and what else reads them.

Convention: the graph has one input ``x``, points (n, d) in the user's units and in double precision, since coordinates such as
times and map metres need it, and one output ``u``, values (n, c). Encodings are computed in double precision, networks in
that of the stored weights.

The formulas are those of `numpy_reader`, written down while it computes: it is called with an object that stands for the
points, and numpy hands every operation on that object to it (NEP 13 and NEP 18: ``__array_ufunc__``,
``__array_function__``). A batch of points goes along, from which numpy itself tells shapes and types.
"""

import importlib.util
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid._base.version import __version__
from ungrid.fields import Field
from ungrid.io import numpy_reader
from ungrid.io.field_file import description
from ungrid.io.files import replacing

OPSET = 18
IR_VERSION = 10
BATCH = 3  # points that go along: their number is no size of anything else that would be mistaken for it
NEAREST = 1e-300  # a denominator
SMALL = 8  # numbers of a constant that is told by its values


def write_onnx(path: str | os.PathLike[str], u: Field) -> None:
    """Write a field as an ONNX model, which carries its axes and names as metadata.

    Args:
        path: .onnx.
        u: a field of classes that `numpy_reader` knows.

    Raises:
        InputError: if the field, its encoding or its network is of another class; the class is named.
    """
    graph, header = Graph(), description(u)
    weights = {name: w.detach().cpu().numpy() for name, w in u.state_dict().items()}
    share = (np.arange(BATCH)[:, None] + 0.5) / BATCH
    x = Traced(graph, "x", u.domain.low + share * (u.domain.high - u.domain.low))
    try:
        out = numpy_reader.PlainField(header, weights)(x)
    except numpy_reader.UnknownClassError as error:
        raise InputError(
            f"{error.given} as ONNX", error.expected, "or write samples of the field: .npz, .vti"
        ) from error
    graph.nodes.append(graph.onnx.helper.make_node("Identity", [out.name], ["u"]))
    content = _model(graph, header, out).SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def largest_difference(path: str | os.PathLike[str], u: Field, *, count: int, seed: int = 0) -> float | None:
    """How far onnxruntime's values are from the field's at random points of its box; None where it is not installed.

    Args:
        path: of the field's model.
        u: the field.
        count: of the points.
        seed: of the points.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    share = np.random.default_rng(seed).random((count, u.domain.dim))
    points = u.domain.low + share * (u.domain.high - u.domain.low)
    session = require("onnxruntime", "export").InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    apart = np.abs(session.run(None, {"x": points})[0] - u(points))
    return float(np.nanmax(apart)) if np.isfinite(apart).any() else 0.0


def _model(graph: "Graph", header: dict[str, Any], out: "Traced") -> Any:
    make = graph.onnx.helper
    shapes = {"x": ("n", len(header["axes"])), "u": ("n", len(header["out_names"]))}
    kinds = {"x": np.dtype(np.float64), "u": out.dtype}
    x, u = ([make.make_tensor_value_info(k, graph.element(kinds[k]), shapes[k])] for k in ("x", "u"))
    drawn = make.make_graph(graph.nodes, header["class"], x, u, initializer=graph.constants)
    model = make.make_model(
        drawn, opset_imports=[make.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="ungrid",
        producer_version=__version__,
    )  # fmt: skip
    make.set_model_props(model, {name: json.dumps(header[name]) for name in ("axes", "out_names")})
    graph.onnx.checker.check_model(model)
    return model


class Graph:
    """Nodes and constants, in the order in which they are met."""

    def __init__(self) -> None:
        self.onnx = require("onnx", "export")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.known: dict[Any, tuple[np.ndarray, str]] = {}  # large arrays by identity, kept so that it stays theirs

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node and give the name of its output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant array."""
        key: Any = id(value) if value.size > SMALL else (value.dtype.str, value.shape, value.tobytes())
        if key not in self.known:
            name = f"c{len(self.constants)}"
            self.constants.append(self.onnx.numpy_helper.from_array(np.array(value), name))
            self.known[key] = value, name
        return self.known[key][1]

    def integers(self, *values: int) -> str:
        """The name of a constant list of whole numbers: axes, sizes, ends."""
        return self.constant(np.array(values, dtype=np.int64))

    def element(self, dtype: Any) -> int:
        """ONNX's number of a type."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of the graph: what numpy computes with it becomes nodes.

    Args:
        graph: where the nodes go.
        name: of the value.
        sample: the value for the batch that goes along.
    """

    def __init__(self, graph: Graph, name: str, sample: np.ndarray) -> None:
        self.graph, self.name, self.sample = graph, name, sample

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def dtype(self) -> np.dtype:
        return self.sample.dtype

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **given: Any) -> Any:
        known = "arctan2" if ufunc is np.arctan2 else "erf" if ufunc is numpy_reader.erf else UFUNCS.get(ufunc.__name__)
        if method != "__call__" or given or known is None:
            return NotImplemented
        with np.errstate(all="ignore"):
            sample = ufunc(*[each.sample if isinstance(each, Traced) else each for each in inputs])
        if known == "arctan2":
            return arctan2(*inputs)
        if known == "erf":  # runtimes have it in single precision
            return self.astype(np.float32).made("Erf", sample.astype(np.float32))
        first, *others = common(inputs)
        return self.made(known, sample, *others, first=first)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, given: Any) -> Any:
        if function not in FUNCTIONS:
            return NotImplemented
        return FUNCTIONS[function](self.graph, *args, **given)

    def made(self, kind: str, sample: Any, *others: Any, first: Any = None, **attributes: Any) -> "Traced":
        """The value of a new node of this value, or of `first`, and further ones."""
        inputs = [named(self.graph, each) for each in (self if first is None else first, *others)]
        return Traced(self.graph, self.graph.node(kind, inputs, **attributes), np.asarray(sample))

    def astype(self, dtype: Any) -> "Traced":
        if self.sample.dtype == dtype:
            return self
        return self.made("Cast", self.sample.astype(dtype), to=self.graph.element(dtype))

    def reshape(self, *shape: int) -> "Traced":
        sample = self.sample.reshape(*shape)
        return self.made("Reshape", sample, Name(self.graph.integers(-1, *sample.shape[1:])))

    def sum(self, axis: int) -> "Traced":
        return self.made("ReduceSum", self.sample.sum(axis=axis), Name(self.graph.integers(axis)), keepdims=0)

    def all(self, axis: int) -> "Traced":
        whole = self.astype(np.int64)
        least = whole.sample.min(axis=axis)
        return whole.made("ReduceMin", least, Name(self.graph.integers(axis)), keepdims=0).astype(np.bool_)

    def __getitem__(self, key: tuple[Any, ...]) -> "Traced":
        """Columns, one column, or further axes of length one: ``[:, a:b]``, ``[:, k]``, ``[:, None]``, ``[:, :, None]``."""
        sample, places = self.sample[key], [k for k, part in enumerate(key) if part is None]
        if places:
            return self.made("Unsqueeze", sample, Name(self.graph.integers(*places)))
        _, columns = key
        if isinstance(columns, slice):
            first, last, _ = columns.indices(self.sample.shape[1])
            ends = [Name(self.graph.integers(end)) for end in (first, last, 1)]
            return self.made("Slice", sample, *ends)
        index = self.graph.constant(np.array(columns % self.sample.shape[1], dtype=np.int64))
        return self.made("Gather", sample, Name(index), axis=1)


class Name(str):
    """The name of a constant that is there already."""


def named(graph: Graph, value: Any) -> str:
    """The name of a value of the graph, or of a constant of it."""
    if isinstance(value, Traced):
        return value.name
    return str(value) if isinstance(value, Name) else graph.constant(np.asarray(value))


def common(values: tuple[Any, ...]) -> list[Any]:
    """Values in the type that numpy computes with; ONNX wants equal ones."""
    samples = [each.sample if isinstance(each, Traced) else each for each in values]
    kind = np.result_type(*samples)
    return [_as_type(each, kind) for each in values]


def _as_type(value: Any, kind: np.dtype) -> Any:
    return value.astype(kind) if isinstance(value, Traced) else np.asarray(value, dtype=kind)


def arctan2(y: Any, x: Any) -> Any:
    """The angle of (x, y): twice that of half of it, and one step of Newton's, as runtimes have arctan in single precision."""
    r = np.sqrt(x * x + y * y)
    safe = np.where(y == 0, 1.0, y)
    half = np.where(x >= 0, y / np.maximum(r + x, NEAREST), np.where(y == 0, 1e30, (r - x) / safe))
    single: Any = half.astype(np.float32)
    rough = 2 * single.made("Atan", np.arctan(single.sample)).astype(x.dtype)
    return rough + (y * np.cos(rough) - x * np.sin(rough)) / np.maximum(r, NEAREST)


def _concatenate(graph: Graph, parts: list[Any], axis: int) -> Traced:
    sample = np.concatenate([part.sample for part in common(tuple(parts))], axis=axis)
    first, *others = common(tuple(parts))
    return first.made("Concat", sample, *others, axis=axis)


def _where(graph: Graph, condition: Traced, one: Any, other: Any) -> Traced:
    one, other = common((one, other))
    samples = [each.sample if isinstance(each, Traced) else each for each in (condition, one, other)]
    return condition.made("Where", np.where(*samples), one, other)


def _clip(graph: Graph, x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


def _take_along(graph: Graph, values: Any, index: Traced, axis: int) -> Traced:
    """Rows of a table with the numbers (n, 1), or places in every row."""
    sample = np.take_along_axis(values.sample if isinstance(values, Traced) else values, index.sample, axis=axis)
    if axis == 0:
        return index.made("Gather", sample, index.reshape(-1), first=values, axis=0)
    return index.made("GatherElements", sample, index, first=values, axis=axis)


UFUNCS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "matmul": "MatMul",
    "negative": "Neg", "absolute": "Abs", "sin": "Sin", "cos": "Cos", "tanh": "Tanh", "exp": "Exp", "log": "Log",
    "sqrt": "Sqrt", "floor": "Floor", "maximum": "Max", "minimum": "Min", "greater": "Greater", "equal": "Equal",
    "greater_equal": "GreaterOrEqual", "less_equal": "LessOrEqual", "bitwise_and": "And",
}  # fmt: skip
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.concatenate: _concatenate,
    np.where: _where,
    np.clip: _clip,
    np.take_along_axis: _take_along,
}
