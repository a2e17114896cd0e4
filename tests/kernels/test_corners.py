"""Sums over corners: the kernels against their plain twin, and their gradients against autograd and differences."""

import numpy as np
import pytest
import torch

from ungrid.kernels import corners
from ungrid.networks import spline_kernels
from ungrid.networks.spline_kernels import SplineKernels, _CornerSums, corner_sums

SIZES = ((5, 7), (11, 4))  # map, places


def given(phases_y: int, phases_x: int) -> tuple[torch.Tensor, torch.Tensor, tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    (h, w), (y, x) = SIZES
    maps = torch.from_numpy(rng.standard_normal((3, h, w, 6))).float()
    weights = torch.from_numpy(rng.standard_normal((phases_y, phases_x, 2, 2, 6))).float()
    lattice = rng.integers(0, h, (y, 2)), rng.integers(0, w, (x, 2))
    return maps, weights, (*lattice, rng.integers(0, phases_y, y), rng.integers(0, phases_x, x))


@pytest.mark.parametrize("phases", [(1, 1), (2, 3), (11, 4)])
def test_values_and_gradients_are_the_twins(phases: tuple[int, int]) -> None:
    maps, weights, indices = given(*phases)
    maps, weights = maps.requires_grad_(), weights.requires_grad_()
    fast, slow = _CornerSums.apply(maps, weights, *indices), corner_sums(maps, weights, *indices)
    torch.testing.assert_close(fast, slow)
    g = torch.randn(fast.shape, generator=torch.Generator().manual_seed(1))
    for a, b in zip(*(torch.autograd.grad((f * g).sum(), (maps, weights)) for f in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b)


def test_by_hand() -> None:
    maps = torch.arange(4.0).reshape(1, 2, 2, 1)
    weights = torch.tensor([1.0, 10.0, 100.0, 1000.0]).reshape(1, 1, 2, 2, 1)
    one, zero = np.array([[0, 1]]), np.zeros(1, dtype=np.int64)
    assert float(_CornerSums.apply(maps, weights, one, one, zero, zero)) == 0 * 1 + 1 * 10 + 2 * 100 + 3 * 1000


def test_lattice_indices() -> None:
    pixels, behind = corners.lattice_indices(np.array([-0.25, 0.0, 1.75, 2.25]), 3)
    assert pixels.tolist() == [[0, 0], [0, 1], [1, 2], [2, 2]]
    np.testing.assert_allclose(behind, [0.75, 0.0, 0.75, 0.25])


def test_phases() -> None:
    rows = (np.arange(12) + 0.5) / 3 - 0.5
    distinct, which = corners.phases(rows - np.floor(rows))
    np.testing.assert_allclose(distinct, [0, 1 / 3, 2 / 3], atol=1e-9)
    np.testing.assert_allclose(distinct[which], rows - np.floor(rows), atol=1e-9)


def test_sums_without_a_table_are_those_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SplineKernels(5, hidden=4, splines=7)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    maps, image = torch.randn(2, 5, 6, 7, generator=generator), torch.rand(2, 3, 6, 7, generator=generator)
    rows, columns = (np.arange(17) + 0.5) * 6 / 17 - 0.5, (np.arange(29) + 0.5) * 7 / 29 - 0.5
    found = []
    for few in (0, 1 << 20):
        monkeypatch.setattr(spline_kernels, "FEW_PHASES", few)
        with torch.no_grad():
            found.append(network.on_lattice(maps, image, rows, columns, torch.tensor([17 / 6, 29 / 7])))
    torch.testing.assert_close(*found)
