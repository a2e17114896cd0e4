"""One HTML file that is a radiance field: its bricks inside, marched through in the browser.

Convention: a page stores what rays can meet. A node counts if it is a corner of a cell that can be seen
(`ungrid.kernels.bricks`). Each of its eight numbers is the place of its value in a table of up to 256 half floats, of which the
first one is that of a node that is not stored. Places are written as differences from the node before, modulo 256, which
deflate shortens by a sixth. `page/bricks.js` of the viewer reads it.
"""

import math
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.fields import BlockField, BrickField, Field
from ungrid.fields.blocks import joined
from ungrid.fields.radiance import BRICK
from ungrid.kernels.bricks import WIDTH
from ungrid.radiance.frames import meeting_point
from ungrid.radiance.lattice import Lattice
from ungrid.radiance.paths import own_cameras
from ungrid.radiance.render import Renderer
from ungrid.sampling import Camera
from ungrid.viewer.description import Entry, Numbers
from ungrid.viewer.share import SharedPage, page_path, write_page

NODES = BRICK**3  # of a brick
LEVELS = (31, 63, 127, 255)  # of a number, besides that of nodes that are not stored
TOLERANCE = 0.02  # of colours: what is fitted to photographs is farther from them
BEND = 2.0  # raw density above which levels are spread by its logarithm, and below minus this
SIDE = 64  # pixels of the picture by which the effect of rounding is measured
LENS = 0.35  # half of what a picture shows at distance 1, where no camera is known
AWAY = 1.3  # diagonals of the box from its middle to the first view there
LEVEL = 0.3  # of how far cameras turn about the vertical, their roll, so that it says what is up
SWING = 0.4  # radians to each side where photographs were taken from one side
COST = 2000.0  # products of a ray, roughly
RAYS = ("x", "y", "z", "to x", "to y", "to z")
VALUES = ("red", "green", "blue", "depth")


def share_scene(
    u: Field,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    facts: dict[str, Any] | None = None,
    tolerance: float = TOLERANCE,
) -> SharedPage:
    """Write one HTML file that shows a radiance field from all sides, in the browser.

    Args:
        u: a field in bricks, on the CPU.
        path: where to; ends in ``.html``.
        title: of the page; default: its file's name.
        facts: further lines about the field: names and texts.
        tolerance: by how much colours of a picture of the first view may change so that numbers need fewer levels, of which
            there are 255 at most. The page says what was changed.

    Returns:
        What was written; `rounding` is the largest change of a colour in a picture of the first view.

    Raises:
        InputError: if it is another field, or the path cannot be written.
    """
    target = page_path(path)
    if isinstance(u, BlockField):
        u = joined(u)
    if not isinstance(u, BrickField):
        raise InputError(f"a {type(u).__name__} for the page of a scene", "a radiance field in bricks")
    camera, met = first_camera(u), nodes_met(Lattice(u))
    truth = Renderer(u).view(camera)
    for count in LEVELS:
        kept, stored, codes, table = packed(u, met, count)
        changes = np.abs(Renderer(kept).view(camera) - truth)
        if changes.max() <= tolerance:
            break
    numbers = Numbers()
    loss = f"colours change by up to {changes.max():.1e}, by {changes.mean():.1e} in the mean"
    described = {
        "Nodes": f"{int(stored.sum()):,} of {NODES * u.kept:,}".replace(",", " "),
        "Rounded": f"{count} levels for a number; {loss}",
        **{name: str(value) for name, value in (facts or {}).items()},
    }
    description = {
        **scene(kept, stored, codes, table, numbers),
        "title": title or target.stem, "view": "scene", "kind": "scene", "facts": described, "camera": around(u, camera),
    }  # fmt: skip
    return SharedPage(target, write_page(target, description, numbers), float(changes.max()))


