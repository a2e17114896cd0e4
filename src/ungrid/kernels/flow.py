"""Optical flow by dense inverse search: patches that look for their match, their mean at every pixel, a variational refinement.

Conventions
    Frames (H, W), float32, grey from 0 to 255, first I, second J. Flows (H, W, 2), (x, y) in pixels: what lies at a pixel of I
    lies at its place plus the flow in J. Patches have `PATCH` x `PATCH` pixels, the one with number (i, j) its upper left
    corner at ``(starts_y[i], starts_x[j])``. J and its flow are continued beyond the edges by the pixels there.

A patch takes the best of the flows that the coarser level has in its middle and a patch further on in four directions, by the
variance of its differences, and then Gauss-Newton steps on those; the patch of I keeps its gradients and its matrix (inverse
compositional), a patch that runs away goes back. The refinement minimises

    integral of  delta/2 psi(I_z²) + gamma/2 psi(|grad I_z|²) + alpha/2 psi(|grad u|²),     psi(s²) = 2 sqrt(s² + eps²)

with normalised data terms, linearised around the flow, by red-black over-relaxation.

Sources: Kroeger, Timofte, Dai and Van Gool 2016, *Fast optical flow using dense inverse search* (sections 2.1 to 2.3); Baker
and Matthews 2004 (inverse compositional steps); Brox, Bruhn, Papenberg and Weickert 2004 (the functional); Zimmer, Bruhn and
Weickert 2011 (normalised data terms). Threads own rows, and colours in turn in the relaxation: equal inputs give equal bits.
"""

import numpy as np
from numba import njit, prange

PATCH = 8
DESCENTS = 25  # Gauss-Newton steps of a patch at most
SMALL_STEP = 1e-3  # pixels, below which they end
ALPHA, DELTA, GAMMA = 20.0, 5.0, 10.0
EPSILON2, ZETA2 = 1e-6, 1e-2
RELAXATION = 1.6


@njit(cache=True, fastmath=True)
def _clipped(value, low, high):
    return min(max(value, low), high)


@njit(cache=True, fastmath=True)
def _between(frame, y, x):
    """The bilinear interpolation of a frame, continued beyond its edges."""
    h, w = frame.shape
    y, x = _clipped(y, np.float32(0), np.float32(h - 1)), _clipped(x, np.float32(0), np.float32(w - 1))
    top, left = min(int(y), max(h - 2, 0)), min(int(x), max(w - 2, 0))
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    v, u = np.float32(y - top), np.float32(x - left)
    upper = frame[top, left] + u * (frame[top, right] - frame[top, left])
    lower = frame[bottom, left] + u * (frame[bottom, right] - frame[bottom, left])
    return upper + v * (lower - upper)


@njit(cache=True, fastmath=True)
def _differences(first, second, top, left, u, v, out):
    """Writes J(place + flow) - I of a patch, and gives their variance times their number."""
    total, squares = np.float32(0), np.float32(0)
    h, w = second.shape
    y0, x0 = top + v, left + u
    inside = y0 >= 0 and x0 >= 0 and y0 < h - PATCH - 1 and x0 < w - PATCH - 1
    if inside:
        row, column = int(y0), int(x0)
        b, a = np.float32(y0 - row), np.float32(x0 - column)
        w11 = a * b
        w01, w10 = a - w11, b - w11
        w00 = np.float32(1) - a - w10
        for y in range(PATCH):
            for x in range(PATCH):
                found = (
                    w00 * second[row + y, column + x]
                    + w01 * second[row + y, column + x + 1]
                    + w10 * second[row + y + 1, column + x]
                    + w11 * second[row + y + 1, column + x + 1]
                )
                out[y, x] = found - first[top + y, left + x]
    else:
        for y in range(PATCH):
            for x in range(PATCH):
                out[y, x] = _between(second, np.float32(y0 + y), np.float32(x0 + x)) - first[top + y, left + x]
    for y in range(PATCH):
        for x in range(PATCH):
            total += out[y, x]
            squares += out[y, x] * out[y, x]
    return squares - total * total / np.float32(PATCH * PATCH)


