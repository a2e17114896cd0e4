"""Two processes take the step that one takes: shares of the rays, gradients added up."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.radiance.conftest import extent
from ungrid.radiance.lattice import Lattice, new_field
from ungrid.radiance.reconstruct import Moments, fit_step

PROGRAM = """
import sys
import torch.distributed as dist
from pathlib import Path
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
from tests.radiance.test_processes import stepped
import numpy as np
np.savez(folder / f"found{rank}.npz", **stepped())
"""


def stepped() -> dict[str, np.ndarray]:
    """The numbers after three steps, and the errors before each."""
    lattice, random = Lattice(new_field(extent(), 16, (0.2, 0.5, 0.9), 0)), np.random.default_rng(2)
    moments, errors = Moments(lattice, 1), []
    for step in range(1, 4):
        start, target = random.uniform(0, 15, (501, 3)), random.uniform(0, 15, (501, 3))
        start[:, 0] = 0.0
        along = (target - start).astype(np.float32)
        views = along / np.linalg.norm(along, axis=1, keepdims=True)
        rays, colors = (start.astype(np.float32), along), random.random((501, 3), dtype=np.float32)
        jitter, behind = random.random(501, dtype=np.float32), random.random((501, 3), dtype=np.float32)
        errors.append(fit_step(lattice, moments, rays, views, jitter, colors, behind, step=2 * step))
    return {"errors": np.array(errors), "nodes": lattice.nodes, "seen": moments.seen[0], **{
        f"decoder{k}": weights for k, weights in enumerate(lattice.decoder)
    }}  # fmt: skip


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    running = [subprocess.Popen([*words, str(rank)], env=environment) for rank in range(2)]
    for process in running:
        assert process.wait(200) == 0
    alone = stepped()
    first, second = (np.load(tmp_path / f"found{rank}.npz") for rank in range(2))
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], value, atol=1e-4 * np.abs(value).max(), rtol=1e-3)
    assert len(set(alone["errors"])) == 3
