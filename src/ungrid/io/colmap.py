"""COLMAP's sparse models, binary or text: cameras, poses and points.

Convention: COLMAP stores world-to-camera turns as quaternions w, x, y, z, and OpenCV axes (x right, y down, z forward), with
the pixels' origin at the corner of the first one. What is given here are camera-to-world matrices with OpenGL axes.

Source: COLMAP's documentation, *Output format* (Schoenberger and Frahm 2016).
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ungrid._base.errors import InputError
from ungrid.io.files import decoding, existing_file

# number: name, and where fx, fy, cx, cy, k1, k2, p1, p2 stand among the parameters (None: zero)
MODELS: dict[int, tuple[str, tuple[int | None, ...]]] = {
    0: ("SIMPLE_PINHOLE", (0, 0, 1, 2, None, None, None, None)),
    1: ("PINHOLE", (0, 1, 2, 3, None, None, None, None)),
    2: ("SIMPLE_RADIAL", (0, 0, 1, 2, 3, None, None, None)),
    3: ("RADIAL", (0, 0, 1, 2, 3, 4, None, None)),
    4: ("OPENCV", (0, 1, 2, 3, 4, 5, 6, 7)),
}
NUMBER_OF = {name: number for number, (name, _) in MODELS.items()}
COUNTS = {0: 3, 1: 4, 2: 4, 3: 5, 4: 8}  # of parameters


@dataclass(frozen=True)
class Lens:
    """A camera: its size, and fx, fy, cx, cy, k1, k2, p1, p2 in pixels."""

    width: int
    height: int
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Posed:
    """A photograph: its name, the number of its camera, and its camera-to-world matrix (4, 4)."""

    name: str
    camera: int
    pose: np.ndarray


@dataclass(frozen=True)
class Model:
    """A sparse model."""

    lenses: dict[int, Lens]
    photographs: tuple[Posed, ...]
    points: np.ndarray  # (m, 3)


def find_model(folder: Path) -> Path | None:
    """The folder of the model with the most photographs: in this one, in ``N``, ``sparse`` or ``sparse/N`` of it."""
    places = [
        folder,
        *sorted(folder.glob("[0-9]*")),
        folder / "sparse",
        *sorted((folder / "sparse").glob("*")),
        *sorted((folder / "colmap").glob("sparse/*")),
    ]
    found = [
        (place / f"images{end}").stat().st_size for place in places for end in (".bin", ".txt") if _has(place, end)
    ]
    there = [place for place in places for end in (".bin", ".txt") if _has(place, end)]
    return there[int(np.argmax(found))] if there else None


def _has(place: Path, end: str) -> bool:
    return all((place / f"{name}{end}").is_file() for name in ("images", "cameras"))


def read_model(folder: Path) -> Model:
    """Read a model.

    Raises:
        InputError: if it is damaged, or a camera is not a perspective one with at most the distortion of OpenCV.
    """
    if _has(folder, ".bin"):
        return Model(_binary_lenses(folder), _binary_photographs(folder), _binary_points(folder))
    return Model(_text_lenses(folder), _text_photographs(folder), _text_points(folder))


def _lens(model: int | str, width: int, height: int, numbers: tuple[float, ...]) -> Lens:
    number = NUMBER_OF.get(model, -1) if isinstance(model, str) else model
    if number not in MODELS:
        raise InputError(
            f"COLMAP's camera model {model}", ", ".join(NUMBER_OF), "undistort with `colmap image_undistorter`"
        )
    if width < 1 or height < 1 or len(numbers) != COUNTS[number]:
        raise InputError(
            f"a camera {model} of {width} x {height} pixels with {len(numbers)} numbers", f"{COUNTS[number]} numbers"
        )
    return Lens(width, height, tuple(0.0 if place is None else numbers[place] for place in MODELS[number][1]))


def _pose(quaternion: tuple[float, ...], shift: tuple[float, ...]) -> np.ndarray:
    """From world-to-camera with OpenCV axes to camera-to-world with OpenGL's."""
    w, x, y, z = np.array(quaternion) / np.linalg.norm(quaternion)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.eye(4)
    pose[:3, :3] = turn.T @ np.diag([1.0, -1.0, -1.0])
    pose[:3, 3] = -turn.T @ np.array(shift)
    return pose


