"""Regular grids of sample centres in a box.

Convention (``align_corners=False``): an axis of n samples divides its interval into n cells; samples are their centres,
``low + (i + 1/2) * spacing`` with ``spacing = length / n``. Array axes are in the order of the box's axes.
"""

from dataclasses import dataclass

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.box import Axis, Box


@dataclass(frozen=True)
class RegularGrid:
    """`shape` samples at the cell centres of `box`."""

    box: Box
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != self.box.dim or min(self.shape) < 1:
            raise InputError(f"a grid of shape {self.shape}", f"{self.box.dim} positive sizes, one for each axis")

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def spacing(self) -> np.ndarray:
        return (self.box.high - self.box.low) / np.array(self.shape)

    def centers(self, axis: int) -> np.ndarray:
        """The sample positions along one axis, shape ``(shape[axis],)``, float64."""
        bounds = self.box.axes[axis]
        return bounds.low + (np.arange(self.shape[axis]) + 0.5) * (bounds.length / self.shape[axis])

    def points(self) -> np.ndarray:
        """All sample positions, shape ``(*shape, d)``, float64."""
        return np.stack(np.meshgrid(*(self.centers(k) for k in range(self.box.dim)), indexing="ij"), axis=-1)

    @classmethod
    def isotropic(cls, shape: tuple[int, ...], names: tuple[str, ...]) -> "RegularGrid":
        """The grid of a picture: one scale for all axes, the longest spans [-1, 1], cells are square."""
        longest = max(shape)
        return cls(Box(*(Axis(name, -n / longest, n / longest) for name, n in zip(names, shape, strict=True))), shape)

    @classmethod
    def through(cls, coordinates: dict[str, np.ndarray], units: dict[str, str] | None = None) -> "RegularGrid":
        """The grid whose sample centres are the given equally spaced coordinates, one array for each axis.

        Raises:
            InputError: if an array is not increasing with one spacing (to 1e-3 of it).
        """
        axes = []
        for name, values in coordinates.items():
            values = np.asarray(values, dtype=np.float64)
            steps = np.diff(values)
            step = float(steps.mean()) if len(steps) else 1.0
            if values.ndim != 1 or not step > 0 or (len(steps) and np.abs(steps - step).max() > 1e-3 * step):
                raise InputError(
                    f"coordinate {name!r} is not increasing with one spacing",
                    "equally spaced samples",
                    "give the samples as scattered points instead",
                )
            axes.append(Axis(name, values[0] - step / 2, values[-1] + step / 2, (units or {}).get(name, "")))
        return cls(Box(*axes), tuple(len(values) for values in coordinates.values()))
