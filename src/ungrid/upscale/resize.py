"""Bicubic resizing as MATLAB's imresize does it, with which the benchmarks' small pictures were made.

Convention: arrays (h, w, c). Along an axis of n pixels that becomes ceil(n scale), output pixel o has its centre at
``u = (o + 1/2) / scale - 1/2``; shrinking widens Keys' kernel (1981, a = -1/2) by 1 / scale, so that it also smooths. Beyond
an edge the picture is reflected, the edge pixel repeated. The vertical pass comes first where the picture shrinks alike along
both axes. For uint8 every pass rounds half up and clips, as MATLAB does: equal inputs give the benchmarks' files to the pixel.
"""

import math

import numpy as np
from scipy.sparse import csr_array

from ungrid._base.errors import InputError


def keys_kernel(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def taps(size: int, target: int, scale: float, border: str = "symmetric") -> tuple[np.ndarray, np.ndarray]:
    """The pixels (target, k) that each output pixel sees along an axis, and their weights.

    Args:
        size: pixels of the axis.
        target: pixels of the result.
        scale: result pixels per pixel.
        border: symmetric, or replicate: the edge pixel goes on.
    """
    narrow = min(scale, 1.0)
    centre = (np.arange(target) + 0.5) / scale - 0.5
    width = 4 / narrow
    first = np.floor(centre - width / 2)
    places = (first[:, None] + np.arange(math.ceil(width) + 3)).astype(np.int64)
    weights = keys_kernel((centre[:, None] - places) * narrow)
    weights /= weights.sum(axis=1, keepdims=True)
    if border == "replicate":
        places = np.clip(places, 0, size - 1)
    else:
        places = np.mod(places, 2 * size)
        places = np.where(places >= size, 2 * size - 1 - places, places)
    used = np.flatnonzero(np.abs(weights).max(axis=0) > 0)
    return places[:, used], weights[:, used]


def resized(picture: np.ndarray, shape: tuple[int, int], scale: tuple[float, float] | None = None) -> np.ndarray:
    """The picture with another number of pixels.

    Args:
        picture: (h, w, c), uint8 (rounded after each pass) or floating point.
        shape: rows and columns of the result.
        scale: result pixels per pixel along each axis; None: the ratio of the sizes.

    Raises:
        InputError: if a size is not positive.
    """
    if min(*shape, *picture.shape[:2]) < 1:
        raise InputError(f"a picture of {picture.shape[:2]} to be resized to {shape}", "sizes of 1 and more")
    scale = scale or (shape[0] / picture.shape[0], shape[1] / picture.shape[1])
    kind = np.float64 if picture.dtype == np.uint8 else picture.dtype
    for axis in (0, 1) if scale[0] <= scale[1] else (1, 0):
        places, weights = taps(picture.shape[axis], shape[axis], scale[axis])
        begins = np.arange(0, places.size + 1, places.shape[1])
        product = csr_array((weights.ravel(), places.ravel(), begins), (shape[axis], picture.shape[axis]), dtype=kind)
        moved = np.moveaxis(picture, axis, 0)
        total = (product @ moved.reshape(len(moved), -1).astype(kind)).reshape(shape[axis], *moved.shape[1:])
        if picture.dtype == np.uint8:
            total = np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8)
        picture = np.moveaxis(total, 0, axis)
    return np.ascontiguousarray(picture)


def shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    """The benchmarks' small picture: cropped to a multiple of the factor, then resized."""
    h, w = (n - n % factor for n in picture.shape[:2])
    return resized(picture[:h, :w], (h // factor, w // factor), (1 / factor, 1 / factor))
