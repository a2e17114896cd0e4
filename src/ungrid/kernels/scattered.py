"""Feature maps and pictures at points that lie anywhere, with their slopes.

Conventions
    B maps of H x W pixels with K features, float32 (B, H, W, K), and Q points in each, float64 (B, Q, 2), (y, x) in pixels;
    pixel i has its centre at i, and beyond the edge the last pixels go on. The sums are those of `ungrid.kernels.corners` with
    kernels of cubic splines in both directions,

        out[b, q] = sum over the four nearest pixels of maps[pixel] * sum_mn coefficients[m, n] beta_m(r_y) beta_n(r_x),

    where r is the point's offset from the pixel, and coefficients (M, N, K) begin with 3 and end with 4 zeros on both axes, for
    the splines that end outside of (-1, 1). The plain twins are `ungrid.networks.spline_kernels.SplineKernels.at` and
    `bicubic_at`.

Threads own whole blocks of points, so that equal inputs give equal bits with any number of threads.
"""

import numpy as np
from numba import njit, prange

BLOCK = 256  # points


@njit(cache=True, inline="always")
def _splines(place, values, slopes):
    """The first of the four cubic splines at a place in knots, their values, and their slopes by the place."""
    first = int(np.floor(place))
    t = place - first
    s = 1 - t
    values[0], values[3] = s * s * s / 6, t * t * t / 6
    values[1], values[2] = (4 - 3 * t * t * (2 - t)) / 6, (4 - 3 * s * s * (2 - s)) / 6
    slopes[0], slopes[3] = -s * s / 2, t * t / 2
    slopes[1], slopes[2] = (3 * t * t - 4 * t) / 2, (4 * s - 3 * s * s) / 2
    return first


@njit(cache=True, inline="always")
def _keys(t, values, slopes):
    """The weights of the pixels at -1, 0, 1 and 2 for a place at t in [0, 1) (Keys 1981), and their slopes."""
    values[0], slopes[0] = ((-0.5 * t + 1) * t - 0.5) * t, (-1.5 * t + 2) * t - 0.5
    values[1], slopes[1] = (1.5 * t - 2.5) * t * t + 1, (4.5 * t - 5) * t
    values[2], slopes[2] = ((-1.5 * t + 2) * t + 0.5) * t, (-4.5 * t + 4) * t + 0.5
    values[3], slopes[3] = (0.5 * t - 0.5) * t * t, (1.5 * t - 1) * t


@njit(cache=True, inline="always")
def _inside(index, size):
    return min(max(index, 0), size - 1)


@njit(cache=True, fastmath=True, parallel=True)
def spline_sums(maps, coefficients, points, out):
    """Writes out (B, Q, K)."""
    count, h, w, features = maps.shape
    per_pixel, q = np.float64((coefficients.shape[0] - 4) / 2), points.shape[1]
    blocks = (q + BLOCK - 1) // BLOCK
    for block in prange(count * blocks):
        b, begin = block // blocks, block % blocks * BLOCK
        down, across, slopes = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
        for p in range(begin, min(begin + BLOCK, q)):
            top, left = int(np.floor(points[b, p, 0])), int(np.floor(points[b, p, 1]))
            behind, right = points[b, p, 0] - top, points[b, p, 1] - left
            for k in range(features):
                out[b, p, k] = np.float32(0)
            for i in range(2):
                m, row = _splines((behind - i + 1) * per_pixel, down, slopes), _inside(top + i, h)
                for j in range(2):
                    n, column = _splines((right - j + 1) * per_pixel, across, slopes), _inside(left + j, w)
                    x0, x1, x2, x3 = across[0], across[1], across[2], across[3]
                    for a in range(4):
                        y = down[a]
                        for k in range(features):
                            weight = (
                                x0 * coefficients[m + a, n, k]
                                + x1 * coefficients[m + a, n + 1, k]
                                + x2 * coefficients[m + a, n + 2, k]
                                + x3 * coefficients[m + a, n + 3, k]
                            )
                            out[b, p, k] += y * weight * maps[b, row, column, k]


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
