"""The flux of an elliptic problem by a mixed method: one solve that certifies every field.

The mixed form of the problem of `data` in Raviart's and Thomas's space of order k with piecewise polynomials of degree k
(Raviart and Thomas 1977), p for u: y in H(div) with ``y·n = κ g`` on Neumann's parts, and for all q, v

    (A^-1 y, q) + (p, ∇·q) + <y·n, q·n>_R / (κ α) = <g, q·n>_D + <g / α, q·n>_R
    (∇·y, v) - (c p, v) = -(f, v)

so that ``∇·y = -P f`` for c = 0, P the projection. It does not depend on the field that is to be certified, and by Prager
and Synge 1947 it is the best y for all of them; the same holds with c > 0 in the norm in which `majorant` measures the
residual.

It is solved cell by cell with multipliers for the continuity of the flux on facets (Arnold and Brezzi 1985): one sparse
positive definite system. The numbers of two neighbours are then made equal, so that the enclosed y is conforming without a
rounding error, and everything else that the solve leaves is a residual, which a bound measures.

Convention: numbers and signs as in `raviart_thomas`. Fluxes through facets are outward, and times the facet's size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from skfem.quadrature import get_quadrature
from skfem.refdom import RefLine

from ungrid.certificates import lattices, raviart_thomas
from ungrid.certificates.cells import Cells, Facets
from ungrid.certificates.data import SAMPLED, Datum, Elliptic
from ungrid.certificates.enclosures import Enclosed, contract, rational, stack
from ungrid.equations import Dirichlet, Neumann, Robin

MORE = 6  # degrees for which the solve's quadrature is exact, above twice the order; it need not be exact

Source = Callable[[np.ndarray], np.ndarray]
"""From reference points (dim, q) to values (cells, q)."""


@dataclass(frozen=True, eq=False)
class Flux:
    """A piecewise polynomial vector field whose normal components are continuous.

    Attributes:
        cells: of the mesh.
        order: of Raviart's and Thomas's space.
        numbers: in every cell (m, cells).
    """

    cells: Cells
    order: int
    numbers: np.ndarray

    @property
    def degree(self) -> int:
        """Of the polynomials."""
        return self.order + 1

    def at(self, degree: int) -> Enclosed:
        """Its values (dim, cells, n) at the lattice."""
        dim = self.cells.dim
        shapes = raviart_thomas.values(dim, self.order, lattices.points(dim, degree))
        local = contract("kna,ac->kcn", shapes, Enclosed(self.numbers))
        return contract("ikc,kcn->icn", self.cells.jacobian, local) / self.cells.determinant[:, None]

    def divergence(self, degree: int) -> Enclosed:
        """Its divergence (cells, n) at the lattice."""
        dim = self.cells.dim
        slopes = raviart_thomas.divergence_values(dim, self.order, lattices.points(dim, degree))
        return contract("na,ac->cn", slopes, Enclosed(self.numbers)) / self.cells.determinant[:, None]

    def through(self, facets: Facets, degree: int) -> Enclosed:
        """The outward normal component at the lattice of facets (facets, n), times their size."""
        at = lattices.facet_points(self.cells.dim, degree, facets.local)
        normal = rational(lattices.OUTWARD_NORMALS[self.cells.dim][facets.local])
        shapes = contract("kna,k->na", raviart_thomas.values(self.cells.dim, self.order, at), normal)
        return contract("na,af->fn", shapes, Enclosed(self.numbers[:, facets.cells]))


def solve_flux(data: Elliptic, order: int, source: Source | None = None) -> Flux:
    """The mixed solution's flux.

    Args:
        data: of the problem.
        order: of the space.
        source: instead of the problem's f, one that is known cell by cell.
    """
    return Mixed(data, order).solve(data, source)


class Mixed:
    """The mixed form with multipliers on facets, factored for any number of right-hand sides.

    Args:
        data: of the problem; its diffusion, reaction and Robin's coefficients are those of all right-hand sides.
        order: of the space.
    """

    def __init__(self, data: Elliptic, order: int) -> None:
        data.definiteness(SAMPLED[0])  # before a division by it
        self.data, self.cells, self.order = data, data.cells, order
        dim = self.cells.dim
        self.each = order + 1 if dim == 2 else 1  # numbers of a facet
        self.facet_numbers = (dim + 1) * self.each  # of a cell
        self.total = len(raviart_thomas.basis(dim, order))  # of a cell's flux
        self.ξ, self.weights = get_quadrature(self.cells.mesh.elem.refdom, 2 * order + MORE)
        self.scalars = np.stack([lattices.rounded(p, self.ξ) for p in lattices.basis(dim, order)], axis=-1)
        self.volumes = self.weights * self.cells.determinant.mid[:, None]
        self.x = self.cells.corners[:, 0, :, None] + np.einsum("ikc,kq->icq", self.cells.jacobian.mid, self.ξ)
        self.open = np.ones(self.cells.mesh.facets.shape[1], dtype=bool)  # facets with multipliers
        matrix = self._local()
        self._robin(matrix)
        self.inverse = np.linalg.inv(matrix)
        self.rows = self._multipliers()
        self.factors = self._factored()

    def _local(self) -> np.ndarray:
        """The cells' matrices (cells, n, n), without the boundary."""
        dim, flux, scalars = self.cells.dim, self.total, self.scalars
        shapes = np.stack(
            [[lattices.rounded(p, self.ξ) for p in v] for v in raviart_thomas.basis(dim, self.order)], axis=-1
        )
        slopes = np.stack([lattices.rounded(p, self.ξ) for p in raviart_thomas.divergences(dim, self.order)], axis=-1)
        n = flux + scalars.shape[1]
        matrix = np.zeros((self.cells.count, n, n))
        metric = self._metric() * self.weights
        turned = np.einsum("ijcq,jqb->ciqb", metric, shapes).reshape(self.cells.count, -1, flux)
        matrix[:, :flux, :flux] = np.swapaxes(shapes.reshape(-1, flux), 0, 1) @ turned
        coupling = np.einsum("q,qa,qb->ab", self.weights, scalars, slopes)
        matrix[:, flux:, :flux], matrix[:, :flux, flux:] = coupling, coupling.T
        if self.data.has_reaction:
            c = self._inside(self.data.reaction) * self.volumes
            matrix[:, flux:, flux:] = -np.einsum("cq,qa,qb->cab", c, scalars, scalars, optimize=True)
        return matrix

    def _inside(self, datum: Datum) -> np.ndarray:
        """Rounded values (*components, cells, points) at the quadrature points."""
        return datum.plain(self.x, self.data.everywhere)

    def _metric(self) -> np.ndarray:
        """``J^T A^-1 J / |det J|`` (dim, dim, cells, points)."""
        found, J = self._inside(self.data.diffusion), self.cells.jacobian.mid
        if found.ndim == 2:
            return np.einsum("kic,kjc,cq->ijcq", J, J, 1 / (found * self.cells.determinant.mid[:, None]))
        inverse = np.moveaxis(np.linalg.inv(np.moveaxis(found, (0, 1), (-2, -1))), (-2, -1), (0, 1))
        return np.einsum("kic,klcq,ljc,c->ijcq", J, inverse, J, 1 / self.cells.determinant.mid, optimize=True)

    def _robin(self, matrix: np.ndarray) -> None:
        """Add Robin's terms to the cells' matrices, and close the facets that need no multiplier."""
        for condition, part in self.data.conditions(Robin):
            assert isinstance(condition, Robin)
            for side in self._sides(self.data, part):
                α = side.plain(self.data.coefficient(condition))
                matrix[side.blocks] += side.mass(1 / (α * side.conductivity() * side.sizes[:, None]))
        for kind in (Robin, Dirichlet):
            for _, part in self.data.conditions(kind):
                self.open[np.asarray(self.cells.mesh.boundaries[part])] = False

    def _sides(self, data: Elliptic, part: str) -> list["_Side"]:
        return [_Side(data, self.order, facets) for facets in self.cells.facets(part)]

    def _factored(self) -> Any:
        """Of the multipliers' matrix; None without multipliers."""
        f, rows, count = self.facet_numbers, self.rows, self._count
        if not count:
            return None
        block, used = self.inverse[:, :f, :f], rows >= 0
        both = used[:, :, None] & used[:, None, :]
        left, above = (np.broadcast_to(n, block.shape)[both] for n in (rows[:, :, None], rows[:, None, :]))
        matrix = sparse.coo_array((block[both], (left, above)), shape=(count, count))
        return splu(sparse.csc_matrix(matrix), permc_spec="MMD_AT_PLUS_A")

    @property
    def _count(self) -> int:
        """Of the multipliers."""
        return int(self.open.sum()) * self.each

    # -- right-hand sides --------------------------------------------------------------------------------------------------

    def _right(self, data: Elliptic, source: Source | None) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The cells' right-hand sides (cells, n), and Neumann's values by facet."""
        right = np.zeros(self.inverse.shape[:2])
        given: dict[int, np.ndarray] = {}
        f = data.source.plain(self.x, data.everywhere) if source is None else source(self.ξ)
        right[:, self.total :] = -(f * self.volumes) @ self.scalars
        for dirichlet, part in data.conditions(Dirichlet):
            for side in self._sides(data, part):
                right[side.rows] += side.moments(side.plain(data.value(dirichlet)))
        for robin, part in data.conditions(Robin):
            assert isinstance(robin, Robin)
            for side in self._sides(data, part):
                right[side.rows] += side.moments(side.plain(data.value(robin)) / side.plain(data.coefficient(robin)))
        for neumann, part in data.conditions(Neumann):
            for side in self._sides(data, part):
                value = side.plain(data.value(neumann)) * side.conductivity() * side.sizes[:, None]
                found = np.linalg.solve(side.mass(np.ones_like(value)), side.moments(value)[..., None])[..., 0]
                given |= dict(zip(side.facets.numbers.tolist(), found, strict=True))
        return right, given

    def solve(self, data: Elliptic, source: Source | None = None) -> Flux:
        """The flux for the source and the values of some data.

        Args:
            data: on the same cells, with the same diffusion, reaction and kinds of conditions.
            source: instead of f, one that is known cell by cell.
        """
        right, given = self._right(data, source)
        plain = np.einsum("cab,cb->ca", self.inverse, right)
        f, rows, used = self.facet_numbers, self.rows, self.rows >= 0
        pull = np.zeros(rows.shape)
        if self.factors is not None:
            wanted = np.bincount(rows[used], plain[:, :f][used], self._count) - self._wanted(given)
            pull = np.where(used, self.factors.solve(wanted)[rows], 0.0)
        found = plain[:, : self.total] - np.einsum("cab,cb->ca", self.inverse[:, : self.total, :f], pull)
        return Flux(self.cells, self.order, self._conforming(found.T.copy()))

    def _multipliers(self) -> np.ndarray:
        """The numbers of the multipliers that a cell's facet numbers have (cells, f); -1 for none."""
        number = np.where(self.open, np.cumsum(self.open) - 1, -1)
        facets = number[self.cells.mesh.t2f.T]  # (cells, dim + 1)
        rows = facets[..., None] * self.each + np.arange(self.each)
        return np.where(facets[..., None] >= 0, rows, -1).reshape(self.cells.count, -1)

    def _wanted(self, given: dict[int, np.ndarray]) -> np.ndarray:
        """What the outward fluxes of the cells at a facet must sum to."""
        number, wanted = np.cumsum(self.open) - 1, np.zeros(self._count)
        for facet, values in given.items():
            wanted[number[facet] * self.each + np.arange(self.each)] = values
        return wanted

    def _conforming(self, numbers: np.ndarray) -> np.ndarray:
        """With opposite numbers in neighbours."""
        mesh, faced = self.cells.mesh, numbers[: self.facet_numbers].reshape(-1, self.each, self.cells.count)
        first, second = mesh.f2t
        inner = np.flatnonzero(second >= 0)
        local = [np.argmax(mesh.t2f[:, cells[inner]] == inner, axis=0) for cells in (first, second)]
        here, there = faced[local[0], :, first[inner]], faced[local[1], :, second[inner]]
        faced[local[0], :, first[inner]] = (here - there) / 2
        faced[local[1], :, second[inner]] = -((here - there) / 2)
        return np.concatenate([faced.reshape(self.facet_numbers, -1), numbers[self.facet_numbers :]])


