"""Multiresolution B-spline grids and the small network on top of them, fused, on a CPU.

Conventions
    N points, d axes, L levels, E features of all levels together, H hidden width, C output channels, D hidden layers.
    Points are float32 (N, d). The lattice coordinate of a point on level l, axis k is ``t = x * scale[l, k] + shift[l, k]``;
    nodes sit at the integers 0 .. shape[l, k] - 1, and t stays at least `order` nodes away from both ends (the caller
    clamps the points and pads the lattice).
    The table is one flat float32 array; level l starts at ``start[l]`` with ``entries[l]`` nodes of ``features[l]`` numbers.
    A dense level stores its nodes in row-major order. A hashed level sends each row (all leading axes fixed) to a
    pseudo-random place and runs along the last axis from there, modulo the table: neighbours along the last axis stay
    neighbours in memory, which a hash of single nodes would destroy.

Points that follow each other along the last axis with equal leading coordinates (a picture's rows) form a run. In a run
the leading axes are interpolated once for a whole window of the row, so a cubic spline costs about 4 + 4 instead of 16
multiplications for each feature. Scattered points are runs of length one: one code path serves both.

Threads own fixed contiguous parts of the points and private gradients, so equal inputs and thread counts give equal bits.

numba compiles a function anew for each kind of integer that it is given, and the index of a `prange` and a literal are kinds
of their own: both become int64 before they are passed on. Every array that a parallel function makes with zeros, and every
sum that it takes, is one more parallel loop to compile: functions that are not parallel do what is small.
"""

import numpy as np
from numba import njit, prange

TILE = 128  # points for each matrix product: activations of a tile stay in the L1 and L2 cache
HASH_PRIMES = np.array([2654435761, 805459861, 3674653429, 2097192037], dtype=np.int64)


@njit(cache=True, fastmath=True)
def spline_taps(t, order, weights, axis):
    """First node and the `order` + 1 weights of the uniform B-spline basis at lattice coordinate t (de Boor 1978)."""
    half = np.float32(0.5 if order == 2 else 0.0)
    j = np.floor(t + half)
    f = t - j
    g = np.float32(1) - f
    if order == 1:
        weights[axis, 0] = g
        weights[axis, 1] = f
        return np.int64(j)
    if order == 2:
        weights[axis, 0] = np.float32(0.5) * (np.float32(0.5) - f) * (np.float32(0.5) - f)
        weights[axis, 1] = np.float32(0.75) - f * f
        weights[axis, 2] = np.float32(0.5) * (np.float32(0.5) + f) * (np.float32(0.5) + f)
        return np.int64(j) - 1
    w0 = g * g * g * np.float32(1.0 / 6.0)
    w1 = (np.float32(4) - np.float32(6) * f * f + np.float32(3) * f * f * f) * np.float32(1.0 / 6.0)
    w3 = f * f * f * np.float32(1.0 / 6.0)
    weights[axis, 0] = w0
    weights[axis, 1] = w1
    weights[axis, 2] = np.float32(1) - w0 - w1 - w3
    weights[axis, 3] = w3
    return np.int64(j) - 1


@njit(cache=True, fastmath=True)
def lead_taps(points, i, level, shape, scale, shift, entries, hashed, order, axis_weights, rows, weights):
    """The rows of a level that the leading axes of point i touch, with their weights; returns how many.

    Rows are places in the level's table; the product over the axes is built up one axis at a time, from the back, in place.
    """
    lead = points.shape[1] - 1
    taps = order + 1
    count = 1
    rows[0] = 0
    weights[0] = np.float32(1)
    for k in range(lead):
        node = spline_taps(points[i, k] * scale[level, k] + shift[level, k], order, axis_weights, k)
        for c in range(count - 1, -1, -1):
            row = rows[c]
            w = weights[c]
            for a in range(taps - 1, -1, -1):
                if hashed[level]:
                    rows[c * taps + a] = row ^ ((node + a + 1) * HASH_PRIMES[k & 3])
                else:
                    rows[c * taps + a] = row * shape[level, k] + node + a
                weights[c * taps + a] = w * axis_weights[k, a]
        count *= taps
    for c in range(count):
        if hashed[level]:
            rows[c] = ((rows[c] ^ (rows[c] >> 17)) & np.int64(0x7FFFFFFFFFFF)) % entries[level]
        else:
            rows[c] *= shape[level, lead]
    return count


