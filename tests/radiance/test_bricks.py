"""The fused kernels against their twin, against mathematics, and without their short cuts."""

import numpy as np
import pytest
import torch

from tests.radiance.conftest import CUBE, extent
from ungrid.fields import BrickField
from ungrid.fields.radiance import BRICK, EMPTY, spherical_harmonics
from ungrid.kernels import bricks as kernels
from ungrid.kernels.blas import single_threaded_blas
from ungrid.radiance.lattice import STEP, Lattice, new_field, refined
from ungrid.radiance.reconstruct import Moments
from ungrid.radiance.twin import render_rays

Rays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def everything(lattice: Lattice) -> tuple[kernels.Bricks, kernels.March]:
    """The kernels' view of a lattice without any short cut: all cells are looked at, all shares count."""
    nowhere = np.float32(-1e9)
    how = lattice.how._replace(floor=nowhere, least=np.float32(0), stop=np.float32(0))
    mask = np.full_like(lattice.mask, 2**64 - 1)
    return lattice.bricks._replace(mask=mask, far=np.zeros_like(lattice.far)), how


ALL = np.uint64(2**64 - 1)  # nodes of a brick


def rendered(
    field: BrickField, rays: Rays, bricks: kernels.Bricks, how: kernels.March
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(rays[0])
    color, opacity = np.empty((count, 3), np.float32), np.empty(count, np.float32)
    middle = np.empty((count, 3), np.float32)
    background = np.array(field.background, np.float32)
    with single_threaded_blas():
        kernels.render(*rays[:3], background, bricks, how, Lattice(field).decoder, color, opacity, middle)
    return color, opacity, middle


def test_the_kernel_renders_what_its_twin_does(field: BrickField, rays: Rays) -> None:
    color, opacity, _ = rendered(field, rays, *everything(Lattice(field)))
    centred = np.full_like(rays[3], 0.5)
    tensors = [torch.from_numpy(part).double() for part in (*rays[:3], centred)]
    with torch.no_grad():
        twin, seen = render_rays(field.double(), *tensors)
    assert 0.2 < float(seen.mean()) < 0.9
    np.testing.assert_allclose(color, twin, atol=1e-4)  # log(1 + e) in single precision
    np.testing.assert_allclose(opacity, seen, atol=1e-4)


def gradients(
    field: BrickField, rays: Rays, target: np.ndarray, threads: int
) -> tuple[float, np.ndarray, list[np.ndarray]]:
    lattice = Lattice(field)
    moments = Moments(lattice, threads)
    decoder = kernels.Decoder(*(np.zeros((threads, *w.shape), np.float32) for w in lattice.decoder))
    behind = np.tile(np.array(field.background, np.float32), (len(target), 1))
    with single_threaded_blas():
        losses = kernels.square_error(
            *rays, target, behind, *everything(lattice), lattice.decoder, moments.grads, decoder, moments.touched,
            moments.seen,
        )  # fmt: skip
    return float(losses.sum()), moments.grads.sum(axis=0), [part.sum(axis=0) for part in decoder]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gradients_are_those_of_the_twin(field: BrickField, rays: Rays, threads: int) -> None:
    target = np.random.default_rng(3).random((len(rays[0]), 3), dtype=np.float32)
    loss, nodes, decoder = gradients(field, rays, target, threads)
    precise = field.double()
    color, _ = render_rays(precise, *(torch.from_numpy(part).double() for part in rays))
    error = (color - torch.from_numpy(target)).square().sum()
    error.backward()
    assert loss == pytest.approx(float(error.detach()), rel=1e-5)
    exact = precise.nodes.grad[BRICK**3 :] / 2  # the empty brick never changes
    scale = float(exact.abs().max())
    np.testing.assert_allclose(nodes[BRICK**3 :], exact, atol=1e-4 * scale)  # places are in single precision
    for found, weights in zip(decoder, (precise.first, precise.second, precise.last), strict=True):
        np.testing.assert_allclose(found, weights.grad / 2, atol=1e-4 * float(weights.grad.abs().max()))


def test_the_twins_gradients_are_those_of_finite_differences(field: BrickField, rays: Rays) -> None:
    few = [torch.from_numpy(part[:4]).double() for part in rays]
    precise = field.double()

    def loss(nodes: torch.Tensor) -> torch.Tensor:
        color = torch.func.functional_call(_Rendering(precise), {"field.nodes": nodes}, tuple(few))
        return color.square().sum()

    nodes = precise.nodes.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss, (nodes,), fast_mode=True, atol=1e-5)


