"""Inverse problems against the Cramér-Rao limit: a number, and PINNacle's two coefficient functions.

    python benchmarks/inverse.py                        # writes benchmarks/results/inverse.csv

diffusion: λ = 0.4 of u_t = λ u_xx from 200 values whose noise is 5 % of the rms of u, over many draws. The limit of a draw is
σ / sqrt(Σ (∂u/∂λ)²) with the exact solution; the optimal 90 % interval has 2 × 1.645 limits. PInv and HInv (Hao et al. 2023):
a coefficient function from 2,500 values with noise 0.1, as a polynomial. PInv's source has the sign of a's gradient corrected,
and a's boundary values, which PINNacle gives its methods, are not used. The limit is the root of the trace of the inverse
Fisher matrix of the polynomial's coefficients, whose sensitivities are solved by finite elements, over the rms of the
coefficient; a polynomial that cannot hold the coefficient adds its own error. `best_of_paper` is table 3 of the paper. The
limit is that of unbiased estimates: HInv's small basis of features, and the paper's networks, prefer simple solutions, and
so can lie below it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from record import write

from ungrid import pde
from ungrid.equations import Problem
from ungrid.pde.gallery import DIFFUSIVITY, diffusion_inverse

PI = np.pi
QUANTILE = 1.6448536269514722
NOISE, VALUES = 0.1, 2500  # of PINNacle's cases


def diffusion_limit(problem: Problem) -> float:
    """The least standard deviation of an unbiased estimate of λ from the problem's measurements."""
    (data,) = problem.measured
    x, t = np.asarray(data.points).T
    rate = -(PI**2) * t * np.exp(-DIFFUSIVITY * PI**2 * t) * np.sin(PI * x)
    return float(data.sigma / np.sqrt(np.sum(rate**2)))


def diffusion(draws: int) -> dict[str, Any]:
    errors, widths, covered, seconds = [], [], 0, []
    for seed in range(draws):
        problem = diffusion_inverse(seed)
        start = time.perf_counter()
        result = pde.solve(problem, budget=5.0, seed=seed)
        seconds.append(time.perf_counter() - start)
        limit = diffusion_limit(problem)
        low, high = result.stats["intervals"]["diffusivity"]
        errors.append((result.stats["unknowns"]["diffusivity"] - DIFFUSIVITY) / limit)
        widths.append((high - low) / (2 * QUANTILE * limit))
        covered += low <= DIFFUSIVITY <= high
    return {
        "case": "diffusion", "draws": draws, "rms_error_over_limit": round(float(np.sqrt(np.mean(np.square(errors)))), 3),
        "covered_percent": round(100 * covered / draws, 1), "width_over_optimal": round(statistics.median(widths), 3),
        "seconds": round(statistics.median(seconds), 2),
    }  # fmt: skip


def pinv_coefficient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)


def pinv(a: pde.UnknownFunction | Callable[..., Any], data: list[pde.Measured]) -> Problem:
    """-∇·(a ∇u) = f with u = sin(πx) sin(πy)."""

    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value, u = pinv_coefficient(x, y), np.sin(PI * x) * np.sin(PI * y)
        slope_x, slope_y = (-(value**2) * (4 * s - 2) for s in (x, y))
        return (
            2 * PI**2 * value * u
            - slope_x * PI * np.cos(PI * x) * np.sin(PI * y)
            - slope_y * PI * np.sin(PI * x) * np.cos(PI * y)
        )

    domain = pde.Box(x=(0, 1), y=(0, 1))
    return pde.Problem(domain, pde.Poisson(source, diffusion=a), [pde.Dirichlet(0.0), *data], name="PInv")


def hinv_coefficient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 + np.sin(PI * x) * np.sin(PI * y)


