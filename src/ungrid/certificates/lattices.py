"""Exact reference matrices of polynomials on a simplex, by their values at the points of a lattice.

Convention: the reference simplex of dimension d has the vertices 0, e_1, ..., e_d and the barycentric coordinates
λ_0 = 1 - Σ x_i, λ_i = x_i. The lattice of degree p >= 1 has the points λ = α / p for the multi-indices α of sum p; that of
degree 0 the centroid. A polynomial of degree p is its values there, with the basis

    φ_α(λ) = Π_i Π_{j < α_i} (p λ_i - j) / (j + 1)            (Silvester 1969; Nicolaides 1972)

All matrices are computed in rational arithmetic and then enclosed. Integrals are means over the simplex,
``mean λ^a = d! a! / (|a| + d)!``.
"""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from ungrid.certificates.enclosures import Enclosed, rational, stack
from ungrid.certificates.polynomials import Polynomial, variables


@lru_cache
def indices(dim: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """The multi-indices (n, dim + 1) of a lattice; those of the vertices are the multiples of the unit vectors."""
    every = itertools.product(range(degree + 1), repeat=dim)
    return tuple((degree - sum(a), *a) for a in every if sum(a) <= degree)


@lru_cache
def points(dim: int, degree: int) -> tuple[tuple[Fraction, ...], ...]:
    """The points of a lattice (n, dim)."""
    if degree == 0:
        return ((Fraction(1, dim + 1),) * dim,)
    return tuple(tuple(Fraction(i, degree) for i in a[1:]) for a in indices(dim, degree))


@lru_cache
def basis(dim: int, degree: int) -> tuple[Polynomial, ...]:
    """The polynomials φ of the reference coordinates, one for each point."""
    x = variables(dim)
    first = 1 - sum(x[1:], start=x[0])
    found = []
    for a in indices(dim, degree):
        product = x[0] * 0 + 1
        for λ, count in zip((first, *x), a, strict=True):
            for j in range(count):
                product = product * (degree * λ - j) / (j + 1)
        found.append(product)
    return tuple(found)


def exact_values(functions: Sequence[Polynomial], at: tuple[tuple[Fraction, ...], ...]) -> Enclosed:
    """Polynomials at points: (points, functions). In integers over common denominators, which is faster than fractions."""
    exponents = sorted({a for φ in functions for a in φ.terms} | {(0,) * len(at[0])})
    rows, below = _integers(functions, exponents)
    scale = math.lcm(*(x.denominator for point in at for x in point))
    degree = max(map(sum, exponents))
    scaled = [[int(x * scale) for x in point] for point in at]
    powers = np.array(
        [[math.prod(map(pow, x, a), start=scale ** (degree - sum(a))) for a in exponents] for x in scaled], dtype=object
    )
    found = powers @ rows.T
    return rational([[Fraction(int(n), q * scale**degree) for n, q in zip(row, below, strict=True)] for row in found])


def rounded(polynomial: Polynomial, points: np.ndarray) -> np.ndarray:
    """Rounded values (q,) of a polynomial at points (dim, q)."""
    total = np.zeros(points.shape[1])
    for exponents, c in polynomial.terms.items():
        total += float(c) * np.prod([x**e for x, e in zip(points, exponents, strict=True)], axis=0)
    return total


@lru_cache
def values(dim: int, degree: int, at: tuple[tuple[Fraction, ...], ...]) -> Enclosed:
    """The basis at points: (points, n)."""
    return exact_values(basis(dim, degree), at)


@lru_cache
def gradients(dim: int, degree: int, at: tuple[tuple[Fraction, ...], ...]) -> Enclosed:
    """The reference derivatives of the basis at points: (dim, points, n)."""
    return stack([exact_values([φ.derivative(k) for φ in basis(dim, degree)], at) for k in range(dim)])


@lru_cache
def means(dim: int, degree: int) -> Enclosed:
    """The mean of every basis function: (n,)."""
    return rational([sum((c * _mean(a) for a, c in φ.terms.items()), Fraction(0)) for φ in basis(dim, degree)])


@lru_cache
def products(dim: int, one: int, other: int) -> Enclosed:
    """The mean of the products of two lattices' basis functions: (n, m)."""
    return rational(gram(dim, one, other))


@lru_cache
def gram(dim: int, one: int, other: int) -> list[list[Fraction]]:
    """`products`, as fractions."""
    exponents = [[a for a in itertools.product(range(p + 1), repeat=dim) if sum(a) <= p] for p in (one, other)]
    left, right = (_integers(basis(dim, p), own) for p, own in zip((one, other), exponents, strict=True))
    scale = math.factorial(one + other + dim)
    moments = np.array(
        [[int(_mean(tuple(map(sum, zip(a, b, strict=True)))) * scale) for b in exponents[1]] for a in exponents[0]],
        dtype=object,
    )
    summed = left[0] @ moments @ right[0].T
    return [
        [Fraction(int(n), scale * p * q) for n, q in zip(row, right[1], strict=True)]
        for row, p in zip(summed, left[1], strict=True)
    ]


def _integers(functions: Sequence[Polynomial], exponents: list[tuple[int, ...]]) -> tuple[np.ndarray, list[int]]:
    """Coefficients as integers (functions, monomials) over one denominator for each function."""
    below = [math.lcm(*(c.denominator for c in φ.terms.values()), 1) for φ in functions]
    rows = [
        [int(φ.terms.get(a, Fraction(0)) * q) for a in exponents] for φ, q in zip(functions, below, strict=True)
    ]  # fmt: skip
    return np.array(rows, dtype=object), below


def _mean(exponents: tuple[int, ...]) -> Fraction:
    """Of a monomial of the reference coordinates."""
    dim = len(exponents)
    above = math.factorial(dim) * math.prod(map(math.factorial, exponents))
    return Fraction(above, math.factorial(sum(exponents) + dim))


@lru_cache
def extension(degree: int, facet: int) -> Enclosed:
    """A polynomial on an edge of a triangle, 0 at its ends, as one on the triangle that is 0 on the other two edges.

    In barycentric coordinates a polynomial of the edge is made homogeneous, with λ_a + λ_b for 1; each of its terms then has
    the factor λ_a λ_b.

    Returns:
        From the values at the edge's lattice, from its first vertex to its second, to those at the triangle's: (n, degree + 1).
    """
    a, b = FACETS[2][facet]
    rows = []
    for x in points(2, degree):
        λ = (1 - sum(x), *x)
        along = λ[a] + λ[b]
        row = [Fraction(0)] * (degree + 1)
        for column, (i, j) in enumerate(indices(1, degree)):
            if i and j:  # the values at the ends are 0
                factors = [(degree * λ[v] - m * along) / (m + 1) for v, count in ((a, i), (b, j)) for m in range(count)]
                row[column] = Fraction(math.prod(factors))
        rows.append(row)
    return rational(rows)


FACETS = {1: ((0,), (1,)), 2: ((0, 1), (1, 2), (0, 2))}  # local vertices, as scikit-fem numbers them
OPPOSITE = {1: (1, 0), 2: (2, 0, 1)}
OUTWARD_NORMALS = {1: ((-1,), (1,)), 2: ((0, -1), (1, 1), (-1, 0))}  # of the reference simplex, times the facet's size


@lru_cache
def facet_points(dim: int, degree: int, facet: int) -> tuple[tuple[Fraction, ...], ...]:
    """The lattice of a facet, from its first vertex to its second, in the simplex's coordinates: (n, dim)."""
    corners = [[Fraction(int(k == v)) for k in range(1, dim + 1)] for v in FACETS[dim][facet]]
    if dim == 1:
        return (tuple(corners[0]),)
    s = [x for (x,) in points(1, degree)]
    return tuple(tuple((1 - t) * p + t * q for p, q in zip(*corners, strict=True)) for t in s)
