"""The functions that a solution is made of: random features, joined with what is singular (`pde.corners`).

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
from ungrid.domains import Arc, Box, Domain, Outlined, Region, Segment
from ungrid.domains.pieces import Piece, Point
from ungrid.encodings import Constrained, Joined, RandomFeatures, Ridges
from ungrid.equations import Condition, Problem, SecondOrder, coefficients
from ungrid.equations.coefficients import depends_on_value
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.corners import at_corner, corner_functions, hole_functions
from ungrid.pde.terms import is_hard

FAST, MOST_WAVES = 3.0, 64.0  # half waves over half an axis
CHEBYSHEV, SMOOTH_ENOUGH = (8, 16, 32, 64), 1e-14  # polynomials along an axis; what the last of them may add
SAME = 1e-12  # difference of two bounding boxes, or of the values of a constant, relative
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
    corners = (at_corner(problem, region, corner) for corner in region.corners)
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

    Of a function its root mean square derivative over its standard deviation, the larger of all; a wave has its frequency. On a
    part of the boundary that lies across an axis, that axis does not count; nor does a function that is constant there.
    """
    waves, rng = np.ones(problem.domain.dim), np.random.default_rng(0)
    half = (problem.domain.high - problem.domain.low) / 2
    for given, points in _given_functions(problem, rng):
        value = coefficients.values("a given function", given, points, problem.axes).reshape(len(points), -1)
        spread = float(value.std(axis=0).max())
        along = np.ptp(points, axis=0) > SAME * half
        try:
            with np.errstate(all="ignore"):
                slopes = coefficients.gradient(
                    "a given function", given, points, problem.axes, problem.axes, 2 * half
                ).reshape(len(points), -1, len(half))
        except InputError:  # not defined beside the domain: its slopes are not known
            continue
        if spread > SAME * np.abs(value).max():
            waves = np.maximum(waves, along * np.sqrt((slopes**2).mean(axis=0).max(axis=0)) / spread * half / math.pi)
    return tuple(np.minimum(waves, MOST_WAVES).tolist())


def _given_functions(problem: Problem, rng: np.random.Generator) -> Iterator[tuple[Callable[..., Any], np.ndarray]]:
    """Every function among source and values, with points (n, d) where it counts."""
    equation = problem.equation
    if isinstance(equation, SecondOrder) and callable(equation.source) and not depends_on_value(equation.source):
        yield equation.source, problem.domain.sample(LOOKED_AT, rng)
    for condition, parts in problem.boundary_conditions():
        if callable(condition.value) and not depends_on_value(condition.value):
            for part in parts:
                yield condition.value, problem.domain.sample_boundary(LOOKED_AT, rng, part=part).points
