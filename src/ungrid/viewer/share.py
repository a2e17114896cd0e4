"""One HTML file that is the field: its numbers inside, evaluated in the browser, opened from disk.

Convention: the page holds its description as JSON (`description.py`) and the numbers as base64 of deflated bytes; scripts
and styles are the files of ``page/`` one after another. It names no address, and its content security policy forbids any.
"""

import base64
import html
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.version import __version__
from ungrid.domains import Box, Domain, Region, Segment, SpaceTime
from ungrid.encodings import SplineGrid
from ungrid.fields import Field, NeuralField
from ungrid.io.files import replacing
from ungrid.sampling import GridSamples
from ungrid.viewer.description import Entry, Numbers, describe, rounded

SCRIPTS = (
    "numbers.js", "functions.js", "evaluator.js", "equation_encodings.js", "composed.js", "shaders.js", "gpu.js", "plain.js",
    "colours.js", "readout.js",
)  # fmt: skip
VIEWS = {
    "picture": ("frames.js", "picture.js", "profile.js"),
    "sound": ("samples.js", "sound.js"),
    "scene": ("frames.js", "bricks.js", "scene_gpu.js", "orbit.js", "scene.js"),
}
SHAPE = ("orbit.js", "shape.js")  # before the views of a shape
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
PROBES = 4096  # random points at which the effect of rounding is measured
BITS = range(6, 16)  # of a rounded number, besides its sign
RANGE_SAMPLES = 1 << 16  # at which the least and the largest value are found
WEBP_LONGEST = 16383
BESIDE = {1: 801, 2: 161, 3: 33}  # points along every axis, on which a solution beside the field is compared with it
SOLID = 72  # points along the longest axis of the distances that rays are followed through first
ARC = 96  # points on a curve of an outline

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class SharedPage:
    """What was written.

    Attributes:
        path: the page.
        size: its bytes.
        rounding: the largest change of a value by rounded numbers at 4096 random points, in a scene of a colour of 4096
            rays; 0 where they are not rounded.
    """

    path: Path
    size: int
    rounding: float


def share(
    u: Field,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    facts: dict[str, Any] | None = None,
    against: GridSamples | None = None,
    beside: dict[str, Function] | None = None,
    tolerance: float = 0.0,
) -> SharedPage:
    """Write one HTML file that evaluates a field of a sound, a picture, a clip, a volume or an equation in the browser.

    Args:
        u: a field of one to three axes; of three the page shows slices.
        path: where to; ends in ``.html``.
        title: of the page; default: its file's name.
        facts: further lines about the field (method, PSNR, ...): names and texts.
        against: the picture that the field was fitted to, for the slider between its pixels and the field.
        beside: by their names other solutions, functions of points (n, d) with values (n, c): the page shows them and how far
            the field is from them, which is stored on a lattice of `BESIDE` points along every axis.
        tolerance: by how much values may change so that the numbers of a grid need fewer digits, in the values' units. The
            page then has about a third of the size, and says what was changed.

    Raises:
        InputError: if the page has no evaluator or no view for this field, the picture is of another kind, or the path
            cannot be written.
    """
    target = page_path(path)
    view = _view(u)
    numbers = Numbers()
    step, rounding = _step(u, tolerance)
    description = describe(u, numbers, step=step)
    metadata = u.metadata if isinstance(u, NeuralField) else {}
    compared = [_compared(u, name, other, numbers) for name, other in (beside or {}).items()]
    description |= {
        "title": title or target.stem,
        "view": view,
        "kind": metadata.get("kind", ""),
        "facts": _facts(u, facts, rounding),
        "range": _range(u),
        "metadata": {key: metadata[key] for key in ("sample_rate", "shape") if key in metadata},
        "beside": [entry for entry, _ in compared],
        "outline": outline(u.domain),
    }
    if metadata.get("kind") == "shape" and sorted(axis.name for axis in u.domain.axes) == ["x", "y", "z"]:
        description["solid"] = _solid(u, numbers)
    for entry, largest in compared:  # of the other solution, and of the difference
        description["facts"][f"Largest distance, {entry['name']}"] = f"{max(largest):.1e}"
        description["range"] += [*description["range"][: len(u.out_names)], *[[-most, most] for most in largest]]
    if against is not None:
        description["against"] = _picture(u, against)
    return SharedPage(target, write_page(target, description, numbers), rounding)


