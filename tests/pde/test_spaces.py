"""What the spaces read off a problem, and the factorisation that solves on them."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid.pde.corners import corner_functions, free_cut, hole_functions
from ungrid.pde.spaces import MOST_WAVES, Features, given_waves, random_field
from ungrid.solvers.output_layer import least_squares

PI = np.pi


def problem(source=0.0, start=0.0):
    domain = pde.Box(x=(0, 1), y=(0, 2)) * pde.Time(0, 1)
    return pde.Problem(domain, pde.Heat(1.0, source=source), [pde.Dirichlet(0.0), pde.Initial(start)])


def test_a_sine_of_k_half_waves_over_half_an_axis_has_k_waves():
    """sin(40 πx) over [0, 1] is 20 half waves over half of the axis; sin(3πy) over [0, 2] is 3."""
    waves = given_waves(problem(start=lambda x, y: np.sin(40 * PI * x) * np.sin(3 * PI * y)))
    assert waves == pytest.approx((20.0, 3.0, 1.0), rel=0.05)


def test_a_source_in_time_counts_and_constants_do_not():
    assert given_waves(problem(source=lambda t: np.cos(20 * PI * t))) == pytest.approx((1.0, 1.0, 10.0), rel=0.05)
    assert given_waves(problem()) == (1.0, 1.0, 1.0)
    assert given_waves(problem(source=lambda x: 2.0 + 0 * x)) == (1.0, 1.0, 1.0)


def test_a_function_that_ends_at_the_boundary_is_passed_over_and_waves_have_a_limit():
    ends = pde.Problem(
        pde.Interval(x=(0, 1)),
        pde.Poisson(lambda x: np.sqrt(x) if (x >= 0).all() else np.nan * x),
        [pde.Dirichlet(0.0)],
    )
    assert given_waves(ends) == (1.0,)
    assert given_waves(problem(start=lambda x, y: np.sin(1e4 * x)))[0] == MOST_WAVES


def test_fast_waves_draw_slopes_around_them():
    fast = problem(start=lambda x, y: np.sin(40 * PI * x))
    weight = random_field(fast, Features(400, 2.0, "sine"), seed=0).encoding.weight.numpy()
    extent = np.array([0.5, 1.0, 0.5])  # in unit coordinates the longest axis has 1, and time its own unit scale
    slopes = np.abs(weight[:, 0]) * extent[0]
    assert ((slopes < 2.01) | (np.abs(slopes - 20 * PI) < 0.05 * 20 * PI + 2)).all()
    assert 0.5 < (slopes > 2.01).mean() < 0.8


def test_least_squares_of_full_rank_is_the_solution():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(60, 20, generator=generator, dtype=torch.float64) * torch.logspace(-6, 6, 20)
    right = torch.randn(60, 3, generator=generator, dtype=torch.float64)
    found = least_squares(matrix, right)
    assert (matrix.T @ (matrix @ found - right)).abs().max() < 1e-9 * matrix.abs().max()
    assert torch.equal(least_squares(matrix, right[:, 0]), least_squares(matrix, right[:, :1])[:, 0])


def test_least_squares_of_numerically_low_rank_keeps_the_digits_of_the_residual():
    """Monomials at equal places, of condition 1e17 and more: the target is one of the space."""
    x = torch.linspace(0, 1, 300, dtype=torch.float64)[:, None]
    matrix = x ** torch.arange(40)
    right = (x**3 - 2 * x).squeeze(1)
    assert (matrix @ least_squares(matrix, right) - right).abs().max() < 1e-13
    with_repeats = torch.cat([matrix, matrix, torch.zeros(300, 2)], dim=1)
    found = least_squares(with_repeats, right)
    assert (with_repeats @ found - right).abs().max() < 1e-13
    assert found[-2:].abs().max() == 0


def test_a_rate_of_zero_that_is_met_has_a_small_check():
    """The residual of u_t = 0 is measured by the size of u_t inside, not by itself."""
    waves = pde.example("wave").make()
    result = pde.solve(waves, budget=3.0)
    rate = next(value for name, value in result.stats["residuals"].items() if name.endswith("rate"))
    assert rate < 1e-2


def test_only_holes_have_multipoles():
    """Two discs joined or cut have arcs whose centres lie outside of the domain, but no hole."""
    lens, ring = pde.Ball((0, 0), 1.0) & pde.Ball((1.5, 0), 1.0), pde.Ball((0, 0), 1.0) - pde.Ball((0.2, 0), 0.3)
    assert hole_functions(lens, (1.0, 1.0)) == ()
    (poles,) = hole_functions(ring, (1.0, 1.0))
    assert poles.radius == pytest.approx(0.3)


def test_singular_functions_jump_outside_of_the_region_only():
    """A dip: the ray opposite to the middle of a corner at its bottom would cross the wall on the other side."""
    dip = pde.Polygon([(0, 0), (6, 0), (6, 9), (5, 9), (5, 1), (1, 1), (1, 9), (0, 9)])
    corner = next(c for c in dip.corners if np.allclose(c.vertex, (1, 1)))
    first, reach = np.arctan2(*corner.directions[0][::-1]), np.linspace(1e-3, 9, 5000)[:, None]

    def enters(angle):
        ray = np.array([np.cos(first + angle), np.sin(first + angle)])
        return (dip.side(corner.vertex + reach * ray) >= 0).any()

    assert enters(corner.angle / 2 + np.pi)
    assert not enters(free_cut(dip, corner, first))
    made = corner_functions(pde.Problem(dip, pde.Poisson(1.0), [pde.Dirichlet(0.0)]))
    cuts = [f.cut for f in made if np.isclose(f.angle, 1.5 * np.pi)]
    assert len(cuts) == 2
    assert not any(np.isclose(cut, 1.75 * np.pi) for cut in cuts)


def test_a_corner_in_a_closed_chamber_has_no_singular_functions():
    chamber = pde.Box(x=(0, 3), y=(0, 3)) - pde.Box(x=(1, 2), y=(1, 2))
    problem = pde.Problem(chamber, pde.Poisson(1.0), [pde.Dirichlet(0.0)])
    inner = [c for c in chamber.corners if c.angle > np.pi]
    assert len(inner) == 4
    assert all(free_cut(chamber, c, np.arctan2(*c.directions[0][::-1])) is None for c in inner)
    assert all(f.angle < np.pi for f in corner_functions(problem))
