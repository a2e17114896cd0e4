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
    Continuity,
    Dirichlet,
    Elasticity,
    Heat,
    HeatedFlow,
    Helmholtz,
    IdealGas,
    Initial,
    KdV,
    Measured,
    NavierStokes,
    Periodic,
    Poisson,
    Problem,
    Robin,
    SecondOrder,
    StreamFlow,
    Strong,
    Unknown,
    Wave,
)
from ungrid.equations.coefficients import arguments_of, values
from ungrid.equations.maxwell import Maxwell

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


RESONATOR, CUBE = Maxwell(waves="TM"), Maxwell(waves="3-D")  # in scaled units: the speed of light is 1


def _resonator_exact(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The potential of two modes of a square cavity, whose E is largest at the start."""
    slow, fast = np.sqrt(2) * PI, np.sqrt(5) * PI
    return -_sine(x, y) * np.sin(slow * t) / slow - np.sin(2 * PI * x) * np.sin(PI * y) * np.sin(fast * t) / fast / 2


def _resonator() -> Problem:
    def electric(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _sine(x, y) + np.sin(2 * PI * x) * np.sin(PI * y) / 2

    conditions = [RESONATOR.conductor(), *RESONATOR.start((0.0,), (electric,))]
    return Problem(Box(x=(0, 1), y=(0, 1)) * Time(0, 1), RESONATOR, conditions, name="resonator")


def _cube_electric(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E at the start: a mode of the unit cube with waves along all axes."""
    sine, cosine = ([f(PI * s) for s in (x, y, z)] for f in (np.sin, np.cos))
    return cosine[0] * sine[1] * sine[2], sine[0] * cosine[1] * sine[2], -2 * sine[0] * sine[1] * cosine[2]


def _cube_exact(x: np.ndarray, y: np.ndarray, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Its potential."""
    ω = np.sqrt(3) * PI
    return np.stack([-e * np.sin(ω * t) / ω for e in _cube_electric(x, y, z)], axis=-1)


def _cube() -> Problem:
    electric = (
        lambda x, y, z: _cube_electric(x, y, z)[0], lambda x, y, z: _cube_electric(x, y, z)[1],
        lambda x, y, z: _cube_electric(x, y, z)[2],
    )  # fmt: skip
    conditions = [CUBE.conductor(), *CUBE.start((0.0, 0.0, 0.0), electric)]
    return Problem(Box(x=(0, 1), y=(0, 1), z=(0, 1)) * Time(0, 1), CUBE, conditions, name="resonator-3d")


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


REYNOLDS = 40.0
DECAY = REYNOLDS / 2 - np.sqrt(REYNOLDS**2 / 4 + 4 * PI**2)


def _kovasznay_exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The flow behind a grid by Kovasznay 1948; the pressure with the mean zero."""
    wake = np.exp(DECAY * x)
    mean = (np.exp(2 * DECAY) - np.exp(-DECAY)) / (2 * DECAY) / 1.5
    along, across = 1 - wake * np.cos(2 * PI * y), DECAY / (2 * PI) * wake * np.sin(2 * PI * y)
    return np.stack([along, across, (mean - wake**2) / 2], axis=-1)


def _part(exact: Function, k: int, *, start: bool = False) -> Function:
    """A component of an exact solution over x and y, of time too unless it is that at the start."""
    if start:
        return lambda x, y: exact(x, y, np.zeros_like(x))[..., k]
    return (
        (lambda x, y: exact(x, y)[..., k]) if "t" not in arguments_of(exact) else lambda x, y, t: exact(x, y, t)[..., k]
    )


def _kovasznay() -> Problem:
    flow = NavierStokes(1 / REYNOLDS)
    around = flow.velocity((_part(_kovasznay_exact, 0), _part(_kovasznay_exact, 1)))
    return Problem(Box(x=(-0.5, 1), y=(-0.5, 1.5)), flow, around, name="kovasznay")


SLOWING = 0.05  # viscosity of the vortices


def _vortices_exact(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Stream function and pressure of the decaying vortices by Taylor and Green 1937, in the plane."""
    fading = np.exp(-2 * SLOWING * t)
    return np.stack([-np.cos(x) * np.cos(y) * fading, -(np.cos(2 * x) + np.cos(2 * y)) / 4 * fading**2], axis=-1)


def _vortices_velocity(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    fading = np.exp(-2 * SLOWING * t)
    return np.stack([np.cos(x) * np.sin(y) * fading, -np.sin(x) * np.cos(y) * fading], axis=-1)


def _taylor_green() -> Problem:
    flow = StreamFlow(SLOWING)
    conditions = [
        *flow.velocity((_part(_vortices_velocity, 0), _part(_vortices_velocity, 1))),
        *flow.start((_part(_vortices_velocity, 0, start=True), _part(_vortices_velocity, 1, start=True))),
    ]
    return Problem(Box(x=(0, PI), y=(0, PI)) * Time(0, 1), flow, conditions, name="taylor-green")


def _cavity() -> Problem:
    """The lid of NS2d-C in Hao et al. 2023 (PINNacle)."""
    flow = NavierStokes(0.01)
    conditions = [*flow.velocity((lambda x: 4 * x * (1 - x), 0.0), "y_high"), *flow.velocity((0.0, 0.0))]
    return Problem(Box(x=(0, 1), y=(0, 1)), flow, conditions, name="cavity")


OIL = HeatedFlow(viscosity=0.5, conductivity=0.2, density=1.0, capacity=2.0)
GAP, SPEED = 0.8, 1.0  # radius of the shaft in a bearing of radius 1, and its speed
TURN = SPEED * GAP / (GAP**2 - 1)  # of u = TURN (r - 1/r)


def _bearing_exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Couette's flow between cylinders with the heat of its friction; both walls have the temperature 0.

    ``k (r T')' / r = -4 μ TURN² / r⁴`` (Landau and Lifshitz 1987, sections 18 and 55).
    """
    r = np.hypot(x, y)
    turning = TURN * (1 - 1 / r**2)
    pressure = OIL.density * TURN**2 * (r**2 / 2 - 2 * np.log(r) - 1 / (2 * r**2))
    heat = OIL.viscosity * TURN**2 / OIL.conductivity
    temperature = heat * (1 - 1 / r**2 - (1 - 1 / GAP**2) * np.log(r) / np.log(GAP))
    return np.stack([-turning * y, turning * x, pressure, temperature], axis=-1)


def _bearing() -> Problem:
    ring = Ball((0, 0), 1.0).named("bearing") - Ball((0, 0), GAP).named("shaft")
    conditions = [
        *OIL.velocity((lambda y: -y * SPEED / GAP, lambda x: x * SPEED / GAP), "shaft"),
        *OIL.velocity((0.0, 0.0), "bearing"), OIL.hold("T", 0.0),
        OIL.hold("p", 0.0, "bearing"),
    ]  # fmt: skip
    return Problem(ring, OIL, conditions, name="bearing")


SQUEEZE = 0.5  # of the length of a column of gas, over the time 1


def _squeezed_exact(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Density, velocity and temperature of a gas that is compressed evenly, without friction: ``T ρ^(1 - γ)`` stays 1."""
    length = 1 - SQUEEZE * t
    return np.stack([1 / length, -SQUEEZE * x / length, length**-0.4], axis=-1)


def _squeezed() -> Problem:
    gas = IdealGas(viscosity=0.0, conductivity=0.1, force=(0.0,))
    conditions = [gas.begin("rho", 1.0), gas.begin("u", lambda x: -SQUEEZE * x), gas.begin("T", 1.0)]
    ends = ("x_low", "x_high")
    conditions += [
        gas.hold("u", lambda x, t: -SQUEEZE * x / (1 - SQUEEZE * t), ends),
        gas.hold("T", lambda t: (1 - SQUEEZE * t) ** -0.4, ends),
        gas.hold("rho", lambda t: 1 / (1 - SQUEEZE * t), ends),
    ]
    return Problem(Interval(x=(-1, 1)) * Time(0, 1), gas, conditions, name="isentropic")


def _spreading_exact(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """A density that a flow from a source carries apart."""
    longer = 1 + t / 2
    a, b = x / longer, y / longer
    return (1 + np.exp(-2 * (a - 0.3) ** 2 - b**2)) / longer**2


def _spreading() -> Problem:
    equation = Continuity((lambda x, t: x / (2 + t), lambda y, t: y / (2 + t)))
    start = Initial(lambda x, y: _spreading_exact(x, y, np.zeros_like(x)))
    return Problem(Box(x=(-1, 1), y=(-1, 1)) * Time(0, 1), equation, [start], name="continuity")


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
    "resonator": Example("waves between conductors: two modes of a square", _resonator, _resonator_exact),
    "resonator-3d": Example("waves between conductors: a mode of a cube; takes 10 s", _cube, _cube_exact),
    "burgers": Example("u_t + u u_x = 0.01/π u_xx: a shock; takes seconds", _burgers, _burgers_exact),
    "allen-cahn": Example("u_t = u_xx / 10,000 + 5 (u - u³): two phases part; takes a minute", _allen_cahn),
    "kdv": Example("u_t + u u_x + u_xxx / 400 = 0: a wave breaks up into solitons", _kdv),
    "oscillator": Example("a damped oscillator, an ordinary differential equation", _oscillator, _oscillator_exact),
    "kovasznay": Example("the flow behind a grid at Reynolds number 40 (Kovasznay)", _kovasznay, _kovasznay_exact),
    "taylor-green": Example("decaying vortices, by their stream function", _taylor_green, _vortices_exact),
    "cavity": Example("a closed box whose lid moves, Reynolds number 100", _cavity),
    "bearing": Example("a turning shaft in oil, which friction heats", _bearing, _bearing_exact),
    "isentropic": Example("a gas that is compressed to half of its volume", _squeezed, _squeezed_exact),
    "continuity": Example("a density that a flow carries apart", _spreading, _spreading_exact),
}
