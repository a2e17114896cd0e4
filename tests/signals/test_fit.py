"""Fits of small signals with known answers."""

import time

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io import from_array
from ungrid.sampling import GridSamples
from ungrid.signals import evaluate, fit, plan, sample_grid
from ungrid.signals.gridded import every_nth, split_grid
from ungrid.signals.levels import choose_levels, table_size
from ungrid.signals.methods import METHODS, recipe
from ungrid.signals.planning import step_seconds
from ungrid.solvers import Adam, Outcome


def waves(shape: tuple[int, ...]) -> np.ndarray:
    """A smooth picture in [0, 1]: three plane waves, one for each colour."""
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return np.stack([0.5 + 0.4 * np.sin(a * x + b * y) for a, b in ((9, 2), (5, 7), (1, 11))], axis=-1).astype("f4")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fits_a_smooth_picture(method):
    result = fit(waves((24, 32)), method, steps=60)
    assert result.outcome is Outcome.steps
    assert result.stats["method"] == method
    least = 12.0 if method == "relu" else 25.0  # the control is meant to be poor
    assert result.stats["metrics"]["psnr_db"] > least
    assert result.stats["parameters"] == sum(p.numel() for p in result.field.parameters())


def test_equal_seeds_steps_and_threads_give_equal_bits():
    first, second = (fit(waves((24, 32)), steps=20, threads=2, seed=5).field for _ in range(2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert (a == b).all()


def test_a_grid_holds_at_most_half_as_many_numbers_as_the_samples():
    for shape, channels in (((480, 320), 3), ((300, 300), 1), ((40, 50, 60), 1), ((20_000,), 1)):
        numbers = 0.5 * np.prod(shape) * channels
        assert 0.85 * numbers < table_size(*choose_levels(shape, numbers)) <= numbers


def test_nodes_are_the_samples_where_that_can_be_paid_for():
    assert choose_levels((480, 320), 0.5 * 480 * 320 * 3)[0][0] == (480, 320)
    assert choose_levels((480, 320), 0.3 * 480 * 320 * 3)[0][0] < (480, 320)


def test_a_picture_from_its_gradient_alone():
    """Differences determine a picture up to a constant; the metric ignores the constant, not a slope."""
    result = fit(waves((32, 32)), steps=400, supervise="gradient")
    assert result.stats["metrics"]["psnr_db"] > 33.0


def test_missing_samples_are_counted_and_filled_in():
    samples = from_array(waves((32, 40)))
    values = samples.values.copy()
    values[10:13, 20:23] = np.nan
    holed = GridSamples(samples.grid, values, samples.out_names, samples.kind)
    result = fit(holed, steps=150)
    assert result.stats["missing"] == 9
    filled = result.field.on_grid(samples.grid)[10:13, 20:23]
    assert np.abs(filled - samples.values[10:13, 20:23]).max() < 0.15


def test_weights_decide_between_contradicting_samples():
    """Rows of 0 and rows of 1, too fine for the field's coarse tail but exact in the mean: weights move the level."""
    values = np.full((16, 16, 1), 0.5, dtype=np.float32)
    values[:, 8:] = 1.0
    weights = np.ones((16, 16), dtype=np.float32)
    weights[:, 8:] = 0.0
    result = fit(values, steps=200, weights=weights)
    left = sample_grid(result.field, (16, 16))[:, :8]
    np.testing.assert_allclose(left, 0.5, atol=0.02)


def test_holdout_even_keeps_every_other_sample_and_scores_the_rest():
    samples = from_array(waves((16, 20)))
    given, hidden = split_grid(samples, "even", 0)
    assert given.grid.shape == (8, 10)
    np.testing.assert_allclose(given.grid.points(), samples.grid.points()[::2, ::2])
    assert np.isnan(hidden.values[::2, ::2]).all()
    assert not np.isnan(hidden.values[1::2]).any()


@pytest.mark.parametrize("holdout", [0.0, 1.0, 1.5, "odd", 3])
def test_a_holdout_is_a_fraction_or_even(holdout):
    with pytest.raises(InputError, match="hold-out"):
        split_grid(from_array(waves((16, 20))), holdout, 0)


def test_a_random_holdout_parts_the_samples():
    given, hidden = split_grid(from_array(waves((16, 20))), 0.25, 0)
    assert (np.isnan(given.values) ^ np.isnan(hidden.values)).all()
    assert given.missing == pytest.approx(80, abs=40)


def test_every_nth_is_a_grid_of_its_own():
    samples = from_array(waves((15, 21)))
    third = every_nth(samples, 3)
    np.testing.assert_allclose(third.grid.points(), samples.grid.points()[::3, ::3])
    np.testing.assert_array_equal(third.values, samples.values[::3, ::3])


def test_regions_and_sizes():
    samples = from_array(waves((24, 32)))
    field = fit(samples, steps=100).field
    np.testing.assert_allclose(sample_grid(field, (24, 32)), field.on_grid(samples.grid), atol=1e-6)
    low, high = samples.grid.box.low, samples.grid.box.high
    middle = (low + high) / 2
    corner = sample_grid(field, (24, 32), region=tuple(zip(low, middle, strict=True)))
    whole = sample_grid(field, (48, 64))
    np.testing.assert_allclose(corner, whole[:24, :32], atol=1e-5)
    with pytest.raises(InputError, match="2 axes"):
        sample_grid(field, (4, 4, 4))


def test_shrinking_averages():
    """With footprints a picture shrunk by 4 is the mean over blocks of 4 x 4 of itself."""
    field = fit(waves((32, 32)), steps=60).field
    blocks = sample_grid(field, (32, 32)).reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(sample_grid(field, (8, 8)), blocks, atol=1e-4)


def test_evaluation_checks_the_axes():
    field = fit(waves((16, 16)), steps=5).field
    sound = GridSamples(RegularGrid(Box(Axis("t", 0, 1, "s")), (50,)), np.zeros((50, 1), "f4"), ("left",), "audio", 2.0)
    with pytest.raises(InputError, match="axes"):
        evaluate(field, sound)


def test_total_variation_smooths_noise():
    """At equal steps the field with the term is closer to the clean picture."""
    clean = waves((32, 32))
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape).astype("f4")
    plain, smooth = (fit(noisy, steps=250, total_variation=w).field for w in (0.0, 0.1))
    error = [np.square(f.on_grid(from_array(clean).grid) - clean).mean() for f in (plain, smooth)]
    assert error[1] < 0.8 * error[0]


def test_a_plan_counts_what_the_fit_would_use():
    picture = waves((40, 60))
    planned = plan(picture)
    assert planned["parameters"] == fit(picture, steps=1).stats["parameters"]
    assert planned["samples"] == picture.size


def test_the_probe_finds_how_long_a_step_takes(monkeypatch):
    """Steps that sleep for 0.1 s take that at least, and the fastest of those tried not twice as long on any machine."""
    step = Adam.step

    def slow(*arguments):
        time.sleep(0.1)
        return step(*arguments)

    monkeypatch.setattr(Adam, "step", slow)
    grid = RegularGrid(Box(y=(0, 1), x=(0, 1)), (8, 8))
    assert 0.1 <= step_seconds(recipe("grid", grid, 1, seed=0), grid, ("value",), torch.device("cpu")) < 0.2


@pytest.mark.parametrize(("argument", "value"), [("method", "sirens"), ("supervise", "curl"), ("device", "tpu"),
                                                 ("threads", 0), ("budget", -1.0), ("total_variation", -1.0)])  # fmt: skip
def test_wrong_arguments_are_named(argument, value):
    with pytest.raises(InputError):
        fit(waves((16, 16)), **{argument: value})
