"""The functions that a solution is made of: random features, and what is singular at corners and in holes.

Convention: unit coordinates of the field; `scale` is the largest slope of a random feature per unit of the longest axis.
"""

import math

import numpy as np
import torch

from ungrid.domains import Arc, Corner, Domain
from ungrid.encodings import CornerFunctions, Joined, Multipoles, RandomFeatures
from ungrid.equations import Dirichlet, Problem, SecondOrder
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear

SINGULAR_TERMS = 8  # exponents at a corner
SMOOTH = 1e-6  # radians: a corner this close to straight, between conditions of one kind, is none
HIGHEST_EXPONENT = 8.0  # above it a singular function is smooth enough for the random features
POLES = 10  # order of the multipoles of a hole


def random_field(problem: Problem, features: int, scale: float, *, seed: int) -> NeuralField:
    """An unfitted field on the problem's domain: random features, joined with the singular functions of its corners.

    Args:
        problem: the problem.
        features: random features.
        scale: their largest slope.
        seed: of their directions and places.
    """
    domain: Domain = problem.domain
    units = unit_scale(domain)
    extent = tuple(axis.length / 2 / s for axis, s in zip(domain.axes, units, strict=True))
    scales = tuple(scale / e for e in extent)
    random = RandomFeatures(domain.dim, features, scale=scales, extent=extent, seed=seed)
    singular = (*corner_functions(problem), *hole_functions(problem))
    encoding = Joined((random, *singular)) if singular else random
    network = Linear(encoding.out_features, len(problem.equation.out_names))
    with torch.no_grad():
        network.weight.zero_()
    return NeuralField(domain.box, encoding, network, out_names=problem.equation.out_names).double()


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