class _Side:
    """The numbers of the flux on facets of one local number, and rounded data there.

    Args:
        data: of the problem.
        order: of the space.
        facets: where.
    """

    def __init__(self, data: Elliptic, order: int, facets: Facets) -> None:
        self.data, self.facets = data, facets
        cells, self.sizes = data.cells, data.cells.sizes(facets).mid
        self.s, self.weights = _facet_rule(cells.dim, order)
        ends = [cells.corners[:, v][:, facets.cells] for v in lattices.FACETS[cells.dim][facets.local]]
        self.points = ends[0][..., None] + (ends[-1] - ends[0])[..., None] * self.s[0]
        nodes = np.array([float(s) for (s,) in raviart_thomas.facet_nodes(order)])
        self.shapes = np.ones((1, 1)) if cells.dim == 1 else _lagrange(nodes, self.s[0])  # (q, m)
        own = facets.local * self.shapes.shape[1] + np.arange(self.shapes.shape[1])
        self.rows = facets.cells[:, None], own[None]
        self.blocks = facets.cells[:, None, None], own[None, :, None], own[None, None, :]

    def plain(self, datum: Datum) -> np.ndarray:
        """(facets, points)."""
        return datum.plain(self.points, self.facets.cells)

    def conductivity(self) -> np.ndarray:
        """κ (facets, points)."""
        return self.data.conductivity(self.facets, Enclosed(self.points)).mid

    def moments(self, density: np.ndarray) -> np.ndarray:
        """Integrals by the parameter against the shapes (facets, m)."""
        return (density * self.weights) @ self.shapes

    def mass(self, density: np.ndarray) -> np.ndarray:
        """Integrals by the parameter of products of shapes (facets, m, m)."""
        return np.einsum("fq,qa,qb->fab", density * self.weights, self.shapes, self.shapes, optimize=True)


