"""Flows: operators against closed forms, solutions against exact ones, elements against both, and what is refused."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.domains import Box, Time
from ungrid.equations.fluids import dissipation, divergence, material_derivative, viscous_force
from ungrid.operators import Jet
from ungrid.pde.gallery import exact_values
from ungrid.pde.systems import begin_with, even_counts, needs_system, separable_field, solve_system, system_terms
from ungrid.reference.flow_elements import solve_flow

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
