"""The neural field: network after encoding, between an affine map of the coordinates and one of the values.

Convention: the networks see unit coordinates ``(x - center) / scale``; axes of one unit share one scale, and the longest of
them spans [-1, 1], so that gradients are isotropic. Longitudes on a full circle are wrapped into the domain first. Values are
``network * value_scale + value_offset``. Derivatives of the field are therefore in the user's units.
"""

import itertools
import math
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.taylor import Needed, Taylor, start
from ungrid.domains import Domain
from ungrid.domains.circle import is_circle
from ungrid.encodings import SplineGrid
from ungrid.fields.field import Field
from ungrid.fields.fused import GridSquareError, grid_values
from ungrid.networks import MLP, GridDecoder, Siren

ROWS = 4096  # of a network without a grid on a CPU: its activations stay in the cache
MOST_SUBSAMPLES = 64  # per axis, when a footprint is averaged


@runtime_checkable
class Smooth(Protocol):
    """A part that propagates value, gradient and second derivatives forward."""

    def forward_taylor(self, z: Taylor) -> Taylor: ...


class Encoding(Protocol):
    """What a neural field needs of an encoding."""

    dim: int
    out_features: int

    def __call__(self, x: Tensor) -> Tensor: ...


class Network(Protocol):
    """What a neural field needs of a network."""

    in_features: int
    out_features: int

    def __call__(self, z: Tensor) -> Tensor: ...


def unit_scale(domain: Domain) -> tuple[float, ...]:
    """Half the length of the longest axis that has the same unit, for every axis of the domain."""
    longest: dict[str, float] = {}
    for axis in domain.axes:
        longest[axis.unit] = max(longest.get(axis.unit, 0.0), axis.length / 2)
    return tuple(longest[axis.unit] for axis in domain.axes)


