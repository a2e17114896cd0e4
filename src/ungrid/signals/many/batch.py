"""Many sine networks of one shape, trained together: each on its own target, each until it is good enough.

Convention: signals are the rows of every array; samples of all signals are at the same unit coordinates x (N, d) in [-1, 1];
targets (n, N, c) are normalised, NaN where a sample is missing; the weights of a network are one row: its `state_dict` in
order, flattened. Networks never see each other, so the bits of one do not depend on the others, nor on the threads.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.kernels import many_sirens
from ungrid.kernels.blas import single_threaded_blas
from ungrid.networks import Siren

BLOCK = 4  # networks of one call of the kernel: few, so that threads finish together


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the networks are trained: Adam with a cosine from `lr` down to ``final * lr``.

    Attributes:
        steps: at most.
        lr: learning rate at the start.
        final: the rate at the end, as a fraction of `lr`.
        betas, eps: of Adam (Kingma and Ba 2015).
    """

    steps: int = 500
    lr: float = 5e-3
    final: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-10

    def __post_init__(self) -> None:
        if self.steps < 0 or not self.lr > 0:
            raise InputError(f"{self.steps} steps at a rate of {self.lr}", "steps from 0 on, and a positive rate")

    def rates(self) -> np.ndarray:
        """The rate of every step, (steps,)."""
        cosine = (1 + np.cos(np.pi * np.arange(self.steps) / max(1, self.steps))) / 2
        return self.lr * (self.final + (1 - self.final) * cosine)


@dataclass(frozen=True)
class Trained:
    """What came out, a row for each signal.

    Attributes:
        weights: (n, P) float32.
        errors: (n,) mean squared errors of exactly these weights, in normalised values.
        steps: (n,) steps taken.
    """

    weights: np.ndarray
    errors: np.ndarray
    steps: np.ndarray


def weights_of(network: Siren) -> np.ndarray:
    """The weights of a network as a row (P,)."""
    return torch.cat([weight.detach().reshape(-1) for weight in network.parameters()]).float().numpy()


def with_weights(network: Siren, row: np.ndarray) -> Siren:
    """A network of the same shape with the weights of a row."""
    made = Siren(**network.arguments())
    torch.nn.utils.vector_to_parameters(torch.from_numpy(row.copy()), made.parameters())
    return made


def fit_batch(
    network: Siren,
    x: np.ndarray,
    targets: np.ndarray,
    goals: np.ndarray,
    schedule: Schedule,
    *,
    start: np.ndarray | None = None,
    chained: bool = False,
    threads: int = 1,
) -> Trained:
    """Train a network for every signal.

    Args:
        network: the shape, and the initial weights where no `start` is given.
        x: (N, d) unit coordinates of the samples.
        targets: (n, N, c).
        goals: (n,): a signal is done when its mean squared error is no larger.
        schedule: rates, and the most steps.
        start: initial weights, (P,) for all or (n, P).
        chained: every signal starts from the weights of the one before it; they are then trained one after the other.
        threads: of the CPU; has no influence on the bits.

    Raises:
        InputError: if the arrays do not fit the network.
    """
    first = weights_of(network) if start is None else start
    if x.shape[1:] != (network.in_features,) or targets.shape[1:] != (len(x), network.out_features):
        raise InputError(
            f"coordinates {x.shape} and targets {targets.shape}",
            f"(N, {network.in_features}) and (n, N, {network.out_features})",
        )
    weights = np.array(np.broadcast_to(first, (len(targets), first.shape[-1])), dtype=np.float32, order="C")
    errors, steps = np.empty(len(targets)), np.empty(len(targets), dtype=np.int64)
    arguments = _kernel_arguments(network, schedule)
    points, wanted = np.ascontiguousarray(x, dtype=np.float32), np.ascontiguousarray(targets, dtype=np.float32)

    def train(rows: slice) -> None:
        sizes, omegas, rates, betas, eps = arguments
        many_sirens.fit_sirens(points, wanted[rows], weights[rows], sizes, omegas, rates, goals[rows].astype(np.float64),
                               betas, eps, errors[rows], steps[rows])  # fmt: skip

    with single_threaded_blas():
        if chained:
            for k in range(len(targets)):
                if k > 0 and np.isfinite(errors[k - 1]):
                    weights[k] = weights[k - 1]
                train(slice(k, k + 1))
        else:
            on_blocks(train, len(targets), threads)
    return Trained(weights, errors, steps)


