"""Where a scene lies: the box, or the projective frame, that its cameras see; and rays in the lattice's coordinates.

Convention: `ungrid.fields.radiance` says what a frame is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.fields import RadianceField
from ungrid.fields.radiance import BRICK, inner_cube
from ungrid.io.scenes import Scene
from ungrid.kernels import rays as kernels
from ungrid.sampling import Camera, CameraArrays, corner_directions

NAMES = ("x", "y", "z")
NEARER = 0.75  # the near plane, as a share of the nearest depth (Mildenhall et al. 2020, appendix C)
PLANES = 0.35  # nodes in depth of a projective frame, as a share of those across
MARGIN = 1.03


@dataclass(frozen=True)
class Extent:
    """What a lattice covers, before its number of nodes is chosen.

    Attributes:
        domain: a box of the world around it.
        base: (4, 4), from homogeneous points of the world to coordinates in which the lattice's axes have `lengths`.
        lengths: of the lattice along its axes; their ratios are those of the nodes.
        contracted: whether that is the inner half of a lattice of all space.
    """

    domain: Box
    base: np.ndarray
    lengths: np.ndarray
    contracted: bool = False

    def blocks(self, longest: int) -> tuple[int, int, int]:
        """Bricks along each axis, for about `longest` nodes along the longest."""
        x, y, z = (max(2, round(longest * a / self.lengths.max() / BRICK)) for a in self.lengths)
        return x, y, z

    def frame(self, blocks: tuple[int, int, int]) -> tuple[float, ...]:
        """The frame of a lattice of so many bricks; a margin keeps what lies on the faces inside."""
        nodes = BRICK * np.array(blocks) - 1.0
        scale = nodes / self.lengths
        if self.contracted:
            scale = 2 * inner_cube(BRICK * blocks[0])[1] / self.lengths
        if np.allclose(self.base[3], (0, 0, 0, 1)):
            scale[:] = scale.min()  # one scale for all axes, the middles on each other
        to_nodes = np.diag([*scale, 1.0])
        to_nodes[:3, 3] = (nodes - scale * self.lengths) / 2
        return tuple((to_nodes @ self.base).ravel().tolist())


def extent_of(scene: Scene, box: Box | None = None, *, unbounded: bool = False) -> Extent:
    """What a scene's cameras see.

    Args:
        scene: the photographs.
        box: the part of the world to keep, if it is known.
        unbounded: whether something is to be seen behind that part, so that the lattice must hold all of space.

    Raises:
        InputError: if the cameras all stand at one place, or do not look at anything together.
    """
    cameras = [view.camera for view in scene.views + scene.held_out]
    positions = np.stack([camera.position for camera in cameras])
    if np.ptp(positions, axis=0).max() < 1e-9 * max(1.0, np.abs(positions).max()):
        raise InputError("cameras that all stand at one place", "photographs from different places")
    known = (box.low, box.high) if box is not None else scene.box
    if known is not None:
        low, high = map(np.array, known)
        if not unbounded:
            return _box_extent(low, high)
        middle, half = (low + high) / 2, (high - low).max() / 2
        return replace(_box_extent(middle - half, middle + half), contracted=True)
    if scene.forward_facing and scene.depths is not None:
        return _projective_extent(cameras, scene.depths[0])
    center = meeting_point(cameras)
    away = np.linalg.norm(positions - center, axis=1)
    # What has nothing around it lies in the pictures as a whole; otherwise a cube that most of them are full of.
    side = min if unbounded else max
    half = float(np.median([d * _half_width(camera, side) for d, camera in zip(away, cameras, strict=True)])) * MARGIN
    return replace(_box_extent(center - half, center + half), contracted=unbounded)


def meeting_point(cameras: list[Camera]) -> np.ndarray:
    """The point (3,) nearest to all optical axes, by least squares.

    Raises:
        InputError: if it lies behind most cameras: they look away from each other.
    """
    axes = np.stack([camera.forward for camera in cameras])
    positions = np.stack([camera.position for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    point = np.linalg.lstsq(across.sum(axis=0), np.einsum("nij,nj->i", across, positions), rcond=None)[0]
    before = np.einsum("ni,ni->n", point - positions, axes) > 0
    if before.mean() < 0.5:
        raise InputError(
            f"{np.sum(~before)} of {len(cameras)} cameras look away from where their axes meet",
            "cameras that look at a common scene",
            "are the poses world-to-camera, or have OpenCV axes (negate the second and third column)?",
        )
    return np.asarray(point)


def _half_width(camera: Camera, side: Callable[[float, float], float]) -> float:
    """Half of what the shorter or the longer side of a picture shows at distance 1."""
    return side(camera.width / (2 * camera.fx), camera.height / (2 * camera.fy))


def _box_extent(low: np.ndarray, high: np.ndarray) -> Extent:
    base = np.eye(4)
    base[:3, 3] = -low
    domain = Box(*(Axis(n, float(a), float(b)) for n, a, b in zip(NAMES, low, high, strict=True)))
    return Extent(domain, base, high - low)


def _projective_extent(cameras: list[Camera], nearest: float) -> Extent:
    """Normalised device coordinates of the mean camera, widened to what all cameras see from the near plane to infinity."""
    near = NEARER * nearest
    mean = _mean_camera(cameras)
    device = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 1, 2 * near], [0, 0, 1, 0]]) @ np.linalg.inv(mean)
    seen = []
    for camera in cameras:
        for directions in corner_directions(camera):
            speed = device[3, :3] @ directions
            for depth in (near, 4 * near, 1e6 * near):
                t = (-depth - device[3] @ [*camera.position, 1.0]) / speed
                x, y, _, w = device @ [*(camera.position + t * directions), 1.0]
                seen.append((x / w, y / w))
    low, high = np.min(seen, axis=0), np.max(seen, axis=0)
    base = np.eye(4)
    base[:3, 3] = (-low[0], -low[1], 1.0)
    lengths = np.array([*(high - low), 2.0])
    depth_scale = PLANES * lengths[:2].max() / 2
    base = np.diag([1.0, 1.0, depth_scale, 1.0]) @ base @ device
    lengths[2] *= depth_scale
    positions = np.stack([camera.position for camera in cameras])
    reach = 10 * nearest  # a bounded part of the world, for exports
    middle = positions.mean(axis=0) - mean[:3, 2] * reach / 2
    domain = Box(*(Axis(n, float(m - reach), float(m + reach)) for n, m in zip(NAMES, middle, strict=True)))
    return Extent(domain, base, lengths)


def _mean_camera(cameras: list[Camera]) -> np.ndarray:
    """A camera-to-world matrix in the middle of all: mean position, mean optical axis, mean up."""
    poses = np.stack([camera.matrix for camera in cameras])
    back = poses[:, :3, 2].mean(axis=0)
    back /= np.linalg.norm(back)
    right = np.cross(poses[:, :3, 1].mean(axis=0), back)
    right /= np.linalg.norm(right)
    mean = np.eye(4)
    mean[:3] = np.stack([right, np.cross(back, right), back, poses[:, :3, 3].mean(axis=0)], axis=1)
    return mean


def pixel_rays(
    cameras: CameraArrays,
    pixels: np.ndarray,
    first: np.ndarray,
    widths: np.ndarray,
    shrink: int,
    field: RadianceField,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """`lattice_rays` of pixels, and their directions in the world, all (count, 3).

    Args:
        cameras: of the photographs.
        pixels: (count,) numbers of pixels, row by row and photograph by photograph.
        first: where each photograph begins.
        widths: of the photographs.
        shrink: pixels of the cameras along a side of one of these.
        field: with the lattice.
    """
    starts, alongs, views = (np.empty((len(pixels), 3), np.float32) for _ in range(3))
    kernels.pixel_rays(
        pixels, first, widths, shrink, cameras.turns, cameras.positions, cameras.lenses, np.reshape(field.frame, (4, 4)),
        np.array(field.shape) - 1.0, field.contracted, starts, alongs, views,
    )  # fmt: skip
    return (starts, alongs), views


def lattice_rays(field: RadianceField, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rays of the world in the lattice's coordinates, float32, beginning where they enter it.

    Under a projective frame, which knows only what lies before its near plane, a ray ends where its point at infinity goes. In
    a contracted lattice rays begin at their origins, in the coordinates of the inner half.
    """
    matrix = np.reshape(field.frame, (4, 4))
    starts = origins @ matrix[:, :3].T + matrix[:, 3]
    along = directions @ matrix[:, :3].T
    if np.allclose(matrix[3], (0, 0, 0, 1)):
        start, along = starts[:, :3], along[:, :3]
    else:
        t = -starts[:, 2] / along[:, 2]  # to the near plane, where the lattice's third coordinate is 0
        there = starts + t[:, None] * along
        start = there[:, :3] / there[:, 3:]
        along = along[:, :3] / along[:, 3:] - start
    if field.contracted:
        return np.ascontiguousarray(start, np.float32), np.ascontiguousarray(along, np.float32)
    return _entering(start, along, np.array(field.shape) - 1.0)


def _entering(start: np.ndarray, along: np.ndarray, top: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rays, moved to where they enter the box from 0 to `top`: near it, single precision is enough."""
    with np.errstate(divide="ignore", invalid="ignore"):
        faces = np.stack([-start / along, (top - start) / along])
    entry = np.nan_to_num(faces.min(axis=0), nan=-np.inf, neginf=-np.inf, posinf=np.inf).max(axis=1)
    entry = np.where(np.isfinite(entry), np.maximum(entry, 0.0), 0.0)
    moved = start + entry[:, None] * along
    return np.ascontiguousarray(moved, np.float32), np.ascontiguousarray(along, np.float32)
