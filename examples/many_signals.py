"""Fit a hundred sounds together into one store, and ask one of them between its samples.

Every sound is the same two tones with phases of its own, so what lies between the samples is known.
"""

import tempfile
from pathlib import Path

import numpy as np

from ungrid.signals.many import fit_many


def tones(at: np.ndarray, k: int) -> np.ndarray:
    """Sound number k at places in [-1, 1]."""
    return 0.5 * np.sin(9 * at + 0.1 * k) + 0.3 * np.cos(14 * at - 0.2 * k)


places = (np.arange(200) + 0.5) / 100 - 1
sounds = np.stack([tones(places, k) for k in range(100)])
with tempfile.TemporaryDirectory() as folder:
    result = fit_many(sounds, Path(folder) / "sounds.zarr", target_db=45.0)
    field = result.store["37"]

between = places[:-1] + 0.005
error_between_samples = np.sqrt(np.mean((field(between[:, None])[:, 0] - tones(between, 37)) ** 2))
