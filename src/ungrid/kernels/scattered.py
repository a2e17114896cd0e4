"""Feature maps and pictures at points that lie anywhere, with their slopes.

Conventions
    B maps of H x W pixels with K features, float32 (B, H, W, K), and Q points in each, float64 (B, Q, 2), (y, x) in pixels;
    pixel i has its centre at i, and beyond the edge the last pixels go on. The sums are those of `ungrid.kernels.corners` with
    kernels of cubic splines in both directions,

        out[b, q] = sum over the four nearest pixels of maps[pixel] * sum_mn coefficients[m, n] beta_m(r_y) beta_n(r_x),

    where r is the point's offset from the pixel, and coefficients (M, N, K) begin with 3 and end with 4 zeros on both axes, for
    the splines that end outside of (-1, 1). The plain twins are `ungrid.networks.spline_kernels.SplineKernels.at` and
    `bicubic_at`. Of a lattice of places that are led along ways, `led_colours` makes the decoder's colours at once, and keeps
    no features between.

Threads own whole blocks of points, so that equal inputs give equal bits with any number of threads.
"""

import numpy as np
from numba import njit, prange

ONE, TWO, THREE, FOUR, FIVE, SIX, NINE, TEN = (np.float32(n) for n in (1, 2, 3, 4, 5, 6, 9, 10))  # ints make doubles
BLOCK = 256  # points
TOGETHER = 128  # points whose features go through the perceptron at once


@njit(cache=True, inline="always")
def _splines(place, values, slopes):
    """The first of the four cubic splines at a place in knots, their values, and their slopes by the place."""
    first = int(np.floor(place))
    t = np.float32(place - first)
    s = ONE - t
    values[0], values[3] = s * s * s / SIX, t * t * t / SIX
    values[1], values[2] = (FOUR - THREE * t * t * (TWO - t)) / SIX, (FOUR - THREE * s * s * (TWO - s)) / SIX
    slopes[0], slopes[3] = -s * s / TWO, t * t / TWO
    slopes[1], slopes[2] = (THREE * t - FOUR) * t / TWO, (FOUR - THREE * s) * s / TWO
    return first


@njit(cache=True, inline="always")
def _keys(fraction, values, slopes):
    """The weights of the pixels at -1, 0, 1 and 2 for a place at a fraction in [0, 1) (Keys 1981), and their slopes."""
    t = np.float32(fraction)
    s = ONE - t
    values[0], values[3] = -t * s * s / TWO, -s * t * t / TWO
    values[1], values[2] = ONE - (FIVE - THREE * t) * t * t / TWO, ONE - (FIVE - THREE * s) * s * s / TWO
    slopes[0], slopes[3] = (THREE * t - ONE) * s / TWO, (ONE - THREE * s) * t / TWO
    slopes[1], slopes[2] = (NINE * t - TEN) * t / TWO, (TEN - NINE * s) * s / TWO


@njit(cache=True, inline="always")
def _inside(index, size):
    return min(max(index, 0), size - 1)


@njit(cache=True, fastmath=True, parallel=True)
def spline_sums(maps, coefficients, points, out):
    """Writes out (B, Q, K)."""
    count, h, w, features = maps.shape
    per_pixel, q = (coefficients.shape[0] - 4) // 2, points.shape[1]
    blocks = (q + BLOCK - 1) // BLOCK
    for block in prange(count * blocks):
        b, begin = block // blocks, block % blocks * BLOCK
        down, across, slopes = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
        for p in range(begin, min(begin + BLOCK, q)):
            top, left = int(np.floor(points[b, p, 0])), int(np.floor(points[b, p, 1]))
            m = _splines((points[b, p, 0] - top) * per_pixel, down, slopes)
            n = _splines((points[b, p, 1] - left) * per_pixel, across, slopes)
            upper, lower, before, behind = _inside(top, h), _inside(top + 1, h), _inside(left, w), _inside(left + 1, w)
            a00, a01, a10, a11 = (
                maps[b, upper, before],
                maps[b, upper, behind],
                maps[b, lower, before],
                maps[b, lower, behind],
            )
            for k in range(features):
                z00 = z01 = z10 = z11 = np.float32(0)
                for i in range(4):
                    for j in range(4):
                        tap = down[i] * across[j]
                        z00 += tap * coefficients[m + per_pixel + i, n + per_pixel + j, k]
                        z01 += tap * coefficients[m + per_pixel + i, n + j, k]
                        z10 += tap * coefficients[m + i, n + per_pixel + j, k]
                        z11 += tap * coefficients[m + i, n + j, k]
                out[b, p, k] = z00 * a00[k] + z01 * a01[k] + z10 * a10[k] + z11 * a11[k]


