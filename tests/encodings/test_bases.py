"""Bases for equations: partial derivatives of every order against autograd, harmonic functions, corner conditions."""

import math
from collections.abc import Callable
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.encodings import CornerFunctions, ElasticCorner, Joined, Multipoles, Products, RandomFeatures, Ridges
from ungrid.encodings.products import legendre
from ungrid.operators import Jet, laplacian

BASES: dict[str, Callable[[], nn.Module]] = {
    "tanh": lambda: RandomFeatures(2, 4, scale=(2.0, 1.0), extent=(1.0, 0.5)),
    "ridges": lambda: Ridges(2, 4, seed=1),
    "products": lambda: Products(Ridges(1, 1, seed=1), 1, 0.7),
    "sine": lambda: RandomFeatures(2, 4, scale=(2.0, 1.0), extent=(1.0, 0.5), shape="sine"),
    "corner": lambda: CornerFunctions((0.7, 0.6), 2.6, 3.0, (2 / 3, 4 / 3, 2.0)),
    "corner, cosine": lambda: CornerFunctions((0.7, 0.6), 2.6, 3.0, (0.5, 3.0), cosine=True),
    "elastic corner": lambda: ElasticCorner((0.7, 0.6), 2.6, 3.0, ((0.55, 0.0),)),
    "elastic corner, whole": lambda: ElasticCorner((0.7, 0.6), 2.6, 3.0, ((1.0, 0.0),), cut=4.7),
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


def test_the_functions_of_an_elastic_corner_are_biharmonic_and_hold_kolosovs_displacements() -> None:
    """``Δ Δ f = 0``, and ``κ z^λ - λ z z*^(λ-1) - d* z*^λ`` solves the equation of equilibrium, component by component."""
    exponent, d, kolosov = complex(1.6, 0.2), complex(0.3, -0.8), 1.8
    basis, x = ElasticCorner((0.7, 0.6), 0.0, 3.0, ((1.6, 0.2),), cut=4.7).double(), points(20)
    fourth = basis.partials(x, [(4, 0), (2, 2), (0, 4)])
    assert float((fourth[0] + 2 * fourth[1] + fourth[2]).abs().max() / fourth.abs().max()) < 1e-12

    def second(a: int, b: int) -> Tensor:
        """Of the displacement u + iv."""
        row = basis.partials(x, [(a, b)])[0]
        power = torch.complex(row[:, 0], row[:, 1])  # z^λ
        product = torch.complex(row[:, 2], row[:, 3])  # z* z^(λ-1)
        return kolosov * power - (exponent * product).conj() - (d * power).conj()

    xx, xy, yy = second(2, 0), second(1, 1), second(0, 2)
    ratio = 2 / (kolosov - 1)  # (λ + μ) / μ
    balance = [ratio * (xx.real + xy.imag) + xx.real + yy.real, ratio * (xy.real + yy.imag) + xx.imag + yy.imag]
    assert float(torch.stack(balance).abs().max() / xx.abs().max()) < 1e-12


def test_what_cannot_be_made() -> None:
    with pytest.raises(InputError, match="real parts above zero"):
        ElasticCorner((0.0, 0.0), 0.0, 1.0, ((0.0, 1.0),))
    with pytest.raises(InputError, match="positive numbers"):
        CornerFunctions((0.0, 0.0), 0.0, 1.0, (0.0,))
    with pytest.raises(InputError, match="one number of coordinates"):
        Joined((RandomFeatures(1, 2, scale=(1.0,), extent=(1.0,)), Multipoles((2.0, 2.0), 1.0, 0)))
    with pytest.raises(InputError, match="up to 4"):
        RandomFeatures(1, 2, scale=(1.0,), extent=(1.0,)).partials(points()[:, :1], [(5,)])


def test_slopes_lie_around_the_fast_waves_on_either_side_and_around_zero():
    features = RandomFeatures(2, 3000, scale=(2.0, 1.0), extent=(1.0, 0.5), center=(9.0, 0.0), seed=1)
    x, y = features.weight.numpy().T
    assert np.abs(y).max() <= 1.0
    for middle in (-9.0, 0.0, 9.0):
        near = np.abs(x - middle) <= 2.0
        assert abs(near.mean() - 1 / 3) < 4 * (2 / 9 / 3000) ** 0.5  # a third, to four standard errors
    assert (np.abs(np.abs(x) - 9.0) <= 2.0).mean() + (np.abs(x) <= 2.0).mean() == pytest.approx(1.0)


def test_legendre_polynomials_and_their_derivatives_are_those_of_numpy():
    s = np.linspace(-1, 1, 11)
    found = legendre(torch.from_numpy(s), 6, 3).numpy()
    for degree in range(7):
        series = np.polynomial.Legendre.basis(degree)
        for k in range(4):
            np.testing.assert_allclose(found[k, :, degree], series.deriv(k)(s) if k else series(s), atol=1e-12)


def test_ridges_bend_where_they_are_told_to_with_the_slope_that_they_are_told():
    places, slopes = np.array([[0.1, 0.2], [-0.3, 0.4]]), np.array([[3.0, 0.0], [0.0, -5.0]])
    ridges = Ridges.at(places, slopes)
    at = torch.from_numpy(places)
    assert torch.diagonal(ridges(at)[:, 1:]).abs().max() < 1e-15
    across, up = ridges.partials(at, [(1, 0), (0, 1)])
    assert torch.diagonal(across[:, 1:]).tolist() == pytest.approx([3.0, 0.0])
    assert torch.diagonal(up[:, 1:]).tolist() == pytest.approx([0.0, -5.0])
