"""What every radiance field keeps: shapes, dtype, gradients, colours for every direction, its description and its file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ungrid import fields
from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.fields import BlockField, BrickField, NerfField, RadianceField
from ungrid.fields.blocks import divided
from ungrid.io import load, save

BOX = Box(Axis("x", 2.0, 5.0, "m"), Axis("y", -1.0, 2.0, "m"), Axis("z", 0.0, 3.0, "m"))
FRAME = (7 / 3, 0, 0, -14 / 3, 0, 7 / 3, 0, 7 / 3, 0, 0, 7 / 3, 0, 0, 0, 0, 1)


LONG = (7 / 3, 0, 0, -14 / 3, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1)  # to a lattice of 2 x 1 x 1 bricks


def bricks(seed: int, blocks: tuple[int, int, int] = (2, 2, 2), frame: tuple[float, ...] = FRAME) -> BrickField:
    count = int(np.prod(blocks))
    field = BrickField(BOX, blocks, count, frame=frame, background=(0.1, 0.2, 0.3), view={"width": 4}, width=5)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        field.places[:] = torch.from_numpy(np.argwhere(np.ones(blocks)))
        for weights in field.parameters():
            weights.normal_(0, 0.5, generator=random)
    return field


def blocks(seed: int) -> BlockField:
    return divided(bricks(seed, (2, 1, 1), LONG), (2, 1, 1))


def networks(seed: int) -> NerfField:
    return NerfField(
        BOX, (2, 2, 2), frame=FRAME, background=(0.1, 0.2, 0.3), view={"width": 4}, width=8, depth=3, octaves=2,
        direction_octaves=1, samples=(4, 4), seed=seed,
    )  # fmt: skip


def waves(seed: int) -> NerfField:
    return NerfField(BOX, (2, 2, 2), frame=FRAME, width=8, depth=3, octaves=0, trunk="sine", seed=seed)


SAMPLES: dict[str, Callable[[int], RadianceField]] = {
    "BlockField": blocks, "BrickField": bricks, "NerfField": networks, "NerfField, sine layers": waves,
}  # fmt: skip
Make = Callable[[int], RadianceField]


def points(*batch: int) -> Tensor:
    unit = torch.rand(*batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.tensor([2.0, -1.0, 0.0]) + 3 * (0.05 + 0.9 * unit)


def directions(*batch: int) -> Tensor:
    given = torch.randn(*batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return given / given.norm(dim=-1, keepdim=True)


def test_every_class_has_a_sample(concrete_classes: Callable[[ModuleType, type], set[type]]) -> None:
    assert concrete_classes(fields, RadianceField) == {type(make(0)) for make in SAMPLES.values()}


def test_shapes_and_dtype(make: Make, batch: tuple[int, ...]) -> None:
    field, x = make(0), points(*batch)
    assert field(x).shape == (*batch, 1)
    assert field.color(x, directions(*batch)).shape == (*batch, 3)
    assert field(x).dtype == torch.float32
    assert field.double()(x).dtype == torch.float64
    assert field.out_names == ("density",)


def test_arrays_and_grids(make: Make) -> None:
    field, grid = make(0), RegularGrid(BOX, (3, 4, 5))
    assert isinstance(field(points(5).numpy()), np.ndarray)
    np.testing.assert_allclose(field.on_grid(grid), field(grid.points()), rtol=1e-5)


def test_densities_are_positive_and_points_do_not_see_each_other(make: Make) -> None:
    field, x = make(0).double(), points(2, 3)
    one_by_one = torch.stack([torch.stack([field(point) for point in row]) for row in x])
    torch.testing.assert_close(field(x), one_by_one)
    assert (field(x) > 0).all()


def test_colours_depend_on_the_direction(make: Make) -> None:
    field, x = make(0), points(20)
    here, there = (field.color(x, sign * directions(20)) for sign in (1, -1))
    assert (here - there).abs().max() > 1e-3


def test_gradients(make: Make, check_gradients: Callable[[nn.Module, Tensor], None]) -> None:
    check_gradients(make(0), points(3))


def test_wrong_columns(make: Make) -> None:
    with pytest.raises(InputError, match="columns x, y, z"):
        make(0)(torch.zeros(4, 2))


def test_arguments_and_file(make: Make, tmp_path: Path) -> None:
    field = make(5)
    assert set(field.arguments()) == set(inspect.signature(type(field)).parameters)
    again = load(save(field, tmp_path / "a.field"))
    assert isinstance(again, RadianceField)
    assert str(again.arguments()) == str(field.arguments())  # parts are modules of their own
    assert torch.equal(again(points(5)), field(points(5)))
    assert torch.equal(again.color(points(5), directions(5)), field.color(points(5), directions(5)))
    assert again.domain == field.domain
