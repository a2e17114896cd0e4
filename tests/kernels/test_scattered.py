"""Feature maps at scattered points: values and slopes beside the plain form, and the splines as what they are."""

import numpy as np
import pytest
import torch
from numba import get_num_threads, set_num_threads

from ungrid.kernels import scattered
from ungrid.networks import spline_kernels
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


ROWS, COLUMNS = np.linspace(-1.2, H + 0.3, 11), np.linspace(-0.7, W + 0.6, 13)


def way() -> torch.Tensor:
    """Ways that lead far beyond the edge too."""
    return 4 * torch.randn(2, 2, H, W, generator=torch.Generator().manual_seed(5))


def plain(
    network: SplineKernels, maps: torch.Tensor, pictures: torch.Tensor, along: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The colours where the ways lead, by `at`."""
    places = (
        torch.from_numpy(np.stack(np.meshgrid(ROWS, COLUMNS, indexing="ij"), axis=-1)).flatten(0, 1).expand(2, -1, 2)
    )
    position = places + bicubic_at(along, places).flip(2)
    return network.at(maps, pictures, position, scale[None]).transpose(1, 2).unflatten(2, (len(ROWS), len(COLUMNS)))


def test_values_are_those_of_the_plain_form() -> None:
    network, (maps, pictures, _), scale = decoder(), given(), torch.tensor([1.7, 2.4])
    along = way().requires_grad_()
    found = network.led(maps, pictures, along, ROWS, COLUMNS, scale)
    torch.testing.assert_close(found, plain(network, maps, pictures, along, scale).float(), atol=1e-4, rtol=1e-4)


def test_the_table_of_kernels_is_as_exact_as_linear_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the step, a quarter of the error; at the step in use, far below a step of 8 bits of such colours."""
    network, (maps, pictures, _), scale = decoder(), given(), torch.tensor([1.7, 2.4])
    exact, errors = plain(network, maps, pictures, way(), scale), []
    for steps in (16, 32, 64):
        monkeypatch.setattr(spline_kernels, "STEPS", steps)
        found = network.led(maps, pictures, way(), ROWS, COLUMNS, scale)
        errors.append(float((found - exact).square().mean().sqrt()))
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5
    assert errors[2] < float((exact.amax() - exact.amin()) / 255 / 10)


def test_slopes_are_those_of_the_plain_form() -> None:
    network, (maps, pictures, _), scale = decoder(), given(), torch.tensor([3.0, 3.0])
    weights = torch.randn(2, 3, len(ROWS), len(COLUMNS), generator=torch.Generator().manual_seed(4))
    found = []
    for form in (lambda along: network.led(maps, pictures, along, ROWS, COLUMNS, scale),
                 lambda along: plain(network, maps, pictures, along, scale)):  # fmt: skip
        along = way().requires_grad_()
        found.append(torch.autograd.grad((form(along) * weights).sum(), along)[0])
    torch.testing.assert_close(*found, atol=1e-3, rtol=1e-3)


def test_what_is_learned_takes_the_plain_form() -> None:
    network, (maps, pictures, _) = decoder().requires_grad_(), given(20)
    network.led(maps, pictures, way(), ROWS, COLUMNS, torch.ones(2)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_equal_bits_with_one_and_two_threads() -> None:
    network, (maps, pictures, _), found = decoder(), given(), list[torch.Tensor]()
    threads = get_num_threads()
    for count in (1, threads):
        set_num_threads(count)
        found.append(network.led(maps, pictures, way(), ROWS, COLUMNS, torch.tensor([2.0, 2.0])))
    torch.testing.assert_close(*found, atol=0, rtol=0)


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
