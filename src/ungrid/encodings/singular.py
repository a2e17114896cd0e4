"""Functions that are singular where a solution is: at corners of the domain, and inside its holes.

Convention: unit coordinates (x, y); z = (x - x0) + i (y - y0), turned so that the first edge of a corner lies on the
positive real axis, and z* its conjugate. Functions of z alone are harmonic, as their real and imaginary parts, so that every
derivative is one of the same kind: ``∂_x^a ∂_y^b Im f(z) = Im(i^b f^(a+b)(z))``.

Sources: Grisvard 1985, *Elliptic problems in nonsmooth domains*, section 2.4 (exponents); Fox, Henrici and Moler 1967,
*Approximations and bounds for eigenvalues of elliptic operators* (expansion about a corner); Gopal and Trefethen 2019,
*Solving Laplace problems with corner singularities via rational functions*.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ungrid._base.errors import InputError
from ungrid._base.taylor import Taylor

Orders = Sequence[tuple[int, ...]]
NEAREST = 1e-12  # to a corner: there the functions are evaluated beside it, since their derivatives are infinite at it


class CornerFunctions(nn.Module):
    """``r^λ sin(λ θ)`` or ``r^λ cos(λ θ)`` at a corner, and with a logarithm where λ is a whole number.

    A whole λ alone gives a polynomial, which is not singular; with the logarithm, ``Im z^λ log z``, it is what a source
    that does not vanish leaves at such a corner.

    Args:
        vertex: the corner (x, y).
        direction: the angle of the edge from which θ counts, anticlockwise through the domain.
        angle: the interior angle.
        exponents: the λ.
        cosine: cosines instead of sines: for a corner whose first edge has a Neumann condition.
        cut: where θ jumps by 2π, as an angle θ between the interior angle and 2π; None lays it opposite to the middle of the
            corner.
    """

    dim = 2

    def __init__(
        self,
        vertex: tuple[float, float],
        direction: float,
        angle: float,
        exponents: tuple[float, ...],
        *,
        cosine: bool = False,
        cut: float | None = None,
    ) -> None:
        super().__init__()
        if not exponents or min(exponents) <= 0:
            raise InputError(f"the exponents {exponents}", "positive numbers")
        self.vertex, self.direction, self.angle, self.exponents = vertex, direction, angle, exponents
        self.cosine, self.cut = cosine, cut
        self.out_features = len(exponents)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("vertex", "direction", "angle", "exponents", "cosine", "cut")
        return {name: getattr(self, name) for name in names}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """The functions (*batch, number of exponents) at the points (*batch, 2)."""
        return self.partials(x.reshape(-1, 2), ((0, 0),))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives; `orders` says how often each differentiates along x and y."""
        logarithm = _logarithm(_complex(x, self.vertex), self.direction, self.angle, self.cut)
        turn = complex(math.cos(self.direction), -math.sin(self.direction))  # dz / dx; dz / dy is i times it
        rows = []
        for a, b in orders:
            factor = turn ** (a + b) * 1j**b
            stacked = factor * _derived(self.exponents, a + b, logarithm)
            rows.append(stacked.real if self.cosine else stacked.imag)
        return torch.stack(rows)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


