"""LIIF and MetaSR against their literal forms, and the names of their weights against the published files'."""

import importlib.util
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch

from ungrid.networks import EDSR, LIIF, RDN, ContinuousNetwork, MetaSR

spec = importlib.util.spec_from_file_location("literal", Path(__file__).parent / "literal.py")
assert spec is not None
assert spec.loader is not None
literal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(literal)


def edsr() -> EDSR:
    return EDSR(blocks=2, features=8, seed=1)


def rdn() -> RDN:
    return RDN(blocks=2, layers=2, growth=4, features=8, seed=1)


def positions(size: int, target: int) -> np.ndarray:
    return (np.arange(target) + 0.5) * size / target - 0.5


def both(network: ContinuousNetwork, form: Callable[..., torch.Tensor], shape: tuple[int, int], size: tuple[int, int]):
    """The fast form on the lattice, at points, and the literal form; all (q, 3)."""
    network = network.double()
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    scale = torch.tensor([shape[0] / size[0], shape[1] / size[1]]).double()
    rows, columns = (positions(n, m) for n, m in zip(size, shape, strict=True))
    with torch.no_grad():
        latents = network.latents(image)
        lattice = network.on_lattice(latents, image, rows, columns, scale)[0].permute(1, 2, 0).reshape(-1, 3)
        points = torch.from_numpy(np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)).reshape(1, -1, 2)
        found = network.at(latents, image, points, scale[None])[0]
        wanted = form(network, image, literal.queries(*shape), torch.tensor([2 / shape[0], 2 / shape[1]]))
    return lattice, found, wanted


