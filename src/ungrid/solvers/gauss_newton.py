"""Gauss and Newton's steps on all weights of a network, damped as Levenberg and Marquardt do.

Convention: with the rows r and their Jacobian J (`Whole`) a step d solves ``(JᵀJ + μ I) d = -Jᵀ r``. Where there are fewer rows
than weights the same step is ``-Jᵀ (J Jᵀ + μ I)⁻¹ r`` (Woodbury's identity), which is the smaller system.

Sources: Levenberg 1944; Marquardt 1963; Nielsen 1999, *Damping parameter in Marquardt's method* (how μ changes). For networks
that solve equations: Müller and Zeinhofer 2023, *Achieving high accuracy with PINNs via energy natural gradients*;
Guzmán-Cordero et al. 2025, *Improving energy natural gradient descent through Woodbury, momentum, and randomization*.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.fields import Field, NeuralField
from ungrid.objectives import Term
from ungrid.solvers.state import State, drawn
from ungrid.solvers.whole import Whole

TRIALS = 12  # of the damping in one step
SETTLED = 1e-12  # relative decrease of the loss below which nothing is left to gain


class Damping:
    """μ relative to the largest eigenvalue that a row can have, and by what it grows after a failed trial."""

    def __init__(self, value: float) -> None:
        self.value, self.growth = value, 2.0

    def failed(self) -> None:
        self.value, self.growth = self.value * self.growth, 2 * self.growth

    def succeeded(self, gain: float) -> None:
        """`gain` is the decrease over that of the linear model."""
        self.value, self.growth = self.value * max(1 / 3, 1 - (2 * gain - 1) ** 3), 2.0

    def state_dict(self) -> dict[str, Any]:
        """Both numbers."""
        return {"value": self.value, "growth": self.growth}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        self.value, self.growth = states["value"], states["growth"]


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """Steps of Levenberg and Marquardt on the sum of the terms.

    Attributes:
        damping: at the start, relative to the mean of the diagonal of JᵀJ.
    """

    damping: float = 1e-3

    def init(self, u: Field, terms: list[Term], *, seed: int = 0) -> State:
        """The state before the first step.

        Raises:
            InputError: if the field is not a smooth network in double precision.
        """
        if not isinstance(u, NeuralField) or next(u.parameters()).dtype is not torch.float64:
            raise InputError(f"Gauss-Newton on a {type(u).__name__}", "a NeuralField in double precision")
        return State(Damping(self.damping), seed)

    def step(self, u: Field, terms: list[Term], state: State, *, progress: float = 0.0) -> State:
        """One step that makes the loss smaller, or settles where no damping finds one."""
        assert isinstance(u, NeuralField)
        whole = Whole(u, terms, drawn(terms, state))
        jacobian, residual = whole.system()
        start, loss = whole.weights, float(residual.square().sum())
        solver = Damped(jacobian, residual)
        state.step, state.loss = state.step + 1, loss
        for _ in range(TRIALS):
            change = solver.step(state.optimizer.value)
            whole.weights = start + change
            now = float(whole.residual().square().sum())
            promised = loss - float((residual + jacobian @ change).square().sum())
            if now < loss:
                state.optimizer.succeeded((loss - now) / max(promised, 1e-300))
                state.loss, state.settled = now, loss - now <= SETTLED * loss
                return state
            state.optimizer.failed()
        whole.weights, state.settled = start, True
        return state


class Damped:
    """``min |r + J d|² + μ |d|²`` for one J and many μ.

    Args:
        jacobian: J (r, m).
        residual: r (r,).
    """

    def __init__(self, jacobian: Tensor, residual: Tensor) -> None:
        self.jacobian, self.residual = jacobian, residual
        self.wide = jacobian.shape[0] < jacobian.shape[1]
        self.gram = jacobian @ jacobian.T if self.wide else jacobian.T @ jacobian
        self.size = float(self.gram.diagonal().sum()) / jacobian.shape[1]

    def step(self, damping: float) -> Tensor:
        """d (m,), where `damping` is μ over the mean of the diagonal of JᵀJ."""
        matrix = self.gram.clone()
        matrix.diagonal().add_(max(damping, 1e-15) * self.size)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if info != 0:
            return torch.zeros(self.jacobian.shape[1], dtype=matrix.dtype)
        right = self.residual if self.wide else self.jacobian.T @ self.residual
        found = torch.cholesky_solve(right[:, None], factor)[:, 0]
        return -(self.jacobian.T @ found if self.wide else found)
