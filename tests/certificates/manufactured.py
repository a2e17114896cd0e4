"""Random elliptic problems with known solutions, fields for them, and the true errors: exactly, for polynomials.

Convention: all coefficients of polynomial problems are small multiples of 1/8, and so are the coordinates of their domains'
vertices, so that source and boundary values have exactly representable coefficients too and u solves the problem as posed.
Neumann's and Robin's conditions are on edges along the axes only, whose normals are exact.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from skfem.quadrature import get_quadrature

from ungrid.certificates import Interpolant
from ungrid.certificates.lattices import basis
from ungrid.certificates.polynomials import Polynomial, variables
from ungrid.domains import Box, Interval, Polygon, Region, Time
from ungrid.equations import Dirichlet, Initial, Neumann, Poisson, Problem, Robin, SecondOrder
from ungrid.reference.finite_elements import grading_for, mesh_of, solve_elements

Matrix = list[list[Polynomial]]


@dataclass(frozen=True)
class Case:
    """A problem, its solution and a field.

    Attributes:
        name: what was drawn.
        problem: to be certified.
        mesh: on which.
        field: what is certified.
        square: the squared true error of an interpolant, as a fraction for polynomial problems.
    """

    name: str
    problem: Problem
    mesh: Any
    field: Callable[[np.ndarray], np.ndarray]
    square: Callable[[Interpolant], Fraction | float]


# -- domains ------------------------------------------------------------------------------------------------------------


def eighths(rng: np.random.Generator, low: float, high: float, shape: Any = None) -> Any:
    """Random multiples of 1/8."""
    return rng.integers(round(8 * low), round(8 * high) + 1, shape) / 8


def region(rng: np.random.Generator) -> tuple[str, Region]:
    kind = str(rng.choice(["square", "box", "lshape", "polygon", "star", "hole", "interval"]))
    x, y = (float(v) for v in eighths(rng, -1, 1, 2))
    if kind == "interval":
        return kind, Interval(x=(x, x + float(eighths(rng, 0.5, 3))))
    if kind == "square":
        return kind, Box(x=(0, 1), y=(0, 1))
    a, b = (float(v) for v in eighths(rng, 1, 3, 2))
    whole = Box(x=(x, x + a), y=(y, y + b))
    if kind == "box":
        return kind, whole
    if kind == "lshape":
        return kind, whole - Box(x=(x + a / 2, x + a), y=(y + b / 2, y + b))
    if kind == "hole":
        return kind, whole - Box(x=(x + a / 4, x + a / 2), y=(y + b / 4, y + b / 2))
    count = int(rng.integers(3, 8))
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
    radii = rng.uniform(0.5, 1.5, count) if kind == "star" else np.full(count, 1.25)
    corners = np.round(8 * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)) / 8
    return kind, Polygon([tuple(corner) for corner in corners.tolist()])


def straight(domain: Region, part: str) -> tuple[int, int] | None:
    """Axis and sign of the normal of a part along an axis."""
    normals = domain.sample_boundary(5, np.random.default_rng(0), part=part).normals
    for axis in range(domain.dim):
        for sign in (-1, 1):
            if np.array_equal(normals, np.broadcast_to(sign * np.eye(domain.dim)[axis], normals.shape)):
                return axis, sign
    return None


# -- polynomials --------------------------------------------------------------------------------------------------------


def polynomial(rng: np.random.Generator, dim: int, degree: int) -> Polynomial:
    total = variables(dim)[0] * 0
    for exponents in np.ndindex(*(degree + 1,) * dim):
        if sum(exponents) <= degree:
            total = total + Polynomial({exponents: Fraction(float(eighths(rng, -2, 2)))}, dim)
    return total


def function(p: Polynomial, axes: str = "xy") -> Callable[..., Any]:
    """As a coefficient of an equation, of the first axes."""

    def at(*x: Any) -> Any:
        terms = [float(c) * math.prod(t**e for t, e in zip(x, a, strict=True) if e) for a, c in p.terms.items()]
        return x[0] * 0.0 + sum(terms)

    assert all(Fraction(float(c)) == c for c in p.terms.values())
    named: dict[str, Callable[..., Any]] = {
        "x": lambda x: at(x), "xy": lambda x, y: at(x, y), "xt": lambda x, t: at(x, t), "xyt": lambda x, y, t: at(x, y, t),
    }  # fmt: skip
    return named[axes[: p.dim]]


def plain(p: Polynomial) -> Callable[[np.ndarray], np.ndarray]:
    """As a field."""
    f = function(p)
    return lambda points: np.asarray(f(*points.T))[:, None]


def diffusion(rng: np.random.Generator, dim: int) -> tuple[str, Matrix, bool]:
    """A name, A as a matrix of polynomials, and whether it is a multiple of the identity."""
    kind = str(rng.choice(["one", "number", "variable", "matrix", "variable matrix", "diagonal"]))
    x, zero = variables(dim), variables(dim)[0] * 0
    a, b = (Fraction(float(v)) for v in eighths(rng, 0.5, 4, 2))
    if kind == "one" or (dim == 1 and "matrix" in kind) or (dim == 1 and kind == "diagonal"):
        a, kind = Fraction(1), "one"
    scalar = zero + a
    if kind == "variable":
        scalar = a + x[0] ** 2 / 4 if rng.random() < 0.5 else a + 2 + (x[-1] + x[0]) / 4
    if kind == "diagonal":
        return kind, [[zero + a, zero], [zero, b + x[0] ** 2 / 8]], False
    if kind in ("matrix", "variable matrix"):
        more = x[0] ** 2 / 8 if kind == "variable matrix" else zero
        return kind, [[a + 1 + more, zero + 1], [zero + 1, b + 1 + more * 2]], False
    return kind, [[scalar if i == j else zero for j in range(dim)] for i in range(dim)], True


def as_coefficient(A: Matrix, scalar: bool) -> Any:
    if scalar:
        return function(A[0][0]) if A[0][0].degree else float(A[0][0].exactly((Fraction(0),) * len(A)))
    constant = all(p.degree == 0 for row in A for p in row)
    if constant:
        return np.array([[float(p.exactly((Fraction(0),) * 2)) for p in row] for row in A])
    entries = [[function(p) for p in row] for row in A]
    return lambda x, y: np.stack([np.stack([f(x, y) for f in row], axis=-1) for row in entries], axis=-2)


def applied(A: Matrix, u: Polynomial) -> list[Polynomial]:
    """``A ∇u``, the gradient by the first variables."""
    slopes = [u.derivative(k) for k in range(len(A))]
    return [sum((a * s for a, s in zip(row, slopes, strict=True)), start=slopes[0] * 0) for row in A]


# -- cases --------------------------------------------------------------------------------------------------------------


def polynomial_case(seed: int, cells: int = 40) -> Case:
    """A problem whose data are polynomials, on about so many cells at most."""
    rng = np.random.default_rng(seed)
    shape, domain = region(rng)
    dim = domain.dim
    kind, A, scalar = diffusion(rng, dim)
    u = polynomial(rng, dim, int(rng.integers(1, 5)))
    c = reaction(rng, dim)
    flux = applied(A, u)
    f = c * u - sum((p.derivative(k) for k, p in enumerate(flux)), start=u * 0)
    conditions, said, α = boundary(rng, domain, u, scalar or kind == "diagonal")
    equation = Poisson(function(f), diffusion=as_coefficient(A, scalar), reaction=function(c) if c.terms else 0.0)
    problem = Problem(domain, equation, conditions)
    mesh = some_mesh(rng, domain, cells)
    name, field = some_field(rng, problem, plain(u), scalar)
    what = f"diffusion {kind}, c of degree {c.degree if c.terms else '-'}, u of degree {u.degree}"
    square = partial(polynomial_square, u=u, A=A, c=c, α=α)
    return Case(f"{seed}: {shape}, {what}, {said}, {name}", problem, mesh, field, square)


def reaction(rng: np.random.Generator, dim: int) -> Polynomial:
    x = variables(dim)
    choices = [x[0] * 0, x[0] * 0, x[0] * 0 + Fraction(1, 8), x[0] * 0 + 64, x[0] ** 2 / 4 + 1, x[-1] ** 2]
    return choices[int(rng.integers(len(choices)))]


def boundary(
    rng: np.random.Generator, domain: Region, u: Polynomial, isotropic: bool, axes: str = "xy"
) -> tuple[list[Any], str, dict[str, Fraction]]:
    """Conditions that u meets, their kinds, and the coefficients of Robin's by part."""
    parts = list(domain.parts)
    first = int(rng.integers(len(parts)))
    conditions: list[Any] = []
    α: dict[str, Fraction] = {}
    for k, part in enumerate(parts):
        along = straight(domain, part)
        if k == first or along is None or not isotropic or rng.random() < 0.5:
            continue
        slope = u.derivative(along[0]) * along[1]
        if rng.random() < 0.6:
            conditions.append(Neumann(function(slope, axes), part))
        else:
            α[part] = Fraction(float(eighths(rng, 0.25, 3)))
            conditions.append(Robin(function(slope + u * α[part], axes), part, coefficient=float(α[part])))
    conditions.append(Dirichlet(function(u, axes)))
    return conditions, f"{sum(isinstance(c, Neumann) for c in conditions)} Neumann, {len(α)} Robin", α


