"""Camera paths: written and read again, and smooth through given views."""

import json
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ungrid._base.errors import InputError
from ungrid.radiance.paths import looking, read_camera_path, through, write_camera_path
from ungrid.sampling import Camera


def camera_of(pose: np.ndarray, width: int = 64, height: int = 48, f: float = 50.0) -> Camera:
    return Camera(tuple(pose.ravel().tolist()), width, height, f, f, width / 2, height / 2)


def around(angle: float) -> Camera:
    """On a circle around the origin, which it looks at."""
    place = np.array([3 * math.cos(angle), 3 * math.sin(angle), 1.0])
    return camera_of(looking(place, np.zeros(3), np.array([0.0, 0.0, 1.0])))


def test_a_path_that_was_written_is_read(tmp_path):
    cameras = [around(angle) for angle in (0.0, 0.5, 2.0)]
    write_camera_path(tmp_path / "path.json", cameras, 24.0)
    again, fps = read_camera_path(tmp_path / "path.json")
    assert fps == 24.0
    for one, other in zip(again, cameras, strict=True):
        assert (one.width, one.height, one.cx, one.cy) == (64, 48, 32, 24)
        assert one.fy == pytest.approx(50)
        np.testing.assert_array_equal(one.matrix, other.matrix)


def test_a_path_has_the_fields_of_nerfstudio(tmp_path):
    write_camera_path(tmp_path / "path.json", [around(0.0)] * 12, 24.0)
    content = json.loads((tmp_path / "path.json").read_text())
    assert (content["camera_type"], content["render_width"], content["render_height"]) == ("perspective", 64, 48)
    assert content["seconds"] == pytest.approx(0.5)
    assert content["camera_path"][0]["fov"] == pytest.approx(2 * math.degrees(math.atan(24 / 50)))


def test_a_path_without_cameras_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        write_camera_path(tmp_path / "path.json", [], 24.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_path_goes_through_its_views(count):
    views = [around(0.7 * number) for number in range(count)]
    path = through(views, 10)
    assert len(path) == 10 * (count - 1) + 1
    for one, other in zip(path[::10], views, strict=True):
        np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-9)
        assert one.fy == pytest.approx(50)


def test_half_way_between_two_views():
    """The mean position, half the turn and the mean focal length, at the first one's size."""
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    turned[:3, 3] = (2.0, 4.0, 6.0)
    middle = through([camera_of(np.eye(4)), camera_of(turned, 32, 24, 50.0)], 2)[1]
    np.testing.assert_allclose(middle.position, (1, 2, 3), atol=1e-12)
    expected = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    np.testing.assert_allclose(middle.matrix[:3, :3], expected, atol=1e-12)
    assert (middle.width, middle.height) == (64, 48)
    assert middle.fy == pytest.approx((50 + 100) / 2)  # 50 pixels of 24 rows are 100 of 48


def test_one_view_is_a_path_of_one_frame():
    assert through([around(0.3)], 10) == [around(0.3)]
