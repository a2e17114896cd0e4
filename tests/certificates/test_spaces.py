"""Reference matrices, spaces on meshes, and fluxes: against exact integrals, polynomials and the divergence theorem."""

import math
from fractions import Fraction

import numpy as np
import pytest
import skfem

from ungrid._base.errors import InputError
from ungrid.certificates import Certifier, lattices, raviart_thomas
from ungrid.certificates.cells import Cells, Facets, sorted_mesh
from ungrid.certificates.constants import box_constant, eigenvalues_below, friedrichs, is_complete
from ungrid.certificates.data import Elliptic
from ungrid.certificates.fluxes import solve_flux
from ungrid.certificates.lagrange import Interpolant, Space
from ungrid.domains import Ball, Box, Interval
from ungrid.equations import Dirichlet, Neumann, Poisson, Problem, Robin
from ungrid.reference.meshing import mesh

SQUARE = Box(x=(0, 1), y=(0, 1))
LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - SQUARE
LINE = Interval(x=(0, 2))


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5])
def test_the_basis_is_one_at_its_point_and_zero_at_the_others(dim, degree):
    at = lattices.points(dim, degree)
    assert np.array_equal(lattices.values(dim, degree, at).mid, np.eye(len(at)))
    assert len(at) == math.comb(degree + dim, dim)


@pytest.mark.parametrize("degrees", [(1, 1), (2, 4), (3, 3)])
def test_products_are_exact_integrals(degrees):
    found = lattices.products(2, *degrees)
    for i, φ in enumerate(lattices.basis(2, degrees[0])):
        for j, ψ in enumerate(lattices.basis(2, degrees[1])):
            mean = sum(
                (c * Fraction(2 * math.factorial(a) * math.factorial(b), math.factorial(a + b + 2))
                 for (a, b), c in (φ * ψ).terms.items()), start=Fraction(0),
            )  # fmt: skip
            assert abs(Fraction(float(found.mid[i, j])) - mean) <= Fraction(float(found.rad[i, j]))


@pytest.mark.parametrize("facet", [0, 1, 2])
def test_an_extension_has_its_values_on_the_edge_and_is_zero_on_the_others(facet):
    degree = 4
    values = np.array([0.0, 1.0, -2.0, 0.5, 0.0])
    inside = lattices.extension(degree, facet).mid @ values
    for other in range(3):
        at = lattices.facet_points(2, degree, other)
        found = lattices.values(2, degree, at).mid @ inside
        assert np.allclose(found, values if other == facet else 0.0, atol=1e-14)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("region", [LINE, LSHAPE], ids=["line", "lshape"])
def test_an_interpolant_is_exact_for_its_degree_anywhere(region, degree):
    space = Space(Cells(sorted_mesh(mesh(region, 0.4))), degree)

    def polynomial(x):
        return x[:, :1] ** degree - x[:, -1:] * 0.3 + 1

    v = Interpolant(space, polynomial(space.nodes.mid.T)[:, 0])
    points = region.sample(200, np.random.default_rng(0))
    assert np.allclose(v(points), polynomial(points), atol=1e-13)
    for part in region.parts:
        at = region.sample_boundary(20, np.random.default_rng(1), part=part).points
        near = np.abs(space.nodes.mid.T[space.on(part)][:, None] - at[None]).max(axis=-1).min(axis=0)
        assert near.max() < 0.5 / degree + 1e-12


def test_areas_are_enclosed_and_parts_keep_their_facets_when_cells_are_sorted():
    given = mesh(LSHAPE, 0.3, grading=0.5)
    cells = Cells(sorted_mesh(given))
    area = cells.volumes.total()
    assert area.lower <= 3.0 <= area.upper
    assert area.rad < 1e-13
    assert (np.diff(cells.mesh.t, axis=0) > 0).all()
    for part, facets in given.boundaries.items():
        nodes, same = (
            set(m.facets[:, f].ravel()) for m, f in ((given, facets), (cells.mesh, cells.mesh.boundaries[part]))
        )
        assert nodes == same


def test_quadrilaterals_and_flat_cells_are_refused():
    with pytest.raises(InputError, match="MeshQuad"):
        sorted_mesh(skfem.MeshQuad())
    flat = skfem.MeshTri(np.array([[0.0, 1, 2], [0, 1, 2]]), np.array([[0], [1], [2]]))
    with pytest.raises(InputError, match="flat"):
        _ = Cells(sorted_mesh(flat)).determinant


# -- fluxes -------------------------------------------------------------------------------------------------------------

