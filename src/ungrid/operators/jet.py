"""The local derivatives of a function at a batch of points.

Convention: points are ``(*batch, d)``, values ``(*batch, c)``; every partial derivative has the shape of the values.
N is the number of points of the flattened batch, k and p the numbers of first derivatives and second-order forms that a
Taylor pass carries, as `ungrid._base.taylor` lays them out.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.differences import slope
from ungrid._base.errors import InputError
from ungrid._base.jetlike import JetLike
from ungrid._base.taylor import Needed
from ungrid.domains import Domain

HIGHEST_ORDER = 4
TIME = "t"
CHUNK_BYTES = 2**19  # of one stream of 64 units for all points of a pass; larger passes outgrow the caches

Partial = tuple[int, ...]  # the columns of x by which u is differentiated, sorted; () is u itself
Request = tuple[Partial, ...]  # the sum of these partials: one of them, or a Laplacian's


@runtime_checkable
class HasDomain(Protocol):
    """A function that knows the names of its axes: every `Field`."""

    domain: Domain

    def __call__(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class TaylorField(Protocol):
    """A field that may propagate value, first and second derivatives forward in one pass."""

    domain: Domain
    out_names: tuple[str, ...]

    @property
    def offers_taylor(self) -> bool:
        """Whether `forward_taylor` works: all parts of this field offer it."""

    def forward_taylor(self, x: Tensor, needed: Needed) -> Tensor:
        """The value, the first derivatives and the forms that are needed, (1 + k + p, N, c), at the points x (N, d)."""

    def __call__(self, x: Tensor) -> Tensor: ...


class OfValue(torch.autograd.Function):
    """A numpy function of every value by itself; its derivative is that of its values by differences, and so on."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, function: Callable[[np.ndarray], np.ndarray]) -> Tensor:
        ctx.save_for_backward(value)
        ctx.function = function
        found = np.array(function(value.detach().cpu().numpy()), dtype=np.float64)
        return torch.from_numpy(found).to(value.device, value.dtype).expand(value.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        rate: Tensor = OfValue.apply(value, lambda v: slope(ctx.function, v))
        return gradients[0] * rate, None


class LocalDerivatives(JetLike):
    """What an equation may ask of a function at a batch of points, by the names of the axes.

    Attributes:
        axes: the names of the columns of the points.
        points: (*batch, d).
        parameters: unknown numbers by name, scalars or (*batch, 1).
    """

    axes: tuple[str, ...]
    points: Tensor
    parameters: Mapping[str, Tensor]

    @abstractmethod
    def _sum(self, request: Request) -> Tensor:
        """The sum of the partial derivatives of a request, (*batch, c)."""

    @property
    def value(self) -> Float[Tensor, "*batch c"]:
        """u(x)."""
        return self._sum(((),))

    def d(self, *axes: str) -> Float[Tensor, "*batch c"]:
        """The partial derivative with respect to the named axes: ``d("t")``, ``d("x", "x")``, ``d("x", "y", "y")``.

        Raises:
            InputError: for an unknown axis, no axis, or more than four of them.
        """
        if not axes:
            raise InputError("a derivative without an axis", f"one to {HIGHEST_ORDER} of {', '.join(self.axes)}")
        return self.partial(self._columns(axes))

    def gradient(self, *axes: str) -> Float[Tensor, "*batch k"]:
        """The gradient of a scalar u over `axes`; without names over the spatial axes (all but the one called t).

        Raises:
            InputError: if u has more than one component; use `jacobian`.
        """
        if self.value.shape[-1] != 1:
            raise InputError(f"the gradient of {self.value.shape[-1]} components", "one component", "use jacobian")
        return self.jacobian(*axes)[..., 0, :]

    def jacobian(self, *axes: str) -> Float[Tensor, "*batch c k"]:
        """The first derivatives of all components over `axes` (without names: the spatial ones), in that order."""
        return torch.stack([self.partial((k,)) for k in self._columns(axes or self._spatial())], dim=-1)

    def hessian(self, *axes: str) -> Float[Tensor, "*batch c k k"]:
        """The second derivatives of all components over `axes` (without names: the spatial ones)."""
        columns = self._columns(axes or self._spatial())
        rows = [torch.stack([self.partial((i, j)) for j in columns], dim=-1) for i in columns]
        return torch.stack(rows, dim=-2)

    def laplacian(self, *axes: str) -> Float[Tensor, "*batch c"]:
        """The sum of the pure second derivatives over `axes` (without names: the spatial ones)."""
        return self._sum(tuple((k, k) for k in sorted(self._columns(axes or self._spatial()))))

    def partial(self, columns: tuple[int, ...]) -> Float[Tensor, "*batch c"]:
        """The partial derivative with respect to the numbered columns of x; u itself for ``()``."""
        if len(columns) > HIGHEST_ORDER:
            raise InputError(f"a derivative of order {len(columns)}", f"order 1 to {HIGHEST_ORDER}")
        return self._sum((tuple(sorted(columns)),))

    def coordinate(self, axis: str) -> Float[Tensor, "*batch 1"]:
        """A column of the points, as a value."""
        return self.points[..., self._columns((axis,))[0], None]

    def evaluate(self, function: Callable[[np.ndarray], np.ndarray]) -> Float[Tensor, "*batch k"]:
        """A function of numpy arrays, (n, d) to (n, k), at the points; a constant for every derivative."""
        flat = self.points.detach().reshape(-1, self.points.shape[-1]).cpu().numpy()
        found = torch.from_numpy(np.array(function(flat))).to(self.points.device, self.points.dtype)
        return found.reshape(*self.points.shape[:-1], found.shape[-1])

    def of_value(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Float[Tensor, "*batch 1"]:
        """A function of numpy arrays, the points (n, d) and the value (n,), to (n,); its derivatives are differences.

        Raises:
            InputError: if u has more than one component.
        """
        if self.value.shape[-1] != 1:
            raise InputError(f"a coefficient of {self.value.shape[-1]} functions", "of one unknown function")
        flat = self.points.detach().reshape(-1, self.points.shape[-1]).cpu().numpy()
        found: Tensor = OfValue.apply(self.value.reshape(-1), lambda value: function(flat, value))
        return found.reshape(self.value.shape)

    def parameter(self, name: str) -> Float[Tensor, "..."]:
        """An unknown number: a scalar, or a copy of it for each point, (*batch, 1).

        Raises:
            InputError: if there is none of this name.
        """
        if name not in self.parameters:
            raise InputError(f"the unknown {name!r}", f"one of {', '.join(self.parameters) or 'none'}")
        return self.parameters[name]

    def _spatial(self) -> tuple[str, ...]:
        return tuple(name for name in self.axes if name != TIME)

    def _columns(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        unknown = [name for name in axes if name not in self.axes]
        if unknown:
            raise InputError(f"axis {unknown[0]!r}", f"one of {', '.join(self.axes)}")
        return tuple(self.axes.index(name) for name in axes)


class Jet(LocalDerivatives):
    """Value and partial derivatives of ``u`` at the points ``x``, computed when they are asked for and kept here.

    Nested reverse mode computes one derivative after another. If it is known from the start what will be asked
    (`needs`), and u is a `TaylorField`, one forward pass carries exactly that where it takes fewer products than
    reverse mode: a Laplacian is a single stream. What is asked for beyond `needs` comes from reverse mode.
    Everything stays differentiable with respect to the parameters of `u`. The jet belongs to one step: nothing is
    cached outside of it. `JetOperator` finds out the needs of an equation by itself.

    Reverse mode needs what autograd gives: each point's value may depend on that point only.

    Args:
        u: the function, (*batch, d) to (*batch, c).
        x: the points, (*batch, d).
        axes: the names of the d columns; a field brings its own.
        needs: what will be asked: `asked` of an earlier jet of the same equation. Never changes a result.

    Example:
        >>> x = torch.tensor([[2.0, 3.0]])
        >>> jet = Jet(lambda p: p[..., :1] ** 2 * p[..., 1:], x, axes=("x", "y"))
        >>> jet.d("x", "y").item()
        4.0
    """

    def __init__(
        self,
        u: Callable[[Tensor], Tensor],
        x: Float[Tensor, "*batch d"],
        *,
        axes: tuple[str, ...] | None = None,
        needs: frozenset[Request] = frozenset(),
    ) -> None:
        self.axes = _axis_names(u, axes, x.shape[-1])
        self._u, self.points, self.parameters = u, x, {}
        self._asked: set[Request] = set()
        self._forward = _forward_pass(u, needs, x.shape[-1])
        self._known: dict[Request, Tensor] = {}
        self._partials: dict[Partial, Tensor] = {}  # what reverse mode found
        self._rows: dict[Partial, Tensor] = {}  # the gradients of these, (*batch, c, d)

    @property
    def asked(self) -> frozenset[Request]:
        """What this jet has been asked for so far."""
        return frozenset(self._asked)

    def _sum(self, request: Request) -> Tensor:
        self._asked.add(request)
        if self._forward is not None and not self._known:
            self._known |= self._taylor_pass(self._forward)
        if request not in self._known:
            with torch.enable_grad():
                first, *others = (self._reverse(partial) for partial in request)
                self._known[request] = sum(others, start=first)
        known = self._known[request]
        return known if torch.is_grad_enabled() else known.detach()

    def _reverse(self, key: Partial) -> Tensor:
        """A partial derivative by nested reverse mode; mixed ones share passes."""
        if key not in self._partials and not key:
            if not self.points.requires_grad:  # else x's own graph is kept
                self.points = self.points.detach().requires_grad_()
            self._partials[key] = _checked_values(self._u(self.points), self.points)
        elif key not in self._partials:
            steps = [(key[:k] + key[k + 1 :], key[k]) for k in range(len(key))]
            parent, column = next((step for step in steps if step[0] in self._rows), steps[-1])
            if parent not in self._rows:
                self._rows[parent] = _reverse_gradient(self._reverse(parent), self.points)
            self._partials[key] = self._rows[parent][..., column]
        return self._partials[key]

    def _taylor_pass(self, needed: Needed) -> dict[Request, Tensor]:
        assert isinstance(self._u, TaylorField)
        points = self.points.reshape(-1, self.points.shape[-1])
        rows = CHUNK_BYTES // (64 * points.element_size()) if points.device.type == "cpu" else len(points)
        parts = [self._u.forward_taylor(part, needed) for part in points.split(max(1, rows))]
        streams = torch.cat(parts, dim=1)
        streams = streams.reshape(len(streams), *self.points.shape[:-1], streams.shape[-1])
        requests = [((),), *(((column,),) for column in needed.columns), *needed.forms]
        return dict(zip(requests, streams, strict=True))


@dataclass
class JetOperator:
    """``equation(jet)`` as the operator of a term: ``operator(u, points)``.

    At the first call the equation runs once more, without gradients, to learn which derivatives it asks for; from then
    on each jet computes these and no others.

    Attributes:
        equation: a residual, such as ``lambda u: u.d("t") - nu * u.d("x", "x")``.
        axes: the names of the columns of the points; a field brings its own.
        needs: which derivatives the equation asks for, once known.
    """

    equation: Callable[[LocalDerivatives], Tensor]
    axes: tuple[str, ...] | None = None
    needs: frozenset[Request] | None = None

    def __call__(self, u: Callable[[Tensor], Tensor], points: Float[Tensor, "*batch d"]) -> Tensor:
        """The residual of u at the points."""
        if self.needs is None:
            probe = Jet(u, points, axes=self.axes)
            with torch.no_grad():
                self.equation(probe)
            self.needs = probe.asked
        return self.equation(Jet(u, points, axes=self.axes, needs=self.needs))


@dataclass(frozen=True)
class Jump:
    """``D_α u(x + shift) - D_α u(x)``: what vanishes where a function is periodic.

    Attributes:
        partial: α, as columns of the points; () for the value.
        shift: (d,).
        axes: the names of the columns of the points.
    """

    partial: Partial
    shift: tuple[float, ...]
    axes: tuple[str, ...]

    def __call__(self, u: Callable[[Tensor], Tensor], points: Float[Tensor, "*batch d"]) -> Tensor:
        """The jump at the points."""
        shift = torch.as_tensor(self.shift, dtype=points.dtype, device=points.device)
        here, there = (Jet(u, x, axes=self.axes).partial(self.partial) for x in (points, points + shift))
        return there - here


def _forward_pass(u: Callable[[Tensor], Tensor], needs: frozenset[Request], d: int) -> Needed | None:
    """What a Taylor pass has to carry, or None where u offers none or reverse mode takes fewer products.

    A unit is one product with every weight matrix, for all points: a stream costs one. Reverse mode costs one for the
    value, one for the gradient of each component, and two (that gradient's own derivative) for each row of a Hessian.
    """
    partials = {partial for request in needs for partial in request}
    usable = isinstance(u, TaylorField) and u.offers_taylor
    if not usable or not any(partials) or any(len(p) > 2 or max(p, default=0) >= d for p in partials):
        return None
    assert isinstance(u, TaylorField)
    forms = tuple(sorted(tuple((p[0], p[1]) for p in request) for request in needs if len(request[0]) == 2))
    columns = tuple(sorted({column for partial in partials for column in partial}))
    reverse = 1 + len(u.out_names) * (1 + 2 * len({form_pair[0] for form in forms for form_pair in form}))
    return Needed(columns, forms) if 1 + len(columns) + len(forms) <= reverse else None


def _axis_names(u: Callable[[Tensor], Tensor], axes: tuple[str, ...] | None, d: int) -> tuple[str, ...]:
    if axes is None and isinstance(u, HasDomain):
        axes = tuple(axis.name for axis in u.domain.axes)
    if axes is None:
        raise InputError("a jet of a plain function without axis names", 'names, such as axes=("x", "y")')
    if len(axes) != d or len(set(axes)) != d:
        raise InputError(f"the axes {', '.join(axes)} for points with {d} columns", f"{d} different names")
    return axes


def _checked_values(values: Tensor, x: Tensor) -> Tensor:
    """The values, if they have the batch of the points; (N,) instead of (N, 1) would broadcast to (N, N) later."""
    if values.ndim != x.ndim or values.shape[:-1] != x.shape[:-1]:
        raise InputError(
            f"values of shape {tuple(values.shape)} at points {tuple(x.shape)}",
            f"{(*x.shape[:-1], 'c')}: one column for each component, also if there is only one",
        )
    return values


def _reverse_gradient(values: Tensor, x: Tensor) -> Tensor:
    """The derivatives of every component with respect to every column of x: (*batch, c, d); zero where independent."""
    components = []
    for component in values.unbind(dim=-1):
        if component.requires_grad:
            (row,) = torch.autograd.grad(component.sum(), x, create_graph=True, materialize_grads=True)
        else:
            row = torch.zeros_like(x)
        components.append(row)
    return torch.stack(components, dim=-2)
