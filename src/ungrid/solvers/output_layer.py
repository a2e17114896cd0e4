"""Gauss-Newton on the output layer: a field that is linear in its weights, a basis fixed, equations by collocation.

Every equation at every point is a row of a linear system for the change of the weights (`operators.linearise`); a linear
equation takes one solve, a nonlinear one a few. The system is solved as it is, by an orthogonal factorisation: its condition
number is near 1 / rounding by design, so that normal equations would lose everything.

Convention: rows are scaled to a largest entry of 1 and multiplied by the square root of their term's weight; those of
measured values (terms with targets) by `MEASURED` and the inverse of their standard error instead. The unknowns
are the weights (features, components) in row-major order, and then the unknown numbers of the equations; a positive unknown
is searched for by its logarithm.

A factorisation serves for as many Newton steps as it brings the residual down fast (the chord method). An iteration has ended
where the residual is orthogonal to what the basis can change: that needs no scale.

Sources: Dwivedi and Srinivasan 2020 (PIELM); Dong and Li 2021, *Local extreme learning machines* (Newton on the output
layer); Golub and Van Loan 2013, *Matrix computations*, section 5.5.7 (basic solutions); Kelley 1995, *Iterative methods for
linear and nonlinear equations*, section 5.4.1 (chord method).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from scipy.linalg import lapack
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.encodings import Constrained
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.objectives import Term
from ungrid.operators.jet import JetOperator, Jump, Partial
from ungrid.operators.linearise import Linearisation, linearise, requested, residual_values
from ungrid.sampling import AllPoints

RCOND = 1e-15  # of the first column: columns shorter than that, given those before them, are left out
MEASURED_RCOND = (
    1e-10  # where measured values take part: their noise would be met by weights so large that rounding is seen
)
SHORTEST = 2.0**-8  # of a damped step
KEPT = 0.8  # of the decrease that a step promised, for its factorisation to be used again
TRIALS, SETTLED = 40, 1e-8  # of the unknown numbers: most trials, and the relative gain or step that ends them
CHUNK = 1 << 13  # rows whose features are computed at once
MEASURED = 1e-2  # weight of a measured value next to an equation: the equation holds, the measurements have noise


@runtime_checkable
class Basis(Protocol):
    """An encoding that knows the derivatives of its features."""

    out_features: int

    def partials(self, x: Tensor, orders: Sequence[tuple[int, ...]]) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class OutputLayer:
    """Newton steps on the output layer.

    Attributes:
        steps: at most.
        tolerance: a relative decrease of the residual, expected or found, below which the iteration ends.
        search: whether unknown numbers are looked for, or stay at their start.
    """

    steps: int = 30
    tolerance: float = 1e-10
    search: bool = True


@dataclass
class Rows:
    """One term on one basis: its features and their derivatives at its points."""

    term: Term
    points: Tensor
    target: Tensor | None
    weight: Tensor | None
    partials: dict[Partial, Tensor]

    @property
    def shares(self) -> Tensor:
        """Inverse standard errors of measured values (n,), relative to the largest."""
        if self.weight is None:
            return torch.ones(len(self.points), dtype=self.points.dtype)
        return (self.weight / self.weight.max()).sqrt()

    def noise(self, residual: Tensor) -> float:
        """Standard deviation of the scaled rows of measured values, known or from their residuals."""
        if self.weight is not None:
            return MEASURED / float(self.weight.max().sqrt())
        return MEASURED * _rms(residual)

    def residual_of(self, axes: tuple[str, ...], weights: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """The residual (n, e) at some weights."""
        operator = self.term.operator
        if isinstance(operator, Jump):
            return self.partials[operator.partial] @ weights
        assert isinstance(operator, JetOperator)
        found = residual_values(
            operator.equation, self.points, axes, lambda partial: self.partials[partial] @ weights, parameters
        )
        return found if self.target is None else found - self.target

    def rates(self, axes: tuple[str, ...], weights: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """How the residual answers to the derivatives of the field at some weights, (n, e, derivatives * c)."""
        if isinstance(self.term.operator, Jump):
            return torch.ones(1)
        return torch.cat(list(self._linearised(axes, weights, parameters).by_partial.values()), dim=2)

    def _linearised(self, axes: tuple[str, ...], weights: Tensor, parameters: Mapping[str, Tensor]) -> Linearisation:
        operator = self.term.operator
        assert isinstance(operator, JetOperator)
        return linearise(
            operator.equation, self.points, axes, lambda partial: self.partials[partial] @ weights, parameters
        )

    def system_of(self, axes: tuple[str, ...], weights: Tensor, parameters: Mapping[str, Tensor]) -> "System":
        """The rows of the system, and the residual, at some weights."""
        operator = self.term.operator
        if isinstance(operator, Jump):
            derivative = self.partials[operator.partial]
            return System(_columns(derivative[:, None, :, None], weights.shape[1]), derivative @ weights, {})
        found = self._linearised(axes, weights, parameters)
        matrix: Tensor | float = 0.0
        for partial, rate in found.by_partial.items():  # rate (n, e, c), features (n, m)
            matrix = matrix + rate[:, :, None, :] * self.partials[partial][:, None, :, None]
        target = self.target if self.target is not None else 0.0
        if isinstance(matrix, float):
            raise InputError(f"the term {self.term.name!r} does not contain the unknown", "an equation for it")
        return System(matrix.flatten(2), found.residual - target, found.by_parameter)


@dataclass
class System:
    """Rows (n, e, m * c), the residual (n, e), and its derivatives by unknown numbers (n, e) each."""

    matrix: Tensor
    residual: Tensor
    by_parameter: dict[str, Tensor]


def _columns(matrix: Tensor, components: int) -> Tensor:
    """A Jump's rows (n, 1, m, 1) for every component: (n, c, m * c)."""
    eye = torch.eye(components, dtype=matrix.dtype)
    return (matrix * eye[None, :, None, :]).flatten(2)


