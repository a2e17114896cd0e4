"""Many small sine networks of one shape, each trained on its own target in one call.

A network's weights, the moments of Adam and the activations of a chunk of samples stay in a core's cache from the first step
to the last, so that nothing but the matrix products takes time; a batched product over all networks would stream the
activations of all of them through memory at every layer of every step.

Convention: float32; samples x (N, d) are those of all signals, targets (n, N, c) with NaN where a sample is missing. The
weights of network k are row k of (n, P): for each layer the matrix (out, in), row by row, then the bias. `sizes` are d, the
widths of the sine layers, c. The plain twin is `ungrid.signals.many.batch.fit_plain`.

Sources: Sitzmann et al. 2020 (sine layers); Kingma and Ba 2015 (Adam).
"""

import numpy as np
from numba import njit

from ungrid.kernels.sine import FLAGS, sine_layer

CHUNK_NUMBERS = 1 << 16  # of an activation: five of them are 1.3 MB, about a core's second cache


@njit(nogil=True, cache=True, fastmath=FLAGS)
def first_products(x: np.ndarray, weight: np.ndarray, z: np.ndarray) -> None:
    """``z = x weight^T`` of few columns (N, d), for which BLAS is slow."""
    by_column = weight.T.copy()
    for i in range(len(x)):
        for j in range(z.shape[1]):
            z[i, j] = x[i, 0] * by_column[0, j]
        for k in range(1, x.shape[1]):
            for j in range(z.shape[1]):
                z[i, j] += x[i, k] * by_column[k, j]


@njit(nogil=True, cache=True, fastmath=FLAGS)
def residuals(values: np.ndarray, bias: np.ndarray, target: np.ndarray, r: np.ndarray) -> float:
    """``r = values + bias - target``, 0 where the target is NaN; returns the sum of squares."""
    total = 0.0
    for i in range(len(values)):
        for j in range(len(bias)):
            error = values[i, j] + bias[j] - target[i, j]
            r[i, j] = error if error == error else np.float32(0)
            total += np.float64(r[i, j]) * np.float64(r[i, j])
    return total


@njit(nogil=True, cache=True, fastmath=FLAGS)
def spread_residuals(r: np.ndarray, weight: np.ndarray, g: np.ndarray) -> None:
    """``g = r weight`` of few columns (N, c)."""
    for i in range(len(r)):
        for j in range(g.shape[1]):
            g[i, j] = r[i, 0] * weight[0, j]
        for k in range(1, r.shape[1]):
            for j in range(g.shape[1]):
                g[i, j] += r[i, k] * weight[k, j]


