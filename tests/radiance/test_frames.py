"""Frames: where the cameras look, and rays that stay straight."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.io.test_scenes import llff, transforms
from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import BrickField
from ungrid.io.scenes import Scene, read_scene
from ungrid.radiance import Renderer, reconstruct
from ungrid.radiance.frames import extent_of, lattice_rays, meeting_point
from ungrid.sampling import Camera, camera_rays


def test_axes_meet_where_the_cameras_look(tmp_path: Path) -> None:
    cameras = [view.camera for view in read_scene(transforms(tmp_path)).views]
    np.testing.assert_allclose(meeting_point(cameras), 0, atol=1e-12)


@pytest.mark.parametrize("writer", [transforms, llff])
def test_rays_of_the_world_are_rays_of_the_lattice(writer: Callable[[Path], Path], tmp_path: Path) -> None:
    """Points along a ray of the world, sent through the frame, lie on the lattice's ray, in the same order."""
    scene = read_scene(writer(tmp_path), holdout=0)
    extent = extent_of(scene)
    blocks = extent.blocks(32)
    field = BrickField(extent.domain, blocks, 0, frame=extent.frame(blocks))
    matrix = np.reshape(field.frame, (4, 4))
    met = 0
    for view in scene.views:
        origins, directions = camera_rays(view.camera)
        start, along = lattice_rays(field, origins, directions)
        assert (start[:, 2] > -1e-3).all() or not scene.forward_facing
        last = np.full(len(origins), -np.inf)
        for depth in (2.0, 2.6, 4.0, 30.0):
            points = np.concatenate([origins + depth * directions, np.ones((len(origins), 1))], axis=1) @ matrix.T
            there = points[:, :3] / points[:, 3:]
            t = np.einsum("ni,ni->n", there - start, along) / np.einsum("ni,ni->n", along, along)
            np.testing.assert_allclose(start + t[:, None] * along, there, atol=2e-3)
            assert (t > last).all()
            last = t
            met += ((there > 0) & (there < np.array(field.shape) - 1)).all(axis=1).sum()
    assert met > 100


def test_a_forward_facing_scene_reaches_to_infinity(tmp_path: Path) -> None:
    scene = read_scene(llff(tmp_path), holdout=0)
    extent = extent_of(scene)
    blocks = extent.blocks(32)
    matrix = np.reshape(extent.frame(blocks), (4, 4))
    far = matrix @ [0, 0, -1e9, 1]
    middle = np.mean(
        [view.camera.position for view in scene.views], axis=0
    )  # of an arc, symmetric about its third view
    near = matrix @ [*(middle + 0.75 * 2.0 * scene.views[2].camera.forward), 1]
    assert far[2] / far[3] == pytest.approx(4 * blocks[2] - 1, rel=1e-6)
    assert near[2] / near[3] == pytest.approx(0, abs=1e-3)  # its pitch is that of the mean axis, normalised


def test_a_given_box_is_kept(tmp_path: Path) -> None:
    box = Box(x=(-1, 2), y=(0, 1), z=(-3, 3))
    extent = extent_of(read_scene(transforms(tmp_path)), box)
    blocks = extent.blocks(64)
    assert blocks == (8, 3, 16)
    frame = np.reshape(extent.frame(blocks), (4, 4))
    corners = np.stack([frame @ [*box.low, 1], frame @ [*box.high, 1]])[:, :3]
    assert (corners > -1e-9).all()
    assert (corners < 4 * np.array(blocks) - 1 + 1e-9).all()


def test_what_stands_alone_may_fill_the_longer_side(tmp_path: Path) -> None:
    """Pictures of 12 x 8 pixels: half their width at the middle's distance; half their height with surroundings."""
    scene = read_scene(transforms(tmp_path))
    camera = scene.views[0].camera
    away = float(np.linalg.norm(camera.position))
    for unbounded, half in ((False, camera.width / 2 / camera.fx), (True, camera.height / 2 / camera.fy)):
        domain = extent_of(scene, unbounded=unbounded).domain
        np.testing.assert_allclose((domain.high - domain.low) / 2, 1.03 * away * half, rtol=1e-9)


def moved(scene: Scene, change: Callable[[Camera], Camera]) -> Scene:
    """The scene with other cameras, and none held out."""
    views = tuple(replace(view, camera=change(view.camera)) for view in scene.views)
    return replace(scene, views=views, held_out=())


def test_cameras_at_one_place_are_refused(tmp_path: Path) -> None:
    def at_one_place(camera: Camera) -> Camera:
        pose = camera.matrix.copy()
        pose[:3, 3] = 1.0
        return Camera(tuple(pose.ravel().tolist()), 12, 8, 15.0, 15.0, 6.0, 4.0)

    with pytest.raises(InputError, match="at one place"):
        extent_of(moved(read_scene(transforms(tmp_path)), at_one_place))


def test_cameras_that_look_away_are_refused(tmp_path: Path) -> None:
    """OpenCV axes where OpenGL's are expected: the second and the third column have the other sign."""

    def flipped(camera: Camera) -> Camera:
        pose = camera.matrix @ np.diag([1.0, -1, -1, 1])
        return Camera(tuple(pose.ravel().tolist()), 12, 8, 15.0, 15.0, 6.0, 4.0)

    with pytest.raises(InputError, match="look away"):
        extent_of(moved(read_scene(transforms(tmp_path)), flipped))


def test_what_is_seen_from_one_side_becomes_opaque(tmp_path: Path) -> None:
    """White photographs before a white background would be right without anything: but infinity is in the lattice."""
    scene = read_scene(llff(tmp_path), holdout=0, background=1.0)
    for view in scene.views:
        Image.new("RGB", (view.camera.width, view.camera.height), "white").save(view.path)
    field = reconstruct(scene, steps=150, seed=0, threads=1).field
    assert field.background == (1.0, 1.0, 1.0)
    for view in scene.views:
        assert Renderer(field).view(view.camera, "opacity").mean() > 0.95