@njit(cache=True)
def run_end(points, begin, end, max_gap):
    """The end of the run that begins at `begin`: equal leading coordinates, ascending along the last axis."""
    last = points.shape[1] - 1
    stop = begin + 1
    while stop < end:
        gap = points[stop, last] - points[stop - 1, last]
        if gap < 0 or gap > max_gap:
            return stop
        for k in range(last):
            if points[stop, k] != points[begin, k]:
                return stop
        stop += 1
    return stop


@njit(cache=True, fastmath=True)
def add_window(window, table, base, row, offset, nodes, entries, features, w):
    """Adds w * (`nodes` nodes of the row from `offset` on) to the window, wrapping at the end of a hashed table."""
    begin = row + offset
    if begin >= entries:
        begin -= entries
    head = min(nodes, entries - begin) * features
    source = base + begin * features
    for i in range(head):
        window[i] += w * table[source + i]
    for i in range(head, nodes * features):
        window[i] += w * table[base + i - head]


@njit(cache=True, fastmath=True)
def add_to_table(window, table, part, base, row, offset, nodes, entries, features, w):
    """The transpose of `add_window`, on row `part` of the tables of all threads."""
    begin = row + offset
    if begin >= entries:
        begin -= entries
    head = min(nodes, entries - begin) * features
    target = base + begin * features
    for i in range(head):
        table[part, target + i] += w * window[i]
    for i in range(head, nodes * features):
        table[part, base + i - head] += w * window[i]


@njit(cache=True, fastmath=True)
def encode_point(
    points, i, table, shape, scale, shift, start, entries, features, hashed, order, out, row, axis_weights, rows,
    row_weights,
):  # fmt: skip
    """Features of the single point i into row `row` of out."""
    last = points.shape[1] - 1
    taps = order + 1
    column = 0
    for level in range(len(features)):
        count = lead_taps(
            points, i, level, shape, scale, shift, entries, hashed, order, axis_weights, rows, row_weights
        )
        node = spline_taps(points[i, last] * scale[level, last] + shift[level, last], order, axis_weights, last)
        n = features[level]
        if n == 1 and not hashed[level]:
            total = np.float32(0)
            if taps == 4:
                w0, w1 = axis_weights[last, 0], axis_weights[last, 1]
                w2, w3 = axis_weights[last, 2], axis_weights[last, 3]
                for c in range(count):
                    place = start[level] + rows[c] + node
                    total += row_weights[c] * (
                        w0 * table[place] + w1 * table[place + 1] + w2 * table[place + 2] + w3 * table[place + 3]
                    )
            else:
                for c in range(count):
                    place = start[level] + rows[c] + node
                    for a in range(taps):
                        total += row_weights[c] * axis_weights[last, a] * table[place + a]
            out[row, column] = total
            column += 1
            continue
        for f in range(n):
            out[row, column + f] = 0
        for c in range(count):
            begin = rows[c] + node
            w = row_weights[c]
            for a in range(taps):
                entry = begin + a
                if entry >= entries[level]:
                    entry -= entries[level]
                place = start[level] + entry * n
                wa = w * axis_weights[last, a]
                for f in range(n):
                    out[row, column + f] += wa * table[place + f]
        column += n


