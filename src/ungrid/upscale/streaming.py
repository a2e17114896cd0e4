"""Clips of any length at any size and rate: read twice, once for times and cuts, once for the pictures; pieces join at the end.

Convention: n frames with a time scale of k become ``(n - 1) k + 1``: k for each pair of neighbours, the first of them the frame
itself, and the last frame, which is held as long as in the source, so that the duration is exact. Across cuts nothing is
made up: the nearer frame is shown. Times may be irregular; with a frame rate asked for they become regular.

Pieces of the result lie in a folder beside it until they are joined, so that an interrupted run can go on.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np

from ungrid._base.errors import InputError
from ungrid.io.streams import ClipReader, Frame, join_clip, write_frames
from ungrid.networks import LightVideo
from ungrid.networks.light_video import Seen
from ungrid.upscale.between import Pair, frame_at, given_frame, paired, seen
from ungrid.upscale.clips import THUMB, cut_numbers

PIECE = 64  # frames of the result that are written as one piece
DESCRIPTION = "run.json"  # of the folder of pieces: what they belong to

Report = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Scan:
    """What a clip's frames are, without their pictures.

    Attributes:
        times: (n,) in seconds.
        end: when the last frame ends.
        cuts: numbers of the frames with which new scenes begin.
        damaged: packets that could not be decoded.
    """

    times: np.ndarray
    end: float
    cuts: list[int]
    damaged: int


def scan_clip(reader: ClipReader) -> Scan:
    """Read a clip for its times and cuts.

    Raises:
        InputError: if there is no frame.
    """
    times, changes, last, end = [], [], None, 0.0
    for frame in reader.frames():
        small = frame.thumbnail(THUMB)
        if last is not None:
            changes.append(float(np.abs(small - last).mean()))
        times.append(frame.time)
        last, end = small, frame.time + frame.duration
    if not times:
        raise InputError(f"{reader.path} without frames that can be decoded", "a clip with pictures")
    return Scan(np.array(times), end, cut_numbers(np.array(changes)), reader.damaged)


@dataclass(frozen=True, eq=False)
class Plan:
    """The frames of a result.

    Attributes:
        index: (m,), the source's frame before each.
        share: (m,), of the time from it to the next one; 0: the frame itself.
        times: (m,) in seconds, of the result.
        end: when the last one ends.
    """

    index: np.ndarray
    share: np.ndarray
    times: np.ndarray
    end: float

    def __len__(self) -> int:
        return len(self.times)

    @property
    def rate(self) -> Fraction:
        """Frames a second, on the mean."""
        return Fraction(len(self) / max(1e-3, self.end - self.times[0])).limit_denominator(1001)


def plan_clip(scanned: Scan, *, time_scale: int = 1, fps: float | None = None, slower: float = 1.0) -> Plan:
    """Which frames the result has.

    Args:
        scanned: the source.
        time_scale: frames for each of the source's.
        fps: frames a second of the result, in place of the time scale.
        slower: by how much the result is played slower.

    Raises:
        InputError: if a number is not positive, or one frame is to become several.
    """
    if time_scale < 1 or not 0 < slower < np.inf or (fps is not None and not 0 < fps < np.inf):
        raise InputError(f"time scale {time_scale}, {fps} frames a second, {slower} times slower", "numbers above 0")
    times, n = scanned.times, len(scanned.times)
    if n == 1 and (time_scale > 1 or fps is not None):
        raise InputError("a clip of one frame", "two or more: there is nothing between", "leave the time as it is")
    if fps is None:
        steps = np.arange((n - 1) * time_scale + 1)
        index, share = steps // time_scale, steps % time_scale / time_scale
        following = np.minimum(index + 1, n - 1)
        shown = (times[index] + share * (times[following] - times[index])) * slower
    else:
        shown = times[0] * slower + np.arange(np.ceil((scanned.end - times[0]) * slower * fps - 1e-6)) / fps
        source = shown / slower
        index = np.clip(np.searchsorted(times, source + 1e-9, side="right") - 1, 0, n - 1)
        gap = times[np.minimum(index + 1, n - 1)] - times[index]
        share = np.where(gap > 0, (source - times[index]) / np.where(gap > 0, gap, 1), 0).clip(0, 1)
    share = np.where(np.abs(share - np.rint(share)) < 1e-6, np.rint(share), share)
    across = np.isin(index + 1, scanned.cuts)
    share = np.where(across, np.floor(share + 0.5), share)
    index, share = np.where(share == 1, index + 1, index), np.where(share == 1, 0.0, share)
    return Plan(index, share, shown, scanned.end * slower)


def frames_of(
    network: LightVideo, frames: Iterator[Frame], made: Plan, shape: tuple[int, int], depth: int, *,
    begin: int = 0, bfloat16: bool = False,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The pictures of a plan, from number `begin` on; one pair of frames is in memory at a time."""
    dtype = np.uint8 if depth == 8 else np.uint16
    moments = zip(made.index[begin:].tolist(), made.share[begin:].tolist(), strict=True)
    held, pairs = dict[int, Seen](), dict[int, Pair]()
    number = -1

    def read(wanted: int) -> Seen:
        nonlocal number
        while number < wanted:
            frame, number = next(frames), number + 1
        if wanted not in held:
            held[wanted] = seen(network, frame.pixels(), bfloat16=bfloat16)
        return held[wanted]

    def pair_of(first: int) -> Pair:
        if first not in pairs:
            pairs[first] = paired(read(first), read(first + 1))
        return pairs[first]

    moving = set(made.index[made.share > 0].tolist())  # what has something made up between itself and the next frame
    for index, group in groupby(moments, key=lambda moment: moment[0]):
        neighbours = [(first, end) for first, end in ((index - 1, 1), (index, 0)) if first in moving]
        for _, share in group:
            if share > 0:
                yield frame_at(network, pair_of(index), share, shape, bfloat16=bfloat16, dtype=dtype)
            else:
                views = [(pair_of(first), end) for first, end in neighbours]
                yield given_frame(network, read(index), views, shape, bfloat16=bfloat16, dtype=dtype)
                del views  # three frames are enough in memory
        for kept, last in ((held, index), (pairs, index - 1)):
            for old in [key for key in kept if key <= last]:
                del kept[old]


