"""The classical methods beside a field of scattered measurements, on the same held-out samples."""

from typing import Any

import numpy as np
import torch

from ungrid.fields import SplineField
from ungrid.fields.field import CHUNK
from ungrid.metrics.intervals import coverage, interval_score
from ungrid.reference import Cubic, InverseDistance, LocalKriging, RadialBasis
from ungrid.reference.interpolation import Interpolation
from ungrid.signals.conformal import conformal_quantile
from ungrid.signals.measurements import Measurements, group_folds, some

CLASSICAL: dict[str, Interpolation] = {
    "inverse distance": InverseDistance(),
    "radial basis": RadialBasis(),
    "local kriging": LocalKriging(),
    "cubic": Cubic(),
}
MOST_TESTED = 10_000  # held-out samples in the table
_MOST_GIVEN = {"cubic": 100_000}  # samples; its triangulation of 10^6 takes half a minute and is made twice


def values_and_half_widths(field: SplineField, points: np.ndarray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """The field and the half widths of its intervals at points (n, d) in the user's units, both (n, c)."""
    values, halves = [], []
    with torch.no_grad():
        for part in torch.from_numpy(points).split(CHUNK):
            low, high = field.interval(part, level)
            values.append((low + high) / 2)
            halves.append((high - low) / 2)
    return torch.cat(values).numpy(), torch.cat(halves).numpy()


def with_conformal_width(
    method: Interpolation, train: Measurements, at: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A classical method's values at points (m, d), and their constant half width, both (m, c)."""
    half = conformal_half_width(method, train, seed)
    value = method.fit(train.points, train.values)(at)
    return value, np.broadcast_to(half, value.shape)


def conformal_half_width(method: Interpolation, train: Measurements, seed: int) -> np.ndarray:
    """The half width (c,) of 90 % intervals, from groups that the method was not given (split conformal)."""
    held = next(group_folds(train.groups, seed + 1))
    rest, kept = some(train.take(held), MOST_TESTED, seed), train.take(~held)
    error = np.abs(method.fit(kept.points, kept.values)(rest.points) - rest.values)
    error = error[~np.isnan(error).any(axis=1)]
    return np.array([conformal_quantile(column, 0.9) for column in error.T])


def given_to(name: str, train: Measurements, seed: int) -> Measurements:
    """The samples that a classical method is given: all, or as many as it takes in seconds."""
    return train if len(train) <= _MOST_GIVEN.get(name, len(train)) else some(train, _MOST_GIVEN[name], seed)


def summary(name: str, truth: np.ndarray, value: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """A row of the table, means over the columns; samples off the field are counted apart."""
    error, columns = value - truth, range(truth.shape[1])
    there = ~np.isnan(error).any(axis=1)
    low, high, truth, error = (part[there] for part in (value - half, value + half, truth, error))
    return {
        "method": name,
        "rmse": float(np.sqrt((error**2).mean(axis=0)).mean()),
        "mae": float(np.abs(error).mean()),
        "coverage_90": coverage(low, high, truth),
        "interval_width": float((high - low).mean()),
        "interval_score": float(np.mean([interval_score(low[:, k], high[:, k], truth[:, k], 0.1) for k in columns])),
        "off_field": int((~there).sum()),
    }
