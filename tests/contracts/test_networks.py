"""What every network of features keeps: shapes, dtype, gradients, seeds, its own description and the field file."""

from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from types import ModuleType
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ungrid import networks
from ungrid._base import taylor
from ungrid.domains import Box
from ungrid.encodings import Positional
from ungrid.fields import NeuralField
from ungrid.io import field_file
from ungrid.networks import (
    EDSR,
    LIIF,
    MLP,
    RDN,
    GridDecoder,
    HalfLattice,
    LightEncoder,
    LightNetwork,
    LightVideo,
    Linear,
    MetaSR,
    Siren,
    SplineKernels,
    SubPixel,
    VideoINR,
)
from ungrid.networks.deformable import DeformableConvolution
from ungrid.networks.encoders import ResidualBlock
from ungrid.networks.liif import Perceptron
from ungrid.networks.video_inr import SineNetwork
from ungrid.operators import Jet

SAMPLES: dict[str, Callable[[int], nn.Module]] = {
    f"MLP, {name}": lambda seed, name=name: MLP(4, 3, width=6, depth=2, activation=name, seed=seed)
    for name in ("relu", "gelu", "tanh", "silu", "softplus")
} | {
    "MLP, logistic": lambda seed: MLP(4, 3, width=6, depth=2, activation="tanh", output="logistic", seed=seed),
    "Siren": lambda seed: Siren(4, 3, width=6, depth=3, omega0=4.0, first_omega0=3.0, seed=seed),
    "Linear": lambda seed: Linear(4, 3, seed=seed),
    "GridDecoder": lambda seed: GridDecoder(4, 3, width=6, depth=2, seed=seed),
    "GridDecoder, one layer": lambda seed: GridDecoder(4, 3, width=6, depth=1, seed=seed),
}

# From pictures: test_continuous_networks.py, test_half_lattice.py, test_video_inr.py in tests/networks, and parts of those.
OF_PICTURES = {
    HalfLattice,
    EDSR,
    RDN,
    LightEncoder,
    SplineKernels,
    SubPixel,
    VideoINR,
    LightVideo,
    LIIF,
    MetaSR,
    LightNetwork,
    ResidualBlock,
    Perceptron,
    DeformableConvolution,
    SineNetwork,
}


def features(*batch: int) -> Tensor:
    return torch.randn(*batch, 4, generator=torch.Generator().manual_seed(0))


@runtime_checkable
class TaylorPart(Protocol):
    def forward_taylor(self, z: taylor.Taylor) -> taylor.Taylor: ...


def test_every_class_has_a_sample(concrete_classes: Callable[[ModuleType, type], set[type]]) -> None:
    assert concrete_classes(networks, nn.Module) - OF_PICTURES == {type(make(0)) for make in SAMPLES.values()}


def test_shape_and_dtype(make: Callable[[int], nn.Module], batch: tuple[int, ...]) -> None:
    network, z = make(0), features(*batch)
    assert (network.in_features, network.out_features) == (4, 3)
    assert network(z).shape == (*batch, 3)
    assert network(z).dtype == torch.float32
    assert network.double()(z.double()).dtype == torch.float64


def test_rows_do_not_see_each_other(make: Callable[[int], nn.Module]) -> None:
    network, z = make(0).double(), features(2, 3).double()
    one_by_one = torch.stack([torch.stack([network(row) for row in rows]) for rows in z])
    torch.testing.assert_close(network(z), one_by_one)


def test_the_input_is_left_alone(make: Callable[[int], nn.Module]) -> None:
    z = features(5)
    make(0)(z).sum()
    assert torch.equal(z, features(5))
    assert not z.requires_grad


def test_gradients(make: Callable[[int], nn.Module], check_gradients: Callable[[nn.Module, Tensor], None]) -> None:
    check_gradients(make(0), features(4))  # no unit is at its kink for these


def test_seeds(make: Callable[[int], nn.Module], same_state: Callable[[nn.Module, nn.Module], bool]) -> None:
    before = torch.random.get_rng_state()
    assert same_state(make(3), make(3))
    assert not same_state(make(3), make(4))
    assert torch.equal(torch.random.get_rng_state(), before), "a global generator was used"


def test_arguments(make: Callable[[int], nn.Module], check_arguments: Callable[[nn.Module], None]) -> None:
    check_arguments(make(5))


def test_field_file(make: Callable[[int], nn.Module], tmp_path: Path) -> None:
    network = make(1)
    field = NeuralField(Box(x=(-1, 1)), Positional(1, 2, include_input=False), network, out_names=("r", "g", "b"))
    again = field_file.load(field_file.save(field, tmp_path / "a.field"))
    assert torch.equal(again.network(features(5)), network(features(5)))


def test_forward_derivatives_are_those_of_autograd(make: Callable[[int], nn.Module]) -> None:
    network, x = make(0).double(), features(4).double()
    if not isinstance(network, TaylorPart):
        return
    pairs = tuple((pair,) for pair in combinations_with_replacement(range(4), 2))
    streams = network.forward_taylor(taylor.start(x, taylor.Needed(tuple(range(4)), pairs))).streams
    value, first, second = streams[0], streams[1:5], streams[5:]
    exact = Jet(network, x, axes=tuple("abcd"))
    torch.testing.assert_close(value, exact.value)
    for i, name in enumerate("abcd"):
        torch.testing.assert_close(first[i], exact.d(name))
    for k, pair in enumerate(combinations_with_replacement("abcd", 2)):
        torch.testing.assert_close(second[k], exact.d(*pair))
    one = network.forward_taylor(taylor.start(x, taylor.Needed((1,)))).streams
    torch.testing.assert_close(one, torch.stack([value, first[1]]))
