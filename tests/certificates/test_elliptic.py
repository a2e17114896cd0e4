"""lower <= true error <= upper, in every case; for certified bounds in rational arithmetic, without a tolerance."""

from fractions import Fraction

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.certificates import Certifier, certify
from ungrid.domains import Ball, Box, Composite, Interval, Polygon
from ungrid.equations import (
    ByMaterial,
    Dirichlet,
    Helmholtz,
    Neumann,
    Periodic,
    Poisson,
    Problem,
    Robin,
    SecondOrder,
)
from ungrid.reference.finite_elements import mesh_of, solve_elements
from ungrid.reference.meshing import mesh

SQUARE = Box(x=(0, 1), y=(0, 1))
LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - SQUARE
ENERGY = 0.2140758036  # ∫ |∇u|² = ∫ u on the L-shape with f = 1, u = 0 around


def zero(x):
    return np.zeros((len(x), 1))


@pytest.mark.parametrize("seed", range(12))
def test_certified_bounds_hold_the_exact_error(manufactured, seed):
    case = manufactured.polynomial_case(seed, cells=12)
    bound = certify(case.field, case.problem, case.mesh)
    assert bound.kind == "certified"
    square = case.square(bound.certified_object)
    assert Fraction(bound.lower) ** 2 <= square <= Fraction(bound.upper) ** 2, case.name


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_estimated_bounds_hold_the_error(manufactured, seed):
    case = manufactured.smooth_case(seed, cells=30)
    bound = certify(case.field, case.problem, case.mesh)
    assert bound.kind == "estimated"
    assert bound.lower**2 <= case.square(bound.certified_object) * (1 + 1e-9) + 1e-24, case.name
    assert bound.upper**2 >= case.square(bound.certified_object) * (1 - 1e-9) - 1e-24, case.name


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_interpolants_of_other_degrees_are_certified_too(manufactured, degree):
    for seed in (3,):
        case = manufactured.polynomial_case(seed, cells=10)
        bound = certify(case.field, case.problem, case.mesh, degree=degree)
        square = case.square(bound.certified_object)
        assert Fraction(bound.lower) ** 2 <= square <= Fraction(bound.upper) ** 2, case.name


def test_a_solution_of_the_spaces_degree_has_a_bound_of_rounding_size_that_is_not_zero():
    def u(x, y):
        return x**2 + y**2 / 4 + 0.125 * x * y

    problem = Problem(SQUARE, Poisson(-2.5), [Dirichlet(u)])
    bound = certify(lambda x: u(*x.T)[:, None], problem, mesh(SQUARE, 0.2))
    assert 0 < bound.upper < 1e-11


# -- sharpness ----------------------------------------------------------------------------------------------------------


def lshape_error(certifier, bound):
    """By the identity ``|||u - v|||² = ∫ u - 2 ∫ v + |||v|||²`` for f = 1."""
    v = bound.certified_object
    rule = v.space.rule(8)
    local = v.values[v.space.dofs]
    mean = np.sum(rule.weights * np.einsum("qn,nc->cq", rule.values, local))
    slopes = np.einsum("icqn,nc->icq", rule.gradients, local)
    return np.sqrt(ENERGY - 2 * mean + np.sum(rule.weights * (slopes**2).sum(axis=0)))


def test_bounds_on_the_lshape_are_sharp_for_all_fields_with_one_flux():
    problem = Problem(LSHAPE, Poisson(1.0), [Dirichlet(0.0)])
    elements = solve_elements(problem, h=0.035, grading=0.3)
    certifier = Certifier(problem)
    for size, most, relative in ((0.0, 1.2, 2e-3), (6e-3, 1.05, 6e-3), (0.013, 1.05, 1.2e-2), (0.2, 1.01, 0.3)):
        bound = certifier(lambda x, s=size: elements(x) * (1 + s * np.sin(3 * x[:, :1] + 1) * np.cos(2 * x[:, 1:])))
        error = lshape_error(certifier, bound)
        assert bound.kind == "certified"
        assert bound.lower <= error <= bound.upper
        assert error / np.sqrt(ENERGY) < relative
        assert bound.upper <= most * error
        assert bound.lower >= 0.75 * error
        assert certifier(bound.certified_object).upper == bound.upper
        low, high = bound.relative
        assert low <= error / np.sqrt(ENERGY) <= high
    assert np.sqrt((bound.local**2).sum()) == pytest.approx(bound.upper, rel=1e-6)


