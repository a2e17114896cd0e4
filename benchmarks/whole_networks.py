"""Whole networks beside random features: the relative L2 error of every solver after equal seconds.

    python benchmarks/whole_networks.py                 # writes benchmarks/results/whole_networks.csv

The network is the library's, 697 weights over the plane; "adam" is Adam and then L-BFGS, as most libraries train. The error is
that at points of its own against the exact solution; `check` is what the solver says of itself.
"""

import argparse
import statistics

from record import write

from ungrid import pde

CASES = ("poisson-square", "heat", "reaction", "burgers")
SOLVERS = ("features", "gauss-newton", "broyden", "adam")


def measured(name: str, solver: str, budget: float, repeats: int) -> dict[str, object]:
    shown = pde.example(name)
    assert shown.exact is not None
    problem = shown.make()
    points = pde.check_points(problem, 0)
    exact, errors, checks, seconds = pde.exact_values(problem, shown.exact, points), [], [], []
    for seed in range(repeats):
        result = pde.solve(problem, solver=solver, budget=budget, seed=seed)
        errors.append(pde.distance(result.field, exact, points).relative_l2)
        checks.append(result.stats["relative_residual"])
        seconds.append(result.stats["seconds"])
    row = {"problem": name, "solver": solver, "seeds": repeats, "seconds": round(statistics.median(seconds), 2),
           "relative_l2": f"{statistics.median(errors):.2e}", "worst": f"{max(errors):.2e}",
           "check": f"{statistics.median(checks):.2e}"}  # fmt: skip
    print(row, flush=True)
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    write(
        "whole_networks", [measured(name, solver, given.budget, given.repeats) for name in CASES for solver in SOLVERS]
    )
