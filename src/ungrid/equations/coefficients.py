"""What a user may write where an equation or a condition has a number: a number, a function of the coordinates, unknowns.

A function may also ask for the unknown function itself, always as ``u`` (``lambda u: 50 - 0.02 * u``), and gets its
values (n,). In a domain of several materials there may be another coefficient in each (`ByMaterial`).

Convention: points are (n, d), columns in the order of the axes; a function names the coordinates it needs, in any order
(``lambda x, t: ...``), and gets one array (n,) for each. Its values are (n,) or a number; those of a vector are a tuple or
an array whose last axis counts the components. Functions are called on numpy arrays: ``numpy.sin`` and its like apply.
"""

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike

VALUE = "u"  # the name under which a coefficient asks for the unknown function, whatever that is called
STEP = 2e-3  # of the differences, relative to the extent of an axis
# Central differences of order 8 (Fornberg 1988, table 1): with this step an error near 1e-13 for smooth functions.
DIFFERENCES = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))


class ByMaterial:
    """A coefficient that is another one in every material of a `Composite` domain.

    Args:
        coefficients: by the names of the materials: ``ByMaterial(steel=50.0, copper=lambda u: 400 - 0.06 * u)``.
    """

    def __init__(self, **coefficients: Any) -> None:
        self.coefficients = coefficients

    def __getitem__(self, material: str) -> Any:
        if material not in self.coefficients:
            raise InputError(f"no coefficient for the material {material!r}", f"one of {', '.join(self.coefficients)}")
        return self.coefficients[material]


Coefficient = float | tuple[Any, ...] | np.ndarray | Callable[..., Any] | ByMaterial


@dataclass(frozen=True)
class Unknown:
    """A number that is to be found: a coefficient of an inverse problem.

    Attributes:
        name: under which the result reports it.
        start: a first guess; its sign is kept if `positive`.
        positive: whether it is known to be positive, so that its logarithm is what is searched for.
    """

    name: str
    start: float = 1.0
    positive: bool = True

    def __post_init__(self) -> None:
        if not np.isfinite(self.start) or (self.positive and not self.start > 0):
            raise InputError(
                f"a start of {self.start} for {self.name!r}", "a positive number" if self.positive else "a number"
            )


@dataclass(frozen=True)
class UnknownFunction:
    """A coefficient function that is to be found: a polynomial of the named axes, whose coefficients are unknown numbers.

    The polynomials are products of Legendre's, scaled to a root mean square of 1 over the box, so that coefficients have the
    size of what they contribute.

    Attributes:
        name: under which the result reports it; its numbers are called ``name[0,0]``, ``name[1,0]`` and so on.
        box: the interval of each axis, for example ``{"x": (0, 1), "y": (0, 1)}``.
        degree: largest sum of the exponents.
        start: a constant as first guess.
    """

    name: str
    box: Mapping[str, tuple[float, float]]
    degree: int
    start: float = 1.0

    @property
    def exponents(self) -> list[tuple[int, ...]]:
        """The degrees along the axes of every polynomial, by rising sum."""
        every = itertools.product(range(self.degree + 1), repeat=len(self.box))
        return sorted((e for e in every if sum(e) <= self.degree), key=lambda e: (sum(e), e))

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Its coefficients."""
        names = [f"{self.name}[{','.join(map(str, e))}]" for e in self.exponents]
        return tuple(Unknown(name, self.start if k == 0 else 0.0, positive=False) for k, name in enumerate(names))

    def basis(self, points: np.ndarray, axes: tuple[str, ...], along: str | None = None) -> np.ndarray:
        """The polynomials at points (n, d), or their derivatives along an axis: (n, coefficients)."""
        parts = []
        for name, (low, high) in self.box.items():
            t, rate = 2 * (points[:, axes.index(name)] - low) / (high - low) - 1, 2 / (high - low)
            each = [np.polynomial.Legendre.basis(k) * np.sqrt(2 * k + 1) for k in range(self.degree + 1)]
            parts.append([p.deriv()(t) * rate if name == along else p(t) for p in each])
        missing = along is not None and along not in self.box
        columns = [np.prod([part[k] for part, k in zip(parts, e, strict=True)], axis=0) for e in self.exponents]
        return np.stack(columns, axis=1) * (0.0 if missing else 1.0)

    def values(self, points: np.ndarray, axes: tuple[str, ...], numbers: Mapping[str, float]) -> np.ndarray:
        """The function (n,) at points (n, d), for the numbers that a result reports."""
        return self.basis(points, axes) @ np.array([numbers[unknown.name] for unknown in self.unknowns])

    def at(self, u: JetLike, along: str | None = None) -> Any:
        """The function, or its derivative along an axis, at the points of a jet: (n, 1)."""
        basis = u.evaluate(lambda points: self.basis(points, u.axes, along))
        terms = [u.parameter(one.name) * basis[:, k : k + 1] for k, one in enumerate(self.unknowns)]
        return sum(terms[1:], start=terms[0])


def in_material(given: Any, material: str) -> Any:
    """A coefficient in one material."""
    return given[material] if isinstance(given, ByMaterial) else given


def asks_for(given: Any, name: str) -> bool:
    """Whether a coefficient is a function of a coordinate or, by `VALUE`, of the unknown, in some material."""
    if isinstance(given, ByMaterial):
        return any(asks_for(one, name) for one in given.coefficients.values())
    return callable(given) and name in arguments_of(given)


def depends_on_value(given: Any) -> bool:
    """Whether a coefficient is a function of the unknown, in some material."""
    return asks_for(given, VALUE)


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the coordinates that a function asks for."""
    return tuple(inspect.signature(function).parameters)


