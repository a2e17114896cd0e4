"""The z-transform of two-sided sequences, with regions of convergence.

Conventions. ``X(z) = sum_n x[n] z^-n`` over all integers n, and w = 1 / z. Every transform here is rational,

    X(z) = z^advance N(w) / D(w),      N and D ascending in w,

and comes with its region of convergence: an annulus ``inner < |z| < outer``, without which it does not say which sequence it
belongs to. Poles in the annulus's hole belong to the part of the sequence that runs to the right, poles outside to the part
that runs to the left. 0 and infinity belong to the region if it reaches them and X is finite there.

The rules are those of Oppenheim and Schafer (2010), "Discrete-Time Signal Processing", sections 3.2 to 3.4. A rule gives the
region that always holds; where poles cancel the true one can be larger, which `cancelled` finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import inf
from typing import Literal

import numpy as np
from scipy import signal

from ungrid._base.errors import InputError

_ROUNDING = 1e-13  # of a sum, relative to the sum of its terms' magnitudes
_NEAR = 1e-6  # relative distance at which a pole and a zero count as one; double roots are only known to 1e-8
_SPREAD = 1e-2  # relative, of the computed roots at a multiple pole: eps^(1/m), for up to seven of them
_CIRCLE = 1e-9  # how far inside the unit circle a pole has to lie


@dataclass(frozen=True)
class Annulus:
    """``inner < |z| < outer``, with 0 and infinity if so stated."""

    inner: float = 0.0
    outer: float = inf
    zero: bool = False
    infinity: bool = False

    def contains(self, z: complex | np.ndarray) -> np.ndarray:
        """For every z, booleans of its shape."""
        radius = np.abs(z)
        inside = (radius > self.inner) & (radius < self.outer)
        return np.asarray(inside | (self.zero & (radius == 0)) | (self.infinity & np.isinf(radius)))

    @property
    def has_unit_circle(self) -> bool:
        """Whether the sequence is absolutely summable; of an impulse response: whether the system is stable."""
        return self.inner < 1 < self.outer

    def describe(self) -> str:
        """In words: "0.5 < abs(z) < 2", or "all z except 0"."""
        ends = (("0", self.inner == 0 and not self.zero), ("infinity", self.outer == inf and not self.infinity))
        without = " and ".join(name for name, missing in ends if missing)
        low = f"{self.inner:.6g} < " if self.inner > 0 else ""
        high = f" < {self.outer:.6g}" if self.outer < inf else ""
        words = (
            f"{low}|z|{high}"
            if low and high
            else f"|z| > {self.inner:.6g}"
            if low
            else f"|z|{high}"
            if high
            else "all z"
        )
        return f"{words} except {without}" if without else words


@dataclass(frozen=True)
class ZTransform:
    """A rational z-transform with its region of convergence; `rational` brings coefficients into this normal form.

    Attributes:
        numerator: N, ascending in w = 1 / z; first and last entry are not 0, unless it is (0,).
        denominator: D, ascending in w; first and last entry are not 0.
        advance: the power of z in front.
        inner: radius of the region of convergence.
        outer: radius of the region of convergence.
    """

    numerator: tuple[complex, ...]
    denominator: tuple[complex, ...] = (1.0,)
    advance: int = 0
    inner: float = 0.0
    outer: float = inf

    def __call__(self, z: complex | np.ndarray) -> np.ndarray:
        """X at z, of its shape; at 0 and infinity the limit.

        Raises:
            InputError: z outside the region of convergence.
        """
        z = np.asarray(z)
        outside = np.abs(z[~self.region.contains(z)])
        if outside.size:
            raise InputError(f"z with |z| = {float(outside[0]):.6g}", f"{self.region.describe()}, the region")
        finite = np.isfinite(z) & (z != 0)
        x0 = self.numerator[-1] / self.denominator[-1] if self._at_origin == 0 else 0.0
        x1 = self.numerator[0] / self.denominator[0] if self.advance == 0 else 0.0
        return np.where(finite, self.formula(np.where(finite, z, 1.0)), np.where(z == 0, x0, x1))

    def formula(self, z: complex | np.ndarray) -> np.ndarray:
        """The rational function: X and its analytic continuation. Not for z = 0."""
        w = np.asarray(1 / np.asarray(z))
        return np.asarray(w**-self.advance * _value(self.numerator, w) / _value(self.denominator, w))

    @property
    def region(self) -> Annulus:
        """Of convergence."""
        nothing = self.numerator == (0,)
        zero = self.inner == 0 and (nothing or self._at_origin >= 0)
        return Annulus(self.inner, self.outer, zero, self.outer == inf and (nothing or self.advance <= 0))

    @property
    def _at_origin(self) -> int:
        """Order of the zero at z = 0; of a pole if negative."""
        return self.advance + len(self.denominator) - len(self.numerator)

    def poles(self) -> np.ndarray:
        """The finite ones with their multiplicity, complex."""
        return np.r_[np.roots(self.denominator), np.zeros(max(-self._at_origin, 0))].astype(np.complex128)

    def zeros(self) -> np.ndarray:
        """The finite ones with their multiplicity, complex."""
        return np.r_[np.roots(self.numerator), np.zeros(max(self._at_origin, 0))].astype(np.complex128)

    def sequence(self, n: np.ndarray) -> np.ndarray:
        """The inverse transform: x[n] for integers n (any shape), complex.

        Partial fractions split X into a finite part, a part with the poles of the hole, expanded in powers of 1 / z, and one
        with the poles outside, expanded in powers of z.
        """
        m = np.asarray(n) + self.advance
        count = int(np.abs(m).max(initial=0)) + 1
        right, left = _expansions(self, count)
        return np.where(m >= 0, right[np.maximum(m, 0)], left[np.maximum(-m, 0)])


def rational(
    numerator: Sequence[complex] | np.ndarray,
    denominator: Sequence[complex] | np.ndarray = (1.0,),
    *,
    advance: int = 0,
    inner: float = 0.0,
    outer: float = inf,
) -> ZTransform:
    """``z^advance N(w) / D(w)`` in normal form.

    Args:
        numerator: N, ascending in w = 1 / z.
        denominator: D, ascending in w.
        advance: the power of z in front.
        inner: radius of the region of convergence.
        outer: radius of the region of convergence.

    Raises:
        InputError: a denominator of zeros, coefficients that are not finite, an empty region, or one with a pole in it.
    """
    top, low = (np.trim_zeros(np.asarray(p), "b") for p in (numerator, denominator))
    if not (len(low) and np.isfinite(top).all() and np.isfinite(low).all()):
        raise InputError(
            f"numerator {numerator} and denominator {denominator}", "finite numbers, a denominator other than 0"
        )
    if not inner < outer:
        raise InputError(
            f"a region {inner:.6g} < |z| < {outer:.6g}, which is empty", "inner < outer", "no z-transform exists"
        )
    if not len(top):
        return ZTransform((0,))
    inner, outer = float(inner), float(outer)
    skip_top, skip_low = (int(np.flatnonzero(p)[0]) for p in (top, low))
    found = ZTransform(
        tuple(top[skip_top:].tolist()), tuple(low[skip_low:].tolist()), advance - skip_top + skip_low, inner, outer
    )
    radius = np.abs(np.roots(low[skip_low:]))
    if ((radius > inner * (1 + _SPREAD)) & (radius < outer * (1 - _SPREAD))).any():
        raise InputError(
            f"poles at |z| = {np.sort(radius)} in the region {found.region.describe()}", "a region without poles"
        )
    return found


def _value(ascending: tuple[complex, ...], w: np.ndarray) -> np.ndarray:
    return np.asarray(np.polyval(np.array(ascending[::-1]), w))


def _combine(*products: Sequence[Sequence[complex] | np.ndarray]) -> np.ndarray:
    """The sum of products of ascending polynomials, in which what is only rounding is 0."""
    terms = [reduce(np.convolve, map(np.asarray, factors)) for factors in products]
    sizes = [reduce(np.convolve, [np.abs(f) for f in factors]) for factors in products]
    total, size = (sum(np.pad(p, (0, max(map(len, parts)) - len(p))) for p in parts) for parts in (terms, sizes))
    return np.where(np.abs(total) > _ROUNDING * np.asarray(size), total, 0)


def _expansions(x: ZTransform, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of ``N / D`` at w^0 ... w^(count - 1), and at z^0 (that is 0), z^1, ...; each (count,)."""
    top, low, impulse = np.asarray(x.numerator), np.asarray(x.denominator), np.eye(1, count)[0]
    poles = np.roots(low)
    inside = _in_hole(x, np.abs(poles))
    if inside.all():
        return signal.lfilter(top, low, impulse).astype(np.complex128), np.zeros(count)
    whole, rest = np.polydiv(top[::-1], low[::-1])
    hole, beyond = _from_roots(poles[inside]), _from_roots(poles[~inside])
    a, b = _partial_fractions(rest[::-1] / low[0], hole, beyond)
    right = signal.lfilter(a, hole, impulse).astype(np.complex128)
    finite = whole[::-1][:count]
    right[: len(finite)] += finite
    padded = np.pad(b, (0, len(beyond) - len(b)))
    return right, signal.lfilter(padded[::-1], beyond[::-1], impulse).astype(np.complex128)


