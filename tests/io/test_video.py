import struct

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io import read, write
from ungrid.io.streams import ClipReader
from ungrid.io.video import read_video, write_sharp_frames
from ungrid.sampling import GridSamples

pytest.importorskip("av")


def clip(values: np.ndarray, fps: float) -> GridSamples:
    pixels = RegularGrid.isotropic(values.shape[1:3], ("y", "x")).box.axes
    box = Box(Axis("t", 0.0, len(values) / fps, "s"), *pixels)
    return GridSamples(RegularGrid(box, values.shape[:3]), values.astype(np.float32), ("red", "green", "blue"), "video")


def gradient(frames: int, height: int, width: int) -> np.ndarray:
    t, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in (frames, height, width)), indexing="ij")
    return np.stack([0.5 * y, 0.2 + 0.3 * x, 0.5 * t], axis=-1)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47)])
@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_there_and_back(tmp_path, height, width, fps):
    values = gradient(8, height, width)
    write(tmp_path / "a.mp4", clip(values, fps))
    back = read(tmp_path / "a.mp4")
    assert back.values.shape == values.shape
    assert back.metadata["fps"] == pytest.approx(fps, rel=1e-6)
    assert back.grid.box.axes[0].high == pytest.approx(8 / fps, rel=1e-6)
    assert back.grid.box.axes[2].high == 1.0
    assert 10 * np.log10(1 / np.mean((back.values - values) ** 2)) > 35


def test_scale_averages_boxes(tmp_path):
    write(tmp_path / "a.mp4", clip(gradient(4, 50, 66), 10))
    full, small = read_video(tmp_path / "a.mp4"), read(tmp_path / "a.mp4", scale=4)
    assert small.values.shape == (4, 12, 16, 3)
    boxes = full.values[:, :48, :64].reshape(4, 12, 4, 16, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(small.values, boxes, atol=1e-6)
    with pytest.raises(InputError, match="smaller scale"):
        read(tmp_path / "a.mp4", scale=100)


# a, b, c, d of the track header: a point (x, y) of a frame is shown at (a x + c y, b x + d y), y down (ISO 14496-12)
TURNS = {"none": (1, 0, 0, 1), "clockwise": (0, 1, -1, 0), "half": (-1, 0, 0, -1), "counter": (0, -1, 1, 0)}


@pytest.mark.parametrize("turn", TURNS)
def test_rotation_metadata_is_applied(tmp_path, turn):
    values = np.zeros((3, 32, 64, 3))
    values[:, :, 48:] = 1.0  # white at the right
    write(tmp_path / "a.mp4", clip(values, 10))
    data = (tmp_path / "a.mp4").read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (n << 16 for n in TURNS[turn])
    track = data.index(b"tkhd")
    position = data.index(identity, track)
    turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data[:position] + turned + data[position + 36 :])
    shown = read(tmp_path / "b.mp4").values[1, ..., 0]
    vector = (TURNS[turn][0], TURNS[turn][1])  # where (1, 0), the white side, goes
    side = {(1, 0): shown[:, -4:], (-1, 0): shown[:, :4], (0, 1): shown[-4:], (0, -1): shown[:4]}[vector]
    assert shown.shape == ((32, 64) if turn in ("none", "half") else (64, 32))
    assert side.mean() > 0.95
    assert shown.mean() == pytest.approx(0.25, abs=0.03)
    reader = ClipReader(tmp_path / "b.mp4")
    frames = [frame.pixels()[..., 0] / 255 for frame in reader.frames()]
    assert reader.shape == frames[1].shape
    np.testing.assert_allclose(frames[1], shown, atol=1e-6)


def test_the_sharpest_frame_of_every_part_is_written(tmp_path):
    """Twelve frames, of which 2, 4 and 9 are sharp and the others smooth; three parts."""
    random = np.random.default_rng(0)
    frames = np.tile(np.linspace(0.2, 0.8, 32, dtype=np.float32)[None, None, :, None], (12, 32, 1, 3)).copy()
    for k in (2, 4, 9):
        frames[k] = random.random((32, 32, 1), dtype=np.float32)
        frames[k, :8] = k / 12
    box = Box(Axis("t", 0.0, 1.2, "s"), *RegularGrid.isotropic((32, 32), ("y", "x")).box.axes)
    samples = GridSamples(RegularGrid(box, (12, 32, 32)), frames, ("red", "green", "blue"), "video")
    write(tmp_path / "a.mp4", samples)
    written = write_sharp_frames(tmp_path / "a.mp4", tmp_path / "frames", 3)
    assert [file.name for file in written] == ["frame_000002.png", "frame_000004.png", "frame_000009.png"]
    marks = [read(file).values[:6].mean() for file in written]
    assert marks == pytest.approx([2 / 12, 4 / 12, 9 / 12], abs=0.03)
    assert len(write_sharp_frames(tmp_path / "a.mp4", tmp_path / "all", 50)) == 12
    (tmp_path / "a.txt").write_text("no clip")
    with pytest.raises(InputError, match="a video"):
        write_sharp_frames(tmp_path / "a.txt", tmp_path / "none", 3)


def test_wrong_uses(tmp_path):
    values = gradient(3, 16, 16)
    values[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="1 missing"):
        write(tmp_path / "a.mp4", clip(values, 10))
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(50))
    with pytest.raises(InputError, match="cannot be read as a video"):
        read(tmp_path / "b.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["b.mp4"]
