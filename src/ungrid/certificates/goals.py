"""Bounds of one number of the exact solution: a mean, or the flux through a part of the boundary.

Convention: a(·, ·) is the problem's form, y its flux, v an approximation with the given values on Dirichlet's parts, R_v(w) the
functional ``(q, ∇w) + (r, w) + ...`` of `residuals`, z the dual solution, and z~ any function with the values of z on
Dirichlet's parts.

A mean: ``a(w, z) = ∫ j w`` for all w that are 0 on Dirichlet's parts, z = 0 there, and

    ∫ j u = ∫ j v + R_v(z~) + a(u - v, z - z~).

The flux through a part Γ: ``a(w, z) = 0`` for the same w, z = 1 on Γ and 0 on the other Dirichlet's parts, and

    ∫_Γ A∇u·n = ∫_Γ y·n - R_v(z~) - a(u - v, z~ - z).

The last terms are at most ``|||u - v||| |||z - z~|||``, and both factors are bounded as in `elliptic`, the second one by
the dual problem's own flux: a guaranteed form of the dual-weighted residual (Becker and Rannacher 2001; Ainsworth and
Rankin 2012). v and z~ are finite element solutions, so that the width is a product of two small errors; a field is as wrong
in its goal as its own number is off the interval.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates.bound import Bound, weakest
from ungrid.certificates.cells import Cells
from ungrid.certificates.correction import Correction
from ungrid.certificates.data import SAMPLED
from ungrid.certificates.elliptic import DEGREE, Certifier
from ungrid.certificates.enclosures import Enclosed, contract
from ungrid.certificates.fluxes import Flux
from ungrid.certificates.lagrange import Interpolant
from ungrid.certificates.lattices import means
from ungrid.certificates.majorant import OUT
from ungrid.certificates.residuals import Local
from ungrid.equations import Condition, Dirichlet, Neumann, Problem, Robin, SecondOrder
from ungrid.equations.coefficients import Coefficient


def certify_mean(problem: Problem, weight: Coefficient = 1.0, mesh: Any = None, *, degree: int = DEGREE) -> Bound:
    """Bounds of the integral of the exact solution times a weight, over the integral of the weight.

    Args:
        problem: as for `certify`.
        weight: a coefficient; `ungrid.equations.ByMaterial` with 0 and 1 picks a part of a domain of several materials.
        mesh: as for `certify`.
        degree: of the finite elements.

    Raises:
        InputError: as `certify`, or if the integral of the weight is 0.
    """
    pair = _Pair(problem, weight, None, mesh, degree)
    total = pair.integral(Local(Enclosed(np.ones((1, pair.primal.cells.count))), 0), SAMPLED[-1])
    if not abs(float(total.mid)) > float(total.rad):
        raise InputError("a weight whose integral is 0", "one with a mean")

    def value(sampled: int) -> Enclosed:
        corrected = pair.primal.corrected(pair.v, sampled)
        return pair.integral(corrected.local, sampled) + corrected.residual.against(pair.dual_solution)

    return pair.bound(value, total, "weighted mean" if callable(weight) else "mean")


def certify_flux(problem: Problem, part: str, mesh: Any = None, *, degree: int = DEGREE) -> Bound:
    """Bounds of the integral of ``A ∇u·n`` of the exact solution over a part of the boundary.

    Args:
        problem: as for `certify`.
        part: one that Dirichlet's condition names, without a corner in common with another such part.
        mesh: as for `certify`.
        degree: of the finite elements.

    Raises:
        InputError: as `certify`, or if the part has no condition of Dirichlet's kind, or touches another one that has.
    """
    pair = _Pair(problem, 0.0, part, mesh, degree)

    def value(sampled: int) -> Enclosed:
        inner = pair.primal.corrected(pair.v, sampled).residual.against(pair.dual_solution)
        return _outflow(pair.primal.cells, pair.primal.flux, part) - inner

    return pair.bound(value, Enclosed(1.0), f"flux through {part}")


class _Pair:
    """A problem and its dual, both with their fluxes and finite element solutions.

    Args:
        problem: the primal one.
        weight: the source of the dual one.
        part: where the dual solution is 1; None for 0 on all of Dirichlet's parts.
        mesh: as for `certify`.
        degree: of the finite elements.
    """

    def __init__(self, problem: Problem, weight: Coefficient, part: str | None, mesh: Any, degree: int) -> None:
        self.primal = Certifier(problem, mesh, degree=degree)
        if part is not None and part not in (name for _, name in self.primal.data.conditions(Dirichlet)):
            raise InputError(f"the flux through {part!r}", "a part with a condition of Dirichlet's kind")
        self.dual = Certifier(_dual(problem, weight, part), self.primal.cells.mesh, degree=degree)
        form = Correction(self.primal.data, self.primal.space)  # both problems have this form, on one space
        self.v, z = (_solved(one, form) for one in (self.primal, self.dual))
        self.dual_solution = Local(Enclosed(z.values[z.space.dofs]), degree)
        self.upper, self.local, _ = self.dual.above(z)

    def integral(self, v: Local, sampled: int) -> Enclosed:
        """``∫ j v``, j the source of the dual problem."""
        cells, data = self.dual.cells, self.dual.data
        degree = data.source.degree(sampled)
        j = data.source.at(cells.points(degree), data.everywhere)
        return cells.integrals(j, cells.resampled(v.values, v.degree, v.degree), (degree, v.degree)).total()

    def bound(self, value: Callable[[int], Enclosed], total: Enclosed, name: str) -> Bound:
        """The interval around a number, over a total."""
        errors = self.primal.bound(self.v)
        found = [value(sampled) for sampled in self._samplings]
        spread = errors.upper * self.upper + abs(float(found[-1].mid - found[0].mid))
        whole = Enclosed(found[-1].mid, (found[-1].rad + spread) * OUT) / total
        energies = (
            f"energy norms of errors: at most {errors.upper:.3g} of the solution, {self.upper:.3g} of the dual one"
        )
        return Bound(
            float(whole.upper), float(whole.lower), name, weakest(errors.kind, self.dual.kind),
            (*errors.assumptions, energies), local=np.sqrt(errors.local * self.local), mesh=errors.mesh,
        )  # fmt: skip

    @property
    def _samplings(self) -> tuple[int, ...]:
        return max(self.primal.samplings, self.dual.samplings, key=len)


def _solved(certifier: Certifier, form: Correction) -> Interpolant:
    """The finite element solution in the certifier's space."""
    start = certifier.interpolant(lambda x: np.zeros((len(x), 1)))
    residual = certifier.corrected(start, SAMPLED[-1]).residual
    return Interpolant(start.space, start.values + form.numbers(residual))


def _dual(primal: Problem, weight: Coefficient, part: str | None) -> Problem:
    """The problem of z: the same form, with the weight as source, and 1 on a part."""
    equation = primal.equation
    assert isinstance(equation, SecondOrder)
    conditions: list[Condition] = []
    for condition, parts in primal.boundary_conditions():
        if isinstance(condition, Robin):
            conditions.append(Robin(0.0, parts, coefficient=condition.coefficient))
        elif isinstance(condition, Neumann):
            conditions.append(Neumann(0.0, parts))
        else:
            conditions += [Dirichlet(float(name == part), name) for name in parts]
    return Problem(primal.domain, replace(equation, source=weight), conditions)


def _outflow(cells: Cells, flux: Flux, part: str) -> Enclosed:
    """``∫ y·n`` over a part."""
    total = Enclosed(0.0)
    for facets in cells.facets(part):
        through = flux.through(facets, flux.order)
        total = (
            total + (through[:, 0] if cells.dim == 1 else contract("fn,n->f", through, means(1, flux.order))).total()
        )
    return total
