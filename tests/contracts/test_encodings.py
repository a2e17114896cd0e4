"""What every encoding keeps: shapes, dtype, gradients, seeds, its own description and the field file."""

from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from types import ModuleType
from typing import Protocol, runtime_checkable

import pytest
import torch
from torch import Tensor, nn

from ungrid import encodings
from ungrid._base import taylor
from ungrid.domains import Box
from ungrid.encodings import (
    Constrained,
    CornerFunctions,
    ElasticCorner,
    FourierFeatures,
    Identity,
    Joined,
    Multipoles,
    Positional,
    Products,
    RandomFeatures,
    Ridges,
    Separable,
    SplineGrid,
)
from ungrid.fields import NeuralField
from ungrid.io import field_file
from ungrid.networks import MLP
from ungrid.operators import Jet

SAMPLES: dict[str, Callable[[int], nn.Module]] = {
    "Identity": lambda seed: Identity(2),
    "Positional": lambda seed: Positional(2, 3),
    "Positional, waves only": lambda seed: Positional(2, 2, include_input=False),
    "FourierFeatures": lambda seed: FourierFeatures(2, 5, 1.5, seed=seed),
    "FourierFeatures, two bandwidths": lambda seed: FourierFeatures(2, 3, (1.0, 2.0), seed=seed),
    "SplineGrid": lambda seed: SplineGrid(((4, 6), (8, 12)), (2, 1), extent=(1.0, 1.0), seed=seed),
    "SplineGrid, order 2, hashed": lambda seed: SplineGrid(
        ((4, 4), (16, 16)), (1, 2), extent=(1.0, 0.5), order=2, max_entries=128, seed=seed
    ),
    "RandomFeatures": lambda seed: RandomFeatures(2, 5, scale=(2.0, 1.0), extent=(1.0, 0.5), seed=seed),
    "RandomFeatures, around fast waves": lambda seed: RandomFeatures(
        2, 5, scale=(2.0, 1.0), extent=(1.0, 0.5), center=(9.0, 0.0), seed=seed
    ),
    "RandomFeatures, sine": lambda seed: RandomFeatures(
        2, 4, scale=(2.0, 3.0), extent=(1.0, 0.5), shape="sine", seed=seed
    ),
    "CornerFunctions": lambda seed: CornerFunctions((0.7, 0.6 + seed / 100), 2.6, 3.0, (2 / 3, 2.0)),
    "CornerFunctions, cosine": lambda seed: CornerFunctions((0.7, 0.6 + seed / 100), 2.6, 3.0, (1.5,), cosine=True),
    "ElasticCorner": lambda seed: ElasticCorner((0.7, 0.6 + seed / 100), 2.6, 3.0, ((0.55, 0.0), (1.6, 0.2)), cut=4.7),
    "Constrained": lambda seed: Constrained(
        RandomFeatures(2, 3, scale=(2.0, 1.0), extent=(1.0, 1.0), seed=seed),
        (
            ((-0.9, -0.8, 0.9, -0.7), (0.1, 0.2, 0.9, 0.7, 0.3, 0.2, 2.8)),
            ((0.0, 0.0, 1.3, 1.3, 0.0, 0.0, 6.283185307179586),),
        ),
        ((1.0,), (0.5, 0.1, -0.2, 0.3)),
        (-1.0, -1.0),
        (1.0, 1.0),
    ),
    "Ridges": lambda seed: Ridges(2, 4, seed=seed),
    "Products": lambda seed: Products(Ridges(1, 3, seed=seed), 3, 0.7),
    "Separable": lambda seed: Separable((4, 3), (1.0, 0.8 + seed / 10)),
    "Multipoles": lambda seed: Multipoles((0.8, 0.7 + seed / 100), 0.1, 2),
    "Joined": lambda seed: Joined((Identity(2), RandomFeatures(2, 3, scale=(2.0, 1.0), extent=(1.0, 1.0), seed=seed))),
    "SplineGrid, order 1": lambda seed: SplineGrid(((5, 5),), (2,), extent=(1.0, 1.0), order=1, seed=seed),
}
KINKED = {"SplineGrid, order 1"}


