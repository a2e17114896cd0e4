"""The size of a scene: photographs do not know it, a length that somebody measured does."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.fields import RadianceField
from ungrid.io.scenes import Scene, View
from ungrid.radiance.render import MET, Renderer
from ungrid.sampling import CameraArrays

NUMBER = r"(\d+\.?\d*|\.\d+)"
LENGTH = re.compile(rf"\s*{NUMBER}\s*([A-Za-zµ]*)\s*")
MARK = re.compile(rf"(.+):{NUMBER},{NUMBER}")


def scaled(field: RadianceField, factor: float, unit: str) -> RadianceField:
    """The same scene with all lengths multiplied by a factor, in another unit.

    Raises:
        InputError: if the factor is not a positive number.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise InputError(f"a scale of {factor}", "a positive number")
    given: dict[str, Any] = field.arguments()
    axes = [Axis(axis.name, factor * axis.low, factor * axis.high, unit) for axis in field.domain.axes]
    shrunk = np.reshape(field.frame, (4, 4)) @ np.diag([1 / factor, 1 / factor, 1 / factor, 1.0])
    view = dict(field.view)
    if "poses" in view:
        view["poses"] = [_moved(pose, factor) for pose in view["poses"]]
    found = type(field)(**{**given, "domain": Box(*axes), "frame": tuple(shrunk.ravel().tolist()), "view": view})
    found.load_state_dict(field.state_dict())
    return found


def _moved(pose: list[float], factor: float) -> list[float]:
    matrix = np.reshape(pose, (4, 4)).copy()
    matrix[:3, 3] *= factor
    return list(matrix.ravel().tolist())


def scale_of(field: RadianceField, scene: Scene, first: str, second: str, length: str) -> tuple[float, str]:
    """The factor and the unit that give the distance between two marks a length.

    Args:
        field: of the scene.
        scene: with the photographs.
        first: a mark, ``PHOTOGRAPH:X,Y`` in pixels of the upright photograph from its upper left corner.
        second: another one.
        length: such as ``120mm``.

    Raises:
        InputError: if a mark or the length cannot be read, a mark shows nothing solid, or both show one place.
    """
    number, unit = _length(length)
    renderer = Renderer(field)
    one, other = (_place(renderer, scene, mark) for mark in (first, second))
    apart = float(np.linalg.norm(one - other))
    if apart == 0:
        raise InputError(f"the marks {first} and {second} at one place", "two places")
    return number / apart, unit


def check_marks(scene: Scene | None, first: str, second: str, length: str) -> None:
    """Refuses, before there is a field, what `scale_of` could not read; without a scene, what no scene could have.

    Raises:
        InputError: if a mark or the length cannot be read, or a mark is in no photograph.
    """
    _length(length)
    if first == second:
        raise InputError(f"the mark {first} twice", "two places")
    for mark in (first, second):
        if scene is None:
            _read(mark)
        else:
            _pixel(scene, mark)


def _length(text: str) -> tuple[float, str]:
    """The number and the unit of a length."""
    read = LENGTH.fullmatch(text)
    if read is None or not 0 < float(read[1]) < np.inf:
        raise InputError(f"the length {text!r}", "a positive number with its unit, such as 120mm")
    return float(read[1]), read[2]


def _read(mark: str) -> tuple[str, float, float]:
    """Photograph, column and row."""
    read = MARK.fullmatch(mark)
    if read is None:
        raise InputError(f"the mark {mark!r}", "PHOTOGRAPH:X,Y, such as IMG_0012.jpg:833,1024")
    return read[1], float(read[2]), float(read[3])


def _pixel(scene: Scene, mark: str) -> tuple[View, np.ndarray]:
    """The photograph of a mark, and the place in it, (1, 2), column and row."""
    name, x, y = _read(mark)
    view = _named(scene, name)
    pixel = np.array([[x, y]]) / view.shrink
    if (pixel > (view.camera.width, view.camera.height)).any():
        raise InputError(
            f"the mark {mark!r} beside its photograph", f"{view.camera.width} x {view.camera.height} pixels"
        )
    return view, pixel


def _place(renderer: Renderer, scene: Scene, mark: str) -> np.ndarray:
    """Where the field is under a mark, (3,)."""
    view, pixel = _pixel(scene, mark)
    origins, directions = CameraArrays.of([view.camera]).rays(np.zeros(1, np.int64), pixel)
    place, opacity = renderer.places(origins, directions)
    if opacity[0] < MET:
        raise InputError(
            f"the mark {mark!r}, under which the field is {opacity[0]:.0%} opaque", "a mark on something solid"
        )
    return np.asarray(place[0])


def _named(scene: Scene, name: str) -> View:
    every = scene.views + scene.held_out
    for view in every:
        if name in (view.name, view.path.name, view.path.stem, Path(view.name).name):
            return view
    raise InputError(f"no photograph {name!r}", f"one of {', '.join(view.path.name for view in every[:20])}")
