"""The pieces of plane boundaries: line segments and arcs of circles and ellipses.

Convention: a curve runs from s = 0 to s = 1 with the region on its left, so its outward normal points to the right of
its direction. An arc is ``center + R(angle) (radii[0] cos t, radii[1] sin t)``, t from `start` to `end` in radians; it
runs clockwise where ``end < start``. Arrays of s have any shape ``(*batch,)``; points are ``(*batch, 2)``.
"""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import ellipeinc

from ungrid._base.errors import InputError
from ungrid.domains.pieces import BoundaryRule, Piece, Predicate, gauss

Pair = tuple[float, float]
_STARTS = 33  # places on an arc from which the closest one is refined
_PROBES = 256  # places at which a predicate is asked along a curve, before bisection
_ARC_ORDER = 16  # added to the degree of quadrature on arcs, in panels of at most an eighth of a turn
_BISECTIONS = 60  # enough for the last bit of a double


def pair(values: object) -> Pair:
    """Two floats from any sequence of two finite numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (2,) or not np.isfinite(array).all():
        raise InputError(f"{values!r}", "two finite numbers")
    return float(array[0]), float(array[1])


class Curve(Piece):
    """A smooth piece of the boundary of a plane region."""

    @abstractmethod
    def at(self, s: np.ndarray | float) -> np.ndarray:
        """The points (*batch, 2) at the parameters s (*batch,) in [0, 1]."""

    @abstractmethod
    def derivative(self, s: np.ndarray | float) -> np.ndarray:
        """d at / d s, (*batch, 2); its length is the speed."""

    @property
    @abstractmethod
    def length(self) -> float:
        """The length of the curve."""

    @abstractmethod
    def at_length(self, fraction: np.ndarray) -> np.ndarray:
        """The parameters s at which the given fractions of the length have been run through."""

    @abstractmethod
    def part(self, start: float, end: float) -> "Curve":
        """The curve between two parameters; `end` below `start` reverses it."""

    @abstractmethod
    def closest(self, points: np.ndarray) -> np.ndarray:
        """The parameters (*batch,) of the closest places to the points (*batch, 2)."""

    @abstractmethod
    def holds(self, points: np.ndarray, tolerance: float) -> np.ndarray:
        """Which points (*batch, 2) lie on the curve, to a distance of `tolerance`."""

    @abstractmethod
    def turns(self) -> np.ndarray:
        """The increasing parameters strictly between 0 and 1 at which y stops growing or falling."""

    @abstractmethod
    def x_at(self, y: np.ndarray, start: float, end: float) -> np.ndarray:
        """The x at which the curve has the given y between two parameters where y is monotone."""

    @property
    @abstractmethod
    def doubled_area(self) -> float:
        """The integral of x dy - y dx along the curve: summed over a closed outline, twice the enclosed area."""

    @abstractmethod
    def continued_by(self, other: "Curve", tolerance: float) -> "Curve | None":
        """One curve for this and the next if they are the same line or ellipse and have one name, else None."""

    def tangent(self, s: np.ndarray | float) -> np.ndarray:
        """Unit vectors (*batch, 2) in the direction of the curve."""
        forward = self.derivative(s)
        return forward / np.linalg.norm(forward, axis=-1, keepdims=True)

    def normal(self, s: np.ndarray | float) -> np.ndarray:
        """Outward unit normals (*batch, 2)."""
        tangent = self.tangent(s)
        return np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """The distances (*batch,) of the points (*batch, 2)."""
        return np.asarray(np.linalg.norm(np.asarray(points) - self.at(self.closest(points)), axis=-1))

    def flipped(self) -> "Curve":
        return self.part(1.0, 0.0)

    @property
    def size(self) -> float:
        return self.length

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s = self.at_length(rng.random(n))
        return self.at(s), self.normal(s)

    def rule(self, order: int) -> BoundaryRule:
        nodes, weights = gauss(order + (_ARC_ORDER if self.panels > 1 or isinstance(self, Arc) else 0))
        s = ((np.arange(self.panels)[:, None] + nodes) / self.panels).ravel()
        speed = np.linalg.norm(self.derivative(s), axis=-1)
        return BoundaryRule(self.at(s), np.tile(weights, self.panels) * speed / self.panels, self.normal(s))

    @property
    @abstractmethod
    def panels(self) -> int:
        """How many equal steps of s make pieces on which polynomials represent the curve well."""

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        return self.normal(self.closest(points))

    def split(self, predicate: Predicate) -> list[tuple[Piece, bool]]:
        """The predicate is asked at the middles of 256 equal steps of s; where it changes, bisection finds the place."""
        s = (np.arange(_PROBES) + 0.5) / _PROBES
        holds = np.asarray(predicate(self.at(s))).reshape(-1).astype(bool)
        changes = np.flatnonzero(holds[1:] != holds[:-1])
        low, high, before = s[changes], s[changes + 1], holds[changes]
        for _ in range(_BISECTIONS if len(changes) else 0):
            middle = (low + high) / 2
            same = np.asarray(predicate(self.at(middle))).reshape(-1).astype(bool) == before
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        cuts = [0.0, *((low + high) / 2).tolist(), 1.0]
        values = [bool(holds[0]), *(~before).tolist()]
        return [(self.part(*ends), value) for *ends, value in zip(cuts[:-1], cuts[1:], values, strict=True)]

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest coordinates, (2,) each."""
        extremes = self.at(np.concatenate([[0.0, 1.0], self.turns(), self._turns_in_x()]))
        return extremes.min(axis=0), extremes.max(axis=0)

    def _turns_in_x(self) -> np.ndarray:
        return np.zeros(0)


