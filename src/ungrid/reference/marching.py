"""Time stepping of discretised equations: theta methods, Runge-Kutta, leapfrog, and the method of lines.

Conventions. A `System` stands for ``capacity u' + matrix u = load(t)`` (see `finite_differences`). Times (m,) have equal
steps, between which `substeps` shorter ones are taken; results have the shape (m, *grid). A step too long for an explicit
method is refused with the number that limits it: beyond it the fastest mode grows without bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from scipy import integrate, sparse

from ungrid._base.errors import InputError
from ungrid.reference.finite_differences import Coefficient, Rates, System, factorise
from ungrid.reference.stencils import along, derivative_matrix, is_uniform

_RK4_RADIUS = 2.61  # the half disc |z| <= 2.61, Re z <= 0 lies inside the region of stability of the classical method


@runtime_checkable
class Scheme(Protocol):
    """A way to step ``capacity u' + matrix u = forcing(t)``."""

    def check(self, rates: Rates, step: float) -> None:
        """Raises InputError if the step is too long to be stable."""

    def stepper(self, system: System, step: float) -> Callable[[np.ndarray, float], np.ndarray]:
        """From the free nodes' values at a time, and that time, to those one step later."""


@dataclass(frozen=True)
class Theta:
    """``C (u1 - u0) / dt + K (theta u1 + (1 - theta) u0) = theta f1 + (1 - theta) f0``.

    0 is the explicit Euler method, 1 the implicit one, 1/2 that of Crank and Nicolson (1947), the only one of second
    order. Below 1/2 the step is limited: with ``s = (1 - 2 theta) dt``, sums over the axes and C = 1,
    ``s a / h^2 <= 1/2`` and ``s v^2 / 2a <= 1`` for central differences (Hindmarsh, Gresho and Griffiths 1984),
    ``s (2a / h^2 + |v| / h) <= 1`` for upwind ones.
    """

    theta: float = 0.5

    def check(self, rates: Rates, step: float) -> None:
        s = (1 - 2 * self.theta) * step
        if not 0 <= self.theta <= 1:
            raise InputError(f"theta {self.theta}", "0 to 1")
        if rates.upwind:
            _limit("CFL number dt (2a/h^2 + |v|/h)", s, rates.diffusive / 2 + rates.advective, 1.0, step)
        else:
            _limit("diffusion number a dt/h^2", s, rates.diffusive / 4, 0.5, step)
            _limit("number v^2 dt/2a of central advection", s, rates.quotient, 1.0, step)

    def stepper(self, system: System, step: float) -> Callable[[np.ndarray, float], np.ndarray]:
        matrix, mass, forcing = system.inner, system.capacity[system.free] / step, system.forcing_in_time()
        if self.theta == 0:
            return lambda u, t: u + (forcing(t) - matrix @ u) / mass
        factors = factorise(sparse.csr_array(sparse.diags_array(mass) + self.theta * matrix))

        def advance(u: np.ndarray, t: float) -> np.ndarray:
            right = mass * u + self.theta * forcing(t + step)
            if self.theta < 1:
                right = right + (1 - self.theta) * (forcing(t) - matrix @ u)
            return factors.solve(right)

        return advance


EXPLICIT_EULER, CRANK_NICOLSON, IMPLICIT_EULER = Theta(0.0), Theta(0.5), Theta(1.0)


@dataclass(frozen=True)
class RungeKutta4:
    """The classical method of fourth order in time (Kutta 1901).

    Stable if dt times every eigenvalue lies in the half disc of radius 2.61, for which
    ``dt (4a / h^2 + |v| / h) <= 2.61`` suffices (upwind: twice the second term).
    """

    def check(self, rates: Rates, step: float) -> None:
        rate = rates.diffusive + (2 if rates.upwind else 1) * rates.advective
        _limit("number dt (4a/h^2 + |v|/h)", step, rate, _RK4_RADIUS, step)

    def stepper(self, system: System, step: float) -> Callable[[np.ndarray, float], np.ndarray]:
        matrix, capacity, forcing = system.inner, system.capacity[system.free], system.forcing_in_time()

        def slope(u: np.ndarray, t: float) -> np.ndarray:
            return (forcing(t) - matrix @ u) / capacity

        def advance(u: np.ndarray, t: float) -> np.ndarray:
            k1 = slope(u, t)
            k2 = slope(u + step / 2 * k1, t + step / 2)
            k3 = slope(u + step / 2 * k2, t + step / 2)
            k4 = slope(u + step * k3, t + step)
            return u + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        return advance


def _limit(name: str, scaled: float, rate: float, bound: float, step: float) -> None:
    """Refuses ``scaled * rate > bound``; rounding in the user's own choice of the limit is let pass."""
    if scaled > 0 and rate > 0 and scaled * rate > bound * (1 + 1e-9):
        longest = bound / rate * step / scaled
        if longest == 0:
            remedy = "take upwind advection, RungeKutta4() or an implicit scheme"
        else:
            remedy = f"divide the time step by {int(np.ceil(step / longest - 1e-9))} (substeps=...), or take an implicit scheme"
        raise InputError(f"a time step of {step:.3g} with {name} = {scaled * rate:.3g}", f"at most {bound:g}", remedy)


