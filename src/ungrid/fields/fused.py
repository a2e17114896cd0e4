"""The CPU kernels of grid plus decoder as differentiable operations.

Source of the idea of fusing the loss, so that no activation of the whole batch is ever stored: cross-entropy kernels of
language models; the gradients are exact, and tests compare them with plain PyTorch.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid.encodings import SplineGrid
from ungrid.kernels import grid as kernel
from ungrid.kernels.blas import single_threaded_blas
from ungrid.networks import GridDecoder


def _decoder_arrays(network: GridDecoder) -> tuple[np.ndarray, ...]:
    """skip, first, middle (D - 1, H, H), biases (D, H), last, last_bias."""
    width = network.width
    middle = [layer.detach().numpy() for layer in network.middle]
    return (
        network.skip.detach().numpy(),
        network.first.detach().numpy(),
        np.stack(middle) if middle else np.zeros((0, width, width), dtype=np.float32),
        np.concatenate([bias.detach().numpy() for bias in network.biases]),
        network.last.detach().numpy(),
        network.last_bias.detach().numpy(),
    )


def grid_values(encoding: SplineGrid, network: GridDecoder, unit: Float[Tensor, "*batch d"]) -> Tensor:
    """The decoder's values (*batch, c), without gradients and without storing features."""
    points = encoding.inside(unit.reshape(-1, encoding.dim).float()).contiguous()
    table = encoding.table.detach().numpy()
    with single_threaded_blas():
        values = kernel.grid_forward(
            points.numpy(), table, *encoding.kernel_arguments(), *_decoder_arrays(network), torch.get_num_threads()
        )
    return torch.from_numpy(values).reshape(*unit.shape[:-1], network.out_features)


class GridSquareError(torch.autograd.Function):
    """Mean of weight * (value - target)^2 over points and channels, with the gradients of all parameters in one pass."""

    @staticmethod
    def forward(
        ctx: Any, encoding: SplineGrid, network: GridDecoder, unit: Tensor, target: Tensor, weight: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:  # fmt: skip
        points = encoding.inside(unit.detach()).contiguous().numpy()
        weights = np.ones(len(points), dtype=np.float32) if weight is None else weight.float().contiguous().numpy()
        with single_threaded_blas():
            loss, table, *parts = kernel.grid_square_error(
                points, target.detach().float().contiguous().numpy(), weights, encoding.table.detach().numpy(),
                *encoding.kernel_arguments(), *_decoder_arrays(network), torch.get_num_threads(),
            )  # fmt: skip
        skip, first, middle, biases, last, last_bias = (torch.from_numpy(part.sum(axis=0)) for part in parts)
        ctx.grads = [torch.from_numpy(table), skip, first, *middle, *biases[:, None], last, last_bias]
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scale = float(grads[0])
        own = ctx.grads if scale == 1.0 else [grad * scale for grad in ctx.grads]
        return (None, None, None, None, None, *own)