@dataclass(frozen=True)
class Segment(Curve):
    """The straight line from `a` to `b`."""

    a: Pair
    b: Pair
    name: str = "boundary"

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", pair(self.a))
        object.__setattr__(self, "b", pair(self.b))
        if self.a == self.b:
            raise InputError(f"a segment from {self.a} to the same point", "two different ends")

    def at(self, s: np.ndarray | float) -> np.ndarray:
        s = np.asarray(s, dtype=np.float64)[..., None]
        return np.where(s < 0.5, self.a + s * self._along, self.b - (1 - s) * self._along)  # exact at both ends

    def derivative(self, s: np.ndarray | float) -> np.ndarray:
        return np.broadcast_to(self._along, (*np.shape(s), 2)).copy()

    @cached_property
    def _along(self) -> np.ndarray:
        return np.subtract(self.b, self.a)

    @cached_property
    def length(self) -> float:
        return float(np.hypot(*self._along))

    @property
    def panels(self) -> int:
        return 1

    def at_length(self, fraction: np.ndarray) -> np.ndarray:
        return np.asarray(fraction, dtype=np.float64)

    def part(self, start: float, end: float) -> "Segment":
        return Segment(pair(self.at(start)), pair(self.at(end)), self.name)

    def closest(self, points: np.ndarray) -> np.ndarray:
        along = self._along
        return np.asarray(np.clip((np.asarray(points) - self.a) @ along / (along @ along), 0, 1))

    def holds(self, points: np.ndarray, tolerance: float) -> np.ndarray:
        return np.asarray(self.distance(points) <= tolerance)

    def turns(self) -> np.ndarray:
        return np.zeros(0)

    def x_at(self, y: np.ndarray, start: float, end: float) -> np.ndarray:
        rise = self.b[1] - self.a[1]
        s = np.clip((y - self.a[1]) / rise, start, end) if rise else np.full_like(y, 0.5)
        return np.asarray(self.at(s)[..., 0])

    @property
    def doubled_area(self) -> float:
        return self.a[0] * self.b[1] - self.a[1] * self.b[0]

    def continued_by(self, other: Curve, tolerance: float) -> "Segment | None":
        if not isinstance(other, Segment) or other.name != self.name:
            return None
        whole, turn = np.subtract(other.b, self.a), np.dot(self._along, other._along)
        off = abs(self._along[0] * whole[1] - self._along[1] * whole[0]) / self.length
        return Segment(self.a, other.b, self.name) if off <= tolerance and turn > 0 else None