def some_mesh(rng: np.random.Generator, domain: Region, cells: int) -> Any:
    if domain.dim == 1:
        return mesh_of(domain, domain.measure / int(rng.integers(2, 10)), 1.0)
    h = math.sqrt(2.5 * domain.measure / cells) * float(rng.uniform(1, 1.6))
    grading = grading_for(domain, 2) if rng.random() < 0.3 else 1.0
    return mesh_of(domain, h, max(grading, 0.6))


def some_field(
    rng: np.random.Generator, problem: Problem, u: Callable[[np.ndarray], np.ndarray], scalar: bool
) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    kind = str(rng.choice(["exact", "perturbed", "slightly perturbed", "elements", "bad", "wavy", "zero"]))
    dim = problem.domain.dim
    other = plain(polynomial(rng, dim, 3))
    k, phase = rng.normal(size=(dim, 1)) * 3, float(rng.uniform(0, 6))
    wave: Callable[[np.ndarray], np.ndarray] = lambda x: np.sin(x @ k + phase)  # noqa: E731
    fields: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "exact": u,
        "perturbed": lambda x: u(x) + 0.1 * wave(x),
        "slightly perturbed": lambda x: u(x) + 10.0 ** -float(2 + seed_of(k)) * wave(x),
        "bad": other,
        "wavy": wave,
        "zero": lambda x: np.zeros((len(x), 1)),
    }
    if kind == "elements" and scalar:
        return kind, solve_elements(problem, h=float(np.max(problem.domain.high - problem.domain.low)) / 4)
    return kind, fields.get(kind, fields["perturbed"])


