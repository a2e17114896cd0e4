"""Radiance in sparse bricks of nodes: marching, compositing, shading and all their gradients, fused, on a CPU.

Conventions
    Coordinates are those of the lattice: nodes at the integers, axis a from 0 to ``4 * B_a - 1``; a brick holds 4^3 nodes in
    row-major order, and a node `WIDTH` numbers: the raw density, red, green, blue, and features.
    The optical depth of a step is ``scale * softplus(raw)``; a sample's share of its ray is ``w = T (1 - exp(-depth))`` with
    the transmittance T before it. Samples with a share below `least` count as transparent, for values and gradients alike.
    A ray adds up the colours and features of its samples by their shares. Its colour is the sum of colours, plus T times
    the background, plus (1 - T) times what the decoder makes of the sums and the viewing direction (deferred shading:
    Hedman et al. 2021, *Baking neural radiance fields*, section 4; Reiser et al. 2023, *MERF*).
    Brick 0 stands for every brick that is not kept: transparent, and never changed.
    A *contracted* lattice holds all of space: `pieces` says how. Its rays come in the coordinates of its inner half.

A sample first looks whether its brick, and then whether its cell, can reach `least` at all: `far` and `mask` say so exactly,
because an interpolated value is at most that of the largest corner.

Threads own fixed contiguous parts of the rays and private gradients, so equal inputs and thread counts give equal bits.
Integers become int64 before they are passed on, as in `grid`.

Sources: Fridovich-Keil et al. 2022, *Plenoxels* (optimised voxels, total variation); Sun et al. 2022, *Direct voxel grid
optimization* (activation after interpolation); Max 1995, *Optical models for direct volume rendering* (compositing); Reiser et
al. 2023, *MERF*, section 4.1 (a contraction under which straight rays stay straight in pieces).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

WIDTH = 8  # numbers of a node
SUMS = WIDTH - 1  # that a ray adds up: three colours and the features
HARMONICS = 16
TILE = 64  # rays shaded together
CHUNK = 64 * TILE  # rays that share the same buffers in rendering
LONGEST = 1024  # samples of a ray
PIECES = 13  # of a ray through a contracted lattice, at most
NEAR = 0.05  # where such a ray begins, before its camera, in half widths of the inner cube
FAR = 1e9  # where it ends, in the same unit: infinity would not be safe in functions with fastmath
INNER = 3  # the region of the inner cube; the others have the number of their axis
RAW_LIMIT = np.float32(20)  # a larger raw density counts as this: opaque within a step

F = np.float32
U = np.uint32
L = np.uint64


class Bricks(NamedTuple):
    """A lattice as the kernels read it."""

    numbers: np.ndarray  # (Bx, By, Bz) uint32: the number of each brick
    far: np.ndarray  # (Bx, By, Bz) uint8: chessboard distance to the next brick that can be seen, 0 there
    mask: np.ndarray  # (bricks,) uint64: the cells that can be seen
    cells: np.ndarray  # (bricks * 128,): raw densities of a brick's nodes and of the first ones behind them, 5^3
    nodes: np.ndarray  # (bricks * 64, WIDTH)


class March(NamedTuple):
    """How a ray is sampled."""

    step: np.float32  # in lattice units
    scale: np.float32
    floor: np.float32  # the raw density at which a step reaches `least`
    least: np.float32
    stop: np.float32  # transmittance at which a ray ends
    contracted: bool


class Decoder(NamedTuple):
    """A network of two hidden layers without biases, inputs first."""

    first: np.ndarray
    second: np.ndarray
    last: np.ndarray


@njit(cache=True, fastmath=True, inline="always")
def fast_exp(x):
    """exp(x) for -87 < x < 80, with a relative error of 2e-6; a library's would be a third of a march."""
    y = x * F(1.4426950408889634)
    n = np.floor(y + F(0.5))
    f = (y - n) * F(0.6931471805599453)
    p = F(1) + f * (F(1) + f * (F(0.5) + f * (F(0.166666667) + f * (F(0.0416666) + f * F(0.00833)))))
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(cache=True, fastmath=True)
def spherical_harmonics(x, y, z, out):
    """The real spherical harmonics of degree 0 to 3 at the unit vector (x, y, z), into `out` (16,)."""
    xx, yy, zz = x * x, y * y, z * z
    out[0] = F(0.28209479177387814)
    out[1] = F(0.4886025119029199) * y
    out[2] = F(0.4886025119029199) * z
    out[3] = F(0.4886025119029199) * x
    out[4] = F(1.0925484305920792) * x * y
    out[5] = F(1.0925484305920792) * y * z
    out[6] = F(0.31539156525252005) * (F(2) * zz - xx - yy)
    out[7] = F(1.0925484305920792) * x * z
    out[8] = F(0.5462742152960396) * (xx - yy)
    out[9] = F(0.5900435899266435) * y * (F(3) * xx - yy)
    out[10] = F(2.890611442640554) * x * y * z
    out[11] = F(0.4570457994644658) * y * (F(4) * zz - xx - yy)
    out[12] = F(0.3731763325901154) * z * (F(2) * zz - F(3) * xx - F(3) * yy)
    out[13] = F(0.4570457994644658) * x * (F(4) * zz - xx - yy)
    out[14] = F(1.445305721320277) * z * (xx - yy)
    out[15] = F(0.5900435899266435) * x * (xx - F(3) * yy)


