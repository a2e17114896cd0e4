"""Differences of fields equal differences of the same samples, and the potential inverts them."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

from ungrid.domains import Axis, Box, RegularGrid
from ungrid.operators.differences import Neighbours

GRID = RegularGrid(Box(Axis("y", 0.0, 3.0), Axis("x", -2.0, 2.0)), (6, 8))
GLOBE = RegularGrid(Box(Axis("lat", -90.0, 90.0, "degrees_north"), Axis("lon", 0.0, 360.0, "degrees_east")), (6, 8))


def function(x):
    return torch.stack([torch.sin(x[..., 0] * 2) * x[..., 1] ** 2, torch.exp(x[..., 1] - x[..., 0])], dim=-1)


def on_the_globe(x):
    angle = torch.deg2rad(x[..., 1])
    return torch.stack([torch.sin(angle) * x[..., 0], torch.cos(2 * angle)], dim=-1)


CASES = [pytest.param(GRID, function, id="plane"), pytest.param(GLOBE, on_the_globe, id="circle of longitudes")]


def steps_matrix(grid: RegularGrid) -> sp.csr_matrix:
    """D by its definition, one row for each sample and axis: brute force over all samples."""
    d, n = grid.box.dim, grid.size
    index = np.arange(n).reshape(grid.shape)
    rows = sp.lil_matrix((d * n, n))
    for axis in range(d):
        for place in np.ndindex(*grid.shape):
            following = list(place)
            following[axis] += 1
            if following[axis] == grid.shape[axis]:
                if grid.box.axes[axis].unit != "degrees_east":
                    continue
                following[axis] = 0
            rows[axis * n + index[place], index[tuple(following)]] += 1
            rows[axis * n + index[place], index[place]] -= 1
    return rows.tocsr()


def as_steps(flat: np.ndarray, grid: RegularGrid) -> np.ndarray:
    """(d n, c) in the order of the matrix to (*shape, d c) in the order of `Neighbours`."""
    return np.concatenate(list(flat.reshape(grid.box.dim, *grid.shape, -1)), axis=-1)


@pytest.mark.parametrize(("grid", "u"), CASES)
def test_differences_of_field_and_samples_are_those_of_the_matrix(grid, u):
    points = torch.from_numpy(grid.points())
    samples, flat, d = u(points), points.reshape(-1, 2), steps_matrix(grid)
    expected = as_steps(d @ samples.numpy().reshape(-1, 2), grid)
    np.testing.assert_allclose(Neighbours(grid).gradient(u, flat).reshape(expected.shape), expected, atol=1e-12)
    np.testing.assert_allclose(Neighbours(grid).sampled_gradient(samples), expected, atol=1e-12)
    expected = (-(d.T @ d) @ samples.numpy().reshape(-1, 2)).reshape(samples.shape)
    north, south = (np.roll(samples, -sign, axis=0) for sign in (1, -1))
    centre = (north - south)[1:-1] / 2
    np.testing.assert_allclose(
        Neighbours(grid).sampled_central(samples)[1:-1, ..., : samples.shape[-1]], centre, atol=1e-12
    )
    np.testing.assert_allclose(
        Neighbours(grid).central(u, flat).reshape(Neighbours(grid).sampled_central(samples).shape),
        Neighbours(grid).sampled_central(samples), atol=1e-11,
    )  # fmt: skip
    np.testing.assert_allclose(Neighbours(grid).laplacian(u, flat).reshape(expected.shape), expected, atol=1e-11)
    np.testing.assert_allclose(Neighbours(grid).sampled_laplacian(samples), expected, atol=1e-11)


@pytest.mark.parametrize(("grid", "u"), CASES)
def test_the_potential_of_a_laplacian_is_the_function_up_to_a_constant(grid, u):
    samples = u(torch.from_numpy(grid.points()))
    found = Neighbours(grid).potential(Neighbours(grid).sampled_laplacian(samples))
    np.testing.assert_allclose(found, samples - samples.mean(dim=(0, 1)), atol=1e-9)


@pytest.mark.parametrize(("grid", "u"), CASES)
def test_the_potential_of_a_divergence_is_the_least_squares_solution(grid, u):
    """Of steps that are no gradient, by a sparse solver."""
    d, rng = steps_matrix(grid), np.random.default_rng(0)
    flat = rng.standard_normal((d.shape[0], 1))
    steps = torch.from_numpy(as_steps(flat, grid))
    found = Neighbours(grid).potential(Neighbours(grid).divergence(steps))
    expected = scipy.sparse.linalg.lsqr(d, flat[:, 0] * (np.abs(d).sum(axis=1).A1 > 0), atol=1e-13, btol=1e-13)[0]
    np.testing.assert_allclose(found.reshape(-1), expected - expected.mean(), atol=1e-8)
    np.testing.assert_allclose(Neighbours(grid).divergence(steps).reshape(-1), -(d.T @ flat)[:, 0], atol=1e-12)
