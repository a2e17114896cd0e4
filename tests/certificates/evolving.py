"""Random waves and viscous conservation laws with known solutions, fields for them, and the true errors.

Convention: as in `manufactured`; of polynomial problems the error is computed in rational arithmetic, at a few times. An error
in L1 is the sum of ``|∫ e|`` between roots of e as floats find them: never more than ``∫ |e|``, and less by rounding only.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ungrid.certificates import certifier
from ungrid.certificates.bound import Bound
from ungrid.certificates.hermite import HALVED, KINDS, QUINTICS, Hermite
from ungrid.certificates.polynomials import Polynomial, variables
from ungrid.domains import Box, Interval, Time
from ungrid.equations import Dirichlet, Initial, Neumann, Periodic, Problem, SecondOrder

manufactured: Any = sys.modules["manufactured"]
Terms = dict[tuple[int, ...], Fraction]
MOMENTS = (Fraction(3, 16), Fraction(1))  # of the whole time, at which errors are computed
SHARES = np.linspace(0.05, 1.0, 12)  # the same for problems with other data


@dataclass(frozen=True)
class EvolvingCase:
    """A problem in time, its solution and a field.

    Attributes:
        name: what was drawn.
        problem: to be certified.
        field: what is certified.
        error: the largest true error at some times, of a certified object; its square as a fraction for polynomial waves.
        cells: of the first grid.
    """

    name: str
    problem: Problem
    field: Callable[[np.ndarray], np.ndarray]
    error: Callable[[Hermite], Fraction | float]
    cells: int

    def bound(self, rounds: int) -> Bound:
        return certifier(self.problem, cells=self.cells, rounds=rounds)(self.field)


# -- rational arithmetic ------------------------------------------------------------------------------------------------

SHAPES = [
    {(k,): Fraction(c, below) for k, c in enumerate(row) if c} for row, below in zip(QUINTICS, HALVED, strict=True)
]


def nodes(v: Hermite, axis: int) -> list[Fraction]:
    return [Fraction(float(x)) for x in v.grid.nodes[axis]]


def at_time(v: Hermite, share: Fraction, order: int) -> tuple[Fraction, np.ndarray]:
    """A time, and the data of space then: of v, or of its rate."""
    t = nodes(v, v.grid.dim - 1)
    now = t[0] + share * (t[-1] - t[0])
    slab = min(max(k for k in range(len(t)) if t[k] <= now), len(t) - 2)
    h, d = t[slab + 1] - t[slab], v.grid.dim
    s, total = (now - t[slab]) / h, None
    for side, kind in itertools.product((0, 1), KINDS):
        p: Terms = SHAPES[3 * side + kind]
        for _ in range(order):
            p = manufactured.slope(p, 0)
        weight = sum((c * s ** a[0] for a, c in p.items()), start=Fraction(0)) * h**kind / h**order
        part = v.data[(*[slice(None)] * (d - 1), kind, ..., slab + side)]
        exact = np.array([Fraction(float(x)) for x in part.ravel()], dtype=object).reshape(part.shape) * weight
        total = exact if total is None else total + exact
    return now, total


def lifted(p: Terms, axis: int, dim: int) -> Terms:
    return {tuple(a[0] if k == axis else 0 for k in range(dim)): c for a, c in p.items()}


def in_cell(data: np.ndarray, v: Hermite, cell: tuple[int, ...]) -> Terms:
    """The polynomial of a state in a cell, in its unit coordinates."""
    dim, total = len(cell), dict[tuple[int, ...], Fraction]()
    lengths = [nodes(v, k)[i + 1] - nodes(v, k)[i] for k, i in enumerate(cell)]
    for kind, side in itertools.product(itertools.product(KINDS, repeat=dim), itertools.product((0, 1), repeat=dim)):
        p: Terms = {(0,) * dim: data[kind][tuple(i + s for i, s in zip(cell, side, strict=True))]}
        for axis, (k, s) in enumerate(zip(kind, side, strict=True)):
            p = manufactured.times(p, lifted(SHAPES[3 * s + k], axis, dim))
            p = {a: c * lengths[axis] ** k for a, c in p.items()}
        total = manufactured.plus(total, p, Fraction(1))
    return total


def error_in_cell(v: Hermite, u: Polynomial, cell: tuple[int, ...], now: Fraction, data: np.ndarray) -> Terms:
    dim = len(cell)
    x = [{(0,) * dim: nodes(v, k)[i], tuple(int(k == j) for j in range(dim)): nodes(v, k)[i + 1] - nodes(v, k)[i]}
         for k, i in enumerate(cell)]  # fmt: skip
    exact = manufactured.composed(u.terms, [*x, {(0,) * dim: now}])
    return manufactured.plus(exact, in_cell(data, v, cell), Fraction(-1))


def over_box(p: Terms) -> Fraction:
    total = Fraction(0)
    for a, c in p.items():
        for e in a:
            c = c / (e + 1)
        total += c
    return total


def largest_energy(v: Hermite, u: Polynomial, ρ: Fraction, a: Fraction, c: Fraction) -> Fraction:
    """The largest ``∫ ρ e_t² + a |∇e|² + c e²`` at some times."""
    dim, found = v.grid.dim - 1, []
    for share in MOMENTS:
        total = Fraction(0)
        (now, state), (_, rate) = (at_time(v, share, order) for order in (0, 1))
        for cell in np.ndindex(*v.grid.cells[:-1]):
            lengths = [nodes(v, k)[i + 1] - nodes(v, k)[i] for k, i in enumerate(cell)]
            e = error_in_cell(v, u, cell, now, state)
            speed = error_in_cell(v, u.derivative(dim), cell, now, rate)
            part = ρ * over_box(manufactured.times(speed, speed)) + c * over_box(manufactured.times(e, e))
            for axis, h in enumerate(lengths):
                steep = manufactured.slope(e, axis)
                part += a * over_box(manufactured.times(steep, steep)) / h**2
            total += part * np.prod(lengths)
        found.append(total)
    return max(found)


def largest_l1(v: Hermite, u: Polynomial) -> Fraction:
    """The largest ``∫ |e|`` at some times, from below."""
    found = []
    for share in MOMENTS:
        now, state = at_time(v, share, 0)
        total = Fraction(0)
        for (i,) in np.ndindex(*v.grid.cells[:-1]):
            e = error_in_cell(v, u, (i,), now, state)
            top = max(k for (k,) in e) if e else 0
            roots = np.roots([float(e.get((k,), 0)) for k in range(top, -1, -1)])
            inside = sorted(r.real for r in roots if abs(r.imag) < 1e-6 and 0 < r.real < 1)
            ends = [Fraction(0), *map(Fraction, inside), Fraction(1)]
            primitive = {k + 1: c / (k + 1) for (k,), c in e.items()}
            values = [sum((c * x**k for k, c in primitive.items()), start=Fraction(0)) for x in ends]
            length = nodes(v, 0)[i + 1] - nodes(v, 0)[i]
            total += sum((abs(b - a) for a, b in itertools.pairwise(values)), start=Fraction(0)) * length
        found.append(total)
    return max(found)


# -- polynomial problems ------------------------------------------------------------------------------------------------


def solution(rng: np.random.Generator, dim: int, powers: int) -> Polynomial:
    t = variables(dim + 1)[-1]
    u = t * 0
    for power in range(powers):
        u = u + manufactured.in_time(manufactured.polynomial(rng, dim, 3 if dim == 1 else 2)) * t**power
    return u


def at_start(u: Polynomial) -> Polynomial:
    return Polynomial({a[:-1]: c for a, c in u.terms.items() if not a[-1]}, u.dim - 1)


def some_field(rng: np.random.Generator, exact: Callable[..., Any], dim: int) -> tuple[str, Any]:
    k, phase = rng.normal(size=(dim + 1, 1)) * 2, float(rng.uniform(0, 6))
    size, what = 10.0 ** -float(rng.integers(0, 7)), str(rng.choice(["exact", "perturbed", "bad"]))

    def field(points: np.ndarray) -> np.ndarray:
        value, wave = np.asarray(exact(*points.T)).reshape(-1, 1), np.sin(points @ k + phase)
        return {"exact": value, "perturbed": value + size * wave, "bad": wave}[what]

    return f"{what} {size:g}", field


def wave_case(seed: int, cells: int = 4) -> EvolvingCase:
    """A wave whose solution is a polynomial, in the plane for every fourth seed."""
    rng = np.random.default_rng(seed)
    dim = 2 if seed % 4 == 3 else 1
    axes = "xyt" if dim == 2 else "xt"
    sides = manufactured.eighths(rng, 0.5, 2, dim)
    domain = Box(x=(0, sides[0]), y=(0, sides[1])) if dim == 2 else Interval(x=(0, float(sides[0])))
    u = solution(rng, dim, 4)
    ρ, a = (Fraction(float(v)) for v in manufactured.eighths(rng, 0.5, 3, 2))
    d, c = (Fraction(float(v)) * int(rng.integers(2)) for v in manufactured.eighths(rng, 0.125, 2, 2))
    f = ρ * u.derivative(dim).derivative(dim) + d * u.derivative(dim) + c * u
    for axis in range(dim):
        f = f - a * u.derivative(axis).derivative(axis)
    conditions: list[Any] = []
    for axis, name in enumerate(axes[:-1]):
        for sign, end in ((-1, "low"), (1, "high")):
            flux = manufactured.function(sign * u.derivative(axis), axes)
            held = Dirichlet(manufactured.function(u, axes), f"{name}_{end}")
            conditions.append(held if rng.random() < 0.6 else Neumann(flux, f"{name}_{end}"))
    start, rate = (manufactured.function(at_start(p)) for p in (u, u.derivative(dim)))
    equation = SecondOrder(
        inertia=float(ρ), diffusion=float(a), damping=float(d), reaction=float(c), source=manufactured.function(f, axes)
    )
    problem = Problem(domain * Time(0, float(manufactured.eighths(rng, 0.25, 2))), equation,
                      [*conditions, Initial(start, rate=rate)])  # fmt: skip
    what, field = some_field(rng, manufactured.function(u, axes), dim)
    name = f"{seed}: wave in {dim} dimensions, damping {d}, reaction {c}, {what}"
    return EvolvingCase(name, problem, field, lambda v: largest_energy(v, u, ρ, a, c), cells)


def law_case(seed: int, cells: int = 6) -> EvolvingCase:
    """A viscous conservation law whose solution is a polynomial."""
    rng = np.random.default_rng(seed)
    u = solution(rng, 1, 3)
    ρ, ν = (Fraction(float(v)) for v in manufactured.eighths(rng, 0.125, 2, 2))
    speed, slope = Fraction(float(manufactured.eighths(rng, -2, 2))), Fraction(float(manufactured.eighths(rng, -2, 2)))
    power = int(rng.integers(1, 3))
    f = ρ * u.derivative(1) + (speed + slope * u**power) * u.derivative(0) - ν * u.derivative(0).derivative(0)
    held = manufactured.function(u, "xt")
    equation = SecondOrder(
        damping=float(ρ), diffusion=float(ν), velocity=(float(speed),), source=manufactured.function(f, "xt"),
        nonlinearity=lambda jet: float(slope) * jet.value**power * jet.d("x"),
    )  # fmt: skip
    domain = Interval(x=(0, float(manufactured.eighths(rng, 0.5, 2)))) * Time(
        0, float(manufactured.eighths(rng, 0.25, 2))
    )
    problem = Problem(domain, equation, [Dirichlet(held), Initial(manufactured.function(at_start(u)))])
    what, field = some_field(rng, held, 1)
    name = f"{seed}: conservation law, flux of degree {power + 1}, viscosity {ν}, {what}"
    return EvolvingCase(name, problem, field, lambda v: largest_l1(v, u), cells)


# -- other data ---------------------------------------------------------------------------------------------------------


def smooth(seed: int, wave: bool, cells: int) -> EvolvingCase:
    """``u = w(x) s(t)`` of sines, 0 at both ends or periodic."""
    rng = np.random.default_rng(seed)
    high, end, m = float(rng.uniform(0.5, 2)), float(rng.uniform(0.2, 1)), int(rng.integers(1, 3))
    closed = bool(rng.random() < 0.4)
    k, φ = (2 * np.pi * m / high, float(rng.uniform(0, 6))) if closed else (np.pi * m / high, 0.0)
    ω, ψ, ρ, a = float(rng.uniform(0, 4)), *rng.uniform(0.3, 2, 3).tolist()

    def parts(x: Any, t: Any) -> tuple[Any, ...]:
        """u, u_t, u_tt, u_x and u_xx."""
        w, s = np.sin(k * x + φ), np.cos(ω * t + ψ)
        return (w * s, -ω * w * np.sin(ω * t + ψ), -(ω**2) * w * s, k * np.cos(k * x + φ) * s, -(k**2) * w * s)

    def source(x: Any, t: Any) -> Any:
        u, rate, second, slope, bend = parts(x, t)
        return ρ * (second if wave else rate + u * slope / ρ) - a * bend

    burgers = None if wave else (lambda jet: jet.value * jet.d("x"))
    equation = SecondOrder(source=source, diffusion=a, nonlinearity=burgers, **{"inertia" if wave else "damping": ρ})
    start = Initial(lambda x: parts(x, 0.0)[0], rate=(lambda x: parts(x, 0.0)[1]) if wave else None)
    domain = Interval(x=(0, high)) * Time(0, end)
    problem = Problem(domain, equation, [Periodic("x") if closed else Dirichlet(0.0), start])
    size = 10.0 ** -float(rng.integers(1, 7))

    def field(points: np.ndarray) -> np.ndarray:
        x, t = points.T
        return (parts(x, t)[0] + size * np.sin(2 * np.pi * m * x / high) * np.cos(3 * t))[:, None]

    def error(v: Hermite) -> float:
        x, weights = panels(v.grid.nodes[0])
        found = []
        for t in SHARES * end:
            points = np.column_stack([x, np.full_like(x, t)])
            u, rate, _, slope, _ = parts(x, t)
            if wave:
                e = ρ * (rate - v.derivative(points, (0, 1))) ** 2 + a * (slope - v.derivative(points, (1, 0))) ** 2
                found.append(float(np.sqrt(weights @ e)))
            else:
                found.append(float(weights @ np.abs(u - v(points)[:, 0])))
        return max(found)

    name = f"{seed}: {'wave' if wave else 'Burgers'}, {'periodic' if closed else 'held'}, {m} waves, off by {size:g}"
    return EvolvingCase(name, problem, field, error, cells)


def panels(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's points and weights in pieces of the cells."""
    ends = np.unique(np.concatenate([x + (np.append(x[1:], x[-1]) - x) * part for part in np.arange(8) / 8]))
    s, weights = np.polynomial.legendre.leggauss(8)
    h = np.diff(ends)
    return (ends[:-1, None] + h[:, None] * (s + 1) / 2).ravel(), (h[:, None] * weights / 2).ravel()


def smooth_wave_case(seed: int, cells: int = 8) -> EvolvingCase:
    return smooth(seed, True, cells)


def smooth_law_case(seed: int, cells: int = 8) -> EvolvingCase:
    return smooth(seed, False, cells)