@njit(cache=True, fastmath=True, inline="always")
def corners(x, y, z, index, places, weights):
    """The eight nodes around a point, as rows of the node table, and their trilinear weights."""
    i, j, k = U(x), U(y), U(z)
    fx, fy, fz = x - F(i), y - F(j), z - F(k)
    li, lj, lk = i & U(3), j & U(3), k & U(3)
    if li < 3 and lj < 3 and lk < 3:
        b = U(index[i >> U(2), j >> U(2), k >> U(2)] * U(64) + (li << U(4)) + (lj << U(2)) + lk)
        places[0], places[1], places[2], places[3] = b, b + U(1), b + U(4), b + U(5)
        places[4], places[5], places[6], places[7] = b + U(16), b + U(17), b + U(20), b + U(21)
    else:
        n = 0
        for a in range(2):
            ii = U(i + U(a))
            for b in range(2):
                jj = U(j + U(b))
                for c in range(2):
                    kk = U(k + U(c))
                    brick = index[ii >> U(2), jj >> U(2), kk >> U(2)]
                    places[n] = brick * U(64) + ((ii & U(3)) << U(4)) + ((jj & U(3)) << U(2)) + (kk & U(3))
                    n += 1
    gx, gy, gz = F(1) - fx, F(1) - fy, F(1) - fz
    weights[0], weights[1], weights[2], weights[3] = gx * gy * gz, gx * gy * fz, gx * fy * gz, gx * fy * fz
    weights[4], weights[5], weights[6], weights[7] = fx * gy * gz, fx * gy * fz, fx * fy * gz, fx * fy * fz


@njit(cache=True, fastmath=True)
def inside(origin, direction, blocks):
    """The stretch of the ray, t >= 0, within the lattice; empty where it ends before it begins."""
    begin, end = F(0), F(1e30)
    for a in range(3):
        top = F(4 * blocks[a]) - F(1.001)
        if abs(direction[a]) < F(1e-12):
            if origin[a] < 0 or origin[a] > top:
                return F(1), F(0)
        else:
            u, v = -origin[a] / direction[a], (top - origin[a]) / direction[a]
            begin, end = max(begin, min(u, v)), min(end, max(u, v))
    return begin, end


