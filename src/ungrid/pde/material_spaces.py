"""Bases for the weak form: for each material of a region its own random features, made orthonormal, at quadrature points.

Convention: d coordinates of space; u = values @ y, where the columns of `values` are combinations of features that are
orthonormal in ``∫ u v / size² + ∇u·∇v``, one material after another. Quadrature is of high order: what a rule misses of a steep
combination of features, the weak form would take for a part of the equation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.linalg
import torch

from ungrid.domains import BoundaryRule, Composite, Region, SpaceTime
from ungrid.equations import Condition, Initial, Problem
from ungrid.fields import Field, NeuralField, PatchField, SteppedField
from ungrid.networks import Linear
from ungrid.pde.spaces import Features, material_field
from ungrid.solvers.output_layer import user_partials

POINTS = 10.0  # of the quadrature, for each feature
ORDER, EDGE_ORDER = 32, 64  # of the polynomials that it integrates exactly
SMALL = 1e-7  # of the first: directions of a basis below it are left away
LEAST = 40  # features of a material


@dataclass(frozen=True)
class Trace:
    """A basis at points: of one material, or at an interface the difference of two.

    Attributes:
        points: (n, d).
        weights: of the quadrature, (n,).
        values: (n, k).
        slopes: (d, n, k); on a boundary those along the normal, (1, n, k), at an interface the sum of both materials'.
        columns: whose numbers they are, (k,).
    """

    points: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    columns: np.ndarray

    @cached_property
    def steepest(self) -> float:
        """The largest ``∫ (∂v/∂n)²`` of a function of length 1, per unit of length."""
        root = np.sqrt(self.weights)[:, None]
        return float(np.linalg.norm(root * self.slopes[0], 2) ** 2)


@dataclass(frozen=True)
class Edge:
    """A condition of one material on a part of its boundary."""

    trace: Trace
    material: str
    condition: Condition


@dataclass
class Space:
    """A problem on bases of its materials.

    Attributes:
        problem: that `needs_galerkin`.
        features: how many for all materials, and which.
        seed: of the features.
    """

    problem: Problem
    features: Features
    seed: int

    @cached_property
    def region(self) -> Region:
        """The region of space."""
        domain = self.problem.domain
        found: Region = domain.region if isinstance(domain, SpaceTime) else domain
        return found

    @property
    def size(self) -> float:
        """A length of the region."""
        return float(self.region.measure ** (1 / self.region.dim))

    @cached_property
    def materials(self) -> dict[str, Region]:
        """The regions of the materials; one of the name "" where there is one only."""
        return self.region.materials if isinstance(self.region, Composite) else {"": self.region}

    @cached_property
    def fields(self) -> dict[str, NeuralField]:
        """An unfitted field over the region of every material; a larger one gets more features."""
        sizes = {name: region.measure**0.5 for name, region in self.materials.items()}
        counts = {name: max(LEAST, round(self.features.count * s / sum(sizes.values()))) for name, s in sizes.items()}
        return {
            name: material_field(self.problem, region, replace(self.features, count=counts[name]), seed=self.seed + k)
            for k, (name, region) in enumerate(self.materials.items())
        }

    @cached_property
    def inside(self) -> dict[str, Trace]:
        """Every material's basis at the points of its quadrature."""
        return {name: trace for name, (trace, _) in self._bases.items()}

    @cached_property
    def turns(self) -> dict[str, np.ndarray]:
        """From the numbers of a material (k,) to the weights of its features (m, k)."""
        return {name: turn for name, (_, turn) in self._bases.items()}

    @cached_property
    def _bases(self) -> dict[str, tuple[Trace, np.ndarray]]:
        found, first = {}, 0
        for name, region in self.materials.items():
            u = self.fields[name]
            points, weights = quadrature(region, POINTS * width(u))
            values, slopes = features_at(u, points)
            turn = orthonormal(values, slopes, weights, self.size)
            columns = first + np.arange(turn.shape[1])
            found[name] = Trace(points, weights, values @ turn, slopes @ turn, columns), turn
            first += turn.shape[1]
        return found

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return sum(len(trace.columns) for trace in self.inside.values())

    def closest(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """The numbers whose function is closest, in the square mean, to values (n,) at the points inside every material."""
        found = np.zeros(self.total)
        for name, trace in self.inside.items():
            root = np.sqrt(trace.weights)
            found[trace.columns] = np.linalg.lstsq(root[:, None] * trace.values, root * values[name], rcond=None)[0]
        return found

    def at(self, material: str, rule: BoundaryRule) -> Trace:
        """A material's basis on its boundary."""
        values, slopes = features_at(self.fields[material], rule.points)
        normal = np.einsum("nk,knm->nm", rule.normals, slopes)
        turn = self.turns[material]
        return Trace(rule.points, rule.weights, values @ turn, (normal @ turn)[None], self.inside[material].columns)

    @cached_property
    def edges(self) -> list[Edge]:
        """The conditions, for every material that their parts bound."""
        found = []
        for condition, parts in self.problem.boundary_conditions():
            for name, region in self.materials.items():
                pieces = [piece for piece in region.pieces if piece.name in parts]
                if isinstance(condition, Initial) or not pieces:
                    continue
                rules = [piece.rule(EDGE_ORDER) for piece in pieces]
                whole = BoundaryRule(*(np.concatenate(arrays) for arrays in zip(*rules, strict=True)))
                found.append(Edge(self.at(name, whole), name, condition.in_material(name) if name else condition))
        return found

    @cached_property
    def joints(self) -> list[tuple[Trace, tuple[str, str]]]:
        """The differences of the two materials at every interface."""
        found = []
        for one in self.region.interfaces if isinstance(self.region, Composite) else ():
            rule = one.piece.rule(EDGE_ORDER)
            first, second = (self.at(name, rule) for name in one.materials)
            values = np.concatenate([first.values, -second.values], axis=1)
            slopes = np.concatenate([first.slopes, second.slopes], axis=2)
            columns = np.concatenate([first.columns, second.columns])
            found.append((Trace(rule.points, rule.weights, values, slopes, columns), one.materials))
        return found

    def field(self, states: Sequence[np.ndarray], times: Sequence[float] = ()) -> Field:
        """The solution as a field, from its numbers: one array, or the values at the times and then the rates."""
        parts = [self._part(name, states, times) for name in self.materials]
        return parts[0] if len(parts) == 1 else PatchField(tuple(parts))

    def _part(self, name: str, states: Sequence[np.ndarray], times: Sequence[float]) -> Field:
        u, names = self.fields[name], self.problem.equation.out_names
        weights = self.turns[name] @ np.stack([y[self.inside[name].columns] for y in states], axis=1)
        network = Linear(width(u), weights.shape[1]).double()
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(weights))
        if not times:
            return NeuralField(u.domain, u.encoding, network, out_names=names)
        labels = tuple(f"{kind}_{k}" for kind in ("value", "rate") for k in range(len(times)))
        axis = self.problem.domain.axes[-1]
        space = NeuralField(u.domain, u.encoding, network, out_names=labels)
        return SteppedField(space, tuple(times), out_names=names, axis=axis.name, unit=axis.unit)


