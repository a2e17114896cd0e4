"""Elastic bodies: corner exponents against known ones, finite elements by their orders, and both solvers against each other."""

import math

import numpy as np
import pytest

from ungrid import pde
from ungrid.pde.corners import corner_functions, williams
from ungrid.reference.finite_elements import solve_elements

SQUARE = pde.Box(x=(0, 1), y=(0, 1))


def test_exponents_between_free_edges_are_williams_own():
    """Of the L-shape 0.544483737 and 0.908529190; of a crack every half; none below 1 where the corner is convex."""
    assert [e for e, _ in williams(1.5 * math.pi, 1, 1)][:2] == pytest.approx([0.544483736782, 0.908529189846])
    assert [e for e, _ in williams(2 * math.pi, 1, 1)] == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert min(e for e, _ in williams(0.9 * math.pi, 1, 1)) > 1


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (1.0, -1.8), (-1.8, -1.8)])
def test_every_exponent_leaves_both_edges_a_solution(first, second):
    """``s c e^(2iλθ) + λ c* e^(2iθ) + d* = 0`` on both edges, c* and d* as unknowns of their own: no rank."""
    angle = 1.4 * math.pi
    for real, imaginary in williams(angle, first, second):
        for power in {complex(real, imaginary), complex(real, -imaginary)}:
            rows = []
            for s, a in ((first, 0.0), (second, angle)):  # of c, c*, d, d*; and the conjugate, for conjugate λ
                rows.append([s * np.exp(2j * power * a), power * np.exp(2j * a), 0, 1])
                rows.append([power * np.exp(-2j * a), s * np.exp(-2j * power * a), 1, 0])
            sizes = np.linalg.svd(np.array(rows), compute_uv=False)
            assert sizes[-1] < 1e-9 * sizes[0]


def test_a_roller_is_an_axis_of_symmetry():
    """Between a roller and a free edge at a right angle there is nothing singular; at 135 degrees it is a corner of 270."""
    body = pde.Elasticity(1.0, 0.3)
    slide = [*body.displacement((None, 0.0), "edge_1"), *body.traction((0.0, None), "edge_1")]

    def corners(points):
        conditions = [*slide, *body.displacement((0.0, 0.0), "edge_3"), *body.traction((0.0, 0.0))]
        return corner_functions(pde.Problem(pde.Polygon(points), body, conditions))

    names = pde.Polygon([(0, 0), (1, 0), (1, 1), (0, 1)]).parts
    assert "edge_1" in names
    square = corners([(0, 0), (1, 0), (1, 1), (0, 1)])
    assert not any(np.allclose(c.exponents[0], (0.5444837, 0.0)) for c in square)
    slanted = corners([(0, 0), (1, 0), (2, 1), (0, 1)])
    assert any(np.allclose(c.exponents[0], (0.5444837, 0.0), atol=1e-6) for c in slanted)


def stretched(x, y):
    return np.stack([0.2 * x + 0.1 * y, -0.3 * y + 0.1 * x], axis=-1)


@pytest.mark.parametrize("degree", [1, 2])
def test_finite_elements_pass_the_patch_test(degree):
    """A linear displacement, given on two sides, with the tractions of its constant stress on the others."""
    body = pde.Elasticity(2.5, 0.25)
    along, across, shear = (2 + 1) * 0.2 - 0.3, 0.2 - (2 + 1) * 0.3, 2 * 0.1
    given = body.displacement(
        (lambda x, y: stretched(x, y)[..., 0], lambda x, y: stretched(x, y)[..., 1]), ("x_low", "y_low")
    )
    problem = pde.Problem(
        SQUARE, body, [*given, *body.traction((along, shear), "x_high"), *body.traction((shear, across), "y_high")]
    )
    points = problem.domain.sample(200, np.random.default_rng(0))
    found = solve_elements(problem, h=0.2, degree=degree)(points)
    assert np.abs(found - stretched(*points.T)).max() < 1e-13


def waves(x, y):
    return np.stack([np.sin(2 * x) * np.cos(y), np.cos(x) * np.sin(3 * y)], axis=-1)


def loaded() -> pde.Problem:
    """-(λ + μ) ∇∇·u - μ Δu with λ = μ = 1 of `waves`."""

    def along(x, y):  # -2 (uxx + vxy) - (uxx + uyy)
        return 2 * (4 * np.sin(2 * x) * np.cos(y) + 3 * np.sin(x) * np.cos(3 * y)) + 5 * waves(x, y)[..., 0]

    def across(x, y):
        return 2 * (2 * np.cos(2 * x) * np.sin(y) + 9 * np.cos(x) * np.sin(3 * y)) + 10 * waves(x, y)[..., 1]

    body = pde.Elasticity(2.5, 0.25, (along, across))
    return pde.Problem(
        SQUARE, body, body.displacement((lambda x, y: waves(x, y)[..., 0], lambda x, y: waves(x, y)[..., 1]))
    )


@pytest.mark.parametrize("degree", [1, 2])
def test_the_order_of_finite_elements_is_one_more_than_their_degree(degree):
    problem, errors = loaded(), []
    points = problem.domain.sample(800, np.random.default_rng(0))
    for h in (0.08, 0.02):
        errors.append(np.linalg.norm(solve_elements(problem, h=h, degree=degree)(points) - waves(*points.T)))
    assert np.log(errors[0] / errors[1]) / np.log(4) == pytest.approx(degree + 1, abs=0.15)


def test_random_features_find_a_smooth_displacement():
    problem = loaded()
    points = pde.check_points(problem, 0)
    result = pde.solve(problem, budget=1.0)
    assert pde.distance(result.field, waves(*points.T), points).relative_l2 < 1e-6
    assert result.field.out_names == ("ux", "uy")


def test_a_cantilever_bends_as_finite_elements_say():
    """Singular at both ends of the clamp, in SI units."""
    problem = pde.example("cantilever").make()
    referee = pde.reference(problem, tolerance=1e-3)
    points = pde.check_points(problem, 0)
    result = pde.solve(problem, budget=6.0)
    assert pde.distance(result.field, referee(points), points).relative_l2 < 5e-3


def test_a_bar_in_space_under_tension():
    """σ along x alone: ux = x / E, the others -ν y / E and -ν z / E; a linear field is no feature, and 320 of them few."""
    body = pde.Elasticity(2.0, 0.3, (0.0, 0.0, 0.0))
    bar = pde.Box(x=(0, 2), y=(0, 1), z=(0, 1))
    conditions = [
        condition
        for k, part in enumerate(("x_low", "y_low", "z_low"))
        for condition in (
            *body.displacement(tuple(0.0 if j == k else None for j in range(3)), part),
            *body.traction(tuple(None if j == k else 0.0 for j in range(3)), part),
        )
    ]
    conditions += [*body.traction((1.0, 0.0, 0.0), "x_high"), *body.traction((0.0, 0.0, 0.0), ("y_high", "z_high"))]
    problem = pde.Problem(bar, body, conditions)
    points = pde.check_points(problem, 0)
    exact = points * np.array([0.5, -0.15, -0.15])
    assert pde.distance(pde.solve(problem, budget=1.0).field, exact, points).relative_l2 < 2e-2
    assert np.abs(solve_elements(problem, h=0.5, degree=1)(points) - exact).max() < 1e-13
