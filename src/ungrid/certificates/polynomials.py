"""Polynomials with rational coefficients, and the recognition of data that are polynomials of the coordinates.

Convention: a floating-point number stands for the rational number that it is, and a function of the coordinates for what it
computes in exact arithmetic: ``lambda x, y: 0.1 * x**2`` is the polynomial with the coefficient 3602879701896397 / 2^55. A
function is recognised by calling it on the polynomials x, y themselves; whatever else than +, -, * and division by numbers
it does fails on them, and then it is not known to be a polynomial. As a guard, the polynomial must agree with the function
at points of the domain.
"""

from collections.abc import Mapping
from fractions import Fraction
from numbers import Integral, Rational, Real
from typing import Any

import numpy as np

from ungrid.certificates.enclosures import Enclosed, rational
from ungrid.equations import coefficients
from ungrid.equations.coefficients import Coefficient

AGREES = 1e-9  # of the largest value: what rounding may make of a polynomial at a point
LARGEST_DEGREE = 40  # of what is still recognised


class Polynomial:
    """``Σ c_a x^a`` with fractions c_a.

    Args:
        terms: the coefficient of every tuple of exponents.
        dim: the number of variables.
    """

    __array_ufunc__ = None  # numpy's functions fail on it, and its numbers leave the operators to this class

    def __init__(self, terms: Mapping[tuple[int, ...], Fraction], dim: int) -> None:
        self.terms = {exponents: c for exponents, c in terms.items() if c}
        self.dim = dim

    @property
    def degree(self) -> int:
        """The largest sum of exponents; 0 for the polynomial 0."""
        return max((sum(exponents) for exponents in self.terms), default=0)

    def _of(self, other: Any) -> "Polynomial":
        if isinstance(other, Polynomial):
            return other
        number = as_fraction(other)
        if number is None:
            raise TypeError(f"a polynomial and a {type(other).__name__}")
        return Polynomial({(0,) * self.dim: number}, self.dim)

    def __add__(self, other: Any) -> "Polynomial":
        terms = dict(self.terms)
        for exponents, c in self._of(other).terms.items():
            terms[exponents] = terms.get(exponents, Fraction(0)) + c
        return Polynomial(terms, self.dim)

    def __neg__(self) -> "Polynomial":
        return Polynomial({exponents: -c for exponents, c in self.terms.items()}, self.dim)

    def __pos__(self) -> "Polynomial":
        return self

    def __sub__(self, other: Any) -> "Polynomial":
        return self + -self._of(other)

    def __rsub__(self, other: Any) -> "Polynomial":
        return self._of(other) + -self

    def __mul__(self, other: Any) -> "Polynomial":
        terms: dict[tuple[int, ...], Fraction] = {}
        for a, c in self.terms.items():
            for b, e in self._of(other).terms.items():
                both = tuple(i + j for i, j in zip(a, b, strict=True))
                terms[both] = terms.get(both, Fraction(0)) + c * e
        return Polynomial(terms, self.dim)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> "Polynomial":
        number = as_fraction(other)
        if not number:
            raise TypeError("a polynomial divided by what is no number")
        return self * (1 / number)

    def __pow__(self, exponent: Any) -> "Polynomial":
        number = as_fraction(exponent)
        if number is None or number.denominator != 1 or not 0 <= number * self.degree <= LARGEST_DEGREE:
            raise TypeError(f"a polynomial to the power {exponent}")
        power = self._of(1)
        for _ in range(int(number)):
            power = power * self
        return power

    def _undecided(self, *_: Any) -> Any:
        raise TypeError("a polynomial where a number is asked for")

    __bool__ = __float__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __abs__ = _undecided
    __hash__ = object.__hash__

    def derivative(self, axis: int) -> "Polynomial":
        """By one variable."""
        terms = {
            tuple(e - (k == axis) for k, e in enumerate(exponents)): c * exponents[axis]
            for exponents, c in self.terms.items()
            if exponents[axis]
        }
        return Polynomial(terms, self.dim)

    def exactly(self, point: tuple[Fraction, ...]) -> Fraction:
        """The value at a point with rational coordinates."""
        total = Fraction(0)
        for exponents, c in self.terms.items():
            for x, e in zip(point, exponents, strict=True):
                c = c * x**e
            total += c
        return total

    def at(self, x: Enclosed) -> Enclosed:
        """The values (...) at enclosed points (dim, ...)."""
        total = Enclosed(np.zeros(x.shape[1:]))
        powers: dict[tuple[int, int], Enclosed] = {}
        for exponents, c in self.terms.items():
            term = rational(c)
            for axis, exponent in enumerate(exponents):
                if exponent:
                    term = term * _power(powers, x, axis, exponent)
            total = total + term
        return total


def _power(powers: dict[tuple[int, int], Enclosed], x: Enclosed, axis: int, exponent: int) -> Enclosed:
    """``x[axis] ** exponent``, kept."""
    if exponent == 1:
        return x[axis]
    if (axis, exponent) not in powers:
        powers[axis, exponent] = _power(powers, x, axis, exponent - 1) * x[axis]
    return powers[axis, exponent]


def as_fraction(given: Any) -> Fraction | None:
    """A number as a fraction; None for what is no finite number."""
    if isinstance(given, np.ndarray) and given.ndim == 0:
        given = given.item()
    if isinstance(given, Integral | Rational):
        return Fraction(given) if not isinstance(given, np.integer) else Fraction(int(given))
    if isinstance(given, Real) and np.isfinite(float(given)):
        return Fraction(float(given))
    return None


def variables(dim: int) -> tuple[Polynomial, ...]:
    """The coordinates as polynomials."""
    units = np.eye(dim, dtype=int).tolist()
    return tuple(Polynomial({tuple(unit): Fraction(1)}, dim) for unit in units)


def traced(given: Coefficient, axes: tuple[str, ...], points: np.ndarray) -> np.ndarray | None:
    """A coefficient as an array of polynomials of its components' shape; None if it is not known to be polynomial.

    Args:
        given: a number, an array of numbers, or a function of coordinates.
        axes: the names of the coordinates.
        points: (n, d), at which function and polynomial are compared.
    """
    symbols = dict(zip(axes, variables(len(axes)), strict=True))
    if not callable(given):
        found: Any = given
    else:
        try:
            found = given(*[symbols[name] for name in coefficients.arguments_of(given)])
        except Exception:  # whatever a user's function raises when it gets no numbers: it is not a polynomial
            return None
    flat = np.empty(np.shape(found), dtype=object)
    for index, one in zip(np.ndindex(flat.shape), np.asarray(found, dtype=object).ravel(), strict=True):
        number = as_fraction(one)
        if not isinstance(one, Polynomial) and number is None:
            return None
        flat[index] = one if isinstance(one, Polynomial) else symbols[axes[0]] * 0 + number
    return flat if _agrees(flat, given, axes, points) else None


def _agrees(found: np.ndarray, given: Coefficient, axes: tuple[str, ...], points: np.ndarray) -> bool:
    values = coefficients.values("a coefficient", given, points, axes)
    if values.shape[1:] != found.shape:
        return False
    same = np.stack([p.at(Enclosed(points.T)).mid for p in found.ravel()], axis=-1).reshape(values.shape)
    return bool(np.abs(same - values).max() <= AGREES * max(float(np.abs(values).max()), 1e-300))
