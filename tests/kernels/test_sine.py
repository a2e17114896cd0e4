import numpy as np
import pytest
import torch

from ungrid.kernels.sine import relu_layer, scale_and_sum, sine_layer

ONE_ULP = 2.0**-23


def bits(array):
    """The bits of the nearest bfloat16 numbers."""
    return torch.from_numpy(np.ascontiguousarray(array)).bfloat16().view(torch.uint16).numpy().copy()


def floats(array):
    """Stored numbers as float64."""
    if array.dtype == np.float32:
        return array.astype(np.float64)
    return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def stored(array, dtype):
    return array.astype(np.float32) if dtype == np.float32 else bits(array.astype(np.float32))


@pytest.mark.parametrize("reach", [1.0, 100.0, 10_000.0])
def test_sine_and_slope_to_the_last_digit(reach):
    angle = np.linspace(-reach, reach, 1 << 16).astype(np.float32).reshape(-1, 64)
    out, slope = np.empty_like(angle), np.empty_like(angle)
    sine_layer(angle, np.zeros(64, np.float32), 1.0, out, slope)
    assert np.abs(out - np.sin(floats(angle))).max() < 2 * ONE_ULP
    assert np.abs(slope - np.cos(floats(angle))).max() < 2 * ONE_ULP


def test_sine_layer_with_bias_and_frequency():
    rng = np.random.default_rng(0)
    z, bias = rng.normal(size=(33, 17)).astype(np.float32), rng.normal(size=17).astype(np.float32)
    out, slope = np.empty_like(z), np.empty_like(z)
    sine_layer(z, bias, 30.0, out, slope)
    angle = 30 * (floats(z) + bias)
    rounding = 2 * np.abs(angle).max() * ONE_ULP  # of the angle itself
    assert np.abs(out - np.sin(angle)).max() < rounding
    assert np.abs(slope - 30 * np.cos(angle)).max() < 30 * rounding


def test_what_is_not_finite_stays_so():
    z = np.array([[np.nan, np.inf, 0.0]], np.float32)
    out, slope = np.empty_like(z), np.empty_like(z)
    sine_layer(z, np.zeros(3, np.float32), 1.0, out, slope)
    assert np.isnan(out).tolist() == [[True, True, False]]
    relu_layer(z, np.zeros(3, np.float32), out, slope)
    assert np.isfinite(out).tolist() == [[False, False, True]]


@pytest.mark.parametrize("z_type", [np.float32, np.uint16])
@pytest.mark.parametrize("out_type", [np.float32, np.uint16])
@pytest.mark.parametrize("slope_type", [np.float32, np.uint16])
def test_bfloat16_is_rounded_to_nearest_even(z_type, out_type, slope_type):
    rng = np.random.default_rng(0)
    z, bias = stored(rng.normal(size=(64, 48)), z_type), rng.normal(size=48).astype(np.float32)
    exact, exact_slope = np.empty((64, 48), np.float32), np.empty((64, 48), np.float32)
    sine_layer(floats(z).astype(np.float32), bias, 3.0, exact, exact_slope)
    out, slope = np.empty((64, 48), out_type), np.empty((64, 48), slope_type)
    sine_layer(z, bias, 3.0, out, slope)
    assert np.array_equal(out, stored(exact, out_type))
    assert np.array_equal(slope, stored(exact_slope, slope_type))
    relu_layer(z, bias, out, slope)
    v = floats(z).astype(np.float32) + bias
    assert np.array_equal(floats(out), floats(stored(np.maximum(v, 0), out_type)))
    assert np.array_equal(floats(slope), (v > 0).astype(float))


@pytest.mark.parametrize("g_type", [np.float32, np.uint16])
@pytest.mark.parametrize("out_type", [np.float32, np.uint16])
def test_scale_and_sum(g_type, out_type):
    rng = np.random.default_rng(0)
    g, slope = stored(rng.normal(size=(50, 30)), g_type), stored(rng.normal(size=(50, 30)), g_type)
    out, sums = np.empty((50, 30), out_type), np.ones(30, np.float32)
    scale_and_sum(g, slope, out, sums)
    product = floats(g).astype(np.float32) * floats(slope).astype(np.float32)
    assert np.array_equal(out, stored(product, out_type))
    assert np.allclose(
        sums, 1 + product.astype(float).sum(axis=0), rtol=0, atol=50 * 4 * ONE_ULP * np.abs(product).max()
    )
