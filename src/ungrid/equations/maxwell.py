"""Maxwell's equations in a homogeneous linear medium, in time and for one frequency.

    ∂B/∂t = -∇×E,   ∂D/∂t = ∇×H - J,   ∇·D = ρ,   ∇·B = 0,   D = ε E,   B = μ H,   J = σ E + the given current

Convention: right-handed axes x, y, z. In the plane nothing depends on z; "TM" waves have E along z and H in the plane, "TE"
waves the other way round. In time the unknown is the vector potential in the temporal gauge,

    E = -∂A/∂t,   B = ∇×A,   ε ∂²A/∂t² + σ ∂A/∂t + ∇×(∇×A) / μ = J,

so that Faraday's law and the absence of magnetic charges hold by construction, whatever a network computes; Gauss's law follows
from the others where it holds at the start and charge is conserved, and is an equation of its own where a charge density is
given. For one frequency the unknown is the phasor of E, ``E(x, t) = Re(E(x) exp(-iωt))``:

    ∇×(∇×E) / μ - (ω² ε + iωσ) E = iω J.

All quantities are in the units of a `Units`: SI, or scaled ones in which ε0 = μ0 = c = 1.

Sources: Jackson 1999, *Classical electrodynamics*, sections 6.1 to 6.3 and 8.1; Monk 2003, *Finite element methods for
Maxwell's equations*, section 1.2 (absorbing condition of Silver and Müller).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.equations import coefficients
from ungrid.equations.coefficients import Coefficient
from ungrid.equations.conditions import INITIAL, Condition, Initial, On
from ungrid.equations.equation import TIME, Equation

SPACE = ("x", "y", "z")
COMPONENTS = {"TM": ("z",), "TE": ("x", "y"), "3-D": SPACE}  # of A and E, by the kind of waves


@dataclass(frozen=True)
class Units:
    """The constants of empty space.

    Attributes:
        permittivity: ε0.
        permeability: μ0.
    """

    permittivity: float
    permeability: float

    @property
    def speed(self) -> float:
        """Of light."""
        return 1 / math.sqrt(self.permittivity * self.permeability)

    @property
    def impedance(self) -> float:
        """Of waves in empty space, E / H."""
        return math.sqrt(self.permeability / self.permittivity)


SCALED = Units(1.0, 1.0)
SI = Units(8.8541878188e-12, 1.25663706127e-6)  # F/m and H/m, CODATA 2022


@dataclass(frozen=True)
class Medium:
    """What a wave runs through.

    Attributes:
        relative_permittivity: ε / ε0.
        relative_permeability: μ / μ0.
        conductivity: σ, in S/m in SI units.
        units: of everything.
    """

    relative_permittivity: float = 1.0
    relative_permeability: float = 1.0
    conductivity: float = 0.0
    units: Units = field(default=SCALED, kw_only=True)

    def __post_init__(self) -> None:
        if not (self.relative_permittivity > 0 and self.relative_permeability > 0 and self.conductivity >= 0):
            raise InputError(
                f"a medium with ε = {self.relative_permittivity}, μ = {self.relative_permeability}, "
                f"σ = {self.conductivity}", "two positive numbers and one that is not negative",
            )  # fmt: skip

    @property
    def permittivity(self) -> float:
        """ε."""
        return self.relative_permittivity * self.units.permittivity

    @property
    def permeability(self) -> float:
        """μ."""
        return self.relative_permeability * self.units.permeability

    @property
    def speed(self) -> float:
        """Of waves."""
        return 1 / math.sqrt(self.permittivity * self.permeability)

    @property
    def impedance(self) -> float:
        """E / H of a plane wave."""
        return math.sqrt(self.permeability / self.permittivity)


@dataclass(frozen=True, kw_only=True)
class _Waves(Equation):
    """What both equations share.

    Attributes:
        waves: "TM", "TE" or "3-D".
        medium: of the whole domain.
        current: the given current density, a coefficient for every component of E.
    """

    waves: str
    medium: Medium = Medium()
    current: tuple[Coefficient, ...] | None = None

    def __post_init__(self) -> None:
        if self.waves not in COMPONENTS:
            raise InputError(f"waves of the kind {self.waves!r}", f"one of {', '.join(COMPONENTS)}")
        if self.current is not None and len(self.current) != len(self.components):
            raise InputError(
                f"a current with {len(self.current)} components", f"one for each of {', '.join(self.components)}"
            )

    @property
    def components(self) -> tuple[str, ...]:
        """The axes along which the unknown points."""
        return COMPONENTS[self.waves]

    @property
    def is_linear(self) -> bool:
        return True

    def _check_axes(self, axes: tuple[str, ...], expected: tuple[str, ...]) -> None:
        if axes != expected:
            raise InputError(f"{self.waves} waves over the axes {', '.join(axes)}", f"the axes {', '.join(expected)}")
        for name, given in zip(self.components, self.current or (), strict=False):
            coefficients.check(f"the current along {name}", given, axes)

    @property
    def space(self) -> tuple[str, ...]:
        """The axes of space."""
        return SPACE if self.waves == "3-D" else SPACE[:2]

    def current_along(self, u: JetLike, name: str) -> Any:
        """A component of the given current (n, 1); 0.0 where there is none."""
        if self.current is None:
            return 0.0
        return _given(u, f"the current along {name}", self.current[self.components.index(name)])


@dataclass(frozen=True, kw_only=True)
class Maxwell(_Waves):
    """Maxwell's equations in time, for the vector potential.

    Attributes:
        charge: the given charge density ρ; with one, Gauss's law is an equation of its own.
    """

    charge: Coefficient | None = None

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The components of the potential."""
        return tuple(f"A{name}" for name in self.components)

    def check(self, axes: tuple[str, ...]) -> None:
        self._check_axes(axes, (*self.space, TIME))
        if self.charge is not None:
            coefficients.check("the charge", self.charge, axes)

    def residual(self, u: JetLike) -> Any:
        """Ampère's law along every component, and Gauss's with a given charge, both times μ: (n, equations)."""
        μ, names = self.medium.permeability, self.components
        rows = []
        for name in names:
            row = μ * self.medium.permittivity * potential(u, names, name, TIME, TIME) + curl_curl(u, names, name)
            if self.medium.conductivity:
                row = row + μ * self.medium.conductivity * potential(u, names, name, TIME)
            rows.append(row - μ * self.current_along(u, name))
        if self.charge is not None:
            outflow = sum(potential(u, names, name, name, TIME) for name in names if name in u.axes)
            rows.append(μ * self.medium.permittivity * outflow + μ * _given(u, "the charge", self.charge))
        return beside(u, rows)

    def start(self, potential: Sequence[Coefficient], electric: Sequence[Coefficient]) -> tuple[Initial, ...]:
        """The initial conditions: the potential, whose curl is B, and the electric field.

        Args:
            potential: a coefficient for every component, 0.0 where B is 0.
            electric: the same for E; a number or a function.
        """
        if not len(potential) == len(electric) == len(self.components):
            raise InputError(
                f"{len(potential)} and {len(electric)} initial values", f"one for each of {', '.join(self.components)}"
            )
        return tuple(
            Initial(a, INITIAL, component=k, rate=_negative(e))
            for k, (a, e) in enumerate(zip(potential, electric, strict=True))
        )

    def conductor(self, on: On = None) -> "Tangential":
        """A perfect electric conductor: no tangential electric field (and no tangential potential, from the start)."""
        return Tangential(0.0, on, equation=self)

    def absorbing(self, on: On = None) -> "Tangential":
        """Silver's and Müller's condition, which lets waves out that meet the boundary at right angles."""
        return Tangential(0.0, on, equation=self, open=True)

    def electric(self, u: JetLike, name: str) -> Any:
        """A component of E (n, 1)."""
        return -1.0 * potential(u, self.components, name, TIME)

    def magnetic(self, u: JetLike, name: str) -> Any:
        """A component of B (n, 1); 0.0 where it vanishes."""
        return curl(u, self.components, name)


