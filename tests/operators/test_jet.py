"""Jets against closed forms, against each other and against finite differences."""

import math
from itertools import combinations_with_replacement

import pytest
import torch
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.taylor import Taylor
from ungrid.domains import Axis, Box, Domain
from ungrid.operators import Jet


def points(*batch: int, d: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(*batch, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def wave(x: Tensor) -> Tensor:
    """sin(2x) cos(3y)."""
    return torch.sin(2 * x[..., :1]) * torch.cos(3 * x[..., 1:2])


def wave_derivative(x: Tensor, nx: int, ny: int) -> Tensor:
    """The (nx, ny)-th partial derivative: each one shifts the phase by a quarter turn."""
    quarter = math.pi / 2
    return 2**nx * torch.sin(2 * x[..., :1] + nx * quarter) * 3**ny * torch.cos(3 * x[..., 1:2] + ny * quarter)


class TanhField(nn.Module):
    """Two tanh layers on named axes, with a forward Taylor pass by Faà di Bruno's formula of order 2."""

    def __init__(self, axes: tuple[str, ...], c: int, taylor_order: int = 2) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.domain: Domain = Box(*(Axis(name, -1, 1) for name in axes))
        self.taylor_order = taylor_order
        self.passes: list[int] = []
        self.inner = nn.Parameter(torch.randn(len(axes), 8, dtype=torch.float64, generator=draw))
        self.outer = nn.Parameter(torch.randn(8, c, dtype=torch.float64, generator=draw))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.inner) @ self.outer

    def forward_taylor(self, x: Tensor, order: int) -> Taylor:
        self.passes.append(order)
        assert x.ndim == 2
        t = torch.tanh(x @ self.inner)
        slope = 1 - t**2
        bend = -2 * t * slope
        first = torch.stack([slope * w for w in self.inner]) @ self.outer
        pairs = combinations_with_replacement(self.inner, 2)
        second = torch.stack([bend * w * v for w, v in pairs]) @ self.outer
        return t @ self.outer, first, None if order == 1 else second


class TestClosedForms:
    @pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
    def test_products_of_sines_to_order_four(self, batch: tuple[int, ...]) -> None:
        x = points(*batch)
        jet = Jet(wave, x, axes=("x", "y"))
        for order in range(1, 5):
            for names in combinations_with_replacement("xy", order):
                expected = wave_derivative(x, names.count("x"), names.count("y"))
                assert jet.d(*names).shape == (*batch, 1)
                torch.testing.assert_close(jet.d(*names), expected, rtol=0, atol=1e-10)

    def test_polynomial_with_two_components(self) -> None:
        x = points(7)
        a, b = x.unbind(-1)
        jet = Jet(lambda p: torch.stack([p[..., 0] ** 3 * p[..., 1], p[..., 1] ** 2], dim=-1), x, axes=("a", "b"))
        zero = torch.zeros_like(a)
        expected = {
            (): (a**3 * b, b**2),
            ("a",): (3 * a**2 * b, zero),
            ("b",): (a**3, 2 * b),
            ("a", "b"): (3 * a**2, zero),
            ("b", "b"): (zero, zero + 2),
            ("a", "a", "b"): (6 * a, zero),
            ("b", "b", "b"): (zero, zero),
            ("a", "a", "a", "b"): (zero + 6, zero),
            ("a", "a", "a", "a"): (zero, zero),
        }
        for names, columns in expected.items():
            got = jet.d(*names) if names else jet.value
            torch.testing.assert_close(got, torch.stack(columns, dim=-1), rtol=0, atol=1e-10)

    def test_the_order_of_the_names_does_not_matter(self) -> None:
        jet = Jet(wave, points(4), axes=("x", "y"))
        assert torch.equal(jet.d("x", "y"), jet.d("y", "x"))

    def test_a_constant_has_no_slope(self) -> None:
        jet = Jet(lambda p: torch.ones_like(p[..., :1]), points(3), axes=("x", "y"))
        assert torch.equal(jet.gradient(), torch.zeros(3, 2, dtype=torch.float64))
        assert torch.equal(jet.laplacian(), torch.zeros(3, 1, dtype=torch.float64))

    def test_heat_equation_residual_vanishes_on_its_solution(self) -> None:
        field = TanhField(("t", "x", "y"), 1)
        x = points(6, d=3)
        jet = Jet(
            lambda p: torch.exp(-13 * p[..., :1]) * torch.sin(2 * p[..., 1:2]) * torch.sin(3 * p[..., 2:]),
            x,
            axes=tuple(axis.name for axis in field.domain.axes),
        )
        torch.testing.assert_close(jet.d("t"), jet.laplacian(), rtol=1e-10, atol=1e-10)  # 2² + 3² = 13
        torch.testing.assert_close(jet.laplacian("t"), 169 * jet.value)
        torch.testing.assert_close(jet.gradient(), torch.cat([jet.d("x"), jet.d("y")], dim=-1))
        torch.testing.assert_close(jet.gradient("y", "t"), torch.cat([jet.d("y"), jet.d("t")], dim=-1))


class TestTaylorPass:
    @pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
    @pytest.mark.parametrize("c", [1, 3])
    def test_agrees_with_reverse_mode_to_order_four(self, batch: tuple[int, ...], c: int) -> None:
        field, x = TanhField(("t", "x", "y"), c), points(*batch, d=3)
        forward = Jet(field, x)
        reverse = Jet(field.forward, x, axes=("t", "x", "y"))
        torch.testing.assert_close(forward.value, reverse.value)
        for order in range(1, 5):
            for names in combinations_with_replacement("txy", order):
                torch.testing.assert_close(forward.d(*names), reverse.d(*names), rtol=1e-10, atol=1e-10)
        assert field.passes == [2, 2, 2]  # one for all of orders 0 to 2, one more for order 3, one more for order 4

    def test_one_pass_of_the_expected_order(self) -> None:
        field = TanhField(("x", "y"), 1)
        jet = Jet(field, points(4), order=1)
        jet.gradient(), jet.value, jet.d("x")
        assert field.passes == [1]
        jet = Jet(field, points(4), order=4)
        jet.value, jet.laplacian(), jet.d("x", "x", "y"), jet.d("x", "x", "y", "y")
        assert field.passes == [1, 2]

    def test_parameters_get_the_same_gradients(self) -> None:
        field, x = TanhField(("x", "y"), 2), points(5)
        weights = tuple(field.parameters())

        def residual(jet: Jet) -> Tensor:
            return (jet.d("x", "y") + jet.value * jet.d("x") - jet.laplacian()).square().mean()

        forward = torch.autograd.grad(residual(Jet(field, x)), weights)
        reverse = torch.autograd.grad(residual(Jet(field.forward, x, axes=("x", "y"))), weights)
        for one, other in zip(forward, reverse, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)

    def test_a_field_whose_parts_do_not_offer_it_uses_reverse_mode(self) -> None:
        field = TanhField(("x", "y"), 1, taylor_order=0)
        x = points(4)
        torch.testing.assert_close(Jet(field, x).laplacian(), Jet(TanhField(("x", "y"), 1), x).laplacian())
        assert field.passes == []


class TestFiniteDifferences:
    @pytest.mark.parametrize("taylor_order", [0, 2])
    def test_central_differences_converge_with_order_two(self, taylor_order: int) -> None:
        field, x = TanhField(("x", "y"), 1, taylor_order), points(6)
        jet = Jet(field, x)
        east, north = torch.eye(2, dtype=torch.float64)

        def errors(h: float) -> Tensor:
            slope = (field(x + h * east) - field(x - h * east)) / (2 * h)
            bend = (field(x + h * north) - 2 * field(x) + field(x - h * north)) / h**2
            return torch.stack([(slope - jet.d("x")).norm(), (bend - jet.d("y", "y")).norm()])

        orders = torch.log2(errors(2e-2) / errors(1e-2))
        assert ((orders > 1.9) & (orders < 2.1)).all()


class TestGraph:
    def test_points_are_left_alone(self) -> None:
        x = points(4)
        Jet(wave, x, axes=("x", "y")).laplacian()
        assert not x.requires_grad
        assert torch.equal(x, points(4))

    def test_points_that_carry_a_graph_keep_it(self) -> None:
        shift = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        jet = Jet(wave, points(5) + shift, axes=("x", "y"))
        (got,) = torch.autograd.grad(jet.d("x").sum(), shift)
        x = points(5) + 0.3
        torch.testing.assert_close(got, (wave_derivative(x, 2, 0) + wave_derivative(x, 1, 1)).sum())

    @pytest.mark.parametrize("taylor_order", [0, 2])
    def test_without_gradients_derivatives_are_plain_numbers(self, taylor_order: int) -> None:
        field, x = TanhField(("x", "y"), 1, taylor_order), points(4)
        expected = Jet(field, x).laplacian().detach()
        with torch.no_grad():
            got = Jet(field, x).laplacian()
        assert not got.requires_grad
        torch.testing.assert_close(got, expected)


class TestErrors:
    def test_values_without_a_channel_axis(self) -> None:
        with pytest.raises(InputError, match="one column for each component"):
            Jet(lambda p: p[..., 0], points(4), axes=("x", "y")).d("x")

    @pytest.mark.parametrize("names", [("z",), (), ("x",) * 5])
    def test_unusable_names(self, names: tuple[str, ...]) -> None:
        with pytest.raises(InputError):
            Jet(wave, points(4), axes=("x", "y")).d(*names)

    @pytest.mark.parametrize("axes", [None, ("x",), ("x", "x"), ("x", "y", "z")])
    def test_unusable_axes(self, axes: tuple[str, ...] | None) -> None:
        with pytest.raises(InputError):
            Jet(wave, points(4), axes=axes)

    def test_gradient_of_a_vector(self) -> None:
        with pytest.raises(InputError, match="jacobian"):
            Jet(TanhField(("x", "y"), 2), points(4)).gradient()