def seed_of(k: np.ndarray) -> float:
    """A number in [0, 8) from random ones."""
    return float(np.abs(k).sum() * 1000 % 8)


# -- true errors --------------------------------------------------------------------------------------------------------

Terms = dict[tuple[int, ...], Fraction]
"""A polynomial by its coefficients; the arithmetic below shares no code with the package."""


def plus(p: Terms, q: Terms, factor: Fraction) -> Terms:
    """``p + factor q``."""
    total = dict(p)
    for a, c in q.items():
        total[a] = total.get(a, Fraction(0)) + factor * c
    return total


def times(p: Terms, q: Terms) -> Terms:
    total: Terms = {}
    for a, c in p.items():
        for b, d in q.items():
            both = tuple(map(sum, zip(a, b, strict=True)))
            total[both] = total.get(both, Fraction(0)) + c * d
    return total


def slope(p: Terms, axis: int) -> Terms:
    return {tuple(e - (k == axis) for k, e in enumerate(a)): c * a[axis] for a, c in p.items() if a[axis]}


def composed(p: Terms, x: list[Terms]) -> Terms:
    """p of other polynomials, by powers of each."""
    dim = len(next(iter(x[0])))
    one: Terms = {(0,) * dim: Fraction(1)}
    powers = [[one] for _ in x]
    total: Terms = {}
    for a, c in p.items():
        term = one
        for k, e in enumerate(a):
            while len(powers[k]) <= e:
                powers[k].append(times(powers[k][-1], x[k]))
            term = times(term, powers[k][e]) if e else term
        total = plus(total, term, c)
    return total


