"""Plain regions and regions put together: exact sizes, normals, corners, names, samples and quadrature."""

import numpy as np
import pytest
from scipy.special import ellipe
from scipy.stats import chi2, kstest

from ungrid._base.errors import InputError
from ungrid.domains import (
    Arc,
    Axis,
    Ball,
    Box,
    ClosedSurface,
    Ellipse,
    Interval,
    Outlined,
    Polygon,
    Segment,
    TriangleMesh,
    TriangulatedRegion,
)

SQUARE = Box(x=(0, 1), y=(0, 1))
LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1))
CUBE = Box(x=(0, 1), y=(0, 1), z=(0, 1))
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
TETRAHEDRON = TriangulatedRegion(CORNERS, np.array([[0, 1, 2, 3]]))
FACES = TriangleMesh(CORNERS, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))

# region, measure, measure of the boundary
EXACT = {
    "interval": (Interval(x=(-1, 2)), 3, 2),
    "box": (Box(x=(0, 2), y=(0, 3)), 6, 10),
    "cube": (Box(x=(0, 2), y=(0, 3), z=(0, 1)), 6, 22),
    "disk": (Ball((1, 2), 0.5), np.pi / 4, np.pi),
    "ball": (Ball((1, 2, 3), 0.5), np.pi / 6, np.pi),
    "ellipse": (Ellipse((1, 2), (3, 1), 0.4), 3 * np.pi, 12 * ellipe(1 - 1 / 9)),
    "triangle": (Polygon([(0, 0), (0, 4), (3, 0)]), 6, 12),
    "lshape": (LSHAPE, 3, 8),
    "frame": (SQUARE - Box(x=(0.25, 0.75), y=(0.25, 0.75)), 0.75, 6),
    "two intervals": (Interval(x=(0, 1)) | Interval(x=(2, 4)), 3, 4),
    "quarter": (Ball((0, 0), 1) & SQUARE, np.pi / 4, 2 + np.pi / 2),
    "tetrahedron": (TETRAHEDRON, 1 / 6, 1.5 + np.sqrt(3) / 2),
    "surface": (ClosedSurface(FACES), 1 / 6, 1.5 + np.sqrt(3) / 2),
}


@pytest.mark.parametrize("name", EXACT)
def test_sizes_are_exact(name):
    region, measure, boundary = EXACT[name]
    assert region.measure == pytest.approx(measure, rel=1e-13)
    assert region.boundary_measure() == pytest.approx(boundary, rel=1e-13)
    assert sum(region.boundary_measure(part) for part in region.parts) == pytest.approx(boundary, rel=1e-13)


