"""Rays of random pixels in a lattice's coordinates, fused, on a CPU: a twentieth of the time of array operations.

Convention: cameras and pixels as in `ungrid.sampling.cameras`, without distortion; frames as in `ungrid.fields.radiance`; what
`ungrid.radiance.frames.lattice_rays` says of where rays begin. Everything is computed in double precision, and written in
single.
"""

import math

import numpy as np
from numba import njit, prange

U = np.uint32


@njit(cache=True)
def entry(start, along, top):
    """How far a ray goes until it enters the box from 0 to `top` (3,); 0 where it begins inside, or never does."""
    last = -np.inf
    for a in range(3):
        if along[a] == 0:
            if start[a] < 0 or start[a] > top[a]:
                return 0.0
        else:
            last = max(last, min(-start[a] / along[a], (top[a] - start[a]) / along[a]))
    return max(last, 0.0) if math.isfinite(last) else 0.0


@njit(cache=True)
def to_lattice(matrix, origin, direction, start, along):
    """A ray of the world under a frame (4, 4): an affine one, or a projective one from its near plane to infinity."""
    for a in range(3):
        start[a], along[a] = matrix[a, 3], 0.0
        for b in range(3):
            start[a] += matrix[a, b] * origin[b]
            along[a] += matrix[a, b] * direction[b]
    if matrix[3, 0] == 0 and matrix[3, 1] == 0 and matrix[3, 2] == 0:
        return
    w, speed = matrix[3, 3], 0.0
    for b in range(3):
        w += matrix[3, b] * origin[b]
        speed += matrix[3, b] * direction[b]
    t = -start[2] / along[2]
    for a in range(3):
        end = along[a] / speed
        start[a] = (start[a] + t * along[a]) / (w + t * speed)
        along[a] = end - start[a]


@njit(cache=True, parallel=True)
def pixel_rays(pixels, first, widths, shrink, turns, positions, lenses, matrix, top, starts, alongs, views):
    """Rays of pixels (n,), numbered through photographs that begin at `first`, into the last three arrays (n, 3)."""
    for r in prange(pixels.shape[0]):
        which = np.searchsorted(first, pixels[r], side="right") - 1
        place = pixels[r] - first[which]
        row, column = place // widths[which], place % widths[which]
        x = (shrink * (column + 0.5) - lenses[which, 2]) / lenses[which, 0]
        y = (shrink * (row + 0.5) - lenses[which, 3]) / lenses[which, 1]
        scale = 1 / math.sqrt(x * x + y * y + 1)
        direction, start, along = np.empty(3), np.empty(3), np.empty(3)
        for a in range(3):
            direction[a] = scale * (turns[which, a, 0] * x - turns[which, a, 1] * y - turns[which, a, 2])
        to_lattice(matrix, positions[which], direction, start, along)
        moved = entry(start, along, top)
        for a in range(3):
            starts[r, a] = start[a] + moved * along[a]
            alongs[r, a] = along[a]
            views[r, a] = direction[a]


@njit(cache=True, parallel=True)
def reach(starts, alongs, far, margin, found):
    """Whether rays (n, 3) come within `margin` bricks of one that can be seen; `far` as in `ungrid.kernels.bricks`."""
    for r in prange(starts.shape[0]):
        length = math.sqrt(alongs[r, 0] ** 2 + alongs[r, 1] ** 2 + alongs[r, 2] ** 2)
        t, found[r] = 0.0, False
        while True:
            inside, nearest = True, 0
            brick = np.empty(3, np.int64)
            for a in range(3):
                x = (starts[r, a] + t * alongs[r, a]) / 4
                brick[a] = math.floor(x)
                if brick[a] < 0 or brick[a] >= far.shape[a]:
                    inside = False
            if not inside:
                # rounding may put the first place beside the lattice; from the second on the ray has left it
                if t > 0:
                    break
                t += 0.01 / length
                continue
            nearest = far[brick[0], brick[1], brick[2]]
            if nearest <= margin:
                found[r] = True
                break
            t += 4.0 * (nearest - margin) / length  # a chessboard distance is no longer than a straight one