@pytest.mark.parametrize("size", [1e-5, 5e-3, 1e-2])
def test_bounds_on_the_square_are_sharp(size):
    def u(x, y):
        return x * (1 - x) * y * (1 - y)

    problem = Problem(SQUARE, Poisson(lambda x, y: 2 * (x * (1 - x) + y * (1 - y))), [Dirichlet(0.0)])
    bound = certify(lambda x: u(*x.T)[:, None] * (1 + size * np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:])), problem)
    assert bound.upper <= 1.02 * bound.lower


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_finer_meshes_give_smaller_bounds_of_the_degrees_order(degree):
    problem = Problem(SQUARE, Poisson(lambda x, y: 2 * (x * (1 - x) + y * (1 - y))), [Dirichlet(0.0)])
    uppers = [
        certify(lambda x: (x * (1 - x)).prod(axis=1, keepdims=True), problem, mesh(SQUARE, h), degree=degree).upper
        for h in (0.25, 0.0625)
    ]
    assert np.log2(uppers[0] / uppers[1]) / 2 == pytest.approx(degree, abs=0.3)


# -- conditions, materials, boundary values -----------------------------------------------------------------------------


def test_two_materials_with_a_kink():
    region = Composite(Interval(x=(0, 1)), {"right": Interval(x=(0.5, 1))}, rest="left")
    diffusion = ByMaterial(left=1.0, right=4.0)
    problem = Problem(region, Poisson(0.0, diffusion=diffusion), [Dirichlet(0.0, "x_low"), Dirichlet(5.0, "x_high")])
    bound = certify(lambda x: np.where(x < 0.5, 8 * x, 3 + 2 * x), problem)  # the exact solution, with the flux 8
    assert bound.kind == "certified"
    assert bound.upper < 1e-11
    bound = certify(lambda x: 5 * x, problem)
    exact = np.sqrt(0.5 * 9 + 4 * 0.5 * 9)
    assert bound.lower <= exact <= bound.upper <= exact * (1 + 1e-9)


def test_materials_in_the_plane():
    region = Composite(SQUARE, {"lower": Box(x=(0, 1), y=(0, 0.5))}, rest="upper")
    diffusion = ByMaterial(lower=lambda x: 2.0 + 0 * x, upper=1.0)
    conditions = [Dirichlet(0.0, "y_low"), Dirichlet(1.5, "y_high"), Neumann(0.0)]
    problem = Problem(region, Poisson(0.0, diffusion=diffusion), conditions)
    bound = certify(lambda x: 1.5 * x[:, 1:], problem, mesh_of(region, 0.3, 1.0))  # u = y below and 2 y - 1/2 above
    exact = np.sqrt(2 * 0.5 * 0.25 + 0.5 * 0.25)
    assert bound.lower <= exact <= bound.upper <= exact * (1 + 1e-9)


def test_boundary_values_of_a_higher_degree_are_extended_and_said():
    problem = Problem(SQUARE, Poisson(lambda x, y: -20 * x**3), [Dirichlet(lambda x, y: x**5 + y)])
    bound = certify(lambda x: x[:, :1] ** 5 + x[:, 1:], problem)
    assert bound.kind == "certified"
    assert any("extended" in said for said in bound.assumptions)
    v = bound.certified_object
    rule = v.space.rule(12)
    slopes = np.einsum("icqn,nc->icq", rule.gradients, v.values[v.space.dofs])
    error = np.sqrt(np.sum(rule.weights * ((5 * rule.points[0] ** 4 - slopes[0]) ** 2 + (1 - slopes[1]) ** 2)))
    assert bound.lower <= error <= bound.upper <= 2.5 * error


def test_a_field_with_wrong_boundary_values_is_certified_with_the_right_ones():
    problem = Problem(SQUARE, Poisson(0.0), [Dirichlet(lambda x, y: x - y)])
    bound = certify(lambda x: x[:, :1] - x[:, 1:] + 0.1, problem)
    edge = SQUARE.sample_boundary(50, np.random.default_rng(0)).points
    assert np.allclose(bound.certified_object(edge)[:, 0], edge[:, 0] - edge[:, 1], atol=1e-12)
    assert bound.lower > 0.1


