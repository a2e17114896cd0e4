"""A problem: a domain, an equation on it, and the conditions that make the solution unique."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Composite, Domain, SpaceTime
from ungrid.equations.coefficients import ByMaterial, Unknown, UnknownFunction, depends_on_value, values
from ungrid.equations.conditions import INITIAL, Condition, Dirichlet, Initial, Measured, Periodic
from ungrid.equations.elasticity import Elasticity, Traction
from ungrid.equations.equation import COEFFICIENTS, TIME, Equation, SecondOrder, Strong, is_zero

FINAL = "final"
TRIED = 64  # points at which coefficients are tried out

AnyCondition = Condition | Periodic | Measured


@dataclass(frozen=True, eq=False)
class Problem:
    """``equation`` on ``domain`` under ``conditions``.

    Args:
        domain: a region, or a region times `Time`.
        equation: an `Equation`, or its residual as a function of a jet.
        conditions: at least one.
        name: for tables and files.

    Raises:
        InputError: if a coefficient is no function of the domain's axes or is NaN somewhere, a part of the boundary is
            unknown or named by two conditions for one component, a lateral part of the boundary of a known equation has
            no condition, or a problem in time has no initial one.
    """

    domain: Any
    equation: Equation
    conditions: tuple[AnyCondition, ...]
    name: str

    def __init__(self, domain: Any, equation: Any, conditions: Any = (), *, name: str = "problem") -> None:
        if callable(equation) and not isinstance(equation, Equation):
            equation = Strong(equation)
        if not isinstance(equation, Equation) or not isinstance(domain, Domain):
            raise InputError(
                f"a problem of a {type(domain).__name__} and a {type(equation).__name__}", "a domain and an equation"
            )
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "equation", equation)
        object.__setattr__(self, "conditions", tuple(conditions))
        object.__setattr__(self, "name", name)
        self._check()

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the coordinates, in column order."""
        return tuple(axis.name for axis in self.domain.axes)

    @property
    def materials(self) -> tuple[str, ...]:
        """The names of the materials of the domain; none where it has one only."""
        region = self.domain.region if isinstance(self.domain, SpaceTime) else self.domain
        return tuple(region.materials) if isinstance(region, Composite) else ()

    @property
    def is_linear(self) -> bool:
        """Whether equation and conditions are known to be linear."""
        return self.equation.is_linear and all(c.is_linear for c in self.conditions if isinstance(c, Condition))

    @property
    def changes(self) -> bool:
        """Whether the problem has time."""
        return TIME in self.axes

    @property
    def lateral(self) -> tuple[str, ...]:
        """The parts of the boundary of space, without the start and the end of time."""
        return tuple(name for name in self.domain.parts if name not in (INITIAL, FINAL))

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The numbers to be found, of the equation and of the conditions, each once."""
        found = [*self.equation.unknowns]
        found += [unknown for c in self.conditions if isinstance(c, Condition) for unknown in c.unknowns]
        return tuple({unknown.name: unknown for unknown in found}.values())

    @property
    def measured(self) -> tuple[Measured, ...]:
        """The measurements among the conditions."""
        return tuple(c for c in self.conditions if isinstance(c, Measured))

    @property
    def periodic(self) -> tuple[Periodic, ...]:
        """The periodic axes among the conditions."""
        return tuple(c for c in self.conditions if isinstance(c, Periodic))

    def boundary_conditions(self) -> list[tuple[Condition, tuple[str, ...]]]:
        """Every condition on the boundary and at the start, with the names of its parts."""
        return [(c, self.parts_of(c)) for c in self.conditions if isinstance(c, Condition)]

    def parts_of(self, condition: Condition) -> tuple[str, ...]:
        """The names of a condition's parts; those that no other one names, if it names none."""
        if condition.names is not None:
            return condition.names
        named = {
            name
            for other in self.conditions
            if isinstance(other, Condition) and other.component == condition.component
            for name in other.names or ()
        } | {name for p in self.periodic for name in self.ends(p)}
        return tuple(name for name in self.lateral if name not in named)

    def ends(self, periodic: Periodic) -> tuple[str, str]:
        """The two parts that a periodic axis joins."""
        return f"{periodic.axis}_low", f"{periodic.axis}_high"

    def _check(self) -> None:
        if not self.conditions:
            raise InputError("a problem without conditions", "at least one, such as Dirichlet(0.0)")
        self.equation.check(self.axes)
        for condition in self.conditions:
            if not isinstance(condition, AnyCondition):
                raise InputError(f"a condition of type {type(condition).__name__}", "Dirichlet, Neumann, Robin, ...")
            condition.check(self.axes)
        self._check_parts()
        self._check_complete()
        self._try_out()

    def _check_parts(self) -> None:
        seen: dict[tuple[str, int], Condition] = {}
        for condition, parts in self.boundary_conditions():
            for part in parts:
                if part not in self.domain.parts:
                    raise InputError(
                        f"{condition.label}: no part {part!r} of the boundary", f"one of {', '.join(self.domain.parts)}"
                    )
                other = seen.setdefault((part, condition.component), condition)
                if other is not condition:
                    raise InputError(
                        f"{other.label} and {condition.label}, both for {self._named(condition.component)}",
                        f"one condition on {part}",
                    )
        for periodic in self.periodic:
            missing = [name for name in self.ends(periodic) if name not in self.domain.parts]
            if missing:
                raise InputError(f"{periodic.label}: the boundary has no part {missing[0]!r}", "a box or an interval")

    def _named(self, component: int) -> str:
        """What a condition is for: an unknown function, or a derivative of them, as of a stream function."""
        names = self.equation.out_names
        return names[component] if component < len(names) else f"derivative {component - len(names)} of {names[0]}"

    def _check_complete(self) -> None:
        """A known equation needs a condition on every lateral part where it has second derivatives, and a start."""
        if isinstance(self.equation, Elasticity):
            self._check_held(len(self.equation.force))
        if not isinstance(self.equation, SecondOrder):
            return
        covered = {part for _, parts in self.boundary_conditions() for part in parts}
        covered |= {name for periodic in self.periodic for name in self.ends(periodic)}
        bare = [name for name in self.lateral if name not in covered]
        if bare and not is_zero(self.equation.diffusion) and not self.measured:
            raise InputError(f"no condition on the part {bare[0]!r}", "one on every part of the boundary")
        if not self.changes:
            return
        starts = [c for c in self.conditions if isinstance(c, Initial)]
        if not starts and not self.measured:
            raise InputError("a problem in time without an initial condition", "Initial(value)")
        if starts and not is_zero(self.equation.inertia) and starts[0].rate is None:
            raise InputError("a second derivative in time and no initial rate", "Initial(value, rate=...)")

    def _check_held(self, components: int) -> None:
        """An elastic body needs a condition for every component on every part, and something that holds it."""
        pairs = self.boundary_conditions()
        for component in range(components):
            own = [(c, parts) for c, parts in pairs if c.component == component]
            name = self.equation.out_names[component]
            bare = set(self.lateral).difference(*(parts for _, parts in own))
            if bare:
                raise InputError(
                    f"no condition for {name} on the part {min(bare)!r}", "a displacement or a traction on every part",
                    "where it is free: *material.traction((0.0, ...))",
                )  # fmt: skip
            if not any(isinstance(c, Dirichlet) and parts for c, parts in own):
                raise InputError(f"a body that nothing holds along {name}", f"a displacement with a value for {name}")
        other = [c.label for c, _ in pairs if not isinstance(c, Dirichlet | Traction)]
        if other:
            raise InputError(
                f"{other[0]} for an elastic body", "displacement((...)) and traction((...)) of the material"
            )

    def _try_out(self) -> None:
        """Evaluate coefficients and boundary values at a few points, so that a NaN is named before work begins."""
        rng = np.random.default_rng(0)
        if isinstance(self.equation, SecondOrder):
            inside = self.domain.sample(TRIED, rng)
            for name in COEFFICIENTS:
                self._try(f"the {name}", getattr(self.equation, name), inside)
        if isinstance(self.equation, Elasticity):
            self.equation.force_at(self.domain.sample(TRIED, rng), self.axes)
        for condition, parts in self.boundary_conditions():
            for part in parts:
                at = self.domain.sample_boundary(TRIED, rng, part=part)[0]
                self._try(f"the value of {condition.label}", condition.value, at)

    def _try(self, what: str, given: Any, points: np.ndarray) -> None:
        if isinstance(given, ByMaterial):
            if not self.materials:
                raise InputError(f"{what} by materials on a domain of one", "a Composite domain, or one coefficient")
            for material in self.materials:
                self._try(f"{what} in {material}", given[material], points)
        elif not isinstance(given, Unknown | UnknownFunction) and not depends_on_value(given):
            values(what, given, points, self.axes)
