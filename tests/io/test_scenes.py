"""Readers of scenes: the same cameras written in every format are the same cameras read."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.spatial.transform import Rotation

from ungrid._base.errors import InputError
from ungrid.io.colmap import find_model
from ungrid.io.scenes import Scene, photographs_in, picture, read_scene
from ungrid.radiance.builtin import write_scene
from ungrid.sampling import CameraArrays, camera_rays

WHITE = (1.0, 1.0, 1.0)
COUNT, WIDTH, HEIGHT, FOCAL = 5, 12, 8, 15.0


def poses() -> list[np.ndarray]:
    """Cameras on an arc, which look at the origin."""
    made = []
    for angle in np.linspace(-0.4, 0.4, COUNT):
        back = np.array([np.sin(angle), 0.1, np.cos(angle)])
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 1, 0], back)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(back, right), back, 3 * back], axis=1)
        made.append(pose)
    return made


def colors(number: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)


def pictures(folder: Path, channels: int = 3) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"p{k}.png" for k in range(COUNT)]
    for k, name in enumerate(names):
        Image.fromarray(colors(k, channels)).save(folder / name)
    return names


def blender(folder: Path) -> Path:
    names = pictures(folder / "train", 4)
    frames = [
        {"file_path": f"./train/{name[:-4]}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, poses(), strict=True)
    ]
    content = {"camera_angle_x": 2 * np.arctan(WIDTH / (2 * FOCAL)), "frames": frames}
    (folder / "transforms_train.json").write_text(json.dumps(content))
    (folder / "transforms_test.json").write_text(json.dumps({**content, "frames": frames[:2]}))
    return folder


def transforms(folder: Path, **change: Any) -> Path:
    names = pictures(folder / "images")
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, poses(), strict=True)
    ]
    lens = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames, **change}))
    return folder


def llff(folder: Path) -> Path:
    """Columns down, right, back; the pictures are half the size that the poses tell."""
    pictures(folder / "images")
    rows = []
    for pose in poses():
        right, up, back, position = pose[:3].T
        block = np.stack([-up, right, back, position, [2 * HEIGHT, 2 * WIDTH, 2 * FOCAL]], axis=1)
        rows.append([*block.ravel(), 2.0, 5.0])
    np.save(folder / "poses_bounds.npy", np.array(rows))
    return folder


def middlebury(folder: Path) -> Path:
    names = pictures(folder)
    lens = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])
    lines = [str(COUNT)]
    for name, pose in zip(names, poses(), strict=True):
        turn = (pose[:3, :3] @ np.diag([1.0, -1, -1])).T
        numbers = [*lens.ravel(), *turn.ravel(), *(-turn @ pose[:3, 3])]
        lines.append(" ".join([name, *map(repr, map(float, numbers))]))
    (folder / "thing_par.txt").write_text("\n".join(lines))
    return folder


POINTS = np.random.default_rng(0).uniform(-0.3, 0.3, (40, 3))


def quaternion(turn: np.ndarray) -> np.ndarray:
    """w, x, y, z of a rotation, by scipy, which has w last."""
    return Rotation.from_matrix(turn).as_quat()[[3, 0, 1, 2]]


def colmap_rows() -> list[tuple[np.ndarray, np.ndarray]]:
    """Quaternions and shifts, world to camera, OpenCV axes."""
    turns = [(pose[:3, :3] @ np.diag([1.0, -1, -1])).T for pose in poses()]
    return [(quaternion(turn), -turn @ pose[:3, 3]) for turn, pose in zip(turns, poses(), strict=True)]


def colmap_text(folder: Path) -> Path:
    """The pictures are half the size that the cameras tell; two lines for each picture, the second may be empty."""
    names, place = pictures(folder / "images"), folder / "sparse" / "0"
    place.mkdir(parents=True)
    lens = f"7 OPENCV {2 * WIDTH} {2 * HEIGHT} {2 * FOCAL} {2 * FOCAL} {WIDTH} {HEIGHT} 0 0 0 0"
    (place / "cameras.txt").write_text(f"# cameras\n{lens}\n")
    lines = ["# images"]
    for k, (name, (q, t)) in enumerate(zip(names, colmap_rows(), strict=True)):
        lines += [" ".join(map(str, [k + 1, *q.tolist(), *t.tolist(), 7, name])), "" if k % 2 else "3.0 4.0 -1"]
    (place / "images.txt").write_text("\n".join(lines) + "\n")
    (place / "points3D.txt").write_text("\n".join(f"{k} {x} {y} {z} 1 2 3 0.1" for k, (x, y, z) in enumerate(POINTS)))
    return folder


def colmap_binary(folder: Path) -> Path:
    names, place = pictures(folder / "images"), folder / "sparse" / "0"
    place.mkdir(parents=True)
    lens = struct.pack("<QIiQQ3d", 1, 7, 0, WIDTH, HEIGHT, FOCAL, WIDTH / 2, HEIGHT / 2)
    (place / "cameras.bin").write_bytes(lens)
    rows = [struct.pack("<Q", COUNT)]
    for k, (name, (q, t)) in enumerate(zip(names, colmap_rows(), strict=True)):
        rows.append(struct.pack("<I7dI", k + 1, *q, *t, 7) + name.encode() + b"\0")
        rows.append(struct.pack("<Q", k) + struct.pack("<ddq", 1.0, 2.0, -1) * k)
    (place / "images.bin").write_bytes(b"".join(rows))
    rows = [struct.pack("<Q", len(POINTS))]
    rows += [struct.pack("<Q3d3BdQii", k, *point, 1, 2, 3, 0.1, 1, 1, 0) for k, point in enumerate(POINTS)]
    (place / "points3D.bin").write_bytes(b"".join(rows))
    return folder


def neus(folder: Path) -> Path:
    """Projections of any scale, a negative one among them; the names of the masks have fewer digits."""
    pictures(folder / "image")
    content = {}
    (folder / "mask").mkdir()
    lens = np.array([[FOCAL, 0, WIDTH / 2 - 0.5], [0, FOCAL, HEIGHT / 2 - 0.5], [0, 0, 1]])
    for k, pose in enumerate(poses()):
        turn = (pose[:3, :3] @ np.diag([1.0, -1, -1])).T
        projection = (-2.0, 3.0)[k % 2] * lens @ np.c_[turn, -turn @ pose[:3, 3]]
        content[f"world_mat_{k}"] = np.vstack([projection, [0, 0, 0, 1]])
        content[f"scale_mat_{k}"] = np.diag([2.0, 2, 2, 1]) + np.outer([1.0, 0, 0, 0], [0, 0, 0, 1])
        Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8)).save(folder / "mask" / f"{k}.png")
    np.savez(folder / "cameras_sphere.npz", **content)
    return folder


WRITERS = {
    "blender": blender, "transforms": transforms, "llff": llff, "middlebury": middlebury, "colmap text": colmap_text,
    "colmap binary": colmap_binary, "neus": neus,
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_the_cameras_that_were_written_are_read(kind: str, tmp_path: Path) -> None:
    scene = read_scene(WRITERS[kind](tmp_path), holdout=0)
    assert len(scene.views) == COUNT
    for view, pose in zip(scene.views, poses(), strict=True):
        np.testing.assert_allclose(view.camera.matrix, pose, atol=1e-12)
        found = (view.camera.width, view.camera.height, view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy)
        assert found == pytest.approx((WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))


@pytest.mark.parametrize("kind", ["transforms", "llff", "middlebury", "colmap text", "colmap binary", "neus"])
def test_pictures_are_their_bytes(kind: str, tmp_path: Path) -> None:
    scene = read_scene(WRITERS[kind](tmp_path), holdout=0)
    for number, view in enumerate(scene.views):
        found, counts = picture(view, WHITE)
        np.testing.assert_array_equal(found, colors(number))
        assert counts.all()


def test_straight_alpha_is_composited(tmp_path: Path) -> None:
    scene = read_scene(blender(tmp_path), background=0.25)
    assert len(scene.held_out) == 2
    given = colors(3, 4).astype(float)
    alpha = given[..., 3:] / 255
    found, _ = picture(scene.views[3], scene.background)
    np.testing.assert_allclose(found, given[..., :3] * alpha + 255 * 0.25 * (1 - alpha), atol=0.5 + 1e-3)


def test_every_so_manyth_view_is_held_out(tmp_path: Path) -> None:
    scene = read_scene(llff(tmp_path), holdout=3)
    assert [view.name for view in scene.held_out] == ["p0.png", "p3.png"]
    assert [view.name for view in scene.views] == ["p1.png", "p2.png", "p4.png"]


def test_nerfstudios_split_lens_and_mask(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:3] = 255
    folder = transforms(tmp_path, k1=0.1, p2=0.02, test_filenames=["images/p1.png"])
    Image.fromarray(mask).save(folder / "mask.png")
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][0]["mask_path"] = "mask.png"
    (folder / "transforms.json").write_text(json.dumps(content))
    scene = read_scene(folder)
    assert [view.name for view in scene.held_out] == ["images/p1.png"]
    assert scene.views[0].camera.distortion == (0.1, 0.0, 0.0, 0.02, 0.0)
    np.testing.assert_array_equal(picture(scene.views[0], WHITE)[1], mask > 0)


def test_nerfstudios_lists_say_what_is_fitted_and_held_out(tmp_path: Path) -> None:
    """Whatever way the paths are written; pictures of neither list are left alone."""
    lists = {"train_filenames": ["images/p0.png", "./images/p1.png"], "val_filenames": ["images/../images/p3.png"]}
    scene = read_scene(transforms(tmp_path, **lists))
    assert [view.name for view in scene.views] == ["images/p0.png", "images/p1.png"]
    assert [view.name for view in scene.held_out] == ["images/p3.png"]


def test_a_frame_may_have_a_lens_of_its_own(tmp_path: Path) -> None:
    """nerfstudio's order: k1, k2, k3, k4, p1, p2. Angles of view along both axes give both focal lengths."""
    folder = _without(_without(transforms(tmp_path), "fl_x"), "fl_y")
    content = json.loads((folder / "transforms.json").read_text())
    content["camera_angle_x"], content["camera_angle_y"] = 2 * np.arctan(WIDTH / 40), 2 * np.arctan(HEIGHT / 36)
    content["frames"][2]["distortion_params"] = [0.1, 0.2, 0.3, 0.0, 0.5, 0.6]
    (folder / "transforms.json").write_text(json.dumps(content), encoding="utf-8-sig")
    own = read_scene(folder, holdout=0).views[2].camera
    assert own.distortion == (0.1, 0.2, 0.5, 0.6, 0.3)
    assert (own.fx, own.fy) == pytest.approx((20, 18))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photographs_are_turned_upright_with_their_cameras(orientation: int, tmp_path: Path) -> None:
    """As PIL turns them; every pixel keeps its ray, and its mask."""
    folder = transforms(tmp_path, k1=0.1, p1=0.02)
    plain = read_scene(folder, holdout=0).views[0]
    mask = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) < 30
    Image.fromarray(mask).save(folder / "mask.png")
    tag = Image.Exif()
    tag[274] = orientation
    image = Image.fromarray(colors(0))
    image.save(plain.path, exif=tag)
    view = read_scene(_frame(folder, 0, mask_path="mask.png"), holdout=0).views[0]
    found, counts = picture(view, WHITE)
    with Image.open(plain.path) as stored:
        np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(stored)))
    assert found.shape[:2] == (view.camera.height, view.camera.width)
    before = {
        tuple(color): ray
        for color, ray in zip(colors(0).reshape(-1, 3).tolist(), camera_rays(plain.camera)[1], strict=True)
    }
    for color, ray in zip(found.reshape(-1, 3).tolist(), camera_rays(view.camera)[1], strict=True):
        np.testing.assert_allclose(ray, before[tuple(color)], atol=1e-12)
    np.testing.assert_array_equal(np.sort(found[counts], axis=0), np.sort(colors(0)[mask], axis=0))


