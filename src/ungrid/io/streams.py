"""Clips frame by frame, in and out, through FFmpeg: what is longer than memory, with its times, colours and sound.

Convention: frames (h, w, 3), uint8, or uint16 where the clip has more than 8 bits, upright, sRGB-coded as stored. Times are in
seconds from the beginning of the file and each frame has its own: the rate may vary. Pictures are written with H.264 in 4:2:0,
with 10 bits where the source has more than 8; the matrix between RGB and YUV is the source's own in both directions, so that
colours come out as they went in, and the tags of its colours go with them. Sound is copied packet by packet where the
container can hold it and its times stay; otherwise it is coded with AAC, slower without a change of pitch.
"""

import heapq
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.io.files import decoding, existing_file, replacing

RGB = {8: "rgb24", 10: "rgb48le"}  # by bits, FFmpeg's names of what we hold
STORED = {8: "yuv420p", 10: "yuv420p10le"}  # and of what is written
TICKS = 90_000  # of a second, in which times are written
QUALITY = {8: "17", 10: "16"}  # x264's constant rate factor: 17 to 18 is commonly called visually lossless
MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_EVERYWHERE = {"aac", "mp3", "ac3", "eac3", "alac"}
SOUNDS = {  # that FFmpeg's writers take as they are; others are coded anew
    "mp4": _EVERYWHERE | {"opus", "flac"},
    "mov": _EVERYWHERE | {"pcm_s16le", "pcm_s16be", "pcm_s24le"},
    "matroska": _EVERYWHERE | {"opus", "flac", "vorbis", "mp2", "dts", "pcm_s16le", "pcm_s24le", "pcm_f32le"},
}
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}  # of ITU-T H.273's numbers, what the converter calls them
HD = 720  # rows from which a clip that names no matrix has that of BT.709, and below which that of BT.601
LIMITED, FULL = 1, 2  # ranges of YUV
AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 88200, 64000, 96000)
SLOWEST = 0.5  # of a filter that stretches sound; more takes several


@dataclass(frozen=True)
class Colours:
    """How RGB becomes YUV.

    Attributes:
        matrix: the converter's number.
        full: whether the source uses all of the numbers' range.
        tags: of the stream: color_primaries, color_trc, and colorspace, which is always named: without it, players guess
            by the size, which changes.
    """

    matrix: int
    full: bool
    tags: dict[str, int]


def _exact() -> Any:
    """The converter's flags; its faster roundings darken colours by up to three hundredths of their range."""
    from av.video.reformatter import Interpolation

    return (
        Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    )


def matrix_for(rows: int) -> int:
    """The matrix of a clip that names none."""
    return 1 if rows >= HD else 5


def colours_of(context: Any, raw: Any) -> Colours:
    """The colours of a stream, by its codec and its first frame."""
    matrix = MATRICES.get(int(context.colorspace), matrix_for(raw.height))
    tags = {name: int(getattr(context, name)) for name in ("color_primaries", "color_trc")}
    tags["colorspace"] = int(context.colorspace) if int(context.colorspace) in MATRICES else matrix
    return Colours(matrix, int(context.color_range) == FULL or raw.format.name.startswith("yuvj"), tags)


def upright(raw: Any, colours: Colours, depth: int = 8) -> np.ndarray:
    """The pixels (h, w, 3) of a decoded frame, uint8 or uint16, turned as its metadata asks."""
    given = raw.to_ndarray(
        format=RGB[depth],
        src_colorspace=colours.matrix,
        src_color_range=FULL if colours.full else LIMITED,
        dst_color_range=FULL,
        interpolation=_exact(),
    )
    return np.ascontiguousarray(np.rot90(given, k=round(raw.rotation / 90)))


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a clip.

    Attributes:
        time: when it is shown.
        duration: how long, as the file says.
        raw: as FFmpeg decoded it.
        colours: of the clip.
        depth: 8 or 10 bits.
    """

    time: float
    duration: float
    raw: Any
    colours: Colours
    depth: int

    def pixels(self) -> np.ndarray:
        """(h, w, 3), upright."""
        return upright(self.raw, self.colours, self.depth)

    def thumbnail(self, side: int) -> np.ndarray:
        """The mean grey of side x side parts, in [0, 1]; not turned."""
        return self.raw.to_ndarray(format="gray", width=side, height=side, interpolation="AREA") / np.float32(255)


def stored(pixels: np.ndarray, kind: str, matrix: int) -> Any:
    """Pixels (h, w, 3), uint8 or uint16, as FFmpeg's frame of a kind."""
    av = require("av", "video")
    given = RGB[8 if pixels.dtype == np.uint8 else 10]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=given).reformat(
        format=kind, dst_colorspace=matrix, src_color_range=FULL, dst_color_range=LIMITED, interpolation=_exact()
    )


