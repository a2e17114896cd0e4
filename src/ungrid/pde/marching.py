"""Equations in time and one axis of space, slab after slab: sharp fronts that form and move.

In a slab the field is a sum of ridge functions of space, each times a polynomial of time, found by Newton's method on the
collocated equation. Places and slopes of the ridges follow the profile at the start of the slab: of equal arc length one gets
as many as another, and where they are dense they are steep. The slab is shortened until the check on points of its own is
small, and the number of ridges grows where that does not help.

Source of the density: White 1979, *On selection of equidistributing meshes for two-point boundary-value problems*.
"""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ungrid.domains import Interval, SpaceTime, Time
from ungrid.encodings import Products, Ridges
from ungrid.equations import Initial, Problem, coefficients
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.check import checked
from ungrid.pde.terms import Counts, problem_terms
from ungrid.solvers.output_layer import OutputLayer, least_squares, solve_output_layer

Profile = Callable[[np.ndarray], np.ndarray]
"""From places (n,) to values (n,)."""

CELLS = 4000  # on which the density of a profile is computed
STEEPNESS = 1.0  # weight of a profile's slope next to even spacing, in units of its range over the axis
BEND = 1.0  # weight of its second derivative, in the same units
GRADING = 0.2
SLOPES = 0.06  # the largest slope of a ridge over half the axis, for each ridge, at the mean density
DEGREE = 4  # of the polynomials of time
PLACES = 2.0  # collocation places for each ridge
AT_START = 3.0
BOUNDARY_POINTS = 24
NEWTON = OutputLayer(steps=20, tolerance=1e-2)
FIRST_RIDGES, MOST_RIDGES, MORE = 120, 400, 1.4
FIRST_SLABS, MOST_SLABS = 16, 2000
LONGER, HELPS = 1.5, 0.5
SLAB_TOLERANCE = 1e-5  # of the check of a slab
LOOSEST = 1e-3  # check of a slab, however late it is: a front that is lost does not come back
FIRST_SHARE = 0.1  # of the budget, for the first slab


@dataclass(frozen=True)
class Slab:
    """A solved slab: its field, the check of its worst term, its end."""

    field: NeuralField
    check: float
    parts: dict[str, float]
    end: float


@dataclass(frozen=True)
class Along:
    """A profile as a coefficient, which names its coordinate."""

    axis: str
    profile: Profile

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.Signature([inspect.Parameter(self.axis, inspect.Parameter.POSITIONAL_OR_KEYWORD)])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.profile(x)


def can_march(problem: Problem) -> bool:
    """Whether slabs can solve it: one unknown on an interval over time, of first order in time, nothing to identify."""
    domain, equation = problem.domain, problem.equation
    fits = isinstance(domain, SpaceTime) and isinstance(domain.region, Interval)
    starts = [c for c in problem.conditions if isinstance(c, Initial)]
    one = len(equation.out_names) == 1 and len(starts) == 1 and starts[0].rate is None
    return fits and one and not problem.unknowns and not problem.measured


