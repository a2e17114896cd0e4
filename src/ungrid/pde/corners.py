"""What is singular in a solution: functions of the corners of a plane domain, and of its round holes."""

import math
from collections.abc import Callable

import numpy as np

from ungrid.domains import Arc, Corner, Domain, Region
from ungrid.encodings import CornerFunctions, ElasticCorner, Multipoles
from ungrid.equations import Dirichlet, Elasticity, Problem, SecondOrder, coefficients
from ungrid.equations.fluids import NavierStokes, StreamFlow, StreamVelocity
from ungrid.fields.neural import unit_scale

SINGULAR_TERMS = 8  # exponents at a corner
SMOOTH = 1e-6  # radians: a corner this close to straight, between conditions of one kind, is none
HIGHEST_EXPONENT = 8.0  # above it a singular function is smooth enough for the random features
RAYS, RAY_POINTS = 15, 600  # along which the singular functions of a corner may jump
FLOW_TERMS = 3  # exponents of a flow at a corner
NEAR_CORNER, AWAY, ROUGH = (
    1e-5,
    0.1,
    1e-3,
)  # of the domain's size, where given velocities are looked at; what counts of them
POLES = 10  # order of the multipoles of a hole
HIGHEST_ELASTIC = 4.0  # real part of an exponent of a displacement
DIGITS, ALIKE, NEWTON_STEPS = 10, 1e-5, 40  # of exponents; nearer to a whole number they are one


def corner_functions(problem: Problem) -> tuple[CornerFunctions | ElasticCorner, ...]:
    """The singular functions of a plane elliptic problem at every corner of its domain."""
    if problem.changes or problem.domain.dim != 2 or not isinstance(problem.equation, SecondOrder | Elasticity):
        return ()
    at = elastic_corner if isinstance(problem.equation, Elasticity) else at_corner
    found = (at(problem, problem.domain, corner) for corner in problem.domain.corners)
    return tuple(functions for functions in found if functions is not None)


def at_corner(problem: Problem, region: Region, corner: Corner) -> CornerFunctions | None:
    """Of one number: exponents k π / ω, or (k - 1/2) π / ω between Dirichlet and Neumann conditions."""
    kinds = [_is_fixed(problem, part) for part in corner.parts]
    if kinds[0] == kinds[1] and abs(corner.angle - math.pi) < SMOOTH:
        return None
    shift = 0.0 if kinds[0] == kinds[1] else 0.5
    exponents = tuple((k - shift) * math.pi / corner.angle for k in range(1, SINGULAR_TERMS + 1))
    exponents = tuple(_rounded(e) for e in exponents if e <= HIGHEST_EXPONENT)
    place = _placed(region, corner)
    if not exponents or place is None:
        return None
    vertex, direction, cut = place
    return CornerFunctions(vertex, direction, corner.angle, exponents, cosine=not kinds[0], cut=cut)


def elastic_corner(problem: Problem, region: Region, corner: Corner) -> ElasticCorner | None:
    """Of a displacement, by the exponents of Williams; a roller is an axis of symmetry of a corner twice as wide."""
    assert isinstance(problem.equation, Elasticity)
    body, kinds = problem.equation, [_fixed_components(problem, part) for part in corner.parts]
    if kinds[0] == kinds[1] and abs(corner.angle - math.pi) < SMOOTH:
        return None
    rollers = [0 < kind < len(body.force) for kind in kinds]
    angle = corner.angle * (2 if any(rollers) else 1)
    ends = [kind for kind, roller in zip(kinds, rollers, strict=True) if not roller] or [0]
    kolosov = (body.first + 3 * body.shear) / (body.first + body.shear)
    sides = [-kolosov if end else 1.0 for end in (ends[0], ends[-1])]
    exponents = williams(angle, sides[0], sides[1])
    place = _placed(region, corner)
    if place is None or not exponents:
        return None
    vertex, direction, cut = place
    return ElasticCorner(vertex, direction, corner.angle, (*exponents, (1.0, 0.0)), cut=cut)


def williams(angle: float, first: float, second: float) -> list[tuple[float, float]]:
    """The exponents λ (real and imaginary part) of displacements ``r^λ`` at a corner, without whole ones, by rising size.

    With Kolosov's potentials ``c z^λ`` and ``d z^λ`` an edge says ``s c e^(2iλθ) + λ c* e^(2iθ) + d* = 0``, s = 1 where it is
    free and -κ where it is fixed. Both edges together: ``s_0² + s_1² - 2 s_0 s_1 cos 2λω = 4 λ² sin² ω`` (Williams 1952,
    *Stress singularities resulting from various boundary conditions in angular corners of plates in extension*).

    Args:
        angle: ω.
        first: s of the first edge.
        second: s of the other.
    """
    wide, sine = 2 * angle, math.sin(angle)

    def factor(t: float) -> np.ndarray:
        return _roots(lambda e: np.sin(e * angle) - e * t, lambda e: angle * np.cos(e * angle) - t)

    if first == second:  # without double roots
        found = [factor(sine / first), factor(-sine / first)]
    else:
        found = [
            _roots(lambda e: first**2 + second**2 - 2 * first * second * np.cos(wide * e) - (2 * e * sine) ** 2,
                   lambda e: 2 * first * second * wide * np.sin(wide * e) - 8 * e * sine**2)
        ]  # fmt: skip
    every = np.concatenate(found)
    kept = {
        (round(e.real, DIGITS), round(abs(e.imag), DIGITS)) for e in every.tolist() if abs(e - round(e.real)) > ALIKE
    }
    return sorted(kept)


