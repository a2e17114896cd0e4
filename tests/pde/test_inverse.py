"""Unknown numbers and functions: recovered without noise, and with it as well as any method can."""

import importlib

import numpy as np
import pytest

from ungrid import pde
from ungrid._base.errors import InputError

PI = np.pi


def test_two_numbers_at_once_without_noise():
    """u_t = D u_xx - r u from two modes, which decay with D π² + r and 4 D π² + r."""

    def exact(x, t):
        slow, fast = (np.exp(-((k * PI) ** 2 * 0.3 + 0.7) * t) * np.sin(k * PI * x) for k in (1, 2))
        return slow + fast / 2

    domain = pde.Interval(x=(0, 1)) * pde.Time(0, 0.5)
    points = domain.sample(60, np.random.default_rng(0), method="uniform")
    equation = pde.SecondOrder(damping=1.0, diffusion=pde.Unknown("D"), reaction=pde.Unknown("r", 0.0, positive=False))
    start = pde.Initial(lambda x: exact(x, 0 * x))
    data = pde.Measured(points, exact(*points.T), 1e-3)
    result = pde.solve(pde.Problem(domain, equation, [pde.Dirichlet(0.0), start, data]), budget=1.0)
    assert result.stats["unknowns"] == {"D": pytest.approx(0.3, abs=1e-4), "r": pytest.approx(0.7, abs=1e-3)}


def rod(a, sigma=1e-3, seed=None, n=100):
    """-(a u')' = f on (0, 1) with a = 1 + x / 2 + x² and u = sin(πx)."""

    def source(x):
        return (1 + x / 2 + x**2) * PI**2 * np.sin(PI * x) - (0.5 + 2 * x) * PI * np.cos(PI * x)

    points = np.linspace(0.005, 0.995, n)[:, None]
    noise = 0.0 if seed is None else sigma * np.random.default_rng(seed).standard_normal(n)
    data = pde.Measured(points, np.sin(PI * points[:, 0]) + noise, sigma)
    return pde.Problem(pde.Interval(x=(0, 1)), pde.Poisson(source, diffusion=a), [pde.Dirichlet(0.0), data])


def test_a_function_without_noise():
    a = pde.UnknownFunction("a", {"x": (0, 1)}, degree=2)
    result = pde.solve(rod(a), budget=1.0)
    x = np.linspace(0, 1, 50)[:, None]
    found = a.values(x, ("x",), result.stats["unknowns"])
    np.testing.assert_allclose(found, 1 + x[:, 0] / 2 + x[:, 0] ** 2, atol=1e-3)


def test_its_covariance_is_the_inverse_of_fisher_s_matrix():
    """The sensitivities w of u to the coefficients solve -(a w')' = (φ u')', here by finite elements."""
    a = pde.UnknownFunction("a", {"x": (0, 1)}, degree=1)
    sigma = 1e-3
    problem = rod(a, sigma, seed=0)
    result = pde.solve(problem, budget=1.0)
    points = np.asarray(problem.measured[0].points)

    def line(x):  # about which the problem is linearised
        return a.values(x[:, None], ("x",), result.stats["unknowns"])

    def sensitivity(value, slope):
        def push(x):
            return slope * PI * np.cos(PI * x) - value(x) * PI**2 * np.sin(PI * x)

        linear = pde.Problem(pde.Interval(x=(0, 1)), pde.Poisson(push, diffusion=line), [pde.Dirichlet(0.0)])
        return pde.reference(linear, tolerance=1e-6)(points)[:, 0]

    root = np.sqrt(3)  # Legendre's polynomials on (0, 1), of root mean square 1
    columns = [sensitivity(np.ones_like, 0.0), sensitivity(lambda x: root * (2 * x - 1), 2 * root)]
    fisher = np.stack(columns) @ np.stack(columns).T / sigma**2
    limit = np.sqrt(np.diag(np.linalg.inv(fisher)))
    found = np.array(list(result.stats["deviations"].values()))
    np.testing.assert_allclose(found, limit, rtol=0.1)  # u' is cos(πx) up to the misfit of a line to a parabola
    for name, (low, high) in result.stats["intervals"].items():
        assert high - low == pytest.approx(2 * 1.6448536 * result.stats["deviations"][name], rel=1e-6)


def test_legendre_products_are_orthonormal():
    a = pde.UnknownFunction("a", {"x": (-1, 3), "y": (0, 1)}, degree=3)
    box = pde.Box(x=(-1, 3), y=(0, 1))
    points, weights = box.quadrature(8)
    basis = a.basis(points, ("x", "y"))
    np.testing.assert_allclose(basis.T @ (weights[:, None] / box.measure * basis), np.eye(10), atol=1e-12)
    for axis, column in (("x", 0), ("y", 1)):
        h = 1e-5 * np.eye(2)[column]
        slopes = (a.basis(points + h, ("x", "y")) - a.basis(points - h, ("x", "y"))) / 2e-5
        np.testing.assert_allclose(a.basis(points, ("x", "y"), axis), slopes, atol=1e-6)
    assert not a.basis(points, ("x", "y"), "t").any()


def test_an_unknown_function_of_no_axis():
    with pytest.raises(InputError, match="'z'"):
        rod(pde.UnknownFunction("a", {"z": (0, 1)}, degree=1))


@pytest.mark.parametrize("slope", [2.0, 10.0])
def test_noise_is_not_met_by_enormous_weights(slope, monkeypatch):
    """Whatever the slope of the features: on smooth ones, weights of 1e13 once hid the numbers in rounding."""
    monkeypatch.setattr(importlib.import_module("ungrid.pde.ladder"), "SCALES", (slope,))
    domain = pde.Box(x=(0, 1), y=(0, 1))

    def source(x, y):  # of a = 0.4 and u = sin(πx) sin(πy)
        return 0.4 * 2 * PI**2 * np.sin(PI * x) * np.sin(PI * y)

    points = domain.sample(900, np.random.default_rng(0), method="uniform")
    noise = 0.1 * np.random.default_rng(8).standard_normal(900)
    data = pde.Measured(points, np.sin(PI * points[:, 0]) * np.sin(PI * points[:, 1]) + noise, 0.1)
    a = pde.UnknownFunction("a", {"x": (0, 1), "y": (0, 1)}, degree=2, start=1.0)
    result = pde.solve(pde.Problem(domain, pde.Poisson(source, diffusion=a), [pde.Dirichlet(0.0), data]), budget=3.0)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 2), axis=-1).reshape(-1, 2)
    assert np.abs(a.values(grid, ("x", "y"), result.stats["unknowns"]) - 0.4).mean() < 0.1
