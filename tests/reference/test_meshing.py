"""Meshes: exact boundaries, good angles, wanted sizes, names, materials; and FEM on them at its textbook order."""

import numpy as np
import pytest
import skfem
from skfem.models.poisson import laplace, unit_load

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Box, Ellipse, Interval, Polygon, TriangulatedRegion
from ungrid.reference.meshing import mesh, size_function

LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - Box(x=(0, 1), y=(0, 1))
HOLED = Box(x=(0, 1), y=(0, 1)) - Ball((0.3, 0.4), 0.15) - Ellipse((0.75, 0.6), (0.15, 0.1), 0.4)
SHAPES = {
    "box": Box(x=(0, 2), y=(0, 1)),
    "lshape": LSHAPE,
    "holed": HOLED,
    "disk": Ball((1, 2), 0.7),
    "rounded": Box(x=(0, 1), y=(0, 1)) | Ball((1, 0.5), 0.5),
    "polygon": Polygon([(0, 0), (3, 0), (3, 1), (1.5, 0.4), (0.5, 2)]),
    "lens": Ball((0, 0), 1) & Ball((0.8, 0), 1),
}


def corners(whole):
    return whole.p.T[whole.t.T]


def areas(whole):
    a, b, c = np.moveaxis(corners(whole), 1, 0)
    return (
        np.abs(np.cross(b - a, c - a)) / 2
        if a.shape[1] == 3
        else np.abs(np.linalg.det(np.stack([b - a, c - a], 1))) / 2
    )


def angles(whole):
    p = corners(whole)
    back, on = np.roll(p, 1, axis=1) - p, np.roll(p, -1, axis=1) - p
    cosine = (back * on).sum(-1) / np.linalg.norm(back, axis=-1) / np.linalg.norm(on, axis=-1)
    return np.degrees(np.arccos(cosine))


@pytest.mark.parametrize("name", SHAPES)
def test_a_mesh_fits_its_region(name):
    region, h = SHAPES[name], 0.1
    whole = mesh(region, h)
    sharpest = min([np.degrees(c.angle) for c in region.corners], default=60)
    assert angles(whole).min() > min(25, 0.99 * sharpest / 2)
    edges = np.linalg.norm(np.diff(whole.p[:, whole.facets], axis=1)[:, 0], axis=0)
    assert edges.max() < 1.7 * h
    assert np.median(edges) > 0.6 * h
    assert set(whole.boundaries) == set(region.parts)
    for part, facets in whole.boundaries.items():
        nodes = whole.p[:, np.unique(whole.facets[:, facets])].T
        off = np.min([piece.distance(nodes) for piece in region.pieces_of(part)], axis=0)
        assert off.max() < 1e-14 * max(1, np.abs(nodes).max()) * 10
    every = np.sort(np.concatenate(list(whole.boundaries.values())))
    np.testing.assert_array_equal(every, np.sort(whole.boundary_facets()))  # each facet has one name
    vertices = np.array([corner.vertex for corner in region.corners]).reshape(-1, 2)
    for vertex in vertices:
        assert (np.abs(whole.p.T - vertex).max(axis=1) == 0).any()


@pytest.mark.parametrize("name", ["box", "lshape", "polygon"])
def test_straight_regions_are_meshed_exactly(name):
    assert areas(mesh(SHAPES[name], 0.15)).sum() == pytest.approx(SHAPES[name].measure, rel=1e-13)


def test_the_area_of_a_disk_converges_with_the_square_of_the_size():
    """A polygon of n chords loses the fraction (2 pi / n)^2 / 6."""
    for h in (0.2, 0.1):
        whole = mesh(Ball((0, 0), 1), h)
        chords = np.linalg.norm(np.diff(whole.p[:, whole.facets[:, whole.boundary_facets()]], axis=1)[:, 0], axis=0)
        angle = 2 * np.arcsin(chords / 2)
        assert angle.sum() == pytest.approx(2 * np.pi, rel=1e-12)
        assert areas(whole).sum() == pytest.approx(np.sin(angle).sum() / 2, rel=1e-12)


def test_grading_follows_the_wanted_size():
    whole, wanted = mesh(LSHAPE, 0.1, grading=0.3), size_function(LSHAPE, 0.1, 0.3)
    middles, longest = corners(whole).mean(axis=1), np.sqrt(areas(whole) * 4 / np.sqrt(3))
    assert (longest / wanted(middles)).max() < 1.5
    distance = np.linalg.norm(middles, axis=1)
    assert longest[distance.argmin()] < 0.02
    assert angles(whole).min() > 25
    assert areas(whole).sum() == pytest.approx(3, rel=1e-13)


def energy(whole, element):
    basis = skfem.Basis(whole, element)
    matrix, load = laplace.assemble(basis), unit_load.assemble(basis)
    solution = skfem.solve(*skfem.condense(matrix, load, D=basis.get_dofs(set(whole.boundaries))))
    return float(load @ solution), basis.N


