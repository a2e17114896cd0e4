"""The choice of a bandwidth on signals whose frequencies are known, and its kernels against random networks."""

import math

import numpy as np
import pytest
import torch

from ungrid.domains import Axis, Box
from ungrid.io import from_array
from ungrid.sampling import GridSamples, PointSamples
from ungrid.signals import bandwidth, fit
from ungrid.signals.bandwidth import choose_bandwidth, grid_windows, tangent_kernel, window_sides

SIREN_UNIT = math.sqrt(3) * math.pi * 2 / bandwidth.SIREN_REACH  # ω0 of a picture's SIREN for each cycle of σ


@pytest.fixture(autouse=True)
def few_windows(monkeypatch):
    """Plane waves are alike everywhere."""
    monkeypatch.setattr(bandwidth, "WINDOWS", 3)


def plane_waves(cycles: float, shape: tuple[int, int] = (96, 128), count: int = 5) -> GridSamples:
    """Plane waves of `cycles` across the longest axis, in `count` directions."""
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / max(shape) for n in shape), indexing="ij")
    angles = np.arange(count) * math.pi / count
    waves = [np.sin(2 * math.pi * cycles * (math.cos(a) * x + math.sin(a) * y) + a) for a in angles]
    return from_array((0.5 + 0.1 * sum(waves)).astype("f4"))


def value(method: str, samples: GridSamples | PointSamples, seed: int = 0) -> float:
    choice = choose_bandwidth(method, samples, seed=seed)
    assert choice is not None
    return choice.value


@pytest.mark.parametrize(("method", "unit"), [("fourier", 1.0), ("siren", SIREN_UNIT)])
def test_more_detail_asks_for_more_bandwidth(method, unit):
    smooth, rough = (value(method, plane_waves(cycles)) / unit for cycles in (2.0, 24.0))
    assert 2 * smooth < rough <= 128 / 4


def test_waves_are_not_predicted_with_a_bandwidth_far_below_their_frequency():
    choice = choose_bandwidth("siren", plane_waves(24.0), seed=0)
    assert choice is not None
    errors = np.array(choice.errors)
    low = errors[:, 0] < SIREN_UNIT * 24.0 / 8
    assert errors[low, 1].min() > 3 * errors[:, 1].min()


@pytest.mark.parametrize("method", ["fourier", "siren"])
def test_half_the_distances_ask_for_twice_the_bandwidth(method):
    gaps = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (50, 3)))
    kernel = tangent_kernel(method, 2.0, gaps)
    torch.testing.assert_close(tangent_kernel(method, 4.0, gaps / 2), kernel)
    assert float(tangent_kernel(method, 4.0, torch.zeros(1, 3))) == 1.0
    assert float(kernel.max()) < 1.0


def test_white_noise_is_predicted_by_no_bandwidth():
    noise = from_array(np.random.default_rng(0).random((64, 64)).astype("f4"))
    choice = choose_bandwidth("fourier", noise, seed=0)
    assert choice is not None
    assert min(error for _, error in choice.errors) > 0.9