def integral(p: Terms) -> Fraction:
    """Over the reference simplex."""
    total = Fraction(0)
    for a, c in p.items():
        total += c * Fraction(math.prod(map(math.factorial, a)), math.factorial(sum(a) + len(a)))
    return total


def affine(at: list[Fraction], ends: list[list[Fraction]]) -> list[Terms]:
    """``at + Σ (ends_k - at) ξ_k``, coordinate by coordinate."""
    units = [tuple(int(j == k) for j in range(len(ends))) for k in range(len(ends))]
    return [
        {(0,) * len(ends): at[i]} | {unit: end[i] - at[i] for unit, end in zip(units, ends, strict=True)}
        for i in range(len(at))
    ]


def polynomial_square(v: Interpolant, u: Polynomial, A: Matrix, c: Polynomial, α: dict[str, Fraction]) -> Fraction:
    """``|||u - v|||²`` in rational arithmetic."""
    space, mesh, dim = v.space, v.space.cells.mesh, u.dim
    φ = [dict(one.terms) for one in basis(dim, space.degree)]
    total = Fraction(0)
    for cell in range(space.cells.count):
        corners = [[Fraction(float(x)) for x in mesh.p[:, node]] for node in mesh.t[:, cell]]
        J = [[corner[i] - corners[0][i] for corner in corners[1:]] for i in range(dim)]
        det = J[0][0] if dim == 1 else J[0][0] * J[1][1] - J[0][1] * J[1][0]
        adjugate = [[Fraction(1)]] if dim == 1 else [[J[1][1], -J[0][1]], [-J[1][0], J[0][0]]]
        x = affine(corners[0], corners[1:])
        e = composed(u.terms, x)
        for n, one in zip(space.dofs[:, cell], φ, strict=True):
            e = plus(e, one, -Fraction(float(v.values[n])))
        local = [slope(e, k) for k in range(dim)]
        slopes = []  # times the determinant
        for i in range(dim):
            terms: Terms = {}
            for k in range(dim):
                terms = plus(terms, local[k], adjugate[k][i])
            slopes.append(terms)
        for i in range(dim):
            for j in range(dim):
                if A[i][j].terms:
                    both = times(composed(A[i][j].terms, x), times(slopes[i], slopes[j]))
                    total += integral(both) / abs(det)
        if c.terms:
            total += integral(times(composed(c.terms, x), times(e, e))) * abs(det)
        for facet, part in own_parts(mesh, cell, α):
            total += robin_part(e, A, x, corners, facet) * α[part]
    return total


def own_parts(mesh: Any, cell: int, α: dict[str, Fraction]) -> list[tuple[int, str]]:
    return [(k, part) for part in α for k in range(len(mesh.t2f)) if mesh.t2f[k, cell] in mesh.boundaries[part]]