def test_sixteen_bits_of_grey_are_read_as_eight(tmp_path: Path) -> None:
    folder = transforms(tmp_path)
    values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    Image.fromarray(values).save(folder / "images" / "p0.png")
    found, _ = picture(read_scene(folder, holdout=0).views[0], WHITE)
    np.testing.assert_array_equal(found, np.round(values / 257).astype(np.uint8)[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("white", [1, 255])
def test_masks_in_zeros_and_ones_count(white: int, tmp_path: Path) -> None:
    folder = transforms(tmp_path)
    Image.fromarray(white * (colors(1)[..., 0] > 99).astype(np.uint8)).save(folder / "mask.png")
    view = read_scene(_frame(folder, 0, mask_path="mask.png"), holdout=0).views[0]
    np.testing.assert_array_equal(picture(view, WHITE)[1], colors(1)[..., 0] > 99)


def test_pixels_beyond_the_fold_of_a_lens_do_not_count(tmp_path: Path) -> None:
    """With k1 = -2 the radius grows up to 0.41 focal lengths, to 0.27; corners are 0.48 away."""
    view = read_scene(transforms(tmp_path, k1=-2.0), holdout=0).views[0]
    away = np.linalg.norm((view.camera.pixels() - (WIDTH / 2, HEIGHT / 2)) / FOCAL, axis=1).reshape(HEIGHT, WIDTH)
    counts = picture(view, WHITE)[1]
    assert not counts[away > 0.2722].any()
    assert counts[away < 0.265].all()


def test_neus_may_come_with_inverses(tmp_path: Path) -> None:
    folder = neus(tmp_path)
    with np.load(folder / "cameras_sphere.npz") as content:
        both = {**content, **{key.replace("mat_", "mat_inv_"): np.linalg.inv(value) for key, value in content.items()}}
    np.savez(folder / "cameras_sphere.npz", **both)
    assert len(read_scene(folder, holdout=0).views) == COUNT


def test_cameras_that_look_one_way_are_noticed(tmp_path: Path) -> None:
    scene = read_scene(llff(tmp_path))
    assert scene.forward_facing
    assert scene.depths == (2.0, 5.0)


def test_cameras_that_see_sideways_do_not_look_one_way(tmp_path: Path) -> None:
    """Six times as wide: the corners of the outer pictures are 90 degrees from the mean axis."""
    folder = llff(tmp_path)
    rows = np.load(folder / "poses_bounds.npy")
    rows[:, 14] /= 6
    np.save(folder / "poses_bounds.npy", rows)
    assert not read_scene(folder).forward_facing


def test_neus_says_its_box(tmp_path: Path) -> None:
    assert read_scene(neus(tmp_path)).box == ((-1.0, -2.0, -2.0), (3.0, 2.0, 2.0))


@pytest.mark.parametrize("kind", ["colmap text", "colmap binary"])
def test_colmaps_points_and_their_depths(kind: str, tmp_path: Path) -> None:
    scene = read_scene(WRITERS[kind](tmp_path))
    np.testing.assert_allclose(scene.points, POINTS)
    assert scene.forward_facing
    assert scene.depths is not None
    assert 3 - 0.6 < scene.depths[0] < 3 < scene.depths[1] < 3 + 0.6


def test_the_largest_of_colmaps_models_is_read(tmp_path: Path) -> None:
    folder = colmap_text(tmp_path)
    small = folder / "sparse" / "1"
    small.mkdir()
    (small / "cameras.txt").write_text((folder / "sparse" / "0" / "cameras.txt").read_text())
    (small / "images.txt").write_text("1 1 0 0 0 0 0 0 7 p0.png\n\n")
    assert len(read_scene(folder, holdout=0).views) == COUNT
    assert find_model(folder / "sparse") == folder / "sparse" / "0"  # as pycolmap leaves its models


def test_missing_pictures_are_left_out_and_listed(tmp_path: Path) -> None:
    folder = transforms(tmp_path)
    (folder / "images" / "p2.png").unlink()
    scene = read_scene(folder, holdout=0)
    assert len(scene.views) == COUNT - 1
    assert scene.notes == ("1 pictures that transforms.json names do not exist: images/p2.png",)


def test_hidden_files_are_no_photographs(tmp_path: Path) -> None:
    """As macOS leaves beside those that it copies."""
    folder = llff(tmp_path)
    (folder / "images" / "._p0.png").write_bytes(b"Mac OS X")
    assert len(read_scene(folder, holdout=0).views) == len(photographs_in(folder / "images")) == COUNT


def test_depths_beside_the_pictures_are_no_views(tmp_path: Path) -> None:
    folder = blender(tmp_path)
    Image.fromarray(colors(0)).save(folder / "train" / "p0_depth_0001.png")
    assert len(read_scene(folder).views) == COUNT


def _frame(folder: Path, number: int, **change: Any) -> Path:
    content = json.loads((folder / "transforms.json").read_text())
    content["frames"][number].update(change)
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


WRONG: dict[str, tuple[Any, str]] = {
    "no poses": (lambda f: pictures(f) and f, "without cameras"),
    "nothing there": (lambda f: f / "nowhere", "does not exist"),
    "one photograph": (lambda f: _only_first(transforms(f)), "1 photographs"),
    "no photograph": (lambda f: _without_pictures(transforms(f)), "none of the 5 pictures"),
    "mirrored axes": (
        lambda f: _frame(transforms(f), 1, transform_matrix=np.diag([1.0, 1, -1, 1]).tolist()),
        "mirrored axes",
    ),
    "NaN pose": (lambda f: _frame(transforms(f), 1, transform_matrix=np.full((4, 4), np.nan).tolist()), "NaN"),
    "short pose": (lambda f: _frame(transforms(f), 1, transform_matrix=[[1.0, 0, 0, 0]]), "frame 1"),
    "zero focal length": (lambda f: transforms(f, fl_x=0.0), "focal lengths"),
    "no focal length": (lambda f: _without(transforms(f), "fl_x"), "without a focal length"),
    "fisheye": (lambda f: transforms(f, camera_model="OPENCV_FISHEYE"), "OPENCV_FISHEYE"),
    "a picture too many": (lambda f: _one_more(llff(f)), "6 pictures in images, 5 poses"),
    "colmap, cut short": (lambda f: _cut(colmap_binary(f) / "sparse" / "0" / "images.bin") and f, "images.bin"),
    "colmap, fisheye": (lambda f: _fisheye(colmap_text(f)), "OPENCV_FISHEYE"),
    "neus, a picture too few": (lambda f: (neus(f) / "image" / "p0.png").unlink() or f, "4 pictures and 5 masks"),
    "a number as text": (lambda f: transforms(f, fl_x="long"), "at its frame 0"),
    "a frame that is none": (lambda f: transforms(f, frames=[1]), "without a list of frames"),
    "a pose as text": (lambda f: _frame(transforms(f), 1, transform_matrix="up"), "at its frame 1"),
    "a mask as number": (lambda f: _frame(transforms(f), 1, mask_path=3), "at its frame 1"),
    "a picture without name": (lambda f: _without_pictures(_frame(transforms(f), 0, file_path="/")), "none of the 5"),
    "names that are not there": (
        lambda f: transforms(f, test_filenames=["a.png"]),
        "test_filenames of transforms.json",
    ),
    "no list of names": (lambda f: transforms(f, val_filenames=7), "a list of names"),
    "another aspect": (lambda f: transforms(f, w=HEIGHT, h=WIDTH), "the aspect of 8 x 12"),
    "a fourth coefficient": (lambda f: transforms(f, k4=0.1), "k4 = 0.1"),
    "all around": (lambda f: transforms(f, equirectangular=True), "equirectangular"),
    "NaN lens": (lambda f: transforms(f, k1=float("nan")), "distortion"),
    "colmap, another aspect": (
        lambda f: _text(colmap_text(f), "cameras", f"{2 * WIDTH} ", "7 "),
        "the aspect of 7 x 16",
    ),
    "colmap, a lens too short": (lambda f: _text(colmap_text(f), "cameras", " 0 0 0 0", ""), "8 numbers"),
    "colmap, words": (lambda f: _text(colmap_text(f), "cameras", "7 OPENCV", "seven OPENCV"), "cameras.txt"),
    "colmap, no lines of marks": (lambda f: _no_marks(colmap_text(f)), "triples"),
    "colmap, words for points": (lambda f: _text(colmap_text(f), "points3D", "0.", "o."), "points3D.txt"),
    "llff, near plane": (lambda f: _bounds(llff(f), 0.0), "0 < the nearest depth"),
    "llff, words": (lambda f: np.save(llff(f) / "poses_bounds.npy", np.array([["a"] * 17])) or f, "poses"),
    "middlebury, a line too few": (
        lambda f: _shorter(middlebury(f) / "thing_par.txt") or f,
        "4 cameras after the count 5",
    ),
    "neus, no camera": (lambda f: _matrix(neus(f), "world_mat_1", np.zeros((4, 4))), "world_mat_1"),
    "neus, no sphere": (lambda f: _matrix(neus(f), "scale_mat_0", np.full((4, 4), np.nan)), "scale_mat_0"),
    "no frames": (lambda f: _no_frames(transforms(f)), "without a list of frames"),
}


def _text(folder: Path, name: str, old: str, new: str) -> Path:
    path = folder / "sparse" / "0" / f"{name}.txt"
    path.write_text(path.read_text().replace(old, new))
    return folder


def _no_marks(folder: Path) -> Path:
    path = folder / "sparse" / "0" / "images.txt"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if line.endswith(".png")))
    return folder


