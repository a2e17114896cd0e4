"""Hard conditions: exact on random regions away from vertices, in the solution and in its file; no worse than soft ones."""

import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.io import load, save
from ungrid.pde.spaces import Features, constrained, hard_groups, random_field

EXACT = 1e-12
AWAY = 0.02  # of vertices


def away_from_vertices(region, points: np.ndarray) -> np.ndarray:
    corners = np.array([corner.vertex for corner in region.corners]).reshape(-1, 2)
    return np.all(np.linalg.norm(points[:, None] - corners[None], axis=2) > AWAY, axis=1)


def on_the_boundary(region, part, seed=0, n=200):
    points = region.sample_boundary(n, np.random.default_rng(seed), part=part).points
    return points[away_from_vertices(region, points)] if region.dim == 2 else points


SHAPES = {
    "box": lambda x, y: pde.Box(x=(x - 0.6, x + 0.5), y=(y - 0.5, y + 0.7)),
    "ball": lambda x, y: pde.Ball((x, y), 0.55),
    "ellipse": lambda x, y: pde.Ellipse((x, y), (0.7, 0.4)),
    "triangle": lambda x, y: pde.Polygon([(x - 0.6, y - 0.4), (x + 0.6, y - 0.5), (x, y + 0.6)]),
}
JOINS = {"union": operator.or_, "difference": operator.sub, "intersection": operator.and_}
places = st.integers(-50, 50).map(lambda v: v / 100)
drawn = st.tuples(st.sampled_from(sorted(SHAPES)), places, places)


def built(first, others):
    """The region, or None where nothing is left."""
    region = SHAPES[first[0]](*first[1:])
    try:
        for join, (kind, x, y) in others:
            region = JOINS[join](region, SHAPES[kind](x, y))
    except InputError:
        return None
    return region


@settings(max_examples=25)
@given(drawn, st.lists(st.tuples(st.sampled_from(sorted(JOINS)), drawn), min_size=1, max_size=2))
def test_the_features_vanish_on_the_boundary_and_nowhere_inside_and_the_last_has_the_value(first, others):
    region = built(first, others)
    if region is None:
        return
    value = lambda x, y: 1 + x - 0.5 * x * y  # noqa: E731
    problem = pde.Problem(region, pde.Poisson(1.0), [pde.Dirichlet(value, hard=True)])
    u = random_field(problem, Features(10, 2.0, "tanh"), seed=0)
    with torch.no_grad():
        u.network.weight[:-1] = torch.linspace(-1, 1, len(u.network.weight) - 1, dtype=torch.float64)[:, None]
    for part in region.parts:
        points = on_the_boundary(region, part)
        assert np.abs(u(points)[:, 0] - value(*points.T)).max(initial=0) < EXACT
    inside = torch.from_numpy(region.sample(200, np.random.default_rng(0)))
    assert (u.encoding.join(u.unit(inside))[0] > 0).all()


def test_near_a_piece_it_is_the_distance():
    region = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Ball((0, 0), 0.4)
    problem = pde.Problem(region, pde.Poisson(1.0), [pde.Dirichlet(0.0, hard=True)])
    encoding = constrained(
        problem, random_field(problem, Features(3, 1.0, "tanh"), seed=0).encoding.inner, hard_groups(problem)
    )
    for h in (1e-3, 1e-5):
        points = torch.tensor([[0.3, 1 - h], [1 - h, -0.2], [0.0, 0.4 + h], [-(0.4 + h), 0.0]], dtype=torch.float64)
        torch.testing.assert_close(
            encoding.join(points)[0], torch.full((4,), h, dtype=torch.float64), rtol=10 * h, atol=0
        )


def square(conditions, source=0.0):
    return pde.Problem(pde.Box(x=(0, 1), y=(0, 1)), pde.Poisson(source), conditions)


def harmonic(x, y):
    return np.exp(x) * np.sin(y)


CASES = {
    "one value": (square([pde.Dirichlet(harmonic, hard=True)]), harmonic),
    "mixed": (
        square([
            pde.Dirichlet(harmonic, "x_low", hard=True), pde.Dirichlet(harmonic, "y_low", hard=True),
            pde.Neumann(harmonic, "x_high"), pde.Neumann(lambda x, y: np.exp(x) * np.cos(y), "y_high"),
        ]),
        harmonic,
    ),
    "ring": (
        pde.Problem(
            pde.Ball((0, 0), 1.0).named("outside") - pde.Ball((0, 0), 0.5).named("inside"), pde.Poisson(0.0),
            [pde.Dirichlet(0.0, "outside", hard=True), pde.Dirichlet(1.0, "inside", hard=True)],
        ),
        lambda x, y: np.log(np.hypot(x, y)) / np.log(0.5),
    ),
    "interval": (
        pde.Problem(
            pde.Interval(x=(0, 2)), pde.Poisson(lambda x: np.sin(x)),
            [pde.Dirichlet(0.0, "x_low", hard=True), pde.Dirichlet(np.sin(2.0), "x_high", hard=True)],
        ),
        lambda x: np.sin(x),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_solutions_are_right_inside_and_exact_on_the_boundary(name, tmp_path):
    problem, exact = CASES[name]
    result = pde.solve(problem, budget=0.5)
    points = problem.domain.sample(1000, np.random.default_rng(1))
    truth = exact(*points.T)
    assert np.linalg.norm(result.field(points)[:, 0] - truth) < 1e-5 * np.linalg.norm(truth)
    again = load(save(result.field, tmp_path / "a.field"))
    for _, parts in hard_groups(problem):
        for part in parts:
            edge = on_the_boundary(problem.domain, part)
            assert np.abs(again(edge)[:, 0] - exact(*edge.T)).max() < EXACT
    assert not any(name.startswith("Dirichlet") for name in result.stats["residuals"])


def test_what_cannot_be_hard_is_said():
    rod = pde.Interval(x=(0, 1)) * pde.Time(0, 1)
    moving = pde.Problem(rod, pde.Heat(1.0), [pde.Initial(0.0), pde.Dirichlet(0.0, hard=True)])
    with pytest.raises(InputError, match="stationary"):
        pde.solve(moving, budget=0.1)
    kinked = square([pde.Dirichlet(lambda x, y: np.abs(x - 0.5), hard=True)])
    with pytest.raises(InputError, match="smooth"):
        pde.solve(kinked, budget=0.1)
