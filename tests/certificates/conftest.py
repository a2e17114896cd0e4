"""The random problems of `manufactured.py` and `evolving.py`, which the benchmark draws too."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def manufactured() -> ModuleType:
    return loaded("manufactured")


@pytest.fixture(scope="session")
def evolving(manufactured: ModuleType) -> ModuleType:
    return loaded("evolving")
