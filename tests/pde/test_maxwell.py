"""Maxwell's equations: known modes, losses and currents, open boundaries, the laws in integral form, and the referees."""

import math

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.domains import Box, Time
from ungrid.equations import Problem
from ungrid.equations.maxwell import SI, HarmonicMaxwell, Maxwell, Medium, Units
from ungrid.operators import Jet
from ungrid.pde.cavities import Cavity, is_cavity
from ungrid.pde.integral_laws import LAWS, integral_laws
from ungrid.pde.scattering import Bases, DiskScattering, scatter
from ungrid.reference import cylinder, yee

PI = np.pi
SQUARE, CUBE = Box(x=(0, 1), y=(0, 1)), Box(x=(0, 1), y=(0, 1), z=(0, 1))


def cavity(equation, end=0.5, electric=None):
    electric = electric or tuple(0.0 for _ in equation.components)
    region = CUBE if equation.waves == "3-D" else SQUARE
    start = equation.start(tuple(0.0 for _ in equation.components), electric)
    return Problem(region * Time(0, end), equation, [equation.conductor(), *start])


def sine(x, y):
    return np.sin(PI * x) * np.sin(PI * y)


# -- cavities -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waves", "expected"), [("TM", [2, 5, 5, 8]), ("TE", [1, 1, 2, 2])])
def test_the_modes_of_a_square(waves, expected):
    """λ = π² (m² + n²), m, n > 0 for TM waves; for TE also with m or n = 0, and the gradients with those of TM."""
    found = Cavity(cavity(Maxwell(waves=waves)), 120, 0).eigenvalues[:4] / PI**2
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_cavity_with_losses_and_in_si_units_rings_as_it_should():
    """E_z = e^(-gt) (cos Ωt - g / Ω sin Ωt) sin sin, with g = σ / 2ε and Ω² = ω² - g²."""
    medium = Medium(2.0, 1.5, 0.02, units=SI)
    ω, g = math.sqrt(2) * PI * medium.speed, 0.02 / (2 * medium.permittivity)
    equation = Maxwell(waves="TM", medium=medium)
    problem = cavity(equation, 1.0 / medium.speed, (sine,))
    result = pde.solve(problem, budget=0.1)
    points = pde.check_points(problem, 0)
    fast = math.sqrt(ω**2 - g**2)
    exact = -sine(points[:, 0], points[:, 1]) * np.exp(-g * points[:, 2]) * np.sin(fast * points[:, 2]) / fast
    assert pde.distance(result.field, exact[:, None], points).relative_l2 < 1e-4


def test_a_current_drives_a_cavity():
    """A = t³ sin sin solves the equation with J = (6 t + 2 π² t³) sin sin."""

    def current(x, y, t):
        return (6 * t + 2 * PI**2 * t**3) * sine(x, y)

    problem = cavity(Maxwell(waves="TM", current=(current,)))
    field, check = Cavity(problem, 120, 0).solved()
    points = problem.domain.sample(500, np.random.default_rng(1))
    exact = points[:, 2] ** 3 * sine(*points[:, :2].T)
    assert np.abs(field(points)[:, 0] - exact).max() < 1e-5 * np.abs(exact).max() * 10
    assert check < 1e-3


def test_the_four_laws_hold_on_random_spheres_and_disks():
    """In a small basis: two of them by construction, the others as well as the field is."""
    chosen = pde.example("resonator-3d")
    problem = chosen.make()
    field, _ = Cavity(problem, 300, 0).solved()
    found = integral_laws(field, problem, count=1)
    assert set(found) == set(LAWS)
    assert max(found["no magnetic charges"].max(), found["faraday"].max()) < 1e-6
    assert max(found["gauss"].max(), found["ampere"].max()) < 0.05


def test_the_laws_find_a_wrong_field():
    problem = pde.example("resonator-3d").make()

    def wrong(x):  # A = (x t, 0, 0): E = (-x, 0, 0), a charge of density -1
        return torch.stack([x[..., 0] * x[..., 3], 0 * x[..., 0], 0 * x[..., 0]], dim=-1)

    found = integral_laws(wrong, problem, count=2)
    assert found["gauss"].max() > 0.05
    assert found["faraday"].max() < 1e-12


