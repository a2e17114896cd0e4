"""How spoilt a picture is: the noise in it, and how strongly JPEG has packed it.

A network that has learned from clean pictures takes noise and the blocks of JPEG for detail. Which of the shipped models
suits a picture is decided by two numbers that can be measured without knowing the truth.
"""

import math
import os

import numpy as np
from PIL import Image
from scipy.ndimage import convolve

from ungrid.io.files import decoding, existing_file

NOISY, PACKED = (
    2.0,
    90.0,
)  # of 255, and JPEG's quality: beyond these the model for clean pictures may fall below bicubic
BLOCK = 16  # pixels of the squares over which noise is measured
QUIET = 10  # per cent of the squares that count as without structure
MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)  # blind to ramps and edges along the axes
LUMINANCE_SUM = 3692  # of the 64 numbers in annex K.1 of ITU-T T.81: quality 50


def noise_level(picture: np.ndarray) -> float:
    """The standard deviation of the noise in a picture (h, w, 3) in [0, 1], in steps of 1 / 255.

    By the mean absolute response to a mask that structures hardly excite (Immerkær 1996, equation 3), over squares of 16
    pixels, of which those with the least response count: texture is not noise. Squares of one colour are left out. Noise is
    in the differences of the colours as much as in each, texture mostly in all alike: the least of three measures is taken
    (0 for grey pictures, of whose texture nothing can be told).
    """
    red, green, blue = np.moveaxis(np.asarray(picture, dtype=np.float32), -1, 0)
    parts = ((red + green + blue) / 3**0.5, (red - green) / 2**0.5, (blue - green) / 2**0.5)  # each with one's variance
    return 255 * min(_deviation(part) for part in parts)


def _deviation(plane: np.ndarray) -> float:
    """The standard deviation of the noise in a plane (h, w)."""
    h, w = (n - n % BLOCK for n in plane.shape)
    if not h or not w:
        return 0.0
    response = np.abs(convolve(plane, MASK, mode="reflect"))[:h, :w]
    squares = response.reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK).mean(axis=(1, 3)).ravel()
    squares = squares[squares > 0]
    return math.sqrt(math.pi / 2) / 6 * float(np.percentile(squares, QUIET)) if len(squares) else 0.0


def jpeg_quality(path: str | os.PathLike[str]) -> float | None:
    """The quality, 1 to 100, with which a JPEG file was packed, by its table for luminance; None for other files.

    Raises:
        InputError: if there is no such file.
    """
    file = existing_file(path)
    with decoding(file, "a picture"):
        with open(file, "rb") as stream:
            if stream.read(2) != b"\xff\xd8":
                return None
        with Image.open(file, formats=["JPEG", "MPO"]) as image:
            tables = getattr(image, "quantization", {})
    if 0 not in tables:
        return None
    scale = 100 * sum(tables[0]) / LUMINANCE_SUM  # per cent of the standard's table
    return min(100.0, (200 - scale) / 2 if scale <= 100 else 5000 / scale)


def is_spoilt(path: str | os.PathLike[str], picture: np.ndarray) -> str:
    """Why a picture needs the model for spoilt ones; empty if it does not."""
    quality = jpeg_quality(path)
    if quality is not None and quality < PACKED:
        return f"JPEG of quality {quality:.0f}"
    noise = noise_level(picture)
    return f"noise of {noise:.1f} / 255" if noise > NOISY else ""