def test_fem_on_graded_meshes_of_the_lshape_converges_at_full_order():
    """The integral of u for f = 1 is 0.2140758036; its error falls with N^-p on meshes graded for degree p."""
    exact = 0.2140758036
    for degree, element, grading in ((1, skfem.ElementTriP1(), 0.6), (2, skfem.ElementTriP2(), 0.3)):
        results = [energy(mesh(LSHAPE, h, grading=grading), element) for h in (0.2, 0.1, 0.05)]
        errors, sizes = np.array([exact - value for value, _ in results]), np.array([n for _, n in results])
        order = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
        assert errors.min() > 0  # Galerkin solutions have too little energy
        assert order > degree - 0.15


def test_two_materials_meet_at_edges():
    inner = Box(x=(0.3, 1), y=(0, 0.55))
    whole = mesh(Box(x=(0, 1), y=(0, 1)), 0.1, interfaces={"copper": inner, "air": Ball((0.3, 0.7), 0.1)})
    assert set(whole.subdomains) == {"copper", "air", "outside"}
    assert np.sort(np.concatenate(list(whole.subdomains.values()))).tolist() == list(range(whole.nelements))
    every = areas(whole)
    assert every[whole.subdomains["copper"]].sum() == pytest.approx(0.7 * 0.55, rel=1e-13)
    assert every[whole.subdomains["air"]].sum() == pytest.approx(np.pi * 0.01, rel=0.1)
    across = whole.f2t[:, whole.boundaries["interface"]]
    owner = np.empty(whole.nelements, dtype=int)
    for number, elements in enumerate(whole.subdomains.values()):
        owner[elements] = number
    assert (across >= 0).all()
    assert (owner[across[0]] != owner[across[1]]).all()
    lengths = np.linalg.norm(np.diff(whole.p[:, whole.facets[:, whole.boundaries["interface"]]], axis=1)[:, 0], axis=0)
    assert lengths.sum() == pytest.approx(0.7 + 0.55 + 0.2 * np.pi, rel=1e-2)
    assert len(whole.boundaries["y_low"]) == 10


def test_intervals_with_materials():
    region = Interval(x=(0, 1)) - Interval(x=(0.4, 0.5))
    whole = mesh(region, 0.07, interfaces=[Interval(x=(0.2, 0.3))])
    sizes = np.abs(np.diff(whole.p[0][whole.t], axis=0))[0]
    assert sizes.max() <= 0.07
    assert sizes.sum() == pytest.approx(0.9)
    assert sizes[whole.subdomains["inside_1"]].sum() == pytest.approx(0.1)
    at = {part: whole.p[0][whole.facets[0, facets]].tolist() for part, facets in whole.boundaries.items()}
    assert at == {"x_low": [0], "x_low_2": [0.4], "x_high_2": [0.5], "x_high": [1], "interface": [0.2, 0.3]}


def volumes(whole):
    p = whole.p.T[whole.t.T]
    return np.abs(np.linalg.det(p[:, 1:] - p[:, :1])) / 6


def test_solids():
    box = mesh(Box(x=(0, 1), y=(0, 2), z=(0, 1)), 0.5)
    assert volumes(box).sum() == pytest.approx(2)
    assert (box.p[0][box.facets[:, box.boundaries["x_low"]]] == 0).all()
    assert set(box.boundaries) == {f"{axis}_{end}" for axis in "xyz" for end in ("low", "high")}
    ball = mesh(Ball((1, 1, 1), 2), 0.5)
    on = ball.p[:, np.unique(ball.facets[:, ball.boundaries["boundary"]])] - 1
    np.testing.assert_allclose(np.linalg.norm(on, axis=0), 2, rtol=1e-14)
    coarse = skfem.MeshTet()
    given = TriangulatedRegion(coarse.p.T.copy(), coarse.t.T.copy())
    assert volumes(mesh(given, 0.3)).sum() == pytest.approx(1)


def test_combined_solids_by_netgen():
    pytest.importorskip("netgen", exc_type=ImportError)
    region = Box(x=(0, 1), y=(0, 1), z=(0, 1)) - Ball((1, 1, 1), 0.5).named("dent")
    whole = mesh(region, 0.15)
    assert volumes(whole).sum() == pytest.approx(1 - np.pi / 6 * 0.125, rel=1e-2)
    assert set(whole.boundaries) == set(region.parts)
    dent = whole.p[:, np.unique(whole.facets[:, whole.boundaries["dent"]])] - 1
    np.testing.assert_allclose(np.linalg.norm(dent, axis=0), 0.5, rtol=1e-6)


@pytest.mark.parametrize(("h", "grading"), [(0, 1), (-1, 1), (0.1, 0), (0.1, 1.5)])
def test_sizes_out_of_range_are_refused(h, grading):
    with pytest.raises(InputError, match="positive size"):
        mesh(LSHAPE, h, grading=grading)


def test_an_interface_outside_is_refused():
    with pytest.raises(InputError, match="encloses nothing"):
        mesh(LSHAPE, 0.3, interfaces=[Ball((5, 5), 1)])
