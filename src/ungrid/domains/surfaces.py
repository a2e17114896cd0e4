"""The pieces of boundaries in space: parallelograms, spheres, sheets of triangles, and surfaces of which a part is kept.

Convention: normals point out of the region; points are (n, 3).
"""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy  # whose statistics are imported where they are first used: they take a second
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains.bodies import sphere_rule
from ungrid.domains.pieces import BoundaryRule, Piece, Predicate, gauss

Triple = tuple[float, float, float]
_ESTIMATE = 2**14  # points from which the area of a kept part is estimated
_FINE = 24  # cells along each direction of a surface of which only a part is kept
_NEAR = 12  # nearest triangles, by their middles, of which the closest is taken


class Surface(Piece):
    """A smooth piece of the boundary of a region in space."""

    @property
    @abstractmethod
    def area(self) -> float:
        """The area."""

    @abstractmethod
    def at(self, s: np.ndarray) -> np.ndarray:
        """Points (n, 3) at the parameters s (n, 2) in the unit square, which they fill evenly in area."""

    @abstractmethod
    def fine_rule(self, order: int, cells: int) -> BoundaryRule:
        """Quadrature on about `cells` by `cells` parts."""

    @property
    def size(self) -> float:
        return self.area

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        points = self.at(rng.random((n, 2)))
        return points, self.normal_at(points)

    def rule(self, order: int) -> BoundaryRule:
        return self.fine_rule(order, 1)

    def split(self, predicate: Predicate) -> list[tuple[Piece, bool]]:
        """Two kept parts, unless the predicate has one value at 4096 even points."""
        values = np.asarray(predicate(self.at(_even(4096)))).reshape(-1).astype(bool)
        if values.all() or not values.any():
            return [(self, bool(values[0]))]
        return [(Trimmed(self, predicate, True, self.name), True), (Trimmed(self, predicate, False, self.name), False)]


@dataclass(frozen=True)
class Facet(Surface):
    """The parallelogram ``origin + s u + t v``, s and t in [0, 1]; its normal is along ``u x v``."""

    origin: Triple
    u: Triple
    v: Triple
    name: str = "boundary"

    @property
    def normal(self) -> np.ndarray:
        """The outward unit normal (3,)."""
        doubled = np.cross(self.u, self.v)
        return doubled / np.linalg.norm(doubled)

    @property
    def area(self) -> float:
        return float(np.linalg.norm(np.cross(self.u, self.v)))

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        corners = self.at(np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]]))
        return corners.min(axis=0), corners.max(axis=0)

    def at(self, s: np.ndarray) -> np.ndarray:
        return np.asarray(self.origin) + s[:, :1] * self.u + s[:, 1:] * self.v

    def fine_rule(self, order: int, cells: int) -> BoundaryRule:
        nodes, weights = gauss(order)
        nodes = ((np.arange(cells)[:, None] + nodes) / cells).ravel()
        weights = np.tile(weights / cells, cells)
        points = self.at(np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2))
        return BoundaryRule(points, np.outer(weights, weights).ravel() * self.area, self.normal_at(points))

    def distance(self, points: np.ndarray) -> np.ndarray:
        s = (points - np.asarray(self.origin)) @ np.linalg.pinv(np.array([self.u, self.v]))
        if np.dot(self.u, self.v) == 0:
            return np.linalg.norm(points - self.at(np.clip(s, 0, 1)), axis=-1)
        triangles = self.at(np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]]))[[[0, 1, 3], [0, 3, 2]]]
        return np.minimum(*(triangle_distance(points, np.broadcast_to(t, (len(points), 3, 3))) for t in triangles))

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        return np.tile(self.normal, (len(points), 1))

    def flipped(self) -> "Facet":
        return replace(self, u=self.v, v=self.u)


