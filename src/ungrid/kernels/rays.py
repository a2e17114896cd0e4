"""Rays of random pixels in a lattice's coordinates, fused, on a CPU: a twentieth of the time of array operations.

Convention: cameras and pixels as in `ungrid.sampling.cameras`; frames as in `ungrid.fields.radiance`; what
`ungrid.radiance.frames.lattice_rays` says of where rays begin. Everything is computed in double precision, and written in
single.
"""

import math

import numpy as np
from numba import njit, prange

U = np.uint32
UNDISTORT_STEPS, FOLDED, LONGEST = 20, 1e-3, 0.5  # as in `ungrid.sampling.cameras`
SMALLEST = 1e-14  # a step of Newton's method after which there is nothing to gain


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


@njit(cache=True)
def bend(x, y, lens):
    """How far a lens (9,) moves a point of the plane at distance 1, y down; the model is in `ungrid.sampling.cameras`."""
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    r = x * x + y * y
    radial = r * (k1 + r * (k2 + r * k3))
    return x * radial + 2 * p1 * x * y + p2 * (r + 2 * x * x), y * radial + p1 * (r + 2 * y * y) + 2 * p2 * x * y


@njit(cache=True)
def undistorted(u, v, lens):
    """The point of the plane at distance 1 that a lens sends to (u, v), by Newton's method as in `ungrid.sampling.cameras`."""
    x, y = u, v
    k1, k2, p1, p2, k3 = lens[4], lens[5], lens[6], lens[7], lens[8]
    if k1 == 0 and k2 == 0 and p1 == 0 and p2 == 0 and k3 == 0:
        return x, y
    for _ in range(UNDISTORT_STEPS):
        r = x * x + y * y
        radial, slope = 1 + r * (k1 + r * (k2 + r * k3)), k1 + r * (2 * k2 + r * 3 * k3)
        xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
        yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
        determinant = xx * yy - xy * xy
        if not determinant > FOLDED:
            break
        dx, dy = bend(x, y, lens)
        du, dv = u - x - dx, v - y - dy
        sx, sy = (yy * du - xy * dv) / determinant, (xx * dv - xy * du) / determinant
        length = math.sqrt(sx * sx + sy * sy)
        share = min(1.0, LONGEST / max(length, 1e-300))
        x, y = x + share * sx, y + share * sy
        if length < SMALLEST:
            break
    return x, y


@njit(cache=True, parallel=True)
def pixel_rays(pixels, first, widths, shrink, turns, positions, lenses, matrix, top, whole, starts, alongs, views):
    """Rays of pixels (n,), numbered through photographs that begin at `first`, into the last three arrays (n, 3).

    They begin at their cameras if `whole`, else where they enter the box from 0 to `top`.
    """
    for r in prange(pixels.shape[0]):
        which = np.searchsorted(first, pixels[r], side="right") - 1
        place = pixels[r] - first[which]
        row, column = place // widths[which], place % widths[which]
        x = (shrink * (column + 0.5) - lenses[which, 2]) / lenses[which, 0]
        y = (shrink * (row + 0.5) - lenses[which, 3]) / lenses[which, 1]
        x, y = undistorted(x, y, lenses[which])
        scale = 1 / math.sqrt(x * x + y * y + 1)
        direction, start, along = np.empty(3), np.empty(3), np.empty(3)
        for a in range(3):
            direction[a] = scale * (turns[which, a, 0] * x - turns[which, a, 1] * y - turns[which, a, 2])
        to_lattice(matrix, positions[which], direction, start, along)
        moved = 0.0 if whole else entry(start, along, top)
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
                if not t <= 0:
                    break
                t += 0.01 / length
                continue
            nearest = far[brick[0], brick[1], brick[2]]
            if nearest <= margin:
                found[r] = True
                break
            t += 4.0 * (nearest - margin) / length  # a chessboard distance is no longer than a straight one


@njit(cache=True, parallel=True)
def carve(back, spacing, away, first, widths, heights, turns, positions, lenses, solid):
    """Whether cells around the nodes of a lattice, `solid` (X, Y, Z), may show in all silhouettes that see them.

    Nodes go to the world by `back` (4, 4), affine, at so many units of the world apart; `away` are the distances of the pixels
    of all photographs, one after the other from `first` on, to the next pixel of the silhouette. Lenses are in these pixels.
    Source: Laurentini 1994, *The visual hull concept for silhouette-based image understanding*.
    """
    nx, ny, nz = solid.shape
    for n in prange(nx * ny * nz):
        i, j, k = n // (ny * nz), (n // nz) % ny, n % nz
        solid[i, j, k] = True
        for which in range(widths.shape[0]):
            local = np.zeros(3)
            for a in range(3):
                offset = back[a, 0] * i + back[a, 1] * j + back[a, 2] * k + back[a, 3] - positions[which, a]
                for b in range(3):
                    local[b] += turns[which, a, b] * offset
            depth = -local[2]
            if depth <= spacing:
                continue
            x, y = local[0] / depth, -local[1] / depth
            r = x * x + y * y
            if 1 + r * (3 * lenses[which, 4] + r * (5 * lenses[which, 5] + r * 7 * lenses[which, 8])) <= 0:
                continue  # beyond where the lens folds back
            dx, dy = bend(x, y, lenses[which])
            column = math.floor(lenses[which, 0] * (x + dx) + lenses[which, 2])
            row = math.floor(lenses[which, 1] * (y + dy) + lenses[which, 3])
            if column < 0 or row < 0 or column >= widths[which] or row >= heights[which]:
                continue
            # a cell reaches sqrt(3) / 2 spacings from its middle, and a pixel sqrt(2) / 2 from its own
            reach = 0.87 * spacing * lenses[which, 0] / depth + 0.71
            if away[first[which] + row * widths[which] + column] > reach:
                solid[i, j, k] = False
                break
