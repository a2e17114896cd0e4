"""Evaluate a field file with numpy alone: without torch, and without ungrid. Copy this file to wherever it is needed.

    from numpy_reader import load
    u = load("picture.field")
    u(points)  # (n, d) -> (n, c), in double precision

Convention: columns of points in the order of `u.axes`, in the user's units; values (n, c) in the order of `u.out_names`. The
description in the file names classes; `BUILDERS` has one function for each that is known here, from a class's arguments and
weights to a function of points. Formulas are those of the classes of the same name in ungrid, where their sources stand.
"""

import itertools
import json
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[[Any], Any]
Weights = dict[str, np.ndarray]
NEAREST = 1e-12  # to a corner
LONGITUDES = ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE")
erf = np.frompyfunc(math.erf, 1, 1)


class UnknownClassError(ValueError):
    """A field of a class that this reader does not know."""

    def __init__(self, given: str, expected: str) -> None:
        super().__init__(f"{given}; expected {expected}")
        self.given, self.expected = given, expected


class PlainField:
    """A field as a function on numpy arrays.

    Args:
        header: the description in the file.
        weights: by their names; their types are those of the computation.
    """

    def __init__(self, header: dict[str, Any], weights: Weights) -> None:
        self.axes, self.out_names, self.header = header["axes"], header["out_names"], header
        self.function = built(header, weights, header["axes"])

    def __call__(self, points: Any) -> Any:
        return self.function(points)