def _in_hole(x: ZTransform, radii: np.ndarray) -> np.ndarray:
    """Which poles, by their distance from 0, lie within the region's inner radius; rounding may have moved them."""
    return np.full(radii.shape, True) if x.outer == inf else radii < np.sqrt(x.inner * x.outer)


def _from_roots(roots: np.ndarray) -> np.ndarray:
    """``prod (1 - root w)``, ascending in w."""
    return np.atleast_1d(np.poly(roots))


def _partial_fractions(rest: np.ndarray, hole: np.ndarray, beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a, b with ``rest = a beyond + b hole``, ``len(a) < len(hole)`` and ``len(b) < len(beyond)``; [0] for none."""
    p, q = len(hole) - 1, len(beyond) - 1
    if p + q == 0:
        return np.zeros(1), np.zeros(1)
    columns = [np.convolve(np.eye(1, p, k)[0], beyond) for k in range(p)]
    columns += [np.convolve(np.eye(1, q, k)[0], hole) for k in range(q)]
    solved = np.linalg.solve(np.stack(columns, axis=1), np.pad(rest, (0, p + q - len(rest))))
    return (solved[:p] if p else np.zeros(1)), (solved[p:] if q else np.zeros(1))


# Sequences with known transforms

Side = Literal["right", "left"]


@dataclass(frozen=True)
class Finite:
    """``x[first + k] = values[k]``, 0 elsewhere; the transform converges everywhere but perhaps at 0 and infinity."""

    values: tuple[complex, ...]
    first: int = 0

    def __call__(self, n: np.ndarray) -> np.ndarray:
        k = np.asarray(n) - self.first
        inside = (k >= 0) & (k < len(self.values))
        return np.where(inside, np.asarray(self.values)[np.where(inside, k, 0)], 0)

    def transform(self) -> ZTransform:
        """``sum_k values[k] z^-(first + k)``."""
        return rational(self.values, advance=-self.first)


@dataclass(frozen=True)
class Exponential:
    """``x[n] = amplitude n^degree ratio^n`` for n >= 0 ("right") or for n < 0 ("left"), 0 elsewhere.

    The right-sided one converges for ``|z| > |ratio|``, the left-sided one for ``|z| < |ratio|``; but for the sign their
    formulas are the same. `Exponential(1.0)` is the unit step.
    """

    ratio: complex
    degree: int = 0
    side: Side = "right"
    amplitude: complex = 1.0

    def __call__(self, n: np.ndarray) -> np.ndarray:
        n = np.asarray(n)
        there = n >= 0 if self.side == "right" else n < 0
        m = np.where(there, n, 0).astype(np.float64)
        return np.where(there, self.amplitude * m**self.degree * np.asarray(self.ratio, dtype=np.complex128) ** m, 0)

    def transform(self) -> ZTransform:
        """``N_d(w) / (1 - ratio w)^(d + 1)`` with ``N_(d+1) = w (N_d' (1 - ratio w) + (d + 1) ratio N_d)``, N_0 = 1."""
        r, top, low = self.ratio, np.array([1.0]), np.array([1.0, -self.ratio])
        if r == 0:
            raise InputError("a ratio of 0", "another number", "Finite((1.0,)) is the unit impulse")
        for d in range(self.degree):
            slope = top[1:] * np.arange(1, len(top)) if len(top) > 1 else np.zeros(1)
            top = np.r_[0.0, _combine([slope, [1.0, -r]], [[(d + 1) * r], top])]
        below = reduce(np.convolve, [low] * (self.degree + 1))
        if self.side == "right":
            return rational(self.amplitude * top, below, inner=abs(r))
        return rational(-self.amplitude * top, below, outer=abs(r))


@dataclass(frozen=True)
class DampedCosine:
    """``x[n] = radius^n cos(angle n + phase)`` for n >= 0 ("right") or n < 0 ("left"); angles in radians."""

    radius: float
    angle: float
    phase: float = 0.0
    side: Side = "right"

    def __call__(self, n: np.ndarray) -> np.ndarray:
        return np.asarray(sum(term(n) for term in self._terms()))

    def transform(self) -> ZTransform:
        """``(cos phase - radius cos(angle - phase) w) / (1 - 2 radius cos(angle) w + radius^2 w^2)``, negative to the left."""
        top = np.array([np.cos(self.phase), -self.radius * np.cos(self.angle - self.phase)])
        low = np.array([1.0, -2 * self.radius * np.cos(self.angle), self.radius**2])
        if self.side == "right":
            return rational(top, low, inner=self.radius)
        return rational(-top, low, outer=self.radius)

    def _terms(self) -> list[Exponential]:
        turned = [(sign, np.exp(1j * sign * self.phase) / 2) for sign in (1, -1)]
        return [Exponential(self.radius * np.exp(1j * s * self.angle), 0, self.side, a) for s, a in turned]


# The table. Each function takes X, the transform of x[n], and gives that of the sequence named in its first line.


def scale(x: ZTransform, factor: complex) -> ZTransform:
    """``factor x[n]`` (homogeneity in amplitude): ``factor X(z)``, same region."""
    return _with(x, np.asarray(x.numerator) * factor)


def add(x: ZTransform, y: ZTransform) -> ZTransform:
    """``x[n] + y[n]`` (linearity, with `scale`): ``X(z) + Y(z)``, at least where both converge.

    Raises:
        InputError: the regions do not meet.
    """
    advance = max(x.advance, y.advance)
    lead_x, lead_y = (np.r_[np.zeros(advance - one.advance), 1.0] for one in (x, y))
    inner, outer = _intersection(x, y)
    if x.denominator == y.denominator:
        top, low = _combine([lead_x, x.numerator], [lead_y, y.numerator]), np.asarray(x.denominator)
    else:
        top = _combine([lead_x, x.numerator, y.denominator], [lead_y, y.numerator, x.denominator])
        low = np.convolve(x.denominator, y.denominator)
    return rational(top, low, advance=advance, inner=inner, outer=outer)


def translate(x: ZTransform, delay: int) -> ZTransform:
    """``x[n - delay]``: ``z^-delay X(z)``, same region but for 0 and infinity."""
    return rational(x.numerator, x.denominator, advance=x.advance - delay, inner=x.inner, outer=x.outer)


def modulate(x: ZTransform, factor: complex) -> ZTransform:
    """``factor^n x[n]``: ``X(z / factor)``, the region's radii times ``|factor|``.

    Raises:
        InputError: a factor of 0.
    """
    if factor == 0:
        raise InputError("a factor of 0", "another number")
    top, low = ([c * factor**k for k, c in enumerate(p)] for p in (x.numerator, x.denominator))
    size, front = abs(factor), (1 / factor) ** x.advance
    return rational([front * c for c in top], low, advance=x.advance, inner=x.inner * size, outer=x.outer * size)


def reverse(x: ZTransform) -> ZTransform:
    """``x[-n]``: ``X(1 / z)``, the region's radii inverted and swapped."""
    shift = len(x.numerator) - len(x.denominator) - x.advance
    radii = (1 / x.outer, 1 / x.inner if x.inner > 0 else inf)
    return rational(x.numerator[::-1], x.denominator[::-1], advance=shift, inner=radii[0], outer=radii[1])


def upsample(x: ZTransform, factor: int) -> ZTransform:
    """``x[n / factor]``, 0 between: ``X(z^factor)``, the region's radii to the power ``1 / factor``."""
    top, low = (_spread(p, _counted(factor)) for p in (x.numerator, x.denominator))
    radii = (x.inner ** (1 / factor), x.outer ** (1 / factor))
    return rational(top, low, advance=x.advance * factor, inner=radii[0], outer=radii[1])


def downsample(x: ZTransform, factor: int) -> ZTransform:
    """``x[factor n]``: ``1/M sum_k X(W^k z^(1/M))``, W = exp(-2 pi i / M), at least where ``|z|^(1/M)`` is in the region.

    The denominator is the product of all ``D(W^k w)``, which is a polynomial in w^M; of the numerator over it the powers of
    w^M are kept.
    """
    turns = np.exp(-2j * np.pi * np.arange(_counted(factor)) / factor)
    low = [np.asarray(x.denominator) * turn ** np.arange(len(x.denominator)) for turn in turns]
    below, top = _combine(low)[::factor], _combine([x.numerator, *low[1:]])
    first = x.advance % factor  # exponents of 1 / z are k - advance; the kept ones are multiples of the factor
    real = np.isrealobj(np.array(x.numerator + x.denominator))
    top, below = (p.real if real else p for p in (top[first::factor], below))
    radii = (x.inner**factor, x.outer**factor)
    return rational(top, below, advance=(x.advance - first) // factor, inner=radii[0], outer=radii[1])


def conjugate(x: ZTransform) -> ZTransform:
    """``conj(x[n])``: ``conj(X(conj(z)))``, same region."""
    top, low = (np.conj(np.asarray(p)) for p in (x.numerator, x.denominator))
    return rational(top, low, advance=x.advance, inner=x.inner, outer=x.outer)


def convolve(x: ZTransform, y: ZTransform) -> ZTransform:
    """``sum_k x[k] y[n - k]``: ``X(z) Y(z)``, at least where both converge.

    Raises:
        InputError: the regions do not meet.
    """
    top, low = np.convolve(x.numerator, y.numerator), np.convolve(x.denominator, y.denominator)
    inner, outer = _intersection(x, y)
    return rational(top, low, advance=x.advance + y.advance, inner=inner, outer=outer)


def differentiate(x: ZTransform) -> ZTransform:
    """``n x[n]`` (differentiation in z): ``-z dX/dz``, same region."""
    top, low = np.asarray(x.numerator), np.asarray(x.denominator)
    rise = (np.arange(len(top)) - x.advance) * top  # w d/dw of w^-advance N, but for the power in front
    fall = np.arange(len(low)) * low
    found = _combine([rise, low], [-top, fall])
    return rational(found, np.convolve(low, low), advance=x.advance, inner=x.inner, outer=x.outer)


def difference(x: ZTransform) -> ZTransform:
    """``x[n] - x[n - 1]``: ``(1 - 1/z) X(z)``, at least the same region but for 0."""
    return _with(x, _combine([x.numerator, [1.0, -1.0]]))


def accumulate(x: ZTransform) -> ZTransform:
    """``sum_(k <= n) x[k]``: ``X(z) / (1 - 1/z)``, at least where also ``|z| > 1``.

    Raises:
        InputError: a region inside the unit circle, where the sum from the left does not converge.
    """
    return convolve(x, Exponential(1.0).transform())


def initial_value(x: ZTransform) -> complex:
    """``x[0]`` of a causal sequence: the limit of X for z to infinity.

    Raises:
        InputError: a sequence that is not 0 for all n < 0.
    """
    _require_causal(x)
    return complex(x.numerator[0] / x.denominator[0]) if x.advance == 0 else 0j


def final_value(x: ZTransform) -> complex:
    """The limit of ``x[n]`` for n to infinity, of a causal sequence: that of ``(z - 1) X(z)`` for z to 1.

    It exists only if all poles lie strictly inside the unit circle, but for a simple one at z = 1; the limit of the formula
    can be finite without it.

    Raises:
        InputError: a sequence that is not causal, or has other poles on or outside the unit circle.
    """
    _require_causal(x)
    reduced = cancelled(x)
    low, simple = _without_one(reduced)
    outside = [pole for pole in np.roots(low) if abs(pole) >= 1 - _CIRCLE]
    if outside:
        expected = "poles strictly inside the unit circle, but for a simple one at 1"
        raise InputError(f"a pole at {outside[0]:.6g}{' besides that at 1' * simple}", expected, "no limit exists")
    low, pole = _without_one(x)
    if pole and _is_rounding(low):  # a further pole at 1, which a zero cancels
        x, low = reduced, _without_one(reduced)[0]
    return complex(sum(x.numerator) / low.sum()) if pole and simple else 0j


def _without_one(x: ZTransform) -> tuple[np.ndarray, bool]:
    """The denominator divided by ``1 - w`` if it vanishes at w = 1, and whether it does."""
    low = np.array(x.denominator, dtype=np.complex128)
    return (np.cumsum(low)[:-1], True) if _is_rounding(low) else (low, False)


def _is_rounding(terms: np.ndarray) -> bool:
    return bool(abs(terms.sum()) <= _CIRCLE * np.abs(terms).sum())


def _require_causal(x: ZTransform) -> None:
    if x.outer < inf or x.advance > 0:
        raise InputError(f"a sequence whose transform converges for {x.region.describe()}", "a causal one, 0 for n < 0")


def _with(x: ZTransform, numerator: np.ndarray) -> ZTransform:
    return rational(numerator, x.denominator, advance=x.advance, inner=x.inner, outer=x.outer)


def _intersection(x: ZTransform, y: ZTransform) -> tuple[float, float]:
    inner, outer = max(x.inner, y.inner), min(x.outer, y.outer)
    if inner >= outer:
        raise InputError(
            f"regions {x.region.describe()} and {y.region.describe()}, which do not meet",
            "a common annulus",
            "the result has no z-transform",
        )
    return inner, outer


def _spread(ascending: tuple[complex, ...], factor: int) -> np.ndarray:
    spread = np.zeros((len(ascending) - 1) * factor + 1, dtype=np.asarray(ascending).dtype)
    spread[::factor] = ascending
    return spread


def _counted(factor: int) -> int:
    if factor < 1:
        raise InputError(f"a factor of {factor}", "a positive integer")
    return factor


def cancelled(x: ZTransform) -> ZTransform:
    """The same sequence without the poles that zeros cancel, and with the whole region of convergence.

    A pole and a zero are taken to cancel if they differ by less than 1e-6 of their size.
    """
    zeros, poles = list(np.roots(x.numerator)), []
    for pole in np.roots(x.denominator):
        apart = [abs(zero - pole) for zero in zeros]
        if apart and min(apart) <= _NEAR * abs(pole):
            zeros.pop(int(np.argmin(apart)))
        else:
            poles.append(pole)
    top, low = np.asarray(x.numerator), np.asarray(x.denominator)
    if len(poles) < len(low) - 1:
        top, low = top[0] * _from_roots(np.array(zeros)), low[0] * _from_roots(np.array(poles))
    radii = np.abs(poles)
    hole = _in_hole(x, radii)
    inner = _same(x.inner, float(radii[hole].max(initial=0.0)))
    outer = _same(x.outer, float(radii[~hole].min(initial=inf)))
    return rational(top, low, advance=x.advance, inner=inner, outer=outer)


def _same(given: float, computed: float) -> float:
    """The given radius if the computed one is it, but for the roots' rounding."""
    return given if abs(given - computed) <= _SPREAD * given else computed


# For drawing


@dataclass(frozen=True)
class RegionDrawing:
    """What a picture of a region of convergence shows, as coordinates (re, im).

    Attributes:
        circles: the region's finite edges, each (n, 2), the inner one first.
        unit_circle: (n, 2).
        poles: (p, 2).
        zeros: (q, 2).
        unbounded: whether the region reaches infinity.
        text: the region in words.
    """

    circles: tuple[np.ndarray, ...]
    unit_circle: np.ndarray
    poles: np.ndarray
    zeros: np.ndarray
    unbounded: bool
    text: str


def region_drawing(x: ZTransform, points: int = 181) -> RegionDrawing:
    """Circles, poles and zeros of a transform, for whatever draws them."""
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    edges = tuple(radius * circle for radius in (x.inner, x.outer) if 0 < radius < inf)
    poles, zeros = (np.stack([p.real, p.imag], axis=1) for p in (x.poles(), x.zeros()))
    return RegionDrawing(edges, circle, poles, zeros, x.outer == inf, x.region.describe())