@dataclass(frozen=True)
class Arc(Curve):
    """A part of a circle or an ellipse: `radii` along its two axes, the first turned by `angle` from the x axis."""

    center: Pair
    radii: Pair
    angle: float = 0.0
    start: float = 0.0
    end: float = 2 * np.pi
    name: str = "boundary"

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", pair(self.center))
        object.__setattr__(self, "radii", pair(self.radii))
        sweep = abs(self.end - self.start)
        if min(self.radii) <= 0 or not 0 < sweep <= 2 * np.pi * (1 + 1e-12):
            raise InputError(
                f"an arc of radii {self.radii} from {self.start} to {self.end} radians",
                "positive radii and at most one turn",
            )

    @cached_property
    def frame(self) -> np.ndarray:
        """The matrix (2, 2) from the unit circle's plane to the ellipse's: ``R(angle) diag(radii)``."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return np.array([[c, -s], [s, c]]) * self.radii

    @property
    def closed(self) -> bool:
        """Whether the arc is a whole turn."""
        return abs(self._sweep) >= 2 * np.pi * (1 - 1e-12)

    def _t(self, s: np.ndarray | float) -> np.ndarray:
        s = np.asarray(s, dtype=np.float64)
        return np.asarray(np.where(s < 0.5, self.start + s * self._sweep, self.end - (1 - s) * self._sweep))

    @property
    def _sweep(self) -> float:
        return self.end - self.start

    def at(self, s: np.ndarray | float) -> np.ndarray:
        t = self._t(s)
        return np.stack([np.cos(t), np.sin(t)], axis=-1) @ self.frame.T + self.center

    def derivative(self, s: np.ndarray | float) -> np.ndarray:
        t = self._t(s)
        return np.stack([-np.sin(t), np.cos(t)], axis=-1) @ self.frame.T * self._sweep

    @cached_property
    def length(self) -> float:
        return abs(float(self._run(self.end) - self._run(self.start)))

    @property
    def panels(self) -> int:
        return int(np.ceil(abs(self._sweep) * 4 / np.pi - 1e-9))

    def _run(self, t: np.ndarray | float) -> np.ndarray:
        """The length from t = 0: b E(t | 1 - a^2/b^2), E the incomplete elliptic integral of the second kind."""
        a, b = self.radii
        return np.asarray(b * ellipeinc(t, 1 - (a / b) ** 2))

    def at_length(self, fraction: np.ndarray) -> np.ndarray:
        fraction = np.asarray(fraction, dtype=np.float64)
        if self.radii[0] == self.radii[1]:
            return fraction
        nodes = np.linspace(0, 1, 257)
        run = np.abs(self._run(self._t(nodes)) - self._run(self.start))
        s, wanted = np.interp(fraction * run[-1], run, nodes), fraction * run[-1]
        for _ in range(4):  # Newton from a start that is good to 1e-4: squared each time
            excess = np.abs(self._run(self._t(s)) - self._run(self.start)) - wanted
            s = np.clip(s - excess / np.linalg.norm(self.derivative(s), axis=-1), 0, 1)
        return s

    def part(self, start: float, end: float) -> "Arc":
        return replace(self, start=float(self._t(start)), end=float(self._t(end)))

    def parameter(self, t: np.ndarray | float) -> np.ndarray:
        """The s of angles t (mod a turn): in [0, 1] on the arc, and beyond the nearer end elsewhere."""
        sweep = abs(self._sweep)
        forward = (np.asarray(t) - self.start) * np.sign(self._sweep)
        middle = np.mod(forward - sweep / 2 + np.pi, 2 * np.pi) - np.pi + sweep / 2
        return np.asarray(middle / sweep)

    def closest(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64)
        local = np.linalg.solve(self.frame, (points - self.center).reshape(-1, 2).T).T
        if self.radii[0] == self.radii[1]:
            s = self._clipped(np.arctan2(local[:, 1], local[:, 0]))
            return s.reshape(points.shape[:-1])
        return self._closest_on_ellipse(points.reshape(-1, 2)).reshape(points.shape[:-1])

    def _clipped(self, t: np.ndarray) -> np.ndarray:
        """Parameters of angles; beyond the ends the nearer end in angle, which on a circle is the closer one."""
        return np.clip(self.parameter(t), 0, 1)

    def _closest_on_ellipse(self, points: np.ndarray) -> np.ndarray:
        """From the best of some places, bisection on the derivative of the squared distance."""
        nodes = np.linspace(0, 1, _STARTS)
        far = np.linalg.norm(points[:, None] - self.at(nodes), axis=-1)
        middle = nodes[far.argmin(axis=1)]
        low, high = middle - nodes[1], middle + nodes[1]
        if not self.closed:
            low, high = np.maximum(low, 0), np.minimum(high, 1)
        for _ in range(_BISECTIONS):
            s = (low + high) / 2
            rising = np.einsum("ni,ni->n", self.at(s) - points, self.derivative(s)) > 0
            low, high = np.where(rising, low, s), np.where(rising, s, high)
        return np.mod((low + high) / 2, 1) if self.closed else (low + high) / 2

    def holds(self, points: np.ndarray, tolerance: float) -> np.ndarray:
        """The distance is taken to first order from the implicit equation, exact for tolerances far below the radii."""
        points = np.asarray(points, dtype=np.float64)
        local = (points - self.center) @ np.linalg.inv(self.frame).T
        radius = np.linalg.norm(local, axis=-1)
        slope = np.linalg.norm(local @ np.linalg.inv(self.frame), axis=-1)
        on_ellipse = (np.abs(radius - 1) * radius <= tolerance * slope) & (radius > 0.5)
        s = self.parameter(np.arctan2(local[..., 1], local[..., 0]))
        slack = tolerance / (min(self.radii) * abs(self._sweep))
        return np.asarray(on_ellipse & (s >= -slack) & (s <= 1 + slack))

    def turns(self) -> np.ndarray:
        return self._extremes(1)

    def _turns_in_x(self) -> np.ndarray:
        return self._extremes(0)

    def _extremes(self, axis: int) -> np.ndarray:
        """Where coordinate `axis`, ``center + rho cos(t - delta)``, has its extremes inside the arc."""
        across, along = self.frame[axis]
        t = np.arctan2(along, across) + np.pi * np.arange(2)
        s = np.concatenate([self.parameter(t), self.parameter(t) + 2 * np.pi / abs(self._sweep)])
        return np.sort(s[(s > 1e-15) & (s < 1 - 1e-15)])

    def x_at(self, y: np.ndarray, start: float, end: float) -> np.ndarray:
        across, along = self.frame[1]
        delta = np.arctan2(along, across)
        turn = np.arccos(np.clip((y - self.center[1]) / np.hypot(across, along), -1, 1))
        middle = self._t((start + end) / 2) - delta
        upper = np.floor(middle / np.pi)  # t - delta lies in [upper, upper + 1] pi
        t = delta + np.where(upper % 2 == 0, upper * np.pi + turn, (upper + 1) * np.pi - turn)
        return self.center[0] + self.frame[0, 0] * np.cos(t) + self.frame[0, 1] * np.sin(t)

    @property
    def doubled_area(self) -> float:
        chord = self.at(1.0) - self.at(0.0)
        about_center = self.radii[0] * self.radii[1] * self._sweep
        return about_center + self.center[0] * float(chord[1]) - self.center[1] * float(chord[0])

    def continued_by(self, other: Curve, tolerance: float) -> "Arc | None":
        if not isinstance(other, Arc) or replace(other, start=self.start, end=self.end) != self:
            return None
        sweep = self._sweep + other._sweep
        if self._sweep * other._sweep < 0 or abs(sweep) > 2 * np.pi * (1 + 1e-12):
            return None
        return replace(self, end=self.start + float(np.clip(sweep, -2 * np.pi, 2 * np.pi)))


def rotation(angle: float) -> np.ndarray:
    """The matrix (2, 2) that turns by `angle` radians counter-clockwise."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
