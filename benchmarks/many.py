"""Many signals: signals a second beside a loop of single fits, warm and learned starts, a family of PDEs, plans.

`pictures`   1,000 pictures of 32 x 32 to 35 dB: all together, and one by one with part A's loop (some of them)
`warm`       100 yearly means of a temperature field: each from the weights of the year before, and independently
`start`      30 dB on unseen pictures of 178 x 178: from the learned start, and from random weights at its best rates
`burgers`    one field for Burgers' equation with 0.003 <= nu <= 0.1, against the solution of Cole and Hopf
`plan`       what --plan says beside what is then used
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import DATA, write

import ungrid
from ungrid.fields import NeuralField
from ungrid.io import from_array
from ungrid.objectives import Term
from ungrid.sampling import AllPoints
from ungrid.signals.many import fit_many
from ungrid.signals.many.fit import Settings
from ungrid.signals.many.networks import field_of, network_for, normalised
from ungrid.signals.many.sources import Shape
from ungrid.solvers import Adam

TRAIN = ("T91", "BSDS500_train", "BSDS500_test", "photos_half")
TARGET_DB, ONE_BY_ONE = 35.0, 40
Row = dict[str, Any]


def squares(files: list[Path], side: int) -> np.ndarray:
    """Both ends of every picture's longer side as squares, shrunk by Lanczos: (n, side, side, 3) in [0, 1]."""
    made = []
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        width, height = picture.size
        s = min(width, height)
        boxes = {(0, 0, s, s), (width - s, height - s, width, height)}
        made += [picture.crop(box).resize((side, side), Image.Resampling.LANCZOS) for box in sorted(boxes)]
    return np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in made])


def training_files() -> list[Path]:
    return sorted(path for name in TRAIN for path in (DATA / "upscale" / "train" / name).iterdir())


def one_by_one(picture: np.ndarray, target_db: float) -> tuple[float, int, float]:
    """Part A's loop with the same network, rates and goal: seconds, steps, and the PSNR that was reached."""
    samples = from_array(picture)
    settings, shape = Settings(target_db=target_db), Shape(samples.grid, samples.out_names, samples.kind)
    values, _, scale = normalised(samples)
    field: NeuralField = field_of(network_for(shape), shape)
    schedule = settings.schedule
    solver = Adam(lr=schedule.lr, final=schedule.final, betas=schedule.betas, eps=schedule.eps)
    points = torch.from_numpy(samples.grid.points().reshape(-1, 2))
    goal = 10 ** (-target_db / 10) / scale**2
    terms = [Term(points=AllPoints(points, torch.from_numpy(values)))]
    began, state = time.perf_counter(), solver.init(field, terms)
    while state.step < settings.steps:
        before = state.step
        state = solver.step(field, terms, state, progress=before / settings.steps)
        if state.loss <= goal:  # the loss of the weights before this step
            break
    return time.perf_counter() - began, before, float(-10 * np.log10(state.loss * scale**2))


