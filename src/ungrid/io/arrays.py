"""Samples from numpy arrays, and the rules that turn stored numbers into values.

Convention: pictures and clips are values in [0, 1] (8- and 16-bit integers are divided by 255 and 65535; floats stay),
sounds are values in [-1, 1] (16-bit integers are divided by 32768), volumes and grids keep their own units. Without a
spacing the longest axis spans [-1, 1] and all axes share one scale.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.sampling import GridSamples

AXES = {
    "audio": ("t",),
    "image": ("y", "x"),
    "video": ("t", "y", "x"),
    "volume": ("z", "y", "x"),
}
_COLORS = {1: ("grey",), 2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


def color_names(channels: int) -> tuple[str, ...]:
    """The names of a picture's channels: grey, red, green, blue, alpha; channel_1, ... for five and more."""
    return _COLORS.get(channels) or numbered("channel", channels)


def numbered(name: str, count: int) -> tuple[str, ...]:
    """`name` itself for one, ``name_1``, ``name_2``, ... for several."""
    return (name,) if count == 1 else tuple(f"{name}_{k + 1}" for k in range(count))


def value_range(values: np.ndarray) -> float:
    """Largest minus smallest finite value; 1 if they are equal.

    Raises:
        InputError: if no value is finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise InputError("samples of which none is a finite number", "at least two finite values")
    return float(finite.max()) - float(finite.min()) or 1.0


def check_samples(shape: tuple[int, ...], what: str) -> None:
    """Refuse signals of fewer than two samples: a field needs an extent.

    Raises:
        InputError: if an axis is empty or the whole has a single sample.
    """
    if not shape or min(shape) < 1 or int(np.prod(shape)) < 2:
        raise InputError(f"{what} of shape {shape}", "at least two samples")


def scaled(array: np.ndarray) -> np.ndarray:
    """Stored picture samples as float32: uint8, uint16 and bool onto [0, 1], other numbers as they are."""
    if array.dtype == np.bool_:
        return array.astype(np.float32)
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    return array.astype(np.float32)


def picture_peak(array: np.ndarray, values: np.ndarray) -> float:
    """1 for integer pictures and for floats within [0, 1], else the range of the values."""
    if array.dtype in (np.uint8, np.uint16, np.bool_):
        return 1.0
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)  # fmin passes over NaN
    return 1.0 if 0 <= low and 0 < high <= 1 else value_range(values)


def from_array(array: np.ndarray, kind: str | None = None, *, spacing: Sequence[float] | None = None) -> GridSamples:
    """Samples from a numpy array.

    Args:
        array: (N,) or (N, c) sound; (H, W) or (H, W, c) picture; (D, H, W) volume; (T, H, W, c) clip.
        kind: "audio", "image", "video" or "volume"; None takes it from the shape: three axes are
            a picture if the last has at most 4 entries, a volume if it has more.
        spacing: the distance of neighbouring samples along each axis (seconds for the t of sounds and clips); None
            for the axes of pictures, where the longest spans [-1, 1].

    Returns:
        The samples; values float32 with channels last.

    Raises:
        InputError: if the shape fits no kind, the numbers are not real, or there are fewer than two samples.
    """
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind not in "buif":
        raise InputError(f"an array of {array.dtype}", "real numbers")
    kind = _kind_of(array.shape) if kind is None else kind
    if kind not in AXES:
        raise InputError(f"kind {kind!r}", f"one of {', '.join(AXES)}")
    names = AXES[kind]
    if array.ndim == len(names):
        array = array[..., None]
    if array.ndim != len(names) + 1 or array.shape[-1] == 0:
        raise InputError(f"an array of shape {array.shape} as {kind}", f"axes {', '.join(names)} and channels")
    shape = array.shape[:-1]
    check_samples(shape, kind)
    values, peak = _values(array, kind)
    metadata: dict[str, Any] = {"format": "array", "dtype": str(array.dtype)}
    return GridSamples(_grid(shape, names, kind, spacing), values, _names(kind, array.shape[-1]), kind, peak, metadata)


def _kind_of(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return "image" if shape[-1] <= 4 else "volume"
    by_dimension = {1: "audio", 2: "image", 4: "video"}
    if len(shape) not in by_dimension:
        raise InputError(f"an array of shape {shape}", "(N,), (H, W), (H, W, c), (D, H, W) or (T, H, W, c)")
    return by_dimension[len(shape)]


def _values(array: np.ndarray, kind: str) -> tuple[np.ndarray, float]:
    if kind in ("image", "video"):
        values = scaled(array)
        return values, picture_peak(array, values)
    if kind == "audio":
        return array.astype(np.float32) / np.float32(32768 if array.dtype == np.int16 else 1), 2.0
    values = array.astype(np.float32)
    return values, value_range(values)


def _names(kind: str, channels: int) -> tuple[str, ...]:
    return color_names(channels) if kind in ("image", "video") else numbered("value", channels)


def _grid(shape: tuple[int, ...], names: tuple[str, ...], kind: str, spacing: Sequence[float] | None) -> RegularGrid:
    if spacing is None:
        return RegularGrid.isotropic(shape, names)
    if len(spacing) != len(shape) or not all(step > 0 for step in spacing):
        raise InputError(f"spacing {tuple(spacing)}", f"{len(shape)} positive numbers, one for each axis")
    timed = kind in ("audio", "video")
    axes = (
        Axis(name, 0.0, n * float(step), "s" if timed and name == "t" else "")
        for name, n, step in zip(names, shape, spacing, strict=True)
    )
    return RegularGrid(Box(*axes), shape)
