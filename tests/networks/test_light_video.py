"""The light network of time: exact at the frames, exact for still pictures, continuous between, and what moves by how much."""

import numpy as np
import pytest
import torch

from ungrid.networks import LightNetwork, LightVideo
from ungrid.networks.light_video import MULTIPLE, resized_motion, warped
from ungrid.networks.optical_flow import optical_flow


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
    network.correction.weight.data.normal_(0, 0.1, generator=generator)
    return network


def frames(b: int = 2, h: int = 21, w: int = 26) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = torch.rand(2, b, 3, h, w, generator=torch.Generator().manual_seed(1))
    return first, second


ROWS, COLUMNS, SCALE = (np.arange(40) + 0.5) * 21 / 40 - 0.5, (np.arange(50) + 0.5) * 26 / 50 - 0.5, [40 / 21, 50 / 26]


def at(network: LightVideo, pair: tuple[torch.Tensor, torch.Tensor], *times: float) -> torch.Tensor:
    with torch.no_grad():
        when = torch.tensor(times, dtype=torch.float64)
        return network(pair, when, ROWS, COLUMNS, torch.tensor(SCALE))


def test_at_the_frames_it_is_the_network_of_pictures() -> None:
    network, pair = video(), frames()
    for time, frame in zip((0.0, 1.0), pair, strict=True):
        with torch.no_grad():
            wanted = network.image(frame, ROWS, COLUMNS, torch.tensor(SCALE))
        torch.testing.assert_close(at(network, pair, time, time), wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(at(network, pair, 0.5, 0.5), at(network, pair, 0.0, 0.0), atol=1e-2)


def test_continuous_in_time() -> None:
    network, pair = video(), frames(1)
    for time in (0.0, 0.3, 0.999):
        apart = (at(network, pair, time + 1e-4) - at(network, pair, time)).abs().max()
        assert float(apart) < 1e-2


def test_turned_around_time_turns_nothing_else() -> None:
    """Without motion and correction the frames are blended by their times."""
    network, (first, second) = LightVideo(image(), width=8, depth=1), frames(1)
    for level in network.levels:
        level.last.weight.data.zero_()
        level.last.bias.data.zero_()
    with torch.no_grad():
        latents = network.image.latents(first), network.image.latents(second)
        when = torch.tensor([0.25])
        motion = network.motion(first, second, torch.zeros(1, 4, 21, 26), when)
        found, picture = network.between((first, second), latents, motion, when)
    torch.testing.assert_close(picture, 0.75 * first + 0.25 * second, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, 0.75 * latents[0] + 0.25 * latents[1], atol=1e-5, rtol=1e-5)


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
