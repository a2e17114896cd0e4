import copy

import pytest
import torch

from ungrid.solvers.orthogonal import Orthogonal, orthogonalised


@pytest.mark.parametrize("shape", [(48, 48), (32, 96), (96, 32)])
def test_singular_vectors_stay_and_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    assert values[0] > 3 * values[-1]
    inside = left.T @ orthogonalised(matrix) @ right.T
    diagonal = torch.diagonal(inside)
    assert (inside - torch.diag(diagonal)).abs().max() < 1e-9
    assert 0.6 < diagonal.min() < diagonal.max() < 1.3


def test_a_matrix_of_zeros_stays_at_rest():
    assert torch.equal(orthogonalised(torch.zeros(4, 5)), torch.zeros(4, 5))


def test_a_step_has_the_spectral_norm_of_the_rate_in_every_direction():
    """The gradient of a linear function is one matrix: Nesterov momentum of it has its direction."""
    weight = torch.nn.Parameter(torch.zeros(40, 40))
    slope = torch.randn(40, 40, generator=torch.Generator().manual_seed(1))
    (weight * slope).sum().backward()
    Orthogonal([weight], lr=0.1).step()
    values = torch.linalg.svdvals(weight.detach())
    assert 0.06 < values.min() < values.max() < 0.13
    assert (weight * slope).sum() < 0


def test_least_squares_of_an_ill_conditioned_problem_beat_gradient_steps():
    """Rows of a design with a condition number of 100: steepest descent at its stable rate has hardly moved the weak half."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.logspace(0, -2, 40)
    x = torch.randn(400, 40, generator=generator) * scales
    goal = torch.randn(40, 40, generator=generator) / 40**0.5
    y = x @ goal.T

    def error(weight):
        return ((x @ weight.T - y) ** 2).mean()

    found = {}
    for name in ("orthogonal", "gradient"):
        weight = torch.nn.Parameter(torch.zeros(40, 40))
        optimizer = Orthogonal([weight], lr=0.1) if name == "orthogonal" else torch.optim.SGD([weight], lr=10.0)
        for k in range(200):
            optimizer.param_groups[0]["lr"] = (0.1 if name == "orthogonal" else 10.0) * (1 - k / 200)
            optimizer.zero_grad()
            error(weight).backward()
            optimizer.step()
        found[name] = (weight.detach() - goal).norm() / goal.norm()
    assert found["orthogonal"] < 0.2 * found["gradient"]


def test_the_state_goes_through_a_checkpoint_to_the_same_bits():
    def steps(weight, optimizer, count, start):
        for k in range(start, start + count):
            weight.grad = torch.randn(33, 40, generator=torch.Generator().manual_seed(k))
            optimizer.step()

    whole = torch.nn.Parameter(torch.ones(33, 40))
    first = Orthogonal([whole], lr=0.02)
    steps(whole, first, 3, 0)
    again = torch.nn.Parameter(whole.detach().clone())
    second = Orthogonal([again], lr=0.02)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(whole, first, 3, 3)
    steps(again, second, 3, 3)
    assert torch.equal(whole, again)
