"""Intervals from held-out errors: normalised conformal prediction (Papadopoulos, Gammerman and Vovk 2008).

The posterior standard deviation and the local slope of the field give an interval's shape, and the normalised errors of
held-out groups its width for every level.
"""

import math
from dataclasses import dataclass

import numpy as np

from ungrid.metrics.intervals import interval_score

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99)
_EXPONENTS = [(a, b) for a in (0.0, 0.5, 1.0, 1.5) for b in (0.0, 0.25, 0.5, 0.75, 1.0)]


@dataclass(frozen=True)
class Intervals:
    """For each value: exponents of deviation and slope in the scale, half widths for the levels, standard deviation."""

    exponents: list[tuple[float, float]]
    multipliers: list[tuple[float, ...]]
    deviations: list[float]


def calibrated(error: np.ndarray, log_deviation: np.ndarray, log_slope: np.ndarray) -> Intervals:
    """The exponents with the least interval score at 90 %, and the quantiles of the normalised errors."""
    intervals = Intervals([], [], [])
    for k in range(error.shape[1]):
        candidates = []
        for a, b in _EXPONENTS:
            scale = np.exp(a * log_deviation[:, k] + b * log_slope[:, k])
            half = scale * conformal_quantile(error[:, k] / scale, 0.9)
            candidates.append((interval_score(-half, half, error[:, k], 0.1), a, b))
        _, a, b = min(candidates)
        normalised = error[:, k] / np.exp(a * log_deviation[:, k] + b * log_slope[:, k])
        intervals.exponents.append((a, b))
        intervals.multipliers.append(tuple(conformal_quantile(normalised, level) for level in LEVELS))
        intervals.deviations.append(float(np.sqrt((normalised**2).mean())))
    return intervals


def conformal_quantile(errors: np.ndarray, level: float) -> float:
    """The quantile with the correction for a finite number of errors (Papadopoulos, Gammerman and Vovk 2008)."""
    return float(np.quantile(errors, min(1.0, math.ceil((len(errors) + 1) * level) / len(errors)), method="higher"))
