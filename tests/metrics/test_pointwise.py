"""Errors on arrays whose errors are known."""

import math

import numpy as np
import pytest

from ungrid import metrics
from ungrid._base.errors import InputError

RNG = np.random.default_rng(0)
TARGET = RNG.random((6, 5, 3))


def test_a_constant_offset() -> None:
    shifted = TARGET - 0.1
    assert metrics.mse(shifted, TARGET) == pytest.approx(0.01)
    assert metrics.rmse(shifted, TARGET) == pytest.approx(0.1)
    assert metrics.mae(shifted, TARGET) == pytest.approx(0.1)
    assert metrics.psnr(shifted, TARGET) == pytest.approx(20)
    assert metrics.psnr(shifted, TARGET, peak=10) == pytest.approx(40)


def test_errors_of_both_signs_do_not_cancel() -> None:
    zero, error = np.zeros(2), np.array([3.0, -1.0])
    assert metrics.mse(error, zero) == pytest.approx(5)
    assert metrics.mae(error, zero) == pytest.approx(2)


def test_equal_arrays() -> None:
    assert metrics.psnr(TARGET, TARGET) == math.inf
    assert metrics.relative_l2(TARGET, TARGET) == 0


def test_bytes_do_not_wrap_around() -> None:
    dark, bright = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert metrics.mae(dark, bright) == 255
    assert metrics.psnr(dark, bright, peak=255) == pytest.approx(0)


def test_float32_is_summed_in_double_precision() -> None:
    target = np.full(10**6, 1000, np.float32)
    assert metrics.mse(target + np.float32(0.125), target) == 0.125**2


def test_relative_l2_of_a_scaled_target() -> None:
    assert metrics.relative_l2(1.25 * TARGET, TARGET) == pytest.approx(0.25)
    weights = RNG.random(TARGET.shape)
    assert metrics.relative_l2(1.25 * TARGET, TARGET, weights) == pytest.approx(0.25)
    assert metrics.relative_l2(1e6 * 1.25 * TARGET, 1e6 * TARGET) == pytest.approx(0.25)


def test_weights_count_as_repetitions() -> None:
    prediction = TARGET + RNG.standard_normal(TARGET.shape)
    counts = RNG.integers(1, 4, TARGET.shape[:-1])
    repeated = [np.repeat(a.reshape(-1, 3), counts.ravel(), axis=0) for a in (prediction, TARGET)]
    assert metrics.relative_l2(prediction, TARGET, counts) == pytest.approx(metrics.relative_l2(*repeated))


def test_relative_l2_against_nothing() -> None:
    zero = np.zeros(3)
    assert metrics.relative_l2(zero, zero) == 0
    assert metrics.relative_l2(zero + 1, zero) == math.inf


@pytest.mark.parametrize("name", ["mse", "rmse", "mae", "psnr", "relative_l2"])
class TestMissing:
    def test_missing_targets_are_left_out(self, name: str) -> None:
        metric = getattr(metrics, name)
        prediction = TARGET + RNG.standard_normal(TARGET.shape)
        holed = TARGET.copy()
        holed[2:4, 1:3] = np.nan
        there = ~np.isnan(holed)
        assert metric(prediction, holed) == pytest.approx(metric(prediction[there], TARGET[there]))

    def test_a_missing_prediction_is_not_hidden(self, name: str) -> None:
        prediction = TARGET.copy()
        prediction[0, 0, 0] = np.nan
        assert math.isnan(getattr(metrics, name)(prediction, TARGET))

    def test_nothing_left(self, name: str) -> None:
        with pytest.raises(InputError, match="not NaN"):
            getattr(metrics, name)(np.ones(4), np.full(4, np.nan))

    def test_shapes_that_would_broadcast(self, name: str) -> None:
        with pytest.raises(InputError, match="shape"):
            getattr(metrics, name)(np.ones((4, 1)), np.ones(4))


def test_weights_of_another_shape() -> None:
    with pytest.raises(InputError, match="weights"):
        metrics.relative_l2(TARGET, TARGET, np.ones(3))
