"""Seconds of a training step of a SIREN 2-256x4-3 on batches of 65,536 pixels: ours against plain eager PyTorch.

Every variant runs in a process of its own, once with glibc's allocator as it is and once with settings that keep large
blocks, interleaved over the repeats, so that a busy moment of the machine hits all of them. The table gives medians.

    python benchmarks/siren_step.py                    # writes benchmarks/results/siren_step.csv
    python benchmarks/siren_step.py --curve            # float32 against bfloat16, up to 30 dB on a picture
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from record import write

from ungrid.domains import RegularGrid
from ungrid.networks import Siren, fused
from ungrid.networks.fused import mean_square_error

SHAPE, BATCH, RATE, SEED = (512, 768), 65_536, 1e-4, 0
VARIANTS = ("eager", "float32", "bfloat16")
TUNED = {
    "MALLOC_TOP_PAD_": "2000000000",
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}


def picture(path: str | None, shape: tuple[int, int] | None = None) -> np.ndarray:
    """An RGB picture (h, w, 3) in [0, 1]: a file, scikit-image's astronaut, or noise of a shape."""
    if shape is not None:
        return np.random.default_rng(SEED).random((*shape, 3), dtype=np.float32)
    if path is not None:
        from PIL import Image

        return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    from skimage import data

    return data.astronaut().astype(np.float32) / 255


class Training:
    """Adam on random pixels; the values are fitted in [-1, 1]."""

    def __init__(self, variant: str, image: np.ndarray, rate: float) -> None:
        grid = RegularGrid.isotropic(image.shape[:2], ("y", "x"))
        self.points = torch.from_numpy(grid.points().reshape(-1, 2).astype(np.float32))
        self.target = torch.from_numpy(2 * image.reshape(-1, 3) - 1)
        self.variant = variant
        self.network = Siren(2, 3, seed=SEED)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.generator = torch.Generator().manual_seed(SEED)

    def step(self) -> float:
        """One step; returns the PSNR of its batch in dB (peak 1)."""
        index = torch.randint(len(self.points), (BATCH,), generator=self.generator)
        x, target = self.points[index], self.target[index]
        self.optimiser.zero_grad()
        if self.variant == "eager":
            loss = mean_square_error(self.network(x), target, None)
        else:
            loss = self.network.fused_square_error(x, target, precision=self.variant)
        loss.backward()
        self.optimiser.step()
        return -10 * float(np.log10(loss.item() / 4))


def measure(variant: str, steps: int) -> None:
    """What a child process does: prints the seconds of each step after two steps of warm-up."""
    training = Training(variant, picture(None, SHAPE), RATE)
    seconds = []
    for number in range(steps + 2):
        start = time.perf_counter()
        training.step()
        if number >= 2:
            seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds))


def run(variant: str, allocator: str, steps: int, threads: int) -> list[float]:
    """Seconds of the steps of one child process."""
    environment = {key: value for key, value in os.environ.items() if key not in TUNED}
    environment |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    environment |= TUNED if allocator == "tuned" else {}
    command = [sys.executable, __file__, "--child", variant, "--steps", str(steps)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(repeats: int, steps: int, threads: int) -> None:
    """Run all variants, print the table, write the file."""
    variants = [variant for variant in VARIANTS if variant != "bfloat16" or fused.BFLOAT16]
    if len(variants) < len(VARIANTS):
        print("bfloat16 is left out: this processor has no instructions for it")
    cases = [(variant, allocator) for allocator in ("default", "tuned") for variant in variants]
    medians: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for _ in range(repeats):
        for case in cases:
            medians[case].append(statistics.median(run(*case, steps, threads)))
    rows = [row(case, medians, threads, repeats) for case in cases]
    write("siren_step", rows, SEED, key=("allocator", "variant"))


def row(case: tuple[str, str], medians: dict[tuple[str, str], list[float]], threads: int, repeats: int) -> dict:
    """One line of the file; the ratio is the median over the repeats of the ratios within a repeat."""
    variant, allocator = case
    seconds = statistics.median(medians[case])
    ratios = [eager / ours for eager, ours in zip(medians["eager", allocator], medians[case], strict=True)]
    return {
        "allocator": allocator,
        "variant": variant,
        "seconds": round(seconds, 4),
        "samples_per_second": round(BATCH / seconds),
        "times_eager": round(statistics.median(ratios), 2),
        "repeats": repeats,
        "batch": BATCH,
        "picture": "x".join(map(str, SHAPE)),
        "torch": torch.__version__,
        "threads": threads,
    }


def curve(path: str | None, rate: float, goal: float, limit: int) -> None:
    """Train both precisions on the same batches until float32 reaches `goal` dB; print and write both curves."""
    image = picture(path)
    trainings = [Training(variant, image, rate) for variant in ("float32", "bfloat16")]
    rows = []
    for number in range(1, limit + 1):
        full, low = (training.step() for training in trainings)
        rows.append({"step": number, "float32_db": round(full, 3), "bfloat16_db": round(low, 3)})
        if number % 20 == 0 or full >= goal:
            print(f"step {number:5}  float32 {full:6.2f} dB  bfloat16 {low:6.2f} dB", flush=True)
        if full >= goal:
            break
    print(f"largest difference {max(abs(r['float32_db'] - r['bfloat16_db']) for r in rows):.2f} dB")
    write("siren_curve", [*rows[:-1:20], rows[-1]], SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="timed steps in a process")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--curve", action="store_true", help="compare the loss curves instead of the seconds")
    parser.add_argument("--picture", help="for --curve; default: scikit-image's astronaut")
    parser.add_argument("--rate", type=float, default=RATE, help="for --curve: Adam's learning rate")
    parser.add_argument("--goal", type=float, default=30.0, help="for --curve: dB at which to stop")
    parser.add_argument("--limit", type=int, default=1000, help="for --curve: steps at most")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(given.child, given.steps)
    elif given.curve:
        curve(given.picture, given.rate, given.goal, given.limit)
    else:
        compare(given.repeats, given.steps, given.threads)


if __name__ == "__main__":
    main()
