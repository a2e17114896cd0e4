"""The functions that a solution is made of: random features, and what is singular at corners and in holes.

Convention: unit coordinates of the field; `scale` is the largest slope of a random feature over half an axis. Along an axis
where the given functions (source, boundary and initial values) oscillate (`given_waves`), slopes are larger by as much; where
they oscillate fast, slopes are drawn around those of the oscillation instead, which no small basis could find out.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Corner, Domain
from ungrid.encodings import CornerFunctions, Joined, Multipoles, RandomFeatures
from ungrid.equations import Dirichlet, Problem, SecondOrder, coefficients
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear

SINGULAR_TERMS = 8  # exponents at a corner
SMOOTH = 1e-6  # radians: a corner this close to straight, between conditions of one kind, is none
HIGHEST_EXPONENT = 8.0  # above it a singular function is smooth enough for the random features
POLES = 10  # order of the multipoles of a hole
FAST, MOST_WAVES = 3.0, 64.0  # half waves over half an axis
LOOKED_AT = 512  # points at which a given function is looked at


@dataclass(frozen=True)
class Features:
    """Which random features.

    Attributes:
        count: how many.
        scale: their largest slope.
        shape: "tanh" or "sine".
    """

    count: int
    scale: float
    shape: str


def random_field(problem: Problem, features: Features, *, seed: int) -> NeuralField:
    """An unfitted field on the problem's domain: random features, joined with the singular functions of its corners.

    Args:
        problem: the problem.
        features: which random features.
        seed: of their directions and places.
    """
    domain: Domain = problem.domain
    units, waves = unit_scale(domain), given_waves(problem)
    extent = tuple(axis.length / 2 / s for axis, s in zip(domain.axes, units, strict=True))
    fast = tuple(w > FAST for w in waves)
    slopes = tuple((1.0 if f else w) * features.scale / e for w, f, e in zip(waves, fast, extent, strict=True))
    center = tuple(math.pi * w / e if f else 0.0 for w, f, e in zip(waves, fast, extent, strict=True))
    random = RandomFeatures(
        domain.dim, features.count, scale=slopes, extent=extent, center=center, shape=features.shape, seed=seed
    )
    singular = (*corner_functions(problem), *hole_functions(problem))
    encoding = Joined((random, *singular)) if singular else random
    network = Linear(encoding.out_features, len(problem.equation.out_names))
    with torch.no_grad():
        network.weight.zero_()
    return NeuralField(domain.box, encoding, network, out_names=problem.equation.out_names).double()


def given_waves(problem: Problem) -> tuple[float, ...]:
    """Half waves of the given functions over half of every axis, at least 1 and at most `MOST_WAVES`.

    Of a function its root mean square derivative over its standard deviation, the larger of all; a wave has its frequency.
    """
    waves, rng = np.ones(problem.domain.dim), np.random.default_rng(0)
    half = (problem.domain.high - problem.domain.low) / 2
    for given, points in _given_functions(problem, rng):
        value = coefficients.values("a given function", given, points, problem.axes).reshape(len(points), -1)
        spread = float(value.std(axis=0).max())
        try:
            with np.errstate(all="ignore"):
                slopes = coefficients.gradient(
                    "a given function", given, points, problem.axes, problem.axes, 2 * half
                ).reshape(len(points), -1, len(half))
        except InputError:  # not defined beside the domain: its slopes are not known
            continue
        if spread > 0:
            waves = np.maximum(waves, np.sqrt((slopes**2).mean(axis=0).max(axis=0)) / spread * half / math.pi)
    return tuple(np.minimum(waves, MOST_WAVES).tolist())


def _given_functions(problem: Problem, rng: np.random.Generator) -> Iterator[tuple[Callable[..., Any], np.ndarray]]:
    """Every function among source and values, with points (n, d) where it counts."""
    equation = problem.equation
    if isinstance(equation, SecondOrder) and callable(equation.source):
        yield equation.source, problem.domain.sample(LOOKED_AT, rng)
    for condition, parts in problem.boundary_conditions():
        if callable(condition.value):
            for part in parts:
                yield condition.value, problem.domain.sample_boundary(LOOKED_AT, rng, part=part).points


def corner_functions(problem: Problem) -> tuple[CornerFunctions, ...]:
    """The singular functions of a plane elliptic problem at every corner of its domain."""
    if problem.changes or problem.domain.dim != 2 or not isinstance(problem.equation, SecondOrder):
        return ()
    found = (_at_corner(problem, corner) for corner in problem.domain.corners)
    return tuple(functions for functions in found if functions is not None)


def _at_corner(problem: Problem, corner: Corner) -> CornerFunctions | None:
    """Exponents k π / ω, or (k - 1/2) π / ω between Dirichlet and Neumann conditions."""
    kinds = [_is_fixed(problem, part) for part in corner.parts]
    if kinds[0] == kinds[1] and abs(corner.angle - math.pi) < SMOOTH:
        return None
    shift = 0.0 if kinds[0] == kinds[1] else 0.5
    exponents = tuple((k - shift) * math.pi / corner.angle for k in range(1, SINGULAR_TERMS + 1))
    exponents = tuple(_rounded(e) for e in exponents if e <= HIGHEST_EXPONENT)
    units, middle = unit_scale(problem.domain), (problem.domain.low + problem.domain.high) / 2
    direction = math.atan2(corner.directions[0][1], corner.directions[0][0])
    if not exponents or units[0] != units[1]:
        return None
    vertex = (float(corner.vertex[0] - middle[0]) / units[0], float(corner.vertex[1] - middle[1]) / units[0])
    return CornerFunctions(vertex, direction, corner.angle, exponents, cosine=not kinds[0])


def _rounded(exponent: float) -> float:
    """A whole number where rounding alone keeps it from being one."""
    return float(round(exponent)) if abs(exponent - round(exponent)) < 1e-9 else exponent


def _is_fixed(problem: Problem, part: str) -> bool:
    """Whether a part has a Dirichlet condition."""
    return any(part in parts and isinstance(c, Dirichlet) for c, parts in problem.boundary_conditions())


def hole_functions(problem: Problem) -> tuple[Multipoles, ...]:
    """Multipoles about the centre of every round hole of a plane elliptic domain."""
    if problem.changes or problem.domain.dim != 2:
        return ()
    units, middle = unit_scale(problem.domain), (problem.domain.low + problem.domain.high) / 2
    if units[0] != units[1]:
        return ()
    circles = {(p.center, p.radii[0]) for p in problem.domain.pieces if isinstance(p, Arc) and p.radii[0] == p.radii[1]}
    return tuple(
        Multipoles(((c[0] - middle[0]) / units[0], (c[1] - middle[1]) / units[0]), radius / units[0], POLES)
        for c, radius in sorted(circles)
        if not problem.domain.contains(np.array(c))
    )
