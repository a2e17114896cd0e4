"""A radiance field seen by a camera: pictures, depths, normals, opacities.

Convention: pictures (height, width, channels), colours in [0, 1] on the field's background; depths along the optical axis in
the world's units, NaN where a ray meets less than half of an opacity; normals are unit vectors of the world, towards the
outside.
"""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.fields import BrickField, Field
from ungrid.kernels import bricks as kernels
from ungrid.kernels.blas import single_threaded_blas
from ungrid.radiance.frames import lattice_rays
from ungrid.radiance.lattice import Lattice
from ungrid.sampling import Camera, camera_rays

QUANTITIES = ("value", "depth", "normals", "opacity")
MET = 0.5  # opacity from which a ray counts as having met something


class Renderer:
    """Renders views of one field.

    Args:
        field: on the CPU.

    Raises:
        InputError: if it is no radiance field.
    """

    def __init__(self, field: Field) -> None:
        if not isinstance(field, BrickField):
            raise InputError(f"views of a {type(field).__name__}", "a radiance field")
        self.field, self.lattice = field, Lattice(field)

    def view(self, camera: Camera, quantity: str = "value") -> np.ndarray:
        """A picture (height, width, channels).

        Raises:
            InputError: if there is no such quantity.
        """
        if quantity not in QUANTITIES:
            raise InputError(f"the quantity {quantity!r}", ", ".join(QUANTITIES))
        color, opacity, place = self._rays(*camera_rays(camera))
        if quantity == "value":
            flat = color.clip(0, 1)
        elif quantity == "opacity":
            flat = opacity[:, None]
        elif quantity == "depth":
            depth = (place - camera.position) @ camera.forward
            flat = np.where(opacity >= MET, depth, np.nan)[:, None].astype(np.float32)
        else:
            flat = np.where(opacity[:, None] >= MET, self.normals(np.nan_to_num(place)), np.nan).astype(np.float32)
        return flat.reshape(camera.height, camera.width, -1)

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) against the gradient of the raw density at points of the world, by central differences."""
        spacing = 1.0 / self.field.stretch
        slope = np.stack(
            [
                np.log(self.field(points + spacing * axis) + 1e-6) - np.log(self.field(points - spacing * axis) + 1e-6)
                for axis in np.eye(3)
            ],
            axis=1,
        )[..., 0]
        return -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)

    def _rays(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (n, 3), opacities (n,), and mean places in the world (n, 3) of rays of the world."""
        field, count = self.field, len(origins)
        start, along = lattice_rays(field.frame, field.shape, origins, directions)
        color, middle = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
        opacity = np.empty(count, np.float32)
        behind = np.array(field.background, np.float32)
        with single_threaded_blas():
            kernels.render(
                start, along, np.ascontiguousarray(directions, np.float32), behind, self.lattice.bricks, self.lattice.how,
                self.lattice.decoder, color, opacity, middle,
            )  # fmt: skip
        mean = middle / np.maximum(opacity, 1e-6)[:, None]
        back = np.linalg.inv(np.reshape(field.frame, (4, 4)))
        world = mean @ back[:, :3].T + back[:, 3]
        return color, opacity, world[:, :3] / world[:, 3:]
