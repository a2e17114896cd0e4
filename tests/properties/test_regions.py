"""Random shapes put together by CSG: set algebra, Green's and Gauss' theorems, and the sum of the angles."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Box, Ellipse, Interval, Polygon, Region

# Coordinates on a coarse lattice make edges coincide, overlap and touch; the others make generic positions.
lattice = st.integers(-4, 4).map(lambda k: k / 4)
generic = st.floats(-1, 1).map(lambda x: round(x, 3))
place = st.one_of(lattice, generic)
size = st.one_of(st.sampled_from([0.25, 0.5, 1.0]), st.floats(0.2, 1.0).map(lambda x: round(x, 3)))


shapes = st.sampled_from(["box", "triangle", "ball", "ellipse"])
recipes = st.lists(
    st.tuples(st.sampled_from("|&--"), shapes, place, place, size, size, st.floats(0, 3), st.tuples(place, place)),
    min_size=2,
    max_size=4,
)


def plain(shape, x, y, a, b, angle, third):
    if shape == "box":
        return Box(x=(x, x + a), y=(y, y + b))
    if shape == "ball":
        return Ball((x, y), a)
    if shape == "ellipse":
        return Ellipse((x, y), (a, b), angle)
    doubled = a * (third[1] - y)
    assume(abs(doubled) > 0.1)
    return Polygon([(x, y), (x + a, y), third])


def built(recipe) -> Region:
    """The shapes of a recipe put together in turn; those that leave nothing are left out."""
    (_, *first), *others = recipe
    region: Region = plain(*first)
    for operator, *shape in others:
        other = plain(*shape)
        try:
            region = region | other if operator == "|" else region & other if operator == "&" else region - other
        except InputError as error:
            assert "is empty" in str(error)  # noqa: PT017
    return region


def inside(region, points) -> np.ndarray:
    """Brute force: the set operation on the plain shapes themselves."""
    kind = type(region).__name__
    if kind not in ("Union", "Intersection", "Difference"):
        return region.contains(points)
    first, second = inside(region.first, points), inside(region.second, points)
    return {"Union": first | second, "Intersection": first & second, "Difference": first & ~second}[kind]


GRID = np.stack(np.meshgrid(*2 * [np.linspace(-2.013, 2.017, 45)]), axis=-1).reshape(-1, 2)


def away_from(region, points, distance):
    return np.min([piece.distance(points) for piece in region.pieces], axis=0) > distance


def turned(piece) -> float:
    """By how much the tangent turns along a piece, radians."""
    angle = np.unwrap(np.arctan2(*piece.tangent(np.linspace(0, 1, 100)).T[::-1]))
    return float(angle[-1] - angle[0])


def winding(region, points) -> np.ndarray:
    """The sum of the angles under which a fine polyline along every piece is seen, in turns."""
    total = np.zeros(len(points))
    for piece in region.pieces:
        line = piece.at(np.linspace(0, 1, 200))
        to = line[None] - points[:, None]
        cross = to[:, :-1, 0] * to[:, 1:, 1] - to[:, :-1, 1] * to[:, 1:, 0]
        total += np.arctan2(cross, (to[:, :-1] * to[:, 1:]).sum(axis=-1)).sum(axis=1)
    return total / (2 * np.pi)


@settings(max_examples=15)
@given(recipes)
def test_the_boundary_encloses_the_set(recipe):
    region = built(recipe)
    points = GRID[away_from(region, GRID, 1e-3)]
    np.testing.assert_array_equal(region.contains(points), inside(region, points))


@settings(max_examples=15)
@given(recipes)
def test_the_winding_number_is_one_inside_and_zero_outside(recipe):
    region = built(recipe)
    points = GRID[::7][away_from(region, GRID[::7], 1e-2)]
    np.testing.assert_allclose(winding(region, points), region.contains(points), atol=1e-6)


@settings(max_examples=12)
@given(recipes)
def test_greens_and_gauss_theorems(recipe):
    """The area is half the integral of x n, its integrals over each axis agree, and that of n vanishes."""
    region = built(recipe)
    points, weights, normals = region.boundary_quadrature(order=10)
    np.testing.assert_allclose(weights @ normals, 0, atol=1e-11)
    np.testing.assert_allclose(weights @ (points * normals), region.measure, atol=1e-11)
    np.testing.assert_allclose(weights.sum(), region.boundary_measure(), rtol=1e-11)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-14)


@settings(max_examples=15)
@given(recipes)
def test_quadrature_agrees_with_the_boundary(recipe):
    """Gauss: the integral of the divergence of (x^3 y^2, x y^4) is that of the normal flux."""
    region = built(recipe)
    points, weights = region.quadrature(order=8)
    assert (weights > -1e-9).all()
    assert region.contains(points[weights > 1e-9]).all()
    (x, y), (bx, by) = points.T, region.boundary_quadrature(order=10).points.T
    flux = np.stack([bx**3 * by**2, bx * by**4], axis=-1)
    _, lengths, normals = region.boundary_quadrature(order=10)
    divergence = 3 * x**2 * y**2 + 4 * x * y**3
    np.testing.assert_allclose(weights @ divergence, lengths @ (flux * normals).sum(axis=1), atol=1e-10)


@settings(max_examples=15)
@given(recipes)
def test_the_turns_add_up(recipe):
    """Gauss-Bonnet: over a loop, what the tangent turns along the curves and at the corners is one turn."""
    region = built(recipe)
    outline = region.outline
    for loop in outline.loops:
        along = sum(turned(outline.pieces[k]) for k in loop)
        at_vertices = sum(np.pi - outline._angle(k, int(outline.following[k])) for k in loop)
        assert abs(abs(along + at_vertices) - 2 * np.pi) < 1e-6


@settings(max_examples=12)
@given(recipes, st.integers(0, 2**32 - 1))
def test_normals_point_outwards(recipe, seed):
    region = built(recipe)
    points, normals, names = region.sample_boundary(50, np.random.default_rng(seed))
    corners = np.array([corner.vertex for corner in region.corners]).reshape(-1, 2)
    near = np.linalg.norm(points[:, None] - corners, axis=-1).min(axis=1, initial=np.inf) < 1e-2
    outside, within = region.contains(points + 1e-7 * normals), region.contains(points - 1e-7 * normals)
    assert not outside[~near].any()
    assert within[~near].all()
    assert region.contains(points).all()
    assert set(names) <= set(region.parts)
    np.testing.assert_allclose(region.normal(points[~near]), normals[~near], atol=1e-9)


@given(st.lists(st.tuples(lattice, size), min_size=2, max_size=5), st.data())
def test_intervals_form_the_same_algebra(spans, data):
    region: Region = Interval(x=(spans[0][0], spans[0][0] + spans[0][1]))
    for low, length in spans[1:]:
        other = Interval(x=(low, low + length))
        try:
            region = data.draw(st.sampled_from([region.__or__, region.__and__, region.__sub__]))(other)
        except InputError as error:
            assert "is empty" in str(error)  # noqa: PT017
            return
    x = np.linspace(-1.017, 2.013, 400)[:, None]
    np.testing.assert_array_equal(region.contains(x), inside(region, x))
    points, weights = region.quadrature(5)
    assert weights.sum() == pytest.approx(region.measure)
    ends, _, normals = region.boundary_quadrature()
    assert (ends**6 * normals).sum() == pytest.approx(weights @ (6 * points[:, 0] ** 5))
