"""Certificates of fields for elliptic problems: the error's energy norm from both sides.

The problem is that of `data`, with the energy norm ``|||w|||² = a(w, w) = ∫ A∇w·∇w + c w² + ∫_R κ α w²``. One flux, of the
mixed form (`fluxes`), bounds the error of every field from above (`majorant`); from below, for every w that is 0 on
Dirichlet's parts, ``|||u - v||| >= a(u - v, w) / |||w|||``, with the finite element solution of one degree more
(`correction`).

What is certified is an interpolant v of the field with the boundary values g at the nodes. Where g is no polynomial of its
degree, ``|||ψ|||`` is added for an extension ψ of the difference, as in Repin, Sauter and Smolianski 2003; from the lower
bound of v + ψ it is taken off.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates.bound import Bound, Kind
from ungrid.certificates.boundary import BoundaryValues
from ungrid.certificates.cells import Cells, sorted_mesh
from ungrid.certificates.constants import Constant, friedrichs
from ungrid.certificates.correction import Correction
from ungrid.certificates.data import SAMPLED, Elliptic, check
from ungrid.certificates.enclosures import Enclosed
from ungrid.certificates.fluxes import Flux, solve_flux
from ungrid.certificates.lagrange import FieldLike, Interpolant, Space
from ungrid.certificates.majorant import OUT, majorant, squares
from ungrid.certificates.residuals import Balance, Local, Residual
from ungrid.domains import Composite, Point, Region, Segment
from ungrid.equations import Dirichlet, Problem, Robin
from ungrid.reference.finite_elements import grading_for, mesh_of

NORM = "error in the energy norm"
DEGREE = 3  # of the interpolant
CELLS = 24  # along the longest extent of a domain
FILLS = 1e-9  # of the domain's size: what its mesh may miss by rounding
SAID = 1e-9  # of the size: a larger extension of boundary values is among the assumptions


class Certifier:
    """A problem whose flux is known: certifies any number of fields, each for the price of some integrals.

    The bound is that of the error of an interpolant, ``bound.certified_object``, whose values at nodes on Dirichlet's parts are
    the given ones.

    Args:
        problem: ``-∇·(A ∇u) + c u = f`` on an interval or a plane region, under Dirichlet's, Neumann's and Robin's conditions.
        mesh: of scikit-fem, with the names of the domain's parts; None makes one, graded at re-entrant corners.
        degree: of the interpolant that is certified.

    Attributes:
        flux: of the mixed form.

    Raises:
        InputError: if the problem is of another kind.
    """

    def __init__(self, problem: Problem, mesh: Any = None, *, degree: int = DEGREE) -> None:
        if degree not in range(1, 7):
            raise InputError(f"an interpolant of degree {degree}", "one from 1 to 6")
        self.problem, self.degree = problem, degree
        self.cells = Cells(sorted_mesh(default_mesh(problem, degree) if mesh is None else mesh))
        self.data = Elliptic(problem, self.cells)
        self._check_size()
        self.space = Space(self.cells, degree)
        self.boundary = BoundaryValues(self.data, self.space)
        self.flux: Flux = solve_flux(self.data, degree)
        self._balances: dict[tuple[int, int], Balance] = {}

    def _check_size(self) -> None:
        """A mesh of straight cells must fill a polygon."""
        domain, found = self.problem.domain, float(self.cells.volumes.total().mid)
        if is_polygonal(domain) and abs(found - domain.measure) > FILLS * domain.measure:
            raise InputError(
                f"a mesh of the size {found:.6g} of a domain of {domain.measure:.6g}", "a mesh of the domain"
            )

    def __call__(self, field: FieldLike) -> Bound:
        """The bound of the interpolant of a field: values (n, 1) at points (n, d)."""
        return self.bound(self.interpolant(field))

    def interpolant(self, field: FieldLike) -> Interpolant:
        """The field at the nodes, and the given values on Dirichlet's parts.

        Raises:
            InputError: if the field gives other than finite numbers (n, 1).
        """
        if isinstance(field, Interpolant) and field.space.cells is self.cells and field.space.degree == self.degree:
            values = field.values.copy()
        else:
            values = nodal_values(field, self.space)
        return Interpolant(self.space, self.boundary.imposed(values))

    def bound(self, v: Interpolant) -> Bound:
        """The bound of a member of the space, whose values on Dirichlet's parts need only be near the given ones."""
        parts = [self.corrected(v, sampled) for sampled in self.samplings]
        above, below = [self._above(part) for part in parts], [self._below(part) for part in parts]
        apart = abs(above[-1][0] - above[0][0]), abs(below[-1] - below[0])
        upper, lower = (above[-1][0] + apart[0]) * OUT, max(below[-1] - apart[1], 0.0) * (2 - OUT)
        plain = Local(Enclosed(v.values[self.space.dofs]), self.degree)
        size = root_above(self._balance(self.degree, self.samplings[-1]).energy(plain))
        assumptions = self._assumptions(above[-1][2], parts[-1].boundary, size, max(apart))
        return Bound(
            upper, min(lower, upper), NORM, self.kind, assumptions, size=size, local=above[-1][1], mesh=self.cells.mesh,
            certified_object=v,
        )  # fmt: skip

    @cached_property
    def kind(self) -> Kind:
        """The word of its bounds: by the data and the domain, whatever the field is."""
        proven = self.data.exact and is_polygonal(self.problem.domain) and self.constant.proven
        return "certified" if proven else "estimated"

    @cached_property
    def correction(self) -> Correction:
        """What a field lacks, in the space of one degree more."""
        return Correction(self.data, Space(self.cells, self.degree + 1))

    # -- the parts of a bound ----------------------------------------------------------------------------------------------

    @property
    def samplings(self) -> tuple[int, ...]:
        """The degrees of the polynomials that stand for data that are none, one after the other."""
        return SAMPLED[:1] if self.data.exact else SAMPLED

    def corrected(self, v: Interpolant, sampled: int) -> "Corrected":
        """A member of the space with the exact values on Dirichlet's parts, and its residual."""
        exact, change = self.boundary.extended(v.values, sampled)
        balance = self._balance(exact.degree, sampled)
        return Corrected(exact, balance.residual(exact), root_above(balance.energy(change)))

    def above(self, v: Interpolant) -> tuple[float, np.ndarray, str]:
        """The upper bound, the cells' contributions to it (cells,), and the name of the majorant."""
        found = [self._above(self.corrected(v, sampled)) for sampled in self.samplings]
        apart = abs(found[-1][0] - found[0][0])
        return (found[-1][0] + apart) * OUT, found[-1][1], found[-1][2]

    def _above(self, v: "Corrected") -> tuple[float, np.ndarray, str]:
        upper, local, reaction = majorant(squares(v.residual), self.constant)
        name = "Repin's majorant with the reaction's weight" if reaction else "Prager and Synge's equilibrated flux"
        return (upper + v.boundary) * OUT, local, name

    def _below(self, v: "Corrected") -> float:
        w = self.correction(v.residual)
        if not np.any(w.values.mid):
            return 0.0
        found = v.residual.against(w) / v.residual.balance.energy(w).sqrt()
        return max(float(found.lower) - v.boundary, 0.0) * (2 - OUT)

    def _balance(self, degree: int, sampled: int) -> Balance:
        if (degree, sampled) not in self._balances:
            self._balances[degree, sampled] = Balance(self.data, self.flux, degree, sampled)
        return self._balances[degree, sampled]

    @cached_property
    def constant(self) -> Constant:
        """Friedrichs's for the problem, over the root of the least eigenvalue of the diffusion."""
        balance = self._balance(self.degree, SAMPLED[-1])
        least = float(balance.definiteness.least.min())
        fixed = tuple(part for _, part in self.data.conditions(Dirichlet))
        robin = {}
        for condition, part in self.data.conditions(Robin):
            assert isinstance(condition, Robin)
            weights = [balance.robin_weight(condition, facets) for facets in self.cells.facets(part)]
            robin[part] = float(np.min(np.concatenate(weights))) / least * (2 - OUT)
        if not fixed and not robin:
            return Constant(math.inf, "no constant: nothing but the reaction holds the solution")
        found = friedrichs(self.problem.domain, fixed, robin)
        return Constant(found.value / math.sqrt(least) * OUT, found.reason, found.proven)

    def _assumptions(self, name: str, boundary: float, size: float, apart: float) -> tuple[str, ...]:
        said = [
            f"the error of the interpolant of degree {self.degree} on the mesh, with the given values on Dirichlet's parts",
            "the domain is that of the mesh, whose nodes are exact numbers",
            f"upper bound: {name}; lower bound: a finite element correction of degree {self.degree + 1}",
        ]
        if self.data.exact:
            said.append("all data are polynomials, whose integrals are exact up to roundings, which are enclosed")
        else:
            said.append(
                f"data that are no polynomials stand in by such of the degrees {SAMPLED[0]} and {SAMPLED[1]} in every cell; "
                f"the bounds differ by {apart:.2g}, which is added"
            )
        if not is_polygonal(self.problem.domain):
            said.append("curved edges are straight in the mesh")
        if math.isfinite(self.constant.value):
            said.append(f"{self.constant.reason}: {self.constant.value:.4g} with the diffusion")
        if boundary > SAID * size:
            said.append(
                f"boundary values that the interpolant has not are extended, with an energy norm of {boundary:.2g}"
            )
        if self.data.has_reaction:
            said.append("the reaction is nowhere negative")
        return tuple(said)


