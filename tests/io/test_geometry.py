"""Regions from DXF, SVG, gmsh and STL: exact areas of drawings that the tests write themselves."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Box, ClosedSurface, Outlined, Segment, TriangleMesh, TriangulatedRegion
from ungrid.io.drawings import transformed
from ungrid.io.geometry import read_region
from ungrid.io.meshes import write_mesh
from ungrid.io.svg import CHORDS


def dxf(tmp_path, *entities, units=None):
    header = f"0\nSECTION\n2\nHEADER\n9\n$INSUNITS\n70\n{units}\n0\nENDSEC\n" if units else ""
    file = tmp_path / "drawing.dxf"
    body = "".join(f"0\n{kind}\n" + "".join(f"{code}\n{value}\n" for code, value in pairs) for kind, *pairs in entities)
    file.write_text(f"{header}0\nSECTION\n2\nENTITIES\n{body}0\nENDSEC\n0\nEOF\n")
    return file


def line(a, b, layer="0"):
    return "LINE", (8, layer), (10, a[0]), (20, a[1]), (11, b[0]), (21, b[1])


def svg(tmp_path, body, view='viewBox="0 0 10 10"'):
    file = tmp_path / "drawing.svg"
    file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {view}>{body}</svg>')
    return file


def test_loose_lines_of_either_direction_make_a_square_with_a_hole(tmp_path):
    corners = [(0, 0), (2, 0), (2, 2), (0, 2)]
    lines = [line(corners[k], corners[(k + 1) % 4], f"side{k}") for k in (2, 0, 3)] + [line((2, 2), (2, 0), "side1")]
    hole = ("CIRCLE", (8, "hole"), (10, 1), (20, 1), (40, 0.5))
    region = read_region(dxf(tmp_path, *lines, hole, ("TEXT", (1, "passed over")), units=4))
    assert region.measure == pytest.approx(4 - np.pi / 4, rel=1e-14)
    assert region.boundary_measure("hole") == pytest.approx(np.pi, rel=1e-14)
    assert set(region.parts) == {"side0", "side1", "side2", "side3", "hole"}
    assert [axis.unit for axis in region.axes] == ["mm", "mm"]
    assert region.normal(np.array([[1.5, 1.0], [1.0, 0.0]])) == pytest.approx(np.array([[-1, 0], [0, -1]]))


def test_a_layer_of_a_drawing(tmp_path):
    square = [line(a, b, "outer") for a, b in (((0, 0), (2, 0)), ((2, 0), (2, 2)), ((2, 2), (0, 2)), ((0, 2), (0, 0)))]
    file = dxf(tmp_path, *square, ("CIRCLE", (8, "core"), (10, 1), (20, 1), (40, 0.5)))
    assert read_region(file, layers=("outer",)).measure == pytest.approx(4, rel=1e-14)
    assert read_region(file, layers=("core",)).measure == pytest.approx(np.pi / 4, rel=1e-14)
    with pytest.raises(InputError, match=r"'wood'.*outer, core"):
        read_region(file, layers=("wood",))


def test_bulges_are_arcs(tmp_path):
    """A slot: two straight sides of length 3 and two half circles, once with either sense of the bulge."""
    slot = ("LWPOLYLINE", (8, "0"), (90, 4), (70, 1), (10, 0), (20, 0), (10, 3), (20, 0), (42, 1), (10, 3), (20, 2),
            (10, 0), (20, 2), (42, 1))  # fmt: skip
    region = read_region(dxf(tmp_path, slot))
    assert region.measure == pytest.approx(6 + np.pi, rel=1e-14)
    assert region.corners == ()
    waist = [pair if pair[0] != 42 else (42, -0.5) for pair in slot[1:]]
    sagitta, chord = 0.5, 2.0  # bulge = sagitta / half chord
    radius = (chord**2 / 4 + sagitta**2) / (2 * sagitta)
    angle = 4 * np.arctan(0.5)
    segment = radius**2 / 2 * (angle - np.sin(angle))
    assert read_region(dxf(tmp_path, ("LWPOLYLINE", *waist))).measure == pytest.approx(6 - 2 * segment, rel=1e-13)


def test_the_old_polyline_reads_like_the_new_one(tmp_path):
    file = tmp_path / "old.dxf"
    vertices = "".join(
        f"0\nVERTEX\n8\n0\n10\n{x}\n20\n{y}\n42\n{b}\n" for x, y, b in [(0, 0, 0), (3, 0, 1), (3, 2, 0), (0, 2, 1)]
    )
    file.write_text(
        f"0\nSECTION\n2\nENTITIES\n0\nPOLYLINE\n8\n0\n66\n1\n70\n1\n{vertices}0\nSEQEND\n0\nENDSEC\n0\nEOF\n"
    )
    assert read_region(file).measure == pytest.approx(6 + np.pi, rel=1e-14)


def test_arcs_and_ellipses(tmp_path):
    """The upper half of an ellipse closed by an arc of a circle below and a line."""
    half = ("ELLIPSE", (8, "0"), (10, 0), (20, 0), (11, 2), (21, 0), (40, 0.5), (41, 0), (42, np.pi))
    below = ("ARC", (8, "0"), (10, 0), (20, 0), (40, 2), (50, 180), (51, 360))
    region = read_region(dxf(tmp_path, half, below))
    assert region.measure == pytest.approx(np.pi * 2 / 2 + np.pi * 4 / 2, rel=1e-14)


def test_rounded_coordinates_are_joined(tmp_path):
    """Files with six digits leave gaps of 1e-6; the arc is turned and scaled to the joints."""
    c = round(np.sqrt(0.5), 6)
    arc = ("ARC", (8, "0"), (10, 0), (20, 0), (40, 1), (50, 45), (51, 135))
    region = read_region(dxf(tmp_path, line((0, 0), (c, c)), line((-c, c), (0, 0)), arc))
    assert region.measure == pytest.approx(np.pi / 4, rel=1e-6)
    assert len(region.corners) == 3


def test_an_open_drawing_names_the_gap(tmp_path):
    with pytest.raises(InputError, match=r"open outline: a loose end at .*0\.1 from the next"):
        read_region(dxf(tmp_path, line((0, 0), (1, 0)), line((1, 0), (0.5, 1)), line((0.5, 1), (0, 0.1))))
    with pytest.raises(InputError, match="3 ends at"):
        read_region(
            dxf(
                tmp_path,
                line((0, 0), (1, 0)),
                line((1, 0), (0.5, 1)),
                line((0.5, 1), (0, 0)),
                line((0, 0), (5, 5)),
                line((5, 5), (1, 0)),
            )
        )


def test_what_a_drawing_cannot_hold_is_refused(tmp_path):
    with pytest.raises(InputError, match="SPLINE"):
        read_region(dxf(tmp_path, ("SPLINE", (8, "0"))))
    with pytest.raises(InputError, match="normal"):
        read_region(dxf(tmp_path, ("CIRCLE", (10, 0), (20, 0), (40, 1), (230, -1))))
    file = tmp_path / "x.dxf"
    file.write_bytes(b"AutoCAD Binary DXF\r\n\x1a\x00")
    with pytest.raises(InputError, match="ASCII"):
        read_region(file)
    file.write_text("not\na drawing\n")
    with pytest.raises(InputError, match="DXF"):
        read_region(file)
    with pytest.raises(InputError, match=r"one of \.dxf"):
        read_region(__file__)


def test_svg_shapes_have_their_areas(tmp_path):
    body = """<rect id="plate" x="0" y="0" width="10" height="8"/><circle id="hole" cx="2" cy="2" r="1"/>
    <ellipse cx="6" cy="4" rx="2" ry="1" transform="rotate(30 6 4)"/><polygon points="1,5 2,5 2,7"/>
    <defs><circle cx="0" cy="0" r="100"/></defs>"""
    region = read_region(svg(tmp_path, body))
    assert region.measure == pytest.approx(80 - np.pi - 2 * np.pi - 1, rel=1e-13)
    assert region.parts == ("plate", "hole", "boundary")
    assert region.boundary_measure("hole") == pytest.approx(2 * np.pi, rel=1e-13)
    inside = region.contains(np.array([[2.0, 8.0], [2.0, 2.0]]))  # y points up: the hole is near the top
    assert inside.tolist() == [False, True]


@pytest.mark.parametrize(
    ("d", "area"),
    [
        ("M1 1 H4 V3 H1 Z", 6),
        ("m1 1 3 0 0 2 -3 0z", 6),
        ("M0 0 L4 0 A2 2 0 0 1 0 0 Z", 2 * np.pi),
        ("M0 0h4a2,2 0 01-4 0z", 2 * np.pi),  # flags without spaces
        ("M2 0 A2 2 0 1 1 0 2 L0 0 Z", np.pi * 4 * 0.75 + 4),  # three quarters of a circle about (2, 2), and a square
        ("M0 0 H4 V4 H0 Z M1 1 V2 H2 V1 Z", 15),
        ("M1 0 A1 2 0 0 1 -1 0 A1 2 0 0 1 1 0 Z", 2 * np.pi),
    ],
)  # fmt: skip
def test_svg_paths(tmp_path, d, area):
    assert read_region(svg(tmp_path, f'<path d="{d}"/>')).measure == pytest.approx(area, rel=1e-13)


@pytest.mark.parametrize(
    ("d", "area", "deficit"),
    [
        ("M0 0 C0 1 3 1 3 0 Z", 9 / 5, 36 / 12),
        ("M0 0 Q1.5 1.5 3 0 Z", 3 / 2, 18 / 12),
        ("M0 0 Q.75 .75 1.5 .75 T 3 0 Z", 3 / 2, 2 * 2.25 / 12),
    ],
)
def test_bezier_curves_are_polylines_of_second_order(tmp_path, d, area, deficit):
    """The area is the integral of y x'; n chords lose the integral of |x' y'' - y' x''| over 12 n^2, to leading order."""
    region = read_region(svg(tmp_path, f'<path d="{d}"/>'))
    assert region.measure == pytest.approx(area - deficit / CHORDS**2, abs=1e-6)


