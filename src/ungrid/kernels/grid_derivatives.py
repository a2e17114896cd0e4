"""Partial derivatives of multiresolution B-spline grids, on a CPU, in float32 or float64.

Conventions
    Points (N, d), levels and tables are those of `kernels.grid`. A partial derivative is a row of ``orders (P, d)``: how
    often it differentiates along every axis; zeros are the features themselves. Results are (P, N, E).
    ``pieces[q, a]`` holds the coefficients, by rising powers of the place f in a cell, of the q-th derivative of the
    spline's weight for tap a; lattice coordinate t lies in the cell of the node ``floor(t + half)``, half = 1/2 for
    splines of order 2, else 0. The chain rule puts a factor ``scale[l, k]`` on every differentiation along axis k.

A tensor-product spline differentiates axis by axis: all partial derivatives of a point share the gathered nodes, and
those with the same order along the last axis share the sums along it. Points that are not finite give NaN.

Threads own fixed contiguous parts of the points and private gradients, so equal inputs and thread counts give equal bits.
"""

import numpy as np
from numba import njit, prange

from ungrid.kernels.grid import HASH_PRIMES, sum_parts

KEEPS_NAN = {"reassoc", "contract", "nsz", "arcp"}  # fast mathematics that may still meet NaN


@njit(cache=True, fastmath=KEEPS_NAN)
def point_taps(points, i, level, shape, scale, shift, order, half, pieces, nodes, weights):
    """First node (d,) of point i on every axis and the weights (Q, d, order + 1) of all derivatives of the basis."""
    for k in range(points.shape[1]):
        t = points[i, k] * scale[level, k] + shift[level, k]
        j = np.floor(t + half)
        f = t - j
        factor = pieces.dtype.type(1)
        for q in range(len(pieces)):
            for a in range(order + 1):
                total = pieces[q, a, order]
                for m in range(order - 1, -1, -1):
                    total = total * f + pieces[q, a, m]
                weights[q, k, a] = total * factor
            factor *= scale[level, k]
        first = np.int64(j) - (1 if order > 1 else 0)
        nodes[k] = min(max(first, 0), shape[level, k] - order - 1)  # moves only what a NaN would send anywhere


@njit(cache=True, fastmath=KEEPS_NAN)
def lead_products(level, shape, entries, hashed, orders, nodes, weights, rows, products):
    """The rows of a level that the leading axes touch, and every partial derivative's weight (P, rows); returns how many.

    Built up one axis at a time, from the back, in place, as in `kernels.grid.lead_taps`.
    """
    lead, taps = weights.shape[1] - 1, weights.shape[2]
    count = 1
    rows[0] = 0
    products[:, 0] = 1
    for k in range(lead):
        for c in range(count - 1, -1, -1):
            row = rows[c]
            for a in range(taps - 1, -1, -1):
                if hashed[level]:
                    rows[c * taps + a] = row ^ ((nodes[k] + a + 1) * HASH_PRIMES[k & 3])
                else:
                    rows[c * taps + a] = row * shape[level, k] + nodes[k] + a
            for p in range(len(orders)):
                w = products[p, c]
                for a in range(taps - 1, -1, -1):
                    products[p, c * taps + a] = w * weights[orders[p, k], k, a]
        count *= taps
    for c in range(count):
        if hashed[level]:
            rows[c] = ((rows[c] ^ (rows[c] >> 17)) & np.int64(0x7FFFFFFFFFFF)) % entries[level]
        else:
            rows[c] *= shape[level, lead]
    return count


@njit(cache=True)
def point_buffers(levels, order, pieces, orders):
    """Scratch space of one thread: nodes, weights, rows, their products, and sums along the last axis."""
    d, taps = levels[0].shape[1], order + 1
    return (
        np.empty(d, dtype=np.int64),
        np.empty((len(pieces), d, taps), dtype=pieces.dtype),
        np.empty(taps ** (d - 1), dtype=np.int64),
        np.empty((len(orders), taps ** (d - 1)), dtype=pieces.dtype),
        np.empty((len(pieces), levels[5].max()), dtype=pieces.dtype),
    )