@dataclass(frozen=True, eq=False)
class Corrected:
    """A field with the exact values on Dirichlet's parts.

    Attributes:
        local: its values.
        residual: what it misses of the problem.
        boundary: the energy norm of what was added to the interpolant, from above.
    """

    local: Local
    residual: Residual
    boundary: float


def nodal_values(field: FieldLike, space: Space) -> np.ndarray:
    """A field's values (size,) at the nodes of a space.

    Raises:
        InputError: if they are not finite numbers (n, 1).
    """
    found = np.asarray(field(space.nodes.mid.T.copy()), dtype=np.float64)
    if found.shape != (space.size, 1):
        raise InputError(f"a field with values of shape {found.shape} at {space.size} points", f"({space.size}, 1)")
    if not np.isfinite(found).all():
        bad = space.nodes.mid[:, np.flatnonzero(~np.isfinite(found[:, 0]))[0]]
        raise InputError(f"a field that is not finite at {', '.join(f'{x:.4g}' for x in bad)}", "finite values")
    return found[:, 0].copy()


def root_above(square: Enclosed) -> float:
    """An upper bound of the root of a number that is not negative."""
    return float(square.sqrt().upper)


def is_polygonal(region: Region) -> bool:
    """Whether a mesh of straight cells can be the region itself, and its materials."""
    inside = tuple(region.inside.values()) if isinstance(region, Composite) else ()
    return all(isinstance(piece, Segment | Point) for one in (region, *inside) for piece in one.pieces)


def default_mesh(problem: Problem, degree: int) -> Any:
    """A mesh of the domain, graded at its re-entrant corners for a degree.

    Raises:
        InputError: if the problem is not on an interval or a plane region.
    """
    check(problem)
    region = problem.domain
    h = float(np.max(region.high - region.low)) / CELLS
    return mesh_of(region, h, grading_for(region, degree))
