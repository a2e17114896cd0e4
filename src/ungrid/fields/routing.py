"""Points to the parts of a field that answer for them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ungrid.fields.field import Field


def routed(parts: Sequence[Field], number: Tensor, x: Tensor, footprint: Tensor | None) -> Tensor:
    """The values (*batch, c) at points (*batch, d), each from the part with its number (n,), n the size of the batch."""
    flat = x.reshape(-1, x.shape[-1])
    wide = None if footprint is None else footprint.expand_as(x).reshape(flat.shape)
    order = torch.argsort(number, stable=True)
    counts = torch.bincount(number, minlength=len(parts)).tolist()
    rows = order.split(counts)
    found = [
        part(flat[rows[k]], None if wide is None else wide[rows[k]])
        for k, part in enumerate(parts)
        if counts[k] or not len(flat)
    ]
    back = torch.argsort(order, stable=True)
    return torch.cat(found)[back].reshape(*x.shape[:-1], len(parts[0].out_names))
