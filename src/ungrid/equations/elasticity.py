"""Linear elasticity: small deflections of an isotropic body at rest.

Convention: the unknown is the displacement, one component for each axis; the strain is ``ε = (∇u + ∇uᵀ) / 2``, the stress
``σ = λ tr(ε) I + 2 μ ε`` with Lamé's coefficients λ and μ; tension is positive. In the plane the strain across it vanishes
("strain": a long body) or the stress does ("stress": a thin plate).

Source: Timoshenko and Goodier 1951, *Theory of elasticity*, sections 6 to 17.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid.equations import coefficients
from ungrid.equations.coefficients import Coefficient
from ungrid.equations.conditions import Condition, Dirichlet, On
from ungrid.equations.equation import TIME, Equation

NAMES = ("ux", "uy", "uz")
PLANES = ("strain", "stress")


@dataclass(frozen=True)
class Elasticity(Equation):
    """``-∇·σ = force``.

    Attributes:
        young: Young's modulus, in Pa if lengths are in m.
        poisson: Poisson's ratio, between -1 and 1/2.
        force: on a unit of volume, a coefficient for each axis.
        plane: "strain" or "stress"; only of a body in the plane.
    """

    young: float
    poisson: float
    force: tuple[Coefficient, ...] = (0.0, 0.0)
    plane: str = field(default="strain", kw_only=True)

    def __post_init__(self) -> None:
        if not self.young > 0 or not -1 < self.poisson < 0.5:
            raise InputError(
                f"Young's modulus {self.young} and Poisson's ratio {self.poisson}",
                "a positive number and one in (-1, 1/2)",
            )
        if self.plane not in PLANES:
            raise InputError(f"the plane state {self.plane!r}", f"one of {', '.join(PLANES)}")

    @property
    def out_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the components of the displacement."""
        return NAMES[: len(self.force)]

    @property
    def is_linear(self) -> bool:
        return True

    @property
    def shear(self) -> float:
        """Lamé's second coefficient μ, the shear modulus."""
        return self.young / (2 * (1 + self.poisson))

    @property
    def first(self) -> float:
        """Lamé's first coefficient λ; in plane stress the one that does the same to the strains within the plane."""
        if self.plane == "stress" and len(self.force) == 2:
            return self.young * self.poisson / (1 - self.poisson**2)
        return self.young * self.poisson / ((1 + self.poisson) * (1 - 2 * self.poisson))

    def check(self, axes: tuple[str, ...]) -> None:
        if len(axes) != len(self.force) or len(axes) not in (2, 3) or TIME in axes:
            raise InputError(
                f"elasticity with {len(self.force)} forces over the axes {', '.join(axes)}",
                "one force for each of two or three axes of space", "force=(0.0, 0.0, 0.0) for a body in space",
            )  # fmt: skip
        for name, force in zip(axes, self.force, strict=True):
            coefficients.check(f"the force along {name}", force, axes)

    def residual(self, u: JetLike) -> Any:
        """``-(λ + μ) ∇(∇·u) - μ Δu - force``, (n, d)."""
        d, total = len(u.axes), 0.0
        for i, along in enumerate(u.axes):
            grad_div = sum(u.d(along, other)[:, j : j + 1] for j, other in enumerate(u.axes))
            total = total - (self.first + self.shear) * grad_div * _unit(u, i)
        total = total - self.shear * sum(u.d(name, name) for name in u.axes)
        return total - u.evaluate(lambda points: self.force_at(points, u.axes).reshape(-1, d))

    def force_at(self, points: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
        """The force (n, d) at points (n, d)."""
        found = [
            coefficients.values(f"the force along {name}", force, points, axes)
            for name, force in zip(axes, self.force, strict=True)
        ]
        return np.stack([np.broadcast_to(each, (len(points),)) for each in found], axis=1)

    def stress(self, u: JetLike, i: int, j: int) -> Any:
        """The component ``σ_ij`` (n, 1)."""
        one, other = u.axes[i], u.axes[j]
        found = self.shear * (u.d(other)[:, i : i + 1] + u.d(one)[:, j : j + 1])
        if i == j:
            found = found + self.first * sum(u.d(name)[:, k : k + 1] for k, name in enumerate(u.axes))
        return found

    def displacement(self, values: tuple[Coefficient | None, ...], on: On = None) -> tuple[Condition, ...]:
        """``u = values`` on parts of the boundary: a condition for each component; None leaves one out, as on a roller."""
        return tuple(Dirichlet(value, on, component=k) for k, value in self._given(values))

    def traction(self, values: tuple[Coefficient | None, ...], on: On = None) -> tuple[Condition, ...]:
        """``σ n = values``, the force on a unit of area; otherwise as `displacement`."""
        return tuple(Traction(value, on, component=k, material=self) for k, value in self._given(values))

    def _given(self, values: tuple[Coefficient | None, ...]) -> list[tuple[int, Coefficient]]:
        if len(values) != len(self.force):
            raise InputError(f"{len(values)} values for {len(self.force)} components", "one for each, or None")
        return [(k, value) for k, value in enumerate(values) if value is not None]


@dataclass(frozen=True)
class Traction(Condition):
    """``(σ n)_component = value``: a component of the force on a unit of the boundary's area; 0 where it is free.

    Attributes:
        material: the equation of the body.
    """

    material: Elasticity = field(kw_only=True)

    def residual(self, u: JetLike, normal: Any) -> Any:
        k = self.component
        force = sum(self.material.stress(u, k, j) * normal[:, j : j + 1] for j in range(len(u.axes)))
        return force - self._right(u)


def _unit(u: JetLike, i: int) -> Any:
    """The i-th unit vector at every point, (n, d)."""
    return u.evaluate(lambda points: np.tile(np.eye(points.shape[1])[i], (len(points), 1)))
