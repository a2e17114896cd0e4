"""Pictures through a logistic output."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.io import from_array
from ungrid.signals import fit
from ungrid.signals.gridded import is_bounded


def letters(low=0.0, high=1.0) -> np.ndarray:
    """Half black, half white, with a corner."""
    picture = np.full((24, 32, 3), low, dtype=np.float32)
    picture[6:18, 10:26] = high
    return picture


@pytest.mark.parametrize("method", ["fourier", "positional", "relu"])
def test_values_stay_between_black_and_white_everywhere(method):
    picture = letters()
    field = fit(picture, method, steps=60).field
    box = from_array(picture).grid.box
    points = np.random.default_rng(0).uniform(box.low, box.high, (4000, 2))
    values = field(points)
    assert values.min() >= 0
    assert values.max() <= 1
    assert np.ptp(values) > 0.5


def test_black_and_white_are_reached():
    """Squared differences of a logistic output stall there, since its slope vanishes; the cross-entropy does not."""
    result = fit(letters(), "fourier", steps=60)
    assert result.stats["metrics"]["psnr_db"] > 30


def test_what_is_brighter_than_white_has_a_linear_output():
    picture = letters(high=1.5)
    assert not is_bounded(from_array(picture))
    assert fit(picture, "fourier", steps=40).field.on_grid(from_array(picture).grid).max() > 1.1
    assert not is_bounded(from_array(letters(low=-0.1)))
    assert is_bounded(from_array(np.where(letters() > 0.5, np.float32("nan"), letters())))


def test_a_start_with_another_output_is_refused():
    bright, plain = (fit(letters(high=high), "relu", steps=2).field for high in (1.5, 1.0))
    with pytest.raises(InputError, match="start from"):
        fit(letters(), "relu", steps=2, init=bright)
    fit(letters(), "relu", steps=2, init=plain)
