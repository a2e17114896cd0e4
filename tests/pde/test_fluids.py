"""Flows: operators against closed forms, solutions against exact ones, elements against both, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.domains import Box, Time
from ungrid.encodings import ElasticCorner, Multipoles
from ungrid.equations import Problem
from ungrid.equations.fluids import dissipation, divergence, material_derivative, viscous_force
from ungrid.operators import Jet
from ungrid.pde.corners import flow_corners
from ungrid.pde.gallery import exact_values
from ungrid.pde.systems import (
    begin_with,
    even_counts,
    needs_system,
    separable_field,
    solve_system,
    stream_velocity,
    system_terms,
)
from ungrid.pde.terms import EQUATION
from ungrid.reference.flow_elements import solve_flow
from ungrid.sampling import AllPoints

PI = np.pi


class Formula(torch.nn.Module):
    """A closed form with the names of its axes, differentiated by autograd."""

    def __init__(self, domain, function):
        super().__init__()
        self.domain, self.function = domain, function

    def forward(self, x):
        return torch.stack(self.function(*x.unbind(dim=-1)), dim=-1)


PLANE = Box(x=(0, 1), y=(0, 1)) * Time(0, 1)
AT = torch.from_numpy(PLANE.sample(40, np.random.default_rng(0)))


def jet_of(function):
    return Jet(Formula(PLANE, function), AT)


def test_what_is_carried_along_has_no_material_derivative():
    u = jet_of(lambda x, y, t: (torch.sin(3 * (x - 2 * t)) * torch.cos(y + t),))
    assert material_derivative(u, 0, (2.0, -1.0)).abs().max() < 1e-12
    with pytest.raises(InputError, match="one for each of x, y"):
        material_derivative(u, 0, (2.0,))


def test_a_rigid_rotation_and_an_even_expansion_dissipate_nothing_but_shear_does():
    turning = jet_of(lambda x, y, t: (-y, x))
    shear = jet_of(lambda x, y, t: (3 * y, 0 * x))
    assert dissipation(turning, 2.0).abs().max() < 1e-14
    assert divergence(turning).abs().max() < 1e-14
    torch.testing.assert_close(dissipation(shear, 2.0), torch.full((40, 1), 18.0, dtype=torch.float64))


def test_the_work_of_friction_is_dissipation_plus_the_work_of_the_viscous_force():
    """``∇·(τ u) = u·(∇·τ) + Φ``, by derivatives of the written-out left side (Landau and Lifshitz 1987, section 16)."""

    def velocity(x, y, t):
        return torch.sin(2 * x + y), torch.cos(x - 3 * y) * (1 + t)

    def worked(x, y, t):
        z = torch.stack([x, y]).detach().requires_grad_()
        u, v = velocity(z[0], z[1], t)
        (ux, uy), (vx, vy) = (torch.autograd.grad(q.sum(), z, create_graph=True)[0] for q in (u, v))
        spread = 2 / 3 * (ux + vy)
        flux = (2 * ux - spread) * u + (uy + vx) * v, (uy + vx) * u + (2 * vy - spread) * v
        return sum(torch.autograd.grad(f.sum(), z, retain_graph=True)[0][k] for k, f in enumerate(flux))

    jet = jet_of(velocity)
    force = sum(jet.value[:, k : k + 1] * viscous_force(jet, k, 1.0) for k in range(2))
    torch.testing.assert_close((force + dissipation(jet, 1.0))[:, 0], worked(*AT.unbind(dim=1)))


def vanishes(equation, function):
    """The largest residual of a closed form."""
    return float(equation.residual(jet_of(function)).detach().abs().max())


def test_taylors_and_greens_vortices_solve_both_forms():
    nu = 0.3

    def stream(x, y, t):
        fading = torch.exp(-2 * nu * t)
        return -torch.cos(x) * torch.cos(y) * fading, -(torch.cos(2 * x) + torch.cos(2 * y)) / 4 * fading**2

    def plain(x, y, t):
        fading = torch.exp(-2 * nu * t)
        return torch.cos(x) * torch.sin(y) * fading, -torch.sin(x) * torch.cos(y) * fading, stream(x, y, t)[1]

    assert vanishes(pde.StreamFlow(nu), stream) < 1e-12
    assert vanishes(pde.NavierStokes(nu), plain) < 1e-12


def test_the_energy_of_a_heated_channel_has_all_terms():
    """Poiseuille's flow u = y (1 - y), p = -2 μ x: k T'' = -Φ - u p_x, with T a polynomial of y."""
    mu, k = 0.7, 0.4

    def channel(x, y, t):
        temperature = -mu / k * ((y**2 / 2 - 2 * y**3 / 3 + y**4 / 3) + (-(y**3) / 3 + y**4 / 6))
        return y * (1 - y), 0 * x, -2 * mu * x, temperature

    assert vanishes(pde.HeatedFlow(viscosity=mu, conductivity=k), channel) < 1e-12
    assert vanishes(pde.HeatedFlow(viscosity=mu, conductivity=k, pressure_work=False), channel) > 0.1


