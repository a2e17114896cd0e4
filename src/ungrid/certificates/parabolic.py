"""Certificates for equations of heat: the error in the norm of energy over space and time.

    ρ u_t - ∇·(A ∇u) + c u = f,   |||e|||² as in `elliptic`,   ‖e‖² = ρ |e(T)|² + ∫ |||e|||² dt

For v with the right values on Dirichlet's parts, e = u - v, and y(t) any flux, the residuals q, r, δ, ρ of `residuals` with
``f - ρ v_t`` for f give ``ρ (e_t, w) + a(e, w) <= η(t) |||w|||`` for all w, η the majorant of that time, and with w = e

    ‖e‖² <= ρ |e(0)|² + ∫ η² dt                                                         (Repin 2002, with δ = 1)

The integral of the square of a sum of norms is at most the square of the sum of their norms over time (Minkowski), so that
every cell in a slab of time counts as one cell of `majorant`. v and y are polynomials in time in every slab, and so are the
residuals: with the Gram matrix of their values at M + 1 times, G = L D L^T,  ``∫ |q|² dt = Σ_k D_kk |Σ_j L_jk q_j|²``.

Convention: v is the interpolant of the field, of degree k in space and m in time, continuous, with the values of Dirichlet's
conditions at the nodes; these must be polynomials of at most these degrees. Its nodes in time are the lattice of every slab.
"""

import math
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates import evolution, lattices
from ungrid.certificates.bound import Bound, Kind
from ungrid.certificates.boundary import BoundaryValues
from ungrid.certificates.data import SAMPLED, Elliptic
from ungrid.certificates.elliptic import Certifier, is_polygonal, nodal_values, root_above
from ungrid.certificates.enclosures import Enclosed, contract, rational, stack
from ungrid.certificates.fluxes import Mixed
from ungrid.certificates.lagrange import FieldLike, Interpolant, evaluated
from ungrid.certificates.majorant import OUT, Squares, majorant, squares
from ungrid.certificates.residuals import Balance, Local, Residual, Side
from ungrid.equations import Dirichlet, Initial, Neumann, Problem, Robin

NORM = "error in the norm of energy over space and time"
DEGREE, ORDER, SLABS = 2, 2, 16  # of the interpolant in space and in time; of time
MOST = 6  # degree in time
SUMMED = tuple(f.name for f in fields(Squares) if f.name != "reaction")  # over time


