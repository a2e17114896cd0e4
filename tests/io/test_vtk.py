"""VTK files, read back: places, values, volumes of the cells, what is left out."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Box, RegularGrid
from ungrid.io import write
from ungrid.sampling import GridSamples

meshio = pytest.importorskip("meshio")


def linear(shape, missing=None, **axes) -> GridSamples:
    """u = 1 + Σ (k + 1) x_k on a grid."""
    grid = RegularGrid(Box(**axes), shape)
    values = 1 + (grid.points() * np.arange(1, len(shape) + 1)).sum(axis=-1, keepdims=True)
    if missing is not None:
        values[missing] = np.nan
    return GridSamples(grid, values.astype(np.float32), ("u",), "grid")


def signed_sizes(points: np.ndarray) -> np.ndarray:
    """Lengths, areas or volumes of cells (n, 2^d, d) that are boxes, negative where inside out."""
    d = points.shape[-1]
    edges = points[:, {1: [1], 2: [1, 3], 3: [1, 3, 4]}[d]] - points[:, :1]
    return np.linalg.det(edges)


@pytest.mark.parametrize("axes", [{"x": (0, 2)}, {"x": (0, 2), "y": (-1, 1)}, {"y": (0, 2), "x": (-1, 1)},
                                  {"z": (0, 2), "y": (0, 1), "x": (0, 3)}])  # fmt: skip
def test_values_lie_where_their_axes_say_and_no_cell_is_inside_out(tmp_path, axes):
    samples = linear(tuple(range(4, 4 + len(axes))), **axes)
    write(tmp_path / "a.vtu", samples)
    mesh = meshio.read(tmp_path / "a.vtu")
    order = ["xyz".index(name) for name in axes]
    found = 1 + (mesh.points[:, order] * np.arange(1, len(axes) + 1)).sum(axis=1)
    np.testing.assert_allclose(mesh.point_data["u"], found, rtol=1e-6)
    sizes = signed_sizes(mesh.points[mesh.cells[0].data][..., : len(axes)])
    np.testing.assert_allclose(sizes, np.prod(samples.grid.spacing), rtol=1e-9)
    assert len(sizes) == np.prod([n - 1 for n in samples.grid.shape])


def test_cells_at_missing_values_are_left_out(tmp_path):
    write(tmp_path / "a.vtu", linear((5, 5), missing=(slice(3, None), slice(3, None)), x=(0, 1), y=(0, 1)))
    mesh = meshio.read(tmp_path / "a.vtu")
    assert len(mesh.cells[0].data) == 16 - 4
    assert not np.isnan(mesh.point_data["u"]).any()


def test_one_sample_along_an_axis_is_no_grid(tmp_path):
    with pytest.raises(InputError, match="at least 2"):
        write(tmp_path / "a.vtu", linear((1, 5), x=(0, 1), y=(0, 1)))
    assert not list(tmp_path.iterdir())
