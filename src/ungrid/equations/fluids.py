"""Fluids: what follows a moving particle, and the conservation of mass, momentum and energy in terms of it.

Convention: the velocity has one component for each axis of space; ``D/Dt = ∂/∂t + u·∇`` is the material derivative, without its
first part where there is no time. Viscosities are dynamic (μ, in Pa s); with a density of 1 they are kinematic. The viscous
stress is ``τ = μ (∇u + ∇uᵀ - 2/3 (∇·u) I)`` (Stokes' hypothesis), the dissipation ``Φ = τ : ∇u``. A pressure that no condition
holds is known up to a constant.

Sources: Landau and Lifshitz 1987, *Fluid mechanics*, sections 1, 2, 15 and 49; Batchelor 1967, *An introduction to fluid
dynamics*, sections 2.2 (stream function) and 3.4 (energy).
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.equations import coefficients
from ungrid.equations.coefficients import Coefficient
from ungrid.equations.conditions import INITIAL, Condition, Dirichlet, Initial, On
from ungrid.equations.equation import TIME, Equation

VELOCITY = ("u", "v", "w")
FLAT = 2  # axes of space of a flow with a stream function


def space_of(u: JetLike) -> tuple[str, ...]:
    """The names of the axes of space."""
    return tuple(name for name in u.axes if name != TIME)


def part(values: Any, k: int) -> Any:
    """Component k of values (n, c) as (n, 1)."""
    return values[:, k : k + 1]


def material_derivative(u: JetLike, component: int, velocity: Sequence[Any]) -> Any:
    """``Dq/Dt = q_t + velocity·∇q`` of a component q of the unknown, (n, 1) (Batchelor 1967, equation 2.1.2).

    Args:
        u: the jet.
        component: which of its components q is.
        velocity: (n, 1) or a number for each axis of space.
    """
    space = space_of(u)
    if len(velocity) != len(space):
        raise InputError(f"a velocity of {len(velocity)} components", f"one for each of {', '.join(space)}")
    carried = sum(v * part(u.d(name), component) for v, name in zip(velocity, space, strict=True))
    return carried + part(u.d(TIME), component) if TIME in u.axes else carried


def divergence(u: JetLike, first: int = 0) -> Any:
    """``∇·u`` of the velocity whose components start at `first`, (n, 1)."""
    return sum(part(u.d(name), first + k) for k, name in enumerate(space_of(u)))


def dissipation(u: JetLike, viscosity: float, first: int = 0) -> Any:
    """The heat of friction ``Φ = μ/2 Σ (∂_i u_j + ∂_j u_i)² - 2/3 μ (∇·u)²``, (n, 1) (Landau and Lifshitz 1987, 16.2 and 49.4).

    Args:
        u: the jet.
        viscosity: μ.
        first: the component of the unknown that is the first one of the velocity.
    """
    space, total = space_of(u), 0.0
    for i, one in enumerate(space):
        for j, other in enumerate(space):
            total = total + (part(u.d(one), first + j) + part(u.d(other), first + i)) ** 2 * (viscosity / 2)
    return total - 2 / 3 * viscosity * divergence(u, first) ** 2


def viscous_force(u: JetLike, axis: int, viscosity: float, first: int = 0) -> Any:
    """``(∇·τ)_axis = μ Δu_axis + μ/3 ∂_axis ∇·u``, (n, 1)."""
    space = space_of(u)
    diffused = sum(part(u.d(name, name), first + axis) for name in space)
    return viscosity * diffused + viscosity / 3 * sum(
        part(u.d(name, space[axis]), first + k) for k, name in enumerate(space)
    )


class _Flow(Equation):
    """What all flows with a velocity share: conditions by its components, forces, checks."""

    force: tuple[Coefficient, ...]

    @property
    def dim(self) -> int:
        """The number of axes of space."""
        return len(self.force)

    @property
    @abstractmethod
    def first(self) -> int:
        """The component of the unknown that is the first one of the velocity."""

    def check(self, axes: tuple[str, ...]) -> None:
        space = tuple(name for name in axes if name != TIME)
        if len(space) != self.dim:
            raise InputError(f"{self.dim} forces over the axes {', '.join(axes)}", "one for each axis of space",
                             "force=(0.0, 0.0, 0.0) for a flow in space")  # fmt: skip
        for name, force in zip(space, self.force, strict=True):
            coefficients.check(f"the force along {name}", force, axes)

    def velocity(self, values: tuple[Coefficient | None, ...], on: On = None) -> tuple[Condition, ...]:
        """``u = values`` on parts of the boundary, a condition for each component; None leaves one out."""
        return tuple(Dirichlet(value, on, component=self.first + k) for k, value in self._given(values))

    def start(self, values: tuple[Coefficient | None, ...]) -> tuple[Condition, ...]:
        """``u = values`` at the start."""
        return tuple(Initial(value, component=self.first + k) for k, value in self._given(values))

    def hold(self, name: str, value: Coefficient, on: On = None) -> Condition:
        """``name = value`` on parts of the boundary, for one of `out_names`."""
        if name not in self.out_names:
            raise InputError(f"the unknown {name!r}", f"one of {', '.join(self.out_names)}")
        return Dirichlet(value, on, component=self.out_names.index(name))

    def begin(self, name: str, value: Coefficient) -> Condition:
        """``name = value`` at the start, for one of `out_names`."""
        return Initial(value, component=self.hold(name, value).component)

    def force_along(self, u: JetLike, axis: int) -> Any:
        """A component of the force at the points, a number or (n, 1)."""
        given = self.force[axis]
        if not callable(given):
            return float(np.asarray(given))
        name = f"the force along {space_of(u)[axis]}"
        return u.evaluate(lambda points: coefficients.values(name, given, points, u.axes).reshape(-1, 1))

    def _given(self, values: tuple[Coefficient | None, ...]) -> list[tuple[int, Coefficient]]:
        if len(values) != self.dim:
            raise InputError(f"{len(values)} values for {self.dim} components", "one for each, or None")
        return [(k, value) for k, value in enumerate(values) if value is not None]


def _positive(**given: float) -> None:
    for name, value in given.items():
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name.replace('_', ' ')} = {value}", "a finite number that is not negative")


@dataclass(frozen=True)
class NavierStokes(_Flow):
    """Incompressible flow: ``ρ Du/Dt = -∇p + μ Δu + force`` and ``∇·u = 0`` (Landau and Lifshitz 1987, equation 15.7).

    The unknown functions are the components of the velocity, then the pressure.

    Attributes:
        viscosity: μ.
        density: ρ.
        force: on a unit of volume, a coefficient for each axis of space.
    """

    viscosity: float
    density: float = 1.0
    force: tuple[Coefficient, ...] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _positive(viscosity=self.viscosity, density=self.density)

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The velocity, then the pressure."""
        return (*VELOCITY[: self.dim], "p")

    @property
    def first(self) -> int:
        return 0

    def residual(self, u: JetLike) -> Any:
        velocity = [part(u.value, k) for k in range(self.dim)]
        return columns(u, [*(self.momentum(u, k, velocity) for k in range(self.dim)), divergence(u)])

    def outflow(self, on: On) -> tuple[Condition, ...]:
        """``μ ∂u/∂n = p n`` on parts where a channel ends, a condition for each component."""
        return tuple(Outflow(0.0, on, component=k, flow=self) for k in range(self.dim))

    def momentum(self, u: JetLike, axis: int, velocity: Sequence[Any]) -> Any:
        """What the momentum along an axis is out of balance by, (n, 1)."""
        space = space_of(u)
        diffused = sum(part(u.d(name, name), axis) for name in space)
        inertia = self.density * material_derivative(u, axis, velocity)
        return inertia + part(u.d(space[axis]), self.dim) - self.viscosity * diffused - self.force_along(u, axis)


