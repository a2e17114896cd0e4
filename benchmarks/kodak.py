"""Kodak photographs: seconds to a quality, beside a bilinear grid, PNG, JPEG and bicubic interpolation.

All pixels are fitted. Seconds are optimisation with its evaluations; decoding and compilation are not counted. Run with
``OMP_WAIT_POLICY=passive``; ``--methods`` adds the curve of every method on two photographs.
"""

import argparse
import io
import itertools
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from record import DATA, write

import ungrid
from ungrid.io import from_array
from ungrid.signals.methods import METHODS

FOLDER = DATA / "signals" / "image" / "kodak"
GOALS = (30.0, 35.0, 40.0)


def photograph(number: int) -> Image.Image:
    return Image.open(FOLDER / f"kodim{number:02d}.png").convert("RGB")


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.float32) / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((np.clip(a, 0, 1) - b) ** 2)))


def seconds_to(history: list[dict[str, float]], goal: float) -> float:
    """When a report first saw the goal: later than when it was reached, never earlier."""
    return next((row["seconds"] for row in history if row["psnr_db"] >= goal), float("inf"))


def bilinear_grid(values: np.ndarray, numbers: int) -> tuple[np.ndarray, int]:
    """The least-squares optimum of a bilinear grid with about `numbers` numbers, on the pixels, and its size."""
    height, width, channels = values.shape
    ratio = (numbers / values.size) ** 0.5
    bases = []
    for n in (height, width):
        nodes = max(2, round(n * ratio))
        t = (np.arange(n) + 0.5) / n * (nodes - 1)
        low = np.minimum(t.astype(int), nodes - 2)
        basis = np.zeros((n, nodes))
        basis[np.arange(n), low] = 1 - (t - low)
        basis[np.arange(n), low + 1] = t - low
        bases.append(basis)
    rows, columns = (basis @ np.linalg.pinv(basis) for basis in bases)
    size = bases[0].shape[1] * bases[1].shape[1] * channels
    return np.einsum("ij,jkc,lk->ilc", rows, values, columns, optimize=True), size


def png_bytes(image: Image.Image) -> int:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.tell()


def jpeg_bytes(image: Image.Image, goal: float) -> tuple[int, float]:
    """The smallest JPEG (4:4:4) that reaches the goal, and its PSNR; quality 100 where none does."""
    for quality in range(5, 101):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
        found = psnr(array(Image.open(buffer)), array(image))
        if found >= goal or quality == 100:
            break
    return buffer.tell(), found


def field_bytes(field: ungrid.Field, values: np.ndarray) -> tuple[int, float]:
    """Bytes and PSNR of the float16 export, read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = ungrid.save(field, Path(folder) / "half.field", half=True)
        return path.stat().st_size, psnr(ungrid.load(path).on_grid(from_array(values).grid), values)


def upscaled(number: int, budget: float) -> tuple[float, float]:
    """PSNR at twice the size of a field fitted to the half-size photograph, and bicubic interpolation's."""
    image = photograph(number)
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
    result = ungrid.fit(array(half), budget=budget)
    up = ungrid.sample_grid(result.field, (image.height, image.width), footprint=False)
    return psnr(up, array(image)), psnr(array(half.resize(image.size, Image.Resampling.BICUBIC)), array(image))


def one(number: int, budget: float, repeats: int) -> dict[str, object]:
    image = photograph(number)
    values = array(image)
    results = [ungrid.fit(values, budget=budget) for _ in range(repeats)]
    field, stats = results[0].field, results[0].stats
    final = stats["metrics"]["psnr_db"]
    bilinear, numbers = bilinear_grid(values, stats["parameters"])
    half_bytes, half_psnr = field_bytes(field, values)
    jpeg, jpeg_psnr = jpeg_bytes(image, final)
    up, bicubic = upscaled(number, budget)
    times = {f"seconds_to_{goal:.0f}_db": round(statistics.median(seconds_to(r.history, goal) for r in results), 2)
             for goal in GOALS}  # fmt: skip
    return {
        "picture": f"kodim{number:02d}",
        **times,
        "psnr_db": round(final, 2),
        "parameters_per_sample": round(stats["parameters"] / stats["samples"], 4),
        "steps": stats["steps"],
        "bilinear_psnr_db": round(psnr(bilinear, values), 2),
        "bilinear_parameters": numbers,
        "float16_bytes": half_bytes,
        "float16_psnr_db": round(half_psnr, 2),
        "png_bytes": png_bytes(image),
        "jpeg_bytes": jpeg,
        "jpeg_psnr_db": round(jpeg_psnr, 2),
        "x2_psnr_db": round(up, 2),
        "x2_bicubic_psnr_db": round(bicubic, 2),
    }


def curve(number: int, method: str, budget: float) -> dict[str, object]:
    """PSNR over time of a method, and the bytes of its file beside PNG's and JPEG's of that quality."""
    image = photograph(number)
    result = ungrid.fit(array(image), method, budget=budget)
    at = {f"psnr_db_at_{t}_s": round(max((row["psnr_db"] for row in result.history if row["seconds"] <= t),
                                         default=float("nan")), 2) for t in (2, 5, 10, 30, 60)}  # fmt: skip
    half_bytes, half_psnr = field_bytes(result.field, array(image))
    jpeg, jpeg_psnr = jpeg_bytes(image, half_psnr)
    return {
        "picture": f"kodim{number:02d}",
        "method": method,
        **at,
        "parameters": result.stats["parameters"],
        "steps": result.stats["steps"],
        "float16_bytes": half_bytes,
        "float16_psnr_db": round(half_psnr, 2),
        "png_bytes": png_bytes(image),
        "jpeg_bytes": jpeg,
        "jpeg_psnr_db": round(jpeg_psnr, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--methods", action="store_true")
    arguments = parser.parse_args()
    if arguments.methods:
        for number, method in itertools.product((5, 7), METHODS):
            write("kodak_methods", [curve(number, method, 60.0)], key=("picture", "method"))
        return
    ungrid.fit(array(photograph(1)), steps=2)  # compiles
    rows = [one(number, arguments.budget, arguments.repeats) for number in arguments.pictures]
    keys = [f"seconds_to_{goal:.0f}_db" for goal in GOALS]
    rows.append({"picture": "median", **{key: statistics.median(row[key] for row in rows) for key in keys}})
    write("kodak", rows)


if __name__ == "__main__":
    main()
