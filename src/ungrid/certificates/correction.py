"""The finite element solution of what a field lacks: its energy norm is the lower bound of the error's.

Convention: matrices and solutions are rounded; a lower bound needs only that a function is 0 on Dirichlet's parts, not how
it was found.
"""

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from ungrid.certificates import lattices
from ungrid.certificates.cells import Facets
from ungrid.certificates.data import SAMPLED, Elliptic
from ungrid.certificates.enclosures import Enclosed
from ungrid.certificates.lagrange import Space
from ungrid.certificates.residuals import Local, Residual
from ungrid.equations import Dirichlet, Robin

ORDER = 10  # of the quadrature of the matrix for variable coefficients, which need not be exact


class Correction:
    """Finite element solutions of one bilinear form, 0 on Dirichlet's parts: what a field lacks.

    Args:
        data: of the problem.
        space: of the corrections.
    """

    def __init__(self, data: Elliptic, space: Space) -> None:
        self.space = space
        fixed = [space.on(part) for _, part in data.conditions(Dirichlet)]
        self.free = np.setdiff1d(np.arange(space.size), np.concatenate(fixed) if fixed else [])
        matrix = stiffness(data, space)
        self.factors = splu(sparse.csc_matrix(matrix[self.free][:, self.free]), permc_spec="MMD_AT_PLUS_A")

    def numbers(self, residual: Residual) -> np.ndarray:
        """Of the w with ``a(w, φ) = a(u - v, φ)`` for the functions φ of the space: (size,)."""
        w = np.zeros(self.space.size)
        w[self.free] = self.factors.solve(residual.vector(self.space)[self.free])
        return w

    def __call__(self, residual: Residual) -> Local:
        """That w, cell by cell."""
        return Local(Enclosed(self.numbers(residual)[self.space.dofs]), self.space.degree)


def stiffness(data: Elliptic, space: Space) -> sparse.csr_array:
    """The rounded matrix of a(·, ·)."""
    rule = space.rule(ORDER if data.diffusion.degree(SAMPLED[0]) or data.has_reaction else 2 * space.degree)
    A = data.diffusion.plain(rule.points, data.everywhere)
    slopes = rule.gradients
    turned = A[None, ..., None] * slopes if A.ndim == 2 else np.einsum("ijcq,jcqn->icqn", A, slopes)
    local = np.matmul(_rows(turned * rule.weights[..., None]), np.swapaxes(_rows(slopes), 1, 2))
    if data.has_reaction:
        c = data.reaction.plain(rule.points, data.everywhere) * rule.weights
        local = local + np.einsum("cq,qn,qm->cnm", c, rule.values, rule.values, optimize=True)
    total = space.summed(local)
    for condition, part in data.conditions(Robin):
        assert isinstance(condition, Robin)
        for facets in data.cells.facets(part):
            total = total + _robin_matrix(data, space, condition, facets)
    return total


def _rows(slopes: np.ndarray) -> np.ndarray:
    """Vectors (dim, cells, q, n) as rows (cells, n, dim q)."""
    return np.ascontiguousarray(np.moveaxis(slopes, (1, 3), (0, 1))).reshape(slopes.shape[1], slopes.shape[3], -1)


def _robin_matrix(data: Elliptic, space: Space, condition: Robin, facets: Facets) -> sparse.csr_array:
    """With κ α constant along a facet: its value in the middle."""
    cells, numbers = data.cells, space.on_facets(facets).T
    x = cells.facet_points(facets, 0)
    weight = (data.coefficient(condition).at(x, facets.cells) * data.conductivity(facets, x)).mid
    mass = np.ones((1, 1)) if cells.dim == 1 else lattices.products(1, space.degree, space.degree).mid
    local = (weight[:, 0] * cells.sizes(facets).mid)[:, None, None] * mass
    rows, columns = (np.broadcast_to(n, local.shape) for n in (numbers[:, :, None], numbers[:, None, :]))
    return sparse.csr_array(
        sparse.coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(space.size, space.size))
    )
