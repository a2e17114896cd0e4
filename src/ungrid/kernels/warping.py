"""Two frames warped to each other's time, joined to what a network of convolutions reads at every pixel.

Conventions
    Frames of H x W pixels: features (B, H, W, K) and pictures (B, H, W, 3), float32. Ways (B, 4, H, W) in pixels: (x, y) to
    the first frame and (x, y) to the second; shares (B, H, W) are those of the first frame. What lies at a place between
    pixels is their bilinear interpolation, beyond the edge the last pixels go on. With features a, b and pictures p, q of the
    two frames at the places where the ways lead, a share m, and the angles 2 pi way, a pixel gets

        m a + (1 - m) b,   a - b,   p,   q,   m p + (1 - m) q,   m,   sines (4),   cosines (4).

The plain twin is `ungrid.networks.light_video.joined`. Threads own rows.
"""

import numpy as np
from numba import njit, prange

ONE = np.float32(1)  # a whole number would make doubles


@njit(cache=True, fastmath=True, inline="always")
def _corners(y, x, h, w):
    """The four pixels around a place inside the frame, and their weights."""
    y, x = min(max(y, np.float32(0)), np.float32(h - 1)), min(max(x, np.float32(0)), np.float32(w - 1))
    top, left = int(y), int(x)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    v, u = y - np.float32(top), x - np.float32(left)
    return top, bottom, left, right, (ONE - v) * (ONE - u), (ONE - v) * u, v * (ONE - u), v * u


@njit(cache=True, fastmath=True, parallel=True)
def join_warped(first, second, first_picture, second_picture, ways, shares, out):
    """Writes out (B, H, W, 2 K + 18)."""
    count, h, w, features = first.shape
    for line in prange(count * h):
        b, y = line // h, line % h
        for x in range(w):
            m, row, column = shares[b, y, x], np.float32(y), np.float32(x)
            t0, b0, l0, r0, p00, p01, p10, p11 = _corners(row + ways[b, 1, y, x], column + ways[b, 0, y, x], h, w)
            t1, b1, l1, r1, q00, q01, q10, q11 = _corners(row + ways[b, 3, y, x], column + ways[b, 2, y, x], h, w)
            for k in range(features):
                one = p00 * first[b, t0, l0, k] + p01 * first[b, t0, r0, k]
                one += p10 * first[b, b0, l0, k] + p11 * first[b, b0, r0, k]
                other = q00 * second[b, t1, l1, k] + q01 * second[b, t1, r1, k]
                other += q10 * second[b, b1, l1, k] + q11 * second[b, b1, r1, k]
                out[b, y, x, k] = other + m * (one - other)
                out[b, y, x, features + k] = one - other
            n = 2 * features
            for c in range(3):
                one = p00 * first_picture[b, t0, l0, c] + p01 * first_picture[b, t0, r0, c]
                one += p10 * first_picture[b, b0, l0, c] + p11 * first_picture[b, b0, r0, c]
                other = q00 * second_picture[b, t1, l1, c] + q01 * second_picture[b, t1, r1, c]
                other += q10 * second_picture[b, b1, l1, c] + q11 * second_picture[b, b1, r1, c]
                out[b, y, x, n + c], out[b, y, x, n + 3 + c] = one, other
                out[b, y, x, n + 6 + c] = other + m * (one - other)
            out[b, y, x, n + 9] = m
            for c in range(4):
                angle = np.float32(2 * np.pi) * ways[b, c, y, x]
                out[b, y, x, n + 10 + c], out[b, y, x, n + 14 + c] = np.sin(angle), np.cos(angle)
