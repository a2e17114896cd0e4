"""Measured orders of finite differences on manufactured and exact solutions, over four refinements, to 0.15."""

import itertools

import numpy as np
import pytest

from ungrid.reference.finite_differences import Dirichlet, Neumann, Operator, Periodic, Robin, discretise, solve
from ungrid.reference.marching import (
    CRANK_NICOLSON,
    EXPLICIT_EULER,
    IMPLICIT_EULER,
    RungeKutta4,
    Theta,
    march,
    march_nonlinear,
    march_wave,
)
from ungrid.reference.spectral import solve_periodic
from ungrid.reference.stencils import derivative_matrix

TRANSFER = 1.5  # of Robin's conditions


def assert_order(errors, expected, refinement=2.0):
    """Every one of at least four refinements gains what the order says."""
    refinement = np.broadcast_to(refinement, len(errors) - 1)
    orders = np.log(np.array(errors[:-1]) / np.array(errors[1:])) / np.log(refinement)
    assert len(orders) >= 4
    assert np.abs(orders - expected).max() < 0.15, f"orders {orders}, errors {errors}"


def nodes(n, low=0.0, high=1.0):
    return np.linspace(low, high, n + 1)


def ring(n, period=1.0):
    return np.arange(n) * period / n


def relative(system, found, exact):
    points = np.meshgrid(*system.axes, indexing="ij")
    exact = exact(*points)
    return system.norm(found - exact) / system.norm(exact)


# Manufactured: u = prod cos(x_k + 0.3), a = 1 + sum x_k / 2


def g(x):
    return np.cos(x + 0.3)


def dg(x):
    return -np.sin(x + 0.3)


def u(*x):
    return np.prod([g(s) for s in x], axis=0)


def slope(k, *x):
    return np.prod([dg(s) if i == k else g(s) for i, s in enumerate(x)], axis=0)


def a(*x):
    return 1 + sum(x) / 2


def condition(kind, k, end):
    """A condition that u fulfils at one side."""
    sign = 1 if end else -1
    if kind == "dirichlet":
        return Dirichlet(u)
    if kind == "neumann":
        return Neumann(lambda *x: sign * a(*x) * slope(k, *x))
    return Robin(TRANSFER, lambda *x: sign * a(*x) * slope(k, *x) + TRANSFER * u(*x))


def manufactured(d, kinds, velocity, reaction, advection="central"):
    """Operator, sides and source with the solution u."""
    speeds = tuple(velocity * (k + 1) for k in range(d))
    operator = Operator(diffusion=a, velocity=speeds, reaction=reaction, advection=advection)
    sides = [tuple(condition(kinds[2 * k + end], k, end) for end in (0, 1)) for k in range(d)]

    def source(*x):
        moved = sum((speeds[k] - 0.5) * slope(k, *x) for k in range(d))
        return d * a(*x) * u(*x) + moved + reaction * u(*x)

    return operator, sides, source


def steady_errors(sizes, d, *arguments, stretch=0.0):
    operator, sides, source = manufactured(d, *arguments)
    errors = []
    for n in sizes:
        axis = nodes(n)
        system = discretise([axis + stretch * axis * (1 - axis)] * d, operator, sides, source)
        errors.append(relative(system, solve(system), u))
    return errors


@pytest.mark.parametrize("kinds", list(itertools.product(("dirichlet", "neumann", "robin"), repeat=2)))
def test_variable_diffusion_under_every_pair_of_conditions(kinds):
    reaction = 0.7  # fixes the constant where both ends are Neumann's
    assert_order(steady_errors((16, 32, 64, 128, 256), 1, kinds, 0.0, reaction), 2)


@pytest.mark.parametrize("kinds", [("dirichlet", "robin"), ("neumann", "dirichlet")])
def test_stretched_axes(kinds):
    assert_order(steady_errors((16, 32, 64, 128, 256), 1, kinds, 0.0, 0.0, stretch=0.5), 2)


@pytest.mark.parametrize("kinds", [("dirichlet", "dirichlet"), ("dirichlet", "neumann"), ("robin", "dirichlet")])
@pytest.mark.parametrize(("advection", "order"), [("central", 2), ("upwind", 1)])
@pytest.mark.parametrize("velocity", [2.0, -2.0])
def test_advection(kinds, advection, order, velocity):
    assert_order(steady_errors((64, 128, 256, 512, 1024), 1, kinds, velocity, 0.0, advection), order)


