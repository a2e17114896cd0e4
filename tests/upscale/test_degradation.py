"""Noise and JPEG's quality are measured as they were made."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ungrid.upscale.degradation import is_spoilt, jpeg_quality, noise_level


def smooth(side: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    return np.stack([0.5 + 0.3 * np.sin(9 * y + 4 * x), 0.5 + 0.3 * np.cos(7 * x), 0.3 + 0.4 * x * y], axis=-1)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 12.0])
def test_noise_is_what_was_added(sigma: float) -> None:
    noisy = smooth() + np.random.default_rng(0).normal(0, sigma / 255, (256, 256, 3))
    assert noise_level(noisy) == pytest.approx(sigma, rel=0.2)  # the quietest squares are below the mean


def test_clean_pictures_have_none() -> None:
    assert noise_level(smooth()) < 0.1
    assert noise_level(np.full((64, 64, 3), 0.3)) == 0
    assert noise_level(np.zeros((5, 5, 3))) == 0
    edges = np.repeat(np.repeat(np.random.default_rng(0).random((8, 8, 3)), 32, axis=0), 32, axis=1)
    assert noise_level(edges) < 1.0


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_qualities(quality: int, tmp_path: Path) -> None:
    Image.fromarray(np.rint(255 * smooth()).astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_quality(tmp_path / "a.jpg") == pytest.approx(quality, abs=1)


def test_other_files_have_no_quality(tmp_path: Path) -> None:
    Image.fromarray(np.rint(255 * smooth()).astype(np.uint8)).save(tmp_path / "a.png")
    assert jpeg_quality(tmp_path / "a.png") is None
    assert is_spoilt(tmp_path / "a.png", smooth()) == ""
    noisy = smooth() + np.random.default_rng(0).normal(0, 5 / 255, (256, 256, 3))
    assert "noise" in is_spoilt(tmp_path / "a.png", noisy)
    Image.fromarray(np.rint(255 * smooth()).astype(np.uint8)).save(tmp_path / "a.jpg", quality=75)
    assert "quality 75" in is_spoilt(tmp_path / "a.jpg", smooth())
