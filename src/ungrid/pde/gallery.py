"""Named problems that ``ungrid solve NAME`` runs, with their exact solutions where there are any.

Convention: an exact solution is a function of the coordinates by their names, like every coefficient. No basis of the solver
is proportional to one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Box, Interval, Time
from ungrid.equations import (
    AllenCahn,
    Burgers,
    Dirichlet,
    Elasticity,
    Heat,
    Helmholtz,
    Initial,
    KdV,
    Measured,
    Periodic,
    Poisson,
    Problem,
    Robin,
    SecondOrder,
    Strong,
    Unknown,
    Wave,
)
from ungrid.equations.coefficients import values

PI = np.pi
Function = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Example:
    """A problem with a name.

    Attributes:
        title: one line about it.
        make: gives the problem.
        exact: its solution, a function of named coordinates; None where there is none in closed form.
    """

    title: str
    make: Callable[[], Problem]
    exact: Function | None = None


def example(name: str) -> Example:
    """The problem of that name.

    Raises:
        InputError: if there is none.
    """
    if name not in GALLERY:
        raise InputError(
            f"the problem {name!r}", f"one of {', '.join(GALLERY)}", "or a Python file that defines `problem`"
        )
    return GALLERY[name]


def exact_values(problem: Problem, exact: Function, points: np.ndarray) -> np.ndarray:
    """An exact solution at points (n, d) of a problem, (n, c)."""
    return values("the exact solution", exact, points, problem.axes).reshape(len(points), -1)


def _sine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sin(PI * x) * np.sin(PI * y)


def _poisson_square() -> Problem:
    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2 * PI**2 * _sine(x, y)

    return Problem(Box(x=(0, 1), y=(0, 1)), Poisson(source), [Dirichlet(0.0)], name="poisson-square")


def _poisson_lshape() -> Problem:
    lshape = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1))
    return Problem(lshape, Poisson(1.0), [Dirichlet(0.0)], name="poisson-lshape")


def _heat() -> Problem:
    conditions = [Dirichlet(0.0), Initial(lambda x: np.sin(PI * x))]
    return Problem(Interval(x=(0, 1)) * Time(0, 1), Heat(0.25), conditions, name="heat")


DIFFUSION, AGE = 0.1, 0.00625  # of the step: at the start it is as wide as if it had been sharp AGE before: 0.05


def _step_exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return erf(x / np.sqrt(4 * DIFFUSION * (t + AGE)))


def _step() -> Problem:
    conditions = [Dirichlet(_step_exact), Initial(lambda x: _step_exact(x, np.zeros_like(x)))]
    return Problem(Interval(x=(-1, 1)) * Time(0, 1), Heat(DIFFUSION), conditions, name="step")


def _helmholtz() -> Problem:
    k = 4 * PI

    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return k**2 * np.sin(k * x) * np.sin(k * y)

    return Problem(Box(x=(0, 1), y=(0, 1)), Helmholtz(k, source), [Dirichlet(0.0)], name="helmholtz")


def _wave_exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.sin(PI * x) * np.cos(2 * PI * t) + np.sin(4 * PI * x) * np.cos(8 * PI * t) / 2


def _wave() -> Problem:
    start = Initial(lambda x: np.sin(PI * x) + np.sin(4 * PI * x) / 2, rate=0.0)
    return Problem(Interval(x=(0, 1)) * Time(0, 1), Wave(2.0), [Dirichlet(0.0), start], name="wave")


THIN = 0.05  # of the boundary layer


def _layer_exact(x: np.ndarray) -> np.ndarray:
    return x - (np.exp((x - 1) / THIN) - np.exp(-1 / THIN)) / (1 - np.exp(-1 / THIN))


def _boundary_layer() -> Problem:
    equation = SecondOrder(diffusion=THIN, velocity=(1.0,), source=1.0)
    return Problem(Interval(x=(0, 1)), equation, [Dirichlet(0.0)], name="boundary-layer")


def _variable_coefficient() -> Problem:
    """u = sin(πx) sin(πy) with the diffusion 1 + x²."""

    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (1 + x**2) * 2 * PI**2 * _sine(x, y) - 2 * x * PI * np.cos(PI * x) * np.sin(PI * y)

    equation = Poisson(source, diffusion=lambda x: 1 + x**2)
    return Problem(Box(x=(0, 1), y=(0, 1)), equation, [Dirichlet(0.0)], name="variable-coefficient")


RISE = -9 / 16 / (0.5 + np.log(2))  # with which both conditions of the pipe hold


def _pipe_exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-Δu = 1; u = 1 on the inner circle of radius 1/2, ∂u/∂n + 2 u = 0 on the outer one of radius 1."""
    r = np.hypot(x, y)
    return (1 - RISE) / 2 + RISE * np.log(r) - r**2 / 4


