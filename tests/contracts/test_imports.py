"""What is imported when, and by whom."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "numba", "scipy", "numpy", "PIL", "skimage", "matplotlib", "av", "trimesh", "xarray", "viser")


def imported_by(code: str) -> set[str]:
    """The top-level modules in a fresh interpreter after `code`."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import ungrid",
        "import ungrid; ungrid.__version__, dir(ungrid)",
        "sys.argv[1:] = ['--help']; from ungrid.cli import main; main()",
        "sys.argv[1:] = ['fit', '--help']; from ungrid.cli import main; main()",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    assert imported_by(code).isdisjoint(HEAVY)


def test_a_name_of_the_package_brings_torch():
    """The check above sees what it should see."""
    assert "torch" in imported_by("import ungrid; ungrid.Field")


def test_geometry_does_without_torch():
    assert "torch" not in imported_by("import ungrid.domains, ungrid.reference, ungrid._base.errors")


def test_help_answers_at_once():
    """Below 0.3 s on an idle machine; the limit here leaves room for a loaded one, and none for torch (1.7 s)."""
    command = [sys.executable, "-c", "import sys; sys.argv[1:] = ['--help']; from ungrid.cli import main; main()"]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


def test_rooms_import_downwards_only():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
