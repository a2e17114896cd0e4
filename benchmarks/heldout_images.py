"""Held-out pixels of the Fourier-features images: every method, `auto` and cubic interpolation, on one split.

Protocol (Tancik et al. 2020, 2-D regression): a field sees ``image[::2, ::2]`` only. The published 25.57 dB (DIV2K) and
30.47 dB (text) are means over 16 test images of each image's PSNR at the odd-odd pixels, ``image[1::2, 1::2]``; both
that and the PSNR over all held-out pixels are printed. Values are limited to [0, 1] first. The tuning images are
``train_data_*``: look at the test images last. Cubic interpolation is scipy's bicubic spline through the samples.
"""

import argparse
import statistics
import time

import numpy as np
from PIL import Image
from record import DATA, write
from scipy.interpolate import RectBivariateSpline

import ungrid
from ungrid.io import from_array
from ungrid.signals.methods import METHODS

FOLDER = DATA / "signals" / "image"
PUBLISHED = {"div2k": 25.57, "text": 30.47}  # odd-odd pixels, Gaussian features of deviation 10 and 14


def picture(name: str, part: str, number: int) -> np.ndarray:
    image = Image.open(FOLDER / name / f"{part}_data_{number:02d}.png").convert("RGB")
    return np.asarray(image).astype(np.float32) / 255


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.clip(found.astype(np.float64), 0, 1) - wanted
    return float(-10 * np.log10(np.mean(error**2)))


def scores(found: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """PSNR over all held-out pixels, and over the odd-odd ones."""
    hidden = np.ones(image.shape[:2], dtype=bool)
    hidden[::2, ::2] = False
    return psnr(found[hidden], image[hidden]), psnr(found[1::2, 1::2], image[1::2, 1::2])


def cubic(known: np.ndarray) -> np.ndarray:
    coarse = [2.0 * np.arange(n) for n in known.shape[:2]]
    fine = [np.arange(2.0 * n) for n in known.shape[:2]]
    return np.stack([RectBivariateSpline(*coarse, channel)(*fine) for channel in np.moveaxis(known, -1, 0)], axis=-1)


def fitted(image: np.ndarray, method: str, budget: float) -> np.ndarray:
    """The values at all pixels of a field that is fitted to the known samples only."""
    whole = from_array(image)
    return ungrid.fit(whole, method, holdout="even", budget=budget).field.on_grid(whole.grid)


def measured(name: str, method: str, given: argparse.Namespace) -> dict[str, object]:
    """One row: a method on the pictures of a set."""
    found: list[tuple[float, float]] = []
    seconds: list[float] = []
    for number in range(given.images):
        image = picture(name, given.part, number)
        began = time.perf_counter()
        values = cubic(image[::2, ::2]) if method == "cubic" else fitted(image, method, given.budget)
        seconds.append(time.perf_counter() - began)
        found.append(scores(values, image))
    every, odd = (list(column) for column in zip(*found, strict=True))
    return {
        "set": name,
        "part": given.part,
        "images": given.images,
        "method": method,
        "budget": given.budget,
        "heldout_psnr_db": round(statistics.mean(every), 3),
        "odd_odd_psnr_db": round(statistics.mean(odd), 3),
        "odd_odd_std_db": round(statistics.pstdev(odd), 3),
        "published_odd_odd_db": PUBLISHED[name] if method == "fourier" else "",
        "seconds": round(statistics.mean(seconds), 2),
        "slowest_seconds": round(max(seconds), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["cubic", "auto", *METHODS])
    parser.add_argument("--sets", nargs="+", default=list(PUBLISHED))
    parser.add_argument("--part", choices=["train", "test"], default="test")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--budget", type=float, default=45.0, help="seconds of optimisation per image")
    given = parser.parse_args()
    table = "heldout_images" if given.part == "test" else "heldout_images_tuning"
    for name in given.sets:
        for method in given.methods:
            write(table, [measured(name, method, given)], key=("set", "method"))


if __name__ == "__main__":
    main()