def _pipe() -> Problem:
    ring = Ball((0, 0), 1.0).named("outside") - Ball((0, 0), 0.5).named("inside")
    conditions = [Dirichlet(1.0, "inside"), Robin(0.0, "outside", coefficient=2.0)]
    return Problem(ring, Poisson(1.0), conditions, name="pipe")


def _reaction() -> Problem:
    """u = sin(πx) sin(πy) with -Δu + u³ = f."""

    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 2 * PI**2 * _sine(x, y) + _sine(x, y) ** 3

    equation = SecondOrder(source=source, nonlinearity=lambda u: u.value**3)
    return Problem(Box(x=(0, 1), y=(0, 1)), equation, [Dirichlet(0.0)], name="reaction")


VISCOSITY, HERMITE = 0.01 / PI, 128  # nodes of Gauss and Hermite, enough for rounding error


def _burgers_exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The solution by Cole 1951 and Hopf 1950, for periodic initial values -sin(πx).

    ``u = -∫ sin(π(x - η)) w dη / ∫ w dη`` with ``w = exp(-cos(π(x - η)) / 2πν - η² / 4νt)``.
    """
    nodes, weights = np.polynomial.hermite.hermgauss(HERMITE)
    places = x[..., None] - 2 * np.sqrt(VISCOSITY * t)[..., None] * nodes
    exponents = -np.cos(PI * places) / (2 * PI * VISCOSITY)
    shares = weights * np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    return -(np.sin(PI * places) * shares).sum(axis=-1) / shares.sum(axis=-1)


def _burgers() -> Problem:
    conditions = [Dirichlet(0.0), Initial(lambda x: -np.sin(PI * x))]
    return Problem(Interval(x=(-1, 1)) * Time(0, 1), Burgers(VISCOSITY), conditions, name="burgers")


def _allen_cahn() -> Problem:
    """As in Raissi, Perdikaris and Karniadakis 2019, section 3.2."""
    conditions = [Periodic("x"), Initial(lambda x: x**2 * np.cos(PI * x))]
    return Problem(Interval(x=(-1, 1)) * Time(0, 1), AllenCahn(1e-4, 5.0), conditions, name="allen-cahn")


def _kdv() -> Problem:
    """As in Zabusky and Kruskal 1965, over a time in which the first solitons part."""
    conditions = [Periodic("x", order=2), Initial(lambda x: np.cos(PI * x))]
    return Problem(Interval(x=(-1, 1)) * Time(0, 1), KdV(0.0025), conditions, name="kdv")


def _oscillator_exact(t: np.ndarray) -> np.ndarray:
    """u'' + 2 u' + 17 u = 0, u(0) = 1, u'(0) = -1."""
    return np.exp(-t) * np.cos(4 * t)


def _oscillator() -> Problem:
    equation = Strong(lambda u: u.d("t", "t") + 2 * u.d("t") + 17 * u.value)
    return Problem(Time(0, 3), equation, [Initial(1.0, rate=-1.0)], name="oscillator")


PLATE = Elasticity(1.0, 0.3, plane="stress")  # stresses in units of Young's modulus
HOLE = 0.25  # its radius; the tension far away is 1


def _polar(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.hypot(x, y) / HOLE, np.arctan2(y, x)


def _hole_exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The displacement by Kirsch 1898 about a free hole in an infinite plate under a tension along x."""
    (r, a), k = _polar(x, y), (3 - PLATE.poisson) / (1 + PLATE.poisson)
    along = r * (k + 1) * np.cos(a) + 2 / r * ((1 + k) * np.cos(a) + np.cos(3 * a)) - 2 / r**3 * np.cos(3 * a)
    across = r * (k - 3) * np.sin(a) + 2 / r * ((1 - k) * np.sin(a) + np.sin(3 * a)) - 2 / r**3 * np.sin(3 * a)
    return HOLE / (8 * PLATE.shear) * np.stack([along, across], axis=-1)


