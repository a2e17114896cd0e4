"""The data of a problem in time on a grid: polynomials where they are, samples where they are not; exact boundary values.

Convention: as in `hermite`, the last axis is time. A boundary value is a polynomial of degree 5 at most along every axis that
lies in its face, so that a function of Hermite's space has it exactly; a flux is ``∂v/∂n``.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.certificates.bound import Bound, Kind
from ungrid.certificates.data import SAMPLED, TRIED
from ungrid.certificates.enclosures import Enclosed
from ungrid.certificates.hermite import (
    DEGREE,
    KINDS,
    OUT,
    Grid,
    Hermite,
    at_place,
    degrees_of,
    even_grid,
    interpolant,
)
from ungrid.certificates.lagrange import FieldLike
from ungrid.certificates.polynomials import Polynomial, traced
from ungrid.domains import Box, Interval, SpaceTime
from ungrid.equations import Condition, Dirichlet, Initial, Neumann, Periodic, Problem, SecondOrder, coefficients
from ungrid.equations.coefficients import ByMaterial

LARGEST = 10  # degree along an axis of data that are integrated as polynomials
JUMP = 1e-9  # of boundary values at a corner, relative to their size: more than rounding
PART, MOST_CELLS = 0.7, 20_000  # of a finer grid: whose contributions are halved, and how fine it may be
WORTH, PATIENCE = 0.9, 4  # a finer grid must bring the bound below this share within so many rounds


@dataclass(frozen=True, eq=False)
class GridDatum:
    """A coefficient on grids.

    Attributes:
        what: how an error calls it.
        given: a coefficient.
        axes: of the grids.
        points: (n, d), at which a polynomial is compared with the function it was found from.
    """

    what: str
    given: Any
    axes: tuple[str, ...]
    points: np.ndarray

    @cached_property
    def polynomial(self) -> Polynomial | None:
        """What it is exactly; None if it is not known to be one number, or a polynomial of low degree."""
        found = traced(self.given, self.axes, self.points)
        if found is None or found.shape != () or max(degrees_of(found.item())) > LARGEST:
            return None
        one: Polynomial = found.item()
        return one

    def degrees(self, sampled: int) -> tuple[int, ...]:
        """Along every axis; those of the polynomial that stands for a function that is none."""
        return (sampled,) * len(self.axes) if self.polynomial is None else degrees_of(self.polynomial)

    def at(self, grid: Grid, degrees: tuple[int, ...]) -> Enclosed:
        """Its values (cells..., n...) at the lattices of a grid's cells."""
        x = grid.points(degrees)
        if self.polynomial is not None:
            return self.polynomial.at(x)
        flat = coefficients.values(self.what, self.given, x.mid.reshape(len(x.mid), -1).T, self.axes)
        return Enclosed(flat.reshape(x.shape[1:]))


