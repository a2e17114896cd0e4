"""ungrid: implicit neural networks (neural fields) from samples and from equations.

Names are resolved on first use, so that ``import ungrid`` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ungrid.fields import Field as Field
    from ungrid.solvers import FitResult as FitResult

__version__ = "0.1.0"

_ROOM_OF = {
    "Field": "ungrid.fields",
    "FitResult": "ungrid.solvers",
}

__all__ = ["__version__", *_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'ungrid' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOM_OF[name]), name)
