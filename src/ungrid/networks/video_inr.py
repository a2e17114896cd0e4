"""VideoINR: from two frames to pictures at any time between them, of any size.

Convention: frames (b, 2, 3, h, w) in [0, 1], sRGB-coded, h and w multiples of 4; times t in [0, 1], 0 at the first frame.
Coordinates of a picture are its pixel centres in [-1, 1]. Parameters are named as in the files that its authors published;
some of those are not used (`upconv1`, `upconv2`, `HRconv`, `conv_last`).

With features of both frames and of what is between them, the spatial network gives features F_s(x_s) at the result's pixels,
the temporal network a motion M(x_s, t) = f_t(t, F_s(x_s)) to either frame, and a decoder the colour from what lies there:
F_st(x_s, t) = F_s(x_s + M(x_s, t)).

Source: Chen et al. 2022, *VideoINR* (equations 1 to 6), whose encoder is that of Xiang et al. 2020, *Zooming Slow-Mo*; pyramid,
cascading and deformable alignment: Wang et al. 2019, *EDVR*; the recurrent cell: Shi et al. 2015, *Convolutional LSTM*.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.networks.deformable import DeformableConvolution
from ungrid.networks.encoders import CHANNELS, convolution
from ungrid.networks.layers import uniform_linear

OMEGA = 30.0  # of every sine layer
INSIDE = 1 - 1e-6  # largest coordinate that is sampled
HR_FEATURES = 64
COMPAT_SCALE = 4  # by which the published evaluation enlarges the frames before it samples them
LEVELS = (3, 2, 1)  # of the alignment, coarse to fine


def leaky(x: Tensor) -> Tensor:
    """The leaky ReLU with slope 0.1."""
    return functional.leaky_relu(x, 0.1)


def doubled(x: Tensor) -> Tensor:
    """The features at twice the size."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def pixel_centres(h: int, w: int, like: Tensor) -> Float[Tensor, "h w 2"]:
    """The centres (y, x) in [-1, 1]."""
    lines = [(2 * torch.arange(n, dtype=like.dtype, device=like.device) + 1) / n - 1 for n in (h, w)]
    return torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)


def sampled(x: Tensor, place: Tensor, mode: str = "bilinear") -> Tensor:
    """Features (b, c, H, W) of maps at places (b, H, W, 2), (y, x)."""
    inside = place.clamp(-INSIDE, INSIDE).flip(-1)
    return functional.grid_sample(x.to(place.dtype), inside, mode=mode, align_corners=False)


