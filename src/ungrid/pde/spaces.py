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
import scipy.fft
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Box, Corner, Domain, Outlined, Region, Segment
from ungrid.domains.pieces import Piece, Point
from ungrid.encodings import Constrained, CornerFunctions, Joined, Multipoles, RandomFeatures, Ridges
from ungrid.equations import Condition, Dirichlet, Problem, SecondOrder, coefficients
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.terms import is_hard

SINGULAR_TERMS = 8  # exponents at a corner
SMOOTH = 1e-6  # radians: a corner this close to straight, between conditions of one kind, is none
HIGHEST_EXPONENT = 8.0  # above it a singular function is smooth enough for the random features
RAYS, RAY_POINTS = 15, 600  # along which the singular functions of a corner may jump
POLES = 10  # order of the multipoles of a hole
FAST, MOST_WAVES = 3.0, 64.0  # half waves over half an axis
CHEBYSHEV, SMOOTH_ENOUGH = (8, 16, 32, 64), 1e-14  # polynomials along an axis; what the last of them may add
SAME = 1e-12  # difference of two bounding boxes, relative
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
    singular = (*corner_functions(problem), *hole_functions(problem.domain, units)) if not problem.changes else ()
    encoding: Any = Joined((random, *singular)) if singular else random
    if groups := hard_groups(problem):
        encoding = constrained(problem, encoding, groups)
    network = Linear(encoding.out_features, len(problem.equation.out_names))
    with torch.no_grad():
        network.weight.zero_()
        network.weight[-1:] += float(bool(groups))
    return NeuralField(drawn(domain), encoding, network, out_names=problem.equation.out_names).double()


def material_field(problem: Problem, region: Region, features: Features, *, seed: int) -> NeuralField:
    """An unfitted field over the region of one material, as `random_field`, for solutions that are found step by step."""
    domain = drawn(region)
    units, middle = unit_scale(domain), (domain.low + domain.high) / 2
    encoding: Any = placed(region, middle, np.array(units), features, seed)
    corners = (_at_corner(problem, region, corner) for corner in region.corners)
    singular = (*(one for one in corners if one is not None), *hole_functions(region, units))
    encoding = Joined((encoding, *singular)) if singular else encoding
    network = Linear(encoding.out_features, 1)
    return NeuralField(domain, encoding, network, out_names=problem.equation.out_names).double()


def placed(region: Region, middle: np.ndarray, units: np.ndarray, features: Features, seed: int) -> Ridges:
    """Ridges that bend at random places of the region: none is lost beside it, as in the box around a slender one."""
    rng = np.random.default_rng(seed)
    places = (region.sample(features.count, rng) - middle) / units
    half = region.measure ** (1 / region.dim) / 2 / units  # as in a square: a slender region is no wider than it is
    slopes = rng.uniform(-1, 1, places.shape) * features.scale / half
    return Ridges.at(places, slopes)


def drawn(domain: Domain) -> Domain:
    """The domain as a field stores it: a plane region by its outline, so that the field knows where it ends; else its box."""
    if not isinstance(domain, Region) or isinstance(domain, Box) or domain.dim != 2:
        return domain.box
    pieces = domain.outline.pieces
    if not all(isinstance(piece, Segment | Arc) for piece in domain.pieces):
        return domain.box
    names, unit = [axis.name for axis in domain.axes], domain.axes[0].unit
    found = Outlined([[pieces[k] for k in loop] for loop in domain.outline.loops], names, unit)
    ends = np.concatenate([domain.low - found.low, domain.high - found.high])
    return found if np.abs(ends).max() <= SAME * np.max(domain.high - domain.low) else domain.box


def hard_groups(problem: Problem) -> list[tuple[Condition, tuple[str, ...]]]:
    """The conditions that the field has by construction, with their parts.

    Raises:
        InputError: if the problem is of a kind for which there is no such construction.
    """
    found = [(c, parts) for c, parts in problem.boundary_conditions() if is_hard(c) and parts]
    if found and (problem.changes or problem.domain.dim > 2 or len(problem.equation.out_names) > 1):
        raise InputError(
            f"a hard condition for {len(problem.equation.out_names)} functions over {', '.join(problem.axes)}",
            "a stationary problem on a line or in the plane, with one unknown function", "leave hard out",
        )  # fmt: skip
    return found


def constrained(problem: Problem, inner: Any, groups: list[tuple[Condition, tuple[str, ...]]]) -> Constrained:
    """The features, constrained to what the conditions say."""
    units, middle = unit_scale(problem.domain), (problem.domain.low + problem.domain.high) / 2
    if len(set(units)) > 1:
        raise InputError(
            f"axes with the units {[axis.unit for axis in problem.domain.axes]}", "one unit", "leave hard out"
        )
    pieces = tuple(
        tuple(unit_piece(piece, middle, units[0]) for piece in problem.domain.pieces if piece.name in parts)
        for _, parts in groups
    )
    values = tuple(value_polynomial(problem, condition) for condition, _ in groups)
    low, high = (tuple(((end - middle) / units[0]).tolist()) for end in (problem.domain.low, problem.domain.high))
    return Constrained(inner, pieces, values, low, high)


