"""Certificates in L1: true errors in rational arithmetic, steep profiles, and what is refused."""

import math

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.certificates import certify, certify_conservation
from ungrid.certificates.conservation import transport
from ungrid.domains import Box, Interval, Time
from ungrid.equations import Advection, Burgers, Dirichlet, Initial, Neumann, Periodic, Problem, SecondOrder

LINE = Interval(x=(-1, 1))
STEEP = 0.2  # viscosity


def shock(x):
    """The steady solution ``-tanh((x - 1/10) / 2ν)`` of Burgers's equation."""
    return -np.tanh((x - 0.1) / (2 * STEEP))


ENDS = [Dirichlet(-math.tanh((x - 0.1) / (2 * STEEP)), part) for x, part in ((-1, "x_low"), (1, "x_high"))]
SHOCK = Problem(LINE * Time(0, 1), Burgers(STEEP), [*ENDS, Initial(shock)])


@pytest.mark.parametrize("seed", range(4))
def test_certified_bounds_hold_the_exact_error(evolving, seed):
    case = evolving.law_case(seed, cells=4)
    bound = case.bound(0)
    assert bound.kind == "certified"
    assert case.error(bound.certified_object) <= bound.upper, case.name


@pytest.mark.parametrize("seed", range(2))
def test_bounds_with_other_data_hold_the_error(evolving, seed):
    case = evolving.smooth_law_case(seed)
    bound = case.bound(0)
    assert bound.kind == "estimated"
    assert case.error(bound.certified_object) <= bound.upper * (1 + 1e-9), case.name


def test_the_bound_of_an_exact_field_falls_with_finer_grids_and_that_of_another_stays():
    uppers = [certify_conservation(lambda x: shock(x[:, :1]), SHOCK, cells=n, rounds=0).upper for n in (10, 20)]
    assert np.log2(uppers[0] / uppers[1]) > 3.0  # of second derivatives of quintics: 4 in the limit
    off = certify(lambda x: shock(x[:, :1]) + 0.01 * (1 - x[:, :1] ** 2), SHOCK, cells=12, rounds=2)
    error = 0.01 * 4 / 3
    assert error <= off.upper <= 8 * error
    lower, upper = off.relative
    assert lower == 0.0
    assert error / (2 - 4 / 3 * 0.01) < upper < 0.2


def test_what_is_asked_for_at_the_end_is_less_than_what_comes_in_by_a_wrong_start():
    bound = certify_conservation(
        lambda x: 0 * x[:, :1], problem_with(Burgers(1.0), [Dirichlet(0.0)]), cells=6, rounds=0
    )
    assert (
        4 / 3 <= bound.upper <= 4 / 3 * 1.05
    )  # |u(0)|_1 of 1 - x²; between roots of its sign the bound by cells is sharp


def problem_with(equation, conditions, start=lambda x: 1 - x**2):
    return Problem(LINE * Time(0, 1), equation, [*conditions, Initial(start)])


def test_a_nonlinearity_is_read_as_the_derivative_of_a_flux():
    law = SecondOrder(damping=1.0, velocity=(3.0,), nonlinearity=lambda u: u.d("x") * (u.value**2 / 2 - 1))
    found = transport(problem_with(law, [Dirichlet(0.0)]))
    assert {exponents: float(c) for exponents, c in found.terms.items()} == {(2, 1): 0.5, (0, 1): 2.0}


def test_a_periodic_profile_that_moves():
    """u = sin(π (x - t)) for transport with diffusion and the source that keeps it up."""
    equation = Advection((1.0,), diffusivity=0.1, source=lambda x, t: 0.1 * np.pi**2 * np.sin(np.pi * (x - t)))
    problem = problem_with(equation, [Periodic("x")], lambda x: np.sin(np.pi * x))
    bound = certify(lambda x: np.sin(np.pi * (x[:, :1] - x[:, 1:])), problem, cells=12, rounds=0)
    assert bound.upper < 1e-2
    assert bound.kind == "estimated"
    assert bound.size == pytest.approx(4 / np.pi, rel=1e-2)


HELD = [Dirichlet(0.0)]
REFUSED = {
    "not a flux": (problem_with(SecondOrder(damping=1.0, nonlinearity=lambda u: u.value**3), HELD), "derivative of a flux"),
    "sine": (problem_with(SecondOrder(damping=1.0, nonlinearity=lambda u: np.sin(u.value)), HELD), "polynomial of u"),
    "slope": (problem_with(Burgers(0.1), [Dirichlet(0.0, "x_low"), Neumann(0.0, "x_high")]), "slope at an end"),
    "values": (problem_with(Burgers(0.1), [Dirichlet(lambda t: np.sin(t))]), "polynomial of degree 5"),
    "inviscid": (problem_with(Burgers(0.0), HELD), "viscosity"),
    "plane": (
        Problem(Box(x=(0, 1), y=(0, 1)) * Time(0, 1), Burgers(0.1), [Dirichlet(0.0), Initial(0.0)]), "more than a line",
    ),
    "variable": (problem_with(SecondOrder(damping=1.0, diffusion=lambda x: 1 + x**2, velocity=(1.0,)), HELD), "no number"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_certified_is_refused_with_the_reason(name):
    problem, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        certify(lambda x: 0 * x[:, :1], problem)