@njit(cache=True, fastmath=True, inline="always")
def _table_sum(maps, table, b, place_y, place_x, out):
    """Writes the sums (K,) at one point, by kernels that are linear between the entries of a table."""
    _, h, w, features = maps.shape
    steps = (table.shape[0] - 1) // 2
    top, left = int(np.floor(place_y)), int(np.floor(place_x))
    y, x = np.float32(place_y - top) * np.float32(steps), np.float32(place_x - left) * np.float32(steps)
    m, n = min(int(y), steps - 1), min(int(x), steps - 1)
    y, x = y - np.float32(m), x - np.float32(n)
    t11 = y * x
    t10, t01 = y - t11, x - t11
    t00 = ONE - y - t01
    upper, lower, before, behind = _inside(top, h), _inside(top + 1, h), _inside(left, w), _inside(left + 1, w)
    a00, a01, a10, a11 = maps[b, upper, before], maps[b, upper, behind], maps[b, lower, before], maps[b, lower, behind]
    e, f, g, i = table[m], table[m + 1], table[m + steps], table[m + steps + 1]
    o = n + steps
    for k in range(features):
        out[k] = (
            (t00 * g[o, k] + t01 * g[o + 1, k] + t10 * i[o, k] + t11 * i[o + 1, k]) * a00[k]
            + (t00 * g[n, k] + t01 * g[n + 1, k] + t10 * i[n, k] + t11 * i[n + 1, k]) * a01[k]
            + (t00 * e[o, k] + t01 * e[o + 1, k] + t10 * f[o, k] + t11 * f[o + 1, k]) * a10[k]
            + (t00 * e[n, k] + t01 * e[n + 1, k] + t10 * f[n, k] + t11 * f[n + 1, k]) * a11[k]
        )


@njit(cache=True, fastmath=True, inline="always")
def _bicubic_at(picture, b, place_y, place_x, room, out):
    """Adds the bicubic interpolation (C,) at one point to out; room (3, 4) float32."""
    _, h, w, channels = picture.shape
    top, left = int(np.floor(place_y)), int(np.floor(place_x))
    _keys(np.float32(place_y - top), room[0], room[2])
    _keys(np.float32(place_x - left), room[1], room[2])
    down, across = room[0], room[1]
    x0, x1, x2, x3 = _inside(left - 1, w), _inside(left, w), _inside(left + 1, w), _inside(left + 2, w)
    for c in range(channels):
        total = np.float32(0)
        for i in range(4):
            row = picture[b, _inside(top + i - 1, h)]
            inside = across[0] * row[x0, c] + across[1] * row[x1, c] + across[2] * row[x2, c] + across[3] * row[x3, c]
            total += down[i] * inside
        out[c] += total


@njit(cache=True, fastmath=True, inline="always")
def _row_at(way, b, place, room, out):
    """Writes the bicubic interpolation of way (B, 2, H, W) along its columns, out (2, W)."""
    h, w = way.shape[2:]
    top = int(np.floor(place))
    _keys(np.float32(place - top), room[0], room[2])
    for c in range(2):
        for x in range(w):
            out[c, x] = np.float32(0)
        for i in range(4):
            row, tap = way[b, c, _inside(top + i - 1, h)], room[0, i]
            for x in range(w):
                out[c, x] += tap * row[x]