def _bounds(folder: Path, near: float) -> Path:
    rows = np.load(folder / "poses_bounds.npy")
    rows[2, 15] = near
    np.save(folder / "poses_bounds.npy", rows)
    return folder


def _shorter(file: Path) -> None:
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))


def _matrix(folder: Path, key: str, value: np.ndarray) -> Path:
    with np.load(folder / "cameras_sphere.npz") as content:
        changed = {**content, key: value}
    np.savez(folder / "cameras_sphere.npz", **changed)
    return folder


def _only_first(folder: Path) -> Path:
    for k in range(1, COUNT):
        (folder / "images" / f"p{k}.png").unlink()
    return folder


def _without_pictures(folder: Path) -> Path:
    (folder / "images" / "p0.png").unlink()
    return _only_first(folder)


def _without(folder: Path, key: str) -> Path:
    content = json.loads((folder / "transforms.json").read_text())
    del content[key]
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def _cut(file: Path) -> int:
    return file.write_bytes(file.read_bytes()[:-20])


def _fisheye(folder: Path) -> Path:
    path = folder / "sparse" / "0" / "cameras.txt"
    path.write_text(path.read_text().replace("OPENCV", "OPENCV_FISHEYE"))
    return folder


def _no_frames(folder: Path) -> Path:
    return _without(folder, "frames")


