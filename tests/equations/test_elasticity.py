"""The elastic body: its strong form and tractions against stresses by hand, and what it refuses."""

import numpy as np
import pytest
import torch

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.equations import Traction
from ungrid.operators import Jet

SQUARE = pde.Box(x=(0, 1), y=(0, 1))
BODY = pde.Elasticity(2.5, 0.25)  # λ = μ = 1
HELD = BODY.displacement((0.0, 0.0), "x_low")
FREE = BODY.traction((0.0, 0.0))


def jet(function, axes=("x", "y")):
    x = torch.rand(7, len(axes), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Jet(function, x, axes=axes)


def bent(p):
    """ux = x² y, uy = x y²: εxx = 2 x y, εyy = 2 x y, εxy = (x² + y²) / 2; with λ = μ = 1 σxx = σyy = 8 x y, σxy = x² + y²."""
    x, y = p[:, :1], p[:, 1:]
    return torch.cat([x * x * y, x * y * y], dim=1)


def test_lames_coefficients():
    assert (BODY.first, BODY.shear) == pytest.approx((1.0, 1.0))
    thin = pde.Elasticity(2.5, 0.25, plane="stress")
    assert thin.first == pytest.approx(2 * 1 * 1 / (1 + 2))  # 2 λ μ / (λ + 2 μ)
    assert pde.Elasticity(2.5, 0.25, (0.0,) * 3, plane="stress").first == pytest.approx(1.0)  # a body in space has none


def test_the_strong_form_is_the_divergence_of_the_stress():
    """-∂x σxx - ∂y σxy = -8 y - 2 y and the same with x; forces come off."""
    u = jet(bent)
    x, y = u.points.unbind(dim=1)
    torch.testing.assert_close(BODY.residual(u), torch.stack([-10 * y, -10 * x], dim=1))
    loaded = pde.Elasticity(2.5, 0.25, (lambda x, y: x * y, 3.0))
    torch.testing.assert_close(loaded.residual(u), torch.stack([-10 * y - x * y, -10 * x - 3.0], dim=1))


def test_tractions_are_those_of_the_stress():
    u = jet(bent)
    x, y = u.points.unbind(dim=1)
    normal = torch.tensor([[0.6, 0.8]], dtype=torch.float64).expand(7, 2)
    along = Traction(1.0, component=0, material=BODY).residual(u, normal)[:, 0]
    torch.testing.assert_close(along, 8 * x * y * 0.6 + (x * x + y * y) * 0.8 - 1.0)
    across = Traction(0.0, component=1, material=BODY).residual(u, normal)[:, 0]
    torch.testing.assert_close(across, (x * x + y * y) * 0.6 + 8 * x * y * 0.8)


def test_a_rotation_has_no_stress_in_space():
    body = pde.Elasticity(1.0, 0.3, (0.0, 0.0, 0.0))
    turn = torch.tensor([[0.0, -1.0, 2.0], [1.0, 0.0, -3.0], [-2.0, 3.0, 0.0]], dtype=torch.float64)
    u = jet(lambda p: p @ turn.T, ("x", "y", "z"))
    assert max(float(body.stress(u, i, j).abs().max()) for i in range(3) for j in range(3)) < 1e-14
    assert float(body.residual(u).abs().max()) < 1e-14


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pde.Elasticity(-1.0, 0.3), "Young's modulus"),
        (lambda: pde.Elasticity(1.0, 0.5), "Poisson's ratio"),
        (lambda: pde.Elasticity(1.0, 0.3, plane="strains"), "the plane state"),
        (lambda: BODY.displacement((0.0,)), "1 values for 2 components"),
        (lambda: pde.Problem(SQUARE, BODY, HELD), "no condition for ux on the part"),
        (lambda: pde.Problem(SQUARE, BODY, FREE), "nothing holds along ux"),
        (lambda: pde.Problem(SQUARE, BODY, [*BODY.displacement((0.0, None), "x_low"), *FREE]), "holds along uy"),
        (lambda: pde.Problem(SQUARE, BODY, [*HELD, *BODY.traction((1.0, 0.0), "x_low"), *FREE]), "both for ux"),
        (lambda: pde.Problem(SQUARE, BODY, [*HELD, pde.Neumann(0.0), *FREE[1:]]), "Neumann on the rest"),
        (lambda: pde.Problem(SQUARE * pde.Time(0, 1), BODY, [*HELD, *FREE]), "axes of space"),
        (lambda: pde.Problem(SQUARE, pde.Elasticity(1.0, 0.3, (0.0,) * 3), HELD), "one force for each"),
        (lambda: pde.Problem(SQUARE, pde.Elasticity(1.0, 0.3, (0.0, lambda z: z)), [*HELD, *FREE]), "'z'"),
        (
            lambda: pde.Problem(SQUARE, pde.Elasticity(1.0, 0.3, (0.0, lambda x: x * np.nan)), [*HELD, *FREE]),
            "force along y",
        ),
    ],
)
def test_wrong_use_is_named(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