def march(
    system: System,
    initial: Coefficient | np.ndarray,
    times: np.ndarray,
    *,
    scheme: Scheme = CRANK_NICOLSON,
    substeps: int = 1,
) -> np.ndarray:
    """Solves ``capacity u_t + L u = f`` from an initial value.

    Args:
        system: discretised operator, conditions and source, these with the time as last argument.
        initial: u at times[0], a function of the coordinates or an array of the grid's shape.
        times: (m,), with equal steps.
        scheme: how to step.
        substeps: steps between two times.

    Returns:
        (m, *shape).

    Raises:
        InputError: unequal steps, or steps too long for the scheme to be stable.
    """
    step = _time_step(times) / _counted(substeps)
    scheme.check(system.rates, step)
    advance = scheme.stepper(system, step)
    u = system.sample(initial)
    rows = [system.filled(u, float(times[0]))]
    for n in range((len(times) - 1) * substeps):
        u = advance(u, float(times[0]) + n * step)
        if (n + 1) % substeps == 0:
            rows.append(system.filled(u, float(times[(n + 1) // substeps])))
    return np.stack(rows).reshape(len(times), *system.shape)


def march_wave(
    system: System,
    initial: Coefficient | np.ndarray,
    velocity: Coefficient | np.ndarray,
    times: np.ndarray,
    *,
    substeps: int = 1,
) -> np.ndarray:
    """Solves ``capacity u_tt + L u = f`` by leapfrog, of second order in time.

    ``C (u_(n+1) - 2 u_n + u_(n-1)) / dt^2 + K u_n = f_n``, started by Taylor's expansion; stable if the Courant number
    ``dt sqrt(sum a / h^2)`` is at most 1 (Courant, Friedrichs and Lewy 1928).

    Args:
        system: as for `march`; without velocity.
        initial: u at times[0].
        velocity: u_t at times[0].
        times: (m,), with equal steps.
        substeps: steps between two times.

    Returns:
        (m, *shape).

    Raises:
        InputError: a Courant number above 1, an operator with velocity, or unequal steps.
    """
    step = _time_step(times) / _counted(substeps)
    if system.rates.advective > 0:
        raise InputError("an operator with velocity", "none for the wave equation")
    _limit("Courant number c dt/h", step, float(np.sqrt(system.rates.diffusive)) / 2, 1.0, step)
    matrix, capacity, forcing = system.inner, system.capacity[system.free], system.forcing_in_time()
    start = float(times[0])
    before = system.sample(initial)
    rows = [system.filled(before, start)]
    bend = (forcing(start) - matrix @ before) / capacity
    u = before + step * system.sample(velocity, "initial velocity") + step**2 / 2 * bend
    for n in range(1, (len(times) - 1) * substeps + 1):
        if n % substeps == 0:
            rows.append(system.filled(u, float(times[n // substeps])))
        bend = (forcing(start + n * step) - matrix @ u) / capacity
        before, u = u, 2 * u - before + step**2 * bend
    return np.stack(rows).reshape(len(times), *system.shape)


def march_nonlinear(
    system: System,
    initial: Coefficient | np.ndarray,
    times: np.ndarray,
    *,
    flux: Callable[[np.ndarray], np.ndarray] | None = None,
    reaction: Callable[[np.ndarray], np.ndarray] | None = None,
    method: Literal["RK45", "DOP853", "Radau", "BDF"] = "BDF",
    tolerance: float = 1e-8,
) -> np.ndarray:
    """Solves ``capacity u_t + L u + sum_k d flux(u) / dx_k = f + reaction(u)`` by the method of lines.

    Central differences in space, scipy's `solve_ivp` in time. Burgers' equation has the flux u^2 / 2, Allen and Cahn's
    the reaction 5 (u - u^3).

    Args:
        system: as for `march`.
        initial: u at times[0].
        times: (m,), increasing.
        flux: of each axis, elementwise.
        reaction: elementwise.
        method: "RK45" or "DOP853" (explicit), "Radau" or "BDF" (implicit, for stiff systems).
        tolerance: relative and absolute, of each step.

    Returns:
        (m, *shape).

    Raises:
        InputError: the integration fails.
    """
    shape, free = system.shape, system.free
    slopes = sparse.csr_array(
        sum(
            along(derivative_matrix(axis, 1, 2, periodic=wraps), k, shape)
            for k, (axis, wraps) in enumerate(zip(system.axes, system.periodic, strict=True))
        )
    )

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        full = system.filled(u, t)
        total = system.load(t) - system.matrix @ full
        total = total if flux is None else total - slopes @ flux(full)
        total = total if reaction is None else total + reaction(full)
        return (total / system.capacity)[free]

    pattern = {}
    if method in ("Radau", "BDF"):
        pattern["jac_sparsity"] = (abs(system.matrix) + abs(slopes) + sparse.eye_array(len(free)))[free][:, free]
    done = integrate.solve_ivp(
        slope,
        (float(times[0]), float(times[-1])),
        system.sample(initial),
        method=method,
        t_eval=times,
        rtol=tolerance,
        atol=tolerance,
        **pattern,
    )
    if not done.success:
        raise InputError(f"an equation that {method} cannot follow beyond t = {done.t[-1:]}: {done.message}")
    rows = [system.filled(u, float(t)) for t, u in zip(times, done.y.T, strict=True)]
    return np.stack(rows).reshape(len(times), *shape)


def _time_step(times: np.ndarray) -> float:
    if not is_uniform(times):
        raise InputError("times with unequal steps", "equal ones", "np.linspace makes them")
    return float(times[-1] - times[0]) / (len(times) - 1)


def _counted(substeps: int) -> int:
    if substeps < 1:
        raise InputError(f"{substeps} substeps", "at least 1")
    return substeps
