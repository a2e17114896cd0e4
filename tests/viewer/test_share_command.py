"""`ungrid share`: the verb, its flags, and what it refuses."""

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ungrid import io
from ungrid.cli.app import Verb, verb
from ungrid.cli.share import share
from ungrid.domains import Box, RegularGrid
from ungrid.encodings import Identity
from ungrid.fields import BrickField, NeuralField
from ungrid.networks import Siren

NAMES = ("red", "green", "blue")


@pytest.fixture
def call():
    """Calls the verb with the given words."""
    app = typer.Typer()
    app.command(cls=Verb)(verb(share))

    def called(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return called


@pytest.fixture
def field(tmp_path):
    lattice = RegularGrid.isotropic((24, 32), ("y", "x"))
    u = NeuralField(
        lattice.box, Identity(2), Siren(2, 3, width=8, depth=2), out_names=NAMES, metadata={"kind": "image"}
    )
    provenance = {"method": "siren", "seconds": 5.0, "metrics": {"psnr_db": 31.25}}
    return io.save(u, tmp_path / "photo.field", provenance=provenance)


def test_a_page_with_facts_and_pixels(call, field, tmp_path):
    photo, page = tmp_path / "photo.png", tmp_path / "photo.html"
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(photo)
    done = call(field, "-o", page, "--against", photo, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["outputs"] == [str(page)]
    assert found["bytes"] == page.stat().st_size
    text = page.read_text(encoding="utf-8")
    assert "<title>photo</title>" in text
    assert '"PSNR": "31.2 dB"' in text
    assert "data:image/webp" in text


def test_a_plan_writes_nothing(call, field, tmp_path):
    done = call(field, "-o", tmp_path / "photo.html", "--plan")
    assert done.exit_code == 0
    assert "parameters" in done.stdout
    assert not (tmp_path / "photo.html").exists()


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("photo.png", [], ".html"),
        ("none/photo.html", [], "existing folder"),
        ("photo.html", ["--against", "photo.field"], "photo.field"),
    ],
)
def test_wrong_words(call, field, tmp_path, output, more, message):
    more = [tmp_path / word if word.startswith("photo") else word for word in more]
    done = call(field, "-o", tmp_path / output, *more)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "photo.html").exists()


@pytest.fixture
def solution(tmp_path):
    """A file that says that it solves a problem of the gallery."""
    u = NeuralField(Box(x=(0, 1)), Identity(1), Siren(1, 1, width=4, depth=1), out_names=("u",)).double()
    return io.save(u, tmp_path / "layer.field", provenance={"problem": "boundary-layer"})


def test_an_equation_has_its_exact_solution_beside_it(call, solution, tmp_path):
    assert call(solution, "-o", tmp_path / "layer.html").exit_code == 0
    text = (tmp_path / "layer.html").read_text(encoding="utf-8")
    assert '"name": "exact"' in text
    assert "Largest distance, exact" in text


def test_a_field_of_samples_solves_nothing(call, field, tmp_path):
    done = call(field, "-o", tmp_path / "photo.html", "--reference")
    assert done.exit_code == 2
    assert "--problem" in done.stderr


@pytest.fixture
def scene(tmp_path):
    """A file of a radiance field in one brick."""
    u = BrickField(Box(x=(-1, 1), y=(-1, 1), z=(-1, 1)), (2, 2, 2), 1, width=8)
    return io.save(u, tmp_path / "lego.field", provenance={"metrics": {"heldout_psnr_db": 28.25}})


def test_a_scene_is_a_page_too(call, scene, tmp_path):
    done = call(scene, "-o", tmp_path / "lego.html", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["bytes"] == (tmp_path / "lego.html").stat().st_size
    text = (tmp_path / "lego.html").read_text(encoding="utf-8")
    assert '"view": "scene"' in text
    assert '"Held-out PSNR": "28.2 dB"' in text


def test_flags_of_other_fields_are_refused_for_scenes(call, scene, tmp_path):
    done = call(scene, "-o", tmp_path / "lego.html", "--reference", "--problem", "heat")
    assert done.exit_code == 2
    assert "--problem, --reference with the field of a scene" in done.stderr
    assert not (tmp_path / "lego.html").exists()
