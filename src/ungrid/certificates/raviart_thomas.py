"""Raviart's and Thomas's element of any order on the reference simplex, in rational arithmetic.

Convention: the space of order k is ``P_k^d + x P~_k``, P~_k the homogeneous polynomials of degree k, on the reference
simplex of `lattices`; in one dimension it is P_{k+1}. Its numbers are, facet by facet, ``v·N`` at the points (j + 1) / (k +
2) from the facet's first vertex to its second, with N the outward normal times the facet's size, and then the components of
v at the points inside of the lattice of degree k + 2 (in one dimension k + 1). Under ``y = J v / |det J|`` the first ones
are the outward flux through the facet by its parameter: neighbours are conforming where their numbers differ by the sign.
Source: Raviart and Thomas 1977.
"""

import itertools
from fractions import Fraction
from functools import lru_cache

from ungrid.certificates import lattices
from ungrid.certificates.enclosures import Enclosed, stack
from ungrid.certificates.lattices import FACETS, OUTWARD_NORMALS
from ungrid.certificates.polynomials import Polynomial, variables

Vector = tuple[Polynomial, ...]
Point = tuple[Fraction, ...]


@lru_cache
def facet_nodes(order: int) -> tuple[Point, ...]:
    """The parameters of the numbers on a facet of a triangle."""
    return tuple((Fraction(j + 1, order + 2),) for j in range(order + 1))


def _on_facet(dim: int, order: int, facet: int) -> tuple[Point, ...]:
    corners = [tuple(Fraction(int(k == v)) for k in range(1, dim + 1)) for v in FACETS[dim][facet]]
    if dim == 1:
        return (corners[0],)
    return tuple(tuple((1 - s) * p + s * q for p, q in zip(*corners, strict=True)) for (s,) in facet_nodes(order))


def _inside(dim: int, order: int) -> tuple[Point, ...]:
    degree = order + 2 if dim == 2 else order + 1
    pairs = zip(lattices.indices(dim, degree), lattices.points(dim, degree), strict=True)
    return tuple(point for index, point in pairs if all(index))


def numbers(dim: int, order: int, v: Vector) -> list[Fraction]:
    """The numbers of a member of the space."""
    found = []
    for facet, normal in enumerate(OUTWARD_NORMALS[dim]):
        for x in _on_facet(dim, order, facet):
            found.append(sum((n * p.exactly(x) for n, p in zip(normal, v, strict=True) if n), start=Fraction(0)))
    for axis in range(dim):
        found += [v[axis].exactly(x) for x in _inside(dim, order)]
    return found


def _members(dim: int, order: int) -> list[Vector]:
    """Any basis of the space."""
    zero = variables(dim)[0] * 0
    exponents = [a for a in itertools.product(range(order + 1), repeat=dim) if sum(a) <= order]
    monomials = {a: Polynomial({a: Fraction(1)}, dim) for a in exponents}
    plain = [tuple(p if k == axis else zero for k in range(dim)) for axis in range(dim) for p in monomials.values()]
    return plain + [tuple(x * p for x in variables(dim)) for a, p in monomials.items() if sum(a) == order]


@lru_cache
def basis(dim: int, order: int) -> tuple[Vector, ...]:
    """The functions that have one number 1 and the others 0."""
    members = _members(dim, order)
    inverse = _inverse([numbers(dim, order, v) for v in members])
    return tuple(
        tuple(_combined(row, [v[axis] for v in members], dim) for axis in range(dim)) for row in inverse
    )  # fmt: skip


def _combined(factors: list[Fraction], parts: list[Polynomial], dim: int) -> Polynomial:
    terms: dict[tuple[int, ...], Fraction] = {}
    for factor, part in zip(factors, parts, strict=True):
        for exponents, c in part.terms.items():
            terms[exponents] = terms.get(exponents, Fraction(0)) + factor * c
    return Polynomial(terms, dim)


def _inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss's and Jordan's elimination."""
    n = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(n))] for i, row in enumerate(matrix)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        head = rows[k][k]
        rows[k] = [x / head if x else x for x in rows[k]]
        for i in range(n):
            if i != k and (factor := rows[i][k]):
                rows[i] = [x - factor * y if y else x for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[n:] for row in rows]


@lru_cache
def divergences(dim: int, order: int) -> tuple[Polynomial, ...]:
    """Of the basis."""
    return tuple(sum((p.derivative(k) for k, p in enumerate(v)), start=v[0] * 0) for v in basis(dim, order))


@lru_cache
def values(dim: int, order: int, at: tuple[Point, ...]) -> Enclosed:
    """The basis at points: (dim, points, n)."""
    return stack([lattices.exact_values(tuple(v[axis] for v in basis(dim, order)), at) for axis in range(dim)])


@lru_cache
def divergence_values(dim: int, order: int, at: tuple[Point, ...]) -> Enclosed:
    """The divergences of the basis at points: (points, n)."""
    return lattices.exact_values(divergences(dim, order), at)
