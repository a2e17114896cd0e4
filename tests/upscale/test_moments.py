"""What the network of time learns from: pairs and truths belong together, cuts are found, runs go on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.io.arrays import from_array
from ungrid.io.video import write_video
from ungrid.networks import LightNetwork, LightVideo, VideoINR
from ungrid.networks.light_video import warped
from ungrid.upscale import Moment, Moments, Schedule, Training, clip_files, read_clip
from ungrid.upscale.clips import cuts
from ungrid.upscale.synthetic import drawn, random_layers

SIDE = 20


def smooth(seed: int, side: int = 150) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = sum(np.sin(a * y + b * x + c)[..., None] * rng.uniform(0.3, 1, 3)
                for a, b, c in zip(*rng.uniform(-0.2, 0.2, (2, 5)), rng.uniform(0, 6, 5), strict=True))  # fmt: skip
    return np.rint(127 + 120 * np.tanh(waves / 2)).astype(np.uint8)


PICTURES = [smooth(k) for k in range(3)]


def sliding(seed: int = 0, frames: int = 8, side: int = 90, speed: int = 2) -> np.ndarray:
    """A clip in which a photograph moves to the left by whole pixels."""
    picture = smooth(seed)
    return np.stack([picture[:side, speed * k : speed * k + side] for k in range(frames)])


def moments(**given) -> Moments:
    return Moments(PICTURES, [sliding()], **{"size": 4, "side": SIDE, "window": 30, **given})


@pytest.mark.parametrize("made", [0.0, 1.0])
def test_shapes_and_times(made: float) -> None:
    for step in range(4):
        batch = moments(made=made).batch(step)
        assert isinstance(batch, Moment)
        assert batch.first.shape == batch.second.shape == (4, 3, SIDE, SIDE)
        assert batch.high.shape == (4, 3, len(batch.rows), len(batch.columns))
        assert ((batch.times >= 0) & (batch.times <= 1)).all()
        assert 1 <= batch.scale <= 4


def test_one_scale_for_all() -> None:
    assert {round(moments(scale=2).batch(step).scale, 6) for step in range(6)} == {2.0}


def test_real_moments_are_frames_of_the_clip() -> None:
    """At the frames' own size the three are parts of frames whose numbers fit the time."""
    clip = sliding()
    found = [batch for batch in (moments(made=0.0, size=1).batch(step) for step in range(20)) if batch.scale == 1]
    assert len(found) > 5
    for batch in found[:3]:
        ends = [
            np.rint(255 * part[0].permute(1, 2, 0).numpy()).astype(np.uint8) for part in (batch.first, batch.second)
        ]
        numbers = [place(end[:8, :8], clip) for end in ends]
        truth = np.rint(255 * batch.high[0].permute(1, 2, 0).numpy()).astype(np.uint8)
        assert truth.shape == (SIDE, SIDE, 3)
        inner = place(truth[:8, :8], clip)
        assert any(
            a + (b - a) * float(batch.times[0]) == pytest.approx(c) for a, b, c in zip(*numbers, inner, strict=True)
        )


def place(part: np.ndarray, clip: np.ndarray) -> list[int]:
    """For each orientation and place, the number of the frame in which a part is there; -1000 where none is."""
    found = []
    for t in (False, True):
        for down in (1, -1):
            for across in (1, -1):
                turned = part[::down, ::across]
                turned = turned.transpose(1, 0, 2) if t else turned
                found.append(_where(turned, clip))
    size = max(len(one) for one in found)
    return [value for one in found for value in (*one, *[-1000] * (size - len(one)))]


def _where(part: np.ndarray, clip: np.ndarray) -> list[int]:
    """The number of the frame for each place (y, x) of the part, in order; -1000 where it is in none."""
    n, m = clip.shape[1] - len(part) + 1, clip.shape[2] - part.shape[1] + 1
    numbers = np.full((n, m), -1000)
    for k, frame in enumerate(clip):
        views = np.lib.stride_tricks.sliding_window_view(frame, part.shape[:2], axis=(0, 1))
        numbers[(views == part.transpose(2, 0, 1)).all(axis=(2, 3, 4))] = k
    return numbers.ravel().tolist()


def test_known_motions_lead_to_what_is_seen() -> None:
    """In every orientation: what a pair's frames show where the motions lead is, mostly, what is shown between them."""
    seen, orientations = 0, set()
    for step in range(40):
        batch = moments(made=1.0, side=40, window=40).batch(step)
        assert bool((batch.known == float(batch.scale == 1)).all())
        if batch.scale != 1:
            continue
        for frame, motion in ((batch.first, batch.motion[:, :2]), (batch.second, batch.motion[:, 2:])):
            apart = (warped(frame, motion) - batch.high).abs().mean(dim=1).flatten(1).median(dim=1).values
            still = (frame - batch.high).abs().mean(dim=1).flatten(1).median(dim=1).values
            moving = still > 0.03
            assert bool((apart[moving] < 0.5 * still[moving]).all())
            seen += int(moving.sum())
            orientations |= {tuple(row) for row in motion[moving].mean(dim=(2, 3)).sign().int().tolist()}
    assert seen > 20
    assert len(orientations) == 4
    real = moments(made=0.0).batch(1)
    assert not real.known.any()