@njit(cache=True, fastmath=True, parallel=True)
def search(first, second, gradient, starts_y, starts_x, flow, out):
    """Writes the patches' flows (rows, columns, 2); gradient (H, W, 2) of I, (x, y); flow: that of the coarser level."""
    h, w = first.shape
    number = np.float32(PATCH * PATCH)
    half = PATCH // 2
    for i in prange(len(starts_y)):
        d = np.empty((PATCH, PATCH), dtype=np.float32)
        top = starts_y[i]
        for j in range(len(starts_x)):
            left = starts_x[j]
            best, u, v = np.float32(np.inf), np.float32(0), np.float32(0)
            for k in range(5):
                y = _clipped(top + half + PATCH * (k == 1) - PATCH * (k == 2), 0, h - 1)
                x = _clipped(left + half + PATCH * (k == 3) - PATCH * (k == 4), 0, w - 1)
                error = _differences(first, second, top, left, flow[y, x, 0], flow[y, x, 1], d)
                if error < best:
                    best, u, v = error, flow[y, x, 0], flow[y, x, 1]
            u, v = _descend(first, second, gradient, top, left, u, v, d, number)
            out[i, j, 0], out[i, j, 1] = u, v


@njit(cache=True, fastmath=True)
def _descend(first, second, gradient, top, left, u, v, d, number):
    """Gauss-Newton steps of a patch from a flow."""
    sx, sy, xx, xy, yy = np.float32(0), np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for y in range(PATCH):
        for x in range(PATCH):
            gx, gy = gradient[top + y, left + x, 0], gradient[top + y, left + x, 1]
            sx += gx
            sy += gy
            xx += gx * gx
            xy += gx * gy
            yy += gy * gy
    xx, xy, yy = xx - sx * sx / number, xy - sx * sy / number, yy - sy * sy / number
    determinant = xx * yy - xy * xy
    if determinant < 1e-3 * number:
        return u, v
    start_u, start_v = u, v
    kept_u, kept_v = u, v
    least = np.float32(np.inf)
    for _ in range(DESCENTS):
        error = _differences(first, second, top, left, u, v, d)
        if error >= least:
            u, v = kept_u, kept_v
            break
        least, kept_u, kept_v = error, u, v
        total, bx, by = np.float32(0), np.float32(0), np.float32(0)
        for y in range(PATCH):
            for x in range(PATCH):
                total += d[y, x]
                bx += gradient[top + y, left + x, 0] * d[y, x]
                by += gradient[top + y, left + x, 1] * d[y, x]
        bx, by = bx - total * sx / number, by - total * sy / number
        du, dv = (yy * bx - xy * by) / determinant, (xx * by - xy * bx) / determinant
        u, v = np.float32(u - du), np.float32(v - dv)
        if du * du + dv * dv < SMALL_STEP * SMALL_STEP:
            break
    if (u - start_u) ** 2 + (v - start_v) ** 2 > PATCH * PATCH:
        return start_u, start_v
    return u, v


@njit(cache=True, fastmath=True, parallel=True)
def densify(first, second, starts_y, starts_x, patches, out):
    """Writes the flow (H, W, 2): the mean of the patches over a pixel, by how well they match there."""
    h, w = first.shape
    for line in prange(h):
        y = np.int64(line)  # of a parallel loop it is unsigned, and differences with it would be no integers
        low_i, low_j = np.searchsorted(starts_y, y - PATCH + 1), 0
        for x in range(w):
            weight, u, v = np.float32(0), np.float32(0), np.float32(0)
            while starts_x[low_j] < x - PATCH + 1:
                low_j += 1
            for i in range(low_i, len(starts_y)):
                if starts_y[i] > y:
                    break
                for j in range(low_j, len(starts_x)):
                    if starts_x[j] > x:
                        break
                    a, b = patches[i, j, 0], patches[i, j, 1]
                    apart = abs(_between(second, np.float32(y + b), np.float32(x + a)) - first[y, x])
                    share = np.float32(1) / max(np.float32(1), apart)
                    weight += share
                    u += share * a
                    v += share * b
            out[y, x, 0], out[y, x, 1] = u / weight, v / weight


@njit(cache=True, fastmath=True, parallel=True)
def warp(second, flow, out):
    """Writes J at every pixel's place plus its flow."""
    h, w = second.shape
    for y in prange(h):
        for x in range(w):
            out[y, x] = _between(second, np.float32(y + flow[y, x, 1]), np.float32(x + flow[y, x, 0]))


