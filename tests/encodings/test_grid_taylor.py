"""Forward derivatives of spline grids: against nested autograd, closed forms, and the plain twin of the kernels."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.encodings import SplineGrid
from ungrid.fields import NeuralField
from ungrid.networks import GridDecoder
from ungrid.operators import Jet, JetOperator, jacobian, laplacian
from ungrid.signals.render import sample_grid

CASES = [(1, 3, None), (1, 2, 10), (2, 1, None), (2, 2, None), (2, 3, None), (2, 3, 60), (3, 3, 150), (4, 2, None)]
NAMES = "abcd"


def make_grid(dim: int, order: int, max_entries: int | None = None) -> SplineGrid:
    shape = (13, 9, 4, 3)[-dim:]
    cells = (shape, tuple(max(2, n // 2) for n in shape))
    extent = (0.7, 0.5, 0.9, 1.0)[-dim:]
    return SplineGrid(cells, (2, 1), extent=extent, order=order, max_entries=max_entries, seed=3, spread=1.0).double()


def inside(grid: SplineGrid, count: int = 12) -> Tensor:
    uniform = torch.rand(count, grid.dim, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return 0.99 * (2 * uniform - 1) * torch.tensor(grid.extent)


def pairs(dim: int) -> list[tuple[int, int]]:
    return list(itertools.combinations_with_replacement(range(dim), 2))


def second_orders(dim: int) -> tuple[tuple[int, ...], ...]:
    """All partial derivatives up to the second order."""
    return tuple(order for order in itertools.product(range(3), repeat=dim) if sum(order) <= 2)


def close(ours: Tensor, exact: Tensor) -> None:
    torch.testing.assert_close(ours, exact, rtol=1e-9, atol=1e-9 * max(1.0, exact.abs().max().item()))


def quadratic_grid(order: int) -> SplineGrid:
    """One level whose numbers are 3 y² - 2 y x + x² / 2 + y at the nodes (y, x) in lattice coordinates."""
    grid = SplineGrid(((6, 5),), (1,), extent=(1.0, 0.8), order=order).double()
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(9.0), indexing="ij")
    with torch.no_grad():
        grid.table.copy_((3 * y**2 - 2 * y * x + x**2 / 2 + y).flatten())
    return grid


def lattice(x: Tensor) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Lattice coordinates of `quadratic_grid`: 6 and 5 cells, whose centres are nodes 2, 3, ..."""
    scale = (6 / 2.0, 5 / 1.6)
    return (x[:, 0] + 1.0) * scale[0] + 1.5, (x[:, 1] + 0.8) * scale[1] + 1.5, scale


def small_field(channels: int = 2) -> NeuralField:
    encoding = SplineGrid(((9, 7), (4, 3)), (2, 1), extent=(1.0, 5 / 7), seed=3, spread=1.0).double()
    network = GridDecoder(encoding.out_features, channels, width=6, depth=2, seed=1).double()
    with torch.no_grad():
        network.last.copy_(torch.randn(network.last.shape, generator=torch.Generator().manual_seed(2)))
    box = Box(y=(0.0, 70.0), x=(10.0, 60.0))
    scale, offset = (2.0, 3.0)[:channels], (0.5, 0.0)[:channels]
    return NeuralField(box, encoding, network, out_names=("u", "v")[:channels], value_scale=scale, value_offset=offset)


class Interpolated(nn.Module):
    """The same field by `interpolate`: plain PyTorch and nested autograd."""

    def __init__(self, field: NeuralField) -> None:
        super().__init__()
        self.field = field

    def forward(self, x: Tensor) -> Tensor:
        field = self.field
        values = field.network(field.encoding.interpolate(field.unit(x)))
        return values * torch.tensor(field.value_scale) + torch.tensor(field.value_offset)