@njit(cache=True, fastmath=True)
def march(origin, direction, begin, end, dt, jitter, bricks, how, base, n, transmittance, samples):
    """The samples of a stretch of a ray that count, from place `n` of the buffers on; its first one is in place `base`.

    Returns where they end, and the transmittance left.
    """
    index, far, mask, cells, _ = bricks
    places, weights, _, shares, left_over, slopes, points = samples
    k, last = 0, int((end - begin) / dt)
    rx = F(1) / direction[0] if direction[0] != 0 else F(1e30)
    ry = F(1) / direction[1] if direction[1] != 0 else F(1e30)
    rz = F(1) / direction[2] if direction[2] != 0 else F(1e30)
    per_step = F(1) / dt
    while k < last:
        t = begin + (F(k) + jitter) * dt
        x, y, z = origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]
        i, j, m = U(x), U(y), U(z)
        bi, bj, bm = i >> U(2), j >> U(2), m >> U(2)
        away = far[bi, bj, bm]
        if away > 0:  # to where the ray leaves the cube of bricks that cannot be seen
            ahead, behind = F(4) * F(away), F(4) * (F(1) - F(away))
            ex = F(4) * F(bi) + (ahead if direction[0] > 0 else behind)
            ey = F(4) * F(bj) + (ahead if direction[1] > 0 else behind)
            ez = F(4) * F(bm) + (ahead if direction[2] > 0 else behind)
            leave = min(min(abs((ex - x) * rx), abs((ey - y) * ry)), abs((ez - z) * rz))
            k += int(min(leave * per_step, F(1e6))) + 1
            continue
        k += 1
        brick = index[bi, bj, bm]
        li, lj, lm = i & U(3), j & U(3), m & U(3)
        if (mask[brick] >> L((li << U(4)) + (lj << U(2)) + lm)) & L(1) == 0:
            continue
        fx, fy, fz = x - F(i), y - F(j), z - F(m)
        v = brick * U(128) + li * U(25) + lj * U(5) + lm
        c00 = cells[v] + fz * (cells[v + U(1)] - cells[v])
        c01 = cells[v + U(5)] + fz * (cells[v + U(6)] - cells[v + U(5)])
        c10 = cells[v + U(25)] + fz * (cells[v + U(26)] - cells[v + U(25)])
        c11 = cells[v + U(30)] + fz * (cells[v + U(31)] - cells[v + U(30)])
        c0, c1 = c00 + fy * (c01 - c00), c10 + fy * (c11 - c10)
        raw = c0 + fx * (c1 - c0)
        if raw <= how.floor:
            continue
        e = fast_exp(min(raw, RAW_LIMIT))
        passed = fast_exp(max(-how.scale * F(math.log(F(1) + e)), F(-80)))
        share = transmittance * (F(1) - passed)
        if share <= how.least:
            continue
        corners(x, y, z, index, places[n], weights[n])
        transmittance *= passed
        shares[n], left_over[n] = share, transmittance
        points[n, 0], points[n, 1], points[n, 2] = x, y, z
        slopes[n] = how.scale * e / (F(1) + e)  # of the optical depth
        n += 1
        if n - base == LONGEST or transmittance < how.stop:
            break
    return n, transmittance


@njit(cache=True)
def region_of(u, v, t):
    """The axis with the largest coordinate of u + t v outside of the inner cube, or `INNER`."""
    found, largest = INNER, 1.0
    for a in range(3):
        size = abs(u[a] + t * v[a])
        if size > largest:
            found, largest = a, size
    return found


@njit(cache=True)
def contract(u, v, t, region, out):
    """u + t v, contracted into the cube of half width 2."""
    for a in range(3):
        out[a] = u[a] + t * v[a]
    if region != INNER:
        size = max(abs(out[region]), 1.0)
        for a in range(3):
            out[a] = (2 - 1 / size) * np.sign(out[a]) if a == region else out[a] / size
    for a in range(3):
        out[a] = min(max(out[a], -2.0), 2.0)


@njit(cache=True)
def pieces(origin, direction, blocks, ends):
    """The straight pieces of a ray in a contracted lattice, into `ends` (PIECES, 2, 3); returns how many there are.

    In half widths of the inner cube from its middle, the cube stays as it is; outside, a point x is divided by its largest
    coordinate x_k, and its own place on axis k is ``(2 - 1 / |x_k|) sign(x_k)``. The map is projective, so that lines stay
    lines, in each of seven regions, which end at |x_a| = 1 and |x_a| = |x_b|. The latter are seams, as those of a cube map:
    what touches there in space does not in the lattice.
    """
    u, v, cuts = np.empty(3), np.empty(3), np.empty(PIECES)
    middle, half = 0.5 * (4 * blocks[0] - 1.0), 0.25 * (4 * blocks[0] - 2.1)
    length = math.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    for a in range(3):
        u[a], v[a] = (origin[a] - middle) / half, direction[a] / length
    cuts[0], count = NEAR, 1
    for a in range(3):
        for sign in (-1.0, 1.0):
            for b in range(-1, a):  # -1: the face of the cube
                rate = v[a] - sign * v[b] if b >= 0 else v[a]
                apart = u[a] - sign * u[b] if b >= 0 else u[a] - sign
                if rate != 0 and NEAR < -apart / rate < FAR:
                    cuts[count] = -apart / rate
                    count += 1
    cuts[:count].sort()
    n, last = 0, -1
    for m in range(count):
        begin, end = cuts[m], cuts[m + 1] if m + 1 < count else FAR
        if end - begin < 1e-7 * end:
            continue
        region = region_of(u, v, 0.5 * (begin + end))
        if region != last:
            contract(u, v, begin, region, ends[n, 0])
            n += 1
        contract(u, v, end, region, ends[n - 1, 1])
        last = region
    for m in range(n):
        for side in range(2):
            for a in range(3):
                ends[m, side, a] = middle + half * ends[m, side, a]
    return n


