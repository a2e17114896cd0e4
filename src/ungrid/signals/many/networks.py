"""Which network many signals of one shape get.

Convention: `numbers` are the values in the samples of one signal, points times channels.
"""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.encodings import Identity
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Siren
from ungrid.sampling import GridSamples
from ungrid.signals.many.sources import Shape

STEP, WIDEST = (
    16,
    256,
)  # widths: multiples of a processor's vector; beyond the widest a signal deserves a fit of its own
SLOWEST, FASTEST = 10.0, 60.0  # omega0 of the first layer


def parameters_of(dim: int, channels: int, width: int, depth: int) -> int:
    """Numbers in a SIREN."""
    return (dim + 1) * width + (depth - 1) * (width + 1) * width + (width + 1) * channels


def choose_width(numbers: int, dim: int, channels: int, depth: int) -> int:
    """The widest network with no more parameters than the signal has numbers, between `STEP` and `WIDEST`."""
    width = STEP
    while width < WIDEST and parameters_of(dim, channels, width + STEP, depth) <= numbers:
        width += STEP
    return width


def network_for(shape: Shape, *, width: int | None = None, depth: int = 2, seed: int = 0) -> Siren:
    """The network that every signal of this shape gets, with the weights that all of them start from.

    The first layer's omega0 is the number of samples along the longest axis, within limits: the frequencies that it then
    begins with reach a third of what the samples can show.

    Raises:
        InputError: if the width or the depth is no positive number.
    """
    if depth < 1 or (width is not None and width < 1):
        raise InputError(f"networks of width {width} and depth {depth}", "1 or more")
    dim, channels = shape.grid.box.dim, len(shape.out_names)
    chosen = width or choose_width(shape.grid.size * channels, dim, channels, depth)
    omega = min(FASTEST, max(SLOWEST, float(max(shape.grid.shape))))
    return Siren(dim, channels, width=chosen, depth=depth, first_omega0=omega, seed=seed)


def field_of(network: Siren, shape: Shape) -> NeuralField:
    """A field on the shape's box, in normalised values."""
    spacing = tuple(float(h) for h in shape.grid.spacing)
    return NeuralField(
        shape.grid.box, Identity(shape.grid.box.dim), network, out_names=shape.out_names, spacing=spacing
    )


def unit_points(shape: Shape) -> np.ndarray:
    """The samples' places as the network sees them, (N, d) float32, in the order of the samples."""
    box = shape.grid.box
    center = (box.low + box.high) / 2
    return ((shape.grid.points().reshape(-1, box.dim) - center) / np.array(unit_scale(box))).astype(np.float32)


def normalised(samples: GridSamples) -> tuple[np.ndarray, np.ndarray, float]:
    """Values (N, c) float32 without their means (c,) and in units of one scale, four standard deviations; both of them."""
    flat = samples.values.reshape(-1, len(samples.out_names)).astype(np.float64)
    offset = np.nanmean(flat, axis=0)
    scale = 4 * float(np.nanstd(flat, axis=0).mean()) or 1.0
    return ((flat - offset) / scale).astype(np.float32), offset, scale
