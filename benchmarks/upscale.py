"""Images at any scale: quality by the benchmarks' protocol, speed and memory beside LIIF as its paper writes it down.

    python benchmarks/upscale.py quality     # Set5; bicubic, the shipped model, its mean over orientations
    python benchmarks/upscale.py speed       # fourfold from 256 x 256, every method in a process of its own
    python benchmarks/upscale.py photograph  # 24 megapixels, twice as large, by the command
    python benchmarks/upscale.py degraded    # pictures with JPEG's blocks and with noise, by the weights for them
    python benchmarks/upscale.py comparison  # LIIF, LIIF without its parts, MetaSR, nets for one scale, light: equal time

Quality: luminance, small pictures as MATLAB makes them, outputs clipped and not rounded (LIIF's evaluation). Speed: the same
random weights in the literal form (`tests/networks/literal.py`: features unfolded once, 30,000 queries at a time as
in the authors' evaluation) and in ours. All write benchmarks/results/upscale.csv.
"""

import argparse
import copy
import importlib.util
import io
import json
import os
import resource
import statistics
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

from ungrid._base.devices import set_threads
from ungrid.networks import EDSR, LIIF, ContinuousNetwork, LightNetwork, MetaSR, SubPixel
from ungrid.networks.fused import BFLOAT16
from ungrid.upscale import (
    Crops,
    Schedule,
    Training,
    Upscaler,
    benchmark_psnr,
    bicubic,
    load,
    mean_psnr,
    pair,
    picture_files,
    read_pictures,
)

SCALES = (2, 3, 4, 6, 8)
SIDE, SCALE = 256, 4
METHODS = ("literal", "factored", "factored bfloat16", "light", "light bfloat16")
RUNS = {"literal": 1}
QUERIES = 30000
LITERAL = Path(__file__).parents[1] / "tests" / "networks" / "literal.py"
TUNED = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
MEGAPIXELS = (4000, 6000)
JUDGED = 720
COMPARED = (2, 3, 4, 6, 12, 18, 24, 30)
CROP, QUERIES_TRAINED, TRIALS, RATE = 32, 1024, 20, 1e-3  # of the comparison's trainings


def set5() -> list[np.ndarray]:
    return [np.asarray(Image.open(file).convert("RGB")) for file in sorted((DATA / "upscale" / "Set5").glob("*.png"))]


def quality() -> list[dict[str, Any]]:
    light, pictures, rows = load("light"), set5(), []
    for scale in SCALES:
        methods: dict[str, Callable[[np.ndarray, tuple[int, int]], np.ndarray]] = {
            "bicubic": bicubic,
            "light": lambda low, shape: light.enlarge(low, shape=shape),
            "light, mean over orientations": lambda low, shape: light.enlarge(low, shape=shape, average=True),
        }
        for name, method in methods.items():
            score = round(mean_psnr(method, pictures, scale), 3)
            rows.append({"part": "quality", "method": name, "scale": scale, "psnr_db": score, "pictures": "Set5"})
    return rows


def degraded() -> list[dict[str, Any]]:
    model, rows, rng = load("denoise"), [], np.random.default_rng(0)

    def jpeg(low: np.ndarray) -> np.ndarray:
        target = io.BytesIO()
        Image.fromarray(low).save(target, "JPEG", quality=75)
        return np.asarray(Image.open(target))

    def noisy(low: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(low + rng.normal(0, 5, low.shape)), 0, 255).astype(np.uint8)

    for name, spoil in {"JPEG, quality 75": jpeg, "noise of 5 / 255": noisy}.items():
        for scale in (2, 3, 4):
            gains = []
            for picture in set5():
                low, truth = pair(picture, scale)
                given, shape = spoil(low).astype(np.float32) / 255, (truth.shape[0], truth.shape[1])
                both = [model.enlarge(given, shape=shape), bicubic(given, shape).clip(0, 1)]
                gains.append([benchmark_psnr(found, truth / 255, scale) for found in both])
            ours, plain = np.mean(gains, axis=0)
            rows.append({"part": "degraded", "method": name, "scale": scale, "psnr_db": round(ours, 3),
                         "bicubic_db": round(plain, 3), "least_gain_db": round(min(a - b for a, b in gains), 3)})  # fmt: skip
    return rows