def test_parts_of_a_batch_are_the_batch() -> None:
    whole, parts = moments().batch(3), [moments(part=(k, 2)).batch(3) for k in range(2)]
    for name in ("first", "second", "times", "high", "motion", "known"):
        joined = torch.stack([getattr(part, name) for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(joined, getattr(whole, name))
    with pytest.raises(InputError, match="multiple"):
        moments(part=(0, 3))
    with pytest.raises(InputError, match="photographs"):
        Moments([], [])
    assert Moments(PICTURES, [], made=0.2).made == 1.0


class Same(Moments):
    """One batch over and over, at the frames' own size."""

    def batch(self, step: int) -> Moment:
        numbers = range(1000, 1100)
        return next(found for found in map(super().batch, numbers) if found.scale == 1)


def test_it_learns_to_follow_motion() -> None:
    """A few pictures that move by some pixels: much better than blending the frames, which is how it begins."""
    image = LightNetwork(blocks=1, width=6, features=6, hidden=4, splines=5, seed=0)
    network = LightVideo(image, width=16, depth=1, seed=0)
    source = Same(PICTURES, [sliding(speed=3)], made=0.0, size=4, side=32, window=32)
    training = Training(network, source, Schedule(steps=60, lr=5e-3, warmup=5))
    before = float(training.loss(source.batch(0)).detach())
    training.run()
    assert float(training.loss(source.batch(0)).detach()) < 0.5 * before


def test_cuts() -> None:
    calm, other = list(sliding(0)), list(255 - sliding(1))
    assert cuts(calm) == []
    assert cuts(calm + other) == [8]
    assert cuts(calm[:1]) == []
    layers = random_layers(PICTURES, 60, 12.0, np.random.default_rng(3))
    made = [np.rint(255 * drawn(layers, t, 60)).astype(np.uint8) for t in np.linspace(0, 1, 8)]
    assert cuts(made) == []


def test_clips_from_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    joined = np.concatenate([sliding(0, 12), 255 - sliding(1, 6)])
    for k, frame in enumerate(joined):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{k:03}.png")
    write_video(tmp_path / "a.mp4", from_array(joined.astype(np.float32) / 255, "video", spacing=(0.04, 1.0, 1.0)))
    (tmp_path / "one").mkdir()
    Image.fromarray(PICTURES[0]).save(tmp_path / "one" / "a.png")
    assert [path.name for path in clip_files([tmp_path])] == ["a.mp4", "frames"]
    parts = read_clip(tmp_path / "frames")
    assert [part.shape for part in parts] == [(12, 90, 90, 3), (6, 90, 90, 3)]
    assert np.array_equal(parts[0], sliding(0, 12))
    halved = read_clip(tmp_path / "a.mp4", 2)
    assert [part.shape for part in halved] == [(12, 45, 45, 3), (6, 45, 45, 3)]
    wanted = joined[:12].reshape(12, 45, 2, 45, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved[0] - wanted).mean() < 4


def test_the_published_network_learns_from_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss is that of whole pictures, cut to the batch's lattice; steps bring it down."""
    monkeypatch.setattr("ungrid.upscale.training.BFLOAT16", False)
    network = VideoINR(features=8, groups=2, front=1, back=1)
    source = Same(PICTURES, [sliding(speed=3)], made=0.0, size=2, side=24, window=24)
    training = Training(network, source, Schedule(steps=8, lr=1e-3, warmup=2))
    batch = source.batch(0)
    frames = torch.stack([batch.first, batch.second], dim=1)
    features = network.encode(frames)
    pictures = [network.picture(features[[k]], frames[[k]], float(batch.times[k]), (24, 24)) for k in range(2)]
    before = training.loss(batch)
    torch.testing.assert_close(before, (torch.cat(pictures) - batch.high).abs().mean())
    large = next(found for found in (moments(side=24, window=16).batch(k) for k in range(50)) if found.scale > 1.5)
    size = round(24 * large.scale)
    both = torch.stack([large.first, large.second], dim=1)
    whole = network.picture(network.encode(both), both, large.times, (size, size))
    top, left = (round((x[0] + 0.5) * large.scale - 0.5) for x in (large.rows, large.columns))
    part = whole[..., top : top + 16, left : left + 16]
    torch.testing.assert_close(training.loss(large), (part - large.high).abs().mean())
    training.run()
    assert float(training.loss(batch).detach()) < float(before.detach())
