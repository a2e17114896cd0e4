"""Cameras of plain photographs: those of a traced scene are found up to a similarity, and what cannot be placed is named."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from ungrid._base.errors import InputError
from ungrid.io.scenes import has_cameras, photographs_in, read_posed
from ungrid.radiance.builtin import clip_cameras, photograph
from ungrid.radiance.poses import pose_photographs

TIMES = np.arange(14) / 40  # a third of a turn
BENT = 0.4  # of the distorted lens: radii change by 1 - 0.4 r²


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of the rough scene on white, and one of nothing."""
    made = tmp_path_factory.mktemp("photographs")
    for k, camera in enumerate(clip_cameras(TIMES, 200)):
        seen = photograph(camera, glossy=False, rough=True).astype(float)
        flat = seen[..., :3] * seen[..., 3:] / 255 + 255 - seen[..., 3:]
        Image.fromarray(flat.round().astype(np.uint8)).save(made / f"p{k:02d}.png")
    Image.fromarray(np.full((200, 200, 3), 200, np.uint8)).save(made / "wall.png")
    return made


def fitted(found, truth):
    """The similarity that brings points (n, 3) nearest to others (Umeyama 1991), applied."""
    a, b = found - found.mean(axis=0), truth - truth.mean(axis=0)
    u, s, v = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    return (s * signs).sum() / (a**2).sum() * a @ (u * signs @ v).T + truth.mean(axis=0)


def test_cameras_are_found_up_to_a_similarity(folder, tmp_path):
    pytest.importorskip("pycolmap")
    assert not has_cameras(folder)
    said = []
    posed = pose_photographs(photographs_in(folder), tmp_path / "work", say=said.append)
    assert posed.placed == len(TIMES)
    assert [note.split()[0] for note in posed.notes] == ["wall.png"]
    assert "shares 0 points" in posed.notes[0]
    scene = read_posed(folder, posed.model, holdout=0)
    assert [view.name for view in scene.views] == [f"p{k:02d}.png" for k in range(len(TIMES))]
    truth = np.stack([camera.position for camera in clip_cameras(TIMES, 200)])
    found = fitted(np.stack([view.camera.position for view in scene.views]), truth)
    assert np.linalg.norm(found - truth, axis=1).max() < 0.02 * 3.6  # of the distance to the scene
    assert said == [f"finding the cameras of {len(TIMES) + 1} photographs"]
    assert scene.views[0].camera.distortion == (0, 0, 0, 0, 0)  # the lens that was traced with has none


def test_photographs_of_two_shapes_are_placed_together(folder, tmp_path):
    """Every third one is upright, the others lie: each shape has a lens of its own, and both are one lens."""
    pytest.importorskip("pycolmap")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for k, file in enumerate(photographs_in(folder)[:-1]):
        with Image.open(file) as image:
            image.crop((20, 0, 180, 200) if k % 3 == 0 else (0, 20, 200, 180)).save(mixed / file.name)
    posed = pose_photographs(photographs_in(mixed), tmp_path / "work", say=lambda _: None)
    assert posed.placed == len(TIMES)
    cameras = [view.camera for view in read_posed(mixed, posed.model, holdout=0).views]
    assert {(camera.width, camera.height) for camera in cameras} == {(160, 200), (200, 160)}
    focal = {camera.fx for camera in cameras}
    assert len(focal) == 2
    assert max(focal) < 1.03 * min(focal)
    assert [place.name for place in (tmp_path / "work").iterdir() if place.is_dir()] == [posed.model.name]


def test_a_lens_that_distorts_stays_so(folder, tmp_path):
    """The same photographs, moved inwards by a lens: no plain one fits them."""
    pytest.importorskip("pycolmap")
    bent, size = tmp_path / "bent", 200
    bent.mkdir()
    f = 0.5 * size / np.tan(0.35)
    y, x = (np.indices((size, size)) + 0.5 - size / 2) / f
    r2 = x**2 + y**2
    for _ in range(20):  # radii before the lens, from r (1 - 0.4 r²) after it
        r2 = (x**2 + y**2) / (1 - BENT * r2) ** 2
    before = size / 2 - 0.5 + f * np.stack([y, x]) / (1 - BENT * r2)
    for file in photographs_in(folder)[:-1]:
        levels = np.asarray(Image.open(file), float)
        moved = np.stack([ndimage.map_coordinates(levels[..., c], before, order=1, cval=255) for c in range(3)], axis=2)
        Image.fromarray(moved.round().astype(np.uint8)).save(bent / file.name)
    posed = pose_photographs(photographs_in(bent), tmp_path / "work", say=lambda _: None)
    assert read_posed(bent, posed.model, holdout=0).views[0].camera.distortion[0] < -BENT / 2


def test_the_frames_of_a_turn_meet_again(tmp_path):
    """Frames in order whose last sees what the first saw: that pair is matched, though far apart in the clip."""
    colmap = pytest.importorskip("pycolmap")
    frames = tmp_path / "frames"
    frames.mkdir()
    for k, time in enumerate([*np.linspace(0, 0.3, 16), *np.linspace(0.3, 0, 16)]):
        seen = photograph(clip_cameras(np.array([time]), 160)[0], glossy=False, rough=True)[..., :3]
        Image.fromarray(seen).save(frames / f"f{k:02d}.png")
    pose_photographs(photographs_in(frames), tmp_path / "work", sequential=True, say=lambda _: None)
    opened = colmap.Database.open(tmp_path / "work" / "database.db")
    numbers = {image.name: image.image_id for image in opened.read_all_images()}
    pairs, _ = opened.read_two_view_geometry_num_inliers()
    ends = {numbers["f00.png"], numbers["f31.png"]}
    assert ends in [set(colmap.pair_id_to_image_pair(pair)) for pair in pairs]
    opened.close()


def test_photographs_that_show_nothing_in_common_are_refused(folder, tmp_path):
    pytest.importorskip("pycolmap")
    with pytest.raises(InputError, match="2 photographs without cameras"):
        pose_photographs(photographs_in(folder)[:2], tmp_path / "work")
    for k in range(3):
        Image.fromarray(np.full((100, 100, 3), 60 * k, np.uint8)).save(tmp_path / f"{k}.png")
    with pytest.raises(InputError, match="0 of 3 photographs that could be placed"):
        pose_photographs(photographs_in(tmp_path), tmp_path / "work", say=lambda _: None)
