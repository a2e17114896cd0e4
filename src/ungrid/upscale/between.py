"""Frames at any time between two others and of any size, strip by strip, with exactly the values of the whole.

Convention: frames (h, w, 3) uint8, uint16 or float32 in [0, 1], the first at time 0 and the second at 1. Output rows and
columns lie where `ungrid.upscale.tiles.positions` says. The motion is found in the whole frame, of large ones in a smaller
picture; what comes after needs strips of rows, the details as high as the motion makes it necessary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.nn import functional

from ungrid.networks import ContinuousNetwork, LightVideo
from ungrid.networks.light_video import REACH, Seen, resized_motion
from ungrid.networks.optical_flow import optical_flow
from ungrid.upscale.resize import resized
from ungrid.upscale.tiles import MARGIN, device_of, fractions, numbers, positions, span

STRIP = 1 << 18  # pixels of a frame at once, about: their 48 features are 50 MB
PLACES = 1 << 17  # places that are decoded at once: their 48 features are 25 MB
OVERSHOOT = 9 / 32  # by how much bicubic interpolation leaves the range of its values, at most, as a share of it
TRUST = (
    0.25  # apart by so much of what the frame does not know itself, a neighbour still counts 1 / e; see docs/models.md
)
AROUND, STEP = 3, 1 / 255  # pixels of a side; a step of 8 bits, below which no difference counts
MOTION = 3 << 19  # pixels of a frame, beyond which motion is found in a smaller picture

Lattice = Callable[[np.ndarray, np.ndarray, Tensor], Tensor]
"""Colours (1, 3, y, x) at rows, columns and a scale."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two frames, as small as their motion is found in them, and its optical flow.

    Attributes:
        ends: the frames themselves.
        frames: shrunk, if they are large.
        flows: between them.
    """

    ends: tuple[Seen, Seen]
    frames: tuple[Tensor, Tensor]
    flows: Tensor


@torch.no_grad()
def seen(network: LightVideo, frame: np.ndarray, *, bfloat16: bool = False) -> Seen:
    """A frame, read by the network of pictures."""
    device = device_of(network.image)
    picture = torch.from_numpy(np.ascontiguousarray(fractions(frame))).permute(2, 0, 1)[None].to(device)
    h, halo, found = picture.shape[2], network.image.halo, list[Tensor]()
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for top, bottom in _strips(h, picture.shape[3]):
            first, last = max(0, top - halo), min(h, bottom + halo)
            found.append(network.image.latents(picture[:, :, first:last])[:, :, top - first : bottom - first])
    return Seen(picture, torch.cat(found, dim=2).contiguous(memory_format=torch.channels_last))


@torch.no_grad()
def paired(first: Seen, second: Seen) -> Pair:
    """Two frames with their optical flow."""
    h, w = first.picture.shape[2:]
    shrink = max(1, round((h * w / MOTION) ** 0.5))
    frames = first.picture, second.picture
    if shrink > 1:
        small = h // shrink, w // shrink
        one, other = (functional.interpolate(x, size=small, mode="bilinear", antialias=True) for x in frames)
        frames = one, other
    return Pair((first, second), frames, optical_flow(*frames))


def _strips(rows: int, columns: int) -> list[tuple[int, int]]:
    """Equal parts of the rows, each of about `STRIP` pixels."""
    count = max(1, round(rows * columns / STRIP))
    bounds = np.linspace(0, rows, min(rows, count) + 1).round().astype(int).tolist()
    return list(pairwise(bounds))


@torch.no_grad()
def frame_at(
    network: LightVideo,
    source: Seen | Pair,
    time: float,
    shape: tuple[int, int],
    *,
    bfloat16: bool = False,
    dtype: type[np.generic] = np.uint8,
) -> np.ndarray:
    """The frame at a time.

    Args:
        network: in evaluation mode.
        source: one frame, for its own time; or two.
        time: in [0, 1].
        shape: rows and columns of the result.
        bfloat16: run the network's products in 16 bits.
        dtype: float32 in [0, 1], uint8 or uint16 of the result.

    Returns:
        (*shape, 3).
    """
    if not isinstance(source, Pair):
        return given_frame(network, source, [], shape, bfloat16=bfloat16, dtype=dtype)
    if time in (0, 1):
        own, views = source.ends[int(time)], [(source, int(time))]
        return given_frame(network, own, views, shape, bfloat16=bfloat16, dtype=dtype)
    with torch.autocast(source.flows.device.type, torch.bfloat16, enabled=bfloat16):
        moved = _moved(network, source, time)
        ways = time * moved[:, :2], (1 - time) * moved[:, 2:4]

        def part_at(part: tuple[int, int]) -> tuple[int, Lattice]:
            first, last = _reached(moved.shape[2], ways, part)
            both = _rows(source.ends[0], first, last), _rows(source.ends[1], first, last)
            motion, when = moved[:, :, first:last], torch.tensor([time], dtype=torch.float64, device=moved.device)
            details = network.details(both, motion, when)
            return first, lambda *lattice: network.on_lattice(both, motion, details, when, *lattice)

        return _rendered(part_at, (moved.shape[2], moved.shape[3]), shape, dtype)


@torch.no_grad()
def given_frame(
    network: LightVideo,
    frame: Seen,
    views: Sequence[tuple[Pair, int]],
    shape: tuple[int, int],
    *,
    bfloat16: bool = False,
    dtype: type[np.generic] = np.uint8,
) -> np.ndarray:
    """A frame at its own time, enlarged, by itself and by what its neighbours show of it.

    The pixels of neighbours lie at other places of what they show. Each of them, led to the frame, has a weight beside the
    frame's own enlargement, 1 at most: how well it agrees, when it is shrunk, with the frame (`agreement`). Their mean is
    reconciled with the frame.

    Args:
        network: in evaluation mode.
        frame: itself.
        views: its pairs with its neighbours, and which end of each it is.
        shape: rows and columns of the result.
        bfloat16: run the network's products in 16 bits.
        dtype: float32 in [0, 1], uint8 or uint16 of the result.

    Returns:
        (*shape, 3).
    """
    h, w = frame.picture.shape[2:]
    enlarged = shape[0] * shape[1] > h * w
    kind = np.float32 if views and enlarged else dtype
    with torch.autocast(frame.picture.device.type, torch.bfloat16, enabled=bfloat16):
        own = _rendered(lambda part: _alone(network.image, frame, part), (h, w), shape, kind)
        if not views or not enlarged:
            return own
        total, weights, given = (
            own,
            np.ones((*shape, 1), dtype=np.float32),
            frame.picture[0].permute(1, 2, 0).cpu().numpy(),
        )
        for pair, end in views:
            led = _led(network, pair, end, shape)
            weight = agreement(led, given)
            total, weights = total + weight * led, weights + weight
    return numbers(reconciled(total / weights, given).clip(0, 1), dtype)


def agreement(led: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The weight (y, x, 1) in [0, 1] of a large picture (y, x, 3) beside the enlargement of a given one (h, w, 3).

    exp(-r / (`TRUST` v)), where r is the squared difference of the shrunk picture from the given one, and v that of what the
    given one loses when it is shrunk by two: how much is not known between its pixels. Both are means around a pixel.
    """
    h, w, _ = given.shape
    lost = given - resized(resized(given, (max(1, h // 2), max(1, w // 2))), (h, w))
    apart = resized(led, (h, w)) - given
    r, v = (uniform_filter(np.square(x).mean(axis=-1), AROUND) for x in (apart, lost))
    weight = np.exp(-r / (TRUST * (v + STEP**2)))
    return resized(weight[..., None], (led.shape[0], led.shape[1])).clip(0, 1)


def reconciled(enlarged: np.ndarray, given: np.ndarray) -> np.ndarray:
    """An enlarged picture (y, x, 3) that, shrunk again, is nearer to the given one (h, w, 3).

    One step of iterative back-projection (Irani and Peleg 1991, *Improving resolution by image registration*).
    """
    missing = given - resized(enlarged, (given.shape[0], given.shape[1]))
    return enlarged + resized(missing, (enlarged.shape[0], enlarged.shape[1]))


def _led(network: LightVideo, pair: Pair, end: int, shape: tuple[int, int]) -> np.ndarray:
    """The other frame of a pair, led to the time of one end."""
    moved, other = _moved(network, pair, float(end)), pair.ends[1 - end]
    way = moved[:, :2] if end == 1 else moved[:, 2:4]

    def part_at(part: tuple[int, int]) -> tuple[int, Lattice]:
        first, last = _reached(moved.shape[2], (way,), part)
        seen, along = _rows(other, first, last), way[:, :, first:last]
        return first, lambda *lattice: network.led(seen, along, *lattice)

    return _rendered(part_at, (moved.shape[2], moved.shape[3]), shape, np.float32)


def _rendered(
    part_at: Callable[[tuple[int, int]], tuple[int, Lattice]],
    size: tuple[int, int],
    shape: tuple[int, int],
    dtype: type[np.generic],
) -> np.ndarray:
    """A frame, strip by strip: `part_at` gives the colours for some of the `size`'s rows, and the row that they count from."""
    (h, w), scale = size, torch.tensor([shape[0] / size[0], shape[1] / size[1]])
    rows, columns = positions(h, shape[0]), positions(w, shape[1])
    out, step = np.empty((*shape, 3), dtype=dtype), max(1, PLACES // shape[1])
    for begin, end in _strips(shape[0], max(1, round(w * h / shape[0]))):
        first, colours_at = part_at(span(rows[begin:end], h, MARGIN))
        for row in range(begin, end, step):
            lines = slice(row, min(row + step, end))
            colours = colours_at(rows[lines] - first, columns, scale)
            out[lines] = numbers(colours[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy(), dtype)
    return out


def _moved(network: LightVideo, pair: Pair, time: float) -> Tensor:
    """The motion at the time, on the frames' own pixels."""
    when = torch.tensor([time], dtype=torch.float64, device=pair.flows.device)
    h, w = pair.ends[0].picture.shape[2:]
    return resized_motion(network.motion(*pair.frames, pair.flows, when), (h, w))


def _rows(seen: Seen, first: int, last: int) -> Seen:
    return Seen(seen.picture[:, :, first:last], seen.latents[:, :, first:last].float())


def _alone(network: ContinuousNetwork, frame: Seen, part: tuple[int, int]) -> tuple[int, Lattice]:
    """The first row that is used for the rows of a part, and the colours as a function of a lattice that begins there."""
    picture, latents = _rows(frame, *part)
    return part[0], lambda *lattice: network.on_lattice(latents, picture, *lattice)


def _reached(h: int, ways: tuple[Tensor, ...], part: tuple[int, int]) -> tuple[int, int]:
    """The rows, of h, that some rows are made of, where motions (1, 2, h, w) lead."""
    begin, end = max(0, part[0] - REACH), min(h, part[1] + REACH)
    low, high = torch.cat([way[:, 1, begin:end] for way in ways]).aminmax()
    beyond = OVERSHOOT * float(high - low) + MARGIN
    first = max(0, begin + min(0, int(np.floor(float(low) - beyond))))
    return first, min(h, end + max(0, int(np.ceil(float(high) + beyond))))
