"""Finite-difference stencils and the sparse matrices made of them.

Conventions. A stencil with offsets s_j (in steps h) and weights w_j stands for

    u^(m)(x) = h^-m sum_j w_j u(x + s_j h) + O(h^p),        m the derivative, p the order.

A grid is a tuple of axes, one increasing array of nodes for each dimension. Values on it have the shape
``tuple(len(axis) for axis in axes)`` and are flattened in C order: the last axis runs fastest. On a periodic axis the last
node lies one step before the first one's image, so that it is not repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from scipy import sparse

from ungrid._base.errors import InputError


@dataclass(frozen=True)
class Stencil:
    """Weights of a difference quotient, with what they approximate and how well.

    Attributes:
        offsets: places of the samples, in steps.
        weights: one for each offset, to be divided by ``step ** derivative``.
        derivative: which derivative.
        order: the power of the step to which the error is proportional.
    """

    offsets: tuple[float, ...]
    weights: tuple[float, ...]
    derivative: int
    order: int

    def __call__(self, samples: np.ndarray, step: float) -> np.ndarray:
        """The difference quotient of samples (..., len(offsets)), which loses the last axis."""
        return np.asarray(samples @ np.array(self.weights) / step**self.derivative)


def fornberg_weights(nodes: np.ndarray, at: float, derivative: int) -> np.ndarray:
    """Weights of all derivatives up to the given one, for any distinct nodes.

    Fornberg (1988), "Generation of finite difference formulas on arbitrarily spaced grids", Math. Comp. 51, algorithm of
    section 3.

    Args:
        nodes: (n,), distinct, in any order.
        at: where the derivatives are wanted.
        derivative: the highest one, below n.

    Returns:
        (derivative + 1, n): row m gives ``u^(m)(at)`` as a sum over the nodes, exact for polynomials of degree n - 1.

    Raises:
        InputError: too few nodes, or repeated ones.
    """
    nodes = np.asarray(nodes, dtype=np.float64)
    if not 0 <= derivative < len(nodes):
        raise InputError(f"derivative {derivative} from {len(nodes)} nodes", f"0 to {len(nodes) - 1}", "add nodes")
    if len(np.unique(nodes)) < len(nodes):
        raise InputError(f"repeated nodes in {nodes}", "distinct nodes")
    weights = np.zeros((derivative + 1, len(nodes)))
    weights[0, 0] = 1.0
    rows = np.arange(1, derivative + 1)[:, None]
    c1 = 1.0
    for n in range(1, len(nodes)):  # weights for the nodes 0..n from those for 0..n-1
        apart = nodes[n] - nodes[:n]
        c2 = float(np.prod(apart))
        before = weights[:, n - 1].copy()
        lower = weights[:-1, :n].copy()
        weights[:, :n] *= (nodes[n] - at) / apart
        weights[1:, :n] -= rows * lower / apart
        weights[0, n] = -c1 / c2 * (nodes[n - 1] - at) * before[0]
        weights[1:, n] = c1 / c2 * (rows[:, 0] * before[:-1] - (nodes[n - 1] - at) * before[1:])
        c1 = c2
    return weights


def stencil(offsets: Sequence[float], derivative: int = 1) -> Stencil:
    """The stencil of highest order on the offsets.

    Args:
        offsets: in steps; 0 is where the derivative is taken.
        derivative: which one, below the number of offsets.

    Returns:
        The stencil with its order, which Taylor's expansion gives: the first power s^(m + p) whose sum
        ``sum_j w_j s_j^(m + p)`` does not vanish.
    """
    s = np.asarray(offsets, dtype=np.float64)
    weights = fornberg_weights(s, 0.0, derivative)[-1]
    return Stencil(tuple(map(float, s)), tuple(map(float, weights)), derivative, _order(s, weights, derivative))


def _order(s: np.ndarray, weights: np.ndarray, derivative: int) -> int:
    order = len(s) - derivative
    for power in range(len(s), 2 * len(s) + 2):
        terms = weights * s**power
        if abs(terms.sum()) > 1e-9 * np.abs(terms).sum():
            break
        order += 1
    return order


def leading_error(s: Stencil) -> float:
    """The constant C of the error ``C h^p u^(m + p)``: quotient minus derivative, as h goes to 0."""
    power = s.derivative + s.order
    return float(np.array(s.weights) @ np.array(s.offsets) ** power / factorial(power))


def forward_difference(derivative: int = 1, order: int = 1) -> Stencil:
    """Samples at 0, 1, 2, ...; for the first derivative and order 1 ``(u(x + h) - u(x)) / h``."""
    return stencil(range(derivative + order), derivative)


def backward_difference(derivative: int = 1, order: int = 1) -> Stencil:
    """Samples at 0, -1, -2, ...; for the first derivative and order 1 ``(u(x) - u(x - h)) / h``."""
    return stencil(range(1 - derivative - order, 1), derivative)


def central_difference(derivative: int = 1, order: int = 2) -> Stencil:
    """Samples on both sides.

    For order 2: the first derivative is ``(u(x + h) - u(x - h)) / 2h``, the second difference
    ``(u(x + h) - 2 u(x) + u(x - h)) / h^2``.

    Raises:
        InputError: an odd order; symmetric stencils have even ones.
    """
    if order % 2 or order < 2:
        raise InputError(
            f"order {order}", "an even one for a central difference", "take forward or backward differences"
        )
    reach = (derivative + 1) // 2 - 1 + order // 2
    return stencil(range(-reach, reach + 1), derivative)


def derivative_matrix(
    axis: np.ndarray, derivative: int = 1, order: int = 2, *, periodic: bool = False
) -> sparse.csr_array:
    """The derivative along one axis, of one order at every node.

    Inside uniform axes: the central difference. Near the ends, and on stretched axes: the `derivative + order` nearest
    nodes, which makes the stencils at the ends one-sided.

    Args:
        axis: nodes (n,), increasing; uniform if periodic.
        derivative: which one.
        order: of accuracy; even for uniform axes.
        periodic: whether the samples go on beyond the ends.

    Returns:
        (n, n).

    Raises:
        InputError: an axis that is not increasing, too short, or stretched and periodic.
    """
    axis, uniform = np.asarray(axis, dtype=np.float64), is_uniform(axis)
    if periodic and not uniform:
        raise InputError("a periodic axis with unequal steps", "equal steps")
    width = len(central_difference(derivative, order).offsets) if uniform else derivative + order
    needed = width if periodic else max(width, derivative + order)
    if len(axis) < needed:
        raise InputError(f"{len(axis)} nodes", f"at least {needed} for derivative {derivative} of order {order}")
    if periodic:
        return _circulant(len(axis), central_difference(derivative, order), axis[1] - axis[0])
    rows = [_row(axis, i, derivative, order, width if uniform else 0) for i in range(len(axis))]
    columns = np.concatenate([columns for columns, _ in rows])
    starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    return sparse.csr_array((np.concatenate([w for _, w in rows]), columns, starts), shape=(len(axis), len(axis)))


def _row(axis: np.ndarray, i: int, derivative: int, order: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and weights at node i: `width` nodes around it where they exist, else the nearest `derivative + order`."""
    n, reach = len(axis), width // 2
    if width and reach <= i < n - reach:
        first, count = i - reach, width
    else:
        count = derivative + order
        first = int(np.clip(i - (count - 1) // 2, 0, n - count))
    columns = np.arange(first, first + count)
    return columns, fornberg_weights(axis[columns], axis[i], derivative)[-1]


def _circulant(n: int, s: Stencil, step: float) -> sparse.csr_array:
    offsets = np.array(s.offsets, dtype=np.int64)
    rows = np.repeat(np.arange(n), len(offsets))
    columns = (rows + np.tile(offsets, n)) % n
    return sparse.csr_array((np.tile(np.array(s.weights) / step**s.derivative, n), (rows, columns)), shape=(n, n))


def is_uniform(axis: np.ndarray) -> bool:
    """Whether all steps are equal up to rounding.

    Raises:
        InputError: fewer than two nodes, or nodes that do not increase.
    """
    axis = np.asarray(axis, dtype=np.float64)
    if axis.ndim != 1 or len(axis) < 2 or not (np.diff(axis) > 0).all():
        raise InputError(f"an axis of shape {axis.shape}", "at least two finite, increasing nodes")
    rounding = 16 * np.finfo(np.float64).eps * max(abs(axis[0]), abs(axis[-1]))
    return bool(np.ptp(np.diff(axis)) <= rounding + 1e-9 * (axis[1] - axis[0]))


def along(matrix: sparse.csr_array, axis: int, shape: Sequence[int]) -> sparse.csr_array:
    """The matrix of one axis as an operator on flattened values: ``I x ... x matrix x ... x I`` (Kronecker products).

    Args:
        matrix: (m, shape[axis]).
        axis: which axis it acts on.
        shape: of the values.

    Returns:
        (size / shape[axis] * m, size), size being the product of the shape.

    Raises:
        InputError: a matrix that does not fit the axis.
    """
    if matrix.shape[1] != shape[axis]:
        raise InputError(f"a matrix with {matrix.shape[1]} columns", f"{shape[axis]}, the length of axis {axis}")
    before, after = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
    right = sparse.kron(matrix, sparse.eye_array(after), format="csr")
    return sparse.csr_array(sparse.kron(sparse.eye_array(before), right, format="csr"))


def laplacian(
    axes: Sequence[np.ndarray], order: int = 2, *, periodic: Sequence[bool] | None = None
) -> sparse.csr_array:
    """The sum of second derivatives on a grid, as (size, size); at the ends of the axes by one-sided differences."""
    shape, wraps = [len(axis) for axis in axes], periodic or [False] * len(axes)
    parts = [along(derivative_matrix(axis, 2, order, periodic=wraps[k]), k, shape) for k, axis in enumerate(axes)]
    return sparse.csr_array(sum(parts[1:], start=parts[0]))
