"""A field from a known function: exact solutions, interpolants, test signals."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Domain
from ungrid.fields.field import Field


class FunctionField(Field):
    """Wraps ``function(x)`` with x of shape (*batch, d) and values (*batch, c). It has no weights and cannot be saved."""

    def __init__(self, domain: Domain, function: Callable[[Tensor], Tensor], out_names: tuple[str, ...]) -> None:
        super().__init__()
        self.domain, self.function, self.out_names = domain, function, out_names

    def forward(
        self, x: Float[Tensor, "*batch d"], footprint: Float[Tensor, "#*batch d"] | None = None
    ) -> Float[Tensor, "*batch c"]:
        return self.function(x)

    def arguments(self) -> dict[str, Any]:
        raise InputError("a field made from a Python function", "a field with weights", "fit a neural field to it")
