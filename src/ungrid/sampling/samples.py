"""Samples of a signal, as read from a file or given as arrays: what a field is fitted to.

Convention: float32 values, channels last; a missing sample is NaN in every channel.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Box, RegularGrid


@dataclass(frozen=True, eq=False)
class GridSamples:
    """Values at the centres of a regular grid: a picture, a sound, a clip, a volume, a gridded variable.

    Attributes:
        grid: where the samples are.
        values: (*grid.shape, c) float32; NaN marks missing samples.
        out_names: one name for each channel.
        kind: what it is: "image", "audio", "video", "volume", "grid".
        peak: the value that counts as full scale in a PSNR (1 for pictures, 2 for sound in [-1, 1]).
        metadata: what a writer needs to give the signal back (bit depth, sample rate, frame rate, affine, ...); plain
            numbers, strings and lists only, since it is stored in the field file.
    """

    grid: RegularGrid
    values: np.ndarray
    out_names: tuple[str, ...]
    kind: str = "grid"
    peak: float = 1.0
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (*self.grid.shape, len(self.out_names))
        if self.values.shape != expected:
            raise InputError(f"values of shape {self.values.shape}", f"{expected}: the grid's shape and the channels")

    @property
    def missing(self) -> int:
        """How many samples are NaN (in any channel)."""
        return int(np.isnan(self.values).any(axis=-1).sum())


@dataclass(frozen=True, eq=False)
class PointSamples:
    """Values at scattered points.

    Attributes:
        points: (N, d) float64, in the user's units.
        values: (N, c) float64.
        domain: a box around the points, with named axes.
        out_names: one name for each value column.
        sigma: (N, c) standard errors of the values, or None.
        groups: (N,) integers that say which samples belong to one line, track or station, or None.
        metadata: as in `GridSamples`.
    """

    points: np.ndarray
    values: np.ndarray
    domain: Box
    out_names: tuple[str, ...]
    sigma: np.ndarray | None = None
    groups: np.ndarray | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.points)
        if self.points.shape != (n, self.domain.dim) or self.values.shape != (n, len(self.out_names)) or n == 0:
            raise InputError(
                f"points {self.points.shape} and values {self.values.shape}",
                f"(N, {self.domain.dim}) and (N, {len(self.out_names)}) with N > 0",
            )
        bad = np.flatnonzero(~np.isfinite(self.points).all(axis=1))
        if len(bad):
            raise InputError(f"{len(bad)} NaN or infinite coordinates (first in row {bad[0]})", "finite coordinates")