def pictures() -> list[Row]:
    """The batch, then the loop on a part of the same pictures; a tiny fit of each first, for compilation."""
    all_of_them = squares(training_files(), 32)[:1000]
    chosen = all_of_them[:: len(all_of_them) // ONE_BY_ONE][:ONE_BY_ONE]
    one_by_one(chosen[0], 15.0)
    with tempfile.TemporaryDirectory() as folder:
        result = fit_many(all_of_them, Path(folder) / "pictures.zarr", target_db=TARGET_DB)
        reached = np.array([line["psnr_db"] for line in result.store.lines()])
        stored = sum(path.stat().st_size for path in (Path(folder) / "pictures.zarr").rglob("*") if path.is_file())
    alone = [one_by_one(picture, TARGET_DB) for picture in chosen]
    defaults = [time_to_target(picture, "siren") for picture in chosen[:3]]
    rate, alone_rate = len(all_of_them) / result.stats["seconds"], len(alone) / sum(seconds for seconds, _, _ in alone)
    found = np.array([psnr for _, _, psnr in alone])
    return [
        {"case": "pictures, together", "signals": len(all_of_them), "signals_a_second": rate, "least_psnr_db": reached.min(),
         "median_psnr_db": np.median(reached), "largest_psnr_db": reached.max(), "bytes": stored / len(all_of_them),
         "steps": result.stats["steps"] / len(all_of_them), "times_the_loop": rate / alone_rate},
        {"case": "pictures, one by one, same network", "signals": len(alone), "signals_a_second": alone_rate,
         "least_psnr_db": found.min(), "median_psnr_db": np.median(found), "largest_psnr_db": found.max(),
         "steps": np.mean([steps for _, steps, _ in alone])},
        {"case": "pictures, one by one, ungrid.fit siren", "signals": len(defaults),
         "signals_a_second": 1 / np.mean(defaults), "times_the_loop": rate * np.mean(defaults)},
    ]  # fmt: skip


def time_to_target(picture: np.ndarray, method: str) -> float:
    """Seconds of `ungrid.fit` as it comes, by its own clock, until a report says 35 dB; of those that do not, all."""
    result = ungrid.fit(picture, method, steps=300)
    reached = [row["seconds"] for row in result.history if row["psnr_db"] >= TARGET_DB]
    return float((reached or [result.stats["seconds"]])[0]) + result.stats.get("bandwidth", {}).get("seconds", 0.0)


def warm() -> list[Row]:
    """Equal error: every step to 45 dB of the variable's range."""
    rows, seconds = [], {}
    source, options = DATA / "signals" / "geo" / "A1B_north_america.nc", {"variable": "air_temperature"}
    from ungrid.signals.many.sources import items_of

    values = np.stack([item.reader().values for item in items_of(source, **options)[:100]])[..., 0]
    for name, chained in (("independent", False), ("warm", True)):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "hundred.nc"
            hundred_steps(source, copy)
            result = fit_many(
                copy, Path(folder) / "s.zarr", target_db=45.0, steps=1000, warm=chained, shard=50, **options
            )
        seconds[name] = result.stats["seconds"]
        rows.append({"case": f"time steps, {name}", "signals": 100, "signals_a_second": 100 / seconds[name],
                     "least_psnr_db": result.stats["least_psnr_db"], "median_psnr_db": result.stats["psnr_db"],
                     "steps": result.stats["steps"] / 100, "converged": result.stats["converged"]})  # fmt: skip
    rows[1]["times_the_loop"] = seconds["independent"] / seconds["warm"]
    rows[1]["largest_change_of_a_year"] = float(np.abs(np.diff(values, axis=0)).max())
    return rows


def hundred_steps(source: Path, target: Path) -> None:
    """The first hundred steps of the variable as a file."""
    import xarray

    with xarray.open_dataset(source, decode_times=False) as dataset:
        dataset[["air_temperature"]].isel(time=slice(100)).to_netcdf(target)


def start() -> list[Row]:
    """Medians over 50 pictures that no start has seen; random weights are tried at several rates, the best counts."""
    from ungrid.signals.many.starts import LearnedStart, fit_from_start, load_start, new_start

    images = DATA / "signals" / "image"
    files = [*sorted((images / "div2k").iterdir()), *sorted((images / "kodak").iterdir())]
    unseen = squares(files, 178)
    chosen = unseen[:: max(1, len(unseen) // 50)][:50]
    learned, fresh = load_start(), new_start()

    def measured(
        begun: LearnedStart, most: int, part: np.ndarray, **options: Any
    ) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        steps, seconds, fits = [], [], []
        for picture in part:
            began = time.perf_counter()
            fit = fit_from_start(picture, begun, target_db=30.0, steps=most, **options)
            seconds.append(time.perf_counter() - began)
            steps.append(fit.steps if fit.psnr_db[-1] >= 30.0 else most + 1)
            fits.append(fit)
        return np.array(steps), np.array(seconds), fits

    measured(learned, 2, chosen[:1])
    trials = {
        factor: LearnedStart(fresh.decoder, fresh.features, fresh.rates * factor, {}) for factor in (0.5, 1.0, 1.5, 2.0)
    }
    medians = {factor: np.median(measured(begun, 300, chosen[:10])[0]) for factor, begun in trials.items()}
    best = min(medians, key=lambda factor: medians[factor])
    rows = []
    for name, begun, most, options in (
        ("learned start", learned, 100, {}), ("random start", trials[best], 300, {}),
        ("modulation, 10 steps", learned, 10, {"shared": True}),
    ):  # fmt: skip
        steps, seconds, fits = measured(begun, most, chosen, **options)
        rows.append({"case": name, "signals": len(chosen), "steps": np.median(steps), "seconds": np.median(seconds),
                     "median_psnr_db": np.median([fit.psnr_db[-1] for fit in fits]),
                     "reached": float((steps <= most).mean())})  # fmt: skip
    rows[0]["times_fewer_steps"] = rows[1]["steps"] / rows[0]["steps"]
    rows[0]["times_the_loop"] = rows[1]["seconds"] / rows[0]["seconds"]
    return rows


def burgers() -> list[Row]:
    """Twelve members are solved by `pde.solve`; the errors are those at numbers between them, 23 in all, and the ends."""
    from ungrid import pde
    from ungrid.domains import Interval, Time
    from ungrid.pde.family import solve_family

    def make(nu: float) -> pde.Problem:
        conditions = [pde.Dirichlet(0.0), pde.Initial(lambda x: -np.sin(np.pi * x))]
        return pde.Problem(Interval(x=(-1, 1)) * Time(0, 1), pde.Burgers(nu), conditions, name="burgers")

    family = solve_family(make, 0.003, 0.1, members=12, shape=(1024, 64), budget=20.0)
    points = np.random.default_rng(3).uniform((-1, 0.001), (1, 1), (4000, 2))
    profile = np.stack([np.linspace(-1, 1, 1000), np.full(1000, 0.7)], axis=-1)
    family.at(0.01)(profile)
    errors, seconds = [], []
    for nu in np.clip(np.geomspace(0.003, 0.1, 25), 0.003, 0.1):
        began = time.perf_counter()
        answer = family.at(float(nu))
        answer(profile)
        seconds.append(time.perf_counter() - began)
        exact = cole_hopf(points[:, 0], points[:, 1], float(nu))
        errors.append(float(np.sqrt(np.mean((answer(points)[:, 0] - exact) ** 2) / np.mean(exact**2))))
    return [{"case": "burgers, one field for 0.003 <= nu <= 0.1", "signals": len(errors), "largest_relative_l2": max(errors),
             "median_relative_l2": np.median(errors), "seconds": family.stats["seconds"],
             "answer_milliseconds": 1e3 * np.median(seconds), "longest_answer_milliseconds": 1e3 * max(seconds)}]  # fmt: skip


def cole_hopf(x: np.ndarray, t: np.ndarray, nu: float) -> np.ndarray:
    """The exact solution for -sin(pi x) (Cole 1951, Hopf 1950), its integrals by 200 Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite.hermgauss(200)
    places = x[:, None] - 2 * np.sqrt(nu * t)[:, None] * nodes
    exponents = -np.cos(np.pi * places) / (2 * np.pi * nu)
    shares = weights * np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    return -(np.sin(np.pi * places) * shares).sum(axis=-1) / shares.sum(axis=-1)


def plans() -> list[Row]:
    """Each command twice, with and without --plan; memory is the peak of the whole process."""
    images, signals = DATA / "signals" / "image", DATA / "signals"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k, picture in enumerate(squares(training_files()[:60], 32)):
            (folder / "32").mkdir(exist_ok=True)
            Image.fromarray(np.uint8(255 * picture)).save(folder / "32" / f"{k}.png")
        np.save(folder / "rows.npy", np.cumsum(np.random.default_rng(0).normal(size=(64, 256)), axis=1))
        commands = {
            "kodak, grid": ["fit", images / "kodak" / "kodim01.png", "--steps", "60"],
            "kodak, siren": ["fit", images / "kodak" / "kodim01.png", "--steps", "60", "--method", "siren"],
            "kodak, budget": ["fit", images / "kodak" / "kodim02.png", "--budget", "5"],
            "retina, grid": ["fit", images / "retina.jpg", "--steps", "60"],
            "sound": ["fit", signals / "audio" / "gt_bach.wav", "--steps", "100"],
            "volume": ["fit", signals / "volume" / "mni152_t1.nii.gz", "--steps", "30"],
            "scattered": ["fit", signals / "scattered" / "texas-wind.csv", "--budget", "3"],
            "60 pictures": ["fit", folder / "32"],
            "60 pictures to 40 dB": ["fit", folder / "32", "--target", "40"],
            "64 rows": ["fit", folder / "rows.npy"],
        }
        rows = []
        for case, words in commands.items():
            suffix = ".zarr" if "pictures" in case or "rows" in case else ".field"
            output = folder / f"{case.replace(' ', '_').replace(',', '')}{suffix}"
            planned = called([*words, "-o", output, "--plan"])["plan"]
            done = called([*words, "-o", output])
            used = done["metrics"]["peak_memory_mb"]
            rows.append({"case": f"plan of {case}", "planned_seconds": planned["seconds"], "seconds": done["seconds"],
                         "planned_memory_mb": planned["memory_mb"], "memory_mb": used})  # fmt: skip
    return rows


def called(words: list[Any]) -> dict[str, Any]:
    """The JSON object of a command."""
    command = [sys.executable, "-m", "ungrid", *map(str, words), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


CASES: dict[str, Callable[[], list[Row]]] = {
    "pictures": pictures, "warm": warm, "start": start, "burgers": burgers, "plan": plans,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=None, help="of the CPU; all cores if not given")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.cases:
        found = [{k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()} for row in CASES[name]()]
        for row in found:
            row["peak_memory_mb_of_run"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        write("many", found, key=("case",))


if __name__ == "__main__":
    main()
