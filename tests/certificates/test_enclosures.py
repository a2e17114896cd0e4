"""Enclosures hold the exact results of rational arithmetic, and polynomials are recognised only where they are such."""

from fractions import Fraction

import numpy as np
import pytest

from ungrid.certificates.enclosures import Enclosed, between, contract, rational
from ungrid.certificates.polynomials import Polynomial, traced, variables

OPERATIONS = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "product": lambda a, b: a * b,
    "quotient": lambda a, b: a / b,
    "mixed": lambda a, b: (a * 0.1 - b) * (2.0 - a) / b,
}


def exactly(array):
    return [Fraction(float(x)) for x in np.ravel(array)]


def holds(found, exact):
    """Whether every exact number is in its enclosure, without a tolerance."""
    pairs = zip(exactly(found.mid), exactly(found.rad), exact, strict=True)
    return all(abs(mid - x) <= rad for mid, rad, x in pairs)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_enclose_exact_results_for_all_members(name):
    rng, operation = np.random.default_rng(0), OPERATIONS[name]
    scale = 10.0 ** rng.integers(-8, 8, 300)
    mids = rng.normal(size=(2, 300)) * scale
    radii = np.abs(mids) * 10.0 ** -rng.integers(1, 16, (2, 300)) * (rng.random((2, 300)) < 0.5)
    found = operation(Enclosed(mids[0], radii[0]), Enclosed(mids[1], radii[1]))
    for corner in ((1, 1), (1, -1), (-1, 1), (-1, -1), (0, 0)):
        ends = [
            [m + s * r for m, r in zip(exactly(mid), exactly(rad), strict=True)]
            for mid, rad, s in zip(mids, radii, corner, strict=True)
        ]
        one, tenth = [], Fraction(0.1)
        for a, b in zip(*ends, strict=True):
            one.append((a * tenth - b) * (2 - a) / b if name == "mixed" else operation(a, b))
        assert holds(found, one)
    assert (found.rad <= 1e-6 + np.abs(found.mid) + radii.max()).any()  # and they are no empty words


def test_a_contraction_encloses_the_exact_sum_of_products_with_cancellation():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(7, 40)) * 10.0 ** rng.integers(-9, 9, (7, 40)), rng.normal(size=(40, 3))
    a[:, 20:], b[20:] = -a[:, :20], b[:20]  # the sum is 0
    found = contract("ij,jk->ik", Enclosed(a), Enclosed(b))
    assert holds(found, [Fraction(0)] * 21)
    spread = contract("ij,jk->ik", Enclosed(a, np.abs(a) * 1e-3), Enclosed(b, np.abs(b) * 1e-4))
    worst = [[sum(abs(Fraction(x) * Fraction(y)) for x, y in zip(row, col, strict=True)) for col in b.T] for row in a]
    widest = Fraction(1, 1000) + Fraction(1, 10000) + Fraction(1, 10**7)
    assert holds(Enclosed(spread.mid * 0, spread.rad), [w * widest * Fraction(999, 1000) for row in worst for w in row])


def test_roots_fractions_intervals_and_totals_are_enclosed():
    squares = np.array([2.0, 1e-300, 0.0, 3e17])
    root = Enclosed(squares, squares * 1e-3).sqrt()
    for low, high, x, r in zip(*map(exactly, (root.lower, root.upper, squares, squares * 1e-3)), strict=True):
        assert low <= 0 or low**2 <= x - r
        assert high**2 >= x + r
    thirds = [Fraction(k, 3) for k in range(7)]
    assert holds(rational(thirds), thirds)
    assert rational(thirds).rad[3] == 0  # 1 is exact
    given = between(np.array([0.1, -1.0]), np.array([0.7, 1e-30]))
    assert (given.lower <= [0.1, -1.0]).all()
    assert (given.upper >= [0.7, 1e-30]).all()
    numbers = np.random.default_rng(2).normal(size=1000) * 1e8
    assert holds(Enclosed(np.concatenate([numbers, [1e-9], -numbers])).total(), [Fraction(1e-9)])


def test_a_quotient_by_what_may_be_zero_is_refused():
    with pytest.raises(ZeroDivisionError):
        Enclosed(1.0) / Enclosed(1e-3, 1e-2)


# -- polynomials --------------------------------------------------------------------------------------------------------

POINTS = np.random.default_rng(3).uniform(-1, 1, (20, 2))
POLYNOMIAL = {
    "number": (2.5, 0),
    "constant function": (lambda x: np.full_like(x, 2.0), 0),
    "zeros": (lambda x, y: np.zeros_like(y), 0),
    "product": (lambda x, y: 0.1 * x**2 * y - (1 - x) ** 3 / 4, 3),
    "numpy numbers": (lambda x, y: np.float64(2.0) * x - y * np.pi + np.int64(3), 1),
    "order of arguments": (lambda y, x: y * y - x, 2),
    "power of a constant": (lambda x: (x * 0 + 2) ** 3 + x, 1),
}
OTHER = {
    "sine": lambda x: np.sin(x),
    "root": lambda x: (x + 2) ** 0.5,
    "negative power": lambda x: (x + 2) ** -1,
    "quotient": lambda x, y: x / (y + 3),
    "choice": lambda x: np.where(x > 0, 1.0, 2.0),
    "absolute": lambda x: abs(x),
    "maximum": lambda x, y: np.maximum(x, y),
    "hidden": lambda x: x if isinstance(x, Polynomial) else np.sin(x),
}


@pytest.mark.parametrize("name", POLYNOMIAL)
def test_polynomials_are_recognised_and_evaluated(name):
    given, degree = POLYNOMIAL[name]
    found = traced(given, ("x", "y"), POINTS)
    assert found is not None
    assert found.shape == ()
    assert found.item().degree == degree
    values = found.item().at(Enclosed(POINTS.T))
    exact = [found.item().exactly(tuple(map(Fraction, point))) for point in POINTS.tolist()]
    assert holds(values, exact)


@pytest.mark.parametrize("name", OTHER)
def test_other_functions_are_not_taken_for_polynomials(name):
    assert traced(OTHER[name], ("x", "y"), POINTS) is None


def test_a_matrix_of_polynomials_keeps_its_shape():
    def matrix(x, y):
        return np.stack([np.stack([1 + x, 0 * x], axis=-1), np.stack([0 * x, 2 + y * y], axis=-1)], axis=-2)

    found = traced(matrix, ("x", "y"), POINTS)
    assert found.shape == (2, 2)
    assert [p.degree for p in found.ravel()] == [1, 0, 0, 2]


def test_derivatives_follow_the_product_rule():
    x, y = variables(2)
    p, q = x**3 - 2 * x * y + 1, y**2 + x / 2
    for axis in (0, 1):
        difference = (p * q).derivative(axis) - (p.derivative(axis) * q + p * q.derivative(axis))
        assert not difference.terms
