"""VideoINR: deformable convolution against explicit loops, names of the weights, what goes in and comes out."""

import itertools
import math

import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.networks import VideoINR
from ungrid.networks.deformable import DeformableConvolution, deformable_convolution

FEATURES = 64


def literal(x, offset, modulation, weight, bias):
    """Equation 1, pixel by pixel."""
    b, c, h, w = x.shape
    groups = modulation.shape[1] // 9
    found = bias[None, :, None, None].repeat(b, 1, h, w)
    for n, y, x_, k, channel in itertools.product(range(b), range(h), range(w), range(9), range(c)):
        g = channel // (c // groups)
        at_y = y + k // 3 - 1 + offset[n, 2 * (9 * g + k), y, x_]
        at_x = x_ + k % 3 - 1 + offset[n, 2 * (9 * g + k) + 1, y, x_]
        top, left = math.floor(at_y.item()), math.floor(at_x.item())
        value = torch.zeros((), dtype=x.dtype)
        for i, j in itertools.product((0, 1), repeat=2):
            if 0 <= top + i < h and 0 <= left + j < w:
                share = (1 - (at_y - top - i).abs()) * (1 - (at_x - left - j).abs())
                value = value + share * x[n, channel, top + i, left + j]
        found[n, :, y, x_] = (
            found[n, :, y, x_] + weight[:, channel, k // 3, k % 3] * value * modulation[n, 9 * g + k, y, x_]
        )
    return found


def test_deformable_convolution_is_the_loop_with_gradients() -> None:
    generator = torch.Generator().manual_seed(0)

    def given(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return (scale * torch.randn(*shape, generator=generator).double()).requires_grad_()

    arguments = given(2, 4, 4, 5), given(2, 36, 4, 5, scale=2), given(2, 18, 4, 5), given(3, 4, 3, 3), given(3)
    fast, slow = deformable_convolution(*arguments), literal(*arguments)
    torch.testing.assert_close(fast, slow, atol=1e-9, rtol=1e-9)
    g = torch.randn(fast.shape, generator=generator).double()
    for a, b in zip(*(torch.autograd.grad((f * g).sum(), arguments) for f in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8)


def test_without_offsets_it_is_half_a_convolution() -> None:
    generator = torch.Generator().manual_seed(0)
    layer, x = DeformableConvolution(8, 2, generator), torch.randn(1, 8, 6, 7, generator=generator)
    with torch.no_grad():
        wanted = torch.nn.functional.conv2d(x, layer.weight, padding=1) / 2
        torch.testing.assert_close(layer(x, x), wanted)


def convolutions() -> dict[str, tuple[int, int, int]]:
    """Of every convolution of the guide's list: outputs, inputs, side."""
    f = FEATURES
    found = {"conv_first": (f, 3, 3)}
    for name, count in (("feature_extraction", 5), ("recon_trunk", 40)):
        found |= {f"{name}.{i}.conv{k}": (f, f, 3) for i in range(count) for k in (1, 2)}
    for place in ("", "ConvBLSTM.forward_net.pcd_h.", "ConvBLSTM.forward_net.pcd_c."):
        found |= {f"{place}fea_L{level}_conv{k}": (f, f, 3) for level in (2, 3) for k in (1, 2)}
        found[f"{place}fusion"] = (f, 2 * f, 1)
        for level, way in itertools.product((1, 2, 3), (1, 2)):
            start = f"{place}pcd_align.L{level}"
            inputs = {1: 2 * f, 2: f} if level == 3 else {1: 2 * f, 2: 2 * f, 3: f}
            found |= {f"{start}_offset_conv{k}_{way}": (f, n, 3) for k, n in inputs.items()}
            found |= {f"{start}_dcnpack_{way}": (f, f, 3), f"{start}_dcnpack_{way}.conv_offset_mask": (216, f, 3)}
            if level < 3:
                found[f"{start}_fea_conv_{way}"] = (f, 2 * f, 3)
    found |= {"ConvBLSTM.forward_net.cell_list.0.conv": (4 * f, 2 * f, 3), "ConvBLSTM.conv_1x1": (f, 2 * f, 1)}
    return found | {"upconv1": (256, f, 3), "upconv2": (256, f, 3), "HRconv": (64, 64, 3), "conv_last": (3, 64, 3)}


def test_names_and_shapes_of_the_weights() -> None:
    wanted: dict[str, tuple[int, ...]] = {}
    for name, (outputs, inputs, side) in convolutions().items():
        wanted |= {f"{name}.weight": (outputs, inputs, side, side), f"{name}.bias": (outputs,)}
    sizes = {"feat": (201, 64, 64, 256, 64), "flow": (263, 64, 64, 256, 4), "encode": (525, 64, 64, 256, 256, 3)}
    for name, widths in sizes.items():
        for k, (a, b) in enumerate(itertools.pairwise(widths)):
            part = f"{name}_imnet.net.{k}" + (".linear" if k < len(widths) - 2 else "")
            wanted |= {f"{part}.weight": (b, a), f"{part}.bias": (b,)}
    network = VideoINR()
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == wanted
    assert sum(value.numel() for value in network.parameters()) == pytest.approx(11.31e6, rel=1e-3)


def small(seed: int = 0) -> VideoINR:
    return VideoINR(features=8, groups=2, front=1, back=1, seed=seed)


def frames(h: int = 16, w: int = 12) -> torch.Tensor:
    return torch.rand(2, 2, 3, h, w, generator=torch.Generator().manual_seed(1))


def test_pictures_at_any_time_and_size() -> None:
    network = small()
    found = network(frames(), [0.0, 0.25, 0.5, 0.9], (53, 40))
    assert found.shape == (4, 2, 3, 53, 40)
    assert found.isfinite().all()
    found.square().mean().backward()
    unused = ("upconv1", "upconv2", "HRconv", "conv_last")
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == name.startswith(unused), name
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert not torch.allclose(found[0], found[3])


def test_times_and_batches_do_not_see_each_other() -> None:
    network = small()
    with torch.no_grad():
        together = network(frames(), [0.25, 0.75], (20, 24))
        alone = network(frames()[[1]], [0.75], (20, 24))
    torch.testing.assert_close(together[[1]][:, [1]], alone, atol=1e-5, rtol=1e-4)


def test_still_and_moving_lattices() -> None:
    """Without motion, places are those of the lattice from corner centre to corner centre; a flow moves them by pixels."""
    flow = torch.zeros(1, 2, 5, 9)
    still = VideoINR._warped(flow)
    torch.testing.assert_close(still[0, 0, 0], torch.tensor([-1.0, -1.0]))
    flow[:, 0], flow[:, 1] = 1.0, 2.0  # right by one pixel, down by two
    moved = VideoINR._warped(flow)
    torch.testing.assert_close(moved[0, 0, 3], still[0, 2, 4])


def test_the_published_evaluation_enlarges_the_frames_first() -> None:
    network, given = small(), frames()
    with torch.no_grad():
        features = network.encode(given)
        plain = network.picture(features, given, 0.5, (32, 24))
        assert not torch.allclose(network.picture(features, given, 0.5, (32, 24), compat=True), plain)
        flat = torch.full_like(given, 0.3)  # the same in frames of one colour, away from the edges
        features = network.encode(flat)
        both = [network.picture(features, flat, 0.5, (32, 24), compat=compat) for compat in (True, False)]
    torch.testing.assert_close(*(b[..., 12:-12, 10:-10] for b in both), atol=1e-4, rtol=1e-4)


def test_what_is_refused_and_described() -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        small().encode(frames(18, 12))
    again = VideoINR(**small(3).arguments())
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), small(3).parameters(), strict=True))
    assert len(list(small().parameters())) == len(small().state_dict())


@pytest.mark.slow
def test_the_published_size_runs() -> None:
    network = VideoINR()
    given = torch.rand(1, 2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = network(given, [0.0, 0.25, 0.5, 0.9], (128, 128))
    assert found.shape == (4, 1, 3, 128, 128)
    assert found.isfinite().all()
