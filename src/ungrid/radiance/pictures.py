"""The photographs of a scene in memory, as bytes, at several sizes; and rays of them."""

from dataclasses import dataclass, replace

import numpy as np

from ungrid._base.errors import InputError
from ungrid.fields import RadianceField
from ungrid.io.scenes import View, picture
from ungrid.kernels import rays as kernels
from ungrid.radiance.frames import pixel_rays
from ungrid.sampling import CameraArrays

SQUARE = 4  # pixels
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio, times 2^64, without its integer
RIM = 25  # levels from the background that noise and compression may change


@dataclass(frozen=True)
class Pictures:
    """Photographs one after the other, pixel by pixel.

    Attributes:
        colors: (pixels, 3) bytes.
        first: (n + 1,), where each photograph begins.
        widths: (n,).
        shrink: pixels of the originals along a side of one of these.
        cameras: of the originals.
        counts: numbers of the pixels that count; None for all.
    """

    colors: np.ndarray
    first: np.ndarray
    widths: np.ndarray
    shrink: int
    cameras: CameraArrays
    counts: np.ndarray | None

    @property
    def total(self) -> int:
        return len(self.colors) if self.counts is None else len(self.counts)


def draw_rays(
    pictures: Pictures, field: RadianceField, first: int, count: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Pixels as rays in a lattice's coordinates, their directions in the world, and their colours, all (count, 3).

    They are the entries `first` to ``first + count`` of an endless sequence, any part of which is spread over all photographs.
    Of twice as many rays as there are pixels every pixel has one; independent draws would leave out one in seven.
    """
    chosen = (spread(first, count) * pictures.total).astype(np.int64)
    pixels = chosen if pictures.counts is None else pictures.counts[chosen]
    rays, views = rays_of(pictures, field, pixels)
    return rays, views, pictures.colors[pixels].astype(np.float32) / np.float32(255)


def spread(first: int, count: int) -> np.ndarray:
    """The fractional parts of multiples of the golden ratio, from the multiple `first` on, (count,) in [0, 1).

    They divide [0, 1) into parts of three lengths at most (Swierczkowski 1959, *On successive settings of an arc on the
    circumference of a circle*).
    """
    turns = np.arange(first, first + count, dtype=np.uint64) * GOLDEN  # modulo 2^64
    return np.asarray((turns >> np.uint64(11)) * 2.0**-53)


def rays_of(
    pictures: Pictures, field: RadianceField, pixels: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The rays of pixels by their numbers."""
    return pixel_rays(pictures.cameras, pixels, pictures.first, pictures.widths, pictures.shrink, field)


def that_reach(pictures: Pictures, field: RadianceField, far: np.ndarray) -> tuple[Pictures, float]:
    """The pictures without pixels whose rays meet nothing that can be seen, nor come near it; and the share of the others.

    Such a ray shows the background and has no gradient; where all of space is in the lattice, none is asked for. Asked of one
    pixel in every square of `SQUARE`, whose neighbours are less than a brick away from it.
    """
    if field.contracted:
        return pictures, 1.0
    kept = []
    for begin, end, width in zip(pictures.first, pictures.first[1:], pictures.widths, strict=False):
        height = (end - begin) // width
        rows, columns = (np.minimum(np.arange(SQUARE // 2, n + SQUARE // 2, SQUARE), n - 1) for n in (height, width))
        (starts, alongs), _ = rays_of(pictures, field, (begin + rows[:, None] * width + columns).ravel())
        found = np.empty(len(starts), bool)
        kernels.reach(starts, alongs, far, 1, found)
        squares = found.reshape(len(rows), len(columns))
        every = squares.repeat(SQUARE, axis=0)[:height].repeat(SQUARE, axis=1)[:, :width]
        kept.append(begin + np.flatnonzero(every))
    pixels = np.concatenate(kept)
    if pictures.counts is not None:
        pixels = np.intersect1d(pixels, pictures.counts, assume_unique=True)
    if not len(pixels):
        return pictures, 1.0
    return replace(pictures, counts=pixels), len(pixels) / pictures.total


def has_surroundings(pictures: Pictures, background: tuple[float, float, float]) -> bool:
    """Whether most of the photographs' outermost pixels that count show something else than the background."""
    level = np.round(255 * np.array(background)).astype(np.int16)
    rims, counted = [], np.ones(len(pictures.colors), bool)
    if pictures.counts is not None:
        counted[:] = False
        counted[pictures.counts] = True
    for begin, end, width in zip(pictures.first, pictures.first[1:], pictures.widths, strict=False):
        rim = np.zeros(((end - begin) // width, width), bool)
        rim[[0, -1]] = rim[:, [0, -1]] = True
        colors = pictures.colors[begin:end][rim.ravel() & counted[begin:end]].astype(np.int16)
        rims.append((np.abs(colors - level) > RIM).any(axis=1))
    shown = np.concatenate(rims)
    return len(shown) > 0 and bool(shown.mean() > 0.5)


def read_pictures(views: tuple[View, ...], background: tuple[float, float, float]) -> Pictures:
    """All photographs in full size.

    Raises:
        InputError: if one cannot be read, or the masks leave nothing of any.
    """
    cameras = CameraArrays.of([view.camera for view in views])
    read = [picture(view, background) for view in views]
    counted = np.concatenate([counts.ravel() for _, counts in read])
    if not counted.any():
        raise InputError("photographs of which no pixel counts", "masks that are white where a photograph counts")
    first = np.concatenate([[0], np.cumsum([colors.shape[0] * colors.shape[1] for colors, _ in read])])
    return Pictures(
        np.concatenate([colors.reshape(-1, 3) for colors, _ in read]), first,
        np.array([colors.shape[1] for colors, _ in read]), 1, cameras,
        None if counted.all() else np.flatnonzero(counted),
    )  # fmt: skip


def smaller(pictures: Pictures, shrink: int) -> Pictures:
    """Means over squares of pixels that all count; rows and columns that do not fill a square are left out.

    Smaller squares where masks leave none of these.
    """
    if shrink == 1:
        return pictures
    counted = np.ones(len(pictures.colors), bool)
    if pictures.counts is not None:
        counted[:] = False
        counted[pictures.counts] = True
    parts, keeps, widths = [], [], []
    for begin, end, width in zip(pictures.first, pictures.first[1:], pictures.widths, strict=False):
        height = (end - begin) // width
        h, w = height // shrink, width // shrink
        cut = (slice(h * shrink), slice(w * shrink))
        colors = pictures.colors[begin:end].reshape(height, width, 3)[cut].reshape(h, shrink, w, shrink, 3)
        parts.append(np.round(colors.mean(axis=(1, 3), dtype=np.float32)).astype(np.uint8).reshape(-1, 3))
        keeps.append(
            counted[begin:end].reshape(height, width)[cut].reshape(h, shrink, w, shrink).all(axis=(1, 3)).ravel()
        )
        widths.append(w)
    first = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    kept = np.concatenate(keeps)
    if not kept.any():
        return smaller(pictures, shrink // 2)
    return Pictures(
        np.concatenate(parts), first, np.array(widths), shrink, pictures.cameras,
        None if kept.all() else np.flatnonzero(kept),
    )  # fmt: skip
