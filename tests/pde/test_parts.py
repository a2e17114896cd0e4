"""Parts that exchange values reach what one basis for all reaches: against exact solutions, by one process and by two."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ungrid import pde
from ungrid._base.errors import InputError
from ungrid.io import load
from ungrid.pde.parts import CUT, fixed_point, overlapping

PI = np.pi


def exact(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sin(PI * x) * np.exp(y) + x


def sine() -> pde.Problem:
    """With a Neumann condition on one side, across which the parts are cut."""
    source = pde.Poisson(lambda x, y: (PI**2 - 1) * np.sin(PI * x) * np.exp(y))
    conditions = [pde.Neumann(lambda x, y: np.sin(PI * x) * np.exp(y), "y_high"), pde.Dirichlet(exact)]
    return pde.Problem(pde.Box(x=(0, 2), y=(0, 1)), source, conditions, name="sine")


def error_of(field: pde.Problem, problem: pde.Problem) -> float:
    points = pde.check_points(problem, 0)
    truth = exact(*points.T)
    return float(np.linalg.norm(field(points)[:, 0] - truth) / np.linalg.norm(truth))


def test_parts_overlap_and_leave_nothing_out() -> None:
    problem = pde.example("poisson-lshape").make()
    strips = overlapping(problem, 3, "y")
    points = problem.domain.sample(2000, np.random.default_rng(0))
    domains = [strip.domain(problem.domain) for strip in strips]
    inside = np.stack([domain.contains(points) for domain in domains])
    own = np.stack([strip.holds(points) for strip in strips])
    assert (own.sum(axis=0) == 1).all()
    assert (inside | ~own).all()
    assert inside.sum() > len(points)
    assert [CUT in domain.parts for domain in domains] == [True] * 3
    cuts = [domain.sample_boundary(20, np.random.default_rng(0), part=CUT).points[:, 1] for domain in domains]
    assert [sorted(set(np.round(cut, 9))) for cut in cuts] == [
        [pytest.approx(-1 / 3 + 2 / 15)],
        [pytest.approx(-1 / 3 - 2 / 15), pytest.approx(1 / 3 + 2 / 15)],
        [pytest.approx(1 / 3 - 2 / 15)],
    ]


def test_poisson_in_one() -> None:
    assert error_of(pde.solve(sine(), budget=3.0).field, sine()) < 1e-8


@pytest.mark.parametrize("number", [2, 3])
def test_poisson_as_good_as_in_one(number: int) -> None:
    problem = sine()
    parts = pde.solve_in_parts(problem, number, budget=3.0)
    assert error_of(parts.field, problem) < 1e-8
    assert parts.stats["disagreement"] < 1e-9
    assert parts.stats["relative_residual"] < 1e-7


def test_a_line_and_heat_over_time() -> None:
    """Values on the cuts are functions of time, too."""
    equation = pde.Heat(0.1)
    conditions = [pde.Dirichlet(0.0), pde.Initial(lambda x: np.sin(PI * x))]
    problem = pde.Problem(pde.Interval(x=(0, 1)) * pde.Time(0, 1), equation, conditions, name="heat")
    found = pde.solve_in_parts(problem, 2, budget=3.0)
    points = pde.check_points(problem, 0)
    truth = np.sin(PI * points[:, 0]) * np.exp(-0.1 * PI**2 * points[:, 1])
    assert np.abs(found.field(points)[:, 0] - truth).max() < 1e-6


def test_a_nonlinear_equation() -> None:
    """-u'' + u³ = f with u = sin(π x): every part takes Newton steps."""
    equation = pde.SecondOrder(
        diffusion=1.0, source=lambda x: PI**2 * np.sin(PI * x) + np.sin(PI * x) ** 3, nonlinearity=lambda u: u.value**3
    )  # fmt: skip
    problem = pde.Problem(pde.Interval(x=(0, 1)), equation, [pde.Dirichlet(0.0)], name="cubic")
    found = pde.solve_in_parts(problem, 2, budget=2.0)
    x = np.linspace(0, 1, 101)[:, None]
    np.testing.assert_allclose(found.field(x)[:, 0], np.sin(PI * x[:, 0]), atol=1e-8)


def test_the_fixed_point_of_a_linear_map() -> None:
    """Anderson's method on ``v -> M v + c`` needs as many rounds as M has dimensions, as GMRES (Walker and Ni, theorem 2.2)."""
    random = np.random.default_rng(0)
    matrix, shift, sizes = 0.3 * random.standard_normal((6, 6)), random.standard_normal(6), list[float]()

    found = fixed_point(lambda values: matrix @ values + shift - values, np.zeros(6), sizes.append)
    np.testing.assert_allclose(found, np.linalg.solve(np.eye(6) - matrix, shift), atol=1e-10)
    assert len(sizes) <= 9


def test_what_cannot_be_cut() -> None:
    with pytest.raises(InputError, match="second order"):
        pde.solve_in_parts(pde.example("kovasznay").make())
    with pytest.raises(InputError, match="at least two along one of x, y"):
        pde.solve_in_parts(sine(), 2, axis="z")
    problem = pde.Problem(pde.Box(x=(0, 1), y=(0, 1)), pde.Poisson(1.0), [pde.Dirichlet(0.0, hard=True)])
    with pytest.raises(InputError, match="hard"):
        pde.solve_in_parts(problem)


PROGRAM = """
import sys
import torch, torch.distributed as dist
from pathlib import Path
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
from tests.pde.test_parts import sine
from ungrid import pde
from ungrid.io import save
result = pde.solve_in_parts(sine(), 2, budget=3.0, threads=1)
assert result.stats["processes"] == 2
save(result.field, folder / f"found{rank}.field")
"""


@pytest.mark.slow
def test_two_processes_reach_the_error_of_one(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    running = [subprocess.Popen([*words, str(rank)], env=environment) for rank in range(2)]
    for process in running:
        assert process.wait(200) == 0
    problem = sine()
    first, second = (load(tmp_path / f"found{rank}.field") for rank in range(2))
    points = pde.check_points(problem, 0)
    np.testing.assert_array_equal(first(points), second(points))
    assert error_of(first, problem) < 1e-8