def _one_more(folder: Path) -> Path:
    Image.fromarray(colors(9)).save(folder / "images" / "p9.png")
    return folder


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_scenes_are_refused_with_a_reason(kind: str, tmp_path: Path) -> None:
    make, message = WRONG[kind]
    with pytest.raises(InputError, match=message):
        read_scene(make(tmp_path), holdout=0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:60]), "p1.png"),
        (lambda file: Image.fromarray(colors(0)[:4]).save(file), "as its camera has"),
        (lambda file: file.unlink(), "does not exist"),
    ],
)
def test_pictures_spoilt_after_the_cameras_were_read(spoil: Any, message: str, tmp_path: Path) -> None:
    scene: Scene = read_scene(transforms(tmp_path), holdout=0)
    spoil(scene.views[1].path)
    with pytest.raises(InputError, match=message):
        picture(scene.views[1], WHITE)


def test_shrunk_pictures_are_means_over_squares_and_their_cameras_see_the_same(tmp_path):
    folder = write_scene(tmp_path / "scene", views=3, tests=1, size=33)
    whole, half = read_scene(folder), read_scene(folder, shrink=2)
    large, small = whole.views[0], half.views[0]
    assert (small.camera.width, small.camera.height) == (16, 16)
    colors, counts = picture(small, (1.0, 1.0, 1.0))
    full = picture(large, (1.0, 1.0, 1.0))[0].astype(float)
    np.testing.assert_allclose(colors[3, 5], full[6:8, 10:12].mean(axis=(0, 1)), atol=0.51)
    assert counts.all()
    rays = [
        CameraArrays.of([v.camera]).rays(np.zeros(1, int), np.array([p]))
        for v, p in ((large, (11, 7)), (small, (5.5, 3.5)))
    ]
    np.testing.assert_allclose(rays[0][1], rays[1][1], rtol=1e-12)
    with pytest.raises(InputError, match="shrunk by 8"):
        read_scene(folder, shrink=8)
