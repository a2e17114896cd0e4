"""The visual hull against brute force and against the solids that it must hold."""

import numpy as np
import pytest
from scipy import ndimage

from ungrid._base.errors import InputError
from ungrid.fields.radiance import EMPTY
from ungrid.io.scenes import Scene, alpha, picture, read_scene
from ungrid.radiance import reconstruct
from ungrid.radiance.builtin import surface_points, write_scene
from ungrid.radiance.frames import extent_of
from ungrid.radiance.hull import visual_hull
from ungrid.radiance.lattice import new_field, within_hull

FRAME_OF_A_SIDE = (1.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.3, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 1.0, 5.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=16, tests=3, size=40, glossy=False))


def test_the_hull_holds_the_solids_and_is_far_smaller_than_the_box(scene: Scene) -> None:
    extent = extent_of(scene)
    field = new_field(extent, 48, scene.background, 0)
    solid = visual_hull(scene.views, field.frame, field.shape)
    frame = np.reshape(field.frame, (4, 4))
    points = surface_points(5000) @ frame[:3, :3].T + frame[:3, 3]
    assert solid[tuple(np.round(points).astype(int).T)].all()
    assert solid.mean() < 0.35


def test_a_node_is_carved_where_a_silhouette_says_so(scene: Scene) -> None:
    """By the exact test of a ball around every node against every transparent pixel's centre, one view at a time."""
    field = new_field(extent_of(scene), 16, scene.background, 0)
    views = scene.views[:2]
    solid = visual_hull(views, field.frame, field.shape)
    back = np.linalg.inv(np.reshape(field.frame, (4, 4)))
    spacing = np.linalg.norm(back[:3, 0])
    nodes = np.moveaxis(np.indices(field.shape), 0, -1).reshape(-1, 3) @ back[:3, :3].T + back[:3, 3]
    expected = np.ones(len(nodes), bool)
    for view in views:
        camera, opaque = view.camera, alpha(view) > 0
        rows, columns = np.nonzero(opaque)
        local = (nodes - camera.position) @ camera.matrix[:3, :3]
        pixel = np.stack([camera.fx * local[:, 0], -camera.fy * local[:, 1]]) / -local[:, 2] + [
            [camera.cx],
            [camera.cy],
        ]
        seen = np.floor(pixel).astype(int)
        inside = ((seen >= 0) & (seen < [[camera.width], [camera.height]])).all(axis=0)
        apart = np.hypot(seen[0][:, None] - columns, seen[1][:, None] - rows).min(axis=1)
        expected &= ~inside | (apart <= 0.87 * spacing * camera.fx / -local[:, 2] + 0.71)
    np.testing.assert_array_equal(solid.ravel(), expected)


def test_bricks_outside_of_the_hull_are_not_kept(scene: Scene) -> None:
    field = new_field(extent_of(scene), 48, scene.background, 0)
    solid = np.zeros(field.shape, bool)
    solid[10:13, 20, 30:37] = True
    made = within_hull(field, solid)
    assert 0 < made.kept < field.kept / 20
    raw = made.nodes.detach()[:, 0].numpy().reshape(-1, 4, 4, 4)[made.index()]
    dense = raw.transpose(0, 3, 1, 4, 2, 5).reshape(field.shape) > EMPTY
    expected = np.zeros_like(dense)
    expected[9:14, 19:22, 29:38] = True
    np.testing.assert_array_equal(dense, expected)


def test_a_start_from_silhouettes_begins_with_the_hull(scene: Scene) -> None:
    """And stays in it: bricks outside are never made."""
    begun = reconstruct(scene, steps=1, alpha_start=True, threads=2)
    assert begun.stats["alpha_start"]
    assert begun.field.kept < reconstruct(scene, steps=1, threads=2).field.kept
    fitted = reconstruct(scene, steps=60, alpha_start=True, threads=2).field
    hull = visual_hull(scene.views, fitted.frame, fitted.shape)
    around = ndimage.binary_dilation(hull, np.ones((3, 3, 3)), iterations=14)
    assert around[tuple(4 * fitted.places.numpy().T + 2)].all()


def test_alpha_is_the_mean_over_squares(scene: Scene) -> None:
    view = scene.views[0]
    whole, small = alpha(view), alpha(view.smaller(4))
    np.testing.assert_allclose(small, whole.reshape(10, 4, 10, 4).mean(axis=(1, 3)), atol=1e-6)
    assert (picture(view, scene.background)[0][whole == 0] == 255).all()


def test_what_has_no_hull_is_refused(scene: Scene, tmp_path) -> None:
    field = new_field(extent_of(scene), 16, scene.background, 0)
    with pytest.raises(InputError, match="forward-facing"):
        visual_hull(scene.views, FRAME_OF_A_SIDE, field.shape)
    outdoors = read_scene(write_scene(tmp_path / "outdoors", views=2, tests=1, size=16, outdoors=True))
    with pytest.raises(InputError, match="without transparent pixels"):
        visual_hull(outdoors.views, field.frame, field.shape)
    aside = np.array(field.frame).reshape(4, 4)
    aside[:3] *= 4  # a corner of the box: beside the solids, yet in the photographs
    with pytest.raises(InputError, match="nothing in common"):
        visual_hull(scene.views, tuple(aside.ravel()), field.shape)
    with pytest.raises(InputError, match="surroundings"):
        reconstruct(scene, steps=1, alpha_start=True, unbounded=True)