def test_which_problems_are_cavities():
    equation = Maxwell(waves="TM")
    closed = cavity(equation)
    assert is_cavity(closed)
    opened = [equation.absorbing("x_high"), equation.conductor(), *equation.start((0.0,), (0.0,))]
    assert not is_cavity(Problem(SQUARE * Time(0, 1), equation, opened))
    assert not is_cavity(pde.example("heat").make())


# -- equations ----------------------------------------------------------------------------------------------------------


def jet(function, points, axes):
    return Jet(function, torch.from_numpy(points), axes=axes)


def test_a_plane_wave_solves_the_equations_and_leaves_through_an_open_boundary():
    """In a medium with c = 1/2: A_z = sin(x - t / 2), A_y the same, and the phasor exp(i k x)."""
    medium, rng = Medium(2.0, 2.0), np.random.default_rng(0)
    x, normals = rng.random((20, 3)), np.tile([1.0, 0.0, 0.0], (20, 1))
    for waves, column in (("TM", 0), ("TE", 1)):
        equation = Maxwell(waves=waves, medium=medium)
        size = len(equation.components)

        def wave(p, column=column, size=size):
            return torch.stack([torch.sin(p[..., 0] - p[..., 2] / 2) * (k == column) for k in range(size)], dim=-1)

        u = jet(wave, x, ("x", "y", "t"))
        assert equation.residual(u).abs().max() < 1e-12
        assert equation.absorbing("x_high").residual(u, torch.from_numpy(normals)).abs().max() < 1e-12
        assert equation.absorbing("x_low").residual(u, -torch.from_numpy(normals)).abs().max() > 0.1
    harmonic = HarmonicMaxwell(waves="TM", medium=medium, frequency=1.5)

    def phasor(p):
        return torch.stack([torch.cos(3 * p[..., 0]), torch.sin(3 * p[..., 0])], dim=-1)

    u = jet(phasor, x[:, :2], ("x", "y"))
    assert harmonic.residual(u).abs().max() < 1e-12
    assert harmonic.absorbing("x_high").residual(u, torch.from_numpy(normals[:, :2])).abs().max() < 1e-12


def test_gauss_is_an_equation_of_its_own_with_a_given_charge():
    """A = (-t x, 0, 0): E = (x, 0, 0), ρ = ε, no current."""
    equation = Maxwell(waves="3-D", medium=Medium(3.0), charge=3.0)

    def linear(p):
        return torch.stack([-p[..., 3] * p[..., 0], 0 * p[..., 0], 0 * p[..., 0]], dim=-1)

    u = jet(linear, np.random.default_rng(0).random((9, 4)), ("x", "y", "z", "t"))
    found = equation.residual(u)
    assert found.shape == (9, 4)
    assert found.abs().max() < 1e-12


def test_a_driven_cavity_for_one_frequency():
    """E_z = sin sin below the first resonance: ``(2 π² - ω²) sin sin = -ω J`` with the imaginary current i J."""
    ω = 2.0
    equation = HarmonicMaxwell(
        waves="TM", frequency=ω, real=True, current=(lambda x, y: -(2 * PI**2 - ω**2) / ω * sine(x, y),)
    )
    problem = Problem(SQUARE, equation, [equation.conductor()])
    result = pde.solve(problem, budget=0.3)
    points = pde.check_points(problem, 0)
    assert pde.distance(result.field, sine(*points.T)[:, None], points).relative_l2 < 1e-4


def test_units():
    assert SI.speed == pytest.approx(299792458, rel=1e-9)
    assert SI.impedance == pytest.approx(376.730313, rel=1e-7)
    assert Medium(4.0, units=Units(1.0, 1.0)).speed == 0.5


