"""Steps of one size in all directions, for the large weight matrices of a network.

The momentum M of a matrix is replaced by the nearest matrix with orthonormal rows or columns, U V^T of its singular value
decomposition, so that a step moves every direction that the momentum has, not the strongest ones alone. A few Newton-Schulz
iterations give it to about 30 %, which is enough.

Source: Jordan et al. 2024, *Muon: an optimizer for hidden layers in neural networks*. torch has it in bfloat16, which took
48 times as long for a matrix of 256 x 512 on a processor without bfloat16 units; this is float32.
"""

from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # of the iteration; all singular values end between 0.7 and 1.2
ITERATIONS = 5
MOMENTUM = 0.95


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of the given one and singular values near 1 (those that are not tiny)."""
    a, b, c = QUINTIC
    x = matrix / matrix.norm().clamp(min=1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Orthogonal(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; `lr` is the spectral norm of a step of a square matrix."""

    def __init__(self, params: Any, *, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step on matrices that have gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.mul_(MOMENTUM).add_(weight.grad)
                direction = orthogonalised(weight.grad.add(momentum, alpha=MOMENTUM))
                rows, columns = weight.shape
                weight.add_(direction, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
