"""Conditions as data: what holds on parts of the boundary, at the start, or at measured points.

Convention: a condition is ``residual(u, normal) = 0`` at points of its parts, (n, 1); the normal (n, d) is the outward unit
one, in time zero. Values are coefficients: numbers or functions of named coordinates; those of Neumann's and Robin's conditions
may depend on the unknown, under the name ``u``. `on` names parts of the boundary of the domain (``domain.parts``); None takes
all lateral parts that no other condition of the problem names.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.equations import coefficients
from ungrid.equations.coefficients import VALUE, ByMaterial, Coefficient, Unknown
from ungrid.equations.equation import TIME

INITIAL = "initial"

On = str | tuple[str, ...] | None


def _number(u: JetLike, what: str, given: Coefficient | Unknown) -> Any:
    if isinstance(given, Unknown):
        return u.parameter(given.name)
    if isinstance(given, int | float):
        return float(given)
    if coefficients.depends_on_value(given):
        return u.of_value(lambda points, value: coefficients.values(what, given, points, u.axes, value))
    return u.evaluate(lambda points: coefficients.values(what, given, points, u.axes).reshape(-1, 1))


def normal_derivative(u: JetLike, normal: Any) -> Any:
    """``n·∇u``, (n, components)."""
    parts = [normal[:, k : k + 1] * u.d(name) for k, name in enumerate(u.axes) if name != TIME]
    return sum(parts[1:], start=parts[0])


@dataclass(frozen=True)
class Condition(ABC):
    """What holds on some parts of the boundary, for one component of the unknown.

    Attributes:
        value: of the right-hand side.
        on: names of parts, or None for all that no other condition names.
        component: which of the unknown functions.
    """

    value: Coefficient = 0.0
    on: On = None
    component: int = field(default=0, kw_only=True)

    @abstractmethod
    def residual(self, u: JetLike, normal: Any) -> Any:
        """What must vanish at points of the parts, (n, 1)."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of its parts; None for the rest of the boundary."""
        return (self.on,) if isinstance(self.on, str) else self.on

    @property
    def label(self) -> str:
        """What an error calls it."""
        where = "the rest of the boundary" if self.names is None else ", ".join(self.names)
        return f"{type(self).__name__} on {where}"

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The numbers in it that are to be found."""
        return ()

    def check(self, axes: tuple[str, ...]) -> None:
        """Raise an InputError if it cannot be evaluated over these axes."""
        known = (*axes, VALUE) if isinstance(self, Neumann | Robin) else axes
        coefficients.check(f"the value of {self.label}", self.value, known)

    @property
    def is_linear(self) -> bool:
        """Whether its coefficients do not depend on the unknown."""
        return not coefficients.depends_on_value(self.value)

    def in_material(self, material: str) -> "Condition":
        """The condition with its coefficients in one material."""
        return replace(self, value=coefficients.in_material(self.value, material))

    def _value(self, u: JetLike) -> Any:
        return u.value[:, self.component : self.component + 1]

    def _flux(self, u: JetLike, normal: Any) -> Any:
        return normal_derivative(u, normal)[:, self.component : self.component + 1]

    def _right(self, u: JetLike) -> Any:
        return _number(u, f"the value of {self.label}", self.value)


@dataclass(frozen=True)
class Dirichlet(Condition):
    """``u = value``.

    Attributes:
        hard: whether the field has the value by construction, instead of by least squares: on intervals and in the plane,
            for stationary problems with one unknown function.
    """

    hard: bool = field(default=False, kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        return self._value(u) - self._right(u)


@dataclass(frozen=True)
class Neumann(Condition):
    """``∂u/∂n = value`` (the derivative alone, without a diffusion in front of it)."""

    def residual(self, u: JetLike, normal: Any) -> Any:
        return self._flux(u, normal) - self._right(u)


@dataclass(frozen=True)
class Robin(Condition):
    """``∂u/∂n + coefficient u = value``.

    Attributes:
        coefficient: for cooling with a transfer coefficient h over a conductivity k to an ambient T: h / k, with the
            value h T / k.
    """

    coefficient: Coefficient | Unknown = field(default=1.0, kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        factor = _number(u, f"the coefficient of {self.label}", self.coefficient)
        return self._flux(u, normal) + factor * self._value(u) - self._right(u)

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        return (self.coefficient,) if isinstance(self.coefficient, Unknown) else ()

    def check(self, axes: tuple[str, ...]) -> None:
        super().check(axes)
        coefficients.check(f"the coefficient of {self.label}", self.coefficient, (*axes, VALUE))

    @property
    def is_linear(self) -> bool:
        return super().is_linear and not coefficients.depends_on_value(self.coefficient)

    def in_material(self, material: str) -> "Robin":
        found = super().in_material(material)
        assert isinstance(found, Robin)
        return replace(found, coefficient=coefficients.in_material(self.coefficient, material))


def Cooling(transfer: float, ambient: float, conductivity: Any, *, on: On = None) -> Robin:
    """``-conductivity ∂u/∂n = transfer (u - ambient)``: heat that a surface gives to a medium (Newton's law of cooling).

    Args:
        transfer: heat transfer coefficient, in W / (m² K).
        ambient: temperature of the medium.
        conductivity: the diffusion of the equation, in W / (m K): a number, a function of u, or one for each material.
        on: the parts of the boundary.
    """
    return Robin(_over(transfer * ambient, conductivity), on, coefficient=_over(transfer, conductivity))


def Heating(flux: float, conductivity: Any, *, on: On = None) -> Neumann:
    """``conductivity ∂u/∂n = flux``: heat that comes in through a surface, in W / m²; the other arguments as in `Cooling`."""
    return Neumann(_over(flux, conductivity), on)


def _over(number: float, given: Any) -> Any:
    """A number divided by a coefficient."""
    if isinstance(given, ByMaterial):
        return ByMaterial(**{name: _over(number, one) for name, one in given.coefficients.items()})
    return (lambda u: number / given(u)) if callable(given) else number / given


@dataclass(frozen=True)
class Initial(Condition):
    """``u = value`` at the start, and ``u_t = rate`` where a rate is given (an equation with an inertia needs one)."""

    on: On = INITIAL
    rate: Coefficient | None = field(default=None, kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        return self._value(u) - self._right(u)

    def rate_residual(self, u: JetLike) -> Any:
        """``u_t - rate``, (n, 1)."""
        assert self.rate is not None
        return u.d(TIME)[:, self.component : self.component + 1] - _number(u, f"the rate of {self.label}", self.rate)

    def check(self, axes: tuple[str, ...]) -> None:
        if TIME not in axes:
            raise InputError("an initial condition on a domain without time", "a domain multiplied by Time(0, ...)")
        super().check(axes)
        if self.rate is not None:
            coefficients.check(f"the rate of {self.label}", self.rate, axes)


@dataclass(frozen=True)
class Periodic:
    """The unknown and its derivatives up to an order agree at both ends of an axis.

    Attributes:
        axis: whose two ends are joined.
        order: of the highest derivative that is asked to agree, one less than the order of the equation.
    """

    axis: str
    order: int = 1

    @property
    def label(self) -> str:
        return f"Periodic along {self.axis}"

    def check(self, axes: tuple[str, ...]) -> None:
        """Raise an InputError if there is no such axis."""
        if self.axis not in axes or self.axis == TIME:
            raise InputError(f"a periodic axis {self.axis!r}", f"one of {', '.join(a for a in axes if a != TIME)}")


@dataclass(frozen=True, eq=False)
class Measured:
    """Values measured at points: data of an inverse problem, or an anchor.

    Attributes:
        points: (n, d), in the order of the domain's axes.
        values: (n,).
        sigma: standard error of the values, one number or (n,); None where it is unknown.
        component: which of the unknown functions.
    """

    points: np.ndarray
    values: np.ndarray
    sigma: float | np.ndarray | None = None
    component: int = 0

    label = "the measured points"

    def check(self, axes: tuple[str, ...]) -> None:
        """Raise an InputError if points and values do not fit together or are not finite."""
        points, values = np.asarray(self.points), np.asarray(self.values)
        if points.ndim != 2 or points.shape[1] != len(axes) or values.shape != (len(points),) or len(points) == 0:
            raise InputError(
                f"measured points {points.shape} and values {values.shape}", f"(n, {len(axes)}) and (n,) with n > 0"
            )
        if not (np.isfinite(points).all() and np.isfinite(values).all()):
            raise InputError("measured points or values that are NaN or infinite", "finite numbers")