def quadrature(region: Region, count: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) and weights (n,), at least `count`."""
    h = float(np.max(region.high - region.low))
    while True:
        rule = region.quadrature(ORDER, h)
        if len(rule.points) >= count:
            return rule.points, rule.weights
        h /= 1.4


def features_at(u: NeuralField, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The features (n, m) of a field at points, and their slopes (d, n, m)."""
    d = points.shape[1]
    partials = user_partials(u, torch.from_numpy(points), [(), *((k,) for k in range(d))])
    values, *slopes = (one.numpy() for one in partials.values())
    return values, np.stack(slopes)


def orthonormal(values: np.ndarray, slopes: np.ndarray, weights: np.ndarray, size: float) -> np.ndarray:
    """Combinations (m, k) of features that are orthonormal in ``∫ u v / size² + ∇u·∇v``, without those that hardly count."""
    root = np.sqrt(weights)[:, None]
    rows = np.concatenate([root * values / size, *(root * slope for slope in slopes)])
    lengths = np.linalg.norm(rows, axis=0)
    factors, pivots = scipy.linalg.qr(rows / lengths, mode="r", pivoting=True)
    diagonal = np.abs(np.diag(factors))
    rank = int((diagonal > SMALL * diagonal[0]).sum())
    found = np.zeros((len(lengths), rank))
    found[pivots[:rank]] = scipy.linalg.solve_triangular(factors[:rank, :rank], np.eye(rank))
    return found / lengths[:, None]


def width(u: NeuralField) -> int:
    """The number of features of a field."""
    return int(u.encoding.out_features)  # type: ignore[arg-type]
