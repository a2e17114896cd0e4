"""Maxwell's equations beside the conventional solution: cavities, a disk in a plane wave, the four laws in integral form.

    python benchmarks/maxwell.py             # writes benchmarks/results/maxwell*.csv; some minutes
    python benchmarks/maxwell.py cavities    # one of the tables: cavities, scattering, laws

Errors are relative, in L2, at points of which no solver knows, against exact modes and the series of Bessel functions; of
cavities that of E, which is -∂A/∂t of the solved potential, at all times, and for Yee's grid at its own places at the end.
Scaled units: the speed of light is 1, lengths of the disk in wavelengths.
"""

import sys
import time
from typing import Any

import numpy as np
import torch
from record import write

from ungrid import pde
from ungrid._base.devices import set_threads
from ungrid.domains import Box, Time
from ungrid.equations import Problem
from ungrid.equations.maxwell import Maxwell, Medium
from ungrid.operators import Jet
from ungrid.pde.integral_laws import LAWS, integral_laws
from ungrid.pde.scattering import DiskScattering, scatter
from ungrid.reference.cylinder import CylinderScattering
from ungrid.reference.yee import cavity_places, scattered_by_disk, solve_cavity

BUDGET, POINTS, END = 60.0, 2000, 1.0
PI = np.pi
SINE, COSINE = np.sin, np.cos
# A mode of each kind: ω, the potential at the time t is -E(x) sin(ωt) / ω, E the electric field at the start.
MODES: dict[str, tuple[float, tuple[Any, ...]]] = {
    "TM": (np.sqrt(5) * PI, (lambda x, y: SINE(PI * x) * SINE(2 * PI * y),)),
    "TE": (
        np.sqrt(5) * PI,
        (lambda x, y: 2 * COSINE(PI * x) * SINE(2 * PI * y), lambda x, y: -SINE(PI * x) * COSINE(2 * PI * y)),
    ),
    "3-D": (
        np.sqrt(3) * PI,
        (
            lambda x, y, z: COSINE(PI * x) * SINE(PI * y) * SINE(PI * z),
            lambda x, y, z: SINE(PI * x) * COSINE(PI * y) * SINE(PI * z),
            lambda x, y, z: -2 * SINE(PI * x) * SINE(PI * y) * COSINE(PI * z),
        ),
    ),
}
YEE = (16, 32, 64)  # cells along a side of the cube
WAVENUMBER, RADIUS, PERMITTIVITY, REACH = 2 * PI, 0.5, 4.0, 1.25
SEEN = 1.2  # radius within which scattered fields are compared
CELLS = (16, 32, 64)  # of Yee's grid, for each wavelength outside
SURFACES = 100


def cavity(waves: str) -> Problem:
    equation, axes = Maxwell(waves=waves), "xyz" if waves == "3-D" else "xy"
    start = equation.start(tuple(0.0 for _ in MODES[waves][1]), MODES[waves][1])
    return Problem(Box(**{a: (0, 1) for a in axes}) * Time(0, END), equation, [equation.conductor(), *start])


def cavities() -> None:
    rows = []
    for waves, (ω, electric) in MODES.items():
        problem = cavity(waves)
        begin = time.perf_counter()
        result = pde.solve(problem, budget=BUDGET)
        seconds = time.perf_counter() - begin
        points = pde.check_points(problem, 0)[:POINTS]
        exact = np.stack([e(*points[:, :-1].T) for e in electric], axis=1) * COSINE(ω * points[:, -1:])
        u = Jet(result.field, torch.from_numpy(points), axes=problem.axes)
        found = -u.d("t").detach().numpy()
        rows.append({
            "cavity": waves, "method": "random features", "size": result.stats["features"],
            "relative_l2": f"{np.linalg.norm(found - exact) / np.linalg.norm(exact):.2e}", "seconds": round(seconds, 2),
        })  # fmt: skip
    for cells in YEE:
        ω, electric = MODES["3-D"]
        begin = time.perf_counter()
        e = solve_cavity(electric, (1.0, 1.0, 1.0), cells, END)
        seconds = time.perf_counter() - begin
        exact = [f(*cavity_places((1.0, 1.0, 1.0), cells, k)) * COSINE(ω * END) for k, f in enumerate(electric)]
        off = sum(float(((a - b) ** 2).sum()) for a, b in zip(e, exact, strict=True))
        size = sum(float((b**2).sum()) for b in exact)
        rows.append({
            "cavity": "3-D", "method": "Yee's grid", "size": cells, "relative_l2": f"{(off / size) ** 0.5:.2e}",
            "seconds": round(seconds, 2),
        })  # fmt: skip
    write("maxwell", rows, key=("cavity", "method", "size"))


def scattering() -> None:
    rows = []
    rng = np.random.default_rng(11)
    points = rng.uniform(-SEEN, SEEN, (4 * POINTS, 2))
    points = points[np.hypot(*points.T) < SEEN]
    for waves in ("TM", "TE"):
        exact = CylinderScattering(WAVENUMBER, RADIUS, PERMITTIVITY, waves)(points)
        begin = time.perf_counter()
        result = scatter(DiskScattering(WAVENUMBER, RADIUS, Medium(PERMITTIVITY), REACH, waves), budget=BUDGET)
        seconds = time.perf_counter() - begin
        found = result.field(points) @ [1, 1j]
        rows.append(row(waves, "random features", result.stats["features"], found, exact, seconds))
        if waves == "TM":
            for cells in CELLS:
                begin = time.perf_counter()
                phasor = scattered_by_disk(WAVENUMBER, RADIUS, PERMITTIVITY, reach=REACH, cells=cells)
                seconds = time.perf_counter() - begin
                rows.append(row(waves, "Yee's grid", cells, phasor(points), exact, seconds))
    write("maxwell_scattering", rows, key=("waves", "method", "size"))


def row(waves: str, method: str, size: int, found: np.ndarray, exact: np.ndarray, seconds: float) -> dict[str, Any]:
    off = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    return {"waves": waves, "method": method, "size": size, "relative_l2": f"{off:.2e}", "seconds": round(seconds, 2)}


def laws() -> None:
    problem = cavity("3-D")
    field = pde.solve(problem, budget=BUDGET).field
    found = integral_laws(field, problem, count=SURFACES)
    rows = [
        {
            "law": law,
            "surfaces": SURFACES,
            "median": f"{np.median(found[law]):.1e}",
            "largest": f"{found[law].max():.1e}",
        }
        for law in LAWS
    ]
    write("maxwell_laws", rows, key=("law",))


def main() -> None:
    set_threads(None)
    tables = {"cavities": cavities, "scattering": scattering, "laws": laws}
    for name in sys.argv[1:] or tables:
        tables[name]()


if __name__ == "__main__":
    main()