@dataclass
class Found:
    """Where an iteration ended.

    Attributes:
        residuals: root mean square of the scaled residual before every step and at the end.
        parameters: the unknown numbers.
        linear: whether the system did not depend on the weights.
        deviations: standard errors of the unknown numbers.
        covariance: of the unknown numbers, in the order of `parameters`; None without measurements.
    """

    residuals: list[float] = field(default_factory=list)
    parameters: dict[str, float] = field(default_factory=dict)
    linear: bool = False
    deviations: dict[str, float] = field(default_factory=dict)
    covariance: np.ndarray | None = None


def solve_output_layer(
    u: NeuralField,
    terms: list[Term],
    solver: OutputLayer,
    *,
    unknowns: Mapping[str, tuple[float, bool]] | None = None,
) -> Found:
    """Minimise the sum of the terms over the output layer of `u`, in place.

    Args:
        u: a field whose encoding knows its partial derivatives and whose network is `Linear`, in double precision.
        terms: their points are `AllPoints`, their operators `JetOperator` or `Jump`.
        solver: limits.
        unknowns: numbers that are found too: name -> (start, positive).

    Returns:
        How it went; the weights of `u` are changed.

    Raises:
        InputError: if the field or a term is of another kind, or the system is not finite.
    """
    state = _begun(u, terms, dict(unknowns or {}))
    found = state.find(solver)
    with torch.no_grad():
        u.network.get_parameter("weight").copy_(state.weights)
    return found


class Repeated:
    """The same terms solved again and again while numbers in their operators change; a factorisation is kept while it serves.

    Args:
        u, terms, solver: as for `solve_output_layer`.
    """

    def __init__(self, u: NeuralField, terms: list[Term], solver: OutputLayer) -> None:
        self.u, self.solver, self.state = u, solver, _begun(u, terms, {})
        self.state.keeps = True

    def solve(self) -> Found:
        """From the weights as they are to those for the numbers of now."""
        found = self.state.find(self.solver)
        with torch.no_grad():
            self.u.network.get_parameter("weight").copy_(self.state.weights)
        return found


def _begun(u: NeuralField, terms: list[Term], unknowns: dict[str, tuple[float, bool]]) -> "_State":
    """The terms on the basis of a field.

    Raises:
        InputError: if the field is of another kind.
    """
    if not isinstance(u.network, Linear) or not isinstance(u.encoding, Basis):
        raise InputError(f"a {type(u.network).__name__} on a {type(u.encoding).__name__}", "Linear on a basis")
    axes = tuple(axis.name for axis in u.domain.axes)
    rows = [prepared(u, term, axes, unknowns) for term in terms]
    free = u.encoding.out_features - int(isinstance(u.encoding, Constrained))  # whose last feature is given
    return _State(rows, axes, u.network.weight.detach().clone(), free, unknowns)