def certify_evolution(
    field: FieldLike, problem: Problem, mesh: Any = None, *, degree: int = DEGREE, slabs: int = SLABS
) -> Bound:
    """An upper bound of the error of a field for an equation of heat, in the norm of energy over space and time.

    Args:
        field: values (n, 1) at points (n, d + 1), the time last.
        problem: ``ρ u_t - ∇·(A ∇u) + c u = f`` on an interval or a plane region times `Time`, with A, c and ρ constant in time,
            and with values of Dirichlet's conditions that are polynomials of low degree, in space and in time.
        mesh: of scikit-fem, of space; None makes one.
        degree: of the interpolant in space; in time it is of degree 2.
        slabs: of time.

    Returns:
        The bound of the error of the interpolant, `certified_object`; its `lower` is 0.

    Raises:
        InputError: if the problem is of another kind, or the field's values are not finite.
    """
    return _Evolution(problem, mesh, degree, slabs).bound(field)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Interpolants at the nodes in time, polynomials between them: what is certified.

    Attributes:
        times: of the nodes (slabs ORDER + 1,), rounded.
        states: the interpolants at these times.
    """

    times: np.ndarray
    states: list[Interpolant]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The values (n, 1) at points (n, d + 1)."""
        t, total = points[:, -1], np.zeros(len(points))
        slab = np.clip(np.searchsorted(self.times[::ORDER], t, side="right") - 1, 0, (len(self.times) - 1) // ORDER - 1)
        first = self.times[slab * ORDER]
        s = (t - first) / (self.times[(slab + 1) * ORDER] - first)
        shapes = np.stack([lattices.rounded(φ, s[None]) for φ in lattices.basis(1, ORDER)])
        for number in np.unique(slab):
            own = slab == number
            for j, shape in enumerate(shapes):
                total[own] += shape[own] * self.states[number * ORDER + j](points[own, :-1])[:, 0]
        return total[:, None]


class _Evolution:
    """A problem in time on a mesh.

    Args:
        problem: of heat.
        mesh: of space.
        degree: of the interpolant in space.
        slabs: of time.
    """

    def __init__(self, problem: Problem, mesh: Any, degree: int, slabs: int) -> None:
        evolution.check(problem)
        self.problem, self.degree, self.slabs = problem, degree, slabs
        time = problem.domain.time
        self.start, self.length = Fraction(time.start), (Fraction(time.end) - Fraction(time.start)) / slabs
        spatial = evolution.problem_at(problem, self.start)
        self.certifier = Certifier(spatial, mesh, degree=degree)  # for its constant
        self._data: dict[Fraction, Elliptic] = {}
        self.cells, self.space = self.certifier.cells, self.certifier.space
        self.mixed = Mixed(self.certifier.data, degree)
        self.density = Enclosed(float(problem.equation.damping))  # type: ignore[attr-defined]
        self._check_values()

    def _check_values(self) -> None:
        """Dirichlet's values must be of the interpolant's degree in time, or it cannot have them between its nodes."""
        for condition, _ in self.problem.boundary_conditions():
            if isinstance(condition, Dirichlet):
                found = evolution.degree_in_time(condition.value, self.problem)
                if found is None or found > ORDER:
                    raise InputError(
                        f"{condition.label}: values that are no polynomial of degree {ORDER} in time",
                        "polynomials of low degree, for a certificate in time",
                    )

    @cached_property
    def _in_time(self) -> int | None:
        """The degree of source and fluxes in time; None if they are no polynomials."""
        given = [self.problem.equation.source]  # type: ignore[attr-defined]
        given += [c.value for c, _ in self.problem.boundary_conditions() if isinstance(c, Neumann | Robin)]
        degrees = [evolution.degree_in_time(one, self.problem) for one in given]
        known = [d for d in degrees if d is not None]
        return max(known, default=0) if len(known) == len(degrees) and max(known, default=0) <= MOST else None

    @cached_property
    def exact(self) -> bool:
        """Whether all data are polynomials of a degree that is integrated."""
        start = self.certifier.data.datum("the initial value", self._initial)
        return self._in_time is not None and start.exact and self.data_at(self.start).exact

    @cached_property
    def _initial(self) -> Any:
        """The value at the start, as a coefficient of space."""
        condition = next(c for c in self.problem.conditions if isinstance(c, Initial))
        return evolution.at_time(condition.value, self.start, self.problem.axes[:-1])

    def data_at(self, τ: Fraction) -> Elliptic:
        """Of the elliptic problem at a time."""
        if τ not in self._data:
            self._data[τ] = Elliptic(evolution.problem_at(self.problem, τ), self.cells)
        return self._data[τ]

    def bound(self, field: FieldLike) -> Bound:
        """Of a field's interpolant."""
        v = self._interpolant(field)
        runs = [(self._in_time or 0, SAMPLED[0])] if self.exact else [(ORDER + 1, SAMPLED[0]), (ORDER + 3, SAMPLED[1])]
        found = [self._upper(v, *run) for run in runs]
        apart = abs(found[-1][0] - found[0][0])
        known = all(data.exact for data in self._data.values())  # degrees in space change with time
        proven = self.exact and known and self.certifier.constant.proven
        kind: Kind = "certified" if proven and is_polygonal(self.problem.domain.region) else "estimated"
        plain = [Local(Enclosed(state.values[self.space.dofs]), self.degree) for state in v.states]
        size, boundary = self._norm(plain), self._norm([change for _, change in self._exact(v)])
        said = [
            f"the error of the interpolant of degree {self.degree} in space and {ORDER} in time on {self.slabs} slabs, with "
            "the given values on Dirichlet's parts",
            "the domain is that of the mesh, whose nodes are exact numbers",
            "upper bound: Repin's for equations of heat, with one flux for every node in time; no lower bound",
            "all data are polynomials, whose integrals are exact up to roundings, which are enclosed" if self.exact else
            f"data that are no polynomials stand in by such of two degrees; the bounds differ by {apart:.2g}, which is added",
            f"{self.certifier.constant.reason}: {self.certifier.constant.value:.4g} with the diffusion",
        ]  # fmt: skip
        if self.certifier.data.has_reaction:
            said.append("the reaction is nowhere negative")
        return Bound(
            (found[-1][0] + apart + boundary) * OUT, 0.0, NORM, kind, tuple(said), size=size, local=found[-1][1],
            mesh=self.cells.mesh, certified_object=v,
        )  # fmt: skip

    # -- the interpolant ---------------------------------------------------------------------------------------------------

    def _time(self, slab: int, part: Fraction) -> Fraction:
        return self.start + (slab + part) * self.length

    def _interpolant(self, field: FieldLike) -> Trajectory:
        times = [self._time(0, Fraction(j, ORDER)) for j in range(self.slabs * ORDER + 1)]
        states = []
        for τ in times:

            def now(x: np.ndarray, τ: Fraction = τ) -> np.ndarray:
                return field(np.column_stack([x, np.full(len(x), float(τ))]))

            values = nodal_values(now, self.space)
            states.append(Interpolant(self.space, BoundaryValues(self.data_at(τ), self.space).imposed(values)))
        return Trajectory(np.array([float(τ) for τ in times]), states)

    def _exact(self, v: Trajectory) -> list[tuple[Local, Local]]:
        """The states with the exact boundary values, and what that takes.

        Raises:
            InputError: if the values are of a higher degree in space than the interpolant.
        """
        found = []
        for j, state in enumerate(v.states):
            values = BoundaryValues(self.data_at(self._time(0, Fraction(j, ORDER))), self.space)
            found.append(values.extended(state.values, self.degree + 1))
            if found[-1][0].degree != self.degree:
                raise InputError(
                    f"Dirichlet's values of a higher degree in space than the interpolant's {self.degree}",
                    "polynomials of low degree, for a certificate in time", "give a higher degree=",
                )  # fmt: skip
        return found

    # -- norms over time ---------------------------------------------------------------------------------------------------

    def _norm(self, states: list[Local]) -> float:
        """``(ρ |w(T)|² + ∫ |||w|||² dt)^(1/2)`` from above, for the values at the nodes in time."""
        balance = Balance(self.certifier.data, self.certifier.flux, self.degree, SAMPLED[-1])
        total = self.density * self._mass(states[-1])
        factors, diagonal = factored(ORDER)
        for slab in range(self.slabs):
            own = stack([w.values for w in states[slab * ORDER : slab * ORDER + ORDER + 1]])
            mixed = contract("jk,jnc->knc", factors, own)
            for k in range(ORDER + 1):
                total = total + diagonal[k] * rational(self.length) * balance.energy(Local(mixed[k], self.degree))
        return root_above(total)

    def _mass(self, w: Local) -> Enclosed:
        plain = self.cells.resampled(w.values, w.degree, w.degree)
        return self.cells.integrals(plain, plain, (w.degree, w.degree)).total()

    def _upper(self, v: Trajectory, in_time: int, sampled: int) -> tuple[float, np.ndarray]:
        """The bound for the interpolant with exact boundary values, and the cells' contributions (cells,)."""
        states = [one[0] for one in self._exact(v)]
        start = self._start_error(states[0], sampled)
        slabs = [self._slab(states, slab, max(in_time, ORDER), sampled) for slab in range(self.slabs)]
        whole = Squares(*(np.concatenate([getattr(s, f.name) for s in slabs], axis=-1) for f in fields(Squares)))
        residual, local, _ = majorant(whole, self.certifier.constant)
        cells = np.sqrt((local.reshape(self.slabs, -1) ** 2).sum(axis=0))
        return math.sqrt(start + residual**2 * OUT) * OUT, cells

    def _start_error(self, v: Local, sampled: int) -> float:
        """``ρ |u(0) - v(0)|²`` from above."""
        datum = self.certifier.data.datum("the initial value", self._initial)
        degree = max(datum.degree(sampled), v.degree)
        missed = datum.at(self.cells.points(degree), self.certifier.data.everywhere)
        missed = missed - self.cells.resampled(v.values, v.degree, degree)
        return float((self.density * self.cells.integrals(missed, missed, (degree, degree)).total()).upper)

    def _slab(self, states: list[Local], slab: int, in_time: int, sampled: int) -> Squares:
        """The integrals over a slab of time of the squares that a bound is made of."""
        own = stack([w.values for w in states[slab * ORDER : slab * ORDER + ORDER + 1]])
        at = lattices.points(1, in_time)
        values = contract("lj,jnc->lnc", lattices.values(1, ORDER, at), own)
        rates = contract("lj,jnc->lnc", lattices.gradients(1, ORDER, at)[0], own) * (
            self.density / rational(self.length)
        )
        found = [
            self._residual(self._time(slab, s), Local(values[j], self.degree), Local(rates[j], self.degree), sampled)
            for j, (s,) in enumerate(at)
        ]
        factors, diagonal = factored(in_time)
        total = None
        for k, one in enumerate(combined(found, factors)):
            part = scaled(squares(one), float((diagonal[k] * rational(self.length)).upper))
            total = part if total is None else added(total, part)
        assert total is not None
        return total

    def _residual(self, τ: Fraction, v: Local, drift: Local, sampled: int) -> Residual:
        """At a time, against the flux of that time."""
        data = self.data_at(τ)

        def source(ξ: np.ndarray) -> np.ndarray:
            f = data.source.plain(self.mixed.x, data.everywhere)
            return f - evaluated(drift.values.mid, self.cells.dim, drift.degree, ξ)

        return Balance(data, self.mixed.solve(data, source), v.degree, sampled, drift).residual(v)


@lru_cache
def factored(degree: int) -> tuple[Enclosed, Enclosed]:
    """L (n, n) and the diagonal of D (n,) of the Gram matrix ``L D L^T`` of a lattice in time."""
    gram = [list(row) for row in lattices.gram(1, degree, degree)]
    n = len(gram)
    lower = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    diagonal = []
    for k in range(n):
        diagonal.append(gram[k][k])
        for i in range(k + 1, n):
            lower[i][k] = gram[i][k] / gram[k][k]
            for j in range(k + 1, n):
                gram[i][j] -= lower[i][k] * gram[k][j]
    return rational(lower), rational(diagonal)


def combined(residuals: list[Residual], factors: Enclosed) -> list[Residual]:
    """``Σ_j L_jk residual_j`` for every k."""
    cells, first = residuals[0].balance.cells, residuals[0]
    p = max(one.degree for one in residuals)
    q = contract("jk,jicn->kicn", factors, stack([one.q for one in residuals]))
    lifted = [
        contract("nm,cm->cn", lattices.values(cells.dim, one.degree, lattices.points(cells.dim, p)), one.r)
        for one in residuals
    ]
    r = contract("jk,jcn->kcn", factors, stack(lifted))
    neumann, robin = (
        _sides([getattr(one, kind) for one in residuals], factors, cells.dim) for kind in ("neumann", "robin")
    )
    return [Residual(first.balance, q[k], r[k], p, neumann[k], robin[k]) for k in range(len(residuals))]


def _sides(given: list[list[Side]], factors: Enclosed, dim: int) -> list[list[Side]]:
    """The combinations of the residuals on facets."""
    found: list[list[Side]] = [[] for _ in given]
    for same in zip(*given, strict=True):
        p = max(side.degree for side in same)
        values = [
            side.values if dim == 1 else
            contract("nm,fm->fn", lattices.values(1, side.degree, lattices.points(1, p)), side.values)
            for side in same
        ]  # fmt: skip
        mixed = contract("jk,jfn->kfn", factors, stack([one[:, :1] for one in values] if dim == 1 else values))
        for k, sides in enumerate(found):
            sides.append(Side(same[0].facets, mixed[k], p, same[0].weight))
    return found


def scaled(s: Squares, factor: float) -> Squares:
    """Times a number; the lower bound of the reaction stays."""
    return replace(s, **{name: getattr(s, name) * (factor * OUT) for name in SUMMED})


def added(one: Squares, other: Squares) -> Squares:
    """The sums; the lower bound of the reaction stays."""
    return replace(one, **{name: (getattr(one, name) + getattr(other, name)) * OUT for name in SUMMED})