@pytest.mark.parametrize("k", [4.0, 10.0])
def test_helmholtz(k):
    assert_order(steady_errors((32, 64, 128, 256, 512), 1, ("dirichlet", "robin"), 0.0, -(k**2)), 2)


@pytest.mark.parametrize(
    "kinds",
    [["dirichlet"] * 4, ["neumann", "dirichlet", "robin", "neumann"], ["robin"] * 4, ["neumann"] * 3 + ["robin"]],
)
def test_two_dimensions(kinds):
    sizes = np.array((16, 23, 32, 45, 64))
    assert_order(steady_errors(sizes.tolist(), 2, kinds, 1.0, 0.5), 2, sizes[1:] / sizes[:-1])


@pytest.mark.parametrize(
    ("kinds", "velocity"),
    [(["dirichlet"] * 6, 1.0), (["neumann", "robin", "robin", "dirichlet", "neumann", "dirichlet"], 0.0)],
)
def test_three_dimensions(kinds, velocity):
    sizes = np.array((6, 8, 11, 15, 20))
    assert_order(steady_errors(sizes.tolist(), 3, kinds, velocity, 0.5), 2, sizes[1:] / sizes[:-1])


def test_periodic_diffusion_and_advection():
    def wave(x):
        return np.sin(2 * np.pi * x + 0.4)

    def source(x):
        w = 2 * np.pi
        bend = w**2 * (2 + np.cos(w * x)) * wave(x) + w**2 * np.sin(w * x) * np.cos(w * x + 0.4)
        return bend + 3 * w * np.cos(w * x + 0.4) + wave(x)

    operator = Operator(diffusion=lambda x: 2 + np.cos(2 * np.pi * x), velocity=(3.0,), reaction=1.0)
    errors = []
    for n in (16, 32, 64, 128, 256):
        system = discretise([ring(n)], operator, Periodic(), source)
        errors.append(relative(system, solve(system), wave))
    assert_order(errors, 2)


@pytest.mark.parametrize("sides", [Periodic(), Neumann(0.0), [Periodic(), Neumann(0.0)]])
def test_poisson_without_anything_that_fixes_the_constant(sides):
    """cos(2 pi x) cos(2 pi y) has mean zero, and no flux through the sides."""

    def exact(x, y):
        return np.cos(2 * np.pi * x) * np.cos(2 * np.pi * y)

    errors = []
    for n in (8, 16, 32, 64, 128):
        around = [isinstance(s, Periodic) for s in (sides if isinstance(sides, list) else [sides] * 2)]
        axes = [ring(n) if turns else nodes(n) for turns in around]
        system = discretise(axes, Operator(), sides, lambda x, y: 8 * np.pi**2 * exact(x, y))
        errors.append(relative(system, solve(system), exact))
    assert_order(errors, 2)


# In time


