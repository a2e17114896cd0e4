"""Equations: the seconds of DeepXDE and jinns to their own final errors, beside `pde.solve` and finite elements.

    pip install --target build/peers/deepxde deepxde==1.15.0
    pip install --target build/peers/jinns jinns==1.10.2
    python benchmarks/equation_peers.py                  # all; writes benchmarks/results/equation_peers.csv

Each peer runs in a process of its own, to which only its packages are added: one thread for DeepXDE, for which that is the
fastest, and all cores for jinns, as for `pde.solve`. Its final error is the best that it has shown until it ended by itself, or
until `--cap` seconds of training; its seconds are those at which it first showed it, without imports, the compilation of
jinns and the time for measuring. DeepXDE computes in float32 on the L-shape and for the heat equation, as it ships, and in
float64 for Burgers, where its L-BFGS gives up in float32 after a few iterations; jinns in float64. jinns samples boxes
only, so that it is left out on the L-shape.

`ours_seconds` is the median of whole calls of `pde.solve` with the least budget of `BUDGETS` whose field is at least as good;
`ratio` is the peer's seconds divided by them. The finite elements of the library are refined until they
are as good as the peer. Errors are relative in L2 against the exact solution, on the L-shape the one in `lshape.py`;
`relative_energy` is there the least that the peer has shown. Heat: u_t = 0.4 u_xx; Burgers until t = 0.99.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lshape
import numpy as np
from record import write
from truth import elements, energy_elements, energy_error, error_of

from ungrid import pde
from ungrid.equations import Problem
from ungrid.fields import Field
from ungrid.pde.gallery import VISCOSITY, exact_values, example

HERE = Path(__file__).parent
PEERS = {
    "deepxde": ("float32", "float64"),
    "jinns": ("natural-gradient", "ssbroyden"),
}
BUDGETS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
GRACE = 300.0  # seconds for imports, compilation and measuring, after which a peer is given up


@dataclass(frozen=True)
class Case:
    """A problem, what it is compared with, and the peers that can solve it.

    Attributes:
        points: (n, 2), in the order of the problem's axes.
        values: the truth, (n, 1).
        solvers: pairs of a peer and its precision or optimiser.
        energy: whether the energy norm counts too; only on the L-shape.
    """

    problem: Problem
    points: np.ndarray
    values: np.ndarray
    solvers: tuple[tuple[str, str], ...]
    energy: bool = False


def corner() -> Case:
    problem = example("poisson-lshape").make()
    points = pde.check_points(problem, 0)
    return Case(problem, points, lshape.values(points), (("deepxde", "float32"),), energy=True)


def heat() -> Case:
    conditions = [pde.Dirichlet(0.0), pde.Initial(lambda x: np.sin(np.pi * x))]
    problem = pde.Problem(pde.Interval(x=(0, 1)) * pde.Time(0, 1), pde.Heat(0.4), conditions, name="heat, 0.4")
    return known(problem, lambda x, t: np.exp(-0.4 * np.pi**2 * t) * np.sin(np.pi * x), "float32")


def burgers() -> Case:
    exact = example("burgers").exact
    assert exact is not None
    conditions = [pde.Dirichlet(0.0), pde.Initial(lambda x: -np.sin(np.pi * x))]
    domain = pde.Interval(x=(-1, 1)) * pde.Time(0, 0.99)
    return known(pde.Problem(domain, pde.Burgers(VISCOSITY), conditions, name="burgers, 0.99"), exact, "float64")


def known(problem: Problem, exact: Callable[..., np.ndarray], precision: str) -> Case:
    """A problem with an exact solution, for all peers."""
    points = pde.check_points(problem, 0)
    solvers = (("deepxde", precision), *(("jinns", name) for name in PEERS["jinns"]))
    return Case(problem, points, exact_values(problem, exact, points), solvers)


CASES: dict[str, Callable[[], Case]] = {"lshape": corner, "heat": heat, "burgers": burgers}


@dataclass(frozen=True)
class Shown:
    """The best that a peer has shown: its errors, the seconds until then, all seconds, and whether it ended by itself."""

    error: float
    energy: float | None
    seconds: float
    trained: float
    ended: bool


def run_peer(name: str, case: Case, peer: str, solver: str, given: argparse.Namespace) -> Shown | None:
    """Train a peer in a process of its own; None, and a line that says why, where it is not installed."""
    packages = given.packages / peer
    if not (packages / peer).is_dir():
        print(f"{name}: {peer} skipped, there is no {packages / peer}; `--help` says how to install it", flush=True)
        return None
    with tempfile.TemporaryDirectory() as folder:
        truth, out = Path(folder, "truth.npz"), Path(folder, "shown.json")
        np.savez(truth, **arrays(case))
        command = [sys.executable, str(HERE / f"peer_{peer}.py"), name, solver, str(truth), str(out)]
        options = ["--cap", str(given.cap), "--every", str(given.every)]
        done = subprocess.run(
            command + options, env=environment(packages, peer), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, timeout=2 * given.cap + GRACE, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{peer} failed on {name}:\n{done.stderr}")
        return best_of(json.loads(out.read_text()))


def arrays(case: Case) -> dict[str, np.ndarray]:
    """What a peer reads."""
    found = {"points": case.points, "values": case.values}
    if not case.energy:
        return found
    rule = lshape.rule()
    return found | {"rule": rule.points, "weights": rule.weights / lshape.ENERGY, "gradients": rule.gradients}


def environment(packages: Path, peer: str) -> dict[str, str]:
    """With the peer's packages and no others added; DeepXDE on one thread."""
    found = os.environ | {"PYTHONPATH": str(packages.resolve()), "OMP_WAIT_POLICY": "passive"}
    return found | (
        {"DDE_BACKEND": "pytorch", "OMP_NUM_THREADS": "1"} if peer == "deepxde" else {"JAX_PLATFORMS": "cpu"}
    )


