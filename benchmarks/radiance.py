"""Radiance fields from photographs: held-out quality against the time of the fit, on a CPU.

    python benchmarks/radiance.py lego            # 45 s, 2 min, 5 min; writes benchmarks/results/radiance.csv
    python benchmarks/radiance.py lego --alpha-start --budgets 19 98
    python benchmarks/radiance.py fern --budgets 590

lego: NeRF-synthetic lego at 400 x 400 (a quarter of the published pixels), white background, the 100 views of the train split,
measured on the 50 views of the test split at hand; alpha only composites the photographs. fern: LLFF's fern at 504 x 378,
every 8th of 20 photographs held out. Every budget is a run of its own. The nearest photograph, by the cameras' places,
stands beside as what needs no fit at all. LPIPS is not computed.
"""

import argparse
import resource
import statistics
import time

import numpy as np
from record import DATA, write

from ungrid.io.scenes import Scene, picture, read_scene
from ungrid.metrics import psnr
from ungrid.radiance import Renderer, held_out_metrics, reconstruct

SCENES = {
    "lego": ("lego_400", (44.0, 115.0, 290.0)),
    "fern": ("fern", (590.0,)),
    "temple": ("temple_sparse_ring", (120.0,)),
}


def nearest_photograph(scene: Scene) -> float:
    """The mean PSNR of the nearest fitted view in place of each held-out one."""
    scores = []
    for view in scene.held_out:
        away = [np.linalg.norm(view.camera.position - other.camera.position) for other in scene.views]
        first, second = (picture(v, scene.background)[0] / 255.0 for v in (view, scene.views[int(np.argmin(away))]))
        scores.append(psnr(first, second))
    return statistics.mean(scores)


def measured(name: str, budget: float, threads: int | None, alpha_start: bool) -> dict[str, object]:
    folder, _ = SCENES[name]
    scene = read_scene(DATA / "radiance" / folder, background=0.0 if name == "temple" else 1.0)
    result = reconstruct(scene, budget=budget, threads=threads, alpha_start=alpha_start)
    found = held_out_metrics(result.field, scene)
    renderer, seconds = Renderer(result.field), []
    for view in scene.held_out[:9]:
        start = time.perf_counter()
        renderer.view(view.camera)
        seconds.append(time.perf_counter() - start)
    camera = scene.views[0].camera
    return {
        "scene": name, "budget": budget, "seconds": round(result.stats["seconds"], 1), "steps": result.stats["steps"],
        "psnr_db": round(found["heldout_psnr_db"], 2), "ssim": round(found["heldout_ssim"], 4),
        "nearest_photograph_db": round(nearest_photograph(scene), 2), "nodes": result.stats["nodes"],
        "parameters": result.stats["parameters"], "render_seconds": round(statistics.median(seconds), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "resolution": f"{camera.width}x{camera.height}", "views": len(scene.views), "held_out": len(scene.held_out),
        "background": "black" if name == "temple" else "white", "alpha_start": alpha_start,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", default=["lego", "fern"], help=", ".join(SCENES))
    parser.add_argument("--budgets", type=float, nargs="*")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--alpha-start", action="store_true", help="begin with the visual hull")
    given = parser.parse_args()
    for name in given.scenes:
        for budget in given.budgets or SCENES[name][1]:
            write(
                "radiance",
                [measured(name, budget, given.threads, given.alpha_start)],
                key=("scene", "budget", "alpha_start"),
            )


if __name__ == "__main__":
    main()
