"""Flows: the solver's error and seconds, beside finite elements where they take part.

    python benchmarks/fluids.py                      # all; writes benchmarks/results/fluids.csv

Errors are relative in L2 at 4000 points of their own; pressures by their difference from the mean. The lid-driven cavity of
PINNacle (NS2d-C) is judged by finite elements of the library (Taylor and Hood) on a mesh half as wide as the last one that
stands in the table; `fem_relative_l2` is what that last one has against it. The cavity at Reynolds number 1000, whose lid has
the speed 1 up to the corners, is judged by the extreme velocities on its middle lines in Botella and Peyret 1998: the largest
difference, relative to each. `best_of_paper` is the best of the methods in Hao et al. 2023 (PINNacle), table 3.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from record import write

from ungrid import pde
from ungrid.equations import Problem
from ungrid.objectives import Term
from ungrid.pde.gallery import exact_values
from ungrid.pde.systems import separable_field, solve_system, stream_velocity, system_terms
from ungrid.pde.terms import EQUATION
from ungrid.reference.flow_elements import solve_flow
from ungrid.sampling import AllPoints

EXACT = {"kovasznay": 30.0, "taylor-green": 30.0, "bearing": 40.0, "isentropic": 10.0, "continuity": 30.0}  # seconds
FINE, COARSE = 1 / 64, 1 / 32  # triangles of the cavity


def error(found: np.ndarray, truth: np.ndarray, name: str) -> float:
    """Relative in L2, of a pressure without its mean."""
    if name == "p":
        found, truth = found - found.mean(), truth - truth.mean()
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def together(found: np.ndarray, truth: np.ndarray) -> float:
    """Of velocity and pressure as one, relative in L2, as PINNacle counts."""
    middle = np.array([0.0, 0.0, 1.0])
    found, truth = (values - middle * values.mean(axis=0) for values in (found, truth))
    return error(found, truth, "all")


def errors(problem: Problem, found: np.ndarray, truth: np.ndarray) -> str:
    """Of every function, as a cell of the table."""
    names = problem.equation.out_names
    return " ".join(f"{name}={error(found[:, k], truth[:, k], name):.1e}" for k, name in enumerate(names))


def exact(name: str) -> dict[str, Any]:
    given = pde.example(name)
    problem = given.make()
    start = time.perf_counter()
    result = pde.solve(problem, budget=EXACT[name])
    seconds = time.perf_counter() - start
    points = pde.check_points(problem, 0)
    assert given.exact is not None
    truth = exact_values(problem, given.exact, points)
    return {
        "case": name, "relative_l2": errors(problem, result.field(points), truth), "seconds": round(seconds, 1),
        "relative_residual": f"{result.stats['relative_residual']:.1e}", "features": result.stats["features"],
        **(elements(problem, points, truth) if name == "kovasznay" else {}),
    }  # fmt: skip


def elements(problem: Problem, points: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Finite elements with an exact solution."""
    found = solve_flow(problem, h=COARSE * 2)
    return {"fem_relative_l2": errors(problem, found(points), truth), "fem_seconds": round(found.seconds, 1)}


def cavity() -> dict[str, Any]:
    """NS2d-C; `all_l2` is the error as the paper counts it, of all three functions as one."""
    problem = pde.example("cavity").make()
    start = time.perf_counter()
    result = pde.solve(problem, budget=40.0)
    seconds = time.perf_counter() - start
    points = pde.check_points(problem, 0)
    fine, coarse = solve_flow(problem, h=FINE), solve_flow(problem, h=COARSE)
    truth, found = fine(points), result.field(points)
    return {
        "case": "NS2d-C", "relative_l2": errors(problem, found, truth), "seconds": round(seconds, 1),
        "velocity_l2": f"{error(found[:, :2], truth[:, :2], 'u'):.1e}", "all_l2": f"{together(found, truth):.1e}",
        "relative_residual": f"{result.stats['relative_residual']:.1e}", "features": result.stats["features"],
        "fem_relative_l2": errors(problem, coarse(points), truth), "fem_seconds": round(coarse.seconds, 1),
        "best_of_paper": 3.6e-2,
    }  # fmt: skip


BOTELLA = (-0.3885698, 0.3769447, -0.5270771)  # least u on the line x = 1/2, largest and least v on y = 1/2
VISCOSITIES = (1e-2, 4e-3, 2e-3, 1e-3)  # each from the flow of the one before
SIDE = 40  # functions along an axis
NEAR, LEAST = 0.3, 1e-4  # of the corners of the lid: where rows begin to count less, and the least share that they keep


def fast_cavity() -> dict[str, Any]:
    """Reynolds number 1000; the elements have the same steps."""
    start = time.perf_counter()
    u = separable_field(unregularised(1.0), (SIDE, SIDE))
    for viscosity in VISCOSITIES:
        problem = unregularised(viscosity)
        solve_system(u, problem, [spared(term) for term in system_terms(problem, u, (SIDE, SIDE), seed=0)])
    seconds = time.perf_counter() - start
    fem = solve_flow(problem, h=COARSE)
    return {
        "case": "cavity, Re 1000", "extremes": " ".join(f"{v:.5f}" for v in extremes(lambda x: stream_velocity(u, x))),
        "against_botella_peyret": f"{apart(lambda x: stream_velocity(u, x)):.1e}", "seconds": round(seconds, 1),
        "features": SIDE**2, "fem_against_botella_peyret": f"{apart(fem):.1e}", "fem_seconds": round(fem.seconds, 1),
    }  # fmt: skip


def spared(term: Term) -> Term:
    """A term that counts less near the corners of the lid, where the vorticity is infinite: rows fall as r^1.5, or r."""
    assert isinstance(term.points, AllPoints)
    points = term.points.batch.points
    distance = torch.cdist(points, torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=points.dtype)).min(dim=1).values
    falling = 1.5 if term.name == EQUATION else 1.0
    weight = (distance / NEAR).clamp(min=LEAST, max=1.0) ** (2 * falling)
    return replace(term, points=AllPoints(points, None, weight))


def unregularised(viscosity: float) -> Problem:
    """Under a lid with the speed 1, by the stream function."""
    flow = pde.StreamFlow(viscosity)
    conditions = [*flow.velocity((1.0, 0.0), "y_high"), *flow.velocity((0.0, 0.0))]
    return Problem(pde.Box(x=(0, 1), y=(0, 1)), flow, conditions, name="cavity-1000")


def extremes(velocity: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float, float]:
    """The three velocities of `BOTELLA`."""
    along, middle = np.linspace(0, 1, 2001), np.full(2001, 0.5)
    u = velocity(np.column_stack([middle, along]))[:, 0]
    v = velocity(np.column_stack([along, middle]))[:, 1]
    return float(u.min()), float(v.max()), float(v.min())


def apart(velocity: Callable[[np.ndarray], np.ndarray]) -> float:
    """The largest relative difference from the published velocities."""
    return max(abs(found / given - 1) for found, given in zip(extremes(velocity), BOTELLA, strict=True))


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    **{name: partial(exact, name) for name in EXACT}, "NS2d-C": cavity, "Re1000": fast_cavity,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    for name in parser.parse_args().cases:
        write("fluids", [CASES[name]()], key=("case",))


if __name__ == "__main__":
    main()
