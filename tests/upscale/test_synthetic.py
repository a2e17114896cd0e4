"""Made clips: what a pixel shows at a time is what its motion leads to at the ends, and nothing moves that should not."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from ungrid.upscale.synthetic import Path, drawn, exposed, motions_at, moved, random_layers, random_path

SIDE = 48


def smooth(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, :160]
    waves = sum(np.sin(a * y + b * x + c)[..., None] * rng.uniform(0.3, 1, 3)
                for a, b, c in zip(*rng.uniform(-0.2, 0.2, (2, 5)), rng.uniform(0, 6, 5), strict=True))  # fmt: skip
    return np.rint(127 + 120 * np.tanh(waves / 2)).astype(np.uint8)


PICTURES = [smooth(k) for k in range(4)]


@pytest.mark.parametrize("seed", range(4))
def test_motions_lead_to_what_is_seen(seed: int) -> None:
    """Smooth photographs without cut-outs: the frame at a time, fetched from the ends by the motions."""
    layers = random_layers(PICTURES, SIDE, 8.0, np.random.default_rng(seed))[:1]
    ends = [drawn(layers, end, SIDE) for end in (0.0, 1.0)]
    for time in (0.25, 0.5, 0.8):
        frame = drawn(layers, time, SIDE)
        for end, motion in zip(ends, motions_at(layers, time, SIDE), strict=True):
            x, y = np.arange(SIDE) + motion[..., 0], np.arange(SIDE)[:, None] + motion[..., 1]
            inside = (x > 1) & (x < SIDE - 2) & (y > 1) & (y < SIDE - 2)
            found = np.stack([map_coordinates(end[..., c], [y, x], order=3, mode="nearest") for c in range(3)], -1)
            assert inside.mean() > 0.3
            assert np.abs(found - frame)[inside].max() < 0.02


def test_motions_of_cut_outs_are_those_of_what_is_in_front() -> None:
    for seed in range(20):
        layers = random_layers(PICTURES, SIDE, 6.0, np.random.default_rng(seed))
        if len(layers) < 2:
            continue
        to_first, _ = motions_at(layers, 0.5, SIDE)
        shown = [moved(one.path.matrix(0.0) @ np.linalg.inv(one.path.matrix(0.5)), SIDE) for one in layers]
        own = np.stack(np.mgrid[:SIDE, :SIDE][::-1], axis=-1)
        nearest = np.min([np.abs(place - own - to_first).max(axis=-1) for place in shown], axis=0)
        assert nearest.max() < 1e-9
        return
    pytest.fail("no clip with a cut-out")


def test_paths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        path = random_path(SIDE, 10.0, rng)
        np.testing.assert_allclose(path.matrix(0.5), np.eye(3), atol=1e-12)
        assert np.hypot(*path.shift) <= 10.0
    straight = Path(np.array([4.0, -2.0]), np.zeros(2), 0.0, 0.0, np.zeros(2), np.array([20.0, 10.0]), SIDE)
    ends = [moved(straight.matrix(t), SIDE) for t in (0.0, 1.0)]
    np.testing.assert_allclose(ends[1] - ends[0], np.broadcast_to([4.0, -2.0], (SIDE, SIDE, 2)), atol=1e-12)


def test_exposure_is_a_mean_over_times() -> None:
    layers = random_layers(PICTURES, SIDE, 8.0, np.random.default_rng(1))
    wanted = np.mean([drawn(layers, t, SIDE) for t in (0.3, 0.5, 0.7)], axis=0)
    np.testing.assert_allclose(exposed(layers, 0.5, SIDE, 0.6), wanted, atol=1e-6)
    np.testing.assert_allclose(exposed(layers, 0.5, SIDE, 0.0), drawn(layers, 0.5, SIDE))


def test_equal_seeds_give_equal_clips() -> None:
    first, second = (drawn(random_layers(PICTURES, SIDE, 8.0, np.random.default_rng(7)), 0.3, SIDE) for _ in range(2))
    assert np.array_equal(first, second)
