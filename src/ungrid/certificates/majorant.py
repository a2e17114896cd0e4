"""The upper bound of the energy norm of an error, from the residual of a field with the right values on Dirichlet's parts.

With q, r, δ and ρ of `residuals`, h_K the diameter, ν_K the least eigenvalue of A in the cell K, and r̄ the mean of r over K,

    |||u - v|||² <= Σ_K (|q|_{A^-1,K} + h_K |r - r̄|_K / (π √ν_K) + Σ_E C_E |δ|_E / √ν_K)² + |r̄ / √c|²_K + Σ_E |ρ / √(κα)|²_E

Where c = 0, r̄ is a rounding error, and its global norm times C_F / √ν is added to the root instead. Sources: Prager and Synge
1947; Payne and Weinberger 1960 (h/π); Repin and Sauter 2006 and Repin 2008, section 4.2 (c > 0); Ern, Nicaise and Vohralik
2007 (the mean by cells). The trace constant follows from ``|w|²_E = |E| / |K| (|w|²_K + (w, (x - a)·∇w)_K)``, a opposite to E:
``C_E² = |E| h² / |K| (1 / π² + 1 / π)`` for functions with the mean 0 on a triangle. On a cell where that is smaller,
``|r / √c|²_K`` takes the place of both terms with r.

Variable A: with a constant Ā for each cell, ``(1 - ε) Ā <= A``, and z = Ā^-1 q,

    q·A^-1 q <= 2 q·z - z·A z + ε² / (1 - ε) q·z,

a polynomial if A is one; the last term bounds that of second order in the Neumann series of A^-1.

Convention: arrays of floats are upper bounds, rounded outward. The parts of a bound are squares, so that
they can be integrals over time as well.
"""

import math
from dataclasses import dataclass

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates import lattices
from ungrid.certificates.cells import Cells
from ungrid.certificates.constants import Constant
from ungrid.certificates.enclosures import Enclosed, contract
from ungrid.certificates.residuals import Residual

OUT = 1 + 1e-14  # outward, for some roundings of scalars and of cells' numbers


@dataclass(frozen=True)
class Squares:
    """What the bound of one residual, or of several on cells of their own, is made of; all from above.

    Attributes:
        flux: ``|q|²`` in the norm of A^-1 on every cell (cells,).
        sides: ``C_E² |δ|_E² / ν_K`` on every facet of a cell (facets, cells).
        swing: ``h_K² |r - r̄|² / (π² ν_K)`` (cells,).
        robin: ``|ρ / √(κ α)|²`` (cells,).
        means: ``|r̄|²`` (cells,).
        whole: ``|r|²`` (cells,).
        reaction: a lower bound of c (cells,).
    """

    flux: np.ndarray
    sides: np.ndarray
    swing: np.ndarray
    robin: np.ndarray
    means: np.ndarray
    whole: np.ndarray
    reaction: np.ndarray


def squares(residual: Residual) -> Squares:
    """Of the residual of one field."""
    b, cells, p, r = residual.balance, residual.balance.cells, residual.degree, residual.r
    mean = cells.mean(r, p)
    rest = r - mean[:, None]
    factor = cells.diameters**2 / (math.pi**2 * b.definiteness.least) * OUT
    swing = cells.integrals(rest, rest, (p, p)).upper * factor * OUT
    c = b.least_reaction if b.data.has_reaction else np.zeros(cells.count)
    return Squares(
        flux_squares(residual), _neumann_squares(residual), np.maximum(swing, 0.0), _robin_squares(residual),
        (mean * mean * cells.volumes).upper, cells.integrals(r, r, (p, p)).upper, c,
    )  # fmt: skip


def majorant(s: Squares, constant: Constant) -> tuple[float, np.ndarray, bool]:
    """The upper bound, the cells' contributions to it (cells,), and whether the reaction's weight is used."""
    plain = np.sqrt(s.flux) + np.sqrt(s.sides).sum(axis=0)
    by_mean = (plain + np.sqrt(s.swing)) ** 2 * OUT + s.robin
    held = s.reaction > 0
    found = _combined(by_mean, s.means, constant)
    if not held.any():
        return found, np.sqrt(by_mean), False
    c = np.where(held, s.reaction, 1.0)
    weighted = np.minimum(by_mean + s.means / c * OUT, plain**2 * OUT + s.robin + s.whole / c * OUT)
    local = np.where(held, weighted, by_mean)
    by_reaction = _combined(local, np.where(held, 0.0, s.means), constant)
    return (by_reaction, np.sqrt(local), True) if by_reaction <= found else (found, np.sqrt(by_mean), False)


def _combined(local: np.ndarray, left: np.ndarray, constant: Constant) -> float:
    """The root of the sum of the cells' squares, and Friedrichs's constant times that of what is left."""
    rest = math.sqrt(math.fsum(left)) * constant.value if left.any() else 0.0
    return (math.sqrt(math.fsum(local)) + rest) * OUT


def flux_squares(residual: Residual) -> np.ndarray:
    """Upper bounds of ``|q|²`` in the norm of A^-1 on every cell (cells,)."""
    b, q, cells = residual.balance, residual.q, residual.balance.cells
    ε, p, more = b.definiteness.variation, b.flux_degree, b.diffusion_degree
    z = contract("ijc,jcn->icn", b.definiteness.inverse, q)
    square = _product(cells, q, z, (p, p))
    if not more:
        return np.maximum((square / (1 - ε)).upper, 0.0)
    raised = contract("mn,icn->icm", lattices.values(cells.dim, p, lattices.points(cells.dim, p + more)), z)
    turned = contract("ijcn,jcn->icn", b.diffusion_at(p + more), raised)
    total = 2.0 * square - _product(cells, turned, z, (p + more, p)) + square * (ε**2 / (1 - ε) * OUT)
    return np.maximum(total.upper, 0.0)


def _product(cells: Cells, one: Enclosed, other: Enclosed, degrees: tuple[int, int]) -> Enclosed:
    """The integral over every cell of the product of two vector fields."""
    return sum((cells.integrals(one[i], other[i], degrees) for i in range(cells.dim)), start=Enclosed(0.0))


def _neumann_squares(residual: Residual) -> np.ndarray:
    """``C_E² |δ|_E² / ν_K`` (facets, cells)."""
    cells, least = residual.balance.cells, residual.balance.definiteness.least
    total = np.zeros((cells.dim + 1, cells.count))
    for side in residual.neumann:
        own = side.facets.cells
        shape = cells.sizes(side.facets).upper * cells.diameters[own] ** 2 / cells.volumes.lower[own]
        trace = shape * (1 / math.pi**2 + 1 / math.pi) / least[own] * OUT
        total[side.facets.local, own] = np.maximum(side.square(cells).upper, 0.0) * trace * OUT
    return total


def _robin_squares(residual: Residual) -> np.ndarray:
    """``|ρ / √(κ α)|²``, summed over the edges of every cell (cells,).

    Raises:
        InputError: if a coefficient is not positive.
    """
    cells, total = residual.balance.cells, np.zeros(residual.balance.cells.count)
    for side in residual.robin:
        assert side.weight is not None
        if not (side.weight > 0).all():
            raise InputError("a coefficient of Robin's condition that is not positive", "a positive one, or Neumann's")
        total[side.facets.cells] += side.square(cells).upper / side.weight * OUT
    return total * OUT
