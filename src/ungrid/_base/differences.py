"""The derivative of a function by its values alone."""

from collections.abc import Callable

import numpy as np

STEP = 1e-5  # relative to the values: rounding and the cut-off of the series then both leave about 1e-10


def slope(function: Callable[[np.ndarray], np.ndarray], value: np.ndarray) -> np.ndarray:
    """The derivative (n,) of a function that is applied to every value (n,) by itself, by central differences."""
    step = STEP * max(float(np.abs(value).max(initial=0.0)), 1e-300)
    return np.asarray((function(value + step) - function(value - step)) / (2 * step))
