"""Outlines in the ASCII form of DXF (Autodesk, DXF reference, group codes).

Convention: the parts are named after the layers (layer 0: ``boundary``); the unit is that of ``$INSUNITS``. Read are
LINE, LWPOLYLINE and POLYLINE with bulges, ARC, CIRCLE and ELLIPSE of the ENTITIES section; texts, dimensions, points and
the like are passed over.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Curve, Segment
from ungrid.io.drawings import bulged

UNITS = {1: "inch", 2: "ft", 4: "mm", 5: "cm", 6: "m", 13: "um", 14: "dm"}
_UNREAD = ("SPLINE", "INSERT", "3DFACE", "SOLID", "HATCH", "REGION", "MLINE")  # shapes that may bound a region
Pairs = list[tuple[int, str]]


def read_dxf(file: Path) -> tuple[list[Curve], str]:
    """The lines and arcs of a drawing, and its unit (empty if it names none).

    Raises:
        InputError: if the file is binary or damaged, or holds shapes that are not lines or arcs.
    """
    pairs = _pairs(file)
    curves: list[Curve] = []
    for kind, entity in _entities(pairs, file):
        if kind in _UNREAD:
            raise InputError(f"{file} with a {kind}", f"only {', '.join(_READERS)}", "explode it into lines and arcs")
        if kind in _READERS:
            _check_plane(entity, kind, file)
            curves += _READERS[kind](entity, _layer(entity))
    return curves, _unit(pairs)


def _pairs(file: Path) -> Pairs:
    data = file.read_bytes()
    if data.startswith(b"AutoCAD Binary DXF"):
        raise InputError(f"{file} in the binary form of DXF", "the ASCII form", "save it as ASCII DXF")
    lines = data.decode("utf-8", errors="replace").splitlines()
    try:
        return [(int(code), value.strip()) for code, value in zip(lines[::2], lines[1::2], strict=False)]
    except ValueError as error:
        raise InputError(f"{file}: {error}", "a DXF file: pairs of a group code and a value") from error


def _entities(pairs: Pairs, file: Path) -> Iterator[tuple[str, Pairs]]:
    """The entities of the section ENTITIES, the vertices of a POLYLINE among its own pairs."""
    start = next((k for k, pair in enumerate(pairs) if pair == (2, "ENTITIES")), None)
    if start is None:
        raise InputError(f"{file} without the section ENTITIES", "a DXF drawing")
    kind, entity = "", Pairs()
    for code, value in pairs[start + 1 :]:
        if code != 0 or (value in ("VERTEX", "SEQEND") and kind == "POLYLINE"):
            entity.append((code, value))
            continue
        if kind:
            yield kind, entity
        if value == "ENDSEC":
            return
        kind, entity = value, []
    if kind:
        yield kind, entity


def _number(entity: Pairs, code: int, default: float | None = None) -> float:
    for key, value in entity:
        if key == code:
            return float(value)
    if default is None:
        raise InputError(f"a DXF entity without the group code {code}", "a complete file")
    return default


def _place(entity: Pairs, code: int) -> tuple[float, float]:
    return _number(entity, code), _number(entity, code + 10)


def _layer(entity: Pairs) -> str:
    name = next((value for code, value in entity if code == 8), "0")
    return "boundary" if name == "0" else name


def _check_plane(entity: Pairs, kind: str, file: Path) -> None:
    normal = _number(entity, 230, 1.0)
    if abs(normal - 1) > 1e-9:
        raise InputError(f"{file} with a {kind} whose normal has z = {normal:g}", "a drawing in the x-y plane")


def _line(entity: Pairs, name: str) -> list[Curve]:
    a, b = _place(entity, 10), _place(entity, 11)
    return [Segment(a, b, name)] if a != b else []


def _circle(entity: Pairs, name: str) -> list[Curve]:
    radius = _number(entity, 40)
    return [Arc(_place(entity, 10), (radius, radius), name=name)]


def _arc(entity: Pairs, name: str) -> list[Curve]:
    """Counter-clockwise from the first angle to the second, in degrees."""
    radius, (start, end) = _number(entity, 40), np.radians([_number(entity, 50), _number(entity, 51)])
    sweep = float(np.mod(end - start, 2 * np.pi)) or 2 * np.pi
    return [Arc(_place(entity, 10), (radius, radius), 0.0, float(start), float(start) + sweep, name)]


def _ellipse(entity: Pairs, name: str) -> list[Curve]:
    """The major axis as a vector, the ratio of the minor one, and the eccentric angles in radians."""
    x, y = _place(entity, 11)
    major, ratio = float(np.hypot(x, y)), _number(entity, 40)
    start, end = _number(entity, 41, 0.0), _number(entity, 42, 2 * np.pi)
    sweep = float(np.mod(end - start, 2 * np.pi))
    sweep = 2 * np.pi if sweep < 1e-9 or 2 * np.pi - sweep < 1e-9 else sweep
    return [Arc(_place(entity, 10), (major, ratio * major), float(np.arctan2(y, x)), start, start + sweep, name)]


def _light_polyline(entity: Pairs, name: str) -> list[Curve]:
    vertices: list[list[float]] = []
    for code, value in entity:
        if code == 10:
            vertices.append([float(value), 0.0, 0.0])
        elif code in (20, 42) and vertices:
            vertices[-1][1 if code == 20 else 2] = float(value)
    return _through(vertices, bool(int(_number(entity, 70, 0)) & 1), name)


def _old_polyline(entity: Pairs, name: str) -> list[Curve]:
    starts = [k for k, pair in enumerate(entity) if pair in ((0, "VERTEX"), (0, "SEQEND"))]
    parts = [entity[a:b] for a, b in itertools.pairwise(starts)]
    vertices = [[*_place(part, 10), _number(part, 42, 0.0)] for part in parts]
    return _through(vertices, bool(int(_number(entity[: starts[0]] if starts else entity, 70, 0)) & 1), name)


def _through(vertices: list[list[float]], closed: bool, name: str) -> list[Curve]:
    following = vertices[1:] + (vertices[:1] if closed else [])
    pairs = zip(vertices[: len(following)], following, strict=True)
    return [
        bulged(np.array(a[:2]), np.array(b[:2]), a[2], name) for a, b in pairs if np.hypot(a[0] - b[0], a[1] - b[1]) > 0
    ]


def _unit(pairs: Pairs) -> str:
    place = next((k for k, pair in enumerate(pairs) if pair == (9, "$INSUNITS")), None)
    return "" if place is None or place + 1 >= len(pairs) else UNITS.get(int(pairs[place + 1][1]), "")


_READERS: dict[str, Callable[[Pairs, str], list[Curve]]] = {
    "LINE": _line,
    "LWPOLYLINE": _light_polyline,
    "POLYLINE": _old_polyline,
    "ARC": _arc,
    "CIRCLE": _circle,
    "ELLIPSE": _ellipse,
}