def unit_piece(piece: Piece, middle: np.ndarray, unit: float) -> tuple[float, ...]:
    """A piece of the boundary in unit coordinates, as `Constrained` takes it."""
    if isinstance(piece, Point):
        return (float(piece.x - middle[0]) / unit,)
    if isinstance(piece, Segment):
        return tuple(float(v) for end in (piece.a, piece.b) for v in (np.array(end) - middle) / unit)
    if isinstance(piece, Arc):
        center, radii = (np.array(piece.center) - middle) / unit, np.array(piece.radii) / unit
        return (*center.tolist(), *radii.tolist(), piece.angle, piece.start, piece.end)
    raise InputError(f"a hard condition on a {type(piece).__name__}", "points, segments and arcs", "leave hard out")


def value_polynomial(problem: Problem, condition: Condition) -> tuple[float, ...]:
    """The coefficients of a tensor Chebyshev polynomial over the domain's box that is a condition's value.

    Raises:
        InputError: if the value is not smooth enough, or not defined, over the whole box.
    """
    low, high, d = problem.domain.low, problem.domain.high, problem.domain.dim
    if not callable(condition.value):
        return (float(np.asarray(condition.value)),)
    for n in CHEBYSHEV:
        nodes = np.cos(np.pi * (np.arange(n) + 0.5) / n)
        points = np.stack(np.meshgrid(*[nodes] * d, indexing="ij"), axis=-1).reshape(-1, d)
        given = coefficients.values(
            f"the value of {condition.label}", condition.value, (low + high) / 2 + points * (high - low) / 2, problem.axes
        ).reshape((n,) * d)  # fmt: skip
        found = scipy.fft.dctn(given, type=2) / n**d
        for axis in range(d):
            found[(slice(None),) * axis + (0,)] /= 2
        largest = np.abs(found).max()
        outer = np.abs(found)[np.max(np.indices(found.shape), axis=0) >= n - 3]
        if outer.max() <= SMOOTH_ENOUGH * largest or largest == 0:
            return tuple(found.ravel().tolist())
    raise InputError(
        f"the value of {condition.label}, which {CHEBYSHEV[-1]} polynomials along an axis do not hold",
        "a function that is smooth over the box around the domain", "leave hard out",
    )  # fmt: skip


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
    found = (_at_corner(problem, problem.domain, corner) for corner in problem.domain.corners)
    return tuple(functions for functions in found if functions is not None)


def _at_corner(problem: Problem, region: Region, corner: Corner) -> CornerFunctions | None:
    """Exponents k π / ω, or (k - 1/2) π / ω between Dirichlet and Neumann conditions."""
    kinds = [_is_fixed(problem, part) for part in corner.parts]
    if kinds[0] == kinds[1] and abs(corner.angle - math.pi) < SMOOTH:
        return None
    shift = 0.0 if kinds[0] == kinds[1] else 0.5
    exponents = tuple((k - shift) * math.pi / corner.angle for k in range(1, SINGULAR_TERMS + 1))
    exponents = tuple(_rounded(e) for e in exponents if e <= HIGHEST_EXPONENT)
    units, middle = unit_scale(region), (region.low + region.high) / 2
    direction = math.atan2(corner.directions[0][1], corner.directions[0][0])
    cut = free_cut(region, corner, direction)
    if not exponents or units[0] != units[1] or cut is None:
        return None
    vertex = (float(corner.vertex[0] - middle[0]) / units[0], float(corner.vertex[1] - middle[1]) / units[0])
    return CornerFunctions(vertex, direction, corner.angle, exponents, cosine=not kinds[0], cut=cut)


def free_cut(region: Region, corner: Corner, direction: float) -> float | None:
    """The angle from the corner's first edge of a ray from its vertex that does not enter the region, or None.

    Across such a ray the singular functions jump; of the free ones that closest to the middle of the outside is taken.
    """
    shares = np.linspace(0, 1, RAYS + 2)[1:-1]
    angles = corner.angle + (2 * math.pi - corner.angle) * shares[np.argsort(np.abs(shares - 0.5), kind="stable")]
    reach = np.geomspace(1e-6, 2.0, RAY_POINTS) * float(np.linalg.norm(region.high - region.low))
    for angle in angles.tolist():
        ray = np.array([math.cos(direction + angle), math.sin(direction + angle)])
        if (region.side(np.array(corner.vertex) + reach[:, None] * ray) < 0).all():
            return float(angle)
    return None


def _rounded(exponent: float) -> float:
    """A whole number where rounding alone keeps it from being one."""
    return float(round(exponent)) if abs(exponent - round(exponent)) < 1e-9 else exponent


def _is_fixed(problem: Problem, part: str) -> bool:
    """Whether a part has a Dirichlet condition."""
    return any(part in parts and isinstance(c, Dirichlet) for c, parts in problem.boundary_conditions())


def hole_functions(region: Domain, units: tuple[float, ...]) -> tuple[Multipoles, ...]:
    """Multipoles about the centre of every round hole of a plane region."""
    if not isinstance(region, Region) or region.dim != 2 or units[0] != units[1]:
        return ()
    middle = (region.low + region.high) / 2
    around = [p for p in region.pieces if isinstance(p, Arc) and p.end < p.start]  # the domain lies outside
    circles = {(p.center, p.radii[0]) for p in around if p.radii[0] == p.radii[1]}
    return tuple(
        Multipoles(((c[0] - middle[0]) / units[0], (c[1] - middle[1]) / units[0]), radius / units[0], POLES)
        for c, radius in sorted(circles)
        if not region.contains(np.array(c))
    )