def hinv(a: pde.UnknownFunction | Callable[..., Any], data: list[pde.Measured]) -> Problem:
    """u_t - ∇·(a ∇u) = f with u = exp(-t) sin(πx) sin(πy)."""

    def source(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        sx, sy, cx, cy = np.sin(PI * x), np.sin(PI * y), np.cos(PI * x), np.cos(PI * y)
        bent = 2 * PI**2 * hinv_coefficient(x, y) * sx * sy - PI**2 * (cx**2 * sy**2 + sx**2 * cy**2)
        return np.exp(-t) * (bent - sx * sy)

    domain = pde.Box(x=(-1, 1), y=(-1, 1)) * pde.Time(0, 1)
    start = pde.Initial(lambda x, y: np.sin(PI * x) * np.sin(PI * y))
    return pde.Problem(domain, pde.Heat(a, source), [pde.Dirichlet(0.0), start, *data], name="HInv")


def measured(problem: Problem, u: Callable[..., np.ndarray], seed: int) -> pde.Measured:
    """Values of the exact solution with noise, on a grid of the plane (PInv) or at random (HInv)."""
    rng = np.random.default_rng(seed)
    if problem.changes:
        points = problem.domain.sample(VALUES, rng, method="uniform")
    else:
        side = np.linspace(0, 1, round(VALUES**0.5))
        points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    return pde.Measured(points, u(*points.T) + NOISE * rng.standard_normal(len(points)), NOISE)


def pinv_solution(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sin(PI * x) * np.sin(PI * y)


def hinv_solution(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.exp(-t) * np.sin(PI * x) * np.sin(PI * y)


CASES: dict[str, tuple[Callable[..., Problem], Callable[..., Any], Callable[..., Any], int, float]] = {
    "PInv": (pinv, pinv_coefficient, pinv_solution, 4, 1.96e-2),
    "HInv": (hinv, hinv_coefficient, hinv_solution, 8, 1.19e-2),
}  # the problem, its coefficient, its solution, the degree, the paper's best


def perturbed(problem: Problem, coefficient: Callable[..., Any], mode: int, a: pde.UnknownFunction) -> Problem:
    """What a change of the coefficient by its polynomial number `mode` does to the solution: linear, from zero."""

    def push(*where: np.ndarray) -> np.ndarray:
        x, y, *time_ = where
        points = np.stack([x, y], axis=1)
        value, along_x, along_y = (a.basis(points, ("x", "y"), along)[:, mode] for along in (None, "x", "y"))
        decay = np.exp(-time_[0]) if time_ else 1.0
        sx, sy, cx, cy = np.sin(PI * x), np.sin(PI * y), np.cos(PI * x), np.cos(PI * y)
        return np.asarray(decay * (-2 * PI**2 * value * sx * sy + PI * (along_x * cx * sy + along_y * sx * cy)))

    source = (lambda x, y, t: push(x, y, t)) if problem.changes else (lambda x, y: push(x, y))
    equation = pde.Heat(coefficient, source) if problem.changes else pde.Poisson(source, diffusion=coefficient)
    start = [pde.Initial(0.0)] if problem.changes else []
    return pde.Problem(problem.domain, equation, [pde.Dirichlet(0.0), *start], name="sensitivity")


def function_limit(name: str, a: pde.UnknownFunction, data: pde.Measured) -> float:
    """The least root mean square error of the coefficient's polynomial."""
    make, coefficient, *_ = CASES[name]
    problem, columns = make(coefficient, []), []
    for mode in range(len(a.unknowns)):
        found = pde.reference(perturbed(problem, coefficient, mode, a), tolerance=1e-2, budget=5.0)
        columns.append(found(np.asarray(data.points))[:, 0])
    fisher = np.stack(columns, axis=1).T @ np.stack(columns, axis=1) / NOISE**2
    return float(np.sqrt(np.trace(np.linalg.inv(fisher))))


def function(name: str, draws: int) -> dict[str, Any]:
    make, coefficient, u, degree, best = CASES[name]
    box = {"x": (0, 1), "y": (0, 1)} if name == "PInv" else {"x": (-1, 1), "y": (-1, 1)}
    a = pde.UnknownFunction("a", box, degree=degree, start=1.0)
    plain = make(coefficient, [])
    space = plain.domain.region if plain.changes else plain.domain
    points, weights = space.quadrature(24)
    truth, errors, seconds = coefficient(*points.T), [], []
    for seed in range(draws):
        start = time.perf_counter()
        result = pde.solve(make(a, [measured(plain, u, seed)]), budget=20.0, seed=seed)
        seconds.append(time.perf_counter() - start)
        apart = a.values(points, ("x", "y"), result.stats["unknowns"]) - truth
        errors.append(float(np.sqrt(weights @ apart**2 / (weights @ truth**2))))
    size = float(np.sqrt(weights @ truth**2 / weights.sum()))
    limit = function_limit(name, a, measured(plain, u, 0)) / size
    rms = float(np.sqrt(np.mean(np.square(errors))))
    return {
        "case": name, "draws": draws, "relative_l2": f"{rms:.2e}", "limit_relative_l2": f"{limit:.2e}",
        "rms_error_over_limit": round(rms / limit, 3), "best_of_paper": best, "seconds": round(statistics.median(seconds), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["diffusion", *CASES])
    parser.add_argument("--draws", type=int, default=100, help="of the number; a tenth of it of each function")
    given = parser.parse_args()
    for name in given.cases:
        found = diffusion(given.draws) if name == "diffusion" else function(name, max(2, given.draws // 10))
        write("inverse", [found], key=("case",))


if __name__ == "__main__":
    main()
