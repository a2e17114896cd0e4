"""Two-sided bounds of the smallest eigenvalue of -Δ on a plane region.

Convention: ``-Δu = λ u``, u = 0 on the fixed parts of the boundary, ``∂u/∂n = 0`` on the others. From above by Rayleigh's
quotient of a piecewise cubic function w. From below by Lehmann 1949 and Goerisch 1985 (Goerisch and He 1990), in the form
with a shift γ > 0 that admits any σ in H(div) with no flux through the free parts: with ρ at most the second eigenvalue plus
γ,

    A0 = ∫ |∇w|² + γ w²,  A1 = ∫ w²,  A2 = ∫ |σ|² + (w + ∇·σ)² / γ,   τ = (A0 - ρ A1) / (A0 - 2 ρ A1 + ρ² A2) < 0,
    λ + γ >= ρ - ρ / (1 - τ).

The best σ is the flux of the mixed form of ``-Δz + γ z = w``. The rough ρ is Crouzeix's and Raviart's (`constants`), so that
the error of the result is a product of two errors of first order in the energy norm.
"""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import eigsh

from ungrid._base.errors import InputError
from ungrid.certificates.bound import Bound
from ungrid.certificates.cells import Cells, sorted_mesh
from ungrid.certificates.constants import eigenvalues_below, is_complete
from ungrid.certificates.correction import stiffness
from ungrid.certificates.data import Elliptic
from ungrid.certificates.elliptic import is_polygonal
from ungrid.certificates.enclosures import Enclosed
from ungrid.certificates.fluxes import Flux, solve_flux
from ungrid.certificates.lagrange import Interpolant, Space, evaluated
from ungrid.domains import Region
from ungrid.equations import Dirichlet, Neumann, Poisson, Problem
from ungrid.reference.finite_elements import grading_for, mesh_of

DEGREE = 3  # of the trial function
CELLS, COARSE = 32, 16  # along the longest extent, for the trial function and for the second eigenvalue


def smallest_eigenvalue(region: Region, *, fixed: tuple[str, ...] | None = None, mesh: Any = None) -> Bound:
    """Bounds of the smallest eigenvalue of -Δ.

    Args:
        region: of the plane.
        fixed: the parts of the boundary where u = 0; None for all.
        mesh: of scikit-fem, with the names of the region's parts; None makes one, graded at re-entrant corners.

    Returns:
        The bound, certified on polygons; its `certified_object` is the trial function, of norm 1 in L2.

    Raises:
        InputError: if the region is not plane, nothing is fixed, or the mesh cannot tell the first two eigenvalues apart.
    """
    if region.dim != 2:
        raise InputError(f"the eigenvalues of a region of dimension {region.dim}", "a plane region")
    parts = region.parts if fixed is None else fixed
    extent = float(np.max(region.high - region.low))
    cells = Cells(sorted_mesh(mesh_of(region, extent / CELLS, grading_for(region, DEGREE)) if mesh is None else mesh))
    coarse = Cells(sorted_mesh(mesh_of(region, extent / COARSE, 1.0)))
    data = Elliptic(_shifted(region, parts, 0.0), cells)
    w, about = _trial(data, Space(cells, DEGREE), parts)
    A0, A1 = (_square(cells, w, order) for order in (1, 0))
    quotient = float((A0 / A1).upper)
    second = float(eigenvalues_below(coarse, 2, parts)[1])
    if second <= quotient:
        raise InputError(f"a second eigenvalue that is only known to be above {second:.4g}", f"above {quotient:.4g}")
    lower = _lehmann(cells, w, _shifted(region, parts, about), second, (A0, A1), about)
    return Bound(
        quotient, lower, "smallest eigenvalue", "certified" if is_polygonal(region) and is_complete(coarse) else "estimated",
        (
            "the domain is that of the mesh, whose nodes are exact numbers",
            f"upper bound: Rayleigh's quotient of a function of degree {DEGREE}; lower bound: Lehmann and Goerisch",
            f"the second eigenvalue is above {second:.4g}, by a Crouzeix-Raviart eigenvalue, whose solver is backward stable",
            "integrals of polynomials are exact, and roundings are enclosed",
        ),
        mesh=cells.mesh, certified_object=w,
    )  # fmt: skip


def _shifted(region: Region, fixed: tuple[str, ...], shift: float) -> Problem:
    free = tuple(part for part in region.parts if part not in fixed)
    conditions: list[Any] = [Dirichlet(0.0, fixed)]
    return Problem(region, Poisson(0.0, reaction=shift), conditions + ([Neumann(0.0, free)] if free else []))


def _trial(data: Elliptic, space: Space, fixed: tuple[str, ...]) -> tuple[Interpolant, float]:
    """The first finite element mode, 0 on the fixed parts, and its rounded eigenvalue."""
    free = np.setdiff1d(np.arange(space.size), np.concatenate([space.on(part) for part in fixed]))
    rule = space.rule(2 * space.degree)
    mass = space.summed(np.einsum("cq,qn,qm->cnm", rule.weights, rule.values, rule.values, optimize=True))
    K, M = (sparse.csc_matrix(m[free][:, free]) for m in (stiffness(data, space), mass))
    found, modes = eigsh(K, k=1, M=M, sigma=0, v0=np.ones(len(free)))
    values = np.zeros(space.size)
    values[free] = modes[:, 0] / np.sqrt(modes[:, 0] @ (M @ modes[:, 0]))
    return Interpolant(space, values), float(found[0])


def _square(cells: Cells, w: Interpolant, order: int) -> Enclosed:
    """``∫ |∇w|²``, or ``∫ w²`` for the order 0."""
    k, local = w.space.degree, Enclosed(w.values[w.space.dofs])
    if order == 0:
        plain = cells.resampled(local, k, k)
        return cells.integrals(plain, plain, (k, k)).total()
    slopes = cells.gradient(local, k, k - 1)
    return (
        cells.integrals(slopes[0], slopes[0], (k - 1, k - 1)) + cells.integrals(slopes[1], slopes[1], (k - 1, k - 1))
    ).total()


def _lehmann(
    cells: Cells, w: Interpolant, shifted: Problem, second: float, squares: tuple[Enclosed, Enclosed], shift: float
) -> float:
    """The lower bound."""
    γ = Enclosed(shift)
    data = Elliptic(shifted, cells)
    flux = solve_flux(data, DEGREE, lambda ξ: evaluated(w.values[w.space.dofs], 2, w.space.degree, ξ))
    A0, A1, A2 = squares[0] + γ * squares[1], squares[1], _flux_square(cells, flux) + _defect(cells, w, flux) / γ
    ρ = Enclosed(second) + γ
    below = A0 - 2.0 * ρ * A1 + ρ * ρ * A2
    τ = (A0 - ρ * A1) / below
    if not below.lower > 0 or not τ.upper < 0:
        raise InputError("a mesh on which Lehmann's bound is empty", "a finer mesh")
    return float((ρ - ρ / (1.0 - τ) - γ).lower)


def _flux_square(cells: Cells, flux: Flux) -> Enclosed:
    p = flux.degree
    σ = flux.at(p)
    return (cells.integrals(σ[0], σ[0], (p, p)) + cells.integrals(σ[1], σ[1], (p, p))).total()


def _defect(cells: Cells, w: Interpolant, flux: Flux) -> Enclosed:
    """``∫ (w + ∇·σ)²``."""
    k = w.space.degree
    missed = cells.resampled(Enclosed(w.values[w.space.dofs]), k, k) + flux.divergence(k)
    return cells.integrals(missed, missed, (k, k)).total()
