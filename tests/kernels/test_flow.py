"""The kernels of the optical flow against plain numpy, a sparse solver, and shifts that are known."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from ungrid.kernels import flow as kernels
from ungrid.kernels.flow import PATCH

H, W = 21, 26


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def smooth(shift: tuple[float, float] = (0.0, 0.0), shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = x - shift[0], y - shift[1]
    waves = np.sin(0.31 * x + 0.2 * y) + np.sin(0.17 * x - 0.29 * y + 1) + np.sin(0.07 * x + 0.11 * y + 2)
    return (127 + 40 * waves).astype(np.float32)


def test_what_lies_at_the_flow() -> None:
    frame, flow, out = noise(H, W), noise(H, W, 2, seed=1, scale=4), np.empty((H, W), dtype=np.float32)
    kernels.warp(frame, flow, out)
    y, x = np.mgrid[:H, :W]
    place = [(y + flow[..., 1]).clip(0, H - 1), (x + flow[..., 0]).clip(0, W - 1)]
    np.testing.assert_allclose(out, map_coordinates(frame, place, order=1), atol=1e-4)


def test_slopes_are_central_differences() -> None:
    frame, out = noise(H, W), np.empty((H, W, 2), dtype=np.float32)
    kernels.slopes(frame, out)
    y, x = np.gradient(frame)
    np.testing.assert_allclose(out[1:-1, 1:-1], np.stack([x, y], axis=-1)[1:-1, 1:-1], atol=1e-6)


def test_pixels_take_the_mean_of_the_patches_over_them() -> None:
    first, second = 10 * noise(H, W), 10 * noise(H, W, seed=1)
    rows, columns = np.array([0, 3, 6, 9, 12, H - PATCH]), np.array([0, 3, 6, 9, 12, 15, W - PATCH])
    patches, out = noise(len(rows), len(columns), 2, seed=2), np.empty((H, W, 2), dtype=np.float32)
    kernels.densify(first, second, rows, columns, patches, out)
    for y, x in ((0, 0), (5, 7), (H - 1, W - 1), (11, 13)):
        total, weight = np.zeros(2), 0.0
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                if top <= y < top + PATCH and left <= x < left + PATCH:
                    u, v = patches[i, j]
                    place = [[np.clip(y + v, 0, H - 1)], [np.clip(x + u, 0, W - 1)]]
                    apart = abs(map_coordinates(second, place, order=1)[0] - first[y, x])
                    total, weight = total + patches[i, j] / max(1, apart), weight + 1 / max(1, apart)
        np.testing.assert_allclose(out[y, x], total / weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.7, -0.6), (-3.2, 2.5)])
def test_patches_find_a_shift(shift: tuple[float, float]) -> None:
    first, second = smooth(), smooth(shift)
    gradient, flow = np.empty((40, 50, 2), dtype=np.float32), np.zeros((40, 50, 2), dtype=np.float32)
    kernels.slopes(first, gradient)
    rows, columns = np.arange(6, 28, 3), np.arange(6, 36, 3)
    patches = np.empty((len(rows), len(columns), 2), dtype=np.float32)
    kernels.search(first, second, gradient, rows, columns, flow, patches)
    np.testing.assert_allclose(np.median(patches, axis=(0, 1)), shift, atol=0.05)


def test_a_brighter_frame_moves_nothing() -> None:
    """Patches compare differences without their mean."""
    first = smooth()
    gradient, flow = np.empty((40, 50, 2), dtype=np.float32), np.zeros((40, 50, 2), dtype=np.float32)
    kernels.slopes(first, gradient)
    starts, patches = np.arange(0, 32, 3), np.empty((11, 11, 2), dtype=np.float32)
    kernels.search(first, first + 9, gradient, starts, starts, flow, patches)
    assert np.abs(patches).max() < 1e-2


def test_relaxation_solves_the_linear_system() -> None:
    """Many steps give what a sparse solver gives for the same equations."""
    h, w = 7, 9
    rng = np.random.default_rng(0)
    g = rng.standard_normal((h, w, 2, 2))
    square = g @ g.swapaxes(-1, -2)
    system = np.concatenate(
        [square[..., 0, :], square[..., 1, 1:], rng.standard_normal((h, w, 2))], axis=-1).astype(np.float32)  # fmt: skip
    weight, flow = rng.uniform(0.2, 1, (h, w)).astype(np.float32), noise(h, w, 2, seed=3)
    change = np.zeros((h, w, 2), dtype=np.float32)
    for step in range(600):
        kernels.relax(system, weight, flow, change, step % 2)
    rows, columns, values, right = [], [], [], system[..., 3:].astype(np.float64).copy()

    def add(a, b, value):
        rows.append(a), columns.append(b), values.append(value)

    number = np.arange(2 * h * w).reshape(h, w, 2)
    for y in range(h):
        for x in range(w):
            for c in range(2):
                add(number[y, x, c], number[y, x, c], system[y, x, 2 * c])
                add(number[y, x, c], number[y, x, 1 - c], system[y, x, 1])
                for ny, nx in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if 0 <= ny < h and 0 <= nx < w:
                        s = float(weight[min(y, ny), min(x, nx)])
                        add(number[y, x, c], number[y, x, c], s)
                        add(number[y, x, c], number[ny, nx, c], -s)
                        right[y, x, c] += s * (flow[ny, nx, c] - flow[y, x, c])
    matrix = coo_matrix((values, (rows, columns)), shape=(number.size, number.size)).tocsc()
    np.testing.assert_allclose(change, spsolve(matrix, right.ravel()).reshape(h, w, 2), atol=1e-3)


def test_equal_bits_with_one_and_two_threads() -> None:
    import numba

    from ungrid.networks.optical_flow import flow_between

    first, second, before = smooth(), smooth((2.0, 1.0)), numba.get_num_threads()
    found = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        numba.set_num_threads(threads)
        found.append(flow_between(first, second))
    numba.set_num_threads(before)
    assert np.array_equal(*found)
