"""Flow between frames: known shifts are found, and carried to a time they lie where the things then are."""

import numpy as np
import pytest
import torch

from ungrid.networks.light_video import warped
from ungrid.networks.optical_flow import FEW, carried, optical_flow


def frame(shift: tuple[float, float], size: tuple[int, int] = (70, 90), seed: int = 0) -> torch.Tensor:
    """A smooth picture (1, 3, h, w), moved by (x, y)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    x, y = x - shift[0], y - shift[1]
    waves = sum(np.sin(a * y + b * x + c) for a, b, c in
                zip(*rng.uniform(-0.3, 0.3, (2, 8)), rng.uniform(0, 6, 8), strict=True))  # fmt: skip
    grey = torch.from_numpy(0.5 + 0.4 * np.tanh(waves / 2)).float()
    return grey.expand(1, 3, *size)


@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, -5.0), (2.5, 1.5), (-6.0, 3.0)])
def test_shifts_are_found_in_both_directions(shift: tuple[float, float]) -> None:
    found = optical_flow(frame((0, 0)), frame(shift))[0, :, 15:-15, 15:-15]
    for k, wanted in enumerate((*shift, -shift[0], -shift[1])):
        assert float((found[k] - wanted).abs().mean()) < 0.15


def test_each_pair_alone_and_any_size() -> None:
    first, second = torch.cat([frame((0, 0)), frame((0, 0), seed=1)]), torch.cat([frame((2, 0)), frame((0, 3), seed=1)])
    together = optical_flow(first, second)
    for k in range(2):
        assert torch.equal(together[[k]], optical_flow(first[[k]], second[[k]]))
    for size in ((1, 1), (3, 50), (33, 7)):
        assert optical_flow(frame((0, 0), size), frame((1, 0), size)).shape == (1, 4, *size)


@pytest.mark.parametrize("time", [0.0, 0.37, 1.0])
def test_carrying_is_what_its_definition_says(time: float) -> None:
    """Pixel by pixel: each flow goes its share of the way, and is spread over the four nearest pixels there."""
    h, w = 6, 7
    flows = 3 * torch.randn(1, 4, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    totals, weights = np.zeros((2, h, w)), np.zeros((2, h, w))
    for k, (share, sign) in enumerate(((time, 1), (1 - time, -1))):
        for y in range(h):
            for x in range(w):
                u, v = flows[0, 2 * k : 2 * k + 2, y, x].tolist()
                for row in range(h):
                    for column in range(w):
                        near = max(0, 1 - abs(y + share * v - row)) * max(0, 1 - abs(x + share * u - column))
                        totals[:, row, column] += near * sign * np.array([u, v])
                        weights[k, row, column] += near
    still = (flows[0, :2] - flows[0, 2:]).numpy() / 2
    wanted = (totals + FEW * still) / (weights.sum(axis=0) + FEW)
    found = carried(flows, torch.tensor([time]))[0].numpy()
    np.testing.assert_allclose(found[:2], wanted, atol=1e-6)  # the time has single precision
    np.testing.assert_allclose(found[2:], weights.clip(max=1), atol=1e-6)


def test_what_only_one_frame_shows_is_known() -> None:
    """Behind the square only the second frame shows the ground, before it only the first."""
    flows = torch.zeros(1, 4, 30, 60)
    flows[0, 0, 10:20, 10:20] = 30.0
    flows[0, 2, 10:20, 40:50] = -30.0
    found = carried(flows, torch.tensor([0.5]))
    assert float(found[0, 2, 12:18, 12:18].max()) == 0.0  # the square has left
    assert float(found[0, 3, 12:18, 12:18].min()) == 1.0
    assert float(found[0, 3, 12:18, 42:48].max()) == 0.0
    assert float(found[0, 2, 12:18, 42:48].min()) == 1.0


def test_frames_led_along_the_carried_flow_meet() -> None:
    first, middle, second = frame((0, 0)), frame((2, 1)), frame((4, 2))
    flow = carried(optical_flow(first, second), torch.tensor([0.5]))
    for end, way in ((first, -0.5 * flow[:, :2]), (second, 0.5 * flow[:, :2])):
        apart = (warped(end, way) - middle).abs()[..., 15:-15, 15:-15]
        assert float(apart.mean()) < 0.01


def test_derivatives_by_the_time() -> None:
    flows = torch.randn(1, 4, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    time = torch.tensor([0.37], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda t: carried(flows, t)[:, :2], time)
