"""Equations: the solver's error and seconds beside finite elements, and the PINNacle cases that are exact or have a file.

    python benchmarks/equations.py                      # all; writes benchmarks/results/equations.csv

Errors are relative in L2 against the exact solution, or against PINNacle's file of reference values. Seconds are those of a
call with everything that it chooses by itself, the median of the repeats. Beside them the finite elements of the library are
refined until they are as good, or for half a minute, and the table says how far they came. On the L-shape the error
in the energy norm stands there too, and the finite elements that are as good in it. `best_of_paper` is the best of the
methods in Hao et al. 2023 (PINNacle), table 3. Burgers1d-C is judged by Cole's and Hopf's solution, Allen-Cahn and KdV by the
files of Raissi, Perdikaris and Karniadakis 2019 (spectral, 512 x 201 values).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import lshape
import numpy as np
import scipy.io
from record import DATA, write
from truth import elements, energy_elements, energy_error, error_of

from ungrid import pde
from ungrid.equations import Problem
from ungrid.fields import Field
from ungrid.pde.gallery import exact_values

PI = np.pi
FILES, FRONTS = DATA / "pde" / "pinnacle", DATA / "pde" / "raissi"


@dataclass(frozen=True)
class Case:
    """A problem, where to compare and with what, and the seconds that it gets.

    Attributes:
        problem: what is solved.
        truth: points (n, d) and values (n, 1).
        budget: seconds.
        best_of_paper: the least relative error in the paper, or None.
        energy: whether the energy norm counts too; only on the L-shape.
    """

    problem: Problem
    truth: Callable[[], tuple[np.ndarray, np.ndarray]]
    budget: float
    best_of_paper: float | None = None
    energy: bool = False


def known(problem: Problem, exact: Callable[..., np.ndarray], budget: float, best: float | None = None) -> Case:
    points = pde.check_points(problem, 0)
    return Case(problem, lambda: (points, exact_values(problem, exact, points)), budget, best)


def named(name: str, budget: float, best: float | None = None) -> Case:
    found = pde.example(name)
    assert found.exact is not None
    return known(found.make(), found.exact, budget, best)


def heat_of_many_scales() -> Case:
    """PINNacle's Heat2d-MS."""
    domain = pde.Box(x=(0, 1), y=(0, 1)) * pde.Time(0, 5)
    diffusion = np.diag([1 / (500 * PI) ** 2, 1 / PI**2])
    conditions = [pde.Dirichlet(0.0), pde.Initial(lambda x, y: np.sin(20 * PI * x) * np.sin(PI * y))]
    problem = pde.Problem(domain, pde.SecondOrder(damping=1.0, diffusion=diffusion), conditions, name="Heat2d-MS")
    rate = (20 / 500) ** 2 + 1
    return known(
        problem, lambda x, y, t: np.sin(20 * PI * x) * np.sin(PI * y) * np.exp(-rate * t), 60.0, 1.73e-2
    )  # fmt: skip


def four_discs() -> Case:
    """PINNacle's Poisson2d-C, against its file."""
    domain = pde.Box(x=(-0.5, 0.5), y=(-0.5, 0.5)).named("outer")
    for x in (-0.3, 0.3):
        for y in (-0.3, 0.3):
            domain = domain - pde.Ball((x, y), 0.1).named("disc")
    problem = pde.Problem(
        domain, pde.Poisson(), [pde.Dirichlet(1.0, "outer"), pde.Dirichlet(0.0, "disc")], name="Poisson2d-C"
    )
    return Case(problem, lambda: read_file("poisson1_cg_data.dat"), 30.0, 1.23e-2)