def _facet_rule(dim: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters (1, q) and weights (q,) of a quadrature on a facet."""
    if dim == 1:
        return np.zeros((1, 1)), np.ones(1)
    points, weights = get_quadrature(RefLine, 2 * order + MORE)
    return points, weights


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The polynomials that are 1 at one node and 0 at the others (q, m)."""
    parts = []
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        parts.append(np.prod((at[:, None] - others) / (node - others), axis=1))
    return np.stack(parts, axis=-1)


def lifted(cells: Cells, facets: Facets, amount: Enclosed) -> tuple[Enclosed, Enclosed]:
    """Fluxes in the cells of facets with a constant normal component there and none on the other facets.

    Args:
        cells: of the mesh.
        facets: of one local number.
        amount: the normal component times the facet's size (facets,).

    Returns:
        The values (dim, cells, n) at the lattice of degree 1, zero in all other cells, and the divergence (cells,).
    """
    share = amount / cells.volumes[facets.cells]
    corner = Enclosed(cells.corners[:, lattices.OPPOSITE[cells.dim][facets.local]][:, facets.cells])
    x = cells.points(1)[:, facets.cells]
    local = stack([share[:, None] * (x[k] - corner[k][:, None]) / float(cells.dim) for k in range(cells.dim)])
    values, rad = np.zeros((2, cells.dim, cells.count, x.shape[-1]))
    values[:, facets.cells], rad[:, facets.cells] = local.mid, local.rad
    slopes, slopes_rad = np.zeros((2, cells.count))
    slopes[facets.cells], slopes_rad[facets.cells] = share.mid, share.rad
    return Enclosed(values, rad), Enclosed(slopes, slopes_rad)
