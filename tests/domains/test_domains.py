"""Boxes, grids and meshes."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid, TriangleMesh


def test_box_from_names_and_from_axes_agree():
    assert Box(x=(0, 1), y=(-2, 3)) == Box(Axis("x", 0.0, 1.0), Axis("y", -2.0, 3.0))


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (0, np.nan), (-np.inf, 0)])
def test_an_axis_needs_finite_ascending_bounds(bounds):
    with pytest.raises(InputError, match="axis 'x'"):
        Box(x=bounds)


def test_a_box_needs_axes_with_different_names():
    with pytest.raises(InputError):
        Box()
    with pytest.raises(InputError):
        Box(Axis("x", 0, 1), Axis("x", 0, 2))


def test_a_box_contains_its_surface():
    inside = Box(x=(0, 1), y=(0, 2)).contains(np.array([[0.0, 0.0], [1.0, 2.0], [0.5, 2.1], [-0.1, 1.0]]))
    assert inside.tolist() == [True, True, False, False]


def test_pixel_centres_are_half_a_pixel_inside():
    grid = RegularGrid.isotropic((2, 4), ("y", "x"))
    np.testing.assert_allclose(grid.centers(1), [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(grid.centers(0), [-0.25, 0.25])
    np.testing.assert_allclose(grid.spacing, [0.5, 0.5])  # square cells: gradients are isotropic


def test_points_are_in_array_order():
    points = RegularGrid.isotropic((3, 5), ("y", "x")).points()
    assert points.shape == (3, 5, 2)
    assert (np.diff(points[..., 0], axis=0) > 0).all()
    assert (np.diff(points[..., 1], axis=1) > 0).all()


def test_a_grid_through_its_own_centres_is_itself():
    grid = RegularGrid(Box(Axis("z", -3.0, 5.0, "mm"), Axis("x", 0.0, 1.0, "s")), (7, 11))
    again = RegularGrid.through({"z": grid.centers(0), "x": grid.centers(1)}, {"z": "mm", "x": "s"})
    np.testing.assert_allclose(again.box.low, grid.box.low, atol=1e-12)
    np.testing.assert_allclose(again.box.high, grid.box.high, atol=1e-12)
    assert [axis.unit for axis in again.box.axes] == ["mm", "s"]


def test_uneven_coordinates_are_refused():
    with pytest.raises(InputError, match="one spacing"):
        RegularGrid.through({"x": np.array([0.0, 1.0, 3.0])})


TETRAHEDRON = (np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]),
               np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))  # fmt: skip


def test_a_tetrahedron_is_watertight_until_a_face_is_removed():
    vertices, faces = TETRAHEDRON
    assert TriangleMesh(vertices, faces).open_edges() == 0
    assert TriangleMesh(vertices, faces[:3]).open_edges() == 3


@pytest.mark.parametrize("spoil", ["nan", "index", "empty"])
def test_broken_meshes_are_refused(spoil):
    vertices, faces = (part.copy() for part in TETRAHEDRON)
    if spoil == "nan":
        vertices[0, 0] = np.nan
    if spoil == "index":
        faces[0, 0] = 9
    if spoil == "empty":
        faces = faces[:0]
    with pytest.raises(InputError):
        TriangleMesh(vertices, faces)
