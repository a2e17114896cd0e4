"""Frames at any time between two others and of any size, strip by strip, with exactly the values of the whole.

Convention: frames (h, w, 3) uint8, uint16 or float32 in [0, 1], the first at time 0 and the second at 1. Output rows and
columns lie where `ungrid.upscale.tiles.positions` says. The motion is found in the whole frame, of large ones in a smaller
picture; what comes after needs strips of rows, as high as the motion makes it necessary.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ungrid.networks import LightVideo
from ungrid.networks.light_video import REACH, resized_motion
from ungrid.networks.optical_flow import optical_flow
from ungrid.upscale.tiles import MARGIN, PLACES, device_of, fractions, numbers, positions, span

STRIP = 1 << 18  # pixels of a frame at once, about: their 48 features are 50 MB
MOTION = 3 << 19  # pixels of a frame, beyond which motion is found in a smaller picture


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame (1, 3, h, w), and what the network has read in it (1, k, h, w)."""

    picture: Tensor
    latents: Tensor


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
    if isinstance(source, Pair) and time in (0, 1):
        source = source.ends[int(time)]
    like = source.ends[0] if isinstance(source, Pair) else source
    device, (h, w) = device_of(network.image), like.picture.shape[2:]
    scale = torch.tensor([shape[0] / h, shape[1] / w], device=device)
    rows, columns = positions(h, shape[0]), positions(w, shape[1])
    out, step = np.empty((*shape, 3), dtype=dtype), max(1, PLACES // shape[1])
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        motion = _motion(network, source, time) if isinstance(source, Pair) else None
        for begin, end in _strips(shape[0], max(1, round(w * h / shape[0]))):
            top, bottom = span(rows[begin:end], h, MARGIN)
            if isinstance(source, Pair) and motion is not None:
                latents, picture = _between(network, source.ends, motion, time, top, bottom)
            else:
                latents, picture = like.latents[:, :, top:bottom], like.picture[:, :, top:bottom]
            for row in range(begin, end, step):
                part = slice(row, min(row + step, end))
                colours = network.image.on_lattice(latents, picture, rows[part] - top, columns, scale)
                out[part] = numbers(colours[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy(), dtype)
    return out


def _motion(network: LightVideo, pair: Pair, time: float) -> Tensor:
    when = torch.tensor([time], dtype=torch.float64, device=pair.flows.device)
    h, w = pair.ends[0].picture.shape[2:]
    return resized_motion(network.motion(*pair.frames, pair.flows, when), (h, w))


def _between(
    network: LightVideo, ends: tuple[Seen, Seen], motion: Tensor, time: float, top: int, bottom: int
) -> tuple[Tensor, Tensor]:
    """The latents and the picture of the rows from `top` to `bottom`, by what these rows are made of."""
    h = motion.shape[2]
    begin, end = max(0, top - REACH), min(h, bottom + REACH)
    moved = torch.cat([time * motion[:, 1, begin:end], (1 - time) * motion[:, 3, begin:end]])
    first = max(0, begin + min(0, int(moved.amin().floor())) - 1)
    last = min(h, end + max(0, int(moved.amax().ceil())) + 1)
    rows = slice(first, last)
    frames, latents = (
        (part[0][:, :, rows], part[1][:, :, rows])
        for part in (tuple(one.picture for one in ends), tuple(one.latents for one in ends))
    )
    when = torch.tensor([time], dtype=torch.float64, device=motion.device)
    found, picture = network.between(frames, latents, motion[:, :, rows], when)
    return found[:, :, top - first : bottom - first], picture[:, :, top - first : bottom - first]
