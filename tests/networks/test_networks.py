import json
import math
from itertools import pairwise

import pytest
import torch
from scipy import stats

from ungrid._base import taylor
from ungrid._base.errors import InputError
from ungrid.networks import MLP, Siren
from ungrid.networks.mlp import ACTIVATIONS


def sample_networks(dtype=torch.float64):
    smooth = [MLP(3, 2, width=12, depth=2, activation=name, seed=1) for name in ACTIVATIONS]
    return [net.to(dtype) for net in [*smooth, Siren(3, 2, width=12, depth=3, seed=1)]]


@pytest.mark.parametrize("net", sample_networks(), ids=lambda net: getattr(net, "activation", "siren"))
class TestEveryNetwork:
    def test_shapes_and_rebuilding(self, net):
        arguments = json.loads(json.dumps(net.arguments()))
        twin = type(net)(**arguments).double()
        for shape in [(), (5,), (2, 3), (0,)]:
            x = torch.rand(*shape, 3, dtype=torch.float64)
            assert net(x).shape == (*shape, 2)
        for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-6)
        other = type(net)(**{**arguments, "seed": 2}).double()
        assert not torch.equal(other.layers[0].weight, net.layers[0].weight)
        assert sum(p.numel() for p in net.parameters()) == (3 * 12 + 12) + (len(net.layers) - 2) * (144 + 12) + 26

    def test_no_global_random_numbers(self, net):
        before = torch.random.get_rng_state()
        type(net)(**net.arguments())
        assert torch.equal(before, torch.random.get_rng_state())

    def test_forward_taylor_equals_autograd(self, net):
        x = 2 * torch.rand(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        needed = taylor.Needed((0, 1, 2), (*((pair,) for pair in pairs), ((0, 0), (2, 2), (0, 1))))
        streams = net.forward_taylor(taylor.start(x, needed)).streams
        value, jacobian, second, form = streams[0], streams[1:4], streams[4:10], streams[10]
        rows = [torch.func.jacrev(net)(point) for point in x]
        hessians = [torch.func.jacrev(torch.func.jacrev(net))(point) for point in x]
        assert torch.allclose(value, net(x), rtol=0, atol=1e-12)
        assert torch.allclose(jacobian.permute(1, 2, 0), torch.stack(rows), rtol=1e-10, atol=1e-10)
        hessian = torch.stack(hessians)
        for (i, j), block in zip(pairs, second, strict=True):
            assert torch.allclose(block, hessian[..., i, j], rtol=1e-10, atol=1e-10)
        assert torch.allclose(form, second[0] + second[5] + second[1], rtol=1e-10, atol=1e-10)
        first_order = net.forward_taylor(taylor.start(x, taylor.Needed((2, 0)))).streams
        assert torch.allclose(first_order, torch.stack([value, jacobian[2], jacobian[0]]), rtol=1e-12, atol=1e-12)

    def test_derivatives_can_be_trained(self, net):
        x = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        z = net.forward_taylor(taylor.start(x, taylor.Needed((0, 1, 2), tuple((pair,) for pair in pairs))))
        loss = z.streams[1:].square().sum()
        (forward,) = torch.autograd.grad(loss, [net.layers[0].weight])
        y = x.clone().requires_grad_()
        rows = [torch.autograd.grad(net(y)[:, c].sum(), y, create_graph=True)[0] for c in range(2)]
        terms = [row.square().sum() for row in rows]
        for row in rows:
            for i in range(3):
                if row.requires_grad and getattr(net, "activation", "") != "relu":
                    (column,) = torch.autograd.grad(row[:, i].sum(), y, create_graph=True)
                    terms += [column[:, j].square().sum() for j in range(i, 3)]
        (reverse,) = torch.autograd.grad(torch.stack(terms).sum(), [net.layers[0].weight])
        assert torch.allclose(forward, reverse, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", [*(pair[1] for pair in ACTIVATIONS.values()), taylor.sine, taylor.cosine])
def test_derivatives_of_activations(function):
    """Each is the derivative of the one before it."""
    v = torch.linspace(-2.9, 3, 8, dtype=torch.float64).requires_grad_()
    chain = list(function(v))
    assert len(chain) == 4
    for f, df in pairwise(chain):
        exact = torch.zeros_like(v)
        if f.requires_grad:
            (exact,) = torch.autograd.grad(f.sum(), v, retain_graph=True, materialize_grads=True)
        assert torch.allclose(df, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("forms", [(), (((0, 0), (1, 1)), ((0, 1),))])
def test_the_layer_is_its_plain_twin(forms):
    generator = torch.Generator().manual_seed(0)
    z = taylor.start(torch.zeros(6, 2, dtype=torch.float64), taylor.Needed((0, 1), forms))
    shapes = (z.streams.shape, (5, 2), (5,))
    inputs = [torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in shapes]

    def fast(streams, weight, bias):
        return taylor.layer(taylor.Taylor(streams, z.forms), weight, bias, taylor.sine).streams

    def plain(streams, weight, bias):
        moved = taylor.linear(taylor.Taylor(streams, z.forms), weight, bias)
        return taylor.elementwise(moved, taylor.sine).streams

    assert torch.allclose(fast(*inputs), plain(*inputs), rtol=1e-12, atol=1e-12)
    g = torch.randn(fast(*inputs).shape, dtype=torch.float64, generator=generator)
    for one, other in zip(*(torch.autograd.grad(f(*inputs), inputs, g) for f in (fast, plain)), strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(fast, inputs)
    assert torch.autograd.gradgradcheck(fast, inputs)


def test_unknown_activation_is_refused():
    with pytest.raises(InputError, match="one of relu"):
        MLP(2, 1, width=4, depth=1, activation="swish")


@torch.no_grad()
def test_he_initialisation_keeps_the_second_moment_of_relu_layers():
    net = MLP(64, 64, width=1024, depth=3, seed=0)
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    for layer in net.layers[:-1]:
        fan_in = layer.weight.shape[1]
        before = x.square().mean()
        pre = x @ layer.weight.T  # biases add 1 / (3 fan_in) to the variance; leave them out
        assert pre.square().mean() == pytest.approx(2 * before.item(), rel=0.1)
        assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in)
        x = torch.relu(pre)


@torch.no_grad()
def test_siren_distributions():
    """Theorem 1.8 of Sitzmann et al. 2020: hidden pre-activations are near N(0, 1), sine outputs near the arcsine law.

    Exactly, for zero biases and large width: the first layer's phases are spread, so its outputs have E sin² = 1/2 and
    the next pre-activations the variance v = 2 E sin² = 1; from there on v' = 1 - exp(-2 v), since E sin² of N(0, v) is
    (1 - exp(-2 v)) / 2. The fixed point is 0.797.
    """
    net = Siren(2, 1, width=1024, depth=5, seed=0)
    x = 2 * torch.rand(4096, 2, generator=torch.Generator().manual_seed(1)) - 1
    first = torch.sin(30 * net.layers[0](x))
    assert stats.kstest(first.flatten()[::1009].numpy(), stats.arcsine(loc=-1, scale=2).cdf).statistic < 0.03
    variance = 1.0
    x = torch.sin(30 * (x @ net.layers[0].weight.T))
    for layer in net.layers[1:-1]:
        angle = 30 * (x @ layer.weight.T)
        assert angle.mean().abs() < 0.02
        assert angle.var().item() == pytest.approx(variance, abs=0.03)
        assert stats.kstest(angle.flatten()[::1009].numpy(), "norm", (0, math.sqrt(variance))).statistic < 0.03
        x = torch.sin(angle)
        variance = 1 - math.exp(-2 * variance)
    assert variance == pytest.approx(0.797, abs=0.02)


@torch.no_grad()
def test_siren_weight_bounds():
    net = Siren(3, 2, width=400, depth=2, omega0=20.0)
    bounds = [1 / 3, math.sqrt(6 / 400) / 20, math.sqrt(6 / 400) / 20]
    for layer, bound in zip(net.layers, bounds, strict=True):
        assert layer.weight.abs().max() <= bound
        assert layer.weight.var() == pytest.approx(bound**2 / 3, rel=0.1)