def packed(u: BrickField, met: np.ndarray, count: int) -> tuple[BrickField, np.ndarray, np.ndarray, np.ndarray]:
    """The field as its page has it, and what the page stores.

    Args:
        u: the field.
        met: which of its nodes rays can meet, of `nodes_met`.
        count: levels of a number, 255 at most.

    Returns:
        The field without nodes that no ray can meet, rounded; which nodes are stored, booleans (kept, 64); for each of them the
        places of its numbers (n, 8) uint8, from 1 on; and the tables (8, count + 1) float16.
    """
    needed = met.reshape(-1, NODES)
    bricks = np.flatnonzero(needed.any(axis=1))
    stored, values = needed[bricks], u.nodes.detach().numpy().reshape(-1, NODES, WIDTH)
    given, empty = values[bricks][stored], values[0, 0]
    bends = [BEND] + [math.inf] * (WIDTH - 1)
    table = np.stack([levels(given[:, c], float(empty[c]), count, bend) for c, bend in enumerate(bends)])
    codes = np.stack([nearest(given[:, c], table[c, 1:].astype(np.float64)) for c in range(WIDTH)], axis=1)
    kept = BrickField(**{**u.arguments(), "kept": len(bricks)})
    nodes = np.tile(empty, (len(bricks) + 1, NODES, 1))
    nodes[1:][stored] = np.take_along_axis(table.astype(np.float32), codes.T.astype(np.int64) + 1, axis=1).T
    with torch.no_grad():
        kept.places[:] = u.places[torch.from_numpy(bricks - 1)]
        kept.nodes[:] = torch.from_numpy(nodes.reshape(-1, WIDTH))
        for name in ("first", "second", "last"):
            getattr(kept, name).copy_(getattr(u, name))
    return kept, stored, (codes + 1).astype(np.uint8), table


def nodes_met(lattice: Lattice) -> np.ndarray:
    """Which nodes are corners of cells that can be seen: booleans (nodes,), False for brick 0."""
    places, behind = lattice.places, np.pad(lattice.index, ((0, 1),) * 3)
    bits = lattice.mask.astype("<u8").view(np.uint8).reshape(-1, 8)
    seen = np.unpackbits(bits, axis=1, bitorder="little").astype(bool).reshape(-1, BRICK, BRICK, BRICK)
    met = np.zeros((len(places), BRICK, BRICK, BRICK), bool)
    for corner in np.ndindex(2, 2, 2):
        brick, i, j, k = np.nonzero(seen)
        node = np.stack([i, j, k], axis=1) + corner
        over, local = np.divmod(node, BRICK)
        owner = behind[tuple((places[brick] + over).T)]
        met[owner, local[:, 0], local[:, 1], local[:, 2]] = True
    met[0] = False
    return met.ravel()


