"""Equations as data: the strong form, and for those of second order the structure that a weak form needs.

Convention: an equation is ``residual(u) = 0`` for a jet u, the value and the partial derivatives of the unknown at points
(`ungrid.operators.Jet`, or anything that answers like it); residuals are (n, equations). The axis called t is time, all
others are space. Nothing here imports torch: a jet turns the coefficients into its own kind of array.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ungrid._base.differences import slope
from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.equations import coefficients
from ungrid.equations.coefficients import ByMaterial, Coefficient, Unknown, UnknownFunction

TIME = "t"
COEFFICIENTS = ("diffusion", "velocity", "reaction", "source", "damping", "inertia")
OF_VALUE = ("diffusion", "reaction", "source", "damping")  # that may depend on u


class Equation(ABC):
    """A differential equation for the functions called `out_names`."""

    out_names: tuple[str, ...]

    @abstractmethod
    def residual(self, u: JetLike) -> Any:
        """What must vanish at every point of the domain: (n, equations)."""

    @abstractmethod
    def check(self, axes: tuple[str, ...]) -> None:
        """Raise an InputError if the equation cannot hold on a domain with these axes."""

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The numbers that are to be found with the solution."""
        return ()

    @property
    def is_linear(self) -> bool:
        """Whether it is known to be linear."""
        return False


@dataclass(frozen=True)
class Strong(Equation):
    """An equation that is only known by its strong form.

    Attributes:
        function: of a jet, such as ``lambda u: u.d("t") - nu * u.d("x", "x")``; (n, equations).
        out_names: the unknown functions; component k of the jet's value is the k-th.
        parameters: unknown numbers, which the function gets by ``u.parameter(name)``.
    """

    function: Callable[[Any], Any]
    out_names: tuple[str, ...] = ("u",)
    parameters: tuple[Unknown, ...] = ()

    def residual(self, u: JetLike) -> Any:
        return self.function(u)

    def check(self, axes: tuple[str, ...]) -> None:
        """Nothing is known of it before it is evaluated."""

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        return self.parameters


