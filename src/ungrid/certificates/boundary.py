"""The values of Dirichlet's conditions: at the nodes of a space, and between them.

Convention: a member of the space gets the enclosed values at its nodes. What is still missing along edges, where the values are
no polynomials of the space's degree, is continued into the cells of these edges (`lattices.extension`), so that the sum has the
right trace; the energy norm of all that was added bounds what it changes (Repin, Sauter and Smolianski 2003).
"""

from functools import cached_property

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates import lattices
from ungrid.certificates.cells import Facets
from ungrid.certificates.data import Elliptic
from ungrid.certificates.enclosures import Enclosed, contract
from ungrid.certificates.lagrange import Space
from ungrid.certificates.majorant import OUT
from ungrid.certificates.residuals import Local
from ungrid.equations import Condition, Dirichlet

JUMP = 1e-9  # of boundary values at a node, relative to their size: more than rounding, and no finite energy


class BoundaryValues:
    """Dirichlet's values of a problem on a space.

    Args:
        data: of the problem.
        space: continuous piecewise polynomials.
    """

    def __init__(self, data: Elliptic, space: Space) -> None:
        self.data, self.space, self.cells = data, space, space.cells
        self.facets: list[tuple[Condition, Facets]] = [
            (c, facets) for c, part in data.conditions(Dirichlet) for facets in self.cells.facets(part)
        ]

    @cached_property
    def fixed(self) -> np.ndarray:
        """The numbers of the nodes on Dirichlet's parts."""
        found = [self.space.on_facets(facets).ravel() for _, facets in self.facets]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=int)

    def degree(self, sampled: int) -> int:
        """Of the values, as functions of space."""
        return max((self.data.value(c).degree(sampled) for c, _ in self.facets), default=0)

    @cached_property
    def given(self) -> Enclosed:
        """The values (size,) at nodes on Dirichlet's parts, 0 at the others.

        Raises:
            InputError: if two conditions give different values at a corner.
        """
        mid, rad = np.zeros((2, self.space.size))
        seen = np.zeros(self.space.size, dtype=bool)
        for condition, facets in self.facets:
            x = self.cells.facet_points(facets, self.space.degree)
            found = self.data.value(condition).at(x, facets.cells)
            for numbers, value in zip(
                self.space.on_facets(facets), np.moveaxis(np.stack([found.mid, found.rad]), -1, 0), strict=True
            ):
                apart = np.where(seen[numbers], np.abs(value[0] - mid[numbers]), 0.0)
                if apart.max() > JUMP * max(np.abs(mid).max(), found.magnitude.max()):
                    raise InputError(
                        f"{condition.label}: values that jump by {apart.max():.3g} at a corner",
                        "values that are continuous along the boundary, or no function has a finite energy",
                    )
                mid[numbers] = np.where(seen[numbers], mid[numbers], value[0])
                rad[numbers] = np.maximum(rad[numbers], (apart + value[1]) * OUT)
                seen[numbers] = True
        return Enclosed(mid, rad)

    def imposed(self, values: np.ndarray) -> np.ndarray:
        """Numbers of the space (size,) with the rounded values at nodes on Dirichlet's parts."""
        changed = values.copy()
        changed[self.fixed] = self.given.mid[self.fixed]
        return changed

    def extended(self, values: np.ndarray, sampled: int) -> tuple[Local, Local]:
        """A member of the space with the exact values on Dirichlet's parts, and what was added.

        Args:
            values: its numbers (size,).
            sampled: the degree of polynomials that stand for values that are none.
        """
        mid, rad = values.copy(), np.zeros(self.space.size)
        mid[self.fixed], rad[self.fixed] = self.given.mid[self.fixed], self.given.rad[self.fixed]
        k, dofs = self.space.degree, self.space.dofs
        exact = Local(Enclosed(mid, rad)[dofs], k)
        change = Local((Enclosed(mid, rad) - values)[dofs], k)
        p = self.degree(sampled)
        if self.cells.dim == 1 or p <= k:
            return exact, change
        edges = self._along_edges(exact, p)
        return self._raised(exact, edges, p), self._raised(change, edges, p)

    def _raised(self, one: Local, edges: Enclosed, degree: int) -> Local:
        """A function of the space plus one of a higher degree (cells, n)."""
        total = self.cells.resampled(one.values, one.degree, degree) + edges
        return Local(Enclosed(total.mid.T, total.rad.T), degree)

    def _along_edges(self, exact: Local, degree: int) -> Enclosed:
        """What is missing along the edges, continued into their cells: (cells, n)."""
        mid, rad = np.zeros((2, self.cells.count, len(lattices.indices(2, degree))))
        for condition, facets in self.facets:
            x = self.cells.facet_points(facets, degree)
            missed = self.data.value(condition).at(x, facets.cells) - exact.on(facets, self.cells, degree)
            inside = contract("nj,fj->fn", lattices.extension(degree, facets.local), missed)
            both = Enclosed(mid[facets.cells], rad[facets.cells]) + inside
            mid[facets.cells], rad[facets.cells] = both.mid, both.rad
        return Enclosed(mid, rad)
