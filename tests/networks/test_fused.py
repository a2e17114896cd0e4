import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.networks import MLP, Siren, fused
from ungrid.networks.fused import divergences, mean_square_error

NETWORKS = {
    "siren": lambda: Siren(2, 3, width=48, depth=4, seed=1),
    "siren, one hidden layer": lambda: Siren(2, 1, width=20, depth=1, seed=1),
    "siren, two hidden layers": lambda: Siren(3, 2, width=20, depth=2, omega0=10.0, seed=1),
    "relu": lambda: MLP(40, 3, width=32, depth=3, seed=1),
    "relu, narrow": lambda: MLP(40, 3, width=2, depth=2, seed=1),
}
CHUNK = max(fused.CHUNK.values())
ROWS = 2 * CHUNK + 700  # two threads, each with a full chunk and a part of one


def batch(network, rows=ROWS):
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(rows, network.in_features, generator=generator) - 1
    return x, torch.rand(rows, network.out_features, generator=generator), torch.rand(rows, generator=generator)


def gradients(loss, network, *more):
    return torch.autograd.grad(loss, [*network.parameters(), *more])


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("weighted", [None, "(n,)", "(n, 1)"])
def test_loss_and_gradients_equal_the_plain_twin_in_double_precision(name, weighted):
    network = NETWORKS[name]()
    x, target, weight = batch(network)
    weight = {None: None, "(n,)": weight, "(n, 1)": weight[:, None]}[weighted]
    loss = network.fused_square_error(x, target, weight)
    assert "FusedMean" in type(loss.grad_fn).__name__
    twin = type(network)(**network.arguments()).double()
    twin.load_state_dict(network.state_dict())
    exact = mean_square_error(twin(x.double()), target.double(), None if weight is None else weight.double())
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    for ours, theirs in zip(gradients(3 * loss, network), gradients(3 * exact, twin), strict=True):
        assert ours.dtype == torch.float32
        assert ours.is_contiguous()
        assert relative(ours.double(), theirs) < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_by_the_features(name):
    network = NETWORKS[name]()
    x, target, _ = batch(network)
    x.requires_grad_()
    *_, ours = gradients(network.fused_square_error(x, target), network, x)
    *_, theirs = gradients(mean_square_error(network(x), target, None), network, x)
    assert relative(ours, theirs) < 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_is_close_and_unbiased_enough(name):
    """A bfloat16 number has a relative rounding error of at most 2^-9; errors of the layers add up."""
    network = NETWORKS[name]()
    x, target, weight = batch(network)
    full = network.fused_square_error(x, target, weight)
    low = network.fused_square_error(x, target, weight, precision="bfloat16")
    layers = len(network.layers)
    assert low.item() == pytest.approx(full.item(), rel=layers * 2.0**-8)
    for ours, theirs in zip(gradients(low, network), gradients(full, network), strict=True):
        assert relative(ours, theirs) < 4 * layers * 2.0**-8


@pytest.mark.parametrize("name", ["siren", "relu"])
def test_bfloat16_by_way_of_float32_is_bfloat16(name, monkeypatch):
    """Products of bfloat16 numbers are exact in float32, so that both differ by the order of sums and one last rounding."""
    network = NETWORKS[name]()
    x, target, _ = batch(network, 300)
    found = []
    for instructions in (True, False):
        monkeypatch.setattr(fused, "BFLOAT16", instructions)
        found.append(gradients(network.fused_square_error(x, target, precision="bfloat16"), network))
    for one, other in zip(*found, strict=True):
        assert relative(one, other) < 2 * len(network.layers) * 2.0**-8


@pytest.mark.parametrize("rows", [1, 5, fused.SMALLEST_PART + 1, CHUNK, 2 * CHUNK + 1])
def test_any_number_of_rows(rows):
    network = NETWORKS["siren"]()
    x, target, _ = batch(network, rows)
    ours = gradients(network.fused_square_error(x, target), network)
    theirs = gradients(mean_square_error(network(x), target, None), network)
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a, b) < 1e-4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_bits_again_and_the_threads_are_left_alone(precision):
    network = NETWORKS["siren"]()
    x, target, _ = batch(network)
    threads = torch.get_num_threads()
    first = gradients(network.fused_square_error(x, target, precision=precision), network)
    assert torch.get_num_threads() == threads
    again = gradients(network.fused_square_error(x, target, precision=precision), network)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_number_of_threads_does_not_matter():
    network = NETWORKS["siren"]()
    x, target, _ = batch(network)
    threads = torch.get_num_threads()
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(gradients(network.fused_square_error(x, target), network))
    torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(relative(a, b) < 1e-4 for a, b in zip(other, found[0], strict=True))


