"""LIIF and MetaSR written down from their papers, query by query, with nothing saved: what the fast forms must equal.

Coordinates are those of the papers: pixel centres of [-1, 1] along each axis, (y, x).
"""

import torch
from torch import Tensor
from torch.nn import functional

from ungrid.networks import LIIF, MetaSR


def centres(n: int) -> Tensor:
    return -1 + (2 * torch.arange(n, dtype=torch.float64) + 1) / n


def queries(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(centres(height), centres(width), indexing="ij")
    return torch.stack([y, x], dim=-1).reshape(-1, 2)


def nearest(maps: Tensor, coordinate: Tensor) -> Tensor:
    """Values (q, c) of maps (1, c, h, w) at the pixels nearest to coordinates (q, 2)."""
    inside = coordinate.clamp(-1 + 1e-6, 1 - 1e-6).flip(-1)[None, None]
    return functional.grid_sample(maps, inside.to(maps.dtype), mode="nearest", align_corners=False)[0, :, 0].T


def features_of(network: LIIF, image: Tensor) -> Tensor:
    """The features (1, k, h, w) of an image (1, 3, h, w), joined over neighbourhoods (equation 3)."""
    features = network.encoder((image - 0.5) / 0.5)
    if network.feat_unfold:
        features = functional.unfold(features, 3, padding=1).reshape(1, -1, *features.shape[2:])
    return features


def liif(network: LIIF, image: Tensor, coordinate: Tensor, cell: Tensor) -> Tensor:
    """Equations 1 to 6 at coordinates (q, 2) with cells (2,), for an image (1, 3, h, w)."""
    return liif_of(network, features_of(network, image), coordinate, cell)


def liif_of(network: LIIF, features: Tensor, coordinate: Tensor, cell: Tensor) -> Tensor:
    """The same with the features given."""
    h, w = features.shape[2:]
    image = features
    own = queries(h, w).to(image).T.reshape(1, 2, h, w)
    shifts = [(vy, vx) for vy in (-1, 1) for vx in (-1, 1)] if network.local_ensemble else [(0, 0)]
    half = torch.tensor([1 / h, 1 / w]).to(image)
    predictions, areas = [], []
    for shift in shifts:
        moved = coordinate + torch.tensor(shift).to(image) * half + 1e-6
        away = (coordinate - nearest(own, moved)) * torch.tensor([h, w])
        parts = [nearest(features, moved), away]
        if network.cell_decode:
            parts.append((cell * torch.tensor([h, w])).expand_as(away).to(image))
        predictions.append(network.imnet.layers(torch.cat(parts, dim=-1)))
        areas.append((away[:, 0] * away[:, 1]).abs() + 1e-9)
    total = torch.stack(areas).sum(dim=0)
    weighted = zip(predictions, reversed(areas), strict=True)  # the opposite corner's area
    return sum((p * (a / total)[:, None] for p, a in weighted), torch.zeros(())) * 0.5 + 0.5


def meta_sr(network: MetaSR, image: Tensor, coordinate: Tensor, cell: Tensor) -> Tensor:
    """The compared method at coordinates (q, 2), for an image (1, 3, h, w)."""
    features = network.encoder((image - 0.5) / 0.5)
    h, w = features.shape[2:]
    unfolded = functional.unfold(features, 3, padding=1).reshape(1, -1, h, w)
    corner = queries(h, w).to(image) - torch.tensor([1 / h, 1 / w]).to(image)
    moved = coordinate - cell / 2
    found = nearest(unfolded, moved + 1e-6)
    away = (moved - nearest(corner.T.reshape(1, 2, h, w), moved + 1e-6)) * torch.tensor([h / 2, w / 2])
    ratio = (cell[0] * h / 2).expand(len(away), 1)
    weights = network.imnet.layers(torch.cat([away, ratio], dim=-1).to(image)).reshape(len(away), -1, 3)
    return torch.einsum("qk,qkc->qc", found, weights) * 0.5 + 0.5