@dataclass(frozen=True, kw_only=True)
class HarmonicMaxwell(_Waves):
    """Maxwell's equations for one frequency, for the phasor of E.

    Attributes:
        frequency: the angular frequency ω.
        real: whether E is real: in a lossless medium between conductors, with an imaginary current, of which `current` is the
            imaginary part. Otherwise the current is real, and E complex.
    """

    frequency: float
    real: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.frequency > 0 or (self.real and self.medium.conductivity):
            raise InputError(
                f"a frequency of {self.frequency} and a conductivity of {self.medium.conductivity}",
                "a positive frequency, and real phasors only without losses",
            )

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The components of E; the real parts of all, then the imaginary ones."""
        parts = ("",) if self.real else ("_re", "_im")
        return tuple(f"E{name}{part}" for part in parts for name in self.components)

    def check(self, axes: tuple[str, ...]) -> None:
        self._check_axes(axes, self.space)

    def residual(self, u: JetLike) -> Any:
        """The equation of every component, times μ: (n, equations)."""
        μ, ω, names = self.medium.permeability, self.frequency, self.components
        stored, lost = μ * ω**2 * self.medium.permittivity, μ * ω * self.medium.conductivity
        if self.real:
            rows = [
                curl_curl(u, names, name) - stored * potential(u, names, name) + μ * ω * self.current_along(u, name)
                for name in names
            ]
            return beside(u, rows)
        m = len(names)
        real, imaginary = [], []
        for name in names:
            e, f = (potential(u, names, name, first=first) for first in (0, m))
            real.append(curl_curl(u, names, name) - stored * e + lost * f)
            imaginary.append(
                curl_curl(u, names, name, first=m) - stored * f - lost * e - μ * ω * self.current_along(u, name)
            )
        return beside(u, [*real, *imaginary])

    def conductor(self, on: On = None) -> "Tangential":
        """A perfect electric conductor: no tangential electric field."""
        return Tangential(0.0, on, equation=self)

    def absorbing(self, on: On = None) -> "Tangential":
        """Silver's and Müller's condition.

        Raises:
            InputError: if the phasors are real: then nothing leaves.
        """
        if self.real:
            raise InputError("an absorbing boundary for real phasors", "real=False")
        return Tangential(0.0, on, equation=self, open=True)


@dataclass(frozen=True)
class Tangential(Condition):
    """What holds of the components along the boundary: ``n × A = 0``, or open to waves.

    Attributes:
        equation: `Maxwell` or `HarmonicMaxwell`.
        open: whether waves leave: ``n × (∇×A) = (n × ∂A/∂t) × n / c``, for phasors ``n × (∇×E) = -i k E`` along the boundary.
    """

    equation: Any = field(kw_only=True)
    open: bool = field(default=False, kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        names, n = self.equation.components, _spatial(u, normal)
        parts = len(u_names(self.equation)) // len(names)
        firsts = [k * len(names) for k in range(parts)]
        if not self.open:
            return beside(u, [row for first in firsts for row in self._crossed(u, n, first)])
        curls = [[n_cross_curl(u, names, n, name, first) for name in names] for first in firsts]
        if isinstance(self.equation, Maxwell):
            rates = self._along(u, n, 0, (TIME,))
            c = self.equation.medium.speed
            return beside(u, [a - rate / c for a, rate in zip(curls[0], rates, strict=True)])
        k = self.equation.frequency / self.equation.medium.speed
        e, f = self._along(u, n, firsts[0], ()), self._along(u, n, firsts[1], ())
        real = [a - k * im for a, im in zip(curls[0], f, strict=True)]
        return beside(u, real + [a + k * re for a, re in zip(curls[1], e, strict=True)])

    def _crossed(self, u: JetLike, n: list[Any], first: int) -> list[Any]:
        """The components of ``n × A`` that do not vanish in any case."""
        names = self.equation.components
        a = [potential(u, names, name, first=first) for name in SPACE]
        if self.equation.waves == "TM":
            return [a[2]]
        if self.equation.waves == "TE":
            return [n[0] * a[1] - n[1] * a[0]]
        return [n[1] * a[2] - n[2] * a[1], n[2] * a[0] - n[0] * a[2], n[0] * a[1] - n[1] * a[0]]

    def _along(self, u: JetLike, n: list[Any], first: int, by: tuple[str, ...]) -> list[Any]:
        """The part along the boundary of a derivative of A, for every component."""
        names = self.equation.components
        a = {name: potential(u, names, name, *by, first=first) for name in names}
        through = sum((n[SPACE.index(name)] * a[name] for name in names), start=0.0)
        return [a[name] - n[SPACE.index(name)] * through for name in names]


def u_names(equation: Equation) -> tuple[str, ...]:
    """The names of an equation's unknown functions."""
    return equation.out_names


