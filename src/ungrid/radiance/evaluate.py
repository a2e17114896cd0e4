"""How well a radiance field shows views that it has not seen.

Convention: PSNR and SSIM of each view over the pixels that count, colours clipped to [0, 1], then the mean over the views;
straight alpha is composited on the scene's background in the photographs, and the field has the same background.
"""

from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.fields import Field
from ungrid.io.scenes import Scene, View, picture
from ungrid.metrics import psnr, ssim
from ungrid.radiance.render import Renderer


def evaluate_views(field: Field, views: tuple[View, ...], background: tuple[float, float, float]) -> dict[str, Any]:
    """``psnr_db``, ``ssim`` and ``views``: means over the views, and the figures of each by name."""
    renderer, rows = Renderer(field), []
    for view in views:
        colors, counts = picture(view, background)
        if not counts.any():
            continue
        shown = renderer.view(view.camera)
        truth = np.where(counts[..., None], colors.astype(np.float32) / np.float32(255), np.float32(np.nan))
        rows.append({"view": view.name, "psnr_db": psnr(shown, truth), "ssim": _ssim(shown, truth)})
    if not rows:
        raise InputError("views of which no pixel counts", "masks that are white where a photograph counts")
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("psnr_db", "ssim")}
    return {**means, "views": rows}


def _ssim(shown: np.ndarray, truth: np.ndarray) -> float:
    """NaN where no window fits between the pixels that do not count."""
    try:
        return ssim(shown, truth)
    except InputError:
        return float("nan")


def held_out_metrics(field: Field, scene: Scene) -> dict[str, Any]:
    """``heldout_psnr_db``, ``heldout_ssim`` and ``heldout_views`` where the scene holds views out."""
    if not scene.held_out:
        return {}
    found = evaluate_views(field, scene.held_out, scene.background)
    return {
        "heldout_psnr_db": found["psnr_db"], "heldout_ssim": found["ssim"], "heldout_views": found["views"],
    }  # fmt: skip


def protocol(scene: Scene, *, alpha_start: bool = False) -> dict[str, Any]:
    """What a figure needs beside it: split, background, resolution, and whether alpha was used in the fit."""
    camera = scene.views[0].camera
    return {
        "fitted_views": len(scene.views), "heldout_views": len(scene.held_out),
        "background": list(scene.background), "resolution": f"{camera.width}x{camera.height}",
        "alpha_in_the_fit": "composited on the background, and "
        + ("its silhouettes were the start" if alpha_start else "not used otherwise"),
        "lpips": "not computed",
    }  # fmt: skip