@njit(cache=True)
def steps_of(piece, step):
    """In how many equal steps a piece (2, 3) is sampled: about the given ones, so that at its end none is cut."""
    total = 0.0
    for a in range(3):
        total += (piece[1, a] - piece[0, a]) ** 2
    return int(math.sqrt(total) / step + 0.5)


@njit(cache=True, fastmath=True)
def march_pieces(origin, direction, jitter, bricks, how, base, samples, ends, line):
    """As `march`, of a whole ray through a contracted lattice; `line` (2, 3) holds a piece's beginning and direction."""
    n, transmittance = base, F(1)
    for m in range(pieces(origin, direction, bricks.numbers.shape, ends)):
        count = steps_of(ends[m], how.step)
        if count == 0:
            continue
        for a in range(3):
            line[0, a], line[1, a] = F(ends[m, 0, a]), F(ends[m, 1, a] - ends[m, 0, a])
        dt, end = F(1) / F(count), F(1) + F(0.01) / F(count)
        n, transmittance = march(line[0], line[1], F(0), end, dt, jitter, bricks, how, base, n, transmittance, samples)
        if n - base == LONGEST or transmittance < how.stop:
            break
    return n, transmittance


@njit(cache=True)
def buffers():
    """Room for the samples of a tile: rows of nodes, weights, values, share, transmittance behind, slope, place."""
    room = TILE * LONGEST
    return (
        np.empty((room + 1, 8), np.uint32), np.empty((room + 1, 8), np.float32), np.empty((room, SUMS), np.float32),
        np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.float32),
        np.empty((room, 3), np.float32),
    )  # fmt: skip


@njit(cache=True)
def tables(width):
    """Room for the rays of a tile: first samples, transmittance left, decoder's inputs, hidden layers, and output."""
    return (
        np.zeros(TILE + 1, np.int64), np.ones(TILE, np.float32), np.zeros((TILE, SUMS + HARMONICS), np.float32),
        np.empty((TILE, width), np.float32), np.empty((TILE, width), np.float32), np.empty((TILE, 3), np.float32),
    )  # fmt: skip


@njit(cache=True, fastmath=True)
def gather(begin, end, nodes, samples, sums):
    """Add the values of a ray's samples, by their shares, to `sums` (SUMS,)."""
    places, weights, values, shares, _, _, _ = samples
    for f in range(SUMS):
        sums[f] = F(0)
    for s in range(begin, end):
        for f in range(SUMS):
            values[s, f] = F(0)
        for c in range(8):
            place, weight = places[s, c], weights[s, c]
            for f in range(SUMS):
                values[s, f] += weight * nodes[place, 1 + f]
        for f in range(SUMS):
            sums[f] += shares[s] * values[s, f]


@njit(cache=True, fastmath=True)
def shade(begin, end, origins, directions, views, jitter, bricks, how, decoder, samples, rays):
    """March and gather the rays `begin` to `end`, and decode them."""
    first, left, inputs, one, two, added = rays
    ends, line = np.empty((PIECES, 2, 3)), np.empty((2, 3), np.float32)
    n = np.int64(0)
    for r in range(begin, end):
        i = r - begin
        first[i], left[i] = n, F(1)
        if how.contracted:
            n, left[i] = march_pieces(origins[r], directions[r], jitter[r], bricks, how, n, samples, ends, line)
        else:
            t0, t1 = inside(origins[r], directions[r], bricks.numbers.shape)
            if t1 > t0:
                d = directions[r]
                dt = how.step / F(math.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]))
                n, left[i] = march(origins[r], d, t0, t1, dt, jitter[r], bricks, how, n, n, F(1), samples)
        gather(first[i], n, bricks.nodes, samples, inputs[i, :SUMS])
        spherical_harmonics(views[r, 0], views[r, 1], views[r, 2], inputs[i, SUMS:])
    count = end - begin
    first[count] = n
    if n > 0:
        np.dot(inputs[:count], decoder.first, one[:count])
        relu(one[:count])
        np.dot(one[:count], decoder.second, two[:count])
        relu(two[:count])
        np.dot(two[:count], decoder.last, added[:count])
    else:
        added[:count] = F(0)


