"""Batches that come from where a signal varies: shares, missing samples, places and values that belong together."""

import numpy as np
import torch

from ungrid.domains import RegularGrid
from ungrid.sampling import VariedPoints
from ungrid.sampling.varied import SHARE, varies

GRID = RegularGrid.isotropic((40, 60), ("y", "x"))


def step_edge() -> np.ndarray:
    values = np.zeros((40, 60, 1), dtype=np.float32)
    values[:, 30:] = 1
    return values


def test_only_windows_over_an_edge_vary() -> None:
    columns = np.flatnonzero(varies(step_edge()).all(axis=0))
    assert columns.tolist() == [28, 29, 30, 31]  # windows of 5 samples that hold both sides of column 29.5


def test_the_share_of_a_batch() -> None:
    sampler = VariedPoints(GRID, torch.from_numpy(step_edge()), size=4000)
    points = sampler.draw(0, torch.Generator().manual_seed(0)).points
    near = (points[:, 1].abs() < 2 * GRID.spacing[1]).double().mean().item()
    expected = SHARE + (1 - SHARE) * 4 / 60
    assert abs(near - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5


def test_values_belong_to_their_places_and_none_is_missing() -> None:
    values = np.random.default_rng(0).random((40, 60, 2)).astype(np.float32)
    values[::3] = np.nan
    batch = VariedPoints(GRID, torch.from_numpy(values), size=500).draw(3, torch.Generator().manual_seed(1))
    index = np.rint((batch.points.numpy() - GRID.box.low) / GRID.spacing - 0.5).astype(int)
    np.testing.assert_array_equal(batch.target.numpy(), values[index[:, 0], index[:, 1]])


def test_draws_depend_on_the_generator_alone() -> None:
    sampler = VariedPoints(GRID, torch.from_numpy(step_edge()), size=100)
    first, again = (sampler.draw(0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.points, again.points)
