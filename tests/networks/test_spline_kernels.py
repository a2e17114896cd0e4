"""The light network: its splines, its two forms against each other, how smooth it is, and what it sees."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from ungrid.networks import LightNetwork, SplineKernels
from ungrid.networks.spline_kernels import bicubic_at, bicubic_on_lattice, cubic_splines, cubic_taps, keys_weights


def trained(seed: int = 0) -> LightNetwork:
    """A small network whose parts all matter."""
    network = LightNetwork(blocks=2, width=6, features=5, hidden=7, splines=5, seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.decoder.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).double()
    return network


def picture(b: int, h: int, w: int) -> torch.Tensor:
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("count", [1, 4, 9])
def test_splines_are_those_of_scipy(count: int) -> None:
    r = np.linspace(-0.999, 0.999, 41)
    knots = -1 + np.arange(count + 4) * 2 / (count + 3)
    wanted = np.stack([np.nan_to_num(BSpline.basis_element(knots[m : m + 5], False)(r)) for m in range(count)], axis=-1)
    np.testing.assert_allclose(cubic_splines(torch.from_numpy(r), count), wanted, atol=1e-14)


def test_taps_are_the_splines_of_an_interval() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    taps = cubic_taps(t)
    torch.testing.assert_close(taps.sum(-1), torch.ones(11).double())
    wanted = cubic_splines(-1 + (3 + t) * 2 / 10, 7)  # the fourth interval of seven splines
    torch.testing.assert_close(taps, wanted[:, :4])


def test_bicubic_interpolation_is_exact_for_parabolas() -> None:
    """Keys' kernel reproduces second-degree polynomials (Keys 1981, section III)."""
    y, x = torch.meshgrid(torch.arange(9).double(), torch.arange(8).double(), indexing="ij")
    image = (1 + 2 * y - x + 0.3 * y * y - 0.2 * x * x + 0.5 * x * y).expand(1, 1, -1, -1)
    rows, columns = torch.tensor([2.0, 3.3, 5.9]).double(), torch.tensor([1.5, 4.0]).double()
    wanted = (
        1 + 2 * rows[:, None] - columns + 0.3 * rows[:, None] ** 2 - 0.2 * columns**2 + 0.5 * rows[:, None] * columns
    )
    torch.testing.assert_close(bicubic_on_lattice(image, rows, columns)[0, 0], wanted)
    points = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(1, -1, 2)
    torch.testing.assert_close(bicubic_at(image, points)[0, :, 0], wanted.reshape(-1))
    assert torch.equal(keys_weights(torch.zeros(1)), torch.tensor([[0.0, 1.0, 0.0, 0.0]]))


def test_at_the_start_it_is_bicubic_interpolation() -> None:
    network, image = LightNetwork(blocks=1, width=6, features=5), picture(1, 6, 7).float()
    rows = np.array([0.25, 3.5])
    found = network(image, rows, rows, torch.tensor([4.0, 4.0]))
    torch.testing.assert_close(found, bicubic_on_lattice(image, *[torch.from_numpy(rows)] * 2))


@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 3.0), (3.3, 1.7), (9.0, 30.0)])
def test_points_and_lattices_agree(scale: tuple[float, float]) -> None:
    network, image = trained(), picture(2, 6, 7)
    rows, columns = ((np.arange(int(n * s)) + 0.5) / s - 0.5 for n, s in zip((6, 7), scale, strict=True))
    points = (
        torch.from_numpy(np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)).reshape(1, -1, 2).expand(2, -1, -1)
    )
    latents = network.latents(image)
    lattice = network.on_lattice(latents, image, rows, columns, torch.tensor(scale).double())
    found = network.at(latents, image, points, torch.tensor([scale]).double())
    torch.testing.assert_close(found, lattice.flatten(2).transpose(1, 2))


def test_each_picture_may_have_its_own_scale() -> None:
    network, image = trained(), picture(2, 6, 7)
    points = 5 * torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(0)).double()
    scales = torch.tensor([[2.0, 2.0], [3.0, 1.5]]).double()
    latents = network.latents(image)
    together = network.at(latents, image, points, scales)
    for k in range(2):
        alone = network.at(latents[[k]], image[[k]], points[[k]], scales[[k]])
        torch.testing.assert_close(together[[k]], alone)


def test_twice_differentiable_across_pixels() -> None:
    """Where the perceptron is left out: value, slope and curvature meet at the borders between four-pixel neighbourhoods."""
    network, image = trained(), picture(1, 6, 7)
    network.decoder.last.weight.data.zero_()
    latents, scale = network.latents(image).detach(), torch.tensor([[3.0, 3.0]]).double()

    def value(p: torch.Tensor) -> torch.Tensor:
        correction = network.at(latents, image, p, scale) - bicubic_at(image, p)
        return correction.sum()

    eps = 1e-7
    ends = [torch.tensor([[[3.0 + d, 2.4]]]).double() for d in (-eps, eps)]
    slopes = [torch.autograd.functional.jacobian(value, p) for p in ends]
    curves = [torch.autograd.functional.hessian(value, p).reshape(2, 2) for p in ends]
    torch.testing.assert_close(*[value(p) for p in ends], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(*curves, atol=1e-3, rtol=1e-3)


def test_gradients_of_places_are_differences() -> None:
    network, image = trained(), picture(1, 6, 7)
    latents = network.latents(image).detach()
    points = torch.tensor([[[1.3, 2.6], [4.2, 0.7]]]).double().requires_grad_()
    scale = torch.tensor([[2.0, 2.5]]).double()
    assert torch.autograd.gradcheck(lambda p: network.at(latents, image, p, scale), (points,))


def test_gradients_of_the_weights_are_differences() -> None:
    network, image = trained(), picture(1, 3, 4)
    names = [name for name, _ in network.named_parameters()]
    rows, columns = (np.arange(5) + 0.5) * 3 / 5 - 0.5, (np.arange(6) + 0.5) * 4 / 6 - 0.5
    weights = [weight.detach().clone().requires_grad_() for weight in network.parameters()]

    def call(*values: torch.Tensor) -> torch.Tensor:
        given = (image, rows, columns, torch.tensor([5 / 3, 1.5]).double())
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), given)

    assert torch.autograd.gradcheck(call, weights, fast_mode=True)


def test_what_a_latent_sees() -> None:
    network = trained()
    image = picture(1, 25, 25).requires_grad_()
    network.latents(image)[..., 12, 12].sum().backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(dim=0).nonzero()[:, 0]
    assert (int(seen.min()), int(seen.max())) == (12 - network.halo, 12 + network.halo)


def test_beyond_the_trained_scales_the_kernels_stay() -> None:
    decoder = SplineKernels(3)
    decoder.changes.data.normal_(generator=torch.Generator().manual_seed(0))
    same = decoder.coefficients(torch.tensor([4.0, 4.0])), decoder.coefficients(torch.tensor([30.0, 5.0]))
    assert torch.equal(*same)
    assert not torch.equal(same[0], decoder.coefficients(torch.tensor([2.0, 2.0])))
