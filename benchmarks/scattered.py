"""Scattered measurements against the classical methods and, where they are installed, Verde and ferreus_rbf.

    python benchmarks/scattered.py --data rio-magnetic.csv.xz     5 folds of whole flight lines; a random tenth
    python benchmarks/scattered.py --points 1000000               made data: seconds and peak memory

Protocol of the flight lines: longitude and latitude in local kilometres (plate carrée, 111.195 km a degree, the mean
latitude's cosine); `numpy.random.default_rng(0).permutation` of the line numbers, of which fold k holds out every fifth
from k. All choices (search, calibration, conformal widths) are made within the training lines. Repeated places of the
training samples are averaged for every method. Intervals of the other methods have the constant width of split
conformal prediction on whole training lines. Rows are appended to benchmarks/results/scattered.csv.
"""

import argparse
import csv
import datetime
import importlib.util
import platform
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ungrid.domains import Axis, Box
from ungrid.io.tables import local_kilometres, read_table
from ungrid.kernels.blas import single_threaded_blas
from ungrid.reference.interpolation import Interpolation, Predictor
from ungrid.sampling import PointSamples
from ungrid.signals import comparison, scattered
from ungrid.signals.measurements import measurements

RESULTS = Path(__file__).parent / "results" / "scattered.csv"
HELD_OUT_AT_RANDOM = 3772


class Verde:
    """A gridder of Verde; the nearest value where it gives none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        import verde

        options = {"k": 10} if self.name == "KNeighbors" else {}
        gridder = getattr(verde, self.name)(**options).fit((points[:, 0], points[:, 1]), values[:, 0])
        nearest = verde.KNeighbors(k=1).fit((points[:, 0], points[:, 1]), values[:, 0])

        def predict(at: np.ndarray) -> np.ndarray:
            found, near = (np.asarray(g.predict((at[:, 0], at[:, 1]))) for g in (gridder, nearest))
            return np.where(np.isnan(found), near, found)[:, None]

        return predict


class Ferreus:
    """A kernel of ferreus_rbf: all samples at once, by a fast multipole method."""

    def __init__(self, kernel: str) -> None:
        self.kernel = kernel

    def fit(self, points: np.ndarray, values: np.ndarray) -> Predictor:
        import ferreus_rbf
        from ferreus_rbf.interpolant_config import InterpolantSettings, RBFKernelType

        settings = InterpolantSettings(getattr(RBFKernelType, self.kernel))
        model = ferreus_rbf.RBFInterpolator(np.array(points, order="C"), np.array(values, order="C"), settings)
        return lambda at: np.asarray(model.evaluate(np.array(at, order="C"))).reshape(len(at), -1)


def methods() -> dict[str, Interpolation]:
    """The classical methods, and the peers that are installed."""
    found = dict(comparison.CLASSICAL)
    if importlib.util.find_spec("verde"):
        found |= {f"verde {name}": Verde(name) for name in ("Linear", "Cubic", "KNeighbors")}
    if importlib.util.find_spec("ferreus_rbf"):
        found |= {f"ferreus {kernel}": Ferreus(kernel) for kernel in ("Linear", "ThinPlateSpline")}
    return found


def line_folds(lines: np.ndarray) -> Iterator[np.ndarray]:
    names = np.random.default_rng(0).permutation(np.unique(lines))
    for k in range(5):
        yield np.isin(lines, names[k::5])


def random_fold(n: int) -> Iterator[np.ndarray]:
    held = np.zeros(n, dtype=bool)
    held[np.random.default_rng(0).permutation(n)[:HELD_OUT_AT_RANDOM]] = True
    yield held


def compare(samples: PointSamples, folds: Iterator[np.ndarray], protocol: str, search: float) -> list[dict[str, Any]]:
    """One row for each method over all folds together."""
    everything: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    seconds: dict[str, list[float]] = {}
    truth = []
    for held in folds:
        assert samples.groups is not None
        groups = samples.groups[~held] if protocol == "lines" else np.arange((~held).sum())
        part = PointSamples(
            samples.points[~held], samples.values[~held], samples.domain, samples.out_names, None, groups
        )
        train, at = measurements(part), samples.points[held]
        truth.append(samples.values[held])
        start = time.perf_counter()
        field, settings = scattered.fit_field(train, part.domain, part.out_names, seconds=search)
        found = comparison.values_and_half_widths(field, at)
        everything.setdefault("ungrid", []).append(found)
        seconds.setdefault("ungrid", []).append(time.perf_counter() - start)
        print(f"{protocol}: fitted in {seconds['ungrid'][-1]:.1f} s, {settings}", flush=True)
        for name, method in methods().items():
            start = time.perf_counter()
            with single_threaded_blas():  # as in a fit; a busy machine would lose seconds in thousands of tiny calls
                found = comparison.with_conformal_width(method, train, at * train.scale, 0)
            everything.setdefault(name, []).append(found)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
    y = np.concatenate(truth)
    rows = []
    for name, parts in everything.items():
        row = comparison.summary(name, y, *map(np.concatenate, zip(*parts, strict=True)))
        rows.append({"protocol": protocol, **row, "seconds_a_fold": float(np.mean(seconds[name]))})
    return rows


def made_data(n: int) -> PointSamples:
    """A sum of 60 plane waves of wavelengths 5 to 50 in a square of side 100, variance 1, and noise of size 0.1."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (n, 2))
    length, angle, phase = np.geomspace(5, 50, 60), rng.uniform(0, np.pi, 60), rng.uniform(0, 2 * np.pi, 60)
    values = np.zeros(n)
    for wave, a, p in zip(2 * np.pi / length, angle, phase, strict=True):
        values += np.sqrt(2 / 60) * np.cos(wave * (points @ [np.cos(a), np.sin(a)]) + p)
    noisy = values + 0.1 * rng.standard_normal(n)
    return PointSamples(points, noisy[:, None], Box(x=(0, 100), y=(0, 100)), ("u",))