@njit(cache=True, fastmath=True)
def scatter_point(
    points, i, grad, row, shape, scale, shift, start, entries, features, hashed, order, table_grad, part, axis_weights,
    rows, row_weights,
):  # fmt: skip
    """The transpose of `encode_point`."""
    last = points.shape[1] - 1
    taps = order + 1
    column = 0
    for level in range(len(features)):
        count = lead_taps(
            points, i, level, shape, scale, shift, entries, hashed, order, axis_weights, rows, row_weights
        )
        node = spline_taps(points[i, last] * scale[level, last] + shift[level, last], order, axis_weights, last)
        n = features[level]
        if n == 1 and not hashed[level]:
            g = grad[row, column]
            for c in range(count):
                place = start[level] + rows[c] + node
                w = row_weights[c] * g
                for a in range(taps):
                    table_grad[part, place + a] += w * axis_weights[last, a]
            column += 1
            continue
        for c in range(count):
            begin = rows[c] + node
            w = row_weights[c]
            for a in range(taps):
                entry = begin + a
                if entry >= entries[level]:
                    entry -= entries[level]
                place = start[level] + entry * n
                wa = w * axis_weights[last, a]
                for f in range(n):
                    table_grad[part, place + f] += wa * grad[row, column + f]
        column += n


@njit(cache=True, fastmath=True)
def last_axis_taps(points, begin, stop, scale, shift, order, firsts, weights):
    """Taps of a run along the last axis, relative to its first node; returns that node and the window's length.

    `firsts` (T,) and `weights` (4, T) are stored by tap, so that the loops over the points vectorise.
    """
    last = points.shape[1] - 1
    count = stop - begin
    half = np.float32(0.5 if order == 2 else 0.0)
    for i in range(count):
        t = points[begin + i, last] * scale + shift
        j = np.floor(t + half)
        f = t - j
        g = np.float32(1) - f
        firsts[i] = np.int32(j)
        if order == 1:
            weights[0, i] = g
            weights[1, i] = f
        elif order == 2:
            weights[0, i] = np.float32(0.5) * (np.float32(0.5) - f) * (np.float32(0.5) - f)
            weights[1, i] = np.float32(0.75) - f * f
            weights[2, i] = np.float32(0.5) * (np.float32(0.5) + f) * (np.float32(0.5) + f)
        else:
            w0 = g * g * g * np.float32(1.0 / 6.0)
            w1 = (np.float32(4) - np.float32(6) * f * f + np.float32(3) * f * f * f) * np.float32(1.0 / 6.0)
            w3 = f * f * f * np.float32(1.0 / 6.0)
            weights[0, i] = w0
            weights[1, i] = w1
            weights[2, i] = np.float32(1) - w0 - w1 - w3
            weights[3, i] = w3
    origin = firsts[0]
    for i in range(count):
        firsts[i] -= origin
    nodes = firsts[count - 1] + order + 1
    return origin - (1 if order > 1 else 0), nodes


@njit(cache=True, fastmath=True)
def gather(window, firsts, weights, taps, stride, f, out, row, count, column):
    """Interpolates feature `f` of a window at the `count` points of a run, into out[row : row + count, column]."""
    if taps == 4:
        for i in range(count):
            k = firsts[i] * stride + f
            out[row + i, column] = (
                weights[0, i] * window[k]
                + weights[1, i] * window[k + stride]
                + weights[2, i] * window[k + 2 * stride]
                + weights[3, i] * window[k + 3 * stride]
            )
        return
    for i in range(count):
        k = firsts[i] * stride + f
        total = np.float32(0)
        for a in range(taps):
            total += weights[a, i] * window[k + a * stride]
        out[row + i, column] = total


@njit(cache=True, fastmath=True)
def encode_tile(points, begin, end, table, levels, order, max_gap, out, row, scratch):
    """Features of points[begin:end] into the rows of out from `row` on."""
    shape, scale, shift, start, entries, features, hashed = levels
    window, firsts, weights, axis_weights, rows, row_weights = scratch
    last = points.shape[1] - 1
    taps = order + 1
    run = begin
    while run < end:
        stop = run_end(points, run, end, max_gap)
        if stop == run + 1:
            encode_point(
                points, run, table, shape, scale, shift, start, entries, features, hashed, order, out,
                row + run - begin, axis_weights, rows, row_weights,
            )  # fmt: skip
            run = stop
            continue
        column = 0
        for level in range(len(features)):
            n = features[level]
            origin, nodes = last_axis_taps(
                points, run, stop, scale[level, last], shift[level, last], order, firsts, weights
            )
            count = lead_taps(
                points, run, level, shape, scale, shift, entries, hashed, order, axis_weights, rows, row_weights
            )
            window[: nodes * n] = 0
            for c in range(count):
                add_window(window, table, start[level], rows[c], origin, nodes, entries[level], n, row_weights[c])
            for f in range(n):
                gather(window, firsts, weights, taps, n, f, out, row + run - begin, stop - run, column + f)
            column += n
        run = stop


