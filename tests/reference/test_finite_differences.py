"""What finite differences keep exactly: balances, symmetry, maximum principles, limits of stability; and wrong use."""

import numpy as np
import pytest
from scipy import optimize

from ungrid._base.errors import InputError
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

NOW = np.array([0.0, 1.0])


def rod(n=10, **coefficients):
    return discretise([np.linspace(0, 1, n + 1)], Operator(**coefficients), Dirichlet(0.0))


def rough(*x):
    return np.where(sum(x) < 0.9, 1.0, 50.0)


def test_matrix_of_the_second_difference():
    expected = np.diag(np.full(4, 32.0)) + np.diag(np.full(3, -16.0), 1) + np.diag(np.full(3, -16.0), -1)
    found = discretise([np.linspace(0, 1, 5)], Operator(), [(Dirichlet(), Neumann())]).inner.toarray()
    expected[-1, -2] = -32.0  # half a cell at the insulated end
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_matrix_times_volumes_is_symmetric_and_conserves(d):
    axes = [np.array([0.0, 0.1, 0.3, 0.7, 1.0])] * d
    system = discretise(axes, Operator(diffusion=rough), Neumann(0.0))
    weighted = system.volumes[:, None] * system.matrix.toarray()
    np.testing.assert_allclose(weighted, weighted.T, atol=1e-12)
    np.testing.assert_allclose(weighted.sum(axis=0), 0, atol=1e-12)  # what leaves one cell enters the next
    assert system.volumes.sum() == pytest.approx(1)
    assert np.linalg.eigvalsh(weighted).min() > -1e-12


def test_layers_in_series_are_exact():
    """A jump of conductivity between two nodes' half point: the flux is that of resistances in series, at every node."""
    axis = np.linspace(0, 1, 11)
    system = discretise(
        [axis], Operator(diffusion=lambda x: np.where(x < 0.5, 1.0, 4.0)), [(Dirichlet(1.0), Dirichlet(0.0))]
    )
    u = solve(system)
    resistance = 0.5 / 1.0 + 0.5 / 4.0
    flux = 1 / resistance
    np.testing.assert_allclose(u, np.where(axis <= 0.5, 1 - flux * axis, flux / 4 * (1 - axis)), atol=1e-12)


def test_cooling_keeps_its_balance():
    """Heat made inside leaves by Robin's sides, to rounding."""
    axes = [np.linspace(0, 2, 9), np.linspace(0, 1, 6)]
    system = discretise(axes, Operator(diffusion=rough), Robin(3.0, 3.0 * 20.0), 5.0)
    u = solve(system)
    half = [np.r_[s[0] / 2, (s[1:] + s[:-1]) / 2, s[-1] / 2] for s in map(np.diff, axes)]
    lost = sum(3 * (u[0] - 20) @ half[1] for u in (u[:1], u[-1:])) + sum(3 * (u[:, k] - 20) @ half[0] for k in (0, -1))
    assert float(lost) == pytest.approx(5.0 * 2.0, rel=1e-12)


@pytest.mark.parametrize("scheme", [EXPLICIT_EULER, IMPLICIT_EULER, CRANK_NICOLSON, RungeKutta4()])
@pytest.mark.parametrize("sides", [Periodic(), Neumann(0.0)])
def test_mass_is_conserved(scheme, sides):
    axes = [np.linspace(0, 1, 9)] * 2
    system = discretise(axes, Operator(diffusion=lambda x, y: 0.01 * (2 + np.sin(5 * x * y))), sides)
    start = np.random.default_rng(0).random((9, 9))
    u = march(system, start, np.linspace(0, 1, 5), scheme=scheme, substeps=4)
    np.testing.assert_allclose(u.reshape(5, -1) @ system.volumes, start.ravel() @ system.volumes, rtol=1e-12)


@pytest.mark.parametrize(("scheme", "substeps"), [(EXPLICIT_EULER, 61), (IMPLICIT_EULER, 1), (IMPLICIT_EULER, 7)])
def test_maximum_principle_with_upwind_differences(scheme, substeps):
    """CFL number dt (2a/h^2 + v/h) = 0.3 (2 + 200) / 61 and more: the values stay between those given."""
    system = discretise(
        [np.linspace(0, 1, 101)], Operator(diffusion=1e-4, velocity=(2.0,), advection="upwind"), Dirichlet(0.0)
    )
    start = np.where(np.abs(system.axes[0] - 0.3) < 0.1, 1.0, 0.0)
    u = march(system, start, NOW * 0.3, scheme=scheme, substeps=substeps)
    assert u.min() >= -1e-14
    assert u.max() <= 1 + 1e-14


def test_energy_of_the_leapfrog_is_conserved():
    """The invariant |u' |^2 + <K u1, u0>, to rounding, at a Courant number just below 1."""
    system = rod(20)
    times = np.linspace(0, 5, 105)
    u = march_wave(system, lambda x: x * (1 - x), lambda x: np.sin(7 * x), times)[:, 1:-1]
    step = times[1]
    speed = (u[1:] - u[:-1]) / step
    energy = (speed**2).sum(axis=1) + np.einsum("ti,ij,tj->t", u[1:], system.inner.toarray(), u[:-1])
    np.testing.assert_allclose(energy, energy[0], rtol=1e-10)


