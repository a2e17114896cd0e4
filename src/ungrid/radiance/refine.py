"""Better poses of cameras, from the photographs and a field that was fitted with the worse ones.

Convention: a pose changes by a turn about the camera's place, a rotation vector in the world's axes, and by a shift. One round
is a step of Gauss and Newton for every camera on the squared error of some of its pixels, whose derivatives are central
differences of rendered pixels; fit and rounds take turns.

Sources: Lucas and Kanade 1981 (registration by Gauss-Newton on grey levels); Lin et al. 2021, *BARF* (from coarse to fine).
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ungrid.kernels import bricks as kernels
from ungrid.radiance.lattice import Lattice
from ungrid.radiance.pictures import Pictures, rays_of
from ungrid.sampling import CameraArrays

PIXELS = 512  # of a photograph, for one round
CANDIDATES = 8  # pixels for each of them: edges tell where a camera is, flat colours do not
DIFFERENCE = 0.7  # pixels that a central difference moves a picture
FARTHEST = 2.0  # differences that a round may move a camera
DAMPING = 1e-5  # of the mean diagonal of the normal equations


def refined_poses(pictures: Pictures, lattice: Lattice, random: np.random.Generator) -> CameraArrays:
    """The cameras of the pictures after one round.

    Args:
        pictures: that are fitted; those of their pixels that count are looked at.
        lattice: of the field.
        random: of the pixels.
    """
    pixels, owners = some_pixels(pictures, random)
    target = pictures.colors[pixels].astype(np.float32) / np.float32(255)
    cameras = pictures.cameras
    units = difference_units(cameras, pictures.shrink, lattice)
    here = colors_of(pictures, lattice, pixels)
    slopes = np.empty((len(pixels), 3, 6), np.float32)
    for number in range(6):
        sides = []
        for sign in (0.5, -0.5):
            change = np.zeros((len(units), 6))
            change[:, number] = sign
            sides.append(colors_of(replace(pictures, cameras=moved(cameras, change * units)), lattice, pixels))
        slopes[..., number] = sides[0] - sides[1]
    changes = np.zeros((len(units), 6))
    for which in range(len(units)):
        mine = owners == which
        rows = slopes[mine].reshape(-1, 6).astype(float)
        normal = rows.T @ rows
        if not normal.any():
            continue
        normal += DAMPING * np.trace(normal) / 6 * np.eye(6)
        step = np.linalg.solve(normal, rows.T @ (target[mine] - here[mine]).ravel())
        changes[which] = step * min(1.0, FARTHEST / np.abs(step).max())
    return moved(cameras, changes * units)


def some_pixels(pictures: Pictures, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels that count, `PIXELS` of every photograph that has any, and the numbers of their photographs.

    They are drawn by their differences from the next pixels to the right and below.
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
            reached = np.cumsum(1 + contrast(pictures, drawn, which))
            parts.append(drawn[np.searchsorted(reached, random.uniform(0, reached[-1], PIXELS))])
    return np.concatenate(parts), np.concatenate(owners)


def contrast(pictures: Pictures, pixels: np.ndarray, which: int) -> np.ndarray:
    """How much the colours of pixels of one photograph differ from their neighbours', in levels, (n,)."""
    begin, end, width = pictures.first[which], pictures.first[which + 1], pictures.widths[which]
    aside = np.where((pixels - begin + 1) % width, pixels + 1, pixels)
    below = np.where(pixels + width < end, pixels + width, pixels)
    here, *others = (pictures.colors[places].astype(np.float32) for places in (pixels, aside, below))
    return np.asarray(np.sqrt(sum(((other - here) ** 2).sum(axis=1) for other in others)))


def difference_units(cameras: CameraArrays, shrink: int, lattice: Lattice) -> np.ndarray:
    """Turns and shifts (n, 6) that move the middle of the field by `DIFFERENCE` pixels."""
    domain = lattice.field.domain
    away = np.linalg.norm(cameras.positions - (domain.low + domain.high) / 2, axis=1)
    turn = DIFFERENCE * shrink / cameras.lenses[:, 0]
    return np.stack([turn] * 3 + [turn * away] * 3, axis=1)


def moved(cameras: CameraArrays, changes: np.ndarray) -> CameraArrays:
    """Cameras after turns and shifts (n, 6)."""
    turns = Rotation.from_rotvec(changes[:, :3]).as_matrix() @ cameras.turns
    return CameraArrays(turns, cameras.positions + changes[:, 3:], cameras.lenses)


def colors_of(pictures: Pictures, lattice: Lattice, pixels: np.ndarray) -> np.ndarray:
    """The field's colours (n, 3) at pixels."""
    (start, along), views = rays_of(pictures, lattice.field, pixels)
    color, middle = np.empty_like(start), np.empty_like(start)
    behind = np.array(lattice.field.background, np.float32)
    kernels.render(
        start, along, views, behind, lattice.bricks, lattice.how, lattice.decoder, color, np.empty(len(start), np.float32),
        middle,
    )  # fmt: skip
    return color
