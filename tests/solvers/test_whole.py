"""Steps on all weights: Jacobians against autograd, damped steps against least squares, quasi-Newton updates by their laws."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.encodings import Identity
from ungrid.fields import NeuralField
from ungrid.networks import MLP
from ungrid.objectives import Term, total_loss
from ungrid.operators import JetOperator, Jump
from ungrid.sampling import AllPoints, RandomPoints
from ungrid.solvers import Adam, Limits, Outcome, fit_terms
from ungrid.solvers.gauss_newton import Damped, GaussNewton
from ungrid.solvers.quasi_newton import LBFGS, Broyden, Matrix, coefficients
from ungrid.solvers.whole import Whole

DOMAIN = pde.Box(x=(0, 2), y=(-1, 1))
AXES = ("x", "y")


def network(components=2, width=5, **options):
    names = tuple("uv"[:components])
    return NeuralField(
        DOMAIN, Identity(2), MLP(2, components, width=width, depth=2, activation="tanh", **options), out_names=names
    ).double()


def drawn(n, seed=0):
    return torch.from_numpy(DOMAIN.sample(n, np.random.default_rng(seed)))


def system(u):
    """Both components, nonlinear and of second order, and their product."""
    first = u.d("x", "x")[:, :1] + u.value[:, 1:] * u.d("y")[:, :1]
    return torch.cat([first, u.d("x", "y")[:, 1:] - u.value[:, :1] ** 3], dim=1)


def terms():
    weight = torch.linspace(1, 2, 6, dtype=torch.float64)
    return [
        Term(points=AllPoints(drawn(7)), operator=JetOperator(system, AXES), weight=2.0, name="equation"),
        Term(
            points=AllPoints(drawn(6, 1), torch.ones(6, 1, dtype=torch.float64), weight),
            operator=JetOperator(lambda u: u.value[:, 1:], AXES), name="measured",
        ),
        Term(points=AllPoints(drawn(5, 2)), operator=Jump((0,), (0.5, 0.0), AXES), weight=3.0, name="periodic"),
    ]  # fmt: skip


def whole(u, some):
    return Whole(u, some, [term.points.draw(0, torch.Generator()) for term in some])


def test_the_rows_squares_add_up_to_the_objective():
    u, some = network(), terms()
    batches = [term.points.draw(0, torch.Generator()) for term in some]
    rows = whole(u, some).residual()
    torch.testing.assert_close(rows.square().sum(), total_loss(u, some, batches).detach())


def test_the_jacobian_is_that_of_autograd_row_by_row():
    u, some = network(), terms()
    jacobian, residual = whole(u, some).system()
    start = whole(u, some).weights
    torch.testing.assert_close(whole(u, some).residual(), residual)

    def rows(weights):
        other = whole(u, some)
        other.weights = weights
        return other.residual()

    step = 1e-6
    for k in range(0, len(start), 7):
        unit = torch.zeros_like(start)
        unit[k] = step
        torch.testing.assert_close(
            (rows(start + unit) - rows(start - unit)) / (2 * step), jacobian[:, k], rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_a_damped_step_solves_the_extended_least_squares_problem(shape):
    """``min |r + J d|² + μ |d|²``, tall and wide: by Woodbury's identity the same step."""
    generator = torch.Generator().manual_seed(0)
    jacobian = torch.randn(*shape, generator=generator, dtype=torch.float64)
    residual = torch.randn(shape[0], generator=generator, dtype=torch.float64)
    mu = 0.3 * float(jacobian.square().sum()) / shape[1]
    extended = torch.cat([jacobian, math.sqrt(mu) * torch.eye(shape[1], dtype=torch.float64)])
    right = torch.cat([-residual, torch.zeros(shape[1], dtype=torch.float64)])
    expected = torch.linalg.lstsq(extended, right[:, None], driver="gelsd").solution[:, 0]
    torch.testing.assert_close(Damped(jacobian, residual).step(0.3), expected)


def poisson():
    """-Δu = 2 sin x sin y in two terms; the solution sin x sin y is smooth."""
    points = drawn(300)
    border = torch.from_numpy(DOMAIN.sample_boundary(100, np.random.default_rng(1)).points)

    def equation(u):
        return u.laplacian() + 2 * torch.sin(u.coordinate("x")) * torch.sin(u.coordinate("y"))

    def condition(u):
        return u.value - torch.sin(u.coordinate("x")) * torch.sin(u.coordinate("y"))

    return [
        Term(points=AllPoints(points), operator=JetOperator(equation, AXES), name="equation"),
        Term(points=AllPoints(border), operator=JetOperator(condition, AXES), weight=10.0, name="border"),
    ]


