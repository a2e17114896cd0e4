"""The network for one scale: at its own scale what its tail says, elsewhere the bicubic interpolation of that."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid.networks import EDSR, SubPixel
from ungrid.upscale import enlarge, resized

PICTURE = np.random.default_rng(0).random((9, 11, 3)).astype(np.float32)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_at_its_own_scale_it_is_its_tail(scale: int) -> None:
    network = SubPixel(EDSR(blocks=1, features=4), scale=scale).eval()
    with torch.no_grad():
        x = torch.from_numpy(PICTURE).permute(2, 0, 1)[None]
        features = network.encoder(2 * x - 1)
        for layer in list(network.tail)[:-1]:
            features = layer(features)
        last = list(network.tail)[-1]
        wanted = functional.conv2d(features, last.weight, last.bias, padding=1) / 2 + 0.5
    found = enlarge(network, PICTURE, (9 * scale, 11 * scale))
    np.testing.assert_allclose(found, wanted[0].permute(1, 2, 0).clamp(0, 1), atol=1e-5)


def test_elsewhere_it_is_interpolated() -> None:
    network = SubPixel(EDSR(blocks=1, features=4), scale=2).eval()
    large, larger = enlarge(network, PICTURE, (18, 22)), enlarge(network, PICTURE, (36, 44))
    inner = (slice(8, -8), slice(8, -8))  # borders are continued otherwise
    np.testing.assert_allclose(larger[inner], resized(large, (36, 44))[inner].clip(0, 1), atol=1e-4)


def test_other_scales_are_refused() -> None:
    with pytest.raises(InputError, match="one of 2, 3, 4"):
        SubPixel(EDSR(blocks=1, features=4), scale=5)
