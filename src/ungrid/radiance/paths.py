"""Camera paths: around a scene, before it, through given views, and in nerfstudio's file.

Convention: `ungrid.sampling.cameras`. A field's ``view`` holds the size, the lens and the poses of the cameras that it was
fitted to.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from ungrid._base.errors import InputError
from ungrid.fields import Field, RadianceField
from ungrid.io.files import decoding, existing_file, replacing
from ungrid.io.scenes import Scene
from ungrid.radiance.frames import meeting_point
from ungrid.sampling import Camera

SWAY = 0.6  # of a spiral, as a share of how far apart the cameras stand


def seen_by(scene: Scene) -> dict[str, Any]:
    """A typical camera and where all of them stand, for rendering without the photographs."""
    cameras = [view.camera for view in scene.views]
    first = cameras[0]
    return {
        "width": first.width, "height": first.height, "fx": first.fx, "fy": first.fy, "cx": first.cx, "cy": first.cy,
        "poses": [list(camera.pose) for camera in cameras], "forward_facing": scene.forward_facing,
    }  # fmt: skip


def own_cameras(field: Field) -> list[Camera]:
    """The cameras that a field was fitted to.

    Raises:
        InputError: if it has none.
    """
    view = field.view if isinstance(field, RadianceField) else {}
    if not view.get("poses"):
        raise InputError("a field without cameras of its own", "a camera path", "name one with --camera PATH.json")
    lens = {name: view[name] for name in ("width", "height", "fx", "fy", "cx", "cy")}
    return [Camera(tuple(pose), **lens) for pose in view["poses"]]


def orbit(field: Field, frames: int) -> list[Camera]:
    """A turn around the scene at the cameras' mean distance and height; a spiral before one that they face from one side."""
    cameras = own_cameras(field)
    poses = np.stack([camera.matrix for camera in cameras])
    if isinstance(field, RadianceField) and field.view.get("forward_facing"):
        return _spiral(cameras, poses, frames)
    center = meeting_point(cameras)
    up = poses[:, :3, 1].mean(axis=0)
    up /= np.linalg.norm(up)
    away = poses[:, :3, 3] - center
    height = float(np.mean(away @ up))
    radius = float(np.mean(np.linalg.norm(away - np.outer(away @ up, up), axis=1)))
    first = away[0] - (away[0] @ up) * up
    first /= np.linalg.norm(first)
    second = np.cross(up, first)
    made = []
    for angle in 2 * math.pi * np.arange(frames) / frames:
        place = center + radius * (math.cos(angle) * first + math.sin(angle) * second) + height * up
        made.append(_moved(cameras[0], looking(place, center, up)))
    return made


def _spiral(cameras: list[Camera], poses: np.ndarray, frames: int) -> list[Camera]:
    """Around the mean position, looking at what all cameras look at."""
    center = meeting_point(cameras)
    spread = SWAY * poses[:, :3, 3].std(axis=0).max()
    middle, up = poses[:, :3, 3].mean(axis=0), poses[:, :3, 1].mean(axis=0)
    right = poses[:, :3, 0].mean(axis=0)
    made = []
    for angle in 2 * math.pi * np.arange(frames) / frames:
        place = middle + spread * (math.cos(angle) * right + math.sin(angle) * up)
        made.append(_moved(cameras[0], looking(place, center, up)))
    return made


def looking(place: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The camera-to-world matrix (4, 4) of a camera at a place that looks at a target."""
    back = (place - target) / np.linalg.norm(place - target)
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3] = np.stack([right, np.cross(back, right), back, place], axis=1)
    return matrix


def _moved(camera: Camera, matrix: np.ndarray) -> Camera:
    return Camera(
        tuple(matrix.ravel().tolist()), camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy
    )


def read_camera_path(path: Path) -> tuple[list[Camera], float | None]:
    """nerfstudio's `camera_path.json`: the cameras, and the frames a second where it says them.

    Raises:
        InputError: if it is no camera path, or has none but perspective cameras.
    """
    with decoding(existing_file(path), "a camera path"):
        content: dict[str, Any] = json.loads(path.read_text())
        if content.get("camera_type", "perspective") != "perspective":
            raise InputError(f"{path.name} with {content['camera_type']} cameras", "perspective cameras")
        width, height = int(content["render_width"]), int(content["render_height"])
        cameras = []
        for frame in content["camera_path"]:
            pose = np.asarray(frame["camera_to_world"], dtype=float).reshape(4, 4)
            f = 0.5 * height / math.tan(0.5 * math.radians(float(frame["fov"])))
            cameras.append(Camera(tuple(pose.ravel().tolist()), width, height, f, f, width / 2, height / 2))
        rate = float(content["fps"]) if content.get("fps") else None
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"{path.name} with {rate:g} frames a second", "a positive number")
    if not cameras:
        raise InputError(f"{path.name} without cameras", "at least one in camera_path")
    return cameras, rate


def write_camera_path(path: Path, cameras: list[Camera], fps: float) -> None:
    """Write cameras as `read_camera_path` reads them: the first one's size for all, principal points in the middle.

    Args:
        path: where to.
        cameras: one for each frame.
        fps: frames a second.

    Raises:
        InputError: if there are none, or the file cannot be written.
    """
    if not cameras:
        raise InputError("a camera path without cameras", "at least one")
    first = cameras[0]
    frames = [
        {
            "camera_to_world": list(camera.pose),
            "fov": math.degrees(2 * math.atan(0.5 * camera.height / camera.fy)),
            "aspect": first.width / first.height,
        }
        for camera in cameras
    ]
    content = {
        "camera_type": "perspective", "render_width": first.width, "render_height": first.height, "fps": fps,
        "seconds": len(cameras) / fps, "camera_path": frames,
    }  # fmt: skip
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content))


def through(views: list[Camera], between: int) -> list[Camera]:
    """A smooth path of cameras through views: `between` frames from one to the next, and one for the last.

    Positions follow a cubic spline, turns one with continuous angular velocity and acceleration (scipy's `RotationSpline`), the
    focal lengths in heights of the picture are linear in between. All have the size of the first view.
    """
    if len(views) < 2:
        return list(views)
    times = np.arange(len(views), dtype=float)
    frames = np.linspace(0.0, times[-1], between * (len(views) - 1) + 1)
    poses = np.stack([view.matrix for view in views])
    made = np.tile(np.eye(4), (len(frames), 1, 1))
    made[:, :3, :3] = RotationSpline(times, Rotation.from_matrix(poses[:, :3, :3]))(frames).as_matrix()
    made[:, :3, 3] = CubicSpline(times, poses[:, :3, 3])(frames)
    width, height = views[0].width, views[0].height
    focal = height * np.interp(frames, times, [view.fy / view.height for view in views])
    return [
        Camera(tuple(pose.ravel().tolist()), width, height, f, f, width / 2, height / 2)
        for pose, f in zip(made, focal.tolist(), strict=True)
    ]
