"""SSIM against scikit-image and against the sums of its definition."""

import math

import numpy as np
import pytest
from scipy import signal
from skimage import data
from skimage.metrics import structural_similarity

from ungrid import metrics
from ungrid._base.errors import InputError

RNG = np.random.default_rng(0)
PICTURE = data.astronaut()[100:280, 150:332] / 255.0
NOISY = np.clip(PICTURE + 0.1 * RNG.standard_normal(PICTURE.shape), 0, 1)


@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_ssim_agrees_with_scikit_image(channels: int | None, peak: float) -> None:
    one, other = (a[:60, :50, 0 if channels is None else slice(channels)] * peak for a in (NOISY, PICTURE))
    expected = structural_similarity(
        one,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=peak,
        channel_axis=None if channels is None else -1,
    )
    assert metrics.ssim(one, other, peak=peak) == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected < 0.9


def plain_parts(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure of two grey pictures by full convolution sums with an 11 x 11 window."""
    x = np.arange(-5, 6)
    window = np.exp(-(x**2 + x[:, None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(a: np.ndarray) -> np.ndarray:
        return signal.convolve2d(a, window, mode="valid")

    a, b = mean(one), mean(other)
    contrast = (2 * mean(one * other) - 2 * a * b + 0.03**2) / (mean(one**2) - a**2 + mean(other**2) - b**2 + 0.03**2)
    return (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2), contrast


def test_ms_ssim_agrees_with_its_definition() -> None:
    products = []
    for one, other in zip(np.moveaxis(NOISY, -1, 0), np.moveaxis(PICTURE, -1, 0), strict=True):
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            luminance, contrast = plain_parts(one, other)
            product *= (contrast if scale < 4 else luminance * contrast).mean() ** weight
            one, other = ((a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4 for a in _even(one, other))
        products.append(product)
    assert metrics.ms_ssim(NOISY, PICTURE) == pytest.approx(np.mean(products), abs=1e-12)
    assert metrics.ms_ssim(NOISY[..., 1], PICTURE[..., 1]) == pytest.approx(products[1], abs=1e-12)


def _even(*pictures: np.ndarray) -> list[np.ndarray]:
    return [a[: len(a) // 2 * 2, : a.shape[1] // 2 * 2] for a in pictures]


@pytest.mark.parametrize("metric", [metrics.ssim, metrics.ms_ssim])
class TestBoth:
    def test_equal_pictures_and_order(self, metric) -> None:
        assert metric(PICTURE, PICTURE) == pytest.approx(1, abs=1e-12)
        assert metric(NOISY, PICTURE) == pytest.approx(metric(PICTURE, NOISY), abs=1e-12)

    def test_more_noise_is_worse(self, metric) -> None:
        noisier = PICTURE + 2 * (NOISY - PICTURE)
        assert metric(noisier, PICTURE) < metric(NOISY, PICTURE) < 1

    def test_the_negative_is_not_similar(self, metric) -> None:
        assert metric(1 - PICTURE, PICTURE) < 0.2

    def test_a_missing_prediction_is_not_hidden(self, metric) -> None:
        broken = NOISY.copy()
        broken[90, 90] = np.nan
        assert math.isnan(metric(broken, PICTURE))

    def test_wrong_shapes(self, metric) -> None:
        with pytest.raises(InputError, match="shape"):
            metric(PICTURE, PICTURE[..., 0])
        with pytest.raises(InputError, match="at least"):
            metric(PICTURE[:10], PICTURE[:10])
        with pytest.raises(InputError, match="picture"):
            metric(PICTURE[None], PICTURE[None])


def test_windows_with_missing_samples_are_left_out() -> None:
    # The windows that touch the rows from 40 to 59 end there, so what remains are the two parts around them.
    holed = PICTURE[:, :30].copy()
    holed[40:60] = np.nan
    upper = metrics.ssim(NOISY[:40, :30], PICTURE[:40, :30])
    lower = metrics.ssim(NOISY[60:, :30], PICTURE[60:, :30])
    rows = np.array([40 - 10, len(PICTURE) - 60 - 10])
    expected = np.average([upper, lower], weights=rows)
    assert metrics.ssim(NOISY[:, :30], holed) == pytest.approx(expected, abs=1e-12)


def test_nothing_left() -> None:
    with pytest.raises(InputError, match="missing"):
        metrics.ssim(NOISY, np.full_like(PICTURE, np.nan))


def test_ms_ssim_needs_five_octaves() -> None:
    with pytest.raises(InputError, match="176"):
        metrics.ms_ssim(NOISY[:175], PICTURE[:175])