def potential(u: JetLike, names: tuple[str, ...], name: str, *by: str, first: int = 0) -> Any:
    """A derivative of one component of the unknown vector (n, 1); 0.0 where that or the axis is missing.

    Args:
        u: the jet.
        names: of the vector's components.
        name: of the one asked for.
        by: the axes of the derivative.
        first: the number of the vector's first component among the unknown functions.
    """
    if name not in names or any(axis not in u.axes for axis in by):
        return 0.0
    k = first + names.index(name)
    return (u.d(*by) if by else u.value)[:, k : k + 1]


def curl(u: JetLike, names: tuple[str, ...], name: str, first: int = 0) -> Any:
    """A component of the curl of the unknown vector."""
    i = SPACE.index(name)
    one, other = SPACE[(i + 1) % 3], SPACE[(i + 2) % 3]
    return potential(u, names, other, one, first=first) - potential(u, names, one, other, first=first)


def curl_curl(u: JetLike, names: tuple[str, ...], name: str, first: int = 0) -> Any:
    """A component of ``∇×(∇×A) = ∇(∇·A) - ΔA``."""
    total: Any = 0.0
    for other in SPACE:
        if other != name:
            total = total + potential(u, names, other, name, other, first=first)
            total = total - potential(u, names, name, other, other, first=first)
    return total