def test_wave_travels_exactly_at_courant_number_1():
    """d'Alembert's solution at the nodes, to rounding: the famous magic time step."""
    x = np.arange(40) / 40
    system = discretise([x], Operator(), Periodic())
    bump = lambda s: np.exp(-50 * ((s % 1) - 0.5) ** 2)  # noqa: E731
    u = march_wave(system, bump, 0.0, np.arange(21) / 40)
    np.testing.assert_allclose(u[-1], (bump(x - 0.5) + bump(x + 0.5)) / 2, atol=1e-12)


def test_advection_is_exact_at_cfl_number_1():
    x = np.arange(40) / 40
    system = discretise([x], Operator(diffusion=0.0, velocity=(-1.0,), advection="upwind"), Periodic())
    start = np.random.default_rng(0).random(40)
    u = march(system, start, np.arange(8) / 40, scheme=EXPLICIT_EULER)
    np.testing.assert_allclose(u[-1], np.roll(start, -7), atol=1e-12)


# Limits of stability: just inside the fastest mode does not grow, just outside it does, and is refused


@pytest.mark.parametrize(
    ("system", "scheme", "longest"),
    [
        (rod(), EXPLICIT_EULER, 0.5 * 0.1**2),
        (rod(diffusion=3.0, capacity=2.0), EXPLICIT_EULER, 0.5 * 0.1**2 * 2 / 3),
        (rod(), Theta(0.25), 0.1**2),
        (rod(), RungeKutta4(), 2.61 / 4 * 0.1**2),
        (discretise([np.linspace(0, 1, 11)] * 2, Operator(), Dirichlet(0.0)), EXPLICIT_EULER, 0.25 * 0.1**2),
        (discretise([np.linspace(0, 1, 11)] * 3, Operator(), Neumann(0.0)), EXPLICIT_EULER, 0.1**2 / 6),
        (
            discretise([np.arange(8) / 8], Operator(diffusion=0.0, velocity=(2.0,), advection="upwind"), Periodic()),
            EXPLICIT_EULER,
            1 / 16,
        ),
        (discretise([np.arange(8) / 8], Operator(diffusion=0.01, velocity=(1.0,)), Periodic()), EXPLICIT_EULER, 0.02),
        (discretise([np.arange(8) / 8], Operator(diffusion=0.0, velocity=(1.0,)), Periodic()), RungeKutta4(), 2.61 / 8),
    ],
)
def test_limits_are_the_textbooks(system, scheme, longest):
    scheme.check(system.rates, longest)
    with pytest.raises(InputError, match=r"time step of .* expected at most .*; divide the time step by 2"):
        scheme.check(system.rates, longest * 1.001)
    start = np.random.default_rng(0).standard_normal(system.shape)
    growth = march(system, start, np.array([0.0, 400 * longest]), scheme=scheme, substeps=400)[-1]
    assert np.abs(growth).max() <= 10 * np.abs(start).max()


def test_beyond_the_limit_the_explicit_method_diverges():
    class Unchecked(Theta):
        def check(self, rates, step):
            pass

    u = march(rod(), lambda x: np.sin(9 * np.pi * x), NOW * 400 * 0.55e-2, scheme=Unchecked(0.0), substeps=400)
    assert np.abs(u[-1]).max() > 100


