"""The inside of combined regions in space."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ungrid.domains.bodies import Body, Rule, tensor_rule

if TYPE_CHECKING:
    from ungrid.domains.region import Region

_CELLS = 48  # along the longest axis, where the caller names no size


@dataclass(frozen=True, eq=False)
class CombinedBody(Body):
    """Two regions put together by the smaller or larger of their sides; quadrature keeps the points inside."""

    first: "Region"
    second: "Region"
    side_of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    low: np.ndarray
    high: np.ndarray

    @cached_property
    def size(self) -> float:
        return float(self.rule(3, None).weights.sum())

    def side(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self.side_of(self.first.side(points), self.second.side(points)))

    def rule(self, order: int, h: float | None) -> Rule:
        h = float((self.high - self.low).max()) / _CELLS if h is None else h
        points, weights = tensor_rule(self.low, self.high, order, h)
        inside = self.side(points) > 0
        return Rule(points[inside], weights[inside])
