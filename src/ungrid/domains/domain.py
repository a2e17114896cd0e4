"""Named axes, and what every domain knows.

Convention: points are arrays of shape ``(*batch, d)``, columns in the order of ``domain.axes``, in the user's units.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ungrid._base.errors import InputError

if TYPE_CHECKING:
    import ungrid.domains.box


@dataclass(frozen=True)
class Axis:
    """One coordinate: its name, the interval ``[low, high]`` and its unit (empty: dimensionless)."""

    name: str
    low: float
    high: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise InputError(f"axis {self.name!r} from {self.low} to {self.high}", "finite bounds with low < high")

    @property
    def length(self) -> float:
        return self.high - self.low


class Domain(ABC):
    """A region of space, of space-time or of signal coordinates."""

    @property
    @abstractmethod
    def axes(self) -> tuple[Axis, ...]:
        """The axes of the bounding box, in column order."""

    @abstractmethod
    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which of the points ``(*batch, d)`` lie in the closed region: booleans ``(*batch,)``."""

    @property
    def dim(self) -> int:
        return len(self.axes)

    @property
    def box(self) -> "ungrid.domains.box.Box":
        from ungrid.domains.box import Box  # a box is a domain itself

        return Box(*self.axes)

    @property
    def low(self) -> np.ndarray:
        return np.array([axis.low for axis in self.axes])

    @property
    def high(self) -> np.ndarray:
        return np.array([axis.high for axis in self.axes])

    def axis_index(self, name: str) -> int:
        """The column of the axis called `name`.

        Raises:
            InputError: if there is no such axis.
        """
        names = [axis.name for axis in self.axes]
        if name not in names:
            raise InputError(f"axis {name!r}", f"one of {', '.join(names)}")
        return names.index(name)
