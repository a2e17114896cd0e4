"""Sampling a field on any grid: sizes, regions, derivatives."""

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, Region, RegularGrid
from ungrid.fields import Field
from ungrid.operators import jacobian, laplacian

DERIVATIVES = {"gradient": jacobian, "laplacian": laplacian}
CHUNK = 1 << 13  # points whose derivatives are taken at once


def sample_grid(
    field: Field,
    shape: tuple[int, ...],
    *,
    region: tuple[tuple[float, float], ...] | None = None,
    footprint: bool = True,
    quantity: str = "value",
) -> np.ndarray:
    """The field's values, or their derivatives, at the cell centres of a grid.

    Args:
        field: any field.
        shape: samples along every axis of the field's domain.
        region: the interval of every axis, in the user's units; None takes the whole domain.
        footprint: average over the cells (anti-aliasing when shrinking); a cell not larger than the samples that the
            field was fitted to is not averaged. Derivatives are those at the centres.
        quantity: "value"; "gradient", the exact derivatives along every axis; "laplacian", the sum of the second ones.
            All in the user's units.

    Returns:
        ``(*shape, c)``; gradients ``(*shape, c, d)``. NaN at centres outside of the domain, where that is not a box; such a
        field is not averaged.

    Raises:
        InputError: if the shape or the region does not fit the domain, or there is no such quantity.
    """
    axes = field.domain.axes
    if len(shape) != len(axes) or (region is not None and len(region) != len(axes)):
        raise InputError(f"a shape {shape} and region {region}", f"one entry for each of {len(axes)} axes")
    bounds = region or tuple((axis.low, axis.high) for axis in axes)
    box = Box(*(Axis(a.name, low, high, a.unit) for a, (low, high) in zip(axes, bounds, strict=True)))
    grid = RegularGrid(box, tuple(shape))
    whole = isinstance(field.domain, Box)
    if quantity == "value":
        return within(field, grid, field.on_grid(grid, footprint=footprint and whole))
    if quantity not in DERIVATIVES:
        raise InputError(f"the quantity {quantity!r}", f"one of value, {', '.join(DERIVATIVES)}")
    parts = torch.as_tensor(grid.points()).reshape(-1, grid.box.dim).split(CHUNK)
    with torch.no_grad():
        taken = torch.cat([DERIVATIVES[quantity](field, part) for part in parts])
    return within(field, grid, taken.reshape(*shape, *taken.shape[1:]).numpy())


def within(field: Field, grid: RegularGrid, values: np.ndarray) -> np.ndarray:
    """The values, NaN at centres outside of the field's domain."""
    if not isinstance(field.domain, Region) or isinstance(field.domain, Box):
        return values
    there = field.domain.contains(grid.points().reshape(-1, grid.box.dim)).reshape(grid.shape)
    return np.where(there.reshape(*there.shape, *[1] * (values.ndim - there.ndim)), values, np.nan)
