"""What a step of a solver works on, and who draws it.

Draws depend only on the generator and the step number, so a resumed run sees the same batches.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Points (N, d); targets (N, c) and weights (N,) where the samples carry them."""

    points: Tensor
    target: Tensor | None = None
    weight: Tensor | None = None


class Sampler(ABC):
    """Draws the points of a term for each step."""

    @abstractmethod
    def draw(self, step: int, generator: torch.Generator) -> Batch:
        """The batch of step number `step`."""


class AllPoints(Sampler):
    """The same full batch at every step."""

    def __init__(self, points: Tensor, target: Tensor | None = None, weight: Tensor | None = None) -> None:
        self.batch = Batch(points, target, weight)

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        return self.batch


class RandomPoints(Sampler):
    """`size` samples of a set at each step, uniformly and with replacement."""

    def __init__(
        self, points: Tensor, target: Tensor | None = None, weight: Tensor | None = None, *, size: int
    ) -> None:
        self.points, self.target, self.weight, self.size = points, target, weight, size

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        index = torch.randint(len(self.points), (self.size,), generator=generator).to(self.points.device)
        target = None if self.target is None else self.target[index]
        weight = None if self.weight is None else self.weight[index]
        return Batch(self.points[index], target, weight)
