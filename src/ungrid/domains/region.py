"""Bounded regions of space with a boundary of named, smooth pieces.

Convention: points are (n, d) float64, columns in the order of `axes`, in the user's units; normals point outwards and
have length 1. Every random draw takes a generator. A *part* is all pieces of one name.
"""

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy  # whose statistics are imported where they are first used: they take a second

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Body, LineBody, PlaneBody, Rule
from ungrid.domains.curves import Curve
from ungrid.domains.domain import Axis, Domain
from ungrid.domains.outline import Corner, Outline
from ungrid.domains.pieces import BoundaryRule, Piece, Point, Predicate

if TYPE_CHECKING:
    import ungrid.domains.csg
    import ungrid.domains.named
    import ungrid.domains.spacetime

_METHODS = ("sobol", "uniform")
_BLOCK = 2**16  # points drawn at once
_ATTEMPTS = 10_000  # blocks, before a region is called empty


class BoundarySample(NamedTuple):
    """Points (n, d) on a boundary, their outward unit normals (n, d) and the names (n,) of their parts."""

    points: np.ndarray
    normals: np.ndarray
    parts: np.ndarray


class Region(Domain):
    """A bounded region of space; subclasses say what bounds it."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[Piece, ...]:
        """The smooth pieces of the boundary: `Point`, `Segment` and `Arc`, or surfaces, each with its name."""

    @cached_property
    def body(self) -> Body:
        """What decides sides, sizes and quadrature; here derived from the boundary, in one and two dimensions."""
        return bounded_body(self)

    @cached_property
    def outline(self) -> Outline:
        """The boundary of a plane region as closed loops of curves; without curves in other dimensions."""
        return Outline(tuple(piece for piece in self.pieces if isinstance(piece, Curve)))

    def side(self, points: np.ndarray) -> np.ndarray:
        """1 inside, 0 on the boundary, -1 outside: int8 (*batch,) for points (*batch, d)."""
        return self.body.side(points)

    def contains(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self.side(np.asarray(points)) >= 0)

    @property
    def measure(self) -> float:
        """Length, area or volume."""
        return self.body.size

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the boundary's parts, in the order of the pieces."""
        return tuple(dict.fromkeys(piece.name for piece in self.pieces))

    @property
    def given_names(self) -> frozenset[str]:
        """The names that a user has chosen: unlike the others they are shared when regions are put together."""
        return frozenset()

    @property
    def corners(self) -> tuple[Corner, ...]:
        """The corners of a plane region, and the places where the name changes; empty in other dimensions."""
        return self.outline.corners

    def pieces_of(self, part: str | None) -> tuple[Piece, ...]:
        """The pieces of one part; all for None.

        Raises:
            InputError: if there is no such part.
        """
        chosen = tuple(piece for piece in self.pieces if part is None or piece.name == part)
        if not chosen:
            raise InputError(f"the boundary part {part!r}", f"one of {', '.join(self.parts)}")
        return chosen

    def boundary_measure(self, part: str | None = None) -> float:
        """The number of end points, the length or the area of a part, or of the whole boundary."""
        return float(sum(piece.size for piece in self.pieces_of(part)))

    def sample(self, n: int, rng: np.random.Generator, method: str = "sobol") -> np.ndarray:
        """Points strictly inside.

        Args:
            n: how many.
            rng: the generator; a scrambled Sobol sequence is seeded from it.
            method: ``"sobol"`` (low discrepancy) or ``"uniform"`` (independent).

        Returns:
            (n, d) points, uniform over the region.

        Raises:
            InputError: if the method is unknown, n is negative, or the region is too thin to hit.
        """
        if method not in _METHODS or n < 0:
            raise InputError(f"{n} points by {method!r}", f"n >= 0 and one of {', '.join(_METHODS)}")
        cube = scipy.stats.qmc.Sobol(self.dim, scramble=True, seed=rng) if method == "sobol" else None
        rate = max(self.measure / float(np.prod(self.high - self.low)), 1e-6)
        return accepted(self, n, rate, cube, rng)

    def sample_boundary(self, n: int, rng: np.random.Generator, part: str | None = None) -> BoundarySample:
        """Independent points on the boundary, uniform in length or area (end points: equally often).

        Raises:
            InputError: if there is no such part.
        """
        pieces = self.pieces_of(part)
        sizes = np.array([piece.size for piece in pieces])
        chosen = rng.choice(len(pieces), size=n, p=sizes / sizes.sum())
        points, normals = np.empty((n, self.dim)), np.empty((n, self.dim))
        for number, piece in enumerate(pieces):
            rows = chosen == number
            points[rows], normals[rows] = piece.draw(int(rows.sum()), rng)
        return BoundarySample(points, normals, np.array([piece.name for piece in pieces])[chosen])

    def sample_near(
        self, points: np.ndarray, radius: float, n: int, rng: np.random.Generator, *, power: float = 2.0
    ) -> np.ndarray:
        """Points inside and close to the given ones, such as corners: distances are ``radius * u**power``, u uniform.

        Args:
            points: (k, d) or (d,): the places, each used equally often.
            radius: the largest distance.
            n: how many points.
            rng: the generator.
            power: 1 / d for a uniform density, higher for more points close by.

        Returns:
            (n, d) points strictly inside.

        Raises:
            InputError: if nothing of the region is within the radius of the points.
        """
        places = np.atleast_2d(np.asarray(points, dtype=np.float64))
        found, count = [np.zeros((0, self.dim))], 0
        for _ in range(1000):
            if count >= n:
                return np.concatenate(found)[:n]
            direction = rng.standard_normal((2 * n, self.dim))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            step = radius * rng.random((2 * n, 1)) ** power
            near = places[rng.integers(len(places), size=2 * n)] + step * direction
            near = near[self.side(near) > 0]
            found.append(near)
            count += len(near)
        raise InputError(f"no points of the region within {radius:g} of {places.tolist()}", "places in or on it")

    def quadrature(self, order: int = 8, h: float | None = None) -> Rule:
        """Points (n, d) inside and weights (n,) that integrate over the region.

        Args:
            order: the degree of the polynomials that are integrated exactly (near curved boundaries: to about 1e-12).
            h: the largest size of a cell; None takes as few cells as the shape allows.
        """
        return self.body.rule(order, h)

    def boundary_quadrature(self, part: str | None = None, order: int = 8) -> BoundaryRule:
        """Points, weights and normals that integrate over a part of the boundary, or over all of it."""
        rules = [piece.rule(order) for piece in self.pieces_of(part)]
        return BoundaryRule(*(np.concatenate(arrays) for arrays in zip(*rules, strict=True)))

    def normal(self, points: np.ndarray) -> np.ndarray:
        """The outward unit normals (n, d) at points (n, d) of the boundary; at a vertex that of one of its edges.

        Raises:
            InputError: if a point is farther from the boundary than 1e-6 of the region's extent.
        """
        points = np.asarray(points, dtype=np.float64)
        distances = np.stack([piece.distance(points) for piece in self.pieces])
        closest, off = distances.argmin(axis=0), distances.min(axis=0)
        if (off > 1e-6 * np.linalg.norm(self.high - self.low)).any():
            worst = int(off.argmax())
            raise InputError(f"the point {points[worst].tolist()}, {off[worst]:.3g} away", "points on the boundary")
        normals = np.empty_like(points)
        for number in np.unique(closest):
            normals[closest == number] = self.pieces[number].normal_at(points[closest == number])
        return normals

    def named(self, name: str, where: Predicate | str | Iterable[str] | None = None) -> "ungrid.domains.named.Named":
        """The same region with some of its boundary renamed.

        Args:
            name: the new name; it may be an existing one, which then grows.
            where: names of parts, or a function from points (n, d) to booleans (n,): a piece on which it changes is
                split there, to the last bit. None renames everything.

        Raises:
            InputError: if a part does not exist or the function is true nowhere on the boundary.
        """
        from ungrid.domains.named import Named, renamed

        return Named(self, renamed(self, name, where))

    def __sub__(self, other: "Region") -> "ungrid.domains.csg.Difference":
        from ungrid.domains.csg import Difference

        return Difference(self, other)

    def __or__(self, other: "Region") -> "ungrid.domains.csg.Union":
        from ungrid.domains.csg import Union

        return Union(self, other)

    def __and__(self, other: "Region") -> "ungrid.domains.csg.Intersection":
        from ungrid.domains.csg import Intersection

        return Intersection(self, other)

    def __mul__(self, time: "ungrid.domains.spacetime.Time") -> "ungrid.domains.spacetime.SpaceTime":
        from ungrid.domains.spacetime import SpaceTime

        return SpaceTime(self, time)


