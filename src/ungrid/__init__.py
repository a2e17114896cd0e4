"""ungrid: implicit neural networks (neural fields) from samples and from equations.

Names are resolved on first use, so that ``import ungrid`` does not import torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ungrid._base.version import __version__ as __version__

if TYPE_CHECKING:
    from ungrid.fields import Field as Field
    from ungrid.io import load as load
    from ungrid.io import read as read
    from ungrid.io import read_header as read_header
    from ungrid.io import save as save
    from ungrid.io import write as write
    from ungrid.operators import Jet as Jet
    from ungrid.signals import plan as plan
    from ungrid.signals import sample_grid as sample_grid
    from ungrid.signals.evaluate import evaluate as evaluate
    from ungrid.signals.fit import fit as fit
    from ungrid.solvers import FitResult as FitResult

_ROOM_OF = {
    "Field": "ungrid.fields",
    "FitResult": "ungrid.solvers",
    "Jet": "ungrid.operators",
    "evaluate": "ungrid.signals",
    "fit": "ungrid.signals",
    "load": "ungrid.io",
    "plan": "ungrid.signals",
    "read": "ungrid.io",
    "read_header": "ungrid.io",
    "sample_grid": "ungrid.signals",
    "save": "ungrid.io",
    "write": "ungrid.io",
}

__all__ = ["__version__", *_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'ungrid' has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
