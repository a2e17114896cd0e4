"""Certificates of waves: true errors in rational arithmetic, a known energy, rates, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.certificates import certify, certify_wave
from ungrid.certificates.hermite import Grid, Hermite, even_grid, in_cells, interpolant
from ungrid.domains import Ball, Box, Interval, Time
from ungrid.equations import Dirichlet, Heat, Initial, Neumann, Problem, Robin, SecondOrder, Wave

LINE, SQUARE = Interval(x=(0, 1)), Box(x=(0, 1), y=(0, 1))
PI = np.pi
STRING = Problem(LINE * Time(0, 1), Wave(2.0), [Dirichlet(0.0), Initial(lambda x: np.sin(PI * x), rate=0.0)])


def string(x):
    return np.sin(PI * x[:, :1]) * np.cos(2 * PI * x[:, 1:])


@pytest.mark.parametrize("seed", range(4))
def test_certified_bounds_hold_the_exact_error(evolving, seed):
    case = evolving.wave_case(seed, cells=2 if seed % 4 == 3 else 3)
    bound = case.bound(0)
    assert bound.kind == "certified"
    assert case.error(bound.certified_object) <= Fraction(bound.upper) ** 2, case.name


@pytest.mark.parametrize("seed", range(2))
def test_bounds_with_other_data_hold_the_error(evolving, seed):
    case = evolving.smooth_wave_case(seed)
    bound = case.bound(0)
    assert bound.kind == "estimated"
    assert case.error(bound.certified_object) <= bound.upper * (1 + 1e-9), case.name


def test_a_wrong_start_is_the_whole_error():
    """v = 0: the energy of the string is kept, and there is no residual."""
    bound = certify_wave(lambda x: 0 * x[:, :1], STRING, cells=8, rounds=0)
    exact = 2 * PI / np.sqrt(2)  # (∫ 4 π² cos² πx dx)^(1/2)
    assert exact <= bound.upper <= exact * (1 + 1e-5)


def test_bounds_fall_with_the_fourth_power_of_the_cells():
    uppers = [certify(string, STRING, cells=n, rounds=0).upper for n in (12, 24)]
    assert np.log2(uppers[0] / uppers[1]) == pytest.approx(4, abs=0.5)


def test_a_field_of_the_space_has_a_bound_of_rounding_size():
    """u = t² + x y on the square, with slopes given on two sides."""
    conditions = [
        Dirichlet(lambda x, y, t: t**2 + x * y, ("x_low", "y_low")), Neumann(lambda y: y, "x_high"),
        Neumann(lambda x: x, "y_high"), Initial(lambda x, y: x * y, rate=0.0),
    ]  # fmt: skip
    problem = Problem(
        SQUARE * Time(0, 1), SecondOrder(inertia=1.0, damping=2.0, source=lambda t: 2 + 4 * t), conditions
    )
    bound = certify(lambda x: x[:, 2:] ** 2 + x[:, :1] * x[:, 1:2], problem, cells=2, rounds=0)
    assert bound.kind == "certified"
    assert bound.upper < 1e-10
    assert bound.certified_object(np.array([[0.3, 0.7, 0.5]])) == pytest.approx(0.46)


def test_finer_grids_are_taken_while_they_help():
    once, again = (certify(string, STRING, cells=6, rounds=rounds) for rounds in (0, 2))
    assert again.upper < once.upper / 2
    assert len(again.local) > len(once.local) == 36


def test_hermite_data_are_derivatives():
    grid = Grid((np.array([0.0, 0.3, 1.0, 1.5, 1.75, 2.0]), np.linspace(0, 1, 7)))
    v = interpolant(lambda x: x[:, :1] ** 4 * (1 - 2 * x[:, 1:] ** 3), grid)
    x = np.random.default_rng(0).random((40, 2)) * [2, 1]
    assert v.derivative(x, (2, 1)) == pytest.approx(12 * x[:, 0] ** 2 * -6 * x[:, 1] ** 2, abs=1e-11)
    values = in_cells(v_data(v), grid, (1, 0), (3, 3))
    places = grid.points((3, 3)).mid
    assert np.allclose(values.mid, 4 * places[0] ** 3 * (1 - 2 * places[1] ** 3), atol=1e-12)
    squares = grid.squares(in_cells(v_data(v), grid, (0, 0), (5, 5)), (5, 5)).total()
    exact = 2**9 / 9 * (1 - 1 + 4 / 7)
    assert float(squares.lower) <= exact * (1 + 1e-13)
    assert exact * (1 - 1e-13) <= float(squares.upper)


def v_data(v: Hermite):
    from ungrid.certificates.enclosures import Enclosed

    return Enclosed(v.data)


def test_a_grid_is_halved_where_most_is_contributed():
    grid = even_grid(np.array([0.0, 0.0]), np.array([4.0, 2.0]), 4).halved(np.diag([10.0, 1.0, 1.0, 1.0]), 0.7)
    assert grid.nodes[0].tolist() == [0, 0.5, 1, 2, 3, 4]
    assert grid.cells == (5, 5)


HELD, START = Dirichlet(0.0), Initial(0.0, rate=0.0)
REFUSED = {
    "disk": (Problem(Ball((0, 0), 1.0) * Time(0, 1), Wave(), [HELD, START]), "Interval or a Box"),
    "radiating": (Problem(LINE * Time(0, 1), Wave(), [Robin(0.0), START]), "Dirichlet's, Neumann's"),
    "nonlinear": (
        Problem(LINE * Time(0, 1), SecondOrder(inertia=1.0, nonlinearity=lambda u: u.value**3), [HELD, START]),
        "nonlinearity",
    ),
    "growing": (Problem(LINE * Time(0, 1), SecondOrder(inertia=1.0, damping=-1.0), [HELD, START]), "damping of -1"),
    "density": (Problem(LINE * Time(0, 1), SecondOrder(inertia=lambda x: 1 + x), [HELD, START]), "no number"),
    "corner": (
        Problem(SQUARE * Time(0, 1), Wave(), [Dirichlet(0.0, ("x_low", "x_high")), Dirichlet(1.0, ("y_low", "y_high")), START]),
        "at a corner",
    ),
    "no inertia": (Problem(LINE * Time(0, 1), Heat(1.0), [HELD, Initial(0.0)]), "two positive numbers"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_certified_is_refused_with_the_reason(name):
    problem, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        certify_wave(lambda x: 0 * x[:, :1], problem)


def test_a_field_that_is_not_finite_is_named_with_its_place():
    with pytest.raises(InputError, match="not finite at"):
        certify_wave(lambda x: np.where(x[:, :1] > 0.5, np.nan, 0.0), STRING)
    with pytest.raises(InputError, match="shape"):
        certify_wave(lambda x: x, STRING)
