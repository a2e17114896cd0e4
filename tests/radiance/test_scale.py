"""Scenes in other units: the same scene, and lengths between marks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import BrickField, NerfField
from ungrid.fields.radiance import box_frame
from ungrid.io.scenes import Scene, View
from ungrid.radiance import Renderer, scale_of, scaled
from ungrid.radiance.paths import looking
from ungrid.sampling import Camera

BOX = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1))
FRAME = box_frame(BOX, (16, 16, 16))


def ball() -> BrickField:
    """A dense ball of radius 1/2 about the origin."""
    field = BrickField(BOX, (4, 4, 4), 64, frame=FRAME, view={"poses": [np.eye(4).ravel().tolist()]})
    with torch.no_grad():
        field.places[:] = torch.from_numpy(np.argwhere(np.ones((4, 4, 4))))
        local = np.argwhere(np.ones((4, 4, 4)))
        nodes = 4 * field.places.numpy()[:, None] + local
        away = torch.from_numpy(np.linalg.norm(nodes / 7.5 - 1, axis=-1)).float().ravel()
        field.nodes[64:, 0] = 60 * (0.5 - away)
        field.nodes[64:, 1:4] = 0.5
        for weights in (field.first, field.second, field.last):
            weights.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    return field


def camera(distance=3.0, size=64):
    matrix = looking(np.array([0.0, -distance, 0.4]), np.zeros(3), np.array([0.0, 0, 1]))
    return Camera(tuple(matrix.ravel().tolist()), size, size, 90.0, 90.0, size / 2, size / 2)


@pytest.mark.parametrize(
    "make", [ball, lambda: NerfField(BOX, (4, 4, 4), frame=FRAME, width=8, depth=3, samples=(8, 8))]
)
def test_a_scaled_field_is_the_same_scene_seen_from_further_away(make):
    field = make()
    large, near = scaled(field, 1000.0, "mm"), camera()
    pose = near.matrix.copy()
    pose[:3, 3] *= 1000
    there = replace(near, pose=tuple(pose.ravel().tolist()))
    np.testing.assert_allclose(Renderer(large).view(there), Renderer(field).view(near), atol=2e-3)
    x = np.random.default_rng(0).uniform(-0.9, 0.9, (50, 3))
    np.testing.assert_allclose(large(1000 * x), field(x) / 1000, rtol=2e-2, atol=1e-6)  # an optical depth has no unit
    assert [axis.unit for axis in large.domain.axes] == ["mm"] * 3
    assert large.domain.high.tolist() == [1000.0] * 3
    for name, value in scaled(large, 1e-3, "").state_dict().items():
        assert torch.equal(value, field.state_dict()[name])


def test_the_distance_between_two_marks_sets_the_scale(tmp_path):
    """Marks left and right of the ball's middle, at the depth of its surface: the distance is known in the world."""
    field, view = ball(), View("a/one.png", tmp_path / "one.png", camera())
    scene = Scene((view,), (), (1.0, 1.0, 1.0))
    factor, unit = scale_of(field, scene, "one.png:26,32", "a/one.png:38,32", "25 mm")
    places, _ = Renderer(field).places(
        np.repeat(view.camera.position[None], 2, axis=0),
        np.stack([_towards(view.camera, x) for x in (26.0, 38.0)]),
    )
    assert factor == pytest.approx(25 / np.linalg.norm(places[0] - places[1]))
    assert unit == "mm"
    assert np.linalg.norm(places, axis=1) == pytest.approx([0.5, 0.5], abs=0.05)


def _towards(seen, x):
    local = np.array([(x - seen.cx) / seen.fx, 0.0, -1.0])
    return seen.matrix[:3, :3] @ local / np.linalg.norm(local)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (("one:26,32", "one:38,32", "long"), "the length 'long'"),
        (("one:26,32", "one:38,32", "-3mm"), "the length '-3mm'"),
        (("one:26,32", "one:38,32", "1.2.3mm"), "the length '1.2.3mm'"),
        (("one:26;32", "one:38,32", "3mm"), "the mark 'one:26;32'"),
        (("one:2.6.1,32", "one:38,32", "3mm"), "the mark 'one:2.6.1,32'"),
        (("two:26,32", "one:38,32", "3mm"), "no photograph 'two'"),
        (("one:26,32", "one:99,32", "3mm"), "beside its photograph"),
        (("one:26,32", "one:1,1", "3mm"), "opaque"),
        (("one:26,32", "one:26,32", "3mm"), "at one place"),
    ],
)
def test_what_gives_no_scale_is_said(tmp_path, marks, words):
    scene = Scene((View("one", tmp_path / "one.png", camera()),), (), (1.0, 1.0, 1.0))
    with pytest.raises(InputError, match=words):
        scale_of(ball(), scene, *marks)
