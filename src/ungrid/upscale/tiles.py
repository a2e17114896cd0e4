"""Pictures of any size, tile by tile, with exactly the values that the whole picture would have.

Convention: pictures (h, w, 3), float32 in [0, 1], uint8 or uint16. Output pixel o of an axis lies at
``(o + 1/2) / scale - 1/2`` in pixels of the input, so that both pictures cover the same area.
"""

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from ungrid.networks import ContinuousNetwork
from ungrid.upscale.resize import resized

LATENTS = 12_000_000  # numbers of a tile's latents, about
SMALLEST = 48  # input pixels of a tile's side
OUTPUT = 1 << 20  # output pixels of a tile, about
PLACES = 1 << 15  # output pixels that are decoded at once: their 48 features are 6 MB
MARGIN = 2  # pixels around a place that the decoder and the bicubic interpolation read
Orientation = tuple[bool, bool, bool]  # upside down, mirrored, transposed
ORIENTATIONS: list[Orientation] = list(product((False, True), (False, True), (False, True)))

Report = Callable[[float], None]
Part = tuple[slice, np.ndarray]


def positions(size: int, target: int) -> np.ndarray:
    """Where the `target` output pixels of an axis lie, in the input's `size` pixels."""
    return (np.arange(target) + 0.5) * (size / target) - 0.5


def tile_side(network: ContinuousNetwork) -> int:
    """Input pixels of the side of a tile whose latents, with those that only its border needs, fit."""
    return max(SMALLEST, int((LATENTS / network.channels) ** 0.5) - 2 * (network.halo + MARGIN))


def parts(size: int, target: int, side: int) -> list[Part]:
    """The output pixels of an axis in parts that lie on `side` input pixels or fewer, with their positions."""
    where = positions(size, target)
    side = min(side, max(16, round(OUTPUT**0.5 * size / target)))
    count = -(-size // side)
    bounds = [0, *np.searchsorted(where, np.linspace(0, size, count + 1)[1:-1] - 0.5).tolist(), target]
    return [(slice(a, b), where[a:b]) for a, b in pairwise(bounds) if b > a]


def span(where: np.ndarray, size: int, margin: int) -> tuple[int, int]:
    """The input pixels that places read with a margin, inside the picture."""
    return max(0, int(np.floor(where[0])) - margin), min(size, int(np.floor(where[-1])) + 2 + margin)


def enlarge(
    network: ContinuousNetwork,
    picture: np.ndarray,
    shape: tuple[int, int],
    *,
    bfloat16: bool = False,
    average: bool = False,
    dtype: type[np.generic] = np.float32,
    report: Report | None = None,
) -> np.ndarray:
    """The picture with `shape` pixels.

    Along axes that shrink it is first resized by antialiased bicubic interpolation: there is nothing to be made up.

    Args:
        network: that enlarges.
        picture: (h, w, 3).
        shape: rows and columns of the result.
        bfloat16: run the network's products in 16 bits: faster, with about three digits.
        average: over the eight orientations of the picture.
        dtype: float32 in [0, 1], uint8 or uint16.
        report: called with the share that is done.

    Returns:
        (*shape, 3).
    """
    smaller = min(shape[0], picture.shape[0]), min(shape[1], picture.shape[1])
    if smaller != picture.shape[:2]:
        picture = np.clip(resized(fractions(picture), smaller), 0, 1)
    if smaller == shape:
        return numbers(fractions(picture), dtype)
    out = np.empty((*shape, 3), dtype=dtype)
    strips, blocks = (parts(n, m, tile_side(network)) for n, m in zip(smaller, shape, strict=True))
    tiles = list(product(strips, blocks))
    scale = torch.tensor([shape[0] / smaller[0], shape[1] / smaller[1]], device=device_of(network))
    for number, ((lines, rows), (cells, columns)) in enumerate(tiles):
        found = [
            _tile(network, picture, rows, columns, scale, orientation, bfloat16)
            for orientation in (ORIENTATIONS if average else ORIENTATIONS[:1])
        ]
        out[lines, cells] = numbers(np.mean(found, axis=0).clip(0, 1), dtype)
        if report is not None:
            report((number + 1) / len(tiles))
    return out


def device_of(network: ContinuousNetwork) -> torch.device:
    """Where its weights are."""
    return next(network.parameters()).device


def fractions(picture: np.ndarray) -> np.ndarray:
    """The picture as float32 in [0, 1]."""
    if picture.dtype.kind != "u":
        return picture
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def numbers(values: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Values in [0, 1] as float32, or rounded to the full range of an unsigned integer type."""
    if np.dtype(dtype).kind == "u":
        return np.rint(values.astype(np.float32) * np.iinfo(dtype).max).astype(dtype)  # type: ignore[type-var]
    return values.astype(dtype)


@torch.no_grad()
def _tile(
    network: ContinuousNetwork,
    picture: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    scale: Tensor,
    orientation: Orientation,
    bfloat16: bool,
) -> np.ndarray:
    """The colours (y, x, 3) at a lattice of positions, by the part of the picture that they depend on.

    The network sees the part turned upside down, mirrored and transposed, as the orientation says.
    """
    places, bounds, window = [rows, columns], [], []
    for where, size in zip(places, picture.shape, strict=False):
        begin, end = span(where, size, MARGIN)
        window.append(slice(max(0, begin - network.halo), end + network.halo))
        bounds.append((begin - window[-1].start, end - window[-1].start))
    seen = fractions(picture[tuple(window)])
    places = [where - part.start for where, part in zip(places, window, strict=True)]
    turned = tuple(axis for axis in (0, 1) if orientation[axis])
    for axis in turned:
        size = seen.shape[axis]
        seen, places[axis] = np.flip(seen, axis), size - 1 - places[axis][::-1]
        bounds[axis] = (size - bounds[axis][1], size - bounds[axis][0])
    if orientation[2]:
        seen, places, bounds, scale = seen.swapaxes(0, 1), places[::-1], bounds[::-1], scale.flip(0)
    image = torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1)[None].to(scale.device)
    (top, bottom), (left, right) = bounds
    with torch.autocast(scale.device.type, torch.bfloat16, enabled=bfloat16):
        encoded = network.encoded(image)[..., top:bottom, left:right].contiguous(memory_format=torch.channels_last)
        around, down, across = image[..., top:bottom, left:right], places[0] - top, places[1] - left
        step, strips = max(1, PLACES // len(across)), []
        for row in range(0, len(down), step):
            here = down[row : row + step]
            first, last = span(here, bottom - top, MARGIN)
            latents = network.spread(encoded[:, :, first:last])
            strips.append(network.on_lattice(latents, around[:, :, first:last], here - first, across, scale)[0].float())
    colours = torch.cat(strips, dim=1).permute(1, 2, 0).cpu().numpy()
    colours = colours.swapaxes(0, 1) if orientation[2] else colours
    return np.flip(colours, turned)