@njit(cache=True, fastmath=True)
def relu(z):
    """Negative numbers become zero, in place."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = max(z[i, j], F(0))


@njit(cache=True, fastmath=True)
def relu_backward(z, grad):
    """The gradient by the input of `relu`, in place, from that by its output z."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            if z[i, j] <= 0:
                grad[i, j] = F(0)


@njit(cache=True, fastmath=True, parallel=True)
def render(origins, directions, views, background, bricks, how, decoder, color, opacity, middle):
    """Colours (R, 3), opacities (R,), and places weighted by shares, ``sum w x`` (R, 3), of rays.

    Origins and directions (R, 3) are in lattice units, and a ray begins at its origin, or in a contracted lattice `NEAR` it;
    views (R, 3) are unit vectors of the
    world, for the decoder; the background is (3,).
    """
    total = origins.shape[0]
    centred = np.full(total, F(0.5))
    chunks = (total + CHUNK - 1) // CHUNK
    for chunk in prange(chunks):
        samples, rays = buffers(), tables(decoder.first.shape[1])
        first, left, inputs, _, _, added = rays
        for begin in range(chunk * CHUNK, min(total, (chunk + 1) * CHUNK), TILE):
            end = min(begin + TILE, total)
            shade(begin, end, origins, directions, views, centred, bricks, how, decoder, samples, rays)
            for r in range(begin, end):
                i = r - begin
                opacity[r] = F(1) - left[i]
                for a in range(3):
                    color[r, a] = inputs[i, a] + left[i] * background[a] + opacity[r] * added[i, a]
                    middle[r, a] = F(0)
                for s in range(first[i], first[i + 1]):
                    for a in range(3):
                        middle[r, a] += samples[3][s] * samples[6][s, a]


@njit(cache=True, fastmath=True, parallel=True)
def go_on(origins, directions, rows, bricks, how, sums, left, middle):
    """Rays that have come from other blocks of the same lattice: march those in `rows` through the bricks of one more.

    Adds to what the rays have summed up (R, SUMS) and to their places by shares (R, 3), and takes from the transmittances left
    (R,). Samples are those of `render`.
    """
    chunks, none = (rows.shape[0] + TILE - 1) // TILE, np.int64(0)
    for chunk in prange(chunks):
        samples, found = buffers(), np.empty(SUMS, np.float32)
        for m in range(chunk * TILE, min(rows.shape[0], (chunk + 1) * TILE)):
            r = rows[m]
            t0, t1 = inside(origins[r], directions[r], bricks.numbers.shape)
            if t1 <= t0 or left[r] < how.stop:
                continue
            d = directions[r]
            dt = how.step / F(math.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]))
            n, left[r] = march(origins[r], d, t0, t1, dt, F(0.5), bricks, how, none, none, left[r], samples)
            gather(0, n, bricks.nodes, samples, found)
            for f in range(SUMS):
                sums[r, f] += found[f]
            for s in range(n):
                for a in range(3):
                    middle[r, a] += samples[3][s] * samples[6][s, a]


@njit(cache=True, fastmath=True)
def ray_backward(i, grad_sums, grad_left, rays, samples, nodes, grad, touched, seen):
    """Add the gradients of one ray by the numbers of its nodes, from its last sample to its first."""
    first, left = rays[0], rays[1]
    places, weights, values, shares, behind, slopes, _ = samples
    after = left[i] * grad_left[i]  # what lies behind the sample, times the loss's gradient
    for m in range(first[i + 1] - first[i]):
        s = first[i + 1] - 1 - m
        value = F(0)
        for f in range(SUMS):
            value += values[s, f] * grad_sums[i, f]
        slope = (behind[s] * value - after) * slopes[s]
        after += shares[s] * value
        for c in range(8):
            place, weight = places[s, c], weights[s, c]
            grad[place, 0] += weight * slope
            weight *= shares[s]
            for f in range(SUMS):
                grad[place, 1 + f] += weight * grad_sums[i, f]
        for c in range(8):
            touched[places[s, c] >> U(6)] |= L(1) << L(places[s, c] & U(63))
        brick = places[s, 0] >> U(6)
        seen[brick] = max(seen[brick], shares[s])


