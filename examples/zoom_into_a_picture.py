"""Fit a picture, save it, load it again, and ask it for four times as many pixels.

The picture is made of smooth waves, so what lies between its pixels is known.
"""

import tempfile
from pathlib import Path

import numpy as np

import ungrid


def waves(n: int) -> np.ndarray:
    """Two plane waves at the centres of n x n pixels, shape (n, n, 1), in [0, 1]."""
    at = (np.arange(n) + 0.5) / n
    y, x = np.meshgrid(at, at, indexing="ij")
    return (0.5 + 0.25 * np.sin(20 * x + 5 * y) + 0.2 * np.cos(17 * y))[..., None].astype(np.float32)


result = ungrid.fit(waves(64), steps=400)
with tempfile.TemporaryDirectory() as folder:
    path = ungrid.save(result.field, Path(folder) / "waves.field")
    field = ungrid.load(path)

larger = ungrid.sample_grid(field, (256, 256), footprint=False)
inner = slice(8, -8)  # beyond the outermost pixel centres nothing is known
psnr_between_pixels = -10 * np.log10(np.mean((larger - waves(256))[inner, inner] ** 2))
