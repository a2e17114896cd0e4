"""Elementwise parts of fused networks: sine and relu layers with their slopes, and the product of the backward pass.

Convention: arrays are (rows, columns), C-contiguous, float32, or uint16 with the bits of bfloat16 numbers; all
arithmetic is float32, and bfloat16 results are rounded to nearest, ties to even. Outputs never overlap inputs.
The kernels run on one thread and release the interpreter: callers give each thread rows of its own that fit its cache.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

# Contraction to fused multiply-adds is wanted, but no reassociation: it would undo the range reduction.
FLAGS = {"contract"}

# pi = PI_HIGH + PI_MIDDLE + PI_LOW (Cody and Waite 1980): the first two have so few bits that their products with whole
# numbers below 2^12 are exact even where the machine has no fused multiply-add.
PI_HIGH = np.float32(3.140625)
PI_MIDDLE = np.float32(9.67502593994140625e-4)
PI_LOW = np.float32(np.pi - 3.140625 - 9.67502593994140625e-4)
INVERSE_PI = np.float32(1 / np.pi)

# Best uniform approximations on [-pi/2, pi/2], found by linear programming: r + s3 r^3 + s5 r^5 + s7 r^7 + s9 r^9 is
# within 5e-9 of sin r, and 1 + c2 r^2 + c4 r^4 + c6 r^6 + c8 r^8 within 6e-8 of cos r.
S3, S5 = np.float32(-0.16666656871574018), np.float32(0.008333012606471124)
S7, S9 = np.float32(-0.00019806341014589037), np.float32(2.599561869220635e-06)
C2, C4 = np.float32(-0.4999993202530392), np.float32(0.04166398154170375)
C6, C8 = np.float32(-0.0013855862590015995), np.float32(2.3192828289074895e-05)


def _read(number: Any) -> Any:
    """A stored number as float32."""


def _write(array: Any, i: int, j: int, number: np.float32) -> None:
    """Store a float32 number in the type of the array."""


@overload(_read)
def _read_any(number: Any) -> Any:
    def exact(number: Any) -> Any:
        return number

    def widened(number: Any) -> Any:
        return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)

    return widened if number == types.uint16 else exact


@overload(_write)
def _write_any(array: Any, i: int, j: int, number: np.float32) -> Any:
    def exact(array: Any, i: int, j: int, number: np.float32) -> None:
        array[i, j] = number

    def rounded(array: Any, i: int, j: int, number: np.float32) -> None:
        bits = np.float32(number).view(np.uint32)
        odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        array[i, j] = np.uint16(np.uint32(bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return rounded if array.dtype == types.uint16 else exact


@njit(fastmath=FLAGS)
def _sine_and_cosine(x: np.float32) -> tuple[np.float32, np.float32]:
    """The sine and the cosine to about one unit in the last place of 1, for |x| up to about 10^4."""
    turns = np.rint(x * INVERSE_PI)
    r = x - turns * PI_HIGH
    r = r - turns * PI_MIDDLE
    r = r - turns * PI_LOW
    q = r * r
    sine = r + r * q * (S3 + q * (S5 + q * (S7 + q * S9)))
    cosine = np.float32(1) + q * (C2 + q * (C4 + q * (C6 + q * C8)))
    sign = np.int32(np.int32(turns) << np.int32(31))  # both change sign with every half turn
    return (
        np.int32(np.float32(sine).view(np.int32) ^ sign).view(np.float32),
        np.int32(np.float32(cosine).view(np.int32) ^ sign).view(np.float32),
    )


@njit(nogil=True, cache=True, fastmath=FLAGS)
def sine_layer(z: np.ndarray, bias: np.ndarray, omega: float, out: np.ndarray, slope: np.ndarray) -> None:
    """``out = sin(omega (z + bias))`` and its derivative by z, ``slope = omega cos(omega (z + bias))``.

    Args:
        z: (rows, columns), the product with the weights.
        bias: (columns,) float32.
        omega: the layer's frequency.
        out: (rows, columns), is written.
        slope: (rows, columns), is written.
    """
    rows, columns = z.shape
    frequency = np.float32(omega)
    for i in range(rows):
        for j in range(columns):
            s, c = _sine_and_cosine(frequency * (_read(z[i, j]) + bias[j]))
            _write(out, i, j, s)
            _write(slope, i, j, frequency * c)


@njit(nogil=True, cache=True, fastmath=FLAGS)
def relu_layer(z: np.ndarray, bias: np.ndarray, out: np.ndarray, slope: np.ndarray) -> None:
    """``out = max(z + bias, 0)`` and its derivative by z, 0 or 1; arguments as in `sine_layer`."""
    rows, columns = z.shape
    for i in range(rows):
        for j in range(columns):
            v = _read(z[i, j]) + bias[j]
            positive = np.float32(v > np.float32(0))
            _write(out, i, j, v * positive)
            _write(slope, i, j, positive)


@njit(nogil=True, cache=True, fastmath=FLAGS)
def scale_and_sum(g: np.ndarray, slope: np.ndarray, out: np.ndarray, sums: np.ndarray) -> None:
    """``out = g * slope``, the gradient by the layer's sums, and its column sums, the gradient by the bias.

    Args:
        g: (rows, columns), the gradient by the layer's output.
        slope: (rows, columns), as written by `sine_layer`.
        out: (rows, columns), is written.
        sums: (columns,) float32; the column sums are added to it.
    """
    rows, columns = g.shape
    for i in range(rows):
        for j in range(columns):
            product = _read(g[i, j]) * _read(slope[i, j])
            _write(out, i, j, product)
            sums[j] += product