FLUXES = {  # u = x² + y² + x, or x³ on the line
    "values": ([Dirichlet(lambda x, y: x**2 + y**2 + x)], -4.0),
    "Neumann": ([Neumann(lambda y: 2 * y, "y_high"), Dirichlet(lambda x, y: x**2 + y**2 + x)], -4.0),
    "Robin": (
        [Robin(lambda x: 2 + 3 * (x**2 + 1 + x), "y_high", coefficient=3.0), Dirichlet(lambda x, y: x**2 + y**2 + x)], -4.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLUXES)
def test_a_linear_flux_is_found_exactly_and_balances_the_source(name):
    conditions, source = FLUXES[name]
    cells = Cells(sorted_mesh(mesh(SQUARE, 0.3)))
    flux = solve_flux(Elliptic(Problem(SQUARE, Poisson(source), conditions), cells), 1)
    x = cells.points(2).mid
    assert np.allclose(flux.at(2).mid, np.stack([2 * x[0] + 1, 2 * x[1]]), atol=1e-11)
    assert np.allclose(flux.divergence(1).mid, 4.0, atol=1e-10)
    for facets in cells.facets("x_high"):
        assert np.allclose(flux.through(facets, 1).mid, 3 * cells.sizes(facets).mid[:, None], atol=1e-11)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_what_flows_out_of_a_cell_flows_into_the_next_and_is_the_integral_of_the_divergence(order):
    problem = Problem(LSHAPE, Poisson(lambda x, y: np.exp(x) * y, reaction=lambda x: 1 + x**2), [Dirichlet(0.0)])
    cells = Cells(sorted_mesh(mesh(LSHAPE, 0.5)))
    flux = solve_flux(Elliptic(problem, cells), order)
    every = [Facets(local, cells.mesh.t2f[local], np.arange(cells.count)) for local in range(3)]
    outflow = [flux.through(facets, order + 1) for facets in every]
    weights = lattices.means(1, order + 1).mid
    total = sum(one.mid @ weights for one in outflow)
    inside = cells.mean(flux.divergence(order), order) * cells.volumes
    assert np.allclose(total, inside.mid, atol=1e-12)
    both = np.zeros((cells.mesh.facets.shape[1], order + 2))
    np.add.at(both, cells.mesh.t2f.ravel(), np.concatenate([one.mid for one in outflow]))
    inner = cells.mesh.f2t[1] >= 0
    assert np.abs(both[inner]).max() < 1e-13


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_elements_basis_has_one_number_and_all_polynomials(dim, order):
    basis = raviart_thomas.basis(dim, order)
    assert len(basis) == ((order + 1) * (order + 3) if dim == 2 else order + 2)
    for k, v in enumerate(basis):
        assert raviart_thomas.numbers(dim, order, v) == [int(j == k) for j in range(len(basis))]


@pytest.mark.parametrize("order", [0, 1, 2])
def test_fluxes_converge_one_order_faster_than_their_order(order):
    def u(x, y):
        return np.sin(2 * x) * np.exp(y)

    problem = Problem(SQUARE, Poisson(lambda x, y: 3 * u(x, y)), [Dirichlet(u)])
    errors = []
    for h in (0.25, 0.125):
        cells = Cells(sorted_mesh(mesh(SQUARE, h)))
        x = cells.points(5).mid
        exact = np.stack([2 * np.cos(2 * x[0]) * np.exp(x[1]), u(*x)])
        off = solve_flux(Elliptic(problem, cells), order).at(5).mid - exact
        errors.append(np.sqrt(np.mean((off**2).sum(axis=0).mean(axis=-1))))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)


def test_a_flux_on_a_line_is_an_integral():
    problem = Problem(LINE, Poisson(lambda x: -6 * x), [Dirichlet(0.0, "x_low"), Neumann(12.0, "x_high")])
    cells = Cells(sorted_mesh(mesh(LINE, 0.3)))
    flux = solve_flux(Elliptic(problem, cells), 1)
    assert np.allclose(flux.at(2).mid, 3 * cells.points(2).mid ** 2, atol=1e-12)
    assert [flux.through(f, 1).mid.item() for f in cells.facets("x_high")] == [pytest.approx(12, abs=1e-13)]


# -- constants ----------------------------------------------------------------------------------------------------------


def test_constants_are_above_the_true_ones():
    assert 1 / (np.pi * np.sqrt(2)) <= box_constant(np.ones(2)) <= 1 / (np.pi * np.sqrt(2)) * (1 + 1e-12)
    assert friedrichs(LSHAPE, LSHAPE.parts, {}).value >= 9.6397238440**-0.5
    side = friedrichs(SQUARE, ("x_low",), {}).value
    assert 2 / np.pi <= side <= 1.03 * 2 / np.pi
    assert friedrichs(LINE, ("x_low",), {}).value == pytest.approx(4 / np.pi)
    β = 2.0  # √λ tan √λ = β on the unit interval, with Robin's condition at one end
    root = 1.0768739863118
    assert friedrichs(SQUARE, (), {"x_low": β}).value >= 1 / root
    assert friedrichs(SQUARE, (), {"x_low": β}).value <= 1.05 / root
    assert friedrichs(Interval(x=(0, 1)), (), {"x_low": β}).value >= 1 / root
    with pytest.raises(InputError, match="nothing fixes"):
        friedrichs(SQUARE, (), {})


@pytest.mark.parametrize("h", [0.5, 0.25, 0.1, 0.04])
def test_eigenvalues_of_the_square_are_bounded_from_below(h):
    cells = Cells(sorted_mesh(mesh(SQUARE, h)))
    exact = np.pi**2 * np.array([2, 5, 5, 8])
    found = eigenvalues_below(cells, 4, SQUARE.parts)
    assert (found <= exact).all()
    mixed = eigenvalues_below(cells, 2, ("x_low", "x_high"))
    assert (mixed <= np.pi**2 * np.array([1, 2])).all()
    assert is_complete(cells) == (h > 0.05)
    if h <= 0.1:
        assert (found >= 0.8 * exact).all()
        assert (mixed >= 0.95 * np.pi**2 * np.array([1, 2])).all()


def test_the_mesh_of_a_disc_is_not_the_disc():
    problem = Problem(Ball((0, 0), 1.0), Poisson(1.0), [Dirichlet(0.0)])
    assert Certifier(problem).kind == "estimated"