def density(
    profile: Profile, low: float, high: float, ridges: int, *, periodic: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Places (k,) and how dense ridges are there, with mean 1.

    That of equal arc length, with more where the profile bends, and a periodic one may bend at its ends. But from one ridge to
    the next the spacing grows by no more than `GRADING` of itself: beside a front the solution falls off as steeply as in it.
    """
    x = low + (np.arange(CELLS) + 0.5) / CELLS * (high - low)
    values = profile(x)
    beyond: dict[str, Any] = {"mode": "wrap"} if periodic else {"mode": "reflect", "reflect_type": "odd"}
    scaled = np.pad(values / max(float(np.ptp(values)), 1e-300), 1, **beyond)
    slope, bend = (scaled[2:] - scaled[:-2]) * CELLS / 2, np.diff(scaled, 2) * CELLS**2
    found = np.sqrt(1 + (STEEPNESS * slope) ** 2 + BEND * np.abs(bend))
    spacing = (high - low) * found.mean() / (ridges * found)
    for _ in range(2):  # from either side
        spacing = (np.minimum.accumulate(spacing - GRADING * x) + GRADING * x)[::-1]
        x = -x[::-1]
    dense = 1 / spacing
    return x, dense / dense.mean()


def quantiles(x: np.ndarray, dense: np.ndarray, low: float, high: float, shares: np.ndarray) -> np.ndarray:
    """The places below which the given shares of the ridges lie."""
    edges = np.linspace(low, high, len(x) + 1)
    return np.interp(shares, np.concatenate([[0.0], np.cumsum(dense) / dense.sum()]), edges)


def stratified(n: int, rng: np.random.Generator) -> np.ndarray:
    """One number in each n-th part of (0, 1), at random in it."""
    return (np.arange(n) + rng.random(n)) / n


def solve_slab(problem: Problem, profile: Profile, begin: float, end: float, ridges: int, *, seed: int) -> Slab:
    """Solve one slab from the profile at its start."""
    region = problem.domain.region
    axis = region.axes[0]
    x, dense = density(profile, axis.low, axis.high, ridges, periodic=bool(problem.periodic))
    rng = np.random.default_rng(seed)

    def place(n: int) -> np.ndarray:
        return quantiles(x, dense, axis.low, axis.high, stratified(n, rng))

    span = replace(problem.domain.time, start=begin, end=end)
    slab = restarted(problem, SpaceTime(region, span), profile)
    u = slab_field(slab, place(ridges), x, dense, rng)
    terms = problem_terms(slab, Counts(0, BOUNDARY_POINTS), seed=seed, inside=grid(place(round(PLACES * ridges)), span),
                          start=grid(place(round(AT_START * ridges)), span, at=begin))  # fmt: skip
    begin_with(u, profile, place(round(AT_START * ridges)), begin)
    solve_output_layer(u, terms, NEWTON)
    fresh = problem_terms(slab, Counts(0, BOUNDARY_POINTS), seed=seed + 1, inside=fresh_grid(place(2 * ridges), span, rng),
                          start=grid(place(2 * ridges), span, at=begin))  # fmt: skip
    parts = checked(u, fresh, slab, {})
    return Slab(u, max(parts.values()), parts, end)


def restarted(problem: Problem, domain: SpaceTime, profile: Profile) -> Problem:
    """The problem over a slab, from a profile."""
    start = Initial(Along(domain.region.axes[0].name, profile))
    conditions = [start if isinstance(c, Initial) else c for c in problem.conditions]
    return Problem(domain, problem.equation, conditions, name=problem.name)


def slab_field(
    slab: Problem, places: np.ndarray, x: np.ndarray, dense: np.ndarray, rng: np.random.Generator
) -> NeuralField:
    """The unfitted field of a slab."""
    domain = slab.domain
    scales = unit_scale(domain)
    middle = (domain.low + domain.high) / 2
    half = domain.region.axes[0].length / 2
    signs = 2 * rng.random(len(places)) - 1
    slopes = signs * SLOPES * len(places) * np.interp(places, x, dense) / half  # for each unit of the axis
    space = Ridges.at(((places - middle[0]) / scales[0])[:, None], (slopes * scales[0])[:, None])
    encoding = Products(space, DEGREE, domain.time.length / 2 / scales[1])
    network = Linear(encoding.out_features, 1)
    return NeuralField(domain.box, encoding, network, out_names=slab.equation.out_names).double()


def begin_with(u: NeuralField, profile: Profile, places: np.ndarray, start: float) -> None:
    """Set the weights to the profile at all times: where Newton's method begins."""
    assert isinstance(u.encoding, Products)
    assert isinstance(u.network, Linear)
    points = torch.from_numpy(np.column_stack([places, np.full_like(places, start)]))
    features = u.encoding.space(u.unit(points)[:, :-1])
    weights = torch.zeros_like(u.network.weight.detach()).reshape(-1, DEGREE + 1)
    weights[:, 0] = least_squares(features, torch.from_numpy(profile(places)))
    with torch.no_grad():
        u.network.weight.copy_(weights.reshape(u.network.weight.shape))


def grid(places: np.ndarray, span: Time, at: float | None = None) -> np.ndarray:
    """Every place at one time, or at Gauss' times: one more than the polynomials' degree."""
    if at is not None:
        return np.column_stack([places, np.full_like(places, at)])
    nodes = np.polynomial.legendre.leggauss(DEGREE + 1)[0]
    times = span.start + (nodes + 1) / 2 * span.length
    return np.column_stack([np.repeat(places, len(times)), np.tile(times, len(places))])


def fresh_grid(places: np.ndarray, span: Time, rng: np.random.Generator) -> np.ndarray:
    """Every place at a time of its own."""
    return np.column_stack([places, span.start + rng.random(len(places)) * span.length])


@dataclass
class March:
    """How a march goes: the length of the next slab, its ridges, the check that it must pass."""

    problem: Problem
    tolerance: float
    budget: float
    seed: int
    step: float
    ridges: int = FIRST_RIDGES
    began: float = field(default_factory=time.perf_counter)

    def late(self, share: float) -> bool:
        """Whether the whole would take longer than the budget at the pace of a share of it."""
        return time.perf_counter() - self.began > self.budget * max(share, FIRST_SHARE)

    def slab(self, profile: Profile, now: float, number: int) -> Slab:
        """The next slab: shorter while that helps, with more ridges while that helps; then it is taken as it is."""
        span = self.problem.domain.time

        def solved(step: float, ridges: int) -> Slab:
            end = now + step if now + 1.01 * step < span.end else span.end
            return solve_slab(self.problem, profile, now, end, ridges, seed=self.seed + number)

        found = solved(self.step, self.ridges)
        late = self.late((now - span.start) / span.length)
        while found.check > (LOOSEST if late else self.tolerance):
            shorter = solved(self.step / 2, self.ridges) if self.step > span.length / MOST_SLABS else found
            if shorter.check < HELPS * found.check:
                found, self.step = shorter, self.step / 2
                continue
            more = round(MORE * self.ridges)
            richer = solved(self.step, more) if more <= MOST_RIDGES else found
            if richer.check >= HELPS * found.check:
                break
            found, self.ridges = richer, more
        return found

    def adapt(self, check: float, share: float) -> None:
        """After a slab: what could not be reached is not asked for again at once, and what is easy goes faster."""
        if check < self.tolerance / 4:
            self.step *= LONGER
            self.tolerance = max(self.tolerance / 2, SLAB_TOLERANCE)
        self.tolerance = max(min(self.tolerance * 2, LOOSEST) if self.late(share) else self.tolerance, check)


def march(problem: Problem, *, budget: float, seed: int, report: Callable[[float, Slab, int], Any]) -> list[Slab]:
    """Slabs over all of the time.

    Args:
        problem: one that `can_march`.
        budget: seconds; the slabs' tolerance is loosened when the rest would take longer.
        seed: of ridges and points.
        report: called with the share of time that is done, the slab and its ridges.
    """
    span = problem.domain.time
    start = next(c for c in problem.conditions if isinstance(c, Initial))

    def initial(x: np.ndarray) -> np.ndarray:
        points = np.column_stack([x, np.full_like(x, span.start)])
        return coefficients.values("the initial value", start.value, points, problem.axes).astype(np.float64)

    profile: Profile = initial
    done: list[Slab] = []
    now, state = span.start, March(problem, SLAB_TOLERANCE, budget, seed, span.length / FIRST_SLABS)
    while now < span.end - 1e-12 * span.length:
        done.append(state.slab(profile, now, len(done)))
        now = done[-1].end
        profile, share = _end_of(done[-1].field, now), (now - span.start) / span.length
        report(share, done[-1], state.ridges)
        state.adapt(done[-1].check, share)
    return done


def _end_of(u: NeuralField, end: float) -> Profile:
    return lambda x: u(np.column_stack([x, np.full_like(x, end)]))[:, 0]