@pytest.mark.parametrize("name", [name for name in EXACT if name != "surface"])
def test_quadrature_is_exact_for_polynomials(name):
    """Gauss' theorem: the integral of the divergence of x^k e_i is the flux through the boundary."""
    region, *_ = EXACT[name]
    points, weights = region.quadrature(order=6)
    on, sizes, normals = region.boundary_quadrature(order=8)
    assert (weights > 0).all()
    assert region.contains(points).all()
    scale = np.abs(region.box.high).max() ** 7
    for k in range(7):
        volume, flux = weights @ ((k + 1) * points**k), sizes @ (on ** (k + 1) * normals)
        np.testing.assert_allclose(volume, flux, rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("name", ["interval", "box", "cube", "disk", "ball", "lshape", "quarter"])
def test_cells_of_a_wanted_size_change_nothing_for_polynomials(name):
    region, *_ = EXACT[name]
    coarse, fine = region.quadrature(5), region.quadrature(5, h=0.4)
    assert len(fine.weights) > len(coarse.weights)
    for k in (0, 2, 5):
        coarse_sum, fine_sum = (rule.weights @ rule.points**k for rule in (coarse, fine))
        np.testing.assert_allclose(fine_sum, coarse_sum, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("method", ["sobol", "uniform"])
def test_samples_lie_strictly_inside_and_have_the_right_mean(name, method):
    region, *_ = EXACT[name]
    rng = np.random.default_rng(5)
    points = region.sample(4000, rng, method=method)
    assert points.shape == (4000, region.dim)
    assert (region.side(points) == 1).all()
    rule = (TETRAHEDRON if name == "surface" else region).quadrature(3)
    mean = rule.weights @ rule.points / rule.weights.sum()
    deviation = np.sqrt(rule.weights @ (rule.points - mean) ** 2 / rule.weights.sum() / 4000)
    assert (np.abs(points.mean(axis=0) - mean) < 4 * deviation).all()
    np.testing.assert_array_equal(
        region.sample(7, np.random.default_rng(1)), region.sample(7, np.random.default_rng(1))
    )


def test_samples_fill_cells_evenly():
    """Chi-square over the 48 cells of a grid on the L-shape."""
    points = LSHAPE.sample(9600, np.random.default_rng(2), method="uniform")
    counts, *_ = np.histogram2d(*points.T, bins=8, range=[[-1, 1], [-1, 1]])
    filled = counts[counts > 0]
    assert len(filled) == 48
    assert ((filled - 200) ** 2 / 200).sum() < chi2.ppf(0.999, 47)


@pytest.mark.parametrize(
    "curve", [Arc((1, 2), (3, 0.5), 0.3, 0.2, 5.0), Arc((0, 0), (1, 1), 0, 3, -1), Segment((0, 0), (3, 4))]
)
def test_boundary_samples_are_uniform_in_length(curve):
    points, _ = curve.draw(2000, np.random.default_rng(0))
    fine = curve.at(np.linspace(0, 1, 20001))
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    assert curve.length == pytest.approx(run[-1], rel=1e-7)
    fractions = np.interp(curve.closest(points), np.linspace(0, 1, 20001), run / run[-1])
    assert kstest(fractions, "uniform", method="asymp").pvalue > 1e-3


@pytest.mark.parametrize("name", EXACT)
def test_boundary_samples_carry_normals_and_names(name):
    region, *_ = EXACT[name]
    points, normals, parts = region.sample_boundary(600, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-14)
    assert (region.contains(points - 1e-6 * normals) & ~region.contains(points + 1e-6 * normals)).mean() > 0.99
    assert (region.side(points) == 0).all()
    shares = [region.boundary_measure(part) / region.boundary_measure() for part in region.parts]
    counts = [(parts == part).sum() for part in region.parts]
    assert ((np.array(counts) - 600 * np.array(shares)) ** 2 / (600 * np.array(shares))).sum() < chi2.ppf(
        0.9999, len(shares)
    )
    only = region.sample_boundary(5, np.random.default_rng(1), part=region.parts[-1])
    assert set(only.parts) == {region.parts[-1]}
    np.testing.assert_allclose(region.normal(points)[:300], normals[:300], atol=1e-9)


def test_normals_are_gradients_of_the_implicit_functions():
    ellipse = Ellipse((1, 2), (3, 1), 0.4)
    points, normals, _ = ellipse.sample_boundary(50, np.random.default_rng(0))

    def implicit(x):
        return ((np.linalg.inv(ellipse.pieces[0].frame) @ (x - [1, 2]).T) ** 2).sum(axis=0)

    steps = 1e-6 * np.eye(2)
    slope = np.stack([(implicit(points + e) - implicit(points - e)) / 2e-6 for e in steps], axis=1)
    np.testing.assert_allclose(normals, slope / np.linalg.norm(slope, axis=1, keepdims=True), atol=1e-8)


def test_the_lshape_has_six_corners():
    assert len(LSHAPE.pieces) == 6
    angles = {corner.vertex: corner.angle / np.pi for corner in LSHAPE.corners}
    assert angles.pop((0.0, 0.0)) == pytest.approx(1.5)
    assert list(angles.values()) == pytest.approx([0.5] * 5)
    (corner,) = (corner for corner in LSHAPE.corners if corner.vertex == (0.0, 0.0))
    np.testing.assert_allclose(corner.directions, [(0, 1), (1, 0)])  # the region lies counter-clockwise from the first
    assert corner.parts == ("x_low_2", "y_low_2")


def test_the_angles_of_a_polygon_sum_to_n_minus_2_pi():
    rng = np.random.default_rng(0)
    for n in range(3, 12):
        turn = 2 * np.pi * (np.arange(n) + rng.uniform(0, 0.8, n)) / n
        star = Polygon(rng.uniform(0.5, 2, (n, 1)) * np.stack([np.cos(turn), np.sin(turn)], axis=-1))
        assert sum(corner.angle for corner in star.corners) == pytest.approx((n - 2) * np.pi)


def test_cusps_and_touching_loops():
    ring = Ball((0, 0), 1) - Ball((0.5, 0), 0.5)
    assert [round(corner.angle, 6) for corner in ring.corners] == [0.0, 0.0]
    assert ring.measure == pytest.approx(0.75 * np.pi)
    points, weights = ring.quadrature(8)
    assert weights @ points[:, 0] == pytest.approx(-np.pi / 8, abs=1e-12)
    outside = Ball((0, 0), 1) | Ball((2, 0), 1)
    assert outside.measure == pytest.approx(2 * np.pi)
    assert outside.quadrature(4).weights.sum() == pytest.approx(2 * np.pi)
    boxes = Box(x=(0, 1), y=(0, 1)) | Box(x=(1, 2), y=(1, 2))  # they touch in a vertex
    assert sorted(corner.angle / np.pi for corner in boxes.corners) == pytest.approx([0.5] * 8)


def test_shared_edges_vanish():
    pair = Box(x=(0, 1), y=(0, 1)) | Box(x=(1, 2), y=(0, 1))
    assert pair.boundary_measure() == pytest.approx(6)
    assert not (Box(x=(0, 1), y=(0, 1)).named("s") | Box(x=(1, 2), y=(0, 1)).named("s")).corners[4:]
    assert (pair - Box(x=(0.5, 2), y=(0, 1))).measure == pytest.approx(0.5)
    whole = (Ball((0, 0), 1) & Box(x=(-2, 0), y=(-2, 2))) | (Ball((0, 0), 1) & Box(x=(0, 2), y=(-2, 2)))
    assert whole.measure == pytest.approx(np.pi)
    assert whole.boundary_measure() == pytest.approx(2 * np.pi)


def test_parts_by_predicate_are_split_where_it_changes():
    heated = SQUARE.named("hot", lambda p: (p[:, 0] == 0) & (p[:, 1] > 0.3))
    assert set(heated.parts) == {"hot", "x_low", "x_high", "y_low", "y_high"}
    assert heated.boundary_measure("hot") == pytest.approx(0.7, abs=1e-15)
    assert heated.boundary_measure("x_low") == pytest.approx(0.3, abs=1e-15)
    (place,) = (corner for corner in heated.corners if corner.angle > 3)
    assert place.vertex == pytest.approx((0, 0.3), abs=1e-15)
    assert place.angle == pytest.approx(np.pi)
    assert set(place.parts) == {"hot", "x_low"}
    ring = Ball((0, 0), 1).named("top", lambda p: p[:, 1] > 0.5)
    assert ring.boundary_measure("top") == pytest.approx(2 * np.pi / 3, rel=1e-14)
    grouped = SQUARE.named("sides", ["x_low", "x_high"])
    assert grouped.boundary_measure("sides") == pytest.approx(2)
    assert SQUARE.named("all").parts == ("all",)
    assert grouped.measure == 1


def test_names_of_both_operands_stay_apart():
    region = SQUARE - Ball((0.3, 0.3), 0.1) - Ball((0.7, 0.7), 0.1) - Ball((0.3, 0.7), 0.1).named("hole")
    assert set(region.parts) == {"x_low", "x_high", "y_low", "y_high", "boundary", "boundary_2", "hole"}
    assert (region - Ball((0.7, 0.3), 0.1).named("hole")).boundary_measure("hole") == pytest.approx(0.4 * np.pi)


def test_points_near_corners_are_graded():
    near = LSHAPE.sample_near(np.zeros(2), 0.5, 3000, np.random.default_rng(0), power=3.0)
    assert (LSHAPE.side(near) == 1).all()
    assert kstest((np.linalg.norm(near, axis=1) / 0.5) ** (1 / 3), "uniform", method="asymp").pvalue > 1e-3
    with pytest.raises(InputError, match="no points of the region"):
        LSHAPE.sample_near(np.array([5.0, 5.0]), 0.1, 10, np.random.default_rng(0))


def test_regions_are_values():
    assert LSHAPE == Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1))
    assert hash(LSHAPE) == hash(Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1)))
    assert Polygon([(0, 0), (1, 0), (0, 1)]) == Polygon(np.array([[0, 0], [1, 0], [0, 1]]))
    assert LSHAPE.box == Box(x=(-1, 1), y=(-1, 1))
    assert [axis.unit for axis in (Box(Axis("x", 0, 1, "m"), Axis("y", 0, 1, "m")) - Ball((0, 0), 0.5)).axes] == [
        "m",
        "m",
    ]