@pytest.mark.parametrize("scale", [2.0, 3.3, 4.0, 8.0, 30.0])
@pytest.mark.parametrize("encoder", [edsr, rdn])
def test_liif_is_the_literal_one(encoder: Callable[[], EDSR | RDN], scale: float) -> None:
    shape = round(7 * scale), round(10 * scale)
    lattice, points, wanted = both(LIIF(encoder(), hidden=16), literal.liif, shape, (7, 10))
    torch.testing.assert_close(lattice, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(points, wanted, atol=1e-6, rtol=0)


def test_places_on_pixels() -> None:
    """At odd scales some lie on centres; on those of the last row and column the published rule divides rounding errors."""
    lattice, points, wanted = both(LIIF(edsr(), hidden=16), literal.liif, (15, 21), (5, 7))
    inner = torch.ones(15, 21, dtype=torch.bool)
    inner[13], inner[:, 19] = False, False
    torch.testing.assert_close(lattice[inner.reshape(-1)], wanted[inner.reshape(-1)], atol=1e-6, rtol=0)
    torch.testing.assert_close(points, lattice, atol=1e-12, rtol=0)


@pytest.mark.parametrize("flags", list(product([True, False], repeat=3)))
def test_every_part_can_be_left_out(flags: tuple[bool, bool, bool]) -> None:
    names = ("local_ensemble", "feat_unfold", "cell_decode")
    network = LIIF(edsr(), hidden=16, **dict(zip(names, flags, strict=True)))
    lattice, points, wanted = both(network, literal.liif, (20, 33), (6, 8))
    torch.testing.assert_close(lattice, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(points, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [2.0, 3.0, 3.3, 4.0, 7.5])
def test_meta_sr_is_the_literal_one(scale: float) -> None:
    shape = round(6 * scale), round(10 * scale)
    lattice, points, wanted = both(MetaSR(edsr(), hidden=16), literal.meta_sr, shape, (6, 10))
    torch.testing.assert_close(lattice, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(points, wanted, atol=1e-6, rtol=0)


def test_the_whole_networks_in_single_precision() -> None:
    network = LIIF(EDSR(seed=2), seed=3)
    image = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = network(image, positions(9, 36), positions(11, 44), torch.tensor([4.0, 4.0]))[0].permute(1, 2, 0)
        wanted = literal.liif(network, image, literal.queries(36, 44).float(), torch.tensor([2 / 36, 2 / 44]))
    torch.testing.assert_close(found.reshape(-1, 3), wanted, atol=1e-5, rtol=0)


def edsr_names() -> dict[str, tuple[int, ...]]:
    """The guide's list for EDSR-baseline."""
    names = {f"{shift}_mean.{part}": shape for shift in ("sub", "add") for part, shape in MEAN}
    convolutions = {"head.0": 3, "body.16": 64} | {f"body.{i}.body.{j}": 64 for i in range(16) for j in (0, 2)}
    for name, inputs in convolutions.items():
        names |= {f"{name}.weight": (64, inputs, 3, 3), f"{name}.bias": (64,)}
    return names


MEAN = (("weight", (3, 3, 1, 1)), ("bias", (3,)))


def rdn_names() -> dict[str, tuple[int, ...]]:
    """The guide's list for RDN, configuration B."""
    shapes = {"SFENet1": (64, 3, 3, 3), "SFENet2": (64, 64, 3, 3), "GFF.0": (64, 1024, 1, 1), "GFF.1": (64, 64, 3, 3)}
    for i in range(16):
        shapes |= {f"RDBs.{i}.convs.{c}.conv.0": (64, 64 + 64 * c, 3, 3) for c in range(8)}
        shapes[f"RDBs.{i}.LFF"] = (64, 576, 1, 1)
    return {f"{name}.weight": shape for name, shape in shapes.items()} | {f"{name}.bias": (64,) for name in shapes}


def perceptron_names(sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    names: dict[str, tuple[int, ...]] = {}
    for place, (inputs, outputs) in enumerate(pairwise(sizes)):
        names |= {f"layers.{2 * place}.weight": (outputs, inputs), f"layers.{2 * place}.bias": (outputs,)}
    return names


@pytest.mark.parametrize(
    ("network", "encoder", "sizes"),
    [
        (lambda: LIIF(EDSR()), edsr_names, (580, 256, 256, 256, 256, 3)),
        (lambda: LIIF(RDN()), rdn_names, (580, 256, 256, 256, 256, 3)),
        (lambda: MetaSR(EDSR()), edsr_names, (3, 256, 1728)),
        (lambda: MetaSR(RDN()), rdn_names, (3, 256, 1728)),
    ],
)
def test_names_and_shapes_of_the_weights(network, encoder, sizes) -> None:
    own = {name: tuple(weight.shape) for name, weight in network().state_dict().items()}
    wanted = {f"encoder.{name}": shape for name, shape in encoder().items()}
    assert own == wanted | {f"imnet.{name}": shape for name, shape in perceptron_names(sizes).items()}


def test_numbers_of_parameters() -> None:
    """1.567 million for EDSR-baseline-LIIF, of which 24 are the means that are not applied; 22 million in RDN."""
    assert sum(p.numel() for p in LIIF(EDSR()).parameters()) == 1_220_416 + 24 + 346_883
    assert round(sum(p.numel() for p in RDN().parameters()) / 1e6) == 22


@pytest.mark.parametrize("make", [lambda: LIIF(edsr(), hidden=8), lambda: MetaSR(edsr(), hidden=8)])
def test_what_a_latent_sees(make: Callable[[], ContinuousNetwork]) -> None:
    """Exactly `halo` pixels on each side, by the gradient."""
    network = make().double()
    image = torch.rand(1, 3, 31, 31, dtype=torch.float64, requires_grad=True)
    network.latents(image)[..., 15, 15].sum().backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(dim=0).nonzero()[:, 0]
    assert (int(seen.min()), int(seen.max())) == (15 - network.halo, 15 + network.halo)


def test_gradients_of_the_weights_are_the_literal_ones() -> None:
    network = LIIF(edsr(), hidden=8).double()
    image = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    rows, columns = positions(5, 16), positions(6, 20)
    scale = torch.tensor([16 / 5, 20 / 6]).double()
    weights = torch.rand(16 * 20, 3, generator=torch.Generator().manual_seed(1)).double()
    trained = [p for p in network.parameters() if p.requires_grad]
    fast = network(image, rows, columns, scale)[0].permute(1, 2, 0).reshape(-1, 3)
    slow = literal.liif(network, image, literal.queries(16, 20), torch.tensor([2 / 16, 2 / 20]))
    first = torch.autograd.grad((fast * weights).sum(), trained)
    second = torch.autograd.grad((slow * weights).sum(), trained)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
