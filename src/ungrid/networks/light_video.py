"""Two frames as a continuous picture at any time between them: features that follow the motion, then `LightNetwork`'s decoder.

Convention: frames (b, 3, h, w) in [0, 1], sRGB-coded, at times 0 and 1; t in [0, 1]. Motions are (x, y) in pixels: a picture
at t takes from a frame what lies at its own place plus the motion. Positions and scales as in `ungrid.networks.continuous`.

The motions from time t are t u to the first frame and (1 - t) v to the second. They begin with the optical flow between the
frames, carried to the time (`ungrid.networks.optical_flow`), and are corrected, with a weight w in (0, 1), coarse to fine from
both frames as they are warped so far (after RIFE, Huang et al. 2022). With features A_0 and A_1 of the frames,

    m = (1 - t) w / ((1 - t) w + t (1 - w)),     A_t = m A_0(x + t u) + (1 - m) A_1(x + (1 - t) v) + 4 t (1 - t) correction

and the picture's own colours alike, which `SplineKernels` then decodes. At t = 0 and t = 1 nothing is left of the motion: there
the result is exactly that of `LightNetwork`.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.random import torch_generator
from ungrid.networks.continuous import LightNetwork
from ungrid.networks.encoders import CHANNELS, convolution
from ungrid.networks.optical_flow import carried, optical_flow

LEVELS = (4, 2, 1)  # by how much the frames are shrunk, coarse to fine
STRIDE = 4  # of a level's own features
MULTIPLE = LEVELS[0] * STRIDE  # of the sides that the motion is computed on; other frames are continued
REACH = 4  # pixels on each side of a warped pixel that its correction reads
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


class LightVideo(nn.Module):
    """Pictures at any time between two frames, at any scale.

    Args:
        image: the network of single pictures, whose encoder and decoder are used.
        width: channels of the motion's layers.
        depth: convolutions of a level of the motion.
        seed: of the initialisation of what `image` does not have.
    """

    def __init__(self, image: LightNetwork, *, width: int = 48, depth: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.image, self.width, self.depth, self.seed = image, width, depth, seed
        generator = torch_generator(seed)
        self.levels = nn.ModuleList(_Level(width, depth, generator) for _ in LEVELS)
        channels = image.channels
        self.join = convolution(2 * channels + 3 * CHANNELS + 1, width, 3, generator, gain=6**0.5)
        self.correct = nn.ModuleList(convolution(width, width, 3, generator, gain=6**0.5) for _ in range(2))
        self.correction = convolution(width, channels + CHANNELS, 3, generator, gain=0.0)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"image": self.image, "width": self.width, "depth": self.depth, "seed": self.seed}

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

    def between(
        self,
        frames: tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]],
        latents: tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k h w"]],
        motion: Float[Tensor, "b 5 h w"],
        times: Float[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b 3 h w"]]:
        """The latents and the picture at the times, on the pixels of the frames, `REACH` of which a pixel depends on."""
        t = times.to(frames[0]).reshape(-1, 1, 1, 1)
        ways = (t * motion[:, :2], (1 - t) * motion[:, 2:4])
        share = torch.sigmoid(motion[:, 4:])
        m = (1 - t) * share / ((1 - t) * share + t * (1 - share)).clamp(min=1e-6)
        near = [warped(x, way) for x, way in zip(frames, ways, strict=True)]
        far = [warped(x, way) for x, way in zip(latents, ways, strict=True)]
        picture, blend = (m * a + (1 - m) * b for a, b in (near, far))
        z = self.join(torch.cat([blend, far[0] - far[1], *near, picture, m], dim=1))
        for layer in self.correct:
            z = z + layer(functional.relu(z))
        change = 4 * t * (1 - t) * self.correction(functional.relu(z))
        return blend + change[:, CHANNELS:], picture + change[:, :CHANNELS]

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
        latents = self.image.latents(frames[0]), self.image.latents(frames[1])
        motion = self.motion(*frames, optical_flow(*frames) if flows is None else flows, times)
        at, picture = self.between(frames, latents, motion, times)
        t = times.to(motion).reshape(-1, 1, 1, 1)
        ways = torch.cat([t * motion[:, :2], (1 - t) * motion[:, 2:4]], dim=1)
        return self.image.on_lattice(at, picture, rows, columns, scale), ways

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
