"""Two frames as a continuous picture at any time between them: each frame's own continuous picture, led along the motion.

Convention: frames (b, 3, h, w) in [0, 1], sRGB-coded, at times 0 and 1; t in [0, 1]. Motions are (x, y) in pixels: a picture
at t takes from a frame what lies at its own place plus the motion. Positions and scales as in `ungrid.networks.continuous`.

The motions from time t are t u to the first frame and (1 - t) v to the second. They begin with the optical flow between the
frames, carried to the time (`ungrid.networks.optical_flow`), and are corrected, with a weight w in (0, 1), coarse to fine from
both frames as they are warped so far (after RIFE, Huang et al. 2022). With D_0 and D_1 the frames as `LightNetwork` continues
them between their pixels, the picture at a place x is

    m D_0(x + t u) + (1 - m) D_1(x + (1 - t) v) + e(t, s) detail(x),      m = (1 - t) w / ((1 - t) w + t (1 - w))

which is F(x + M) of VideoINR (Chen et al. 2022, equation 5), for both frames. `detail` is decoded by `SplineKernels` from what
a small network reads in both warped frames: as their pixels lie at different places of what they show, both together show more
than either of them. At a scale s of 1 nothing is to be added to the frames, e(t, s) = 1 - (1 - 2 t)² / s²; at t = 0 and t = 1
they come back exactly.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.random import torch_generator
from ungrid.kernels.warping import join_warped
from ungrid.networks.continuous import LightNetwork
from ungrid.networks.encoders import CHANNELS, convolution
from ungrid.networks.optical_flow import carried, optical_flow
from ungrid.networks.spline_kernels import SplineKernels, bicubic_at, bicubic_on_lattice

LEVELS = (4, 2, 1)  # by how much the frames are shrunk, coarse to fine
STRIDE = 4  # of a level's own features
MULTIPLE = LEVELS[0] * STRIDE  # of the sides that the motion is computed on; other frames are continued
LAYERS = 4  # of the details
REACH = LAYERS + 2  # pixels on each side of a warped pixel that its details read
DETAILS = 24  # features
PHASES = 8  # numbers that say where two motions end between pixels
SEEN_BY = 4.0  # logit of the weight of a frame that alone shows a place
FLOW = 4  # numbers of a carried flow
FOUND = 5  # numbers of a motion: u, v and the logit of w


def warped(x: Float[Tensor, "b c h w"], motion: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """What lies at every pixel's own place plus its motion; beyond the edge the edge's pixels go on."""
    h, w = x.shape[-2:]
    exact = torch.promote_types(x.dtype, torch.float32)  # 16 bits cannot tell the pixels of a row apart
    motion = motion.to(exact)
    column = torch.arange(w, dtype=exact, device=x.device) + motion[:, 0]
    row = torch.arange(h, dtype=exact, device=x.device)[:, None] + motion[:, 1]
    place = torch.stack([(2 * column + 1) / w - 1, (2 * row + 1) / h - 1], dim=-1)
    found = functional.grid_sample(x.to(exact), place, mode="bilinear", padding_mode="border", align_corners=False)
    return found.to(x.dtype)


def resized_motion(motion: Float[Tensor, "b 5 h w"], shape: tuple[int, int]) -> Float[Tensor, "b 5 y x"]:
    """The motion of a picture with other sides; its lengths change with the pixels."""
    down, across = (n / m for n, m in zip(shape, motion.shape[-2:], strict=True))
    if down == across == 1:
        return motion
    found = functional.interpolate(motion, size=shape, mode="bilinear", align_corners=False)
    factors = torch.tensor([across, down, across, down, 1.0], dtype=found.dtype, device=found.device)
    return found * factors[:, None, None]


class _Level(nn.Module):
    """A change of the motion, from both frames as they are warped so far."""

    def __init__(self, width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        inputs = 4 * CHANNELS + FOUND + FLOW + 1
        self.first = convolution(inputs, width // 2, 3, generator, gain=6**0.5)
        self.second = convolution(width // 2, width, 3, generator, gain=6**0.5)
        self.first.stride = self.second.stride = (2, 2)
        self.body = nn.ModuleList(convolution(width, width, 3, generator, gain=3**0.5) for _ in range(depth))
        self.last = convolution(width, FOUND * STRIDE**2, 3, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        z = functional.leaky_relu(self.second(functional.leaky_relu(self.first(x), 0.2)), 0.2)
        for layer in self.body:
            z = z + functional.leaky_relu(layer(z), 0.2)
        return functional.pixel_shuffle(self.last(z), STRIDE)


def share(logits: Float[Tensor, "*n"], t: Float[Tensor, "*#n"]) -> Float[Tensor, "*n"]:
    """m of the first frame, by the logits of w: all of the picture at t = 0, none of it at t = 1."""
    w = torch.sigmoid(logits)
    near, far = (1 - t) * w, t * (1 - w)
    return near / (near + far).clamp(min=1e-6)


def _part_of(detail: Tensor, times: Tensor, scales: Tensor) -> Tensor:
    """e(t, s) of the details (b, ...)."""
    ones = [1] * (detail.ndim - 1)
    t = times.to(detail).reshape(-1, *ones)
    area = scales.to(detail).clamp(min=1).prod(dim=-1).reshape(-1, *ones)
    return (1 - (1 - 2 * t).square() / area) * detail


class Seen(NamedTuple):
    """A frame (b, 3, h, w), and what the network of pictures has read in it (b, k, h, w)."""

    picture: Tensor
    latents: Tensor


class Details(NamedTuple):
    """What is added to the led frames: features (b, `DETAILS`, h, w) and colours (b, 3, h, w) at the frames' pixels."""

    features: Tensor
    colours: Tensor


