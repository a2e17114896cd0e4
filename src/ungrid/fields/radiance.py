"""Radiance fields: density and colour in space, seen along rays.

Convention: points in the user's world, axes x, y, z; a density is an optical depth for each unit of the world's length; a
direction is a unit vector that points away from the camera; colours are in [0, 1], sRGB-coded as the photographs were.

The *frame* is the 4 x 4 matrix that sends homogeneous points of the world to homogeneous points of the lattice: a similarity
for a scene in a box, a projective map for scenes that reach to infinity in front of the cameras (normalised device
coordinates, Mildenhall et al. 2020, appendix C). Either sends straight rays to straight rays. With a projective frame,
densities are those of the lattice.

A *contracted* lattice, of equal axes, has the box of the domain in its inner half, and all the rest of space around it:
`contract` says where. There, too, densities are those of the lattice.
"""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields.field import Field
from ungrid.kernels.bricks import HARMONICS, SUMS, WIDTH

BRICK = 4  # nodes along an axis
EMPTY = -12.0  # the raw density where there is no brick
OPAQUE = 100.0  # optical depth across the longest axis of the lattice where softplus(raw) is 1
FRAME = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


class RadianceField(Field):
    """A field whose value is a density, and which has a colour for every direction; a footprint does not blur either.

    Attributes:
        blocks: bricks of `BRICK` nodes along each axis of the lattice.
        frame: the 16 numbers of the frame, row by row.
        background: red, green and blue behind everything.
        view: what is known of the cameras, for rendering without the photographs: a dictionary.
        contracted: whether the lattice holds all of space.
    """

    out_names = ("density",)
    blocks: tuple[int, int, int]
    frame: tuple[float, ...]
    background: tuple[float, float, float]
    view: dict[str, Any]
    contracted: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes along each axis."""
        x, y, z = (BRICK * count for count in self.blocks)
        return x, y, z

    @property
    def depth_per_node(self) -> float:
        """The optical depth of one spacing of the lattice where softplus(raw) is 1."""
        return OPAQUE / max(self.shape)

    def to_lattice(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Points of the world, in the lattice's coordinates."""
        frame = torch.tensor(self.frame, dtype=x.dtype, device=x.device).reshape(4, 4)
        moved = x @ frame[:, :3].T + frame[:, 3]
        linear = moved[..., :3] / moved[..., 3:]
        if not self.contracted:
            return linear
        middle, half = self.inner
        return middle + half * contract((linear - middle) / half)

    def to_world(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The points of the world at places in the lattice."""
        if self.contracted:
            middle, half = self.inner
            lattice = middle + half * expand((lattice - middle) / half)
        back = torch.linalg.inv(torch.tensor(self.frame, dtype=torch.float64).reshape(4, 4)).to(lattice)
        moved = lattice @ back[:, :3].T + back[:, 3]
        return moved[..., :3] / moved[..., 3:]

    @property
    def inner(self) -> tuple[float, float]:
        """The middle of a contracted lattice and half the width of its inner cube, in its coordinates."""
        return inner_cube(self.shape[0])

    @abstractmethod
    def raw(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        """The density before its softplus, at points in the lattice's coordinates."""

    def forward(
        self, x: Float[Tensor, "*batch 3"], footprint: Float[Tensor, "#*batch 3"] | None = None
    ) -> Float[Tensor, "*batch 1"]:
        x = x.to(next(self.parameters()).dtype)
        return softplus(self.raw(self.to_lattice(x))) * self.depth_per_node * self.stretch

    @property
    def bounded(self) -> bool:
        """Whether nothing but the background lies behind the lattice."""
        return not self.contracted and self._is_similarity

    @property
    def stretch(self) -> float:
        """Spacings of the lattice in a unit of the world's length; 1 for a projective frame."""
        frame = np.reshape(self.frame, (4, 4))
        return float(np.linalg.norm(frame[:3, 0])) if self._is_similarity else 1.0

    @property
    def _is_similarity(self) -> bool:
        """Whether the frame is no projective one."""
        return np.allclose(np.reshape(self.frame, (4, 4))[3], (0, 0, 0, 1))

    @abstractmethod
    def color(self, x: Float[Tensor, "*batch 3"], direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The colour that points send against a direction of view."""


class BrickField(RadianceField):
    """Density, colour and features in sparse bricks of a lattice, and a small network for what depends on the view.

    Args:
        domain: the box of the world that the lattice covers, axes x, y, z.
        blocks, frame, background, view, contracted: as in `RadianceField`.
        kept: how many bricks are stored.
        width: of the network's two hidden layers.

    Source: `ungrid.kernels.bricks` names those of the model.
    """

    def __init__(
        self,
        domain: Box,
        blocks: tuple[int, int, int],
        kept: int,
        *,
        frame: tuple[float, ...] = FRAME,
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
        view: dict[str, Any] | None = None,
        width: int = 64,
        contracted: bool = False,
    ) -> None:
        super().__init__()
        if contracted and len(set(blocks)) > 1:
            raise InputError(f"a contracted lattice of {blocks} bricks", "equally many along every axis")
        if domain.dim != 3:
            raise InputError(f"a radiance field over {domain.dim} axes", "a box with x, y and z")
        self.domain, self.blocks, self.kept, self.width = domain, blocks, kept, width
        self.frame, self.background, self.view = frame, background, view or {}
        self.contracted = contracted
        self.places: Tensor
        self.register_buffer("places", torch.zeros(kept, 3, dtype=torch.int32))
        nodes = torch.zeros((kept + 1) * BRICK**3, WIDTH)
        nodes[: BRICK**3, 0] = EMPTY
        self.nodes = nn.Parameter(nodes)
        self.first = nn.Parameter(torch.zeros(SUMS + HARMONICS, width))
        self.second = nn.Parameter(torch.zeros(width, width))
        self.last = nn.Parameter(torch.zeros(width, 3))

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "domain": self.domain, "blocks": self.blocks, "kept": self.kept, "frame": self.frame,
            "background": self.background, "view": self.view, "width": self.width, "contracted": self.contracted,
        }  # fmt: skip

    def index(self) -> np.ndarray:
        """The number of each brick (Bx, By, Bz), 0 where none is kept."""
        index = np.zeros(self.blocks, np.uint32)
        index[tuple(self.places.cpu().numpy().T)] = 1 + np.arange(self.kept)
        return index

    def interpolated(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 8"]:
        """The numbers of the nodes at points in the lattice's coordinates, trilinear.

        A cell belongs to the brick of its lower corner: outside, and where that is not kept, everything is empty.
        """
        top = torch.tensor(self.shape, dtype=lattice.dtype, device=lattice.device) - 1
        outside = ((lattice < 0) | (lattice > top)).any(dim=-1)
        lower = lattice.detach().clamp(torch.zeros_like(top), top - 1).floor()
        fraction, lower = lattice - lower, lower.long()
        index = torch.from_numpy(self.index().astype(np.int64)).to(lattice.device)
        empty = outside | (index[tuple((lower // BRICK).unbind(-1))] == 0)
        total = torch.zeros((), dtype=self.nodes.dtype, device=lattice.device)
        for corner in np.ndindex(2, 2, 2):
            node = lower + torch.tensor(corner, device=lattice.device)
            brick = torch.where(empty, 0, index[tuple((node // BRICK).unbind(-1))])
            i, j, k = (node % BRICK).unbind(-1)
            sides = [fraction[..., a] if side else 1 - fraction[..., a] for a, side in enumerate(corner)]
            weight = (sides[0] * sides[1] * sides[2])[..., None]
            total = total + weight * self.nodes[brick * BRICK**3 + (i * BRICK + j) * BRICK + k]
        return total

    def raw(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        return self.interpolated(lattice)[..., :1]

    def decoded(
        self, sums: Float[Tensor, "*batch 7"], direction: Float[Tensor, "*batch 3"]
    ) -> Float[Tensor, "*batch 3"]:
        """What depends on the view."""
        inputs = torch.cat([sums, spherical_harmonics(direction)], dim=-1)
        return (((inputs @ self.first).relu()) @ self.second).relu() @ self.last

    def color(self, x: Float[Tensor, "*batch 3"], direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        sums = self.interpolated(self.to_lattice(x.to(self.nodes.dtype)))[..., 1:]
        return sums[..., :3] + self.decoded(sums, direction.to(self.nodes.dtype))


def inner_cube(nodes: int) -> tuple[float, float]:
    """The middle of a contracted lattice of so many nodes along each axis, and half the width of its inner cube."""
    return (nodes - 1) / 2, (nodes - 2.1) / 4


def contract(u: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Space in the cube of half width 2, of which that of half width 1 stays as it is.

    Source: Reiser et al. 2023, *MERF*, equation 9.
    """
    size, axis = u.abs().max(dim=-1, keepdim=True)
    outer = size.clamp(min=1)
    on_axis = torch.arange(3, device=u.device) == axis
    return torch.where(size > 1, torch.where(on_axis, (2 - 1 / outer) * u.sign(), u / outer), u)


def expand(w: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The inverse of `contract`; at half width 2 far away, but finite."""
    size, axis = w.abs().max(dim=-1, keepdim=True)
    outer = 1 / (2 - size).clamp(min=1e-6)
    on_axis = torch.arange(3, device=w.device) == axis
    return torch.where(size > 1, torch.where(on_axis, outer * w.sign(), w * outer), w)


def spherical_harmonics(direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 16"]:
    """The real spherical harmonics of degree 0 to 3 at unit vectors: the twin of the kernel's."""
    x, y, z = direction.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    columns = (
        torch.full_like(x, 0.28209479177387814),
        0.4886025119029199 * y, 0.4886025119029199 * z, 0.4886025119029199 * x,
        1.0925484305920792 * x * y, 1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy),
        1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy),
        0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z,
        0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
        0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy),
        0.5900435899266435 * x * (xx - 3 * yy),
    )  # fmt: skip
    return torch.stack(columns, dim=-1)


def box_frame(domain: Box, shape: tuple[int, int, int]) -> tuple[float, ...]:
    """The frame that sends a box to the nodes of a lattice, at one scale for all axes, its centre to the lattice's."""
    spans = domain.high - domain.low
    spacing = float(np.max(spans / (np.array(shape) - 1)))
    frame = np.eye(4)
    frame[:3, :3] /= spacing
    frame[:3, 3] = (np.array(shape) - 1) / 2 - (domain.low + domain.high) / (2 * spacing)
    return tuple(frame.ravel().tolist())