def robin_part(e: Terms, A: Matrix, x: list[Terms], corners: list[list[Fraction]], facet: int) -> Fraction:
    """``∫ κ e²`` over a facet along an axis."""
    if len(corners) == 2:
        at = [{(0,): Fraction(facet)}]
        values = [composed(p, at).get((0,), Fraction(0)) for p in (composed(A[0][0].terms, x), e)]
        return values[0] * values[1] ** 2
    a, b = ((0, 1), (1, 2), (0, 2))[facet]
    unit = [[Fraction(0), Fraction(0)], [Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]]
    path = affine(unit[a], [unit[b]])
    along = [corners[b][k] - corners[a][k] for k in range(2)]
    normal = 0 if along[0] == 0 else 1
    κ, error = composed(composed(A[normal][normal].terms, x), path), composed(e, path)
    return integral(times(κ, times(error, error))) * abs(along[1 - normal])


# -- other data ---------------------------------------------------------------------------------------------------------


def smooth_case(seed: int, cells: int = 60) -> Case:
    """A problem whose solution is a plane wave or an exponential; its bound is estimated."""
    rng = np.random.default_rng(seed)
    shape, domain = region(rng)
    dim = domain.dim
    k, phase = rng.normal(size=dim) * 1.5, float(rng.uniform(0, 6))
    a, c = float(rng.uniform(0.5, 3)), float(rng.choice([0.0, 0.0, 0.3, 20.0]))
    wave = rng.random() < 0.6
    sign = 1.0 if wave else -1.0

    def u(*x: Any) -> Any:
        s = sum(t * w for t, w in zip(x, k, strict=True)) + phase
        return np.sin(s) if wave else np.exp(s - phase)

    def slope(*x: Any) -> Any:
        s = sum(t * w for t, w in zip(x, k, strict=True)) + phase
        return np.cos(s) if wave else np.exp(s - phase)

    def named(f: Callable[..., Any]) -> Callable[..., Any]:
        return (lambda x: f(x)) if dim == 1 else (lambda x, y: f(x, y))

    conditions: list[Any] = []
    α: dict[str, float] = {}
    for part in list(domain.parts)[1:]:
        n = domain.sample_boundary(5, np.random.default_rng(0), part=part).normals[0]
        share = float(n @ k)
        pick = rng.random()
        if pick < 0.25:
            conditions.append(Neumann(named(lambda *x, s=share: s * slope(*x)), part))
        elif pick < 0.45:
            α[part] = float(rng.uniform(0.3, 2))
            value = named(lambda *x, s=share, b=α[part]: s * slope(*x) + b * u(*x))
            conditions.append(Robin(value, part, coefficient=α[part]))
    conditions.append(Dirichlet(named(u)))
    source = named(lambda *x: (sign * a * float(k @ k) + c) * u(*x))
    problem = Problem(domain, Poisson(source, diffusion=a, reaction=c), conditions)
    mesh = some_mesh(rng, domain, cells)
    name, field = some_field(rng, problem, lambda x: np.asarray(u(*x.T))[:, None], True)

    def square(v: Interpolant) -> float:
        return smooth_square(v, lambda x: u(*x), lambda x: np.stack([w * slope(*x) for w in k]), a, c, α)

    said = f"{sum(isinstance(one, Neumann) for one in conditions)} Neumann, {len(α)} Robin"
    return Case(
        f"{seed}: {shape}, {'wave' if wave else 'exponential'}, c = {c}, {said}, {name}", problem, mesh, field, square
    )


def smooth_square(v: Interpolant, u: Any, gradient: Any, a: float, c: float, α: dict[str, float]) -> float:
    """``|||u - v|||²`` by a quadrature of degree 16."""
    space, cells = v.space, v.space.cells
    rule = space.rule(16)
    local = v.values[space.dofs]
    e = u(rule.points) - np.einsum("qn,nc->cq", rule.values, local)
    slopes = gradient(rule.points) - np.einsum("icqn,nc->icq", rule.gradients, local)
    total = float(np.sum(rule.weights * (a * (slopes**2).sum(axis=0) + c * e**2)))
    for part, factor in α.items():
        for facets in cells.facets(part):
            total += factor * a * _facet_square(v, u, facets)
    return total