class ElasticCorner(nn.Module):
    """``z^λ`` and ``z* z^(λ-1)``, real and imaginary parts: what the displacement of an elastic body is made of at a corner.

    With Kolosov's potentials ``c z^λ`` and ``d z^λ`` a displacement is ``κ c z^λ - λ c* z z*^(λ-1) - d* z*^λ`` (over 2 μ;
    Muskhelishvili 1953, *Some basic problems of the mathematical theory of elasticity*, section 41). Coefficients are left to
    the fit. A whole λ comes with a logarithm, as in `CornerFunctions`.

    Args:
        vertex, direction, angle, cut: as in `CornerFunctions`.
        exponents: (real, imaginary) parts of λ; of a complex one the conjugate serves too.
    """

    dim = 2

    def __init__(
        self,
        vertex: tuple[float, float],
        direction: float,
        angle: float,
        exponents: tuple[tuple[float, float], ...],
        *,
        cut: float | None = None,
    ) -> None:
        super().__init__()
        if not exponents or min(real for real, _ in exponents) <= 0:
            raise InputError(f"the exponents {exponents}", "real parts above zero")
        self.vertex, self.direction, self.angle, self.exponents, self.cut = vertex, direction, angle, exponents, cut
        self.powers = [
            p for real, im in exponents for p in ((complex(real, im), complex(real, -im)) if im else (real,))
        ]
        self.out_features = 4 * len(self.powers)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in ("vertex", "direction", "angle", "exponents", "cut")}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """The functions (*batch, out_features) at the points (*batch, 2)."""
        return self.partials(x.reshape(-1, 2), ((0, 0),))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives; `orders` says how often each differentiates along x and y.

        ``∂_x^a ∂_y^b (z* g(z)) = i^b τ^(n-1) (τ z* g^(n) + (a - b) τ* g^(n-1))`` with n = a + b and τ = dz / dx.
        """
        logarithm = _logarithm(_complex(x, self.vertex), self.direction, self.angle, self.cut)
        mirrored, lower = torch.exp(logarithm).conj()[:, None], [power - 1 for power in self.powers]
        turn = complex(math.cos(self.direction), -math.sin(self.direction))
        rows = []
        for a, b in orders:
            n, factor = a + b, turn ** (a + b) * 1j**b
            plain = factor * _derived(self.powers, n, logarithm)
            product = factor * mirrored * _derived(lower, n, logarithm)
            if n:
                product = product + (a - b) * factor / turn * turn.conjugate() * _derived(lower, n - 1, logarithm)
            columns = torch.stack([plain.real, plain.imag, product.real, product.imag], dim=2)
            rows.append(columns.flatten(1))
        return torch.stack(rows)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


class Multipoles(nn.Module):
    """``log |z|`` and the real and imaginary parts of ``(radius / z)^k``, k = 1 to `order`, about the centre of a hole.

    Args:
        center: (x, y), outside of the domain.
        radius: of the hole.
        order: the highest k; 0 for the logarithm alone.
    """

    dim = 2

    def __init__(self, center: tuple[float, float], radius: float, order: int) -> None:
        super().__init__()
        self.center, self.radius, self.order = center, radius, order
        self.out_features = 1 + 2 * order

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"center": self.center, "radius": self.radius, "order": self.order}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """The functions (*batch, 1 + 2 * order) at the points (*batch, 2)."""
        return self.partials(x.reshape(-1, 2), ((0, 0),))[0].reshape(*x.shape[:-1], self.out_features)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives; `orders` says how often each differentiates along x and y."""
        z = _complex(x, self.center) / self.radius
        z = torch.where(z.abs() < NEAREST, torch.full_like(z, NEAREST), z)
        rows = []
        for a, b in orders:
            n = a + b
            factor = 1j**b / self.radius**n
            pole = torch.log(z) if n == 0 else (-1) ** (n - 1) * math.factorial(n - 1) * z**-n
            columns = [(factor * pole).real]
            for k in range(1, self.order + 1):
                falling = math.prod(-k - i for i in range(n))
                power = factor * falling * z ** (-k - n)
                columns += [power.real, power.imag]
            rows.append(torch.stack(columns, dim=1))
        return torch.stack(rows)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        return taylor_of_partials(self, z)