def scaling(n: int) -> list[dict[str, Any]]:
    """The whole of `fit_scattered`: table, choice of the settings, calibration and the fit."""
    samples = made_data(n)
    start = time.perf_counter()
    result = scattered.fit_scattered(samples)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(result.stats["settings"], result.field.shape)
    rows = [{"protocol": f"made {n}", **row} for row in result.stats["table"]]
    rows[0] |= {"seconds_a_fold": seconds, "peak_memory_mb": peak}
    return rows


def append(rows: list[dict[str, Any]]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    where = {
        "date": datetime.date.today().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}",
        "seed": 0,
    }
    names = [*where, "protocol", "method", "rmse", "mae", "coverage_90", "interval_width", "interval_score"]
    names += ["off_field", "samples", "seconds_a_fold", "peak_memory_mb"]
    RESULTS.parent.mkdir(exist_ok=True)
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        if new:
            writer.writeheader()
        for row in rows:
            rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
            writer.writerow(where | rounded)
            print("  ".join(f"{key} {value}" for key, value in rounded.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="rio-magnetic.csv.xz")
    parser.add_argument("--protocol", choices=["lines", "random", "both"], default="both")
    parser.add_argument("--search", type=float, default=15.0, help="seconds for the search in a fold")
    parser.add_argument("--points", type=int, help="made data with so many points")
    given = parser.parse_args()
    if given.points:
        append(scaling(given.points))
    if given.data:
        table = read_table(
            given.data, coords=["longitude", "latitude"], values=["total_field_anomaly_nt"], group="line_number"
        )
        points = local_kilometres(table.points[:, 0], table.points[:, 1])
        low, high = points.min(axis=0), points.max(axis=0)
        box = Box(Axis("x", low[0], high[0], "km"), Axis("y", low[1], high[1], "km"))
        samples = PointSamples(points, table.values, box, table.out_names, None, table.groups)
        if given.protocol != "random":
            append(compare(samples, line_folds(table.groups), "lines", given.search))
        if given.protocol != "lines":
            append(compare(samples, random_fold(len(points)), "random", given.search))


if __name__ == "__main__":
    main()
