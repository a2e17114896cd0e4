"""Jets against closed forms, against each other and against finite differences."""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement

import pytest
import torch
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.taylor import Needed
from ungrid.domains import Axis, Box, Domain
from ungrid.encodings import FourierFeatures, Identity
from ungrid.fields import NeuralField
from ungrid.networks import MLP, Siren
from ungrid.operators import Jet, JetOperator, laplacian


def points(*batch: int, d: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(*batch, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def wave(x: Tensor) -> Tensor:
    """sin(2x) cos(3y)."""
    return torch.sin(2 * x[..., :1]) * torch.cos(3 * x[..., 1:2])


def wave_derivative(x: Tensor, nx: int, ny: int) -> Tensor:
    """The (nx, ny)-th partial derivative: each one shifts the phase by a quarter turn."""
    quarter = math.pi / 2
    return 2**nx * torch.sin(2 * x[..., :1] + nx * quarter) * 3**ny * torch.cos(3 * x[..., 1:2] + ny * quarter)


def equations() -> dict[str, Callable[[Jet], Tensor]]:
    """Equations whose derivatives a forward pass carries, with mixed partials and Laplacians over chosen axes."""
    return {
        "burgers": lambda u: u.d("t") + u.value * u.d("x") - 0.1 * u.d("x", "x"),
        "heat": lambda u: u.d("t") - u.laplacian(),
        "poisson": lambda u: u.laplacian() - 1,
        "mixed": lambda u: u.d("x", "y") + u.d("t", "x") * u.laplacian("y", "t") - u.d("y"),
        "wave": lambda u: u.d("t", "t") - u.laplacian("x", "y"),
    }


class TanhField(nn.Module):
    """Two tanh layers on named axes, with a forward Taylor pass by Faà di Bruno's formula of order 2."""

    def __init__(self, axes: tuple[str, ...], c: int, offers_taylor: bool = True) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(3)
        self.domain: Domain = Box(*(Axis(name, -1, 1) for name in axes))
        self.out_names = tuple(f"u{k}" for k in range(c))
        self.offers_taylor = offers_taylor
        self.passes: list[Needed] = []
        self.inner = nn.Parameter(torch.randn(len(axes), 8, dtype=torch.float64, generator=draw))
        self.outer = nn.Parameter(torch.randn(8, c, dtype=torch.float64, generator=draw))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.inner) @ self.outer

    def forward_taylor(self, x: Tensor, needed: Needed) -> Tensor:
        self.passes.append(needed)
        assert x.ndim == 2
        t = torch.tanh(x @ self.inner)
        slope = 1 - t**2
        first = [slope * self.inner[i] for i in needed.columns]
        squares = [sum(self.inner[i] * self.inner[j] for i, j in form) for form in needed.forms]
        return torch.stack([t, *first, *(-2 * t * slope * square for square in squares)]) @ self.outer


def neural_fields() -> dict[str, NeuralField]:
    """Real networks on axes with scales of their own; each in double precision."""
    box = Box(Axis("t", 0, 2, "s"), Axis("x", -1, 2, "m"), Axis("y", -1, 1, "m"))
    scales = {"out_names": ("u",), "value_scale": (2.0,), "value_offset": (0.5,)}
    networks = {
        "tanh": (Identity(3), MLP(3, 1, width=7, depth=3, activation="tanh")),
        "siren": (Identity(3), Siren(3, 1, width=7, depth=3, omega0=2.0, first_omega0=2.0)),
        "fourier, silu": (FourierFeatures(3, 4, 0.5), MLP(8, 1, width=6, depth=2, activation="silu")),
    }
    return {name: NeuralField(box, *parts, **scales).double() for name, parts in networks.items()}


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
    @pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
    @pytest.mark.parametrize("c", [1, 3])
    def test_agrees_with_reverse_mode_to_order_four(self, batch: tuple[int, ...], c: int) -> None:
        field, x = TanhField(("t", "x", "y"), c), points(*batch, d=3)
        reverse = Jet(field, x)
        reverse.jacobian("t", "x", "y"), reverse.d("x", "y"), reverse.d("t", "t"), reverse.laplacian()
        forward = Jet(field, x, needs=reverse.asked)
        for order in range(5):
            for names in combinations_with_replacement("txy", order):
                one, other = (jet.d(*names) if names else jet.value for jet in (forward, reverse))
                torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
        assert len(field.passes) == 1

    def test_a_laplacian_is_one_stream(self) -> None:
        field, x = TanhField(("t", "x", "y"), 1), points(6, d=3)
        operator = JetOperator(lambda jet: jet.d("t") - jet.laplacian())
        operator(field, x)
        operator(field, x)
        assert field.passes == [Needed((0, 1, 2), (((1, 1), (2, 2)),))] * 2
        laplacian(field, x)
        assert field.passes[2:] == [Needed((0, 1, 2), (((0, 0), (1, 1), (2, 2)),))]

    def test_only_what_is_needed_is_carried(self) -> None:
        field, x = TanhField(("t", "x", "y"), 1), points(6, d=3)
        JetOperator(lambda jet: jet.d("t") - jet.d("y", "y"))(field, x)
        assert field.passes == [Needed((0, 2), (((2, 2),),))]

    @pytest.mark.parametrize(("c", "passes"), [(1, 0), (2, 1)])
    def test_one_reverse_pass_gives_the_gradient_of_one_component(self, c: int, passes: int) -> None:
        field, x = TanhField(("x", "y"), c), points(6)
        got = JetOperator(lambda jet: jet.jacobian())(field, x)
        torch.testing.assert_close(got, Jet(field.forward, x, axes=("x", "y")).jacobian(), rtol=1e-10, atol=1e-10)
        assert len(field.passes) == passes

    def test_what_was_not_foreseen_is_right(self) -> None:
        field, x = TanhField(("x", "y"), 1), points(6)
        known = Jet(field, x)
        known.laplacian()
        jet, reverse = Jet(field, x, needs=known.asked), Jet(field.forward, x, axes=("x", "y"))
        for names in (("x", "y"), ("x", "x"), ("x", "x", "y"), ("y",)):
            torch.testing.assert_close(jet.d(*names), reverse.d(*names), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(jet.laplacian("x"), reverse.d("x", "x"), rtol=1e-10, atol=1e-10)
        assert len(field.passes) == 1

    def test_a_field_whose_parts_do_not_offer_it_uses_reverse_mode(self) -> None:
        field, x = TanhField(("x", "y"), 1, offers_taylor=False), points(4)
        torch.testing.assert_close(laplacian(field, x), laplacian(TanhField(("x", "y"), 1), x))
        assert field.passes == []


@pytest.mark.parametrize("field", neural_fields().values(), ids=neural_fields().keys())
@pytest.mark.parametrize("equation", equations().values(), ids=equations().keys())
class TestNeuralFields:
    def test_residuals_and_parameter_gradients(self, field: NeuralField, equation: Callable[[Jet], Tensor]) -> None:
        x, weights = points(1100, d=3), list(field.parameters())  # more than one chunk
        operator = JetOperator(equation)
        forward, reverse = operator(field, x), equation(Jet(field, x))
        torch.testing.assert_close(forward, reverse, rtol=1e-10, atol=1e-10)
        grads = [torch.autograd.grad(r.square().mean(), weights, materialize_grads=True) for r in (forward, reverse)]
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)

    def test_second_derivatives_by_the_parameters(self, field: NeuralField, equation: Callable[[Jet], Tensor]) -> None:
        x, weights = points(5, d=3), list(field.parameters())[:3]
        hessians = []
        for residual in (JetOperator(equation)(field, x), equation(Jet(field, x))):
            grads = torch.autograd.grad(residual.square().mean(), weights, create_graph=True)
            hessians.append(torch.autograd.grad(sum(g.square().sum() for g in grads), weights))
        for one, other in zip(*hessians, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)

    def test_points_that_carry_a_graph(self, field: NeuralField, equation: Callable[[Jet], Tensor]) -> None:
        shift = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        x = points(5, d=3) + shift
        slopes = [
            torch.autograd.grad(residual.sum(), shift, retain_graph=True)[0]
            for residual in (JetOperator(equation)(field, x), equation(Jet(field, x)))
        ]
        torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-9)

    def test_jacobians_of_points_by_vmap(self, field: NeuralField, equation: Callable[[Jet], Tensor]) -> None:
        """What Gauss-Newton methods take: the derivatives of every residual by the parameters."""
        x, weights = points(4, d=3), dict(field.named_parameters())
        operator = JetOperator(equation)
        operator(field, x)

        class Bound(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.field = field

            def forward(self, p: Tensor) -> Tensor:
                return operator(self.field, p)[0, 0]

        def residual(values: dict[str, Tensor], point: Tensor) -> Tensor:
            return torch.func.functional_call(Bound(), {f"field.{k}": v for k, v in values.items()}, (point[None],))

        rows = torch.func.vmap(torch.func.grad(residual), (None, 0))({k: v.detach() for k, v in weights.items()}, x)
        for k in range(len(x)):
            exact = torch.autograd.grad(operator(field, x[k : k + 1]).sum(), list(weights.values()))
            for name, one in zip(weights, exact, strict=True):
                torch.testing.assert_close(rows[name][k], one, rtol=1e-9, atol=1e-10)


def test_laplacian_against_a_closed_form() -> None:
    """sin(w·x + b) of one unit: Δu = -|w|² u, and Δu of tanh is -2 |w|² t (1 - t²)."""
    box, x = Box(Axis("x", -1, 1), Axis("y", -1, 1)), points(9)
    for network in (Siren(2, 1, width=1, depth=1, first_omega0=3.0), MLP(2, 1, width=1, depth=1, activation="tanh")):
        field = NeuralField(box, Identity(2), network, out_names=("u",)).double()
        inner, outer = network.layers
        omega = 3.0 if isinstance(network, Siren) else 1.0
        angle = omega * (x @ inner.weight.T + inner.bias)
        t = torch.tanh(angle)
        bend = -torch.sin(angle) if isinstance(network, Siren) else -2 * t * (1 - t**2)
        expected = omega**2 * inner.weight.square().sum() * bend * outer.weight
        torch.testing.assert_close(laplacian(field, x), expected, rtol=0, atol=1e-10)


class TestFiniteDifferences:
    @pytest.mark.parametrize("offers_taylor", [False, True])
    def test_central_differences_converge_with_order_two(self, offers_taylor: bool) -> None:
        field, x = TanhField(("x", "y"), 1, offers_taylor), points(6)
        first = Jet(field, x)
        first.d("x"), first.d("y", "y")
        jet = Jet(field, x, needs=first.asked)
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

    @pytest.mark.parametrize("offers_taylor", [False, True])
    def test_without_gradients_derivatives_are_plain_numbers(self, offers_taylor: bool) -> None:
        field, x = TanhField(("x", "y"), 1, offers_taylor), points(4)
        expected = Jet(field, x).laplacian().detach()
        with torch.no_grad():
            got = laplacian(field, x)
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