class _Residual(nn.Module):
    def __init__(self, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv1 = convolution(features, features, 3, generator, gain=0.1)
        self.conv2 = convolution(features, features, 3, generator, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.relu(self.conv1(x)))


class _Align(nn.Module):
    """Both features aligned to each other, coarse to fine (b, 2 k, h, w)."""

    def __init__(self, features: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        for way in (1, 2):
            for level in LEVELS:
                inputs = {1: 2 * features, 2: features if level == 3 else 2 * features, 3: features}
                for k in (1, 2) if level == 3 else (1, 2, 3):
                    layer = convolution(inputs[k], features, 3, generator)
                    self.add_module(f"L{level}_offset_conv{k}_{way}", layer)
                self.add_module(f"L{level}_dcnpack_{way}", DeformableConvolution(features, groups, generator))
                if level < 3:
                    self.add_module(f"L{level}_fea_conv_{way}", convolution(2 * features, features, 3, generator))

    def forward(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        return torch.cat([self._one(1, first, second), self._one(2, second, first)], dim=1)

    def _one(self, way: int, own: list[Tensor], other: list[Tensor]) -> Tensor:
        part: Any = {name: module for name, module in self.named_children()}
        guide = found = torch.empty(0)
        for level in LEVELS:
            name = f"L{level}"
            coarser, both = guide, torch.cat([own[level - 1], other[level - 1]], dim=1)
            guide = leaky(part[f"{name}_offset_conv1_{way}"](both))
            if level == 3:
                guide = leaky(part[f"{name}_offset_conv2_{way}"](guide))
                found = leaky(part[f"{name}_dcnpack_{way}"](own[2], guide))
                continue
            guide = leaky(part[f"{name}_offset_conv2_{way}"](torch.cat([guide, 2 * doubled(coarser)], dim=1)))
            guide = leaky(part[f"{name}_offset_conv3_{way}"](guide))
            aligned = part[f"{name}_dcnpack_{way}"](own[level - 1], guide)
            found = part[f"{name}_fea_conv_{way}"](torch.cat([aligned, doubled(found)], dim=1))
            found = leaky(found) if level == 2 else found
        return found


class _Pyramid(nn.Module):
    """Two features, aligned to each other at three sizes and fused to one."""

    def __init__(self, features: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        for name in ("fea_L2_conv1", "fea_L2_conv2", "fea_L3_conv1", "fea_L3_conv2"):
            layer = convolution(features, features, 3, generator)
            layer.stride = (2, 2) if name.endswith("conv1") else (1, 1)
            self.add_module(name, layer)
        self.pcd_align = _Align(features, groups, generator)
        self.fusion = convolution(2 * features, features, 1, generator)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The features at full, half and quarter size."""
        part: Any = {name: module for name, module in self.named_children()}
        half = leaky(part["fea_L2_conv2"](leaky(part["fea_L2_conv1"](x))))
        return [x, half, leaky(part["fea_L3_conv2"](leaky(part["fea_L3_conv1"](half))))]

    def fused(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """One feature from the levels of two."""
        return self.fusion(self.pcd_align(first, second))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.fused(self.levels(first), self.levels(second))


class _Cell(nn.Module):
    def __init__(self, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.conv = convolution(2 * features, 4 * features, 3, generator)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, o, g = self.conv(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class _Recurrent(nn.Module):
    """A convolutional LSTM whose states are aligned to each new input."""

    def __init__(self, features: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        self.pcd_h, self.pcd_c = (_Pyramid(features, groups, generator) for _ in range(2))
        self.cell_list = nn.ModuleList([_Cell(features, generator)])

    def forward(self, sequence: list[Tensor]) -> list[Tensor]:
        h = c = torch.zeros_like(sequence[0])
        found = []
        for x in sequence:
            h, c = self.cell_list[0](x, self.pcd_h(x, h), self.pcd_c(x, c))
            found.append(h)
        return found


class _BothWays(nn.Module):
    """The same recurrent network forwards and backwards in time."""

    def __init__(self, features: int, groups: int, generator: torch.Generator) -> None:
        super().__init__()
        self.forward_net = _Recurrent(features, groups, generator)
        self.conv_1x1 = convolution(2 * features, features, 1, generator)

    def forward(self, sequence: list[Tensor]) -> list[Tensor]:
        ahead, back = self.forward_net(sequence), self.forward_net(sequence[::-1])[::-1]
        return [self.conv_1x1(torch.cat(pair, dim=1)) for pair in zip(ahead, back, strict=True)]


class _SineLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, first: bool, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / OMEGA
        self.linear = uniform_linear(inputs, outputs, bound, inputs**-0.5, generator)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(OMEGA * self.linear(x))


class SineNetwork(nn.Module):
    """Sine layers and a linear one (Sitzmann et al. 2020), named as VideoINR's, for channels of maps (b, c, h, w)."""

    def __init__(self, sizes: tuple[int, ...], generator: torch.Generator) -> None:
        super().__init__()
        hidden = [_SineLayer(a, b, k == 0, generator) for k, (a, b) in enumerate(pairwise(sizes[:-1]))]
        last = uniform_linear(sizes[-2], sizes[-1], math.sqrt(6 / sizes[-2]) / OMEGA, sizes[-2] ** -0.5, generator)
        self.net = nn.Sequential(*hidden, last)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        return self.net(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class VideoINR(nn.Module):
    """The video implicit neural representation; the defaults are the published network.

    Args:
        features: channels.
        groups: of the deformable convolutions.
        front, back: residual blocks before the alignment and after the recurrence.
        seed: of the initialisation.
    """

    def __init__(self, *, features: int = 64, groups: int = 8, front: int = 5, back: int = 40, seed: int = 0) -> None:
        super().__init__()
        self.features, self.groups, self.front, self.back, self.seed = features, groups, front, back, seed
        generator = torch_generator(seed)
        self.conv_first = convolution(CHANNELS, features, 3, generator)
        self.feature_extraction = nn.Sequential(*(_Residual(features, generator) for _ in range(front)))
        pyramid = _Pyramid(features, groups, generator)  # its parts bear the names of this network's own
        for name, part in pyramid.named_children():
            self.add_module(name, part)
        self._pyramid = [pyramid]  # in a list, so that its parameters are not counted twice
        self.ConvBLSTM = _BothWays(features, groups, generator)
        self.recon_trunk = nn.Sequential(*(_Residual(features, generator) for _ in range(back)))
        self.upconv1 = convolution(features, 4 * features, 3, generator)
        self.upconv2 = convolution(features, 4 * HR_FEATURES, 3, generator)
        self.HRconv = convolution(HR_FEATURES, HR_FEATURES, 3, generator)
        self.conv_last = convolution(HR_FEATURES, CHANNELS, 3, generator)
        seen, frames = 3 * features, 2 * CHANNELS
        self.feat_imnet = SineNetwork((seen + frames + 3, 64, 64, 256, HR_FEATURES), generator)
        self.flow_imnet = SineNetwork((HR_FEATURES + seen + frames + 1, 64, 64, 256, 4), generator)
        inputs = 2 * (HR_FEATURES + seen + frames) + 1
        self.encode_imnet = SineNetwork((inputs, 64, 64, 256, 256, CHANNELS), generator)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("features", "groups", "front", "back", "seed")
        return {name: getattr(self, name) for name in names}

    def encode(self, frames: Float[Tensor, "b 2 3 h w"]) -> Float[Tensor, "b k3 h w"]:
        """The features at the first frame, between them and at the second.

        Raises:
            InputError: if a side is no multiple of 4.
        """
        if frames.shape[-1] % 4 or frames.shape[-2] % 4:
            raise InputError(f"frames of shape {tuple(frames.shape[-2:])}", "sides that are multiples of 4")
        (pyramid,) = self._pyramid
        first, second = (
            pyramid.levels(self.feature_extraction(leaky(self.conv_first(frame)))) for frame in frames.unbind(1)
        )
        sequence = [first[0], pyramid.fused(first, second), second[0]]
        return torch.cat([self.recon_trunk(x) for x in self.ConvBLSTM(sequence)], dim=1)

    def picture(
        self,
        features: Float[Tensor, "b k3 h w"],
        frames: Float[Tensor, "b 2 3 h w"],
        time: float | Float[Tensor, " b"],
        shape: tuple[int, int],
        *,
        compat: bool = False,
    ) -> Float[Tensor, "b 3 y x"]:
        """The picture at a time.

        Args:
            features: of `encode`.
            frames: what they were made of.
            time: in [0, 1], one or one for each pair of frames.
            shape: rows and columns.
            compat: enlarge the frames by 4 before sampling them, as the published evaluation does at every scale; the
                published training does not.
        """
        h, w = features.shape[-2:]
        both = frames.flatten(1, 2)
        place = pixel_centres(*shape, frames)[None].expand(len(frames), -1, -1, -1)
        own = pixel_centres(h, w, frames).permute(2, 0, 1)[None].expand(len(frames), -1, -1, -1)
        away = place.permute(0, 3, 1, 2) - sampled(own, place, "nearest")
        away = away * torch.tensor([h, w], dtype=away.dtype, device=away.device)[:, None, None]
        when = torch.as_tensor(time).to(away).reshape(-1, 1, 1, 1).expand_as(away[:, :1])
        near = [sampled(x, place, "nearest") for x in (features, both)]
        large = self.feat_imnet(torch.cat([*near, away, when], dim=1))
        if compat:
            both = functional.interpolate(both, scale_factor=COMPAT_SCALE, mode="bilinear", align_corners=False)
        here = [large, sampled(features, place), sampled(both, place)]
        flow = self.flow_imnet(torch.cat([*here, when], dim=1))
        warped = [self._warped(part.to(frames.dtype)) for part in flow.chunk(2, dim=1)]
        seen = [sampled(maps, where) for maps in (large, features, both) for where in warped]
        return self.encode_imnet(torch.cat([*seen, when], dim=1))

    def forward(
        self, frames: Float[Tensor, "b 2 3 h w"], times: list[float], shape: tuple[int, int]
    ) -> Float[Tensor, "t b 3 y x"]:
        """The pictures at some times."""
        features = self.encode(frames)
        return torch.stack([self.picture(features, frames, time, shape) for time in times])

    @staticmethod
    def _warped(flow: Float[Tensor, "b 2 y x"]) -> Float[Tensor, "b y x 2"]:
        """Where a flow (x, y) in pixels of the result leads.

        The corners' convention differs from that by which the places are sampled, as in the published code: the lattice
        spans [-1, 1] from centre to centre.
        """
        y, x = flow.shape[-2:]
        lines = [torch.linspace(-1, 1, n, dtype=flow.dtype, device=flow.device) for n in (y, x)]
        lattice = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1)
        steps = torch.tensor([(n - 1) / 2 for n in (y, x)], dtype=flow.dtype, device=flow.device)
        return lattice + flow.flip(1).permute(0, 2, 3, 1) / steps