def test_a_gas_that_is_compressed_without_friction_keeps_its_entropy():
    def squeezed(x, y, t):
        length = 1 - t / 2
        return length**-2, -x / 2 / length, -y / 2 / length, length**-0.8

    assert vanishes(pde.IdealGas(viscosity=0.0, conductivity=0.3), squeezed) < 1e-11
    assert vanishes(pde.IdealGas(viscosity=0.0, conductivity=0.3, ratio=1.3), squeezed) > 0.1


def relative(found, truth):
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize(("name", "count", "goal"), [("kovasznay", 17, 1e-4), ("isentropic", 18, 1e-5)])
def test_a_separable_network_holds_flows(name, count, goal):
    """Spectral accuracy: a third more functions along an axis would gain two digits."""
    problem = pde.example(name).make()
    counts = even_counts(problem, count)
    field = separable_field(problem, counts)
    begin_with(field, problem)
    found = solve_system(field, problem, system_terms(problem, field, counts, seed=0))
    points = pde.check_points(problem, 0)
    truth = exact_values(problem, pde.example(name).exact, points)
    for k in range(truth.shape[1]):
        assert relative(field(points)[:, k], truth[:, k]) < goal
    assert needs_system(problem)
    assert found.residuals[-1] < 1e-4 * found.residuals[0]


def test_solve_takes_flows():
    result = pde.solve(pde.example("isentropic").make(), budget=0.01)
    assert result.stats["method"].startswith("separable")
    assert result.stats["relative_residual"] < 0.1


def test_a_stream_function_has_no_divergence():
    problem = pde.example("taylor-green").make()
    field = separable_field(problem, (5, 5, 4))
    with torch.no_grad():
        field.network.weight.copy_(torch.randn(field.network.weight.shape, generator=torch.Generator().manual_seed(0)))
    points = torch.from_numpy(problem.domain.sample(20, np.random.default_rng(1)))
    jet = Jet(field, points)
    along, across = pde.stream_velocity(field, points.numpy()).T
    np.testing.assert_allclose(along, jet.d("y")[:, 0].detach())
    np.testing.assert_allclose(across, -jet.d("x")[:, 0].detach())
    torch.testing.assert_close(jet.d("x", "y"), jet.d("y", "x"))


def test_elements_reach_their_order():
    """Taylor's and Hood's velocities are of third order, Kovasznay's flow smooth."""
    problem = pde.example("kovasznay").make()
    points = pde.check_points(problem, 0)
    truth = exact_values(problem, pde.example("kovasznay").exact, points)
    coarse, fine = (relative(solve_flow(problem, h=h)(points)[:, :2], truth[:, :2]) for h in (1 / 4, 1 / 8))
    assert 2.5 < np.log2(coarse / fine) < 3.7


def test_what_is_refused():
    with pytest.raises(InputError, match="viscosity"):
        pde.NavierStokes(-1.0)
    with pytest.raises(InputError, match="one for each axis"):
        pde.Problem(Box(x=(0, 1), y=(0, 1), z=(0, 1)), pde.NavierStokes(1.0), [pde.Dirichlet(0.0)])
    with pytest.raises(InputError, match="the unknown 'T'"):
        pde.NavierStokes(1.0).hold("T", 0.0)
    with pytest.raises(InputError, match="steady incompressible"):
        solve_flow(pde.example("poisson-square").make(), h=0.5)


def under_a_lid(speed: Callable[[np.ndarray], np.ndarray] | float, viscosity: float = 0.01) -> Problem:
    flow = pde.StreamFlow(viscosity)
    conditions = [*flow.velocity((speed, 0.0), "y_high"), *flow.velocity((0.0, 0.0))]
    return Problem(pde.Box(x=(0, 1), y=(0, 1)), flow, conditions)


