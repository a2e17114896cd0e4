"""The light network of time: exact at the frames, exact for still pictures, continuous between, and what moves by how much."""

import numpy as np
import pytest
import torch

from ungrid.networks import LightNetwork, LightVideo, spline_kernels
from ungrid.networks.light_video import MULTIPLE, Seen, _joined, joined, resized_motion, share, warped
from ungrid.networks.optical_flow import optical_flow


@pytest.fixture(autouse=True)
def _fine_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels of led frames to rounding, so that forms can be compared; what the table in use costs is tested beside it."""
    monkeypatch.setattr(spline_kernels, "STEPS", 512)


def image() -> LightNetwork:
    network = LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5, seed=0)
    generator = torch.Generator().manual_seed(0)
    for layer in (network.decoder.last, network.decoder.linear):
        layer.weight.data.normal_(generator=generator)
    return network


def video(seed: int = 0) -> LightVideo:
    network = LightVideo(image(), width=8, depth=1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for level in network.levels:
        level.last.weight.data.normal_(0, 0.02, generator=generator)
    for layer in (network.colours, network.detail.linear, network.detail.last):
        layer.weight.data.normal_(0, 0.1, generator=generator)
    return network


def without_details(network: LightVideo) -> LightVideo:
    for layer in (network.colours, network.detail.linear, network.detail.last):
        for parameter in layer.parameters():
            parameter.data.zero_()
    return network


def frames(b: int = 2, h: int = 21, w: int = 26) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.rand(2, b, 3, h, w, generator=torch.Generator().manual_seed(1))
    return first, second


ROWS, COLUMNS, SCALE = (np.arange(40) + 0.5) * 21 / 40 - 0.5, (np.arange(50) + 0.5) * 26 / 50 - 0.5, [40 / 21, 50 / 26]


def at(network: LightVideo, pair: tuple[torch.Tensor, torch.Tensor], *times: float) -> torch.Tensor:
    with torch.no_grad():
        when = torch.tensor(times, dtype=torch.float64)
        return network(pair, when, ROWS, COLUMNS, torch.tensor(SCALE))


def test_led_frames_at_their_own_times_are_the_pictures() -> None:
    network, pair = without_details(video()), frames()
    for time, frame in zip((0.0, 1.0), pair, strict=True):
        with torch.no_grad():
            wanted = network.image(frame, ROWS, COLUMNS, torch.tensor(SCALE))
        torch.testing.assert_close(at(network, pair, time, time), wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(at(network, pair, 0.5, 0.5), at(network, pair, 0.0, 0.0), atol=1e-2)


def test_frames_joined_by_a_kernel_are_the_joined_ones() -> None:
    generator = torch.Generator().manual_seed(3)
    ends = [
        Seen(torch.rand(2, 3, 9, 12, generator=generator), torch.randn(2, 5, 9, 12, generator=generator)) for _ in "ab"
    ]
    ways = 5 * torch.randn(2, 4, 9, 12, generator=generator)
    ways[..., :3] = ways[..., :3].round()
    given = ((ends[0], ends[1]), ways, torch.rand(2, 1, 9, 12, generator=generator))
    with torch.no_grad():
        torch.testing.assert_close(_joined(*given), joined(*given), atol=2e-5, rtol=1e-5)


def test_at_their_own_size_the_frames_come_back() -> None:
    """Also with details: these are what is lost between the pixels."""
    network, pair = video(), frames()
    own = np.arange(21.0), np.arange(26.0), torch.ones(2)
    for time, frame in zip((0.0, 1.0), pair, strict=True):
        with torch.no_grad():
            found = network(pair, torch.full((2,), time), *own)
            torch.testing.assert_close(found, network.image(frame, *own), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("time", [0.0, 0.3, 1.0])
def test_how_much_of_the_details_is_added(time: float) -> None:
    """A detail of one colour everywhere is added with 1 - (1 - 2 t)² / s²."""
    bare, network = without_details(video()), without_details(video())
    network.colours.bias.data.fill_(1.0)
    found = at(network, frames(), time, time) - at(bare, frames(), time, time)
    part = 1 - (1 - 2 * time) ** 2 / (SCALE[0] * SCALE[1])
    torch.testing.assert_close(found, torch.full_like(found, part), atol=1e-4, rtol=1e-4)


def test_points_are_the_lattice() -> None:
    network, pair, times = video(), frames(), torch.tensor([0.3, 0.8], dtype=torch.float64)
    scale = torch.tensor(SCALE)
    with torch.no_grad():
        ends = network.seen(pair[0]), network.seen(pair[1])
        motion = network.motion(*pair, optical_flow(*pair), times)
        details = network.details(ends, motion, times)
        lattice = network.on_lattice(ends, motion, details, times, ROWS, COLUMNS, scale)
        rows, columns = torch.meshgrid(torch.from_numpy(ROWS), torch.from_numpy(COLUMNS), indexing="ij")
        places = torch.stack([rows, columns], dim=-1).reshape(1, -1, 2).expand(2, -1, -1)
        points = network.at(ends, motion, details, times, places, scale[None])
    torch.testing.assert_close(points.float(), lattice.flatten(2).transpose(1, 2), atol=1e-4, rtol=1e-4)


def test_continuous_in_time() -> None:
    network, pair = video(), frames(1)
    for time in (0.0, 0.3, 0.999):
        apart = (at(network, pair, time + 1e-4) - at(network, pair, time)).abs().max()
        assert float(apart) < 1e-2


def test_without_motion_the_frames_are_blended_by_their_times() -> None:
    network, (first, second) = without_details(video()), frames(1)
    for level in network.levels:
        level.last.weight.data.zero_()
        level.last.bias.data.zero_()
    lattice = ROWS, COLUMNS, torch.tensor(SCALE)
    with torch.no_grad():
        found = network((first, second), torch.tensor([0.25]), *lattice, torch.zeros(1, 4, 21, 26))
        ends = [network.image(frame, *lattice) for frame in (first, second)]
    torch.testing.assert_close(found, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("way", [(2.5, 0.0), (-1.25, 0.75)])
def test_a_frame_is_led_as_a_continuous_picture(way: tuple[float, float]) -> None:
    """A motion of a part of a pixel fetches what the network of pictures sees there, not a mean of its pixels."""
    network, (first, second) = without_details(video()), frames(1)
    motion = torch.zeros(1, 5, 21, 26)
    motion[:, 0], motion[:, 1], motion[:, 4] = way[0] / 0.4, way[1] / 0.4, 40.0  # all of the first frame
    scale, t = torch.tensor(SCALE), torch.tensor([0.4], dtype=torch.float64)
    with torch.no_grad():
        ends = network.seen(first), network.seen(second)
        found = network.on_lattice(ends, motion, network.details(ends, motion, t), t, ROWS, COLUMNS, scale)
        wanted = network.image(first, ROWS + way[1], COLUMNS + way[0], scale)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_warping_fetches_what_lies_at_the_motion() -> None:
    x = torch.arange(6 * 8).float().reshape(1, 1, 6, 8)
    motion = torch.zeros(1, 2, 6, 8)
    motion[:, 0], motion[:, 1] = 1.5, -1.0
    found = warped(x, motion)
    torch.testing.assert_close(found[0, 0, 1:, :6], x[0, 0, :5, 1:7] + 0.5)
    torch.testing.assert_close(found[0, 0, 0, :6], x[0, 0, 0, 1:7] + 0.5)  # above the edge its pixels go on
    torch.testing.assert_close(warped(x, torch.zeros_like(motion)), x)


def test_warping_in_16_bits_keeps_the_places() -> None:
    """Pixels of a wide picture are fetched from whole places, exactly; places in 16 bits would be pixels apart."""
    x = torch.randn(1, 1, 2, 1000, generator=torch.Generator().manual_seed(0)).bfloat16()
    motion = torch.zeros(1, 2, 2, 1000, dtype=torch.bfloat16)
    motion[:, 0] = 3
    torch.testing.assert_close(warped(x, motion)[..., :-3], x[..., 3:], atol=0.02, rtol=0.02)


def test_motions_grow_with_the_picture() -> None:
    motion = torch.ones(1, 5, 4, 6)
    found = resized_motion(motion, (8, 12))
    assert found.shape == (1, 5, 8, 12)
    torch.testing.assert_close(found[:, :4], torch.full((1, 4, 8, 12), 2.0))
    torch.testing.assert_close(found[:, 4:], torch.ones(1, 1, 8, 12))


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_shares_of_the_frames(t: float) -> None:
    """By their times where both are seen, and none of one that is hidden."""
    time = torch.tensor([t])
    torch.testing.assert_close(share(torch.zeros(1), time), 1 - time)
    torch.testing.assert_close(share(torch.full((1,), -40.0), torch.tensor([0.25])), torch.zeros(1))


@pytest.mark.parametrize("size", [(3, 5), (MULTIPLE, 2 * MULTIPLE), (37, 50)])
def test_any_size(size: tuple[int, int]) -> None:
    pair = frames(1, *size)
    found = video().motion(*pair, optical_flow(*pair), torch.tensor([0.5]))
    assert found.shape == (1, 5, *size)
    assert found.isfinite().all()


def test_each_pair_has_its_own_time() -> None:
    network, pair = video(), frames()
    together = at(network, pair, 0.2, 0.7)
    for k, time in enumerate((0.2, 0.7)):
        alone = at(network, (pair[0][[k]], pair[1][[k]]), time)
        torch.testing.assert_close(together[[k]], alone, atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_part() -> None:
    network = video()
    network(frames(), torch.tensor([0.3, 0.6]), ROWS, COLUMNS, torch.tensor(SCALE)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    again = LightVideo(**video(3).arguments())
    assert again.arguments() == video(3).arguments() | {"image": again.image}
