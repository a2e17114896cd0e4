"""Where two curves meet, exactly: lines with lines, lines with arcs, arcs with arcs.

Convention: meetings are points, in any order and possibly repeated. Where the curves run along each other, the ends of
the common stretch are given. `tolerance` is a distance: curves that come as close as that touch, in one point. Extra
meetings do no harm, since a curve that is cut once too often can be joined again.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ungrid.domains.curves import Arc, Curve, Segment

_ON_CIRCLE = 1e-3  # how far the roots of a nearly double zero may leave the unit circle
_STEPS = 8  # of Newton's method, from roots that are good to 1e-8 at worst


def meetings(curve: Curve, other: Curve, tolerance: float) -> np.ndarray:
    """The points (k, 2) that the two curves have in common."""
    ends = np.array([0.0, 1.0])
    shared = [_on(other.at(ends), curve, tolerance), _on(curve.at(ends), other, tolerance)]
    crossed = _on(_proper(curve, other, tolerance), other, tolerance)
    return np.concatenate([*shared, crossed])


def cut(piece: Curve, points: Sequence[np.ndarray], tolerance: float) -> list[Curve]:
    """The piece cut at the points; stretches below the tolerance are none."""
    s = np.sort(np.concatenate([[0.0, 1.0], *(piece.closest(some) for some in points)]))
    least = 2 * tolerance / piece.length
    s = s[np.concatenate([[True], np.diff(s) > least])]  # of cuts closer together than that, the first
    s = np.concatenate([s[1 - s > least], [1.0]])
    return [piece.part(float(a), float(b)) for a, b in pairwise(s)]


def _on(points: np.ndarray, curve: Curve, tolerance: float) -> np.ndarray:
    return points[curve.holds(points, tolerance)]


def _proper(curve: Curve, other: Curve, tolerance: float) -> np.ndarray:
    """Points of `curve` on the line or ellipse of `other`."""
    if isinstance(curve, Segment) and isinstance(other, Segment):
        return curve.at(_line_line(curve, other))
    if isinstance(curve, Segment) and isinstance(other, Arc):
        return curve.at(_line_ellipse(curve, other, tolerance))
    if isinstance(curve, Arc) and isinstance(other, Segment):
        return _on(other.at(_line_ellipse(other, curve, tolerance)), curve, tolerance)
    assert isinstance(curve, Arc)
    assert isinstance(other, Arc)
    return curve.at(_ellipse_ellipse(curve, other, tolerance))


def _line_line(curve: Segment, other: Segment) -> np.ndarray:
    along, across = np.subtract(curve.b, curve.a), np.subtract(other.b, other.a)
    offset = np.subtract(other.a, curve.a)
    area = along[0] * across[1] - along[1] * across[0]
    if abs(area) <= 1e-14 * curve.length * other.length:
        return np.zeros(0)  # parallel: a common stretch is bounded by ends
    s = (offset[0] * across[1] - offset[1] * across[0]) / area
    r = (offset[0] * along[1] - offset[1] * along[0]) / area
    return np.array([s]) if 0 <= s <= 1 and 0 <= r <= 1 else np.zeros(0)


def _line_ellipse(line: Segment, arc: Arc, tolerance: float) -> np.ndarray:
    """In the frame where the ellipse is the unit circle: the two roots, or the closest place where it only touches."""
    start = np.linalg.solve(arc.frame, np.subtract(line.a, arc.center))
    along = np.linalg.solve(arc.frame, np.subtract(line.b, line.a))
    length = float(np.linalg.norm(along))
    foot, away = -(start @ along) / length, abs(start[0] * along[1] - start[1] * along[0]) / length
    half = np.sqrt(max(1 - away**2, 0.0))
    touching = abs(1 - away) <= tolerance / min(arc.radii)
    s = np.array([foot] if touching else [foot - half, foot + half] if away < 1 else []) / length
    slack = tolerance / line.length
    return np.clip(s[(s >= -slack) & (s <= 1 + slack)], 0, 1)


def _ellipse_ellipse(curve: Arc, other: Arc, tolerance: float) -> np.ndarray:
    """Zeros of ``|M (cos t, sin t) + q|^2 - 1``, the equation of `other` along `curve`.

    With z = exp(i t) this is a polynomial of degree 4 in z; its roots near the unit circle are improved by Newton's
    method on the function, and on its derivative where the curves only touch.
    """
    matrix = np.linalg.solve(other.frame, curve.frame)
    offset = np.linalg.solve(other.frame, np.subtract(curve.center, other.center))
    square, linear = matrix.T @ matrix, 2 * matrix.T @ offset
    second = (square[0, 0] - square[1, 1]) / 4 - 1j * square[0, 1] / 2  # of exp(2 i t); its conjugate of exp(-2 i t)
    first = (linear[0] - 1j * linear[1]) / 2
    constant = (square[0, 0] + square[1, 1]) / 2 + offset @ offset - 1
    powers = np.array([second, first, constant, first.conjugate(), second.conjugate()])
    scale = np.abs(powers).max()
    if scale <= 1e-12:
        return np.zeros(0)  # one ellipse: a common stretch is bounded by ends
    powers[np.abs(powers) <= 1e-15 * scale] = 0
    roots = np.roots(powers)
    start = np.angle(roots[np.abs(np.abs(roots) - 1) < _ON_CIRCLE])
    crossing, touching = (_improved(start, second, first, constant, k) for k in (0, 1))
    crossing, touching = (
        t[np.abs(_along(t, second, first, constant, 0)) <= max(tolerance / min(other.radii), 1e-12)]
        for t in (crossing, touching)
    )
    apart = np.abs(np.exp(1j * crossing[:, None]) - np.exp(1j * touching)).min(axis=1, initial=np.inf)
    s = curve.parameter(np.concatenate([crossing[apart > _ON_CIRCLE], touching]))
    slack = tolerance / curve.length
    return np.clip(s[(s >= -slack) & (s <= 1 + slack)], 0, 1)


def _along(t: np.ndarray, second: complex, first: complex, constant: float, order: int) -> np.ndarray:
    """The derivative of the given order of the real trigonometric polynomial."""
    waves = 2 * ((2j) ** order * second * np.exp(2j * t) + 1j**order * first * np.exp(1j * t)).real
    return waves + constant if order == 0 else waves


def _improved(t: np.ndarray, second: complex, first: complex, constant: float, order: int) -> np.ndarray:
    for _ in range(_STEPS):
        value = _along(t, second, first, constant, order)
        slope = _along(t, second, first, constant, order + 1)
        step = np.divide(value, slope, out=np.zeros_like(t), where=np.abs(slope) > 1e-14)
        t = t - np.clip(step, -0.1, 0.1)
    return t
