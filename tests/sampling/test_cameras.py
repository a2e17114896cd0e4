"""Cameras: rays against projection, lenses against their inverse, and what is refused."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.sampling import Camera, CameraArrays, camera_rays
from ungrid.sampling.cameras import distorted, undistorted

LENS = (0.08, -0.05, 0.003, -0.002, 0.01)
IDENTITY = tuple(np.eye(4).ravel().tolist())


def turned(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    q, _ = np.linalg.qr(random.standard_normal((3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = q * np.sign(np.linalg.det(q))
    matrix[:3, 3] = random.standard_normal(3)
    return matrix


def camera(pose: np.ndarray, distortion: tuple[float, ...] = (0.0,) * 5) -> Camera:
    return Camera(tuple(pose.ravel().tolist()), 8, 6, 10.0, 11.0, 3.7, 3.2, distortion)  # type: ignore[arg-type]


@pytest.mark.parametrize("distortion", [(0.0,) * 5, LENS])
def test_points_on_rays_project_to_their_pixels(distortion: tuple[float, ...]) -> None:
    """The textbook projection of a point at any depth along the ray: x right, y up, looking along -z."""
    cameras = [camera(turned(k), distortion) for k in range(3)]
    random = np.random.default_rng(0)
    which, pixels = random.integers(0, 3, 100), random.uniform(0, 6, (100, 2))
    origins, directions = CameraArrays.of(cameras).rays(which, pixels)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    points = origins + random.uniform(0.5, 9, (100, 1)) * directions
    for point, number, pixel in zip(points, which, pixels, strict=True):
        x, y, z, _ = np.linalg.inv(cameras[number].matrix) @ [*point, 1]
        assert z < 0
        plane = distorted(np.array([[x / -z, y / z]]), np.array([distortion]))[0]
        assert 10 * plane[0] + 3.7 == pytest.approx(pixel[0], abs=1e-9)
        assert 11 * plane[1] + 3.2 == pytest.approx(pixel[1], abs=1e-9)


def test_a_lens_is_undone() -> None:
    plane = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    lens = np.tile(LENS, (50, 1))
    np.testing.assert_allclose(undistorted(distorted(plane, lens), lens), plane, atol=1e-12)


def test_the_ray_of_the_principal_point_is_the_optical_axis() -> None:
    view = Camera(IDENTITY, 8, 6, 10.0, 10.0, 4.0, 3.0)
    _, directions = CameraArrays.of([view]).rays(np.array([0]), np.array([[4.0, 3.0]]))
    np.testing.assert_allclose(directions, [[0, 0, -1]])
    np.testing.assert_allclose(view.forward, [0, 0, -1])


def test_pixels_run_row_by_row_to_the_right_and_down() -> None:
    view = Camera(IDENTITY, 4, 2, 5.0, 5.0, 2.0, 1.0)
    _, directions = camera_rays(view)
    assert directions.shape == (8, 3)
    assert (np.diff(directions[:4, 0]) > 0).all()
    assert (directions[:4, 1] > 0).all()
    assert (directions[4:, 1] < 0).all()


def test_a_smaller_picture_shows_the_same() -> None:
    view = camera(turned(0))
    small = view.resized(4, 3)
    which = np.zeros(1, int)
    whole = CameraArrays.of([view]).rays(which, np.array([[5.0, 2.0]]))[1]
    np.testing.assert_allclose(CameraArrays.of([small]).rays(which, np.array([[2.5, 1.0]]))[1], whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": 0.0}, "focal lengths"),
        ({"fy": float("nan")}, "focal lengths"),
        ({"width": 0}, "0 x 6 pixels"),
        ({"pose": tuple(np.diag([1.0, 1.0, -1.0, 1.0]).ravel())}, "mirrored axes"),
        ({"pose": tuple(np.diag([2.0, 1.0, 1.0, 1.0]).ravel())}, "perpendicular unit vectors"),
        ({"pose": (float("nan"), *IDENTITY[1:])}, "NaN"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, object], message: str) -> None:
    given = {"pose": IDENTITY, "width": 8, "height": 6, "fx": 9.0, "fy": 9.0, "cx": 4.0, "cy": 3.0}
    with pytest.raises(InputError, match=message):
        Camera(**{**given, **change})  # type: ignore[arg-type]