class Joined(nn.Module):
    """Several encodings of the same coordinates side by side.

    Args:
        parts: the encodings.
    """

    def __init__(self, parts: tuple[Any, ...]) -> None:
        super().__init__()
        if len({part.dim for part in parts}) != 1:
            raise InputError(f"encodings of {[part.dim for part in parts]} coordinates", "one number of coordinates")
        self.parts = nn.ModuleList(parts)
        self.dim = parts[0].dim
        self.out_features = sum(part.out_features for part in parts)

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"parts": tuple(self.parts)}

    def _parts(self) -> list[Any]:
        return list(self.parts)

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch f"]:
        """The features of all parts."""
        return torch.cat([part(x) for part in self.parts], dim=-1)

    def partials(self, x: Float[Tensor, "n d"], orders: Orders) -> Float[Tensor, "p n f"]:
        """Partial derivatives; `orders` says how often each differentiates along every axis."""
        return torch.cat([part.partials(x, orders) for part in self._parts()], dim=-1)

    def forward_taylor(self, z: Taylor) -> Taylor:
        """The same with derivatives, as `ungrid._base.taylor` lays them out."""
        found = [part.forward_taylor(z).streams for part in self._parts()]
        return Taylor(torch.cat(found, dim=-1), z.forms)


def _complex(x: Tensor, origin: tuple[float, float]) -> Tensor:
    return torch.complex(x[:, 0] - origin[0], x[:, 1] - origin[1])


def _logarithm(z: Tensor, direction: float, angle: float, cut: float | None) -> Tensor:
    """log z, turned so that the edge of that direction lies on the real axis, with its jump at the cut."""
    opposite = angle / 2 if cut is None else cut - math.pi  # θ of the ray opposite to the cut
    turned = z * complex(math.cos(direction + opposite), -math.sin(direction + opposite))
    return torch.complex(torch.log(turned.abs().clamp(min=NEAREST)), torch.angle(turned) + opposite)


def _derived(exponents: Sequence[complex], n: int, logarithm: Tensor) -> Tensor:
    """The n-th derivatives (m, exponents) of z^λ, or of z^λ log z where λ is a whole number; `logarithm` (m,) is log z.

    ``d^n z^λ = (λ)_n z^(λ-n)``, and ``d^n (z^λ log z) = z^(λ-n) ((λ)_n log z + d(λ)_n/dλ)``, with the falling factorial
    (λ)_n.
    """
    kind = logarithm.dtype
    falling = torch.tensor([math.prod(e - i for i in range(n)) for e in exponents], dtype=kind)
    rates = [sum(math.prod(e - i for i in range(n) if i != j) for j in range(n)) for e in exponents]
    whole = torch.tensor([not complex(e).imag and complex(e).real.is_integer() for e in exponents])
    powers = torch.exp(logarithm[:, None] * (torch.tensor(exponents, dtype=kind) - n))
    if not whole.any():
        return falling * powers
    return powers * torch.where(whole, falling * logarithm[:, None] + torch.tensor(rates, dtype=kind), falling)


def taylor_of_partials(encoding: Any, z: Taylor) -> Taylor:
    """`forward_taylor` of an encoding that knows its partial derivatives, where the streams start at the coordinates."""
    streams, forms = z
    x, rates = streams[0], streams[1:]
    d = x.shape[1]
    first = len(rates) - len(forms)
    units = tuple(tuple(int(i == k) for i in range(d)) for k in range(d))
    pairs = tuple(tuple(u + v for u, v in zip(units[i], units[j], strict=True)) for i in range(d) for j in range(d))
    orders = ((0,) * d, *units, *(pairs if forms else ()))
    found = encoding.partials(x, orders)
    slopes, curvatures = found[1 : 1 + d], found[1 + d :]
    rows = [found[0]]
    for k in range(len(rates)):
        total = torch.einsum("nd,dnf->nf", rates[k], slopes)
        for i, j in forms[k - first] if k >= first else ():
            outer = (rates[i - 1][:, :, None] * rates[j - 1][:, None, :]).flatten(1)
            total = total + torch.einsum("np,pnf->nf", outer, curvatures)
        rows.append(total)
    return Taylor(torch.stack(rows), forms)
