import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.io import from_array


@pytest.mark.parametrize(
    ("shape", "kind", "channels"),
    [
        ((9,), "audio", 1),
        ((8, 9), "image", 1),
        ((8, 9, 3), "image", 3),
        ((8, 9, 4), "image", 4),
        ((8, 9, 10), "volume", 1),
        ((2, 8, 9, 3), "video", 3),
    ],
)
def test_the_kind_follows_from_the_shape(shape, kind, channels):
    samples = from_array(np.zeros(shape) + np.linspace(0, 1, shape[-1]))
    assert samples.kind == kind
    assert samples.values.shape[-1] == channels
    assert samples.values.dtype == np.float32


def test_integers_become_fractions_of_full_scale():
    assert from_array(np.array([[0, 255]], np.uint8)).values.max() == 1
    assert from_array(np.array([[0, 65535]], np.uint16)).values.max() == 1
    assert from_array(np.array([-32768, 0], np.int16)).values.min() == -1


def test_floats_keep_their_numbers_and_the_peak_is_their_range():
    samples = from_array(np.array([[-2.0, np.nan, 6.0]]))
    assert samples.peak == 8
    assert samples.missing == 1
    assert from_array(np.array([[0.1, np.nan, 0.7]])).peak == 1


def test_spacing_gives_the_unit():
    samples = from_array(np.zeros(100), spacing=(1 / 50,))
    assert samples.grid.box.axes[0].high == pytest.approx(2.0)
    assert samples.grid.box.axes[0].unit == "s"


@pytest.mark.parametrize(
    "array",
    [np.zeros(1), np.zeros((1, 1)), np.zeros((0, 4)), np.zeros((2, 2, 2, 2, 2)), np.array(["a"]), np.zeros(3, complex)],
)
def test_what_is_no_signal(array):
    with pytest.raises(InputError):
        from_array(array)


def test_what_is_not_a_number():
    with pytest.raises(InputError, match="finite"):
        from_array(np.full((4, 4), np.nan))
