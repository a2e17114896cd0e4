"""Errors of solutions of equations, and the finite elements that are refined until they are as good.

Conventions: points (n, d) in the order of the problem's axes, values (n, 1), gradients (n, d) with respect to the axes. Errors
are relative.
"""

import time
from collections.abc import Callable

import lshape
import numpy as np
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.equations import Problem
from ungrid.operators.calculus import gradient
from ungrid.reference.finite_elements import FIRST_CELLS, FIRST_STEPS, grading_for, region_of, solve_elements

FEM_BUDGET = 30.0
CHUNK = 20_000  # points whose gradients are taken at a time


def error_of(values: np.ndarray, truth: np.ndarray) -> float:
    """Relative in L2, over points of equal weight."""
    return float(np.linalg.norm(values - truth) / np.linalg.norm(truth))


def energy_error(field: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Of a field on the L-shape, relative in the energy norm."""
    rule = lshape.rule()
    parts = [gradient(field, torch.as_tensor(rule.points[k : k + CHUNK])) for k in range(0, len(rule.points), CHUNK)]
    return rule.error(torch.cat(parts).detach().numpy())


def elements(problem: Problem, points: np.ndarray, truth: np.ndarray, goal: float) -> dict[str, object]:
    """The mesh on which finite elements first reach the goal, or the last one within the budget."""
    try:
        region = region_of(problem)
    except InputError:
        return {}
    h, steps, began = float(np.max(region.high - region.low)) / FIRST_CELLS, FIRST_STEPS, time.perf_counter()
    grading, last = grading_for(region, 2), 0.0
    while True:
        start = time.perf_counter()
        found = solve_elements(problem, h=h, steps=steps, grading=grading)
        last = time.perf_counter() - start
        error = error_of(found(points), truth)
        growth = 2 ** (region.dim + problem.changes)
        if error <= goal or time.perf_counter() - began + 1.5 * growth * last > FEM_BUDGET:
            return {"fem_relative_l2": f"{error:.2e}", "fem_seconds": round(last, 3),
                    "fem_numbers": found.basis.N * (1 if found.times is None else len(found.times))}  # fmt: skip
        h, steps = h / 2, 2 * steps


def energy_elements(goal: float) -> dict[str, object]:
    """As `elements`, on the L-shape in the energy norm, where by Galerkin's orthogonality ∫|∇(u - u_h)|² = ∫u - ∫u_h."""
    problem, h, began = pde.example("poisson-lshape").make(), 2 / FIRST_CELLS, time.perf_counter()
    grading = grading_for(region_of(problem), 2)
    while True:
        start = time.perf_counter()
        found = solve_elements(problem, h=h, grading=grading)
        last = time.perf_counter() - start
        error = float(np.sqrt(abs(1 - found.integral() / lshape.ENERGY)))
        if error <= goal or time.perf_counter() - began + 6 * last > FEM_BUDGET:
            return {"fem_relative_energy": f"{error:.2e}", "fem_energy_seconds": round(last, 3)}
        h /= 2
