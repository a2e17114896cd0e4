"""The solution of -Δu = 1 on the L-shape with u = 0 on its boundary, by particular solutions, to about 13 digits.

Conventions: points (n, 2); values (n, 1), gradients (n, 2). A point is z = (x + iy) / i, so that the sides at the re-entrant
corner have the angles 0 and 3π/2. Harmonic functions are the real parts of analytic f, their gradients (Re f', -Im f').

u = -|z|²/4 + Re(z²/4 + i z² log z / 3π) + Σ c_k Re f_k. The first part solves the equation and is 0 on the sides at the corner.
The f_k are the corner's -i z^(2k/3), the z^m and -i z^m (for even m -i z^m log z in its place) and ζ² log ζ at each other
corner; the c_k are those of least squares on the boundary. The error is harmonic, and so nowhere larger than on the boundary
(Fox, Henrici and Moler 1967; Betcke and Trefethen 2005). ∫|∇u|² = ∫u = 0.2140758036.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ungrid import pde
from ungrid.reference.finite_elements import grading_for, region_of, solve_elements

ENERGY = 0.2140758036  # ∫|∇u|²
CORNERS = ((0, 0), (0, 1), (-1, 1), (-1, -1), (1, -1), (1, 0))  # the first is the re-entrant one
INWARD = (-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j, -1 - 1j)  # along the bisectors of the others
FRACTIONAL, WHOLE = 60, 30  # exponents of each kind
RADIUS = np.sqrt(2.0)
ON_A_SIDE = 400
H = 1 / 16  # size of the mesh that carries the rule of quadrature; its cells at the corner are far smaller

Analytic = tuple[np.ndarray, np.ndarray]  # f and f', each (n,)


@dataclass(frozen=True)
class Rule:
    """A rule of quadrature, graded towards the corner, with the true gradients there.

    Attributes:
        points: (n, 2).
        weights: (n,).
        gradients: (n, 2).
    """

    points: np.ndarray
    weights: np.ndarray
    gradients: np.ndarray

    def error(self, gradients: np.ndarray) -> float:
        """(∫|∇(u - v)|² / ∫|∇u|²)^(1/2) for the gradients of v at the points."""
        return float(np.sqrt(self.weights @ ((gradients - self.gradients) ** 2).sum(axis=1) / ENERGY))


def values(points: np.ndarray) -> np.ndarray:
    """The solution, (n, 1)."""
    return solution(points)[0]


@cache
def rule() -> Rule:
    """That in which errors in the energy norm are measured."""
    problem = pde.example("poisson-lshape").make()
    basis = solve_elements(problem, h=H, grading=grading_for(region_of(problem), 2)).basis
    points = np.asarray(basis.global_coordinates()).reshape(2, -1).T
    return Rule(points, basis.dx.ravel(), solution(points)[1])


def solution(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, 1) and gradients (n, 2)."""
    f, slopes = (np.stack(parts, axis=1) @ coefficients() for parts in zip(*harmonics(points), strict=True))
    value, gradient = particular(points)
    return (value + f.real)[:, None], gradient + np.stack([slopes.real, -slopes.imag], axis=1)


@cache
def coefficients() -> np.ndarray:
    """Of the harmonic functions, (k,): least squares on the boundary, at points that crowd towards the corners."""
    s = (1 - np.cos(np.pi * (np.arange(ON_A_SIDE) + 0.5) / ON_A_SIDE))[:, None] / 2
    ends = np.array([*CORNERS, CORNERS[0]], dtype=float)
    boundary = np.concatenate([a + s * (b - a) for a, b in pairwise(ends)])
    columns = np.stack([f.real for f, _ in harmonics(boundary)], axis=1)
    sizes = np.linalg.norm(columns, axis=0)
    return np.linalg.lstsq(columns / sizes, -particular(boundary)[0], rcond=1e-14)[0] / sizes


def turned(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z and log z, (n,), the angle between 0 and 3π/2."""
    z = (points[:, 0] + 1j * points[:, 1]) / 1j
    angle = np.angle(z)
    return z, np.log(np.abs(z)) + 1j * np.where(angle < -1e-9, angle + 2 * np.pi, angle)


def particular(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and gradients (n, 2) of the first part."""
    z, log = turned(points)
    f = z**2 / 4 + 1j * z**2 * log / (3 * np.pi)
    slope = (z / 2 + 1j * z * (2 * log + 1) / (3 * np.pi)) / 1j
    return -(np.abs(z) ** 2) / 4 + f.real, np.stack([slope.real, -slope.imag], axis=1) - points / 2


def harmonics(points: np.ndarray) -> list[Analytic]:
    """The analytic functions whose real parts are fitted."""
    _, log = turned(points)
    found = [power(log, 2 * k / 3, -1j) for k in range(1, FRACTIONAL + 1)]
    for m in range(WHOLE + 1):
        found.append(power(log, m, 1))
        if m % 2:
            found.append(power(log, m, -1j))
        elif m:
            f, slope = power(log, m, -1j)
            found.append((f * log, slope * (log + 1 / m)))
    return found + [at_corner(points, k) for k in range(1, len(CORNERS))]


def power(log: np.ndarray, exponent: float, factor: complex) -> Analytic:
    """factor (z / RADIUS)^exponent and its derivative."""
    scale = factor / RADIUS**exponent
    return scale * np.exp(exponent * log), scale * exponent * np.exp((exponent - 1) * log) / 1j


def at_corner(points: np.ndarray, k: int) -> Analytic:
    """ζ² log ζ and its derivative, ζ from the k-th corner along its bisector, so that the cut lies outside."""
    direction = INWARD[k - 1] / np.sqrt(2)
    zeta = ((points - np.array(CORNERS[k], dtype=float)) @ np.array([1, 1j])) / direction
    log = np.log(zeta)
    return zeta**2 * log, zeta * (2 * log + 1) / direction