def n_cross_curl(u: JetLike, names: tuple[str, ...], n: list[Any], name: str, first: int) -> Any:
    """A component of ``n × (∇×A)``."""
    i = SPACE.index(name)
    j, k = (i + 1) % 3, (i + 2) % 3
    return n[j] * curl(u, names, SPACE[k], first) - n[k] * curl(u, names, SPACE[j], first)


def beside(u: JetLike, rows: list[Any]) -> Any:
    """Columns (n, 1) as one array (n, len(rows))."""
    total: Any = 0.0
    for k, row in enumerate(rows):
        unit = np.eye(len(rows))[k]
        total = total + row * u.evaluate(lambda points, unit=unit: np.tile(unit, (len(points), 1)))  # type: ignore[misc]
    return total


def _spatial(u: JetLike, normal: Any) -> list[Any]:
    """The components of the normal along x, y and z, (n, 1) each; 0.0 for a missing axis."""
    return [normal[:, u.axes.index(a) : u.axes.index(a) + 1] if a in u.axes else 0.0 for a in SPACE]


def _given(u: JetLike, what: str, given: Coefficient) -> Any:
    return u.evaluate(lambda points: coefficients.values(what, given, points, u.axes).reshape(-1, 1))


def _negative(given: Coefficient) -> Coefficient:
    """A coefficient times -1, of the same arguments."""
    if not callable(given):
        return -np.asarray(given, dtype=np.float64).item()
    return _Negative(given)


@dataclass(frozen=True)
class _Negative:
    """A function times -1, which names the same coordinates."""

    function: Any

    @property
    def __signature__(self) -> Any:
        import inspect

        return inspect.signature(self.function)

    def __call__(self, *x: np.ndarray) -> Any:
        return -self.function(*x)
