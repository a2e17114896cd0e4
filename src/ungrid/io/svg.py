"""Outlines in SVG (W3C, SVG 1.1 second edition, chapters 7 to 9 and appendix F.6).

Convention: y is turned to point upwards, with 0 at the bottom of the view box if the file has one; lengths are in the
file's user units. The parts are named after the ``id`` of the shapes (without one: ``boundary``). Lines and elliptic
arcs are exact; Bezier curves become polylines of 64 chords. Shapes in ``defs`` and the like are passed over.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Curve, Segment
from ungrid.domains.curves import pair
from ungrid.io.drawings import transformed

CHORDS = 64  # of a Bezier curve
_HIDDEN = ("defs", "clipPath", "mask", "symbol", "marker", "pattern", "metadata", "title", "desc", "style")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMAND = re.compile(r"([MmLlHhVvCcSsQqTtAaZz])([^MmLlHhVvCcSsQqTtAaZz]*)")
_COUNT = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7}
Map = tuple[np.ndarray, np.ndarray]


def read_svg(file: Path) -> list[list[Curve]]:
    """The closed shapes of a drawing, each as a loop of lines and arcs.

    Raises:
        InputError: if the file is damaged, or a path does not close; the message names the path.
    """
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        raise InputError(f"{file}: {error}", "an SVG file") from error
    start = np.diag([1.0, -1.0]), np.array([0.0, _bottom(root)])
    loops = [loop for element, affine in _shapes(root, start) for loop in _loops(element, affine)]
    if not loops:
        raise InputError(f"{file} without closed shapes", "paths, polygons, rectangles, circles or ellipses")
    return loops


def _bottom(root: ElementTree.Element) -> float:
    view = _numbers(root.get("viewBox", ""))
    return view[1] + view[3] if len(view) == 4 else 0.0


def _numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


def _shapes(element: ElementTree.Element, affine: Map) -> Iterator[tuple[ElementTree.Element, Map]]:
    """All shapes with the maps from their coordinates to the drawing's."""
    if _tag(element) in _HIDDEN:
        return
    affine = _composed(affine, _transform(element.get("transform", "")))
    if _tag(element) in _READERS:
        yield element, affine
    for child in element:
        yield from _shapes(child, affine)


def _composed(outer: Map, inner: Map) -> Map:
    return outer[0] @ inner[0], outer[0] @ inner[1] + outer[1]


def _transform(text: str) -> Map:
    result: Map = np.eye(2), np.zeros(2)
    for name, arguments in re.findall(r"(\w+)\s*\(([^)]*)\)", text):
        result = _composed(result, _one_transform(name, _numbers(arguments)))
    return result


def _one_transform(name: str, values: list[float]) -> Map:
    zero = np.zeros(2)
    if name == "matrix":
        return np.array(values[:4]).reshape(2, 2).T, np.array(values[4:])
    if name == "translate":
        return np.eye(2), np.array([*values, 0.0][:2])
    if name == "scale":
        return np.diag([values[0], values[-1]]), zero
    if name == "rotate":
        c, s = np.cos(np.radians(values[0])), np.sin(np.radians(values[0]))
        turn, about = np.array([[c, -s], [s, c]]), np.array(values[1:3] or [0.0, 0.0])
        return turn, about - turn @ about
    if name in ("skewX", "skewY"):
        slope = np.tan(np.radians(values[0]))
        return np.array([[1.0, slope], [0.0, 1.0]] if name == "skewX" else [[1.0, 0.0], [slope, 1.0]]), zero
    raise InputError(f"the SVG transform {name!r}", "matrix, translate, scale, rotate, skewX or skewY")


def _loops(element: ElementTree.Element, affine: Map) -> list[list[Curve]]:
    name = element.get("id", "boundary")
    loops = _READERS[_tag(element)](element, name)
    return [[transformed(curve, *affine) for curve in loop] for loop in loops]


def _value(element: ElementTree.Element, key: str, default: float = 0.0) -> float:
    found = _numbers(element.get(key, ""))
    return found[0] if found else default


def _circle(element: ElementTree.Element, name: str) -> list[list[Curve]]:
    radius = _value(element, "r")
    radii = (_value(element, "rx", radius), _value(element, "ry", radius))
    return [[Arc((_value(element, "cx"), _value(element, "cy")), radii, name=name)]]


def _rectangle(element: ElementTree.Element, name: str) -> list[list[Curve]]:
    """With rounded corners where rx or ry says so."""
    x, y, w, h = (_value(element, key) for key in ("x", "y", "width", "height"))
    rx = _value(element, "rx", _value(element, "ry"))
    ry = _value(element, "ry", rx)
    rx, ry = min(rx, w / 2), min(ry, h / 2)
    if min(rx, ry) <= 0:
        return [_polyline([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], name)]
    d = (
        f"M{x + rx},{y} H{x + w - rx} A{rx},{ry} 0 0 1 {x + w},{y + ry} V{y + h - ry} A{rx},{ry} 0 0 1 {x + w - rx},{y + h}"
        f" H{x + rx} A{rx},{ry} 0 0 1 {x},{y + h - ry} V{y + ry} A{rx},{ry} 0 0 1 {x + rx},{y} Z"
    )
    return _path_loops(d, name)


def _polygon(element: ElementTree.Element, name: str) -> list[list[Curve]]:
    values = _numbers(element.get("points", ""))
    return [_polyline(list(zip(values[::2], values[1::2], strict=False)), name)]


