"""Clips of which everything is known: photographs cut out in layers that move, turn, grow and tilt, drawn at any time.

Convention: times in [0, 1]; frames (h, w, 3) float32 in [0, 1]; motions (h, w, 2), (x, y) in pixels: what a pixel at a time
shows lies at its own place plus the motion at time 0, or at time 1. Every layer has a homography from the frame to its
photograph for each time, so that motions are exact, across occlusions too; layers have soft edges. Exposure is a mean over
times.

A clip is a function of its random generator.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

TURN, GROWTH, TILT = 0.12, 0.10, 0.06  # largest change in a clip: radians, share, and share across the frame
BEND = 0.35  # of a path, by which it leaves the straight line, as a share of its length
LAYERS = (1, 4)  # how many, with the background; the last one is left out
BLOB = (0.15, 0.45)  # half width of a cut-out, as a share of the frame
EDGE = 1.5  # pixels over which a cut-out fades
CORNERS = 5  # waves around the rim of a cut-out


@dataclass(frozen=True)
class Path:
    """The homography of a layer at any time: what moves it away from its middle position.

    Attributes:
        shift: (x, y) in pixels from time 0 to time 1.
        bend: (x, y) in pixels, how far the middle of the path lies off the straight line.
        turn, growth, tilt: over the whole time; tilt is (x, y).
        middle: (x, y), the pixel around which the layer turns at time 1/2.
        side: pixels of the frame.
    """

    shift: np.ndarray
    bend: np.ndarray
    turn: float
    growth: float
    tilt: np.ndarray
    middle: np.ndarray
    side: int

    def matrix(self, time: float) -> np.ndarray:
        """(3, 3): where a point of the layer at time 1/2 is at another time."""
        p = time - 0.5
        angle, size = self.turn * p, np.exp(self.growth * p)
        away = self.shift * p + self.bend * (1 - 4 * p * p) - self.bend
        c, s = size * np.cos(angle), size * np.sin(angle)
        around = np.array([[c, -s, 0.0], [s, c, 0.0], [*(self.tilt * p / self.side), 1.0]])
        to, back = np.eye(3), np.eye(3)
        to[:2, 2], back[:2, 2] = self.middle + away, -self.middle
        return to @ around @ back


def random_path(side: int, fastest: float, rng: np.random.Generator) -> Path:
    """A path whose shift is at most `fastest` pixels long."""
    angle, length = rng.uniform(0, 2 * np.pi), fastest * rng.uniform() ** 1.5
    shift = length * np.array([np.cos(angle), np.sin(angle)])
    bend = BEND * length * rng.uniform(-1, 1) * np.array([-np.sin(angle), np.cos(angle)]) / 4
    return Path(
        shift, bend, TURN * rng.uniform(-1, 1), GROWTH * rng.uniform(-1, 1), TILT * rng.uniform(-1, 1, 2),
        side * rng.uniform(0.2, 0.8, 2), side,
    )  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A photograph that moves.

    Attributes:
        picture: (1, 3, n, n), larger than the frame by `margin` on each side.
        mask: (1, 1, n, n), how much of it covers what lies behind.
        margin: pixels.
        path: of its motion.
    """

    picture: Tensor
    mask: Tensor
    margin: int
    path: Path


def moved(matrix: np.ndarray, side: int) -> np.ndarray:
    """Where a homography takes the pixels of a frame (side, side, 2), (x, y)."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    found = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T
    return found[..., :2] / found[..., 2:]


def blob(n: int, margin: int, side: int, rng: np.random.Generator) -> Tensor:
    """The mask (1, 1, n, n) of a wavy disc or a polygon around a place in the frame."""
    y, x = np.mgrid[:n, :n] - margin
    cy, cx = rng.uniform(0.15, 0.85, 2) * side
    angle, radius = np.arctan2(y - cy, x - cx), side * rng.uniform(*BLOB)
    rim = radius * np.ones_like(angle)
    for k in range(1, CORNERS + 1):
        rim *= 1 + 0.3 / k * rng.uniform(-1, 1) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    inside = (rim - np.hypot(y - cy, x - cx)) / EDGE + 0.5
    return torch.from_numpy(inside.clip(0, 1).astype(np.float32))[None, None]


def random_layers(pictures: list[np.ndarray], side: int, fastest: float, rng: np.random.Generator) -> list[Layer]:
    """A background and what moves before it, from photographs (h, w, 3) uint8 with sides of at least `side` and margins."""
    margin = int(np.ceil(fastest + 0.15 * side)) + 2
    n, layers = side + 2 * margin, list[Layer]()
    for number in range(int(rng.integers(*LAYERS))):
        picture = pictures[rng.integers(len(pictures))]
        top, left = (rng.integers(0, max(1, m - n + 1)) for m in picture.shape[:2])
        part = picture[top : top + n, left : left + n]
        part = np.pad(part, ((0, n - part.shape[0]), (0, n - part.shape[1]), (0, 0)), mode="reflect")
        part = part[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        image = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None].float() / 255
        mask = torch.ones(1, 1, n, n) if number == 0 else blob(n, margin, side, rng)
        layers.append(Layer(image, mask, margin, random_path(side, fastest, rng)))
    return layers


def drawn(layers: list[Layer], time: float, side: int) -> np.ndarray:
    """The frame (side, side, 3) at a time."""
    frame = torch.zeros(1, 3, side, side)
    for layer in layers:
        back = np.linalg.inv(layer.path.matrix(time))
        mask = _fetched(layer, layer.mask, back, side, "bilinear")
        seen = _fetched(layer, layer.picture, back, side, "bicubic")
        frame = mask * seen + (1 - mask) * frame
    return frame[0].permute(1, 2, 0).clamp(0, 1).numpy()


def motions_at(layers: list[Layer], time: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The motions (side, side, 2) to times 0 and 1 of what the pixels of the frame at a time show."""
    motions = np.zeros((2, side, side, 2))
    own = np.moveaxis(np.mgrid[:side, :side][::-1], 0, -1)
    for layer in layers:
        back = np.linalg.inv(layer.path.matrix(time))
        front = _fetched(layer, layer.mask, back, side, "bilinear")[0, 0].numpy() > 0.5
        for k, end in enumerate((0.0, 1.0)):
            motions[k][front] = (moved(layer.path.matrix(end) @ back, side) - own)[front]
    return motions[0], motions[1]


def _fetched(layer: Layer, part: Tensor, back: np.ndarray, side: int, mode: str) -> Tensor:
    """What a layer has where a homography from the frame to it leads."""
    place = torch.from_numpy((2 * (moved(back, side) + layer.margin) + 1) / part.shape[-1] - 1).float()[None]
    return functional.grid_sample(part, place, mode, "reflection", align_corners=False)


def exposed(layers: list[Layer], time: float, side: int, exposure: float, instants: int = 3) -> np.ndarray:
    """The mean frame over an exposure around a time."""
    if exposure == 0:
        return drawn(layers, time, side)
    times = time + exposure * ((np.arange(instants) + 0.5) / instants - 0.5)
    return np.mean([drawn(layers, float(one), side) for one in times], axis=0)
