"""Differences of fields equal numpy's differences of the same samples."""

import numpy as np
import pytest
import torch

from ungrid.domains import Axis, Box, RegularGrid
from ungrid.operators.differences import Neighbours
from ungrid.signals.gridded import observed_differences

GRID = RegularGrid(Box(Axis("y", 0.0, 3.0), Axis("x", -2.0, 2.0)), (6, 8))


def function(x):
    return torch.stack([torch.sin(x[..., 0] * 2) * x[..., 1] ** 2, torch.exp(x[..., 1] - x[..., 0])], dim=-1)


SAMPLES = function(torch.from_numpy(GRID.points()))


def test_gradient_is_numpys():
    ours = Neighbours(GRID).gradient(function, torch.from_numpy(GRID.points().reshape(-1, 2)))
    expected = np.concatenate(np.gradient(SAMPLES.numpy(), axis=(0, 1)), axis=-1)
    np.testing.assert_allclose(ours.reshape(6, 8, 4), expected, atol=1e-12)
    np.testing.assert_allclose(observed_differences(SAMPLES, "gradient"), expected, atol=1e-12)


def test_laplacian_is_scipys_with_repeated_borders():
    ndimage = pytest.importorskip("scipy.ndimage")
    ours = Neighbours(GRID).laplacian(function, torch.from_numpy(GRID.points().reshape(-1, 2)))
    expected = np.stack([ndimage.laplace(SAMPLES[..., c].numpy(), mode="nearest") for c in range(2)], axis=-1)
    np.testing.assert_allclose(ours.reshape(6, 8, 2), expected, atol=1e-12)
    np.testing.assert_allclose(observed_differences(SAMPLES, "laplacian"), expected, atol=1e-12)