class _State:
    """The weights and unknown numbers on their way."""

    def __init__(
        self,
        rows: list[Rows],
        axes: tuple[str, ...],
        weights: Tensor,
        free: int,
        unknowns: dict[str, tuple[float, bool]],
    ) -> None:
        self.rows, self.axes, self.weights = rows, axes, weights
        self.count = free * weights.shape[1]  # the weights of the other features, the last ones, stay as they are
        self.scales: list[Tensor] = []  # of every term's rows
        self.rcond = MEASURED_RCOND if any(block.target is not None for block in rows) else RCOND
        self.columns: np.ndarray | None = None  # those with weights, once they stay; else all may have one
        self.frozen = False  # whether they stay, so that trials of unknown numbers are compared by one measure
        self.keeps = False  # whether a factorisation serves the next iteration too
        self.kept: Factored | None = None
        self.positive = {name: positive for name, (_, positive) in unknowns.items()}
        self.numbers = {name: math.log(start) if positive else start for name, (start, positive) in unknowns.items()}

    def values(self) -> dict[str, Tensor]:
        """The unknown numbers themselves."""
        kind = self.weights.dtype
        return {
            name: torch.tensor(math.exp(number) if self.positive[name] else number, dtype=kind)
            for name, number in self.numbers.items()
        }

    def system(self) -> tuple[Tensor, Tensor]:
        """The scaled matrix (rows, unknowns) and right-hand side."""
        matrices, rights, values = [], [], self.values()
        parts = [block.system_of(self.axes, self.weights, values) for block in self.rows]
        if not self.frozen:
            self.scales = [self._scale(block, part.matrix) for block, part in zip(self.rows, parts, strict=True)]
        for part, scale in zip(parts, self.scales, strict=True):
            extra = [
                part.by_parameter.get(name, torch.zeros_like(part.residual)) * (value if self.positive[name] else 1.0)
                for name, value in values.items()
            ]
            matrix = torch.cat([part.matrix[..., : self.count], *[e[:, :, None] for e in extra]], dim=2)
            matrices.append((matrix * scale).flatten(0, 1))
            rights.append((-part.residual[..., None] * scale).flatten())
        return torch.cat(matrices), torch.cat(rights)

    def _scale(self, block: Rows, matrix: Tensor) -> Tensor:
        """The factors (n, e, 1) of the rows of a term."""
        largest = matrix[..., : self.count].abs().amax(dim=2, keepdim=True).clamp(min=torch.finfo(matrix.dtype).tiny)
        if block.target is not None:  # measured
            return MEASURED * block.shares.reshape(-1, 1, 1).expand_as(largest)
        return math.sqrt(block.term.weight) / largest

    def right(self) -> Tensor:
        """The right-hand side alone, scaled as the last system was."""
        values = self.values()
        parts = [block.residual_of(self.axes, self.weights, values) for block in self.rows]
        return torch.cat([(-p[..., None] * scale).flatten() for p, scale in zip(parts, self.scales, strict=True)])

    def find(self, solver: OutputLayer) -> Found:
        """The weights, and with `search` the unknown numbers: for every trial of these the weights are solved again.

        Sources: Golub and Pereyra 1973, *The differentiation of pseudo-inverses and nonlinear least squares problems whose
        variables separate*; Kaufman 1975, for the derivatives by the numbers.
        """
        found = self.iterate(solver)
        if self.numbers and solver.search:
            self._search(solver, found)
            found.covariance = self._covariance(self.system()[0])
            if found.covariance is not None:
                found.deviations = dict(zip(self.numbers, np.sqrt(np.diag(found.covariance)).tolist(), strict=True))
        found.parameters = {name: float(value) for name, value in self.values().items()}
        return found

    def _search(self, solver: OutputLayer, found: Found) -> None:
        """The unknown numbers that fit best, by trust regions; the weights follow them.

        The columns with weights stay those of the start, so that what is left changes smoothly with the numbers.
        """
        names = list(self.numbers)
        self.frozen = True
        self.columns = self._factored(*self.system()).kept

        def left(numbers: np.ndarray) -> np.ndarray:
            self.numbers = dict(zip(names, numbers.tolist(), strict=True))
            self.iterate(solver)
            right = self.system()[1]
            found.residuals.append(_rms(right))
            return (-right / MEASURED).numpy()

        def rates(numbers: np.ndarray) -> np.ndarray:
            if [self.numbers[name] for name in names] != numbers.tolist():  # after a trial that was rejected
                left(numbers)
            return (self._own_columns(self.system()[0]) / MEASURED).numpy()

        start = np.array([self.numbers[name] for name in names])
        best = scipy.optimize.least_squares(
            left, start, rates, x_scale="jac", ftol=SETTLED, xtol=SETTLED, max_nfev=TRIALS
        )
        left(best.x)

    def _own_columns(self, matrix: Tensor) -> Tensor:
        """The columns of the unknown numbers, without what the weights can do."""
        basis, own = matrix[:, : self.count], matrix[:, self.count :]
        return own - basis @ Factored(basis, self.rcond, self.columns).solve(own)[0]

    def iterate(self, solver: OutputLayer) -> Found:
        """Gauss-Newton on the weights, for the numbers as they are."""
        found, start = Found(), self.weights
        if self.kept is not None:
            factors, fresh, right = self.kept, False, self.right()
        else:
            matrix, right = self.system()
            factors, fresh = self._factored(matrix, right), True
        while len(found.residuals) < solver.steps:
            size = _rms(right)
            found.residuals.append(size)
            step, gain = factors.solve(right)
            if gain <= solver.tolerance:
                break
            right, length = self._damped(step, right, size)
            if len(found.residuals) == 1 and self._is_linear(start):
                found.linear = True
                break
            if length == 1 and size - _rms(right) >= KEPT * gain * size:
                fresh = False
                continue
            if fresh and _rms(right) >= (1 - solver.tolerance) * size:
                break
            matrix, right = self.system()
            factors, fresh = self._factored(matrix, right), True
        found.residuals.append(_rms(right))
        self.kept = factors if self.keeps else None
        return found

    def _factored(self, matrix: Tensor, right: Tensor) -> "Factored":
        if not torch.isfinite(right).all() or not torch.isfinite(matrix).all():
            raise InputError("an equation that is NaN or infinite at some point", "finite coefficients and values")
        return Factored(matrix[:, : self.count], self.rcond, self.columns)

    def _is_linear(self, start: Tensor) -> bool:
        """Whether the equations answer to a change as they did at some weights."""
        values = self.values()
        return all(
            torch.allclose(
                block.rates(self.axes, start, values),
                block.rates(self.axes, self.weights, values),
                rtol=1e-12,
                atol=1e-14,
            )
            for block in self.rows
        )

    def _damped(self, step: Tensor, right: Tensor, size: float) -> tuple[Tensor, float]:
        """The longest of the halved steps that makes the residual smaller; none of them leaves everything as it was."""
        start, length = self.weights, 1.0
        while length >= SHORTEST:
            moved = start.flatten().clone()
            moved[: self.count] += length * step
            self.weights = moved.reshape(start.shape)
            found = self.right()
            if _rms(found) < size:
                return found, length
            length /= 2
        self.weights = start
        return right, 0.0

    def _covariance(self, matrix: Tensor) -> np.ndarray | None:
        """Covariance of the unknown numbers, with the weights of the field projected out (Gauss-Markov)."""
        measured = [block for block in self.rows if block.target is not None]
        if not measured:
            return None
        left = [block.residual_of(self.axes, self.weights, self.values()) for block in measured]
        noise = math.sqrt(sum(b.noise(r) ** 2 for b, r in zip(measured, left, strict=True)) / len(measured))
        own = self._own_columns(matrix)
        inverse = torch.linalg.pinv(own.T @ own, hermitian=True).numpy() * noise**2
        scale = np.array([float(v) if self.positive[name] else 1.0 for name, v in self.values().items()])
        found: np.ndarray = inverse * np.outer(scale, scale)
        return found


