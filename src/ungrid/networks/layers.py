"""Linear layers with a seeded initialisation.

Convention: a layer maps rows, ``y = x W^T + b`` with W (out, in), as torch's.
"""

from typing import cast

import torch
from torch import nn


def uniform_linear(
    in_features: int, out_features: int, weight_bound: float, bias_bound: float, generator: torch.Generator
) -> nn.Linear:
    """A linear layer with W ~ U(±weight_bound) and b ~ U(±bias_bound).

    Drawn in double precision, so that a seed means the same network in every dtype; no global generator is touched.
    """
    layer = nn.utils.skip_init(nn.Linear, in_features, out_features, dtype=torch.get_default_dtype())
    with torch.no_grad():
        for parameter, bound in ((layer.weight, weight_bound), (layer.bias, bias_bound)):
            unit = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((2.0 * unit - 1.0) * bound)
    return layer


def linears(layers: nn.ModuleList) -> list[nn.Linear]:
    """The layers with their type."""
    return cast("list[nn.Linear]", list(layers))
