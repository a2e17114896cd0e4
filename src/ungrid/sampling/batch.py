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
    """`size` samples of a set at each step, uniformly and with replacement.

    With `together`, blocks of so many consecutive samples are drawn: where they lie on a line along the last axis, the
    kernels of a grid serve them as one run, several times faster than scattered points.
    """

    def __init__(
        self,
        points: Tensor,
        target: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        size: int,
        together: int = 1,
    ) -> None:
        self.points, self.target, self.weight, self.size, self.together = points, target, weight, size, together

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        blocks = torch.randint(
            len(self.points) // self.together, (max(1, self.size // self.together),), generator=generator
        )
        index = (blocks[:, None] * self.together + torch.arange(self.together)).reshape(-1).to(self.points.device)
        target = None if self.target is None else self.target[index]
        weight = None if self.weight is None else self.weight[index]
        return Batch(self.points[index], target, weight)
