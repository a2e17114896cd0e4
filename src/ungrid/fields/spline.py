"""A cubic spline on a lattice, with an interval beside every value: what closed-form least squares gives.

Convention: the lattice coordinates of a point are ``matrix @ x + shift``; spline j of an axis has its centre at j. The
field is twice continuously differentiable, in the user's units. It is NaN off the lattice and far from the samples.
"""

import itertools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid.domains import Domain
from ungrid.fields.field import Field

_GAUSS_NODES = 4  # per axis of a footprint: exact where it lies in one cell of the lattice


class SplineField(Field):
    """``sum_j weights_j B(matrix x + shift - j)``, B the product of cubic B-splines.

    The half width of an interval is ``exp(spline of log_scale)`` times the multiplier of its level, so that intervals
    are wide where the samples are sparse or the field is rough.

    Args:
        domain: where the field is defined, with named axes.
        out_names: one name for each value.
        shape: how many splines along each axis of the lattice, 4 or more.
        matrix: d rows of d numbers.
        shift: d numbers.
        levels: of the calibrated intervals, ascending in (0, 1); empty: the field has no intervals.
        multipliers: for each value a row of half widths, one for each level, in units of the scale.
        deviations: for each value its standard deviation in units of the scale.
        seed: of the weights before they are fitted.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        out_names: tuple[str, ...],
        shape: tuple[int, ...],
        matrix: tuple[tuple[float, ...], ...],
        shift: tuple[float, ...],
        levels: tuple[float, ...] = (),
        multipliers: tuple[tuple[float, ...], ...] = (),
        deviations: tuple[float, ...] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not len(shape) == len(matrix) == len(shift) == domain.dim or min(shape) < 4:
            raise InputError(f"a lattice of shape {shape} for {domain.dim} axes", "4 or more for each axis")
        self.domain, self.out_names, self.shape = domain, out_names, shape
        self.matrix, self.shift, self.seed = matrix, shift, seed
        self.levels, self.multipliers, self.deviations = levels, multipliers, deviations
        size, c = int(np.prod(shape)), len(out_names)
        self.weights = nn.Parameter(torch.randn(size, c, generator=torch.Generator().manual_seed(seed)))
        self.register_buffer("log_scale", torch.zeros(size, c))
        self.register_buffer("near", torch.ones(size, dtype=torch.uint8))  # lattice points near enough to a sample

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        if footprint is None:
            return self._spline(self.weights, x)
        nodes, weights = np.polynomial.legendre.leggauss(_GAUSS_NODES)
        total = torch.zeros(())
        for index in itertools.product(range(_GAUSS_NODES), repeat=self.domain.dim):
            offset = torch.tensor(nodes[list(index)] / 2, dtype=footprint.dtype, device=x.device)
            part = float(np.prod(weights[list(index)] / 2))
            total = total + part * self._spline(self.weights, x + offset * footprint)
        return total

    def standard_deviation(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c"]:
        """The standard deviation of a new measurement at `x` about the field.

        Raises:
            InputError: if the field was made without intervals.
        """
        self._require_intervals()
        return self._scale(x) * self._per_value(self.deviations, x)

    def interval(
        self, x: Float[Tensor, "*batch d"], level: float = 0.9
    ) -> tuple[Float[Tensor, "*batch c"], Float[Tensor, "*batch c"]]:
        """The ends of the interval in which a new measurement at `x` lies with probability `level`.

        Raises:
            InputError: if the field was made without intervals, or the level is outside of those it was calibrated for.
        """
        self._require_intervals()
        if not self.levels[0] <= level <= self.levels[-1]:
            raise InputError(f"the level {level}", f"one from {self.levels[0]} to {self.levels[-1]}")
        half = self._scale(x) * self._per_value([np.interp(level, self.levels, row) for row in self.multipliers], x)
        value = self(x)
        return value - half, value + half

    def arguments(self) -> dict[str, Any]:
        return {
            "domain": self.domain,
            "out_names": self.out_names,
            "shape": self.shape,
            "matrix": self.matrix,
            "shift": self.shift,
            "levels": self.levels,
            "multipliers": self.multipliers,
            "deviations": self.deviations,
            "seed": self.seed,
        }

    def _require_intervals(self) -> None:
        if not self.levels:
            raise InputError("a field without calibrated intervals", "one from scattered samples")

    def _scale(self, x: Tensor) -> Tensor:
        return torch.exp(self._spline(self.get_buffer("log_scale"), x))

    def _per_value(self, numbers: Any, x: Tensor) -> Tensor:
        return torch.tensor([float(n) for n in numbers], dtype=self.weights.dtype, device=x.device)

    def _spline(self, coefficients: Tensor, x: Tensor) -> Tensor:
        """The spline with `coefficients` (size, c) at points (*batch, d); NaN where there is no field.

        The lattice coordinates are computed in double precision, since users' coordinates may be large and close.
        """
        map_dtype = torch.float32 if x.device.type == "mps" else torch.float64
        matrix = torch.tensor(self.matrix, dtype=map_dtype, device=x.device)
        shift = torch.tensor(self.shift, dtype=map_dtype, device=x.device)
        position = x.to(map_dtype) @ matrix.T + shift
        top = torch.tensor(self.shape, device=x.device) - 3
        cell = torch.minimum(position.detach().floor().long().clamp(min=1), top)
        t = (position - cell).to(coefficients.dtype)
        total = torch.zeros((*x.shape[:-1], coefficients.shape[1]), dtype=coefficients.dtype, device=x.device)
        splines = [_splines(t[..., k]) for k in range(len(self.shape))]
        for corner in itertools.product(range(4), repeat=len(self.shape)):
            weight = splines[0][corner[0]]
            index = cell[..., 0] + (corner[0] - 1)
            for k in range(1, len(self.shape)):
                weight = weight * splines[k][corner[k]]
                index = index * self.shape[k] + cell[..., k] + (corner[k] - 1)
            total = total + weight[..., None] * coefficients[index]
        return torch.where(self._there(position.detach())[..., None], total, torch.nan)

    def _there(self, position: Tensor) -> Tensor:
        """Whether the nearest lattice point is near a sample, (*batch,)."""
        nearest = position.round().long()
        size = torch.tensor(self.shape, device=position.device)
        inside = ((nearest >= 1) & (nearest <= size - 2)).all(dim=-1)
        nearest = torch.minimum(nearest.clamp(min=0), size - 1)
        index = nearest[..., 0]
        for k in range(1, len(self.shape)):
            index = index * self.shape[k] + nearest[..., k]
        return inside & (self.get_buffer("near")[index] > 0)


def _splines(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four cubic B-splines at t in [0, 1] of a cell."""
    return (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
