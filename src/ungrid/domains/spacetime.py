"""Time, and regions of space over a span of time.

Convention: time is the last column; the lateral boundary has the names of the region's parts and spatial normals with
a zero in time; ``initial`` and ``final`` are the region at the first and the last time, with normals along -t and t.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy  # whose statistics are imported where they are first used: they take a second

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Rule, tensor_rule
from ungrid.domains.domain import Axis, Domain
from ungrid.domains.pieces import BoundaryRule, Piece, Point, Predicate
from ungrid.domains.region import BoundarySample, Region, accepted

INITIAL, FINAL = "initial", "final"


@dataclass(frozen=True)
class Time(Region):
    """The time from `start` to `end`: for ``region * Time(0, 1)``, and by itself for ordinary differential equations.

    Its parts are ``initial`` and ``final``.
    """

    start: float
    end: float
    name: str = "t"
    unit: str = ""

    def __post_init__(self) -> None:
        _ = self.axes  # checks the order

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (Axis(self.name, float(self.start), float(self.end), self.unit),)

    @cached_property
    def pieces(self) -> tuple[Point, ...]:
        return Point(float(self.start), -1.0, INITIAL), Point(float(self.end), 1.0, FINAL)

    @property
    def length(self) -> float:
        return self.end - self.start

    def slabs(self, k: int) -> tuple["Time", ...]:
        """`k` equal spans, one after another."""
        if k < 1:
            raise InputError(f"{k} slabs", "at least one")
        cuts = [float(t) for t in np.linspace(self.start, self.end, k + 1)]
        return tuple(replace(self, start=a, end=b) for a, b in pairwise(cuts))


@dataclass(frozen=True)
class SpaceTime(Domain):
    """`region` over `time`: the axes of the region, then that of time."""

    region: Region
    time: Time

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.region.axes]
        taken = {self.time.name} & set(names), {INITIAL, FINAL} & set(self.region.parts)
        if any(taken):
            raise InputError(
                f"space and time that both use {', '.join(sorted(taken[0] | taken[1]))}",
                f"an axis of time other than {', '.join(names)}, and no part called {INITIAL} or {FINAL}",
            )

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (*self.region.axes, *self.time.axes)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the region's parts, then ``initial`` and ``final``."""
        return (*self.region.parts, INITIAL, FINAL)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of the region's boundary; each stands for itself over all of the time."""
        return self.region.pieces

    @property
    def measure(self) -> float:
        """The region's measure times the length of time."""
        return self.region.measure * self.time.length

    def side(self, points: np.ndarray) -> np.ndarray:
        """1 inside, 0 on the boundary, -1 outside: int8 (*batch,) for points (*batch, d + 1)."""
        return np.minimum(self.region.side(points[..., :-1]), self.time.side(points[..., -1:]))

    def contains(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points)
        return np.asarray(self.region.contains(points[..., :-1]) & self.time.contains(points[..., -1:]))

    def slabs(self, k: int) -> tuple["SpaceTime", ...]:
        """The region over `k` equal spans of time, one after another."""
        return tuple(replace(self, time=time) for time in self.time.slabs(k))

    def boundary_measure(self, part: str | None = None) -> float:
        """The measure of a part: length or area of the region's part times the time, or the region's measure."""
        if part is None:
            return self.region.boundary_measure() * self.time.length + 2 * self.region.measure
        if part in (INITIAL, FINAL):
            return self.region.measure
        self._check(part)
        return self.region.boundary_measure(part) * self.time.length

    def _check(self, part: str | None) -> None:
        if part is not None and part not in self.parts:
            raise InputError(f"the boundary part {part!r}", f"one of {', '.join(self.parts)}")

    def sample(self, n: int, rng: np.random.Generator, method: str = "sobol") -> np.ndarray:
        """`n` points (n, d + 1) strictly inside, uniform over the region and the time."""
        if method == "uniform":
            return self._joined(self.region.sample(n, rng, method), self.time.sample(n, rng, method))
        cube = scipy.stats.qmc.Sobol(self.dim, scramble=True, seed=rng)
        rate = max(self.measure / float(np.prod(self.high - self.low)), 1e-6)
        return accepted(self, n, rate, cube, rng)

    @staticmethod
    def _joined(space: np.ndarray, time: np.ndarray) -> np.ndarray:
        return np.concatenate([space, time], axis=1)

    def sample_boundary(self, n: int, rng: np.random.Generator, part: str | None = None) -> BoundarySample:
        """Points on the lateral boundary, at the initial or at the final time, uniform in measure.

        Args:
            n: how many.
            rng: the generator.
            part: ``initial``, ``final``, a part of the region, or None for all of them.
        """
        self._check(part)
        if part is None:
            return self._everywhere(n, rng)
        if part in (INITIAL, FINAL):
            space = self.region.sample(n, rng)
            return self._at_end(space, part)
        lateral = self.region.sample_boundary(n, rng, part)
        return self._lateral(lateral, self.time.sample(n, rng, "uniform"))

    def _everywhere(self, n: int, rng: np.random.Generator) -> BoundarySample:
        sizes = np.array([self.boundary_measure(part) for part in self.parts])
        counts = rng.multinomial(n, sizes / sizes.sum())
        parts = [self.sample_boundary(int(k), rng, part) for k, part in zip(counts, self.parts, strict=True)]
        return BoundarySample(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _at_end(self, space: np.ndarray, part: str) -> BoundarySample:
        column = np.ones((len(space), 1))
        time, sign = (self.time.start, -1.0) if part == INITIAL else (self.time.end, 1.0)
        normals = self._joined(np.zeros_like(space), sign * column)
        return BoundarySample(self._joined(space, time * column), normals, np.full(len(space), part))

    def _lateral(self, lateral: BoundarySample, time: np.ndarray) -> BoundarySample:
        return BoundarySample(
            self._joined(lateral.points, time), self._joined(lateral.normals, np.zeros_like(time)), lateral.parts
        )

    def quadrature(self, order: int = 8, h: float | None = None) -> Rule:
        """Points (n, d + 1) and weights (n,): the product of the rules in space and in time."""
        space, time = self.region.quadrature(order, h), self.time.quadrature(order, h)
        return Rule(_product(space.points, time.points), np.outer(space.weights, time.weights).ravel())

    def boundary_quadrature(self, part: str, order: int = 8) -> BoundaryRule:
        """Points, weights and normals on one part."""
        self._check(part)
        if part in (INITIAL, FINAL):
            space = self.region.quadrature(order)
            ends = self._at_end(space.points, part)
            return BoundaryRule(ends.points, space.weights, ends.normals)
        points, weights, normals = self.region.boundary_quadrature(part, order)
        time = tensor_rule(np.array([self.time.start]), np.array([self.time.end]), order, None)
        flat = np.zeros((len(time.points), 1))
        spread = np.outer(weights, time.weights).ravel()
        return BoundaryRule(_product(points, time.points), spread, _product(normals, flat))

    def normal(self, points: np.ndarray) -> np.ndarray:
        """The outward unit normals (n, d + 1) at points of the boundary; at an edge that of one side."""
        points = np.asarray(points, dtype=np.float64)
        normals = np.zeros_like(points)
        initial, final = points[:, -1] <= self.time.start, points[:, -1] >= self.time.end
        lateral = ~(initial | final)
        normals[:, -1] = final.astype(float) - initial
        normals[lateral, :-1] = self.region.normal(points[lateral, :-1])
        return normals

    def named(self, name: str, where: Predicate | str | Iterable[str] | None = None) -> "SpaceTime":
        """With parts of the lateral boundary renamed; a predicate gets the spatial columns only."""
        return replace(self, region=self.region.named(name, where))


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """All rows of the first with all rows of the second behind them."""
    return np.concatenate([np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))], axis=1)
