import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.reference import (
    Cubic,
    InverseDistance,
    LocalKriging,
    RadialBasis,
    Variogram,
    fit_variogram,
    merge_repeated,
)
from ungrid.reference.interpolation import Interpolation

RNG = np.random.default_rng(0)
POINTS, AT = RNG.uniform(0, 3, (300, 2)), RNG.uniform(0.3, 2.7, (50, 2))
EXACT = Variogram(model="exponential", nugget=0.0, sill=2.0, range=1.5)
METHODS = [InverseDistance(), RadialBasis(), LocalKriging(variogram=EXACT), Cubic()]


def linear(points: np.ndarray) -> np.ndarray:
    return np.stack([1 + points @ np.arange(1, points.shape[1] + 1), -points[:, 0]], axis=1)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_constants_and_the_data_are_reproduced(method: Interpolation) -> None:
    assert np.allclose(method.fit(POINTS, np.full((300, 2), 7.0))(AT), 7.0, atol=1e-6)
    values = RNG.standard_normal((300, 2))
    np.testing.assert_allclose(method.fit(POINTS, values)(POINTS), values, atol=1e-5)


@pytest.mark.parametrize("method", [RadialBasis(degree=1), Cubic()], ids=lambda m: type(m).__name__)
def test_linear_functions_are_reproduced(method: Interpolation) -> None:
    np.testing.assert_allclose(method.fit(POINTS, linear(POINTS))(AT), linear(AT), atol=1e-8)


def test_inverse_distance_is_shepards_formula() -> None:
    values = RNG.standard_normal((300, 1))
    distance = np.linalg.norm(AT[:, None] - POINTS, axis=-1)
    weight = distance**-3
    expected = (weight @ values) / weight.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(InverseDistance(power=3, neighbours=300).fit(POINTS, values)(AT), expected)


def test_kriging_is_the_best_unbiased_estimate() -> None:
    """Brute force: simple kriging about the generalised least squares mean (Cressie 1993, equation 3.4.64)."""
    model = Variogram(model="exponential", nugget=0.3, sill=2.0, range=1.5)
    points, values = POINTS[:40], RNG.standard_normal((40, 1))
    cov = model.covariance(np.linalg.norm(points[:, None] - points, axis=-1)) + 0.3 * np.eye(40)
    c = model.covariance(np.linalg.norm(AT[:, None] - points, axis=-1)).T
    one, inv = np.ones((40, 1)), np.linalg.inv(cov)
    mean = (one.T @ inv @ values) / (one.T @ inv @ one)
    expected = mean + c.T @ inv @ (values - mean)
    variance = 2.3 - np.sum(c * (inv @ c), axis=0) + (1 - one.T @ inv @ c)[0] ** 2 / (one.T @ inv @ one)[0, 0]
    found, spread = LocalKriging(neighbours=40, variogram=model).fit_with_variance(points, values)(AT)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(spread[:, 0], variance, rtol=1e-7)


def test_kriging_is_sure_of_the_data_and_only_of_them() -> None:
    variance = LocalKriging(variogram=EXACT).fit_with_variance(POINTS, POINTS)(np.concatenate([POINTS, AT]))[1]
    assert variance[:300].max() < 1e-6
    assert variance[300:].min() > 1e-5


def test_the_variogram_of_a_simulated_field() -> None:
    """Exponential, variance 1 and range 2 in a square of side 40: 400 correlation areas and 1000 points."""
    points = np.random.default_rng(3).uniform(0, 40, (1000, 2))
    truth = Variogram(model="exponential", nugget=0.2, sill=1.0, range=2.0)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    root = np.linalg.cholesky(truth.covariance(distance) + 0.2 * np.eye(1000))
    values = root @ np.random.default_rng(4).standard_normal((1000, 8))
    found, scale = fit_variogram(points, values), values.var(axis=0).mean()
    lags = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    np.testing.assert_allclose(scale * found(lags), truth(lags), rtol=0.12)
    assert found(np.zeros(1))[0] == 0


def test_merging_adds_information() -> None:
    points = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 1e-12], [3.0, 0.0]])
    values, weights = np.array([[1.0], [5.0], [4.0], [2.0]]), np.array([[2.0], [1.0], [1.0], [1.0]])
    merged, mean, total, place = merge_repeated(points, values, weights)
    assert place[0] == place[2]
    assert sorted(place[[0, 1, 3]]) == [0, 1, 2]
    assert mean[place[0], 0] == pytest.approx((2 * 1 + 4) / 3)
    assert total[place[0], 0] == pytest.approx(3)
    np.testing.assert_allclose(merged[place], points, atol=1e-9)
    np.testing.assert_allclose(mean[place[[1, 3]], 0], [5, 2])


def test_cubic_in_other_dimensions() -> None:
    x = np.linspace(0, 1, 30)[:, None]
    predict = Cubic().fit(x, x**3)
    np.testing.assert_allclose(predict(np.array([[0.123], [7.0]])), [[0.123**3], [1.0]], atol=1e-10)
    with pytest.raises(InputError, match="one or two"):
        Cubic().fit(np.zeros((20, 3)), np.zeros((20, 1)))
