"""Whole networks on problems: every strategy against exact solutions, new points where the residual is large, refusals."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.pde.networks import NETWORK_SOLVERS, adapted, balanced, can_train, network_field
from ungrid.pde.terms import BOUNDARY_WEIGHT, EQUATION, Counts, problem_terms
from ungrid.solvers.whole import Whole

LIMITS = {"gauss-newton": (8.0, 1e-3), "broyden": (8.0, 2e-2), "adam": (3.0, 0.1)}  # seconds, relative error


@pytest.mark.parametrize("solver", NETWORK_SOLVERS)
def test_a_network_finds_the_exact_solution(solver):
    shown = pde.example("heat")
    problem, rows = shown.make(), []
    budget, limit = LIMITS[solver]
    result = pde.solve(problem, solver=solver, budget=budget, report=rows.append)
    points = pde.check_points(problem, 0)
    apart = pde.distance(result.field, pde.exact_values(problem, shown.exact, points), points)
    assert apart.relative_l2 < limit
    assert result.stats["seconds"] < budget + 4
    assert len(rows) == len(result.history)
    assert result.stats["relative_residual"] == min(row["relative_residual"] for row in rows)
    assert not pde.can_split(result)


def test_a_nonlinear_system():
    """u' = v, v' = -u³ against the energy v² / 2 + u⁴ / 4, which it keeps."""
    equation = pde.Strong(
        lambda u: torch.cat([u.d("t")[:, :1] - u.value[:, 1:], u.d("t")[:, 1:] + u.value[:, :1] ** 3], dim=1),
        out_names=("u", "v"),
    )
    problem = pde.Problem(pde.Time(0, 2), equation, [pde.Initial(1.0), pde.Initial(0.0, component=1)])
    field = pde.solve(problem, solver="gauss-newton", budget=6.0).field
    values = field(np.linspace(0, 2, 50)[:, None])
    assert np.abs(values[:, 1] ** 2 / 2 + values[:, 0] ** 4 / 4 - 0.25).max() < 2e-2


def test_periodic_ends():
    ring = pde.Problem(
        pde.Interval(x=(-1, 1)) * pde.Time(0, 1),
        pde.Heat(0.1),
        [pde.Periodic("x"), pde.Initial(lambda x: np.cos(np.pi * x))],
    )
    found = pde.solve(ring, solver="gauss-newton", budget=6.0).field
    points = pde.check_points(ring, 0)
    exact = np.cos(np.pi * points[:, :1]) * np.exp(-0.1 * np.pi**2 * points[:, 1:])
    assert pde.distance(found, exact, points).relative_l2 < 3e-2


def test_new_points_lie_where_the_residual_is_large():
    """Of a field that is zero, with a source in one corner alone."""
    problem = pde.Problem(
        pde.Box(x=(0, 1), y=(0, 1)),
        pde.Poisson(lambda x, y: np.where((x > 0.9) & (y > 0.9), 1e3, 0.0)),
        [pde.Dirichlet(0.0)],
    )
    u = network_field(problem, 0)
    for p in u.parameters():
        p.data.zero_()
    points = adapted(u, problem, np.zeros((1000, 2)), np.random.default_rng(0))
    corner = (points > 0.9).all(axis=1).mean()  # of the drawn half about all 20 candidates; of the other half 1 %
    assert points.shape == (1000, 2)
    assert 0.02 < corner < 0.05


def test_weights_make_the_rows_of_all_terms_alike():
    problem = pde.example("heat").make()
    u = network_field(problem, 0)
    terms = balanced(u, problem_terms(problem, Counts(100, 100), seed=0))
    for term in terms:
        rows, _ = Whole(u, [term], [term.points.draw(0, torch.Generator())]).system()
        share = 1.0 if term.name == EQUATION else BOUNDARY_WEIGHT
        assert float(rows.square().sum()) == pytest.approx(share, rel=1e-9)


SQUARE = pde.Box(x=(0, 1), y=(0, 1))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (pde.Problem(SQUARE, pde.Poisson(diffusion=pde.Unknown("k")), [pde.Dirichlet(0.0)]), "unknown 'k'"),
        (pde.Problem(SQUARE, pde.Poisson(1.0), [pde.Dirichlet(0.0, hard=True)]), "hard condition"),
        (pde.example("kdv").make(), "order 3"),
    ],
)
def test_what_a_network_cannot_take_is_said(problem, words):
    assert not can_train(problem)
    with pytest.raises(InputError, match=words):
        pde.solve(problem, solver="gauss-newton")


def test_an_unknown_solver_is_named():
    with pytest.raises(InputError, match="'newton'; expected one of auto, features, gauss-newton"):
        pde.solve(pde.example("heat").make(), solver="newton")