class _Rendering(torch.nn.Module):
    def __init__(self, field: BrickField) -> None:
        super().__init__()
        self.field = field

    def forward(self, *rays: torch.Tensor) -> torch.Tensor:
        return render_rays(self.field, *rays)[0]


def test_shares_and_the_rest_are_one(field: BrickField, rays: Rays) -> None:
    """With white everywhere and nothing behind, a ray's colour is the sum of its shares."""
    with torch.no_grad():
        field.nodes[:, 1:4] = 1.0
        field.last.zero_()
    field.background = (0.0, 0.0, 0.0)
    color, opacity, _ = rendered(field, rays, *everything(Lattice(field)))
    assert 0.2 < opacity.mean() < 0.9
    np.testing.assert_allclose(color, np.repeat(opacity[:, None], 3, axis=1), atol=1e-6)


@pytest.mark.parametrize("raw", [-6.0, -3.0, 0.0, 4.0])
def test_a_constant_density_is_integrated_exactly(raw: float) -> None:
    """1 - exp(-density length), whatever the step (Max 1995, equation 6)."""
    field = new_field(extent(), 16, (0.0, 0.0, 1.0), 0)
    with torch.no_grad():
        field.nodes[BRICK**3 :, 0] = raw
        field.nodes[:, 1:4] = torch.tensor([0.9, 0.5, 0.1])
    start, along = np.array([[0.0, 7.2, 6.1]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    bricks, how = everything(Lattice(field))
    color, opacity, middle = rendered(field, (start, along, along, np.zeros(1, np.float32)), bricks, how)
    length = STEP * int((15 - 0.001) / STEP)
    density = field.depth_per_node * np.log1p(np.exp(raw))
    exact = -np.expm1(-density * length)
    assert opacity[0] == pytest.approx(exact, rel=1e-4)
    np.testing.assert_allclose(
        color[0], exact * np.array([0.9, 0.5, 0.1]) + (1 - exact) * np.array([0, 0, 1]), rtol=1e-4
    )
    np.testing.assert_allclose(middle[0, 1:] / opacity[0], [7.2, 6.1], rtol=1e-4)


def test_an_empty_scene_is_its_background_exactly(rays: Rays) -> None:
    field = new_field(extent(), 12, (0.3, 0.6, 0.1), 0)
    with torch.no_grad():
        field.nodes[:, 0] = EMPTY
        field.last.fill_(1.0)
    lattice = Lattice(field)
    color, opacity, _ = rendered(field, rays, lattice.bricks, lattice.how)
    assert not opacity.any()
    assert (color == np.array(field.background, np.float32)).all()


def test_what_is_passed_over_would_not_have_counted(field: BrickField, rays: Rays) -> None:
    """The masks and distances change no bit."""
    lattice = Lattice(field)
    assert (lattice.far > 0).any()
    all_cells = lattice.bricks._replace(mask=np.full_like(lattice.mask, 2**64 - 1), far=np.zeros_like(lattice.far))
    fast = rendered(field, rays, lattice.bricks, lattice.how)
    slow = rendered(field, rays, all_cells, lattice.how)
    # a jump lands on the same step, whose t is the same number
    for quick, plain in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(quick, plain)


def test_adam_is_that_of_torch(field: BrickField) -> None:
    lattice = Lattice(field)
    moments = Moments(lattice, 2)
    twin = torch.nn.Parameter(torch.from_numpy(lattice.nodes.copy()))
    optimiser = torch.optim.Adam([twin], lr=0.05, betas=(0.9, 0.99), eps=1e-12)
    random = np.random.default_rng(0)
    for _ in range(5):
        moments.grads[:] = random.standard_normal(moments.grads.shape)
        moments.touched[:] = ALL
        twin.grad = torch.from_numpy(moments.grads.sum(axis=0))
        optimiser.step()
        moments.adam(lattice, 0.05, 0.05)
        assert not moments.grads.any()
        assert not moments.touched.any()
    np.testing.assert_array_equal(lattice.cells, Lattice(field).cells)  # they follow the nodes
    np.testing.assert_allclose(lattice.nodes[BRICK**3 :], twin.detach()[BRICK**3 :], atol=1e-5)
    assert (lattice.nodes[: BRICK**3, 0] == EMPTY).all()


def test_smoothness_and_sparsity_have_the_gradients_of_what_they_say(field: BrickField) -> None:
    lattice = Lattice(field)
    moments = Moments(lattice, 1)
    moments.touched[:] = ALL
    before = moments.grads.copy()
    kernels.add_smoothness(
        lattice.index,
        lattice.places,
        lattice.nodes,
        moments.grads,
        moments.touched,
        np.array([0.1] + [0.3] * (kernels.WIDTH - 1), np.float32),
        np.float32(0.2),
    )
    found = (moments.grads - before)[0]
    numbers = lattice.index.astype(int)
    local = np.arange(BRICK**3).reshape((BRICK,) * 3)
    rows = (numbers[..., None, None, None] * BRICK**3 + local).transpose(0, 3, 1, 4, 2, 5).reshape(field.shape)
    nodes = torch.from_numpy(lattice.nodes.copy()).requires_grad_()
    loss = torch.zeros(())
    for axis in range(3):
        low, high = np.delete(rows, -1, axis).ravel(), np.delete(rows, 0, axis).ravel()
        both = (low >= BRICK**3) & (high >= BRICK**3)
        apart = (nodes[low[both]] - nodes[high[both]]).square().sum(dim=0)
        loss = loss + 0.05 * apart[0] + 0.15 * apart[1:].sum()
    (loss + 0.2 * nodes[:, 0].sum()).backward()
    np.testing.assert_allclose(found[BRICK**3 :], nodes.grad[BRICK**3 :], atol=2e-5)


def test_a_finer_lattice_holds_the_same_function() -> None:
    """At the coarse nodes that lie in kept bricks; a dense lattice keeps them all."""
    coarse = new_field(extent(), 12, (1.0, 1.0, 1.0), 0)
    with torch.no_grad():
        coarse.nodes[BRICK**3 :].normal_(0, 1, generator=torch.Generator().manual_seed(1))
        coarse.nodes[BRICK**3 :, 0] += 2.0
    lattice = Lattice(coarse)
    fine = refined(lattice, extent(), 24, np.zeros(len(lattice.places), np.float32))
    assert fine.kept == 6**3
    step = 2 / 23  # the nodes of the fine lattice, in the world
    points = torch.from_numpy(-1 + step * np.random.default_rng(0).integers(0, 24, (100, 3))).float()
    exact = coarse.interpolated(coarse.to_lattice(points).clamp(0, 11))
    torch.testing.assert_close(fine.interpolated(fine.to_lattice(points).clamp(0, 23)), exact, atol=2e-3, rtol=1e-3)


def test_thin_parts_are_not_refined() -> None:
    coarse = new_field(extent(), 16, (1.0, 1.0, 1.0), 0)
    with torch.no_grad():
        coarse.nodes[BRICK**3 :, 0] = EMPTY
        coarse.nodes[BRICK**3, 0] = 5.0  # the node at the lower corner
    lattice = Lattice(coarse)
    fine = refined(lattice, extent(), 32, np.ones(len(lattice.places), np.float32))
    assert 1 <= fine.kept <= 8
    assert fine.places.max() <= 1


def test_harmonics_are_those_of_the_twin_and_orthonormal() -> None:
    """Over the sphere, by Gauss-Legendre in z and equal angles around."""
    z, weights = np.polynomial.legendre.leggauss(8)
    angle = 2 * np.pi * np.arange(16) / 16
    flat = np.sqrt(1 - z**2)
    points = np.stack(
        [np.outer(flat, np.cos(angle)), np.outer(flat, np.sin(angle)), np.repeat(z[:, None], 16, axis=1)], axis=-1
    ).reshape(-1, 3)
    values = spherical_harmonics(torch.from_numpy(points)).numpy()
    quadrature = np.repeat(weights, 16) * 2 * np.pi / 16
    np.testing.assert_allclose(values.T * quadrature @ values, np.eye(16), atol=1e-12)
    out = np.empty(16, np.float32)
    for point, row in zip(points[::7].astype(np.float32), values[::7], strict=True):
        kernels.spherical_harmonics(*point, out)
        np.testing.assert_allclose(out, row, atol=1e-6)


def test_the_field_is_what_the_kernels_march_through(field: BrickField) -> None:
    """A density in the world's units: the lattice's, over the length of its spacing."""
    points = torch.from_numpy(np.random.default_rng(0).uniform(-0.9, 0.9, (50, 3)))
    spacing = 2 / 11
    raw = field.interpolated(field.to_lattice(points.float()))[:, :1]
    expected = torch.nn.functional.softplus(raw) * field.depth_per_node / spacing
    torch.testing.assert_close(field(points), expected)
    assert CUBE.contains(points.numpy()).all()
