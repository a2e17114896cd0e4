"""Sampling a field on any grid: sizes, regions, derivatives."""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.fields import Field


def sample_grid(
    field: Field,
    shape: tuple[int, ...],
    *,
    region: tuple[tuple[float, float], ...] | None = None,
    footprint: bool = True,
) -> np.ndarray:
    """The field's values at the cell centres of a grid, shape ``(*shape, c)``.

    Args:
        field: any field.
        shape: samples along every axis of the field's domain.
        region: the interval of every axis, in the user's units; None takes the whole domain.
        footprint: average over the cells (anti-aliasing when shrinking); a cell not larger than the samples that the field
            was fitted to is not averaged.

    Raises:
        InputError: if the shape or the region does not fit the domain.
    """
    axes = field.domain.axes
    if len(shape) != len(axes) or (region is not None and len(region) != len(axes)):
        raise InputError(f"a shape {shape} and region {region}", f"one entry for each of {len(axes)} axes")
    bounds = region or tuple((axis.low, axis.high) for axis in axes)
    box = Box(*(Axis(a.name, low, high, a.unit) for a, (low, high) in zip(axes, bounds, strict=True)))
    return field.on_grid(RegularGrid(box, tuple(shape)), footprint=footprint)