@pytest.mark.parametrize(
    ("scheme", "order"),
    [(EXPLICIT_EULER, 1), (IMPLICIT_EULER, 1), (Theta(0.75), 1), (CRANK_NICOLSON, 2), (RungeKutta4(), 4)],
)
@pytest.mark.parametrize("low", [Dirichlet, Neumann, Robin])
def test_order_in_time(scheme, order, low):
    """Differences are exact for the parabola q, so that all error of q(x) (2 + sin 3t) is that of the time steps."""

    def q(x):
        return 1 + x - x**2

    def f(t):
        return 2 + np.sin(3 * t)

    operator = Operator(diffusion=0.1, velocity=(0.2,), reaction=0.3, capacity=2.0)
    sides = {
        Dirichlet: Dirichlet(lambda x, t: q(x) * f(t)),
        Neumann: Neumann(lambda x, t: -0.1 * f(t)),
        Robin: Robin(TRANSFER, lambda x, t: (TRANSFER - 0.1) * f(t)),
    }

    def source(x, t):
        return 2 * q(x) * 3 * np.cos(3 * t) + (0.2 + 0.2 * (1 - 2 * x) + 0.3 * q(x)) * f(t)

    system = discretise([nodes(4)], operator, [(sides[low], Dirichlet(lambda x, t: q(x) * f(t)))], source)
    many, errors = np.array((40, 60, 90, 135, 203)), []
    for steps in many.tolist():
        found = march(system, lambda x: q(x) * f(0.0), np.array([0.0, 1.0]), scheme=scheme, substeps=steps)
        errors.append(relative(system, found[-1], lambda x: q(x) * f(1.0)))
    assert_order(errors, order, many[1:] / many[:-1])


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        (EXPLICIT_EULER, lambda n: n * n // 2),
        (IMPLICIT_EULER, lambda n: n * n // 2),
        (CRANK_NICOLSON, lambda n: n),
        (RungeKutta4(), lambda n: n * n // 2),
    ],
)
def test_heat_in_space_and_time(scheme, steps):
    """u_t = u_xx / 4 with u = exp(-pi^2 t / 4) sin(pi x) on [-1, 1]."""
    sizes, errors = np.array((8, 12, 18, 27, 40)), []
    for n in sizes.tolist():
        system = discretise([nodes(n, -1)], Operator(diffusion=0.25), Dirichlet(0.0))
        found = march(system, lambda x: np.sin(np.pi * x), np.array([0.0, 0.5]), scheme=scheme, substeps=steps(n))
        errors.append(relative(system, found[-1], lambda x: np.exp(-(np.pi**2) / 8) * np.sin(np.pi * x)))
    assert_order(errors, 2, sizes[1:] / sizes[:-1])


def test_heat_in_two_dimensions_with_an_insulated_side():
    errors = []
    for n in (8, 16, 32, 64, 128):
        system = discretise([nodes(n)] * 2, Operator(), [(Neumann(0.0), Dirichlet(0.0)), Dirichlet(0.0)])
        initial = lambda x, y: np.cos(np.pi * x / 2) * np.sin(np.pi * y)  # noqa: E731
        found = march(system, initial, np.array([0.0, 0.1]), substeps=n // 4)
        decay = np.exp(-0.1 * np.pi**2 * 1.25)
        errors.append(relative(system, found[-1], lambda x, y: decay * initial(x, y)))  # noqa: B023
    assert_order(errors, 2)


@pytest.mark.parametrize(
    ("advection", "scheme", "order"),
    [("upwind", EXPLICIT_EULER, 1), ("central", RungeKutta4(), 2), ("central", CRANK_NICOLSON, 2)],
)
def test_pure_advection_round_a_ring(advection, scheme, order):
    errors = []
    for n in (64, 128, 256, 512, 1024):
        operator = Operator(diffusion=0.0, velocity=(1.0,), advection=advection)
        system = discretise([ring(n)], operator, Periodic())
        found = march(system, lambda x: np.sin(2 * np.pi * x), np.array([0.0, 0.25]), scheme=scheme, substeps=n // 2)
        errors.append(relative(system, found[-1], lambda x: np.sin(2 * np.pi * (x - 0.25))))
    assert_order(errors, order)


@pytest.mark.parametrize("advection", ["upwind", "central"])
def test_inlet_and_outlet(advection):
    """At an outlet nothing is prescribed: `Neumann(0.0)` without diffusion."""
    errors = []
    for n in (64, 128, 256, 512, 1024):
        operator = Operator(diffusion=0.0, velocity=(1.0,), advection=advection)
        system = discretise([nodes(n)], operator, [(Dirichlet(lambda x, t: np.sin(3 * (x - t))), Neumann(0.0))])
        found = march(system, lambda x: np.sin(3 * x), np.array([0.0, 0.25]), scheme=RungeKutta4(), substeps=n // 4)
        errors.append(relative(system, found[-1], lambda x: np.sin(3 * (x - 0.25))))
    assert_order(errors, 1 if advection == "upwind" else 2)


C = 1.5  # speed of the waves below


def running(x, t):
    return np.sin(2 * np.pi * (x - C * t))


def running_slope(x, t):
    return 2 * np.pi * np.cos(2 * np.pi * (x - C * t))


@pytest.mark.parametrize(
    "sides",
    [
        Periodic(),
        Dirichlet(running),
        [(Neumann(lambda x, t: -(C**2) * running_slope(x, t)), Neumann(lambda x, t: C**2 * running_slope(x, t)))],
        [
            (
                Robin(2.0, lambda x, t: -(C**2) * running_slope(x, t) + 2 * running(x, t)),
                Robin(2.0, lambda x, t: C**2 * running_slope(x, t) + 2 * running(x, t)),
            )
        ],
    ],
    ids=["periodic", "dirichlet", "neumann", "robin"],
)
def test_waves(sides):
    errors = []
    for n in (32, 64, 128, 256, 512):
        axis = ring(n) if isinstance(sides, Periodic) else nodes(n)
        system = discretise([axis], Operator(diffusion=C**2), sides)
        start = running_slope(axis, 0.0) * -C
        found = march_wave(system, lambda x: running(x, 0.0), start, np.array([0.0, 0.5]), substeps=n)
        errors.append(relative(system, found[-1], lambda x: running(x, 0.5)))
    assert_order(errors, 2)


def test_standing_wave_in_a_box():
    errors = []
    for n in (8, 16, 32, 64, 128):
        system = discretise([nodes(n), nodes(n * 3 // 2)], Operator(), Dirichlet(0.0))
        shape = lambda x, y: np.sin(np.pi * x) * np.sin(2 * np.pi * y)  # noqa: E731
        found = march_wave(system, shape, 0.0, np.array([0.0, 0.6]), substeps=5 * n // 4)
        swing = np.cos(np.pi * np.sqrt(5) * 0.6)
        errors.append(relative(system, found[-1], lambda x, y: shape(x, y) * swing))  # noqa: B023
    assert_order(errors, 2)


# Nonlinear


def test_burgers_front():
    """u = (1 - tanh((x - t / 2) / 4 nu)) / 2 solves u_t + u u_x = nu u_xx."""
    nu = 0.05

    def front(x, t):
        return 0.5 - 0.5 * np.tanh((x - t / 2) / (4 * nu))

    errors = []
    for n in (32, 64, 128, 256, 512):
        system = discretise([nodes(n, -1, 1.5)], Operator(diffusion=nu), Dirichlet(front))
        found = march_nonlinear(system, lambda x: front(x, 0.0), np.array([0.0, 0.5]), flux=lambda v: v**2 / 2)
        errors.append(relative(system, found[-1], lambda x: front(x, 0.5)))
    assert_order(errors, 2)


@pytest.mark.parametrize("method", ["BDF", "DOP853"])
def test_allen_cahn_front(method):
    """u = (1 + tanh(x / sqrt 8 + 3 t / 4)) / 2 solves u_t = u_xx + u - u^3."""

    def front(x, t):
        return 0.5 + 0.5 * np.tanh(x / np.sqrt(8) + 0.75 * t)

    errors = []
    for n in (8, 16, 32, 64, 128):
        system = discretise([nodes(n, -5, 5)], Operator(), Dirichlet(front))
        found = march_nonlinear(
            system, lambda x: front(x, 0.0), np.array([0.0, 1.0]), reaction=lambda v: v - v**3, method=method
        )
        errors.append(relative(system, found[-1], lambda x: front(x, 1.0)))
    assert_order(errors, 2)


def soliton(x, t, b=1.0, c=1.0):
    """Of u_t + u u_x + b u_xxx = 0, one period of 60 long, whose tails are below rounding."""
    at = (x - c * t + 30) % 60 - 30
    return 3 * c / np.cosh(np.sqrt(c / b) * at / 2) ** 2


@pytest.mark.parametrize("order", [2, 4])
def test_korteweg_de_vries_by_differences(order):
    """Stencils of both orders with the classical Runge-Kutta method written out."""
    errors = []
    for n in (300, 375, 480, 600, 750):
        x = ring(n, 60.0)
        first, third = (derivative_matrix(x, m, order, periodic=True) for m in (1, 3))
        slope_of = lambda v: -first @ (v**2 / 2) - third @ v  # noqa: B023, E731
        steps = int(0.2 * n**3 / 60**3 / 0.35) + 1
        v, dt = soliton(x, 0.0), 0.2 / steps
        for _ in range(steps):
            k1 = slope_of(v)
            k2 = slope_of(v + dt / 2 * k1)
            k3 = slope_of(v + dt / 2 * k2)
            v = v + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope_of(v + dt * k3))
        errors.append(np.linalg.norm(v - soliton(x, 0.2)) / np.linalg.norm(v))
    assert_order(errors, order, np.array((375 / 300, 480 / 375, 600 / 480, 750 / 600)))


def test_exponential_runge_kutta_in_time():
    x = ring(256, 60.0)
    errors = []
    for steps in (32, 64, 128, 256, 512):
        found = solve_periodic(
            x, soliton(x, 0.0), np.array([0.0, 1.0]), linear=lambda d: -(d**3), flux=lambda v: v**2 / 2, substeps=steps
        )
        errors.append(np.linalg.norm(found[-1] - soliton(x, 1.0)) / np.linalg.norm(found[-1]))
    assert_order(errors, 4)
