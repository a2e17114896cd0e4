"""The zero surface of a signed distance field, as triangles.

Convention: the field is negative inside; faces are counter-clockwise seen from outside; vertex columns are x, y, z.
"""

from typing import TYPE_CHECKING

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.domains import Box, TriangleMesh

if TYPE_CHECKING:
    from ungrid.fields import Field


def zero_surface(u: "Field", part: Box, shape: tuple[int, ...]) -> TriangleMesh:
    """Marching cubes (Lewiner et al. 2003) on the samples of `u` at the cell centres of `part`.

    Raises:
        InputError: if the field is not a scalar one in space, or is zero nowhere in `part`.
    """
    names = [axis.name for axis in part.axes]
    if sorted(names) != ["x", "y", "z"] or len(u.out_names) != 1:
        raise InputError(f"a field {', '.join(names)} -> {', '.join(u.out_names)}", "a signed distance over x, y, z")
    if min(shape) < 2:
        raise InputError(f"a surface on {shape} samples", "at least 2 along every axis")
    from ungrid.signals import sample_grid

    bounds = tuple((axis.low, axis.high) for axis in part.axes)
    values = sample_grid(u, shape, region=bounds, footprint=False)[..., 0]
    if not values.min() < 0 < values.max():
        raise InputError(
            "a field without a change of sign", "negative values inside, positive ones outside", "is it a shape?"
        )
    spacing = (part.high - part.low) / np.array(shape)
    measure = require("skimage.measure", "mesh")
    vertices, faces, _, _ = measure.marching_cubes(values, 0.0, spacing=tuple(spacing), gradient_direction="descent")
    vertices = vertices.astype(np.float64) + part.low + spacing / 2
    columns = [names.index(name) for name in "xyz"]
    if np.linalg.det(np.eye(3)[columns]) < 0:  # a mirrored order of the axes turns every face around
        faces = faces[:, ::-1]
    return TriangleMesh(np.ascontiguousarray(vertices[:, columns]), faces.astype(np.int64))
