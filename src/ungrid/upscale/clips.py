"""Clips to learn from: files of video, and folders of frames.

Convention: a clip is uint8 (n, h, w, 3). Cuts split clips: what lies on either side of one has no motion in common.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from ungrid.io.video import read_frames
from ungrid.upscale.pictures import SUFFIXES, read_picture

VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
FEWEST = 10  # pictures of one size that make a folder a clip
THUMB = 16  # squares of a side over which frames are compared
CUT = 0.12  # mean change of the squares between two frames, at least, and
JUMP = 4.0  # times the median change of the clip, at a cut


def is_clip(folder: Path) -> bool:
    """Whether a folder holds the frames of a clip: at least ten pictures, all of one size."""
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES]
    if len(files) < FEWEST:
        return False
    sizes = set()
    for file in files:
        with Image.open(file) as image:
            sizes.add(image.size)
    return len(sizes) == 1


def clip_files(folders: list[Path]) -> list[Path]:
    """The files of video and the folders of frames in folders and theirs, in the order of their names."""
    found: list[Path] = []
    for folder in folders:
        places = [folder, *sorted(folder.rglob("*"))]
        found += [p for p in places if (p.is_dir() and is_clip(p)) or p.suffix.lower() in VIDEOS]
    return found


def read_clip(path: Path, shrink: int = 1) -> list[np.ndarray]:
    """The parts of a clip between its cuts.

    Args:
        path: a file of video, or a folder of frames.
        shrink: take means over squares of so many pixels, which also hides the traces of compression.

    Raises:
        InputError: if the file cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        frames = [np.asarray(Image.fromarray(read_picture(file)).reduce(shrink)) for file in files]
    else:
        frames = read_frames(path, scale=shrink)
    bounds = [0, *cuts(frames), len(frames)]
    return [np.stack(frames[a:b]) for a, b in pairwise(bounds)]


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """The mean grey of squares, in [0, 1]."""
    grey = Image.fromarray(frame).convert("L").resize((THUMB, THUMB), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32) / 255


def cuts(frames: list[np.ndarray]) -> list[int]:
    """The numbers of the frames (h, w, 3) uint8 with which a new scene begins."""
    thumbs = np.stack([thumbnail(frame) for frame in frames])
    return cut_numbers(np.abs(np.diff(thumbs, axis=0)).mean(axis=(1, 2)))


def cut_numbers(changes: np.ndarray) -> list[int]:
    """The numbers of the frames with which a new scene begins, by the mean changes (n - 1,) of the squares."""
    if not len(changes):
        return []
    return [int(k) + 1 for k in np.flatnonzero((changes > CUT) & (changes > JUMP * np.median(changes)))]