def networks() -> dict[str, tuple[ContinuousNetwork, int | None]]:
    """What is compared, each with its one scale if it is made for one."""

    def encoder() -> EDSR:
        return EDSR(blocks=4, features=32, seed=0)

    def liif(**parts: bool) -> LIIF:
        return LIIF(encoder(), hidden=128, seed=1, **parts)

    found: dict[str, tuple[ContinuousNetwork, int | None]] = {
        "LIIF": (liif(), None),
        "LIIF without cell": (liif(cell_decode=False), None),
        "LIIF without unfolding": (liif(feat_unfold=False), None),
        "LIIF without ensemble": (liif(local_ensemble=False), None),
        "MetaSR": (MetaSR(encoder(), hidden=128, seed=1), None),
        "light": (LightNetwork(blocks=2, width=32, features=32, hidden=32), None),
    }
    return found | {f"net for x{scale}": (SubPixel(encoder(), scale=scale, seed=1), scale) for scale in (2, 3, 4)}


def middle(picture: np.ndarray) -> np.ndarray:
    """The part in the middle, of `JUDGED` pixels a side at most."""
    top, left = (max(0, (n - JUDGED) // 2) for n in picture.shape[:2])
    return picture[top : top + JUDGED, left : left + JUDGED]


def comparison(seconds: float) -> list[dict[str, Any]]:
    folders = [DATA / "upscale" / "train" / name for name in ("T91", "BSDS500_train", "photos_half")]
    files = picture_files(folders)
    held = [file for file in files if file.parent.name == "photos_half"][::14]
    pictures = read_pictures([file for file in files if file not in set(held)], CROP)
    judged = [middle(picture) for picture in read_pictures(held, CROP)]
    rows = [{"part": "comparison", "method": "bicubic", "scale": scale, "pictures": f"{len(judged)} photographs",
             "psnr_db": round(mean_psnr(bicubic, judged, scale, "div2k"), 3)} for scale in COMPARED]  # fmt: skip
    for name, (network, scale) in networks().items():
        queries = QUERIES_TRAINED if isinstance(network, (LIIF, MetaSR)) else None
        crops = Crops(pictures, size=16, side=CROP, queries=queries, scale=scale)
        trial = Training(copy.deepcopy(network), crops, Schedule(steps=TRIALS))
        trial.step(crops.batch(0))
        began = time.perf_counter()
        for step in range(TRIALS):
            trial.step(crops.batch(step))
        steps = round(seconds * TRIALS / (time.perf_counter() - began))
        training = Training(network, crops, Schedule(steps=steps, lr=RATE, warmup=steps // 20))
        training.run(every=steps)
        upscaler = Upscaler(training.averaged(), name, {})
        for at in COMPARED:
            score = mean_psnr(lambda low, shape, u=upscaler: u.enlarge(low, shape=shape), judged, at, "div2k")
            rows.append({"part": "comparison", "method": name, "scale": at, "psnr_db": round(score, 3),
                         "pictures": f"{len(judged)} photographs", "seconds": round(training.seconds),
                         "steps": steps})  # fmt: skip
        print(name, [row["psnr_db"] for row in rows if row["method"] == name], steps, flush=True)
    return rows


def literal() -> Any:
    spec = importlib.util.spec_from_file_location("literal", LITERAL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def literal_result(network: LIIF, picture: np.ndarray) -> np.ndarray:
    form, size = literal(), SIDE * SCALE
    image = torch.from_numpy(picture).permute(2, 0, 1)[None]
    cell = torch.tensor([2 / size, 2 / size])
    with torch.no_grad():
        features = form.features_of(network, image)
        parts = [form.liif_of(network, features, q, cell) for q in form.queries(size, size).float().split(QUERIES)]
    return torch.cat(parts).reshape(size, size, 3).numpy()


def one(method: str) -> None:
    """In a process of its own: prints the seconds of a run, the memory, and a few values as JSON."""
    set_threads(None)
    picture = np.random.default_rng(0).random((SIDE, SIDE, 3)).astype(np.float32)
    liif = LIIF(EDSR(seed=0), seed=1).eval()
    upscaler = load("light") if method.startswith("light") else Upscaler(liif, "liif", {})
    half = method.endswith("bfloat16")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def work() -> np.ndarray:
        if method == "literal":
            return literal_result(liif, picture)
        return upscaler.enlarge(picture, SCALE, bfloat16=half)

    small = Upscaler(upscaler.network, "", {})
    small.enlarge(picture[:16, :16], SCALE)  # what is compiled is compiled before
    seconds = []
    for _ in range(RUNS.get(method, 3)):
        found = np.empty(0)  # no run has the picture of the one before in memory
        began = time.perf_counter()
        found = work()
        seconds.append(time.perf_counter() - began)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values = found[::173, ::191].ravel().tolist()
    print(json.dumps({"seconds": statistics.median(seconds), "memory": (most - before) / 1024, "values": values}))


def speed(tuned: bool) -> list[dict[str, Any]]:
    rows, found = [], dict[str, Any]()
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **(TUNED if tuned else {})}
    for method in METHODS:
        if method.endswith("bfloat16") and not BFLOAT16:
            continue  # emulated: slower than float32, and of no use
        words = [sys.executable, __file__, "one", "--method", method]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
        found[method] = json.loads(done.stdout.splitlines()[-1])
    base = found["literal"]
    for method, row in found.items():
        apart = np.abs(np.array(row["values"]) - np.clip(base["values"], 0, 1)).max()
        rows.append({"part": "speed", "method": method, "scale": SCALE, "allocator": "tuned" if tuned else "default",
                     "seconds": round(row["seconds"], 3), "memory_mb": round(row["memory"]),
                     "times_faster": round(base["seconds"] / row["seconds"], 2),
                     "times_less_memory": round(base["memory"] / row["memory"], 2),
                     **({} if method.startswith("light") else {"largest_difference": f"{apart:.2g}"})})  # fmt: skip
    return rows


def photograph() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (125, 188, 3), dtype=np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.jpg", Path(folder) / "b.jpg"
        coarse.resize(MEGAPIXELS[::-1], Image.Resampling.BICUBIC).save(source, quality=95)
        words = [sys.executable, "-m", "ungrid", "upscale", str(source), "-s", "2", "-o", str(target), "--json", "-q"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout.splitlines()[-1])
        with Image.open(target) as image:
            assert image.size == (2 * MEGAPIXELS[1], 2 * MEGAPIXELS[0])
    return [{"part": "photograph", "method": "light", "scale": 2, "seconds": round(answer["wall_seconds"], 1),
             "memory_mb": round(answer["metrics"]["peak_memory_mb"]), "pictures": "24 megapixels"}]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("quality", "speed", "photograph", "degraded", "comparison", "one"))
    parser.add_argument("--seconds", type=float, default=300.0, help="of each training of the comparison")
    parser.add_argument("--method", choices=METHODS, help="of the part `one`, which the others start")
    given = parser.parse_args()
    if given.part == "one":
        one(given.method)
        return
    set_threads(None)
    parts = {"quality": quality, "degraded": degraded, "photograph": photograph,
             "comparison": lambda: comparison(given.seconds)}  # fmt: skip
    rows = [*speed(False), *speed(True)] if given.part == "speed" else parts[given.part]()
    write("upscale", rows, key=("part",))


if __name__ == "__main__":
    main()