class Factored:
    """The factorisation of a matrix of numerically low rank: QR with column pivoting, columns scaled to length 1.

    Of the given columns, or all, those that it leaves for last, below `rcond` of the first, get no weight. Weights of least
    length, which a complete orthogonal factorisation gives, spread over all columns and lose up to ten digits to rounding here.
    """

    def __init__(self, matrix: Tensor, rcond: float = RCOND, columns: np.ndarray | None = None) -> None:
        self.lengths = np.linalg.norm(matrix.numpy(), axis=0)
        self.lengths[self.lengths == 0] = 1.0
        columns = np.arange(len(self.lengths)) if columns is None else columns
        scaled = np.asfortranarray((matrix.numpy() / self.lengths)[:, columns])
        self.space = 64 * (scaled.shape[1] + 1)
        self.factors, pivots, self.tau, _, _ = lapack.dgeqp3(scaled, lwork=self.space, overwrite_a=True)
        diagonal = np.abs(np.diag(self.factors))
        self.rank = int((diagonal > rcond * diagonal[0]).sum())
        self.kept = columns[pivots[: self.rank] - 1]

    def turned(self, right: Tensor) -> np.ndarray:
        """``Q^T right`` in the directions of the columns, (rank, k)."""
        columns = right.numpy() if right.ndim == 2 else right.numpy()[:, None]
        q = self.factors[:, : len(self.tau)]
        found: np.ndarray = lapack.dormqr("L", "T", q, self.tau, np.asfortranarray(columns), lwork=self.space)[0]
        return found[: self.rank]

    def solve(self, right: Tensor) -> tuple[Tensor, float]:
        """The basic solution for right-hand sides (n,) or (n, k), and by how much of itself it shortens them."""
        turned = self.turned(right)
        found = np.zeros((len(self.lengths), turned.shape[1]))
        found[self.kept] = scipy.linalg.solve_triangular(self.factors[: self.rank, : self.rank], turned)
        found /= self.lengths[:, None]
        taken = float(np.linalg.norm(turned)) / max(float(right.norm()), 1e-300)
        return torch.from_numpy(found if right.ndim == 2 else found[:, 0]), 1 - math.sqrt(max(0.0, 1 - taken**2))


