"""Video clips through FFmpeg.

Convention: axes (t, y, x): t in seconds, frame i at ``(i + 1/2) / fps``; y and x of one scale, the longer spans
[-1, 1], +y down. Values float32 in [0, 1], sRGB-coded as stored, channels red, green, blue. Rotation metadata is
applied.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import laplace

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io.arrays import check_samples, color_names
from ungrid.io.files import existing_file, opened, replacing
from ungrid.io.images import quantised
from ungrid.io.streams import LIMITED, MUXERS, QUALITY, Colours, colours_of, matrix_for, stored, upright
from ungrid.sampling import GridSamples

MOST_BYTES = 8 << 30  # of the float32 samples of a clip


def read_video(path: str | os.PathLike[str], *, scale: int = 1) -> GridSamples:
    """Read the first video stream of a clip.

    Args:
        path: an MP4, MOV, MKV, WebM or AVI file.
        scale: average boxes of ``scale x scale`` pixels while reading; rows and columns that do not fill a box are cut.

    Returns:
        Values (T, H, W, 3); metadata: ``format``, ``fps`` (mean frame rate) and ``scale``.

    Raises:
        InputError: if it is not a clip, is damaged, or would take more than 8 GiB.
    """
    av = require("av", "video")
    file = existing_file(path)
    if scale < 1:
        raise InputError(f"scale {scale}", "a whole number from 1")
    with opened(file, "a video") as stream, av.open(stream, mode="r") as container:
        if not container.streams.video:
            raise InputError(f"{file} has no video stream", "a clip with pictures")
        video = container.streams.video[0]
        rate = video.average_rate or video.guessed_rate
        if not rate:
            raise InputError(f"{file} does not say its frame rate", "a clip with a frame rate")
        frames = _frames(container, video, scale)
        kind = container.format.name.split(",")[0]
    shape = (len(frames), *frames[0].shape[:2])
    check_samples(shape, "a video")
    values = np.empty((*shape, 3), dtype=np.float32)
    for index in range(len(frames)):
        values[index] = frames[index].astype(np.float32) / np.float32(255 * scale**2)
    pixels = RegularGrid.isotropic(shape[1:], ("y", "x")).box.axes
    grid = RegularGrid(Box(Axis("t", 0.0, float(shape[0] / rate), "s"), *pixels), shape)
    metadata = {"format": kind, "fps": float(rate), "scale": scale}
    return GridSamples(grid, values, color_names(3), "video", 1.0, metadata)


def read_frames(path: str | os.PathLike[str], *, scale: int = 1) -> list[np.ndarray]:
    """The frames (H, W, 3) uint8 of the first video stream, upright.

    Args:
        path: as for `read_video`.
        scale: take the means over boxes of ``scale x scale`` pixels.

    Raises:
        InputError: as `read_video`.
    """
    av = require("av", "video")
    file = existing_file(path)
    with opened(file, "a video") as stream, av.open(stream, mode="r") as container:
        if not container.streams.video:
            raise InputError(f"{file} has no video stream", "a clip with pictures")
        sums = _frames(container, container.streams.video[0], scale)
    return [np.rint(one / np.float32(scale**2)).astype(np.uint8) for one in sums]


def _frames(container: Any, video: Any, scale: int) -> list[np.ndarray]:
    """All frames upright, each the sums over boxes of scale x scale pixels, as small unsigned integers."""
    frames: list[np.ndarray] = []
    colours: Colours | None = None
    for frame in container.decode(video):
        colours = colours or colours_of(video.codec_context, frame)
        pixels = upright(frame, colours)
        if frames and pixels.shape[0] // scale != frames[0].shape[0]:
            raise InputError("a video whose frames change their size", "one size")
        frames.append(_box_sums(pixels, scale))
        if 4 * frames[0].size * len(frames) > MOST_BYTES:
            raise InputError("a video of more than 8 GiB of samples", "less", "give a larger scale, or a shorter clip")
    if not frames:
        raise InputError("a video without frames", "at least one frame")
    return frames


def write_sharp_frames(path: str | os.PathLike[str], folder: Path, count: int) -> list[Path]:
    """Write the sharpest frame of each of `count` equal parts of a clip as png, upright, one frame in memory at a time.

    The files are named by the frames' numbers in the clip.

    Sharp is what has the largest variance of its Laplacian (Pech-Pacheco et al. 2000, *Diatom autofocusing in brightfield
    microscopy*).

    Args:
        path: a clip.
        folder: is made where it is not there.
        count: parts; fewer frames than that are all written.

    Raises:
        InputError: if it is not a clip, or damaged.
    """
    av = require("av", "video")
    file = existing_file(path)
    with opened(file, "a video") as stream, av.open(stream, mode="r") as container:
        if not container.streams.video:
            raise InputError(f"{file} has no video stream", "a clip with pictures")
        total = sum(1 for packet in container.demux(container.streams.video[0]) if packet.dts is not None)
        if not total:
            raise InputError(f"{file} has no frames", "a clip with pictures")
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    best: tuple[float, int, np.ndarray] | None = None
    with opened(file, "a video") as stream, av.open(stream, mode="r") as container:
        video, colours = container.streams.video[0], None
        for number, frame in enumerate(container.decode(video)):
            colours = colours or colours_of(video.codec_context, frame)
            pixels = upright(frame, colours)
            sharp = float(laplace(pixels.mean(axis=2)).var())
            if best is None or sharp > best[0]:
                best = sharp, number, pixels
            if number + 1 >= total * (len(written) + 1) / min(count, total):
                written.append(folder / f"frame_{best[1]:06d}.png")
                Image.fromarray(np.ascontiguousarray(best[2])).save(written[-1])
                best = None
    return written


def _box_sums(pixels: np.ndarray, scale: int) -> np.ndarray:
    height, width = pixels.shape[0] // scale, pixels.shape[1] // scale
    if not (height and width):
        raise InputError(f"scale {scale} for frames of {pixels.shape[0]} x {pixels.shape[1]}", "a smaller scale")
    if scale == 1:
        return pixels
    # Rows first, then columns, by strides: 4 to 20 times as fast as one sum over the axes of the boxes.
    pixels = pixels.astype(np.uint16 if scale <= 16 else np.uint32)
    rows = np.add.reduce([pixels[k : height * scale : scale] for k in range(scale)], dtype=pixels.dtype)
    return np.add.reduce([rows[:, k : width * scale : scale] for k in range(scale)], dtype=pixels.dtype)


def write_video(path: str | os.PathLike[str], samples: GridSamples) -> None:
    """Write a clip with H.264 at the frame rate of its grid.

    Args:
        path: .mp4, .m4v, .mov or .mkv.
        samples: values (T, H, W, 3) or (T, H, W, 1), clipped to [0, 1]. Even sizes are stored with 4:2:0 colour,
            which every player reads, odd sizes with 4:4:4, since 4:2:0 cannot hold them.

    Raises:
        InputError: if the samples are no clip or have missing samples.
    """
    av = require("av", "video")
    values = samples.values
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in MUXERS:
        raise InputError(f"a video named {suffix!r}", f"one of {', '.join(MUXERS)}")
    if values.ndim != 4 or values.shape[3] not in (1, 3) or samples.missing or samples.peak != 1.0:
        raise InputError(f"samples of shape {values.shape}, {samples.missing} missing", "a full (T, H, W, 3) in [0, 1]")
    if samples.grid.box.axes[0].unit != "s":
        raise InputError("samples whose first axis is not in seconds", "a time axis", "give from_array a spacing")
    with replacing(path) as temporary, av.open(str(temporary), mode="w", format=MUXERS[suffix]) as container:
        rate = Fraction(1.0 / float(samples.grid.spacing[0])).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"crf": QUALITY[8]})
        stream.height, stream.width = values.shape[1:3]
        stream.pix_fmt = "yuv420p" if stream.height % 2 == stream.width % 2 == 0 else "yuv444p"
        matrix = matrix_for(stream.height)
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, LIMITED
        for frame in values:
            pixels = np.ascontiguousarray(np.broadcast_to(quantised(frame, np.uint8), (*values.shape[1:3], 3)))
            container.mux(stream.encode(stored(pixels, stream.pix_fmt, matrix)))
        container.mux(stream.encode())