def best_of(shown: dict[str, list[list[float]]]) -> Shown:
    rows = shown["rows"]
    seconds, error, _ = min(rows, key=lambda row: row[1])
    energies = [row[2] for row in rows if row[2] is not None]
    return Shown(error, min(energies, default=None), seconds, rows[-1][0], bool(shown["ended"]))


def ours(case: Case, goal: float, repeats: int) -> dict[str, object]:
    """The least budget with which `pde.solve` is as good as the goal, and the seconds of the whole call."""
    for budget in BUDGETS:
        field, error, seconds = timed(case, budget)
        found = {"ours_relative_l2": f"{error:.2e}", "ours_budget": budget}
        if error <= goal:
            seconds = statistics.median([seconds, *(timed(case, budget)[2] for _ in range(repeats - 1))])
            energy = {"ours_energy": f"{energy_error(field):.2e}"} if case.energy else {}
            return found | energy | {"ours_seconds": round(seconds, 4)}
    return found | {"ours_budget": "none is enough"}


def timed(case: Case, budget: float) -> tuple[Field, float, float]:
    """The field that one call gives, its error, and the seconds of the call."""
    start = time.perf_counter()
    field = pde.solve(case.problem, budget=budget).field
    seconds = time.perf_counter() - start
    return field, error_of(field(case.points), case.values), seconds


def row(name: str, case: Case, peer: str, solver: str, given: argparse.Namespace) -> dict[str, object] | None:
    shown = run_peer(name, case, peer, solver, given)
    if shown is None:
        return None
    found = ours(case, shown.error, given.repeats)
    mine = found.get("ours_seconds")
    return {
        "problem": name,
        "solver": f"{peer} {solver}",
        "relative_l2": f"{shown.error:.2e}",
        "relative_energy": f"{shown.energy:.2e}" if shown.energy is not None else None,
        "seconds": round(shown.seconds, 1),
        "trained_seconds": round(shown.trained, 1),
        "end": "by itself" if shown.ended else f"cap {given.cap:g} s",
        **found,
        "ratio": round(shown.seconds / mine, 1) if isinstance(mine, float) else None,
        **elements(case.problem, case.points, case.values, shown.error),
        **(energy_elements(shown.energy) if shown.energy is not None else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--packages", type=Path, default=Path("build/peers"), help="the folder with the peers' packages"
    )
    parser.add_argument("--cap", type=float, default=600.0, help="seconds of training for each peer")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two measurements")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for name in given.cases:
        case = CASES[name]()
        pde.solve(case.problem, budget=BUDGETS[0])  # what is loaded once
        for peer, solver in case.solvers:
            found = row(name, case, peer, solver, given) if peer in given.peers else None
            if found is not None:
                write("equation_peers", [found], key=("problem", "solver"))


if __name__ == "__main__":
    main()