@dataclass(frozen=True, eq=False)
class OnGrids:
    """A problem in time on a box of one material, with numbers for coefficients.

    Args:
        problem: of second order in space, on an interval or a rectangle times `Time`.

    Raises:
        InputError: if it is of another kind, or has other conditions than Dirichlet's, Neumann's, periodic and initial ones.
    """

    problem: Problem

    def __post_init__(self) -> None:
        problem, domain = self.problem, self.problem.domain
        if not isinstance(problem.equation, SecondOrder) or not isinstance(domain, SpaceTime):
            raise InputError(
                f"a certificate in time for a {type(problem.equation).__name__} equation on a {type(domain).__name__}",
                "an equation of second order in space, on a region times Time(...)",
            )
        if not isinstance(domain.region, Interval | Box) or domain.dim > 3:
            raise InputError(
                f"a certificate on a grid over a {type(domain.region).__name__}", "an Interval or a Box in the plane"
            )
        kinds = Dirichlet | Neumann | Initial | Periodic
        other = [c.label for c in problem.conditions if not isinstance(c, kinds)]
        if other or problem.unknowns:
            raise InputError(
                f"a certificate on a grid with {(*other, 'unknown numbers')[0]}",
                "Dirichlet's, Neumann's, periodic and initial conditions",
            )

    @property
    def equation(self) -> SecondOrder:
        """Of the problem."""
        assert isinstance(self.problem.equation, SecondOrder)
        return self.problem.equation

    @cached_property
    def _points(self) -> np.ndarray:
        return self.problem.domain.sample(TRIED, np.random.default_rng(1))

    @cached_property
    def source(self) -> GridDatum:
        """The right-hand side f, a function of space and time."""
        return GridDatum("the source", self.equation.source, self.problem.axes, self._points)

    @cached_property
    def start(self) -> Initial:
        """The condition at the start."""
        return next(c for c in self.problem.conditions if isinstance(c, Initial))

    def at_start(self, what: str, given: Any) -> GridDatum:
        """A coefficient of space alone."""
        axes, points = self.problem.axes[:-1], self._points[:, :-1]
        if coefficients.asks_for(given, self.problem.axes[-1]):
            raise InputError(f"{what} as a function of time", "one of space")
        return GridDatum(what, given, axes, points)

    @cached_property
    def exact(self) -> bool:
        """Whether source and initial values are polynomials; boundary values always are."""
        given = [self.start.value] + ([] if self.start.rate is None else [self.start.rate])
        data = [self.source, *(self.at_start("an initial value", one) for one in given)]
        return all(one.polynomial is not None for one in data)

    @property
    def samplings(self) -> tuple[int, ...]:
        """The degrees of the polynomials that stand for data that are none, one after the other."""
        return SAMPLED[:1] if self.exact else SAMPLED

    @property
    def periodic(self) -> tuple[int, ...]:
        """The numbers of the axes whose ends are joined."""
        return tuple(self.problem.axes.index(one.axis) for one in self.problem.periodic)

    def number(self, name: str, given: Any) -> float:
        """A coefficient that must be a number.

        Raises:
            InputError: if it is none.
        """
        made = np.asarray(given) if not callable(given) and not isinstance(given, ByMaterial) else np.zeros(2)
        if made.size != 1:
            raise InputError(f"a {name} that is no number", "a number, for a certificate on a grid")
        return float(made.reshape(()))

    # -- boundary values ---------------------------------------------------------------------------------------------------

    def imposed(self, v: Hermite) -> tuple[Hermite, Enclosed]:
        """The function with the boundary's rounded values, and the data of that with the exact ones.

        Raises:
            InputError: if a boundary value is no polynomial of degree 5 along its face, or two differ at a corner.
        """
        grid, d = v.grid, v.grid.dim
        mid, rad = v.data.copy(), np.zeros_like(v.data)
        seen = np.zeros(v.data.shape, dtype=bool)
        for condition, parts in self.problem.boundary_conditions():
            if isinstance(condition, Initial):
                continue
            for part in parts:
                axis, high = self.problem.axes.index(part.rpartition("_")[0]), part.endswith("_high")
                value = self._on_face(condition, axis, float(grid.nodes[axis][-1 if high else 0]))
                flux = isinstance(condition, Neumann)
                value = -value if flux and not high else value
                for kind in itertools.product(KINDS, repeat=d):
                    if kind[axis] == int(flux):
                        place = (*kind, *(slice(None) if k != axis else (-1 if high else 0) for k in range(d)))
                        _put((mid, rad, seen), place, _derived(value, kind, axis, grid), condition)
        return Hermite(grid, mid), Enclosed(mid, rad)

    def _on_face(self, condition: Condition, axis: int, place: float) -> Polynomial:
        found = GridDatum(
            f"the value of {condition.label}", condition.value, self.problem.axes, self._points
        ).polynomial
        made = None if found is None else at_place(found, axis, place)
        if made is None or max(degrees_of(made)) > DEGREE:
            raise InputError(
                f"{condition.label}: values that are no polynomial of degree {DEGREE} in space and in time",
                "polynomials of low degree, for a certificate on a grid",
            )
        return made


