"""A scene of our own, traced exactly: two balls and a block on a plate, with shadows and highlights; alone or outdoors.

Convention: the world is right-handed with z upwards and the scene between -1 and 1; pictures are written as Blender's data sets
are (Mildenhall et al. 2020): straight alpha, `transforms_train.json` and `transforms_test.json`.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io.video import write_video
from ungrid.radiance.paths import looking
from ungrid.sampling import Camera, GridSamples, camera_rays

ANGLE = 0.7  # of view, in radians
DISTANCE = 3.6
SAMPLES = 2  # a pixel, along each side
LIGHT = np.array([0.4, -0.5, 0.77]) / np.linalg.norm([0.4, -0.5, 0.77])
AMBIENT, GLOSS, SHININESS = 0.35, 0.5, 30.0
SPECKLES = (5.0, 12.0, 27.0)  # cells for each unit of length
EXPOSURE, INSTANTS = (
    0.5,
    3,
)  # of a clip's frame: its share of the time between two frames, and pictures it is the mean of
NUDGE = 1e-6  # off the surface, for shadow rays


@dataclass(frozen=True)
class Ball:
    """A sphere."""

    center: tuple[float, float, float]
    radius: float
    color: tuple[float, float, float]

    def hit(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (n,), infinite where there is none, and outward normals (n, 3)."""
        offset = origins - self.center
        b = np.einsum("ni,ni->n", offset, directions)
        under = b * b - np.einsum("ni,ni->n", offset, offset) + self.radius**2
        root = np.sqrt(np.maximum(under, 0))
        near = np.where(-b - root > NUDGE, -b - root, -b + root)
        t = np.where((under > 0) & (near > NUDGE), near, np.inf)
        there = origins + np.where(np.isfinite(t), t, 0)[:, None] * directions
        return t, (there - self.center) / self.radius

    def paint(self, points: np.ndarray) -> np.ndarray:
        """Stripes along z."""
        stripe = np.sin(14 * (points[:, 2] - self.center[2])) > 0
        return np.where(stripe[:, None], self.color, 0.55 * np.array(self.color))

    def surface(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Points (count, 3), uniform."""
        turned = random.standard_normal((count, 3))
        return self.center + self.radius * turned / np.linalg.norm(turned, axis=1, keepdims=True)

    @property
    def area(self) -> float:
        return 4 * math.pi * self.radius**2


@dataclass(frozen=True)
class Block:
    """A box along the axes."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    color: tuple[float, float, float]
    checks: float = 4.0  # for each unit of length

    def hit(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `Ball.hit`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = (self.low - origins) / directions, (self.high - origins) / directions
        entries, exits = np.fmin(first, second), np.fmax(first, second)
        axis = entries.argmax(axis=1)
        enter, leave = entries.max(axis=1), exits.min(axis=1)
        t = np.where((enter < leave) & (enter > NUDGE), enter, np.inf)
        normals = np.zeros_like(origins)
        rows = np.arange(len(origins))
        normals[rows, axis] = -np.sign(directions[rows, axis])
        return t, normals

    def paint(self, points: np.ndarray) -> np.ndarray:
        """Checks."""
        odd = np.floor(self.checks * (points + 1e-4)).sum(axis=1) % 2 > 0
        return np.where(odd[:, None], self.color, 0.5 * np.array(self.color))

    def surface(self, count: int, random: np.random.Generator) -> np.ndarray:
        """As `Ball.surface`."""
        low, high = np.array(self.low), np.array(self.high)
        sides = high - low
        areas = np.repeat([sides[1] * sides[2], sides[2] * sides[0], sides[0] * sides[1]], 2)
        face = random.choice(6, size=count, p=areas / areas.sum())
        points = low + sides * random.random((count, 3))
        rows = np.arange(count)
        points[rows, face // 2] = np.where(face % 2, high[face // 2], low[face // 2])
        return points

    @property
    def area(self) -> float:
        x, y, z = np.array(self.high) - self.low
        return 2 * float(x * y + y * z + z * x)


SOLIDS: tuple[Ball | Block, ...] = (
    Block((-0.9, -0.9, -0.6), (0.9, 0.9, -0.5), (0.85, 0.82, 0.75)),
    Ball((-0.35, -0.2, -0.1), 0.4, (0.85, 0.25, 0.2)),
    Ball((0.45, -0.45, -0.25), 0.25, (0.2, 0.45, 0.85)),
    Block((0.05, 0.15, -0.5), (0.6, 0.7, 0.25), (0.95, 0.75, 0.2), 5.0),
)

AROUND: tuple[Ball | Block, ...] = (  # what stands around them outdoors
    Block((-80.0, -80.0, -1.0), (80.0, 80.0, -0.6), (0.45, 0.6, 0.35), 0.7),
    Block((4.0, -1.5, -0.6), (5.0, -0.5, 2.0), (0.8, 0.4, 0.3), 1.3),
    Block((-2.0, 5.0, -0.6), (0.5, 6.0, 1.2), (0.5, 0.5, 0.7), 0.9),
    Block((-7.0, -3.0, -0.6), (-6.0, 1.0, 3.0), (0.7, 0.65, 0.5), 0.8),
    Ball((2.0, -7.0, 0.6), 1.2, (0.7, 0.5, 0.7)),
)
HORIZON, ZENITH, HAZE = (
    np.array([0.8, 0.87, 0.95]),
    np.array([0.35, 0.55, 0.85]),
    20.0,
)  # of the air; length of its depth


def speckles(points: np.ndarray) -> np.ndarray:
    """Random grey levels (n, 1) in space, of three sizes: a texture of which no two places are alike."""
    random = np.random.default_rng(7)
    levels = [
        ndimage.map_coordinates(random.random((32, 32, 32)), fineness * points.T, order=1, mode="grid-wrap")
        for fineness in SPECKLES
    ]
    return np.asarray(0.15 + 1.7 * np.clip(np.mean(levels, axis=0) - 0.25, 0, 0.5))[:, None]


def trace(
    origins: np.ndarray, directions: np.ndarray, *, glossy: bool = True, rough: bool = False, outdoors: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (n, 3), distances (n,), infinite where nothing is met, and normals (n, 3) along rays with unit directions.

    Rough surfaces have speckles, by which photographs can be told apart. Lambert's and Phong's reflection of one distant light,
    with hard shadows; outdoors with what stands around, in haze, under a sky.
    """
    solids = SOLIDS + AROUND if outdoors else SOLIDS
    distances, normals = _nearest(solids, origins, directions)
    which = distances.argmin(axis=0)
    rows = np.arange(len(origins))
    t, normal = distances[which, rows], normals[which, rows]
    met = np.isfinite(t)
    points = origins + np.where(met, t, 0)[:, None] * directions
    colors = np.zeros_like(points)
    for number, solid in enumerate(solids):
        mine = met & (which == number)
        colors[mine] = solid.paint(points[mine]) * (speckles(points[mine]) if rough else 1.0)
    lit = ~np.isfinite(_nearest(solids, points + 1e-4 * normal, np.broadcast_to(LIGHT, points.shape))[0].min(axis=0))
    cosine = np.maximum(normal @ LIGHT, 0) * lit
    colors *= (AMBIENT + (1 - AMBIENT) * cosine)[:, None]
    if glossy:
        mirrored = 2 * (normal @ LIGHT)[:, None] * normal - LIGHT
        shine = np.maximum(-np.einsum("ni,ni->n", mirrored, directions), 0) ** SHININESS
        colors += (GLOSS * shine * lit)[:, None]
    colors = np.where(met[:, None], colors.clip(0, 1), 0.0)
    if outdoors:
        sky = HORIZON + np.sqrt(np.maximum(directions[:, 2:], 0)) * (ZENITH - HORIZON)
        clear = np.exp(-np.where(met, t, np.inf) / HAZE)[:, None]
        colors = sky + clear * (colors - sky)
    return colors, t, normal


def _nearest(
    solids: tuple[Ball | Block, ...], origins: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    hits = [solid.hit(origins, directions) for solid in solids]
    return np.stack([t for t, _ in hits]), np.stack([n for _, n in hits])


def surface_points(count: int, seed: int = 0) -> np.ndarray:
    """Points (about count, 3), uniform on what of the solids' surfaces is not inside another solid."""
    random = np.random.default_rng(seed)
    total = sum(solid.area for solid in SOLIDS)
    parts = []
    for number, solid in enumerate(SOLIDS):
        points = solid.surface(round(count * solid.area / total), random)
        for other in SOLIDS[:number] + SOLIDS[number + 1 :]:
            points = points[~_inside(other, points)]
        parts.append(points)
    return np.concatenate(parts)


def _inside(solid: Ball | Block, points: np.ndarray) -> np.ndarray:
    if isinstance(solid, Ball):
        return np.asarray(np.linalg.norm(points - solid.center, axis=1) < solid.radius - NUDGE)
    return np.asarray(((points >= np.array(solid.low) - NUDGE) & (points <= np.array(solid.high) + NUDGE)).all(axis=1))


def cameras_around(count: int, size: int, *, seed: int | None = None, below: bool = False) -> list[Camera]:
    """Views from the upper half of a sphere, or from all of it: random ones with a seed, else a rising turn."""
    random = np.random.default_rng(seed)
    f = 0.5 * size / math.tan(0.5 * ANGLE)
    made = []
    for k in range(count):
        turn = 2 * math.pi * (random.random() if seed is not None else (k + 0.5) / count)
        height = random.uniform(0.05, 0.95) if seed is not None else 0.2 + 0.5 * (k + 0.5) / count
        height = 2 * height - 1 if below else height
        flat = math.sqrt(1 - height**2)
        place = DISTANCE * np.array([flat * math.cos(turn), flat * math.sin(turn), height])
        matrix = looking(place, np.array([0, 0, -0.2]), np.array([0.0, 0, 1]))
        made.append(Camera(tuple(matrix.ravel().tolist()), size, size, f, f, size / 2, size / 2))
    return made


def photograph(camera: Camera, *, glossy: bool = True, rough: bool = False, outdoors: bool = False) -> np.ndarray:
    """Bytes (h, w, 4) with straight alpha, the mean of `SAMPLES` squared rays a pixel."""
    fine = camera.resized(camera.width * SAMPLES, camera.height * SAMPLES)
    colors, t, _ = trace(*camera_rays(fine), glossy=glossy, rough=rough, outdoors=outdoors)
    shape = (camera.height, SAMPLES, camera.width, SAMPLES)
    alpha = (np.isfinite(t) | outdoors).reshape(*shape, 1).mean(axis=(1, 3))
    premultiplied = colors.reshape(*shape, 3).mean(axis=(1, 3))
    straight = premultiplied / np.maximum(alpha, 1e-9)
    return np.round(255 * np.concatenate([straight, alpha], axis=2)).astype(np.uint8)


def write_scene(
    folder: str | os.PathLike[str],
    *,
    views: int = 40,
    tests: int = 8,
    size: int = 100,
    glossy: bool = True,
    outdoors: bool = False,
    below: bool = False,
    seed: int = 0,
) -> Path:
    """Write the scene as a data set in Blender's format.

    Args:
        folder: is made where it is not there.
        views: photographs to fit.
        tests: photographs to measure on.
        size: pixels of a side.
        glossy: with highlights, which depend on the view; without, everything is diffuse.
        outdoors: with a world around, to the horizon.
        below: with cameras below the plate, too, so that all of the surface is seen.
        seed: of the places of the cameras.
    """
    target = Path(folder)
    for split, cameras in (
        ("train", cameras_around(views, size, seed=seed, below=below)),
        ("test", cameras_around(tests, size, below=below)),
    ):
        (target / split).mkdir(parents=True, exist_ok=True)
        frames = []
        for k, camera in enumerate(cameras):
            Image.fromarray(photograph(camera, glossy=glossy, outdoors=outdoors)).save(target / split / f"r_{k}.png")
            frames.append({"file_path": f"./{split}/r_{k}", "transform_matrix": camera.matrix.tolist()})
        content = {"camera_angle_x": ANGLE, "frames": frames}
        (target / f"transforms_{split}.json").write_text(json.dumps(content, indent=1))
    return target


def clip_cameras(times: np.ndarray, size: int) -> list[Camera]:
    """A hand-held turn around the scene: cameras at times in [0, 1)."""
    f = 0.5 * size / math.tan(0.5 * ANGLE)
    made = []
    for time in times.tolist():
        turn, height = 2 * math.pi * time, 0.45 + 0.08 * math.sin(6 * math.pi * time)
        flat = math.sqrt(1 - height**2)
        place = DISTANCE * np.array([flat * math.cos(turn), flat * math.sin(turn), height])
        matrix = looking(place, np.array([0, 0, -0.2]), np.array([0.0, 0, 1]))
        made.append(Camera(tuple(matrix.ravel().tolist()), size, size, f, f, size / 2, size / 2))
    return made


def write_clip(path: str | os.PathLike[str], *, frames: int = 60, size: int = 240, rate: float = 30.0) -> Path:
    """Write a clip of the rough scene on white, blurred by the motion of the camera.

    Args:
        path: .mp4, .m4v, .mov or .mkv.
        frames: of one turn.
        size: pixels of a side.
        rate: frames a second.
    """
    made = []
    for frame in range(frames):
        instants = (frame + EXPOSURE * np.arange(INSTANTS) / INSTANTS) / frames
        seen = [photograph(camera, glossy=False, rough=True) / 255.0 for camera in clip_cameras(instants, size)]
        made.append(np.mean([one[..., :3] * one[..., 3:] + 1 - one[..., 3:] for one in seen], axis=0))
    box = Box(Axis("t", 0.0, frames / rate, "s"), *RegularGrid.isotropic((size, size), ("y", "x")).box.axes)
    values = np.stack(made).astype(np.float32)
    samples = GridSamples(RegularGrid(box, (frames, size, size)), values, ("red", "green", "blue"), "video")
    write_video(path, samples)
    return Path(path)
