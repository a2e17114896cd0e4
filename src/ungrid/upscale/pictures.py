"""Pairs of small and large pictures, cut from a folder of photographs, to learn enlarging from.

Convention: pictures are uint8 (h, w, 3); batches are float32 in [0, 1], (b, 3, h, w). Positions are in pixels of the small
picture, (y, x), pixel i with its centre at i. A batch is a function of the seed and the number of the step, so that a run
that goes on from a checkpoint sees what it would have seen.

The protocol is LIIF's (Chen, Liu and Wang 2021, section 4.1): a scale uniform in 1 to 4, a small picture of 48 x 48 made by
antialiased bicubic interpolation from a crop of round(48 scale) pixels, mirrored and transposed at random.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.io.files import decoding
from ungrid.io.images import eight_bits

SIDE = 48  # of a small picture
SCALES = (1.0, 4.0)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
NOISY, STRONGEST = 0.5, 12.0  # share of spoiled pictures with noise, and its largest standard deviation, of 255
BLOCKED, QUALITIES = 0.6, (40, 96)  # share of them with the blocks of JPEG, and its qualities
CANDIDATES = 2  # crops of which the one with stronger edges is taken, by chance: sky teaches nothing


@dataclass(frozen=True)
class Batch:
    """Small pictures, and what their enlargements are at a lattice of positions.

    Attributes:
        low: (b, 3, side, side).
        high: (b, 3, y, x), the truth at the positions.
        rows, columns: (y,) and (x,) float64.
        scale: of all of them.
    """

    low: Tensor
    high: Tensor
    rows: np.ndarray
    columns: np.ndarray
    scale: float


@dataclass(frozen=True)
class Queries:
    """Small pictures, and what their enlargements are at single places.

    Attributes:
        low: (b, 3, side, side).
        position: (b, q, 2) float64.
        high: (b, q, 3), the truth there.
        scales: (b, 2), of each.
    """

    low: Tensor
    position: Tensor
    high: Tensor
    scales: Tensor


def picture_files(folders: Iterable[Path]) -> list[Path]:
    """All pictures in the folders and theirs, in the order of their names, without hidden ones.

    Raises:
        InputError: if there is none.
    """
    folders = list(folders)
    every = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES]
    found = [file for file in every if file.name[0] != "."]
    if not found:
        raise InputError(f"no picture in {', '.join(map(str, folders))}", f"files that end in {', '.join(SUFFIXES)}")
    return found


def read_picture(file: Path) -> np.ndarray:
    """A picture as bytes (h, w, 3).

    Raises:
        InputError: if it is none, or damaged.
    """
    with decoding(file, "a picture"), Image.open(file) as image:
        return eight_bits(image)[..., :3]


def read_pictures(files: list[Path], side: int = SIDE) -> list[np.ndarray]:
    """The pictures as (h, w, 3), without those that have fewer pixels than a small picture of `side`.

    Raises:
        InputError: if none is large enough for the largest scale.
    """
    found = [picture for picture in map(read_picture, files) if min(picture.shape[:2]) >= side]
    if not any(min(picture.shape[:2]) >= side * SCALES[1] for picture in found):
        raise InputError(f"{len(files)} pictures, all below {side * SCALES[1]:.0f} pixels", "larger ones")
    return found


def spoiled(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (h, w, 3) uint8 with noise, the blocks of JPEG, both or neither, of random strength."""
    if rng.random() < NOISY:
        sigma = rng.uniform(0, STRONGEST)
        picture = np.clip(np.rint(picture + rng.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)
    if rng.random() < BLOCKED:
        target = io.BytesIO()
        Image.fromarray(picture).save(target, "JPEG", quality=int(rng.integers(*QUALITIES)))
        with Image.open(target) as image:
            picture = np.asarray(image)
    return picture


class Crops:
    """Batches of crops.

    Args:
        pictures: the photographs.
        size: how many crops a batch has.
        side: pixels of a small picture's side.
        window: the lattice has at most this many rows and columns of neighbouring pixels of the crop.
        queries: how many places, drawn from all pixels of a crop, in place of a lattice; then every crop has a scale of
            its own, as in the paper.
        scale: of all crops; None: uniform in `SCALES`.
        spoil: give small pictures noise and the blocks of JPEG, as cameras and the web do; the truth stays clean.
        part: (rank, ranks): the crops of a batch that belong to this process.
        seed: of all draws.
    """

    def __init__(
        self,
        pictures: list[np.ndarray],
        *,
        size: int = 16,
        side: int = SIDE,
        window: int = 96,
        queries: int | None = None,
        scale: float | None = None,
        spoil: bool = False,
        part: tuple[int, int] = (0, 1),
        seed: int = 0,
    ) -> None:
        if size % part[1]:
            raise InputError(f"batches of {size} crops for {part[1]} processes", "a multiple")
        self.pictures, self.size, self.side, self.window = pictures, size, side, window
        self.queries, self.spoil, self.part, self.seed = queries, spoil, part, seed
        self.scales = SCALES if scale is None else (scale, scale)
        self.sides = np.array([min(picture.shape[:2]) for picture in pictures])
        self.chances = np.array([picture.size**0.5 for picture in pictures])

    def described(self) -> dict[str, str]:
        """What makes the batches what they are."""
        return {
            "pictures": str([picture.shape for picture in self.pictures]),
            "batches": str((self.size, self.side, self.window, self.queries, self.scales, self.spoil, self.seed)),
        }

    def batch(self, step: int) -> Batch | Queries:
        """The batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        own = range(self.part[0], self.size, self.part[1])
        seeds = rng.integers(1 << 62, size=self.size)
        draws = [np.random.default_rng(int(seeds[k])) for k in own]
        if self.queries is not None:
            return self._queries(draws, self.queries)
        side = round(self.side * rng.uniform(*self.scales))
        length = min(self.window, side)
        top, left = rng.integers(0, side - length + 1, 2)
        crops = [self._crop(side, draw) for draw in draws]
        scale = side / self.side
        rows, columns = ((first + np.arange(length) + 0.5) / scale - 0.5 for first in (top, left))
        high = [crop[top : top + length, left : left + length] for crop in crops]
        low = [self._small(crop, draw) for crop, draw in zip(crops, draws, strict=True)]
        return Batch(stacked(low), stacked(high), rows, columns, scale)

    def _queries(self, draws: list[np.random.Generator], count: int) -> Queries:
        low, position, high, scales = [], [], [], []
        for draw in draws:
            side = round(self.side * draw.uniform(*self.scales))
            crop = self._crop(side, draw)
            place = draw.choice(side * side, count, replace=side * side < count)
            pixel = np.stack(np.divmod(place, side), axis=-1)
            low.append(self._small(crop, draw))
            position.append((pixel + 0.5) * (self.side / side) - 0.5)
            high.append(crop.reshape(-1, 3)[place])
            scales.append((side / self.side,) * 2)
        values = torch.from_numpy(np.stack(high)).float() / 255
        return Queries(stacked(low), torch.from_numpy(np.stack(position)), values, torch.tensor(scales))

    def _small(self, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        small = np.asarray(Image.fromarray(crop).resize((self.side, self.side), Image.Resampling.BICUBIC))
        return spoiled(small, rng) if self.spoil else small

    def _crop(self, side: int, rng: np.random.Generator) -> np.ndarray:
        chances, found, strengths = self.chances * (self.sides >= side), [], []
        for _ in range(CANDIDATES):
            picture = self.pictures[rng.choice(len(self.pictures), p=chances / chances.sum())]
            top, left = (rng.integers(0, n - side + 1) for n in picture.shape[:2])
            crop = picture[top : top + side, left : left + side]
            grey = crop[..., 1].astype(np.float32)
            strengths.append(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean() + 1e-3)
            found.append(crop)
        crop = found[rng.choice(CANDIDATES, p=np.array(strengths) / sum(strengths))]
        crop = crop.transpose(1, 0, 2) if rng.integers(2) else crop
        return np.ascontiguousarray(crop[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))])


def stacked(pictures: list[np.ndarray]) -> Tensor:
    """Pictures (h, w, 3) uint8 as a batch (b, 3, h, w) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