@dataclass(frozen=True)
class SpherePatch(Surface):
    """A sphere; its normal points away from the center where `outward` is 1, towards it where it is -1."""

    center: tuple[float, ...]
    radius: float
    outward: float = 1.0
    name: str = "boundary"

    @property
    def area(self) -> float:
        return float(4 * np.pi * self.radius**2)

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(self.center) - self.radius, np.asarray(self.center) + self.radius

    def at(self, s: np.ndarray) -> np.ndarray:
        """Height and angle: bands of equal height have equal areas (Archimedes)."""
        height, t = 2 * s[:, 0] - 1, 2 * np.pi * s[:, 1]
        ring = np.sqrt(1 - height**2)
        return np.asarray(self.center) + self.radius * np.stack([ring * np.cos(t), ring * np.sin(t), height], axis=-1)

    def fine_rule(self, order: int, cells: int) -> BoundaryRule:
        directions, weights = sphere_rule(order + 8 * (cells - 1))
        points = np.asarray(self.center) + self.radius * directions
        return BoundaryRule(points, weights * self.area, self.outward * directions)

    def distance(self, points: np.ndarray) -> np.ndarray:
        return np.abs(np.linalg.norm(points - np.asarray(self.center), axis=-1) - self.radius)

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        out = points - np.asarray(self.center)
        return self.outward * out / np.linalg.norm(out, axis=-1, keepdims=True)

    def flipped(self) -> "SpherePatch":
        return replace(self, outward=-self.outward)


