"""`ungrid solve`: gallery, files of one's own, figures, errors."""

import numpy as np
import pytest

import ungrid as library
from ungrid.cli.animation import HEIGHT, MARGIN


def test_a_named_problem_beside_finite_elements(ungrid, tmp_path):
    page = tmp_path / "page.html"
    done = ungrid(
        "solve", "heat", "-o", tmp_path / "heat.field", "--budget", "0.5", "--reference", "--report", page, "--json"
    )
    metrics = done.object["metrics"]
    assert done.code == 0
    assert done.object["outputs"] == [str(tmp_path / "heat.field"), str(page)]
    assert metrics["relative_l2"] < 1e-5
    assert metrics["relative_residual"] < 1e-3
    assert metrics["reference_relative_l2"] < 2 * metrics["reference_error"] < 2e-3
    parts = [metrics[f"error_{name}"] for name in ("approximation", "generalisation", "optimisation")]
    assert metrics["reference_relative_l2"] <= sum(parts) * (1 + 1e-9)
    assert "exact solution" in page.read_text()
    x = np.array([[0.5, 0.0], [0.25, 1.0]])
    exact = np.exp(-(np.pi**2) / 4 * x[:, 1]) * np.sin(np.pi * x[:, 0])
    assert np.abs(library.load(tmp_path / "heat.field")(x)[:, 0] - exact).max() < 1e-4


def test_over_time_it_is_a_clip_and_a_mesh_for_paraview(ungrid, tmp_path):
    """Heat from a sine: at first the curve's top touches the upper margin, at the end it is exp(-π²/4) as high."""
    pytest.importorskip("av")
    meshio = pytest.importorskip("meshio")
    field = tmp_path / "heat.field"
    ungrid("solve", "heat", "-o", field, "--budget", "0.5")
    for name in ("heat.mp4", "heat.vtu"):
        assert ungrid("render", field, "-o", tmp_path / name, "--size", "40x60").code == 0
    frames = library.io.read(tmp_path / "heat.mp4").values
    assert len(frames) == 40
    dark = np.abs(frames - 1).max(axis=3) > 0.5  # blue on white; the line of zero is lighter
    tops = [float(np.nonzero(picture)[0].min()) for picture in dark[[0, -1]]]
    base = HEIGHT - MARGIN
    assert (base - tops[1]) / (base - tops[0]) == pytest.approx(np.exp(-(np.pi**2) / 4), abs=0.03)
    mesh = meshio.read(tmp_path / "heat.vtu")
    exact = np.exp(-(np.pi**2) / 4 * mesh.points[:, 1]) * np.sin(np.pi * mesh.points[:, 0])
    assert np.abs(mesh.point_data["u"] - exact).max() < 2e-3  # means over cells


def test_a_problem_of_ones_own(ungrid, tmp_path):
    """u'' = 2 on (0, 1), 0 at both ends: u = x (x - 1)."""
    script = tmp_path / "mine.py"
    script.write_text(
        "from ungrid import pde\n"
        "problem = pde.Problem(pde.Interval(x=(0, 1)), pde.Poisson(-2.0), [pde.Dirichlet(0.0)], name='mine')\n"
    )
    done = ungrid("solve", script, "-o", tmp_path / "mine.field", "--budget", "0.2", "--json")
    assert (done.code, done.object["problem"]) == (0, "mine")
    values = library.load(tmp_path / "mine.field")(np.array([[0.5], [0.2]]))[:, 0]
    assert values == pytest.approx([-0.25, -0.16], abs=1e-8)


def test_the_gallery_is_listed_and_an_unknown_name_is_answered_with_it(ungrid, tmp_path):
    assert "poisson-lshape" in ungrid("solve", "--list").out
    done = ungrid("solve", "poison", "-o", tmp_path / "a.field")
    assert done.code == 2
    assert "poisson-lshape" in done.err
    assert not (tmp_path / "a.field").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [("problem = 3", "type int"), ("", "type NoneType")],
)
def test_a_file_without_a_problem_is_refused(ungrid, tmp_path, content, named):
    script = tmp_path / "wrong.py"
    script.write_text(content)
    done = ungrid("solve", script)
    assert done.code == 2
    assert named in done.err


def test_no_reference_for_an_equation_without_a_weak_form_and_nothing_is_begun(ungrid, tmp_path):
    done = ungrid("solve", "oscillator", "-o", tmp_path / "o.field", "--reference")
    assert done.code == 2
    assert "second order" in done.err
    assert not (tmp_path / "o.field").exists()


def test_an_inverse_problem_prints_the_number_and_its_deviation(ungrid, tmp_path):
    done = ungrid("solve", "diffusion-inverse", "-o", tmp_path / "i.field", "--budget", "1", "--json")
    found = done.object["metrics"]["unknowns"]["diffusivity"]
    assert abs(found["value"] - 0.4) < 4 * found["deviation"] < 0.1


def test_a_certificate(ungrid, tmp_path):
    words = ("solve", "poisson-square", "-o", tmp_path / "p.field", "--budget", "1", "--certify", "--json")
    done = ungrid(*words, "--report", tmp_path / "p.html")
    assert done.code == 0
    found, bound = done.object["metrics"], done.object["bound"]
    assert 0 <= found["bound_lower"] <= found["bound_upper"] < 1e-2
    assert bound["lower"] <= bound["upper"]
    assert bound["kind"] in ("certified", "estimated")
    assert bound["assumptions"]
    assert bound["kind"] in (tmp_path / "p.html").read_text()
    refused = ungrid("solve", "kdv", "-o", tmp_path / "b.field", "--budget", "1", "--certify")
    assert refused.code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nproblem = (", "line 2: SyntaxError"),
        ("from ungrid import pde\n\nproblem = pde.Problem(pde.Box(x=(0, 1)), nothing)", "line 3: NameError"),
        ("from ungrid import pde\npde.Dirichlet(0.0, onn='left')", "line 2: TypeError"),
        ("import sys\nsys.exit('gone')", "line 2: SystemExit"),
    ],
)
def test_what_a_file_raises_is_said_with_its_line(ungrid, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    done = ungrid("solve", tmp_path / "mine.py", "-o", tmp_path / "m.field", "--json")
    assert done.code == 2
    assert message in done.object["error"]


def test_parts_have_a_page_and_one_solver(ungrid, tmp_path):
    words = ("solve", "poisson-square", "-o", tmp_path / "p.field", "--budget", "1", "--parts", "2", "--json")
    assert ungrid(*words, "--report", tmp_path / "p.html").code == 0
    assert "Residuals" in (tmp_path / "p.html").read_text()
    assert "--parts with --solver adam" in ungrid(*words, "--solver", "adam").object["error"]
    assert "the solver 'nosuch'" in ungrid(*words[:4], "--solver", "nosuch", "--plan", "--json").object["error"]
