"""What lies between two frames: the same as a field, as frames strip by strip, and as the network itself gives it."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.fields import LatentField, VideoField
from ungrid.io import load, save
from ungrid.networks import LightNetwork, LightVideo, spline_kernels
from ungrid.networks.optical_flow import optical_flow
from ungrid.operators import Jet
from ungrid.upscale import VideoUpscaler, between, load_video, resized

H, W = 19, 26
RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.random((2, H, W, 3), dtype=np.float32)
BOX = Box(Axis("t", 2.0, 2.5, "s"), Axis("y", 0.0, 1.9, "m"), Axis("x", 1.0, 3.6, "m"))


@pytest.fixture(autouse=True)
def _fine_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of led frames to rounding, so that forms can be compared; what the table in use costs is tested beside it."""
    monkeypatch.setattr(spline_kernels, "STEPS", 512)


def network(seed: int = 0) -> LightVideo:
    """Small, with a motion of some pixels and a correction."""
    image = LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5, seed=seed)
    video = LightVideo(image, width=8, depth=1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for layer in (image.decoder.last, image.decoder.linear):
        layer.weight.data.normal_(0, 0.3, generator=generator)
    for level in video.levels:
        level.last.weight.data.normal_(0, 0.05, generator=generator)
        level.last.bias.data.normal_(0, 0.5, generator=generator)
    for layer in (video.colours, video.detail.linear, video.detail.last):
        layer.weight.data.normal_(0, 0.1, generator=generator)
    return video.eval()


def field(seed: int = 0) -> VideoField:
    return VideoField.encode(network(seed), FIRST, SECOND, BOX)


def points(n: int = 4) -> torch.Tensor:
    unit = torch.rand(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return torch.tensor(BOX.low) + torch.tensor(np.asarray(BOX.high) - BOX.low) * (0.05 + 0.9 * unit)


def test_a_grid_is_the_frames_and_the_points() -> None:
    u = field()
    grid = RegularGrid(BOX, (4, 38, 52))
    values = u.on_grid(grid, footprint=True)
    times = (grid.centers(0) - 2.0) / 0.5
    upscaler = VideoUpscaler(network(), "a", {})
    frames = upscaler.between(FIRST, SECOND, times.tolist(), shape=(38, 52))
    np.testing.assert_allclose(values.clip(0, 1), frames, atol=1e-5)
    some = (slice(None), slice(5, 30, 6), slice(4, 50, 9))
    np.testing.assert_allclose(u(grid.points()[some], np.asarray(grid.spacing)), values[some], atol=1e-5)


def test_at_the_frames_it_is_the_frames() -> None:
    """At their own size; times outside are the nearer frame's."""
    image = network().image
    for time, frame in ((2.0, FIRST), (2.5, SECOND), (1.0, FIRST), (9.0, SECOND)):
        alone = LatentField.encode(image, frame, Box(*BOX.axes[1:]))
        grid = RegularGrid(alone.domain, (H, W))
        found = field().at_time(time).on_grid(grid, footprint=True)
        np.testing.assert_allclose(found, alone.on_grid(grid, footprint=True), atol=1e-4)
    ends = VideoUpscaler(network(), "a", {}).between(FIRST, SECOND, [0.0, 1.0], 1)
    for found, frame in zip(ends, (FIRST, SECOND), strict=True):
        at_pixels = LatentField.encode(image, frame)
        wanted = at_pixels.on_grid(RegularGrid(at_pixels.domain, (H, W)), footprint=True)
        np.testing.assert_allclose(found, wanted.clip(0, 1), atol=1e-4)


@pytest.mark.parametrize("end", [0, 1])
def test_strips_of_a_given_frame_are_the_whole(end: int, monkeypatch: pytest.MonkeyPatch) -> None:
    video = network()
    pair = between.paired(*(between.seen(video, frame) for frame in (FIRST, SECOND)))
    whole = between.given_frame(video, pair.ends[end], [(pair, end)], (45, 61), dtype=np.float32)
    monkeypatch.setattr(between, "STRIP", 60)
    monkeypatch.setattr(between, "PLACES", 100)
    strips = between.given_frame(video, pair.ends[end], [(pair, end)], (45, 61), dtype=np.float32)
    np.testing.assert_allclose(strips, whole, atol=2e-5)


def test_a_neighbour_counts_where_it_agrees() -> None:
    """All of it where it shrinks to the frame, none where it is another picture; halves of one picture know no others."""
    large = RNG.random((2 * H, 2 * W, 3), dtype=np.float32)
    given = resized(large, (H, W))
    np.testing.assert_allclose(between.agreement(large, given), 1, atol=1e-5)
    half = large.copy()
    half[:, W:] = 1 - large[:, W:]
    weight = between.agreement(half, given)
    assert weight[:, : W - 8].min() > 0.99
    assert weight[:, W + 8 :].max() < 0.3


def test_neighbours_that_see_between_the_pixels_sharpen_a_frame() -> None:
    """A still scene sampled twice, half a pixel apart: with the other frame the enlargement is nearer to the truth."""
    y, x = np.mgrid[:64, :64]
    scene = (
        (0.5 + 0.25 * np.sin(1.3 * x + 0.4 * y) + 0.2 * np.cos(1.1 * y - 0.5 * x))[..., None]
        .repeat(3, -1)
        .astype(np.float32)
    )
    first, second = (
        scene[:, :-2].reshape(32, 2, 31, 2, 3).mean((1, 3)),
        scene[:, 1:-1].reshape(32, 2, 31, 2, 3).mean((1, 3)),
    )
    video = LightVideo(LightNetwork(blocks=1, width=6, features=5)).eval()  # bicubic interpolation, and the flow alone
    for level in video.levels:
        level.last.weight.data.zero_()
        level.last.bias.data.zero_()
    ends = between.seen(video, first), between.seen(video, second)
    flows = torch.zeros(1, 4, 32, 31)
    flows[:, 0], flows[:, 2] = -0.5, 0.5
    pair = between.Pair(ends, (ends[0].picture, ends[1].picture), flows)
    alone, both = (
        between.given_frame(video, ends[0], views, (64, 62), dtype=np.float32)[8:-8, 8:-8]
        for views in ([], [(pair, 0)])
    )
    truth = scene[8:-8, 8:-10]
    assert np.square(both - truth).mean() < 0.8 * np.square(alone - truth).mean()


def test_a_reconciled_picture_shrinks_to_the_given_one() -> None:
    """Nearer than before, and no further from it the more often; what agrees already stays."""
    enlarged = RNG.random((2 * H, 2 * W, 3), dtype=np.float32)
    apart = [np.abs(resized(enlarged, (H, W)) - FIRST).mean()]
    for _ in range(3):
        enlarged = between.reconciled(enlarged, FIRST)
        apart.append(np.abs(resized(enlarged, (H, W)) - FIRST).mean())
    assert np.all(np.diff(apart) < 0)
    assert apart[-1] < 0.2 * apart[0]
    again = between.reconciled(enlarged, resized(enlarged, (H, W)))
    np.testing.assert_array_equal(again, enlarged)


@pytest.mark.parametrize("shape", [(38, 52), (45, 61), (12, 20)])
@pytest.mark.parametrize("time", [0.1, 0.3, 0.9])
def test_strips_are_the_whole(shape: tuple[int, int], time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of two or three rows, with motions across many of them, give what the network gives at once."""
    video, (h, w) = network(), (H, W)
    rows, columns = ((np.arange(m) + 0.5) * n / m - 0.5 for m, n in zip(shape, (h, w), strict=True))
    pair = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in (FIRST, SECOND)]
    with torch.no_grad():
        scale = torch.tensor([shape[0] / h, shape[1] / w])
        whole = video((pair[0], pair[1]), torch.tensor([time]), rows, columns, scale)[0].permute(1, 2, 0).numpy()
    monkeypatch.setattr(between, "STRIP", 60)
    monkeypatch.setattr(between, "PLACES", 100)
    found = VideoUpscaler(video, "a", {}).between(FIRST, SECOND, [time], shape=shape)[0]
    np.testing.assert_allclose(found, whole.clip(0, 1), atol=2e-5)
    flows = optical_flow(pair[0], pair[1])
    motion = video.motion(pair[0], pair[1], flows, torch.tensor([0.5]))
    assert motion[:, :4].abs().max() > 3


def test_motion_of_large_frames_is_found_in_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A smooth picture that moves: the flow in a third of the size is the flow, in pixels of the whole."""
    y, x = np.mgrid[:144, :180]
    first, second = (
        np.repeat((0.5 + 0.4 * np.sin(0.11 * (x - d)) * np.cos(0.09 * y))[..., None], 3, -1).astype(np.float32)
        for d in (0, 6)
    )
    video = network()
    for level in video.levels:
        level.last.weight.data.zero_()
        level.last.bias.data.zero_()
    for most, shrunk in ((1 << 20, False), (144 * 180 // 9, True)):
        monkeypatch.setattr(between, "MOTION", most)
        pair = between.paired(*(between.seen(video, frame) for frame in (first, second)))
        assert (pair.frames[0].shape[-1] < 180) == shrunk
        motion = between._moved(video, pair, 0.5)
        middle = motion[0, :, 40:100, 40:140]
        torch.testing.assert_close(middle[0], torch.full_like(middle[0], -6.0), atol=0.6, rtol=0)
        torch.testing.assert_close(middle[2], torch.full_like(middle[2], 6.0), atol=0.6, rtol=0)
        assert middle[[1, 3]].abs().max() < 0.6


def test_points_do_not_see_each_other_and_groups_are_points() -> None:
    u, x = field().double(), points()
    x[1, 0] = x[0, 0]
    together = u(x)
    torch.testing.assert_close(together, torch.stack([u(point) for point in x]))
    cells = torch.tensor([0.2, 0.1, 0.1]).double()
    torch.testing.assert_close(u(x, cells), torch.stack([u(point, cells) for point in x]))
    assert u(x.reshape(2, 2, 3)).shape == (2, 2, 3)
    assert u(torch.zeros(0, 3)).shape == (0, 3)


def test_derivatives_by_time_and_place() -> None:
    u, x, h = field().double(), points(3), 1e-6
    x[1, 0] = x[0, 0]  # points of one time have their own derivatives
    jet = Jet(u, x)
    for name, step in zip(("t", "y", "x"), h * torch.eye(3).double(), strict=True):
        torch.testing.assert_close(jet.d(name), (u(x + step) - u(x - step)) / (2 * h), atol=1e-4, rtol=1e-4)


def test_an_exposure_is_a_mean_over_moments() -> None:
    u = field()
    place, cell = points(1)[0, 1:], [0.1, 0.1]
    long = u(torch.cat([torch.tensor([2.25]).double(), place]), torch.tensor([0.25, *cell]).double())
    two = [
        u(torch.cat([torch.tensor([t]).double(), place]), torch.tensor([0, *cell]).double()) for t in (2.1875, 2.3125)
    ]
    torch.testing.assert_close(long, torch.stack(two).mean(dim=0))


def test_files_and_arguments(tmp_path: Path) -> None:
    u = field()
    again = load(save(u, tmp_path / "a.field"))
    assert torch.equal(again(points()), u(points()))
    assert (again.domain, again.out_names) == (u.domain, u.out_names)
    assert VideoField(network(), shape=(H, W)).domain.axes[0] == Axis("t", 0.0, 1.0, "")


def test_what_cannot_be_used() -> None:
    with pytest.raises(InputError, match="one shape"):
        VideoField.encode(network(), FIRST, SECOND[1:])
    with pytest.raises(InputError, match="between the frames"):
        VideoUpscaler(network(), "a", {}).between(FIRST, SECOND, [0.5, 1.2], 2)
    with pytest.raises(InputError, match="one shape"):
        VideoUpscaler(network(), "a", {})(FIRST, SECOND[1:])
    with pytest.raises(InputError, match="two sizes"):
        VideoField(network(), shape=(0, 3))


def test_the_shipped_model() -> None:
    upscaler = load_video()
    u = upscaler((255 * FIRST).astype(np.uint8), (255 * SECOND).astype(np.uint8))
    assert u(np.zeros((2, 3))).shape == (2, 3)
    with pytest.raises(InputError, match="network of clips"):
        load_video(Path(str(files("ungrid.upscale"))) / "models" / "light.model")
