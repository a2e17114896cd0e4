"""What a problem refuses, and that strong forms are what they say."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.equations import coefficients
from ungrid.operators import Jet

SQUARE = pde.Box(x=(0, 1), y=(0, 1))
ROD = pde.Interval(x=(0, 1)) * pde.Time(0, 1)
ANY = [pde.Dirichlet(0.0)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pde.Problem(SQUARE, pde.Poisson(), []), "without conditions"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(source=lambda z: z), ANY), "'z'"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(source=lambda x: x * np.nan), ANY), "the source: NaN"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(source=float("inf")), ANY), "the source"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [pde.Dirichlet(0.0, on="left")]), "'left'"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [pde.Dirichlet(0.0, on="x_low")]), "no condition on the part"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [*ANY, pde.Dirichlet(1.0)]), "one condition on"),
        (lambda: pde.Problem(SQUARE, pde.Heat(), ANY), "an axis t"),
        (lambda: pde.Problem(ROD, pde.Poisson(), ANY), "time"),
        (lambda: pde.Problem(ROD, pde.Heat(), ANY), "initial condition"),
        (lambda: pde.Problem(ROD, pde.Wave(), [*ANY, pde.Initial(0.0)]), "initial rate"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [pde.Initial(0.0)]), "without time"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [pde.Periodic("z")]), "'z'"),
        (lambda: pde.Problem(SQUARE, pde.Poisson(), [*ANY, pde.Measured(np.ones((3, 1)), np.ones(3))]), "measured"),
        (lambda: pde.Problem(SQUARE, "Poisson", ANY), "a domain and an equation"),
        (lambda: pde.Unknown("k", -1.0), "a positive number"),
        (lambda: pde.solve(pde.Problem(SQUARE, lambda u: u.value[:, 0], ANY)), "keep the column axis"),
    ],
)
def test_wrong_use_is_named(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def jet(function, axes, n=7):
    x = torch.rand(n, len(axes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Jet(function, x, axes=axes)


def test_the_terms_of_the_second_order_equation() -> None:
    """u = x² y t² against the formula by hand, with a matrix diffusion and a velocity that vary."""
    u = jet(lambda p: p[:, :1] ** 2 * p[:, 1:2] * p[:, 2:] ** 2, ("x", "y", "t"))
    x, y, t = u.points.unbind(dim=1)
    equation = pde.SecondOrder(
        inertia=2.0, damping=lambda x: 1 + x, velocity=lambda x, y: (y, x), reaction=3.0, source=lambda t: t,
        diffusion=lambda x, y: np.stack(
            [np.stack([1 + x * x, x * y], axis=-1), np.stack([x * y, 2 + y], axis=-1)], axis=-2
        ),
    )  # fmt: skip
    ux, uy, uxx, uxy = 2 * x * y * t**2, x**2 * t**2, 2 * y * t**2, 2 * x * t**2
    divergence = (1 + x**2) * uxx + 2 * x * y * uxy + (2 * x + x) * ux + (y + 1) * uy
    expected = (
        2 * (2 * x**2 * y) + (1 + x) * (2 * x**2 * y * t) - divergence + y * ux + x * uy + 3 * x**2 * y * t**2 - t
    )
    torch.testing.assert_close(equation.residual(u)[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_named_equations() -> None:
    u = jet(lambda p: torch.sin(2 * p[:, :1]) * torch.exp(p[:, 1:]), ("x", "t"))
    v, ux = u.value, u.d("x")
    for equation, expected in (
        (pde.Heat(0.3), v + 0.3 * 4 * v),
        (pde.Wave(2.0), v + 4 * 4 * v),
        (pde.Advection(3.0), v + 3 * ux),
        (pde.Burgers(0.1), v + v * ux + 0.4 * v),
        (pde.AllenCahn(0.1, 5.0), v + 0.4 * v - 5 * (v - v**3)),
        (pde.KdV(0.5), v + v * ux - 0.5 * 4 * ux),
    ):
        torch.testing.assert_close(equation.residual(u), expected)
    static = jet(lambda p: torch.sin(2 * p[:, :1]), ("x",))
    torch.testing.assert_close(pde.Helmholtz(3.0, 1.0).residual(static), (4 - 9) * static.value - 1)


def test_differences_of_a_coefficient_have_order_eight() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (50, 2))
    found = coefficients.gradient("k", lambda x, y: np.sin(3 * x) * y, points, ("x", "y"), ("x", "y"), np.ones(2))
    exact = np.stack([3 * np.cos(3 * points[:, 0]) * points[:, 1], np.sin(3 * points[:, 0])], axis=-1)
    np.testing.assert_allclose(found, exact, atol=1e-11)
