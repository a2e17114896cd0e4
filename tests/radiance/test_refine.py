"""Poses that were disturbed, and found again."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ungrid.io.scenes import Scene, read_scene
from ungrid.kernels.blas import single_threaded_blas
from ungrid.radiance import reconstruct
from ungrid.radiance.builtin import write_scene
from ungrid.radiance.lattice import Lattice
from ungrid.radiance.pictures import Pictures, read_pictures, smaller
from ungrid.radiance.refine import contrast, moved, refined_poses, some_pixels
from ungrid.sampling import CameraArrays

DEGREES, SHARE = 1.0, 0.01


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=20, tests=2, size=48, glossy=False))


def disturbed(cameras: CameraArrays) -> CameraArrays:
    """Every camera turned by a degree and moved by a hundredth of its distance, in random directions."""
    random = np.random.default_rng(0)
    axes = random.standard_normal((2, len(cameras.turns), 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    away = np.linalg.norm(cameras.positions, axis=1, keepdims=True)
    return moved(cameras, np.concatenate([np.radians(DEGREES) * axes[0], SHARE * away * axes[1]], axis=1))


def errors(cameras: CameraArrays, truth: CameraArrays) -> tuple[float, float]:
    """Median degrees, and median shares of the distance."""
    turns = Rotation.from_matrix(cameras.turns @ truth.turns.transpose(0, 2, 1)).magnitude()
    shifts = np.linalg.norm(cameras.positions - truth.positions, axis=1) / np.linalg.norm(truth.positions, axis=1)
    return float(np.degrees(np.median(turns))), float(np.median(shifts))


def test_cameras_find_their_places_before_a_field_that_is_right(scene: Scene) -> None:
    field = reconstruct(scene, steps=600, seed=0, threads=2).field
    lattice, pictures = Lattice(field), smaller(read_pictures(scene.views, scene.background), 1)
    truth = pictures.cameras
    shown = replace(pictures, cameras=disturbed(truth))
    assert errors(shown.cameras, truth) == pytest.approx((DEGREES, SHARE), rel=1e-6)
    random = np.random.default_rng(1)
    with single_threaded_blas():
        for _ in range(16):
            shown = replace(shown, cameras=refined_poses(shown, lattice, random))
    degrees, share = errors(shown.cameras, truth)
    assert degrees < DEGREES / 5
    assert share < SHARE / 5


def test_a_turn_keeps_the_place_and_a_shift_the_direction(scene: Scene) -> None:
    cameras = CameraArrays.of([view.camera for view in scene.views])
    count = len(cameras.turns)
    turned = moved(cameras, np.tile([0, 0, 0.1, 0, 0, 0], (count, 1)))
    np.testing.assert_allclose(turned.positions, cameras.positions)
    ahead = -turned.turns[:, :, 2]
    expected = Rotation.from_rotvec([0, 0, 0.1]).apply(-cameras.turns[:, :, 2])
    np.testing.assert_allclose(ahead, expected, atol=1e-12)
    shifted = moved(cameras, np.tile([0, 0, 0, 1, 2, 3], (count, 1)))
    np.testing.assert_allclose(shifted.positions - cameras.positions, np.tile([1, 2, 3], (count, 1)))
    np.testing.assert_allclose(shifted.turns, cameras.turns)


def test_pixels_are_drawn_where_colours_change(scene: Scene) -> None:
    """Two photographs of 20 x 30 pixels: black and white halves, and grey all over."""
    halves = np.zeros((20, 30, 3), np.uint8)
    halves[:, 15:] = 255
    colors = np.concatenate([halves.reshape(-1, 3), np.full((600, 3), 128, np.uint8)])
    cameras = CameraArrays.of([view.camera for view in scene.views[:2]])
    pictures = Pictures(colors, np.array([0, 600, 1200]), np.array([30, 30]), 1, cameras, None)
    expected = np.zeros((20, 30))
    expected[:, 14] = np.sqrt(3) * 255
    np.testing.assert_allclose(contrast(pictures, np.arange(600), 0).reshape(20, 30), expected, rtol=1e-6)
    pixels, owners = some_pixels(pictures, np.random.default_rng(0))
    np.testing.assert_array_equal(owners, pixels // 600)
    columns = pixels[owners == 0] % 30
    assert 0.89 < (columns == 14).mean() < 0.98  # 0.939: 20 * (1 + 441.7) of that and 580; drawn twice, 0.012
    counts = np.concatenate([np.arange(0, 600, 30), np.arange(600, 1200)])  # of the first only its first column
    pixels, _ = some_pixels(replace(pictures, counts=counts), np.random.default_rng(0))
    assert np.isin(pixels, counts).all()
