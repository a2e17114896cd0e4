"""Posed photographs: Blender's and instant-ngp's and nerfstudio's transforms, LLFF, COLMAP, Middlebury, NeuS.

Convention: cameras as in `ungrid.sampling.cameras`, in the world of the file that was read. Pictures are read when they are
asked for, as bytes, upright where an EXIF tag says how; the files' cameras are those of pixels before that turn, as COLMAP has
them. Straight alpha is composited on the scene's background. Depth and normal pictures beside the photographs are not views,
because only files that the scene's description names are read.
"""

import json
import math
import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from scipy.linalg import rq

from ungrid._base.errors import InputError
from ungrid.io.colmap import find_model, read_model
from ungrid.io.files import decoding, existing_file
from ungrid.io.images import eight_bits
from ungrid.sampling import Camera, corner_directions

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SMALLER = ("images_8", "images_4", "images_2", "images")
SMALLEST = 8  # pixels of a side of a shrunk picture
QUARTERS = {3: 2, 6: 3, 8: 1}  # by EXIF's orientation; mirrored ones are left as they are
ASPECT = 0.02  # by which a picture's aspect may differ from its camera's
EVERY = 8  # of the views of a scene without a split of its own: held out (Mildenhall et al. 2019, LLFF)


@dataclass(frozen=True)
class View:
    """One photograph.

    Attributes:
        name: as the scene names it.
        path: of the picture.
        camera: with the picture's size, once it is shrunk.
        mask: path of a picture that is black where the photograph does not count.
        shrink: pixels of the file along a side of one of these.
        quarters: turns of the file's pixels, counter-clockwise, after which the photograph is upright.
    """

    name: str
    path: Path
    camera: Camera
    mask: Path | None = None
    shrink: int = 1
    quarters: int = 0

    def upright(self) -> "View":
        """The view turned as the EXIF tag of its file asks."""
        with decoding(self.path, "a photograph"), Image.open(self.path) as image:
            quarters = QUARTERS.get(image.getexif().get(ExifTags.Base.Orientation, 1), 0)
        return replace(self, camera=self.camera.turned(quarters), quarters=quarters)

    def smaller(self, shrink: int) -> "View":
        """The view in pixels that are means over squares of so many; what does not fill a square is left out."""
        c = self.camera
        camera = replace(
            c, width=c.width // shrink, height=c.height // shrink, fx=c.fx / shrink, fy=c.fy / shrink, cx=c.cx / shrink,
            cy=c.cy / shrink,
        )  # fmt: skip
        return replace(self, camera=camera, shrink=self.shrink * shrink)


@dataclass(frozen=True)
class Scene:
    """Photographs with their cameras.

    Attributes:
        views: to fit.
        held_out: to measure on.
        background: red, green and blue behind transparent pixels.
        forward_facing: whether the cameras look one way, at a scene that may reach to infinity.
        depths: the nearest and the farthest depth, where the scene says them.
        points: (m, 3) of the surface, where the scene has them.
        box: the lowest and the highest corner of what counts, where the scene says it.
        notes: what was left out, and why.
    """

    views: tuple[View, ...]
    held_out: tuple[View, ...]
    background: tuple[float, float, float]
    forward_facing: bool = False
    depths: tuple[float, float] | None = None
    points: np.ndarray | None = None
    box: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    notes: tuple[str, ...] = ()


def read_scene(
    path: str | os.PathLike[str], *, background: float = 1.0, holdout: int = EVERY, shrink: int = 1
) -> Scene:
    """Read a scene.

    Args:
        path: a folder, or the ``.json`` in it.
        background: grey level from 0 (black) to 1 (white) behind transparent pixels.
        holdout: every so many-th view is held out where the scene has no split of its own; 0 for none.
        shrink: take means over squares of so many pixels a side.

    Raises:
        InputError: if there is no scene, a picture is missing or of another size than its camera, fewer than two views are
            left, or a pose or lens is impossible.
    """
    given = Path(path)
    if not given.exists():
        raise InputError(f"{given} does not exist", "a folder with photographs and their cameras", "check the path")
    found = _reader(given)
    if found is None:
        raise InputError(
            f"{given} without cameras",
            ", ".join([pattern for pattern, _ in READERS] + ["COLMAP's sparse/0"]),
            "photographs alone get theirs from `ungrid nerf`, with pip install 'ungrid[photos]'",
        )
    return _finished(found(), (background,) * 3, holdout, shrink)