REFUSED = {
    "waves": (lambda: Maxwell(waves="TEM"), "one of TM, TE, 3-D"),
    "current": (lambda: Maxwell(waves="TE", current=(0.0,)), "one for each of x, y"),
    "axes": (lambda: cavity_over(Maxwell(waves="3-D"), SQUARE), "the axes x, y, z, t"),
    "medium": (lambda: Medium(-1.0), "two positive numbers"),
    "open and real": (lambda: HarmonicMaxwell(waves="TM", frequency=1.0, real=True).absorbing(), "real=False"),
    "start": (lambda: Maxwell(waves="TE").start((0.0,), (0.0,)), "one for each"),
    "disk": (lambda: DiskScattering(1.0, 2.0, Medium(2.0), 1.0), "inside of the circle"),
    "series": (lambda: cylinder.CylinderScattering(1.0, -1.0, 2.0), "two positive numbers"),
    "grid": (lambda: yee.scattered_by_disk(1.0, 2.0, 2.0, reach=1.0, cells=8), "a smaller disk"),
}


def cavity_over(equation, region):
    return Problem(region * Time(0, 1), equation, [equation.conductor()])


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named(name):
    make, said = REFUSED[name]
    with pytest.raises(InputError, match=said):
        make()


# -- scattering ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("waves", ["TM", "TE"])
def test_the_series_is_continuous_and_without_a_contrast_the_wave_itself(waves):
    θ = np.linspace(0, 6, 9)
    on = np.stack([np.cos(θ), np.sin(θ)], axis=1)
    series = cylinder.CylinderScattering(3.0, 1.0, 4.0, waves)
    assert series(on * (1 - 1e-9)) == pytest.approx(series(on * (1 + 1e-9)), abs=1e-7)
    slopes = [(series(on * (1 + 2 * s)) - series(on * (1 + s))) / s for s in (1e-5, -1e-5)]
    assert slopes[1] == pytest.approx(slopes[0] * (1.0 if waves == "TM" else 4.0), rel=1e-3, abs=1e-3)
    plain = cylinder.CylinderScattering(3.0, 1.0, 1.0, waves)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 2))
    assert plain(points) == pytest.approx(np.exp(3j * points[:, 0]), abs=1e-10)


def test_a_small_disk_scatters_as_the_series_says():
    waves, k, radius, reach = "TE", 2 * PI, 0.2, 0.6
    problem = DiskScattering(k, radius, Medium(2.0), reach, waves)
    result = scatter(problem, budget=0.1)
    points = np.concatenate([region.sample(200, np.random.default_rng(4)) for region in problem.regions])
    exact = cylinder.CylinderScattering(k, radius, 2.0, waves)(points)
    found = result.field(points) @ [1, 1j]
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(
        exact
    )  # the circle at 0.6 wavelengths reflects 1 to 2 %
    assert Bases(problem, 60.0, 1.2, 0).total == sum(Bases(problem, 60.0, 1.2, 0).counts)


def test_yee_converges_to_the_series_and_to_a_mode_with_the_second_order():
    series = cylinder.CylinderScattering(2 * PI, 0.2, 2.0)
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (300, 2))
    exact = series(points)
    off = [
        np.linalg.norm(yee.scattered_by_disk(2 * PI, 0.2, 2.0, reach=0.5, cells=n)(points) - exact) for n in (10, 20)
    ]
    assert np.log2(off[0] / off[1]) > 1.3
    sine3, cosine3 = np.sin, np.cos
    start = [
        lambda x, y, z: cosine3(PI * x) * sine3(PI * y) * sine3(PI * z),
        lambda x, y, z: sine3(PI * x) * cosine3(PI * y) * sine3(PI * z),
        lambda x, y, z: -2 * sine3(PI * x) * sine3(PI * y) * cosine3(PI * z),
    ]
    missed = []
    for n in (8, 16):
        e = yee.solve_cavity(start, (1.0, 1.0, 1.0), n, 0.4)
        exact3 = [
            f(*yee.cavity_places((1.0, 1.0, 1.0), n, k)) * np.cos(np.sqrt(3) * PI * 0.4) for k, f in enumerate(start)
        ]
        missed.append(math.sqrt(sum(float(((a - b) ** 2).mean()) for a, b in zip(e, exact3, strict=True))))
    assert np.log2(missed[0] / missed[1]) == pytest.approx(2, abs=0.3)
