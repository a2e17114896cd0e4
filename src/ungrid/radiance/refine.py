"""Better poses of cameras, from the photographs and a field that was fitted with the worse ones.

Convention: a pose changes by a turn about the camera's place, a rotation vector in the world's axes, and by a shift. One round
is a step of Gauss and Newton for every camera on the squared error of some of its pixels: where a camera's change moves what a
pixel shows by (du, dv) pixels, the rendered colour changes by -(du, dv) times the slopes of the photograph there. Slopes are
central differences and pixels are drawn by them: anything one-sided would pull every camera the same way, round after round.

Sources: Lucas and Kanade 1981 (registration by Gauss-Newton on grey levels); Baker and Matthews 2004, *Lucas-Kanade 20 years
on* (slopes of the picture that does not change); Levenberg 1944 (damping); Lin et al. 2021, *BARF* (from coarse to fine).
"""

import numpy as np
from scipy.spatial.transform import Rotation

from ungrid.radiance.lattice import Lattice
from ungrid.radiance.pictures import Pictures, rays_of
from ungrid.radiance.render import MET, Renderer
from ungrid.sampling import CameraArrays

PIXELS = 2048  # of a photograph, for one round
CANDIDATES = 8  # pixels for each of them: edges tell where a camera is, flat colours do not
DIFFERENCE = 0.7  # pixels that a unit of change moves a picture
FARTHEST = 2.0  # units that a round may move a camera
DAMPING = 1e-2  # of the mean diagonal of the normal equations: what hardly moves a picture changes over several rounds


def refined_poses(pictures: Pictures, lattice: Lattice, random: np.random.Generator) -> CameraArrays:
    """The cameras of the pictures after one round.

    Args:
        pictures: that are fitted; those of their pixels that count are looked at.
        lattice: of the field.
        random: of the pixels.
    """
    pixels, owners = some_pixels(pictures, random)
    cameras = pictures.cameras
    units = difference_units(cameras, pictures.shrink, lattice)
    here, places = shown(pictures, lattice, pixels, owners)
    missing = pictures.colors[pixels].astype(np.float32) / np.float32(255) - here
    motions = pixel_motions(cameras, owners, places) / pictures.shrink * units[owners, None]
    slopes = -np.einsum("nkc,nkj->ncj", picture_slopes(pictures, pixels, owners), motions)
    changes = np.zeros((len(units), 6))
    for which in range(len(units)):
        mine = owners == which
        rows = slopes[mine].reshape(-1, 6)
        normal = rows.T @ rows
        if not normal.any():
            continue
        normal += DAMPING * np.trace(normal) / 6 * np.eye(6)
        step = np.linalg.solve(normal, rows.T @ missing[mine].ravel())
        changes[which] = step * min(1.0, FARTHEST / np.abs(step).max())
    return moved(cameras, changes * units)


def some_pixels(pictures: Pictures, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels that count, `PIXELS` of every photograph that has any, and the numbers of their photographs.

    They are drawn by the slopes of the photographs, in levels of 255.
    """
    parts, owners = [], []
    for which, (begin, end) in enumerate(zip(pictures.first, pictures.first[1:], strict=False)):
        if pictures.counts is None:
            drawn = random.integers(begin, end, CANDIDATES * PIXELS)
        else:
            low, high = np.searchsorted(pictures.counts, [begin, end])
            drawn = pictures.counts[random.integers(low, high, CANDIDATES * PIXELS if high > low else 0)]
        owners.append(np.full(PIXELS if len(drawn) else 0, which))
        if len(drawn):
            slopes = picture_slopes(pictures, drawn, np.full(len(drawn), which))
            reached = np.cumsum(1 + 255 * np.linalg.norm(slopes, axis=(1, 2)))
            parts.append(drawn[np.searchsorted(reached, random.uniform(0, reached[-1], PIXELS))])
    return np.concatenate(parts), np.concatenate(owners)


def picture_slopes(pictures: Pictures, pixels: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Changes of colours in [0, 1] by a pixel to the right and by one below, (n, 2, 3), at pixels of the photographs `owners`.

    Central differences; at a rim the only difference there is.
    """
    begin, end, width = pictures.first[owners], pictures.first[owners + 1], pictures.widths[owners]
    column = (pixels - begin) % width
    slopes = []
    for before, after, step in (
        (column > 0, column < width - 1, np.ones_like(width)),
        (pixels - width >= begin, pixels + width < end, width),
    ):
        low, high = pixels - before * step, pixels + after * step
        difference = pictures.colors[high].astype(np.float32) - pictures.colors[low]
        slopes.append(difference / (np.float32(255) * np.maximum(1, before.astype(np.float32) + after)[:, None]))
    return np.stack(slopes, axis=1)


def shown(
    pictures: Pictures, lattice: Lattice, pixels: np.ndarray, owners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The field's colours and the places of the world that are seen, both (n, 3), at pixels of the photographs `owners`.

    A ray that meets nothing, as beside a silhouette, or what is infinitely far, is taken to end at the distance of the field's
    middle.
    """
    (start, along), views = rays_of(pictures, lattice.field, pixels)
    renderer = Renderer(lattice.field, lattice)
    color, opacity, middle = renderer.rays(start, along, views)
    away, places = distances(pictures.cameras, lattice)[owners, None], renderer.world(middle, opacity)
    met = (opacity >= MET) & np.isfinite(places).all(axis=1)
    return color, np.where(met[:, None], places, pictures.cameras.positions[owners] + away * views)


def distances(cameras: CameraArrays, lattice: Lattice) -> np.ndarray:
    """From the cameras to the field's middle, (n,)."""
    domain = lattice.field.domain
    return np.asarray(np.linalg.norm(cameras.positions - (domain.low + domain.high) / 2, axis=1))


def pixel_motions(cameras: CameraArrays, owners: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many pixels to the right and down places of the world (n, 3) move by a unit of each change, (n, 2, 6).

    A lens's distortion is left out: it changes how fast a round comes near, not where rounds end.
    """
    turns, lenses = cameras.turns[owners], cameras.lenses[owners]
    away = places - cameras.positions[owners]
    ways = np.empty((len(away), 6, 3))  # of a place, for a camera that stays
    ways[:, :3] = -np.cross(np.eye(3), away[:, None])
    ways[:, 3:] = -np.eye(3)
    x, y, z = np.moveaxis(away[:, None] @ turns, 2, 0)
    dx, dy, dz = np.moveaxis(ways @ turns, 2, 0)
    return np.stack([-lenses[:, :1] * (dx - x / z * dz) / z, lenses[:, 1:2] * (dy - y / z * dz) / z], axis=1)


def difference_units(cameras: CameraArrays, shrink: int, lattice: Lattice) -> np.ndarray:
    """Turns and shifts (n, 6) that move the middle of the field by `DIFFERENCE` pixels."""
    turn = DIFFERENCE * shrink / cameras.lenses[:, 0]
    return np.stack([turn] * 3 + [turn * distances(cameras, lattice)] * 3, axis=1)


def moved(cameras: CameraArrays, changes: np.ndarray) -> CameraArrays:
    """Cameras after turns and shifts (n, 6)."""
    turns = Rotation.from_rotvec(changes[:, :3]).as_matrix() @ cameras.turns
    return CameraArrays(turns, cameras.positions + changes[:, 3:], cameras.lenses)