def read_posed(
    photographs: Path, model: Path, *, background: float = 1.0, holdout: int = EVERY, shrink: int = 1
) -> Scene:
    """Photographs whose cameras are in a COLMAP model elsewhere; otherwise as `read_scene`."""
    return _finished(_colmap(photographs, model), (background,) * 3, holdout, shrink)


def has_cameras(path: Path) -> bool:
    """Whether there is a scene that `read_scene` can read."""
    return _reader(path) is not None


def photographs_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name, without hidden ones, as other systems leave beside them."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != ".")


def _reader(given: Path) -> Callable[[], Scene] | None:
    """What reads the scene."""
    folder = given if given.is_dir() else given.parent
    for pattern, reader in READERS:
        found = [given] if given.is_file() and given.match(pattern) else sorted(folder.glob(pattern))
        if found and (given.is_dir() or given in found):
            return partial(reader, found[0])
    model = find_model(folder) if given.is_dir() else None
    if model is not None:
        return partial(_colmap, folder, model)
    return partial(_transforms, given) if given.suffix == ".json" else None


def picture(view: View, background: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A photograph as bytes (h, w, 3), composited on the background, and where it counts (h, w).

    Raises:
        InputError: if the file is missing or damaged, or the picture has not the camera's size.
    """
    colors, s = _read(view.path, view.quarters), view.shrink
    expected = (view.camera.height, view.camera.width)
    if (colors.shape[0] // s, colors.shape[1] // s) != expected:
        raise InputError(
            f"{view.path.name} has {colors.shape[1]} x {colors.shape[0]} pixels",
            f"{s * expected[1]} x {s * expected[0]}, as its camera has",
        )
    if colors.shape[2] == 4:
        alpha = colors[..., 3:].astype(np.float32) / 255
        behind = 255 * np.array(background, np.float32)
        colors = np.round(colors[..., :3] * alpha + behind * (1 - alpha)).astype(np.uint8)
    counts = np.ones(colors.shape[:2], bool) if view.mask is None else _mask(view.mask, view.quarters)
    if counts.shape != colors.shape[:2]:
        raise InputError(f"the mask {view.mask}", f"{colors.shape[1]} x {colors.shape[0]} pixels, as its photograph")
    beyond = view.camera.beyond()
    there = np.ones(expected, bool) if beyond is None else ~beyond
    if s == 1:
        return colors, counts & there
    squares = colors[: s * expected[0], : s * expected[1]].reshape(expected[0], s, expected[1], s, 3)
    counted = counts[: s * expected[0], : s * expected[1]].reshape(expected[0], s, expected[1], s)
    return np.round(squares.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8), there & counted.all(axis=(1, 3))


def alpha(view: View) -> np.ndarray:
    """How opaque a photograph is, (h, w) in [0, 1].

    Raises:
        InputError: if it does not say, or everything in it is opaque.
    """
    colors, s = _read(view.path, view.quarters), view.shrink
    if colors.shape[2] != 4 or (colors[..., 3] == 255).all():
        raise InputError(f"{view.path.name} without transparent pixels", "photographs with alpha")
    height, width = view.camera.height, view.camera.width
    squares = colors[: s * height, : s * width, 3].reshape(height, s, width, s)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32) / 255)


def _read(path: Path, quarters: int) -> np.ndarray:
    """Bytes (h, w, 3), or (h, w, 4) with straight alpha."""
    file = existing_file(path)
    with decoding(file, "a photograph"), Image.open(file) as image:
        return np.ascontiguousarray(np.rot90(eight_bits(image), quarters))


def _mask(path: Path, quarters: int) -> np.ndarray:
    """Where a photograph counts, (h, w): above the middle; of masks in zeros and ones, the ones."""
    values = _read(path, quarters)[..., 0]
    return np.asarray(values > (127 if values.max() > 1 else 0))


def picture_size(path: Path) -> tuple[int, int]:
    """Columns and rows of a picture as its file has them.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    with decoding(existing_file(path), "a photograph"), Image.open(path) as image:
        return image.size


def _finished(scene: Scene, background: tuple[float, float, float], holdout: int, shrink: int) -> Scene:
    """The scene with a split, checked."""
    views, held_out = (tuple(view.upright() for view in some) for some in (scene.views, scene.held_out))
    if shrink > 1:
        smallest = min(min(v.camera.width, v.camera.height) for v in views + held_out)
        if smallest < SMALLEST * shrink:
            raise InputError(
                f"pictures of {smallest} pixels shrunk by {shrink}", f"{SMALLEST} pixels a side to be left"
            )
        views, held_out = (tuple(view.smaller(shrink) for view in some) for some in (views, held_out))
    if not held_out and holdout > 0:
        held_out = views[::holdout]
        views = tuple(view for k, view in enumerate(views) if k % holdout)
    if len(views) < 2:
        raise InputError(
            f"{len(views)} photographs to fit{_listed(scene.notes)}",
            "two at least",
            "or --holdout 0 to fit all of them",
        )
    return replace(scene, views=views, held_out=held_out, background=background)


def _listed(notes: tuple[str, ...]) -> str:
    return "".join(f"; {note}" for note in notes[:5])


def _json(path: Path) -> dict[str, Any]:
    with decoding(existing_file(path), "a scene"):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"{path.name} without a list of frames", "the poses of a scene")
    return dict(content)