def page_path(path: str | os.PathLike[str]) -> Path:
    """The path of a page.

    Raises:
        InputError: if its name does not end as that of a page.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the name {target.name!r} for a page", "a name that ends in .html")
    return target


def write_page(target: Path, description: Entry, numbers: Numbers) -> int:
    """Write a description and its numbers as a page with the scripts of its view, and give its bytes.

    Raises:
        InputError: if it cannot be written.
    """
    content = _page(description, numbers)
    with replacing(target) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return target.stat().st_size


def _view(u: Field) -> str:
    views = {1: "sound", 2: "picture", 3: "picture"}
    if u.domain.dim not in views:
        raise InputError(
            f"a field of {u.domain.dim} axes for a page",
            "one axis (a sound), two (a picture) or three (a clip, a volume)",
        )
    return views[u.domain.dim]


def _facts(u: Field, given: dict[str, Any] | None, rounding: float) -> dict[str, str]:
    """The lines below the title."""
    count = sum(parameter.numel() for parameter in u.parameters())
    facts = {"Numbers": f"{count:,}".replace(",", " ")}
    if rounding:
        facts["Rounded"] = f"values change by up to {rounding:.1e}"
    return facts | {name: str(value) for name, value in (given or {}).items()}


def _step(u: Field, tolerance: float) -> tuple[float | None, float]:
    """The largest step of a grid's numbers that changes no value by more than `tolerance`, and what it changes.

    None where the field has no grid, or 16 bits are too few.
    """
    if not (isinstance(u, NeuralField) and isinstance(u.encoding, SplineGrid) and tolerance > 0):
        return None, 0.0
    place = np.random.default_rng(0).random((PROBES, u.domain.dim))
    points = u.domain.low + place * (u.domain.high - u.domain.low)
    values, largest = u(points), float(u.encoding.table.detach().abs().max())
    for bits in BITS:
        step = largest / 2**bits
        change = float(np.abs(rounded(u, step)(points) - values).max())
        if change <= tolerance:
            return step, change
    return None, 0.0


def _range(u: Field) -> list[list[float]]:
    """For every value its least and its largest one, on a lattice over the domain."""
    from ungrid.domains import RegularGrid

    side = round(RANGE_SAMPLES ** (1 / u.domain.dim))
    grid = RegularGrid(u.domain.box, (side,) * u.domain.dim)
    values = u.on_grid(grid).reshape(-1, len(u.out_names))
    values = values[u.domain.contains(grid.points().reshape(len(values), -1))]
    return [[float(low), float(high)] for low, high in zip(values.min(axis=0), values.max(axis=0), strict=True)]


def _compared(u: Field, name: str, other: Function, numbers: Numbers) -> tuple[Entry, list[float]]:
    """The differences from another solution on a lattice from edge to edge, and the largest one of every value."""
    counts = (BESIDE[u.domain.dim],) * u.domain.dim
    axes = [np.linspace(axis.low, axis.high, n) for axis, n in zip(u.domain.axes, counts, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, u.domain.dim)
    inside = u.domain.contains(points)
    values = np.full((len(points), len(u.out_names)), np.nan)
    values[inside] = u(points[inside]) - np.asarray(other(points[inside])).reshape(-1, len(u.out_names))
    step = (u.domain.high - u.domain.low) / (np.array(counts) - 1)
    stored = {"values": numbers.add(values), "low": u.domain.low.tolist(), "step": step.tolist(), "shape": list(counts)}
    return {"name": name, **stored}, np.maximum(np.nanmax(np.abs(values), axis=0), 1e-300).tolist()


def _solid(u: Field, numbers: Numbers) -> Entry:
    """The distances on a lattice from edge to edge, in 16 bits."""
    lengths = u.domain.high - u.domain.low
    counts = [max(2, round(SOLID * length / lengths.max())) for length in lengths]
    axes = [np.linspace(axis.low, axis.high, n) for axis, n in zip(u.domain.axes, counts, strict=True)]
    values = u(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    stored = numbers.add(values, "int16", float(np.abs(values).max()) / 32767)
    step = lengths / (np.array(counts) - 1)
    return {"values": stored, "low": u.domain.low.tolist(), "step": step.tolist(), "shape": counts}


def outline(domain: Domain) -> list[list[list[float]]]:
    """Polygons around a plane region, also where it stands over time; none for other domains and for boxes."""
    region = domain.region if isinstance(domain, SpaceTime) else domain
    if isinstance(region, Box) or not isinstance(region, Region) or region.dim != 2:
        return []
    found = []
    for loop in region.outline.loops:
        curves = [region.outline.pieces[number] for number in loop]
        parts = [curve.at(np.arange(n) / n) for curve in curves for n in [1 if isinstance(curve, Segment) else ARC]]
        found.append(np.concatenate(parts).tolist())
    return found


def _picture(u: Field, samples: GridSamples) -> Entry:
    """The pixels as an image inside the page."""
    if samples.kind != "image" or u.domain.dim != 2 or samples.out_names != u.out_names:
        given = f"samples of the kind {samples.kind!r} with {', '.join(samples.out_names)}"
        raise InputError(f"{given} beside this field", f"a picture with {', '.join(u.out_names)}")
    height, width = samples.grid.shape
    lengths = u.domain.high - u.domain.low
    if abs(lengths[0] / lengths[1] - height / width) > 0.5 / width:
        raise InputError(f"a picture of {width} x {height} pixels", f"sides as {lengths[1]:g} to {lengths[0]:g}")
    return {"width": width, "height": height, "source": _data_uri(samples.values)}


def _data_uri(values: np.ndarray) -> str:
    """8-bit pixels without loss: WebP, or PNG where a side is too long for it."""
    from PIL import Image

    pixels = np.rint(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    kind = "webp" if max(pixels.shape[:2]) <= WEBP_LONGEST else "png"
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(buffer, kind, **({"lossless": True, "exact": True} if kind == "webp" else {}))
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _page(description: Entry, numbers: Numbers) -> str:
    view = description["view"]
    solid = "solid" in description
    scripts = "\n".join(_asset(name) for name in (*SCRIPTS, *SHAPE * solid, *VIEWS[view], "start.js"))
    given = json.dumps({**description, "arrays": numbers.entries}, allow_nan=False).replace("<", "\\u003c")
    parts = {
        "TITLE": html.escape(description["title"]),
        "POLICY": POLICY,
        "VERSION": __version__,
        "STYLE": _asset("style.css"),
        "BODY": (_asset("shape.html") if solid else "") + _asset(f"{view}.html"),
        "DESCRIPTION": given,
        "NUMBERS": base64.b64encode(numbers.content()).decode("ascii"),
        "SCRIPTS": scripts,
    }
    first, *rest = _asset("page.html").split("{{")
    return first + "".join(parts[piece.split("}}", 1)[0]] + piece.split("}}", 1)[1] for piece in rest)


def _asset(name: str) -> str:
    return resources.files("ungrid.viewer").joinpath("page", name).read_text(encoding="utf-8")
