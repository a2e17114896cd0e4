"""The fused grid kernels against their plain PyTorch twins: values and gradients."""

import numpy as np
import pytest
import torch

from ungrid.encodings import SplineGrid
from ungrid.fields.fused import GridSquareError, grid_values
from ungrid.fields.neural import grid_parameters
from ungrid.networks import GridDecoder

CASES = [
    (1, 3, None),
    (1, 1, 20),
    (2, 1, None),
    (2, 2, None),
    (2, 3, None),
    (2, 3, 60),
    (3, 3, None),
    (3, 2, 150),
    (4, 1, None),
    (4, 2, 300),
]


def make_grid(dim: int, order: int, max_entries: int | None) -> SplineGrid:
    shape = (13, 9, 7, 5)[-dim:]
    cells = (shape, tuple(max(2, n // 2) for n in shape), (2,) * dim)
    extent = (0.7, 0.5, 0.9, 1.0)[-dim:]
    return SplineGrid(cells, (1, 2, 3), extent=extent, order=order, max_entries=max_entries, seed=3, spread=1.0)


def scattered(grid: SplineGrid, count: int = 333) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return (2 * torch.rand(count, grid.dim, generator=generator) - 1) * 1.05 * torch.tensor(grid.extent)


def rows(grid: SplineGrid) -> torch.Tensor:
    axes = [torch.linspace(-e, e, 23 if k == grid.dim - 1 else 3) for k, e in enumerate(grid.extent)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, grid.dim)


@pytest.mark.parametrize("points", [scattered, rows])
@pytest.mark.parametrize(("dim", "order", "max_entries"), CASES)
def test_features_and_their_gradient(dim, order, max_entries, points):
    grid = make_grid(dim, order, max_entries)
    x = points(grid)
    fast, slow = grid(x), grid.interpolate(x)
    torch.testing.assert_close(fast, slow, rtol=2e-5, atol=2e-5)
    pull = torch.randn(fast.shape, generator=torch.Generator().manual_seed(1))
    (fast_grad,) = torch.autograd.grad((fast * pull).sum(), grid.table)
    (slow_grad,) = torch.autograd.grad((slow * pull).sum(), grid.table)
    torch.testing.assert_close(fast_grad, slow_grad, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_square_error_and_all_gradients(depth, weighted):
    grid = make_grid(2, 3, 60)
    network = GridDecoder(grid.out_features, 2, width=8, depth=depth, seed=1)
    with torch.no_grad():
        network.last.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    x = torch.cat([rows(grid), scattered(grid)])
    target = torch.sin(x @ torch.tensor([[3.0, 1.0], [1.0, -2.0]]))
    weight = torch.linspace(0, 2, len(x)) if weighted else None
    parameters = grid_parameters(grid, network)
    fast = GridSquareError.apply(grid, network, x, target, weight, *parameters)
    square = (network(grid.interpolate(x)) - target).square()
    slow = (square if weight is None else square * weight[:, None]).mean()
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)
    for ours, plain in zip(*(torch.autograd.grad(3 * loss, parameters) for loss in (fast, slow)), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-5)


def test_values_without_gradients():
    grid = make_grid(3, 3, None)
    network = GridDecoder(grid.out_features, 3, width=8, depth=2, seed=1)
    x = rows(grid).reshape(3, 3, 23, 3)
    with torch.no_grad():
        torch.testing.assert_close(grid_values(grid, network, x), network(grid.interpolate(x)), rtol=1e-4, atol=1e-5)


def test_equal_threads_give_equal_bits():
    grid = make_grid(2, 3, None)
    network = GridDecoder(grid.out_features, 2, width=8, seed=1)
    x, parameters = scattered(grid, 1000), grid_parameters(grid, network)
    first, second = (
        torch.autograd.grad(GridSquareError.apply(grid, network, x, x, None, *parameters), parameters) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_splines_sum_to_one_and_reproduce_lines(order):
    """Uniform B-splines are a partition of unity, and coefficients on a line give that line (Marsden's identity)."""
    cells = 12
    grid = SplineGrid(((cells,),), (1,), extent=(1.0,), order=order)
    nodes = (torch.arange(cells + 4) - 2 + 0.5) * (2 / cells) - 1
    x = torch.linspace(-1, 1, 57)[:, None]
    for coefficients, exact in ((torch.ones(cells + 4), torch.ones(57, 1)), (nodes, x)):
        with torch.no_grad():
            grid.table.copy_(coefficients)
        np.testing.assert_allclose(grid(x).detach(), exact, atol=2e-6)


def test_cubic_splines_are_twice_differentiable():
    grid = SplineGrid(((10, 8),), (1,), extent=(1.0, 0.8), order=3, spread=1.0).double()
    x = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(grid, (x,))
    assert torch.autograd.gradgradcheck(grid, (x,))
