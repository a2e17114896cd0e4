"""Radiance fields as networks of the place and the direction, as the paper that named them has them.

Convention: `ungrid.fields.radiance`; the networks see the lattice's box as [-1, 1] along its longest axis.

Source: Mildenhall et al. 2020, *NeRF: representing scenes as neural radiance fields for view synthesis*, figure 7 and
sections 5.1 to 5.3. The density is a softplus, not a relu: with relu some runs never leave the empty scene (Barron et al. 2021,
*Mip-NeRF*, section 3.3). Sines in the place of encoded coordinates: Sitzmann et al. 2020, *Implicit neural representations with
periodic activation functions*.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.domains import Box
from ungrid.encodings import Identity, Positional
from ungrid.fields.radiance import EMPTY, FRAME, RadianceField
from ungrid.networks import Siren
from ungrid.networks.layers import uniform_linear

TRUNKS = ("relu", "sine")
FIRST_WAVE = 10.0  # ω0 of the first sine layer
START = -4.0  # of the raw density: clear, as everywhere before anything is seen


class Trunk(nn.Module):
    """ReLU layers, of which the one in the middle sees the encoded place once more; or sines.

    Args:
        in_features: of the encoded place.
        width: of every layer.
        depth: number of layers.
        kind: "relu" or "sine".
        generator: of the first weights.
    """

    def __init__(self, in_features: int, width: int, depth: int, kind: str, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        if kind == "sine":
            seed = int(torch.randint(1 << 30, (), generator=generator))
            self.waves = Siren(in_features, width, width=width, depth=depth - 1, first_omega0=FIRST_WAVE, seed=seed)
            return
        sizes = [in_features] + [width] * (depth - 1)
        if depth > 2:
            sizes[depth // 2 + 1] += in_features  # the sixth of eight, as in the paper's code
        self.layers = nn.ModuleList(_layer(size, width, generator) for size in sizes)

    def forward(self, encoded: Tensor) -> Tensor:
        """Features (*batch, width) of encoded places."""
        if self.kind == "sine":
            return torch.sin(self.waves(encoded))
        x = encoded
        for layer in self.layers:
            x = torch.relu(layer(x if layer.in_features == x.shape[-1] else torch.cat([encoded, x], dim=-1)))
        return x


class Radiance(nn.Module):
    """Density and colour: the trunk, a density of the place alone, and a layer of half the width that sees the direction."""

    def __init__(self, field: "NerfField", generator: torch.Generator) -> None:
        super().__init__()
        width, aside = field.width, field.directions.out_features if field.view_dependent else 0
        self.trunk = Trunk(field.places.out_features, width, field.depth, field.trunk, generator)
        self.density = _layer(width, 1, generator)
        self.feature = _layer(width, width, generator)
        self.aside = _layer(width + aside, width // 2, generator)
        self.color = _layer(width // 2, 3, generator)
        with torch.no_grad():
            self.density.bias.add_(START)

    def forward(self, place: Tensor, direction: Tensor | None) -> tuple[Tensor, Tensor]:
        """The raw density (*batch, 1) and the colour (*batch, 3) of encoded places and directions."""
        trunk = self.trunk(place)
        seen = self.feature(trunk) if direction is None else torch.cat([self.feature(trunk), direction], dim=-1)
        return self.density(trunk), torch.sigmoid(self.color(torch.relu(self.aside(seen))))


class NerfField(RadianceField):
    """A coarse network, which tells where to look, and a fine one, which is the field.

    Args:
        domain: the box of the world, axes x, y, z.
        blocks, frame, background, view: as in `RadianceField`; the lattice only serves as a box with a spacing.
        width: of the networks.
        depth: number of the trunk's layers.
        octaves: frequencies of the encoded place; 0 for the place itself.
        direction_octaves: of the direction.
        view_dependent: whether the colour sees the direction.
        trunk: "relu" or "sine".
        samples: of a ray: coarse ones, and further ones for the fine network.
        seed: of the first weights.
    """

    def __init__(
        self,
        domain: Box,
        blocks: tuple[int, int, int],
        *,
        frame: tuple[float, ...] = FRAME,
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
        view: dict[str, Any] | None = None,
        width: int = 256,
        depth: int = 8,
        octaves: int = 10,
        direction_octaves: int = 4,
        view_dependent: bool = True,
        trunk: str = "relu",
        samples: tuple[int, int] = (64, 128),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if domain.dim != 3 or trunk not in TRUNKS or min(samples) < 1 or depth < 2:
            raise InputError(
                f"a scene over {domain.dim} axes, a trunk {trunk!r} of {depth} layers and {samples} samples",
                f"three axes, one of {', '.join(TRUNKS)}, two layers and one sample or more",
            )
        self.domain, self.blocks, self.frame, self.background, self.view = domain, blocks, frame, background, view or {}
        self.width, self.depth, self.octaves, self.direction_octaves = width, depth, octaves, direction_octaves
        self.view_dependent, self.trunk, self.samples, self.seed = view_dependent, trunk, samples, seed
        self.places: Any = Positional(3, octaves) if octaves else Identity(3)
        self.directions: Any = Positional(3, direction_octaves) if direction_octaves else Identity(3)
        generator = torch_generator(seed)
        self.coarse, self.fine = Radiance(self, generator), Radiance(self, generator)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("domain", "blocks", "frame", "background", "view", "width", "depth", "octaves", "direction_octaves",
                 "view_dependent", "trunk", "samples", "seed")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def unit(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Points in the lattice's coordinates, as the networks see them."""
        top = torch.tensor(self.shape, dtype=lattice.dtype, device=lattice.device) - 1
        return (2 * lattice - top) / top.max()

    def seen(
        self, network: Radiance, lattice: Float[Tensor, "*batch 3"], direction: Float[Tensor, "*batch 3"]
    ) -> tuple[Float[Tensor, "*batch 1"], Float[Tensor, "*batch 3"]]:
        """Raw density and colour of one of the networks."""
        aside = self.directions(direction) if self.view_dependent else None
        raw, color = network(self.places(self.unit(lattice)), aside)
        return raw, color

    def raw(self, lattice: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
        top = torch.tensor(self.shape, dtype=lattice.dtype, device=lattice.device) - 1
        outside = ((lattice < 0) | (lattice > top)).any(dim=-1, keepdim=True)
        found = self.fine.density(self.fine.trunk(self.places(self.unit(lattice))))
        return torch.where(outside, torch.full_like(found, EMPTY), found)

    def color(self, x: Float[Tensor, "*batch 3"], direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        kind = next(self.parameters()).dtype
        return self.seen(self.fine, self.to_lattice(x.to(kind)), direction.to(kind))[1]

    def render(
        self,
        start: Float[Tensor, "rays 3"],
        along: Float[Tensor, "rays 3"],
        views: Float[Tensor, "rays 3"],
        jitter: Float[Tensor, "rays samples"],
    ) -> tuple[Float[Tensor, "rays 2 3"], Float[Tensor, " rays"], Float[Tensor, "rays 3"]]:
        """Rays in the lattice's coordinates, which begin at t = 0: colours by both networks, opacity, and mean place.

        Args:
            start: where they begin.
            along: their directions, of any length.
            views: unit vectors of the world.
            jitter: in [0, 1), for every sample: first the coarse ones within their intervals, then the further ones.
        """
        first, more = self.samples
        edges, spacing = intervals(start, along, self.shape, first)
        t = edges[:, :-1] + jitter[:, :first] * (edges[:, 1:] - edges[:, :-1])
        coarse, weights, _ = self._composited(self.coarse, start, along, views, t, edges[:, -1:], spacing)
        further = inverse_cdf(edges, weights.detach(), jitter[:, first : first + more].sort(dim=1).values)
        every = torch.cat([t, further], dim=1).sort(dim=1).values
        fine, weights, places = self._composited(self.fine, start, along, views, every, edges[:, -1:], spacing)
        return torch.stack([coarse, fine], dim=1), weights.sum(dim=1), (weights[..., None] * places).sum(dim=1)

    def _composited(
        self, network: Radiance, start: Tensor, along: Tensor, views: Tensor, t: Tensor, end: Tensor, spacing: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours (R, 3), weights (R, S) and places (R, S, 3) of samples at t (R, S)."""
        places = start[:, None] + t[..., None] * along[:, None]
        raw, color = self.seen(network, places, views[:, None].expand_as(places))
        steps = torch.diff(torch.cat([t, torch.maximum(end, t[:, -1:])], dim=1), dim=1) * spacing
        weights = compositing(softplus(raw[..., 0]) * self.depth_per_node * steps)
        behind = torch.tensor(self.background, dtype=t.dtype, device=t.device)
        return (
            (weights[..., None] * color).sum(dim=1) + (1 - weights.sum(dim=1, keepdim=True)) * behind,
            weights,
            places,
        )


def intervals(
    start: Float[Tensor, "rays 3"], along: Float[Tensor, "rays 3"], shape: tuple[int, int, int], count: int
) -> tuple[Float[Tensor, "rays edges"], Float[Tensor, "rays 1"]]:
    """The ends (R, count + 1) of equal parts of the stretch inside the lattice, and its length for each unit of t (R, 1)."""
    top = torch.tensor(shape, dtype=start.dtype, device=start.device) - 1
    safe = torch.where(along.abs() < 1e-12, torch.full_like(along, 1e-12), along)
    first, second = -start / safe, (top - start) / safe
    begin = torch.minimum(first, second).amax(dim=1, keepdim=True).clamp(min=0)
    end = torch.maximum(torch.maximum(first, second).amin(dim=1, keepdim=True), begin)  # empty beside the lattice
    parts = torch.linspace(0, 1, count + 1, dtype=start.dtype, device=start.device)
    return begin + parts * (end - begin), along.norm(dim=1, keepdim=True)


def compositing(depths: Float[Tensor, "rays samples"]) -> Float[Tensor, "rays samples"]:
    """The shares of samples with these optical depths: ``T (1 - exp(-depth))`` (Max 1995)."""
    before = torch.cumsum(depths, dim=1) - depths
    return torch.exp(-before) * -torch.expm1(-depths)


def inverse_cdf(
    edges: Float[Tensor, "rays edges"], weights: Float[Tensor, "rays parts"], uniform: Float[Tensor, "rays more"]
) -> Float[Tensor, "rays more"]:
    """Places drawn from the density that is constant on each part and as large as its weight (NeRF, section 5.2)."""
    shares = weights + 1e-5
    cumulative = torch.cumsum(shares / shares.sum(dim=1, keepdim=True), dim=1)
    cumulative = torch.cat([torch.zeros_like(cumulative[:, :1]), cumulative], dim=1)
    part = (torch.searchsorted(cumulative, uniform.contiguous(), right=True) - 1).clamp(0, weights.shape[1] - 1)
    low, high = (cumulative.gather(1, part + k) for k in (0, 1))
    share = ((uniform - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    left, right = (edges.gather(1, part + k) for k in (0, 1))
    return left + share * (right - left)


def _layer(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Glorot and Bengio's uniform weights, as the paper's code has by default; zero biases."""
    return uniform_linear(inputs, outputs, (6 / (inputs + outputs)) ** 0.5, 0.0, generator)
