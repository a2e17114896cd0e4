"""Several materials, coefficients of the solution, and steps of time, against exact solutions."""

import numpy as np
import pytest

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.io import load, save
from ungrid.pde import stepping
from ungrid.pde.galerkin import Moment, NoRootError, Weak
from ungrid.pde.material_spaces import Space
from ungrid.pde.spaces import Features
from ungrid.pde.stepping import Check, between, first_step, march, needs_galerkin
from ungrid.reference.finite_elements import solve_elements

LINE = pde.Composite(pde.Interval(x=(0, 1)), {"right": pde.Interval(x=(0.4, 1.0))}, rest="left")
RATIO, RADIUS = 5.0, 0.5
SQUARE = pde.Box(x=(0, 1), y=(0, 1))
DISC = pde.Composite(pde.Box(x=(-1, 1), y=(-1, 1)), {"disc": pde.Ball((0.0, 0.0), RADIUS)}, rest="around")


def bent(x):
    """Heat flows through lengths 0.4 of conductivity 1 and 0.6 of conductivity 3: resistances 0.4 and 0.2."""
    return np.where(x < 0.4, x / 0.6, (0.4 + (x - 0.4) / 3) / 0.6)


def disc_in_a_field(x, y):
    """A disc of another conductivity in a field along x (Maxwell 1873, *A treatise on electricity and magnetism*, art. 310)."""
    r2, turn = x**2 + y**2, (1 - RATIO) / (1 + RATIO)
    return np.where(r2 < RADIUS**2, x * (1 + turn), x * (1 + turn * RADIUS**2 / np.maximum(r2, 1e-9)))


def steady_disc():
    return pde.Problem(
        DISC, pde.Poisson(diffusion=pde.ByMaterial(disc=RATIO, around=1.0)),
        [pde.Dirichlet(lambda x, y: disc_in_a_field(x, y))],
    )  # fmt: skip


def cooling(x, y, t):
    return 1 + 0.5 * np.exp(-t) * np.cos(x) * np.cos(y)


def source(x, y, t):
    """Of ``u_t = ∇·((1 + u) ∇u) + source`` for u = `cooling`: Δu = -2 (u - 1)."""
    u, e = cooling(x, y, t), 0.5 * np.exp(-t)
    slopes = e**2 * ((np.sin(x) * np.cos(y)) ** 2 + (np.cos(x) * np.sin(y)) ** 2)
    return -(u - 1) + 2 * (1 + u) * (u - 1) - slopes


def nonlinear_in_time():
    return pde.Problem(
        pde.Box(x=(0, 1), y=(0, 1)) * pde.Time(0, 1), pde.SecondOrder(diffusion=lambda u: 1 + u, damping=1.0, source=source),
        [pde.Dirichlet(lambda x, y, t: cooling(x, y, t)), pde.Initial(lambda x, y: cooling(x, y, 0.0))],
    )  # fmt: skip


def warming():
    """Two materials of one diffusivity, so that what flows through the joint decays as one mode."""
    k = pde.ByMaterial(left=1.0, right=3.0)
    return pde.Problem(
        LINE * pde.Time(0, 0.5), pde.SecondOrder(diffusion=k, damping=1.0),
        [pde.Dirichlet(0.0, "x_low"), pde.Dirichlet(1.0, "x_high"), pde.Initial(lambda x: bent(x))],
    )  # fmt: skip


def error(found, problem, exact, n=2000):
    points = problem.domain.sample(n, np.random.default_rng(5))
    values = exact(*points.T)
    return float(np.linalg.norm(found(points)[:, 0] - values) / np.linalg.norm(values))


def test_two_materials_on_a_line():
    problem = pde.Problem(
        LINE, pde.Poisson(diffusion=pde.ByMaterial(left=1.0, right=3.0)),
        [pde.Dirichlet(0.0, "x_low"), pde.Dirichlet(1.0, "x_high")],
    )  # fmt: skip
    assert error(pde.solve(problem, budget=1).field, problem, bent) < 1e-7
    assert error(solve_elements(problem, h=0.2), problem, bent) < 1e-12


def test_a_disc_of_another_material_by_both_methods():
    problem = steady_disc()
    assert error(pde.solve(problem, budget=3).field, problem, disc_in_a_field) < 1e-5
    coarse, fine = (error(solve_elements(problem, h=h), problem, disc_in_a_field) for h in (0.2, 0.1))
    assert fine < 1e-2
    assert np.log2(coarse / fine) > 1.5  # second order, as the straight edges of the mesh leave it


def test_a_conductivity_that_depends_on_the_solution():
    """1 + u on a line: u + u²/2 is linear (Kirchhoff 1894)."""
    problem = pde.Problem(
        pde.Interval(x=(0, 1)), pde.Poisson(diffusion=lambda u: 1 + u),
        [pde.Dirichlet(0.0, "x_low"), pde.Dirichlet(1.0, "x_high")],
    )  # fmt: skip

    def exact(x):
        return np.sqrt(1 + 3 * x) - 1

    assert error(pde.solve(problem, budget=1).field, problem, exact) < 1e-9
    assert error(solve_elements(problem, h=0.05), problem, exact) < 1e-5


def test_a_nonlinear_equation_over_a_plane_and_time():
    problem = nonlinear_in_time()
    assert needs_galerkin(problem)
    weak = Weak(Space(problem, Features(120, 1.0, "tanh"), 0))
    assert error(march(weak, Check(weak, 1)), problem, cooling) < 3e-4
    assert error(solve_elements(problem, h=0.3, steps=6), problem, cooling) < 1e-3


