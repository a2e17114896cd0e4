"""What a field misses of an elliptic problem, against one flux: the parts that a majorant and a minorant are made of.

Convention: the problem is that of `data`, v a piecewise polynomial, y a flux of `fluxes`. For every w that is 0 on
Dirichlet's parts

    a(u - v, w) = (q, ∇w) + (r, w) + Σ <δ, w>_E over Neumann's edges + Σ <ρ, w>_E over Robin's

    q = y - A ∇v,   r = f - c v + ∇·y,   δ = κ g - y·n with the mean 0 on E,   ρ = κ (g - α v) - y·n

The mean of ``κ g - y·n`` on an edge, a rounding error, is moved into q and r of its cell by a lowest-order flux that crosses
no other edge. Facet quantities are stored times the facet's size, so that ``∫ δ w`` is the mean of a product.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ungrid.certificates import lattices
from ungrid.certificates.cells import Cells, Facets
from ungrid.certificates.data import Definiteness, Elliptic
from ungrid.certificates.enclosures import Enclosed, contract
from ungrid.certificates.fluxes import Flux, lifted
from ungrid.certificates.lagrange import Space
from ungrid.equations import Neumann, Robin


@dataclass(frozen=True)
class Local:
    """A function that is a polynomial in every cell.

    Attributes:
        values: (n, cells), at the lattice points.
        degree: of the lattice.
    """

    values: Enclosed
    degree: int

    def on(self, facets: Facets, cells: Cells, degree: int) -> Enclosed:
        """Its values (facets, n) at the lattice of facets."""
        at = lattices.facet_points(cells.dim, degree, facets.local)
        return contract("nm,mf->fn", lattices.values(cells.dim, self.degree, at), self.values[:, facets.cells])


@dataclass(frozen=True)
class Side:
    """A residual on facets (facets, n), times their size, at the lattice of a degree.

    Attributes:
        facets: where.
        values: (facets, n).
        degree: of the lattice.
        weight: a lower bound of κ α on every facet (facets,); None on Neumann's.
    """

    facets: Facets
    values: Enclosed
    degree: int
    weight: np.ndarray | None = None

    def square(self, cells: Cells) -> Enclosed:
        """The integral of its square over every facet (facets,)."""
        if cells.dim == 1:
            return self.values[:, 0] * self.values[:, 0]
        sizes = cells.sizes(self.facets)
        return cells.facet_integrals(self.values, self.values, (self.degree, self.degree), self.facets) / (
            sizes * sizes
        )

    def against(self, w: Local, cells: Cells) -> Enclosed:
        """The integral of its product with w over every facet (facets,)."""
        other = w.on(self.facets, cells, w.degree)
        if cells.dim == 1:
            return self.values[:, 0] * other[:, 0]
        sizes = cells.sizes(self.facets)
        return cells.facet_integrals(self.values, other, (self.degree, w.degree), self.facets) / sizes


@dataclass(eq=False)
class Balance:
    """A problem and its flux, ready for fields of one degree.

    Attributes:
        data: of the problem.
        flux: of its mixed form.
        degree: of the fields.
        sampled: the degree of the polynomials that stand for data that are none.
        drift: of the fields' degree, taken off the source; None for nothing.
    """

    data: Elliptic
    flux: Flux
    degree: int
    sampled: int
    drift: Local | None = None
    neumann: list[Side] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        zero = Enclosed(np.zeros((self.cells.dim, self.cells.count, self.cells.dim + 1)))
        self._lift, self._lift_divergence = zero, Enclosed(np.zeros(self.cells.count))
        for condition, part in self.data.conditions(Neumann):
            assert isinstance(condition, Neumann)
            for facets in self.cells.facets(part):
                self._balance(condition, facets)

    def _balance(self, condition: Neumann, facets: Facets) -> None:
        """Move the mean of what Neumann's condition misses into the cells, and keep the rest."""
        value, cells = self.data.value(condition), self.cells
        degree = max(value.degree(self.sampled) + self.diffusion_degree, self.flux.order)
        x = cells.facet_points(facets, degree)
        sizes = cells.sizes(facets)[:, None]
        given = value.at(x, facets.cells) * self.data.conductivity(facets, x)
        missed = given * sizes - self.flux.through(facets, degree)
        mean = missed[:, 0] if cells.dim == 1 else contract("fn,n->f", missed, lattices.means(1, degree))
        y, divergence = lifted(cells, facets, mean)
        self._lift, self._lift_divergence = self._lift + y, self._lift_divergence + divergence
        if cells.dim > 1:
            self.neumann.append(Side(facets, missed - mean[:, None], degree))

    @property
    def cells(self) -> Cells:
        """Of the mesh."""
        return self.data.cells

    @property
    def diffusion_degree(self) -> int:
        """Of A; a function that is no polynomial stands in by one of half the degree that other data get."""
        return self.data.diffusion.degree(self.sampled // 2)

    @property
    def reaction_degree(self) -> int:
        """Of c."""
        return self.data.reaction.degree(self.sampled)

    @cached_property
    def definiteness(self) -> Definiteness:
        """Of A."""
        return self.data.definiteness(self.sampled)

    @cached_property
    def least_reaction(self) -> np.ndarray:
        """A lower bound of c in every cell (cells,)."""
        return np.asarray(self.data.reaction.range(self.sampled).lower)

    @property
    def flux_degree(self) -> int:
        """Of the lattice of q."""
        return max(self.flux.degree, self.diffusion_degree + self.degree - 1)

    @property
    def residual_degree(self) -> int:
        """Of the lattice of r."""
        reaction = self.reaction_degree + self.degree if self.data.has_reaction else 0
        drift = 0 if self.drift is None else self.drift.degree
        return max(self.data.source.degree(self.sampled), self.flux.order, reaction, drift)

    @cached_property
    def _diffusion(self) -> Enclosed:
        """A at the lattice of q (dim, dim, cells, n)."""
        return self.diffusion_at(self.flux_degree)

    def diffusion_at(self, degree: int) -> Enclosed:
        """A at a lattice (dim, dim, cells, n)."""
        x = self.cells.points(degree)
        return self.data.matrix(self.data.diffusion.at(x, self.data.everywhere), x)

    @cached_property
    def _balanced(self) -> Enclosed:
        """y at the lattice of q."""
        dim, p = self.cells.dim, self.flux_degree
        lift = contract("nm,icm->icn", lattices.values(dim, 1, lattices.points(dim, p)), self._lift)
        return self.flux.at(p) + lift

    @cached_property
    def _unbalanced(self) -> Enclosed:
        """``f + ∇·y`` at the lattice of r."""
        source = self.data.source.at(self.cells.points(self.residual_degree), self.data.everywhere)
        total = source + self.flux.divergence(self.residual_degree) + self._lift_divergence[:, None]
        if self.drift is None:
            return total
        return total - self.cells.resampled(self.drift.values, self.drift.degree, self.residual_degree)

    @cached_property
    def _reaction(self) -> Enclosed:
        """The coefficient c at the lattice of r."""
        return self.data.reaction.at(self.cells.points(self.residual_degree), self.data.everywhere)

    def residual(self, v: Local) -> "Residual":
        """Of a field of this degree."""
        slopes = self.cells.gradient(v.values, v.degree, self.flux_degree)
        q = self._balanced - contract("ijcn,jcn->icn", self._diffusion, slopes)
        r = self._unbalanced
        if self.data.has_reaction:
            r = r - self._reaction * self.cells.resampled(v.values, v.degree, self.residual_degree)
        return Residual(self, q, r, self.residual_degree, self.neumann, self._robin(v))

    def _robin(self, v: Local) -> list[Side]:
        sides = []
        for condition, part in self.data.conditions(Robin):
            assert isinstance(condition, Robin)
            value, factor = self.data.value(condition), self.data.coefficient(condition)
            inside = max(value.degree(self.sampled), factor.degree(self.sampled) + v.degree)
            degree = max(inside + self.diffusion_degree, self.flux.order)
            for facets in self.cells.facets(part):
                x = self.cells.facet_points(facets, degree)
                α, κ = factor.at(x, facets.cells), self.data.conductivity(facets, x)
                given = (value.at(x, facets.cells) - α * v.on(facets, self.cells, degree)) * κ
                missed = given * self.cells.sizes(facets)[:, None] - self.flux.through(facets, degree)
                sides.append(Side(facets, missed, degree, self.robin_weight(condition, facets)))
        return sides

    def robin_weight(self, condition: Robin, facets: Facets) -> np.ndarray:
        """A lower bound of κ α on facets (facets,)."""
        α = self.data.coefficient(condition).range(self.sampled).lower[facets.cells]
        return np.asarray(α * self.definiteness.least[facets.cells] * (1 - 1e-15))

    def energy(self, w: Local) -> Enclosed:
        """``a(w, w)``, as an array of shape ()."""
        dim, k, p = self.cells.dim, w.degree, self.diffusion_degree
        flux_degree = p + k - 1
        turned = contract(
            "ijcn,jcn->icn", self.diffusion_at(flux_degree), self.cells.gradient(w.values, k, flux_degree)
        )
        slopes = self.cells.gradient(w.values, k, k - 1)
        total = sum(
            (self.cells.integrals(turned[i], slopes[i], (flux_degree, k - 1)) for i in range(dim)), start=Enclosed(0.0)
        ).total()
        if self.data.has_reaction:
            mass = self.reaction_degree + k
            c = self.data.reaction.at(self.cells.points(mass), self.data.everywhere)
            both = c * self.cells.resampled(w.values, k, mass), self.cells.resampled(w.values, k, k)
            total = total + self.cells.integrals(*both, (mass, k)).total()
        return total + self._robin_energy(w)

    def _robin_energy(self, w: Local) -> Enclosed:
        total = Enclosed(0.0)
        for condition, part in self.data.conditions(Robin):
            assert isinstance(condition, Robin)
            factor = self.data.coefficient(condition)
            degree = factor.degree(self.sampled) + self.diffusion_degree + w.degree
            for facets in self.cells.facets(part):
                x = self.cells.facet_points(facets, degree)
                α, κ = factor.at(x, facets.cells), self.data.conductivity(facets, x)
                both = α * κ * w.on(facets, self.cells, degree), w.on(facets, self.cells, w.degree)
                total = total + self.cells.facet_integrals(*both, (degree, w.degree), facets).total()
        return total


@dataclass(frozen=True, eq=False)
class Residual:
    """The residual of one field.

    Attributes:
        balance: of the problem.
        q: (dim, cells, n), at the lattice of ``balance.flux_degree``.
        r: (cells, m).
        degree: of the lattice of r.
        neumann: what the flux misses of Neumann's conditions.
        robin: what flux and field miss of Robin's.
    """

    balance: Balance
    q: Enclosed
    r: Enclosed
    degree: int
    neumann: list[Side]
    robin: list[Side]

    def against(self, w: Local) -> Enclosed:
        """``a(u - v, w)`` for a w that is 0 on Dirichlet's parts, as an array of shape ()."""
        cells, b = self.balance.cells, self.balance
        slopes = cells.gradient(w.values, w.degree, w.degree - 1)
        total = Enclosed(0.0)
        for i in range(cells.dim):
            total = total + cells.integrals(self.q[i], slopes[i], (b.flux_degree, w.degree - 1)).total()
        plain = cells.resampled(w.values, w.degree, w.degree)
        total = total + cells.integrals(self.r, plain, (self.degree, w.degree)).total()
        for side in [*self.neumann, *self.robin]:
            total = total + side.against(w, cells).total()
        return total

    def vector(self, space: Space) -> np.ndarray:
        """The rounded numbers ``a(u - v, φ)`` for the basis of a space (size,)."""
        cells, b, k = self.balance.cells, self.balance, space.degree
        volumes = cells.volumes.mid
        slopes = lattices.gradients(cells.dim, k, lattices.points(cells.dim, k - 1)).mid
        folded = np.einsum("icn,nm->icm", self.q.mid, lattices.products(cells.dim, b.flux_degree, k - 1).mid)
        turned = np.einsum(
            "kic,icm->kcm", np.moveaxis(np.linalg.inv(np.moveaxis(cells.jacobian.mid, -1, 0)), 0, -1), folded
        )
        local = np.einsum("kcm,kma,c->ca", turned, slopes, volumes)
        local += np.einsum("cn,na,c->ca", self.r.mid, lattices.products(cells.dim, self.degree, k).mid, volumes)
        total = space.gathered(local)
        for side in [*self.neumann, *self.robin]:
            degrees = (side.degree, k)
            weights = np.ones((1, 1)) if cells.dim == 1 else lattices.products(1, *degrees).mid
            numbers = space.on_facets(side.facets)
            total += np.bincount(numbers.T.ravel(), (side.values.mid @ weights).ravel(), space.size)
        return total
