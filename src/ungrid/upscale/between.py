"""Frames at any time between two others and of any size, strip by strip, with exactly the values of the whole.

Convention: frames (h, w, 3) uint8, uint16 or float32 in [0, 1], the first at time 0 and the second at 1. Output rows and
columns lie where `ungrid.upscale.tiles.positions` says. The motion is found in the whole frame, of large ones in a smaller
picture; what comes after needs strips of rows, the details as high as the motion makes it necessary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ungrid.networks import ContinuousNetwork, LightVideo
from ungrid.networks.light_video import REACH, Seen, resized_motion
from ungrid.networks.optical_flow import optical_flow
from ungrid.upscale.resize import resized
from ungrid.upscale.tiles import MARGIN, PLACES, device_of, fractions, numbers, positions, span

STRIP = 1 << 18  # pixels of a frame at once, about: their 48 features are 50 MB
OVERSHOOT = 9 / 32  # by how much bicubic interpolation leaves the range of its values, at most, as a share of it
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

    An enlarged frame for which both of a pair were looked at, at the time of one of them, is then reconciled with that one.

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
    if not isinstance(source, Pair) or time not in (0, 1):
        return _rendered(network, source, time, shape, bfloat16, dtype)
    given = source.ends[int(time)]
    if shape[0] * shape[1] <= given.picture[0, 0].numel():
        return _rendered(network, given, time, shape, bfloat16, dtype)  # nothing is to be added to a frame of this size
    enlarged = _rendered(network, source, time, shape, bfloat16, np.float32)
    return numbers(reconciled(enlarged, given.picture[0].permute(1, 2, 0).cpu().numpy()).clip(0, 1), dtype)


def reconciled(enlarged: np.ndarray, given: np.ndarray) -> np.ndarray:
    """An enlarged picture (y, x, 3) that, shrunk again, is nearer to the given one (h, w, 3).

    One step of iterative back-projection (Irani and Peleg 1991, *Improving resolution by image registration*).
    """
    missing = given - resized(enlarged, (given.shape[0], given.shape[1]))
    return enlarged + resized(missing, (enlarged.shape[0], enlarged.shape[1]))


def _rendered(
    network: LightVideo,
    source: Seen | Pair,
    time: float,
    shape: tuple[int, int],
    bfloat16: bool,
    dtype: type[np.generic],
) -> np.ndarray:
    like = source.ends[0] if isinstance(source, Pair) else source
    device, (h, w) = device_of(network.image), like.picture.shape[2:]
    scale = torch.tensor([shape[0] / h, shape[1] / w], device=device)
    rows, columns = positions(h, shape[0]), positions(w, shape[1])
    out, step = np.empty((*shape, 3), dtype=dtype), max(1, PLACES // shape[1])
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        moved = _moved(network, source, time) if isinstance(source, Pair) else None
        for begin, end in _strips(shape[0], max(1, round(w * h / shape[0]))):
            part = span(rows[begin:end], h, MARGIN)
            if isinstance(source, Pair) and moved is not None:
                first, colours_at = _between(network, source.ends, moved, time, part)
            else:
                first, colours_at = _alone(network.image, like, part)
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


def _between(
    network: LightVideo, ends: tuple[Seen, Seen], motion: Tensor, time: float, part: tuple[int, int]
) -> tuple[int, Lattice]:
    """The same of what lies between two frames."""
    h = motion.shape[2]
    begin, end = max(0, part[0] - REACH), min(h, part[1] + REACH)
    low, high = torch.cat([time * motion[:, 1, begin:end], (1 - time) * motion[:, 3, begin:end]]).aminmax()
    beyond = OVERSHOOT * float(high - low) + MARGIN
    first = max(0, begin + min(0, int(np.floor(float(low) - beyond))))
    last = min(h, end + max(0, int(np.ceil(float(high) + beyond))))
    both, ways = (_rows(ends[0], first, last), _rows(ends[1], first, last)), motion[:, :, first:last]
    when = torch.tensor([time], dtype=torch.float64, device=motion.device)
    details = network.details(both, ways, when)
    return first, lambda *lattice: network.on_lattice(both, ways, details, when, *lattice)
