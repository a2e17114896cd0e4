"""The cells of a mesh of intervals or triangles, with enclosed geometry, and integrals over them.

Convention: a cell is the affine image of the reference simplex of `lattices`, ``x = origin + J ξ``, whose vertices are the
floating-point nodes of the mesh, taken as exact, in rising order of their numbers; two cells therefore run along their common
edge in the same direction. Fields on cells have the shape (cells, lattice points), vectors (dim, cells, lattice points), and
the values on facets (facets, lattice points).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import skfem

from ungrid._base.errors import InputError
from ungrid.certificates import lattices
from ungrid.certificates.enclosures import Enclosed, contract, stack


@dataclass(frozen=True, eq=False)
class Facets:
    """Facets of the boundary that have one number in their cells.

    Attributes:
        local: which facet of its cell each one is.
        numbers: in the mesh (facets,).
        cells: (facets,).
    """

    local: int
    numbers: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True, eq=False)
class Cells:
    """A mesh, cell by cell.

    Attributes:
        mesh: of scikit-fem, with sorted cells: as `sorted_mesh` gives it.
    """

    mesh: Any

    @property
    def dim(self) -> int:
        """Of space, 1 or 2."""
        return int(self.mesh.dim())

    @property
    def count(self) -> int:
        """Of the cells."""
        return int(self.mesh.nelements)

    @cached_property
    def corners(self) -> np.ndarray:
        """The vertices (dim, dim + 1, cells)."""
        return np.asarray(self.mesh.p[:, self.mesh.t])

    @cached_property
    def jacobian(self) -> Enclosed:
        """J (dim, dim, cells): column k is the edge from the first vertex to vertex k + 1."""
        return Enclosed(self.corners[:, 1:]) - self.corners[:, :1]

    @cached_property
    def determinant(self) -> Enclosed:
        """The absolute value of det J (cells,)."""
        J = self.jacobian
        det = J[0, 0] if self.dim == 1 else J[0, 0] * J[1, 1] - J[0, 1] * J[1, 0]
        if not (np.abs(det.mid) > 2 * det.rad).all():
            raise InputError("a mesh with a flat cell", "cells with a volume")
        return Enclosed(np.abs(det.mid), det.rad)

    @cached_property
    def _inverse_transposed(self) -> Enclosed:
        J = self.jacobian
        if self.dim == 1:
            return stack([stack([1 / J[0, 0]])])
        det = J[0, 0] * J[1, 1] - J[0, 1] * J[1, 0]
        return stack([stack([J[1, 1] / det, -J[1, 0] / det]), stack([-J[0, 1] / det, J[0, 0] / det])])

    @cached_property
    def volumes(self) -> Enclosed:
        """(cells,)."""
        return self.determinant / (1.0 if self.dim == 1 else 2.0)

    @cached_property
    def diameters(self) -> np.ndarray:
        """Upper bounds (cells,)."""
        p = Enclosed(self.corners)
        pairs = ((0, 1),) if self.dim == 1 else ((0, 1), (1, 2), (0, 2))
        squares = [sum(((d := p[k, i] - p[k, j]) * d for k in range(self.dim)), start=Enclosed(0.0)) for i, j in pairs]
        return np.asarray(np.max([s.sqrt().upper for s in squares], axis=0))

    def points(self, degree: int) -> Enclosed:
        """The lattice points (dim, cells, n)."""
        weights = lattices.values(self.dim, 1, lattices.points(self.dim, degree))
        return contract("ivc,nv->icn", Enclosed(self.corners[:, self._vertex_order]), weights)

    @cached_property
    def _vertex_order(self) -> list[int]:
        """The vertices in the order of the lattice of degree 1."""
        return [index.index(1) for index in lattices.indices(self.dim, 1)]

    def physical(self, slopes: Enclosed) -> Enclosed:
        """Reference derivatives (dim, cells, n) as derivatives in space."""
        return contract("ikc,kcn->icn", self._inverse_transposed, slopes)

    def gradient(self, local: Enclosed, degree: int, at: int) -> Enclosed:
        """The gradient (dim, cells, n) at the lattice of degree `at` of polynomials with the values (m, cells)."""
        slopes = lattices.gradients(self.dim, degree, lattices.points(self.dim, at))
        return self.physical(contract("knm,mc->kcn", slopes, local))

    def resampled(self, local: Enclosed, degree: int, at: int) -> Enclosed:
        """Polynomials with the values (m, cells) at the lattice of another degree: (cells, n)."""
        return contract("nm,mc->cn", lattices.values(self.dim, degree, lattices.points(self.dim, at)), local)

    def integrals(self, one: Enclosed, other: Enclosed, degrees: tuple[int, int]) -> Enclosed:
        """The integral over every cell (cells,) of a product of two fields (cells, n) and (cells, m)."""
        folded = contract("cn,nm->cm", one, lattices.products(self.dim, *degrees))
        return contract("cm,cm->c", folded, other) * self.volumes

    def mean(self, one: Enclosed, degree: int) -> Enclosed:
        """The mean over every cell (cells,)."""
        return contract("cn,n->c", one, lattices.means(self.dim, degree))

    def boxes(self) -> Enclosed:
        """The smallest box around every cell, as an enclosure (dim, cells)."""
        low, high = self.corners.min(axis=1), self.corners.max(axis=1)
        middle = low + (high - low) / 2
        return Enclosed(middle, np.maximum(high - middle, middle - low) * (1 + 1e-15))

    # -- facets of the boundary ----------------------------------------------------------------------------------------

    def facets(self, part: str) -> list[Facets]:
        """The facets of a part of the boundary, by their number in their cells."""
        numbers = np.asarray(self.mesh.boundaries[part])
        cells = self.mesh.f2t[0, numbers]
        local = np.argmax(self.mesh.t2f[:, cells] == numbers, axis=0)
        return [Facets(int(k), numbers[local == k], cells[local == k]) for k in np.unique(local)]

    def facet_points(self, facets: Facets, degree: int) -> Enclosed:
        """The lattice points of facets (dim, facets, n)."""
        at = lattices.facet_points(self.dim, degree, facets.local)
        weights = lattices.values(self.dim, 1, at)
        return contract("ivc,nv->icn", Enclosed(self.corners[:, self._vertex_order][..., facets.cells]), weights)

    def sizes(self, facets: Facets) -> Enclosed:
        """The lengths of facets (facets,); 1 for the ends of intervals."""
        if self.dim == 1:
            return Enclosed(np.ones(len(facets.numbers)))
        a, b = (Enclosed(self.corners[:, v][:, facets.cells]) for v in lattices.FACETS[2][facets.local])
        edge = b - a
        return (edge[0] * edge[0] + edge[1] * edge[1]).sqrt()

    def facet_integrals(self, one: Enclosed, other: Enclosed, degrees: tuple[int, int], facets: Facets) -> Enclosed:
        """The integral over every facet (facets,) of a product of two fields (facets, n) and (facets, m)."""
        if self.dim == 1:
            return one[:, 0] * other[:, 0]
        folded = contract("cn,nm->cm", one, lattices.products(1, *degrees))
        return contract("cm,cm->c", folded, other) * self.sizes(facets)


def sorted_mesh(mesh: Any) -> Any:
    """The mesh with the vertices of every cell in rising order, the names of its boundaries and its subdomains.

    Raises:
        InputError: if it is not of intervals or triangles with straight sides.
    """
    if type(mesh) not in (skfem.MeshLine1, skfem.MeshTri1):
        raise InputError(f"a mesh of type {type(mesh).__name__}", "scikit-fem's MeshLine or MeshTri")
    made = type(mesh)(np.array(mesh.p), np.sort(mesh.t, axis=0), sort_t=False)
    named: Mapping[str, Any] = mesh.boundaries or {}
    if named:
        made = made.with_boundaries({part: _same_facets(mesh, made, np.asarray(f)) for part, f in named.items()})
    return made.with_subdomains(dict(mesh.subdomains)) if mesh.subdomains else made


def _same_facets(mesh: Any, other: Any, numbers: np.ndarray) -> np.ndarray:
    """The numbers that facets have in a mesh with the same nodes."""
    count = mesh.p.shape[1]
    weights = np.array([count, 1][-len(mesh.facets) :])
    codes = np.sort(other.facets, axis=0).T @ weights
    order = np.argsort(codes)
    wanted = np.sort(mesh.facets[:, numbers], axis=0).T @ weights
    return np.asarray(order[np.searchsorted(codes[order], wanted)])