def least_squares(matrix: Tensor, right: Tensor) -> Tensor:
    """The basic solution of a least-squares problem of numerically low rank (`Factored`)."""
    return Factored(matrix).solve(right)[0]


def prepared(u: NeuralField, term: Term, axes: tuple[str, ...], unknowns: Mapping[str, tuple[float, bool]]) -> Rows:
    """A term with the features that it needs at its points."""
    if not isinstance(term.points, AllPoints):
        raise InputError(f"points of the kind {type(term.points).__name__}", "AllPoints")
    points, target, weight = term.points.batch
    operator = term.operator
    if isinstance(operator, Jump):
        shift = torch.as_tensor(operator.shift, dtype=points.dtype)
        here, there = (user_partials(u, x, [operator.partial]) for x in (points, points + shift))
        partials = {operator.partial: there[operator.partial] - here[operator.partial]}
        return Rows(term, points, None, weight, partials)
    if not isinstance(operator, JetOperator):
        raise InputError(f"the operator of the term {term.name!r}", "a JetOperator or a Jump")
    needed = requested(operator.equation, points[:1], axes, len(u.out_names), unknowns)
    return Rows(term, points, target, weight, user_partials(u, points, needed))


def user_partials(u: NeuralField, x: Tensor, partials: Sequence[Partial]) -> dict[Partial, Tensor]:
    """Derivatives of the features in the user's coordinates, times the field's value scale: (n, m) each."""
    if len(set(u.value_scale)) > 1 or any(u.value_offset):
        raise InputError("a field with different value scales or an offset", "one scale and no offset")
    d, scale = x.shape[1], unit_scale(u.domain)
    orders = [tuple(partial.count(k) for k in range(d)) for partial in partials]
    assert isinstance(u.encoding, Basis)
    parts = [u.encoding.partials(u.unit(part), orders) for part in x.split(CHUNK)]
    stacked = torch.cat(parts, dim=1)
    factors = [u.value_scale[0] / math.prod(s**n for s, n in zip(scale, order, strict=True)) for order in orders]
    return {partial: stacked[k] * factors[k] for k, partial in enumerate(partials)}


def _rms(right: Tensor) -> float:
    return float(right.square().mean().sqrt())
