"""A problem in time, seen at one time: its data there, exactly.

Convention: the axis of time is the last one. A coefficient at the time τ, a fraction, is a function of space alone: on
polynomials τ is exact, on arrays it is rounded.
"""

import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates.polynomials import Polynomial, traced
from ungrid.domains import Region, SpaceTime
from ungrid.equations import Dirichlet, Initial, Neumann, Problem, Robin, SecondOrder, coefficients
from ungrid.equations.coefficients import ByMaterial
from ungrid.equations.equation import TIME, is_zero

TRIED = 50  # points for the comparison of a polynomial with the function it was found from


def at_time(given: Any, τ: Fraction, axes: tuple[str, ...]) -> Any:
    """A coefficient as a function of space.

    Args:
        given: a coefficient.
        τ: the time.
        axes: of space.
    """
    if isinstance(given, ByMaterial):
        return ByMaterial(**{name: at_time(one, τ, axes) for name, one in given.coefficients.items()})
    if not callable(given) or not coefficients.asks_for(given, TIME):
        return given
    names = coefficients.arguments_of(given)
    space = tuple(name for name in names if name != TIME) or axes[:1]

    def now(*x: Any) -> Any:
        time = x[0] * 0 + (τ if isinstance(x[0], Polynomial) else float(τ))
        known = dict(zip(space, x, strict=True)) | {TIME: time}
        return given(*[known[name] for name in names])

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in space]
    return _signed(now, inspect.Signature(parameters))


def _signed(function: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def problem_at(problem: Problem, τ: Fraction) -> Problem:
    """The elliptic problem of the space: without damping, with the data of a time."""
    equation, axes = problem.equation, problem.axes[:-1]
    assert isinstance(equation, SecondOrder)
    conditions: list[Any] = []
    for condition, parts in problem.boundary_conditions():
        if isinstance(condition, Initial):
            continue
        value = at_time(condition.value, τ, axes)
        if isinstance(condition, Robin):
            conditions.append(Robin(value, parts, coefficient=condition.coefficient))
        else:
            conditions.append(type(condition)(value, parts))
    source = at_time(equation.source, τ, axes)
    spatial = SecondOrder(diffusion=equation.diffusion, reaction=equation.reaction, source=source)
    return Problem(problem.domain.region, spatial, conditions)


def check(problem: Problem) -> None:
    """Whether a problem is one of heat that can be certified.

    Raises:
        InputError: if it is of another kind, or its diffusion, reaction or damping changes with time.
    """
    equation, domain = problem.equation, problem.domain
    if (
        not isinstance(equation, SecondOrder)
        or not isinstance(domain, SpaceTime)
        or not isinstance(domain.region, Region)
    ):
        raise InputError(
            f"a certificate in time for a {type(equation).__name__} equation on a {type(domain).__name__}",
            "an equation of second order on a region times Time(...)",
        )
    if not problem.is_linear or problem.unknowns or not is_zero(equation.velocity) or not is_zero(equation.inertia):
        raise InputError(
            "a certificate in time for an equation with a nonlinearity, a velocity, an inertia or unknown numbers",
            "u_t - ∇·(A ∇u) + c u = f with known coefficients",
        )
    if callable(equation.damping) or isinstance(equation.damping, ByMaterial) or not float(equation.damping) > 0:  # type: ignore[arg-type]
        raise InputError("a damping that is no positive number", "a number: divide the equation by it")
    fixed = [equation.diffusion, equation.reaction]
    fixed += [c.coefficient for c, _ in problem.boundary_conditions() if isinstance(c, Robin)]
    if any(coefficients.asks_for(given, TIME) for given in fixed):
        raise InputError("a diffusion, reaction or Robin coefficient that changes with time", "one of space alone")
    other = [c for c in problem.conditions if not isinstance(c, Dirichlet | Neumann | Robin | Initial)]
    if other:
        raise InputError(f"a certificate with {other[0].label}", "conditions of Dirichlet's, Neumann's or Robin's kind")


def degree_in_time(given: Any, problem: Problem) -> int | None:
    """Of a coefficient that is a polynomial of all coordinates; None if it is none."""
    points = problem.domain.sample(TRIED, np.random.default_rng(1))
    largest = 0
    for name in problem.materials or ("",):
        found = traced(coefficients.in_material(given, name), problem.axes, points)
        if found is None:
            return None
        degrees = [exponents[-1] for p in found.ravel() for exponents in p.terms]
        largest = max([largest, *degrees])
    return largest
