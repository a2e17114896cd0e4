"""Maxwell's four laws in integral form, on random spheres and disks inside of a domain.

    ∮ D·n dA = ∫ ρ dV,   ∮ B·n dA = 0,   ∮ E·dl = -∫ ∂B/∂t·n dA,   ∮ H·dl = ∫ (∂D/∂t + J)·n dA

Convention: a law is off by the difference of its sides over the integral of the sizes of what is integrated, over surface and
loop alike. For a potential, Faraday's law and the second one hold by construction, up to quadrature and rounding.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ungrid.domains import SpaceTime
from ungrid.equations import Problem, coefficients
from ungrid.equations.maxwell import SPACE, Maxwell
from ungrid.operators import Jet

LAWS = ("gauss", "no magnetic charges", "faraday", "ampere")
RINGS, AROUND = 10, 24  # of Gauss's and the trapezoidal rule
SMALLEST = 0.1  # radius, as a share of the largest that fits


@dataclass(frozen=True)
class _Points:
    """Points (n, 3) in space at one time, with weights (n,) and directions (n, 3)."""

    x: np.ndarray
    weights: np.ndarray
    along: np.ndarray


def integral_laws(field: Any, problem: Problem, *, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """How far a potential is from every law, on random spheres and disks in space.

    Args:
        field: the potential over x, y, z and t.
        problem: of `Maxwell` in space, on a box times `Time`, without a given charge.
        count: of spheres and of disks.
        seed: of their places, directions and times.

    Returns:
        For every law of `LAWS` the relative differences (count,).
    """
    rng, found = np.random.default_rng(seed), {law: np.zeros(count) for law in LAWS}
    domain, equation = problem.domain, problem.equation
    assert isinstance(domain, SpaceTime)
    assert isinstance(equation, Maxwell)
    low, high = domain.region.low, domain.region.high
    for k in range(count):
        center = low + (high - low) * rng.uniform(0.15, 0.85, 3)
        room = float(np.min(np.minimum(center - low, high - center)))
        radius = room * rng.uniform(SMALLEST, 1.0)
        t = float(rng.uniform(domain.time.start, domain.time.end))
        sphere, (disk, loop) = _sphere(center, radius), _disk(center, radius, _turned(rng))
        fields = [_Fields(field, problem, one, t) for one in (sphere, disk, loop)]
        medium = equation.medium
        for law, b in ((LAWS[0], fields[0].e * medium.permittivity), (LAWS[1], fields[0].b)):
            found[law][k] = _off([(sphere, b, 1.0)])
        found[LAWS[2]][k] = _off([(loop, fields[2].e, 1.0), (disk, fields[1].b_rate, 1.0)])
        through = medium.permittivity * fields[1].e_rate + fields[1].current
        found[LAWS[3]][k] = _off([(loop, fields[2].b / medium.permeability, 1.0), (disk, through, -1.0)])
    return found


class _Fields:
    """E, B and their rates at points (n, 3), and the current.

    Args:
        field: the potential.
        problem: whose equation it has.
        at: where.
        t: when.
    """

    def __init__(self, field: Any, problem: Problem, at: _Points, t: float) -> None:
        equation = problem.equation
        assert isinstance(equation, Maxwell)
        points = np.column_stack([at.x, np.full(len(at.x), t)])
        u = Jet(field, torch.from_numpy(points), axes=problem.axes)

        def part(k: int, *by: str) -> np.ndarray:
            return np.asarray(u.d(*by)[:, k].detach().numpy())

        self.e = -np.stack([part(k, "t") for k in range(3)], axis=1)
        self.e_rate = -np.stack([part(k, "t", "t") for k in range(3)], axis=1)
        self.b, self.b_rate = np.zeros((2, len(points), 3))
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            self.b[:, i] = part(k, SPACE[j]) - part(j, SPACE[k])
            self.b_rate[:, i] = part(k, SPACE[j], "t") - part(j, SPACE[k], "t")
        self.current = equation.medium.conductivity * self.e
        if equation.current is not None:
            given = [coefficients.values("the current", one, points, problem.axes) for one in equation.current]
            self.current = self.current + np.stack(given, axis=1)


def _off(parts: list[tuple[_Points, np.ndarray, float]]) -> float:
    """``|Σ sign ∫ v·n|`` over ``Σ ∫ |v|``."""
    total = sum(sign * float(at.weights @ (v * at.along).sum(axis=1)) for at, v, sign in parts)
    size = sum(float(at.weights @ np.linalg.norm(v, axis=1)) for at, v, _ in parts)
    return abs(total) / max(size, 1e-300)


def _sphere(center: np.ndarray, radius: float) -> _Points:
    z, weights = np.polynomial.legendre.leggauss(RINGS)
    φ = 2 * np.pi * np.arange(AROUND) / AROUND
    flat = np.sqrt(1 - z**2)
    n = np.stack([np.outer(flat, np.cos(φ)), np.outer(flat, np.sin(φ)), np.outer(z, np.ones(AROUND))], axis=-1).reshape(
        -1, 3
    )
    area = np.repeat(weights, AROUND) * 2 * np.pi / AROUND * radius**2
    return _Points(center + radius * n, area, n)


def _turned(rng: np.random.Generator) -> np.ndarray:
    """A random rotation (3, 3): two directions of a plane and its normal."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]])


def _disk(center: np.ndarray, radius: float, turn: np.ndarray) -> tuple[_Points, _Points]:
    """A disk with its normal, and its edge with the tangent around it."""
    s, weights = np.polynomial.legendre.leggauss(RINGS)
    r, weights = radius * (s + 1) / 2, radius * weights / 2
    φ = 2 * np.pi * np.arange(AROUND) / AROUND
    around = np.cos(φ)[:, None] * turn[:, 0] + np.sin(φ)[:, None] * turn[:, 1]
    tangent = -np.sin(φ)[:, None] * turn[:, 0] + np.cos(φ)[:, None] * turn[:, 1]
    inside = (center + r[:, None, None] * around).reshape(-1, 3)
    area = np.repeat(weights * r, AROUND) * 2 * np.pi / AROUND
    disk = _Points(inside, area, np.tile(turn[:, 2], (len(inside), 1)))
    return disk, _Points(center + radius * around, np.full(AROUND, 2 * np.pi * radius / AROUND), tangent)
