"""Closed loops from loose lines and arcs, and affine maps of them: what the readers of drawings share.

Convention: curves as in `ungrid.domains.curves`; an affine map is ``x -> matrix x + shift``.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Curve, Segment
from ungrid.domains.curves import pair

SNAP = 1e-6  # of the drawing's extent: ends as close as that are one point, as files hold few digits


def closed_loops(curves: Sequence[Curve], source: str) -> list[list[Curve]]:
    """The curves in closed loops, turned to follow each other, with their ends moved together.

    Args:
        curves: in any order, running either way.
        source: the file's name, for messages.

    Raises:
        InputError: if an end is left over (the message says where, and how far the next one is), or more than two meet.
    """
    if not curves:
        raise InputError(f"{source} without lines and arcs", "closed outlines")
    ends = np.concatenate([curve.at(np.array([0.0, 1.0])) for curve in curves])
    label = _clusters(ends, SNAP * float(np.linalg.norm(np.ptp(_extremes(curves), axis=0))))
    _check_degrees(ends, label, source)
    places = np.stack([np.bincount(label, ends[:, k]) for k in (0, 1)], axis=1) / np.bincount(label)[:, None]
    return _walked(curves, label.reshape(-1, 2), places)


def _walked(curves: Sequence[Curve], ends: np.ndarray, places: np.ndarray) -> list[list[Curve]]:
    """From every curve on along those that share its last joint; `ends` (n, 2) numbers the joints."""
    at_joint: dict[int, list[int]] = {}
    for number, joints in enumerate(ends.tolist()):
        for joint in joints:
            at_joint.setdefault(joint, []).append(number)
    left = dict.fromkeys(range(len(curves)))
    loops: list[list[Curve]] = []
    while left:
        number, loop = next(iter(left)), list[Curve]()
        start = joint = int(ends[number, 0])
        while not loop or joint != start:
            number = next(k for k in at_joint[joint] if k in left) if loop else number
            del left[number]
            forward = ends[number, 0] == joint
            curve, following = curves[number] if forward else curves[number].flipped(), int(ends[number, int(forward)])
            loop.append(moved(curve, places[joint], places[following]))
            joint = following
        loops.append(loop)
    return loops


def _extremes(curves: Sequence[Curve]) -> np.ndarray:
    return np.concatenate([np.stack(curve.bounds) for curve in curves])


def _clusters(ends: np.ndarray, tolerance: float) -> np.ndarray:
    pairs = cKDTree(ends).query_pairs(tolerance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(ends), len(ends)))
    return np.asarray(connected_components(graph, directed=False)[1])


def _check_degrees(ends: np.ndarray, label: np.ndarray, source: str) -> None:
    meeting = np.bincount(label)
    loose = np.flatnonzero(meeting[label] == 1)
    if len(loose):
        place = ends[loose[0]]
        others = np.delete(ends[loose], 0, axis=0)
        gap = float(np.linalg.norm(others - place, axis=1).min()) if len(others) else float("nan")
        raise InputError(
            f"{source} has an open outline: a loose end at ({place[0]:.6g}, {place[1]:.6g}), {gap:.3g} from the next",
            "closed outlines",
            "join the ends in the drawing",
        )
    if meeting.max() > 2:
        x, y = ends[np.flatnonzero(meeting[label] > 2)[0]]
        raise InputError(f"{source} has {meeting.max()} ends at ({x:.6g}, {y:.6g})", "two ends at every joint")


def moved(curve: Curve, start: np.ndarray, end: np.ndarray) -> Curve:
    """The curve turned, scaled and shifted so that it runs between two points close to its ends."""
    first, last = curve.at(0.0), curve.at(1.0)
    if isinstance(curve, Segment):
        return Segment(pair(start), pair(end), curve.name)
    old, new = complex(*(last - first)), complex(*(end - start))
    if abs(old) <= 1e-12 * curve.length:  # a whole turn
        return transformed(curve, np.eye(2), start - first)
    factor = new / old
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return transformed(curve, matrix, start - matrix @ first)


def transformed(curve: Curve, matrix: np.ndarray, shift: np.ndarray) -> Curve:
    """The image of a curve under an affine map: a line stays a line, an ellipse an ellipse."""
    if isinstance(curve, Segment):
        a, b = (pair(matrix @ np.array(p) + shift) for p in (curve.a, curve.b))
        return Segment(a, b, curve.name)
    assert isinstance(curve, Arc)
    center = matrix @ np.array(curve.center) + shift
    axes, radii, turn = np.linalg.svd(matrix @ curve.frame)  # F (cos t, sin t) = axes diag(radii) turn (cos t, sin t)
    if np.linalg.det(axes) < 0:
        axes, turn = axes * [1, -1], turn * [[1], [-1]]
    sense = float(np.sign(np.linalg.det(turn)))
    offset = float(np.arctan2(turn[1, 0], turn[0, 0]))  # turn maps the angle t to offset + sense t
    if radii[0] - radii[1] <= 1e-14 * radii[0]:
        radii = np.full(2, radii.mean())
    return replace(
        curve,
        center=pair(center),
        radii=pair(radii),
        angle=float(np.arctan2(axes[1, 0], axes[0, 0])),
        start=offset + sense * curve.start,
        end=offset + sense * curve.end,
    )


def bulged(a: np.ndarray, b: np.ndarray, bulge: float, name: str) -> Curve:
    """The line from a to b, or the arc of which `bulge` is the tangent of a quarter of the angle (counter-clockwise)."""
    if bulge == 0:
        return Segment(pair(a), pair(b), name)
    chord = b - a
    center = (a + b) / 2 + (1 - bulge**2) / (4 * bulge) * np.array([-chord[1], chord[0]])
    radius = float(np.linalg.norm(chord) * (1 + bulge**2) / (4 * abs(bulge)))
    start = float(np.arctan2(*(a - center)[::-1]))
    return Arc(pair(center), (radius, radius), 0.0, start, start + 4 * float(np.arctan(bulge)), name)