def test_combined_solids_have_exact_normals_and_estimated_sizes():
    dented = CUBE - Ball((1, 1, 1), 0.5).named("dent")
    assert dented.measure == pytest.approx(1 - np.pi / 48, rel=1e-3)
    assert dented.boundary_measure("dent") == pytest.approx(np.pi / 8, rel=1e-2)
    assert dented.boundary_measure("x_high") == pytest.approx(1 - np.pi / 16, rel=1e-2)
    assert dented.boundary_measure("x_low") == pytest.approx(1, rel=1e-13)
    points, normals, parts = dented.sample_boundary(400, np.random.default_rng(0))
    dent = parts == "dent"
    np.testing.assert_allclose(normals[dent], (1 - points[dent]) / 0.5, atol=1e-14)
    assert (dented.side(points) == 0).all()
    joined = CUBE | Box(x=(1, 2), y=(0, 1), z=(0, 1))
    assert joined.boundary_measure() == pytest.approx(10, rel=1e-12)  # the shared faces are gone
    assert (joined & Box(x=(0.5, 1.5), y=(0, 1), z=(0, 1))).measure == pytest.approx(1, rel=1e-12)


def test_points_in_a_surface_agree_with_the_sum_of_solid_angles():
    surface = ClosedSurface(FACES)
    points = np.random.default_rng(0).uniform(-0.2, 1.2, (3000, 3))
    winding = surface.body.enclosure.winding(points)
    np.testing.assert_allclose(winding, surface.contains(points), atol=1e-9)
    np.testing.assert_array_equal(surface.contains(points), (points > 0).all(axis=1) & (points.sum(axis=1) < 1))
    np.testing.assert_array_equal(TETRAHEDRON.side(points), surface.side(points))