def bounded_body(region: Region) -> Body:
    """The inside of a region of one or two dimensions, by its boundary alone."""
    points = tuple(piece for piece in region.pieces if isinstance(piece, Point))
    return LineBody(points) if points else PlaneBody(region.outline)


def accepted(
    domain: "Region | ungrid.domains.spacetime.SpaceTime",
    n: int,
    rate: float,
    cube: "scipy.stats.qmc.Sobol | None",
    rng: np.random.Generator,
) -> np.ndarray:
    """The first n points of the bounding box that lie inside; `rate` of them are expected to."""
    low, length = domain.low, domain.high - domain.low
    found, count, drawn = [np.zeros((0, domain.dim))], 0, 0
    for _ in range(_ATTEMPTS):
        if count >= n:
            return np.concatenate(found)[:n]
        size = min(_BLOCK, 1 << int(np.ceil(np.log2(max(16, (n - count) / rate)))))
        if cube is not None and drawn:  # whole powers of two: the sequence stays balanced, and scipy does not warn
            size = min(size, drawn & -drawn)
        unit = cube.random(size) if cube is not None else rng.random((size, domain.dim))
        drawn += size
        points = low + length * unit
        found.append(points[domain.side(points) > 0])
        count += len(found[-1])
    raise InputError(f"a region of measure {domain.measure:g} in {domain.box}", "a region that random points can hit")


def bounding_axes(names: tuple[str, ...], unit: str, pieces: Iterable[Piece]) -> tuple[Axis, ...]:
    """The axes of the smallest box around the pieces."""
    lows, highs = zip(*(piece.bounds for piece in pieces), strict=True)
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    if len(names) != len(low) or len(set(names)) < len(names):
        raise InputError(f"the axes {', '.join(names)}", f"{len(low)} different names")
    return tuple(Axis(name, float(a), float(b), unit) for name, a, b in zip(names, low, high, strict=True))
