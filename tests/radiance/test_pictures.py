"""Rays of pixels: the fused kernel against array operations, and which pixels need not be drawn."""

import numpy as np
import pytest

from ungrid.io.scenes import read_scene
from ungrid.radiance.builtin import write_scene
from ungrid.radiance.frames import extent_of, lattice_rays
from ungrid.radiance.pictures import rays_of, read_pictures, smaller, that_reach
from ungrid.sampling import CameraArrays

PROJECTIVE = (1.0, 0.1, 0.0, 0.5, 0.0, -1.2, 0.1, 0.3, 0.2, 0.0, 0.8, 2.0, 0.1, 0.05, 1.0, 5.0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    scene = read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=5, tests=1, size=30))
    return read_pictures(scene.views, scene.background), extent_of(scene)


def by_arrays(pictures, frame, shape, pixels):
    which = np.searchsorted(pictures.first, pixels, side="right") - 1
    row, column = np.divmod(pixels - pictures.first[which], pictures.widths[which])
    origins, directions = pictures.cameras.rays(which, pictures.shrink * (np.stack([column, row], axis=1) + 0.5))
    return lattice_rays(frame, shape, origins, directions), directions


@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("projective", [False, True])
def test_the_kernel_makes_the_rays_of_array_operations(pictures, shrink, projective):
    shown, extent = smaller(pictures[0], shrink), pictures[1]
    blocks = extent.blocks(32)
    frame, shape = PROJECTIVE if projective else extent.frame(blocks), tuple(4 * b for b in blocks)
    pixels = np.random.default_rng(0).integers(0, shown.total, 400)
    (start, along), views = rays_of(shown, frame, shape, pixels)
    (one, other), directions = by_arrays(shown, frame, shape, pixels)
    np.testing.assert_allclose(start, one, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(along, other, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(views, directions, rtol=1e-6, atol=1e-7)


def test_pixels_are_left_out_only_if_their_rays_stay_away(pictures):
    """Against points along every ray: what meets a brick that can be seen is kept, and far ones are left out."""
    shown, extent = pictures
    blocks = extent.blocks(48)
    frame, shape = extent.frame(blocks), tuple(4 * b for b in blocks)
    place = np.array([5, 6, 4])  # one brick that can be seen
    bricks = np.stack(np.meshgrid(*map(np.arange, blocks), indexing="ij"), axis=-1)
    far = np.abs(bricks - place).max(axis=-1).astype(np.uint8)
    kept, share = that_reach(shown, frame, shape, far)
    every = np.arange(len(shown.colors))
    (start, along), _ = by_arrays(shown, frame, shape, every)
    t = np.linspace(0, 60, 2000)[None, :, None] / np.linalg.norm(along, axis=1)[:, None, None]
    away = np.abs((start[:, None] + t * along[:, None]) / 4 - place - 0.5).max(axis=2).min(axis=1)
    meets, far_off = away <= 0.5, away > 2.6
    assert meets.any()
    assert far_off.any()
    assert np.isin(every[meets], kept.counts).all()
    assert not np.isin(every[far_off], kept.counts).any()
    assert share == pytest.approx(len(kept.counts) / len(every))


def test_where_nothing_can_be_seen_or_lenses_bend_everything_is_kept(pictures):
    shown, extent = pictures
    blocks = extent.blocks(16)
    frame, shape = extent.frame(blocks), tuple(4 * b for b in blocks)
    assert that_reach(shown, frame, shape, np.full(blocks, 200, np.uint8)) == (shown, 1.0)
    lenses = shown.cameras.lenses.copy()
    lenses[:, 4] = 0.01
    bent = type(shown)(
        shown.colors,
        shown.first,
        shown.widths,
        1,
        CameraArrays(shown.cameras.turns, shown.cameras.positions, lenses),
        None,
    )
    assert that_reach(bent, frame, shape, np.zeros(blocks, np.uint8)) == (bent, 1.0)