@njit(nogil=True, cache=True, fastmath=FLAGS)
def layer_of(theta: np.ndarray, sizes: np.ndarray, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of the matrix (out, in) and the bias of a layer in a row of weights."""
    start = 0
    for k in range(layer):
        start += (sizes[k] + 1) * sizes[k + 1]
    n, m = sizes[layer], sizes[layer + 1]
    return theta[start : start + n * m].reshape(m, n), theta[start + n * m : start + (n + 1) * m]


@njit(nogil=True, cache=True, fastmath=FLAGS)
def squares_and_gradient(
    x: np.ndarray, target: np.ndarray, theta: np.ndarray, sizes: np.ndarray, omegas: np.ndarray, gradient: np.ndarray,
    h: np.ndarray, slope: np.ndarray, z: np.ndarray,
) -> float:  # fmt: skip
    """The sum of squared residuals of one network, and half its gradient by the weights.

    Args:
        x: (N, d).
        target: (N, c).
        theta: (P,), the weights.
        sizes: d, the widths of the sine layers, c.
        omegas: frequencies of the sine layers.
        gradient: (P,), is written.
        h: (depth, chunk, width), memory to work in.
        slope: (depth, chunk, width), memory to work in.
        z: (chunk, width), memory to work in.
    """
    depth = len(omegas)
    gradient[:] = 0
    r = np.empty((len(z), target.shape[1]), dtype=np.float32)
    total = 0.0
    for start in range(0, len(x), len(z)):
        stop = min(start + len(z), len(x))
        n = stop - start
        for layer in range(depth):
            weight, bias = layer_of(theta, sizes, layer)
            if layer == 0:
                first_products(x[start:stop], weight, z[:n])
            else:
                np.dot(h[layer - 1, :n], weight.T, z[:n])
            sine_layer(z[:n], bias, omegas[layer], h[layer, :n], slope[layer, :n])
        weight, bias = layer_of(theta, sizes, depth)
        total += residuals(np.dot(h[depth - 1, :n], weight.T), bias, target[start:stop], r[:n])
        by_weight, by_bias = layer_of(gradient, sizes, depth)
        by_weight += np.dot(r[:n].T, h[depth - 1, :n])
        for i in range(n):
            for j in range(len(by_bias)):
                by_bias[j] += r[i, j]
        spread_residuals(r[:n], weight, z[:n])
        for layer in range(depth - 1, -1, -1):
            by_weight, by_bias = layer_of(gradient, sizes, layer)
            g = slope[layer, :n]
            scale_in_place(z[:n], g, by_bias)
            if layer == 0:
                add_first_gradient(g, x[start:stop], by_weight)
            else:
                by_weight += np.dot(g.T, h[layer - 1, :n])
                np.dot(g, layer_of(theta, sizes, layer)[0], z[:n])
    return total


@njit(nogil=True, cache=True, fastmath=FLAGS)
def scale_in_place(z: np.ndarray, slope: np.ndarray, sums: np.ndarray) -> None:
    """``slope *= z``, the gradient by a layer's sums, and its column sums, the gradient by the bias."""
    for i in range(len(z)):
        for j in range(z.shape[1]):
            slope[i, j] *= z[i, j]
            sums[j] += slope[i, j]


@njit(nogil=True, cache=True, fastmath=FLAGS)
def add_first_gradient(g: np.ndarray, x: np.ndarray, by_weight: np.ndarray) -> None:
    """``by_weight += g^T x`` of few columns (N, d)."""
    total = np.zeros((x.shape[1], g.shape[1]), dtype=np.float32)
    for i in range(len(g)):
        for k in range(x.shape[1]):
            for j in range(g.shape[1]):
                total[k, j] += g[i, j] * x[i, k]
    by_weight += total.T


@njit(nogil=True, cache=True, fastmath=FLAGS)
def adam_step(
    theta: np.ndarray, gradient: np.ndarray, first: np.ndarray, second: np.ndarray, rate: float, step: int,
    betas: tuple[float, float], eps: float,
) -> None:  # fmt: skip
    """One step of Adam (Kingma and Ba 2015, algorithm 1) with the rate and the number, from 1, of this step."""
    b1, b2 = np.float32(betas[0]), np.float32(betas[1])
    one = np.float32(1)
    size = np.float32(rate / (1.0 - betas[0] ** step))
    inverse = np.float32(1.0 / np.sqrt(1.0 - betas[1] ** step))
    small = np.float32(eps)
    for i in range(len(theta)):
        first[i] = b1 * first[i] + (one - b1) * gradient[i]
        second[i] = b2 * second[i] + (one - b2) * gradient[i] * gradient[i]
        theta[i] -= size * first[i] / (np.sqrt(second[i]) * inverse + small)


@njit(nogil=True, cache=True, fastmath=FLAGS)
def fit_sirens(
    x: np.ndarray, targets: np.ndarray, theta: np.ndarray, sizes: np.ndarray, omegas: np.ndarray, rates: np.ndarray,
    goals: np.ndarray, betas: tuple[float, float], eps: float, errors: np.ndarray, steps: np.ndarray,
) -> None:  # fmt: skip
    """Train every network until its mean squared error is at most its goal, or for as many steps as there are rates.

    Args:
        x: (N, d).
        targets: (n, N, c).
        theta: (n, P), changes in place.
        sizes: d, the widths of the sine layers, c.
        omegas: frequencies of the sine layers.
        rates: of every step.
        goals: (n,) mean squared errors.
        betas: of Adam.
        eps: of Adam.
        errors: (n,), is written: the mean squared error of what is in `theta` at the end.
        steps: (n,), is written: steps taken.
    """
    width, depth = sizes[1], len(omegas)
    chunk = min(max(64, CHUNK_NUMBERS // width), len(x))
    h = np.empty((depth, chunk, width), dtype=np.float32)
    slope = np.empty((depth, chunk, width), dtype=np.float32)
    z = np.empty((chunk, width), dtype=np.float32)
    gradient = np.empty(theta.shape[1], dtype=np.float32)
    for k in range(len(targets)):
        known = 0
        for value in targets[k].ravel():
            known += value == value
        first, second = np.zeros_like(gradient), np.zeros_like(gradient)
        for step in range(len(rates) + 1):
            total = squares_and_gradient(x, targets[k], theta[k], sizes, omegas, gradient, h, slope, z)
            errors[k], steps[k] = total / known, step
            if step == len(rates) or not errors[k] > goals[k]:
                break
            gradient *= np.float32(2.0 / known)
            adam_step(theta[k], gradient, first, second, rates[step], step + 1, betas, eps)