def _facet_square(v: Interpolant, u: Any, facets: Any) -> float:
    cells, mesh = v.space.cells, v.space.cells.mesh
    if cells.dim == 1:
        x = mesh.p[0, mesh.facets[0, facets.numbers]]
        return float(np.sum((u(x[None]) - v(x[:, None])[:, 0]) ** 2))
    from skfem.refdom import RefLine

    s, weights = get_quadrature(RefLine, 16)
    ends = mesh.p[:, mesh.facets[:, facets.numbers]]
    x = ends[:, 0, :, None] + (ends[:, 1] - ends[:, 0])[..., None] * s[0]
    e = u(x) - v(x.reshape(2, -1).T).reshape(x.shape[1:])
    return float(np.sum(e**2 * weights * cells.sizes(facets).mid[:, None]))


# -- in time ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeatCase:
    """A problem in time, its solution and a field; attributes as of `Case`, and the number of slabs."""

    name: str
    problem: Problem
    mesh: Any
    field: Callable[[np.ndarray], np.ndarray]
    slabs: int
    square: Callable[[Any], Fraction]


def in_time(p: Polynomial) -> Polynomial:
    """A polynomial of space as one of space and time."""
    return Polynomial({(*a, 0): c for a, c in p.terms.items()}, p.dim + 1)


def heat_case(seed: int, cells: int = 12) -> HeatCase:
    """A heat problem whose solution is a polynomial of degree 2 in time, and in the plane of degree 2 in space."""
    rng = np.random.default_rng(seed)
    shape, domain = region(rng) if rng.random() < 0.4 else ("interval", Interval(x=(0, float(eighths(rng, 0.5, 2)))))
    dim, axes = domain.dim, "xt" if domain.dim == 1 else "xyt"
    kind, A, scalar = diffusion(rng, dim)
    t = variables(dim + 1)[-1]
    u = variables(dim + 1)[0] * 0
    for power in range(3):
        u = u + in_time(polynomial(rng, dim, 3 if dim == 1 else 2)) * t**power
    held = u
    if dim == 1 and rng.random() < 0.5:  # a cubic in time, 0 at both ends
        x, high = variables(2)[0], Fraction(float(domain.high[0]))
        u = u + x * (high - x) * t**3
    c, ρ = reaction(rng, dim), Fraction(float(eighths(rng, 0.5, 2)))
    flux = applied([[in_time(p) for p in row] for row in A], u)
    f = ρ * u.derivative(dim) + in_time(c) * u - sum((p.derivative(k) for k, p in enumerate(flux)), start=u * 0)
    conditions, said, α = boundary(rng, domain, u, (scalar or kind == "diagonal") and dim == 1, axes)
    conditions[-1] = Dirichlet(function(held, axes))
    start = composed(u.terms, [*affine([Fraction(0)] * dim, identity(dim)), {}])
    equation = SecondOrder(
        damping=float(ρ), diffusion=as_coefficient(A, scalar), reaction=function(c) if c.terms else 0.0,
        source=function(f, axes),
    )  # fmt: skip
    end = float(eighths(rng, 0.25, 2))
    problem = Problem(domain * Time(0, end), equation, [*conditions, Initial(function(Polynomial(start, dim)))])
    k, phase = rng.normal(size=(dim + 1, 1)) * 2, float(rng.uniform(0, 6))
    size = 10.0 ** -float(rng.integers(0, 7))
    exact, what = function(u, axes), str(rng.choice(["exact", "perturbed", "bad"]))

    def field(points: np.ndarray) -> np.ndarray:
        value = np.asarray(exact(*points.T))[:, None]
        wave = np.sin(points @ k + phase)
        return {"exact": value, "perturbed": value + size * wave, "bad": wave}[what]

    name = f"{seed}: {shape}, diffusion {kind}, c of degree {c.degree if c.terms else '-'}, {said}, {what} {size:g}"
    slabs = int(rng.integers(1, 4))
    square = partial(heat_square, u=u, A=A, c=c, ρ=ρ, α=α, end=Fraction(end), slabs=slabs)
    return HeatCase(name, problem, some_mesh(rng, domain, cells), field, slabs, square)


