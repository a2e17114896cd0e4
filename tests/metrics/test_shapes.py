"""IoU and Chamfer distance against counts and against all pairs."""

import numpy as np
import pytest

from ungrid import metrics
from ungrid._base.errors import InputError

RNG = np.random.default_rng(0)


def test_iou_of_overlapping_boxes() -> None:
    a, b = np.zeros((2, 10, 10), bool)
    a[2:6, 2:6] = True  # 16 cells
    b[4:8, 4:8] = True  # 16 cells, 4 of them shared
    assert metrics.iou(a, b) == pytest.approx(4 / 28)
    assert metrics.iou(a, a) == 1
    assert metrics.iou(a, ~a) == 0
    assert metrics.iou(a & ~a, a & ~a) == 1


def test_chamfer_is_the_mean_over_all_pairs() -> None:
    a, b = RNG.random((40, 3)), RNG.random((60, 3))
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    expected = (distance.min(axis=1).mean() + distance.min(axis=0).mean()) / 2
    assert metrics.chamfer(a, b) == pytest.approx(expected)
    assert metrics.chamfer(b, a) == pytest.approx(expected)
    assert metrics.chamfer(a, a[::-1]) == 0


def test_chamfer_of_shifted_parallel_planes_is_their_distance() -> None:
    plane = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), [0.0]), axis=-1).reshape(-1, 3)
    assert metrics.chamfer(plane, plane + np.array([0, 0, 0.3])) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.zeros((3, 2)), np.zeros((3, 3))), (np.zeros((0, 3)), np.zeros((3, 3))), (np.full((2, 3), np.nan),) * 2],
)
def test_unusable_points(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(InputError):
        metrics.chamfer(a, b)


@pytest.mark.parametrize(("a", "b"), [(np.ones(3, bool), np.ones(4, bool)), (np.ones(3), np.ones(3))])
def test_unusable_cells(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(InputError, match="boolean"):
        metrics.iou(a, b)