def check(what: str, coefficient: Any, axes: tuple[str, ...]) -> None:
    """Refuse what cannot be evaluated; `axes` are all the names that a function may ask for.

    Raises:
        InputError: a number that is not finite, or a function of something that is no axis.
    """
    if isinstance(coefficient, Unknown):
        return
    if isinstance(coefficient, ByMaterial):
        for material, one in coefficient.coefficients.items():
            check(f"{what} in {material}", one, axes)
        return
    if isinstance(coefficient, UnknownFunction):
        if unknown := [name for name in coefficient.box if name not in axes]:
            raise InputError(f"{what} as a function of {unknown[0]!r}", f"a function of {', '.join(axes)}")
        return
    if callable(coefficient):
        unknown = [name for name in arguments_of(coefficient) if name not in axes]
        if unknown:
            raise InputError(f"{what} as a function of {unknown[0]!r}", f"a function of {', '.join(axes)}")
    elif not np.isfinite(np.asarray(coefficient, dtype=np.float64)).all():
        raise InputError(f"{what} = {coefficient}", "finite numbers")


def values(
    what: str,
    coefficient: Coefficient,
    points: np.ndarray,
    axes: tuple[str, ...],
    value: np.ndarray | None = None,
) -> np.ndarray:
    """A coefficient at points (n, d): (n, *components).

    Args:
        what: how an error calls it.
        coefficient: a number or a function.
        points: (n, d).
        axes: the names of their columns.
        value: that of the unknown function (n,), for coefficients that depend on it.

    Raises:
        InputError: if a function fails, gives values of another shape, or values that are not finite.
    """
    n = len(points)
    if not callable(coefficient):
        number = np.asarray(coefficient, dtype=np.float64)
        return np.broadcast_to(number, (n, *number.shape))
    known = dict(zip(axes, points.T, strict=True)) | ({} if value is None else {VALUE: value})
    columns = [known[name] for name in arguments_of(coefficient)]
    found = coefficient(*columns)
    parts = [np.asarray(part, dtype=np.float64) for part in found] if isinstance(found, tuple) else None
    made = (
        np.stack([np.broadcast_to(p, (n,)) for p in parts], axis=-1) if parts else np.asarray(found, dtype=np.float64)
    )
    made = np.broadcast_to(made, (n,)) if made.ndim == 0 else made
    if made.shape[:1] != (n,):
        raise InputError(f"{what}: values of shape {made.shape} at {n} points", f"({n},), or a tuple of such arrays")
    bad = np.flatnonzero(~np.isfinite(made.reshape(n, -1)).all(axis=1))
    if len(bad):
        place = ", ".join(f"{name} = {value:.4g}" for name, value in zip(axes, points[bad[0]], strict=True))
        raise InputError(f"{what}: NaN or infinite at {place}", "finite values everywhere in the domain")
    return made


def gradient(
    what: str, coefficient: Coefficient, points: np.ndarray, axes: tuple[str, ...], along: tuple[str, ...],
    extent: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Derivatives of a coefficient along some axes, (n, *components, len(along)), by central differences of order 8.

    The coefficient is evaluated up to 0.8 % of the domain's extent away from the points, hence also just outside of it.
    """
    value = values(what, coefficient, points, axes)
    parts = []
    for name in along:
        column = axes.index(name)
        if not callable(coefficient) or name not in arguments_of(coefficient):
            parts.append(np.zeros_like(value))
            continue
        h, total = STEP * extent[column], np.zeros(value.shape)
        for steps, weight in DIFFERENCES:
            shift = np.zeros(points.shape[1])
            shift[column] = steps * h
            ahead, behind = (values(what, coefficient, points + sign * shift, axes) for sign in (1, -1))
            total += weight * (ahead - behind)
        parts.append(total / h)
    return np.stack(parts, axis=-1)