def _roots(value: Callable[[np.ndarray], np.ndarray], slope: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The complex roots with real parts up to `HIGHEST_ELASTIC`, by Newton's method from every point of a lattice."""
    real, imaginary = np.meshgrid(np.linspace(0.05, HIGHEST_ELASTIC, 60), np.linspace(0.0, 3.0, 13))
    at = (real + 1j * imaginary).ravel()
    with np.errstate(all="ignore"):
        for _ in range(NEWTON_STEPS):
            at = at - value(at) / slope(at)
        kept = (np.abs(value(at)) < ALIKE**2) & (at.real > 0.05) & (at.real < HIGHEST_ELASTIC)
    return np.asarray(at[kept])


def _placed(region: Region, corner: Corner) -> tuple[tuple[float, float], float, float] | None:
    """Vertex in unit coordinates, direction of the first edge and cut; None where no singular functions fit."""
    units, middle = unit_scale(region), (region.low + region.high) / 2
    direction = math.atan2(corner.directions[0][1], corner.directions[0][0])
    cut = free_cut(region, corner, direction)
    if units[0] != units[1] or cut is None:
        return None
    return (
        (float(corner.vertex[0] - middle[0]) / units[0], float(corner.vertex[1] - middle[1]) / units[0]),
        direction,
        cut,
    )


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


def _fixed_components(problem: Problem, part: str) -> int:
    """How many components of a displacement are given on a part."""
    return sum(isinstance(c, Dirichlet) for c, parts in problem.boundary_conditions() if part in parts)


def flow_corners(problem: Problem) -> tuple[ElasticCorner | Multipoles, ...]:
    """What a steady plane flow has at corners where the velocities given on the two edges are not those of a smooth one.

    Where they jump, the stream function begins with ``r θ`` times cosine and sine, and the pressure with 1 / r; where they
    agree, but their slopes along the edges have a divergence, with ``r² θ``, and the pressure with a logarithm (Moffatt 1964,
    *Viscous and resistive eddies near a sharp corner*, section 2; Batchelor 1967, section 4.8). Stream functions of slow
    flow are ``Re`` and ``Im`` of ``z* φ + χ``, as in elasticity; velocities are their derivatives.
    """
    if problem.changes or problem.domain.dim != 2 or not isinstance(problem.equation, NavierStokes | StreamFlow):
        return ()
    found, streams = list[ElasticCorner | Multipoles](), isinstance(problem.equation, StreamFlow)
    for corner in problem.domain.corners:
        order, place = _roughness(problem, corner), _placed(problem.domain, corner)
        if order is None or place is None or (order == 0 and not streams):
            continue
        vertex, direction, cut = place
        exponents = tuple((float(order + streams + k), 0.0) for k in range(FLOW_TERMS))
        found.append(ElasticCorner(vertex, direction, corner.angle, exponents, cut=cut))
        found.append(Multipoles(vertex, 1.0, 1 - order))
    return tuple(found)


def _roughness(problem: Problem, corner: Corner) -> int | None:
    """0 where the velocity jumps at a corner, 1 where its divergence cannot vanish, None where it can or is not given."""
    edges, vertex = np.array(corner.directions), np.array(corner.vertex)
    length = float(np.linalg.norm(problem.domain.high - problem.domain.low))
    step, ends, slopes, size = NEAR_CORNER * length, list[np.ndarray](), list[np.ndarray](), 0.0
    for edge, part in zip(edges, corner.parts, strict=True):
        places = vertex + np.outer((step, 2 * step, 3 * step, AWAY * length), edge)
        one, two, three, away = _given_velocity(problem, part, places)
        ends.append(3 * one - 3 * two + three)  # a parabola's value and slope at the corner
        slopes.append((8 * two - 5 * one - 3 * three) / (2 * step))
        size = max(size, float(np.abs([one, away]).max()))
    if not np.isfinite([*ends, *slopes]).all() or abs(np.linalg.det(edges)) < SMOOTH:
        return None
    if np.abs(ends[0] - ends[1]).max() > ROUGH * size:
        return 0
    spread = float(np.trace(np.linalg.solve(edges, np.array(slopes)))) * length
    return 1 if abs(spread) > ROUGH * size else None


def _given_velocity(problem: Problem, part: str, points: np.ndarray) -> np.ndarray:
    """The velocity (n, 2) that conditions give at points of a part, NaN where they do not."""
    found = np.full((len(points), 2), np.nan)
    for condition, parts in problem.boundary_conditions():
        if part not in parts:
            continue
        if isinstance(condition, StreamVelocity):
            axis = condition.axis
        elif (
            isinstance(condition, Dirichlet) and isinstance(problem.equation, NavierStokes) and condition.component < 2
        ):
            axis = condition.component
        else:
            continue
        found[:, axis] = coefficients.values("a velocity", condition.value, points, problem.axes)
    return found


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