def four_discs_with_reaction() -> Case:
    """PINNacle's Poisson2d-CG, against finite elements of the library at a tenth of the error that is claimed."""
    domain = pde.Box(x=(-1, 1), y=(-1, 1)).named("outer")
    for x, y, r in ((0.5, 0.5, 0.2), (0.4, -0.4, 0.4), (-0.2, -0.7, 0.1), (-0.6, 0.5, 0.3)):
        domain = domain - pde.Ball((x, y), r).named("disc")
    equation = pde.Poisson(
        lambda x, y: 10 * (17 + x**2 + y**2) * np.sin(PI * x) * np.sin(4 * PI * y), reaction=64.0
    )  # fmt: skip
    problem = pde.Problem(
        domain, equation, [pde.Dirichlet(0.2, "outer"), pde.Dirichlet(1.0, "disc")], name="Poisson2d-CG"
    )

    def truth() -> tuple[np.ndarray, np.ndarray]:
        points = pde.check_points(problem, 0)
        return points, pde.reference(problem, tolerance=1e-5, budget=240.0)(points)

    return Case(problem, truth, 30.0, 1.43e-2)


def corner() -> Case:
    """The L-shape, against particular solutions."""
    problem = pde.example("poisson-lshape").make()
    points = pde.check_points(problem, 0)
    return Case(problem, lambda: (points, lshape.values(points)), 5.0, energy=True)


def cantilever() -> Case:
    """Against finite elements of the library."""
    problem = pde.example("cantilever").make()
    points = pde.check_points(problem, 0)
    return Case(problem, lambda: (points, pde.reference(problem, tolerance=1e-6, budget=120.0)(points)), 20.0)


def read_file(name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = np.loadtxt(FILES / name, comments="%")
    return rows[:, :2], rows[:, 2:3]


def front(name: str, file: str, budget: float) -> Case:
    """A problem of the gallery against a file of values on a grid of places and times."""
    found = scipy.io.loadmat(FRONTS / file)
    points = np.stack(np.meshgrid(found["x"].ravel(), found["tt"].ravel(), indexing="ij"), axis=-1).reshape(-1, 2)
    return Case(pde.example(name).make(), lambda: (points, found["uu"].reshape(-1, 1)), budget)


CASES: dict[str, Callable[[], Case]] = {
    "poisson-square": lambda: named("poisson-square", 0.5),
    "heat": lambda: named("heat", 0.5),
    "helmholtz": lambda: named("helmholtz", 3.0),
    "lshape": corner,
    "boundary-layer": lambda: named("boundary-layer", 3.0),
    "variable-coefficient": lambda: named("variable-coefficient", 3.0),
    "step": lambda: named("step", 10.0),
    "pipe": lambda: named("pipe", 3.0),
    "reaction": lambda: named("reaction", 10.0),
    "plate-with-hole": lambda: named("plate-with-hole", 20.0),
    "cantilever": cantilever,
    "Wave1d-C": lambda: named("wave", 20.0, 9.79e-2),
    "Burgers1d-C": lambda: named("burgers", 100.0, 1.33e-2),
    "allen-cahn": lambda: front("allen-cahn", "AC.mat", 150.0),
    "kdv": lambda: front("kdv", "KdV.mat", 150.0),
    "Heat2d-MS": heat_of_many_scales,
    "Poisson2d-C": four_discs,
    "Poisson2d-CG": four_discs_with_reaction,
}


def row(name: str, repeats: int) -> dict[str, object]:
    case = CASES[name]()
    points, truth = case.truth()
    pde.solve(case.problem, budget=0.1)  # what is loaded once
    results, seconds = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        results.append(pde.solve(case.problem, budget=case.budget))
        seconds.append(time.perf_counter() - start)
    result = results[-1]
    error = error_of(result.field(points), truth)
    return {
        "case": name,
        "relative_l2": f"{error:.2e}",
        "seconds": round(statistics.median(seconds), 3),
        "relative_residual": f"{result.stats['relative_residual']:.1e}",
        "features": result.stats["features"],
        "scale": result.stats.get("scale"),
        "repeats": repeats,
        "best_of_paper": case.best_of_paper,
        "times_better": round(case.best_of_paper / error, 1) if case.best_of_paper else None,
        **elements(case.problem, points, truth, error),
        **(in_energy(result.field) if case.energy else {}),
    }


def in_energy(field: Field) -> dict[str, object]:
    """The columns of the energy norm."""
    error = energy_error(field)
    return {"relative_energy": f"{error:.2e}", **energy_elements(error)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for name in given.cases:
        write("equations", [row(name, given.repeats)], key=("case",))


if __name__ == "__main__":
    main()