@njit(cache=True, fastmath=True)
def scatter_tile(points, begin, end, grad, row, levels, order, max_gap, table_grad, part, scratch):
    """The transpose of `encode_tile`: adds the rows of grad from `row` on to table_grad[part]."""
    shape, scale, shift, start, entries, features, hashed = levels
    window, firsts, weights, axis_weights, rows, row_weights = scratch
    last = points.shape[1] - 1
    taps = order + 1
    run = begin
    while run < end:
        stop = run_end(points, run, end, max_gap)
        if stop == run + 1:
            scatter_point(
                points, run, grad, row + run - begin, shape, scale, shift, start, entries, features, hashed, order,
                table_grad, part, axis_weights, rows, row_weights,
            )  # fmt: skip
            run = stop
            continue
        column = 0
        for level in range(len(features)):
            n = features[level]
            origin, nodes = last_axis_taps(
                points, run, stop, scale[level, last], shift[level, last], order, firsts, weights
            )
            count = lead_taps(
                points, run, level, shape, scale, shift, entries, hashed, order, axis_weights, rows, row_weights
            )
            window[: nodes * n] = 0
            for i in range(stop - run):
                place = firsts[i] * n
                for a in range(taps):
                    w = weights[a, i]
                    for f in range(n):
                        window[place + a * n + f] += w * grad[row + run - begin + i, column + f]
            for c in range(count):
                add_to_table(
                    window, table_grad, part, start[level], rows[c], origin, nodes, entries[level], n, row_weights[c]
                )
            column += n
        run = stop


@njit(cache=True)
def window_size(levels, max_gap, tile):
    """Floats that the longest possible window of a run of `tile` points needs."""
    scale, features = levels[1], levels[5]
    last = scale.shape[1] - 1
    size = 0
    for level in range(len(features)):
        nodes = int(tile * max_gap * scale[level, last]) + 8
        size = max(size, nodes * features[level])
    return size


@njit(cache=True)
def tile_buffers(levels, max_gap, order, tile):
    """Scratch space of one thread: window, firsts, weights of a run; axis weights, rows and row weights of a point."""
    d = levels[0].shape[1]
    return (
        np.empty(window_size(levels, max_gap, tile), dtype=np.float32),
        np.empty(tile, dtype=np.int32),
        np.empty((4, tile), dtype=np.float32),
        np.empty((4, 4), dtype=np.float32),
        np.empty((order + 1) ** (d - 1), dtype=np.int64),
        np.empty((order + 1) ** (d - 1), dtype=np.float32),
    )


