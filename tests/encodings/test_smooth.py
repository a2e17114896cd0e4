import json
import math

import numpy as np
import pytest
import torch

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid.encodings import FourierFeatures, Identity, Positional

SECOND_ORDER = taylor.Needed((0, 1), (((0, 0),), ((0, 1),), ((1, 1),)))
ENCODINGS = [
    Identity(2),
    Positional(2, 4),
    Positional(2, 3, include_input=False),
    FourierFeatures(2, 5, 3.0, seed=1),
    FourierFeatures(2, 5, (3.0, 0.5), seed=1),
]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: type(e).__name__)
class TestEveryEncoding:
    def test_shapes_and_rebuilding(self, encoding):
        twin = type(encoding)(**json.loads(json.dumps(encoding.arguments())))
        assert encoding.dim == 2
        for shape in [(), (5,), (2, 3), (0,)]:
            x = torch.rand(*shape, 2, dtype=torch.float64)
            assert encoding(x).shape == (*shape, encoding.out_features)
            assert torch.equal(encoding(x), twin(x))
        assert encoding(torch.rand(3, 2)).dtype == torch.float32

    def test_forward_taylor_equals_autograd(self, encoding):
        x = 2 * torch.rand(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        streams = encoding.forward_taylor(taylor.start(x, SECOND_ORDER)).streams
        value, jacobian, second = streams[0], streams[1:3], streams[3:]
        rows = torch.stack([torch.func.jacrev(encoding)(point) for point in x])
        hessian = torch.stack([torch.func.jacrev(torch.func.jacrev(encoding))(point) for point in x])
        assert torch.allclose(value, encoding(x), rtol=0, atol=1e-12)
        assert torch.allclose(jacobian.permute(1, 2, 0), rows, rtol=1e-10, atol=1e-10)
        for (i, j), block in zip([(0, 0), (0, 1), (1, 1)], second, strict=True):
            assert torch.allclose(block, hessian[..., i, j], rtol=1e-10, atol=1e-10)

    def test_second_coordinates_propagate(self, encoding):
        """Through an inner map x = s², whose own derivatives are 2 s and 2."""
        s = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
        z = taylor.elementwise(taylor.start(s, SECOND_ORDER), lambda v: iter((v * v, 2 * v, torch.full_like(v, 2.0))))
        streams = encoding.forward_taylor(z).streams
        jacobian, second = streams[1:3], streams[3:]
        exact = torch.func.jacrev(torch.func.jacrev(lambda t: encoding(t * t)))(s[0])
        assert torch.allclose(jacobian[:, 0].T, torch.func.jacrev(lambda t: encoding(t * t))(s[0]), atol=1e-10)
        assert torch.allclose(second[:, 0].T, exact[:, [0, 0, 1], [0, 1, 1]], rtol=1e-10, atol=1e-9)


def test_positional_is_the_formula():
    x = np.array([0.3, -0.8])
    expected = [*x]
    for function in (math.sin, math.cos):
        expected += [function(2**k * math.pi * coordinate) for k in range(4) for coordinate in x]
    ours = Positional(2, 4)(torch.as_tensor(x))
    assert np.allclose(ours.numpy(), expected, atol=1e-12)


def test_fourier_features_are_a_shift_invariant_kernel():
    """γ(x)·γ(y) / m tends to the characteristic function exp(-(π σ |x - y|)² / 2) of the frequencies (Bochner)."""
    sigma, m = 2.0, 200_000
    encoding = FourierFeatures(2, m, sigma)
    x, y = torch.tensor([0.1, 0.2]), torch.tensor([0.25, 0.05])
    kernel = (encoding(x) @ encoding(y)).item() / m
    assert kernel == pytest.approx(math.exp(-((math.pi * sigma) ** 2) * 0.045 / 2), abs=4 / math.sqrt(m))
    assert (encoding(x) @ encoding(x)).item() / m == pytest.approx(1.0, abs=1e-5)


def test_bandwidth_is_the_standard_deviation_in_cycles_across_the_longest_axis():
    encoding = FourierFeatures(2, 100_000, (3.0, 0.5))
    assert encoding.frequencies.std(dim=0).tolist() == pytest.approx([3.0, 0.5], rel=0.02)
    one_cycle = FourierFeatures(1, 1, 1.0)
    one_cycle.frequencies.fill_(1.0)
    left, right = one_cycle(torch.tensor([[-1.0]])), one_cycle(torch.tensor([[1.0]]))
    assert torch.allclose(left, right, atol=1e-6)


def test_frequencies_are_saved_and_seeded():
    a, b = FourierFeatures(2, 5, 3.0, seed=1), FourierFeatures(2, 5, 3.0, seed=2)
    assert not torch.equal(a.frequencies, b.frequencies)
    b.load_state_dict(a.state_dict())
    assert torch.equal(a.frequencies, b.frequencies)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="2 bandwidths"):
        FourierFeatures(3, 5, (1.0, 2.0))
    with pytest.raises(InputError, match="0 octaves"):
        Positional(2, 0)
