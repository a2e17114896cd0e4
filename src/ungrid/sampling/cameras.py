"""Pinhole cameras and the rays of their pixels.

Convention: camera-to-world matrices 4 x 4 with OpenGL axes (x right, y up, looking along -z), in the user's world. Pixel
centres lie at +0.5, x to the right and y down, from the picture's upper left corner. Rays have unit directions.
"""

from dataclasses import dataclass, replace

import numpy as np

from ungrid._base.errors import InputError

UNDISTORT_STEPS = 20
DISTORTION = ("k1", "k2", "p1", "p2", "k3")


@dataclass(frozen=True)
class Camera:
    """One view.

    Attributes:
        pose: the 16 numbers of the camera-to-world matrix, row by row.
        width, height: pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: the principal point in pixels.
        distortion: k1, k2, p1, p2, k3 of the Brown-Conrady model (Brown 1971), as OpenCV has them.
    """

    pose: tuple[float, ...]
    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.fx) and np.isfinite(self.fy) and self.fx > 0 and self.fy > 0):
            raise InputError(
                f"focal lengths of {self.fx} and {self.fy} pixels", "positive numbers", "check the intrinsics"
            )
        if self.width < 1 or self.height < 1:
            raise InputError(f"a picture of {self.width} x {self.height} pixels", "at least one")
        matrix = np.reshape(self.pose, (4, 4))
        if not np.isfinite(matrix).all():
            raise InputError("a pose with NaN or infinite numbers", "a 4 x 4 camera-to-world matrix")
        turn = matrix[:3, :3]
        if not np.allclose(turn.T @ turn, np.eye(3), atol=1e-2):
            raise InputError("a pose whose axes are not perpendicular unit vectors", "a rotation", "check the poses")
        if np.linalg.det(turn) < 0:
            raise InputError(
                "a pose with mirrored axes (determinant -1)",
                "right-handed axes: x right, y up, looking along -z",
                "one axis has the wrong sign: a left-handed system, or OpenCV axes with a single column negated",
            )

    @property
    def matrix(self) -> np.ndarray:
        """The camera-to-world matrix (4, 4)."""
        return np.reshape(self.pose, (4, 4))

    @property
    def position(self) -> np.ndarray:
        return self.matrix[:3, 3]

    @property
    def forward(self) -> np.ndarray:
        """The unit vector of the optical axis."""
        return -self.matrix[:3, 2] / np.linalg.norm(self.matrix[:3, 2])

    def resized(self, width: int, height: int) -> "Camera":
        """The same view in other pixels."""
        x, y = width / self.width, height / self.height
        return replace(self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y)

    def pixels(self) -> np.ndarray:
        """The centres (height * width, 2) of all pixels as (x, y), row by row."""
        y, x = np.mgrid[: self.height, : self.width]
        return np.stack([x.ravel(), y.ravel()], axis=1) + 0.5


@dataclass(frozen=True)
class CameraArrays:
    """Many cameras as arrays, so that rays of pixels of all of them come in one call."""

    turns: np.ndarray  # (n, 3, 3)
    positions: np.ndarray  # (n, 3)
    lenses: np.ndarray  # (n, 9): fx fy cx cy and the distortion

    @classmethod
    def of(cls, cameras: list[Camera] | tuple[Camera, ...]) -> "CameraArrays":
        """The arrays of a list of cameras."""
        poses = np.stack([camera.matrix for camera in cameras])
        lenses = np.array([(c.fx, c.fy, c.cx, c.cy, *c.distortion) for c in cameras])
        return cls(poses[:, :3, :3], poses[:, :3, 3], lenses)

    @property
    def matrices(self) -> np.ndarray:
        """The camera-to-world matrices (n, 4, 4)."""
        made = np.tile(np.eye(4), (len(self.turns), 1, 1))
        made[:, :3, :3], made[:, :3, 3] = self.turns, self.positions
        return made

    def rays(self, which: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Origins and unit directions (m, 3) of pixels (m, 2), as (x, y), of the cameras `which` (m,)."""
        lens = self.lenses[which]
        plane = (pixels - lens[:, 2:4]) / lens[:, :2]
        if lens[:, 4:].any():
            plane = undistorted(plane, lens[:, 4:])
        local = np.stack([plane[:, 0], -plane[:, 1], -np.ones(len(plane))], axis=1)
        directions = np.einsum("mij,mj->mi", self.turns[which], local)
        return self.positions[which], directions / np.linalg.norm(directions, axis=1, keepdims=True)


def distorted(plane: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """Where a lens puts points (m, 2) of the plane at distance 1, y down; `distortion` (m, 5)."""
    x, y = plane.T
    k1, k2, p1, p2, k3 = distortion.T
    r = x * x + y * y
    radial = 1 + r * (k1 + r * (k2 + r * k3))
    return np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x),
            y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=1,
    )


def undistorted(plane: np.ndarray, distortion: np.ndarray) -> np.ndarray:
    """The points that `distorted` sends to `plane`, by fixed-point iteration as in OpenCV."""
    found = plane
    for _ in range(UNDISTORT_STEPS):
        found = found + plane - distorted(found, distortion)
    return found


def camera_rays(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Origins and unit directions (height * width, 3) of all pixels of a camera."""
    pixels = camera.pixels()
    return CameraArrays.of([camera]).rays(np.zeros(len(pixels), np.int64), pixels)
