"""The methods by name: which encoding and network, which solver, how many points a step.

`grid`        B-spline grid of several resolutions and a narrow decoder: fast, the default
`siren`       sine layers (Sitzmann et al. 2020): smooth, with meaningful derivatives
`fourier`     Gaussian Fourier features and ReLU layers (Tancik et al. 2020)
`positional`  the axis-aligned frequencies of NeRF and ReLU layers (Mildenhall et al. 2020)
`relu`        ReLU layers alone: the control that shows why the others exist

The last three give pictures through a logistic output, as Tancik et al. do; they are fitted in cross-entropy.
"""

from dataclasses import dataclass

from torch import nn

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.domains.circle import is_circle
from ungrid.encodings import FourierFeatures, Identity, Positional, SplineGrid
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import MLP, GridDecoder, Siren
from ungrid.signals.levels import SHARE, choose_levels
from ungrid.solvers import Adam

METHODS = ("grid", "siren", "fourier", "positional", "relu")
WIDTH, DEPTH = 256, 4  # of the networks without a grid, as in the papers
FOURIER_FEATURES = 256
BATCH, RELU_BATCH = 1 << 12, 1 << 11
MATRIX_LR = 0.05  # of ReLU layers of this width
DECODER_NUMBERS = 700  # about what the decoder of a grid holds
SMALLEST_SHARE = 0.3  # of tiny signals, next to which the decoder is large
SMALLEST_BATCH, LARGEST_BATCH = 1 << 13, 1 << 17  # of the grid: four steps for a pass over a small signal


@dataclass(frozen=True)
class Recipe:
    """How one method fits one signal: the parts of the field, the solver, and the points of a step."""

    method: str
    encoding: nn.Module
    network: nn.Module
    solver: Adam
    batch: int

    @property
    def logistic(self) -> bool:
        """Whether values come out of a logistic function, between 0 and 1."""
        return isinstance(self.network, MLP) and self.network.output == "logistic"


def recipe(
    method: str, grid: RegularGrid, channels: int, *, seed: int, bandwidth: float | None = None, bounded: bool = False
) -> Recipe:
    """The recipe of `method` for samples on `grid`.

    Args:
        method: one of `METHODS`.
        grid: the samples' grid; scattered samples give one with about as many cells.
        channels: values at each sample.
        seed: of the initial weights.
        bandwidth: of the method, in cycles over the unit interval where it has one (fourier: the standard deviation of the
            frequencies; siren: omega0 of the first layer), as `bandwidth.choose_bandwidth` finds it from the samples; None
            takes the published one.
        bounded: whether the values have a least and a largest one, as those of pictures do.
    """
    dim, longest = grid.box.dim, max(grid.shape)
    slow = Adam(lr=1e-3, matrix_lr=MATRIX_LR, final=0.01)
    encoding: nn.Module
    if method == "grid":
        encoding = spline_grid(grid, channels, seed=seed)
        decoder = GridDecoder(encoding.out_features, channels, width=16, depth=2, seed=seed + 1)
        batch = min(LARGEST_BATCH, max(SMALLEST_BATCH, grid.size // 4))
        return Recipe(method, encoding, decoder, Adam(lr=1e-2, table_lr=4e-2, final=0.02), batch)
    if method == "siren":
        omega = bandwidth or min(30.0, max(10.0, longest / 8))
        siren = Siren(dim, channels, width=WIDTH, depth=DEPTH, first_omega0=omega, seed=seed)
        return Recipe(method, Identity(dim), siren, Adam(lr=5e-4, final=0.01, betas=(0.9, 0.999)), BATCH)
    if method == "fourier":
        encoding = FourierFeatures(dim, FOURIER_FEATURES, bandwidth or 10.0, seed=seed)
        slow = Adam(lr=3e-3, matrix_lr=MATRIX_LR, final=1e-3, betas=(0.9, 0.999), warmup=20)
    elif method == "positional":
        encoding = Positional(dim, max(1, (longest - 1).bit_length() - 1))
    elif method == "relu":
        encoding = Identity(dim)
    else:
        raise InputError(f"the method {method!r}", f"auto, {', '.join(METHODS)}")
    network = MLP(encoding.out_features, channels, width=WIDTH, depth=DEPTH, output="logistic" if bounded else "linear",
                  seed=seed + 1)  # fmt: skip
    return Recipe(method, encoding, network, slow, RELU_BATCH)


def spline_grid(grid: RegularGrid, channels: int, *, seed: int, share: float = SHARE) -> SplineGrid:
    """The multiresolution grid with `share` numbers for each number in the samples."""
    numbers = grid.size * channels
    cells, features = choose_levels(grid.shape, max(share * numbers - DECODER_NUMBERS, SMALLEST_SHARE * numbers))
    scale = unit_scale(grid.box)
    extent = tuple(axis.length / 2 / s for axis, s in zip(grid.box.axes, scale, strict=True))
    circles = tuple(k for k, axis in enumerate(grid.box.axes) if is_circle(axis))
    return SplineGrid(cells, features, extent=extent, order=3, seed=seed, circles=circles)


def neural_field(parts: Recipe, grid: RegularGrid, out_names: tuple[str, ...]) -> NeuralField:
    """The untrained field of a recipe on the grid's box."""
    spacing = tuple(float(h) for h in grid.spacing)
    return NeuralField(grid.box, parts.encoding, parts.network, out_names=out_names, spacing=spacing)
