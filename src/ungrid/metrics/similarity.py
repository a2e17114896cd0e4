"""The structural similarity of pictures.

Convention: pictures (height, width) or (height, width, channels), computed in float64; `peak` is the value of full
scale. Local statistics are means under a Gaussian window of 11 x 11 pixels with sigma 1.5 that lies inside the picture;
windows that touch a missing sample (a NaN in the target) are left out. Channels are averaged.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ungrid._base.errors import InputError

SIGMA = 1.5
RADIUS = 5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik 2003, section 3.2


class _Similarity(NamedTuple):
    """For each channel, the mean over all windows of the SSIM and of its contrast and structure part alone."""

    whole: np.ndarray
    contrast: np.ndarray


def ssim(prediction: np.ndarray, target: np.ndarray, peak: float = 1.0) -> float:
    """The structural similarity index, 1 for equal pictures (Wang, Bovik, Sheikh and Simoncelli 2004, equation 13).

    Raises:
        InputError: if the shapes differ, a side is shorter than the window, or no window is free of missing samples.
    """
    return float(_similarity(*_pictures(prediction, target), peak).whole.mean())


def ms_ssim(prediction: np.ndarray, target: np.ndarray, peak: float = 1.0) -> float:
    """The multi-scale structural similarity over five octaves (Wang, Simoncelli and Bovik 2003, equation 7).

    Pictures are halved by means of 2 x 2 pixels. A negative mean contrast counts as zero, since its power is undefined.

    Raises:
        InputError: as for `ssim`, and if a side is shorter than 176 pixels: the window must fit after four halvings.
    """
    first, second = _pictures(prediction, target)
    smallest = (2 * RADIUS + 1) * 2 ** (len(SCALE_WEIGHTS) - 1)
    if min(first.shape[:2]) < smallest:
        raise InputError(f"a picture of {first.shape[0]} x {first.shape[1]}", f"at least {smallest} pixels a side")
    product = np.ones(first.shape[-1])
    for weight in SCALE_WEIGHTS[:-1]:
        product *= np.maximum(_similarity(first, second, peak).contrast, 0) ** weight
        first, second = _halved(first), _halved(second)
    product *= np.maximum(_similarity(first, second, peak).whole, 0) ** SCALE_WEIGHTS[-1]
    return float(product.mean())


def _pictures(prediction: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if prediction.shape != target.shape:
        raise InputError(f"a prediction of shape {prediction.shape}", f"the target's shape {target.shape}")
    if target.ndim not in (2, 3) or min(target.shape[:2]) < 2 * RADIUS + 1:
        raise InputError(
            f"an array of shape {target.shape}",
            f"a picture (height, width) or (height, width, channels) of at least {2 * RADIUS + 1} pixels a side",
        )
    shape = (*target.shape[:2], -1)
    return prediction.astype(np.float64).reshape(shape), target.astype(np.float64).reshape(shape)


def _similarity(prediction: np.ndarray, target: np.ndarray, peak: float) -> _Similarity:
    mean_p, mean_t = _local_mean(prediction), _local_mean(target)
    there = ~np.isnan(mean_t).any(axis=-1)
    if not there.any():
        raise InputError("a picture whose every window has missing samples", "an 11 x 11 square without NaN")
    variances = _local_mean(prediction**2) - mean_p**2 + _local_mean(target**2) - mean_t**2
    covariance = _local_mean(prediction * target) - mean_p * mean_t
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    contrast = (2 * covariance + c2) / (variances + c2)
    whole = contrast * (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    return _Similarity(whole[there].mean(axis=0), contrast[there].mean(axis=0))


def _local_mean(picture: np.ndarray) -> np.ndarray:
    """The means under every window that lies inside the picture: RADIUS pixels less on every side."""
    means = ndimage.gaussian_filter(picture, SIGMA, radius=RADIUS, axes=(0, 1))
    return means[RADIUS:-RADIUS, RADIUS:-RADIUS]


def _halved(picture: np.ndarray) -> np.ndarray:
    height, width, channels = (picture.shape[0] // 2, picture.shape[1] // 2, picture.shape[2])
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels).mean(axis=(1, 3))