def levels(values: np.ndarray, empty: float, count: int, bend: float) -> np.ndarray:
    """The value of a node that is not stored, and `count` ascending ones from the least to the largest, (count + 1,) float16.

    Evenly spread; beyond `bend` on either side by the logarithm.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if math.isinf(bend):
        spread = np.linspace(low, high, count)
    else:
        spread = bend * np.sinh(np.linspace(np.arcsinh(low / bend), np.arcsinh(high / bend), count))
    return np.concatenate([[empty], spread]).astype(np.float16)


def nearest(values: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """The place of the nearest of ascending numbers."""
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def scene(kept: BrickField, stored: np.ndarray, codes: np.ndarray, table: np.ndarray, numbers: Numbers) -> Entry:
    """What `page/bricks.js` evaluates; its numbers go to `numbers`."""
    how = Lattice(kept).how
    frame = np.reshape(kept.frame, (4, 4))
    march = {"step": how.step, "scale": how.scale, "floor": how.floor, "least": how.least, "stop": how.stop}
    return {
        "kindOfField": "scene", "out_names": VALUES, "beside": [], "outline": [], "precise": False, "cost": COST,
        "axes": [{"name": name, "unit": ""} for name in RAYS], "center": [0.0] * len(RAYS), "scale": [1.0] * len(RAYS),
        "blocks": kept.blocks, "contracted": kept.contracted, "background": kept.background,
        "frame": frame.ravel().tolist(), "back": np.linalg.inv(frame).ravel().tolist(),
        "march": {name: float(number) for name, number in march.items()},
        "density_scale": kept.depth_per_node * kept.stretch,
        "places": numbers.add(kept.places.T, "uint8"),
        "stored": numbers.add(np.packbits(stored, axis=1, bitorder="little"), "uint8"),
        "codes": numbers.add(np.diff(codes, axis=0, prepend=np.uint8(0)).T, "uint8"), "levels": table.shape[1],
        "table": numbers.add(table.view(np.uint16), "uint16"),
        "decoder": [numbers.add(weights) for weights in (kept.first, kept.second, kept.last)],
    }  # fmt: skip


def first_camera(u: BrickField) -> Camera:
    """Where the page begins: the first photograph's camera, the mean one of photographs from one side; square, and small."""
    if not u.view.get("poses"):
        middle, diagonal = (u.domain.low + u.domain.high) / 2, float(np.linalg.norm(u.domain.high - u.domain.low))
        back = np.array([0.8, 0.36, 0.48])
        pose = np.eye(4)
        right = np.cross([0.0, 0.0, 1.0], back) / np.linalg.norm(np.cross([0.0, 0.0, 1.0], back))
        pose[:3] = np.stack([right, np.cross(back, right), back, middle + AWAY * diagonal * back], axis=1)
        return Camera(tuple(pose.ravel().tolist()), SIDE, SIDE, SIDE / 2 / LENS, SIDE / 2 / LENS, SIDE / 2, SIDE / 2)
    cameras = own_cameras(u)
    first = cameras[0]
    focal = SIDE * min(first.fx / first.width, first.fy / first.height)
    pose = first.matrix.copy()
    if u.view.get("forward_facing"):
        pose[:3, 3] = np.mean([camera.position for camera in cameras], axis=0)
    return replace(
        first, pose=tuple(pose.ravel().tolist()), width=SIDE, height=SIDE, fx=focal, fy=focal, cx=SIDE / 2, cy=SIDE / 2
    )


def around(u: BrickField, first: Camera) -> Entry:
    """What the page turns around, and from where it begins.

    A page's camera looks at the middle and has no roll, hence does not show quite what the first one does.
    """
    cameras = own_cameras(u) if u.view.get("poses") else [first]
    up = upwards(cameras)
    middle = middle_of(u, cameras)
    away = first.position - middle
    distance = float(np.linalg.norm(away))
    height = float(np.clip(away @ up / distance, -1, 1))
    side = away - (away @ up) * up
    if np.linalg.norm(side) < 1e-6 * distance:  # seen from straight above: what is up in its picture lies ahead
        side = -first.matrix[:3, 1]
    return {
        "middle": middle.tolist(), "distance": distance, "up": up.tolist(), "side": (side / np.linalg.norm(side)).tolist(),
        "pitch": math.asin(height), "lens": SIDE / 2 / first.fy,
        "swing": SWING if u.view.get("forward_facing") else None,
    }  # fmt: skip


def upwards(cameras: list[Camera]) -> np.ndarray:
    """The unit vector (3,) across the right sides of all pictures; the mean one up in them, where these do not say it."""
    turns = np.stack([camera.matrix[:3, :3] for camera in cameras])
    mean = turns[:, :, 1].mean(axis=0)
    _, sizes, axes = np.linalg.svd(turns[:, :, 0])
    if len(cameras) > 2 and sizes[2] < LEVEL * sizes[1]:
        return np.asarray(axes[2] * np.sign(axes[2] @ mean))
    return np.asarray(mean / np.linalg.norm(mean))


def middle_of(u: BrickField, cameras: list[Camera]) -> np.ndarray:
    """What the cameras look at; the middle of the box where they look away from each other, or are one."""
    if len(cameras) > 1:
        with suppress(InputError):
            return meeting_point(cameras)
    return np.asarray((u.domain.low + u.domain.high) / 2)
