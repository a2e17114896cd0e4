"""Cameras of plain photographs: those of a traced scene are found up to a similarity, and what cannot be placed is named."""

import numpy as np
import pytest
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.io.scenes import has_cameras, photographs_in, read_posed
from ungrid.radiance.builtin import clip_cameras, photograph
from ungrid.radiance.poses import pose_photographs

TIMES = np.arange(14) / 40  # a third of a turn


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


def test_photographs_that_show_nothing_in_common_are_refused(folder, tmp_path):
    pytest.importorskip("pycolmap")
    with pytest.raises(InputError, match="2 photographs without cameras"):
        pose_photographs(photographs_in(folder)[:2], tmp_path / "work")
    for k in range(3):
        Image.fromarray(np.full((100, 100, 3), 60 * k, np.uint8)).save(tmp_path / f"{k}.png")
    with pytest.raises(InputError, match="0 of 3 photographs that could be placed"):
        pose_photographs(photographs_in(tmp_path), tmp_path / "work", say=lambda _: None)