class NeuralField(Field):
    """``network(encoding(unit coordinates)) * value_scale + value_offset``.

    Args:
        domain: where the field is defined, with named axes.
        encoding: coordinates to features.
        network: features to values.
        out_names: one name for each value.
        value_scale, value_offset: one number for each value, in the user's units; default 1 and 0.
        spacing: distance of the samples that it was fitted to, along every axis; a footprint is averaged at this distance.
        metadata: of the signal, for the writers (kind, bit depth, sample rate, ...).
    """

    def __init__(
        self,
        domain: Domain,
        encoding: nn.Module,
        network: nn.Module,
        *,
        out_names: tuple[str, ...],
        value_scale: tuple[float, ...] | None = None,
        value_offset: tuple[float, ...] | None = None,
        spacing: tuple[float, ...] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        count = len(out_names)
        if encoding.dim != domain.dim or encoding.out_features != network.in_features or network.out_features != count:
            raise InputError(
                f"a domain of {domain.dim} axes, an encoding {encoding.dim} -> {encoding.out_features}, a network "
                f"{network.in_features} -> {network.out_features} and {count} names",
                "sizes that fit together",
            )
        self.domain, self.encoding, self.network, self.out_names = domain, encoding, network, out_names
        self.value_scale = value_scale or (1.0,) * count
        self.value_offset = value_offset or (0.0,) * count
        self.spacing, self.metadata = spacing, metadata or {}

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("domain", "encoding", "network", "out_names", "value_scale", "value_offset", "spacing", "metadata")
        return {name: getattr(self, name) for name in names}

    def unit(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Unit coordinates, in the precision of `x`; round a circle those of the same place in the domain."""
        for k, axis in enumerate(self.domain.axes):
            if is_circle(axis):
                turns = ((x[..., k : k + 1].detach() - axis.low) / axis.length).floor()
                x = torch.cat([x[..., :k], x[..., k : k + 1] - turns * axis.length, x[..., k + 1 :]], dim=-1)
        center = torch.as_tensor((self.domain.low + self.domain.high) / 2, dtype=x.dtype, device=x.device)
        return (x - center) / torch.as_tensor(unit_scale(self.domain), dtype=x.dtype, device=x.device)

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        if footprint is not None:
            return self._mean_over(x, footprint)
        weight = next(self.network.parameters())
        return self._scaled(self._network_value(self.unit(x).to(weight.dtype)))

    def _network_value(self, unit: Tensor) -> Tensor:
        encoding, network = self.encoding, self.network
        if torch.is_grad_enabled():
            return network(encoding(unit))
        if isinstance(encoding, SplineGrid) and isinstance(network, GridDecoder) and encoding.runs_fused(unit):
            encoding.tied_table()
            return grid_values(encoding, network, unit)
        flat = unit.reshape(-1, unit.shape[-1])
        rows = len(flat) if unit.device.type != "cpu" else ROWS
        parts = [network(encoding(part)) for part in flat.split(max(1, rows))]
        return torch.cat(parts).reshape(*unit.shape[:-1], len(self.out_names))

    def _scaled(self, values: Tensor) -> Tensor:
        scale = torch.as_tensor(self.value_scale, dtype=values.dtype, device=values.device)
        return values * scale + torch.as_tensor(self.value_offset, dtype=values.dtype, device=values.device)

    def _mean_over(self, x: Tensor, footprint: Tensor) -> Tensor:
        """The mean over the footprint by the midpoint rule, at the distance of the samples."""
        spacing = self.spacing or tuple(2 * s / 1024 for s in unit_scale(self.domain))
        widths = footprint.reshape(-1, footprint.shape[-1]).amax(dim=0).tolist()
        counts = [min(max(1, math.ceil(w / s - 0.01)), MOST_SUBSAMPLES) for w, s in zip(widths, spacing, strict=True)]
        total = torch.zeros((), device=x.device)
        for place in itertools.product(*[range(n) for n in counts]):
            shift = torch.tensor([(i + 0.5) / n - 0.5 for i, n in zip(place, counts, strict=True)], dtype=x.dtype)
            total = total + self.forward(x + shift.to(x.device) * footprint)
        return total / math.prod(counts)

    def square_error(
        self, x: Float[Tensor, "n d"], target: Float[Tensor, "n c"], weight: Float[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        encoding, network = self.encoding, self.network
        if isinstance(encoding, SplineGrid) and isinstance(network, GridDecoder):
            unit = self.unit(x).to(encoding.table.dtype)
            if encoding.runs_fused(unit) and len(set(self.value_scale)) == 1:
                scale, offset = self.value_scale[0], torch.as_tensor(self.value_offset, dtype=target.dtype)
                error = GridSquareError.apply(encoding, network, unit, (target - offset) / scale, weight,
                                              *grid_parameters(encoding, network))  # fmt: skip
                return error * scale**2
        if isinstance(network, MLP | Siren) and self._unscaled:
            return network.fused_square_error(self._features(x), target, weight)
        return super().square_error(x, target, weight)

    def divergence(
        self, x: Float[Tensor, "n d"], target: Float[Tensor, "n c"], weight: Float[Tensor, " n"] | None = None
    ) -> Float[Tensor, ""]:
        if isinstance(self.network, MLP) and self.network.output == "logistic" and self._unscaled:
            return self.network.fused_divergence(self._features(x), target, weight)
        return super().divergence(x, target, weight)

    @property
    def _unscaled(self) -> bool:
        return set(self.value_scale) == {1.0} and not any(self.value_offset)

    def _features(self, x: Tensor) -> Tensor:
        return self.encoding(self.unit(x).to(next(self.network.parameters()).dtype))

    @property
    def offers_taylor(self) -> bool:
        """Whether encoding and network propagate derivatives forward."""
        return isinstance(self.encoding, Smooth) and isinstance(self.network, Smooth)

    def forward_taylor(self, x: Float[Tensor, "n d"], needed: Needed) -> Float[Tensor, "s n c"]:
        """The value and what is needed of its derivatives, in the user's coordinates and units, in one forward pass."""
        assert isinstance(self.encoding, Smooth)
        assert isinstance(self.network, Smooth)
        unit = self.unit(x).to(next(self.network.parameters()).dtype)
        streams, forms = start(unit, needed)
        streams[1:] /= torch.as_tensor(unit_scale(self.domain), dtype=unit.dtype, device=unit.device)
        streams, _ = self.network.forward_taylor(self.encoding.forward_taylor(Taylor(streams, forms)))
        scale = torch.as_tensor(self.value_scale, dtype=streams.dtype, device=streams.device)
        return torch.cat([self._scaled(streams[:1]), streams[1:] * scale])


def grid_parameters(encoding: SplineGrid, network: GridDecoder) -> list[Tensor]:
    """The parameters in the order in which `GridSquareError` takes them."""
    return [
        encoding.tied_table(),
        network.skip,
        network.first,
        *network.middle,
        *network.biases,
        network.last,
        network.last_bias,
    ]
