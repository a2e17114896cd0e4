"""The data of an elliptic problem on a mesh: polynomials where they are, samples where they are not.

    -∇·(A ∇u) + c u = f;   u = g on Dirichlet's parts;   A ∇u·n = κ g on Neumann's;   A ∇u·n = κ (g - α u) on Robin's

with κ = n·A n, since a condition of `equations` gives ∂u/∂n; a matrix A must have the normal as an eigenvector there, or the
flux would depend on the tangential derivative as well.

Convention: a datum is evaluated at enclosed points (dim, m, n) of m cells or facets. One that is polynomial in every
material is enclosed (`Datum.exact`); of any other one the rounded values are taken as they are, and what they enter is
*estimated*.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates import lattices
from ungrid.certificates.cells import Cells, Facets
from ungrid.certificates.enclosures import Enclosed, between, contract, stack
from ungrid.certificates.polynomials import traced
from ungrid.domains import Region
from ungrid.equations import Condition, Dirichlet, Neumann, Problem, Robin, SecondOrder, coefficients
from ungrid.equations.equation import is_zero

TRIED = 50  # points for the comparison of a polynomial with the function it was found from
SAMPLED = (4, 6)  # degrees of the polynomials that stand for other data; the difference goes into a bound
LARGEST_EXACT = 6  # degree of data that are integrated as polynomials


@dataclass(frozen=True, eq=False)
class Datum:
    """A coefficient on the cells of a mesh.

    Attributes:
        what: how an error calls it.
        given: a coefficient, maybe another one in every material.
        problem: whose axes and materials it has.
        cells: of the mesh.
        points: (n, d), at which a polynomial is compared with the function it was found from.
    """

    what: str
    given: Any
    problem: Problem
    cells: Cells
    points: np.ndarray

    @cached_property
    def _polynomials(self) -> dict[str, np.ndarray | None]:
        names, axes = self.problem.materials or ("",), self.problem.axes
        return {name: traced(coefficients.in_material(self.given, name), axes, self.points) for name in names}

    @cached_property
    def exact(self) -> bool:
        """Whether it is a polynomial, in every material."""
        found = self._polynomials.values()
        return all(p is not None for p in found) and self._largest <= LARGEST_EXACT

    @cached_property
    def _largest(self) -> int:
        """Degree of its polynomials."""
        every = [p for found in self._polynomials.values() if found is not None for p in found.ravel()]
        return max((p.degree for p in every), default=0)

    def degree(self, sampled: int) -> int:
        """Of the polynomial; the one that stands for a function that is none."""
        return self._largest if self.exact else sampled

    def at(self, x: Enclosed, cells: np.ndarray) -> Enclosed:
        """Its values (*components, m, n) at points (dim, m, n) in m cells."""
        return self._at(x, cells, self.exact)

    def plain(self, x: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Rounded values (*components, m, n) at points (dim, m, n)."""
        return self._at(Enclosed(x), cells, False).mid

    def _at(self, x: Enclosed, cells: np.ndarray, exact: bool) -> Enclosed:
        if not self.problem.materials:
            return self._in_material("", x, exact)
        members = self.cells.mesh.subdomains
        mid = rad = np.zeros(0)
        for name in self.problem.materials:
            own = np.isin(cells, members[name])
            if own.any():
                found = self._in_material(name, x[:, own], exact)
                if not mid.size:
                    mid, rad = np.zeros((2, *found.shape[: found.mid.ndim + 1 - x.mid.ndim], *x.shape[1:]))
                mid[..., own, :], rad[..., own, :] = found.mid, found.rad
        return Enclosed(mid, rad)

    def _in_material(self, name: str, x: Enclosed, exact: bool) -> Enclosed:
        polynomials = self._polynomials[name] if exact else None
        if polynomials is not None:
            parts = stack([p.at(x) for p in polynomials.ravel()])
            shape = (*polynomials.shape, *x.shape[1:])
            return Enclosed(parts.mid.reshape(shape), parts.rad.reshape(shape))
        given = coefficients.in_material(self.given, name)
        flat = coefficients.values(self.what, given, x.mid.reshape(len(x.mid), -1).T, self.problem.axes)
        return Enclosed(np.moveaxis(flat, 0, -1).reshape(*flat.shape[1:], *x.shape[1:]))

    def range(self, sampled: int) -> Enclosed:
        """All its values in every cell (*components, cells): by interval arithmetic, or by samples."""
        every = np.arange(self.cells.count)
        if self.exact:
            return self.at(self.cells.boxes()[..., None], every)[..., 0]
        found = self.at(self.cells.points(sampled), every).mid
        return between(found.min(axis=-1), found.max(axis=-1))


