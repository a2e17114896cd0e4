"""Whole clips: which frames there are and when, cuts, resumed runs, constant memory."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.io.streams import ClipReader
from ungrid.networks import LightNetwork, LightVideo
from ungrid.networks.light_video import Seen
from ungrid.upscale import Scan, VideoUpscaler, plan_clip, scan_clip, streaming, upscale_clip

av = pytest.importorskip("av")

H, W, RATE = 36, 48, 10


def scanned(*times: float, cuts: tuple[int, ...] = ()) -> Scan:
    return Scan(np.array(times), times[-1] + 0.1, list(cuts), 0)


def network(seed: int = 0) -> LightVideo:
    image = LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5)
    return LightVideo(image, width=8, depth=1, seed=seed).eval()


def write_source(path: Path, count: int = 9, cut: int | None = None) -> None:
    y, x = np.mgrid[:H, :W]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "4"})
        video.height, video.width, video.pix_fmt = H, W, "yuv420p"
        for k in range(count):
            wave = np.sin(0.3 * (x - k) + 0.2 * y) * 60 + 120
            frame = np.repeat(wave[..., None], 3, axis=-1)
            frame = frame if cut is None or k < cut else 255 - 0.3 * frame[::-1]
            raw = av.VideoFrame.from_ndarray(np.rint(frame).astype(np.uint8), format="rgb24")
            raw.pts, raw.time_base = k, Fraction(1, RATE)
            container.mux(video.encode(raw))
        container.mux(video.encode())


def frames(path: Path) -> np.ndarray:
    return np.stack([frame.pixels() for frame in ClipReader(path).frames()])


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_n_frames_become_n_minus_one_times_k_plus_one(k: int) -> None:
    times = [0.0, 0.1, 0.25, 0.3]
    made = plan_clip(scanned(*times), time_scale=k)
    assert len(made) == 3 * k + 1
    for number, time in enumerate(times):
        assert (made.index[number * k], made.share[number * k]) == (number, 0)
        assert made.times[number * k] == pytest.approx(time)
    for a, b in pairwise(times):
        inner = made.times[(made.times > a + 1e-9) & (made.times < b - 1e-9)]
        np.testing.assert_allclose(inner, a + (b - a) * np.arange(1, k) / k)
    assert made.end == pytest.approx(0.4)


@pytest.mark.parametrize("fps", [7.3, 10.0, 60.0])
@pytest.mark.parametrize("slower", [1.0, 2.5])
def test_a_rate_is_regular_and_the_times_are_those_of_the_source(fps: float, slower: float) -> None:
    times = np.array([0.0, 0.1, 0.25, 0.3])
    made = plan_clip(scanned(*times), fps=fps, slower=slower)
    np.testing.assert_allclose(np.diff(made.times), 1 / fps)
    assert made.times[-1] < made.end <= made.times[-1] + 1 / fps + 1e-6
    following = np.minimum(made.index + 1, 3)
    source = times[made.index] + made.share * (times[following] - times[made.index])
    np.testing.assert_allclose(source, np.minimum(made.times / slower, 0.3), atol=1e-9)
    assert ((made.share >= 0) & (made.share < 1)).all()


def test_nothing_is_made_up_across_a_cut() -> None:
    made = plan_clip(scanned(0.0, 0.1, 0.2, 0.3, cuts=(2,)), time_scale=4)
    np.testing.assert_allclose(made.index[4:9], [1, 1, 2, 2, 2])
    assert (made.share[4:9] == 0).all()
    assert (made.share[[1, 2, 3, 9, 10, 11]] > 0).all()


def test_numbers_that_cannot_be() -> None:
    for given in ({"time_scale": 0}, {"fps": -1.0}, {"slower": 0.0}, {"fps": float("inf")}):
        with pytest.raises(InputError, match="above 0"):
            plan_clip(scanned(0.0, 0.1), **given)
    with pytest.raises(InputError, match="one frame"):
        plan_clip(scanned(0.0), time_scale=2)
    assert len(plan_clip(scanned(0.0))) == 1


def test_a_clip_is_its_frames(tmp_path: Path) -> None:
    write_source(tmp_path / "a.mp4")
    reader, video = ClipReader(tmp_path / "a.mp4"), network()
    made = plan_clip(scan_clip(reader), time_scale=2)
    upscale_clip(video, reader, tmp_path / "b.mp4", (2 * H, 2 * W), made)
    given, found = frames(tmp_path / "a.mp4"), frames(tmp_path / "b.mp4")
    assert found.shape == (17, 2 * H, 2 * W, 3)
    upscaler = VideoUpscaler(video, "a", {})
    for number in (0, 5, 16):
        first = number // 2
        pair = given[first], given[min(first + 1, 8)]
        wanted = upscaler.between(*pair, [number % 2 / 2], 2, dtype=np.uint8)[0]
        assert np.abs(found[number].astype(float) - wanted).mean() < 2
    assert not (tmp_path / "b.mp4.parts").exists()


def test_cuts_are_found_and_kept(tmp_path: Path) -> None:
    write_source(tmp_path / "a.mp4", cut=4)
    reader = ClipReader(tmp_path / "a.mp4")
    read = scan_clip(reader)
    assert read.cuts == [4]
    upscale_clip(network(), reader, tmp_path / "b.mp4", (H, W), plan_clip(read, time_scale=4))
    found, given = frames(tmp_path / "b.mp4").astype(float), frames(tmp_path / "a.mp4").astype(float)
    for number in range(12, 17):
        nearer = given[3] if number < 14 else given[4]
        assert np.abs(found[number] - nearer).mean() < 4


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_source(tmp_path / "a.mp4")
    monkeypatch.setattr(streaming, "PIECE", 4)
    video, reader = network(), ClipReader(tmp_path / "a.mp4")
    made, shape = plan_clip(scan_clip(reader), time_scale=2), (2 * H, 2 * W)
    upscale_clip(video, reader, tmp_path / "whole.mp4", shape, made)
    done: list[int] = []

    def stop(number: int, begin: int) -> None:
        done.append(number)
        if len(done) == 10:
            raise KeyboardInterrupt

    target = tmp_path / "b.mp4"
    with pytest.raises(KeyboardInterrupt):
        upscale_clip(video, reader, target, shape, made, report=stop)
    assert not target.exists()
    again: list[int] = []
    upscale_clip(video, reader, target, shape, made, resume=True, report=lambda n, begin: again.append(n))
    assert again == list(range(9, 18))  # two whole pieces were there
    assert np.array_equal(frames(target), frames(tmp_path / "whole.mp4"))
    with pytest.raises(KeyboardInterrupt):
        upscale_clip(video, reader, target, shape, made, report=stop if done.clear() is None else None)
    other: list[int] = []
    upscale_clip(network(5), reader, target, shape, made, resume=True, report=lambda n, begin: other.append(n))
    assert other == list(range(1, 18))  # the pieces were another run's
    with pytest.raises(InputError, match="even"):
        upscale_clip(video, reader, target, (35, 48), made)


def test_frames_are_read_once_and_few_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame is read by the network once, and two at most are held: memory does not grow with the clip."""
    write_source(tmp_path / "a.mp4", 12)
    reader, held, read = ClipReader(tmp_path / "a.mp4"), [0, 0], []
    plain = streaming.seen

    class Counted(Seen):
        def __new__(cls, inner: Seen) -> "Counted":
            held[0] += 1
            held[1] = max(held)
            return super().__new__(cls, *inner)

        def __del__(self) -> None:
            held[0] -= 1

    def counted(network, frame, **options):
        read.append(1)
        return Counted(plain(network, frame, **options))

    monkeypatch.setattr(streaming, "seen", counted)
    upscale_clip(network(), reader, tmp_path / "b.mp4", (H, W), plan_clip(scan_clip(reader), time_scale=3))
    assert len(read) == 12
    assert held[1] <= 3


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    write_source(tmp_path / "a.mp4", 3)
    own = tmp_path / "b.mp4.parts"
    own.mkdir()
    (own / "letters.txt").write_text("precious")
    reader = ClipReader(tmp_path / "a.mp4")
    for resume in (False, True):
        with pytest.raises(InputError, match="another name"):
            upscale_clip(network(), reader, tmp_path / "b.mp4", (H, W), plan_clip(scan_clip(reader)), resume=resume)
    assert (own / "letters.txt").read_text() == "precious"
