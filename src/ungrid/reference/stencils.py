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


def fornberg_weights(nodes: np.ndarray, at: np.ndarray | float, derivative: int) -> np.ndarray:
    """Weights of all derivatives up to the given one, for any distinct nodes.

    Fornberg (1988), "Generation of finite difference formulas on arbitrarily spaced grids", Math. Comp. 51, algorithm of
    section 3.

    Args:
        nodes: (*batch, n), distinct, in any order.
        at: where the derivatives are wanted, (*batch,).
        derivative: the highest one, below n.

    Returns:
        (derivative + 1, *batch, n): row m gives ``u^(m)(at)`` as a sum over the nodes, exact for polynomials of degree n - 1.

    Raises:
        InputError: too few nodes, or repeated ones.
    """
    nodes = np.asarray(nodes, dtype=np.float64)
    if not 0 <= derivative < nodes.shape[-1]:
        raise InputError(f"derivative {derivative} from {nodes.shape[-1]} nodes", "fewer than nodes", "add nodes")
    if (np.diff(np.sort(nodes)) == 0).any():
        raise InputError(f"repeated nodes in {nodes}", "distinct nodes")
    s = np.moveaxis(nodes, -1, 0) - at  # (n, *batch)
    weights = np.zeros((derivative + 1, *s.shape))
    weights[0, 0] = 1.0
    m = np.arange(1, derivative + 1).reshape(-1, *[1] * (s.ndim - 1))
    before = np.ones(s.shape[1:])
    for n in range(1, len(s)):  # weights for the nodes 0..n from those for 0..n-1
        apart = s[n] - s[:n]
        product = apart.prod(axis=0)
        old = weights[:, :n].copy()
        weights[:, :n] *= s[n] / apart
        weights[1:, :n] -= m[:, None] * old[:-1] / apart
        weights[0, n] = -before / product * s[n - 1] * old[0, -1]
        weights[1:, n] = before / product * (m * old[:-1, -1] - s[n - 1] * old[1:, -1])
        before = product
    return np.moveaxis(weights, 1, -1)


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
    n, i = len(axis), np.arange(len(axis))
    central = uniform & (i >= width // 2) & (i < n - width // 2)
    parts = [_rows(axis, i[central], i[central] - width // 2, width, derivative)] if central.any() else []
    count, rest = derivative + order, i[~central]
    if len(rest):
        parts.append(_rows(axis, rest, np.clip(rest - (count - 1) // 2, 0, n - count), count, derivative))
    rows, columns, weights = (np.concatenate(found) for found in zip(*parts, strict=True))
    return sparse.csr_array((weights, (rows, columns)), shape=(n, n))


def _rows(
    axis: np.ndarray, at: np.ndarray, first: np.ndarray, count: int, derivative: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and weights of the entries at some nodes, each from `count` nodes that begin with `first`."""
    columns = first[:, None] + np.arange(count)
    weights = fornberg_weights(axis[columns], axis[at], derivative)[-1]
    return np.repeat(at, count), columns.ravel(), weights.ravel()


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
