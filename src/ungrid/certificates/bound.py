"""What a certificate says: an interval that holds a number, the word for how it is known, and what it rests on.

Convention: `lower <= number <= upper`; the number is the error of a field in a norm, or a goal or an eigenvalue itself, in
the units of the problem. The words are, from the strongest to the weakest, *certified* (a proven inequality whose integrals
are enclosed), *estimated* (the same inequality, with an integral or a constant that is only approximate) and *heuristic*
(everything else). A bound carries the weakest word of its parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ungrid._base.errors import InputError

Kind = Literal["certified", "estimated", "heuristic"]
KINDS: tuple[Kind, ...] = ("certified", "estimated", "heuristic")


@dataclass(frozen=True, eq=False)
class Bound:
    """``lower <= number <= upper``.

    Attributes:
        upper: of the number.
        lower: of the number.
        norm: in which an error is measured, or what else the number is, in words.
        kind: how the bound is known.
        assumptions: what it rests on, in words; among them the object whose error it is, and the bound that was used.
        size: that norm of the object itself, from above: what a relative error compares with; infinite if it has none.
        local: the contribution of every cell of the mesh (cells,), whose squares sum to about the square of `upper`; empty
            where a bound has no cells.
        mesh: of scikit-fem, on which `local` lives; None where there is none.
        certified_object: the function whose error is bounded, of points (n, d) -> (n, 1); None where there is none.

    Raises:
        InputError: if the numbers are no interval, or the word is unknown.
    """

    upper: float
    lower: float
    norm: str
    kind: Kind
    assumptions: tuple[str, ...]
    size: float = np.inf
    local: np.ndarray = field(default_factory=lambda: np.zeros(0))
    mesh: Any = None
    certified_object: Callable[[np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"a bound of the kind {self.kind!r}", f"one of {', '.join(KINDS)}")
        if not self.lower <= self.upper:
            raise InputError(f"a number between {self.lower} and {self.upper}", "lower <= upper")

    @property
    def relative(self) -> tuple[float, float]:
        """Lower and upper bound of ``error / norm(u)``, u the exact solution: by ``|norm(u) - size| <= error``.

        The upper one is infinite where the bound does not exclude that u is 0.
        """
        least = self.size * (1 - 1e-12) - self.upper
        upper = self.upper / least if least > 0 and np.isfinite(self.size) else np.inf
        lower = self.lower / (self.size + self.lower) if np.isfinite(self.size) and self.lower > 0 else 0.0
        return lower * (1 - 1e-15), upper * (1 + 1e-15)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Random points (n, d) in cells chosen in proportion to the squares of their contributions, for more collocation.

        Raises:
            InputError: if the bound has no cells.
        """
        if self.mesh is None or not self.local.any():
            raise InputError("points by a bound without contributions of cells", "the bound of a field's error")
        square = self.local**2
        cells = rng.choice(len(square), n, p=square / square.sum())
        corners = self.mesh.p[:, self.mesh.t[:, cells]]
        weights = rng.dirichlet(np.ones(corners.shape[1]), n)  # uniform in a simplex
        return np.asarray(np.einsum("ivn,nv->ni", corners, weights))

    def __str__(self) -> str:
        return f"{self.kind}: {self.lower:.4g} <= {self.norm} <= {self.upper:.4g}"


def weakest(*kinds: Kind) -> Kind:
    """The word that a bound made of several parts carries."""
    return KINDS[max(KINDS.index(kind) for kind in kinds)]
