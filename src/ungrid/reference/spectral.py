"""Fourier methods for periodic equations in one dimension: more accurate than any difference, where they apply.

Conventions. The nodes (n,) are uniform and do not repeat the first one: the period is n steps. Linear operators are given
as functions of the symbol d = i k of d/dx, ``lambda d: -0.0025 * d**3``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ungrid._base.errors import InputError
from ungrid.reference.stencils import is_uniform

_CONTOUR = 64  # points of the mean around each eigenvalue; 32 reach rounding already


class _Weights(NamedTuple):
    """Of one step of ETDRK4, each (n,)."""

    whole: np.ndarray
    half: np.ndarray
    q: np.ndarray
    f1: np.ndarray
    f2: np.ndarray
    f3: np.ndarray


def solve_periodic(
    x: np.ndarray,
    initial: np.ndarray,
    times: np.ndarray,
    *,
    linear: Callable[[np.ndarray], np.ndarray],
    flux: Callable[[np.ndarray], np.ndarray] | None = None,
    reaction: Callable[[np.ndarray], np.ndarray] | None = None,
    substeps: int = 1,
) -> np.ndarray:
    """Solves ``u_t = P(d/dx) u - d/dx flux(u) + reaction(u)``, periodic in x.

    Fourier in space; in time the exponential Runge-Kutta method ETDRK4, of fourth order and exact for the linear part (Cox
    and Matthews 2002, equations 26-29), its coefficients by means over circles (Kassam and Trefethen 2005, section 2).

    Korteweg and de Vries: ``linear=lambda d: -b * d**3, flux=lambda u: u**2 / 2``. Allen and Cahn:
    ``linear=lambda d: a * d**2, reaction=lambda u: 5 * (u - u**3)``. Schrodinger, with complex values:
    ``linear=lambda d: 0.5j * d**2, reaction=lambda u: 1j * abs(u)**2 * u``.

    Args:
        x: nodes (n,).
        initial: u at times[0], (n,), real or complex.
        times: (m,), with equal steps.
        linear: P, from d = i k (n,) to its eigenvalues (n,).
        flux: elementwise.
        reaction: elementwise.
        substeps: steps between two times.

    Returns:
        (m, n), real if the initial value is.

    Raises:
        InputError: unequal steps, or a solution that grows beyond all bounds.
    """
    for name, axis in (("x", x), ("times", times)):
        if not is_uniform(axis):
            raise InputError(f"{name} with unequal steps", "equal ones")
    d, odd = _symbols(len(x), float(x[1] - x[0]))
    real, step = np.isrealobj(initial), float(times[1] - times[0]) / substeps
    eigenvalues = np.where(odd == d, linear(d), (linear(d) + linear(-d)) / 2)
    weights = _weights(eigenvalues, step)

    def values(v: np.ndarray) -> np.ndarray:
        u = np.fft.ifft(v)
        return u.real if real else u

    def nonlinear(v: np.ndarray) -> np.ndarray:
        u = values(v)
        total = np.zeros_like(v) if flux is None else -odd * np.fft.fft(flux(u))
        return total if reaction is None else total + np.fft.fft(reaction(u))

    v, rows = np.fft.fft(initial), [initial]
    with np.errstate(all="ignore"):
        for _ in range(len(times) - 1):
            for _ in range(substeps):
                v = _advance(v, weights, nonlinear)
            rows.append(values(v))
    if not np.isfinite(rows[-1]).all():
        raise InputError(
            f"a time step of {step:.3g}, with which the solution grows beyond all bounds", remedy="more substeps"
        )
    return np.stack(rows)


def _symbols(n: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """``i k``, and the same without the highest mode of an even n, which has no odd derivative."""
    d = 2j * np.pi * np.fft.fftfreq(n, step)
    odd = d.copy()
    if n % 2 == 0:
        odd[n // 2] = 0.0
    return d, odd


def _weights(eigenvalues: np.ndarray, step: float) -> _Weights:
    z = step * eigenvalues
    circle = z[:, None] + np.exp(2j * np.pi * (np.arange(_CONTOUR) + 0.5) / _CONTOUR)
    e, cube = np.exp(circle), circle**3
    means = [
        (np.exp(circle / 2) - 1) / circle,
        (-4 - circle + e * (4 - 3 * circle + circle**2)) / cube,
        (2 + circle + e * (-2 + circle)) / cube,
        (-4 - 3 * circle - circle**2 + e * (4 - circle)) / cube,
    ]
    q, f1, f2, f3 = (step * mean.mean(axis=1) for mean in means)
    return _Weights(np.exp(z), np.exp(z / 2), q, f1, f2, f3)


def _advance(v: np.ndarray, w: _Weights, nonlinear: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    n0 = nonlinear(v)
    a = w.half * v + w.q * n0
    na = nonlinear(a)
    b = w.half * v + w.q * na
    nb = nonlinear(b)
    c = w.half * a + w.q * (2 * nb - n0)
    return w.whole * v + w.f1 * n0 + 2 * w.f2 * (na + nb) + w.f3 * nonlinear(c)
