"""The quality of prediction intervals ``[lower, upper]``.

Convention: arrays of one shape; a value that is NaN is missing and is left out. An interval counts with both ends.
"""

import numpy as np

from ungrid._base.errors import InputError


def coverage(lower: np.ndarray, upper: np.ndarray, values: np.ndarray) -> float:
    """The share of the values that lie in their interval: near 0.9 for calibrated 90 % intervals.

    Raises:
        InputError: if the shapes differ, no value is there, or a bound of a value is NaN or in the wrong order.
    """
    low, high, y = _intervals(lower, upper, values)
    return float(np.mean((low <= y) & (y <= high)))


def interval_score(lower: np.ndarray, upper: np.ndarray, values: np.ndarray, alpha: float) -> float:
    """The mean interval score: width plus 2/alpha times the distance by which a value misses its interval.

    Lower is better, and on average the true alpha/2 and 1 - alpha/2 quantiles are best (Gneiting and Raftery 2007,
    equation 43).

    Args:
        lower: the lower ends.
        upper: the upper ends.
        values: what was observed.
        alpha: the nominal share of misses: 0.1 for 90 % intervals.

    Raises:
        InputError: as for `coverage`, and if alpha is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha {alpha}", "a number between 0 and 1, such as 0.1 for 90 % intervals")
    low, high, y = _intervals(lower, upper, values)
    missed = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return float(np.mean(high - low + 2 / alpha * missed))


def _intervals(lower: np.ndarray, upper: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bounds and values where there is a value, flattened, float64."""
    if not lower.shape == upper.shape == values.shape:
        raise InputError(f"shapes {lower.shape}, {upper.shape} and {values.shape}", "one shape for all three")
    there = ~np.isnan(values)
    low, high, y = (part[there].astype(np.float64) for part in (lower, upper, values))
    if len(y) == 0:
        raise InputError("no value that is not NaN", "at least one")
    wrong = np.flatnonzero(~(low <= high))
    if len(wrong):
        raise InputError(f"the interval [{low[wrong[0]]}, {high[wrong[0]]}]", "lower <= upper, neither of them NaN")
    return low, high, y
