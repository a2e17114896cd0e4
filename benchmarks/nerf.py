"""The paper's NeRF in plain PyTorch: beside the sparse bricks after equal seconds, and taken apart.

    python benchmarks/nerf.py ablation            # the built-in scene at 100 x 100; by steps, reduced networks
    python benchmarks/nerf.py lego                # lego_400 shrunk to 200 x 200, five minutes each

Both write benchmarks/results/nerf.csv. The ablation leaves out one thing at a time, as in Mildenhall et al. 2020, table 2: the
direction of view, the positional encoding; and takes sine layers on plain coordinates instead. Networks have 4 layers of 64
and 32 + 32 samples a ray; on lego they are the paper's (8 layers of 256, 64 + 128 samples). Every run has white behind and no
knowledge of alpha but for that; the classical baseline beside them, a visual hull with blended photographs, needs it.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from blending import Blending
from record import DATA, write

from ungrid.io.scenes import Scene, picture, read_scene
from ungrid.metrics import psnr, ssim
from ungrid.radiance import NerfSettings, evaluate_views, held_out_metrics, reconstruct, reconstruct_nerf
from ungrid.radiance.builtin import write_scene

SMALL = {"width": 64, "depth": 4, "samples": (32, 32)}
RATE, MATRIX_RATE, FINAL = 8e-3, 0.02, 0.02  # after 700 steps 27.1 dB; without orthogonal steps 24.6 at most
SINE_RATE = 1e-3  # of Adam, for sine layers
VARIANTS: dict[str, dict[str, object]] = {
    "complete": {},
    "without view dependence": {"view_dependent": False},
    "without positional encoding": {"octaves": 0, "direction_octaves": 0},
    "sine layers": {"octaves": 0, "trunk": "sine"},
}


def row(scene: str, model: str, scored: dict[str, float], stats: dict[str, object]) -> dict[str, object]:
    return {"scene": scene, "model": model, "psnr_db": round(scored["heldout_psnr_db"], 2),
            "ssim": round(scored["heldout_ssim"], 4), "steps": stats["steps"], "seconds": round(float(stats["seconds"]), 1),
            "parameters": stats["parameters"]}  # fmt: skip


def blended(name: str, scene: Scene) -> dict[str, object]:
    """The visual hull with image-based blending."""
    began = time.perf_counter()
    blending = Blending(scene)
    seconds, scores = time.perf_counter() - began, []
    for view in scene.held_out:
        shown, truth = blending.view(view.camera), picture(view, scene.background)[0] / 255.0
        scores.append((psnr(shown, truth), ssim(shown.astype(np.float32), truth.astype(np.float32))))
    means = dict(zip(("heldout_psnr_db", "heldout_ssim"), np.mean(scores, axis=0), strict=True))
    return row(name, "visual hull, blended", means, {"steps": 0, "seconds": seconds, "parameters": 0})


def ablation(steps: int, models: list[str], seed: int) -> None:
    key = ("scene", "model", "seed")
    with tempfile.TemporaryDirectory() as folder:
        scene = read_scene(write_scene(Path(folder) / "scene", views=60, tests=12, size=100))
        for name in models:
            sine = name == "sine layers"
            settings = NerfSettings(
                rays=384, rate=SINE_RATE if sine else RATE, matrix_rate=None if sine else MATRIX_RATE, final=FINAL,
                network={**SMALL, **VARIANTS[name]},
            )  # fmt: skip
            result = reconstruct_nerf(scene, settings=settings, steps=steps, seed=seed)
            made = row("built-in, 100 x 100", name, held_out_metrics(result.field, scene), result.stats)
            fitted = evaluate_views(result.field, scene.views[::5], scene.background)
            write("nerf", [{**made, "fitted_psnr_db": round(fitted["psnr_db"], 2)}], seed, key=key)
        write("nerf", [blended("built-in, 100 x 100", scene)], key=key)


def lego(seconds: float) -> None:
    scene = read_scene(DATA / "radiance" / "lego_400", shrink=2)
    some = replace(scene, held_out=scene.held_out[::5])  # ten views: the networks take minutes for one
    for name, fit in (("sparse bricks", reconstruct), ("NeRF, paper", reconstruct_nerf)):
        result = fit(scene, budget=seconds)
        made = row("lego, 200 x 200", name, held_out_metrics(result.field, some), result.stats)
        write("nerf", [made], key=("scene", "model"))
    write("nerf", [blended("lego, 200 x 200", some)], key=("scene", "model"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ablation", "lego"))
    parser.add_argument("--steps", type=int, default=15000)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--models", nargs="+", choices=[*VARIANTS], default=[*VARIANTS], help="of the ablation")
    parser.add_argument("--seed", type=int, default=0, help="of the ablation: rays and first weights")
    given = parser.parse_args()
    if given.what == "ablation":
        ablation(given.steps, given.models, given.seed)
    else:
        lego(given.seconds)