def on_blocks(work: Callable[[slice], None], count: int, threads: int) -> None:
    """Call `work` on slices of `BLOCK` rows until all are done."""
    slices = [slice(k, min(k + BLOCK, count)) for k in range(0, count, BLOCK)]
    if threads == 1:
        for rows in slices:
            work(rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, slices))


def _kernel_arguments(
    network: Siren, schedule: Schedule
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float], float]:
    sizes = np.array([network.in_features, *[network.width] * network.depth, network.out_features])
    return sizes, np.array(network.frequencies), schedule.rates(), schedule.betas, schedule.eps


def stacked(network: Siren, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The layers of rows of weights (n, P): matrices (n, out, in) and biases (n, 1, out)."""
    sizes = [network.in_features, *[network.width] * network.depth, network.out_features]
    layers, at = [], 0
    for n, m in pairwise(sizes):
        matrix, bias = weights[:, at : at + n * m], weights[:, at + n * m : at + (n + 1) * m]
        layers.append((matrix.reshape(-1, m, n), bias[:, None]))
        at += (n + 1) * m
    return layers


def values(network: Siren, weights: Tensor, x: Tensor) -> Tensor:
    """The values (n, N, c) of networks with these weights (n, P) at x (N, d), by grouped matrix products."""
    *hidden, last = stacked(network, weights)
    h = x.expand(len(weights), *x.shape)
    for (matrix, bias), omega in zip(hidden, network.frequencies, strict=True):
        h = torch.sin(omega * torch.baddbmm(bias, h, matrix.mT))
    return torch.baddbmm(last[1], h, last[0].mT)


def square_errors(network: Siren, weights: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    """Mean squared errors (n,) over the samples that are there."""
    residual = values(network, weights, x) - targets
    known = ~targets.isnan()
    return torch.where(known, residual, 0.0).square().sum(dim=(1, 2)) / known.sum(dim=(1, 2))


def fit_plain(
    network: Siren, x: Tensor, targets: Tensor, goals: Tensor, schedule: Schedule, *, start: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`fit_batch` in plain PyTorch, for any device and precision: all networks in one product at every layer.

    Returns:
        Weights (n, P), errors (n,), steps (n,).
    """
    weights = start.expand(len(targets), start.shape[-1]).clone()
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    errors, steps = torch.empty_like(goals), torch.zeros(len(targets), dtype=torch.long, device=targets.device)
    active = torch.arange(len(targets), device=targets.device)
    rates, (b1, b2) = schedule.rates().tolist(), schedule.betas
    for step in range(schedule.steps + 1):
        own = weights[active].requires_grad_()
        found = square_errors(network, own, x, targets[active])
        errors[active], steps[active] = found.detach(), step
        going = (found.detach() > goals[active]) & (step < schedule.steps)
        if not bool(going.any()):
            break
        (gradient,) = torch.autograd.grad(found.sum(), own)
        active, gradient = active[going], gradient[going]
        first[active] = b1 * first[active] + (1 - b1) * gradient
        second[active] = b2 * second[active] + (1 - b2) * gradient**2
        length = (second[active] / (1 - b2 ** (step + 1))).sqrt() + schedule.eps
        weights[active] -= rates[step] / (1 - b1 ** (step + 1)) * first[active] / length
    return weights, errors, steps


def bytes_per_thread(network: Siren, samples: int) -> int:
    """Memory that a thread of `fit_batch` works in."""
    rows = min(max(64, many_sirens.CHUNK_NUMBERS // network.width), samples)
    parameters = sum(math.prod(weight.shape) for weight in network.parameters())
    return 4 * (rows * network.width * (2 * network.depth + 1) + 3 * parameters)
