"""The bracket of `examples/bracket.py`: its highest temperature after ten minutes, by `pde.solve` and by finite elements.

    python benchmarks/bracket.py                # writes benchmarks/results/bracket.csv; five minutes

Finite elements of degree 2, graded at re-entrant corners, on meshes whose sizes fall by a factor of 1.4; their limit is
extrapolated from the last two, with the order of the straight edges around the hole, 2. The temperatures are the largest at
50 points of every part of the boundary and at 4,000 points inside.
"""

import runpy
import time
from pathlib import Path

import numpy as np
from record import write

from ungrid import pde
from ungrid.reference.finite_elements import solve_elements

BUDGET, SEED, END = 120.0, 0, 600.0
MESHES, STEPS, GRADING = (0.0028, 0.002, 0.0014, 0.001), 16, 0.4


def places(problem: pde.Problem) -> np.ndarray:
    """Points (n, 3) at the end of the time."""
    region, rng = problem.domain.region, np.random.default_rng(SEED)
    pieces = [piece.draw(50, rng)[0] for piece in region.pieces]
    corners = np.array([corner.vertex for corner in region.corners])
    points = np.concatenate([region.sample(4000, rng), corners, *pieces])
    return np.column_stack([points, np.full(len(points), END)])


def main() -> None:
    problem = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "bracket.py"))["problem"]
    points = places(problem)
    start = time.perf_counter()
    result = pde.solve(problem, budget=BUDGET)
    ours = {"method": "pde.solve", "numbers": result.stats["features"], "seconds": time.perf_counter() - start}
    values = result.field(points)[:, 0]
    rows: list[dict[str, object]] = []
    found = []
    for h in MESHES:
        fem = solve_elements(problem, h=h, steps=STEPS, grading=GRADING)
        found.append(fem(points)[:, 0])
        rows.append({"method": f"finite elements, h = {h:g} m", "numbers": fem.basis.N, "seconds": fem.seconds})
    ratio = (MESHES[-2] / MESHES[-1]) ** 2
    limit = (ratio * found[-1] - found[-2]) / (ratio - 1)
    for row, temperatures in zip([ours, *rows], [values, *found], strict=True):
        row |= {
            "highest": round(float(temperatures.max()), 4),
            "off": round(float(temperatures.max() - limit.max()), 4),
            "largest_difference": round(float(np.abs(temperatures - limit).max()), 4),
        }
        row["seconds"] = round(row["seconds"], 1)
    write("bracket", [ours, *rows], SEED, key=("method",))


if __name__ == "__main__":
    main()