@dataclass(frozen=True, eq=False)
class Sheet(Surface):
    """Triangles under one name: `vertices` (V, 3), `faces` (F, 3), counter-clockwise seen from outside."""

    vertices: np.ndarray
    faces: np.ndarray
    name: str = "boundary"

    @cached_property
    def triangles(self) -> np.ndarray:
        """The corners, (F, 3, 3)."""
        return self.vertices[self.faces]

    @cached_property
    def _doubled(self) -> np.ndarray:
        a, b, c = np.moveaxis(self.triangles, 1, 0)
        return np.cross(b - a, c - a)

    @cached_property
    def areas(self) -> np.ndarray:
        """The areas of the triangles, (F,)."""
        return np.linalg.norm(self._doubled, axis=1) / 2

    @property
    def normals(self) -> np.ndarray:
        """The outward unit normals of the triangles, (F, 3)."""
        return self._doubled / np.linalg.norm(self._doubled, axis=1, keepdims=True)

    @property
    def area(self) -> float:
        return float(self.areas.sum())

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        corners = self.triangles.reshape(-1, 3)
        return corners.min(axis=0), corners.max(axis=0)

    def _chosen(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The triangle at the fraction s of the summed areas, and what is left of s within it."""
        run = np.concatenate([[0.0], np.cumsum(self.areas)])
        face = np.clip(np.searchsorted(run, s * run[-1], side="right") - 1, 0, len(self.areas) - 1)
        return face, np.clip((s * run[-1] - run[face]) / self.areas[face], 0, 1)

    def at(self, s: np.ndarray) -> np.ndarray:
        face, rest = self._chosen(s[:, 0])
        root, v = np.sqrt(rest)[:, None], s[:, 1:]  # Osada et al. 2002, equation 1
        a, b, c = np.moveaxis(self.triangles[face], 1, 0)
        return (1 - root) * a + root * (1 - v) * b + root * v * c

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        s = rng.random((n, 2))
        return self.at(s), self.normals[self._chosen(s[:, 0])[0]]

    def fine_rule(self, order: int, cells: int) -> BoundaryRule:
        """Products of Gauss rules in collapsed coordinates on every triangle; `cells` has no effect."""
        nodes, weights = gauss(order + 1)
        t, v = (grid.ravel() for grid in np.meshgrid(nodes, nodes, indexing="ij"))
        a, b, c = (corner[:, None] for corner in np.moveaxis(self.triangles, 1, 0))
        points = a + t[:, None] * ((1 - v[:, None]) * (b - a) + v[:, None] * (c - a))
        spread = 2 * self.areas[:, None] * (np.outer(weights, weights).ravel() * t)
        return BoundaryRule(points.reshape(-1, 3), spread.ravel(), np.repeat(self.normals, len(t), axis=0))

    def distance(self, points: np.ndarray) -> np.ndarray:
        return self._closest(points)[1]

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        return self.normals[self._closest(points)[0]]

    def _closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The closest triangle and its distance: exact, by a search in balls around the triangles' middles."""
        middles = self.triangles.mean(axis=1)
        reach = float(np.linalg.norm(self.triangles - middles[:, None], axis=-1).max())
        tree = cKDTree(middles)
        count = min(_NEAR, len(middles))
        _, near = tree.query(points, k=np.arange(1, count + 1))
        face, distance = self._best(points, near)
        for row in np.flatnonzero(distance + reach > np.linalg.norm(points - middles[near[:, -1]], axis=1)):
            ball = np.array(tree.query_ball_point(points[row], distance[row] + reach))  # nothing closer lies beyond it
            if len(ball):
                (face[row],), (distance[row],) = self._best(points[row][None], ball[None])
        return face, distance

    def _best(self, points: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = candidates.shape[1]
        far = triangle_distance(np.repeat(points, count, axis=0), self.triangles[candidates].reshape(-1, 3, 3))
        far = far.reshape(-1, count)
        column, row = far.argmin(axis=1), np.arange(len(points))
        return candidates[row, column], far[row, column]

    def flipped(self) -> "Sheet":
        return replace(self, faces=self.faces[:, ::-1])


@dataclass(frozen=True, eq=False)
class Trimmed(Surface):
    """The part of a surface where a predicate of points (n, 3) has the given value.

    Its area and its quadrature are estimates (to about 1e-3 of the whole surface); points and normals are exact.
    """

    surface: Surface
    where: Predicate = field(repr=False)
    value: bool
    name: str = "boundary"

    def _kept(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self.where(points)).reshape(-1).astype(bool) == self.value

    @cached_property
    def area(self) -> float:
        return float(self.surface.area * self._kept(self.surface.at(_even(_ESTIMATE))).mean())

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.surface.bounds

    def at(self, s: np.ndarray) -> np.ndarray:
        raise InputError("parameters on a part of a surface", "a whole surface", "draw points from it instead")

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        points, normals, count = [np.zeros((0, 3))], [np.zeros((0, 3))], 0
        for _ in range(10_000):
            if count >= n:
                return np.concatenate(points)[:n], np.concatenate(normals)[:n]
            drawn, across = self.surface.draw(2 * n + 16, rng)
            kept = self._kept(drawn)
            points.append(drawn[kept])
            normals.append(across[kept])
            count += int(kept.sum())
        raise InputError(f"the part {self.name!r}", "a part with an area")

    def fine_rule(self, order: int, cells: int) -> BoundaryRule:
        points, weights, normals = self.surface.fine_rule(order, _FINE * cells)
        kept = self._kept(points)
        return BoundaryRule(points[kept], weights[kept], normals[kept])

    def split(self, predicate: Predicate) -> list[tuple[Piece, bool]]:
        points = self.surface.at(_even(_ESTIMATE))
        values = np.asarray(predicate(points[self._kept(points)])).reshape(-1).astype(bool)
        if values.all() or not values.any():
            return [(self, bool(values.any()))]
        return [(self._further(predicate, wanted), wanted) for wanted in (True, False)]

    def _further(self, predicate: Predicate, wanted: bool) -> "Trimmed":
        def both(points: np.ndarray) -> np.ndarray:
            chosen = np.asarray(predicate(points)).reshape(-1).astype(bool) == wanted
            return self._kept(points) & chosen

        return Trimmed(self.surface, both, True, self.name)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """To the whole surface, and infinite at points whose closest place is not kept, as far as `where` tells."""
        return np.where(self._kept(points), self.surface.distance(points), np.inf)

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        return self.surface.normal_at(points)

    def flipped(self) -> "Trimmed":
        flipped = self.surface.flipped()
        assert isinstance(flipped, Surface)
        return replace(self, surface=flipped)


def _even(n: int) -> np.ndarray:
    """`n` (a power of two) even points in the unit square, always the same."""
    return scipy.stats.qmc.Sobol(2, scramble=False).random(n) + 0.5 / n


def triangle_distance(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The distances (n,) of points (n, 3) to triangles (n, 3, 3), one each."""
    a, b, c = np.moveaxis(triangles, 1, 0)
    normal = np.cross(b - a, c - a)
    unit = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    above = np.ones(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        along, to = end - start, points - start
        above &= np.einsum("ni,ni->n", np.cross(normal, along), to) >= 0
        s = np.clip(np.einsum("ni,ni->n", along, to) / np.einsum("ni,ni->n", along, along), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(to - s[:, None] * along, axis=-1))
    return np.where(above, np.abs(np.einsum("ni,ni->n", unit, points - a)), nearest)