def test_a_state_that_is_steady_stays():
    problem = warming()
    found = pde.solve(problem, budget=2).field
    assert error(found, problem, lambda x, t: bent(x)) < 1e-8


def test_a_step_that_is_too_long_is_shortened():
    """PINNacle's Heat2d-LT: over a sixteenth of its time Newton's iteration does not converge."""

    def source(x, y, t, u):
        return 5 * np.sin(u**2) * (1 + 2 * np.sin(np.pi * t / 4)) * np.sin(4 * np.pi * x) * np.sin(2 * np.pi * y)

    start_ = pde.Initial(lambda x, y: np.sin(4 * np.pi * x) * np.sin(3 * np.pi * y))
    equation = pde.SecondOrder(damping=1.0, diffusion=1e-3, source=source)
    problem = pde.Problem(SQUARE * pde.Time(0, 100), equation, [pde.Dirichlet(0.0), start_])
    weak = Weak(Space(problem, Features(160, 6.0, "tanh"), 0))
    length, known = 100 / 16, stepping.start(weak)
    with pytest.raises(NoRootError, match="does not converge"):
        weak.root(known, Moment(length, known, length))
    y, moment = first_step(weak, length)
    assert moment.short < length
    assert np.linalg.norm(weak.residual(y, moment)) < 1e-6 * np.linalg.norm(weak.residual(known, moment))


def test_smaller_steps_are_more_accurate(monkeypatch):
    problem, found = nonlinear_in_time(), []
    weak = Weak(Space(problem, Features(120, 1.0, "tanh"), 0))
    for tolerance, first in ((1e-1, 1 / 4), (1e-4, 1 / 16)):
        monkeypatch.setattr(stepping, "TOLERANCE", tolerance)
        monkeypatch.setattr(stepping, "FIRST_STEP", first)
        found.append(error(march(weak, Check(weak, 1)), problem, cooling))
    assert found[1] < found[0] / 5


def test_the_middle_of_a_step_is_that_of_its_cubic():
    cubic = np.polynomial.Polynomial([0.3, -1.0, 2.0, 0.7])
    rate, at = cubic.deriv(), [np.array([v]) for v in (1.0, 1.5)]
    values, rates = [(f(at[0]), f(at[1])) for f in (cubic, rate)]
    middle, moment = between(1.0, 0.5, values, rates)
    assert middle[0] == pytest.approx(cubic(1.25), rel=1e-14)
    assert (middle - moment.known)[0] / moment.short == pytest.approx(rate(1.25), rel=1e-13)


@pytest.mark.parametrize("features", [80, 160])
def test_the_check_is_the_size_of_the_error_in_energy(features):
    """The estimate sees most of the error, and little more than it."""

    def exact(p):
        return np.sin(4 * p[:, 0]) * np.cos(4 * p[:, 1])

    problem = pde.Problem(
        DISC,
        pde.Poisson(
            diffusion=pde.ByMaterial(disc=1.0, around=1.0), source=lambda x, y: 32 * np.sin(4 * x) * np.cos(4 * y)
        ),
        [pde.Dirichlet(lambda x, y: np.sin(4 * x) * np.cos(4 * y))],
    )  # fmt: skip
    weak = Weak(Space(problem, Features(features, 2.0, "tanh"), 0))
    y = weak.root(np.zeros(weak.space.total), None)
    check = Check(weak, 7)
    check.add(y, None)
    points, field = DISC.sample(20_000, np.random.default_rng(0)), weak.space.field([y])
    points = points[np.abs(np.linalg.norm(points, axis=1) - RADIUS) > 1e-4]  # no difference across the interface

    def slopes(f, h=1e-5):
        return np.stack([(f(points + h * e) - f(points - h * e)) / (2 * h) for e in np.eye(2)])

    true, found = slopes(exact), slopes(lambda p: field(p)[:, 0])
    error = np.linalg.norm(true - found) / np.linalg.norm(true)
    assert error > 1e-5
    assert error / 8 < check.worst < 1.5 * error


def test_the_field_of_materials_and_steps_survives_its_file(tmp_path):
    problem = warming()
    found = pde.solve(problem, budget=1).field
    points = problem.domain.sample(100, np.random.default_rng(0))
    assert np.array_equal(load(save(found, tmp_path / "two.field"))(points), found(points))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pde.Problem(LINE, pde.Poisson(diffusion=pde.ByMaterial(left=1.0)), [pde.Dirichlet(0.0)]), "right"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(diffusion=pde.ByMaterial(a=1.0)), [pde.Dirichlet(0.0)]), "Composite"),
        (lambda: pde.Problem(pde.Interval(x=(0, 1)), pde.Poisson(diffusion=lambda T: T), [pde.Dirichlet(0.0)]), "'T'"),
        (lambda: pde.Composite(pde.Box(x=(0, 1), y=(0, 1)), {}, rest="all"), "none"),
        (lambda: pde.Composite(pde.Box(x=(0, 1), y=(0, 1)), {"a": pde.Ball((5.0, 5.0), 1.0)}, rest="b"), "empty"),
        (lambda: pde.solve(pde.Problem(LINE, pde.Poisson(), [pde.Dirichlet(0.0, hard=True)])), "hard|Dirichlet"),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_is_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
