"""Cameras: rays against projection, lenses against their inverse, and what is refused."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.kernels import rays as kernels
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


Lens = tuple[float, float, float, float, float]
STRONG: list[Lens] = [
    (-0.3, 0.0, 0.0, 0.0, 0.0),
    (0.4, 0.0, 0.0, 0.0, 0.0),
    (0.2, -0.1, 0.004, -0.003, 0.02),
    (-0.25, 0.05, 0.0, 0.0, 0.0),
]


def fold(lens: Lens) -> float:
    """The radius at which the radial part of a lens stops growing, on a fine grid; 2 if it does not before."""
    r = np.linspace(0, 2, 200_001)
    grown = r * (1 + r**2 * (lens[0] + r**2 * (lens[1] + r**2 * lens[4])))
    turns = np.flatnonzero(np.diff(grown) <= 0)
    return float(r[turns[0]]) if len(turns) else 2.0


@pytest.mark.parametrize("lens", STRONG)
def test_strong_lenses_are_undone_up_to_their_fold(lens: Lens) -> None:
    random = np.random.default_rng(0)
    radius, angle = 0.95 * fold(lens) * np.sqrt(random.uniform(0, 1, 300)), random.uniform(0, 2 * np.pi, 300)
    plane = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = undistorted(distorted(plane, np.tile(lens, (300, 1))), np.tile(lens, (300, 1)))
    np.testing.assert_allclose(found, plane, atol=1e-9)
    numbers = np.array([1.0, 1, 0, 0, *lens])
    bent = distorted(plane, np.tile(lens, (300, 1)))
    np.testing.assert_allclose([kernels.undistorted(*point, numbers) for point in bent], plane, atol=1e-9)


@pytest.mark.parametrize("lens", STRONG)
def test_rays_are_finite_and_pixels_beyond_the_fold_are_known(lens: Lens) -> None:
    """Of a picture five focal lengths wide: beyond is what no point before the fold comes to, but for a rim of 2 %."""
    view = Camera(IDENTITY, 50, 50, 10.0, 10.0, 25.0, 25.0, lens)
    assert np.isfinite(camera_rays(view)[1]).all()
    away = np.linalg.norm((view.pixels() - 25) / 10, axis=1)
    r = fold(lens)
    most = r * (1 + r**2 * (lens[0] + r**2 * (lens[1] + r**2 * lens[4])))
    beyond = view.beyond()
    if r == 2.0:
        assert beyond is None
    else:
        assert beyond is not None
        assert beyond.ravel()[away > most].all()
        assert not beyond.ravel()[away < 0.98 * most].any()


@pytest.mark.parametrize("quarters", range(4))
def test_a_turned_camera_sees_the_same_along_turned_pixels(quarters: int) -> None:
    view = camera(turned(1), LENS)
    rays = camera_rays(view)[1].reshape(view.height, view.width, 3)
    after = view.turned(quarters)
    np.testing.assert_allclose(
        camera_rays(after)[1].reshape(after.height, after.width, 3), np.rot90(rays, quarters), atol=1e-12
    )


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
        ({"cx": float("nan")}, "cx nan"),
        ({"distortion": (0.0, 0.0, float("inf"), 0.0, 0.0)}, "distortion"),
        ({"pose": tuple(np.diag([1.0, 1.0, -1.0, 1.0]).ravel())}, "mirrored axes"),
        ({"pose": tuple(np.diag([2.0, 1.0, 1.0, 1.0]).ravel())}, "perpendicular unit vectors"),
        ({"pose": (float("nan"), *IDENTITY[1:])}, "NaN"),
    ],
)
def test_impossible_cameras_are_refused(change: dict[str, object], message: str) -> None:
    given = {"pose": IDENTITY, "width": 8, "height": 6, "fx": 9.0, "fy": 9.0, "cx": 4.0, "cy": 3.0}
    with pytest.raises(InputError, match=message):
        Camera(**{**given, **change})  # type: ignore[arg-type]
