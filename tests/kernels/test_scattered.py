"""Feature maps at scattered points: values and slopes beside the plain form, and the splines as what they are."""

import numpy as np
import pytest
import torch

from ungrid.kernels import scattered
from ungrid.networks.spline_kernels import SplineKernels, bicubic_at

H, W, FEATURES = 7, 9, 5


def decoder(features: int = FEATURES) -> SplineKernels:
    found = SplineKernels(features, hidden=6, splines=7, seed=1)
    generator = torch.Generator().manual_seed(2)
    for layer in (found.last, found.linear):
        layer.weight.data.normal_(generator=generator)
    found.changes.data.normal_(0, 0.1, generator=generator)
    return found.requires_grad_(False)


def given(count: int = 300) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Maps, pictures, and points inside, on pixels and far beyond the edge; more than one block of them."""
    generator = torch.Generator().manual_seed(3)
    maps, pictures = (torch.randn(2, n, H, W, generator=generator) for n in (FEATURES, 3))
    points = torch.rand(2, count, 2, dtype=torch.float64, generator=generator) * torch.tensor([H + 6.0, W + 6.0]) - 3
    points[:, :20] = points[:, :20].round()
    return maps, pictures, points


def test_values_are_those_of_the_plain_form() -> None:
    network, (maps, pictures, points) = decoder(), given()
    scales = torch.tensor([[1.7, 2.4]])
    torch.testing.assert_close(
        network.led(maps, pictures, points, scales),
        network.at(maps, pictures, points, scales).float(),
        atol=2e-5,
        rtol=1e-5,
    )


def test_slopes_are_those_of_the_plain_form() -> None:
    network, (maps, pictures, points) = decoder(), given()
    scales, weights = torch.tensor([[3.0, 3.0]]), torch.randn(2, 300, 3, generator=torch.Generator().manual_seed(4))
    found = []
    for form in (network.led, network.at):
        position = points.clone().requires_grad_()
        (slopes,) = torch.autograd.grad((form(maps, pictures, position, scales) * weights).sum(), position)
        found.append(slopes)
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-4)


def test_what_is_learned_takes_the_plain_form() -> None:
    network, (maps, pictures, points) = decoder().requires_grad_(), given(20)
    network.led(maps, pictures, points, torch.ones(1, 2)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("axis", [0, 1])
def test_slopes_of_the_bicubic_interpolation_are_differences_of_it(axis: int) -> None:
    _, pictures, points = given(200)
    step = torch.zeros(2, dtype=torch.float64)
    step[axis] = 1e-6
    last = pictures.permute(0, 2, 3, 1).contiguous().numpy()
    out = np.empty((3, 2, 180, 3), dtype=np.float32)
    inner = points[:, 20:].contiguous()  # off the pixels, where the second derivative jumps
    scattered.bicubic_points(last, inner.numpy(), *out)
    np.testing.assert_allclose(out[0], bicubic_at(pictures.double(), inner), atol=1e-5)
    beside = [bicubic_at(pictures.double(), inner + sign * step) for sign in (1, -1)]
    np.testing.assert_allclose(out[1 + axis], (beside[0] - beside[1]) / 2e-6, atol=1e-4)


def test_constant_coefficients_are_a_constant_kernel() -> None:
    """Uniform cubic B-splines sum to one wherever four of them are given."""
    coefficients = np.zeros((17, 17, 1), dtype=np.float32)
    coefficients[:] = 1
    maps, points = np.ones((1, H, W, 1), dtype=np.float32), given(50)[2][:1].contiguous().numpy()
    out = np.empty((1, 50, 1), dtype=np.float32)
    scattered.spline_sums(maps, coefficients, points, out)
    np.testing.assert_allclose(out, 4, rtol=1e-5)  # one for each of the four pixels