@pytest.mark.parametrize(
    ("speed", "corners", "exponents"),
    [(1.0, 2, (1, 2, 3)), (lambda x: 4 * x * (1 - x), 2, (2, 3, 4)), (lambda x: (x * (1 - x)) ** 2, 0, ())],
)
def test_corners_of_a_lid_get_what_its_speed_makes_singular(
    speed: Callable[[np.ndarray], np.ndarray] | float, corners: int, exponents: tuple[int, ...]
) -> None:
    found = [part for part in flow_corners(under_a_lid(speed)) if isinstance(part, ElasticCorner)]
    assert len(found) == corners
    assert all(tuple(real for real, _ in part.exponents) == exponents for part in found)
    assert {part.vertex[1] for part in found} <= {1.0}  # the upper ones, in unit coordinates


def test_no_corner_of_a_smooth_flow_is_singular() -> None:
    """Kovasznay's flow on the boundary of a box: velocities whose divergence vanishes at every corner."""
    assert flow_corners(pde.example("kovasznay").make()) == ()


@pytest.mark.parametrize("order", [0, 1])
def test_slow_flow_at_the_corner_of_a_lid_is_in_the_span(order: int) -> None:
    """Moffatt 1964: ``ψ = r^(order + 1) f(θ)`` with f from the four conditions on its edges, with its pressure.

    θ counts from the wall, which lies at 0; the lid lies at π/2 and moves to the right with speed r^order.
    """
    speed = 1.0 if order == 0 else (lambda x: 4 * x * (1 - x))
    parts = [part for part in flow_corners(under_a_lid(speed)) if part_at(part) == (-1.0, 1.0)]
    rng = np.random.default_rng(0)
    r, theta = rng.uniform(0.05, 1.9, 300), rng.uniform(0, np.pi / 2, 300)
    x = torch.from_numpy(np.stack([r * np.sin(theta) - 1, 1 - r * np.cos(theta)], axis=1))
    n = order + 1
    basis = np.stack([np.sin(theta), np.cos(theta), theta * np.sin(theta), theta * np.cos(theta)] if order == 0 else
                     [np.sin(2 * theta), np.cos(2 * theta), theta, np.ones_like(theta)])  # fmt: skip
    half = np.pi / 2
    rows = {  # f(0), f'(0), f(π/2), f'(π/2): at rest but for the lid, along which ∂ψ/∂n is its speed
        0: [[0, 1, 0, 0], [1, 0, 0, 1], [1, 0, half, 0], [0, -1, 1, -half]],
        1: [[0, 1, 0, 1], [2, 0, 1, 0], [0, -1, half, 1], [-2, 0, 1, 0]],
    }[order]
    f = np.linalg.solve(np.array(rows, dtype=float), [0, 0, 0, 1]) @ basis
    smooth = torch.stack([x[:, 0] ** i * x[:, 1] ** j for i in range(4) for j in range(4)], dim=1)
    features = torch.cat([*(part(x) for part in parts), smooth], dim=1).numpy()
    solution = np.linalg.lstsq(features, r**n * f, rcond=1e-14)[0]
    np.testing.assert_allclose(features @ solution, r**n * f, atol=1e-10)


def part_at(part: ElasticCorner | Multipoles) -> tuple[float, float]:
    return part.vertex if isinstance(part, ElasticCorner) else part.center


def test_a_lid_with_one_speed_up_to_its_corners() -> None:
    """At Reynolds number 100, the extreme velocities on the middle lines in Botella and Peyret 1998, to 0.5 %."""
    problem = under_a_lid(1.0)
    u = separable_field(problem, (22, 22))
    terms = []
    for term in system_terms(problem, u, (22, 22), seed=0):
        assert isinstance(term.points, AllPoints)
        points = term.points.batch.points
        corners = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=points.dtype)
        distance = torch.cdist(points, corners).min(dim=1).values
        weight = (distance / 0.3).clamp(min=1e-4, max=1.0) ** (3 if term.name == EQUATION else 2)
        terms.append(replace(term, points=AllPoints(points, None, weight)))
    solve_system(u, problem, terms)
    line, middle = np.linspace(0, 1, 501), np.full(501, 0.5)
    along = stream_velocity(u, np.column_stack([middle, line]))[:, 0]
    across = stream_velocity(u, np.column_stack([line, middle]))[:, 1]
    found = [along.min(), across.max(), across.min()]
    np.testing.assert_allclose(found, [-0.2140424, 0.1795728, -0.2538030], rtol=5e-3)