LOGISTIC = {name: lambda activation=name: MLP(40, 3, width=32, depth=3, activation=activation, output="logistic", seed=1)
            for name in ("relu", "tanh")}  # fmt: skip


@pytest.mark.parametrize("activation", LOGISTIC)
@pytest.mark.parametrize("weighted", [None, "(n,)", "(n, 1)"])
def test_divergence_and_gradients_equal_the_plain_twin_in_double_precision(activation, weighted):
    network = LOGISTIC[activation]()
    x, target, weight = batch(network)
    target[:100], target[100:200] = 0.0, 1.0
    weight = {None: None, "(n,)": weight, "(n, 1)": weight[:, None]}[weighted]
    loss = network.fused_divergence(x, target, weight)
    assert ("FusedMean" in type(loss.grad_fn).__name__) == (activation == "relu")
    twin = LOGISTIC[activation]().double()
    twin.load_state_dict(network.state_dict())
    values, wanted = twin(x.double()), target.double()
    entropy = torch.special.entr(wanted) + torch.special.entr(1 - wanted)
    parts = -(wanted.xlogy(values) + (1 - wanted).xlogy(1 - values) + entropy)
    exact = (parts if weight is None else parts * weight.double().reshape(-1, 1)).mean()
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    for ours, theirs in zip(gradients(3 * loss, network), gradients(3 * exact, twin), strict=True):
        assert relative(ours.double(), theirs) < 1e-4


def test_divergence_is_zero_at_the_target_alone_and_strong_where_the_output_is_sure_and_wrong():
    sums = torch.tensor([-30.0, -3.0, 0.0, 3.0, 30.0])
    itself, slope = divergences(sums, torch.sigmoid(sums))
    assert itself.abs().max() < 1e-6
    assert slope.abs().max() == 0
    errors, slopes = divergences(sums, torch.ones(5))
    assert torch.allclose(errors, -torch.nn.functional.logsigmoid(sums), atol=1e-6)
    assert slopes[0] == pytest.approx(-1.0)


def test_divergence_of_a_linear_output_is_refused():
    network = NETWORKS["relu"]()
    with pytest.raises(InputError, match="logistic"):
        network.fused_divergence(*batch(network)[:2])


def test_squares_of_a_logistic_output_are_those_of_its_values():
    network = LOGISTIC["relu"]()
    x, target, _ = batch(network, 9)
    assert torch.equal(network.fused_square_error(x, target), mean_square_error(network(x), target, None))


def test_what_is_not_fused_takes_the_plain_formula():
    cases = [
        (NETWORKS["siren"]().double(), torch.float64),
        (MLP(2, 3, width=8, depth=2, activation="tanh"), torch.float32),
        (MLP(2, 3, width=8, depth=0), torch.float32),
    ]
    for network, dtype in cases:
        x, target, weight = (part.to(dtype) for part in batch(network, 9))
        loss = network.fused_square_error(x, target, weight)
        assert loss.dtype == dtype
        assert "FusedMean" not in type(loss.grad_fn).__name__
        assert torch.equal(loss, mean_square_error(network(x), target, weight))
    learned = torch.zeros(9, 3, requires_grad=True)
    network = NETWORKS["siren"]()
    network.fused_square_error(batch(network, 9)[0], learned).backward()
    assert learned.grad.abs().sum() > 0


def test_second_derivatives_are_refused():
    network = NETWORKS["siren"]()
    x, target, _ = batch(network, 9)
    loss = network.fused_square_error(x, target)
    with pytest.raises(InputError, match="first derivatives"):
        torch.autograd.grad(loss, [network.layers[0].weight], create_graph=True)


def test_a_target_of_another_shape_is_refused():
    network = NETWORKS["siren"]()
    with pytest.raises(InputError, match=r"target of shape \(9, 1\)"):
        network.fused_square_error(torch.zeros(9, 2), torch.zeros(9, 1))


def test_training_meets_a_function():
    """A SIREN of 2,000 parameters represents one period of a product of sines to 1e-3 (variance 1/4)."""
    network = Siren(2, 1, width=32, depth=2, omega0=10.0, first_omega0=5.0, seed=0)
    x = 2 * torch.rand(512, 2, generator=torch.Generator().manual_seed(0)) - 1
    target = torch.sin(torch.pi * x).prod(dim=1, keepdim=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(200):
        optimiser.zero_grad()
        network.fused_square_error(x, target).backward()
        optimiser.step()
    fresh = 2 * torch.rand(512, 2, generator=torch.Generator().manual_seed(1)) - 1
    with torch.no_grad():
        error = (network(fresh) - torch.sin(torch.pi * fresh).prod(dim=1, keepdim=True)).square().mean()
    assert error < 1e-3