def identity(dim: int) -> list[list[Fraction]]:
    return [[Fraction(int(i == k)) for i in range(dim)] for k in range(dim)]


def over_time(p: Terms) -> Fraction:
    """The integral over the reference simplex and the unit interval of time."""
    by_power: dict[int, Terms] = {}
    for a, c in p.items():
        by_power.setdefault(a[-1], {})[a[:-1]] = c
    return sum((integral(q) / (power + 1) for power, q in by_power.items()), start=Fraction(0))


def heat_square(
    v: Any, u: Polynomial, A: Matrix, c: Polynomial, ρ: Fraction, α: dict[str, Fraction], end: Fraction, slabs: int
) -> Fraction:
    """``ρ |e(T)|² + ∫ |||e|||² dt`` in rational arithmetic."""
    space, mesh, dim = v.states[0].space, v.states[0].space.cells.mesh, u.dim - 1
    order = (len(v.states) - 1) // slabs
    φ = [{(*a, 0): w for a, w in one.terms.items()} for one in basis(dim, space.degree)]
    τ = [{(*[0] * dim, *a): w for a, w in one.terms.items()} for one in basis(1, order)]
    total, step = Fraction(0), end / slabs
    for cell in range(space.cells.count):
        corners = [[Fraction(float(x)) for x in mesh.p[:, node]] for node in mesh.t[:, cell]]
        J = [[corner[i] - corners[0][i] for corner in corners[1:]] for i in range(dim)]
        det = J[0][0] if dim == 1 else J[0][0] * J[1][1] - J[0][1] * J[1][0]
        adjugate = [[Fraction(1)]] if dim == 1 else [[J[1][1], -J[0][1]], [-J[1][0], J[0][0]]]
        x = [{(*a, 0): w for a, w in one.items()} for one in affine(corners[0], corners[1:])]
        for slab in range(slabs):
            t = {(0,) * (dim + 1): slab * step, (*[0] * dim, 1): step}
            e = composed(u.terms, [*x, t])
            for j, time in enumerate(τ):
                for n, one in zip(space.dofs[:, cell], φ, strict=True):
                    e = plus(e, times(one, time), -Fraction(float(v.states[slab * order + j].values[n])))
            slopes = []
            for i in range(dim):
                terms: Terms = {}
                for k in range(dim):
                    terms = plus(terms, slope(e, k), adjugate[k][i])
                slopes.append(terms)
            for i in range(dim):
                for j in range(dim):
                    if A[i][j].terms:
                        both = times(composed(in_time(A[i][j]).terms, [*x, t]), times(slopes[i], slopes[j]))
                        total += over_time(both) / abs(det) * step
            if c.terms:
                total += over_time(times(composed(in_time(c).terms, [*x, t]), times(e, e))) * abs(det) * step
            for facet, part in own_parts(mesh, cell, α):  # on intervals only
                at = composed(e, [{(0,): Fraction(facet)}, {(1,): Fraction(1)}])
                κ = A[0][0].exactly((corners[facet][0],))
                total += sum((w / (a[0] + 1) for a, w in times(at, at).items()), start=Fraction(0)) * κ * α[part] * step
            if slab == slabs - 1:
                last: Terms = {}
                for a, w in e.items():
                    last[a[:-1]] = last.get(a[:-1], Fraction(0)) + w
                total += ρ * integral(times(last, last)) * abs(det)
    return total
