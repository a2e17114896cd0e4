"""The wheel: what is in it, and what is not."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import ungrid

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel, opened."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


def test_every_module_of_the_tree_is_in_it(wheel):
    tree = {str(file.relative_to(ROOT / "src")) for file in (ROOT / "src").rglob("*.py")}
    assert tree <= set(wheel.namelist())


def test_it_holds_the_package_and_nothing_else(wheel):
    assert "ungrid/py.typed" in wheel.namelist()
    assert {name.split("/")[0] for name in wheel.namelist()} == {"ungrid", f"ungrid-{ungrid.__version__}.dist-info"}
    assert not [name for name in wheel.namelist() if "test" in name]


def test_its_description(wheel):
    described = message_from_bytes(wheel.read(f"ungrid-{ungrid.__version__}.dist-info/METADATA"))
    assert described["Version"] == ungrid.__version__
    assert described["License-Expression"] == "Apache-2.0"
    requirements = [text for text in described.get_all("Requires-Dist") if "extra ==" not in text]
    assert "torch>=2.4" in requirements
    assert all("==" not in text for text in requirements)


def test_the_command_is_installed(wheel):
    entry = wheel.read(f"ungrid-{ungrid.__version__}.dist-info/entry_points.txt").decode()
    assert "ungrid = ungrid.cli:main" in entry