def load(path: str | os.PathLike[str]) -> PlainField:
    """The field in a file, computed in double precision.

    Raises:
        UnknownClassError: if it is of a class that this reader does not know; it names the class.
    """
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["ungrid"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    return PlainField(header, {name: w.astype(float) if w.dtype.kind == "f" else w for name, w in weights.items()})


def built(described: dict[str, Any], weights: Weights, axes: Any = None) -> Function:
    """The function of an object in the description; fields want to know their axes."""
    name, arguments = described["class"], described["arguments"]
    if name not in BUILDERS:
        raise UnknownClassError(f"the class {name}", f"one of {', '.join(BUILDERS)}")
    return BUILDERS[name](arguments, weights) if axes is None else BUILDERS[name](arguments, weights, axes)


def below(weights: Weights, prefix: str) -> Weights:
    """The weights whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


# Fields.


def neural_field(arguments: dict[str, Any], weights: Weights, axes: Any) -> Function:
    """``network(encoding(unit coordinates)) * value_scale + value_offset``."""
    low, high = (np.array([axis[end] for axis in axes]) for end in ("low", "high"))
    longest = {a["unit"]: max((b["high"] - b["low"]) / 2 for b in axes if b["unit"] == a["unit"]) for a in axes}
    unit_scale = np.array([longest[axis["unit"]] for axis in axes])
    width, kind = high - low, next(w for name, w in weights.items() if name.startswith("network.")).dtype
    circles = np.array([a["unit"] in LONGITUDES and abs(w - 360) <= 3.6e-4 for a, w in zip(axes, width, strict=True)])
    encoding = built(arguments["encoding"], below(weights, "encoding."))
    network = built(arguments["network"], below(weights, "network."))
    scale, offset = (np.array(arguments[key], dtype=kind) for key in ("value_scale", "value_offset"))

    def function(x: Any) -> Any:
        if circles.any():
            x = x - np.floor((x - low) / width) * width * circles
        return network(encoding((x - (low + high) / 2) / unit_scale).astype(kind)) * scale + offset

    return function


def slab_field(arguments: dict[str, Any], weights: Weights, axes: Any) -> Function:
    """Along the last axis one field after another."""
    own = [part["arguments"]["domain"]["arguments"]["axes"] for part in arguments["parts"]]
    own = [[axis["arguments"] for axis in each] for each in own]
    parts = [built(p, below(weights, f"parts.{k}."), own[k]) for k, p in enumerate(arguments["parts"])]

    def function(x: Any) -> Any:
        found = parts[0](x)
        for each, part in zip(own[1:], parts[1:], strict=True):
            found = np.where(x[:, -1:] >= each[-1]["low"], part(x), found)
        return found

    return function


def stepped_field(arguments: dict[str, Any], weights: Weights, axes: Any) -> Function:
    """Hermite's cubic between the values and rates at two times."""
    space = built(arguments["space"], below(weights, "space."), axes[:-1])
    times, c = np.array(arguments["times"]), len(arguments["out_names"])
    columns = np.arange(c)[None]

    def function(x: Any) -> Any:
        found, t = space(x[:, :-1]), x[:, -1:]
        first = np.clip((t >= times[None]).astype(np.int64).sum(axis=1) - 1, 0, len(times) - 2)
        begin, end = rows_of(times[:, None], first), rows_of(times[1:, None], first)
        step, s = end - begin, (t - begin) / (end - begin)
        weight = (1 + 2 * s) * (1 - s) ** 2, s**2 * (3 - 2 * s), step * s * (1 - s) ** 2, -step * s**2 * (1 - s)
        total = 0.0
        for w, place in zip(weight, (0, 1, len(times), len(times) + 1), strict=True):
            index = (first[:, None] + place) * c + columns
            total = total + w * np.take_along_axis(found, index, axis=1)
        return total

    return function


def spline_field(arguments: dict[str, Any], weights: Weights, axes: Any) -> Function:
    """Cubic B-splines on a lattice; NaN far from the samples."""
    shape, matrix = arguments["shape"], np.array(arguments["matrix"]).T
    shift, near = np.array(arguments["shift"])[None], weights["near"].astype(np.int64)

    def function(x: Any) -> Any:
        position = x @ matrix + shift
        nearest = np.floor(position + 0.5)
        inside = ((nearest >= 1) & (nearest <= np.array(shape) - 2)).all(axis=1)
        nearest = np.clip(nearest, 0, np.array(shape) - 1).astype(np.int64)
        row = nearest[:, 0]
        for k in range(1, len(shape)):
            row = row * shape[k] + nearest[:, k]
        there = inside & (rows_of(near[:, None], row) > 0)[:, 0]
        return np.where(there[:, None], interpolated(weights["weights"], shape, position, 3), np.nan)

    return function


# Encodings: unit coordinates (n, d) to features.


def positional(arguments: dict[str, Any], weights: Weights) -> Function:
    """Sines and cosines at doubling frequencies."""
    scale = math.pi * 2.0 ** np.arange(arguments["octaves"])
    given = arguments["include_input"]
    rows = np.kron(scale[:, None], np.eye(arguments["dim"])).T
    return lambda x: np.concatenate([x] * given + [np.sin(x @ rows), np.cos(x @ rows)], axis=1)


def fourier_features(arguments: dict[str, Any], weights: Weights) -> Function:
    """Cosines and sines of random frequencies."""
    rows = (math.pi * weights["frequencies"].astype(float)).T
    return lambda x: np.concatenate([np.cos(x @ rows), np.sin(x @ rows)], axis=1)


def ridges(arguments: dict[str, Any], weights: Weights) -> Function:
    """1, and a function of linear forms."""
    rows, bias = weights["weight"].astype(float).T, weights["bias"].astype(float)[None]
    shape = {"tanh": np.tanh, "sine": np.sin}[arguments.get("shape", "tanh")]
    return lambda x: np.concatenate([0 * x[:, :1] + 1, shape(x @ rows + bias)], axis=1)


def products(arguments: dict[str, Any], weights: Weights) -> Function:
    """Features of space times Legendre polynomials of time."""
    space, degree = built(arguments["space"], below(weights, "space.")), arguments["degree"]
    powers, legendre = np.arange(degree + 1.0)[None], np.zeros((degree + 1, degree + 1))  # [power, polynomial]
    for n, column in enumerate(np.eye(degree + 1)):
        coefficients = np.polynomial.legendre.leg2poly(column)
        legendre[: len(coefficients), n] = coefficients

    def function(x: Any) -> Any:
        time = ((x[:, -1:] / arguments["extent"]) ** powers) @ legendre
        outer = space(x[:, :-1])[:, :, None] * time[:, None, :]
        return outer.reshape(len(x), -1)

    return function


def separable(arguments: dict[str, Any], weights: Weights) -> Function:
    """Products of Chebyshev polynomials of one coordinate each, the last running fastest."""

    def function(x: Any) -> Any:
        found = 0 * x[:, :1] + 1
        for k, (count, extent) in enumerate(zip(arguments["counts"], arguments["extent"], strict=True)):
            values = np.concatenate(polynomials(x[:, k : k + 1] / extent, count), axis=1)
            found = (found[:, :, None] * values[:, None, :]).reshape(len(x), -1)
        return found

    return function


def polynomials(t: Any, count: int) -> list[Any]:
    """Chebyshev's polynomials from degree 0 on at t (n, 1)."""
    made = [0 * t + 1, t]
    for _ in range(2, count):
        made.append(2 * t * made[-1] - made[-2])
    return made[:count]


def joined(arguments: dict[str, Any], weights: Weights) -> Function:
    """Several encodings side by side."""
    parts = [built(part, below(weights, f"parts.{k}.")) for k, part in enumerate(arguments["parts"])]
    return lambda x: np.concatenate([part(x) for part in parts], axis=1)


def spline_grid(arguments: dict[str, Any], weights: Weights) -> Function:
    """B-splines on lattices of several resolutions."""
    extent, order, start = np.array(arguments["extent"]), arguments["order"], 0
    levels = []
    for cells, features in zip(arguments["cells"], arguments["features"], strict=True):
        nodes = [n + 4 for n in cells]
        if arguments["max_entries"] is not None and math.prod(nodes) > arguments["max_entries"]:
            raise UnknownClassError("the class SplineGrid with hashed levels", "one with dense levels")
        scale, size = np.array(cells) / (2 * extent), math.prod(nodes) * features
        levels.append((weights["table"][start : start + size].reshape(-1, features), nodes, scale))
        start += size

    def function(x: Any) -> Any:
        x = np.clip(x, -extent, extent)
        lattice = [(x * scale + (scale * extent + 1.5), table, nodes) for table, nodes, scale in levels]
        return np.concatenate([interpolated(table, nodes, t, order) for t, table, nodes in lattice], axis=1)

    return function


def interpolated(table: np.ndarray, nodes: list[int], t: Any, order: int) -> Any:
    """The sum of the rows of a table over the nodes of a lattice, each times its B-spline of degree `order` at t (n, d)."""
    cell = np.floor(t + 0.5 * (order == 2)) - (order > 1)
    first = np.clip(cell, 0, np.array(nodes) - order - 1)
    f = t - first - (order > 1)
    weights = {
        1: lambda: (1 - f, f),
        2: lambda: ((0.5 - f) ** 2 / 2, 0.75 - f**2, (0.5 + f) ** 2 / 2),
        3: lambda: (
            (1 - f) ** 3 / 6,
            (4 - 6 * f**2 + 3 * f**3) / 6,
            (1 + 3 * f + 3 * f**2 - 3 * f**3) / 6,
            f**3 / 6,
        ),
    }[order]()
    place, total = first.astype(np.int64), 0.0
    for taps in itertools.product(range(order + 1), repeat=len(nodes)):
        row, weight = place[:, 0] + taps[0], weights[taps[0]][:, :1]
        for k in range(1, len(nodes)):
            row, weight = row * nodes[k] + place[:, k] + taps[k], weight * weights[taps[k]][:, k : k + 1]
        total = total + weight * rows_of(table, row)
    return total


def rows_of(table: np.ndarray, index: Any) -> Any:
    """The rows of a table with the numbers (n,)."""
    return np.take_along_axis(table, index[:, None], axis=0)


def polar(x: Any, origin: list[float], turn: float) -> tuple[Any, Any]:
    """log r and θ (n, 1) of points about an origin, θ from -π to π and zero in a direction."""
    dx, dy = x[:, :1] - origin[0], x[:, 1:2] - origin[1]
    c, s = math.cos(turn), math.sin(turn)
    log_r = 0.5 * np.log(np.maximum(dx * dx + dy * dy, NEAREST**2))
    return log_r, np.arctan2(c * dy - s * dx, c * dx + s * dy)


def corner_polar(x: Any, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """log r and the angle from the first edge of a corner, with its jump at the cut."""
    cut = arguments["cut"]
    opposite = arguments["angle"] / 2 if cut is None else cut - math.pi
    log_r, angle = polar(x, arguments["vertex"], arguments["direction"] + opposite)
    return log_r, angle + opposite


def power(exponent: complex, log_r: Any, angle: Any) -> tuple[Any, Any]:
    """Real and imaginary part of z^λ, and of z^λ log z where λ is a whole number."""
    a, b = exponent.real, exponent.imag
    size, phase = np.exp(a * log_r - b * angle), b * log_r + a * angle
    real, imaginary = size * np.cos(phase), size * np.sin(phase)
    if b or not a.is_integer():
        return real, imaginary
    return real * log_r - imaginary * angle, real * angle + imaginary * log_r


def corner_functions(arguments: dict[str, Any], weights: Weights) -> Function:
    """``r^λ sin λθ`` or ``r^λ cos λθ`` about a corner."""
    part = 0 if arguments["cosine"] else 1

    def function(x: Any) -> Any:
        place = corner_polar(x, arguments)
        return np.concatenate([power(complex(e), *place)[part] for e in arguments["exponents"]], axis=1)

    return function


def elastic_corner(arguments: dict[str, Any], weights: Weights) -> Function:
    """``z^λ`` and ``z* z^(λ-1)`` about a corner, real and imaginary parts."""
    powers = [complex(real, sign * im) for real, im in arguments["exponents"] for sign in ((1, -1) if im else (1,))]

    def function(x: Any) -> Any:
        log_r, angle = corner_polar(x, arguments)
        across, up, columns = np.exp(log_r) * np.cos(angle), -np.exp(log_r) * np.sin(angle), []
        for exponent in powers:
            real, imaginary = power(exponent - 1, log_r, angle)
            columns += [*power(exponent, log_r, angle), across * real - up * imaginary, across * imaginary + up * real]
        return np.concatenate(columns, axis=1)

    return function


def multipoles(arguments: dict[str, Any], weights: Weights) -> Function:
    """``log r`` and ``(radius / z)^k`` about the centre of a hole."""

    def function(x: Any) -> Any:
        log_r, angle = polar(x, arguments["center"], 0.0)
        log_r = np.maximum(log_r - math.log(arguments["radius"]), math.log(NEAREST))
        columns = [log_r]
        for k in range(1, arguments["order"] + 1):
            columns += [np.exp(-k * log_r) * np.cos(k * angle), -np.exp(-k * log_r) * np.sin(k * angle)]
        return np.concatenate(columns, axis=1)

    return function


def constrained(arguments: dict[str, Any], weights: Weights) -> Function:
    """``φ ψ_1, ..., φ ψ_m, g`` with φ zero on all pieces."""
    inner = built(arguments["inner"], below(weights, "inner."))
    conditions = list(zip(arguments["pieces"], arguments["values"], strict=True))

    def function(x: Any) -> Any:
        distance: Any = None
        value: Any = 0.0
        for pieces, coefficients in conditions:
            own, its = None, chebyshev(coefficients, x, arguments["low"], arguments["high"])
            for piece in pieces:
                own = together(own, piece_distance(piece, x))
            value = its if distance is None else (value * own + its * distance) / (distance + own)
            distance = together(distance, own)
        return np.concatenate([distance * inner(x), value], axis=1)

    return function


def together(a: Any, b: Any) -> Any:
    """Equivalence of two distances; None is none."""
    return b if a is None else a * b / (a + b)


def piece_distance(piece: list[float], x: Any) -> Any:
    """φ (n, 1) of a point, a segment or an arc at points (n, d)."""
    if len(piece) == 1:
        return np.abs(x[:, :1] - piece[0])
    if len(piece) == 4:
        (ax, ay), (bx, by) = piece[:2], piece[2:]
        length, dx, dy = math.hypot(bx - ax, by - ay), x[:, :1], x[:, 1:2]
        f = ((bx - ax) * (dy - ay) - (by - ay) * (dx - ax)) / length
        trim = (length / 2) ** 2 - (dx - (ax + bx) / 2) ** 2 - (dy - (ay + by) / 2) ** 2
        return trimmed(f, trim / length)
    cx, cy, rx, ry, angle, start, end = piece
    c, s, dx, dy = math.cos(angle), math.sin(angle), x[:, :1] - cx, x[:, 1:2] - cy
    p, q = (c * dx + s * dy) / rx, (c * dy - s * dx) / ry
    level, least = 1 - p**2 - q**2, min(rx, ry)
    slope = 2 / rx if rx == ry else 2 * np.sqrt((p / rx) ** 2 + (q / ry) ** 2 + (level / least) ** 2)
    f = (1.0 if end > start else -1.0) * level / slope
    if abs(end - start) >= 2 * math.pi * (1 - 1e-12):
        return np.abs(f)
    middle, half = (start + end) / 2, abs(end - start) / 2
    return trimmed(f, (math.cos(middle) * p + math.sin(middle) * q - math.cos(half)) * least)


def trimmed(f: Any, t: Any) -> Any:
    """``sqrt(f² + s²)`` with ``s = (sqrt(t² + f⁴) - t) / 2``; for positive t without cancellation."""
    root, positive = np.sqrt(t**2 + f**4), t > 0
    share = f**3 / np.where(positive, 2 * (root + t), 1.0)
    return np.where(positive, np.abs(f) * np.sqrt(1 + share**2), np.sqrt(f**2 + ((root - t) / 2) ** 2))


def chebyshev(coefficients: list[float], x: Any, low: list[float], high: list[float]) -> Any:
    """A tensor Chebyshev polynomial over a box, the last axis fastest: (n, 1) at points (n, d)."""
    d = len(low)
    n = round(len(coefficients) ** (1 / d))
    table: Any = np.array(coefficients)[None]
    for k in range(d):
        t = (2 * x[:, k : k + 1] - low[k] - high[k]) / (high[k] - low[k])
        rest = n ** (d - 1 - k)
        columns = [table[:, j * rest : (j + 1) * rest] for j in range(n)]
        table = sum(b * column for b, column in zip(polynomials(t, n), columns, strict=True))
    return table


# Networks: features (n, m) to values.

ACTIVATIONS: dict[str, Function] = {
    "relu": lambda z: np.maximum(z, 0),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / math.sqrt(2)).astype(z.dtype)),
    "tanh": np.tanh,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.maximum(z, 0) + np.log(1 + np.exp(-np.abs(z))),
    "linear": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
}


