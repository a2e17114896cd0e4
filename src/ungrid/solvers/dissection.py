"""Cholesky factors of matrices that couple the points of a regular lattice over a few cells, by nested dissection.

A box of lattice points is cut in two by a slab as thick as the coupling reaches; both halves are eliminated first, each
leaving a dense matrix over the slab points around it, and then the slab (George 1973; Duff and Reid 1983, the
multifrontal method). All arithmetic is in dense blocks: for splines in the plane 5 to 20 times as fast as a general
sparse factorisation in a minimum-degree order. BLAS runs on one thread: most blocks are small, and the bits then do not
depend on the number of threads.

Convention: a symmetric matrix A over a lattice is stored as ``bands`` (offsets, size): row k holds ``A[j + offset k, j]``
for every point j; the offsets are those of `band_offsets`, in points along each axis; entries off the lattice are zero.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
import scipy.linalg.blas
import scipy.linalg.lapack

from ungrid.kernels.blas import single_threaded_blas
from ungrid.kernels.lattice import extend_add

REACH = 3  # cells over which two cubic splines overlap
_LEAF_SIZE, _LEAF_SIDE = 150, 12  # a box is not cut any more: so many points, or so many along its longest side


def band_offsets(dim: int) -> np.ndarray:
    """The half of the coupled offsets that comes after zero in lexicographic order, zero first: (offsets, dim)."""
    around = np.array(list(itertools.product(range(-REACH, REACH + 1), repeat=dim)))
    return around[len(around) // 2 :]


@dataclass(frozen=True, eq=False)
class _Front:
    """One elimination step; points are numbered in the order of elimination.

    Attributes:
        first, stop: the points that are eliminated.
        boundary: the later points that they are coupled to, ascending.
        children: fronts whose remainders are added here, each with the places of its boundary: among the eliminated
            points, and among the boundary.
        diagonal, below: for the block of the eliminated points and the one below it, where the matrix' entries come from
            (in the flattened bands) and where they go (in the block, column after column).
    """

    first: int
    stop: int
    boundary: np.ndarray
    children: list[tuple[int, np.ndarray, np.ndarray]]
    diagonal: tuple[np.ndarray, np.ndarray]
    below: tuple[np.ndarray, np.ndarray]


class Dissection:
    """The order of elimination of a lattice, which depends on its shape alone.

    Args:
        shape: points along each axis.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.size = shape, int(np.prod(shape))
        boxes: list[_Box] = []
        _cut(boxes, np.zeros(len(shape), dtype=int), np.array(shape))
        self.order = np.concatenate([self._points(box.own) for box in boxes])
        rank = np.empty(self.size, dtype=np.int64)
        rank[self.order] = np.arange(self.size)
        stops = np.cumsum([box.own_size for box in boxes])
        source, row, column, split = self._entries(rank, stops)
        self.fronts: list[_Front] = []
        for k, box in enumerate(boxes):
            first, stop = int(stops[k]) - box.own_size, int(stops[k])
            boundary = np.sort(rank[self._around(box.whole)])
            here = slice(split[k], split[k + 1])
            inside, outside = row[here] < stop, row[here] >= stop
            local = column[here] - first
            diagonal = source[here][inside], local[inside] * (stop - first) + row[here][inside] - first
            place = np.searchsorted(boundary, row[here][outside])
            below = source[here][outside], local[outside] * len(boundary) + place
            children = []
            for child in box.children:
                edge = self.fronts[child].boundary
                own = edge[edge < stop] - first
                children.append((child, own, np.searchsorted(boundary, edge[len(own) :])))
            self.fronts.append(_Front(first, stop, boundary, children, diagonal, below))

    def _points(self, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        axes = np.ix_(*(np.arange(low, high) for low, high in zip(*box, strict=True)))
        return np.asarray(np.ravel_multi_index(axes, self.shape)).ravel()

    def _around(self, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """The points outside a box that are coupled to points inside."""
        wide = np.maximum(box[0] - REACH, 0), np.minimum(box[1] + REACH, self.shape)
        return np.setdiff1d(self._points(wide), self._points(box), assume_unique=True)

    def _entries(self, rank: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, ...]:
        """Source, row and column of every entry below the diagonal, column after column, and where each front starts."""
        found = []
        place = np.arange(self.size).reshape(self.shape)
        for k, offset in enumerate(band_offsets(len(self.shape))):
            lower = place[tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, self.shape, strict=True))]
            upper = place[tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, self.shape, strict=True))]
            a, b = rank[lower.ravel()], rank[upper.ravel()]
            found.append((k * self.size + lower.ravel(), np.maximum(a, b), np.minimum(a, b)))
        source, row, column = (np.concatenate(part) for part in zip(*found, strict=True))
        order = np.argsort(column, kind="stable")
        source, row, column = source[order], row[order], column[order]
        return source, row, column, np.asarray(np.searchsorted(column, np.r_[0, stops]))


