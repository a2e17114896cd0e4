"""What holds for every test: deterministic torch, shape annotations checked, a core for each worker of pytest-xdist."""

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):  # before numba and torch count the cores
    worker, cores = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

# Wraps every function of the package in jaxtyping's and beartype's checks when its module is first imported, hence
# before any test imports ungrid. The kernels stay out: numba compiles plain functions only. So does the command, which
# imports the types in its annotations only when it needs them.
ROOMS = Path(__file__).parents[1] / "src" / "ungrid"
NAMES = {room.parent.name for room in ROOMS.glob("*/__init__.py")} - {"kernels", "cli"}
CHECKED = sorted(f"ungrid.{name}" for name in NAMES)
install_import_hook(CHECKED, "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")  # an int is a float

torch.use_deterministic_algorithms(True)
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def own_threads() -> None:
    """More threads than cores, left behind by another test, would slow this one down many times."""
    torch.set_num_threads(THREADS)