@dataclass(frozen=True, eq=False)
class Elliptic:
    """A problem's data on a mesh.

    Args:
        problem: of second order in space, linear and symmetric.
        cells: of a mesh of its domain.

    Raises:
        InputError: if the problem is of another kind, or the mesh does not name its boundary or its materials.
    """

    problem: Problem
    cells: Cells

    def __post_init__(self) -> None:
        check(self.problem)
        names, materials = self.cells.mesh.boundaries or {}, self.cells.mesh.subdomains or {}
        missing = [part for part in self.problem.lateral if part not in names]
        missing += [name for name in self.problem.materials if name not in materials]
        if missing:
            raise InputError(
                f"a mesh without the name {missing[0]!r}", "boundaries and subdomains with the names of the domain's",
                "leave the mesh out, or make it with ungrid.reference.finite_elements.mesh_of",
            )  # fmt: skip

    @cached_property
    def equation(self) -> SecondOrder:
        """Of the problem."""
        assert isinstance(self.problem.equation, SecondOrder)
        return self.problem.equation

    @cached_property
    def _data(self) -> dict[str, Datum]:
        """Every datum by its name, so that it is looked at once."""
        return {}

    @cached_property
    def _points(self) -> np.ndarray:
        return self.problem.domain.sample(TRIED, np.random.default_rng(1))

    def datum(self, what: str, given: Any) -> Datum:
        """A coefficient under a name of its own."""
        if what not in self._data:
            self._data[what] = Datum(what, given, self.problem, self.cells, self._points)
        return self._data[what]

    @cached_property
    def diffusion(self) -> Datum:
        """A, as a number or a matrix."""
        return self.datum("the diffusion", self.equation.diffusion)

    @cached_property
    def reaction(self) -> Datum:
        """The coefficient c."""
        return self.datum("the reaction", self.equation.reaction)

    @cached_property
    def source(self) -> Datum:
        """The right-hand side f."""
        return self.datum("the source", self.equation.source)

    @cached_property
    def has_reaction(self) -> bool:
        """Whether c is not the number 0.

        Raises:
            InputError: if it is negative at a point where it is tried.
        """
        if is_zero(self.equation.reaction):
            return False
        tried = self.reaction.plain(self.cells.points(SAMPLED[0]).mid, self.everywhere)
        if not (tried >= 0).all():
            raise InputError(f"a reaction of {tried.min():.4g}", "one that is nowhere negative")
        return True

    def conditions(self, kind: type[Condition]) -> list[tuple[Condition, str]]:
        """The conditions of a kind, with one part each."""
        return [(c, part) for c, parts in self.problem.boundary_conditions() if isinstance(c, kind) for part in parts]

    def value(self, condition: Condition) -> Datum:
        """The right-hand side g of a condition."""
        return self.datum(f"the value of {condition.label}", condition.value)

    def coefficient(self, condition: Robin) -> Datum:
        """The factor α of a condition of Robin's kind."""
        return self.datum(f"the coefficient of {condition.label}", condition.coefficient)

    @cached_property
    def exact(self) -> bool:
        """Whether all data are polynomials."""
        data = [self.diffusion, self.reaction, self.source]
        data += [self.value(c) for c, parts in self.problem.boundary_conditions() if parts]
        data += [self.coefficient(c) for c, _ in self.conditions(Robin) if isinstance(c, Robin)]
        return all(datum.exact for datum in data)

    @property
    def everywhere(self) -> np.ndarray:
        """The numbers of all cells."""
        return np.arange(self.cells.count)

    def matrix(self, found: Enclosed, x: Enclosed) -> Enclosed:
        """Values of the diffusion as matrices (dim, dim, ...), at points (dim, ...)."""
        if found.mid.ndim == x.mid.ndim + 1:
            return found
        zero, dim = Enclosed(np.zeros(found.shape)), self.cells.dim
        return stack([stack([found if i == j else zero for j in range(dim)]) for i in range(dim)])

    def conductivity(self, facets: Facets, x: Enclosed) -> Enclosed:
        """κ = n·A n at points (dim, facets, n) of facets.

        Raises:
            InputError: if A has not the normal as an eigenvector.
        """
        found = self.diffusion.at(x, facets.cells)
        if found.mid.ndim < x.mid.ndim:
            return found
        if self.cells.dim == 1:
            return found[0, 0]
        a, b = (Enclosed(self.cells.corners[:, v][:, facets.cells]) for v in lattices.FACETS[2][facets.local])
        t = b - a
        n = stack([t[1], -t[0]])
        rotated = contract("ijfn,jf->ifn", found, n)
        across = contract("if,ifn->fn", t, rotated)
        if (across.magnitude > 1e-280).any():  # zeros of enclosures have the radius of what may underflow
            raise InputError(
                "a condition on the normal derivative beside a diffusion matrix",
                "a scalar diffusion, or a matrix with the normal as an eigenvector there",
            )
        square = contract("if,if->f", n, n)
        return contract("if,ifn->fn", n, rotated) / Enclosed(square.mid[:, None], square.rad[:, None])

    def definiteness(self, sampled: int) -> "Definiteness":
        """How the diffusion varies and what it is at least, cell by cell."""
        found = self.diffusion.range(sampled)
        boxes = self.cells.boxes()
        return Definiteness(self.matrix(found, boxes))


