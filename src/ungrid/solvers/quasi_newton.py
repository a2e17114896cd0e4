"""Quasi-Newton steps on all weights: a self-scaled Broyden method with a full matrix, and L-BFGS for large networks.

Convention: p is the weights as one vector, g the gradient of the loss, s and y their changes over a step; H approximates the
inverse Hessian matrix. The batch must be the same at every step.

Sources: Al-Baali 1998, *Numerical experience with a class of self-scaling quasi-Newton algorithms*; Urbán, Stefanou and Pons
2025, *Unveiling the optimization process of physics informed neural networks: how accurate and competitive can PINNs be?*,
section 3 (for networks that solve equations); Nocedal and Wright 2006, *Numerical optimization*, sections 3.5 and 7.2.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import line_search
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ungrid._base.errors import InputError
from ungrid.fields import Field
from ungrid.objectives import Term, total_loss
from ungrid.sampling import AllPoints
from ungrid.solvers.state import State, drawn

MOST_WEIGHTS = 6000  # of which a full matrix is kept
CURVED = 1e-14  # least y·s relative to |y| |s| with which the matrix is updated
MEMORY, INNER = 50, 10  # of L-BFGS: pairs, and iterations within one step


class Matrix:
    """The matrix H."""

    def __init__(self, size: int) -> None:
        self.values = np.eye(size)

    def updated(self, s: np.ndarray, y: np.ndarray, rate: float) -> None:
        """The self-scaled Broyden update; `rate` is ``-s·g`` before the step over the length of the step, ``s·B s``.

        ``H ← (H - H y yᵀ H / (y·H y) + φ v vᵀ) / τ + s sᵀ / (y·s)``, which maps y to s for every φ and τ.
        """
        curvature = float(y @ s)
        if curvature <= CURVED * float(np.linalg.norm(y) * np.linalg.norm(s)):
            return
        turned = self.values @ y
        along = float(y @ turned)
        b, h = rate / curvature, along / curvature
        phi, tau = coefficients(b, h, len(s))
        v = math.sqrt(along) * (s / curvature - turned / along)
        self.values += phi * np.outer(v, v) - np.outer(turned, turned) / along
        self.values /= tau
        self.values += np.outer(s, s) / curvature

    def state_dict(self) -> dict[str, Any]:
        """The matrix."""
        return {"values": torch.from_numpy(self.values)}

    def load_state_dict(self, states: dict[str, Any]) -> None:
        self.values = states["values"].numpy()


def coefficients(b: float, h: float, n: int) -> tuple[float, float]:
    """φ and τ of the update, from ``b = s·B s / y·s`` and ``h = y·H y / y·s`` (Al-Baali 1998)."""
    a = max(b * h - 1.0, 1e-12)  # Cauchy and Schwarz: not below zero
    c = math.sqrt(a / (1 + a))
    low = min(1.0, h * (1 - c))
    theta = max((low - 1) / a, min(1 / max(low, 1e-300), (1 - b) / b))
    sigma = 1 + a * theta
    root = abs(sigma) ** (-1 / (n - 1)) if n > 1 else 1.0
    first = min(1.0, 1 / b)
    tau = first * min(root, 1 / theta) if theta > 0 else min(first * root, sigma)
    return (1 - theta) / sigma, tau


@dataclass(frozen=True, kw_only=True)
class Broyden:
    """Self-scaled Broyden steps, each with a line search that meets Wolfe's strong conditions."""

    def init(self, u: Field, terms: list[Term], *, seed: int = 0) -> State:
        """The state before the first step.

        Raises:
            InputError: if there are too many weights for a full matrix, or batches change from step to step.
        """
        check_batches(terms)
        size = sum(p.numel() for p in u.parameters())
        if size > MOST_WEIGHTS:
            raise InputError(f"{size} weights", f"at most {MOST_WEIGHTS} for a full matrix", "use L-BFGS")
        return State(Matrix(size), seed)

    def step(self, u: Field, terms: list[Term], state: State, *, progress: float = 0.0) -> State:
        """One step; it settles where the line search finds none."""
        objective, matrix = Objective(u, terms, state), state.optimizer
        start = parameters_to_vector(u.parameters()).detach().numpy().astype(np.float64)
        loss, gradient = objective.loss(start), objective.gradient(start)
        direction = -matrix.values @ gradient
        if not direction @ gradient < 0:  # rounding has cost the matrix its definiteness
            matrix.values = np.eye(len(start))
            direction = -gradient
        before = None if state.step else loss + float(np.linalg.norm(gradient)) / 2  # a first step of length 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it found no step is what it returns
            length = line_search(objective.loss, objective.gradient, start, direction, gradient, loss, before)[0]
        state.step, state.loss = state.step + 1, loss
        if length is None:
            objective.loss(start)
            state.settled = bool(np.array_equal(matrix.values, np.eye(len(start))))
            matrix.values = np.eye(len(start))  # once more from the steepest descent
            return state
        moved = length * direction
        state.loss = objective.loss(start + moved)
        matrix.updated(moved, objective.gradient(start + moved) - gradient, -length * float(moved @ gradient))
        return state


class Objective:
    """The loss of one batch as a function of the weights, with what was found last."""

    def __init__(self, u: Field, terms: list[Term], state: State) -> None:
        self.u, self.terms, self.batches = u, terms, drawn(terms, state)
        self.at: np.ndarray | None = None
        self.found = (math.nan, np.zeros(0))

    def loss(self, weights: np.ndarray) -> float:
        """The loss at the weights (m,), which the field then has."""
        return self._both(weights)[0]

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Its gradient (m,)."""
        return self._both(weights)[1]

    def _both(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        if self.at is None or not np.array_equal(self.at, weights):
            parameters = list(self.u.parameters())
            with torch.no_grad():
                vector_to_parameters(torch.from_numpy(weights).to(parameters[0]), parameters)
            loss = total_loss(self.u, self.terms, self.batches)
            rows = torch.autograd.grad(loss, parameters)
            self.found = float(loss.detach()), parameters_to_vector(rows).cpu().numpy().astype(np.float64)
            self.at = weights.copy()
        return self.found


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Steps of several iterations of L-BFGS each, with PyTorch's line search for Wolfe's strong conditions."""

    def init(self, u: Field, terms: list[Term], *, seed: int = 0) -> State:
        """The state before the first step.

        Raises:
            InputError: if batches change from step to step.
        """
        check_batches(terms)
        search: dict[str, Any] = {"history_size": MEMORY, "max_iter": INNER, "line_search_fn": "strong_wolfe"}
        return State(torch.optim.LBFGS(u.parameters(), tolerance_grad=0.0, tolerance_change=0.0, **search), seed)

    def step(self, u: Field, terms: list[Term], state: State, *, progress: float = 0.0) -> State:
        """One step."""
        batches = drawn(terms, state)

        def closure() -> torch.Tensor:
            state.optimizer.zero_grad()
            loss = total_loss(u, terms, batches)
            loss.backward()
            return loss

        state.loss = float(state.optimizer.step(closure).detach())
        state.step += 1
        return state


def check_batches(terms: list[Term]) -> None:
    """Raise an InputError where a term draws another batch at every step."""
    for term in terms:
        if not isinstance(term.points, AllPoints):
            raise InputError(
                f"points of the kind {type(term.points).__name__} for a quasi-Newton method",
                "AllPoints, the same at every step",
            )