@pytest.mark.parametrize(
    ("solver", "steps", "loss"), [(GaussNewton(), 60, 1e-6), (Broyden(), 300, 1e-6), (LBFGS(), 40, 1e-4)]
)
def test_every_strategy_brings_the_loss_down_and_never_up(solver, steps, loss):
    u, some = network(components=1, width=10), poisson()
    batches = [term.points.draw(0, torch.Generator()) for term in some]
    begin = float(total_loss(u, some, batches).detach())
    state, losses = solver.init(u, some), [begin]
    for _ in range(steps):
        state = solver.step(u, some, state)
        losses.append(float(total_loss(u, some, batches).detach()))
        if state.settled:
            break
    assert losses[-1] < loss < begin
    assert all(later <= earlier for earlier, later in pairwise(losses))


def test_gauss_newton_ends_a_linear_problem_within_a_few_steps():
    """A network whose last layer alone is free is linear; with hardly any damping a few steps solve it to rounding."""
    u = network(components=1, width=6)
    for layer in u.network.layers[:-1]:
        for p in layer.parameters():
            p.data.mul_(0)
    target = torch.full((40, 1), 0.7, dtype=torch.float64)
    some = [Term(points=AllPoints(drawn(40), target), operator=JetOperator(lambda u: u.value, AXES))]
    result = fit_terms(u, some, GaussNewton(damping=1e-14), Limits(steps=20))
    assert result.outcome is Outcome.converged
    assert result.stats["steps"] <= 6
    assert result.history[-1]["loss"] < 1e-20


def test_an_update_maps_the_change_of_the_gradient_to_the_step_and_stays_positive():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    hessian, matrix = root @ root.T + np.eye(6), Matrix(6)
    for _ in range(12):
        gradient = rng.standard_normal(6)
        direction = -matrix.values @ gradient
        length = rng.uniform(0.2, 2.0)
        s = length * direction
        y = hessian @ s
        matrix.updated(s, y, -length * float(s @ gradient))
        np.testing.assert_allclose(matrix.values @ y, s, rtol=1e-9, atol=1e-11)
        assert np.linalg.eigvalsh((matrix.values + matrix.values.T) / 2).min() > 0
    kept = matrix.values.copy()
    matrix.updated(s, -y, 1.0)  # of a function that is not convex there: left out
    np.testing.assert_array_equal(matrix.values, kept)


def test_where_the_matrix_is_exact_the_update_is_that_of_bfgs():
    """b = h = 1: no scaling, and φ of Broyden's family is not below that of the BFGS update."""
    phi, tau = coefficients(1.0, 1.0, 6)
    assert tau == pytest.approx(1.0, abs=1e-5)
    assert phi == pytest.approx(1.0, abs=1e-5)


def test_what_they_refuse():
    u = network(components=1)
    random = [Term(points=RandomPoints(drawn(9), size=3), operator=JetOperator(lambda u: u.value, AXES))]
    for solver in (Broyden(), LBFGS()):
        with pytest.raises(InputError, match="the same at every step"):
            solver.init(u, random)
    with pytest.raises(InputError, match="at most"):
        Broyden().init(network(width=100), terms())
    with pytest.raises(InputError, match="double precision"):
        GaussNewton().init(u.float(), terms())
    third = [Term(points=AllPoints(drawn(3)), operator=JetOperator(lambda u: u.d("x", "x", "x"), AXES))]
    with pytest.raises(InputError, match="order 3"):
        whole(u.double(), third)
    plain = [Term(points=AllPoints(drawn(3)))]
    with pytest.raises(InputError, match="a JetOperator or a Jump"):
        whole(u, plain)


@pytest.mark.parametrize("solver", [GaussNewton(), Broyden(), LBFGS(), Adam()])
def test_a_state_survives_a_checkpoint(solver):
    """Two steps from a state that was written and read again are the two steps without."""
    u, some = network(components=1, width=6), poisson()
    state = solver.init(u, some)
    for _ in range(2):
        state = solver.step(u, some, state)
    kept = {name: value.clone() for name, value in u.state_dict().items()}
    memory = copy.deepcopy(state.optimizer.state_dict())
    other = network(components=1, width=6)
    other.load_state_dict(kept)
    again = solver.init(other, some)
    again.optimizer.load_state_dict(memory)
    again.step = state.step
    a, b = solver.step(u, some, state).loss, solver.step(other, some, again).loss
    assert a == pytest.approx(b, rel=1e-9)
