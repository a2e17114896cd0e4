"""The classical baseline: a visual hull, on which the nearest photographs are blended.

Conventions: those of `ungrid.radiance.hull`; a pixel shows the first node of the hull on its ray, in the colours of the
photographs that see it under the smallest angles; weights fall to zero at the first angle that is not used (Buehler et al.
2001, *Unstructured lumigraph rendering*, section 3). A photograph sees a place if its own first node lies no farther than
`APART` spacings in front of it.
"""

import numpy as np
from scipy import ndimage

from ungrid.io.scenes import Scene, picture
from ungrid.radiance.frames import extent_of, lattice_rays
from ungrid.radiance.hull import visual_hull
from ungrid.radiance.lattice import new_field
from ungrid.sampling import Camera, camera_rays

NODES = 128
BLENDED = 4  # photographs
APART = 3.0
STEP = 0.5  # spacings


class Blending:
    """Views of the hull of a scene with alpha."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.field = new_field(extent_of(scene), NODES, scene.background, 0)
        self.solid = visual_hull(scene.views, self.field.frame, self.field.shape)
        self.colors = [picture(view, scene.background)[0] / 255.0 for view in scene.views]
        self.depths = []
        for view in scene.views:
            places, met = self.first_places(view.camera)
            away = np.linalg.norm(places - view.camera.position, axis=1)
            self.depths.append(np.where(met, away, np.inf).reshape(view.camera.height, view.camera.width))

    def first_places(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Where the rays of a camera's pixels meet the hull first (n, 3), and whether they do."""
        start, along = lattice_rays(self.field, *camera_rays(camera))
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
        t, met = np.zeros(len(start)), np.zeros(len(start), bool)
        top = np.array(self.field.shape) - 1
        for _ in range(int(np.linalg.norm(top) / STEP)):
            nodes = np.round(start + t[:, None] * along).astype(int)
            inside = ((nodes >= 0) & (nodes <= top)).all(axis=1)
            met |= inside & self.solid[tuple(nodes.clip(0, top).T)]
            t = np.where(met, t, t + STEP)
        back = np.linalg.inv(np.reshape(self.field.frame, (4, 4)))
        return (start + t[:, None] * along) @ back[:3, :3].T + back[:3, 3], met

    def view(self, camera: Camera) -> np.ndarray:
        """A picture (height, width, 3)."""
        places, met = self.first_places(camera)
        shown = np.tile(np.array(self.scene.background), (len(places), 1))
        points = places[met]
        mine = points - camera.position
        angles, seen = [], []
        for view, color, depth in zip(self.scene.views, self.colors, self.depths, strict=True):
            other = view.camera
            offset = points - other.position
            cosine = np.einsum("ni,ni->n", mine, offset) / np.linalg.norm(mine, axis=1) / np.linalg.norm(offset, axis=1)
            local = offset @ other.matrix[:3, :3]
            x = other.cx - other.fx * local[:, 0] / local[:, 2] - 0.5
            y = other.cy + other.fy * local[:, 1] / local[:, 2] - 0.5
            inside = (x > 0) & (y > 0) & (x < other.width - 1) & (y < other.height - 1)
            nearest = np.stack([y, x]).round().astype(int).clip(0, [[other.height - 1], [other.width - 1]])
            visible = inside & (np.linalg.norm(offset, axis=1) < depth[tuple(nearest)] + APART / self.field.stretch)
            angles.append(np.where(visible, np.arccos(cosine.clip(-1, 1)), np.pi))
            seen.append(
                np.stack(
                    [ndimage.map_coordinates(c, [y, x], order=1, mode="nearest") for c in np.moveaxis(color, 2, 0)]
                )
            )
        order = np.argsort(angles, axis=0)[: BLENDED + 1]
        best = np.take_along_axis(np.array(angles), order, axis=0)
        weights = (1 / (best[:-1] + 1e-4)) * (1 - best[:-1] / np.maximum(best[-1:], 1e-4)) + 1e-9
        taken = np.take_along_axis(np.moveaxis(np.array(seen), 1, 2), order[:-1, :, None], axis=0)
        shown[met] = (weights[..., None] * taken).sum(axis=0) / weights.sum(axis=0)[:, None]
        return shown.reshape(camera.height, camera.width, 3)
