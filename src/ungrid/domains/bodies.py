"""What lies within a boundary: sides, sizes and quadrature, for each dimension.

Convention: `side` is 1 inside, 0 on the boundary and -1 outside. A rule is points (n, d) and weights (n,) that sum to
the size. `order` is the degree of the polynomials that a rule integrates exactly on straight cells, `h` the largest
size of a cell (None: as few cells as possible).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.cells import planar_rule
from ungrid.domains.outline import ON, Outline
from ungrid.domains.pieces import Point, gauss


class Rule(NamedTuple):
    """A quadrature rule: points (n, d) inside the region and positive weights (n,)."""

    points: np.ndarray
    weights: np.ndarray


class Body(ABC):
    """The inside of a boundary."""

    @property
    @abstractmethod
    def size(self) -> float:
        """Length, area or volume."""

    @abstractmethod
    def side(self, points: np.ndarray) -> np.ndarray:
        """1 inside, 0 on the boundary, -1 outside: int8 (*batch,) for points (*batch, d)."""

    @abstractmethod
    def rule(self, order: int, h: float | None) -> Rule:
        """Quadrature over the region."""


@dataclass(frozen=True, eq=False)
class LineBody(Body):
    """Intervals between pairs of end points."""

    pieces: tuple[Point, ...]

    @cached_property
    def intervals(self) -> np.ndarray:
        """The intervals (k, 2) in ascending order."""
        ends = sorted(self.pieces, key=lambda point: (point.x, -point.outward))
        if [end.outward for end in ends] != [-1.0, 1.0] * (len(ends) // 2) or not ends:
            raise InputError("end points that do not alternate", "a low and a high end for each interval")
        return np.array([end.x for end in ends]).reshape(-1, 2)

    @property
    def size(self) -> float:
        return float(np.diff(self.intervals, axis=1).sum())

    def side(self, points: np.ndarray) -> np.ndarray:
        x = np.asarray(points, dtype=np.float64)[..., 0, None]
        low, high = self.intervals.T
        inside = ((x > low) & (x < high)).any(axis=-1)
        on = np.isin(x[..., 0], self.intervals)
        return np.where(on, 0, np.where(inside, 1, -1)).astype(np.int8)

    def rule(self, order: int, h: float | None) -> Rule:
        parts = [tensor_rule(np.array([low]), np.array([high]), order, h) for low, high in self.intervals]
        return stacked(parts)


@dataclass(frozen=True, eq=False)
class PlaneBody(Body):
    """The inside of an outline."""

    outline: Outline

    @property
    def size(self) -> float:
        return self.outline.area

    def side(self, points: np.ndarray) -> np.ndarray:
        return self.outline.side(points)

    def rule(self, order: int, h: float | None) -> Rule:
        return Rule(*planar_rule(self.outline, order, h))


@dataclass(frozen=True, eq=False)
class BoxBody(Body):
    """A product of intervals; tensor products of Gauss rules, exact for each degree up to `order` in every axis."""

    low: np.ndarray
    high: np.ndarray

    @property
    def size(self) -> float:
        return float(np.prod(self.high - self.low))

    def side(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points)
        closed = ((points >= self.low) & (points <= self.high)).all(axis=-1)
        opened = ((points > self.low) & (points < self.high)).all(axis=-1)
        return np.where(opened, 1, np.where(closed, 0, -1)).astype(np.int8)

    def rule(self, order: int, h: float | None) -> Rule:
        return tensor_rule(self.low, self.high, order, h)


@dataclass(frozen=True, eq=False)
class EllipseBody(Body):
    """A disk or ellipse; Gauss rules in the squared radius and equal steps in the angle: exact for polynomials."""

    center: np.ndarray
    frame: np.ndarray

    @property
    def size(self) -> float:
        return float(np.pi * np.linalg.det(self.frame))

    def side(self, points: np.ndarray) -> np.ndarray:
        return _radial_side(np.asarray(points), self.center, self.frame)

    def rule(self, order: int, h: float | None) -> Rule:
        rings, turns = order // 2 + 1, order + 1
        if h is not None:  # a cell is about a ring wide and a turn long
            largest = float(np.linalg.norm(self.frame, 2))
            rings, turns = max(rings, int(np.ceil(largest / h))), max(turns, int(np.ceil(2 * np.pi * largest / h)))
        square, weights = gauss(2 * rings - 2)  # r dr = d(r^2) / 2
        t = 2 * np.pi * (np.arange(turns) + 0.5) / turns
        circle = np.stack([np.cos(t), np.sin(t)], axis=-1)
        points = (np.sqrt(square)[:, None, None] * circle).reshape(-1, 2) @ self.frame.T + self.center
        return Rule(points, np.repeat(weights, turns) * self.size / turns)


@dataclass(frozen=True, eq=False)
class BallBody(Body):
    """A ball in space; Gauss rules in radius and height, equal steps in the angle: exact for polynomials."""

    center: np.ndarray
    radius: float

    @property
    def size(self) -> float:
        return float(4 / 3 * np.pi * self.radius**3)

    def side(self, points: np.ndarray) -> np.ndarray:
        return _radial_side(np.asarray(points), self.center, self.radius * np.eye(3))

    def rule(self, order: int, h: float | None) -> Rule:
        finer = order if h is None else max(order, int(np.ceil(2 * np.pi * self.radius / h)))
        radius, shells = gauss(finer + 2)
        directions, weights = sphere_rule(finer)
        points = radius[:, None, None] * directions
        shells = 4 * np.pi * self.radius**3 * shells * radius**2
        return Rule(self.center + self.radius * points.reshape(-1, 3), np.outer(shells, weights).ravel())


def sphere_rule(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (n, 3) and weights (n,) of sum 1, exact for polynomials of the given degree on the unit sphere."""
    height, weights = gauss(order)
    height, turns = 2 * height - 1, order + 1
    t, ring = 2 * np.pi * np.arange(turns) / turns, np.sqrt(1 - height**2)[:, None]
    directions = np.stack([ring * np.cos(t), ring * np.sin(t), np.repeat(height[:, None], turns, axis=1)], axis=-1)
    return directions.reshape(-1, 3), np.repeat(weights, turns) / turns


