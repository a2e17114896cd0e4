"""The operators of vector calculus against closed forms and the identities between them."""

import pytest
import torch
from torch import Tensor

from ungrid import operators
from ungrid._base.errors import InputError

BATCHES = [(), (5,), (2, 3)]


def points(*batch: int, d: int) -> Tensor:
    return torch.rand(*batch, d, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def swirl(x: Tensor) -> Tensor:
    """(y z, x² z, sin x cos y)."""
    a, b, c = x.unbind(-1)
    return torch.stack([b * c, a**2 * c, torch.sin(a) * torch.cos(b)], dim=-1)


def potential(x: Tensor) -> Tensor:
    """The product of exp(x_0) and the sines of the other coordinates."""
    return torch.exp(x[..., :1]) * torch.sin(x[..., 1:]).prod(dim=-1, keepdim=True)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("batch", BATCHES)
class TestClosedForms:
    def test_jacobian(self, batch: tuple[int, ...]) -> None:
        x = points(*batch, d=3)
        a, b, c = x.unbind(-1)
        zero = torch.zeros_like(a)
        rows = [
            torch.stack([zero, c, b], -1),
            torch.stack([2 * a * c, zero, a**2], -1),
            torch.stack([torch.cos(a) * torch.cos(b), -torch.sin(a) * torch.sin(b), zero], -1),
        ]
        close(operators.jacobian(swirl, x), torch.stack(rows, dim=-2))

    def test_gradient_and_normal_derivative(self, batch: tuple[int, ...]) -> None:
        x = points(*batch, d=3)
        a, b, c = x.unbind(-1)
        gradient = torch.stack(
            [torch.sin(b) * torch.sin(c), torch.cos(b) * torch.sin(c), torch.sin(b) * torch.cos(c)], dim=-1
        ) * torch.exp(a).unsqueeze(-1)
        close(operators.gradient(potential, x), gradient)
        normal = torch.nn.functional.normalize(points(*batch, d=3) + 2, dim=-1)
        close(operators.normal_derivative(potential, x, normal), (gradient * normal).sum(-1, keepdim=True))
        assert operators.normal_derivative(swirl, x, normal).shape == (*batch, 3)

    def test_laplacian_and_hessian(self, batch: tuple[int, ...]) -> None:
        x = points(*batch, d=3)
        close(operators.laplacian(potential, x), -potential(x))  # +1 from exp, -1 from each sine
        hessian = operators.hessian(potential, x)
        assert hessian.shape == (*batch, 1, 3, 3)
        close(hessian.diagonal(dim1=-2, dim2=-1).sum(-1), operators.laplacian(potential, x))
        a, b, c = x.unbind(-1)
        close(hessian[..., 0, 0, 1], torch.exp(a) * torch.cos(b) * torch.sin(c))
        close(hessian[..., 0, 1, 2], torch.exp(a) * torch.cos(b) * torch.cos(c))
        close(hessian, hessian.mT)

    def test_divergence(self, batch: tuple[int, ...]) -> None:
        x = points(*batch, d=2)
        got = operators.divergence(lambda p: torch.stack([p[..., 0] ** 2, p[..., 0] * p[..., 1]], -1), x)
        close(got, 3 * x[..., :1])

    def test_curl(self, batch: tuple[int, ...]) -> None:
        x = points(*batch, d=3)
        a, b, c = x.unbind(-1)
        expected = [-torch.sin(a) * torch.sin(b) - a**2, b - torch.cos(a) * torch.cos(b), 2 * a * c - c]
        close(operators.curl(swirl, x), torch.stack(expected, -1))
        flat = points(*batch, d=2)
        rotation = operators.curl(lambda p: torch.stack([-p[..., 1], p[..., 0]], -1), flat)
        close(rotation, torch.full((*batch, 1), 2.0, dtype=torch.float64))


class TestIdentities:
    def test_curl_of_a_gradient_vanishes(self) -> None:
        x = points(6, d=3)
        close(operators.curl(lambda p: operators.gradient(potential, p), x), torch.zeros_like(x))

    def test_divergence_of_a_curl_vanishes(self) -> None:
        x = points(6, d=3)
        close(operators.divergence(lambda p: operators.curl(swirl, p), x), torch.zeros_like(x[:, :1]))

    def test_divergence_of_a_gradient_is_the_laplacian(self) -> None:
        x = points(6, d=3)
        close(operators.divergence(lambda p: operators.gradient(potential, p), x), operators.laplacian(potential, x))


class TestErrors:
    def test_wrong_number_of_components(self) -> None:
        with pytest.raises(InputError):
            operators.divergence(potential, points(4, d=3))
        with pytest.raises(InputError):
            operators.gradient(swirl, points(4, d=3))
        with pytest.raises(InputError, match="2 or 3"):
            operators.curl(lambda p: p, points(4, d=4))

    def test_one_normal_for_all_points(self) -> None:
        with pytest.raises(InputError, match="one for each point"):
            operators.normal_derivative(potential, points(4, d=3), torch.ones(3, dtype=torch.float64))
