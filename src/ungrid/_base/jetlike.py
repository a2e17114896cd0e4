"""What an equation asks of the unknown at a batch of points, without saying in which kind of array."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np


class JetLike(ABC):
    """Value and partial derivatives by the names of the axes; values are (n, c).

    Attributes:
        axes: the names of the columns of the points.
    """

    axes: tuple[str, ...]

    @property
    @abstractmethod
    def value(self) -> Any:
        """u."""

    @abstractmethod
    def d(self, *axes: str) -> Any:
        """A partial derivative of u."""

    @abstractmethod
    def evaluate(self, function: Callable[[np.ndarray], np.ndarray]) -> Any:
        """A function of the points (n, d) -> (n, k) as values (n, k)."""

    @abstractmethod
    def of_value(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Any:
        """A function of the points (n, d) and of the value (n,), one number each (n,), as values (n, 1)."""

    @abstractmethod
    def parameter(self, name: str) -> Any:
        """The present value of an unknown number."""
