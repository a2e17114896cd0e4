"""The visual hull: what the silhouettes of photographs leave of the world.

Convention: a silhouette is where a photograph is not entirely transparent; `ungrid.kernels.rays.carve` says what is carved.
"""

import numpy as np
from scipy import ndimage

from ungrid._base.errors import InputError
from ungrid.io.scenes import View, alpha
from ungrid.kernels import rays as kernels
from ungrid.sampling import CameraArrays


def visual_hull(views: tuple[View, ...], frame: tuple[float, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """Which nodes of a lattice have something around them that shows in all silhouettes; booleans of its shape.

    Args:
        views: with alpha; smaller ones are faster, and carve a little less.
        frame: of the lattice: a similarity.
        shape: its nodes.

    Raises:
        InputError: if the frame is projective, a photograph has no alpha, or nothing is left.
    """
    matrix = np.reshape(frame, (4, 4))
    if not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise InputError("an alpha start of a forward-facing scene", "cameras around an object")
    distances = []
    for view in views:
        transparent = alpha(view) == 0
        distances.append(ndimage.distance_transform_edt(transparent).astype(np.float32))
    cameras = CameraArrays.of([view.camera for view in views])
    sizes = np.array([one.shape for one in distances])
    first = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
    back, solid = np.linalg.inv(matrix), np.empty(shape, bool)
    kernels.carve(
        back, float(np.linalg.norm(back[:3, 0])), np.concatenate([one.ravel() for one in distances]), first,
        sizes[:, 1], sizes[:, 0], cameras.turns, cameras.positions, cameras.lenses, solid,
    )  # fmt: skip
    if not solid.any():
        raise InputError(
            "silhouettes that have nothing in common",
            "photographs of one object",
            "are the poses those of the photographs?",
        )
    return solid