@dataclass(frozen=True, eq=False)
class _Box:
    """A part of the lattice as (low, high) corners: all of it, and what is eliminated after its children."""

    whole: tuple[np.ndarray, np.ndarray]
    own: tuple[np.ndarray, np.ndarray]
    children: tuple[int, ...]

    @property
    def own_size(self) -> int:
        return int(np.prod(self.own[1] - self.own[0]))


def _cut(boxes: list[_Box], low: np.ndarray, high: np.ndarray) -> int:
    """Append the boxes of a part, children before parents; returns the number of the last."""
    side = high - low
    if side.prod() <= _LEAF_SIZE or side.max() <= _LEAF_SIDE:
        boxes.append(_Box((low, high), (low, high), ()))
        return len(boxes) - 1
    axis = int(side.argmax())
    middle, own_low, own_high = (low[axis] + high[axis] - REACH) // 2, low.copy(), high.copy()
    own_low[axis], own_high[axis] = middle, middle + REACH
    left, right = high.copy(), low.copy()
    left[axis], right[axis] = middle, middle + REACH
    children = _cut(boxes, low, left), _cut(boxes, right, high)
    boxes.append(_Box((low, high), (own_low, own_high), children))
    return len(boxes) - 1


@functools.lru_cache(maxsize=4)  # a search tries hundreds of matrices on the same few lattices
def dissection(shape: tuple[int, ...]) -> Dissection:
    """The `Dissection` of a shape, made once."""
    return Dissection(shape)


def _block(rows: int, columns: int, flat: np.ndarray, source: np.ndarray, place: np.ndarray) -> np.ndarray:
    """A block with entries of the flattened bands, stored column after column as LAPACK has it."""
    block = np.zeros(rows * columns)
    block[place] = flat[source]
    return block.reshape(columns, rows).T


class Cholesky:
    """The factors of a positive definite matrix over a lattice.

    Args:
        shape: of the lattice.
        bands: (offsets, size), see the top of the file.

    Raises:
        numpy.linalg.LinAlgError: if the matrix is not positive definite in double precision.
    """

    def __init__(self, shape: tuple[int, ...], bands: np.ndarray) -> None:
        self.plan = dissection(shape)
        self.blocks: list[tuple[np.ndarray, np.ndarray]] = []
        with single_threaded_blas():
            self._factorise(bands)

    def _factorise(self, bands: np.ndarray) -> None:
        flat = bands.ravel()
        remainders: dict[int, np.ndarray] = {}
        for k, front in enumerate(self.plan.fronts):
            p, b = front.stop - front.first, len(front.boundary)
            diagonal, below = _block(p, p, flat, *front.diagonal), _block(b, p, flat, *front.below)
            rest = np.zeros((b, b)).T
            for child, own, kept in front.children:
                extend_add(diagonal, below, rest, remainders.pop(child), own, kept)
            factor, failed = scipy.linalg.lapack.dpotrf(diagonal, lower=1, overwrite_a=1)
            if failed:
                raise np.linalg.LinAlgError("the matrix is not positive definite")
            if b:
                below = scipy.linalg.blas.dtrsm(1.0, factor, below, side=1, lower=1, trans_a=1, overwrite_b=1)
                remainders[k] = scipy.linalg.blas.dsyrk(-1.0, below, beta=1.0, c=rest, lower=1, overwrite_c=1)
            self.blocks.append((factor, below))

    def solve(self, right: np.ndarray) -> np.ndarray:
        """``A^-1 right`` for columns (size, c)."""
        x = np.ascontiguousarray(right[self.plan.order])
        with single_threaded_blas():
            for front, (factor, below) in zip(self.plan.fronts, self.blocks, strict=True):
                own = slice(front.first, front.stop)
                x[own] = scipy.linalg.blas.dtrsm(1.0, factor, x[own], lower=1)
                if len(front.boundary):
                    x[front.boundary] -= below @ x[own]
            return self._backward(x)

    def colour(self, white: np.ndarray) -> np.ndarray:
        """``L^-T white`` with ``A = L L^T``: columns (size, c) of independent numbers get the covariance ``A^-1``."""
        with single_threaded_blas():
            return self._backward(np.array(white))

    def _backward(self, x: np.ndarray) -> np.ndarray:
        for front, (factor, below) in zip(reversed(self.plan.fronts), reversed(self.blocks), strict=True):
            own = slice(front.first, front.stop)
            right = x[own] - below.T @ x[front.boundary] if len(front.boundary) else x[own]
            x[own] = scipy.linalg.blas.dtrsm(1.0, factor, right, lower=1, trans_a=1)
        back = np.empty_like(x)
        back[self.plan.order] = x
        return back