@dataclass(frozen=True, kw_only=True)
class SecondOrder(Equation):
    """``inertia u_tt + damping u_t - ∇·(diffusion ∇u) + velocity·∇u + reaction u + nonlinearity(u) = source``.

    Every coefficient is a number, a function of named coordinates, an `Unknown`, an `UnknownFunction`, or one of these for each
    material (`ByMaterial`). Gradient and divergence are spatial.

    Attributes:
        diffusion: a number for each point, or a symmetric matrix (d, d) of numbers; the number may depend on u.
        velocity: one number for each spatial axis; a single 0 for none.
        reaction, source, damping, inertia: a number for each point; all but the last may depend on u.
        nonlinearity: a function of the jet that is added, such as ``lambda u: u.value**3``; None for a linear equation.
        out_names: the name of the unknown function.
    """

    diffusion: Coefficient | Unknown | UnknownFunction = 1.0
    velocity: Coefficient = 0.0
    reaction: Coefficient | Unknown | UnknownFunction = 0.0
    source: Coefficient = 0.0
    damping: Coefficient | Unknown = 0.0
    inertia: Coefficient | Unknown = 0.0
    nonlinearity: Callable[[Any], Any] | None = None
    out_names: tuple[str, ...] = ("u",)

    def check(self, axes: tuple[str, ...]) -> None:
        for name in COEFFICIENTS:
            known = (*axes, coefficients.VALUE) if name in OF_VALUE else axes
            coefficients.check(f"the {name}", getattr(self, name), known)
        changes = not (is_zero(self.damping) and is_zero(self.inertia))
        if changes and TIME not in axes:
            raise InputError(
                f"an equation with derivatives in time over the axes {', '.join(axes)}", "an axis t",
                "multiply the domain by Time(0, ...)",
            )  # fmt: skip
        if TIME in axes and not changes:
            raise InputError(
                "a domain with time for an equation without derivatives in time", "a damping or an inertia"
            )

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        given = (self.diffusion, self.reaction, self.damping, self.inertia)
        functions = [number for c in given if isinstance(c, UnknownFunction) for number in c.unknowns]
        return (*(c for c in given if isinstance(c, Unknown)), *functions)

    @property
    def is_linear(self) -> bool:
        given = [getattr(self, name) for name in COEFFICIENTS]
        return self.nonlinearity is None and not any(coefficients.depends_on_value(c) for c in given)

    def in_material(self, material: str) -> "SecondOrder":
        """The equation with its coefficients in one material."""
        return replace(self, **{name: coefficients.in_material(getattr(self, name), material) for name in COEFFICIENTS})

    def residual(self, u: JetLike) -> Any:
        space = tuple(name for name in u.axes if name != TIME)
        total: Any = 0.0 if is_zero(self.diffusion) else -self._diffused(u, space)
        if not is_zero(self.velocity):
            rates = self.velocity_at(u, space)
            total = sum((rates[:, k : k + 1] * u.d(name) for k, name in enumerate(space)), start=total)
        for name, order in (("damping", 1), ("inertia", 2)):
            if not is_zero(getattr(self, name)):
                total = total + self.number(u, name) * u.d(*[TIME] * order)
        if not is_zero(self.reaction):
            total = total + self.number(u, "reaction") * u.value
        if self.nonlinearity is not None:
            total = total + self.nonlinearity(u)
        return total if is_zero(self.source) else total - self.number(u, "source")

    def number(self, u: JetLike, name: str) -> Any:
        """A scalar coefficient at the points of the jet: a float where it is constant, else (n, 1)."""
        given = getattr(self, name)
        if isinstance(given, Unknown):
            return u.parameter(given.name)
        if isinstance(given, UnknownFunction):
            return given.at(u)
        if not callable(given):
            return coefficients.values(f"the {name}", given, np.zeros((1, 0)), ()).item()
        if coefficients.depends_on_value(given):
            return u.of_value(self._of_value(name, u.axes))
        return u.evaluate(lambda points: coefficients.values(f"the {name}", given, points, u.axes).reshape(-1, 1))

    def _of_value(self, name: str, axes: tuple[str, ...]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """A coefficient that depends on u, as a function of points (n, d) and values (n,)."""
        given = getattr(self, name)
        return lambda points, value: coefficients.values(f"the {name}", given, points, axes, value)

    def velocity_at(self, u: JetLike, space: tuple[str, ...]) -> Any:
        """The velocity (n, number of spatial axes)."""

        def at(points: np.ndarray) -> np.ndarray:
            found = coefficients.values("the velocity", self.velocity, points, u.axes)
            return np.broadcast_to(found.reshape(len(points), -1), (len(points), len(space)))

        return u.evaluate(at)

    def _diffused(self, u: JetLike, space: tuple[str, ...]) -> Any:
        """``∇·(A ∇u) = A : ∇∇u + (∇·A)·∇u``."""
        given = self.diffusion
        if isinstance(given, UnknownFunction):
            bent = sum((u.d(name, name) for name in space[1:]), start=u.d(space[0], space[0]))
            return given.at(u) * bent + sum(given.at(u, name) * u.d(name) for name in space)
        if isinstance(given, Unknown) or not (callable(given) or np.ndim(given)):  # type: ignore[arg-type]
            factor = self.number(u, "diffusion")
            return factor * sum((u.d(name, name) for name in space[1:]), start=u.d(space[0], space[0]))
        if coefficients.depends_on_value(given):
            return self._diffused_by_value(u, space)
        matrix, divergence = self._diffusion_at(u, space)
        total = 0.0
        for i, one in enumerate(space):
            total = total + divergence[:, i : i + 1] * u.d(one)
            for j, other in enumerate(space):
                total = total + matrix[:, i * len(space) + j][:, None] * u.d(one, other)
        return total

    def _diffused_by_value(self, u: JetLike, space: tuple[str, ...]) -> Any:
        """``∇·(a(x, u) ∇u) = a Δu + ∂a/∂u |∇u|² + (∇a)·∇u``, the last gradient by the coordinates alone."""
        of_value = self._of_value("diffusion", u.axes)
        rate = u.of_value(lambda points, value: slope(lambda v: of_value(points, v), value))
        total = u.of_value(of_value) * sum((u.d(name, name) for name in space[1:]), start=u.d(space[0], space[0]))
        total = total + rate * sum(u.d(name) ** 2 for name in space)
        for name in space:
            if coefficients.asks_for(self.diffusion, name):
                total = total + u.of_value(self._along(of_value, u.axes.index(name))) * u.d(name)
        return total

    @staticmethod
    def _along(of_value: Callable[[np.ndarray, np.ndarray], np.ndarray], column: int) -> Any:
        """The derivative of a coefficient that depends on u along a coordinate, u kept."""

        def found(points: np.ndarray, value: np.ndarray) -> np.ndarray:
            def moved(x: np.ndarray) -> np.ndarray:
                return of_value(np.column_stack([points[:, :column], x, points[:, column + 1 :]]), value)

            return slope(moved, points[:, column])

        return found

    def _diffusion_at(self, u: JetLike, space: tuple[str, ...]) -> tuple[Any, Any]:
        """A as rows (n, d * d), and ∇·A (n, d)."""
        d = len(space)
        given: Any = self.diffusion

        def matrix(points: np.ndarray) -> np.ndarray:
            found = coefficients.values("the diffusion", given, points, u.axes)
            full = found.reshape(-1, d, d) if found.ndim == 3 else found.reshape(-1, 1, 1) * np.eye(d)
            return full.reshape(len(points), d * d)

        def divergence(points: np.ndarray) -> np.ndarray:
            extent = np.maximum(np.ptp(points, axis=0), 1e-3)
            rates = coefficients.gradient("the diffusion", given, points, u.axes, space, extent)
            if rates.ndim == 4:
                return np.asarray(np.einsum("nijj->ni", rates))
            return np.asarray(rates.reshape(len(points), d))

        return u.evaluate(matrix), u.evaluate(divergence)


def is_zero(coefficient: Coefficient | Unknown | UnknownFunction) -> bool:
    """Whether a coefficient is the number 0."""
    if callable(coefficient) or isinstance(coefficient, Unknown | UnknownFunction | ByMaterial):
        return False
    return not np.any(np.asarray(coefficient))


def Poisson(
    source: Coefficient = 0.0, *, diffusion: Coefficient | Unknown | UnknownFunction = 1.0, reaction: Coefficient = 0.0
) -> SecondOrder:
    """``-∇·(diffusion ∇u) + reaction u = source``."""
    return SecondOrder(diffusion=diffusion, reaction=reaction, source=source)


def Helmholtz(wavenumber: float, source: Coefficient = 0.0) -> SecondOrder:
    """``-Δu - wavenumber² u = source``."""
    return SecondOrder(reaction=-(wavenumber**2), source=source)


def Heat(
    diffusivity: Coefficient | Unknown | UnknownFunction = 1.0,
    source: Coefficient = 0.0,
    *,
    reaction: Coefficient = 0.0,
) -> SecondOrder:
    """``u_t - ∇·(diffusivity ∇u) + reaction u = source``."""
    return SecondOrder(damping=1.0, diffusion=diffusivity, source=source, reaction=reaction)


def Wave(speed: float = 1.0, source: Coefficient = 0.0) -> SecondOrder:
    """``u_tt - speed² Δu = source``."""
    return SecondOrder(inertia=1.0, diffusion=speed**2, source=source)


def Advection(velocity: Coefficient, *, diffusivity: Coefficient = 0.0, source: Coefficient = 0.0) -> SecondOrder:
    """``u_t + velocity·∇u - ∇·(diffusivity ∇u) = source``."""
    return SecondOrder(damping=1.0, velocity=velocity, diffusion=diffusivity, source=source)


def Burgers(viscosity: float) -> SecondOrder:
    """``u_t + u u_x = viscosity u_xx``."""
    return SecondOrder(damping=1.0, diffusion=viscosity, nonlinearity=lambda u: u.value * u.d("x"))


def AllenCahn(diffusion: float, rate: float) -> SecondOrder:
    """``u_t = diffusion Δu + rate (u - u³)`` (Allen and Cahn 1979)."""
    return SecondOrder(damping=1.0, diffusion=diffusion, reaction=-rate, nonlinearity=lambda u: rate * u.value**3)


def KdV(dispersion: float) -> Strong:
    """``u_t + u u_x + dispersion u_xxx = 0`` (Korteweg and de Vries 1895)."""
    return Strong(lambda u: u.d("t") + u.value * u.d("x") + dispersion * u.d("x", "x", "x"))
