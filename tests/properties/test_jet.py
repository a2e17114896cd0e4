"""Laws that derivatives obey for every function, point and rotation."""

from collections.abc import Callable

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from torch import Tensor

from ungrid.operators import Jet, curl, divergence, gradient, laplacian

NUMBERS = st.floats(-3, 3, allow_subnormal=False)
SEEDS = st.integers(0, 2**31)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(seed: int, d: int, c: int) -> Callable[[Tensor], Tensor]:
    """A random smooth function from d coordinates to c components."""
    inner, outer = draw(seed, d, 6), draw(seed + 1, 6, c)
    return lambda x: torch.tanh(x @ inner) @ outer


def rotation(seed: int, d: int) -> Tensor:
    """A random proper rotation: the Q of a Gaussian matrix, with determinant +1."""
    q, _ = torch.linalg.qr(draw(seed, d, d))
    q[:, 0] *= torch.linalg.det(q).sign()
    return q


@settings(max_examples=30)
@given(SEEDS, NUMBERS, NUMBERS, st.lists(st.sampled_from("xyz"), min_size=1, max_size=4))
def test_derivatives_are_linear(seed: int, a: float, b: float, names: list[str]) -> None:
    x, u, v = draw(seed + 7, 5, 3), network(seed, 3, 2), network(seed + 3, 3, 2)

    def derivative(f: Callable[[Tensor], Tensor]) -> Tensor:
        return Jet(f, x, axes=("x", "y", "z")).d(*names)

    mixed = derivative(lambda p: a * u(p) + b * v(p))
    scale = 1 + max(derivative(u).abs().max(), derivative(v).abs().max())
    torch.testing.assert_close(mixed, a * derivative(u) + b * derivative(v), rtol=0, atol=1e-11 * scale.item())


@settings(max_examples=30)
@given(SEEDS, NUMBERS)
def test_product_rule(seed: int, a: float) -> None:
    x, u, v = draw(seed + 7, 5, 2), network(seed, 2, 1), network(seed + 3, 2, 1)
    both = laplacian(lambda p: u(p) * v(p) + a, x)
    parts = u(x) * laplacian(v, x) + v(x) * laplacian(u, x)
    parts = parts + 2 * (gradient(u, x) * gradient(v, x)).sum(-1, keepdim=True)
    torch.testing.assert_close(both, parts, rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([2, 3]))
def test_scalar_operators_turn_with_the_coordinates(seed: int, d: int) -> None:
    x, u, q = draw(seed + 7, 5, d), network(seed, d, 1), rotation(seed + 9, d)

    def turned(p: Tensor) -> Tensor:
        return u(p @ q.T)  # u at Qp

    torch.testing.assert_close(gradient(turned, x), gradient(u, x @ q.T) @ q, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(laplacian(turned, x), laplacian(u, x @ q.T), rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from([2, 3]))
def test_vector_operators_turn_with_the_coordinates(seed: int, d: int) -> None:
    x, u, q = draw(seed + 7, 5, d), network(seed, d, d), rotation(seed + 9, d)

    def turned(p: Tensor) -> Tensor:
        return u(p @ q.T) @ q  # Qᵀ u(Qp): the same vectors in the turned system

    spin = curl(u, x @ q.T) @ (q if d == 3 else torch.ones(1, 1, dtype=torch.float64))
    torch.testing.assert_close(divergence(turned, x), divergence(u, x @ q.T), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(curl(turned, x), spin, rtol=1e-9, atol=1e-9)
