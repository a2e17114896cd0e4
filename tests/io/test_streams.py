"""Clips in and out frame by frame: colours, times, sound in step, what is damaged."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.io.streams import ClipReader, join_clip, write_frames

av = pytest.importorskip("av")

Flags = av.video.reformatter.Interpolation
EXACT = Flags.BICUBIC | Flags.ACCURATE_RND | Flags.FULL_CHR_H_INT
H, W, RATE = 96, 128, 25
SOUND = 48000


def patches(number: int, depth: int = 8) -> np.ndarray:
    """Large squares of strong colours that move, (H, W, 3)."""
    most = 255 if depth == 8 else 65535
    y, x = np.mgrid[:H, :W] // 16
    frame = np.stack([(x + number) % 4 / 3, (y + number) % 3 / 2, (x + y) % 5 / 4], axis=-1)
    return np.rint((0.1 + 0.8 * frame) * most).astype(np.uint8 if depth == 8 else np.uint16)


def write_source(
    path: Path, count: int = 20, *, sound: bool = False, depth: int = 8, gaps: bool = False, matrix: int = 2,
    tone: float = 10 / RATE,
) -> list[float]:  # fmt: skip
    """A clip, with a flash in frame 10 and a tone of one frame's length from a time on; the times of its frames."""
    times = [k / RATE + (0.12 if gaps and k > 7 else 0.0) for k in range(count)]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "4"})
        video.height, video.width, video.pix_fmt = H, W, "yuv420p" if depth == 8 else "yuv420p10le"
        video.codec_context.colorspace, video.codec_context.time_base = matrix, Fraction(1, 1000)
        audio = container.add_stream("aac", rate=SOUND, layout="mono") if sound else None
        kind = {1: 1, 2: 5, 9: 9}[matrix]
        for k, time in enumerate(times):
            pixels = patches(k, depth) if k != 10 or not sound else np.full_like(patches(0, depth), 255)
            raw = av.VideoFrame.from_ndarray(pixels, format="rgb24" if depth == 8 else "rgb48le")
            raw = raw.reformat(
                format=video.pix_fmt, dst_colorspace=kind, dst_color_range=1, src_color_range=2, interpolation=EXACT
            )
            raw.pts, raw.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(raw))
        container.mux(video.encode())
        if audio is not None:
            wave = np.zeros((1, SOUND * count // RATE), dtype=np.float32)
            start, length = round(tone * SOUND), SOUND // RATE
            wave[0, start : start + length] = np.sin(0.06 * np.arange(length))
            sheet = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            sheet.sample_rate, sheet.pts, sheet.time_base = SOUND, 0, Fraction(1, SOUND)
            container.mux(audio.encode(sheet))
            container.mux(audio.encode())
    return times


def copy(source: Path, target: Path, *, slower: float = 1.0, parts: int = 1) -> ClipReader:
    """The clip, read and written again."""
    reader = ClipReader(source)
    frames = list(reader.frames())
    pixels, times = [frame.pixels() for frame in frames], np.array([frame.time for frame in frames])
    pieces = [target.with_name(f"{k}.mkv") for k in range(parts)]
    for piece, some in zip(pieces, np.array_split(np.arange(len(frames)), parts), strict=True):
        write_frames(piece, (pixels[k] for k in some), reader, Fraction(RATE))
    end = frames[-1].time + frames[-1].duration
    join_clip(target, pieces, times * slower, end * slower, reader, slower=slower)
    return reader


def middle_of_tone(path: Path) -> float:
    """The middle of the time in which there is sound."""
    loud = list[float]()
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            places = np.flatnonzero(np.abs(frame.to_ndarray().astype(float)).max(axis=0) > 0.2)
            loud += [frame.time + place / frame.sample_rate for place in places]
    return (loud[0] + loud[-1]) / 2


def flash_of(path: Path) -> float:
    return next(frame.time for frame in ClipReader(path).frames() if frame.pixels().mean() > 240)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("parts", [1, 3])
def test_times_and_duration_survive(suffix: str, parts: int, tmp_path: Path) -> None:
    times = write_source(tmp_path / "a.mp4", gaps=True)
    copy(tmp_path / "a.mp4", tmp_path / f"b{suffix}", parts=parts)
    found = list(ClipReader(tmp_path / f"b{suffix}").frames())
    np.testing.assert_allclose([frame.time for frame in found], times, atol=1e-3)
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        assert container.duration / 1e6 == pytest.approx(times[-1] + 1 / RATE, abs=2e-3)


@pytest.mark.parametrize(("depth", "matrix"), [(8, 2), (8, 1), (10, 9), (10, 1)])
def test_colours_and_depth_survive(depth: int, matrix: int, tmp_path: Path) -> None:
    write_source(tmp_path / "a.mkv", 4, depth=depth, matrix=matrix)
    reader = copy(tmp_path / "a.mkv", tmp_path / "b.mkv")
    again = ClipReader(tmp_path / "b.mkv")
    assert again.depth == reader.depth == depth
    assert again.colours == reader.colours
    assert again.colours.tags["colorspace"] == (5 if matrix == 2 else matrix)
    most = 255 if depth == 8 else 65535
    for k, frame in enumerate(again.frames()):
        wanted = patches(k, depth)
        inner = (slice(4, None, 8), slice(4, None, 8))  # away from the edges, where 4:2:0 smooths the colours
        assert frame.pixels().dtype == wanted.dtype
        apart = frame.pixels()[inner].astype(float) - wanted[inner]
        assert np.abs(apart).mean() < 0.02 * most
        assert np.abs(apart.mean(axis=(0, 1))).max() < 0.005 * most


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_in_step(suffix: str, tmp_path: Path) -> None:
    write_source(tmp_path / "a.mp4", 40, sound=True)
    copy(tmp_path / "a.mp4", tmp_path / f"b{suffix}", parts=2)
    for clip in ("a.mp4", f"b{suffix}"):
        assert flash_of(tmp_path / clip) == pytest.approx(10 / RATE, abs=1e-3)
        assert abs(middle_of_tone(tmp_path / clip) - 10.5 / RATE) < 0.02


@pytest.mark.parametrize("slower", [0.5, 1.25, 2.0, 4.0])
def test_slowed_sound_is_in_step_on_the_mean(slower: float, tmp_path: Path) -> None:
    """The filter overlaps fragments of 43 ms, so that a single tone may be off by more."""
    off = []
    for begin in np.linspace(0.3, 0.6, 5):
        write_source(tmp_path / "a.mp4", 40, sound=True, tone=begin)
        copy(tmp_path / "a.mp4", tmp_path / "b.mp4", slower=slower)
        off.append(middle_of_tone(tmp_path / "b.mp4") - slower * (begin + 0.5 / RATE))
    assert abs(np.mean(off)) < 0.02
    assert flash_of(tmp_path / "b.mp4") == pytest.approx(10 * slower / RATE, abs=1e-3)


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", ".mp4"), ("flac", ".mov")])
def test_sound_that_the_container_cannot_hold_is_coded(codec: str, suffix: str, tmp_path: Path) -> None:
    write_source(tmp_path / "a.mp4", 30, sound=True)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "a.mkv"), "w") as container:
        video = container.add_stream_from_template(source.streams.video[0])
        audio = container.add_stream(codec, rate=SOUND, layout="mono")
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                packet.stream = video
                container.mux(packet)
            else:
                for frame in packet.decode():
                    container.mux(audio.encode(frame))
    copy(tmp_path / "a.mkv", tmp_path / f"b{suffix}")
    assert abs(middle_of_tone(tmp_path / f"b{suffix}") - 10.5 / RATE) < 0.02
    with av.open(str(tmp_path / f"b{suffix}")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"


def test_what_is_damaged_is_left_out_and_counted(tmp_path: Path) -> None:
    times = write_source(tmp_path / "a.mp4", 60)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    begin = content.index(b"mdat") + 4
    middle = begin + (len(content) - begin) // 3
    content[middle : middle + 3000] = bytes(3000)
    (tmp_path / "b.mp4").write_bytes(content)
    reader = ClipReader(tmp_path / "b.mp4")
    found = [frame.time for frame in reader.frames()]
    assert 0 < len(found) <= len(times)
    assert set(np.round(found, 6)) <= set(np.round(times, 6))
    assert reader.damaged > 0 or len(found) < len(times)


def test_what_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        audio = container.add_stream("aac", rate=SOUND, layout="mono")
        sheet = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.float32), format="fltp", layout="mono")
        sheet.sample_rate = SOUND
        container.mux(audio.encode(sheet))
        container.mux(audio.encode())
    with pytest.raises(InputError, match="no video stream"):
        ClipReader(tmp_path / "sound.mp4")
    (tmp_path / "text.mp4").write_text("no clip")
    with pytest.raises(InputError, match="cannot be read as a video"):
        ClipReader(tmp_path / "text.mp4")
    write_source(tmp_path / "a.mp4", 3)
    reader = ClipReader(tmp_path / "a.mp4")
    write_frames(tmp_path / "0.mkv", [patches(0)] * 2, reader, Fraction(RATE))
    for times in ([0.0], [0.0, 0.04, 0.08]):
        with pytest.raises(InputError, match="pieces with"):
            join_clip(tmp_path / "b.mp4", [tmp_path / "0.mkv"], np.array(times), 1.0, reader)
    assert not (tmp_path / "b.mp4").exists()
