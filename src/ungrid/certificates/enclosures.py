"""Enclosures of real numbers in floating-point arithmetic: arrays of midpoints with radii that hold the rounding errors.

Convention: ``Enclosed(mid, rad)`` stands for every array x of real numbers with ``|x - mid| <= rad``; an operation on
enclosures encloses the results for all of their members. With the unit roundoff u = 2^-53 a rounded operation is off by at
most u times its result, and a sum of n products, in any order, by ``n u / (1 - n u)`` times the sum of their absolute values
(Higham 2002, *Accuracy and Stability of Numerical Algorithms*, section 3.1; Rump 1999, *Fast and parallel interval
arithmetic*, for the matrix product of midpoints and radii). Radii are inflated by `OUTWARD`, far more than what rounds in
their own computation, and by `UNDERFLOW` for results below the normal numbers. Round to nearest is assumed throughout.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

UNIT = 2.0**-53
OUTWARD = 1 + 2.0**-36  # of radii: sums of up to 100,000 terms lose less
UNDERFLOW = 1e-300


class Enclosed:
    """An array of real numbers between ``mid - rad`` and ``mid + rad``.

    Args:
        mid: of any shape.
        rad: of the same shape, not negative; 0 for numbers that are exact.
    """

    __array_ufunc__ = None  # numpy leaves the operators to this class
    __slots__ = ("mid", "rad")

    def __init__(self, mid: Any, rad: Any = 0.0) -> None:
        self.mid = np.asarray(mid, dtype=np.float64)
        self.rad = np.broadcast_to(np.asarray(rad, dtype=np.float64), self.mid.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.mid.shape

    @property
    def magnitude(self) -> np.ndarray:
        """An upper bound of the absolute values."""
        return np.asarray((np.abs(self.mid) + self.rad) * OUTWARD)

    @property
    def lower(self) -> np.ndarray:
        """A lower bound of the numbers."""
        return np.asarray(np.nextafter(self.mid - self.rad, -np.inf))

    @property
    def upper(self) -> np.ndarray:
        """An upper bound of the numbers."""
        return np.asarray(np.nextafter(self.mid + self.rad, np.inf))

    def __getitem__(self, key: Any) -> "Enclosed":
        return Enclosed(self.mid[key], self.rad[key])

    def __neg__(self) -> "Enclosed":
        return Enclosed(-self.mid, self.rad)

    def __add__(self, other: Any) -> "Enclosed":
        other = enclosed(other)
        return _rounded(self.mid + other.mid, self.rad + other.rad)

    def __sub__(self, other: Any) -> "Enclosed":
        return self + -enclosed(other)

    def __mul__(self, other: Any) -> "Enclosed":
        other = enclosed(other)
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return _rounded(self.mid * other.mid, spread)

    def __truediv__(self, other: Any) -> "Enclosed":
        other = enclosed(other)
        size = np.abs(other.mid)
        least = (size - other.rad) * (2 - OUTWARD)
        if not (least > 0).all():
            raise ZeroDivisionError("a division by an enclosure that holds 0")
        spread = (np.abs(self.mid) * other.rad / size + self.rad) / least
        return _rounded(self.mid / other.mid, spread)

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> "Enclosed":
        return enclosed(other) + -self

    def __rtruediv__(self, other: Any) -> "Enclosed":
        return enclosed(other) / self

    def sqrt(self) -> "Enclosed":
        """The roots of numbers that are known not to be negative."""
        low = np.nextafter(np.sqrt(np.maximum(self.lower, 0.0)), -np.inf)
        high = np.nextafter(np.sqrt(np.maximum(self.upper, 0.0)), np.inf)
        return between(np.maximum(low, 0.0), high)

    def total(self) -> "Enclosed":
        """The sum of all numbers, as an array of shape ()."""
        mid = math.fsum(self.mid.ravel())
        return Enclosed(mid, (math.fsum(self.rad.ravel()) + UNIT * abs(mid)) * OUTWARD + UNDERFLOW)


def _rounded(mid: Any, spread: Any) -> Enclosed:
    """The enclosure of rounded results whose operands alone spread by so much."""
    return Enclosed(mid, (spread + UNIT * np.abs(mid)) * OUTWARD + UNDERFLOW)


def enclosed(given: Any) -> Enclosed:
    """Floats as exact numbers; enclosures as they are."""
    return given if isinstance(given, Enclosed) else Enclosed(given)


def between(low: Any, high: Any) -> Enclosed:
    """The numbers from `low` to `high`."""
    mid = low + (high - low) / 2
    return Enclosed(mid, np.maximum(high - mid, mid - low) * OUTWARD + UNIT * np.abs(mid) + UNDERFLOW)


def rational(numbers: Any) -> Enclosed:
    """An array of fractions."""
    given = np.asarray(numbers, dtype=object)
    mid = np.array([float(x) for x in given.ravel()], dtype=np.float64).reshape(given.shape)
    exact = np.array([Fraction(float(x)) == x for x in given.ravel()], dtype=bool).reshape(given.shape)
    return Enclosed(mid, np.where(exact, 0.0, 2 * UNIT * np.abs(mid) + UNDERFLOW))


def stack(parts: Sequence[Enclosed], axis: int = 0) -> Enclosed:
    """Enclosures of one shape side by side."""
    return Enclosed(np.stack([p.mid for p in parts], axis=axis), np.stack([p.rad for p in parts], axis=axis))


def contract(subscripts: str, one: Enclosed, other: Enclosed) -> Enclosed:
    """``numpy.einsum`` of two enclosures.

    Args:
        subscripts: as ``"ij,jk->ik"``.
        one: the first operand.
        other: the second one.
    """
    inputs, output = subscripts.split("->")
    sizes: dict[str, int] = {}
    for letters, shape in zip(inputs.split(","), (one.shape, other.shape), strict=True):
        sizes |= dict(zip(letters, shape, strict=True))
    terms = math.prod(size for letter, size in sizes.items() if letter not in output)
    size, wide = np.abs(one.mid), np.abs(other.mid) + other.rad
    rounding = (terms + 2) * UNIT * _einsum(subscripts, size, np.abs(other.mid))
    spread = rounding
    if one.rad.any():
        spread = spread + _einsum(subscripts, one.rad, wide)
    if other.rad.any():
        spread = spread + _einsum(subscripts, size, other.rad)
    return Enclosed(_einsum(subscripts, one.mid, other.mid), spread * OUTWARD + terms * UNDERFLOW)


def _einsum(subscripts: str, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum(subscripts, one, other, optimize=True))