def test_the_choice_has_the_least_error_of_a_geometric_ladder_and_repeats():
    first, second = (choose_bandwidth("fourier", plane_waves(9.0), seed=3) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.errors == second.errors
    assert first.value == second.value == min(first.errors, key=lambda row: row[1])[0]
    sigmas = np.array([sigma for sigma, _ in first.errors])
    np.testing.assert_allclose(sigmas[1:] / sigmas[:-1], 1.5)
    assert sigmas[0] == 1.0
    assert 128 / 4 / 1.5 < sigmas[-1] <= 128 / 4


def test_units_and_offsets_of_the_values_change_nothing():
    samples = plane_waves(9.0)
    scaled = GridSamples(samples.grid, 8 * samples.values, samples.out_names)
    shifted = GridSamples(samples.grid, 10 * samples.values - 3, samples.out_names)
    errors = [np.array(choose_bandwidth("fourier", s, seed=0).errors) for s in (samples, scaled, shifted)]
    np.testing.assert_allclose(errors[1], errors[0], rtol=1e-4)
    np.testing.assert_allclose(errors[2], errors[0], rtol=1e-2)


def test_missing_samples_are_left_out():
    samples = plane_waves(12.0)
    values = samples.values.copy()
    values[np.random.default_rng(1).random(samples.grid.shape) < 0.3] = np.nan
    holed = GridSamples(samples.grid, values, samples.out_names)
    windows = grid_windows(holed, np.random.default_rng(0))
    assert all(len(w.values) < math.prod(window_sides(samples.grid.shape)) for w in windows)
    assert all(np.isfinite(w.values).all() for w in windows)
    assert value("fourier", plane_waves(1.0)) < value("fourier", holed)


def test_gaps_of_a_window_are_the_differences_of_unit_coordinates():
    """Values that are the unit coordinates themselves say where each sample of a window lies."""
    shape = (40, 30)
    grid = plane_waves(1.0, shape).grid
    unit = (grid.points() - (grid.box.low + grid.box.high) / 2) / (
        np.ptp([grid.box.low, grid.box.high], axis=0).max() / 2
    )
    samples = GridSamples(grid, unit.astype("f4"), ("a", "b"))
    for window in grid_windows(samples, np.random.default_rng(0)):
        where = window.values
        np.testing.assert_allclose(window.gaps[window.pair], where[:, None] - where[None], atol=1e-6)


@pytest.mark.parametrize("shape", [(5000,), (40, 50), (4, 60, 60), (3, 3)])
def test_windows_fit_into_the_samples(shape):
    sides = window_sides(shape)
    assert all(side <= n for side, n in zip(sides, shape, strict=True))
    assert math.prod(sides) > 0.7 * min(bandwidth.WINDOW_SAMPLES, math.prod(shape))


def test_sounds_and_volumes():
    t = np.arange(8000) / 8000
    low, high = (value("fourier", from_array(np.sin(2 * np.pi * f * t).astype("f4"))) for f in (50.0, 1000.0))
    assert 300.0 < high
    assert 2 * low < high
    z, y, x = np.meshgrid(*(np.arange(16) / 16,) * 3, indexing="ij")
    soft, fine = (
        value("fourier", from_array(np.sin(2 * np.pi * f * (x + y + z))[..., None].astype("f4"))) for f in (0.5, 3.0)
    )
    assert soft < fine


def test_scattered_points():
    points = np.random.default_rng(0).uniform(-1, 1, (3000, 2))
    box = Box(Axis("y", -1.0, 1.0), Axis("x", -1.0, 1.0))
    low, high = (
        value("fourier", PointSamples(points, np.sin(math.pi * f * points.sum(axis=1, keepdims=True)), box, ("u",)))
        for f in (1.0, 7.0)
    )
    assert 1.0 <= low < high


def test_nothing_to_choose_by():
    assert choose_bandwidth("relu", plane_waves(4.0), seed=0) is None
    assert choose_bandwidth("fourier", from_array(np.full((64, 64), 0.1, "f4")), seed=0) is None
    assert choose_bandwidth("fourier", from_array(np.random.default_rng(0).random((4, 4)).astype("f4")), seed=0) is None


def test_the_fit_takes_the_choice_and_counts_its_seconds():
    samples = plane_waves(12.0)
    result = fit(samples, "fourier", steps=2, holdout="even", seed=4)
    chosen = result.stats["bandwidth"]
    half = GridSamples(type(samples.grid)(samples.grid.box, (48, 64)), samples.values[::2, ::2], samples.out_names)
    assert chosen["value"] == pytest.approx(value("fourier", half, seed=4))
    assert result.field.encoding.bandwidth == chosen["value"]
    assert 0 < chosen["seconds"] < result.stats["seconds"]
    again = fit(samples, "fourier", steps=2, init=result.field)
    assert "bandwidth" not in again.stats
    assert again.field.encoding.bandwidth == chosen["value"]


def test_duals_are_the_expectations_that_define_them():
    """Twice E[1(u>0) 1(v>0)], E[relu(u) relu(v)] and E[sin(u) sin(v)] of Gaussian numbers of correlation ρ."""
    generator = torch.Generator().manual_seed(0)
    u, w = torch.randn(2, 1_000_000, generator=generator, dtype=torch.float64)
    for rho in (0.0, 0.5, 0.9):
        v = rho * u + math.sqrt(1 - rho**2) * w
        slope, mean = bandwidth.relu_duals(torch.tensor([rho], dtype=torch.float64))
        assert float(slope) == pytest.approx(2 * float(((u > 0) & (v > 0)).double().mean()), abs=5e-3)
        assert float(mean) == pytest.approx(2 * float((u.relu() * v.relu()).mean()), abs=5e-3)
        phase = 2 * math.pi * torch.rand(len(u), generator=generator, dtype=torch.float64)
        sines = 2 * float((torch.sin(u + phase) * torch.sin(v + phase)).mean())
        assert float(bandwidth.sine_duals(torch.tensor([rho], dtype=torch.float64))[1]) == pytest.approx(
            sines, abs=5e-3
        )