def _blender(path: Path) -> Scene:
    """Mildenhall et al. 2020: `transforms_train.json`, and `transforms_test.json` to measure on."""
    train = _frames(path)
    test = path.with_name(path.name.replace("train", "test"))
    held_out = _frames(test) if test.exists() else ((), ())
    return Scene(train[0], held_out[0], (1.0, 1.0, 1.0), notes=train[1] + held_out[1])


def _transforms(path: Path) -> Scene:
    """instant-ngp's and nerfstudio's `transforms.json`."""
    content = _json(path)
    views, notes = _frames(path)
    train, val, test = (_named_views(content, path, views, f"{part}_filenames") for part in ("train", "val", "test"))
    held_out = test or val
    fitted = train or tuple(view for view in views if view not in held_out)
    return Scene(fitted, held_out, (1.0, 1.0, 1.0), notes=notes)


def _named_views(content: dict[str, Any], path: Path, views: tuple[View, ...], key: str) -> tuple[View, ...]:
    """The views that a list of nerfstudio's names."""
    names = content.get(key) or []
    if not isinstance(names, list):
        raise InputError(f"{key} of {path.name}", "a list of names")
    wanted = {posixpath.normpath(str(name)) for name in names}
    found = tuple(view for view in views if posixpath.normpath(view.name) in wanted)
    if names and not found:
        raise InputError(
            f"{key} of {path.name} with no picture that is there, {names[0]} first", "names as in its frames"
        )
    return found


def _frames(path: Path) -> tuple[tuple[View, ...], tuple[str, ...]]:
    """The views of a `transforms` file, and notes on those without a picture."""
    content = _json(path)
    views, missing = [], []
    for number, frame in enumerate(content["frames"]):
        name = str(frame.get("file_path", ""))
        file = _picture_file(path.parent, name.replace("\\", "/"))
        if file is None:
            missing.append(name)
            continue
        with decoding(path, f"a scene, at its frame {number}"):
            pose = np.asarray(frame.get("transform_matrix"), dtype=float)
            if pose.shape != (4, 4):
                raise InputError(f"frame {number} of {path.name} has a pose of shape {pose.shape}", "4 x 4")
            mask = None if frame.get("mask_path") is None else path.parent / frame["mask_path"]
            views.append(View(name, file, _lens({**content, **frame}, pose, file, path.name), mask))
    if not views:
        raise InputError(
            f"none of the {len(missing)} pictures of {path.name} exists, {missing[0] if missing else 'none is named'} first",
            "pictures beside it",
        )
    notes = (f"{len(missing)} pictures that {path.name} names do not exist: {', '.join(missing)}",) if missing else ()
    return tuple(views), notes