def _derived(value: Polynomial, kind: tuple[int, ...], axis: int, grid: Grid) -> Enclosed:
    """Mixed derivatives of a face's value at its nodes, (N...) without the face's axis."""
    for k, order in enumerate(kind):
        for _ in range(0 if k == axis else order):
            value = value.derivative(k)
    others = [x for k, x in enumerate(grid.nodes) if k != axis]
    points = np.stack(np.meshgrid(*others, indexing="ij"))
    return value.at(Enclosed(np.insert(points, axis, 0.0, axis=0)))


def _put(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], place: tuple[Any, ...], value: Enclosed, condition: Condition
) -> None:
    """Set data on a face; where another face has set them, both must agree."""
    mid, rad, seen = data
    apart = np.where(seen[place], np.abs(value.mid - mid[place]), 0.0)
    if apart.max() > JUMP * max(float(np.abs(mid).max()), float(value.magnitude.max())):
        raise InputError(
            f"{condition.label}: values or slopes that differ by {apart.max():.3g} from those of another part at a corner",
            "data that fit together there",
        )
    mid[place] = np.where(seen[place], mid[place], value.mid)
    rad[place] = np.maximum(rad[place], apart * (1 + 1e-15) + value.rad)
    seen[place] = True


def refined(bound_on: Callable[[Grid], Bound], grid: Grid, rounds: int) -> Bound:
    """The best bound of a field's interpolants on finer and finer grids: halved where the contributions are largest.

    A front that is not resolved yet contributes more on a finer grid, so that a few rounds may bring nothing.
    """
    best, idle = bound_on(grid), 0
    last = best
    for _ in range(rounds):
        grid = grid.halved(last.local.reshape(grid.cells) ** 2, PART)
        if np.prod(grid.cells) > MOST_CELLS or idle == PATIENCE:
            break
        last = bound_on(grid)
        idle = 0 if last.upper < WORTH * best.upper else idle + 1
        best = last if last.upper < best.upper else best
    return best


class EvolvingCertifier(ABC):
    """What the certificates on grids of space and time share: an interpolant, its bound, and finer grids.

    Args:
        problem: the equation and its data.
        norm: of the error that is bounded.
        cells: of the first grid, along every axis.
        rounds: of finer ones.
    """

    def __init__(self, problem: Problem, norm: str, cells: int, rounds: int) -> None:
        self.data, self.norm, self.cells, self.rounds = OnGrids(problem), norm, cells, rounds

    def __call__(self, field: FieldLike) -> Bound:
        """The bound of the interpolant of a field: values (n, 1) at points (n, d + 1)."""
        domain = self.data.problem.domain
        first = even_grid(domain.low, domain.high, self.cells)
        return refined(lambda grid: self.bound(field, grid), first, self.rounds)

    def bound(self, field: FieldLike, grid: Grid) -> Bound:
        """Of a field's interpolant on a grid."""
        v, exact = self.data.imposed(interpolant(field, grid, self.data.periodic))
        found = [self._upper(exact, grid, sampled) for sampled in self.data.samplings]
        apart = abs(found[-1][0] - found[0][0])
        upper = (found[-1][0] + apart + self._changed(exact, grid)) * OUT
        kind: Kind = "certified" if self.data.exact else "estimated"
        shares = found[-1][1]
        local = np.sqrt(shares / max(float(shares.sum()), 1e-300)) * upper
        return Bound(
            upper, 0.0, self.norm, kind, self._assumptions(grid, apart), size=self._size(v), local=local.ravel(),
            certified_object=v,
        )  # fmt: skip

    @abstractmethod
    def _upper(self, exact: Enclosed, grid: Grid, sampled: int) -> tuple[float, np.ndarray]:
        """The bound for exact boundary values, and the cells' contributions (cells...)."""

    @abstractmethod
    def _changed(self, exact: Enclosed, grid: Grid) -> float:
        """How far the interpolant can be from the one with exact boundary values, in the norm."""

    @abstractmethod
    def _size(self, v: Hermite) -> float:
        """A lower bound of the interpolant's norm."""

    @abstractmethod
    def _assumptions(self, grid: Grid, apart: float) -> tuple[str, ...]:
        """What the bound rests on."""