@njit(cache=True, fastmath=True, parallel=True)
def square_error(
    origins, directions, views, jitter, target, background, bricks, how, decoder, grads, grad_decoder, touched, seen
):
    """Sums of the squared errors of the rays' colours, one for each thread; half of its gradients is added to the last four.

    Origins, directions and views are as in `render`; the jitter (R,) in [0, 1) is where in its steps a ray is sampled; target
    and background are (R, 3). The gradients by the nodes are (threads, nodes, WIDTH), zero where not `touched`
    (threads, bricks), a bit for each node of a brick; those by the decoder three arrays (threads, ...); `seen` (threads,
    bricks) is the largest share of a sample so far.
    """
    total, threads = origins.shape[0], grads.shape[0]
    losses = np.empty(threads)
    for w in prange(threads):
        losses[w] = 0
        samples, rays = buffers(), tables(decoder.first.shape[1])
        first, left, inputs, one, two, added = rays
        error, grad_left = np.empty((TILE, 3), np.float32), np.empty(TILE, np.float32)
        grad_added = np.empty((TILE, 3), np.float32)
        start, stop = total * w // threads, total * (w + 1) // threads
        for begin in range(start, stop, TILE):
            end = min(begin + TILE, stop)
            n = end - begin
            shade(begin, end, origins, directions, views, jitter, bricks, how, decoder, samples, rays)
            for i in range(n):
                grad_left[i] = F(0)
                for a in range(3):
                    behind = background[begin + i, a] - added[i, a]
                    e = inputs[i, a] + added[i, a] + left[i] * behind - target[begin + i, a]
                    error[i, a] = e
                    losses[w] += e * e
                    grad_left[i] += e * behind
                    grad_added[i, a] = (F(1) - left[i]) * e
            if first[n] == 0:
                continue
            grad_decoder[2][w] += np.dot(two[:n].T, grad_added[:n])
            grad_two = np.dot(grad_added[:n], decoder.last.T)
            relu_backward(two[:n], grad_two)
            grad_decoder[1][w] += np.dot(one[:n].T, grad_two)
            grad_one = np.dot(grad_two, decoder.second.T)
            relu_backward(one[:n], grad_one)
            grad_decoder[0][w] += np.dot(inputs[:n].T, grad_one)
            grad_sums = np.dot(grad_one, decoder.first[:SUMS].T)
            for i in range(n):
                for a in range(3):
                    grad_sums[i, a] += error[i, a]
                ray_backward(i, grad_sums, grad_left, rays, samples, bricks.nodes, grads[w], touched[w], seen[w])
    return losses


@njit(cache=True)
def touched_nodes(touched, brick):
    """The nodes of a brick that any thread touched, as bits."""
    bits = L(0)
    for w in range(touched.shape[0]):
        bits |= touched[w, brick]
    return bits


