"""Errors of predictions against samples, element by element.

Convention: arrays of any one shape, computed in float64. A target that is NaN is a missing sample and is left out; a
prediction that is NaN where there is a target makes the metric NaN, so that a broken field cannot look good.
"""

import numpy as np

from ungrid._base.errors import InputError


def mse(prediction: np.ndarray, target: np.ndarray) -> float:
    """The mean squared error, in squared units of the values.

    Raises:
        InputError: if the shapes differ or every target is missing. So do the other errors of this file.
    """
    return float(np.mean(np.square(_residual(prediction, target))))


def rmse(prediction: np.ndarray, target: np.ndarray) -> float:
    """The root of the mean squared error, in units of the values."""
    return float(np.sqrt(mse(prediction, target)))


def mae(prediction: np.ndarray, target: np.ndarray) -> float:
    """The mean absolute error, in units of the values."""
    return float(np.mean(np.abs(_residual(prediction, target))))


def psnr(prediction: np.ndarray, target: np.ndarray, peak: float = 1.0) -> float:
    """The peak signal-to-noise ratio, ``10 log10(peak² / mse)`` in dB; infinite for equal arrays.

    Args:
        prediction: the values of the field.
        target: the samples.
        peak: the value that counts as full scale: 1 for pictures in [0, 1], 255 for bytes, 2 for sound in [-1, 1].
    """
    error = mse(prediction, target)
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def relative_l2(prediction: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The relative L2 error, ``sqrt(Σ w (prediction - target)² / Σ w target²)``.

    If all targets are zero it is 0 for equal arrays and infinite otherwise.

    Args:
        prediction: the values of the field.
        target: the samples.
        weights: of a quadrature: of the targets' shape, or without its last axis, one for each point. None: all equal.
    """
    residual, there = _residual(prediction, target), ~np.isnan(target)
    w = np.ones_like(residual) if weights is None else _spread(weights, target.shape)[there]
    error, size = np.sum(w * residual**2), np.sum(w * np.asarray(target, np.float64)[there] ** 2)
    if size == 0:
        return 0.0 if error == 0 else float("inf")
    return float(np.sqrt(error / size))


def _residual(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The differences where there is a target, flattened, float64."""
    if prediction.shape != target.shape:
        raise InputError(f"predictions of shape {prediction.shape}", f"the targets' shape {target.shape}")
    there = ~np.isnan(target)
    if not there.any():
        raise InputError(f"targets of shape {target.shape} without a single value", "at least one that is not NaN")
    return prediction[there].astype(np.float64) - target[there]


def _spread(weights: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if weights.shape not in (shape, shape[:-1]):
        raise InputError(f"weights of shape {weights.shape}", f"{shape}, or {shape[:-1]}: one for each point")
    return np.broadcast_to(weights if weights.shape == shape else weights[..., np.newaxis], shape)
