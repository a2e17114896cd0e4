"""Certificates in time: the true error in rational arithmetic, rates, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.certificates import certify_evolution
from ungrid.certificates.evolution import at_time
from ungrid.certificates.parabolic import factored
from ungrid.domains import Box, Interval, Time
from ungrid.equations import Advection, Dirichlet, Heat, Initial, Neumann, Poisson, Problem, SecondOrder, Wave
from ungrid.reference.meshing import mesh

LINE = Interval(x=(0, 1))
PI = np.pi


def decay(x):
    return np.sin(PI * x[:, :1]) * np.exp(-(PI**2) / 4 * x[:, 1:])


COOLING = Problem(LINE * Time(0, 1), Heat(0.25), [Dirichlet(0.0), Initial(lambda x: np.sin(PI * x))])


@pytest.mark.parametrize("seed", range(7))
def test_certified_bounds_hold_the_exact_error(manufactured, seed):
    case = manufactured.heat_case(seed, cells=8)
    bound = certify_evolution(case.field, case.problem, case.mesh, slabs=case.slabs)
    assert bound.kind == "certified"
    assert case.square(bound.certified_object) <= Fraction(bound.upper) ** 2, case.name


def test_a_field_of_the_interpolants_degrees_has_a_bound_of_rounding_size():
    def u(x):
        return x[:, :1] * (1 - x[:, :1]) * (1 + x[:, 1:] ** 2)

    source = Heat(1.0, lambda x, t: 2 * t * x * (1 - x) + 2 * (1 + t**2))
    problem = Problem(LINE * Time(0, 1), source, [Dirichlet(0.0), Initial(lambda x: x * (1 - x))])
    bound = certify_evolution(u, problem, mesh(LINE, 0.25), slabs=2)
    assert 0 < bound.upper < 1e-11
    points = np.random.default_rng(0).random((50, 2))
    assert np.allclose(bound.certified_object(points), u(points), atol=1e-14)


def test_bounds_of_a_decay_fall_with_the_slabs_and_hold_its_error():
    """With other data, of the exact solution sin(πx) exp(-π² t / 4); its interpolant's error is known by quadrature."""
    uppers = []
    for slabs in (2, 4):
        bound = certify_evolution(decay, COOLING, mesh(LINE, 0.1), slabs=slabs)
        assert bound.kind == "estimated"
        uppers.append(bound.upper)
    x, wx = np.polynomial.legendre.leggauss(80)
    t, wt = np.polynomial.legendre.leggauss(24)
    x, t = (x + 1) / 2, (t + 1) / 2
    h = 1e-5
    v = bound.certified_object
    total = 0.0
    for time, weight in zip(t, wt / 2, strict=True):
        ahead, behind = (v(np.column_stack([x + s * h, np.full(len(x), time)]))[:, 0] for s in (1, -1))
        slope = PI * np.cos(PI * x) * np.exp(-(PI**2) / 4 * time)
        total += weight * 0.25 * np.sum(wx / 2 * (slope - (ahead - behind) / (2 * h)) ** 2)
    assert np.sqrt(total) <= uppers[-1] * (1 + 1e-6)
    assert np.log2(uppers[0] / uppers[1]) == pytest.approx(2, abs=0.4)


def test_a_wrong_start_is_in_the_bound():
    bound = certify_evolution(lambda x: 0 * x[:, :1], COOLING, mesh(LINE, 0.2), slabs=2)
    exact = np.sqrt(0.5)  # |e(T)|² + ∫ |||e|||² = |e(0)|² - ∫ |||e|||², between |e(0)|² / 2 and |e(0)|² here
    assert np.sqrt(0.5) * exact <= bound.upper <= exact * (1 + 1e-5)


def test_heat_in_the_plane_with_a_flux_that_changes():
    """u = t² + x on the unit square."""
    square = Box(x=(0, 1), y=(0, 1))
    conditions = [Dirichlet(lambda x, t: t**2 + x, ("x_low", "x_high")), Neumann(0.0), Initial(lambda x: x)]
    problem = Problem(square * Time(0, 1), Heat(2.0, lambda t: 2 * t), conditions)
    bound = certify_evolution(lambda x: x[:, 2:] ** 2 + x[:, :1], problem, mesh(square, 0.4), slabs=2)
    assert bound.kind == "certified"
    assert bound.upper < 1e-10
    assert bound.local.shape == (bound.mesh.nelements,)


def test_a_coefficient_at_a_time_keeps_its_exact_value():
    from ungrid.certificates.polynomials import variables

    third = Fraction(1, 3)
    now = at_time(lambda x, t: 0.5 * t**2 * x, third, ("x",))
    assert now(*variables(1)).terms == {(1,): Fraction(1, 18)}
    assert now(np.array([2.0, 4.0])) == pytest.approx([1 / 9, 2 / 9])
    assert at_time(lambda t: t + 1, third, ("x",))(*variables(1)).terms == {(0,): Fraction(4, 3)}
    assert at_time(3.0, third, ("x",)) == 3.0


def test_a_source_whose_degree_in_space_appears_with_time_is_not_called_certified():
    problem = Problem(LINE * Time(0, 1), Heat(1.0, lambda x, t: t * x**9), [Dirichlet(0.0), Initial(0.0)])
    assert certify_evolution(lambda x: 0 * x[:, :1], problem, mesh(LINE, 0.25), slabs=1).kind == "estimated"


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_the_gram_matrix_in_time_is_factored(degree):
    from ungrid.certificates.lattices import products

    lower, diagonal = factored(degree)
    assert (diagonal.mid > 0).all()
    assert np.allclose(lower.mid @ np.diag(diagonal.mid) @ lower.mid.T, products(1, degree, degree).mid, atol=1e-15)


HEAT = Heat(1.0)
START = Initial(0.0)
REFUSED = {
    "no time": (Problem(LINE, Poisson(1.0), [Dirichlet(0.0)]), "Time"),
    "wave": (Problem(LINE * Time(0, 1), Wave(), [Dirichlet(0.0), Initial(0.0, rate=0.0)]), "inertia"),
    "advection": (Problem(LINE * Time(0, 1), Advection((1.0,), diffusivity=1.0), [Dirichlet(0.0), START]), "velocity"),
    "diffusion in time": (Problem(LINE * Time(0, 1), Heat(lambda t: 1 + t), [Dirichlet(0.0), START]), "changes with time"),
    "values in time": (
        Problem(LINE * Time(0, 1), HEAT, [Dirichlet(lambda t: np.sin(t)), START]), "polynomial of degree 2 in time",
    ),
    "values in space": (
        Problem(
            Box(x=(0, 1), y=(0, 1)) * Time(0, 1), HEAT, [Dirichlet(lambda x, t: t * x**5), Initial(0.0)],
        ), "degree in space",
    ),
    "density": (
        Problem(LINE * Time(0, 1), SecondOrder(damping=lambda x: 1 + x), [Dirichlet(0.0), START]), "damping",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_certified_is_refused_with_the_reason(name):
    problem, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        certify_evolution(lambda x: 0 * x[:, :1], problem)