@njit(cache=True, fastmath=True, parallel=True)
def add_smoothness(index, bricks, nodes, grads, touched, weights, sparsity):
    """Add the gradients of half the squared differences of neighbours' numbers, times `weights` (WIDTH,).

    And of ``sparsity`` times the raw densities: what has the background's colour before the background would stay else.

    Only to nodes that the data touch, so that what nobody sees costs nothing; `bricks` (bricks, 3) is the place of each.
    Source: Fridovich-Keil et al. 2022, section 3.3, without the root.
    """
    for number in prange(1, bricks.shape[0]):
        b = np.int64(number)
        bits = touched_nodes(touched, b)
        if bits == 0:
            continue
        touched[0, b] = bits
        around = np.zeros((3, 2), np.int64)
        for a in range(3):
            for side in range(2):
                i, j, k = bricks[b, 0], bricks[b, 1], bricks[b, 2]
                shift = 2 * side - 1
                i, j, k = i + (shift if a == 0 else 0), j + (shift if a == 1 else 0), k + (shift if a == 2 else 0)
                if 0 <= i < index.shape[0] and 0 <= j < index.shape[1] and 0 <= k < index.shape[2]:
                    around[a, side] = index[i, j, k]
        for u in range(64):
            if (bits >> L(u)) & L(1) == 0:
                continue
            q = b * 64 + u
            grads[0, q, 0] += sparsity
            for a in range(3):
                stride = 16 >> (2 * a)
                c = (u // stride) & 3
                for side in range(2):
                    if side == 0:
                        p = q - stride if c > 0 else around[a, 0] * 64 + u + 3 * stride
                    else:
                        p = q + stride if c < 3 else around[a, 1] * 64 + u - 3 * stride
                    if p < 64:
                        continue
                    for f in range(nodes.shape[1]):
                        grads[0, q, f] += weights[f] * (nodes[q, f] - nodes[p, f])


@njit(cache=True, fastmath=True, parallel=True)
def adam(index, bricks, nodes, cells, grads, touched, mean, square, rates, beta1, beta2, scale1, scale2):
    """One step of Adam on the touched nodes, whose gradients are summed over the threads and cleared; cells follow.

    Nodes without rest, their means too (Kingma and Ba 2015; lazy, as every sparse Adam is). `rates` (WIDTH,) are those of a
    node's numbers; ``scale1``, ``scale2`` are ``1 / (1 - beta^t)``.
    """
    threads = grads.shape[0]
    for number in prange(nodes.shape[0] // 64):
        b = np.int64(number)
        bits = touched_nodes(touched, b)
        if bits == 0:
            continue
        total = np.empty(nodes.shape[1], np.float32)
        for u in range(64):
            if (bits >> L(u)) & L(1) == 0:
                continue
            q = b * 64 + u
            total[:] = F(0)
            for w in range(threads):
                if (touched[w, b] >> L(u)) & L(1):
                    for f in range(nodes.shape[1]):
                        total[f] += grads[w, q, f]
                        grads[w, q, f] = F(0)
            if b > 0:
                for f in range(nodes.shape[1]):
                    m = beta1 * mean[q, f] + (F(1) - beta1) * total[f]
                    v = beta2 * square[q, f] + (F(1) - beta2) * total[f] * total[f]
                    mean[q, f], square[q, f] = m, v
                    nodes[q, f] -= rates[f] * m * scale1 / (F(math.sqrt(v * scale2)) + F(1e-12))
        for w in range(threads):
            touched[w, b] = 0
        if b > 0:
            copy_densities(index, bricks, nodes, cells, b)


@njit(cache=True)
def copy_densities(index, bricks, nodes, cells, b):
    """Write the raw densities of a brick's nodes to its cells, and to those of the bricks before it, which end in them.

    Every number in `cells` comes from one brick, so bricks may be copied side by side.
    """
    for a in range(8):
        di, dj, dk = a >> 2, (a >> 1) & 1, a & 1
        i, j, k = bricks[b, 0] - di, bricks[b, 1] - dj, bricks[b, 2] - dk
        if i < 0 or j < 0 or k < 0 or index[i, j, k] == 0:
            continue
        base = np.int64(index[i, j, k]) * 128
        for u in range(1 if di else 4):
            for v in range(1 if dj else 4):
                for w in range(1 if dk else 4):
                    raw = nodes[b * 64 + u * 16 + v * 4 + w, 0]
                    cells[base + (u + 4 * di) * 25 + (v + 4 * dj) * 5 + w + 4 * dk] = raw


@njit(cache=True, parallel=True)
def fill_cells(index, bricks, nodes, cells):
    """Copy the raw densities of all bricks' nodes to `cells`, which are empty where nothing is copied to."""
    for b in prange(1, bricks.shape[0]):
        copy_densities(index, bricks, nodes, cells, np.int64(b))


@njit(cache=True, parallel=True)
def fill_mask(cells, floor, mask):
    """Mark the cells with a corner above `floor`."""
    mask[0] = 0
    for b in prange(1, mask.shape[0]):
        bits = L(0)
        for i in range(4):
            for j in range(4):
                for k in range(4):
                    v = b * 128 + i * 25 + j * 5 + k
                    near = max(max(cells[v], cells[v + 1]), max(cells[v + 5], cells[v + 6]))
                    behind = max(max(cells[v + 25], cells[v + 26]), max(cells[v + 30], cells[v + 31]))
                    if max(near, behind) > floor:
                        bits |= L(1) << L((i << 4) + (j << 2) + k)
        mask[b] = bits
