"""`ungrid upscale CLIP`: what is said, written and refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "a.mp4", 5)


def write(path: Path, count: int, size: tuple[int, int] = (34, 46)) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *size, "yuv420p"
        y, x = np.mgrid[: size[0], : size[1]]
        for k in range(count):
            frame = np.rint(120 + 60 * np.sin(0.3 * (x - k) + 0.2 * y)).astype(np.uint8)
            raw = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=-1), format="rgb24")
            raw.pts, raw.time_base = k, Fraction(1, 10)
            container.mux(video.encode(raw))
        container.mux(video.encode())
    return path


def properties(path: Path) -> tuple[int, int, int, float]:
    with av.open(str(path)) as container:
        count = sum(1 for _ in container.decode(video=0))
        video = container.streams.video[0]
        return count, video.height, video.width, float(container.duration / 1e6)


def test_size_and_time(ungrid, clip, tmp_path):
    done = ungrid("upscale", clip, "-o", tmp_path / "b.mp4", "-s", "2", "--time-scale", "3", "--json")
    assert done.code == 0
    assert properties(tmp_path / "b.mp4") == (13, 68, 92, pytest.approx(0.5, abs=0.01))
    assert (done.object["frames"], done.object["made_up"], done.object["shape"]) == (13, 8, [68, 92])
    assert done.object["outputs"] == [str(tmp_path / "b.mp4")]
    assert ungrid("upscale", clip, "-o", tmp_path / "c.mkv", "--fps", "25").code == 0
    assert properties(tmp_path / "c.mkv")[:3] == (13, 34, 46)
    assert ungrid("upscale", clip, "-o", tmp_path / "d.mp4", "--slow", "2", "--time-scale", "2").code == 0
    assert properties(tmp_path / "d.mp4") == (9, 34, 46, pytest.approx(1.0, abs=0.01))


def test_a_report_shows_the_middle(ungrid, clip, tmp_path):
    words = ("upscale", clip, "-o", tmp_path / "b.mp4", "--time-scale", "2", "--report", tmp_path / "r.html")
    assert ungrid(*words).code == 0
    page = (tmp_path / "r.html").read_text()
    assert page.count("<img") == 3
    assert "50 % of the way" in page


def test_odd_sides_become_even_and_it_is_said(ungrid, clip, tmp_path):
    done = ungrid("upscale", clip, "-o", tmp_path / "b.mp4", "-s", "1.5")
    assert properties(tmp_path / "b.mp4")[1:3] == (52, 68)
    assert "68 x 52 pixels in place of 69 x 51" in done.err


def test_a_plan_does_nothing(ungrid, clip, tmp_path):
    done = ungrid("upscale", clip, "-o", tmp_path / "b.mp4", "-s", "4", "--plan", "--json")
    assert done.object["plan"]["shape"] == [136, 184]
    assert done.object["plan"]["estimated_seconds"] > 0
    assert not list(tmp_path.glob("b.mp4*"))


def test_what_is_refused(ungrid, clip, tmp_path):
    target, other = tmp_path / "b.mp4", tmp_path / "other.mp4"
    other.write_bytes(b"precious")
    (tmp_path / "text.mp4").write_text("no clip")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"no picture")
    one = write(tmp_path / "one.mp4", 1)
    for words, reason in (
        ([clip, "-o", target], "one of --scale and --size"),
        ([clip, "-o", target, "-s", "0"], "a number above 0"),
        ([clip, "-o", target, "-s", "2", "--time-scale", "0"], "a whole number from 1"),
        ([clip, "-o", target, "--fps", "0"], "numbers above 0"),
        ([clip, "-o", target, "--slow", "-1"], "numbers above 0"),
        ([clip, "-o", target, "--fps", "30", "--time-scale", "2"], "one of the two"),
        ([clip, "-o", tmp_path / "b.avi", "-s", "2"], "a name that ends in"),
        ([clip, "-o", clip, "-s", "2"], "two files"),
        ([clip, "-o", target, "-s", "2", "--average"], "these flags with pictures"),
        ([clip, "-o", target, "-s", "2", "--model", picture], "not a model file"),
        ([tmp_path / "text.mp4", "-o", other, "-s", "2"], "cannot be read as a video"),
        ([one, "-o", other, "--time-scale", "2"], "nothing between"),
        ([picture, "-o", tmp_path / "c.png", "--time-scale", "2"], "a clip"),
    ):
        done = ungrid("upscale", *words)
        assert done.code == 2, words
        assert reason in done.err, (words, done.err)
    assert other.read_bytes() == b"precious"
    assert not target.exists()


def test_a_damaged_clip_is_done_as_far_as_it_goes(ungrid, tmp_path):
    source = write(tmp_path / "a.mp4", 40, (66, 82))
    content = bytearray(source.read_bytes())
    begin = content.index(b"mdat") + 4
    middle = begin + (len(content) - begin) // 3
    content[middle : middle + 600] = bytes(600)
    source.write_bytes(content)
    done = ungrid("upscale", source, "-o", tmp_path / "b.mp4", "-s", "1.5", "--json")
    assert done.code == 1
    assert done.object["damaged_packets"]["pictures"] > 0
    assert 0 < properties(tmp_path / "b.mp4")[0] <= 40


def test_an_interrupted_run_says_how_to_go_on(ungrid, clip, tmp_path, monkeypatch):
    def stop(*given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ungrid.upscale.streaming.given_frame", stop)
    done = ungrid("upscale", clip, "-o", tmp_path / "b.mp4", "-s", "2")
    assert done.code == 130
    assert "--resume" in done.out
    monkeypatch.undo()
    assert ungrid("upscale", clip, "-o", tmp_path / "b.mp4", "-s", "2", "--resume").code == 0
    assert properties(tmp_path / "b.mp4")[0] == 5