@njit(cache=True, fastmath=True, parallel=True)
def led_colours(maps, table, picture, way, rows, columns, first, bias, last, linear, constant, out):
    """Writes out (B, Y, X, C): bicubic + z linear + relu(z first + bias) last + constant, where z are the sums.

    The places are a lattice's, rows (Y,) and columns (X,) float64, and each goes along the bicubic interpolation there of way
    (B, 2, H, W), (x, y) in pixels. table (2 P + 1, 2 P + 1, K) holds the kernels at steps of 1 / P of a pixel from -1 to 1,
    between which they are taken as linear along both axes. first (K, U), bias (U,), last (U, C), linear (K, C) and
    constant (C,) are the perceptron's; all but the places float32.
    """
    w, features = maps.shape[2:]
    count, height, width, channels = out.shape
    for line in prange(count * height):
        b, y = line // height, line % height
        room, along = np.empty((3, 4), np.float32), np.empty((2, w), np.float32)
        sums, places = np.empty((TOGETHER, features), np.float32), np.empty((TOGETHER, 2))
        _row_at(way, b, rows[y], room, along)
        for begin in range(0, width, TOGETHER):
            size = min(TOGETHER, width - begin)
            for p in range(size):
                left = int(np.floor(columns[begin + p]))
                _keys(np.float32(columns[begin + p] - left), room[1], room[2])
                moved_x, moved_y = np.float32(0), np.float32(0)
                for j in range(4):
                    there = _inside(left + j - 1, w)
                    moved_x += room[1, j] * along[0, there]
                    moved_y += room[1, j] * along[1, there]
                places[p, 0], places[p, 1] = rows[y] + moved_y, columns[begin + p] + moved_x
                _table_sum(maps, table, b, places[p, 0], places[p, 1], sums[p])
            inner = np.dot(sums[:size], first)
            for p in range(size):
                for u in range(len(bias)):
                    inner[p, u] = max(inner[p, u] + bias[u], np.float32(0))
            colours = np.dot(inner, last) + np.dot(sums[:size], linear)
            for p in range(size):
                for c in range(channels):
                    out[b, y, begin + p, c] = colours[p, c] + constant[c]
                _bicubic_at(picture, b, places[p, 0], places[p, 1], room, out[b, y, begin + p])


@njit(cache=True, fastmath=True, parallel=True)
def spline_slopes(grad, maps, coefficients, points, out):
    """Writes out (B, Q, 2) the gradient by the points, where `grad` (B, Q, K) is the one by the sums."""
    count, h, w, features = maps.shape
    per_pixel, q = np.float64((coefficients.shape[0] - 4) / 2), points.shape[1]
    blocks = (q + BLOCK - 1) // BLOCK
    for block in prange(count * blocks):
        b, begin = block // blocks, block % blocks * BLOCK
        down, across = np.empty(4, np.float32), np.empty(4, np.float32)
        down_slopes, across_slopes = np.empty(4, np.float32), np.empty(4, np.float32)
        given = np.empty(features, np.float32)
        for p in range(begin, min(begin + BLOCK, q)):
            top, left = int(np.floor(points[b, p, 0])), int(np.floor(points[b, p, 1]))
            behind, right = points[b, p, 0] - top, points[b, p, 1] - left
            by_y, by_x = 0.0, 0.0
            for i in range(2):
                m, row = _splines((behind - i + 1) * per_pixel, down, down_slopes), _inside(top + i, h)
                for j in range(2):
                    n, column = _splines((right - j + 1) * per_pixel, across, across_slopes), _inside(left + j, w)
                    for k in range(features):
                        given[k] = maps[b, row, column, k] * grad[b, p, k]
                    for a in range(4):
                        for c in range(4):
                            total = np.float32(0)
                            for k in range(features):
                                total += coefficients[m + a, n + c, k] * given[k]
                            by_y += down_slopes[a] * across[c] * total
                            by_x += down[a] * across_slopes[c] * total
            out[b, p, 0], out[b, p, 1] = by_y * per_pixel, by_x * per_pixel


@njit(cache=True, fastmath=True, parallel=True)
def bicubic_points(picture, points, out, by_y, by_x):
    """Writes out (B, Q, C), the bicubic interpolation of the picture (B, H, W, C), and its slopes by y and by x, alike."""
    count, h, w, channels = picture.shape
    q = points.shape[1]
    blocks = (q + BLOCK - 1) // BLOCK
    for block in prange(count * blocks):
        b, begin = block // blocks, block % blocks * BLOCK
        down, across = np.empty(4, np.float32), np.empty(4, np.float32)
        down_slopes, across_slopes = np.empty(4, np.float32), np.empty(4, np.float32)
        for p in range(begin, min(begin + BLOCK, q)):
            top, left = int(np.floor(points[b, p, 0])), int(np.floor(points[b, p, 1]))
            _keys(points[b, p, 0] - top, down, down_slopes)
            _keys(points[b, p, 1] - left, across, across_slopes)
            for c in range(channels):
                out[b, p, c] = by_y[b, p, c] = by_x[b, p, c] = np.float32(0)
            for i in range(4):
                row = _inside(top + i - 1, h)
                for j in range(4):
                    column = _inside(left + j - 1, w)
                    for c in range(channels):
                        value = picture[b, row, column, c]
                        out[b, p, c] += down[i] * across[j] * value
                        by_y[b, p, c] += down_slopes[i] * across[j] * value
                        by_x[b, p, c] += down[i] * across_slopes[j] * value
