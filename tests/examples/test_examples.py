"""Every example runs, and ends in one number; the README's Python runs too."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTED = {
    "zoom_into_a_picture": ("psnr_between_pixels", lambda db: db > 40),
    "picture_at_any_scale": ("gain_over_bicubic", lambda db: db > 0.5),
    "slow_motion": ("gain_over_blending", lambda db: db > 3),
    "derivatives_of_a_field": ("largest_slope_error", lambda error: error < 0.02),
    "poisson_on_the_l_shape": ("error_of_the_integral", lambda error: error < 1e-4),
    "lid_driven_cavity": ("largest_difference", lambda speed: speed < 0.01),  # of a lid with the speed 1
    "maxwell_cavity": ("relative_error", lambda error: error < 5e-3),
    "quarter_car": ("largest_difference", lambda metres: metres < 1e-4),
    "bracket": ("problem", lambda problem: len(problem.domain.region.corners) >= 20 and len(problem.materials) == 2),
    "scattered_measurements": ("error_between_the_tracks", lambda error: error < 0.05),  # the noise of one measurement
    "many_signals": ("error_between_samples", lambda error: error < 0.02),  # 45 dB of a range of 2 are 0.011
}


def test_every_example_is_expected_to_end_in_something():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_example(name):
    number, holds = EXPECTED[name]
    assert holds(runpy.run_path(str(ROOT / "examples" / f"{name}.py"))[number])


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


PAGES = ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)])
def test_the_python_of_a_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks_of(page):
        exec(compile(block, page, "exec"), {})
    assert page != "README.md" or (tmp_path / "picture.field").exists()
