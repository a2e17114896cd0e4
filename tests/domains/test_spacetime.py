"""Regions over time."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Ball, Box, Interval, Time

HEAT = Interval(x=(-1, 1)) * Time(0, 2)
DISK = Ball((0, 0), 1).named("top", lambda p: p[:, 1] > 0) * Time(1, 3)


@pytest.mark.parametrize("domain", [HEAT, DISK])
def test_axes_and_parts(domain):
    assert [axis.name for axis in domain.axes] == [axis.name for axis in domain.region.axes] + ["t"]
    assert domain.parts == (*domain.region.parts, "initial", "final")
    assert domain.axis_index("t") == domain.dim - 1
    assert domain.box.axes[-1].length == 2


@pytest.mark.parametrize("domain", [HEAT, DISK])
def test_each_part_is_sampled_where_it_lies(domain):
    rng = np.random.default_rng(0)
    for part in domain.parts:
        points, normals, names = domain.sample_boundary(40, rng, part)
        assert points.shape == normals.shape == (40, domain.dim)
        assert set(names) == {part}
        assert domain.contains(points).all()
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
        if part in ("initial", "final"):
            assert (points[:, -1] == (domain.time.start if part == "initial" else domain.time.end)).all()
            assert (normals[:, -1] == (-1 if part == "initial" else 1)).all()
        else:
            assert (normals[:, -1] == 0).all()
            np.testing.assert_allclose(domain.normal(points), normals, atol=1e-9)
    assert set(domain.sample_boundary(200, rng).parts) == set(domain.parts)
    for method in ("sobol", "uniform"):
        inside = domain.sample(100, rng, method=method)
        assert (domain.side(inside) == 1).all()
        assert inside.shape == (100, domain.dim)


@pytest.mark.parametrize("domain", [HEAT, DISK])
def test_gauss_theorem_in_space_and_time(domain):
    points, weights = domain.quadrature(6)
    assert weights.sum() == pytest.approx(domain.measure)
    flux = 0
    for part in domain.parts:
        on, sizes, normals = domain.boundary_quadrature(part, 8)
        assert sizes.sum() == pytest.approx(domain.boundary_measure(part))
        flux = flux + sizes @ (on**3 * normals)
    np.testing.assert_allclose(weights @ (3 * points**2), flux, rtol=1e-12)


def test_slabs_follow_each_other():
    slabs = HEAT.slabs(4)
    assert [slab.time.start for slab in slabs] == [0, 0.5, 1, 1.5]
    assert [slab.time.end for slab in slabs] == [0.5, 1, 1.5, 2]
    assert sum(slab.measure for slab in slabs) == pytest.approx(HEAT.measure)
    with pytest.raises(InputError, match="at least one"):
        HEAT.slabs(0)


def test_time_by_itself_is_a_region():
    span = Time(0, 5)
    assert span.parts == ("initial", "final")
    assert span.measure == 5
    assert span.sample(10, np.random.default_rng(0)).shape == (10, 1)


def test_parts_are_renamed_by_place():
    heated = HEAT.named("hot", lambda p: p[:, 0] > 0)
    assert heated.parts == ("x_low", "hot", "initial", "final")


def test_wrong_use_names_what_is_wrong():
    with pytest.raises(InputError, match="both use t"):
        Box(x=(0, 1), t=(0, 1)) * Time(0, 1)
    with pytest.raises(InputError, match="initial, final"):
        HEAT.sample_boundary(3, np.random.default_rng(0), "start")
    with pytest.raises(InputError, match="low < high"):
        Time(1, 0)
