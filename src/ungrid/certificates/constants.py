"""Guaranteed constants: Friedrichs's for a problem, and lower bounds of eigenvalues by Crouzeix's and Raviart's elements.

Convention: ``|w| <= C |∇w|`` in L2 for all w that vanish on Dirichlet's parts, where the squared right side also has ``β
|w|²`` in L2 of Robin's parts. In a box with the edges L_i and with w = 0 all around, ``1 / C² = π² Σ 1 / L_i²``. Else, with
the smallest eigenvalue λ of the piecewise linear functions that are continuous in the middles of the edges, on triangles of
at most the diameter h,

    1 / C² >= λ / (1 + κ² h² λ),   κ² = 1/8 + 1/j²,   j the first zero of Bessel's J_1

for every k-th eigenvalue of the Laplacian (Carstensen and Gedicke 2014; Liu 2015), with mixed conditions too: the
interpolation by the means over edges keeps what the proof needs, the orthogonality of the gradients and the zeros, and does
not enlarge the norm on the boundary.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy import sparse
from scipy.sparse.linalg import eigsh

from ungrid._base.errors import InputError
from ungrid.certificates.cells import Cells, sorted_mesh
from ungrid.domains import Region
from ungrid.reference.finite_elements import mesh_of

KAPPA_SQUARED = 0.19312  # of 1/8 + 1 / 3.83170597² = 0.193111, from above
COARSE = 8  # cells along the longest extent for the constant of mixed conditions
DENSE = 2000  # edges of a mesh: eigenvalues of more are found by iteration
SLACK = 1e-9  # of computed eigenvalues: far more than the backward error of the symmetric eigenvalue solver
FINER = 1.001  # the constant of a mesh whose nodes on slanted edges differ by a rounding error from another mesh's


@dataclass(frozen=True)
class Constant:
    """``|w| <= value |∇w|``.

    Attributes:
        value: from above.
        reason: in words.
        proven: whether no step rests on an iteration that might miss an eigenvalue.
    """

    value: float
    reason: str
    proven: bool = True


def box_constant(extents: np.ndarray) -> float:
    """The constant of a box for functions that are 0 all around, from above."""
    squares = math.fsum(1 / float(np.nextafter(length, np.inf)) ** 2 for length in extents)
    return float(1 / (math.pi * np.sqrt(squares)) * (1 + 1e-14))


def friedrichs(region: Region, fixed: tuple[str, ...], robin: dict[str, float]) -> Constant:
    """The constant of a region.

    Args:
        region: an interval or a plane region.
        fixed: the parts of the boundary where functions are 0.
        robin: the weight β of the norm on parts of the boundary.

    Raises:
        InputError: if nothing holds the functions, or a line has more than two ends.
    """
    if set(fixed) == set(region.parts):
        return Constant(box_constant(region.high - region.low), "Friedrichs's constant of a box around the domain")
    if not fixed and not robin:
        raise InputError("functions that nothing fixes", "a value, or a condition of Robin's kind, on a part")
    if region.dim == 1:
        return Constant(_line_constant(region, fixed, robin), "Friedrichs's constant by integration along the line")
    cells = Cells(sorted_mesh(mesh_of(region, float(np.max(region.high - region.low)) / COARSE, 1.0)))
    λ = float(eigenvalues_below(cells, 1, fixed, robin)[0])
    reason = "Friedrichs's constant by a Crouzeix-Raviart eigenvalue"
    return Constant(FINER / math.sqrt(λ), reason, is_complete(cells))


def is_complete(cells: Cells) -> bool:
    """Whether all eigenvalues of a mesh are computed, so that none can be missed."""
    return int(cells.mesh.facets.shape[1]) <= DENSE


def _line_constant(region: Region, fixed: tuple[str, ...], robin: dict[str, float]) -> float:
    """With an end where w = 0: 2 L / π. Else by ``w(x)² <= 2 w(0)² + 2 x |∇w|²``: C² = max(2 L / β, L²)."""
    length = float(region.high[0] - region.low[0])
    if len(region.parts) != 2:
        raise InputError("an interval in pieces, with conditions other than values", "one interval")
    if fixed:
        return 2 * length / math.pi * (1 + 1e-14)
    return math.sqrt(max(2 * length / max(robin.values()), length**2)) * (1 + 1e-14)


def eigenvalues_below(
    cells: Cells, count: int, fixed: tuple[str, ...], robin: dict[str, float] | None = None
) -> np.ndarray:
    """Lower bounds of the first eigenvalues (count,) of ``-Δu = λ u``, u = 0 on the fixed parts, no flux on the others.

    Args:
        cells: triangles.
        count: how many.
        fixed: names of parts of the boundary.
        robin: β of the condition ``∂u/∂n + β u = 0`` on parts.
    """
    λ = crouzeix_raviart(cells, count, fixed, robin or {})
    h = float(cells.diameters.max())
    return np.asarray(λ / (1 + KAPPA_SQUARED * h**2 * λ) * (1 - 1e-14))


def crouzeix_raviart(cells: Cells, count: int, fixed: tuple[str, ...], robin: dict[str, float]) -> np.ndarray:
    """The first eigenvalues (count,) of the piecewise linear functions that are continuous in the middles of edges."""
    stiffness, mass = _matrices(cells, robin)
    held = [np.asarray(cells.mesh.boundaries[part]) for part in fixed]
    free = np.setdiff1d(np.arange(len(mass)), np.concatenate(held) if held else [])
    roots = np.sqrt(mass[free])
    scaled = sparse.csr_array(stiffness[free][:, free] / roots[:, None] / roots[None])
    scaled = (scaled + scaled.T) / 2
    size = float(np.abs(scaled).sum(axis=1).max())
    if is_complete(cells):
        found = scipy.linalg.eigvalsh(scaled.toarray(), subset_by_index=(0, count - 1))
    else:
        found = np.sort(eigsh(sparse.csc_matrix(scaled), k=count, sigma=0, return_eigenvectors=False))
    return np.asarray(found * (1 - SLACK) - 2.0**-48 * size)


def _matrices(cells: Cells, robin: dict[str, float]) -> tuple[sparse.csr_array, np.ndarray]:
    """Stiffness with Robin's term, for the means over the edges, and the diagonal of the mass matrix."""
    mesh, volumes = cells.mesh, cells.volumes.mid
    inverse = np.linalg.inv(np.moveaxis(cells.jacobian.mid, -1, 0))
    slopes = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)  # of λ_0, λ_1, λ_2
    against = -2 * slopes[:, [2, 0, 1]]  # of 1 - 2 λ_opposite, for the edges in the mesh's order
    local = np.einsum("cik,cjk,c->cij", against, against, volumes)
    rows = np.broadcast_to(mesh.t2f.T[:, :, None], local.shape)
    columns = np.broadcast_to(mesh.t2f.T[:, None, :], local.shape)
    count = mesh.facets.shape[1]
    matrix = sparse.coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(count, count))
    mass = np.bincount(mesh.t2f.ravel(), np.tile(volumes / 3, 3), count)
    added = np.zeros(count)
    for part, β in robin.items():
        for facets in cells.facets(part):
            added[facets.numbers] += β * cells.sizes(facets).lower
    return sparse.csr_array(matrix + sparse.diags_array(added)), mass
