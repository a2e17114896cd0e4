"""Batches: every sample once in a pass, missing samples never, equal seeds equal draws."""

import numpy as np
import pytest
import torch

from ungrid._base.random import torch_generator
from ungrid.domains import RegularGrid
from ungrid.sampling import GridBatches, RandomPoints
from ungrid.sampling.grids import lattice_strides


def make(shape, size, missing=()):
    grid = RegularGrid.isotropic(shape, ("z", "y", "x")[-len(shape) :])
    values = torch.arange(grid.size, dtype=torch.float32).reshape(*shape, 1)
    values.reshape(-1)[list(missing)] = torch.nan
    return GridBatches(grid, values, size=size, seed=4), grid


@pytest.mark.parametrize(("shape", "size"), [((40,), 9), ((12, 15), 20), ((6, 7, 8), 50), ((5, 5), 1000)])
def test_one_pass_visits_every_sample_once(shape, size):
    batches, grid = make(shape, size)
    seen = torch.cat([batches.draw(step, torch_generator(0)).target[:, 0] for step in range(len(batches))])
    assert sorted(seen.tolist()) == list(range(grid.size))


def test_targets_belong_to_their_points():
    batches, grid = make((12, 15), 30)
    batch = batches.draw(3, torch_generator(0))
    index = ((batch.points.numpy() - grid.box.low) / grid.spacing - 0.5).round().astype(int)
    np.testing.assert_array_equal(batch.target[:, 0].numpy(), index[:, 0] * 15 + index[:, 1])


def test_missing_samples_are_left_out():
    batches, _ = make((6, 6), 9, missing=(0, 7, 35))
    seen = torch.cat([batches.draw(step, torch_generator(0)).target[:, 0] for step in range(len(batches))])
    assert sorted(seen.tolist()) == [k for k in range(36) if k not in (0, 7, 35)]


def test_passes_come_in_different_orders_and_seeds_repeat():
    batches, _ = make((16, 16), 16)
    twin, _ = make((16, 16), 16)
    order = [batches.draw(step, torch_generator(0)).target[0].item() for step in range(2 * len(batches))]
    assert order == [twin.draw(step, torch_generator(1)).target[0].item() for step in range(2 * len(twin))]
    assert order[: len(batches)] != order[len(batches) :]


@pytest.mark.parametrize("shape", [(100,), (300, 200), (60, 50, 40), (3, 1000)])
def test_batches_are_about_as_large_as_asked(shape):
    size = 2000
    strides = lattice_strides(shape, size)
    lattice = np.prod([-(-n // s) for n, s in zip(shape, strides, strict=True)])
    assert min(size, np.prod(shape)) / 3 <= lattice <= 3 * size


def test_random_points_keep_rows_together():
    points = torch.rand(50, 2, generator=torch_generator(0))
    sampler = RandomPoints(points, points.sum(dim=1, keepdim=True), points[:, 0], size=20)
    batch = sampler.draw(0, torch_generator(1))
    torch.testing.assert_close(batch.target, batch.points.sum(dim=1, keepdim=True))
    torch.testing.assert_close(batch.weight, batch.points[:, 0])