def test_radius_of_the_classical_runge_kutta_method():
    """|1 + z + z^2/2 + z^3/6 + z^4/24| <= 1 on the half disc, and not on one 0.5 % larger."""
    angle = np.linspace(np.pi / 2, np.pi, 2001)

    def largest(r):
        z = r * np.exp(1j * angle)
        return np.abs(1 + z * (1 + z / 2 * (1 + z / 3 * (1 + z / 4)))).max()

    assert max(map(largest, np.linspace(0, 2.61, 200))) <= 1 + 1e-12
    assert optimize.brentq(lambda r: largest(r) - 1 - 1e-12, 2.6, 2.7) < 2.61 * 1.005


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda: march(rod(), 0.0, NOW, scheme=EXPLICIT_EULER, substeps=100),
            "diffusion number.*0.5.*divide the time step by 2",
        ),
        (lambda: march_wave(rod(), 0.0, 0.0, NOW, substeps=9), "Courant number c dt/h = 1.11; expected at most 1"),
        (lambda: march(rod(diffusion=0.0, velocity=(1.0,)), 0.0, NOW, scheme=EXPLICIT_EULER), "take upwind advection"),
        (lambda: march(rod(), 0.0, NOW, scheme=Theta(1.5)), "theta 1.5; expected 0 to 1"),
        (lambda: march(rod(), 0.0, np.array([0.0, 1.0, 3.0])), "unequal steps"),
        (lambda: march(rod(), 0.0, NOW, substeps=0), "0 substeps"),
        (lambda: march(rod(), np.zeros(5), NOW), r"initial value of shape \(5,\); expected \(11,\)"),
        (lambda: march_wave(rod(velocity=(1.0,)), 0.0, 0.0, NOW), "none for the wave equation"),
        (lambda: rod(diffusion=lambda x: 1 / np.where(x > 0.5, np.nan, 1.0)), r"diffusion is not finite at \(0.55"),
        (lambda: rod(diffusion=-1.0), "no negative"),
        (lambda: rod(capacity=0.0), "capacity 0; expected positive"),
        (lambda: rod(velocity=(1.0, 2.0)), "2 velocities; expected 1"),
        (lambda: rod(reaction=lambda x: x[:3]), r"reaction of shape \(3,\); expected \(11,\)"),
        (lambda: discretise([np.linspace(0, 1, 5)], Operator(), [Dirichlet(), Dirichlet()]), "conditions for 2 axes"),
        (lambda: discretise([np.array([0.0, 1.0, 3.0])], Operator(), Periodic()), "axis 0, periodic with unequal"),
        (lambda: discretise([np.array([0.0, 1.0])], Operator(), Dirichlet()), "at least 3"),
        (lambda: solve(discretise([np.linspace(0, 1, 5)], Operator(), Neumann(0.0), 1.0)), "sum to 1; expected 0"),
        (
            lambda: solve(discretise([np.linspace(0, 1, 5)], Operator(), Dirichlet(lambda x: x * np.nan))),
            "Dirichlet's condition is not",
        ),
    ],
)
def test_wrong_use_names_the_part(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()


def test_a_blow_up_is_reported():
    system = rod()
    with pytest.raises(InputError, match="cannot follow"):
        march_nonlinear(
            system, lambda x: 50 * np.sin(np.pi * x), NOW, reaction=lambda u: u**3, method="RK45", tolerance=1e-4
        )


# Fourier


def test_linear_equations_are_exact_in_one_step():
    x = np.arange(32) / 32 * 2 * np.pi
    found = solve_periodic(x, np.sin(3 * x), NOW, linear=lambda d: 0.1 * d**2 - 2 * d)
    np.testing.assert_allclose(found[-1], np.exp(-0.9) * np.sin(3 * (x - 2)), atol=1e-13)


def test_cole_hopfs_solution_of_burgers():
    """u = -2 nu phi_x / phi, phi = 2 + exp(-nu t) cos x, to ten digits."""
    nu, x = 0.2, np.arange(64) / 64 * 2 * np.pi

    def exact(t):
        decay = np.exp(-nu * t)
        return 2 * nu * decay * np.sin(x) / (2 + decay * np.cos(x))

    found = solve_periodic(x, exact(0.0), NOW, linear=lambda d: nu * d**2, flux=lambda u: u**2 / 2, substeps=100)
    np.testing.assert_allclose(found[-1], exact(1.0), atol=1e-10)


@pytest.mark.parametrize("n", [511, 512])
def test_schrodingers_soliton(n):
    """h = sech(x) exp(i t / 2) solves i h_t + h_xx / 2 + |h|^2 h = 0, and complex values stay complex."""
    x = (np.arange(n) / n - 0.5) * 80
    found = solve_periodic(
        x,
        1 / np.cosh(x) + 0j,
        NOW,
        linear=lambda d: 0.5j * d**2,
        reaction=lambda u: 1j * np.abs(u) ** 2 * u,
        substeps=200,
    )
    np.testing.assert_allclose(found[-1], np.exp(0.5j) / np.cosh(x), atol=1e-9)


def test_fourier_and_differences_agree():
    """Allen and Cahn's equation, two methods that share nothing, to the differences' error and falling as h^2."""
    apart = []
    for n in (128, 256):
        x = -1 + 2 * np.arange(n) / n
        start = np.cos(np.pi * x) ** 2 - 0.3 * np.sin(np.pi * x)
        spectral = solve_periodic(
            x, start, NOW / 2, linear=lambda d: 1e-2 * d**2, reaction=lambda u: 5 * (u - u**3), substeps=100
        )
        system = discretise([x], Operator(diffusion=1e-2), Periodic())
        differences = march_nonlinear(system, start, NOW / 2, reaction=lambda u: 5 * (u - u**3))
        apart.append(np.abs(spectral[-1] - differences[-1]).max())
    assert np.log2(apart[0] / apart[1]) == pytest.approx(2, abs=0.15)


def test_steps_too_long_are_reported():
    x = np.arange(32) / 32
    with pytest.raises(InputError, match="more substeps"):
        solve_periodic(
            x, np.sin(2 * np.pi * x), np.arange(20.0), linear=lambda d: 0 * d, reaction=lambda u: 100 * (u - u**3)
        )
    with pytest.raises(InputError, match="x with unequal"):
        solve_periodic(x**2, x, NOW, linear=lambda d: d)