@njit(cache=True, fastmath=KEEPS_NAN, inline="always")
def row_partials_cubic(table, place, n, weights, last, products, c, orders, sums, out, i, column):
    """What row c adds at point i: the body of `point_partials` for the four taps of a cubic that lie side by side."""
    for f in range(n):
        t0, t1 = table[place + f], table[place + n + f]
        t2, t3 = table[place + 2 * n + f], table[place + 3 * n + f]
        for q in range(len(weights)):
            sums[q, 0] = (
                weights[q, last, 0] * t0
                + weights[q, last, 1] * t1
                + weights[q, last, 2] * t2
                + weights[q, last, 3] * t3
            )
        for p in range(len(orders)):
            out[p, i, column + f] += products[p, c] * sums[orders[p, last], 0]


@njit(cache=True, fastmath=KEEPS_NAN)
def point_partials(points, i, table, levels, order, half, pieces, orders, out, scratch):
    """All partial derivatives at the single point i, into out[:, i]."""
    shape, scale, shift, start, entries, features, hashed = levels
    nodes, weights, rows, products, sums = scratch
    last, taps = points.shape[1] - 1, order + 1
    column = 0
    for level in range(len(features)):
        point_taps(points, i, level, shape, scale, shift, order, half, pieces, nodes, weights)
        count = lead_products(level, shape, entries, hashed, orders, nodes, weights, rows, products)
        n = features[level]
        out[:, i, column : column + n] = 0
        for c in range(count):
            first = rows[c] + nodes[last]
            if first >= entries[level]:
                first -= entries[level]
            if taps == 4 and first + 4 <= entries[level]:
                row_partials_cubic(
                    table, start[level] + first * n, n, weights, last, products, c, orders, sums, out, i, column
                )
                continue
            sums[:, :n] = 0
            for a in range(taps):
                entry = first + a
                if entry >= entries[level]:
                    entry -= entries[level]
                place = start[level] + entry * n
                for q in range(len(pieces)):
                    w = weights[q, last, a]
                    for f in range(n):
                        sums[q, f] += w * table[place + f]
            for p in range(len(orders)):
                w, q = products[p, c], orders[p, last]
                for f in range(n):
                    out[p, i, column + f] += w * sums[q, f]
        column += n


@njit(cache=True, fastmath=KEEPS_NAN)
def point_spread(points, i, grad, levels, order, half, pieces, orders, table_grad, part, scratch):
    """The transpose of `point_partials`: adds grad[:, i] to table_grad[part]."""
    shape, scale, shift, start, entries, features, hashed = levels
    nodes, weights, rows, products, sums = scratch
    last = points.shape[1] - 1
    column = 0
    for level in range(len(features)):
        point_taps(points, i, level, shape, scale, shift, order, half, pieces, nodes, weights)
        count = lead_products(level, shape, entries, hashed, orders, nodes, weights, rows, products)
        n = features[level]
        for c in range(count):
            sums[:, :n] = 0
            for p in range(len(orders)):
                w, q = products[p, c], orders[p, last]
                for f in range(n):
                    sums[q, f] += w * grad[p, i, column + f]
            for a in range(order + 1):
                entry = rows[c] + nodes[last] + a
                if entry >= entries[level]:
                    entry -= entries[level]
                place = start[level] + entry * n
                for q in range(len(pieces)):
                    w = weights[q, last, a]
                    for f in range(n):
                        table_grad[part, place + f] += w * sums[q, f]
        column += n


@njit(cache=True, parallel=True)
def partials(points, table, levels, order, half, pieces, orders, width, threads):
    """The partial derivatives (P, N, E) of the features at all points."""
    n = len(points)
    out = np.empty((len(orders), n, width), dtype=table.dtype)
    for part in prange(threads):
        scratch = point_buffers(levels, order, pieces, orders)
        for i in range(n * part // threads, n * (part + 1) // threads):
            point_partials(points, i, table, levels, order, half, pieces, orders, out, scratch)
    return out


@njit(cache=True, parallel=True)
def spread(points, grad, levels, order, half, pieces, orders, size, threads):
    """The gradient of the table, (size,), given the gradient (P, N, E) of the partial derivatives."""
    n = len(points)
    private = np.empty((threads, size), dtype=grad.dtype)
    for thread in prange(threads):
        part = np.int64(thread)  # as in `grid`
        private[part] = 0
        scratch = point_buffers(levels, order, pieces, orders)
        for i in range(n * part // threads, n * (part + 1) // threads):
            point_spread(points, i, grad, levels, order, half, pieces, orders, private, part, scratch)
    return sum_parts(private)