class ClipReader:
    """The first video stream of a clip.

    Args:
        path: an MP4, MOV, MKV, WebM or AVI file.

    Attributes:
        shape: rows and columns, upright.
        depth: 8 or 10 bits of a number.
        colours: of the stream.
        rate: mean frames a second, as the file says; 25 where it does not.
        sounds: how many streams of sound there are.
        dropped: kinds of other streams.
        damaged: packets that could not be decoded, counted while `frames` runs.

    Raises:
        InputError: if it is not a clip, or has no pictures.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.damaged = existing_file(path), 0
        with self._opened() as container, decoding(self.path, "a video"):
            if not container.streams.video:
                raise InputError(f"{self.path} has no video stream", "a clip with pictures")
            video = container.streams.video[0]
            first = next(self._decoded(container, video), None)
            if first is None:
                raise InputError(f"{self.path} has no frame that can be decoded", "a clip with pictures")
            context = video.codec_context
            sideways = round(first.rotation / 90) % 2 == 1
            self.shape = (first.width, first.height) if sideways else (first.height, first.width)
            self.depth = 10 if max(part.bits for part in first.format.components) > 8 else 8
            self.colours = colours_of(context, first)
            self.rate = Fraction(video.average_rate or video.guessed_rate or 25)
            self.sounds = len(container.streams.audio)
            self.dropped = sorted({one.type for one in container.streams if one.type not in ("video", "audio")})
            self.metadata = dict(container.metadata)

    def frames(self) -> Iterator[Frame]:
        """All frames in the order of their times; what cannot be decoded is counted and left out.

        Raises:
            InputError: if frames change their size.
        """
        self.damaged, last = 0, -np.inf
        usual = float(1 / self.rate)
        with self._opened() as container:
            size = None
            for raw in self._decoded(container, container.streams.video[0]):
                size = size or (raw.width, raw.height)
                if (raw.width, raw.height) != size:
                    raise InputError(f"{self.path}, whose frames change their size", "one size")
                begin = raw.time if raw.time is not None else (last + usual if np.isfinite(last) else 0.0)
                if begin <= last:
                    continue
                last = float(begin)
                duration = float(raw.duration * raw.time_base) if raw.duration else usual
                yield Frame(last, duration, raw, self.colours, self.depth)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        av = require("av", "video")
        with decoding(self.path, "a video"):
            container = av.open(str(self.path), mode="r")
        with container:
            yield container

    def _decoded(self, container: Any, video: Any) -> Iterator[Any]:
        av = require("av", "video")
        packets = container.demux(video)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                self.damaged += 1
                return
            try:
                yield from [raw for raw in packet.decode() if not raw.is_corrupt]
            except av.error.FFmpegError:
                self.damaged += 1


def write_frames(path: Path, frames: Iterable[np.ndarray], reader: ClipReader, rate: Fraction) -> None:
    """Write frames as one piece of a clip; their times are given when pieces are joined by `join_clip`.

    Args:
        path: where to; appears when it is whole.
        frames: (h, w, 3) with even sides, uint8, or uint16 for a source of 10 bits.
        reader: of the source, for depth and colours.
        rate: frames a second, about.
    """
    av = require("av", "video")
    with replacing(path) as temporary, av.open(str(temporary), mode="w", format="matroska") as container:
        stream: Any = None
        for number, frame in enumerate(frames):
            if stream is None:
                options = {"crf": QUALITY[reader.depth], "bf": "0"}  # without B-frames, packets are in order
                stream = container.add_stream("libx264", rate=rate.limit_denominator(1001), options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = STORED[reader.depth]
                context = stream.codec_context
                context.color_range = LIMITED
                for name, tag in reader.colours.tags.items():
                    setattr(context, name, tag)
            raw = stored(frame, STORED[reader.depth], reader.colours.matrix)
            raw.pts, raw.time_base = number, 1 / stream.codec_context.framerate
            container.mux(stream.encode(raw))
        if stream is not None:
            container.mux(stream.encode())


def join_clip(
    target: Path, pieces: list[Path], times: np.ndarray, end: float, reader: ClipReader, *, slower: float = 1.0
) -> int:
    """Join pieces that `write_frames` made, with the source's sound.

    Args:
        target: .mp4, .m4v, .mov or .mkv; appears when it is whole.
        pieces: in their order.
        times: of their frames, ascending.
        end: when the last frame ends.
        reader: of the source.
        slower: by what sound is stretched; frames' times are as given.

    Returns:
        Packets of sound that could not be decoded and were left out.

    Raises:
        InputError: if the pieces do not have as many frames as there are times.
    """
    av = require("av", "video")
    kind = MUXERS[target.suffix.lower()]
    lost = [0]
    ticks = np.rint(np.append(times, end) * TICKS).astype(np.int64)
    with (
        replacing(target) as temporary,
        av.open(str(temporary), mode="w", format=kind) as container,
        av.open(str(reader.path)) as source,
        av.open(str(pieces[0])) as first,
    ):
        container.metadata.update(reader.metadata)
        video = container.add_stream_from_template(first.streams.video[0])
        video.time_base = Fraction(1, TICKS)
        tracks = [_pictures(av, pieces, ticks, video)]
        for sound in source.streams.audio:
            if slower == 1 and sound.codec_context.name in SOUNDS[kind]:
                copy = container.add_stream_from_template(sound)
                tracks.append(_copied(av, reader.path, sound.index, copy, kind != "matroska"))
            else:
                rate, channels = sound.codec_context.sample_rate, sound.codec_context.channels
                coded = container.add_stream("aac", rate=rate if rate in AAC_RATES else AAC_RATES[0])
                coded.layout = "mono" if channels == 1 else "stereo"
                tracks.append(_stretched(av, reader.path, sound.index, coded, slower, lost))
        for _, packet in heapq.merge(*tracks, key=lambda pair: pair[0]):
            container.mux_one(packet)
    return lost[0]


def _pictures(av: Any, pieces: list[Path], ticks: np.ndarray, stream: Any) -> Iterator[tuple[float, Any]]:
    number = 0
    for piece in pieces:
        with av.open(str(piece)) as container:
            for packet in container.demux(video=0):
                if packet.pts is None:  # the end
                    continue
                if number + 1 >= len(ticks):
                    raise InputError(f"pieces with more than {len(ticks) - 1} frames", "those of this run")
                packet.pts = packet.dts = int(ticks[number])
                packet.duration, packet.time_base = int(ticks[number + 1] - ticks[number]), Fraction(1, TICKS)
                packet.stream = stream
                yield ticks[number] / TICKS, packet
                number += 1
    if number + 1 != len(ticks):
        raise InputError(f"pieces with {number} frames", f"{len(ticks) - 1}", "start again without --resume")


def _copied(av: Any, path: Path, index: int, stream: Any, edits: bool) -> Iterator[tuple[float, Any]]:
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams[index]):
            if packet.dts is None or packet.is_corrupt:
                continue
            begin = float(packet.dts * packet.time_base)
            if begin + float((packet.duration or 0) * packet.time_base) <= 0 and not edits:
                continue  # a coder's run-up, which would delay all that follows where a container cannot hide it
            packet.stream = stream
            yield begin, packet


def _stretched(
    av: Any, path: Path, index: int, stream: Any, slower: float, lost: list[int]
) -> Iterator[tuple[float, Any]]:
    """Sound, so many times slower, coded anew; its samples are counted from the time of the first one."""
    begin, count, time_base = None, 0, None
    for frame in _slowed(av, path, index, slower, lost):
        if begin is None:
            begin, time_base = frame.time or 0.0, Fraction(1, frame.sample_rate)
            count = round(begin * frame.sample_rate)
        frame.pts, frame.time_base = count, time_base
        count += frame.samples
        for packet in stream.encode(frame):
            yield float(packet.dts * packet.time_base), packet
    if begin is not None:
        for packet in stream.encode():
            yield float(packet.dts * packet.time_base), packet


def _slowed(av: Any, path: Path, index: int, slower: float, lost: list[int]) -> Iterator[Any]:
    """The decoded sound; the first frame has its slowed time."""
    with av.open(str(path)) as container:
        stream, graph = container.streams[index], None
        first = True
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                lost[0] += 1
                continue
            for frame in frames:
                if slower == 1:
                    yield frame
                    continue
                if graph is None:
                    graph, begin = _stretching(av, stream, slower), frame.time or 0.0
                graph.push(frame)
                for slow in _pulled(av, graph):
                    if first:
                        late = begin * slower + run_up(slower, frame.sample_rate)
                        slow.pts, slow.time_base, first = round(late * TICKS), Fraction(1, TICKS), False
                    yield slow
        if graph is not None:
            graph.push(None)
            yield from _pulled(av, graph)


def tempos(slower: float) -> list[float]:
    """The tempos of a chain of filters, each of which may halve it at most."""
    found, tempo = [], 1 / slower
    while tempo < SLOWEST:
        found.append(SLOWEST)
        tempo /= SLOWEST
    return [*found, tempo]


def run_up(slower: float, sample_rate: int) -> float:
    """Seconds by which the filters give their sound too early.

    Filter `atempo` overlaps fragments of a 24th of a second, rounded up to a power of two of samples, and begins with the
    first one whole: its sound is early by ``1 - tempo`` of a fragment, which the filters after it stretch.
    """
    fragment = 2 ** math.ceil(math.log2(sample_rate / 24)) / sample_rate
    early = 0.0
    for tempo in tempos(slower):
        early = early / tempo + fragment * max(0.0, 1 - tempo)
    return early


def _stretching(av: Any, stream: Any, slower: float) -> Any:
    graph = av.filter.Graph()
    filters = [graph.add("atempo", f"{tempo:.9f}") for tempo in tempos(slower)]
    graph.link_nodes(graph.add_abuffer(template=stream), *filters, graph.add("abuffersink")).configure()
    return graph


def _pulled(av: Any, graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
