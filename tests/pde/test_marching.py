"""Equations on an interval and time, against exact travelling waves and a step that diffuses."""

import numpy as np
import pytest

from ungrid import pde
from ungrid.io import load, save
from ungrid.pde import ladder, marching
from ungrid.pde.marching import can_march, density, quantiles

LINE = pde.Interval(x=(-1, 1)) * pde.Time(0, 0.01)


def front(x, t, nu=0.02):
    """Burgers: two states, 1.5 and -0.5, joined by a front of width 2 nu that moves with speed 1/2."""
    return 0.5 - np.tanh((x - 0.5 * t) / (2 * nu))


def change(x, t, width=0.05):
    """u_t = D u_xx + (u - u³) from the phase 1 to the phase 0: u = (1 - tanh((x - s t) / w)) / 2, w² = 8 D, s = 3 w / 4."""
    return (1 - np.tanh((x - 0.75 * width * t) / width)) / 2


def soliton(x, t, speed=1.0, dispersion=1e-3):
    """Korteweg and de Vries: 3 c sech²((x - c t) sqrt(c / d) / 2); at the ends of (-1, 1) it is below 1e-10."""
    return 3 * speed / np.cosh((x + 0.1 - speed * t) * np.sqrt(speed / dispersion) / 2) ** 2


CASES = {
    "burgers": (
        pde.Problem(LINE, pde.Burgers(0.02), [pde.Dirichlet(lambda x, t: front(x, t)), pde.Initial(lambda x: front(x, 0.0))]),
        front,
    ),
    "reaction": (
        pde.Problem(
            LINE, pde.AllenCahn(0.05**2 / 8, 1.0),
            [pde.Dirichlet(lambda x, t: change(x, t)), pde.Initial(lambda x: change(x, 0.0))],
        ),
        change,
    ),
    "kdv": (
        pde.Problem(
            pde.Interval(x=(-1, 1)) * pde.Time(0, 0.004), pde.KdV(1e-3),
            [pde.Periodic("x", order=2), pde.Initial(lambda x: soliton(x, 0.0))],
        ),
        soliton,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_travelling_waves(name, tmp_path, monkeypatch):
    monkeypatch.setattr(marching, "FIRST_SLABS", 2)
    problem, exact = CASES[name]
    assert can_march(problem)
    result = pde.solve(problem, budget=20.0)
    points = problem.domain.sample(2000, np.random.default_rng(3))
    truth = exact(*points.T)
    found = result.field(points)[:, 0]
    assert np.linalg.norm(found - truth) < 1e-4 * np.linalg.norm(truth)
    assert result.history[-1]["time"] == problem.domain.time.end
    again = load(save(result.field, tmp_path / "a.field"))
    assert np.array_equal(again(points)[:, 0], found)


def test_a_steep_linear_problem_is_marched_and_a_smooth_one_is_not(monkeypatch):
    monkeypatch.setattr(ladder, "MOST", 640)  # larger bases of all of space and time are as poor, and take far longer
    steep, smooth = (pde.solve(pde.example(name).make(), budget=20.0) for name in ("step", "heat"))
    assert "slabs" in steep.stats["method"]
    assert "slabs" not in smooth.stats["method"]
    exact = pde.example("step").exact
    points = pde.example("step").make().domain.sample(2000, np.random.default_rng(3))
    truth = exact(*points.T)
    assert np.linalg.norm(steep.field(points)[:, 0] - truth) < 1e-4 * np.linalg.norm(truth)


def test_waves_and_unknown_numbers_cannot_be_marched():
    start = [pde.Initial(lambda x: 0 * x), pde.Dirichlet(0.0)]
    assert not can_march(pde.example("wave").make())
    unknown = pde.SecondOrder(damping=1.0, diffusion=pde.Unknown("d"), nonlinearity=lambda u: u.value**3)
    assert not can_march(pde.Problem(LINE, unknown, start))
    assert not can_march(pde.Problem(pde.Interval(x=(0, 1)), pde.Poisson(1.0), [pde.Dirichlet(0.0)]))


def test_an_even_profile_is_even_and_a_front_gets_its_share():
    x, dense = density(lambda x: 2 * x, 0.0, 1.0, 100)
    assert np.abs(dense - 1).max() < 1e-9
    x, dense = density(lambda x: np.tanh(200 * (x - 0.3)), 0.0, 1.0, 100)
    assert dense[np.abs(x - 0.3) < 0.01].mean() > 10
    assert dense.mean() == pytest.approx(1.0)
    spacing = 1 / (100 * dense)
    assert (np.abs(np.diff(spacing)) <= 0.5 * np.diff(x)).all()  # the grading, and the mean that it changed
    places = quantiles(x, dense, 0.0, 1.0, (np.arange(1000) + 0.5) / 1000)
    assert (np.diff(places) > 0).all()
    assert (np.abs(places - 0.3) < 0.01).mean() == pytest.approx(dense[np.abs(x - 0.3) < 0.01].sum() / len(x), abs=0.01)
