"""First-order steps: Adam with a cosine schedule, and for the large matrices of a network steps of one size in all directions.

Source: Kingma and Ba 2015, *Adam*; Loshchilov and Hutter 2017, *SGDR* (cosine annealing). Tables of a grid learn at their
own rate: each of their numbers sees few samples, so Müller et al. 2022 use a large rate and a short second-moment memory.
Matrices: `Orthogonal`.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from ungrid.fields import Field
from ungrid.objectives import Term, total_loss
from ungrid.solvers.orthogonal import Orthogonal
from ungrid.solvers.state import State, drawn


class Together:
    """Optimisers of different parameters that step as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states by number."""
        return {str(k): part.state_dict() for k, part in enumerate(self.parts)}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        for k, part in enumerate(self.parts):
            part.load_state_dict(states[str(k)])


SMALLEST_MATRIX = 32


def is_large_matrix(parameter: torch.nn.Parameter) -> bool:
    """Whether a parameter is a matrix between two wide layers."""
    return parameter.ndim == 2 and min(parameter.shape) >= SMALLEST_MATRIX


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam steps on the sum of the terms.

    Attributes:
        lr: learning rate of networks at the start.
        table_lr: of the tables of grids (parameters called ``table``).
        matrix_lr: of weight matrices with at least `SMALLEST_MATRIX` rows and columns, by orthogonal steps: the spectral
            norm of a step; None leaves them to Adam.
        final: the rate at the end, as a fraction of the rate at the start.
        betas, eps: of Adam.
        warmup: steps over which the rates rise linearly to what the schedule says: early steps of Adam are all of full
            length, which a large rate cannot afford with features of high frequency.
    """

    lr: float = 1e-3
    table_lr: float = 2e-2
    matrix_lr: float | None = None
    final: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-10
    warmup: int = 0

    def init(self, u: Field, terms: list[Term], *, seed: int = 0) -> State:
        """The state before the first step; `seed` determines every batch that the terms draw."""
        tables = [p for name, p in u.named_parameters() if name.endswith("table")]
        matrices = [] if self.matrix_lr is None else [p for p in u.parameters() if is_large_matrix(p)]
        apart = {id(p) for p in (*tables, *matrices)}
        others = [p for p in u.parameters() if id(p) not in apart]
        groups: list[dict[str, Any]] = [{"params": others, "lr": self.lr, "start": self.lr}]
        if tables:
            groups.append({"params": tables, "lr": self.table_lr, "start": self.table_lr})
        fused = all(p.device.type in ("cpu", "cuda") for p in u.parameters())
        parts: list[torch.optim.Optimizer] = [
            torch.optim.Adam(groups, lr=self.lr, betas=self.betas, eps=self.eps, fused=fused)
        ]
        if self.matrix_lr is not None and matrices:
            rate = self.matrix_lr
            rows: list[dict[str, Any]] = [{"params": matrices, "lr": rate, "start": rate}]
            parts.append(Orthogonal(rows, lr=rate))
        return State(Together(parts), seed)

    def step(self, u: Field, terms: list[Term], state: State, *, progress: float = 0.0) -> State:
        """One step; `progress` in [0, 1] is the share of the run that is over, which sets the learning rate."""
        rise = min(1.0, (state.step + 1) / max(1, self.warmup))
        for group in state.optimizer.groups:
            group["lr"] = group["start"] * self.schedule(progress) * rise
        batches = drawn(terms, state)
        state.optimizer.zero_grad()
        loss = total_loss(u, terms, batches)
        loss.backward()
        state.optimizer.step()
        state.step += 1
        state.loss = float(loss.detach())
        return state

    def schedule(self, progress: float) -> float:
        """The factor on the learning rates: 1 at the start, a cosine down to `final`."""
        cosine = (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2
        return self.final + (1 - self.final) * cosine
