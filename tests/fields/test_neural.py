"""The neural field: units, footprints, grids."""

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.encodings import Identity, SplineGrid
from ungrid.fields import FunctionField, NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import MLP, GridDecoder
from ungrid.operators import Jet

BOX = Box(Axis("t", 10.0, 20.0, "s"), Axis("y", 0.0, 2.0, "m"), Axis("x", -4.0, 4.0, "m"))


def smooth_field(**arguments):
    return NeuralField(
        BOX, Identity(3), MLP(3, 2, width=8, depth=2, activation="tanh"), out_names=("u", "v"), **arguments
    )


def grid_field(domain, cells, **arguments):
    scale = unit_scale(domain)
    extent = tuple(axis.length / 2 / s for axis, s in zip(domain.axes, scale, strict=True))
    grid = SplineGrid((cells,), (2,), extent=extent, spread=1.0)
    return NeuralField(domain, grid, GridDecoder(2, 1, width=4), out_names=("u",), **arguments)


def test_axes_of_one_unit_share_one_scale():
    assert unit_scale(BOX) == (5.0, 4.0, 4.0)
    unit = smooth_field().unit(torch.tensor([[10.0, 2.0, 4.0], [15.0, 1.0, 0.0]]))
    torch.testing.assert_close(unit, torch.tensor([[-1.0, 0.25, 1.0], [0.0, 0.0, 0.0]]))


def test_values_and_derivatives_come_in_the_users_units():
    plain = smooth_field().double()
    scaled = NeuralField(BOX, plain.encoding, plain.network, out_names=("u", "v"), value_scale=(2.0, 3.0),
                         value_offset=(1.0, -1.0))  # fmt: skip
    x = torch.tensor([[12.0, 1.5, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(scaled(x), plain(x) * torch.tensor([2.0, 3.0]) + torch.tensor([1.0, -1.0]))
    h = 1e-5
    for k, name in enumerate("tyx"):
        step = torch.zeros(3, dtype=torch.float64)
        step[k] = h
        difference = (scaled(x + step) - scaled(x - step)) / (2 * h)
        torch.testing.assert_close(Jet(scaled, x).d(name), difference, rtol=1e-6, atol=1e-9)


def test_large_coordinates_keep_their_digits():
    """UTM coordinates of millions of metres, a field of 1 m: float32 coordinates would be off by half a metre."""
    far = Box(Axis("y", 7_500_000.0, 7_500_001.0, "m"), Axis("x", 500_000.0, 500_001.0, "m"))
    near = Box(Axis("y", 0.0, 1.0, "m"), Axis("x", 0.0, 1.0, "m"))
    points = np.random.default_rng(0).random((50, 2))
    here, there = grid_field(near, (8, 8)), grid_field(far, (8, 8))
    np.testing.assert_allclose(there(points + far.low), here(points), atol=1e-4)


@pytest.mark.parametrize("shape", [(7,), (4, 6), (3, 4, 5)])
def test_on_grid_is_evaluation_at_the_centres(shape):
    domain = Box(*(Axis(name, -1.0, 1.0) for name in "zyx"[-len(shape) :]))
    field = grid_field(domain, (4,) * len(shape))
    grid = RegularGrid(domain, shape)
    np.testing.assert_allclose(field.on_grid(grid), field(grid.points()), atol=1e-6)
    assert field.on_grid(grid).shape == (*shape, 1)


def test_a_footprint_is_the_mean_over_the_cell():
    """Against a fine Riemann sum of the same field."""
    domain = Box(y=(-1, 1), x=(-1, 1))
    field = grid_field(domain, (6, 6), spacing=(0.02, 0.02))
    center, width = np.array([0.1, -0.2]), np.array([0.3, 0.5])
    steps = (np.arange(200) + 0.5) / 200 - 0.5
    dense = center + np.stack(np.meshgrid(steps * width[0], steps * width[1], indexing="ij"), axis=-1)
    np.testing.assert_allclose(field(center, footprint=width), field(dense).mean(axis=(0, 1)), atol=2e-3)
    sharp = np.abs(field(center) - field(dense).mean(axis=(0, 1)))
    assert sharp > 4e-3  # the test can tell a mean from a point


def test_the_fused_and_the_differentiable_path_agree():
    field = grid_field(Box(y=(-1, 1), x=(-1, 1)), (6, 9))
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        fast = field(x)
    torch.testing.assert_close(fast, field(x.requires_grad_()), rtol=1e-4, atol=1e-5)


def test_wrong_shapes_and_sizes_are_named():
    with pytest.raises(InputError, match="columns t, y, x"):
        smooth_field()(np.zeros((4, 2)))
    with pytest.raises(InputError, match="sizes that fit"):
        NeuralField(BOX, Identity(2), MLP(2, 2, width=4, depth=1), out_names=("u", "v"))
    with pytest.raises(InputError, match="weights"):
        FunctionField(BOX, lambda x: x, ("a", "b", "c")).arguments()


@pytest.mark.parametrize("gradients", [True, False])
def test_nan_coordinates_are_refused(gradients):
    field = grid_field(Box(y=(-1, 1), x=(-1, 1)), (6, 9))
    x = torch.tensor([[0.1, float("nan")]])
    with torch.set_grad_enabled(gradients), pytest.raises(InputError, match="NaN coordinates"):
        field(x)