def test_a_triangulated_region_is_its_outline():
    vertices = np.array([[0, 0], [2, 0], [2, 1], [0, 1], [1, 0.5]])
    cells = np.array([[0, 1, 4], [1, 4, 2], [2, 3, 4], [3, 0, 4]])  # of either orientation
    region = TriangulatedRegion(vertices, cells, {"left": np.array([[0, 3]])})
    assert region.measure == pytest.approx(2)
    assert region.boundary_measure("left") == pytest.approx(1)
    assert sorted(corner.angle for corner in region.corners) == pytest.approx([np.pi / 2] * 4)
    with pytest.raises(InputError, match="flat"):
        TriangulatedRegion(vertices, np.array([[0, 1, 4], [0, 4, 2]]))
    with pytest.raises(InputError, match="more than two"):
        TriangulatedRegion(vertices, np.array([[0, 1, 4], [0, 1, 2], [0, 1, 3]]))


def test_loops_within_loops_are_holes_whichever_way_they_run():
    def square(low, high, forward):
        corners = [(low, low), (high, low), (high, high), (low, high)][:: 1 if forward else -1]
        return [Segment(corners[k], corners[(k + 1) % 4]) for k in range(4)]

    for turns in ((True, True, True), (False, True, False), (True, False, False)):
        region = Outlined([square(k, 6 - k, turn) for k, turn in enumerate(turns)])
        assert region.measure == pytest.approx(36 - 16 + 4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Polygon([(0, 0), (1, 0)]), "at least three"),
        (lambda: Polygon([(0, 0), (1, 0), (1, 1), (0, 0)]), "vertices 3 and 0 are both at"),
        (lambda: Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "edges 0 and 2 cross"),
        (lambda: Polygon([(0, 0), (1, 0), (2, 0)]), "cross or touch"),
        (lambda: Polygon([(0, 0), (2, 0), (1, 0), (1, 1)]), "edges 0 and 1"),
        (lambda: Outlined([[Segment((0, 0), (1, 0)), Segment((1, 0), (1, 1))]]), r"gap at \(0, 0\) and \(1, 1\)"),
        (lambda: Segment((0, 0), (0, 0)), "two different ends"),
        (lambda: SQUARE - Box(x=(-1, 2), y=(-1, 2)), "difference of two regions is empty"),
        (lambda: SQUARE & Ball((5, 5), 1), "intersection of two regions is empty"),
        (lambda: Interval(x=(0, 1)) - Interval(x=(0, 1)), "empty"),
        (lambda: CUBE & Ball((5, 5, 5), 1), "empty"),
        (lambda: SQUARE - Box(y=(0, 1), x=(0, 1)), "the axes x, y and y, x"),
        (lambda: SQUARE - Box(r=(0, 1), z=(0, 1)), "the axes x, y and r, z"),
        (lambda: Ball((0, 0), 1, unit="m") - Ball((0, 0), 0.5, unit="mm"), "m and mm"),
        (lambda: SQUARE.boundary_measure("top"), "one of x_low, x_high, y_low, y_high"),
        (lambda: SQUARE.named("hot", "top"), "'top'"),
        (lambda: SQUARE.named("hot", lambda p: p[:, 0] > 7), "true nowhere"),
        (lambda: SQUARE.named("hot", lambda p: p), "a boolean for each"),
        (lambda: SQUARE.axis_index("z"), "one of x, y"),
        (lambda: SQUARE.normal(np.array([[0.5, 0.5]])), "points on the boundary"),
        (lambda: SQUARE.sample(3, np.random.default_rng(0), method="halton"), "sobol, uniform"),
        (lambda: Ball((0, 0), -1), "positive radius"),
        (lambda: Ellipse((0, 0), (1, 0)), "positive radii"),
        (lambda: Interval(x=(0, 1), y=(0, 1)), "exactly one"),
        (lambda: Box(a=(0, 1), b=(0, 1), c=(0, 1), d=(0, 1)).pieces, "one to three axes"),
        (lambda: ClosedSurface(TriangleMesh(CORNERS, FACES.faces[1:])), "watertight"),
        (lambda: ClosedSurface(TriangleMesh(CORNERS, FACES.faces[:, ::-1])), "inside out"),
    ],
)
def test_wrong_use_names_what_is_wrong(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_many_holes():
    """Each hole is cut once: work that doubles with every operand would not end here."""
    plate = Box(x=(0, 6), y=(0, 6))
    for x in range(1, 6):
        for y in range(1, 6):
            plate = plate - Ball((x, y), 0.3).named("hole")
    assert [(axis.name, axis.low, axis.high) for axis in plate.axes] == [("x", 0.0, 6.0), ("y", 0.0, 6.0)]
    assert plate.measure == pytest.approx(36 - 25 * np.pi * 0.09, rel=1e-12)
