"""The random problems of `manufactured.py`, which the benchmark draws too."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def manufactured() -> ModuleType:
    path = Path(__file__).parent / "manufactured.py"
    spec = importlib.util.spec_from_file_location("manufactured", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["manufactured"] = module
    spec.loader.exec_module(module)
    return module