def _picture_file(folder: Path, name: str) -> Path | None:
    """The picture of a frame, whose name may lack its suffix."""
    plain = folder / name
    if not plain.name:
        return None
    if plain.suffix.lower() in PICTURES and plain.is_file():
        return plain
    ends = [*PICTURES, *(end.upper() for end in PICTURES)]
    return next((file for end in ends if (file := plain.with_name(plain.name + end)).is_file()), None)


def _lens(given: dict[str, Any], pose: np.ndarray, file: Path, source: str) -> Camera:
    """The camera of a frame; its focal lengths come in pixels, or as angles of view."""
    model = given.get("camera_model", "OPENCV")
    other = [key for key in ("is_fisheye", "ftheta_p0", "latlong", "equirectangular", "orthographic") if given.get(key)]
    if other or model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE"):
        raise InputError(
            f"the camera model {(other or [model])[0]} in {source}",
            "a perspective camera",
            "undistort the pictures first",
        )
    width, height = picture_size(file)
    wide, tall = given.get("w") or width, given.get("h") or height
    _check_aspect(file, (width, height), (wide, tall))
    shrink = width / wide
    if "fl_x" not in given and "camera_angle_x" not in given:
        raise InputError(f"{source} without a focal length", "fl_x in pixels, or camera_angle_x in radians")
    fx = given["fl_x"] * shrink if "fl_x" in given else _focal(width, given["camera_angle_x"])
    fy = given["fl_y"] * shrink if "fl_y" in given else fx
    if "fl_x" not in given and "fl_y" not in given and "camera_angle_y" in given:
        fy = _focal(height, given["camera_angle_y"])
    cx, cy = (given[key] * shrink if key in given else size / 2 for key, size in (("cx", width), ("cy", height)))
    k1, k2, k3, k4, p1, p2 = (float(given.get(key) or 0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if "distortion_params" in given:
        k1, k2, k3, k4, p1, p2 = map(float, given["distortion_params"])
    if k4:
        raise InputError(
            f"k4 = {k4:g} in {source}", "distortion by k1, k2, k3, p1 and p2", "undistort the pictures first"
        )
    return Camera(tuple(pose.ravel().tolist()), width, height, fx, fy, cx, cy, (k1, k2, p1, p2, k3))


def _focal(pixels: int, angle: float) -> float:
    return 0.5 * pixels / math.tan(0.5 * angle) if angle else 0.0


def _check_aspect(file: Path, size: tuple[int, int], camera: tuple[float, float]) -> None:
    if abs(camera[0] / camera[1] * size[1] / size[0] - 1) > ASPECT:
        raise InputError(
            f"{file.name} has {size[0]} x {size[1]} pixels", f"the aspect of {camera[0]:.0f} x {camera[1]:.0f}, as its camera",
            "a picture that was turned or cut after its camera was found?",
        )  # fmt: skip


def _llff(path: Path) -> Scene:
    """Mildenhall et al. 2019: rows of 17 numbers, [R | t | (H, W, f)] with columns down, right, back, and two depths."""
    with decoding(existing_file(path), "poses"):
        rows = np.asarray(np.load(path, allow_pickle=False), dtype=float)
    if rows.ndim != 2 or rows.shape[1] != 17:
        raise InputError(f"{path.name} of shape {rows.shape}", "17 numbers for each photograph")
    if not np.isfinite(rows).all():
        raise InputError(f"{path.name} with NaN or infinite numbers", "finite poses")
    if not ((rows[:, 15] > 0) & (rows[:, 16] > rows[:, 15])).all():
        raise InputError(
            f"{path.name} with depths from {rows[:, 15].min():g}", "0 < the nearest depth < the farthest one"
        )
    folder = next((path.parent / name for name in SMALLER if (path.parent / name).is_dir()), path.parent)
    files = photographs_in(folder)
    if len(files) != len(rows):
        raise InputError(
            f"{len(files)} pictures in {folder.name}, {len(rows)} poses",
            "one pose for each picture, in the order of the sorted names",
            "a missing or extra picture would shift every pose",
        )
    views = []
    for file, row in zip(files, rows, strict=True):
        down, right, back, position, (tall, wide, focal) = row[:15].reshape(3, 5).T
        pose = np.eye(4)
        pose[:3] = np.stack([right, -down, back, position], axis=1)
        width, height = picture_size(file)
        _check_aspect(file, (width, height), (wide, tall))
        f = focal * width / wide
        views.append(
            View(file.name, file, Camera(tuple(pose.ravel().tolist()), width, height, f, f, width / 2, height / 2))
        )
    depths = (float(rows[:, 15].min()), float(rows[:, 16].max()))
    return Scene(tuple(views), (), (1.0, 1.0, 1.0), _look_one_way(views), depths)


def _colmap(folder: Path, place: Path) -> Scene:
    """A sparse model and the pictures beside it, in the smallest size that is there."""
    model = read_model(place)
    names = [photograph.name for photograph in model.photographs]
    there = [folder / name for name in SMALLER if (folder / name).is_dir()]
    pictures = next((place for place in there if any(_picture_file(place, name) for name in names)), folder)
    views, missing = [], []
    for photograph in sorted(model.photographs, key=lambda one: one.name):
        file = _picture_file(pictures, photograph.name)
        if file is None:
            missing.append(photograph.name)
            continue
        if photograph.camera not in model.lenses:
            raise InputError(f"{photograph.name} with the camera {photograph.camera}", "one of cameras.bin or .txt")
        lens = model.lenses[photograph.camera]
        fx, fy, cx, cy, k1, k2, p1, p2 = lens.numbers
        whole = Camera(
            tuple(photograph.pose.ravel().tolist()), lens.width, lens.height, fx, fy, cx, cy, (k1, k2, p1, p2, 0.0)
        )
        _check_aspect(file, picture_size(file), (lens.width, lens.height))
        views.append(View(photograph.name, file, whole.resized(*picture_size(file))))
    notes = (f"{len(missing)} pictures of the model do not exist: {', '.join(missing)}",) if missing else ()
    facing = bool(views) and len(model.points) > 0 and _look_one_way(views)
    depths = _depths(views, model.points) if facing else None
    return Scene(tuple(views), (), (1.0, 1.0, 1.0), facing, depths, model.points, notes=notes)


def _depths(views: list[View], points: np.ndarray) -> tuple[float, float]:
    """The depths that hold all but a thousandth of what lies before the cameras, at either end."""
    depths = np.concatenate([(points - view.camera.position) @ view.camera.forward for view in views])
    if not (depths > 0).any():
        raise InputError("a model whose points are all behind its cameras", "points that they see", "check the poses")
    low, high = np.quantile(depths[depths > 0], [0.001, 0.999])
    return float(low), float(high)


def _look_one_way(views: list[View]) -> bool:
    """Whether all optical axes are within 45 degrees of their mean, and all corners of pictures within 70."""
    axes = np.stack([view.camera.forward for view in views])
    corners = np.concatenate([corner_directions(view.camera) for view in views])
    mean = axes.mean(axis=0)
    least, length = np.cos(np.radians([45, 70])), np.linalg.norm(mean)
    return bool((axes @ mean > least[0] * length).all() and (corners @ mean > least[1] * length).all())


def _middlebury(path: Path) -> Scene:
    """Seitz et al. 2006: a count, then a line for each picture: name, K (9), R (9), t (3), world to camera, OpenCV axes."""
    with decoding(existing_file(path), "cameras"):
        lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
        count, rows = int(lines[0][0]), [(line[0], np.array(line[1:], dtype=float)) for line in lines[1:]]
    if count != len(rows):
        raise InputError(f"{path.name} with {len(rows)} cameras after the count {count}", "as many as it says")
    views = []
    for name, numbers in rows:
        if numbers.shape != (21,) or not np.isfinite(numbers).all():
            raise InputError(f"{path.name}: the line of {name}", "K (9), R (9) and t (3), finite numbers")
        lens, turn, shift = numbers[:9].reshape(3, 3), numbers[9:18].reshape(3, 3), numbers[18:]
        pose = np.eye(4)
        pose[:3, :3] = turn.T @ np.diag([1.0, -1.0, -1.0])
        pose[:3, 3] = -turn.T @ shift
        width, height = picture_size(path.parent / name)
        # The origin of the pixels is the centre of the first one.
        center = (lens[0, 2] + 0.5, lens[1, 2] + 0.5)
        camera = Camera(tuple(pose.ravel().tolist()), width, height, lens[0, 0], lens[1, 1], *center)
        views.append(View(name, path.parent / name, camera))
    return Scene(tuple(views), (), (0.0, 0.0, 0.0))


def _neus(path: Path) -> Scene:
    """IDR and NeuS (Yariv et al. 2020; Wang et al. 2021): `world_mat_i` = K [R | t], `scale_mat_i` from the unit sphere.

    Pictures in ``image``, masks in ``mask``, each in the order of their names, whose numbers may have different widths.
    """
    with decoding(existing_file(path), "cameras"), np.load(path, allow_pickle=False) as content:
        numbers = sorted(int(found[1]) for key in content if (found := re.fullmatch(r"world_mat_(\d+)", key)))
        matrices = [np.asarray(content[f"world_mat_{k}"], dtype=float) for k in numbers]
        spheres = [np.asarray(content[f"scale_mat_{k}"], dtype=float) for k in numbers if f"scale_mat_{k}" in content]
    pictures, masks = (photographs_in(path.parent / name) for name in ("image", "mask"))
    if len(pictures) != len(matrices) or len(masks) not in (0, len(pictures)):
        raise InputError(
            f"{len(pictures)} pictures and {len(masks)} masks beside {path.name} with {len(matrices)} cameras",
            "one picture in image/ for each camera, and masks for all or none",
        )
    views = []
    for k, (file, matrix) in enumerate(zip(pictures, matrices, strict=True)):
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix[:3, :3]) < 3:
            raise InputError(f"{path.name}: world_mat_{numbers[k]}", "4 x 4 finite numbers, of a camera")
        lens, pose = _decomposed(matrix[:3])
        width, height = picture_size(file)
        camera = Camera(
            tuple(pose.ravel().tolist()), width, height, lens[0, 0], lens[1, 1], lens[0, 2] + 0.5, lens[1, 2] + 0.5
        )
        views.append(View(file.name, file, camera, masks[k] if masks else None))
    box = None
    if spheres:
        if spheres[0].shape != (4, 4) or not np.isfinite(spheres[0]).all() or not spheres[0][0, 0] > 0:
            raise InputError(f"{path.name}: scale_mat_{numbers[0]}", "4 x 4 finite numbers, with a positive scale")
        center, radius = spheres[0][:3, 3], spheres[0][0, 0]
        box = (tuple((center - radius).tolist()), tuple((center + radius).tolist()))
    return Scene(tuple(views), (), (1.0, 1.0, 1.0), box=box)


def _decomposed(projection: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K (3, 3) and the camera-to-world matrix with OpenGL axes of a projection K [R | t] (3, 4) of any scale."""
    lens, turn = rq(projection[:, :3])
    signs = np.sign(np.diag(lens))
    lens, turn = lens * signs, signs[:, None] * turn
    if np.linalg.det(turn) < 0:  # the projection's scale is negative
        turn, projection = -turn, -projection
    pose = np.eye(4)
    pose[:3, :3] = turn.T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = -np.linalg.solve(projection[:, :3], projection[:, 3])
    return lens / lens[2, 2], pose


READERS: tuple[tuple[str, Callable[[Path], Scene]], ...] = (
    ("transforms_train.json", _blender),
    ("transforms.json", _transforms),
    ("poses_bounds.npy", _llff),
    ("*_par.txt", _middlebury),
    ("cameras_sphere.npz", _neus),
)
