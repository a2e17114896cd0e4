"""Interval scores by hand, and the property that makes them proper."""

import numpy as np
import pytest
from scipy import stats

from ungrid import metrics
from ungrid._base.errors import InputError

LOWER, UPPER = np.zeros(4), np.array([1.0, 1.0, 2.0, 1.0])
VALUES = np.array([0.5, 1.0, -0.25, 1.5])  # inside, on the edge, 0.25 below, 0.5 above


def test_by_hand() -> None:
    assert metrics.coverage(LOWER, UPPER, VALUES) == 0.5
    assert metrics.interval_score(LOWER, UPPER, VALUES, alpha=0.1) == pytest.approx((1 + 1 + 7 + 11) / 4)


def test_missing_values_are_left_out() -> None:
    holed = np.array([0.5, 1.0, np.nan, 1.5])
    assert metrics.coverage(LOWER, UPPER, holed) == pytest.approx(2 / 3)
    assert metrics.interval_score(LOWER, UPPER, holed, alpha=0.1) == pytest.approx((1 + 1 + 11) / 3)


def test_the_true_quantiles_score_best_and_cover_their_share() -> None:
    values = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)  # the standard normal distribution, evenly sampled
    z = stats.norm.ppf(0.95)

    def score(low: float, high: float) -> float:
        return metrics.interval_score(np.full_like(values, low), np.full_like(values, high), values, alpha=0.1)

    best = score(-z, z)
    # Its value: 2 z + (2 / alpha) * 2 * E[(Y - z)+], with E[(Y - z)+] = phi(z) - z (1 - Phi(z)).
    assert best == pytest.approx(2 * z + 40 * (stats.norm.pdf(z) - 0.05 * z), rel=1e-3)
    for low, high in [(-z, z + 0.2), (-z, z - 0.2), (-z + 0.2, z), (-z - 0.2, z), (-3, 3), (0, 2 * z)]:
        assert score(low, high) > best
    assert metrics.coverage(np.full_like(values, -z), np.full_like(values, z), values) == pytest.approx(0.9, abs=1e-4)


def test_unusable_input() -> None:
    with pytest.raises(InputError, match="lower <= upper"):
        metrics.coverage(UPPER, LOWER, VALUES)
    with pytest.raises(InputError, match="NaN"):
        metrics.coverage(LOWER * np.nan, UPPER, VALUES)
    with pytest.raises(InputError, match="shape"):
        metrics.coverage(LOWER[:, None], UPPER, VALUES)
    with pytest.raises(InputError, match="not NaN"):
        metrics.coverage(LOWER, UPPER, VALUES * np.nan)
    with pytest.raises(InputError, match="alpha"):
        metrics.interval_score(LOWER, UPPER, VALUES, alpha=90)
