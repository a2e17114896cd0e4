"""Plane waves scattered by a disk: Maxwell's equations for one frequency in two media, with an open boundary.

In each medium the field along the disk's axis is a sum of random features with complex weights, found by least squares: of
Helmholtz's equation ``Δu + k² u = 0``, k of the medium, at points inside, of the continuity of u and of ``p ∂u/∂n`` at the
disk, and of an absorbing condition on a circle around. TM waves have u = E_z and p = 1/μ, TE waves u = H_z and p = 1/ε. On
the circle of radius R the scattered field s meets the condition of second order for outgoing waves,

    (2/R - 2ik) ∂s/∂r = 1/R² ∂²s/∂θ² + (2k² + 3ik/R - 3/(4R²)) s       (Bayliss and Turkel 1980)

Convention: scaled units, phasors with exp(-iωt), the disk about the origin, the incident wave ``exp(i k x)``; the functions of
the field are the real and the imaginary part of u.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Region
from ungrid.encodings import Joined, RandomFeatures
from ungrid.equations.maxwell import Medium
from ungrid.fields import NeuralField, PatchField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.corners import hole_functions
from ungrid.pde.spaces import drawn
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.output_layer import user_partials

STEEP = (1.2, 1.6)  # slopes of the features, for each unit of k: the one with the least residual is taken
DENSE = 60.0  # features for each squared wavelength, at the start
LEAST = 60  # in a medium
GROWTH, MOST = 1.6, 3000
ROWS, EDGE_ROWS = 2.0, 0.4  # of the equation, and of every circle, for each feature
EDGE_WEIGHT = 10.0  # rows of circles count as much
CUT = 1e-11  # weight of the rows that hold the weights of the features, whose columns have the length 1
GOOD_ENOUGH, WORTH, POOR = 1e-6, 0.7, 1e-2  # of the check; gains count once it is no longer poor
SECOND = ((), (0,), (1,), (0, 0), (0, 1), (1, 1))


EMPTY = Medium()


@dataclass(frozen=True)
class DiskScattering:
    """A plane wave and a dielectric disk.

    Attributes:
        wavenumber: k outside of the disk.
        radius: of the disk.
        disk: its medium.
        reach: the radius of the absorbing circle.
        waves: "TM" or "TE".
        outside: the medium around.
    """

    wavenumber: float
    radius: float
    disk: Medium
    reach: float
    waves: str = "TM"
    outside: Medium = EMPTY

    def __post_init__(self) -> None:
        if not (self.wavenumber > 0 and 0 < self.radius < self.reach) or self.waves not in ("TM", "TE"):
            raise InputError(
                f"k = {self.wavenumber}, a disk of the radius {self.radius}, a circle of the radius {self.reach}, waves "
                f"{self.waves!r}", 'k > 0, a disk inside of the circle, "TM" or "TE"',
            )  # fmt: skip
        if self.disk.conductivity or self.outside.conductivity:
            raise InputError("a conductivity", "media without losses, in scattering by a disk")

    @property
    def inner_wavenumber(self) -> float:
        """The wavenumber in the disk."""
        return self.wavenumber * self.outside.speed / self.disk.speed

    @property
    def jump(self) -> float:
        """p of the disk over p outside."""
        one, other = self.disk, self.outside
        if self.waves == "TM":
            return other.permeability / one.permeability
        return other.permittivity / one.permittivity

    @property
    def regions(self) -> tuple[Region, Region]:
        """The disk, and the ring around it."""
        disk = Ball((0, 0), self.radius).named("interface")
        return disk, Ball((0, 0), self.reach).named("open") - disk

    def incident(self, points: np.ndarray) -> np.ndarray:
        """The plane wave, complex (n,), at points (n, 2)."""
        return np.asarray(np.exp(1j * self.wavenumber * points[:, 0]))


def scatter(
    problem: DiskScattering,
    *,
    budget: float = 30.0,
    seed: int = 0,
    report: Callable[[dict[str, float]], None] | None = None,
) -> FitResult:
    """The whole field of a scattered plane wave.

    Args:
        problem: the problem.
        budget: seconds, after which no larger basis is begun.
        seed: of features and points.
        report: called with each row of the history.

    Returns:
        The field with the functions ``re`` and ``im``; its check, ``relative_residual``, is the root mean square of all rows at
        points of their own, over that of the sizes of their terms.
    """
    began, history = time.perf_counter(), list[dict[str, float]]()

    def tried(basis: Bases) -> tuple[float, Bases]:
        check = basis.check()
        seconds = time.perf_counter() - began
        history.append({
            "step": len(history) + 1.0, "seconds": seconds, "features": float(basis.total), "scale": basis.steep,
            "relative_residual": check, "progress": min(1.0, seconds / budget), "eta": max(0.0, budget - seconds),
        })  # fmt: skip
        if report is not None:
            report(history[-1])
        return check, basis

    best = min((tried(Bases(problem, DENSE, steep, seed)) for steep in STEEP), key=lambda one: one[0])
    density = DENSE
    while best[0] > GOOD_ENOUGH:
        density *= GROWTH
        larger = replace(best[1], density=density)
        last = history[-1]["seconds"] - (history[-2]["seconds"] if len(history) > 1 else 0.0)
        if larger.total > MOST or time.perf_counter() - began + 3.5 * last > budget:
            break
        found = tried(larger)
        worth = found[0] < WORTH * best[0]
        best = min(best, found, key=lambda one: one[0])
        if not worth and best[0] < POOR:
            break
    field = best[1].field()
    stats = {
        "method": "random features in two media, least squares", "seconds": time.perf_counter() - began,
        "steps": len(history), "parameters": sum(p.numel() for p in field.parameters()), "features": best[1].total,
        "scale": best[1].steep, "shape": "sine", "relative_residual": best[0], "residuals": {"all rows": best[0]},
        "unknowns": {}, "deviations": {}, "intervals": {}, "problem": "disk-scattering",
        "metrics": {"relative_residual": best[0]},
    }  # fmt: skip
    return FitResult(field, Outcome.exact, history, stats)


@dataclass(eq=False)
class Bases:
    """Features in both media, and the weights that solve the problem.

    Attributes:
        problem: the problem.
        density: features for each squared wavelength.
        steep: their largest slope, for each unit of k.
        seed: of features and points.
    """

    problem: DiskScattering
    density: float
    steep: float
    seed: int

    def __post_init__(self) -> None:
        self._weights: np.ndarray | None = None
        self.fields = [
            self._unfitted(region, k, count, number)
            for number, (region, k, count) in enumerate(
                zip(self.problem.regions, self.wavenumbers, self.counts, strict=True)
            )
        ]

    @property
    def wavenumbers(self) -> tuple[float, float]:
        """In the disk and in the ring."""
        return self.problem.inner_wavenumber, self.problem.wavenumber

    @property
    def counts(self) -> list[int]:
        """Of the features in both media."""
        areas = [float(region.measure) for region in self.problem.regions]
        sizes = [area * (k / (2 * np.pi)) ** 2 for area, k in zip(areas, self.wavenumbers, strict=True)]
        return [max(LEAST, round(self.density * size)) for size in sizes]

    @property
    def total(self) -> int:
        """The number of features."""
        return sum(self.counts)

    def _unfitted(self, region: Region, k: float, count: int, number: int) -> NeuralField:
        domain = drawn(region)
        units = np.array(unit_scale(domain))
        extent = tuple(((domain.high - domain.low) / 2 / units).tolist())
        slopes = tuple((self.steep * k * units).tolist())
        random = RandomFeatures(2, count, scale=slopes, extent=extent, shape="sine", seed=self.seed + 7 * number)
        around = hole_functions(region, tuple(units.tolist()))  # what is singular in the disk, and only there
        encoding = Joined((random, *around)) if around else random
        return NeuralField(domain, encoding, Linear(encoding.out_features, 2), out_names=("re", "im")).double()

    def _at(self, number: int, points: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
        found = user_partials(self.fields[number], torch.from_numpy(points), SECOND)
        return {key: value.numpy() for key, value in found.items()}

    def rows(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The system at points drawn anew: a complex matrix (rows, weights), and the right-hand side (rows,)."""
        rng = np.random.default_rng(seed)
        widths = [int(one.encoding.out_features) for one in self.fields]  # type: ignore[arg-type]
        blocks: list[list[np.ndarray | None]] = []
        rights: list[np.ndarray] = []
        for number, (region, k) in enumerate(zip(self.problem.regions, self.wavenumbers, strict=True)):
            points = region.sample(round(ROWS * self.counts[number]), rng)
            u = self._at(number, points)
            blocks.append([None, None])
            blocks[-1][number] = ((u[(0, 0)] + u[(1, 1)]) / k**2 + u[()]).astype(complex)
            rights.append(np.zeros(len(points), dtype=complex))
        for block, right in (*self._interface(rng), self._open(rng)):
            blocks.append([None if one is None else EDGE_WEIGHT * one for one in block])
            rights.append(EDGE_WEIGHT * right)
        full = [
            np.concatenate([
                np.zeros((len(right), width), dtype=complex) if one is None else one
                for one, width in zip(block, widths, strict=True)
            ], axis=1) for block, right in zip(blocks, rights, strict=True)
        ]  # fmt: skip
        return np.concatenate(full), np.concatenate(rights)

    def _circle(self, radius: float, k: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 2) on a circle, and the unit vectors outwards; enough for its waves and its features."""
        n = max(round(EDGE_ROWS * max(self.counts)), round(8 * k * radius))
        θ = 2 * np.pi * (np.arange(n) + rng.random()) / n
        outwards = np.stack([np.cos(θ), np.sin(θ)], axis=1)
        return radius * outwards, outwards

    def _interface(self, rng: np.random.Generator) -> list[tuple[list[np.ndarray | None], np.ndarray]]:
        points, n = self._circle(self.problem.radius, self.problem.inner_wavenumber, rng)
        one, other = self._at(0, points), self._at(1, points)
        slopes = [n[:, :1] * u[(0,)] + n[:, 1:] * u[(1,)] for u in (one, other)]
        k, zero = self.problem.wavenumber, np.zeros(len(points), dtype=complex)
        return [([one[()], -other[()]], zero), ([self.problem.jump * slopes[0] / k, -slopes[1] / k], zero)]

    def _open(self, rng: np.random.Generator) -> tuple[list[np.ndarray | None], np.ndarray]:
        """The absorbing condition, for the whole field less the incident one."""
        k, radius = self.problem.wavenumber, self.problem.reach
        points, n = self._circle(radius, k, rng)
        u = self._at(1, points)
        wave = self.problem.incident(points)
        given = {
            (): wave,
            (0,): 1j * k * wave,
            (0, 0): -(k**2) * wave,
            (1,): 0 * wave,
            (0, 1): 0 * wave,
            (1, 1): 0 * wave,
        }
        left = outgoing(u, n, k, radius)
        right = outgoing({key: value[:, None] for key, value in given.items()}, n, k, radius)
        return [None, left], right[:, 0]

    @property
    def weights(self) -> np.ndarray:
        """Complex, of the features of both media one after another."""
        if self._weights is None:
            matrix, right = self.rows(self.seed)
            lengths = np.linalg.norm(matrix, axis=0)
            held = CUT * np.eye(matrix.shape[1])
            q, r = scipy.linalg.qr(
                np.concatenate([matrix / lengths, held]), mode="economic", overwrite_a=True, check_finite=False
            )
            self._weights = scipy.linalg.solve_triangular(r, q[: len(right)].conj().T @ right) / lengths
        return self._weights

    def check(self) -> float:
        """The residual at points of its own, relative to the size of the field there (the equation is scaled by k²)."""
        matrix, right = self.rows(self.seed + 1)
        missed = matrix @ self.weights - right
        size = np.concatenate([self._at(k, r.sample(200, np.random.default_rng(3)))[()] @ w
                               for k, (r, w) in enumerate(zip(self.problem.regions, self._split(), strict=True))])  # fmt: skip
        return float(np.sqrt(np.mean(np.abs(missed) ** 2) / np.mean(np.abs(size) ** 2)))

    def _split(self) -> list[np.ndarray]:
        first = int(self.fields[0].encoding.out_features)  # type: ignore[arg-type]
        return [self.weights[:first], self.weights[first:]]

    def field(self) -> PatchField:
        """The solution: the disk's field in the disk, the ring's around it."""
        for one, weights in zip(self.fields, self._split(), strict=True):
            with torch.no_grad():
                one.network.weight.copy_(torch.from_numpy(np.stack([weights.real, weights.imag], axis=1)))  # type: ignore[operator]
        return PatchField(tuple(self.fields))


def outgoing(u: dict[tuple[int, ...], np.ndarray], n: np.ndarray, k: float, radius: float) -> np.ndarray:
    """What vanishes for an outgoing wave on a circle, over 2 k² (points, columns).

    Args:
        u: values, first and second derivatives (points, columns).
        n: the unit vectors outwards (points, 2).
        k: the wavenumber.
        radius: of the circle.
    """
    x, y = n[:, :1], n[:, 1:]
    slope = x * u[(0,)] + y * u[(1,)]
    bend = radius**2 * (y**2 * u[(0, 0)] - 2 * x * y * u[(0, 1)] + x**2 * u[(1, 1)]) - radius * slope  # ∂²/∂θ²
    factor = 2 * k**2 + 3j * k / radius - 3 / (4 * radius**2)
    return np.asarray((bend / radius**2 + factor * u[()] - (2 / radius - 2j * k) * slope) / (2 * k**2))