def fingerprint(network: LightVideo) -> str:
    """What tells its weights from others."""
    digest = hashlib.sha256()
    for weight in network.state_dict().values():
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def upscale_clip(
    network: LightVideo,
    reader: ClipReader,
    target: Path,
    shape: tuple[int, int],
    made: Plan,
    *,
    slower: float = 1.0,
    bfloat16: bool = False,
    resume: bool = False,
    report: Report | None = None,
) -> int:
    """Write a clip.

    Args:
        network: in evaluation mode.
        reader: of the source.
        target: .mp4, .m4v, .mov or .mkv; appears when it is whole.
        shape: even numbers of rows and columns.
        made: the frames that it gets.
        slower: as in the plan, for the sound.
        bfloat16: run the network's products in 16 bits.
        resume: go on with the pieces of an interrupted run.
        report: called with how many frames are done, and how many this call began with.

    Returns:
        How many packets of sound could not be decoded.

    Raises:
        InputError: if a side is odd, or the folder for the pieces is somebody's own.
    """
    if shape[0] % 2 or shape[1] % 2:
        raise InputError(f"frames of {shape[1]} x {shape[0]}", "even sides, which players need")
    folder = target.with_name(target.name + ".parts")
    stat = reader.path.stat()
    described = json.dumps(
        {
            "source": [reader.path.name, stat.st_size, stat.st_mtime_ns], "shape": shape, "frames": len(made),
            "index": made.index.tolist(), "share": made.share.tolist(), "bfloat16": bfloat16, "network": fingerprint(network),
        }
    )  # fmt: skip
    note = folder / DESCRIPTION
    if folder.exists() and not note.is_file():
        raise InputError(f"{folder}, which holds no pieces of a clip", "another name", "ungrid would clear that folder")
    if not (resume and note.is_file() and note.read_text() == described):
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    note.write_text(described)
    pieces = [folder / f"{number:06d}.mkv" for number in range(-(-len(made) // PIECE))]
    first = next((number for number, piece in enumerate(pieces) if not piece.exists()), len(pieces))
    begin = first * PIECE
    if first < len(pieces):
        pictures = frames_of(
            network, reader.frames(), made, shape, reader.depth, begin=begin, bfloat16=bfloat16
        )  # fmt: skip

        def some(count: int, done: int) -> Iterator[np.ndarray]:
            for number in range(count):
                yield next(pictures)
                if report is not None:
                    report(done + number + 1, begin)

        for number in range(first, len(pieces)):
            count = min(PIECE, len(made) - number * PIECE)
            write_frames(pieces[number], some(count, number * PIECE), reader, made.rate)
    lost = join_clip(target, pieces, made.times, made.end, reader, slower=slower)
    shutil.rmtree(folder)
    return lost
