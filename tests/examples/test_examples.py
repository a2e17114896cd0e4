"""Every example runs, and ends in one number; the Python of README and pages runs too, and leaves the pictures they show."""

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


CHAPTERS = runpy.run_path(str(ROOT / "docs/pictures/chapters.py"))  # what draws the pictures is what the tests run
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CODE = {str(page.relative_to(ROOT)): page for page in PAGES if CHAPTERS["blocks_of"](page.read_text())}
DRAWN = [name for name in WITH_CODE if "savefig(" in WITH_CODE[name].read_text()]
SHORTER = {  # what takes long in a page, whose code and claims need less than its picture and figures
    "README.md": {"budget=2.0": "budget=1.0", "budget=5.0": "budget=2.0"},
    "docs/choose.md": {"budget=3": "budget=1"},
    "docs/course/limits.md": {"(5, 10, 20, 40, 80, 160, 320)": "(5, 40, 160)", "steps=300": "steps=100"},
    "docs/course/lshape.md": {"budget=6": "budget=2"},
    "docs/course/networks.md": {"steps=400": "steps=200"},
    "docs/view.md": {"steps=300": "steps=100"},
}


def shortened(name, folder):
    """The page, or a copy with smaller numbers, which are those of one line each."""
    text = WITH_CODE[name].read_text()
    for long, short in SHORTER.get(name, {}).items():
        assert text.count(long) == 1
        text = text.replace(long, short)
    page = folder / WITH_CODE[name].name
    page.write_text(text)
    return page


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CODE)
def test_the_python_of_a_page(name, tmp_path, tmp_path_factory):
    made = CHAPTERS["run"](shortened(name, tmp_path_factory.mktemp("page")), tmp_path)
    assert name != "README.md" or (tmp_path / "picture.field").exists()
    shown = re.findall(r"!\[[^\]]*\]\(\S*pictures/(\S+\.png)\)", WITH_CODE[name].read_text())
    assert {picture.name for picture in made} <= set(shown)
    assert bool(made) == (name in DRAWN)


def test_every_chapter_draws_its_picture():
    chapters = {f"docs/course/{path.name}" for path in (ROOT / "docs/course").glob("*.md") if path.stem != "index"}
    pages = {f"docs/{stem}.md" for stem in ("start", "share", "view", "many", "trust", "choose")}
    assert chapters | pages <= set(DRAWN)
