"""Feature maps between their pixels: every place is a weighted sum of the features at its four corners.

Conventions
    B maps of H x W pixels with K features, float32 (B, H, W, K). The places form a lattice of Y rows and X columns: row y
    lies between the map's rows ``rows[y, 0]`` and ``rows[y, 1]``, column x between its columns ``columns[x, 0]`` and
    ``columns[x, 1]``. Rows whose weights agree share a phase, and so do columns:

        out[b, y, x] = sum_ij weights[row_phase[y], column_phase[x], i, j] * maps[b, rows[y, i], columns[x, j]]

    feature by feature, with weights (P, Q, 2, 2, K). The plain twin is `ungrid.networks.spline_kernels.corner_sums`.

Where hardly any two rows or columns share a phase, `spline_corner_sums` makes the weights as it goes: they are cubic splines
across, ``weights = sum_t taps[x, j, t] * halves[y, i, first[x, j] + t]``, with halves (Y, 2, N, K).

Threads own whole rows of the result, whole maps of the maps' gradient and whole phases of the weights' gradient, so that
equal inputs give equal bits with any number of threads.
"""

import numpy as np
from numba import njit, prange


@njit(cache=True, fastmath=True, parallel=True)
def corner_sums(maps, weights, rows, columns, row_phase, column_phase, out):
    """Writes out (B, Y, X, K)."""
    count, places_y, places_x, features = out.shape
    for line in prange(count * places_y):
        b, y = line // places_y, line % places_y
        upper, lower, p = rows[y, 0], rows[y, 1], row_phase[y]
        for x in range(places_x):
            left, right, q = columns[x, 0], columns[x, 1], column_phase[x]
            for k in range(features):
                out[b, y, x, k] = (
                    weights[p, q, 0, 0, k] * maps[b, upper, left, k]
                    + weights[p, q, 0, 1, k] * maps[b, upper, right, k]
                    + weights[p, q, 1, 0, k] * maps[b, lower, left, k]
                    + weights[p, q, 1, 1, k] * maps[b, lower, right, k]
                )


@njit(cache=True, fastmath=True, parallel=True)
def spline_corner_sums(maps, halves, first, taps, rows, columns, out):
    """Writes out (B, Y, X, K); first (X, 2) integers, taps (X, 2, 4) float32."""
    count, places_y, places_x, features = out.shape
    for line in prange(count * places_y):
        b, y = line // places_y, line % places_y
        for x in range(places_x):
            for k in range(features):
                out[b, y, x, k] = np.float32(0)
            for i in range(2):
                row = rows[y, i]
                for j in range(2):
                    column, n = columns[x, j], first[x, j]
                    t0, t1, t2, t3 = taps[x, j, 0], taps[x, j, 1], taps[x, j, 2], taps[x, j, 3]
                    for k in range(features):
                        weight = (
                            t0 * halves[y, i, n, k]
                            + t1 * halves[y, i, n + 1, k]
                            + t2 * halves[y, i, n + 2, k]
                            + t3 * halves[y, i, n + 3, k]
                        )
                        out[b, y, x, k] += weight * maps[b, row, column, k]


@njit(cache=True, fastmath=True, parallel=True)
def maps_gradient(grad, weights, rows, columns, row_phase, column_phase, out):
    """Adds to out (B, H, W, K) the gradient by the maps, where `grad` is the one by the sums."""
    count, places_y, places_x, features = grad.shape
    for b in prange(count):
        for y in range(places_y):
            upper, lower, p = rows[y, 0], rows[y, 1], row_phase[y]
            for x in range(places_x):
                left, right, q = columns[x, 0], columns[x, 1], column_phase[x]
                for k in range(features):
                    g = grad[b, y, x, k]
                    out[b, upper, left, k] += weights[p, q, 0, 0, k] * g
                    out[b, upper, right, k] += weights[p, q, 0, 1, k] * g
                    out[b, lower, left, k] += weights[p, q, 1, 0, k] * g
                    out[b, lower, right, k] += weights[p, q, 1, 1, k] * g


@njit(cache=True, fastmath=True, parallel=True)
def weights_gradient(grad, maps, rows, columns, row_phase, column_phase, out):
    """Adds to out (P, Q, 2, 2, K) the gradient by the weights, where `grad` is the one by the sums."""
    count, places_y, places_x, features = grad.shape
    for p in prange(out.shape[0]):
        for y in range(places_y):
            if row_phase[y] != p:
                continue
            upper, lower = rows[y, 0], rows[y, 1]
            for b in range(count):
                for x in range(places_x):
                    left, right, q = columns[x, 0], columns[x, 1], column_phase[x]
                    for k in range(features):
                        g = grad[b, y, x, k]
                        out[p, q, 0, 0, k] += maps[b, upper, left, k] * g
                        out[p, q, 0, 1, k] += maps[b, upper, right, k] * g
                        out[p, q, 1, 0, k] += maps[b, lower, left, k] * g
                        out[p, q, 1, 1, k] += maps[b, lower, right, k] * g


def lattice_indices(positions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels on either side of positions along an axis, and how far behind the first of them each lies.

    Args:
        positions: (n,) float64 in pixels; pixel i has its centre at i.
        size: how many pixels there are; those beyond the ends are the last ones once more.

    Returns:
        Indices (n, 2) int64 and fractions (n,) in [0, 1).
    """
    below = np.floor(positions)
    indices = np.stack([below, below + 1], axis=-1).astype(np.int64)
    return np.clip(indices, 0, size - 1), positions - below


def phases(fractions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different fractions up to rounding, ascending, and the number of each place's."""
    distinct, which = np.unique(np.round(fractions, 9), return_inverse=True)
    return distinct, which.reshape(-1).astype(np.int64)
