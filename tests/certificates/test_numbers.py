"""Goals and eigenvalues against exact values, and what a bound says of itself."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.certificates import Bound, certify_flux, certify_mean, smallest_eigenvalue
from ungrid.certificates.bound import weakest
from ungrid.domains import Box, Composite, Interval, Polygon
from ungrid.equations import ByMaterial, Dirichlet, Neumann, Poisson, Problem, Robin
from ungrid.reference.meshing import mesh

SQUARE = Box(x=(0, 1), y=(0, 1))
LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - SQUARE


def inside(bound, exact, width):
    return bound.lower <= exact <= bound.upper and bound.upper - bound.lower <= width


def test_the_mean_of_the_lshape():
    bound = certify_mean(Problem(LSHAPE, Poisson(1.0), [Dirichlet(0.0)]))
    assert bound.kind == "certified"
    assert inside(bound, 0.2140758036 / 3, 1e-6)


MIXED = Problem(
    SQUARE, Poisson(lambda x: -20 * x**3),
    [Dirichlet(lambda x, y: x**5 + y, ("x_low", "x_high")), Neumann(1.0, "y_high"), Neumann(-1.0, "y_low")],
)  # fmt: skip
"""With the solution x⁵ + y, and boundary values that are constant along x."""


@pytest.mark.parametrize("degree", [1, 3])
def test_means_and_fluxes_of_a_polynomial(degree):
    coarse = mesh(SQUARE, 0.25)
    width = {1: 0.1, 3: 2e-5}[degree]
    assert inside(certify_flux(MIXED, "x_high", coarse, degree=degree), 5.0, 1e-9)  # z is linear: its error is rounding
    assert inside(certify_flux(MIXED, "x_low", coarse, degree=degree), 0.0, 1e-9)
    assert inside(certify_mean(MIXED, mesh=coarse, degree=degree), 1 / 6 + 1 / 2, width)
    assert inside(certify_mean(MIXED, lambda x: x, coarse, degree=degree), 2 * (1 / 7 + 1 / 4), width)


def test_the_flux_through_a_hole_with_a_dual_solution_that_is_not_simple():
    """The heat between two boxes, one inside the other, flows in as it flows out."""
    hole = Box(x=(1, 2), y=(1, 2))
    region = Box(x=(0, 3), y=(0, 3)).named("outer") - hole.named("inner")
    problem = Problem(region, Poisson(0.0), [Dirichlet(0.0, "outer"), Dirichlet(1.0, "inner")])
    coarse = mesh(region, 0.5, grading=0.3)
    out, into = certify_flux(problem, "outer", coarse), certify_flux(problem, "inner", coarse)
    assert out.upper - out.lower < 3e-2 * abs(out.lower)
    assert max(out.lower, -into.upper) <= min(out.upper, -into.lower)  # the two intervals of one number meet


def test_the_mean_over_a_part_and_the_flux_of_a_wall():
    region = Composite(Interval(x=(0, 1)), {"right": Interval(x=(0.5, 1))}, rest="left")
    diffusion = ByMaterial(left=1.0, right=4.0)
    problem = Problem(region, Poisson(0.0, diffusion=diffusion), [Dirichlet(0.0, "x_low"), Dirichlet(5.0, "x_high")])
    assert inside(certify_mean(problem, ByMaterial(left=1.0, right=0.0)), 2.0, 1e-9)
    assert inside(certify_flux(problem, "x_high"), 8.0, 1e-9)


def test_a_mean_with_a_condition_of_robins_kind_and_other_data():
    """u = cos x on [0, 1] × [0, 1], with -Δu + u = 2 cos x."""
    conditions = [Robin(2 * np.cos(1) - np.sin(1), "x_high", coefficient=2.0), Neumann(0.0)]
    problem = Problem(SQUARE, Poisson(lambda x: 2 * np.cos(x), reaction=1.0), conditions)
    bound = certify_mean(problem, mesh=mesh(SQUARE, 0.2))
    assert bound.kind == "estimated"
    assert inside(bound, np.sin(1.0), 1e-6)


def test_goals_without_a_meaning_are_refused():
    coarse = mesh(SQUARE, 0.5)
    with pytest.raises(InputError, match="Dirichlet"):
        certify_flux(MIXED, "y_low", coarse)
    with pytest.raises(InputError, match="integral is 0"):
        certify_mean(MIXED, 0.0, coarse)
    with pytest.raises(InputError, match="corner"):
        certify_flux(Problem(SQUARE, Poisson(1.0), [Dirichlet(0.0)]), "x_high", coarse)


# -- eigenvalues --------------------------------------------------------------------------------------------------------


def test_the_smallest_eigenvalue_of_the_lshape():
    bound = smallest_eigenvalue(LSHAPE)
    assert bound.kind == "certified"
    assert inside(bound, 9.6397238440, 1e-3)


@pytest.mark.parametrize(
    ("region", "fixed", "exact"),
    [
        (SQUARE, None, 2 * np.pi**2),
        (SQUARE, ("x_low",), np.pi**2 / 4),
        (Box(x=(0, 2), y=(0, 1)), ("x_low", "x_high", "y_low"), np.pi**2 / 2),
        (Polygon([(0, 0), (1, 0), (0, 1)]), None, 5 * np.pi**2),
    ],
)
def test_smallest_eigenvalues_in_closed_form(region, fixed, exact):
    h = float(np.max(region.high - region.low)) / 16
    assert inside(smallest_eigenvalue(region, fixed=fixed, mesh=mesh(region, h)), exact, 2e-3 * exact)


def test_eigenvalues_are_of_plane_regions():
    with pytest.raises(InputError, match="plane"):
        smallest_eigenvalue(Interval(x=(0, 1)))


# -- bounds -------------------------------------------------------------------------------------------------------------


def test_a_bound_checks_itself():
    with pytest.raises(InputError, match="lower <= upper"):
        Bound(1.0, 2.0, "error", "certified", ())
    with pytest.raises(InputError, match="cells"):
        Bound(2.0, 1.0, "error", "heuristic", ()).draw(3, np.random.default_rng(0))


def test_a_relative_bound_holds_for_every_norm_that_the_solution_may_have():
    bound = Bound(0.3, 0.2, "error", "certified", (), size=2.0)
    low, high = bound.relative
    for error in (0.2, 0.25, 0.3):
        for norm in (2 - error, 2.0, 2 + error):
            assert low <= error / norm <= high
    assert Bound(3.0, 0.2, "error", "certified", (), size=2.0).relative[1] == np.inf
    assert "certified: 0.2 <= error <= 0.3" in str(bound)


def test_the_weakest_word_counts():
    assert weakest("certified", "certified") == "certified"
    assert weakest("certified", "heuristic", "estimated") == "heuristic"