def test_reaction_alone_holds_a_solution():
    problem = Problem(SQUARE, Poisson(3.0, reaction=2.0), [Neumann(0.0)])  # u = 3/2
    bound = certify(zero, problem)
    exact = np.sqrt(2.0) * 1.5
    assert bound.lower <= exact <= bound.upper <= exact * (1 + 1e-9)
    assert any("Repin" in said for said in bound.assumptions)


def test_a_matrix_beside_neumanns_condition_needs_the_normal_as_eigenvector():
    conditions = [Neumann(0.0, "y_high"), Dirichlet(0.0)]
    with pytest.raises(InputError, match="eigenvector"):
        certify(zero, Problem(SQUARE, Poisson(1.0, diffusion=np.array([[2.0, 0.5], [0.5, 1.0]])), conditions))
    bound = certify(zero, Problem(SQUARE, Poisson(1.0, diffusion=np.diag([2.0, 0.5])), conditions))
    assert 0 < bound.lower <= bound.upper


def test_points_for_collocation_come_from_the_cells_with_the_largest_errors():
    problem = Problem(SQUARE, Poisson(0.0), [Dirichlet(0.0)])
    bound = certify(lambda x: np.exp(-200 * ((x - 0.25) ** 2).sum(axis=1, keepdims=True)), problem)
    points = bound.draw(500, np.random.default_rng(0))
    assert (np.linalg.norm(points - 0.25, axis=1) < 0.25).mean() > 0.95
    assert SQUARE.contains(points).all()


# -- what is refused ----------------------------------------------------------------------------------------------------

REFUSED = {
    "advection": (Problem(SQUARE, SecondOrder(velocity=(1.0, 0.0)), [Dirichlet(0.0)]), "velocity"),
    "nonlinear": (Problem(SQUARE, SecondOrder(nonlinearity=lambda u: u.value**3), [Dirichlet(0.0)]), "nonlinear"),
    "periodic": (Problem(SQUARE, Poisson(1.0), [Periodic("x"), Dirichlet(0.0)]), "Periodic"),
    "only up to a constant": (Problem(SQUARE, Poisson(0.0), [Neumann(0.0)]), "constant"),
    "negative diffusion": (Problem(SQUARE, Poisson(1.0, diffusion=lambda x: x - 0.5), [Dirichlet(0.0)]), "positive"),
    "jump": (Problem(SQUARE, Poisson(1.0), [Dirichlet(1.0, "x_low"), Dirichlet(0.0)]), "jump"),
    "Robin": (Problem(SQUARE, Poisson(1.0), [Robin(0.0, "x_low", coefficient=-1.0), Dirichlet(0.0)]), "positive"),
    "Helmholtz": (Problem(SQUARE, Helmholtz(1.0, 1.0), [Dirichlet(0.0)]), "reaction of -1"),
    "in space": (Problem(Ball((0, 0, 0), 1.0), Poisson(1.0), [Dirichlet(0.0)]), "plane"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_certified_is_refused_with_the_reason(name):
    problem, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        certify(zero, problem)


def test_fields_and_meshes_that_do_not_fit_are_refused():
    problem = Problem(SQUARE, Poisson(1.0), [Dirichlet(0.0)])
    certifier = Certifier(problem, mesh(SQUARE, 0.5))
    with pytest.raises(InputError, match="shape"):
        certifier(lambda x: x)
    with pytest.raises(InputError, match="not finite"):
        certifier(lambda x: x[:, :1] / 0.0 if False else np.full((len(x), 1), np.nan))
    with pytest.raises(InputError, match="degree 9"):
        Certifier(problem, degree=9)
    with pytest.raises(InputError, match="of the size 4"):
        Certifier(problem, mesh(Box(x=(0, 2), y=(0, 2)), 0.5))
    with pytest.raises(InputError, match="without the name"):
        Certifier(problem, mesh(Polygon([(0, 0), (1, 0), (0, 1)]), 0.5))
