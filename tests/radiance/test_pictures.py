"""Rays of pixels: the fused kernel against array operations, and which pixels need not be drawn."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.fields import BrickField
from ungrid.io.scenes import picture, read_scene
from ungrid.radiance import Renderer, evaluate_views
from ungrid.radiance.builtin import write_scene
from ungrid.radiance.frames import extent_of, lattice_rays
from ungrid.radiance.lattice import new_field
from ungrid.radiance.pictures import draw_rays, rays_of, read_pictures, smaller, spread, that_reach

PROJECTIVE = (1.0, 0.1, 0.0, 0.5, 0.0, -1.2, 0.1, 0.3, 0.2, 0.0, 0.8, 2.0, 0.1, 0.05, 1.0, 5.0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    scene = read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=5, tests=1, size=30))
    return read_pictures(scene.views, scene.background), extent_of(scene)


def lattice(extent, nodes, frame=None):
    blocks = extent.blocks(nodes)
    return BrickField(extent.domain, blocks, 0, frame=frame or extent.frame(blocks))


def by_arrays(pictures, field, pixels):
    which = np.searchsorted(pictures.first, pixels, side="right") - 1
    row, column = np.divmod(pixels - pictures.first[which], pictures.widths[which])
    origins, directions = pictures.cameras.rays(which, pictures.shrink * (np.stack([column, row], axis=1) + 0.5))
    return lattice_rays(field, origins, directions), directions


def test_masks_that_leave_no_square_give_smaller_ones(pictures):
    """Every other column counts: no square of 4 or 2 is left, so the pictures stay as they are."""
    striped = replace(pictures[0], counts=np.flatnonzero(np.arange(len(pictures[0].colors)) % 2))
    assert smaller(striped, 4) is striped


def test_masks_that_leave_nothing_are_refused(tmp_path):
    scene = read_scene(write_scene(tmp_path / "scene", views=3, tests=1, size=16))
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="no pixel counts"):
        read_pictures(tuple(replace(view, mask=tmp_path / "mask.png") for view in scene.views), scene.background)


def test_only_what_counts_is_measured(tmp_path):
    """The error of a field's view where the mask is white, by hand."""
    scene = read_scene(write_scene(tmp_path / "scene", views=3, tests=2, size=32))
    mask = np.zeros((32, 32), np.uint8)
    mask[8:, :25] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    field = new_field(extent_of(scene), 32, scene.background, 0)
    views = (replace(scene.held_out[0], mask=tmp_path / "mask.png"),)
    found = evaluate_views(field, views, scene.background)
    error = (picture(views[0], scene.background)[0] / 255.0 - Renderer(field).view(views[0].camera))[8:, :25] ** 2
    assert found["psnr_db"] == pytest.approx(-10 * np.log10(error.mean()), abs=1e-3)
    assert np.isfinite(found["ssim"])


@pytest.mark.parametrize("shrink", [1, 2])
@pytest.mark.parametrize("projective", [False, True])
@pytest.mark.parametrize("lens", [(0, 0, 0, 0, 0), (0.08, -0.03, 0.002, -0.001, 0.01)])
def test_the_kernel_makes_the_rays_of_array_operations(pictures, shrink, projective, lens):
    shown, extent = smaller(pictures[0], shrink), pictures[1]
    cameras = shown.cameras
    lenses = np.concatenate([cameras.lenses[:, :4], np.tile(lens, (len(cameras.lenses), 1))], axis=1)
    shown = replace(shown, cameras=replace(cameras, lenses=lenses))
    field = lattice(extent, 32, PROJECTIVE if projective else None)
    pixels = np.random.default_rng(0).integers(0, shown.total, 400)
    (start, along), views = rays_of(shown, field, pixels)
    (one, other), directions = by_arrays(shown, field, pixels)
    np.testing.assert_allclose(start, one, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(along, other, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(views, directions, rtol=1e-6, atol=1e-7)


def test_pixels_are_left_out_only_if_their_rays_stay_away(pictures):
    """Against points along every ray: what meets a brick that can be seen is kept, and far ones are left out."""
    shown, extent = pictures
    field = lattice(extent, 48)
    blocks = field.blocks
    place = np.array([5, 6, 4])  # one brick that can be seen
    bricks = np.stack(np.meshgrid(*map(np.arange, blocks), indexing="ij"), axis=-1)
    far = np.abs(bricks - place).max(axis=-1).astype(np.uint8)
    kept, share = that_reach(shown, field, far)
    every = np.arange(len(shown.colors))
    (start, along), _ = by_arrays(shown, field, every)
    t = np.linspace(0, 60, 2000)[None, :, None] / np.linalg.norm(along, axis=1)[:, None, None]
    away = np.abs((start[:, None] + t * along[:, None]) / 4 - place - 0.5).max(axis=2).min(axis=1)
    meets, far_off = away <= 0.5, away > 2.6
    assert meets.any()
    assert far_off.any()
    assert np.isin(every[meets], kept.counts).all()
    assert not np.isin(every[far_off], kept.counts).any()
    assert share == pytest.approx(len(kept.counts) / len(every))


def test_where_nothing_can_be_seen_everything_is_kept(pictures):
    shown, extent = pictures
    field = lattice(extent, 16)
    assert that_reach(shown, field, np.full(field.blocks, 200, np.uint8)) == (shown, 1.0)


@pytest.mark.parametrize("count", [2, 89, 1000, 12345])
@pytest.mark.parametrize("first", [0, 2**40 + 7])
def test_spread_numbers_leave_gaps_of_three_lengths(count, first):
    """The three-gap theorem; and of the golden ratio no gap is longer than 1 + 2 / sqrt(5) times the mean."""
    places = np.sort(spread(first, count))
    gaps = np.diff(np.append(places, places[0] + 1))
    assert len(np.unique(np.round(gaps, 12))) <= 3
    assert gaps.max() <= (1 + 2 / np.sqrt(5)) / count


def test_every_pixel_comes_within_twice_as_many_rays(pictures):
    """In batches of any size; independent draws would leave out one in seven."""
    shown, extent = pictures
    field, total, seen, first = lattice(extent, 16), shown.total, [], 12345
    _, everything = rays_of(shown, field, np.arange(total))
    for count in (total, total // 3, total - total // 3):
        _, views, colors = draw_rays(shown, field, first, count)
        assert colors.shape == (count, 3)
        seen.append(views)
        first += count
    assert len(np.unique(np.concatenate(seen), axis=0)) == len(np.unique(everything, axis=0))
