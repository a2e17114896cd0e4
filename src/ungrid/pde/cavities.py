"""Fields in closed cavities: Maxwell's equations between perfect conductors, by Galerkin's method in space and exactly in time.

The potential is a sum of vectors of random features. Of their combinations those are kept whose part along the conductor is
small (the singular vectors of the boundary rows), made orthonormal, and turned into the cavity's modes: eigenvectors of

    ∫ ∇×a·∇×b + ∇·a ∇·b = λ ∫ a·b                         (the regularised form: Costabel and Dauge 1999)

whose amplitudes obey ``y'' + (σ / ε) y' + c² λ y = f / ε``, which is solved exactly from one time to the next, with Gauss's
rule for the forces. The divergence keeps what has a charge apart from the waves; in cavities with re-entrant edges it would
keep out singular fields, so that these are not for this method.

Convention: as in `equations.maxwell`; vectors of r scalar functions are (components * r,), one component after another.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Region, SpaceTime
from ungrid.equations import Initial, Problem, coefficients
from ungrid.equations.maxwell import SPACE, Maxwell, Tangential
from ungrid.fields import NeuralField, SteppedField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.material_spaces import SMALL, features_at, quadrature, width
from ungrid.pde.spaces import Features, placed
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import user_partials

SLOPE = 1.0  # of the features, over half the cavity
FIRST, MOST, GROWTH = {2: 150, 3: 300}, 1200, 2.0  # features; more while that helps and time is left
POINTS, EDGE_ORDER = 8.0, 24  # of the quadrature, for each feature; of that on the boundary
ALONG = 1e-7  # of the squared length: what may be left along the conductor of a combination of length 1
ANGLE = 0.04  # of the fastest mode that counts, from one stored time to the next
COUNTS = 1e-4  # of the largest amplitude
FEWEST_TIMES, MOST_TIMES = 12, 600
GAUSS = 4  # points for the forces in a step
GOOD_ENOUGH, WORTH = 1e-7, 0.7  # of the check; below which share of the last one it must come
CHECKED, MOMENTS = 400, 5  # points and times of the check

Report = Callable[[dict[str, float]], None]


def is_cavity(problem: Problem) -> bool:
    """Whether a problem is of waves in a cavity between conductors, without a given charge."""
    equation = problem.equation
    if not isinstance(equation, Maxwell) or equation.charge is not None or not isinstance(problem.domain, SpaceTime):
        return False
    closed = all(isinstance(c, Initial) or (isinstance(c, Tangential) and not c.open) for c in problem.conditions)
    starts = sorted(c.component for c in problem.conditions if isinstance(c, Initial) and c.rate is not None)
    return closed and starts == list(range(len(equation.components))) and _is_covered(problem)


def _is_covered(problem: Problem) -> bool:
    covered = {part for c, parts in problem.boundary_conditions() for part in parts if isinstance(c, Tangential)}
    return set(problem.lateral) <= covered


def solve_cavity(problem: Problem, *, budget: float = 10.0, seed: int = 0, report: Report | None = None) -> FitResult:
    """Solve a problem that `is_cavity`.

    Args:
        problem: the problem.
        budget: seconds, after which no larger basis is begun.
        seed: of the features.
        report: called with each row of the history.

    Returns:
        The potential as a field over space and time; its check is the strong residual on points of its own, relative to the
        sizes of its terms.
    """
    began, count, last = time.perf_counter(), FIRST[problem.domain.dim - 1], 0.0
    history: list[dict[str, float]] = []
    best: tuple[float, SteppedField, Cavity] | None = None
    while best is None or (count <= MOST and time.perf_counter() - began + 4 * last < budget):
        begin = time.perf_counter()
        cavity = Cavity(problem, count, seed)
        field, check = cavity.solved()
        last, seconds = time.perf_counter() - begin, time.perf_counter() - began
        history.append({
            "step": len(history) + 1.0, "seconds": seconds, "features": float(count), "scale": SLOPE,
            "relative_residual": check, "progress": min(1.0, seconds / budget), "eta": max(0.0, budget - seconds),
        })  # fmt: skip
        if report is not None:
            report(history[-1])
        worth = best is None or check < WORTH * best[0]
        best = (check, field, cavity) if best is None or check < best[0] else best
        if best[0] < GOOD_ENOUGH or not worth:
            break
        count = round(GROWTH * count)
    stats = {
        "method": "random features, Galerkin, modes", "seconds": time.perf_counter() - began, "steps": len(history),
        "parameters": sum(p.numel() for p in best[1].parameters()), "features": best[2].count, "scale": SLOPE,
        "shape": "tanh", "modes": len(best[2].eigenvalues), "relative_residual": best[0],
        "residuals": {"equation": best[0]}, "unknowns": {}, "deviations": {}, "intervals": {}, "problem": problem.name,
        "metrics": {"relative_residual": best[0]},
    }  # fmt: skip
    return FitResult(best[1], Outcome.exact, history, stats)


@dataclass(eq=False)
class Cavity:
    """A cavity on one basis.

    Attributes:
        problem: that `is_cavity`.
        count: of the features.
        seed: of the features.
    """

    problem: Problem
    count: int
    seed: int

    @cached_property
    def equation(self) -> Maxwell:
        """Of the problem."""
        assert isinstance(self.problem.equation, Maxwell)
        return self.problem.equation

    @cached_property
    def region(self) -> Region:
        """Of space."""
        found: Region = self.problem.domain.region
        return found

    @property
    def components(self) -> tuple[str, ...]:
        """Along which axes the potential points."""
        return self.equation.components

    @cached_property
    def scalar(self) -> NeuralField:
        """An unfitted field with the features."""
        units = np.array(unit_scale(self.region))
        middle = (self.region.low + self.region.high) / 2
        encoding = placed(self.region, middle, units, Features(self.count, SLOPE, "tanh"), self.seed)
        return NeuralField(self.region, encoding, Linear(encoding.out_features, 1), out_names=("u",)).double()

    @cached_property
    def rule(self) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, d) and weights (n,) inside."""
        return quadrature(self.region, POINTS * width(self.scalar))

    @cached_property
    def _inside(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From r orthonormal functions to the weights of the features, their values (n, r) and slopes (d, n, r)."""
        values, slopes = features_at(self.scalar, self.rule[0])
        turn = turned(values, slopes, self.rule[1], float(self.region.measure ** (1 / self.region.dim)))
        return turn, values @ turn, slopes @ turn

    @cached_property
    def _held(self) -> np.ndarray:
        """Combinations (components * r, q) whose part along the conductor is small."""
        rules = [piece.rule(EDGE_ORDER) for piece in self.region.pieces]
        points, normals, weights = (
            np.concatenate([getattr(one, name) for one in rules]) for name in ("points", "normals", "weights")
        )
        values = features_at(self.scalar, points)[0] @ self._inside[0]
        n = np.zeros((3, len(points)))
        n[[SPACE.index(axis.name) for axis in self.region.axes]] = normals.T
        r, names = values.shape[1], self.components
        rows = np.zeros((3, len(points), len(names), r))
        for k, name in enumerate(names):
            i = SPACE.index(name)
            j, m = (i + 1) % 3, (i + 2) % 3
            rows[j, :, k] = n[m][:, None] * values  # (n × A)_j = n_m A_i - n_i A_m
            rows[m, :, k] = -n[j][:, None] * values
        flat = (np.sqrt(weights)[:, None, None] * rows).reshape(3 * len(points), -1)
        lengths, vectors = scipy.linalg.eigh(flat.T @ flat)
        return np.asarray(vectors[:, lengths < ALONG])

    @cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        """The eigenvalues (q,), and the modes (components * r, q), orthonormal in L2.

        Raises:
            InputError: if no combination of the features is near zero along the conductor.
        """
        if not self._held.shape[1]:
            raise InputError(f"{self.count} features", "enough for a field that vanishes along the conductor")
        root = np.sqrt(self.rule[1])[:, None]
        values, slopes = root * self._inside[1], root * self._inside[2]
        place = {axis.name: k for k, axis in enumerate(self.region.axes)}
        r, zero = values.shape[1], np.zeros((values.shape[1],) * 2)
        products = {
            (a, b): slopes[place[a]].T @ slopes[place[b]] if a in place and b in place else zero
            for a in SPACE for b in SPACE
        }  # fmt: skip
        through = sum((products[a, a] for a in SPACE), start=zero)
        names = self.components
        stiffness = np.block([
            [(through if a == b else zero) - products[b, a] + products[a, b] for b in names] for a in names
        ])  # fmt: skip
        mass, held = values.T @ values, self._held.reshape(len(names), r, -1)
        small = np.einsum("krq,rs,ksp->qp", held, mass, held, optimize=True)
        steep = self._held.T @ stiffness @ self._held
        found, vectors = scipy.linalg.eigh((steep + steep.T) / 2, (small + small.T) / 2)
        return np.maximum(found, 0.0), self._held @ vectors

    @property
    def eigenvalues(self) -> np.ndarray:
        """λ of the modes, rising: ``λ = (ω / c)²``."""
        return self._modes[0]

    def amplitudes(self, values: np.ndarray) -> np.ndarray:
        """Of the modes (q,) in a vector field with values (n, components) at the points inside."""
        against = np.einsum("nr,n,nk->kr", self._inside[1], self.rule[1], values, optimize=True)
        return np.asarray(self._modes[1].T @ against.ravel())

    # -- in time -----------------------------------------------------------------------------------------------------------

    def _given(self, what: str, given: Any, at: float) -> np.ndarray:
        points = np.column_stack([self.rule[0], np.full(len(self.rule[0]), at)])
        return coefficients.values(what, given, points, self.problem.axes)

    def force(self, at: float) -> np.ndarray:
        """The amplitudes (q,) of the current over ε."""
        given = self.equation.current
        if given is None:
            return np.zeros(len(self.eigenvalues))
        found = [self._given("the current", one, at) for one in given]
        return self.amplitudes(np.stack(found, axis=1)) / self.equation.medium.permittivity

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """The amplitudes of the potential and of its rate."""
        begin = self.problem.domain.time.start
        values, rates = np.zeros((2, len(self.rule[0]), len(self.components)))
        for condition in self.problem.conditions:
            if isinstance(condition, Initial):
                values[:, condition.component] = self._given("the initial value", condition.value, begin)
                assert condition.rate is not None
                rates[:, condition.component] = self._given("the initial rate", condition.rate, begin)
        return self.amplitudes(values), self.amplitudes(rates)

    def propagator(self, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """From amplitude and rate to those h later: the entries of a matrix (q,) each."""
        medium = self.equation.medium
        g, square = medium.conductivity / (2 * medium.permittivity), medium.speed**2 * self.eigenvalues
        ω = np.sqrt((square - g**2).astype(complex))
        far = np.abs(ω * h) > 1e-8
        sine = np.where(far, np.sin(ω * h) / np.where(far, ω, 1.0), h).real
        cosine, shrunk = np.cos(ω * h).real, math.exp(-g * h)
        return (
            shrunk * (cosine + g * sine), shrunk * sine, -shrunk * square * sine, shrunk * (cosine - g * sine),
        )  # fmt: skip

    def times(self, amplitudes: np.ndarray) -> np.ndarray:
        """Stored times, so close that the fastest mode that counts is held by cubics."""
        span, sizes = self.problem.domain.time, np.abs(amplitudes)
        counting = self.eigenvalues[sizes > COUNTS * max(float(sizes.max()), 1e-300)]
        fastest = self.equation.medium.speed * math.sqrt(float(counting.max(initial=0.0)))
        steps = int(np.clip(math.ceil(span.length * fastest / ANGLE), FEWEST_TIMES, MOST_TIMES))
        return np.linspace(span.start, span.end, steps + 1)

    def solved(self) -> tuple[SteppedField, float]:
        """The potential over all times, and its check."""
        y, rate = self.start()
        ω = self.equation.medium.speed * np.sqrt(np.maximum(self.eigenvalues, self.eigenvalues.max() * 1e-12))
        span = self.problem.domain.time
        pushed = np.max([np.abs(self.force(t)) for t in np.linspace(span.start, span.end, FEWEST_TIMES)], axis=0)
        times = self.times(np.abs(y) + np.abs(rate) / ω + pushed / ω**2)
        states, rates = self._march(y, rate, times)
        return self._field(states, rates, times), self._check(states, rates, times)

    def _march(self, y: np.ndarray, rate: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Amplitudes and rates (times, q)."""
        h = float(times[1] - times[0])
        nodes, weights = np.polynomial.legendre.leggauss(GAUSS)
        nodes, weights = h * (nodes + 1) / 2, h * weights / 2
        a, b, c, d = self.propagator(h)
        late = [self.propagator(h - s) for s in nodes]
        states, rates = [y], [rate]
        for t in times[:-1]:
            y, rate = a * y + b * rate, c * y + d * rate
            if self.equation.current is not None:
                for s, weight, (_, to_y, _, to_rate) in zip(nodes, weights, late, strict=True):
                    pushed = weight * self.force(t + s)
                    y, rate = y + to_y * pushed, rate + to_rate * pushed
            states.append(y)
            rates.append(rate)
        return np.array(states), np.array(rates)

    def weights(self, amplitudes: np.ndarray) -> np.ndarray:
        """From amplitudes (..., q) to the weights of the features (..., components, features)."""
        r = self._inside[0].shape[1]
        vectors = (amplitudes @ self._modes[1].T).reshape(*amplitudes.shape[:-1], len(self.components), r)
        return np.asarray(vectors @ self._inside[0].T)

    def _field(self, states: np.ndarray, rates: np.ndarray, times: np.ndarray) -> SteppedField:
        names = self.equation.out_names
        weights = self.weights(np.concatenate([states, rates])).reshape(-1, width(self.scalar)).T
        network = Linear(width(self.scalar), weights.shape[1]).double()
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
        labels = tuple(f"{kind}_{k}_{name}" for kind in ("value", "rate") for k in range(len(times)) for name in names)
        space = NeuralField(self.region, self.scalar.encoding, network, out_names=labels)
        axis = self.problem.domain.axes[-1]
        return SteppedField(space, tuple(times.tolist()), out_names=names, axis=axis.name, unit=axis.unit)

    def _check(self, states: np.ndarray, rates: np.ndarray, times: np.ndarray) -> float:
        """The strong residual over the sizes of its terms, at points and some stored times of its own."""
        medium, d, names = self.equation.medium, self.region.dim, self.components
        points = self.region.sample(CHECKED, np.random.default_rng(self.seed + 104729))
        seconds = [(i, j) for i in range(d) for j in range(i, d)]
        found = user_partials(self.scalar, torch.from_numpy(points), [(), *seconds])
        partials = {key: value.numpy() for key, value in found.items()}
        place = {axis.name: k for k, axis in enumerate(self.region.axes)}

        def derived(weights: np.ndarray, a: str, b: str, name: str) -> np.ndarray:
            if a not in place or b not in place or name not in names:
                return np.zeros(len(points))
            key = (min(place[a], place[b]), max(place[a], place[b]))
            return np.asarray(partials[key] @ weights[names.index(name)])

        missed = sizes = 0.0
        for k in np.linspace(0, len(times) - 1, MOMENTS + 2).astype(int)[1:-1]:
            pushed, g = self.force(times[k]), medium.conductivity / medium.permittivity
            acceleration = pushed - g * rates[k] - medium.speed**2 * self.eigenvalues * states[k]
            of_a, of_rate, of_second = (self.weights(one) for one in (states[k], rates[k], acceleration))
            for m, name in enumerate(names):
                at = np.column_stack([points, np.full(len(points), times[k])])
                current = 0.0 if self.equation.current is None else coefficients.values(
                    "the current", self.equation.current[m], at, self.problem.axes)  # fmt: skip
                terms = [partials[()] @ of_second[m], g * (partials[()] @ of_rate[m]), -current / medium.permittivity]
                for other in SPACE:
                    if other != name:
                        terms.append(medium.speed**2 * derived(of_a, name, other, other))
                        terms.append(-(medium.speed**2) * derived(of_a, other, other, name))
                missed += float(np.square(sum(terms)).mean())
                sizes += float(np.square(sum(np.abs(term) for term in terms)).mean())
        return math.sqrt(missed / max(sizes, 1e-300))


def turned(values: np.ndarray, slopes: np.ndarray, weights: np.ndarray, size: float) -> np.ndarray:
    """As `material_spaces.orthonormal`, for many points: by a factorisation without pivots and singular vectors."""
    root = np.sqrt(weights)[:, None]
    rows = np.concatenate([root * values / size, *(root * slope for slope in slopes)])
    (factor,) = scipy.linalg.qr(rows, mode="r", overwrite_a=True)
    _, lengths, vectors = scipy.linalg.svd(factor[: rows.shape[1]])
    kept = lengths > SMALL * lengths[0]
    return np.asarray(vectors[kept].T / lengths[kept])
