"""Fits to differences of samples, and blends, against least squares."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg
import torch

from ungrid._base.errors import InputError
from ungrid.io import from_array
from ungrid.operators.differences import Neighbours
from ungrid.signals import fit, mixed_gradient


def waves(a: float, b: float, shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    return (0.5 + 0.4 * np.sin(a * x + b * y))[..., None].astype("f4")


def up_to_a_constant(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=(0, 1))


@pytest.mark.parametrize("supervise", ["gradient", "central", "laplacian"])
def test_a_picture_from_its_differences_alone(supervise):
    """On a grid they determine it up to a constant, slow waves included; the constant is the samples' mean."""
    picture = waves(5.0, 2.0)
    result = fit(picture, steps=200, supervise=supervise)
    assert result.stats["metrics"]["psnr_db"] > 35.0
    assert result.stats["metrics"]["differences_relative_l2"] < 0.2
    assert result.field.on_grid(from_array(picture).grid).mean() == pytest.approx(picture.mean(), abs=1e-5)


def test_differences_of_a_picture_with_holes():
    picture = waves(5.0, 2.0)
    picture[10:13, 20:23] = np.nan
    result = fit(picture, steps=300, supervise="gradient")
    assert result.stats["missing"] == 9
    assert result.stats["metrics"]["psnr_db"] > 30.0


def test_a_blend_is_the_least_squares_solution():
    """Of the stronger steps, brute force: one equation for each pair of neighbours, by a sparse solver."""
    first, second = from_array(waves(6.0, 0.0)), from_array(waves(0.0, 5.0))
    target = mixed_gradient(first, second)
    field = fit(first, steps=300, supervise="gradient", target=target).field
    h, w = first.grid.shape
    down = sp.kron(sp.diags([-1.0, 1.0], [0, 1], (h - 1, h)), sp.identity(w))
    right = sp.kron(sp.identity(h), sp.diags([-1.0, 1.0], [0, 1], (w - 1, w)))
    steps = np.concatenate([target[:-1, :, 0, 0].ravel(), target[:, :-1, 1, 0].ravel()])
    solution = scipy.sparse.linalg.lsqr(sp.vstack([down, right]), steps, atol=1e-10, btol=1e-10)[0].reshape(h, w, 1)
    found = field.on_grid(first.grid)
    size = up_to_a_constant(solution).std()
    assert np.abs(up_to_a_constant(found) - up_to_a_constant(solution)).std() < 0.02 * size
    for picture in (first, second):
        assert up_to_a_constant(found - picture.values).std() > 0.2 * size  # it is neither


def test_mixed_gradients_are_the_stronger_ones():
    first, second = from_array(waves(6.0, 1.0)), from_array(waves(1.0, 5.0))
    steps = [Neighbours(p.grid).sampled_gradient(torch.from_numpy(p.values)).numpy() for p in (first, second)]
    length = np.linalg.norm(mixed_gradient(first, second)[..., 0], axis=-1)
    np.testing.assert_allclose(length, np.maximum(*(np.linalg.norm(s, axis=-1) for s in steps)), rtol=1e-5)
    np.testing.assert_array_equal(mixed_gradient(first, first)[..., 0], steps[0])


def test_blending_checks_its_input():
    first, second = from_array(waves(6.0, 1.0)), from_array(waves(1.0, 5.0, (40, 32)))
    with pytest.raises(InputError, match="one shape"):
        mixed_gradient(first, second)
    with pytest.raises(InputError, match="a target of shape"):
        fit(first, supervise="laplacian", target=np.zeros((32, 40, 2, 1)))
    with pytest.raises(InputError, match="supervision by 'values'"):
        fit(first, target=np.zeros((32, 40, 2, 1)))
    with pytest.raises(InputError, match="scattered samples of one value"):
        fit(first, supervise="distance")
