"""A field in blocks is the field: its numbers, and its pictures sample for sample, by one process or by two."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.radiance.conftest import CUBE
from ungrid._base.errors import InputError
from ungrid.fields import BlockField, BrickField
from ungrid.fields.blocks import divided, joined
from ungrid.io import load, save
from ungrid.radiance import Renderer
from ungrid.radiance.paths import looking
from ungrid.sampling import Camera

COUNTS = [(2, 1, 1), (1, 3, 1), (2, 2, 1), (3, 2, 3)]


def cameras() -> list[Camera]:
    """Outside and within, from all sides."""
    places = np.random.default_rng(5).standard_normal((6, 3)) * np.linspace(0.2, 4, 6)[:, None]
    poses = [looking(place, np.zeros(3), np.array([0.0, 0.0, 1.0])) for place in places]
    return [Camera(tuple(pose.ravel().tolist()), 40, 30, 30.0, 30.0, 20.0, 15.0) for pose in poses]


@pytest.mark.parametrize("counts", COUNTS)
def test_values_are_those_of_the_whole(field: BrickField, counts: tuple[int, int, int]) -> None:
    blocks, random = divided(field, counts), np.random.default_rng(0)
    nodes = np.stack(np.meshgrid(*[np.linspace(-1, 1, 12)] * 3), axis=-1).reshape(
        -1, 3
    )  # also on the faces between blocks
    points = np.concatenate([random.uniform(-1.1, 1.1, (3000, 3)), nodes])
    directions = torch.from_numpy(random.standard_normal(points.shape))
    np.testing.assert_allclose(blocks(points), field(points), rtol=1e-5)
    given = torch.from_numpy(points)
    torch.testing.assert_close(blocks.color(given, directions), field.color(given, directions))


@pytest.mark.parametrize("counts", COUNTS)
def test_every_brick_has_one_owner(field: BrickField, counts: tuple[int, int, int]) -> None:
    blocks = divided(field, counts)
    own = [part.places.numpy()[blocks.owns(k)] for k, part in enumerate(blocks.parts)]
    every = np.concatenate(own)
    assert len(every) == field.kept
    assert {tuple(place) for place in every.tolist()} == {tuple(place) for place in field.places.tolist()}
    points = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (500, 3)))
    torch.testing.assert_close(joined(blocks)(points), field(points))


def test_blocks_have_equally_many_bricks() -> None:
    places = np.argwhere(np.ones((6, 2, 2)))
    field = BrickField(CUBE, (6, 2, 2), len(places), width=4)
    field.places[:] = torch.from_numpy(places)
    assert divided(field, (3, 1, 2)).cuts == ((0, 2, 4), (0,), (0, 1))


def test_rays_meet_blocks_in_their_order(field: BrickField) -> None:
    blocks, random = divided(field, (3, 2, 3)), np.random.default_rng(1)
    start, along = random.uniform(0, 11, (50, 3)), random.standard_normal((50, 3))
    for one, way, order in zip(start, along, blocks.order(along), strict=True):
        met = blocks.block_of(torch.from_numpy(one + np.linspace(-30, 30, 5000)[:, None] * way)).numpy()
        found = [number for number, _ in itertools.groupby(met.tolist())]
        assert [number for number in order if number in found] == found


@pytest.mark.parametrize("counts", COUNTS)
def test_pictures_are_those_of_the_whole(field: BrickField, counts: tuple[int, int, int]) -> None:
    """The order in which a ray's samples are added up is all that differs."""
    whole, blocks = Renderer(field), Renderer(divided(field, counts))
    for camera in cameras():
        for quantity in ("value", "opacity", "depth", "normals"):
            np.testing.assert_allclose(
                blocks.view(camera, quantity), whole.view(camera, quantity), atol=1e-5, rtol=1e-4
            )
    assert whole.view(cameras()[0]).std() > 0.05


PROGRAM = """
import sys
import numpy as np, torch, torch.distributed as dist
from pathlib import Path
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
from tests.radiance.test_blocks import cameras
from ungrid.io import load
from ungrid.radiance import Renderer
renderer = Renderer(load(folder / "blocks.field"))
assert len(renderer.shares) == 1
np.save(folder / f"pictures{rank}.npy", np.stack([renderer.view(camera) for camera in cameras()]))
"""


@pytest.mark.slow
def test_two_processes_render_what_one_does(field: BrickField, tmp_path: Path) -> None:
    save(divided(field, (2, 1, 1)), tmp_path / "blocks.field")
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    running = [subprocess.Popen([*words, str(rank)], env=environment) for rank in range(2)]
    for process in running:
        assert process.wait(200) == 0
    again, renderer = load(tmp_path / "blocks.field"), Renderer(field)
    assert isinstance(again, BlockField)
    truth = np.stack([renderer.view(camera) for camera in cameras()])
    for rank in range(2):
        np.testing.assert_allclose(np.load(tmp_path / f"pictures{rank}.npy"), truth, atol=1e-5)


def test_what_cannot_be_divided(field: BrickField) -> None:
    with pytest.raises(InputError, match="no more than there are bricks"):
        divided(field, (4, 1, 1))
    contracted = BrickField(**{**field.arguments(), "contracted": True})
    contracted.load_state_dict(field.state_dict())
    with pytest.raises(InputError, match="within a box"):
        divided(contracted, (2, 1, 1))
    one, other = divided(field, (2, 1, 1)).parts
    with pytest.raises(InputError, match="rising numbers"):
        BlockField((one, other), ((0, 5), (0,), (0,)))
    with pytest.raises(InputError, match="different lattices"):
        BlockField((one, BrickField(**{**field.arguments(), "frame": (1.0,) * 16})), ((0, 1), (0,), (0,)))