def test_an_open_path_and_a_broken_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="open SVG path 'wing'"):
        read_region(svg(tmp_path, '<path id="wing" d="M0 0 L1 0 L1 1"/>'))
    with pytest.raises(InputError, match="multiple of 2"):
        read_region(svg(tmp_path, '<path d="M0 0 L1 0 2 Z"/>'))
    with pytest.raises(InputError, match="SVG file"):
        read_region(svg(tmp_path, "<path"))
    with pytest.raises(InputError, match="without closed shapes"):
        read_region(svg(tmp_path, "<text>nothing</text>"))


def test_affine_maps_keep_curves_where_they_map_the_points():
    rng = np.random.default_rng(3)
    s = np.linspace(0, 1, 20)
    for curve in (Arc((1.0, 2.0), (2.0, 0.5), 0.7, 0.3, -2.0), Arc((0, 1), (1, 1), 0, 1, 4), Segment((0, 1), (2, 5))):
        for _ in range(10):
            matrix, shift = rng.normal(size=(2, 2)), rng.normal(size=2)
            np.testing.assert_allclose(
                transformed(curve, matrix, shift).at(s), curve.at(s) @ matrix.T + shift, atol=1e-12
            )


MSH2 = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
2
1 7 "bottom"
2 1 "plate"
$EndPhysicalNames
$Nodes
5
1 0 0 0
2 2 0 0
3 2 1 0
4 0 1 0
9 1 0.5 0
$EndNodes
$Elements
5
1 1 2 7 1 1 2
2 2 2 1 1 1 2 9
3 2 2 1 1 2 3 9
4 2 2 1 1 3 4 9
5 2 2 1 1 4 1 9
$EndElements
"""

MSH4 = """$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
1
2 3 "base"
$EndPhysicalNames
$Entities
0 0 1 1
1 0 0 0 1 1 0 1 3 0
1 0 0 0 1 1 1 0 1 1
$EndEntities
$Nodes
1 4 1 4
3 1 0 4
1
2
3
4
0 0 0
1 0 0
0 1 0
0 0 1
$EndNodes
$Elements
2 2 1 2
2 1 2 1
1 1 2 3
3 1 4 1
2 1 2 3 4
$EndElements
"""


def test_meshes_of_gmsh(tmp_path):
    file = tmp_path / "plate.msh"
    file.write_text(MSH2)
    plate = read_region(file)
    assert isinstance(plate, TriangulatedRegion)
    assert plate.measure == pytest.approx(2)
    assert (plate.boundary_measure("bottom"), plate.boundary_measure("boundary")) == pytest.approx((2, 4))
    file.write_text(MSH4)
    solid = read_region(file)
    assert solid.measure == pytest.approx(1 / 6)
    assert solid.boundary_measure("base") == pytest.approx(0.5)
    assert solid.boundary_measure("boundary") == pytest.approx(1 + np.sqrt(3) / 2)


DAMAGE = [
    ("2.2 0 8", "2.2 1 8"),
    ("2.2 0", "1.0 0"),
    ("2 2 2 1 1", "2 3 2 1 1"),
    ("$Nodes\n5", "$Gone\n5"),
    ("9 1 0.5 0", "9 1 0.5 1"),
]


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_damaged_meshes_are_refused(tmp_path, old, new):
    file = tmp_path / "plate.msh"
    file.write_text(MSH2.replace(old, new))
    with pytest.raises(InputError, match="plate"):
        read_region(file)


def test_a_closed_surface_from_stl(tmp_path):
    corners = np.stack(np.meshgrid([0, 2], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    mesh = TriangleMesh(corners, quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3))
    write_mesh(tmp_path / "brick.stl", mesh)
    region = read_region(tmp_path / "brick.stl")
    assert isinstance(region, ClosedSurface)
    assert region.measure == pytest.approx(2, rel=1e-6)
    assert region.boundary_measure() == pytest.approx(10, rel=1e-6)
    points = np.random.default_rng(0).uniform(-0.5, 2.5, (2000, 3))
    np.testing.assert_array_equal(region.contains(points), Box(x=(0, 2), y=(0, 1), z=(0, 1)).contains(points))
    write_mesh(tmp_path / "open.stl", TriangleMesh(mesh.vertices, mesh.faces[1:]))
    with pytest.raises(InputError, match="watertight"):
        read_region(tmp_path / "open.stl")


def test_a_drawing_can_be_cut_further(tmp_path):
    region = read_region(svg(tmp_path, '<rect width="4" height="2"/>', "")) - Outlined([[Arc((0, 0), (1, 1))]])
    assert region.measure == pytest.approx(8 - np.pi / 4, rel=1e-13)
