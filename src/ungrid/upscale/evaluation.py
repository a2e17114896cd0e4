"""How good enlargements are, by the benchmarks' protocols.

`benchmark` (Lim et al. 2017 and after): small pictures by MATLAB's imresize (`resize.shrunk`), the luminance of the
difference (ITU-R BT.601, 8 bits), `scale` pixels left out on each side, PSNR of each picture, then their mean. Outputs are
clipped to [0, 1] and not rounded to bytes, as in LIIF's evaluation. `div2k` (Chen, Liu and Wang 2021): all three colours,
scale + 6 pixels left out. For scales of 6 and more both take Pillow's antialiased bicubic interpolation from a picture
cropped to round(floor(n / scale) scale) pixels, as LIIF's authors do.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.upscale.resize import resized, shrunk

LUMINANCE = np.array([65.738, 129.057, 25.064]) / 256
MATLAB_SCALES = (2, 3, 4)
PROTOCOLS = ("benchmark", "div2k")

Enlarge = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""From a picture (h, w, 3), float32 in [0, 1], and the shape of the result to that."""


def pair(picture: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The small picture, and the part of the picture (h, w, 3) that is its truth; both uint8."""
    if scale in MATLAB_SCALES:
        whole = int(scale)
        h, w = (n - n % whole for n in picture.shape[:2])
        return shrunk(picture, whole), picture[:h, :w]
    rows, columns = (int(n / scale + 1e-9) for n in picture.shape[:2])
    if min(rows, columns) < 1:
        raise InputError(f"a picture of {picture.shape[:2]} at the scale {scale}", "a larger one")
    h, w = (round(n * scale) for n in (rows, columns))
    truth = picture[:h, :w]
    return np.asarray(Image.fromarray(truth).resize((columns, rows), Image.Resampling.BICUBIC)), truth


def benchmark_psnr(found: np.ndarray, truth: np.ndarray, shave: int, *, luminance: bool = True) -> float:
    """The PSNR in dB of pictures (h, w, 3) in [0, 1] without `shave` pixels on each side."""
    difference = (found.astype(np.float64) - truth)[shave : len(truth) - shave, shave : truth.shape[1] - shave]
    if luminance:
        difference = difference @ LUMINANCE
    return float(-10 * np.log10(np.mean(difference**2)))


def mean_psnr(enlarge: Enlarge, pictures: list[np.ndarray], scale: float, protocol: str = "benchmark") -> float:
    """The mean over pictures (h, w, 3) uint8 of their PSNR in dB at a scale.

    Raises:
        InputError: if there is no such protocol, or a picture is too small for the scale.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"the protocol {protocol!r}", " or ".join(PROTOCOLS))
    shave = int(np.ceil(scale)) + (6 if protocol == "div2k" else 0)
    scores = []
    for picture in pictures:
        low, truth = pair(picture, scale)
        found = enlarge(low.astype(np.float32) / 255, (truth.shape[0], truth.shape[1]))
        scores.append(benchmark_psnr(np.clip(found, 0, 1), truth / 255, shave, luminance=protocol == "benchmark"))
    return float(np.mean(scores))


def bicubic(low: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """What every method is compared with."""
    return resized(low.astype(np.float64), shape)
