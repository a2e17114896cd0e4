"""Families of problems: interpolation between members, one member as a field of its own."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, Interval, RegularGrid
from ungrid.pde import Dirichlet, Problem, SecondOrder
from ungrid.pde.family import Family, interpolating_field, solve_family


def test_the_spline_through_samples_is_exact_at_them_and_of_fourth_order_between():
    errors = []
    for n in (8, 16, 32):
        box = Box(Axis("a", 0.0, 1.0), Axis("b", -1.0, 1.0))
        grid = RegularGrid(box, (n, 2 * n))
        wave = lambda p: np.sin(2 * p[..., 0]) * np.cos(3 * p[..., 1])  # noqa: E731
        field = interpolating_field(box, wave(grid.points()), ("u",))
        assert np.abs(field.on_grid(grid)[..., 0] - wave(grid.points())).max() < 1e-6
        points = np.random.default_rng(0).uniform((0, -1), (1, 1), (500, 2))
        errors.append(np.abs(field(points)[:, 0] - wave(points)).max())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > 3.4).all()


def decay(nu: float) -> Problem:
    """nu u'' = u on (0, 1) with u(0) = 1, u(1) = 0: u = sinh((1 - x) / sqrt(nu)) / sinh(1 / sqrt(nu))."""
    conditions = [Dirichlet(1.0, on="x_low"), Dirichlet(0.0, on="x_high")]
    return Problem(Interval(x=(0, 1)), SecondOrder(diffusion=nu, reaction=1.0, source=0.0), conditions)


@pytest.fixture(scope="module")
def family() -> Family:
    return solve_family(decay, 0.05, 1.0, members=8, shape=(64,), budget=0.5)


@pytest.mark.parametrize("nu", [0.05, 0.07, 0.33, 1.0])
def test_every_member_solves_its_problem(family, nu):
    x = np.random.default_rng(1).uniform(0, 1, (200, 1))
    exact = np.sinh((1 - x) / np.sqrt(nu)) / np.sinh(1 / np.sqrt(nu))
    found = family.at(nu)(x)
    assert np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2)) < 1e-3


def test_a_member_is_the_family_at_its_number(family):
    x = np.random.default_rng(2).uniform(0, 1, (50, 1))
    whole = family.field(np.concatenate([np.full((50, 1), np.log(0.2)), x], axis=1))
    assert family.at(0.2)(x) == pytest.approx(whole, abs=1e-12)
    assert [axis.name for axis in family.field.domain.axes] == ["log_nu", "x"]


def test_numbers_outside_and_families_of_few_are_refused(family):
    with pytest.raises(InputError, match="a number from"):
        family.at(0.01)
    with pytest.raises(InputError, match="at least 4"):
        solve_family(decay, 0.1, 1.0, members=2, shape=(8,))
    with pytest.raises(InputError, match="each axis"):
        solve_family(decay, 0.1, 1.0, shape=(8, 8))