@njit(cache=True, parallel=True)
def encode(points, table, levels, order, max_gap, width, threads):
    """Features (N, E) of all points."""
    n = len(points)
    out = np.empty((n, width), dtype=np.float32)
    for part in prange(threads):
        scratch = tile_buffers(levels, max_gap, order, TILE)
        for begin in range(n * part // threads, n * (part + 1) // threads, TILE):
            end = min(begin + TILE, n * (part + 1) // threads)
            encode_tile(points, begin, end, table, levels, order, max_gap, out, begin, scratch)
    return out


@njit(cache=True, parallel=True)
def encode_backward(points, grad, levels, order, max_gap, size, threads):
    """Gradient of the table, (P,), given the gradient (N, E) of the features."""
    n = len(points)
    private = np.empty((threads, size), dtype=np.float32)
    for thread in prange(threads):
        part = np.int64(thread)
        private[part] = 0
        scratch = tile_buffers(levels, max_gap, order, TILE)
        for begin in range(n * part // threads, n * (part + 1) // threads, TILE):
            end = min(begin + TILE, n * (part + 1) // threads)
            scatter_tile(points, begin, end, grad, begin, levels, order, max_gap, private, part, scratch)
    return sum_parts(private)


@njit(cache=True, parallel=True)
def sum_parts(private):
    """The sum over threads, in a fixed order."""
    parts, size = private.shape
    blocks = 64
    for b in prange(blocks):
        low, high = size * b // blocks, size * (b + 1) // blocks
        for p in range(1, parts):
            for i in range(low, high):
                private[0, i] += private[p, i]
    return private[0]


@njit(cache=True, fastmath=True)
def smooth_relu(z, a):
    """a = r(z), the once differentiable ReLU: 0 below -1, (z + 1)^2 / 4 between, z above 1. Flat arrays."""
    for i in range(z.size):
        u = min(max(z[i] + np.float32(1), np.float32(0)), np.float32(2))
        a[i] = np.float32(0.25) * u * u + max(z[i] - np.float32(1), np.float32(0))


@njit(cache=True, fastmath=True)
def smooth_relu_backward(z, grad):
    """grad *= r'(z), in place. Flat arrays."""
    for i in range(z.size):
        grad[i] *= np.float32(0.5) * min(max(z[i] + np.float32(1), np.float32(0)), np.float32(2))


@njit(cache=True, fastmath=True)
def add_bias(z, bias):
    """z += bias, rows of z."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += bias[j]


@njit(cache=True, fastmath=True)
def add_column_sums(total, z):
    """total += column sums of z."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            total[j] += z[i, j]


@njit(cache=True, fastmath=True)
def decoder_forward(features, skip, first, middle, biases, last, last_bias, pre, post, out):
    """out = features @ skip + last_bias + network(features) for one tile; pre and post keep every hidden layer (D, T, H)."""
    t = len(features)
    depth = len(biases)
    np.dot(features, first, pre[0, :t])
    for layer in range(depth):
        if layer > 0:
            np.dot(post[layer - 1, :t], middle[layer - 1], pre[layer, :t])
        add_bias(pre[layer, :t], biases[layer])
        smooth_relu(pre[layer, :t].reshape(-1), post[layer, :t].reshape(-1))
    np.dot(post[depth - 1, :t], last, out)
    out += np.dot(features, skip)
    add_bias(out, last_bias)


@njit(cache=True, fastmath=True)
def decoder_backward(features, skip, first, middle, last, pre, post, grad_out, grads, grad_features, hidden):
    """Adds one tile's parameter gradients to `grads` and writes grad_features (T, E)."""
    g_skip, g_first, g_middle, g_biases, g_last, g_last_bias = grads
    t = len(features)
    depth = len(g_biases)
    g_skip += np.dot(features.T, grad_out)
    g_last += np.dot(post[depth - 1, :t].T, grad_out)
    add_column_sums(g_last_bias, grad_out)
    np.dot(grad_out, skip.T, grad_features)
    g = hidden[0, :t]
    np.dot(grad_out, last.T, g)
    for layer in range(depth - 1, -1, -1):
        smooth_relu_backward(pre[layer, :t].reshape(-1), g.reshape(-1))
        add_column_sums(g_biases[layer], g)
        if layer > 0:
            g_middle[layer - 1] += np.dot(post[layer - 1, :t].T, g)
            below = hidden[1 - (depth - 1 - layer) % 2, :t]
            np.dot(g, middle[layer - 1].T, below)
            g = below
        else:
            g_first += np.dot(features.T, g)
            grad_features += np.dot(g, first.T)


@njit(cache=True, parallel=True, fastmath=True)
def grid_forward(points, table, levels, order, max_gap, skip, first, middle, biases, last, last_bias, threads):
    """Values (N, C) of the decoder on the grid's features, without storing the features."""
    n = len(points)
    out = np.empty((n, skip.shape[1]), dtype=np.float32)
    for part in prange(threads):
        scratch = tile_buffers(levels, max_gap, order, TILE)
        features = np.empty((TILE, skip.shape[0]), dtype=np.float32)
        pre = np.empty((len(biases), TILE, first.shape[1]), dtype=np.float32)
        post = np.empty((len(biases), TILE, first.shape[1]), dtype=np.float32)
        for begin in range(n * part // threads, n * (part + 1) // threads, TILE):
            end = min(begin + TILE, n * (part + 1) // threads)
            tile = features[: end - begin]
            encode_tile(points, begin, end, table, levels, order, max_gap, tile, np.int64(0), scratch)
            decoder_forward(tile, skip, first, middle, biases, last, last_bias, pre, post, out[begin:end])
    return out


@njit(cache=True, fastmath=True)
def residual_gradient(out, target, weight, begin, end, scale):
    """Turns a tile's output into scale * weight * (out - target), in place; returns the sum of weight * residual^2."""
    loss = 0.0
    for i in range(end - begin):
        w = weight[begin + i]
        for c in range(out.shape[1]):
            r = out[i, c] - target[begin + i, c]
            loss += w * r * r
            out[i, c] = scale * w * r
    return loss


@njit(cache=True)
def decoder_gradients(threads, width, hidden, channels, depth):
    """Zeros for each thread: its part of the loss, and its gradients of (skip, first, middle, biases, last, last_bias)."""
    return (
        np.zeros(threads),
        (
            np.zeros((threads, width, channels), dtype=np.float32),
            np.zeros((threads, width, hidden), dtype=np.float32),
            np.zeros((threads, depth - 1, hidden, hidden), dtype=np.float32),
            np.zeros((threads, depth, hidden), dtype=np.float32),
            np.zeros((threads, hidden, channels), dtype=np.float32),
            np.zeros((threads, channels), dtype=np.float32),
        ),
    )


@njit(cache=True)
def total(numbers):
    """The sum of a few numbers."""
    return numbers.sum()


@njit(cache=True, parallel=True)
def grid_square_error(
    points, target, weight, table, levels, order, max_gap, skip, first, middle, biases, last, last_bias, threads
):
    """The mean of weight * (value - target)^2 over points and channels, and its gradients.

    Returns:
        The loss, the gradient of the table, and each thread's part of the gradients of (skip, first, middle, biases, last,
        last_bias), to be summed over the first axis.
    """
    n, channels = target.shape
    width, hidden_width, depth = skip.shape[0], first.shape[1], len(biases)
    scale = np.float32(2.0 / (n * channels))
    losses, gradients = decoder_gradients(threads, width, hidden_width, channels, depth)
    g_skip, g_first, g_middle, g_biases, g_last, g_last_bias = gradients
    g_table = np.empty((threads, len(table)), dtype=np.float32)
    for thread in prange(threads):
        part = np.int64(thread)
        g_table[part] = 0
        scratch = tile_buffers(levels, max_gap, order, TILE)
        features = np.empty((TILE, width), dtype=np.float32)
        grad_features = np.empty((TILE, width), dtype=np.float32)
        pre = np.empty((depth, TILE, hidden_width), dtype=np.float32)
        post = np.empty((depth, TILE, hidden_width), dtype=np.float32)
        hidden = np.empty((2, TILE, hidden_width), dtype=np.float32)
        out = np.empty((TILE, channels), dtype=np.float32)
        grads = (g_skip[part], g_first[part], g_middle[part], g_biases[part], g_last[part], g_last_bias[part])
        for begin in range(n * part // threads, n * (part + 1) // threads, TILE):
            end = min(begin + TILE, n * (part + 1) // threads)
            tile, tile_out, tile_grad = features[: end - begin], out[: end - begin], grad_features[: end - begin]
            encode_tile(points, begin, end, table, levels, order, max_gap, tile, np.int64(0), scratch)
            decoder_forward(tile, skip, first, middle, biases, last, last_bias, pre, post, tile_out)
            losses[part] += residual_gradient(tile_out, target, weight, begin, end, scale)
            decoder_backward(tile, skip, first, middle, last, pre, post, tile_out, grads, tile_grad, hidden)
            scatter_tile(points, begin, end, tile_grad, np.int64(0), levels, order, max_gap, g_table, part, scratch)
    return (total(losses) / (n * channels), sum_parts(g_table), *gradients)
