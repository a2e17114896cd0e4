"""A field over time as a clip: colours over a plane, a curve over a line.

Convention: the axis t becomes the clip's time; of two axes of space the second points upwards. Pictures are
(H, W, 3) in [0, 1].
"""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.cli.picture import in_colours
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.sampling import GridSamples

RATE = 25.0  # pictures a second
WIDTH, HEIGHT, MARGIN = 480, 320, 20  # of a drawn curve
INK = (37, 99, 235)


def animated(samples: GridSamples, rate: float = RATE) -> GridSamples:
    """The first channel as a clip (T, H, W, 3), a sample of time in each picture.

    Raises:
        InputError: if there is no axis t, or not one or two others.
    """
    names = [axis.name for axis in samples.grid.box.axes]
    if "t" not in names or len(names) not in (2, 3):
        raise InputError(f"a clip of a field over {', '.join(names)}", "an axis t, and one or two axes of space")
    values = np.moveaxis(samples.values[..., 0].astype(np.float64), names.index("t"), 0)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    frames = [curve(v, low, high) if v.ndim == 1 else in_colours(v.T[::-1], low, high) for v in values]
    clip = np.stack(frames).astype(np.float32)
    n, height, width, _ = clip.shape
    box = Box(Axis("t", 0.0, n / rate, "s"), Axis("y", 0.0, float(height)), Axis("x", 0.0, float(width)))
    return GridSamples(RegularGrid(box, (n, height, width)), clip, ("red", "green", "blue"), "video")


def curve(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values (n,) along a line, drawn between the limits."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    across = MARGIN + np.linspace(0, WIDTH - 2 * MARGIN, len(values))
    up = HEIGHT - MARGIN - (values - low) / max(high - low, np.finfo(np.float64).tiny) * (HEIGHT - 2 * MARGIN)
    zero = HEIGHT - MARGIN + low / max(high - low, np.finfo(np.float64).tiny) * (HEIGHT - 2 * MARGIN)
    if low <= 0 <= high:
        draw.line([(MARGIN, zero), (WIDTH - MARGIN, zero)], fill=(200, 200, 200))
    there = ~np.isnan(values)
    draw.line(list(zip(across[there].tolist(), up[there].tolist(), strict=True)), fill=INK, width=3, joint="curve")
    return np.asarray(picture).astype(np.float32) / 255
