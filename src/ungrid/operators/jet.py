"""The local derivatives of a function at a batch of points.

Convention: points are ``(*batch, d)``, values ``(*batch, c)``; every partial derivative has the shape of the values.
N is the number of points of the flattened batch. A Taylor pass lays its derivatives out as `ungrid._base.taylor` does.
"""

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid._base.taylor import Taylor
from ungrid.domains import Domain

HIGHEST_ORDER = 4
TIME = "t"


@runtime_checkable
class HasDomain(Protocol):
    """A function that knows the names of its axes: every `Field`."""

    domain: Domain

    def __call__(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class TaylorField(Protocol):
    """A field that propagates value, gradient and second derivatives forward in one pass."""

    domain: Domain

    @property
    def taylor_order(self) -> int:
        """The highest order that `forward_taylor` gives for this field: 2, or 0 if a part of it does not offer it."""

    def forward_taylor(self, x: Tensor, order: int) -> Taylor:
        """Value (N, c), first derivatives (d, N, c) and second ones (pairs i <= j, N, c) at the points x (N, d).

        `order` is 1 or 2; with order 1 the second derivatives are None.
        """

    def __call__(self, x: Tensor) -> Tensor: ...


class Jet:
    """Value and partial derivatives of ``u`` at the points ``x``, computed when they are asked for and kept here.

    A `TaylorField` is differentiated forward, all derivatives up to `order` in one pass; any other callable, and every
    derivative beyond the second, by nested reverse mode. Everything stays differentiable with respect to the
    parameters of `u`. The jet belongs to one step: nothing is cached outside of it.

    Reverse mode needs what autograd gives: each point's value may depend on that point only.

    Args:
        u: the function, (*batch, d) to (*batch, c).
        x: the points, (*batch, d).
        axes: the names of the d columns; a field brings its own.
        order: the highest order that is expected. Asking for more is allowed and costs another pass.

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
        order: int = 2,
    ) -> None:
        self.axes = _axis_names(u, axes, x.shape[-1])
        self._u, self._points = u, x
        self._start(order)

    def _start(self, order: int) -> None:
        """Forget everything and prepare for derivatives up to `order`."""
        if not 1 <= order <= HIGHEST_ORDER:
            raise InputError(f"a derivative of order {order}", f"order 1 to {HIGHEST_ORDER}")
        self._order = order
        self._taylor = isinstance(self._u, TaylorField) and self._u.taylor_order >= min(order, 2)
        self._known: dict[tuple[int, ...], Tensor] = {}  # partial derivatives by sorted column indices; () is u
        self._rows: dict[tuple[int, ...], Tensor] = {}  # their gradients, (*batch, c, d)
        self._x = self._points
        if not self._taylor or order > 2:  # reverse mode will be used; a graph that x already carries is kept
            self._x = self._points if self._points.requires_grad else self._points.detach().requires_grad_()

    @property
    def value(self) -> Float[Tensor, "*batch c"]:
        """u(x)."""
        return self.partial(())

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
        return torch.stack([self.partial((k, k)) for k in self._columns(axes or self._spatial())]).sum(dim=0)

    def partial(self, columns: tuple[int, ...]) -> Float[Tensor, "*batch c"]:
        """The partial derivative with respect to the numbered columns of x; u itself for ``()``."""
        if len(columns) > self._order:
            self._start(len(columns))
        key = tuple(sorted(columns))
        if key not in self._known:
            with torch.set_grad_enabled(torch.is_grad_enabled() or self._x.requires_grad):
                self._compute(key)
        known = self._known[key]
        return known if torch.is_grad_enabled() else known.detach()

    def _spatial(self) -> tuple[str, ...]:
        return tuple(name for name in self.axes if name != TIME)

    def _columns(self, axes: tuple[str, ...]) -> tuple[int, ...]:
        unknown = [name for name in axes if name not in self.axes]
        if unknown:
            raise InputError(f"axis {unknown[0]!r}", f"one of {', '.join(self.axes)}")
        return tuple(self.axes.index(name) for name in axes)

    def _compute(self, key: tuple[int, ...]) -> None:
        """Fill `_known[key]`, and whatever comes with it."""
        if () not in self._known:
            self._known |= self._taylor_pass() if self._taylor else {(): _checked_values(self._u(self._x), self._x)}
        if key in self._known:
            return
        # Differentiate whichever lower derivative has its gradient already, so that mixed terms share passes.
        steps = [(key[:k] + key[k + 1 :], key[k]) for k in range(len(key))]
        parent, column = next((step for step in steps if step[0] in self._rows), steps[-1])
        if parent not in self._rows:
            self._rows[parent] = _reverse_gradient(self.partial(parent), self._x)
        self._known[key] = self._rows[parent][..., column]

    def _taylor_pass(self) -> dict[tuple[int, ...], Tensor]:
        assert isinstance(self._u, TaylorField)
        d = self._x.shape[-1]
        value, first, second = self._u.forward_taylor(self._x.reshape(-1, d), min(self._order, 2))
        shape = (*self._x.shape[:-1], value.shape[-1])
        known: dict[tuple[int, ...], Tensor] = {(): value.reshape(shape)}
        known |= {(i,): first[i].reshape(shape) for i in range(d)}
        if second is not None:
            pairs = combinations_with_replacement(range(d), 2)
            known |= {(i, j): second[k].reshape(shape) for k, (i, j) in enumerate(pairs)}
        return known


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