def _radial_side(points: np.ndarray, center: np.ndarray, frame: np.ndarray) -> np.ndarray:
    radius = np.linalg.norm((points - center) @ np.linalg.inv(frame).T, axis=-1)
    tolerance = 2 * ON + 1e-15 * np.abs(center).max() / np.linalg.norm(frame, -2)
    return np.where(np.abs(radius - 1) <= tolerance, 0, np.where(radius < 1, 1, -1)).astype(np.int8)


def tensor_rule(low: np.ndarray, high: np.ndarray, order: int, h: float | None) -> Rule:
    """The product of Gauss rules on a box, cut into equal cells no longer than `h`."""
    axes = [_panels(float(a), float(b), order, h) for a, b in zip(low, high, strict=True)]
    grid = np.meshgrid(*(nodes for nodes, _ in axes), indexing="ij")
    weights = np.meshgrid(*(weights for _, weights in axes), indexing="ij")
    return Rule(np.stack(grid, axis=-1).reshape(-1, len(axes)), np.prod(weights, axis=0).ravel())


def _panels(low: float, high: float, order: int, h: float | None) -> tuple[np.ndarray, np.ndarray]:
    count = 1 if h is None else max(1, int(np.ceil((high - low) / h - 1e-9)))
    nodes, weights = gauss(order)
    width = (high - low) / count
    return (low + width * (np.arange(count)[:, None] + nodes)).ravel(), np.tile(weights * width, count)


def stacked(rules: Sequence[Rule]) -> Rule:
    """Several rules as one."""
    return Rule(np.concatenate([rule.points for rule in rules]), np.concatenate([rule.weights for rule in rules]))