def _hole_along(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Its stress σ_xx."""
    r, a = _polar(x, y)
    return 1 - r**-2 * (1.5 * np.cos(2 * a) + np.cos(4 * a)) + 1.5 * r**-4 * np.cos(4 * a)


def _hole_across(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Its stress σ_yy."""
    r, a = _polar(x, y)
    return -(r**-2) * (0.5 * np.cos(2 * a) - np.cos(4 * a)) - 1.5 * r**-4 * np.cos(4 * a)


def _hole_shear(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Its stress σ_xy."""
    r, a = _polar(x, y)
    return -(r**-2) * (0.5 * np.sin(2 * a) + np.sin(4 * a)) + 1.5 * r**-4 * np.sin(4 * a)


def _plate_with_hole() -> Problem:
    """A quarter of a square plate, with the tractions of the infinite one on its outer edges."""
    quarter = Box(x=(0, 1), y=(0, 1)) - Ball((0, 0), HOLE).named("hole")
    conditions = [
        *PLATE.displacement((0.0, None), "x_low"), *PLATE.traction((None, 0.0), "x_low"),
        *PLATE.displacement((None, 0.0), "y_low"), *PLATE.traction((0.0, None), "y_low"),
        *PLATE.traction((_hole_along, _hole_shear), "x_high"), *PLATE.traction((_hole_shear, _hole_across), "y_high"),
        *PLATE.traction((0.0, 0.0), "hole"),
    ]  # fmt: skip
    return Problem(quarter, PLATE, conditions, name="plate-with-hole")


def _cantilever() -> Problem:
    """A steel beam in SI units, clamped at the left, under a shear of 1 MPa at the right: singular at the clamp."""
    steel = Elasticity(200e9, 0.3, plane="stress")
    conditions = [
        *steel.displacement((0.0, 0.0), "x_low"), *steel.traction((0.0, -1e6), "x_high"), *steel.traction((0.0, 0.0)),
    ]  # fmt: skip
    return Problem(Box(x=(0, 4), y=(0, 1)), steel, conditions, name="cantilever")


DIFFUSIVITY, NOISE, MEASUREMENTS = 0.4, 0.05, 200


def _diffusion_exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.exp(-DIFFUSIVITY * PI**2 * t) * np.sin(PI * x)


def diffusion_inverse(seed: int = 0) -> Problem:
    """u_t = λ u_xx with λ = 0.4 to be found from 200 measured values, whose noise is 5 % of the rms of u."""
    domain, rng = Interval(x=(0, 1)) * Time(0, 1), np.random.default_rng(seed)
    points = domain.sample(MEASUREMENTS, rng, method="uniform")
    clean = _diffusion_exact(*points.T)
    weights = domain.quadrature(12)
    sigma = NOISE * float(np.sqrt(weights[1] @ _diffusion_exact(*weights[0].T) ** 2 / domain.measure))
    data = Measured(points, clean + sigma * rng.standard_normal(MEASUREMENTS), sigma)
    conditions = [Dirichlet(0.0), Initial(lambda x: np.sin(PI * x)), data]
    return Problem(domain, Heat(Unknown("diffusivity")), conditions, name="diffusion-inverse")


GALLERY: dict[str, Example] = {
    "poisson-lshape": Example("-Δu = 1 on the L-shape: singular at the re-entrant corner", _poisson_lshape),
    "heat": Example("u_t = u_xx / 4, from a sine", _heat, lambda x, t: np.exp(-(PI**2) / 4 * t) * np.sin(PI * x)),
    "step": Example("u_t = u_xx / 10, from a steep step", _step, _step_exact),
    "diffusion-inverse": Example("the diffusivity from 200 noisy values", diffusion_inverse, _diffusion_exact),
    "poisson-square": Example("-Δu = f on the unit square", _poisson_square, _sine),
    "helmholtz": Example(
        "two waves across the unit square", _helmholtz, lambda x, y: np.sin(4 * PI * x) * np.sin(4 * PI * y)
    ),
    "wave": Example("a string with two tones", _wave, _wave_exact),
    "boundary-layer": Example("-u''/20 + u' = 1: a layer at the right end", _boundary_layer, _layer_exact),
    "variable-coefficient": Example("-∇·((1 + x²)∇u) = f", _variable_coefficient, _sine),
    "pipe": Example("a heated pipe, cooled outside (Robin)", _pipe, _pipe_exact),
    "reaction": Example("-Δu + u³ = f", _reaction, _sine),
    "plate-with-hole": Example(
        "an elastic plate under tension: three times the stress at a hole", _plate_with_hole, _hole_exact
    ),
    "cantilever": Example("a clamped elastic beam, loaded at its end", _cantilever),
    "burgers": Example("u_t + u u_x = 0.01/π u_xx: a shock; takes seconds", _burgers, _burgers_exact),
    "allen-cahn": Example("u_t = u_xx / 10,000 + 5 (u - u³): two phases part; takes a minute", _allen_cahn),
    "kdv": Example("u_t + u u_x + u_xxx / 400 = 0: a wave breaks up into solitons", _kdv),
    "oscillator": Example("a damped oscillator, an ordinary differential equation", _oscillator, _oscillator_exact),
}