def _polyline(points: list[tuple[float, float]], name: str) -> list[Curve]:
    following = points[1:] + points[:1]
    return [Segment(a, b, name) for a, b in zip(points, following, strict=True) if a != b]


def _path(element: ElementTree.Element, name: str) -> list[list[Curve]]:
    return _path_loops(element.get("d", ""), name)


def _path_loops(d: str, name: str) -> list[list[Curve]]:
    """The subpaths; each must end where it began, or be closed by Z."""
    loops: list[list[Curve]] = []
    pen = _Pen(name)
    for letter, text in _COMMAND.findall(d):
        if letter in "Zz":
            pen.close()
            loops, pen.curves = [*loops, pen.curves], []
            continue
        for values in _arguments(letter, text):
            if letter in "Mm" and pen.fresh:
                loops, pen.curves = [*loops, pen.finished()], []
            pen.draw(letter, values)
        pen.fresh = True
    loops.append(pen.finished())
    return [loop for loop in loops if loop]


def _arguments(letter: str, text: str) -> Iterator[list[float]]:
    """The numbers in groups, the flags of arcs also where no space divides them."""
    if letter in "Aa":
        flag = r"\s*,?\s*([01])"
        number = r"\s*,?\s*(" + _NUMBER.pattern + ")"
        for groups in re.findall(number * 3 + flag * 2 + number * 2, text):
            yield [float(group) for group in groups]
        return
    values, count = _numbers(text), _COUNT[letter.upper()]
    if not values or len(values) % count:
        raise InputError(f"the SVG path command {letter!r} with {len(values)} numbers", f"a multiple of {count}")
    for k in range(0, len(values), count):
        yield values[k : k + count]


class _Pen:
    """Where a path is drawing: its first and its current point, and the last control point of a Bezier curve."""

    def __init__(self, name: str) -> None:
        self.name, self.curves, self.fresh = name, list[Curve](), True
        self.first = self.at = self.control = np.zeros(2)

    def draw(self, letter: str, values: list[float]) -> None:
        upper, origin = letter.upper(), self.at if letter.islower() else np.zeros(2)
        if upper == "M" and self.fresh:
            self.first = self.at = self.control = origin + values
            self.fresh = False
        elif upper == "A":
            self._arc(values, origin + values[5:])
        elif upper in "CSQT":
            self._bezier(upper, (np.array(values).reshape(-1, 2) + origin))
        else:
            self._line(self._target(upper, values, origin, letter.islower()))

    def _target(self, upper: str, values: list[float], origin: np.ndarray, relative: bool) -> np.ndarray:
        if upper == "H":
            return np.array([origin[0] + values[0], self.at[1]])
        if upper == "V":
            return np.array([self.at[0], origin[1] + values[0]])
        return np.asarray(origin + values)

    def _line(self, end: np.ndarray) -> None:
        if (end != self.at).any():
            self.curves.append(Segment(pair(self.at), pair(end), self.name))
        self.at = self.control = end

    def _bezier(self, upper: str, points: np.ndarray) -> None:
        if upper in "ST":  # the first control point mirrors the last one
            points = np.concatenate([[2 * self.at - self.control], points])
        self.control, end = points[-2], points[-1]
        control = self.control
        whole = np.concatenate([[self.at], points])[:, None]
        s = np.linspace(0, 1, CHORDS + 1)[1:, None]
        while len(whole) > 1:  # de Casteljau 1959, for all parameters at once
            whole = (1 - s) * whole[:-1] + s * whole[1:]
        for place in whole[0][:-1]:
            self._line(place)
        self._line(end)
        self.control = control

    def _arc(self, values: list[float], end: np.ndarray) -> None:
        """From the end points to the center: appendix F.6.5 and F.6.6."""
        rx, ry, angle = abs(values[0]), abs(values[1]), float(np.radians(values[2]))
        if min(rx, ry) == 0 or (end == self.at).all():
            self._line(end)
            return
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        half = turn.T @ (self.at - end) / 2 / [rx, ry]
        square = float(half @ half)
        grow = max(1.0, float(np.sqrt(square)))
        half, square = half / grow, min(square, 1.0)
        sign = -1.0 if values[3] == values[4] else 1.0
        away = sign * np.sqrt(max(1 / square - 1, 0.0)) * np.array([half[1], -half[0]])
        radii = np.array([rx, ry]) * grow
        center = turn @ (away * radii) + (self.at + end) / 2
        start, stop = (float(np.arctan2(*p[::-1])) for p in (half - away, -half - away))
        sweep = float(np.mod(stop - start, 2 * np.pi)) - (0.0 if values[4] else 2 * np.pi)
        self.curves.append(Arc(pair(center), pair(radii), angle, start, start + sweep, self.name))
        self.at = self.control = end

    def close(self) -> None:
        self._line(self.first)
        self.fresh = True

    def finished(self) -> list[Curve]:
        """The subpath that ends here without Z: nothing, or one that has closed by itself."""
        curves, self.curves = self.curves, []
        if curves and np.linalg.norm(self.at - self.first) > 1e-9 * sum(curve.length for curve in curves):
            (x, y), (u, v) = self.at, self.first
            raise InputError(
                f"the open SVG path {self.name!r} from ({u:.6g}, {v:.6g}) to ({x:.6g}, {y:.6g})",
                "closed paths",
                "end it with Z",
            )
        return curves


_READERS: dict[str, Callable[[ElementTree.Element, str], list[list[Curve]]]] = {
    "circle": _circle,
    "ellipse": _circle,
    "rect": _rectangle,
    "polygon": _polygon,
    "path": _path,
}
