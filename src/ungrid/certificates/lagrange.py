"""Continuous piecewise polynomials of any degree on intervals and triangles, by their values at the lattice points.

Convention: the numbers of a space are values at its nodes, first the vertices, then those inside of facets, then those inside
of cells; ``dofs`` (n, cells) are the numbers of a cell's lattice points in the order of `lattices`. Cells have sorted vertices,
so that neighbours agree on the order along an edge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from skfem.quadrature import get_quadrature

from ungrid.certificates import lattices
from ungrid.certificates.cells import Cells, Facets
from ungrid.certificates.enclosures import Enclosed
from ungrid.reference.finite_elements import Locator

FieldLike = Callable[[np.ndarray], np.ndarray]
"""From points (n, d) to values (n, 1)."""


@dataclass(frozen=True, eq=False)
class Space:
    """The continuous functions that are polynomials of a degree in every cell.

    Attributes:
        cells: of the mesh.
        degree: at least 1.
    """

    cells: Cells
    degree: int

    @cached_property
    def dofs(self) -> np.ndarray:
        """The numbers (n, cells) of the cells' lattice points."""
        mesh, dim, k = self.cells.mesh, self.cells.dim, self.degree
        vertices, inside = mesh.p.shape[1], k - 1
        edges = mesh.facets.shape[1] * inside if dim == 2 else 0
        rows, bubbles = [], 0
        for index in lattices.indices(dim, k):
            support = tuple(v for v, count in enumerate(index) if count)
            if len(support) == 1:
                rows.append(mesh.t[support[0]])
            elif dim == 2 and len(support) == 2:
                facet = mesh.t2f[lattices.FACETS[2].index(support)]
                rows.append(vertices + facet * inside + index[support[1]] - 1)
            else:
                rows.append(vertices + edges + bubbles * self.cells.count + np.arange(self.cells.count))
                bubbles += 1
        return np.array(rows)

    @cached_property
    def size(self) -> int:
        """How many numbers there are."""
        return int(self.dofs.max()) + 1

    @cached_property
    def nodes(self) -> Enclosed:
        """The places (dim, size) of the numbers."""
        places, mid, rad = self.cells.points(self.degree), *np.zeros((2, self.cells.dim, self.size))
        mid[:, self.dofs.T], rad[:, self.dofs.T] = places.mid, places.rad
        return Enclosed(mid, rad)

    def on_facets(self, facets: Facets) -> np.ndarray:
        """The numbers on facets (degree + 1, facets), from the first vertex to the second; (1, facets) on a line."""
        every = lattices.indices(self.cells.dim, self.degree)
        ends = lattices.FACETS[self.cells.dim][facets.local]
        rows = []
        for count in [self.degree] if self.cells.dim == 1 else range(self.degree, -1, -1):
            index = [0] * (self.cells.dim + 1)
            index[ends[-1]] = self.degree - count
            index[ends[0]] = count
            rows.append(every.index(tuple(index)))
        return np.asarray(self.dofs[np.array(rows)[:, None], facets.cells])

    def on(self, part: str) -> np.ndarray:
        """The numbers on a part of the boundary."""
        found = [self.on_facets(facets).ravel() for facets in self.cells.facets(part)]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=int)

    def rule(self, order: int) -> "Rule":
        """Values and gradients of the basis at the points of a quadrature that is exact for a degree."""
        return Rule(self, order)

    def summed(self, local: np.ndarray) -> sparse.csr_array:
        """The matrix of the cells' matrices (cells, n, n)."""
        rows = np.broadcast_to(self.dofs.T[:, :, None], local.shape)
        columns = np.broadcast_to(self.dofs.T[:, None, :], local.shape)
        made = sparse.coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(self.size, self.size))
        return sparse.csr_array(made)

    def gathered(self, local: np.ndarray) -> np.ndarray:
        """The vector of the cells' vectors (cells, n)."""
        return np.bincount(self.dofs.T.ravel(), local.ravel(), self.size)


class Rule:
    """The basis of a space at quadrature points in every cell, rounded.

    Args:
        space: of the basis.
        order: the degree for which the quadrature is exact.

    Attributes:
        weights: (cells, q).
        values: (q, n).
        gradients: (dim, cells, q, n).
        points: (dim, cells, q).
    """

    def __init__(self, space: Space, order: int) -> None:
        cells = space.cells
        ξ, weights = get_quadrature(cells.mesh.elem.refdom, order)
        functions = lattices.basis(cells.dim, space.degree)
        J = cells.jacobian.mid
        self.weights = np.abs(cells.determinant.mid)[:, None] * weights
        self.values = np.stack([lattices.rounded(φ, ξ) for φ in functions], axis=-1)
        slopes = np.stack(
            [[lattices.rounded(φ.derivative(k), ξ) for φ in functions] for k in range(cells.dim)]
        )  # (dim, n, q)
        inverse = np.linalg.inv(np.moveaxis(J, -1, 0))  # (cells, dim, dim)
        self.gradients = np.einsum("cki,knq->icqn", inverse, slopes)
        self.points = cells.corners[:, 0, :, None] + np.einsum("ikc,kq->icq", J, ξ)


@dataclass(frozen=True, eq=False)
class Interpolant:
    """A member of a space: the object that is certified, and that can be exported.

    Attributes:
        space: the piecewise polynomials.
        values: (size,), at the nodes.
    """

    space: Space
    values: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values (n, 1) at points (n, d); outside of the mesh those of the nearest cell's polynomial."""
        at, ξ = self._locator(np.asarray(points, dtype=np.float64))
        shapes = np.stack(
            [lattices.rounded(φ, ξ.T) for φ in lattices.basis(self.space.cells.dim, self.space.degree)], axis=-1
        )
        return np.einsum("na,an->n", shapes, self.values[self.space.dofs[:, at]])[:, None]

    @cached_property
    def _locator(self) -> Any:
        mesh = self.space.cells.mesh
        return Locator(mesh.p.T, mesh.t.T)


def evaluated(local: np.ndarray, dim: int, degree: int, points: np.ndarray) -> np.ndarray:
    """Rounded values (cells, q) at reference points (dim, q) of polynomials with the lattice values (n, cells)."""
    shapes = np.stack([lattices.rounded(φ, points) for φ in lattices.basis(dim, degree)], axis=-1)
    return np.asarray((shapes @ local).T)
