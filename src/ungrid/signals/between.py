"""Pictures of which every other pixel is known: fields that are judged between their samples.

A field that is only fitted to sparse samples has no reason to be right between them. So the samples' lattice is first made
twice as fine, by whichever of these predicts the known samples better from every other one of them: the cubic spline, or
`HalfLattice`, a small network that has learned from made pictures what the spline lacks (`recipes/half_lattice.py`). The
field is the cubic spline through the finer lattice, which meets the known samples exactly.
"""

import time
from collections.abc import Callable
from importlib.resources import files

import numpy as np
import scipy.ndimage
import torch
from safetensors.torch import load
from scipy.interpolate import make_interp_spline

from ungrid.domains import RegularGrid
from ungrid.encodings import SplineGrid
from ungrid.encodings.grid import PAD
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import GridDecoder, HalfLattice
from ungrid.sampling import GridSamples
from ungrid.signals.gridded import every_nth, psnr
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, Outcome

SMALLEST = 8  # samples on each axis; below that half of them tell nothing

Densifier = Callable[[np.ndarray], np.ndarray]
"""From values (n, m, c) to those on the dense lattice (2 n + 1, 2 m + 1, c) of `networks.half_lattice`."""


def fills_gaps(method: str, holdout: float | str | None, given: GridSamples) -> bool:
    """Whether `auto` is to be judged between the samples of a picture, none of which is missing."""
    asked = method == "auto" and holdout == "even"
    return asked and given.kind == "image" and min(given.grid.shape) >= SMALLEST and not given.missing


def fit_between(given: GridSamples, hidden: GridSamples, options: Options) -> FitResult:
    """The field of a picture of which `given` samples are known; `hidden` ones are only measured on."""
    began = time.perf_counter()
    scores = {name: known_score(densify, given) for name, densify in DENSIFIERS.items()}
    best = max(scores, key=lambda name: scores[name])
    field = spline_through(DENSIFIERS[best](given.values), given)
    found = {"psnr_db": psnr(field, given), "heldout_psnr_db": psnr(field, hidden)}
    row = {"step": 0.0, "seconds": time.perf_counter() - began, **found}
    if options.report is not None:
        options.report({**row, "progress": 1.0, "eta": 0.0})
    stats = {
        "seconds": row["seconds"], "steps": 0, "parameters": sum(p.numel() for p in field.parameters()),
        "samples": given.values.size, "missing": 0, "metrics": found, "between": best,
        "between_known_psnr_db": scores,
    }  # fmt: skip
    return FitResult(field, Outcome.exact, [row], stats)


def known_score(densify: Densifier, given: GridSamples) -> float:
    """PSNR in dB of the known samples as predicted from every other one of them."""
    predicted = densify(every_nth(given, 2).values)[1:, 1:][: given.grid.shape[0], : given.grid.shape[1]]
    error = np.clip(predicted, 0, given.peak) - given.values
    return float(10 * np.log10(given.peak**2 / max(np.square(error, dtype=np.float64).mean(), 1e-30)))


def cubic(values: np.ndarray) -> np.ndarray:
    """The dense lattice by the cubic spline through the values (not-a-knot)."""
    dense = values.astype(np.float64)
    for axis, n in enumerate(values.shape[:2]):
        dense = make_interp_spline(np.arange(n), dense, k=3, axis=axis)(np.arange(-1, 2 * n) / 2)
    return dense.astype(np.float32)


def learned(values: np.ndarray) -> np.ndarray:
    """The dense lattice by `HalfLattice`, channels in threes; fewer are filled up with copies of the last."""
    network, parts = trained(), []
    for start in range(0, values.shape[-1], 3):
        part = values[..., start : start + 3]
        filled = np.concatenate([part, *[part[..., -1:]] * (3 - part.shape[-1])], axis=-1)
        parts.append(network.densify(torch.from_numpy(np.ascontiguousarray(filled))).numpy()[..., : part.shape[-1]])
    return np.concatenate(parts, axis=-1)


DENSIFIERS: dict[str, Densifier] = {"cubic": cubic, "learned": learned}


def trained() -> HalfLattice:
    """The network with the weights that come with the package."""
    weights = load(files("ungrid.signals").joinpath("models/half_lattice.safetensors").read_bytes())
    network = HalfLattice()
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    return network


def spline_through(dense: np.ndarray, samples: GridSamples) -> NeuralField:
    """The cubic spline through the dense lattice, as a field of one grid level over the samples' box."""
    grid, cells = samples.grid, dense.shape[:2]
    wide = np.pad(dense.astype(np.float64), ((8, 8), (8, 8), (0, 0)), mode="reflect")
    for axis in (0, 1):
        wide = scipy.ndimage.spline_filter1d(wide, order=3, axis=axis, mode="mirror")
    coefficients = wide[8 - PAD : PAD - 8, 8 - PAD : PAD - 8]
    channels = dense.shape[-1]
    encoding = SplineGrid((cells,), (channels,), extent=lattice_extent(grid), order=3)
    decoder = GridDecoder(channels, channels, width=1, depth=1)
    with torch.no_grad():
        encoding.table.copy_(torch.from_numpy(np.ascontiguousarray(coefficients)).reshape(-1))
        decoder.skip.copy_(torch.eye(channels))  # the perceptron's last layer is zero: the features are the values
    return NeuralField(
        grid.box, encoding, decoder, out_names=samples.out_names, spacing=tuple(float(h) for h in grid.spacing),
        metadata={**samples.metadata, "kind": samples.kind, "peak": samples.peak, "shape": list(grid.shape)},
    )  # fmt: skip


def lattice_extent(grid: RegularGrid) -> tuple[float, ...]:
    """Half the length, in unit coordinates, of the box whose cells have the dense lattice's nodes as centres."""
    scale = unit_scale(grid.box)
    sizes = zip(grid.box.axes, scale, grid.shape, strict=True)
    return tuple(axis.length / 2 / s * (2 * n + 1) / (2 * n) for axis, s, n in sizes)
