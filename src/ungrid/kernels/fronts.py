"""The one step of a multifrontal factorisation that is no matrix product: adding a child's remainder to its parent.

Convention: matrices are symmetric, of which the lower triangle is stored, column after column. A remainder (m, m) belongs
first to eliminated points of the parent, at the places `own`, and then to its boundary, at the places `kept`; both ascend.
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
