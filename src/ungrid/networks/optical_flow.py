"""Optical flow between two frames, and what it is at a time between them.

Convention: frames (b, 3, h, w) in [0, 1]; flows (b, 4, h, w), (x, y) in pixels: the first two numbers lead from the first frame
to the second, the last two back. The flow is found by dense inverse search with a variational refinement on every level of a
pyramid (`ungrid.kernels.flow`), on a CPU, and has no derivatives; `carried` has.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ungrid.kernels import flow as kernels
from ungrid.kernels.flow import PATCH

LUMINANCE = (0.299, 0.587, 0.114)
SMALLEST = 2 * PATCH  # pixels of a side; smaller frames are continued
STRIDE = 3  # pixels between patches
PASSES = 2  # of the search on a level: the second begins with what the first has found
FIXED_POINTS, RELAXATIONS = 5, 5  # of the refinement
FEW = 0.01  # of a pixel's weight, below which the flow is taken from the same place


@torch.no_grad()
def optical_flow(first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 4 h w"]:
    """The flows between frames, float32."""
    h, w = first.shape[-2:]
    found = np.empty((len(first), h, w, 4), dtype=np.float32)
    for k, (one, other) in enumerate(zip(_grey(first), _grey(second), strict=True)):
        found[k, ..., :2] = flow_between(one, other)[:h, :w]
        found[k, ..., 2:] = flow_between(other, one)[:h, :w]
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous().to(first.device)


def _grey(frame: Tensor) -> np.ndarray:
    """The luminance (b, y, x) from 0 to 255, continued to the smallest size."""
    red, green, blue = frame.float().unbind(dim=1)
    grey = (
        LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
    )  # no product of matrices: equal bits in any batch
    h, w = grey.shape[-2:]
    grey = functional.pad(grey[:, None], (0, max(0, SMALLEST - w), 0, max(0, SMALLEST - h)), mode="replicate")[:, 0]
    return (255 * grey).contiguous().cpu().numpy()


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow (h, w, 2) from one grey frame (h, w) to another, coarse to fine."""
    sides = np.array(first.shape)
    levels = int(min(np.log2(sides.max() / (4 * PATCH)) + 0.5, np.log2(sides.min() / PATCH)))
    pyramid = [(first, second)]
    for _ in range(max(0, levels)):
        pyramid.append((_halved(pyramid[-1][0]), _halved(pyramid[-1][1])))
    flow = np.zeros((*pyramid[-1][0].shape, 2), dtype=np.float32)
    for one, other in reversed(pyramid):
        flow = _searched(one, other, _enlarged(flow, one.shape))
        flow = _refined(one, other, flow)
    return flow


def _halved(frame: np.ndarray) -> np.ndarray:
    """The means of squares of four pixels."""
    even = np.pad(frame, [(0, n % 2) for n in frame.shape], mode="edge")
    return np.ascontiguousarray((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)


def _enlarged(flow: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The flow of the next finer level, to begin with."""
    if flow.shape[:2] == shape:
        return flow
    coarse = torch.from_numpy(flow).permute(2, 0, 1)[None]
    fine = functional.interpolate(2 * coarse, size=(shape[0], shape[1]), mode="bilinear", align_corners=False)
    return fine[0].permute(1, 2, 0).contiguous().numpy()


def _starts(size: int) -> np.ndarray:
    """Where patches begin; the last one ends with the frame."""
    return np.unique(np.append(np.arange(0, size - PATCH, STRIDE), size - PATCH))


def _slopes(frame: np.ndarray) -> np.ndarray:
    out = np.empty((*frame.shape, 2), dtype=np.float32)
    kernels.slopes(np.ascontiguousarray(frame), out)
    return out


def _searched(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    rows, columns = (_starts(n) for n in first.shape)
    patches, gradient = np.empty((len(rows), len(columns), 2), dtype=np.float32), _slopes(first)
    for _ in range(PASSES):
        kernels.search(first, second, gradient, rows, columns, flow, patches)
        flow = np.empty((*first.shape, 2), dtype=np.float32)
        kernels.densify(first, second, rows, columns, patches, flow)
    return flow


def _refined(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    led = np.empty_like(first)
    kernels.warp(second, flow, led)
    difference, gradient = led - first, _slopes((led + first) / 2)
    second_slopes = _slopes(gradient[..., 0]), _slopes(gradient[..., 1])
    of_difference = _slopes(difference)
    change, weight = np.zeros_like(flow), np.empty_like(first)
    system = np.empty((*first.shape, 5), dtype=np.float32)
    for _ in range(FIXED_POINTS):
        kernels.data_terms(difference, gradient, *second_slopes, of_difference, change, system)
        kernels.smoothness(flow, change, weight)
        for step in range(2 * RELAXATIONS):
            kernels.relax(system, weight, flow, change, step % 2)
    return flow + change


def carried(flows: Float[Tensor, "b 4 h w"], times: Float[Tensor, " b"]) -> Float[Tensor, "b 4 h w"]:
    """The flow from first to second frame at the places where it is at the times (x, y), and who shows them.

    Each frame's flow is carried along itself to the time (Baker et al. 2011, section 3.3.2) and spread over the four nearest
    pixels; where frames disagree their mean is taken, where neither arrives the flow of the same place. The last two numbers
    are the weights that arrive from the first and from the second frame, 1 where each pixel gets one.
    """
    t = times.to(flows).reshape(-1, 1, 1, 1)
    there, back = flows[:, :2], flows[:, 2:]
    totals, weights = zip(_spread(there, t), _spread(back, 1 - t), strict=True)
    still = (there - back) / 2
    motion = (totals[0] - totals[1] + FEW * still) / (weights[0] + weights[1] + FEW)
    return torch.cat([motion, weights[0].clamp(max=1), weights[1].clamp(max=1)], dim=1)


def _spread(flow: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of flows (b, 2, h, w) and of weights (b, 1, h, w) that arrive at pixels, a share of the way on."""
    h, w = flow.shape[-2:]
    column = torch.arange(w, dtype=flow.dtype, device=flow.device) + share[:, 0] * flow[:, 0]
    row = torch.arange(h, dtype=flow.dtype, device=flow.device)[:, None] + share[:, 0] * flow[:, 1]
    left, top = column.detach().floor(), row.detach().floor()
    parts = torch.cat([flow, torch.ones_like(flow[:, :1])], dim=1).flatten(2)
    sums = torch.zeros_like(parts)
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = top + dy, left + dx
            weight = (1 - (row - y).abs()) * (1 - (column - x).abs())
            inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
            place = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).long()
            given = parts * (weight * inside).flatten(1)[:, None]
            sums = sums.scatter_add(2, place.flatten(1)[:, None].expand(-1, 3, -1), given)
    found = sums.unflatten(2, (h, w))
    return found[:, :2], found[:, 2:]