class Definiteness:
    """A constant matrix for every cell, and the distance of the diffusion from it.

    Attributes:
        inverse: of a constant matrix Ā of floats in every cell (dim, dim, cells), enclosed.
        variation: ε with ``(1 - ε) Ā <= A <= (1 + ε) Ā`` in the cell (cells,).
        least: a lower bound of the eigenvalues of A in the cell (cells,).

    Raises:
        InputError: if A is not positive definite, or that cannot be seen on these cells.
    """

    def __init__(self, found: Enclosed) -> None:
        middle = (found.mid + np.swapaxes(found.mid, 0, 1)) / 2
        if np.abs(found.mid - middle).max() > 1e-9 * np.abs(middle).max():
            raise InputError("a diffusion matrix that is not symmetric", "a symmetric positive definite one")
        apart = found.rad + np.abs(found.mid - middle) * (1 + 1e-15)
        away = np.sqrt((apart**2).sum(axis=(0, 1))) * (1 + 1e-12)  # Frobenius's norm bounds the spectral one
        A = Enclosed(middle)
        if A.shape[0] == 1:
            smallest, inverse = A[0, 0], stack([stack([1 / A[0, 0]])]) if (A.mid > 0).all() else A
        else:
            trace, difference = A[0, 0] + A[1, 1], A[0, 0] - A[1, 1]
            det = A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
            largest = trace + (difference * difference + 4.0 * (A[0, 1] * A[0, 1])).sqrt()
            if not (largest.lower > 0).all() or not (det.lower > 0).all():
                raise InputError("a diffusion that is not positive definite", "a symmetric positive definite one")
            smallest = 2.0 * det / largest
            inverse = stack([stack([A[1, 1] / det, -A[0, 1] / det]), stack([-A[1, 0] / det, A[0, 0] / det])])
        self.least = np.nextafter(smallest.lower - away, -np.inf)
        self.variation = (away / np.maximum(smallest.lower, 1e-300)) * (1 + 1e-12)
        if not (self.least > 0).all() or not (self.variation < 1).all():
            raise InputError(
                "a diffusion that is not positive, or varies within a cell by more than it is large",
                "a symmetric positive definite diffusion", "on cells in which it varies little: a finer mesh",
            )  # fmt: skip
        self.inverse = inverse


def check(problem: Problem) -> None:
    """Whether a problem is one that can be certified here.

    Raises:
        InputError: if it is not elliptic, linear and symmetric, with conditions of Dirichlet's, Neumann's or Robin's kind.
    """
    equation, domain = problem.equation, problem.domain
    if not isinstance(equation, SecondOrder) or not isinstance(domain, Region) or domain.dim > 2:
        raise InputError(
            f"a certificate for a {type(equation).__name__} equation on a {type(domain).__name__}",
            "an equation of second order on an interval or a plane region",
        )
    if not problem.is_linear or problem.unknowns or not is_zero(equation.velocity):
        raise InputError(
            "a certificate for an equation with a nonlinearity, a velocity or unknown numbers",
            "-∇·(A ∇u) + c u = f with known coefficients",
        )
    other = [c for c in problem.conditions if not isinstance(c, Dirichlet | Neumann | Robin)]
    if other:
        raise InputError(f"a certificate with {other[0].label}", "conditions of Dirichlet's, Neumann's or Robin's kind")
    held = any(isinstance(c, Dirichlet | Robin) and parts for c, parts in problem.boundary_conditions())
    if not held and is_zero(equation.reaction):
        raise InputError("a solution that is known up to a constant only", "a value on a part of the boundary")