def places(count: int = 9) -> Tensor:
    uniform = torch.rand(count, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return torch.tensor([1.0, 11.0]) + uniform * torch.tensor([68.0, 48.0])


@pytest.mark.parametrize(("dim", "order", "max_entries"), CASES)
def test_all_derivatives_are_those_of_autograd(dim, order, max_entries):
    grid = make_grid(dim, order, max_entries)
    x, laplace = inside(grid), tuple((k, k) for k in range(dim))
    needed = taylor.Needed(tuple(range(dim)), (*(((i, j),) for i, j in pairs(dim)), laplace))
    streams = grid.forward_taylor(taylor.start(x, needed)).streams
    exact = Jet(grid.interpolate, x, axes=tuple(NAMES[:dim]))
    close(streams[0], exact.value)
    for k in range(dim):
        close(streams[1 + k], exact.partial((k,)))
    for row, pair in enumerate(pairs(dim), start=1 + dim):
        close(streams[row], exact.partial(pair))
    close(streams[-1], exact.laplacian())


def test_only_what_is_asked_for_is_carried():
    grid = make_grid(3, 3)
    x = inside(grid)
    streams = grid.forward_taylor(taylor.start(x, taylor.Needed((2, 0), (((2, 0),),)))).streams
    exact = Jet(grid.interpolate, x, axes=tuple("abc"))
    close(streams, torch.stack([exact.value, exact.d("c"), exact.d("a"), exact.d("a", "c")]))


def test_derivatives_through_an_inner_map():
    """x = A s² with a full matrix A: the coordinates bring their own first and second derivatives."""
    grid = make_grid(2, 3)
    matrix = torch.tensor([[0.6, -0.3], [0.2, 0.4]], dtype=torch.float64)
    s = torch.tensor([[0.7, -0.3], [0.2, 0.8]], dtype=torch.float64)
    needed = taylor.Needed((0, 1), (((0, 1),), ((0, 0), (1, 1))))
    squares = taylor.elementwise(taylor.start(s, needed), lambda v: iter((v * v, 2 * v, torch.full_like(v, 2.0))))
    streams = grid.forward_taylor(taylor.linear(squares, matrix)).streams
    exact = Jet(lambda s: grid.interpolate((s * s) @ matrix.T), s, axes=("a", "b"))
    close(streams, torch.stack([exact.value, exact.d("a"), exact.d("b"), exact.d("a", "b"), exact.laplacian()]))


@pytest.mark.parametrize("order", [2, 3])
def test_a_spline_of_a_quadratic_is_that_quadratic(order):
    """Splines reproduce quadratics up to a constant, the variance (order + 1) / 12 of the basis times their bend."""
    grid = quadratic_grid(order)
    x = inside(grid)
    y, z, (a, b) = lattice(x)
    found = grid.partials(x, second_orders(2))[..., 0]
    variance = (order + 1) / 12
    exact = {
        (0, 0): 3 * y**2 - 2 * y * z + z**2 / 2 + y + variance * 3.5,
        (1, 0): (6 * y - 2 * z + 1) * a,
        (0, 1): (z - 2 * y) * b,
        (2, 0): torch.full_like(y, 6 * a * a),
        (1, 1): torch.full_like(y, -2 * a * b),
        (0, 2): torch.full_like(y, b * b),
    }
    close(found, torch.stack([exact[key] for key in second_orders(2)]))


def test_order_one_has_slopes_inside_its_cells_and_no_bend():
    grid = quadratic_grid(1)
    x = inside(grid)
    y, z, (a, _) = lattice(x)
    nodes = grid.table.reshape(10, 9)
    j, k, f = y.long(), z.long(), z - z.floor()
    slope = (nodes[j + 1, k] - nodes[j, k]) * (1 - f) + (nodes[j + 1, k + 1] - nodes[j, k + 1]) * f
    found = grid.partials(x, ((1, 0), (2, 0)))[..., 0]
    close(found, torch.stack([slope * a, torch.zeros_like(slope)]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("dim", "order", "max_entries"), CASES)
def test_the_kernels_and_their_plain_twin(dim, order, max_entries, dtype):
    """Values, and the gradients in the points and in the table."""
    grid = make_grid(dim, order, max_entries).to(dtype)
    x = inside(grid).to(dtype).requires_grad_()
    orders = second_orders(dim)
    fast, slow = grid.partials(x, orders), grid.plain_partials(x, orders)
    scale = torch.stack([part.abs().max().clamp(min=1.0) for part in slow.detach()])[:, None, None]
    pull = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1)).to(dtype) / scale
    tolerance = 1e-10 if dtype == torch.float64 else 2e-3  # float32: a third derivative of 1e5 out of numbers near 1
    torch.testing.assert_close(fast / scale, slow / scale, rtol=tolerance, atol=tolerance)
    for ours, exact in zip(
        torch.autograd.grad((fast * pull).sum(), (x, grid.table)),
        torch.autograd.grad((slow * pull).sum(), (x, grid.table)),
        strict=True,
    ):
        size = exact.abs().max().item()
        torch.testing.assert_close(ours, exact, rtol=tolerance, atol=tolerance * max(1.0, size))


def test_gradients_of_gradients():
    """Of a loss that is not linear in points and table, which passes through the backward of both kernels."""
    grid = make_grid(2, 3, 60)
    x = inside(grid).requires_grad_()
    found = []
    for partials in (grid.partials, grid.plain_partials):
        loss = partials(x, ((0, 0), (1, 1))).square().sum()
        by_x, by_table = torch.autograd.grad(loss, (x, grid.table), create_graph=True)
        mixed = (by_x * by_x).sum() + by_table.square().sum()
        found.append((by_x, by_table, *torch.autograd.grad(mixed, (x, grid.table))))
    for ours, exact in zip(*found, strict=True):
        close(ours, exact)


