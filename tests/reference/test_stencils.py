"""Stencils against the textbook's numbers, polynomials and matrices written out by hand."""

from fractions import Fraction

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.reference.stencils import (
    along,
    backward_difference,
    central_difference,
    derivative_matrix,
    fornberg_weights,
    forward_difference,
    laplacian,
    leading_error,
    stencil,
)

# Fornberg 1988, tables 1 and 3
TEXTBOOK = [
    (forward_difference(), "-1 1", 1),
    (backward_difference(), "-1 1", 1),
    (forward_difference(1, 2), "-3/2 2 -1/2", 2),
    (backward_difference(1, 2), "1/2 -2 3/2", 2),
    (forward_difference(2, 1), "1 -2 1", 1),
    (forward_difference(2, 2), "2 -5 4 -1", 2),
    (central_difference(), "-1/2 0 1/2", 2),
    (central_difference(1, 4), "1/12 -2/3 0 2/3 -1/12", 4),
    (central_difference(1, 6), "-1/60 3/20 -3/4 0 3/4 -3/20 1/60", 6),
    (central_difference(2), "1 -2 1", 2),
    (central_difference(2, 4), "-1/12 4/3 -5/2 4/3 -1/12", 4),
    (central_difference(3), "-1/2 1 0 -1 1/2", 2),
    (central_difference(4), "1 -4 6 -4 1", 2),
    (stencil((-0.5, 0.5)), "-1 1", 2),  # between the samples
    (stencil((-1.5, -0.5, 0.5, 1.5)), "1/24 -9/8 9/8 -1/24", 4),
]


@pytest.mark.parametrize(("found", "weights", "order"), TEXTBOOK)
def test_weights_and_orders_of_the_textbook(found, weights, order):
    np.testing.assert_allclose(found.weights, [float(Fraction(w)) for w in weights.split()], atol=1e-13)
    assert found.order == order


@pytest.mark.parametrize(("found", "constant"), [(0, 1 / 2), (1, -1 / 2), (6, 1 / 6), (9, 1 / 12), (7, -1 / 30)])
def test_constants_of_the_error(found, constant):
    assert leading_error(TEXTBOOK[found][0]) == pytest.approx(constant, abs=1e-14)


@pytest.mark.parametrize("found", [entry[0] for entry in TEXTBOOK])
def test_measured_order(found):
    """The error of exp at 0 falls as the order says, and with the constant of the first term."""
    steps = 0.2 * 2.0 ** -np.arange(4)
    errors = np.array([found(np.exp(np.array(found.offsets) * h), h) - 1 for h in steps])
    orders = np.log2(np.abs(errors[:-1] / errors[1:]))
    assert abs(orders[-1] - found.order) < 0.15
    assert errors[-1] / steps[-1] ** found.order == pytest.approx(leading_error(found), rel=0.1)


@pytest.mark.parametrize("derivative", range(5))
def test_any_nodes_are_exact_for_polynomials(derivative):
    rng = np.random.default_rng(derivative)
    nodes = np.sort(rng.uniform(-1, 1, 7))[rng.permutation(7)]
    polynomial = np.polynomial.Polynomial(rng.standard_normal(7))
    weights = fornberg_weights(nodes, 0.3, derivative)
    for m in range(derivative + 1):
        assert weights[m] @ polynomial(nodes) == pytest.approx(polynomial.deriv(m)(0.3), rel=1e-8)


@pytest.mark.parametrize(("derivative", "order"), [(1, 2), (2, 2), (1, 4), (2, 4), (3, 2), (4, 4)])
@pytest.mark.parametrize("stretched", [False, True])
def test_matrix_is_exact_up_to_its_order_at_every_node(derivative, order, stretched):
    axis = np.linspace(-1, 1, 12)
    axis = axis + 0.2 * axis**2 if stretched else axis
    polynomial = np.polynomial.Polynomial(np.arange(1.0, derivative + order + 1))  # degree m + p - 1
    found = derivative_matrix(axis, derivative, order) @ polynomial(axis)
    np.testing.assert_allclose(found, polynomial.deriv(derivative)(axis), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize(("derivative", "order"), [(1, 2), (2, 4), (3, 2)])
def test_periodic_matrix_has_the_symbol_of_its_stencil(derivative, order):
    n, s = 16, central_difference(derivative, order)
    axis = np.arange(n) * 2 * np.pi / n
    h, k = axis[1], 3
    symbol = np.array(s.weights) @ np.exp(1j * k * h * np.array(s.offsets)) / h**derivative
    wave = np.exp(1j * k * axis)
    np.testing.assert_allclose(
        derivative_matrix(axis, derivative, order, periodic=True) @ wave, symbol * wave, atol=1e-11
    )


def test_kronecker_products_act_along_one_axis():
    rng = np.random.default_rng(0)
    values, matrix = rng.standard_normal((3, 4, 5)), derivative_matrix(np.arange(4.0))
    found = along(matrix, 1, values.shape) @ values.ravel()
    np.testing.assert_allclose(
        found.reshape(values.shape), np.einsum("ij,ajb->aib", matrix.toarray(), values), atol=1e-13
    )


def test_laplacian_in_three_dimensions():
    axes = [np.linspace(0, 1, n) for n in (4, 5, 6)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    u = z**2 + 2 * y**3 - x * y * z  # second differences are exact for cubics inside, and at order 2 at the ends
    np.testing.assert_allclose(laplacian(axes) @ u.ravel(), (2 + 12 * y).ravel(), atol=1e-11)


def test_periodic_laplacian_of_waves():
    n = 12
    axis = np.arange(n) / n
    y, x = np.meshgrid(axis, axis, indexing="ij")
    wave = np.sin(2 * np.pi * (x - 2 * y))
    eigenvalue = -4 * n**2 * (np.sin(np.pi / n) ** 2 + np.sin(2 * np.pi / n) ** 2)
    found = laplacian([axis, axis], periodic=[True, True]) @ wave.ravel()
    np.testing.assert_allclose(found, eigenvalue * wave.ravel(), atol=1e-9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: central_difference(1, 3), "even"),
        (lambda: fornberg_weights(np.array([0.0, 1.0]), 0.0, 2), "add nodes"),
        (lambda: fornberg_weights(np.array([0.0, 1.0, 1.0]), 0.0, 1), "distinct"),
        (lambda: derivative_matrix(np.array([0.0, 1.0, 3.0]), periodic=True), "equal steps"),
        (lambda: derivative_matrix(np.array([0.0, 1.0])), "at least 3"),
        (lambda: derivative_matrix(np.array([0.0, 2.0, 1.0])), "increasing"),
        (lambda: derivative_matrix(np.array([0.0, np.nan, 1.0])), "increasing"),
        (lambda: along(derivative_matrix(np.arange(4.0)), 0, (3, 4)), "length of axis 0"),
    ],
)
def test_wrong_use_names_the_part(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()