def points(*batch: int) -> Tensor:
    return torch.rand(*batch, 2, generator=torch.Generator().manual_seed(0)) - 0.5


@runtime_checkable
class TaylorPart(Protocol):
    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor: ...


def test_every_class_has_a_sample(concrete_classes: Callable[[ModuleType, type], set[type]]) -> None:
    assert concrete_classes(encodings, nn.Module) == {type(make(0)) for make in SAMPLES.values()}


def test_shape_and_dtype(make: Callable[[int], nn.Module], batch: tuple[int, ...]) -> None:
    encoding, x = make(0), points(*batch)
    features = encoding(x)
    assert features.shape == (*batch, encoding.out_features)
    assert features.dtype == torch.float32
    assert encoding.double()(x.double()).dtype == torch.float64
    assert encoding.dim == 2


def test_points_do_not_see_each_other(make: Callable[[int], nn.Module]) -> None:
    encoding, x = make(0).double(), points(2, 3).double()
    one_by_one = torch.stack([torch.stack([encoding(point) for point in row]) for row in x])
    torch.testing.assert_close(encoding(x), one_by_one)


def test_the_input_is_left_alone(make: Callable[[int], nn.Module]) -> None:
    x = points(5)
    make(0)(x).sum()
    assert torch.equal(x, points(5))
    assert not x.requires_grad


def test_gradients(make: Callable[[int], nn.Module], check_gradients: Callable[[nn.Module, Tensor], None]) -> None:
    check_gradients(make(0), points(4))  # none of the points lies on a node


def test_seeds(make: Callable[[int], nn.Module], same_state: Callable[[nn.Module, nn.Module], bool]) -> None:
    before = torch.random.get_rng_state()
    assert same_state(make(3), make(3))
    assert same_state(make(3), make(4)) == (len(make(3).state_dict()) == 0)
    assert torch.equal(torch.random.get_rng_state(), before), "a global generator was used"


def test_arguments(make: Callable[[int], nn.Module], check_arguments: Callable[[nn.Module], None]) -> None:
    check_arguments(make(5))


def test_field_file(make: Callable[[int], nn.Module], tmp_path: Path) -> None:
    encoding = make(1)
    network = MLP(encoding.out_features, 1, width=4, depth=1)
    field = NeuralField(Box(x=(-1, 1), y=(-1, 1)), encoding, network, out_names=("u",))
    again = field_file.load(field_file.save(field, tmp_path / "a.field"))
    assert torch.equal(again.encoding(points(5)), encoding(points(5)))


def test_second_derivatives_where_it_is_smooth(
    make: Callable[[int], nn.Module], request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.id in KINKED:
        pytest.skip("piecewise linear")
    encoding, x, h = make(0).double(), points(4).double(), 1e-4
    east = torch.tensor([h, 0.0], dtype=torch.float64)
    bend = (encoding(x + east) - 2 * encoding(x) + encoding(x - east)) / h**2
    exact = Jet(encoding, x, axes=("x", "y")).d("x", "x")
    torch.testing.assert_close(exact, bend, rtol=1e-3, atol=1e-3 * max(1.0, exact.abs().max().item()))


def test_forward_derivatives_are_those_of_autograd(make: Callable[[int], nn.Module]) -> None:
    encoding, x = make(0).double(), points(4).double()
    if not isinstance(encoding, TaylorPart):
        return
    pairs = tuple((pair,) for pair in combinations_with_replacement(range(2), 2))
    streams = encoding.forward_taylor(taylor.start(x, taylor.Needed(tuple(range(2)), pairs))).streams
    value, first, second = streams[0], streams[1:3], streams[3:]
    exact = Jet(encoding, x, axes=tuple("xy"))
    torch.testing.assert_close(value, exact.value)
    for i, name in enumerate("xy"):
        torch.testing.assert_close(first[i], exact.d(name))
    for k, pair in enumerate(combinations_with_replacement("xy", 2)):
        torch.testing.assert_close(second[k], exact.d(*pair))
    one = encoding.forward_taylor(taylor.start(x, taylor.Needed((1,)))).streams
    torch.testing.assert_close(one, torch.stack([value, first[1]]))
