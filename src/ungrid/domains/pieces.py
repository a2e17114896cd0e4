"""What a smooth piece of a boundary can do, in any dimension; and the end points of intervals.

Convention: sizes are 1 for a point, the length of a curve, the area of a surface. Points and normals are (n, d),
normals outward and of length 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

Predicate = Callable[[np.ndarray], np.ndarray]


class BoundaryRule(NamedTuple):
    """A quadrature rule on a boundary: points (n, d), weights (n,) and outward unit normals (n, d)."""

    points: np.ndarray
    weights: np.ndarray
    normals: np.ndarray


class Piece(ABC):
    """A smooth piece of a boundary."""

    name: str

    @property
    @abstractmethod
    def size(self) -> float:
        """1 for a point, the length of a curve, the area of a surface."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest coordinates, (d,) each."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`n` points, uniform in size, and their normals."""

    @abstractmethod
    def rule(self, order: int) -> BoundaryRule:
        """Quadrature, exact for polynomials of the given degree where the piece is flat."""

    @abstractmethod
    def distance(self, points: np.ndarray) -> np.ndarray:
        """The distances (n,) of the points (n, d)."""

    @abstractmethod
    def normal_at(self, points: np.ndarray) -> np.ndarray:
        """The normals (n, d) at the places closest to the points (n, d)."""

    @abstractmethod
    def split(self, predicate: Predicate) -> list[tuple["Piece", bool]]:
        """The parts on which the predicate of points (n, d) is true or false throughout."""

    @abstractmethod
    def flipped(self) -> "Piece":
        """The same piece as the boundary of the other side."""

    def renamed(self, name: str) -> "Piece":
        return replace(self, name=name)  # type: ignore[type-var]


@dataclass(frozen=True)
class Point(Piece):
    """An end of an interval at `x`; the region lies below it where `outward` is 1 and above it where it is -1."""

    x: float
    outward: float
    name: str = "boundary"

    @property
    def size(self) -> float:
        return 1.0

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([self.x]), np.array([self.x])

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return np.full((n, 1), self.x), np.full((n, 1), self.outward)

    def rule(self, order: int) -> BoundaryRule:
        return BoundaryRule(np.array([[self.x]]), np.ones(1), np.array([[self.outward]]))

    def distance(self, points: np.ndarray) -> np.ndarray:
        return np.abs(points[..., 0] - self.x)

    def normal_at(self, points: np.ndarray) -> np.ndarray:
        return np.full(points.shape, self.outward)

    def split(self, predicate: Predicate) -> list[tuple[Piece, bool]]:
        return [(self, bool(np.ravel(predicate(np.array([[self.x]])))[0]))]

    def flipped(self) -> "Point":
        return replace(self, outward=-self.outward)


def gauss(order: int) -> tuple[np.ndarray, np.ndarray]:
    """The shortest Gauss-Legendre rule on [0, 1] that is exact for polynomials of the given degree."""
    nodes, weights = np.polynomial.legendre.leggauss(max(order, 0) // 2 + 1)
    return (nodes + 1) / 2, weights / 2
