"""Fields round the globe: one value, one slope, one curvature on both sides of the date line."""

import copy

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.domains.circle import is_circle
from ungrid.encodings import SplineGrid
from ungrid.fields import NeuralField
from ungrid.io import load, save
from ungrid.networks import GridDecoder
from ungrid.sampling import GridSamples
from ungrid.signals import fit

LATITUDE, LONGITUDE = Axis("lat", -90.0, 90.0, "degrees_north"), Axis("lon", 0.0, 360.0, "degrees_east")


@pytest.mark.parametrize(("low", "high", "unit", "closed"), [
    (0.0, 360.0, "degrees_east", True), (-180.375, 179.625, "degree_east", True), (0.0, 360.0, "degrees_north", False),
    (0.0, 359.0, "degrees_east", False), (0.0, 360.0, "", False),
])  # fmt: skip
def test_a_circle_is_360_degrees_of_longitude(low, high, unit, closed):
    assert is_circle(Axis("longitude", low, high, unit)) is closed


def grid(circles: tuple[int, ...], order: int = 3) -> SplineGrid:
    return SplineGrid(((6, 5), (3, 2), (1, 1)), (1, 2, 1), extent=(1.0, 0.8), order=order, seed=4, spread=1.0,
                      circles=circles)  # fmt: skip


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_both_ends_of_a_circle_agree_in_all_continuous_derivatives(axis, order):
    """Also after the table has been changed from outside, copies included; by the kernels and in plain PyTorch."""
    encoding = copy.deepcopy(grid((axis,), order)).double()
    encoding.table.data += torch.rand(encoding.table.shape, generator=torch.Generator().manual_seed(0))
    ends = 0.8 * torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).repeat(2, 1)
    ends[:20, axis], ends[20:, axis] = -encoding.extent[axis], encoding.extent[axis]
    rates = tuple(tuple(n if k == axis else 0 for k in range(2)) for n in range(order))  # those that are continuous
    for partials in (encoding.partials, encoding.plain_partials):
        low, high = partials(ends, rates).chunk(2, dim=1)
        torch.testing.assert_close(low, high, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(*encoding(ends).chunk(2), atol=1e-9, rtol=1e-9)


def test_a_table_gets_the_gradient_of_a_ring():
    """The kernels' gradient against differences of the loss by every number that is not a copy; copies get none."""
    encoding, decoder = grid((1,)), GridDecoder(4, 1, width=4, depth=1, seed=2)
    field = NeuralField(Box(LATITUDE, LONGITUDE), encoding, decoder, out_names=("v",))
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform([-90, -360], [90, 720], (60, 2)))
    y = torch.from_numpy(rng.standard_normal((60, 1))).float()
    field.square_error(x, y).backward()
    copies = encoding.ties != torch.arange(len(encoding.ties))
    assert copies.any()
    assert not encoding.table.grad[copies].any()
    twin = copy.deepcopy(field).double()
    free = torch.nonzero(~copies)[:, 0].tolist()
    for place in free[:: len(free) // 12]:
        with torch.no_grad():
            losses = []
            for step in (1e-4, -1e-4):
                twin.encoding.table.data[place] += step
                losses.append((twin(x) - y).square().mean())
                twin.encoding.table.data[place] -= step
        assert encoding.table.grad[place].item() == pytest.approx(float(losses[0] - losses[1]) / 2e-4, abs=2e-5)


def test_circles_need_dense_levels_and_known_axes():
    with pytest.raises(InputError, match="circles"):
        SplineGrid(((20, 20),), (1,), extent=(1.0, 1.0), max_entries=50, circles=(1,))
    with pytest.raises(InputError, match="circles"):
        SplineGrid(((20, 20),), (1,), extent=(1.0, 1.0), circles=(2,))


def test_a_variable_round_the_globe(tmp_path):
    """A smooth function of the place on the sphere: as exact at the date line as elsewhere; saved and read again, too."""
    samples_grid = RegularGrid(Box(LATITUDE, LONGITUDE), (16, 24))

    def truth(points: np.ndarray) -> np.ndarray:
        lat, lon = np.radians(points).T
        return (np.cos(lat) * np.sin(lon + 0.5) + np.sin(lat))[:, None]

    values = truth(samples_grid.points().reshape(-1, 2)).reshape(16, 24, 1).astype("f4")
    field = fit(GridSamples(samples_grid, values, ("v",)), steps=200).field
    rng = np.random.default_rng(0)
    anywhere = rng.uniform([-75, 0], [75, 360], (500, 2))
    seam = np.concatenate([rng.uniform([-75, -2], [75, 2], (250, 2)), rng.uniform([-75, 358], [75, 362], (250, 2))])
    errors = [np.abs(field(points) - truth(points)).mean() for points in (anywhere, seam)]
    assert errors[1] < 1.5 * errors[0] + 1e-3
    assert errors[0] < 0.05
    for turns in (-720.0, 360.0):
        np.testing.assert_allclose(field(anywhere + np.array([0, turns])), field(anywhere), atol=1e-5)
    sides = [field(np.column_stack([anywhere[:, 0], np.full(500, lon)])) for lon in (-1e-6, 1e-6)]
    np.testing.assert_allclose(sides[0], sides[1], atol=1e-5)
    save(field, tmp_path / "globe.field")
    np.testing.assert_array_equal(load(tmp_path / "globe.field")(seam), field(seam))
