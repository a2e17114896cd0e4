"""The learned half places: the spline it starts from, its symmetries, and that it knows no strips."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RectBivariateSpline

from ungrid.networks import HalfLattice, half_lattice


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(21, 30, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def taught() -> HalfLattice:
    """A network whose correction is not zero."""
    network = HalfLattice(width=6, depth=2, seed=1)
    torch.nn.init.normal_(network.last.weight, std=0.1, generator=torch.Generator().manual_seed(2))
    return network


def test_the_filter_interpolates_cubics() -> None:
    places = np.arange(-half_lattice.TAPS, half_lattice.TAPS) + 0.5
    weights = half_lattice.half_place_filter()
    moments = [weights @ places**k for k in range(4)]
    np.testing.assert_allclose(moments, [1, 0, 0, 0], atol=2e-3)  # the cut-off tail is 1e-4 at 8 samples


def test_the_start_is_the_cubic_spline() -> None:
    y, x = np.mgrid[:64, :64] / 10
    picture = np.stack([np.sin(y + 2 * x), np.cos(x * y / 9), y - x], axis=-1)
    at = np.arange(-1, 128) / 2
    spline = [RectBivariateSpline(np.arange(64), np.arange(64), c)(at, at) for c in np.moveaxis(picture, -1, 0)]
    dense = HalfLattice().densify(torch.from_numpy(picture).float()).numpy()
    inner = slice(30, -30)  # reflection and not-a-knot differ near the edge
    np.testing.assert_allclose(dense[inner, inner], np.stack(spline, axis=-1)[inner, inner], atol=2e-4)


def test_known_samples_stay(taught: HalfLattice, picture: torch.Tensor) -> None:
    torch.testing.assert_close(taught.densify(picture)[1::2, 1::2], picture)


def test_half_places_are_where_they_should_be(taught: HalfLattice) -> None:
    """A ramp goes on as a ramp, whatever the network has learned about curvature is a constant on it."""
    ramp = torch.arange(40.0)[:, None, None] + torch.arange(50.0)[None, :, None] * 2
    dense = HalfLattice().densify(ramp.expand(-1, -1, 3))
    expected = torch.arange(-1, 80)[:, None] / 2 + torch.arange(-1, 100)[None, :]
    inner = slice(30, -30)
    torch.testing.assert_close(dense[inner, inner, 0], expected[inner, inner], atol=1e-3, rtol=0)


@pytest.mark.parametrize("turns", range(4))
def test_turned_and_flipped_pictures_give_turned_and_flipped_lattices(taught, picture, turns) -> None:
    dense = taught.densify(picture)
    torch.testing.assert_close(taught.densify(torch.rot90(picture, turns)), torch.rot90(dense, turns))
    torch.testing.assert_close(taught.densify(picture.flip(0)), dense.flip(0))


def test_a_constant_passes_through(taught: HalfLattice, picture: torch.Tensor) -> None:
    torch.testing.assert_close(taught.densify(picture + 0.5), taught.densify(picture) + 0.5)


def test_strips_do_not_show(taught: HalfLattice, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = taught.densify(picture)
    monkeypatch.setattr(half_lattice, "STRIP", 4)
    torch.testing.assert_close(taught.densify(picture), whole)


def test_small_pictures() -> None:
    flat = torch.full((2, 3, 3), 0.25)
    torch.testing.assert_close(HalfLattice().densify(flat), torch.full((5, 7, 3), 0.25))
