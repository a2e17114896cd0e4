"""Pinhole cameras and the rays of their pixels.

Convention: camera-to-world matrices 4 x 4 with OpenGL axes (x right, y up, looking along -z), in the user's world. Pixel
centres lie at +0.5, x to the right and y down, from the picture's upper left corner. Rays have unit directions.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ungrid._base.errors import InputError

UNDISTORT_STEPS = 20
FOLDED = 1e-3  # the determinant at which a lens counts as folding back
LONGEST = 0.5  # of a step of Newton's method
NEAR_FOLD = 0.98  # of the squared radius of the fold: what counts as before it
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
        if not np.isfinite([self.cx, self.cy, *self.distortion]).all():
            raise InputError(
                f"a lens with cx {self.cx}, cy {self.cy} and distortion {self.distortion}",
                "finite numbers",
                "check the intrinsics",
            )
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

    def turned(self, quarters: int) -> "Camera":
        """The same view with the picture turned by so many quarters, counter-clockwise."""
        camera = self
        for _ in range(quarters % 4):
            matrix = camera.matrix.copy()
            matrix[:, 0], matrix[:, 1] = -camera.matrix[:, 1], camera.matrix[:, 0]
            k1, k2, p1, p2, k3 = camera.distortion
            camera = Camera(
                tuple(matrix.ravel().tolist()), camera.height, camera.width, camera.fy, camera.fx, camera.cy,
                camera.width - camera.cx, (k1, k2, -p2, p1, k3),
            )  # fmt: skip
        return camera

    def beyond(self) -> np.ndarray | None:
        """The pixels (height, width) so far out that the lens folds back there: no point shows in them. None for none."""
        k1, k2, _, _, k3 = self.distortion
        slope = np.array([7 * k3, 5 * k2, 3 * k1, 1.0])  # of r + k1 r^3 + k2 r^5 + k3 r^7, in powers of r^2
        roots = np.roots(slope)
        squares = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)]
        if not len(squares):
            return None
        s = NEAR_FOLD * squares.min()
        limit = math.sqrt(s) * (1 + s * (k1 + s * (k2 + s * k3)))
        away = np.hypot(*((self.pixels() - (self.cx, self.cy)) / (self.fx, self.fy)).T)
        return (away > limit).reshape(self.height, self.width) if away.max() > limit else None

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
    """The points that `distorted` sends to `plane`, by Newton's method; where the lens folds back, points near the fold."""
    found = plane
    for _ in range(UNDISTORT_STEPS):
        x, y = found.T
        k1, k2, p1, p2, k3 = distortion.T
        r = x * x + y * y
        radial, slope = 1 + r * (k1 + r * (k2 + r * k3)), k1 + r * (2 * k2 + r * 3 * k3)
        xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
        yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        off = plane - distorted(found, distortion)
        determinant = xx * yy - xy * xy
        good = determinant > FOLDED
        step = np.stack([yy * off[:, 0] - xy * off[:, 1], xx * off[:, 1] - xy * off[:, 0]], axis=1)
        step /= np.where(good, determinant, 1)[:, None]
        step *= np.minimum(1, LONGEST / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]
        found = np.where(good[:, None], found + step, found)
    return found


def corner_directions(camera: Camera) -> np.ndarray:
    """Unit directions (4, 3) of the corners of a picture."""
    corners = np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]]) * (camera.width, camera.height)
    return CameraArrays.of([camera]).rays(np.zeros(4, np.int64), corners)[1]


def camera_rays(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Origins and unit directions (height * width, 3) of all pixels of a camera."""
    pixels = camera.pixels()
    return CameraArrays.of([camera]).rays(np.zeros(len(pixels), np.int64), pixels)