def joined(
    ends: tuple[Seen, Seen], ways: Float[Tensor, "b 4 h w"], m: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c h w"]:
    """What the details' network reads: both frames, warped along their ways, and where between pixels these end."""
    near, far = ([warped(one[k], way) for one, way in zip(ends, ways.chunk(2, dim=1), strict=True)] for k in (0, 1))
    turns = 2 * torch.pi * ways  # where the pixels of a frame lie behind those of the picture
    blend = m * far[0] + (1 - m) * far[1]
    picture = m * near[0] + (1 - m) * near[1]
    return torch.cat([blend, far[0] - far[1], *near, picture, m, turns.sin(), turns.cos()], dim=1)


def _joined(ends: tuple[Seen, Seen], ways: Tensor, m: Tensor) -> Tensor:
    """`joined`, by a kernel where nothing is learned."""
    first, second = ends
    if torch.is_grad_enabled() or ways.device.type != "cpu":
        return joined(ends, ways, m)
    pictures = (first.latents, second.latents, first.picture, second.picture)
    last = [part.float().permute(0, 2, 3, 1).contiguous() for part in pictures]
    ways, m = ways.float().contiguous(), m[:, 0].float().contiguous()
    out = torch.empty(*m.shape, 2 * first.latents.shape[1] + 3 * CHANNELS + 1 + PHASES)
    join_warped(*(part.numpy() for part in (*last, ways, m, out)))
    return out.permute(0, 3, 1, 2).to(first.picture.dtype)


class LightVideo(nn.Module):
    """Pictures at any time between two frames, at any scale.

    Args:
        image: the network of single pictures, which continues the frames between their pixels.
        width: channels of the motion's and the details' layers.
        depth: convolutions of a level of the motion.
        seed: of the initialisation of what `image` does not have.
    """

    def __init__(self, image: LightNetwork, *, width: int = 48, depth: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.image, self.width, self.depth, self.seed = image, width, depth, seed
        generator = torch_generator(seed)
        self.levels = nn.ModuleList(_Level(width, depth, generator) for _ in LEVELS)
        inputs = 2 * image.channels + 3 * CHANNELS + 1 + PHASES
        self.join = convolution(inputs, width, 3, generator, gain=6**0.5)
        self.layers = nn.ModuleList(convolution(width, width, 3, generator, gain=3**0.5) for _ in range(LAYERS))
        self.features = convolution(width, DETAILS, 3, generator)
        self.colours = convolution(width, CHANNELS, 3, generator, gain=0.0)
        self.detail = SplineKernels(DETAILS, hidden=DETAILS, splines=image.decoder.splines, seed=seed + 1)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"image": self.image, "width": self.width, "depth": self.depth, "seed": self.seed}

    def seen(self, frame: Float[Tensor, "b 3 h w"]) -> Seen:
        """A frame, read by the network of pictures."""
        return Seen(frame, self.image.latents(frame))

    def motion(
        self,
        first: Float[Tensor, "b 3 h w"],
        second: Float[Tensor, "b 3 h w"],
        flows: Float[Tensor, "b 4 h w"],
        times: Float[Tensor, " b"],
    ) -> Float[Tensor, "b 5 h w"]:
        """u, v and the logit of w at the times, one for each pair, from their optical flow."""
        h, w = first.shape[-2:]
        padding = (0, -w % MULTIPLE, 0, -h % MULTIPLE)
        with torch.autocast(first.device.type, enabled=False):  # places need all their digits
            flow = carried(flows.to(first), times)
        first, second, flow = (functional.pad(part, padding, mode="replicate") for part in (first, second, flow))
        t = times.to(first).reshape(-1, 1, 1, 1)
        begin = torch.cat([-flow[:, :2], flow[:, :2], SEEN_BY * (flow[:, 2:3] - flow[:, 3:])], dim=1)
        change = first.new_zeros(len(first), FOUND, 1, 1)
        for shrink, level in zip(LEVELS, self.levels, strict=True):
            small = [functional.avg_pool2d(part, shrink) if shrink > 1 else part for part in (first, second, flow)]
            shape = (small[0].shape[-2], small[0].shape[-1])
            change = change.expand(-1, -1, *shape) if change.shape[-1] == 1 else resized_motion(change, shape)
            found = resized_motion(begin, shape) + change
            seen = [warped(small[0], t * found[:, :2]), warped(small[1], (1 - t) * found[:, 2:4])]
            when = t.expand(-1, 1, *shape)
            known = torch.cat([small[2][:, :2] / (8 * shrink), small[2][:, 2:]], dim=1)
            change = change + level(torch.cat([*small[:2], *seen, found / 8, known, when], dim=1))
        return (begin + change)[..., :h, :w]

    def details(self, ends: tuple[Seen, Seen], motion: Float[Tensor, "b 5 h w"], times: Float[Tensor, " b"]) -> Details:
        """The details at the pixels of the frames, of which a warped pixel depends on `REACH`."""
        t = times.to(motion).reshape(-1, 1, 1, 1)
        ways = torch.cat([t * motion[:, :2], (1 - t) * motion[:, 2:4]], dim=1)
        z = self.join(_joined(ends, ways, share(motion[:, 4:], t)))
        for layer in self.layers:
            z = z + layer(functional.relu(z))
        z = functional.relu(z)
        return Details(self.features(z), self.colours(z))

    def on_lattice(
        self,
        ends: tuple[Seen, Seen],
        motion: Float[Tensor, "b 5 h w"],
        details: Details,
        times: Float[Tensor, " b"],
        rows: np.ndarray,
        columns: np.ndarray,
        scale: Float[Tensor, "2"],
    ) -> Float[Tensor, "b 3 y x"]:
        """The colours at a lattice of positions, (y,) and (x,) float64."""
        t = times.to(motion).reshape(-1, 1, 1, 1)
        ways = (t * motion[:, :2], (1 - t) * motion[:, 2:4])
        one, other = (self.led(end, way, rows, columns, scale) for end, way in zip(ends, ways, strict=True))
        down, across = (torch.from_numpy(places).to(motion.device) for places in (rows, columns))
        m = share(bicubic_on_lattice(motion[:, 4:], down, across), t)
        added = self.detail.on_lattice(*details, rows, columns, scale)
        return m * one + (1 - m) * other + _part_of(added, times, scale[None])

    def led(
        self,
        frame: Seen,
        way: Float[Tensor, "b 2 h w"],
        rows: np.ndarray,
        columns: np.ndarray,
        scale: Float[Tensor, "2"],
    ) -> Float[Tensor, "b 3 y x"]:
        """One frame alone, led along a motion (x, y), at a lattice of positions."""
        return self.image.decoder.led(frame.latents, frame.picture, way, rows, columns, scale)

    def at(
        self,
        ends: tuple[Seen, Seen],
        motion: Float[Tensor, "b 5 h w"],
        details: Details,
        times: Float[Tensor, " b"],
        position: Float[Tensor, "b q 2"],
        scales: Float[Tensor, "#b 2"],
    ) -> Float[Tensor, "b q 3"]:
        """The colours at points, twice differentiable by their positions."""
        t, found = times.to(position).reshape(-1, 1, 1), bicubic_at(motion, position)
        ways = (t * found[..., [1, 0]], (1 - t) * found[..., [3, 2]])
        one, other = (
            self.image.decoder.at(end.latents, end.picture, position + way, scales)
            for end, way in zip(ends, ways, strict=True)
        )
        m = share(found[..., 4:], t).to(one)
        return m * one + (1 - m) * other + _part_of(self.detail.at(*details, position, scales), times, scales)

    def with_motion(
        self,
        frames: tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]],
        times: Float[Tensor, " b"],
        rows: np.ndarray,
        columns: np.ndarray,
        scale: Float[Tensor, "2"],
        flows: Float[Tensor, "b 4 h w"] | None = None,
    ) -> tuple[Float[Tensor, "b 3 y x"], Float[Tensor, "b 4 h w"]]:
        """The colours of `forward`, and the motions from the times to the first and to the second frame."""
        ends = self.seen(frames[0]), self.seen(frames[1])
        motion = self.motion(*frames, optical_flow(*frames) if flows is None else flows, times)
        colours = self.on_lattice(ends, motion, self.details(ends, motion, times), times, rows, columns, scale)
        t = times.to(motion).reshape(-1, 1, 1, 1)
        return colours, torch.cat([t * motion[:, :2], (1 - t) * motion[:, 2:4]], dim=1)

    def forward(
        self,
        frames: tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]],
        times: Float[Tensor, " b"],
        rows: np.ndarray,
        columns: np.ndarray,
        scale: Float[Tensor, "2"],
        flows: Float[Tensor, "b 4 h w"] | None = None,
    ) -> Float[Tensor, "b 3 y x"]:
        """The colours at a lattice of positions, each pair of frames at its own time.

        Their optical flow, where it is not given, is found first.
        """
        return self.with_motion(frames, times, rows, columns, scale, flows)[0]