def _take(file: BinaryIO, layout: str) -> tuple[float, ...]:
    return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))


def _binary_lenses(folder: Path) -> dict[int, Lens]:
    path = existing_file(folder / "cameras.bin")
    lenses = {}
    with decoding(path, "COLMAP's cameras"), open(path, "rb") as file:
        (count,) = _take(file, "Q")
        for _ in range(int(count)):
            number, model, width, height = map(int, _take(file, "IiQQ"))
            lenses[number] = _lens(model, width, height, _take(file, f"{COUNTS.get(model, 0)}d"))
    return lenses


def _binary_photographs(folder: Path) -> tuple[Posed, ...]:
    path = existing_file(folder / "images.bin")
    found = []
    with decoding(path, "COLMAP's images"), open(path, "rb") as file:
        (count,) = _take(file, "Q")
        for _ in range(int(count)):
            _, *numbers = _take(file, "I7d")
            (camera,) = _take(file, "I")
            name = b"".join(iter(lambda: file.read(1).strip(b"\0"), b"")).decode()
            (marks,) = _take(file, "Q")
            _take(file, f"{24 * int(marks)}x")
            found.append(Posed(name, int(camera), _pose(tuple(numbers[:4]), tuple(numbers[4:]))))
    return tuple(found)


def _binary_points(folder: Path) -> np.ndarray:
    if not (folder / "points3D.bin").is_file():
        return np.zeros((0, 3))
    path, points = existing_file(folder / "points3D.bin"), []
    with decoding(path, "COLMAP's points"), open(path, "rb") as file:
        (count,) = _take(file, "Q")
        for _ in range(int(count)):
            _, x, y, z, *_ = _take(file, "Q3d3Bd")
            (track,) = _take(file, "Q")
            _take(file, f"{8 * int(track)}x")
            points.append((x, y, z))
    return np.array(points).reshape(-1, 3)


def _lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]


def _text_lenses(folder: Path) -> dict[int, Lens]:
    path = existing_file(folder / "cameras.txt")
    with decoding(path, "COLMAP's cameras"):
        return {
            int(number): _lens(model, int(width), int(height), tuple(map(float, numbers)))
            for number, model, width, height, *numbers in filter(None, _lines(path))
        }


def _text_photographs(folder: Path) -> tuple[Posed, ...]:
    """Every other line; the ones between have the marks in the photograph, and may be empty."""
    path, found = existing_file(folder / "images.txt"), []
    with decoding(path, "COLMAP's images"):
        lines = _lines(path)
        for line, marks in zip(lines[::2], [*lines[1::2], []], strict=False):
            if not line:
                continue
            if len(marks) % 3:
                raise InputError(
                    f"{path.name} with {len(marks)} numbers after {' '.join(line[9:])}", "triples of x, y and a point",
                    "after each photograph there is a line of its marks, which may be empty",
                )  # fmt: skip
            _, *numbers, camera, name = [*line[:9], " ".join(line[9:])]
            turn, shift = tuple(map(float, numbers[:4])), tuple(map(float, numbers[4:]))
            found.append(Posed(name, int(camera), _pose(turn, shift)))
    return tuple(found)


def _text_points(folder: Path) -> np.ndarray:
    if not (folder / "points3D.txt").is_file():
        return np.zeros((0, 3))
    path = existing_file(folder / "points3D.txt")
    with decoding(path, "COLMAP's points"):
        return np.array([line[1:4] for line in _lines(path) if line], dtype=float).reshape(-1, 3)