@njit(cache=True, fastmath=True, parallel=True)
def slopes(frame, out):
    """Writes the central differences (H, W, 2), (x, y)."""
    h, w = frame.shape
    for y in prange(h):
        up, down = max(y - 1, 0), min(y + 1, h - 1)
        for x in range(w):
            left, right = max(x - 1, 0), min(x + 1, w - 1)
            out[y, x, 0] = np.float32(0.5) * (frame[y, right] - frame[y, left])
            out[y, x, 1] = np.float32(0.5) * (frame[down, x] - frame[up, x])


@njit(cache=True, fastmath=True, parallel=True)
def data_terms(z, g, gx, gy, gz, change, out):
    """Writes the linear system (H, W, 5) of the data: a11, a12, a22, b1, b2.

    z: I_z; g: gradient of the frames' mean; gx, gy: those of its two components; gz: the gradient of I_z.
    """
    h, w = z.shape
    for y in prange(h):
        for x in range(w):
            du, dv = change[y, x, 0], change[y, x, 1]
            ix, iy, iz = g[y, x, 0], g[y, x, 1], z[y, x]
            norm = ix * ix + iy * iy + np.float32(ZETA2)
            rest = iz + ix * du + iy * dv
            s = np.float32(DELTA / 2) / np.sqrt(rest * rest / norm + np.float32(EPSILON2)) / norm
            a11, a12, a22, b1, b2 = s * ix * ix, s * ix * iy, s * iy * iy, -s * iz * ix, -s * iz * iy
            xx, xy, yy = gx[y, x, 0], gx[y, x, 1], gy[y, x, 1]
            xz, yz = gz[y, x, 0], gz[y, x, 1]
            n1, n2 = xx * xx + xy * xy + np.float32(ZETA2), xy * xy + yy * yy + np.float32(ZETA2)
            r1, r2 = xz + xx * du + xy * dv, yz + xy * du + yy * dv
            s = np.float32(GAMMA / 2) / np.sqrt(r1 * r1 / n1 + r2 * r2 / n2 + np.float32(EPSILON2))
            out[y, x, 0] = a11 + s * (xx * xx / n1 + xy * xy / n2)
            out[y, x, 1] = a12 + s * (xx * xy / n1 + xy * yy / n2)
            out[y, x, 2] = a22 + s * (xy * xy / n1 + yy * yy / n2)
            out[y, x, 3] = b1 - s * (xx * xz / n1 + xy * yz / n2)
            out[y, x, 4] = b2 - s * (xy * xz / n1 + yy * yz / n2)


@njit(cache=True, fastmath=True, parallel=True)
def smoothness(flow, change, out):
    """Writes the weights of the smoothness (H, W) between a pixel and those to its right and below."""
    h, w = out.shape
    for y in prange(h):
        down = min(y + 1, h - 1)
        for x in range(w):
            right, total = min(x + 1, w - 1), np.float32(EPSILON2)
            for c in range(2):
                own = flow[y, x, c] + change[y, x, c]
                across = flow[y, right, c] + change[y, right, c] - own
                along = flow[down, x, c] + change[down, x, c] - own
                total += across * across + along * along
            out[y, x] = np.float32(ALPHA / 2) / np.sqrt(total)


@njit(cache=True, fastmath=True, parallel=True)
def relax(system, weight, flow, change, colour):
    """One half of a red-black step on the change of the flow, in place."""
    h, w = weight.shape
    for line in prange(h):
        y = np.int64(line)  # of a parallel loop it is unsigned, and differences with it would be no integers
        for x in range((y + colour) % 2, w, 2):
            total, u, v = np.float32(0), np.float32(0), np.float32(0)
            for k in range(4):
                ny, nx = y + (k == 0) - (k == 1), x + (k == 2) - (k == 3)
                if ny < 0 or ny >= h or nx < 0 or nx >= w:
                    continue
                s = weight[min(y, ny), min(x, nx)]  # that of the pixel to the left, or above
                total += s
                u += s * (flow[ny, nx, 0] + change[ny, nx, 0] - flow[y, x, 0])
                v += s * (flow[ny, nx, 1] + change[ny, nx, 1] - flow[y, x, 1])
            a11, a12, a22 = system[y, x, 0], system[y, x, 1], system[y, x, 2]
            du = (system[y, x, 3] - a12 * change[y, x, 1] + u) / (a11 + total)
            change[y, x, 0] += np.float32(RELAXATION) * (du - change[y, x, 0])
            dv = (system[y, x, 4] - a12 * change[y, x, 0] + v) / (a22 + total)
            change[y, x, 1] += np.float32(RELAXATION) * (dv - change[y, x, 1])
