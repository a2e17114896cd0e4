"""Gradients as an observation operator: forward against reverse mode, and exact distances."""

import numpy as np
import pytest
import torch

from ungrid.domains import Box
from ungrid.encodings import Identity, SplineGrid
from ungrid.fields import NeuralField
from ungrid.networks import GridDecoder, Siren
from ungrid.objectives import UniformPoints, slope, spatial_gradient

BOX = Box(x=(-1, 1), y=(-1, 1), z=(0, 2))


def neural(kind: str) -> NeuralField:
    if kind == "siren":
        return NeuralField(BOX, Identity(3), Siren(3, 1, width=16, depth=2, seed=1), out_names=("distance",)).double()
    grid = SplineGrid(((4, 5, 6), (2, 3, 3)), (1, 2), extent=(1.0, 1.0, 1.0), spread=1.0, seed=2)
    decoder = GridDecoder(3, 1, width=8, depth=2, seed=3)
    with torch.no_grad():
        decoder.last.normal_(generator=torch.Generator().manual_seed(0))  # it starts at zero, which tests nothing
    return NeuralField(BOX, grid, decoder, out_names=("distance",)).double()


@pytest.mark.parametrize("kind", ["grid", "siren"])
def test_forward_and_reverse_mode_agree_with_their_gradients(kind):
    u = neural(kind)
    x = torch.from_numpy(np.random.default_rng(0).uniform(BOX.low + 0.05, BOX.high - 0.05, (20, 3)))
    found = []
    for operator in (lambda: spatial_gradient(u, x), lambda: reverse(u, x)):
        rows = operator()
        loss = (rows.square().sum(dim=1) - 1).square().mean()
        found.append((rows, torch.autograd.grad(loss, list(u.parameters()), allow_unused=True)))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-9, rtol=1e-9)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        assert (a is None or not a.any()) if b is None else torch.allclose(a, b, atol=1e-9)


def reverse(u: NeuralField, x: torch.Tensor) -> torch.Tensor:
    points = x.clone().requires_grad_()
    return torch.autograd.grad(u(points).sum(), points, create_graph=True)[0]


def test_a_distance_has_slope_one():
    """Of a plain function, by autograd: the distance to a circle, whose gradient is the direction from its centre."""
    x = torch.tensor([[3.0, 4.0], [0.1, 0.0], [-0.3, 0.4]], dtype=torch.float64)

    def circle(p: torch.Tensor) -> torch.Tensor:
        return p.square().sum(dim=1, keepdim=True).sqrt() - 1

    torch.testing.assert_close(spatial_gradient(circle, x), x / x.norm(dim=1, keepdim=True))
    torch.testing.assert_close(slope(circle, x), torch.ones(3, 1, dtype=torch.float64))


def test_the_slope_of_a_constant_can_be_trained():
    """Its root would have an infinite derivative at zero."""
    weight = torch.zeros(2, requires_grad=True)
    (slope(lambda p: p @ weight[:, None], torch.ones(4, 2)) - 1).square().mean().backward()
    assert torch.isfinite(weight.grad).all()


def test_uniform_points_fill_their_box_and_repeat():
    sampler = UniformPoints(BOX, 4000, torch.device("cpu"))
    first, again = (sampler.draw(0, torch.Generator().manual_seed(5)).points for _ in range(2))
    assert (first == again).all()
    assert BOX.contains(first.numpy()).all()
    error = 4 * (BOX.high - BOX.low) / np.sqrt(12 * 4000)  # four standard errors of a mean
    assert (np.abs(first.numpy().mean(axis=0) - (BOX.low + BOX.high) / 2) < error).all()