def mlp(arguments: dict[str, Any], weights: Weights) -> Function:
    """Linear layers with one activation between them."""
    layers = [(weights[f"layers.{k}.weight"].T, weights[f"layers.{k}.bias"]) for k in range(arguments["depth"] + 1)]
    names = [arguments["activation"]] * arguments["depth"] + [arguments["output"]]

    def function(z: Any) -> Any:
        for (weight, bias), name in zip(layers, names, strict=True):
            z = ACTIVATIONS[name](z @ weight + bias)
        return z

    return function


def siren(arguments: dict[str, Any], weights: Weights) -> Function:
    """Layers ``sin(ω (W x + b))`` and a linear one."""
    layers = [(weights[f"layers.{k}.weight"].T, weights[f"layers.{k}.bias"]) for k in range(arguments["depth"] + 1)]
    omegas = [arguments["first_omega0"]] + [arguments["omega0"]] * (arguments["depth"] - 1)

    def function(z: Any) -> Any:
        for (weight, bias), omega in zip(layers[:-1], omegas, strict=True):
            z = np.sin(omega * (z @ weight + bias))
        return z @ layers[-1][0] + layers[-1][1]

    return function


def grid_decoder(arguments: dict[str, Any], weights: Weights) -> Function:
    """A linear map plus a perceptron of smooth rectified units."""
    hidden = [weights["first"], *(weights[f"middle.{k}"] for k in range(arguments["depth"] - 1))]

    def function(z: Any) -> Any:
        h = z
        for k, weight in enumerate(hidden):
            s = h @ weight + weights[f"biases.{k}"]
            h = 0.25 * np.clip(s + 1, 0, 2) ** 2 + np.maximum(s - 1, 0)
        return z @ weights["skip"] + h @ weights["last"] + weights["last_bias"]

    return function


BUILDERS: dict[str, Callable[..., Function]] = {
    "NeuralField": neural_field,
    "SlabField": slab_field,
    "SteppedField": stepped_field,
    "SplineField": spline_field,
    "Identity": lambda arguments, weights: lambda x: x,
    "Positional": positional,
    "FourierFeatures": fourier_features,
    "RandomFeatures": ridges,
    "Ridges": ridges,
    "Separable": separable,
    "Products": products,
    "Joined": joined,
    "SplineGrid": spline_grid,
    "CornerFunctions": corner_functions,
    "ElasticCorner": elastic_corner,
    "Multipoles": multipoles,
    "Constrained": constrained,
    "MLP": mlp,
    "Siren": siren,
    "GridDecoder": grid_decoder,
    "Linear": lambda arguments, weights: lambda z: z @ weights["weight"],
}
