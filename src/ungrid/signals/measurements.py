"""Scattered measurements in internal coordinates, with repeated places merged, and their folds by groups.

Convention: internal coordinates are kilometres for axes in degrees (plate carrée about the mean latitude); otherwise
the user's, axes of other units scaled to the spread of the first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ungrid._base.errors import InputError
from ungrid.io.tables import KILOMETRES_PER_DEGREE
from ungrid.reference import merge_repeated
from ungrid.sampling import PointSamples

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Measurements:
    """Merged samples in internal coordinates.

    Attributes:
        points: (n, d).
        values: (n, c).
        variance: (n, c), relative to the median of the column.
        groups: (n,) integers.
        scale: (d,) internal units per unit of every axis.
        has_sigma: whether the samples came with standard errors.
    """

    points: np.ndarray
    values: np.ndarray
    variance: np.ndarray
    groups: np.ndarray
    scale: np.ndarray
    has_sigma: bool

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: np.ndarray) -> "Measurements":
        """Some of the samples."""
        return replace(
            self,
            points=self.points[rows],
            values=self.values[rows],
            variance=self.variance[rows],
            groups=self.groups[rows],
        )


def measurements(samples: PointSamples, *, harmonic: bool = False) -> Measurements:
    """The samples in internal coordinates, with the repeated places merged.

    Raises:
        InputError: if they cannot be fitted.
    """
    d = samples.domain.dim
    if d > 3:
        raise InputError(f"{d} coordinates", "one to three")
    if not np.isfinite(samples.values).all():
        raise InputError("values that are NaN or infinite", "finite values", "leave out the rows that miss a value")
    if harmonic and d != 3:
        raise InputError(f"a harmonic field in {d} coordinates", "three: two horizontal ones and the height")
    scale = _axis_scales(samples, harmonic)
    variance = np.ones_like(samples.values)
    if samples.sigma is not None:
        typical = np.median(samples.sigma, axis=0)
        if not (typical > 0).all():
            raise InputError(
                "standard errors most of which are 0", "positive ones", "leave the column out: one is estimated"
            )
        variance = np.maximum(samples.sigma, 1e-3 * typical) ** 2
    points, values, weights, place = merge_repeated(samples.points * scale, samples.values, 1 / variance)
    if len(points) < 10:
        raise InputError(f"measurements at {len(points)} different places", "10 or more")
    groups = np.empty(len(points), dtype=np.int64)
    given = np.arange(len(place)) if samples.groups is None else samples.groups
    groups[place[::-1]] = given[::-1]  # a place that two groups share belongs to the first
    relative = 1 / weights
    relative = relative / np.median(relative, axis=0)
    return Measurements(points, values, relative, groups, scale, samples.sigma is not None)


def group_folds(groups: np.ndarray, seed: int, count: int = FOLDS) -> Iterator[np.ndarray]:
    """For each fold which samples are held out, (n,) booleans: a random part of the groups.

    Raises:
        InputError: if there is only one group.
    """
    names, code = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise InputError("samples that all belong to one group", "two groups or more", "use holdout='random'")
    fold = np.random.default_rng(seed).permutation(len(names)) % count
    for k in range(min(count, len(names))):
        yield fold[code] == k


def some(data: Measurements, most: int, seed: int) -> Measurements:
    """At most so many of the samples, at random."""
    return data.take(np.random.default_rng(seed).permutation(len(data))[:most])


def _axis_scales(samples: PointSamples, harmonic: bool) -> np.ndarray:
    """Internal units per unit of every axis."""
    axes = samples.domain.axes
    degrees = [axis.unit in ("degrees", "degree", "deg", "°") for axis in axes]
    scale, kinds = np.ones(len(axes)), [axis.unit for axis in axes]
    if any(degrees):
        latitudes = [k for k in range(len(axes)) if degrees[k] and axes[k].name.lower().startswith("lat")]
        middle = float(samples.points[:, latitudes[0]].mean()) if latitudes else 0.0
        for k, axis in enumerate(axes):
            if degrees[k]:
                scale[k] = KILOMETRES_PER_DEGREE * (1 if k in latitudes else math.cos(math.radians(middle)))
                kinds[k] = "km"
            elif axis.unit in ("m", "metre", "metres", "meters"):
                scale[k], kinds[k] = 1e-3, "km"
    spread = {kind: _spread(samples, scale, [k for k in range(len(axes)) if kinds[k] == kind]) for kind in set(kinds)}
    if harmonic and len(spread) > 1:
        raise InputError(f"a harmonic field over axes of the units {', '.join(kinds)}", "one unit of length")
    return scale * np.array([spread[kinds[0]] / spread[kind] for kind in kinds])


def _spread(samples: PointSamples, scale: np.ndarray, axes: list[int]) -> float:
    return float(np.sqrt(((samples.points[:, axes] * scale[axes]).var(axis=0)).mean())) or 1.0
