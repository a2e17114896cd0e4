"""Poses that were disturbed, and found again."""

import importlib
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
from ungrid.radiance.refine import moved, picture_slopes, pixel_motions, refined_poses, shown, some_pixels
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


def test_cameras_find_their_places_before_a_field_that_is_right(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = importlib.import_module("ungrid.radiance.reconstruct")  # whose name in the room is the function
    monkeypatch.setattr(fit, "MANY", fit.FEW)  # as smooth as a field of many photographs
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
    assert degrees < DEGREES / 10
    assert share < SHARE / 10


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
    pixels, owners = some_pixels(pictures, np.random.default_rng(0))
    np.testing.assert_array_equal(owners, pixels // 600)
    columns = pixels[owners == 0] % 30
    left, right = (columns == 14).mean(), (columns == 15).mean()
    weight = 1 + np.sqrt(3) * 255 / 2  # of either side of the edge; every other pixel has 1
    share = 20 * weight / (40 * weight + 560)
    assert left == pytest.approx(share, abs=0.05)  # standard deviations: 0.011 of draws, 0.015 of candidates
    assert right == pytest.approx(share, abs=0.05)
    counts = np.concatenate([np.arange(0, 600, 30), np.arange(600, 1200)])  # of the first only its first column
    pixels, _ = some_pixels(replace(pictures, counts=counts), np.random.default_rng(0))
    assert np.isin(pixels, counts).all()


def test_slopes_of_a_plane_are_exact(scene: Scene) -> None:
    """Colours that rise by 3 levels a column and 5 a row have those slopes at every pixel, at rims and corners, too."""
    rows, columns = np.mgrid[:20, :30]
    plane = np.repeat((3 * columns + 5 * rows).astype(np.uint8).reshape(-1, 1), 3, axis=1)
    cameras = CameraArrays.of([view.camera for view in scene.views[:2]])
    pictures = Pictures(np.concatenate([plane, plane]), np.array([0, 600, 1200]), np.array([30, 30]), 1, cameras, None)
    slopes = picture_slopes(pictures, np.arange(1200), np.repeat([0, 1], 600))
    expected = np.broadcast_to(np.array([3, 5]).reshape(1, 2, 1) / 255, slopes.shape)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


def test_motions_of_pixels_are_derivatives(scene: Scene) -> None:
    """Against central differences of where cameras see places, for turns and shifts of each axis."""
    cameras = CameraArrays.of([view.camera for view in scene.views])
    owners = np.arange(len(cameras.turns))
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (len(owners), 3))

    def pixels_of(changed: CameraArrays) -> np.ndarray:
        x, y, z = np.einsum("ni,nij->jn", places - changed.positions, changed.turns)
        return np.stack([-changed.lenses[:, 0] * x / z, changed.lenses[:, 1] * y / z], axis=1)

    found, eps = pixel_motions(cameras, owners, places), 1e-5
    for number in range(6):
        change = np.zeros((len(owners), 6))
        change[:, number] = eps
        expected = (pixels_of(moved(cameras, change)) - pixels_of(moved(cameras, -change))) / (2 * eps)
        np.testing.assert_allclose(found[:, :, number], expected, rtol=1e-6, atol=1e-6)


def test_rays_of_known_pixels_see_the_places_they_show(scene: Scene) -> None:
    """The places that pixels show, seen again by their cameras, are in those pixels; beside everything, too."""
    lattice = Lattice(reconstruct(scene, steps=100, seed=0, threads=2).field)
    pictures = read_pictures(scene.views, scene.background)
    pixels = np.random.default_rng(0).integers(0, pictures.total, 500)
    owners = np.searchsorted(pictures.first, pixels, side="right") - 1
    _, places = shown(pictures, lattice, pixels, owners)
    cameras = pictures.cameras
    x, y, z = np.einsum("ni,nij->jn", places - cameras.positions[owners], cameras.turns[owners])
    lenses, numbers = cameras.lenses[owners], pixels - pictures.first[owners]
    np.testing.assert_allclose(lenses[:, 2] - lenses[:, 0] * x / z, numbers % 48 + 0.5, atol=1e-3)
    np.testing.assert_allclose(lenses[:, 3] + lenses[:, 1] * y / z, numbers // 48 + 0.5, atol=1e-3)
