"""What least squares on a lattice of splines sums up entry by entry: normal equations, and the fronts of their factors.

Conventions
    Normal equations are kept in bands, as `ungrid.solvers.dissection` has them; their plain twin is the product of the
    sparse design matrices of `ungrid.solvers.least_squares`.
    Fronts are symmetric, of which the lower triangle is stored, column after column. A remainder (m, m) belongs first to
    eliminated points of the parent, at the places `own`, and then to its boundary, at the places `kept`; both ascend.
"""

import numpy as np
from numba import njit


def extend_add_plain(
    diagonal: np.ndarray, below: np.ndarray, rest: np.ndarray, part: np.ndarray, own: np.ndarray, kept: np.ndarray
) -> None:
    """The plain twin of `extend_add`; of the upper triangles, which nothing reads, it adds those of `part` too."""
    n = len(own)
    diagonal[np.ix_(own, own)] += part[:n, :n]
    below[np.ix_(kept, own)] += part[n:, :n]
    rest[np.ix_(kept, kept)] += part[n:, n:]


@njit(cache=True)
def extend_add(
    diagonal: np.ndarray, below: np.ndarray, rest: np.ndarray, part: np.ndarray, own: np.ndarray, kept: np.ndarray
) -> None:
    """Adds `part` to the blocks ``[[diagonal, .], [below, rest]]`` in place."""
    n, m = len(own), len(kept)
    for j in range(n):
        for i in range(j, n):
            diagonal[own[i], own[j]] += part[i, j]
        for i in range(m):
            below[kept[i], own[j]] += part[n + i, j]
    for j in range(m):
        for i in range(j, m):
            rest[kept[i], kept[j]] += part[n + i, n + j]


@njit(cache=True)
def add_products(
    bands: np.ndarray,
    right: np.ndarray,
    base: np.ndarray,
    taps: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    band: np.ndarray,
) -> None:
    """Adds the weighted products of the splines at n samples to ``bands``, and those with their values to ``right``.

    The products of the samples of one cell are summed before they are spread over the lattice.

    Args:
        bands: (bands, size).
        right: (size, c).
        base: (n,) the lattice point of the first spline of every sample, ascending.
        taps: (d, n, 4) the splines along each axis.
        weights: (n,).
        values: (n, c).
        offsets: (4^d,) lattice points from the first spline to the others.
        band: (4^d, 4^d) where the product of two splines goes, of which the second is not before the first.
    """
    d, n, count, c = taps.shape[0], len(base), len(offsets), values.shape[1]
    spline, block, sums = np.empty(count), np.zeros((count, count)), np.zeros((count, c))
    for i in range(n):
        spline[0], size = 1.0, 1
        for k in range(d):
            for a in range(size - 1, -1, -1):
                for j in range(3, -1, -1):
                    spline[4 * a + j] = spline[a] * taps[k, i, j]
            size *= 4
        for a in range(count):
            scaled = weights[i] * spline[a]
            for b in range(a, count):
                block[a, b] += scaled * spline[b]
            for k in range(c):
                sums[a, k] += scaled * values[i, k]
        if i + 1 == n or base[i + 1] != base[i]:
            for a in range(count):
                point = base[i] + offsets[a]
                for b in range(a, count):
                    bands[band[a, b], point] += block[a, b]
                for k in range(c):
                    right[point, k] += sums[a, k]
            block[:] = 0.0
            sums[:] = 0.0
