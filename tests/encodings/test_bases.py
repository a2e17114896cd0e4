"""Bases for equations: partial derivatives of every order against autograd, harmonic functions, corner conditions."""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement

import pytest
import torch
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.encodings import CornerFunctions, Joined, Multipoles, RandomFeatures
from ungrid.operators import Jet, laplacian

BASES: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: RandomFeatures(2, 4, scale=(2.0, 1.0), extent=(1.0, 0.5)),
    "sine": lambda: RandomFeatures(2, 4, scale=(2.0, 1.0), extent=(1.0, 0.5), shape="sine"),
    "corner": lambda: CornerFunctions((0.7, 0.6), 2.6, 3.0, (2 / 3, 4 / 3, 2.0)),
    "corner, cosine": lambda: CornerFunctions((0.7, 0.6), 2.6, 3.0, (0.5, 3.0), cosine=True),
    "poles": lambda: Multipoles((0.8, 0.7), 0.1, 2),
    "joined": lambda: Joined(
        (Multipoles((0.8, 0.7), 0.1, 1), RandomFeatures(2, 2, scale=(1.0, 1.0), extent=(1.0, 1.0)))
    ),
}


def points(n: int = 5) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 0.5


@pytest.mark.parametrize("make", BASES.values(), ids=BASES.keys())
def test_partials_are_those_of_autograd(make: Callable[[], nn.Module]) -> None:
    basis, x = make().double(), points()
    picks = [pick for k in range(5) for pick in combinations_with_replacement("xy", k)]
    found = basis.partials(x, [(pick.count("x"), pick.count("y")) for pick in picks])
    jet = Jet(basis, x, axes=("x", "y"))
    for pick, values in zip(picks, found, strict=True):
        torch.testing.assert_close(values, jet.d(*pick) if pick else jet.value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["corner", "corner, cosine", "poles"])
def test_singular_functions_are_harmonic(name: str) -> None:
    basis, x = BASES[name]().double(), points(20)
    size = basis.partials(x, [(2, 0)])[0].abs() + 1
    assert float((laplacian(basis, x).detach().abs() / size).max()) < 1e-10


@pytest.mark.parametrize("angle", [math.pi / 3, math.pi / 2, 1.5 * math.pi, 1.9 * math.pi])
def test_corner_functions_meet_the_conditions_on_both_edges(angle: float) -> None:
    direction, exponents = 2.0, tuple((k - 0.5) * math.pi / angle * (1 + 1e-13) for k in (1, 2))
    mixed = CornerFunctions(
        (0.1, -0.2), direction, angle, exponents
    )  # zero on the first edge, no slope across the second
    r = torch.linspace(0.1, 1, 7, dtype=torch.float64)[:, None]
    first = torch.tensor([math.cos(direction), math.sin(direction)], dtype=torch.float64)
    second = torch.tensor([math.cos(direction + angle), math.sin(direction + angle)], dtype=torch.float64)
    vertex = torch.tensor([0.1, -0.2], dtype=torch.float64)
    across = torch.stack([-second[1], second[0]])
    assert float(mixed(vertex + r * first).abs().max()) < 1e-12
    slopes = mixed.partials(vertex + r * second, [(1, 0), (0, 1)])
    assert float((slopes[0] * across[0] + slopes[1] * across[1]).abs().max()) < 1e-11
    whole = CornerFunctions((0.1, -0.2), direction, angle, tuple(k * math.pi / angle * (1 + 1e-13) for k in (1, 2)))
    assert float(whole(vertex + r * second).abs().max()) < 1e-11


def test_what_cannot_be_made() -> None:
    with pytest.raises(InputError, match="positive numbers"):
        CornerFunctions((0.0, 0.0), 0.0, 1.0, (0.0,))
    with pytest.raises(InputError, match="one number of coordinates"):
        Joined((RandomFeatures(1, 2, scale=(1.0,), extent=(1.0,)), Multipoles((2.0, 2.0), 1.0, 0)))
    with pytest.raises(InputError, match="up to 4"):
        RandomFeatures(1, 2, scale=(1.0,), extent=(1.0,)).partials(points()[:, :1], [(5,)])
