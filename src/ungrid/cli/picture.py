"""A picture in the terminal: two pixels in each character cell, by the upper half block.

Convention: pictures are (H, W, c) in [0, 1] with c = 1 (grey), 3 (red, green, blue) or 4 (with alpha, over black).
"""

import numpy as np
from rich.style import Style
from rich.text import Text


def as_rgb(values: np.ndarray) -> np.ndarray:
    """The picture (H, W, c) as (H, W, 3) uint8; two channels are grey and alpha, missing samples are black."""
    values = np.clip(np.nan_to_num(values), 0, 1)
    channels = values.shape[-1]
    colour = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, axis=-1)
    alpha = values[..., -1:] if channels in (2, 4) else 1.0
    return np.rint(255 * colour * alpha).astype(np.uint8)


# Dark blue over green to yellow: lightness rises evenly, so that it reads in grey and for the colour-blind.
SCALE = ((0.16, 0.10, 0.38), (0.15, 0.32, 0.58), (0.11, 0.53, 0.58), (0.35, 0.72, 0.44), (0.97, 0.89, 0.33))


def in_colours(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers (H, W) between `low` and `high` as colours (H, W, 3); white where they are NaN."""
    stops = np.linspace(0, 1, len(SCALE))
    share = (values - low) / max(high - low, np.finfo(np.float64).tiny)
    colours = np.stack([np.interp(share, stops, channel) for channel in zip(*SCALE, strict=True)], axis=-1)
    return np.where(np.isnan(values)[..., None], 1.0, colours)


# From blue over white to red, the ends of equal lightness: for differences, whose sign counts.
DIVERGING = ((0.13, 0.31, 0.64), (0.52, 0.68, 0.86), (1.0, 1.0, 1.0), (0.94, 0.60, 0.52), (0.70, 0.13, 0.20))
NOWHERE = 0.8  # grey of what is missing, which is no difference of zero


def in_two_colours(values: np.ndarray, largest: float) -> np.ndarray:
    """Differences (H, W) up to `largest` as colours (H, W, 3): blue below zero, red above, grey where they are NaN."""
    stops = np.linspace(-1, 1, len(DIVERGING))
    share = values / max(largest, np.finfo(np.float64).tiny)
    colours = np.stack([np.interp(share, stops, channel) for channel in zip(*DIVERGING, strict=True)], axis=-1)
    return np.where(np.isnan(values)[..., None], NOWHERE, colours)


def shrunk(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means over boxes: (H, W, 3) uint8 to (height, width, 3)."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def half_blocks(values: np.ndarray, columns: int) -> Text:
    """The picture, `columns` characters wide at most, as coloured text."""
    pixels = as_rgb(values)
    width = min(columns, pixels.shape[1])
    height = max(2, 2 * round(width * pixels.shape[0] / pixels.shape[1] / 2))
    text = Text(no_wrap=True)
    for upper, lower in shrunk(pixels, height, width).reshape(height // 2, 2, width, 3):
        for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style.parse("rgb({},{},{}) on rgb({},{},{})".format(*top, *bottom)))
        text.append("\n")
    return text