@dataclass(frozen=True)
class Outflow(Condition):
    """``μ ∂u_k/∂n - p n_k = value`` for component k of the velocity: with 0 the fluid leaves without a force on it.

    Attributes:
        flow: the equation.
    """

    flow: NavierStokes = field(kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        k = self.component
        pressed = part(u.value, self.flow.dim) * part(normal, k)
        return self.flow.viscosity * self._flux(u, normal) - pressed - self._right(u)


def columns(u: JetLike, parts: Sequence[Any]) -> Any:
    """Residuals (n, 1) side by side, (n, len(parts))."""

    def unit(k: int) -> Any:
        return u.evaluate(lambda points: np.tile(np.eye(len(parts))[k], (len(points), 1)))

    return sum((one * unit(k) for k, one in enumerate(parts)), start=0.0)


@dataclass(frozen=True)
class StreamFlow(_Flow):
    """Incompressible flow in the plane, free of divergence by construction: ``u = ψ_y, v = -ψ_x``.

    The unknown functions are the stream function ψ, known up to a constant, and the pressure; the equations those of
    `NavierStokes` without the one that now holds by itself (Batchelor 1967, equation 2.2.7).

    Attributes:
        viscosity: μ.
        density: ρ.
        force: on a unit of volume, a coefficient for each axis.
    """

    viscosity: float
    density: float = 1.0
    force: tuple[Coefficient, ...] = (0.0, 0.0)
    out_names: tuple[str, ...] = field(default=("psi", "p"), init=False)

    def __post_init__(self) -> None:
        _positive(viscosity=self.viscosity, density=self.density)

    @property
    def first(self) -> int:
        return 0

    def check(self, axes: tuple[str, ...]) -> None:
        super().check(axes)
        if self.dim != FLAT:
            raise InputError(f"a stream function over {', '.join(axes)}", "two axes of space")

    def residual(self, u: JetLike) -> Any:
        velocity = [stream_velocity(u, k) for k in range(FLAT)]
        return columns(u, [self.momentum(u, k, velocity) for k in range(FLAT)])

    def momentum(self, u: JetLike, axis: int, velocity: Sequence[Any]) -> Any:
        """What the momentum along an axis is out of balance by, (n, 1)."""
        space = space_of(u)
        rate = sum(v * stream_velocity(u, axis, name) for v, name in zip(velocity, space, strict=True))
        if TIME in u.axes:
            rate = rate + stream_velocity(u, axis, TIME)
        diffused = sum(stream_velocity(u, axis, name, name) for name in space)
        pressed = part(u.d(space[axis]), 1)
        return self.density * rate + pressed - self.viscosity * diffused - self.force_along(u, axis)

    def velocity(self, values: tuple[Coefficient | None, ...], on: On = None) -> tuple[Condition, ...]:
        """``u = values`` on parts of the boundary, a condition for each component; None leaves one out."""
        return tuple(StreamVelocity(value, on, component=FLAT + k) for k, value in self._given(values))

    def start(self, values: tuple[Coefficient | None, ...]) -> tuple[Condition, ...]:
        """``u = values`` at the start."""
        return tuple(StreamVelocity(value, INITIAL, component=FLAT + k) for k, value in self._given(values))


def stream_velocity(u: JetLike, axis: int, *along: str) -> Any:
    """A component of ``(ψ_y, -ψ_x)``, or its derivative along some axes, (n, 1)."""
    x, y = space_of(u)
    return part(u.d(y, *along), 0) if axis == 0 else -part(u.d(x, *along), 0)


@dataclass(frozen=True)
class StreamVelocity(Condition):
    """``ψ_y = value`` or ``-ψ_x = value``, which count as components behind ψ and p."""

    @property
    def axis(self) -> int:
        """The component of the velocity."""
        return self.component - FLAT

    def residual(self, u: JetLike, normal: Any) -> Any:
        return stream_velocity(u, self.axis) - self._right(u)


@dataclass(frozen=True)
class HeatedFlow(_Flow):
    """`NavierStokes` with its heat: ``ρ c DT/Dt = Dp/Dt + ∇·(k ∇T) + Φ + heat`` with the enthalpy ``h = c T``.

    The unknown functions are the velocity, the pressure and the temperature (Landau and Lifshitz 1987, equation 49.4, with
    ``T ds = dh - dp/ρ``). Of a liquid that hardly expands the work of pressure ``Dp/Dt`` is small; `pressure_work` says whether
    it counts.

    Attributes:
        viscosity: μ.
        conductivity: k.
        density: ρ.
        capacity: c, for each unit of mass.
        force: on a unit of volume, a coefficient for each axis of space.
        heat: that comes into a unit of volume.
        pressure_work: whether ``Dp/Dt`` counts.
    """

    viscosity: float
    conductivity: float
    density: float = 1.0
    capacity: float = 1.0
    force: tuple[Coefficient, ...] = (0.0, 0.0)
    heat: Coefficient = 0.0
    pressure_work: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        _positive(
            viscosity=self.viscosity, conductivity=self.conductivity, density=self.density, capacity=self.capacity
        )

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The velocity, the pressure, the temperature."""
        return (*VELOCITY[: self.dim], "p", "T")

    @property
    def first(self) -> int:
        return 0

    def check(self, axes: tuple[str, ...]) -> None:
        super().check(axes)
        coefficients.check("the heat", self.heat, axes)

    def residual(self, u: JetLike) -> Any:
        flow = NavierStokes(self.viscosity, self.density, self.force)
        velocity = [part(u.value, k) for k in range(self.dim)]
        momentum = [flow.momentum(u, k, velocity) for k in range(self.dim)]
        return columns(u, [*momentum, divergence(u), self.energy(u, velocity)])

    def energy(self, u: JetLike, velocity: Sequence[Any]) -> Any:
        """What the energy is out of balance by, (n, 1)."""
        p, t = self.dim, self.dim + 1
        stored = self.density * self.capacity * material_derivative(u, t, velocity)
        conducted = self.conductivity * sum(part(u.d(name, name), t) for name in space_of(u))
        left = stored - conducted - dissipation(u, self.viscosity)
        if self.pressure_work:
            left = left - material_derivative(u, p, velocity)
        given = self.heat
        if not callable(given):
            return left - float(np.asarray(given))
        return left - u.evaluate(
            lambda points: coefficients.values("the heat", given, points, u.axes).reshape(-1, 1)
        )  # fmt: skip


@dataclass(frozen=True)
class IdealGas(_Flow):
    """Compressible flow of an ideal gas, ``p = ρ R T``, ``h = c_p T`` with ``c_p = γ R / (γ - 1)``.

    Mass ``Dρ/Dt + ρ ∇·u = 0``, momentum ``ρ Du/Dt = -∇p + ∇·τ + force``, energy ``ρ Dh/Dt = Dp/Dt + ∇·(k ∇T) + Φ`` with all its
    terms (Landau and Lifshitz 1987, equations 1.3, 15.5 and 49.4). The unknown functions are density, velocity, temperature.

    Attributes:
        viscosity: μ.
        conductivity: k.
        gas: R, in J / (kg K).
        ratio: γ, of the heat capacities.
        force: on a unit of volume, a coefficient for each axis of space.
    """

    viscosity: float
    conductivity: float
    gas: float = 1.0
    ratio: float = 1.4
    force: tuple[Coefficient, ...] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _positive(viscosity=self.viscosity, conductivity=self.conductivity, gas=self.gas)
        if not (np.isfinite(self.ratio) and self.ratio > 1):
            raise InputError(f"the ratio of the heat capacities {self.ratio}", "a number above 1")

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Density, velocity, temperature."""
        return ("rho", *VELOCITY[: self.dim], "T")

    @property
    def first(self) -> int:
        return 1

    def residual(self, u: JetLike) -> Any:
        velocity = [part(u.value, 1 + k) for k in range(self.dim)]
        density, spread = part(u.value, 0), divergence(u, 1)
        mass = material_derivative(u, 0, velocity) + density * spread
        momentum = [self.momentum(u, k, velocity) for k in range(self.dim)]
        return columns(u, [mass, *momentum, self.energy(u, velocity)])

    def momentum(self, u: JetLike, axis: int, velocity: Sequence[Any]) -> Any:
        """What the momentum along an axis is out of balance by, (n, 1)."""
        density, temperature, t = part(u.value, 0), part(u.value, self.dim + 1), self.dim + 1
        along = u.d(space_of(u)[axis])
        pressed = self.gas * (part(along, 0) * temperature + density * part(along, t))
        inertia = density * material_derivative(u, 1 + axis, velocity)
        return inertia + pressed - viscous_force(u, axis, self.viscosity, 1) - self.force_along(u, axis)

    def energy(self, u: JetLike, velocity: Sequence[Any]) -> Any:
        """What the energy is out of balance by, (n, 1)."""
        t = self.dim + 1
        density, temperature = part(u.value, 0), part(u.value, t)
        warmed, thickened = material_derivative(u, t, velocity), material_derivative(u, 0, velocity)
        stored = density * self.ratio * self.gas / (self.ratio - 1) * warmed
        pressed = self.gas * (thickened * temperature + density * warmed)
        conducted = self.conductivity * sum(part(u.d(name, name), t) for name in space_of(u))
        return stored - pressed - conducted - dissipation(u, self.viscosity, 1)


@dataclass(frozen=True)
class Continuity(Equation):
    """The density in a given flow: ``ρ_t + ∇·(ρ u) = Dρ/Dt + ρ ∇·u = source`` (Landau and Lifshitz 1987, equation 1.2).

    Attributes:
        flow: the velocity, a coefficient for each axis of space.
        source: of mass, for each unit of volume and time.
    """

    flow: tuple[Coefficient, ...]
    source: Coefficient = 0.0
    out_names: tuple[str, ...] = field(default=("rho",), init=False)

    @property
    def is_linear(self) -> bool:
        return True

    def check(self, axes: tuple[str, ...]) -> None:
        space = tuple(name for name in axes if name != TIME)
        if len(space) != len(self.flow):
            raise InputError(
                f"a velocity of {len(self.flow)} components over {', '.join(axes)}", "one for each axis of space"
            )
        for name, given in zip(space, self.flow, strict=True):
            coefficients.check(f"the velocity along {name}", given, axes)
        coefficients.check("the source", self.source, axes)

    def residual(self, u: JetLike) -> Any:
        velocity = [self._at(u, "the velocity", given) for given in self.flow]
        spread = sum(self._slope(u, given, name) for given, name in zip(self.flow, space_of(u), strict=True))
        return material_derivative(u, 0, velocity) + spread * u.value - self._at(u, "the source", self.source)

    @staticmethod
    def _at(u: JetLike, what: str, given: Coefficient) -> Any:
        return u.evaluate(lambda points: coefficients.values(what, given, points, u.axes).reshape(-1, 1))

    @staticmethod
    def _slope(u: JetLike, given: Coefficient, along: str) -> Any:
        def found(points: np.ndarray) -> np.ndarray:
            extent = np.maximum(np.ptp(points, axis=0), 1e-3)
            return coefficients.gradient("the velocity", given, points, u.axes, (along,), extent).reshape(-1, 1)

        return u.evaluate(found)
