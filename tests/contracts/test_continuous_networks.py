"""What every network that makes a picture continuous keeps, and the field that it makes: forms, tiles, files, seeds."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ungrid import networks
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.fields import LatentField
from ungrid.io import load, load_model, save, save_model
from ungrid.networks import EDSR, LIIF, RDN, ContinuousNetwork, LightNetwork, MetaSR, SubPixel
from ungrid.operators import Jet
from ungrid.upscale import enlarge, tiles

Make = Callable[[int], ContinuousNetwork]


def light(seed: int) -> LightNetwork:
    network = LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    network.decoder.last.weight.data.normal_(generator=generator)  # zero at the start
    network.decoder.linear.weight.data.normal_(generator=generator)
    return network


SAMPLES: dict[str, Make] = {
    "light": light,
    "EDSR-LIIF": lambda seed: LIIF(EDSR(blocks=1, features=6, seed=seed), hidden=8, seed=seed + 1),
    "RDN-LIIF": lambda seed: LIIF(RDN(blocks=1, layers=2, growth=4, features=6, seed=seed), hidden=8, seed=seed + 1),
    "bare LIIF": lambda seed: LIIF(
        EDSR(blocks=1, features=6, seed=seed),
        hidden=8,
        local_ensemble=False,
        feat_unfold=False,
        cell_decode=False,
        seed=seed + 1,
    ),
    "EDSR for x2": lambda seed: SubPixel(EDSR(blocks=1, features=6, seed=seed), scale=2, seed=seed + 1),
    "EDSR for x4": lambda seed: SubPixel(EDSR(blocks=1, features=6, seed=seed), scale=4, seed=seed + 1),
    "EDSR-MetaSR": lambda seed: MetaSR(EDSR(blocks=1, features=6, seed=seed), hidden=8, seed=seed + 1),
}


def picture(h: int = 19, w: int = 26) -> np.ndarray:
    return np.random.default_rng(0).random((h, w, 3)).astype(np.float32)


def test_every_class_has_a_sample(concrete_classes: Callable[[ModuleType, type], set[type]]) -> None:
    assert concrete_classes(networks, ContinuousNetwork) == {type(make(0)) for make in SAMPLES.values()}


@pytest.mark.parametrize("shape", [(38, 52), (45, 61), (19, 52), (76, 104), (19, 26)])
def test_tiles_are_the_whole(make: Make, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    network = make(0)
    whole = enlarge(network, picture(), shape)
    assert network.latents(torch.zeros(1, 3, 4, 5)).shape == (1, network.channels, 4, 5)
    monkeypatch.setattr(tiles, "tile_side", lambda network: 5)
    monkeypatch.setattr(tiles, "PLACES", 40)
    np.testing.assert_allclose(enlarge(network, picture(), shape), whole, atol=1e-5)


def test_the_field_is_the_enlargement(make: Make) -> None:
    network, shape = make(0), (45, 61)
    field = LatentField.encode(network, picture())
    grid = RegularGrid(field.domain, shape)
    whole = enlarge(network, picture(), shape)
    np.testing.assert_allclose(field.on_grid(grid, footprint=True).clip(0, 1), whole, atol=1e-5)
    spacing = np.asarray(grid.spacing)
    np.testing.assert_allclose(field(grid.points(), spacing), field.on_grid(grid, footprint=True), atol=1e-5)
    part = RegularGrid(Box(Axis("y", -0.3, 0.2), Axis("x", 0.1, 0.9)), (11, 13))
    np.testing.assert_allclose(field(part.points()), field.on_grid(part), atol=1e-5)


def test_orientations(make: Make) -> None:
    """The mean over orientations turns with the picture, but for how a cell at a tie is placed."""
    network, shape = make(0), (57, 91)
    average = enlarge(network, picture(), shape, average=True)
    for turn in (lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: p.swapaxes(0, 1)):
        turned = enlarge(network, np.ascontiguousarray(turn(picture())), turn(average).shape[:2], average=True)
        np.testing.assert_allclose(turned, turn(average), atol=1e-5)


def test_wide_cells_are_averaged(make: Make) -> None:
    field = LatentField.encode(make(0), picture())
    pixel = 2 / 26
    centre = np.array([[0.1, -0.2]])
    wide = field(centre, np.array([2 * pixel, 3 * pixel]))
    steps = [(i, j) for i in (-0.5, 0.5) for j in (-1.0, 0.0, 1.0)]
    parts = [field(centre + pixel * np.array(step), np.array([pixel, pixel])) for step in steps]
    np.testing.assert_allclose(wide, np.mean(parts, axis=0), atol=1e-6)


def test_derivatives(make: Make) -> None:
    network = make(0).double()
    field, h = LatentField.encode(network, picture().astype(np.float64)).double(), 1e-6
    x = torch.tensor([[0.113, -0.207], [0.31, 0.444]]).double()
    jet = Jet(field, x)
    for name, step in zip(("y", "x"), h * torch.eye(2).double(), strict=True):
        torch.testing.assert_close(jet.d(name), (field(x + step) - field(x - step)) / (2 * h), atol=1e-5, rtol=1e-5)


def test_files(make: Make, tmp_path: Path) -> None:
    network = make(1)
    field = LatentField.encode(network, picture(), Box(Axis("y", 0.0, 1.9, "m"), Axis("x", 1.0, 3.6, "m")))
    again = load(save(field, tmp_path / "a.field"))
    points = np.array([[0.7, 2.0], [1.5, 1.2]])
    assert np.array_equal(again(points), field(points))
    assert (again.domain, again.out_names) == (field.domain, field.out_names)
    model, card = load_model(save_model(network, tmp_path / "a.model", card={"steps": 3}))
    assert card == {"steps": 3}
    assert np.array_equal(enlarge(model, picture(), (30, 40)), enlarge(network, picture(), (30, 40)))
    assert not model.training


def test_seeds_and_arguments(make: Make, same_state, check_arguments) -> None:
    before = torch.random.get_rng_state()
    assert same_state(make(3), make(3))
    assert not same_state(make(3), make(4))
    assert torch.equal(torch.random.get_rng_state(), before), "a global generator was used"
    arguments = make(5).arguments()
    assert type(make(5))(**arguments).arguments() == arguments


def test_integers_and_halves(make: Make) -> None:
    """Pictures of bytes are those of fractions; 16-bit products change little."""
    network, small = make(0), np.rint(picture() * 255).astype(np.uint8)
    plain = enlarge(network, small.astype(np.float32) / 255, (40, 50))
    np.testing.assert_allclose(enlarge(network, small, (40, 50)), plain, atol=1e-6)
    assert np.array_equal(enlarge(network, small, (40, 50), dtype=np.uint8), np.rint(plain * 255).astype(np.uint8))
    assert np.array_equal(enlarge(network, small, (40, 50), dtype=np.uint16), np.rint(plain * 65535).astype(np.uint16))
    assert np.abs(enlarge(network, small, (40, 50), bfloat16=True) - plain).mean() < 0.02
