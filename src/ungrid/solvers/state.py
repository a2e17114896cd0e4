"""Where an optimisation stands, and what a step of it works on."""

import math
from dataclasses import dataclass
from typing import Any

from ungrid._base.random import torch_generator
from ungrid.objectives import Term
from ungrid.sampling import Batch


@dataclass
class State:
    """Everything that a checkpoint needs beside the weights.

    Attributes:
        optimizer: the memory of the strategy, with `state_dict` and `load_state_dict` as an optimiser of PyTorch has them.
        seed: of every batch.
        step: how many are done.
        loss: before the last one, or after it where the strategy knows.
        settled: whether no step makes it smaller.
    """

    optimizer: Any
    seed: int
    step: int = 0
    loss: float = math.nan
    settled: bool = False


def drawn(terms: list[Term], state: State) -> list[Batch]:
    """The batches of the next step."""
    return [
        term.points.draw(state.step, torch_generator(state.seed * 1_000_003 + state.step * 101 + place))
        for place, term in enumerate(terms)
    ]
