"""Two frames of a clip as a continuous function of time and place, by a network that learned from other clips.

Convention: axes (t, y, x) in the units of the domain; the frames lie at both ends of the time axis, +y down, and their pixels
fill the domain's plane. Footprints of place as in `ungrid.fields.latent`; one of time, as long as an exposure, is a mean over
moments that are at most `MOMENT` of the time between the frames apart.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.fields.field import Field
from ungrid.fields.latent import FINEST, LatentField
from ungrid.networks import LightVideo
from ungrid.networks.light_video import Details, Seen
from ungrid.networks.optical_flow import optical_flow

MOMENT = 0.25


class _Moment(LatentField):
    """The picture at one time between two frames."""

    def __init__(self, video: LightVideo, ends: tuple[Seen, Seen], motion: Tensor, time: Tensor, plane: Box) -> None:
        super().__init__(video.image, shape=(motion.shape[2], motion.shape[3]), box=plane)
        self.video, self.ends, self.motion, self.time = video, ends, motion, time
        self.details: Details = video.details(ends, motion, time)

    def _at(self, position: Tensor, cell: Tensor) -> Tensor:
        scales = 1 / cell.clamp(min=1 / FINEST)[None]
        return self.video.at(self.ends, self.motion, self.details, self.time, position, scales)

    def _on_lattice(self, rows: np.ndarray, columns: np.ndarray, scale: Tensor) -> Tensor:
        return self.video.on_lattice(self.ends, self.motion, self.details, self.time, rows, columns, scale)


class VideoField(Field):
    """What lies between two frames, at any time and any place.

    Times outside of the frames' count as the nearer one of them. Points of one time are computed together; where derivatives
    are asked for, every point alone, which takes as long as a whole frame.

    Args:
        network: that finds the motion and reads the latents.
        shape: rows and columns of the frames.
        box: where they lie; None: times 0 and 1, the longer axis of the plane spans [-1, 1], and pixels are square.

    The frames themselves are given by `encode`; they, their latents and their optical flow are stored with the field.
    """

    first: Tensor
    second: Tensor
    first_latents: Tensor
    second_latents: Tensor
    flows: Tensor

    def __init__(self, network: LightVideo, *, shape: tuple[int, int], box: Box | None = None) -> None:
        super().__init__()
        if len(shape) != 2 or min(shape) < 1:
            raise InputError(f"frames of shape {shape}", "two sizes of 1 and more")
        self.network, self.shape = network, shape
        plane = RegularGrid.isotropic(shape, ("y", "x")).box.axes
        self.domain: Box = box or Box(Axis("t", 0.0, 1.0, ""), *plane)
        self.out_names = ("red", "green", "blue")
        like = next(network.parameters()).detach()
        for name in ("first", "second"):
            self.register_buffer(name, like.new_zeros(1, 3, *shape))
            self.register_buffer(f"{name}_latents", like.new_zeros(1, network.image.channels, *shape))
        self.register_buffer("flows", like.new_zeros(1, 4, *shape))

    @classmethod
    def encode(cls, network: LightVideo, first: np.ndarray, second: np.ndarray, box: Box | None = None) -> "VideoField":
        """The field of two frames (h, w, 3) in [0, 1].

        Raises:
            InputError: if their shapes differ.
        """
        if first.shape != second.shape:
            raise InputError(f"frames of shapes {first.shape} and {second.shape}", "one shape")
        field = cls(network, shape=(first.shape[0], first.shape[1]), box=box)
        for name, frame in (("first", first), ("second", second)):
            picture = torch.from_numpy(np.ascontiguousarray(frame)).to(field.first).permute(2, 0, 1)[None]
            with torch.no_grad():
                setattr(field, name, picture)
                setattr(field, f"{name}_latents", network.image.latents(picture).contiguous())
        field.flows = optical_flow(field.first, field.second).to(field.first)
        return field

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"network": self.network, "shape": self.shape, "box": self.domain}

    def at_time(self, time: float | Float[Tensor, ""]) -> LatentField:
        """The picture at a time, as a field over the plane, differentiable by the time."""
        when = (torch.as_tensor(time).to(self.first.device).double() - self.domain.low[0]) / self._duration
        t = when.clamp(0, 1).reshape(1)
        ends = Seen(self.first, self.first_latents), Seen(self.second, self.second_latents)
        motion = self.network.motion(self.first, self.second, self.flows, t)
        return _Moment(self.network, ends, motion, t, Box(*self.domain.axes[1:]))

    @property
    def _duration(self) -> float:
        return float(self.domain.high[0] - self.domain.low[0])

    def _exposure(self, width: float) -> np.ndarray:
        """The moments of an exposure of so long a time, around its middle."""
        count = max(1, math.ceil(width / (MOMENT * self._duration) - 1e-9))
        return width * ((np.arange(count) + 0.5) / count - 0.5)

    def forward(
        self, x: Float[Tensor, "*batch 3"], footprint: Float[Tensor, "#*batch 3"] | None = None
    ) -> Float[Tensor, "*batch 3"]:
        flat = x.reshape(-1, 3)
        cells = None if footprint is None else footprint.reshape(-1, 3).expand(len(flat), 3)
        if torch.is_grad_enabled() and flat.requires_grad:
            groups = torch.arange(len(flat), device=flat.device)
        else:
            key = flat[:, :1] if cells is None else torch.cat([flat[:, :1], cells[:, :1]], dim=1)
            groups = torch.unique(key, dim=0, return_inverse=True)[1]
        found: Tensor | None = None
        for number in range(int(groups.max()) + 1 if len(groups) else 0):
            (members,) = torch.nonzero(groups == number, as_tuple=True)
            values = self._together(flat[members], None if cells is None else cells[members])
            found = values.new_zeros(len(flat), 3) if found is None else found
            found = found.index_copy(0, members, values)
        return (self.first.new_zeros(0, 3) if found is None else found).reshape(*x.shape[:-1], 3)

    def _together(self, x: Tensor, cells: Tensor | None) -> Tensor:
        """The values at points (n, 3) of one time, whose cells last equally long."""
        if cells is None:
            return self.at_time(x[0, 0])(x[:, 1:])
        moments = self._exposure(float(cells[0, 0]))
        return torch.stack([self.at_time(x[0, 0] + moment)(x[:, 1:], cells[:, 1:]) for moment in moments]).mean(dim=0)

    def on_grid(self, grid: RegularGrid, footprint: bool = False) -> np.ndarray:
        """The values at the centres of `grid`; with `footprint`, means over its cells."""
        plane = RegularGrid(Box(*grid.box.axes[1:]), grid.shape[1:])
        moments = self._exposure(float(grid.spacing[0])) if footprint else np.zeros(1)
        out = np.empty((*grid.shape, 3), dtype=np.float32)
        for k, time in enumerate(grid.centers(0)):
            with torch.no_grad():
                views = [self.at_time(time + moment).on_grid(plane, footprint) for moment in moments]
            out[k] = np.mean(views, axis=0)
        return out