def test_reverse_mode_reaches_any_order():
    grid = make_grid(2, 3)
    x = inside(grid)
    ours, exact = (Jet(u, x, axes=("a", "b")) for u in (grid, grid.interpolate))
    for axes in ("a", "ab", "aab", "bbb", "aabb"):
        close(ours.d(*axes), exact.d(*axes))
    assert ours.d("a", "a", "a", "a").abs().max() == 0  # a cubic has no fourth derivative


def test_surface_and_outside():
    """On the surface the derivative from inside; outside the features are constant along the axis that is left."""
    grid = quadratic_grid(3)
    edge, beyond = torch.tensor([[1.0, 0.1]]).double(), torch.tensor([[1.2, 0.1]]).double()
    needed = taylor.Needed((0, 1), (((0, 0),), ((1, 1),)))
    y, z, (a, b) = lattice(edge)
    at_edge = grid.forward_taylor(taylor.start(edge, needed)).streams[:, 0, 0]
    outside = grid.forward_taylor(taylor.start(beyond, needed)).streams[:, 0, 0]
    slopes = [(6 * y - 2 * z + 1).item() * a, (z - 2 * y).item() * b]
    close(at_edge[1:], torch.tensor([*slopes, 6 * a * a, b * b], dtype=torch.float64))
    close(outside, at_edge * torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]))


def test_points_that_are_not_numbers_are_refused():
    x = torch.tensor([[0.1, 0.2], [float("nan"), 0.2]], dtype=torch.float64)
    with pytest.raises(InputError, match="NaN"):
        make_grid(2, 3).forward_taylor(taylor.start(x, taylor.Needed((0,))))


@pytest.mark.parametrize("channels", [1, 2])
def test_the_field_in_its_own_units(channels):
    field, x = small_field(channels), places()
    assert field.offers_taylor
    exact = Jet(Interpolated(field), x, axes=("y", "x"))
    close(field(x), exact.value)
    close(jacobian(field, x), exact.jacobian())
    close(laplacian(field, x), exact.laplacian())
    mixed = JetOperator(lambda u: u.d("y", "x") + u.d("y") * u.value)
    close(mixed(field, x), exact.d("y", "x") + exact.d("y") * exact.value)


def test_gradients_of_all_parameters_through_derivatives():
    field, x = small_field(), places()
    found = []
    for u in (field, Interpolated(field)):
        loss = laplacian(u, x).square().mean() + jacobian(u, x).square().sum()
        found.append(torch.autograd.grad(loss, list(field.parameters()), materialize_grads=True))
    for ours, exact in zip(*found, strict=True):
        close(ours, exact)


def test_training_on_a_gradient():
    """∇u = (x, y) of u = x y is met by the gradients of a grid field, though no value is ever given."""
    encoding = SplineGrid(((6, 6), (3, 3)), (1, 1), extent=(1.0, 1.0), seed=3)
    box = Box(y=(-1.0, 1.0), x=(-1.0, 1.0))
    field = NeuralField(box, encoding, GridDecoder(2, 1, width=4, depth=1), out_names=("u",))
    x = 2 * torch.rand(256, 2, generator=torch.Generator().manual_seed(4)) - 1
    target, slope = x.flip(-1)[:, None], JetOperator(lambda u: u.jacobian())
    solver = torch.optim.Adam(field.parameters(), lr=3e-2)
    for _ in range(150):
        solver.zero_grad()
        (slope(field, x) - target).square().mean().backward()
        solver.step()
    assert (slope(field, x) - target).square().mean() < 1e-3 * target.square().mean()


def test_sampled_derivatives_are_exact():
    """A linear decoder on the quadratic grid: gradient and Laplacian on a picture's grid in the user's units."""
    encoding, network = quadratic_grid(3), GridDecoder(1, 1, width=2, depth=1).double()
    with torch.no_grad():
        network.skip.fill_(1.0)
    field = NeuralField(Box(y=(0.0, 10.0), x=(0.0, 8.0)), encoding, network, out_names=("u",))
    bend = sample_grid(field, (11, 7), quantity="laplacian")
    slope = sample_grid(field, (11, 7), quantity="gradient")
    y, x = np.meshgrid((np.arange(11) + 0.5) / 11 * 6 + 1.5, (np.arange(7) + 0.5) / 7 * 5 + 1.5, indexing="ij")
    a, b = 6 / 10, 5 / 8
    np.testing.assert_allclose(bend[..., 0], 6 * a * a + b * b, rtol=1e-10)
    np.testing.assert_allclose(slope[..., 0, 0], (6 * y - 2 * x + 1) * a, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(slope[..., 0, 1], (x - 2 * y) * b, rtol=1e-10, atol=1e-10)
