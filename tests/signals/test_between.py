"""Pictures of which every other pixel is known: exact where they are known, and not worse than the cubic spline between."""

import numpy as np
import pytest
from scipy.interpolate import RectBivariateSpline

import ungrid
from ungrid.domains import RegularGrid
from ungrid.sampling import GridSamples
from ungrid.signals import between
from ungrid.signals.gridded import split_grid


def picture(values: np.ndarray) -> GridSamples:
    values = values.astype(np.float32)
    grid = RegularGrid.isotropic(values.shape[:2], ("y", "x"))
    return GridSamples(grid, values, tuple(f"c{k}" for k in range(values.shape[-1])), "image")


def smooth(shape: tuple[int, int] = (40, 52)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]] / 12
    return 0.5 + np.stack([np.sin(y + x), np.cos(y * x / 4), np.sin(y - 2 * x)], axis=-1) / 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_the_spline_meets_every_node_of_the_dense_lattice(channels: int) -> None:
    given, _ = split_grid(picture(np.random.default_rng(0).random((20, 26, channels))), "even", seed=0)
    dense = between.learned(given.values)
    field = between.spline_through(dense, given)
    at = [given.grid.centers(k)[0] + given.grid.spacing[k] * (np.arange(dense.shape[k]) - 1) / 2 for k in (0, 1)]
    points = np.stack(np.meshgrid(*at, indexing="ij"), axis=-1)[1:-1, 1:-1]  # the outermost lie on the box's surface
    np.testing.assert_allclose(field(points), dense[1:-1, 1:-1], atol=3e-5)


def test_the_cubic_lattice_is_the_spline_through_the_samples() -> None:
    values = np.random.default_rng(1).random((11, 14, 2)).astype(np.float32)
    exact = [
        RectBivariateSpline(np.arange(11), np.arange(14), c)(np.arange(0, 21) / 2, np.arange(0, 27) / 2)
        for c in np.moveaxis(values, -1, 0)
    ]
    np.testing.assert_allclose(between.cubic(values)[1:-1, 1:-1], np.stack(exact, axis=-1), atol=1e-5)


def test_a_smooth_picture_is_known_between_its_pixels() -> None:
    """Waves of 38 pixels and more, known at every second pixel; the last row and column, half a step beyond, set the error."""
    result = ungrid.fit(picture(smooth()), holdout="even")
    assert result.stats["metrics"]["psnr_db"] > 80
    assert result.stats["metrics"]["heldout_psnr_db"] > 45
    assert set(result.stats["between_known_psnr_db"]) == {"cubic", "learned"}


def test_the_better_of_two_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(values: np.ndarray) -> np.ndarray:
        return between.cubic(values) + 0.1

    for name, other in (("cubic", "learned"), ("learned", "cubic")):
        monkeypatch.setattr(between, "DENSIFIERS", {name: between.cubic, other: wrong})
        assert ungrid.fit(picture(smooth()), holdout="even").stats["between"] == name


def test_photographs_gain_by_what_was_learned() -> None:
    """scikit-image's photographs, which the network was not trained on, against the cubic spline."""
    data = pytest.importorskip("skimage.data")
    for name, part in (("astronaut", np.s_[60:252, 120:312]), ("coffee", np.s_[100:292, 200:392])):
        whole = picture(getattr(data, name)()[part] / 255.0)
        given, hidden = split_grid(whole, "even", seed=0)
        assert hidden is not None
        errors = {}
        for how in ("cubic", "learned"):
            dense = np.clip(between.DENSIFIERS[how](given.values), 0, 1)[1:, 1:][:192, :192]
            errors[how] = np.nanmean(np.square(dense - hidden.values))
        assert errors["learned"] < 0.97 * errors["cubic"]


def test_others_are_fitted_as_ever() -> None:
    whole = picture(np.zeros((20, 20, 1)))
    assert between.fills_gaps("auto", "even", whole)
    assert not between.fills_gaps("grid", "even", whole)
    assert not between.fills_gaps("auto", 0.1, whole)
    assert not between.fills_gaps("auto", "even", picture(np.zeros((4, 40, 1))))
    holes = np.zeros((20, 20, 1))
    holes[3, 3] = np.nan
    assert not between.fills_gaps("auto", "even", picture(holes))


def test_the_plan_knows_the_parameters() -> None:
    samples = picture(smooth())
    planned = ungrid.plan(samples, holdout="even")
    fitted = ungrid.fit(samples, holdout="even").stats["parameters"]
    assert planned["parameters"] <= fitted <= planned["parameters"] + 100  # the decoder's own
