"""Optional dependencies, imported where they are used and nowhere else."""

import importlib
from types import ModuleType

from ungrid._base.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: name of the module, for example ``"av"``.
        extra: the extra of ungrid that installs it, for example ``"video"``.

    Raises:
        MissingExtraError: if it is not installed; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs the package {module.split('.')[0]!r}, which is not installed ({error})",
            remedy=f"install it with: pip install 'ungrid[{extra}]'",
        ) from error
