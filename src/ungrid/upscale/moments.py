"""Pairs of frames and what lies between them, from clips and from made motion, to learn the time between frames from.

Convention: clips are uint8 (n, h, w, 3), frames at equal steps of time. Batches as in `ungrid.upscale.pictures`: a function of
the seed and the number of the step. The pair is at times 0 and 1; the truth is the frame at a time between them, in full size,
and the pair is its size divided by the scale, by antialiased bicubic interpolation.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.upscale.pictures import SCALES, stacked
from ungrid.upscale.synthetic import exposed, motions_at, random_layers

SIDE = 64  # pixels of a small frame
STEPS = (2, 5)  # of a clip, between the frames of a pair; the last one is left out
FASTEST = 16.0  # small pixels from one frame of a made pair to the other
EXPOSURE = 0.3  # longest, as a share of the time between the frames
UNCHANGED = 0.35  # share of batches at the frames' own size: motion is learned there at the least cost
ENDS = 0.15  # share of the other batches' pairs whose truth is one of the frames in full size
Turn = tuple[bool, int, int]  # transposed; down and across: -1 where mirrored
Drawn = tuple[list[np.ndarray], float, np.ndarray, np.ndarray | None]  # the pair, the time, the truth, the motion
STILL = 0.004  # mean change between the frames of a real pair, below which it is mostly passed over


@dataclass(frozen=True)
class Moment:
    """Pairs of small frames, and what lies between them at a lattice of positions.

    Attributes:
        first, second: (b, 3, side, side), at times 0 and 1.
        times: (b,) float64 of the truths.
        high: (b, 3, y, x), the truth at the positions.
        rows, columns: (y,) and (x,) float64.
        scale: of all of them.
        motion: (b, 4, side, side), (x, y) in pixels from the times to the first and to the second frame.
        known: (b,), 1 where the motion is known, else 0.
    """

    first: Tensor
    second: Tensor
    times: Tensor
    high: Tensor
    rows: np.ndarray
    columns: np.ndarray
    scale: float
    motion: Tensor
    known: Tensor


class Moments:
    """Batches of moments.

    Args:
        pictures: photographs, which are set in motion.
        clips: real ones; empty: none.
        made: share of the pairs that are made.
        size: how many pairs a batch has.
        side: pixels of a small frame's side.
        window: the lattice has at most this many rows and columns.
        scale: of all pairs, as VideoINR-fixed is trained; None: a third of the batches has the frames' own size, the others
            a scale uniform in `SCALES`, and some of their truths are the frames themselves, in full size.
        part: (rank, ranks): the pairs of a batch that belong to this process.
        seed: of all draws.

    Raises:
        InputError: if a batch cannot be split, or there is nothing to draw from.
    """

    def __init__(
        self,
        pictures: list[np.ndarray],
        clips: list[np.ndarray],
        *,
        made: float = 0.5,
        size: int = 8,
        side: int = SIDE,
        window: int = 96,
        scale: float | None = None,
        part: tuple[int, int] = (0, 1),
        seed: int = 0,
    ) -> None:
        if size % part[1]:
            raise InputError(f"batches of {size} pairs for {part[1]} processes", "a multiple")
        self.pictures, self.made = pictures, made if clips else 1.0
        self.clips = [clip for clip in clips if len(clip) > STEPS[0] and min(clip.shape[1:3]) >= side]
        if not pictures or (not self.clips and self.made < 1):
            raise InputError(
                f"{len(pictures)} photographs and {len(clips)} clips", f"photographs; clips of {side} pixels a side"
            )
        self.size, self.side, self.window, self.part, self.seed = size, side, window, part, seed
        self.scale = scale

    def described(self) -> dict[str, str]:
        """What makes the batches what they are."""
        return {
            "pictures": str([picture.shape for picture in self.pictures]),
            "clips": str([clip.shape for clip in self.clips]),
            "batches": str((self.size, self.side, self.window, self.made, self.scale, self.seed)),
        }

    def batch(self, step: int) -> Moment:
        """The batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        seeds = rng.integers(1 << 62, size=self.size)
        scale = self.scale or (1.0 if rng.random() < UNCHANGED else rng.uniform(*SCALES))
        scale = min(scale, min((min(clip.shape[1:3]) for clip in self.clips), default=1 << 20) / self.side)
        side = round(self.side * scale)
        length = min(self.window, side)
        top, left = rng.integers(0, side - length + 1, 2)
        ratio = side / self.side
        rows, columns = ((first + np.arange(length) + 0.5) / ratio - 0.5 for first in (top, left))
        firsts, seconds, times, high, motions = [], [], [], [], []
        for k in range(self.part[0], self.size, self.part[1]):
            draw = np.random.default_rng(int(seeds[k]))
            made = draw.random() < self.made
            ends, time, truth, motion = self._made(side, draw) if made else self._real(side, draw)
            if side > self.side and draw.random() < ENDS:
                time = float(draw.integers(2))
                truth = ends[int(time)]
            turn = random_turn(draw)
            first, second, truth = (turned(frame, turn) for frame in (*ends, truth))
            known = motion is not None and side == self.side
            motions.append(turned_motion(motion, turn) if motion is not None and known else None)
            firsts.append(self._small(first))
            seconds.append(self._small(second))
            times.append(time)
            high.append(truth[top : top + length, left : left + length])
        when = torch.tensor(times, dtype=torch.float64)
        nothing = np.zeros((self.side, self.side, 4))
        motion = np.stack([nothing if one is None else one for one in motions])
        return Moment(
            stacked(firsts), stacked(seconds), when, stacked(high), rows, columns, ratio,
            torch.from_numpy(motion).float().permute(0, 3, 1, 2),
            torch.tensor([float(one is not None) for one in motions]),
        )  # fmt: skip

    def _made(self, side: int, rng: np.random.Generator) -> Drawn:
        layers = random_layers(self.pictures, side, FASTEST * side / self.side, rng)
        time, exposure = rng.uniform(0, 1), EXPOSURE * max(0.0, rng.uniform(-1, 1))
        frames = [np.rint(255 * exposed(layers, t, side, exposure)).astype(np.uint8) for t in (0.0, 1.0, time)]
        motion = np.concatenate(motions_at(layers, time, side), axis=-1) if side == self.side else None
        return frames[:2], time, frames[2], motion

    def _real(self, side: int, rng: np.random.Generator) -> Drawn:
        for _ in range(8):
            clip = self.clips[rng.integers(len(self.clips))]
            steps = int(rng.integers(STEPS[0], min(STEPS[1], len(clip))))
            begin = rng.integers(0, len(clip) - steps)
            inner = int(rng.integers(1, steps))
            top, left = (rng.integers(0, n - side + 1) for n in clip.shape[1:3])
            seen = [
                clip[begin + k, top : top + side, left : left + side] for k in (0, steps, inner)
            ]  # the pair, and what lies between
            change = np.abs(seen[0].astype(np.float32) - seen[1]).mean() / 255
            if change > STILL:
                break
        return seen[:2], inner / steps, seen[2], None

    def _small(self, frame: np.ndarray) -> np.ndarray:
        if frame.shape[0] == self.side:
            return frame
        return np.asarray(Image.fromarray(frame).resize((self.side, self.side), Image.Resampling.BICUBIC))


def random_turn(rng: np.random.Generator) -> Turn:
    """One of the eight orientations."""
    transposed, down, across = rng.integers(2), rng.choice((-1, 1)), rng.choice((-1, 1))
    return bool(transposed), int(down), int(across)


def turned(frame: np.ndarray, turn: Turn) -> np.ndarray:
    """A frame (n, n, c), transposed, then mirrored."""
    transposed, down, across = turn
    return np.ascontiguousarray((frame.transpose(1, 0, 2) if transposed else frame)[::down, ::across])


def turned_motion(motion: np.ndarray, turn: Turn) -> np.ndarray:
    """Two motions (n, n, 4) in a frame that is turned: their components turn, too."""
    transposed, down, across = turn
    found = turned(motion, turn)
    found = found[..., [1, 0, 3, 2]] if transposed else found
    return found * np.array([across, down, across, down])
