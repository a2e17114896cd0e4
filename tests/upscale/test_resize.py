"""MATLAB's bicubic: by its definition written out, by its invariants, against Pillow inside, and against the literature."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.upscale import bicubic, mean_psnr, pair, resized, shrunk
from ungrid.upscale.resize import keys_kernel, taps

DATA = Path(__file__).parents[3] / "shared" / "data" / "upscale" / "Set5"
LITERATURE = {2: 33.66, 3: 30.39, 4: 28.42}  # Set5, luminance


def literal(line: np.ndarray, target: int, scale: float) -> np.ndarray:
    """One axis by the sentences of MATLAB's documentation, sample by sample."""
    n, narrow, found = len(line), min(scale, 1.0), []
    for o in range(target):
        u = (o + 0.5) / scale - 0.5
        places = range(math.floor(u - 2 / narrow), math.floor(u - 2 / narrow) + math.ceil(4 / narrow) + 3)
        weights = [float(keys_kernel(np.array((u - i) * narrow))) for i in places]
        mirrored = [i % (2 * n) if i % (2 * n) < n else 2 * n - 1 - i % (2 * n) for i in places]
        found.append(sum(w * line[i] for w, i in zip(weights, mirrored, strict=True)) / sum(weights))
    return np.array(found)


@pytest.mark.parametrize(("n", "m"), [(12, 6), (12, 4), (13, 5), (9, 31), (8, 8), (5, 1), (3, 20)])
def test_lines_by_definition(n: int, m: int) -> None:
    line = np.random.default_rng(0).random(n)
    np.testing.assert_allclose(resized(line[:, None, None], (m, 1))[:, 0, 0], literal(line, m, m / n), atol=1e-12)


def test_bytes_are_rounded_after_each_pass() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (12, 8, 1), dtype=np.uint8)
    rounded = np.stack([literal(picture[:, k, 0], 6, 0.5) for k in range(8)], axis=1)
    rounded = np.clip(np.floor(rounded + 0.5), 0, 255)
    wanted = np.stack([literal(row, 4, 0.5) for row in rounded])
    assert np.array_equal(shrunk(picture, 2)[..., 0], np.clip(np.floor(wanted + 0.5), 0, 255))


def test_known_weights_of_halving() -> None:
    """k((j + 1/2) / 2) / 2 for j = 0 to 3, as fractions of 512."""
    _, weights = taps(100, 50, 0.5)
    found = weights[20][np.abs(weights[20]) > 1e-9]
    np.testing.assert_allclose(found * 256, [-3, -9, 29, 111, 111, 29, -9, -3], atol=1e-9)


def test_constants_and_ramps_stay() -> None:
    ramp = (np.arange(40.0)[:, None] * 2 + np.arange(30.0))[..., None]
    found = resized(ramp, (100, 75))[8:-8, 8:-8, 0]
    rows, columns = (np.arange(100) + 0.5) / 2.5 - 0.5, (np.arange(75) + 0.5) / 2.5 - 0.5
    np.testing.assert_allclose(found, (2 * rows[:, None] + columns)[8:-8, 8:-8], atol=1e-9)
    assert np.array_equal(shrunk(np.full((9, 12, 3), 77, np.uint8), 3), np.full((3, 4, 3), 77, np.uint8))


def test_mirrored_pictures_give_mirrored_results() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    assert np.array_equal(shrunk(picture[::-1, ::-1], 3), shrunk(picture, 3)[::-1, ::-1])


@pytest.mark.parametrize("size", [(20, 15), (50, 45), (97, 31)])
def test_pillow_agrees_away_from_the_edge(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(2).random((60, 45)).astype(np.float32)
    wanted = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))
    found = resized(picture[..., None].astype(np.float64), size)[..., 0]
    edge = tuple(
        slice(math.ceil(3 * max(1, m / n)), -math.ceil(3 * max(1, m / n))) for n, m in zip((60, 45), size, strict=True)
    )
    np.testing.assert_allclose(found[edge], wanted[edge], atol=1e-5)


def test_crops_to_a_multiple() -> None:
    picture = np.random.default_rng(3).integers(0, 256, (14, 11, 3), dtype=np.uint8)
    low, truth = pair(picture, 3)
    assert (low.shape, truth.shape) == ((4, 3, 3), (12, 9, 3))
    assert np.array_equal(low, shrunk(picture[:12, :9], 3))
    low, truth = pair(picture, 6)
    assert (low.shape, truth.shape) == ((2, 1, 3), (12, 6, 3))


def test_wrong_sizes() -> None:
    with pytest.raises(InputError, match="sizes of 1"):
        resized(np.zeros((4, 4, 3)), (0, 4))
    with pytest.raises(InputError, match="scale 30"):
        pair(np.zeros((14, 11, 3), np.uint8), 30)
    with pytest.raises(InputError, match="protocol"):
        mean_psnr(bicubic, [], 2, "mine")


@pytest.mark.skipif(not DATA.is_dir(), reason="the data set Set5 is not here")
@pytest.mark.parametrize("scale", LITERATURE)
def test_set5_as_in_the_literature(scale: int) -> None:
    """The literature rounds luminances to bytes, which costs it 0.01 to 0.02 dB; we round the pictures here."""
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(DATA.glob("*.png"))]

    def rounded(low: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        return np.floor(bicubic(low, shape).clip(0, 1) * 255 + 0.5) / 255

    assert abs(mean_psnr(rounded, pictures, scale) - LITERATURE[scale]) < 0.02
    measured = {2: 33.678, 3: 30.404, 4: 28.431}  # of the same recipe, by the guide of the project
    assert abs(mean_psnr(rounded, pictures, scale) - measured[scale]) < 0.003
