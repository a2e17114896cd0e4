"""Boxes with named axes.

Convention: points are arrays of shape ``(*batch, d)``, columns in the order of ``domain.axes``, in the user's units.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ungrid._base.errors import InputError


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
    def box(self) -> "Box":
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


@dataclass(frozen=True, init=False)
class Box(Domain):
    """The product of intervals: ``Box(x=(0, 1), y=(0, 2))``, or from `Axis` objects where units matter."""

    _axes: tuple[Axis, ...]

    def __init__(self, *axes: Axis, **bounds: tuple[float, float]) -> None:
        named = tuple(Axis(name, float(low), float(high)) for name, (low, high) in bounds.items())
        everything = axes + named
        names = [axis.name for axis in everything]
        if not everything or len(set(names)) < len(names):
            raise InputError(f"a box with the axes {names}", "at least one axis and no name twice")
        object.__setattr__(self, "_axes", everything)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self._axes

    def contains(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points)
        return np.asarray(((points >= self.low) & (points <= self.high)).all(axis=-1))
