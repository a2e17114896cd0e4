"""Orders and values of the finite element referee against exact solutions."""

import numpy as np
import pytest

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.reference.finite_elements import Locator, cubic_weights, grading_for, solve_elements, solve_to

SQUARE = pde.Box(x=(0, 1), y=(0, 1))
PI = np.pi


def wave(x, y):
    return np.sin(PI * x) * np.cos(PI * y / 2)


def error(problem, exact, **mesh):
    """Root mean square error at points inside."""
    points = problem.domain.sample(800, np.random.default_rng(0))
    found = solve_elements(problem, **mesh)(points)[:, 0]
    return float(np.sqrt(np.mean((found - exact(*points.T)) ** 2)))


def order(problem, exact, sizes, **mesh):
    """The exponent of the error between two mesh sizes."""
    large, small = (error(problem, exact, h=h, **mesh) for h in sizes)
    return np.log(large / small) / np.log(sizes[0] / sizes[1])


CASES = {
    "Poisson": pde.Problem(
        SQUARE, pde.Poisson(source=lambda x, y: 1.25 * PI**2 * wave(x, y)), [pde.Dirichlet(lambda x, y: wave(x, y))]
    ),
    "Neumann": pde.Problem(
        SQUARE, pde.Poisson(source=lambda x, y: 1.25 * PI**2 * wave(x, y)),
        [pde.Neumann(lambda y: -PI * np.cos(PI * y / 2), "x_high"), pde.Dirichlet(lambda x, y: wave(x, y))],
    ),
    "Robin": pde.Problem(
        SQUARE, pde.Poisson(source=lambda x, y: 1.25 * PI**2 * wave(x, y)),
        [pde.Robin(lambda x: np.sin(PI * x) * -PI / 2, "y_high", coefficient=3.0), pde.Dirichlet(lambda x, y: wave(x, y))],
    ),
    "variable coefficients": pde.Problem(
        SQUARE,
        pde.SecondOrder(
            diffusion=lambda x: 1 + x, velocity=(1.0, 2.0), reaction=lambda y: y,
            source=lambda x, y: (1 + x) * 1.25 * PI**2 * wave(x, y) + y * wave(x, y)
            - 2 * np.sin(PI * x) * PI / 2 * np.sin(PI * y / 2),
        ),
        [pde.Dirichlet(lambda x, y: wave(x, y))],
    ),
    "diffusion matrix": pde.Problem(
        SQUARE,
        pde.Poisson(
            diffusion=np.array([[2.0, 0.5], [0.5, 1.0]]),
            source=lambda x, y: (2 + 0.25) * PI**2 * wave(x, y)
            + PI**2 / 2 * np.cos(PI * x) * np.sin(PI * y / 2),
        ),
        [pde.Dirichlet(lambda x, y: wave(x, y))],
    ),
    "nonlinear": pde.Problem(
        SQUARE,
        pde.SecondOrder(
            nonlinearity=lambda u: u.value**3 + u.value * u.d("x"),
            source=lambda x, y: 1.25 * PI**2 * wave(x, y) + wave(x, y) ** 3
            + wave(x, y) * PI * np.cos(PI * x) * np.cos(PI * y / 2),
        ),
        [pde.Dirichlet(lambda x, y: wave(x, y))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("degree", [1, 2])
def test_order_is_one_more_than_the_degree(name, degree):
    assert order(CASES[name], wave, (0.1, 0.05), degree=degree) == pytest.approx(degree + 1, abs=0.3)


def test_a_polynomial_of_the_elements_degree_is_exact_in_one_to_three_dimensions():
    def quadratic(*x):
        return sum((k + 1) * c**2 for k, c in enumerate(x)) + x[0]

    for axes in (("x",), ("x", "y"), ("x", "y", "z")):
        box = pde.Box(**dict.fromkeys(axes, (0, 1))) if len(axes) > 1 else pde.Interval(x=(0, 1))
        source = -2.0 * sum(range(1, len(axes) + 1))
        names = ", ".join(axes)
        exact = eval(f"lambda {names}: quadratic({names})", {"quadratic": quadratic})
        problem = pde.Problem(box, pde.Poisson(source=source), [pde.Dirichlet(exact)])
        assert error(problem, quadratic, h=0.34) < 1e-12


def test_time_is_of_third_order():
    """u = exp(-t) x (1 - x) is quadratic in space, so that the error is that of time alone."""

    def exact(x, t):
        return np.exp(-t) * x * (1 - x)

    problem = pde.Problem(
        pde.Interval(x=(0, 1)) * pde.Time(0, 2),
        pde.Heat(0.1, source=lambda x, t: np.exp(-t) * (0.2 - x * (1 - x))),
        [pde.Dirichlet(0.0), pde.Initial(lambda x: x * (1 - x))],
    )
    coarse, fine = (error(problem, exact, h=0.25, steps=n) for n in (10, 20))
    assert np.log2(coarse / fine) == pytest.approx(3, abs=0.35)


def test_a_wave_a_variable_coefficient_in_time_and_a_rate():
    """u = sin(πx) sin(2πt) / 2π and its equation with a factor 1 + t on both sides."""

    def exact(x, t):
        return np.sin(PI * x) * np.sin(2 * PI * t) / (2 * PI)

    problem = pde.Problem(
        pde.Interval(x=(0, 1)) * pde.Time(0, 1),
        pde.SecondOrder(inertia=lambda t: 1 + t, diffusion=lambda t: 4 * (1 + t)),
        [pde.Dirichlet(0.0), pde.Initial(0.0, rate=lambda x: np.sin(PI * x))],
    )
    coarse, fine = (error(problem, exact, h=0.05, steps=n) for n in (20, 40))
    assert fine < 1e-3
    assert coarse / fine > 6


def test_periodic_ends():
    """u = sin(2π(x - t)) is carried once round; with -Δu + u = f in the plane both axes are joined."""
    carried = pde.Problem(
        pde.Interval(x=(0, 1)) * pde.Time(0, 1),
        pde.Advection((1.0,), diffusivity=0.0),
        [pde.Periodic("x"), pde.Initial(lambda x: np.sin(2 * PI * x))],
    )
    assert error(carried, lambda x, t: np.sin(2 * PI * (x - t)), h=0.05, steps=100) < 2e-3

    def doubly(x, y):
        return np.sin(2 * PI * x + 1) * np.cos(2 * PI * y + 2)

    plane = pde.Problem(
        SQUARE, pde.Poisson(source=lambda x, y: (8 * PI**2 + 1) * doubly(x, y), reaction=1.0),
        [pde.Periodic("x"), pde.Periodic("y")],
    )  # fmt: skip
    assert error(plane, doubly, h=0.05) < 1e-3


def test_the_graded_mesh_of_the_l_shape_meets_the_known_integral():
    """∫u = 0.2140758036 for -Δu = 1 (guide of the field: Richardson extrapolation of refined elements)."""
    lshape = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Box(x=(0, 1), y=(0, 1))
    problem = pde.Problem(lshape, pde.Poisson(1.0), [pde.Dirichlet(0.0)])
    assert 0.2 <= grading_for(lshape, 2) < 0.34
    found = solve_to(problem, 1e-4, budget=5.0)
    assert abs(found.integral() - 0.2140758036) < 2e-5
    assert found.error < 1e-3


def test_the_estimate_is_not_below_the_error_by_much():
    problem = CASES["Poisson"]
    found = solve_to(problem, 1e-4)
    points = SQUARE.sample(1000, np.random.default_rng(1))
    exact = wave(*points.T)
    assert np.linalg.norm(found(points)[:, 0] - exact) / np.linalg.norm(exact) <= found.error <= 1e-4


def test_a_point_beside_a_curved_edge_is_answered_by_the_nearest_cell():
    """-Δu = 4 in the unit disk: u = 1 - r², to the accuracy of straight edges."""
    disk = pde.Problem(pde.Ball((0, 0), 1.0), pde.Poisson(4.0), [pde.Dirichlet(0.0)])
    found = solve_elements(disk, h=0.1)
    angle = np.linspace(0, 2 * PI, 50)
    edge = np.column_stack([np.cos(angle), np.sin(angle)])
    assert np.abs(found(edge)).max() < 0.1**2
    assert found(np.zeros((1, 2)))[0, 0] == pytest.approx(1.0, abs=0.1**2)


def test_locator_agrees_with_all_cells_tried():
    rng = np.random.default_rng(0)
    nodes = np.concatenate([rng.random((300, 2)) ** 3, [[0, 0], [1, 0], [0, 1], [1, 1]]])
    from scipy.spatial import Delaunay

    mesh = Delaunay(nodes)
    points = rng.random((500, 2))
    cells, local = Locator(nodes, mesh.simplices)(points)
    assert local.min() > -1e-9
    assert (1 - local.sum(axis=1)).min() > -1e-9
    corners = nodes[mesh.simplices[cells]]
    again = corners[:, 0] + np.einsum("ne,ned->nd", local, corners[:, 1:] - corners[:, :1])
    assert np.abs(again - points).max() < 1e-12


@pytest.mark.parametrize("count", [2, 3, 4, 9])
def test_weights_in_time_are_exact_for_polynomials(count):
    times, at = np.linspace(0, 2, count), np.linspace(0, 2, 23)
    first, weights = cubic_weights(times, at)
    for degree in range(min(4, count)):
        nodes = times[first[:, None] + np.arange(weights.shape[1])]
        assert np.abs((weights * nodes**degree).sum(axis=1) - at**degree).max() < 1e-12


def test_what_it_cannot_solve_is_said():
    with pytest.raises(InputError, match="second order"):
        solve_elements(pde.Problem(SQUARE, pde.Strong(lambda u: u.d("x")), [pde.Dirichlet(0.0)]), h=0.5)
    with pytest.raises(InputError, match="unknown 'k'"):
        solve_elements(pde.Problem(SQUARE, pde.Poisson(1.0, diffusion=pde.Unknown("k")), [pde.Dirichlet(0.0)]), h=0.5)
    matrix = pde.Problem(SQUARE, pde.Poisson(1.0, diffusion=np.eye(2)), [pde.Neumann(1.0, "x_low"), pde.Dirichlet(0.0)])
    with pytest.raises(InputError, match="diffusion matrix"):
        solve_elements(matrix, h=0.5)
