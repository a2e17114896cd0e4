"""Problems with known solutions, solved by random features and least squares."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid.domains import RegularGrid
from ungrid.io import load, save
from ungrid.signals import sample_grid

PI = np.pi


def relative_error(field, exact, seed=5) -> float:
    box = field.domain
    points = np.random.default_rng(seed).uniform(box.low, box.high, (2000, box.dim))
    truth = exact(*points.T)
    return float(np.linalg.norm(field(points)[:, 0] - truth) / np.linalg.norm(truth))


CASES = {
    "poisson": (
        pde.Problem(
            pde.Box(x=(0, 1), y=(0, 1)),
            pde.Poisson(source=lambda x, y: 2 * PI**2 * np.sin(PI * x) * np.sin(PI * y)),
            [pde.Dirichlet(0.0)],
        ),
        lambda x, y: np.sin(PI * x) * np.sin(PI * y),
    ),
    "variable diffusion, flux and Robin": (
        pde.Problem(
            pde.Interval(x=(0, 2)),
            pde.Poisson(source=lambda x: -np.exp(x) * (2 + x), diffusion=lambda x: 1 + x, reaction=0.0),
            [pde.Neumann(lambda x: -np.exp(x), on="x_low"), pde.Robin(lambda x: 3 * np.exp(x), on="x_high", coefficient=2.0)],
        ),
        lambda x: np.exp(x),
    ),
    "heat": (
        pde.Problem(
            pde.Interval(x=(0, 1)) * pde.Time(0, 1),
            pde.Heat(0.25),
            [pde.Initial(lambda x: np.sin(PI * x)), pde.Dirichlet(0.0)],
        ),
        lambda x, t: np.sin(PI * x) * np.exp(-(PI**2) * t / 4),
    ),
    "wave": (
        pde.Problem(
            pde.Interval(x=(0, 1)) * pde.Time(0, 1),
            pde.Wave(1.0),
            [pde.Initial(lambda x: np.sin(PI * x), rate=0.0), pde.Dirichlet(0.0)],
        ),
        lambda x, t: np.sin(PI * x) * np.cos(PI * t),
    ),
    "periodic advection": (
        pde.Problem(
            pde.Interval(x=(-1, 1)) * pde.Time(0, 1),
            pde.Advection(0.5),
            [pde.Initial(lambda x: np.sin(PI * x)), pde.Periodic("x", order=0)],
        ),
        lambda x, t: np.sin(PI * (x - 0.5 * t)),
    ),
    "logistic growth, an ODE": (
        pde.Problem(
            pde.Time(0, 3), lambda u: u.d("t") - u.value * (1 - u.value), [pde.Initial(0.25)]
        ),
        lambda t: 1 / (1 + 3 * np.exp(-t)),
    ),
    "a nonlinear reaction": (
        pde.Problem(
            pde.Box(x=(0, 1), y=(0, 1)),
            pde.SecondOrder(
                nonlinearity=lambda u: u.value**3, source=lambda x, y: 5 * np.sin(x + 2 * y) + np.sin(x + 2 * y) ** 3
            ),
            [pde.Dirichlet(lambda x, y: np.sin(x + 2 * y))],
        ),
        lambda x, y: np.sin(x + 2 * y),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_exact_solutions(name: str) -> None:
    problem, exact = CASES[name]
    result = pde.solve(problem, budget=0.1)
    error = relative_error(result.field, exact)
    assert error < 1e-6
    assert error < 1e3 * result.stats["relative_residual"] + 1e-12  # the check is no bound, but it knows the order


def test_an_unknown_diffusivity_and_its_standard_error() -> None:
    """The estimate lies within four standard errors, and these shrink with the noise."""
    found = {}
    for sigma in (0.02, 0.002):
        rng = np.random.default_rng(1)
        points = np.stack([rng.uniform(-1, 1, 200), rng.uniform(0, 1, 200)], axis=1)
        exact = np.sin(PI * points[:, 0]) * np.exp(-0.4 * PI**2 * points[:, 1])
        problem = pde.Problem(
            pde.Interval(x=(-1, 1)) * pde.Time(0, 1),
            pde.Heat(pde.Unknown("diffusivity", 1.0)),
            [
                pde.Initial(lambda x: np.sin(PI * x)), pde.Dirichlet(0.0),
                pde.Measured(points, exact + rng.normal(0, sigma, 200), sigma),
            ],
        )  # fmt: skip
        stats = pde.solve(problem, budget=0.1).stats
        found[sigma] = stats["deviations"]["diffusivity"]
        assert abs(stats["unknowns"]["diffusivity"] - 0.4) < 4 * max(found[sigma], 1e-6)
    assert found[0.002] < found[0.02]


def test_the_l_shapes_energy() -> None:
    """The integral of the solution of -Δu = 1 is 0.2140758036."""
    lshape = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Box(x=(0, 1), y=(0, 1))
    result = pde.solve(pde.Problem(lshape, pde.Poisson(1.0), [pde.Dirichlet(0.0)]), budget=0.1)
    points, weights = lshape.quadrature(12)
    assert abs(weights @ result.field(points)[:, 0] - 0.2140758036) < 1e-4


def test_a_solution_is_saved_with_its_basis(tmp_path) -> None:
    lshape = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Ball((0.0, 0.0), 0.5)
    result = pde.solve(pde.Problem(lshape, pde.Poisson(1.0), [pde.Dirichlet(0.0)]), budget=0.1)
    again = load(save(result.field, tmp_path / "u.field"))
    at = torch.tensor([[0.7, 0.3], [-0.9, 0.9]], dtype=torch.float64)
    assert torch.equal(again(at), result.field(at))


def test_equal_seeds_give_equal_bits() -> None:
    problem, _ = CASES["heat"]
    first, again = (pde.solve(problem, budget=0.1, seed=3, threads=1).field.network.weight for _ in range(2))
    assert torch.equal(first, again)


def test_a_field_knows_where_its_domain_ends(tmp_path) -> None:
    """The notch of the L-shape and the hole of a ring are NaN on a grid, also after the file; the vertices are the region's."""
    lshape = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Box(x=(0, 1), y=(0, 1))
    ring = pde.Ball((0, 0), 1.0) - pde.Ball((0.2, 0), 0.3)
    for region in (lshape, ring):
        problem = pde.Problem(region, pde.Poisson(1.0), [pde.Dirichlet(0.0)])
        field = load(save(pde.solve(problem, budget=0.01).field, tmp_path / "a.field"))
        grid = RegularGrid(field.domain.box, (21, 21))
        there = region.contains(grid.points().reshape(-1, 2)).reshape(21, 21)
        for quantity in ("value", "gradient"):
            values = sample_grid(field, (21, 21), quantity=quantity)
            assert np.array_equal(~np.isnan(values).reshape(21, 21, -1).any(axis=2), there)
        assert field.domain.measure == pytest.approx(region.measure)
