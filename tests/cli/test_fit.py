"""`ungrid fit`: files, figures, exit codes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ungrid as library
from ungrid.cli.fit import holdout_of, source_stem
from ungrid.cli.reading import indices, names


def test_writes_a_field_and_one_json_object(ungrid, picture, tmp_path):
    done = ungrid(
        "fit", picture, "-o", tmp_path / "w.field", "--steps", "60", "--seed", "3", "--threads", "1", "--json"
    )
    found = done.object
    assert done.code == 0
    assert found["command"] == "fit"
    assert found["version"] == library.__version__
    assert (found["device"], found["threads"], found["seed"], found["steps"]) == ("cpu", 1, 3, 60)
    assert found["outputs"] == [str(tmp_path / "w.field")]
    assert 0 < found["seconds"] < found["wall_seconds"]
    assert found["setup_seconds"] < found["wall_seconds"]
    assert done.err.startswith(f"ungrid {library.__version__} on cpu, 1 thread")


def test_reported_psnr_is_that_of_the_file(ungrid, picture, field):
    """The definition of PSNR, on the saved field and the pixels."""
    from PIL import Image

    with Image.open(picture) as image:
        pixels = np.asarray(image) / 255
    values = np.clip(library.sample_grid(library.load(field), (32, 40), footprint=False), 0, 1)
    expected = 10 * np.log10(1 / np.mean((values - pixels) ** 2))
    assert library.read_header(field)["provenance"]["metrics"]["psnr_db"] == pytest.approx(expected, abs=0.01)
    assert ungrid("evaluate", field, "--json").object["metrics"]["psnr_db"] == pytest.approx(expected, abs=0.01)


def test_same_seed_steps_and_threads_give_the_same_bits(ungrid, picture, tmp_path):
    files = [tmp_path / f"{name}.field" for name in "ab"]
    for file in files:
        ungrid("fit", picture, "-o", file, "--steps", "20", "--threads", "1")
    a, b = (library.load(file).state_dict() for file in files)
    assert all((a[name] == b[name]).all() for name in a)


def test_half_precision_halves_the_weights(ungrid, picture, field, tmp_path):
    ungrid("fit", picture, "-o", tmp_path / "half.field", "--steps", "60", "--half")
    parameters = library.read_header(field)["provenance"]["parameters"]
    saved = field.stat().st_size - (tmp_path / "half.field").stat().st_size
    assert saved == pytest.approx(2 * parameters, rel=0.05)


def test_without_output_the_field_is_named_after_the_source(ungrid, picture, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert ungrid("fit", picture, "--steps", "5").code == 0
    assert [file.name for file in Path.cwd().iterdir()] == ["waves.field"]


def test_plan_does_nothing(ungrid, picture, tmp_path):
    done = ungrid("fit", picture, "-o", tmp_path / "w.field", "--plan", "--json")
    assert done.code == 0
    assert done.object["plan"]["samples"] == 32 * 40 * 3
    assert done.object["outputs"] == []
    assert [file.name for file in tmp_path.iterdir()] == ["waves.png"]


def test_report_is_one_page_without_references(ungrid, picture, tmp_path):
    page = tmp_path / "page.html"
    done = ungrid("fit", picture, "-o", tmp_path / "w.field", "--steps", "30", "--report", page, "--json")
    assert done.object["outputs"] == [str(tmp_path / "w.field"), str(page)]
    text = page.read_text()
    assert text.count('src="data:image/png;base64,') == 3
    assert text.count("<svg") == 2
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_quiet_is_quiet(ungrid, picture, tmp_path):
    assert ungrid("fit", picture, "-o", tmp_path / "w.field", "--steps", "5", "--quiet").err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "missing.png does not exist"),
        (["waves.png", "-o", "w.png"], "a name that ends in .field"),
        (["waves.png", "-o", "nowhere/w.field"], "make the folder first"),
        (["waves.png", "--holdout", "1.5"], "a fraction between 0 and 1"),
        (["waves.png", "--method", "magic"], "the method 'magic'"),
        (["waves.png", "--device", "abacus"], "device 'abacus'"),
        (["waves.png", "--coords", "lon,lat"], "coords for waves.png"),
        (["waves.png", "--budget", "-1"], "a budget of -1.0 s"),
        (["broken.png"], "broken.png"),
        (["waves.png", "--report", "page.txt"], ".html"),
        (["waves.png", "--blend", "waves.png"], "--supervise gradient"),
        (["waves.png", "--supervise", "gradient", "--blend", "broken.png"], "broken.png"),
        (["waves.png", "--eikonal", "0.1"], "an eikonal term"),
    ],
)
def test_wrong_input_ends_with_a_message_code_2_and_no_file(ungrid, picture, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:100])
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    done = ungrid("fit", *words, "--json")
    assert done.code == 2
    assert message in done.object["error"]
    assert "Traceback" not in done.err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("word", "meant"), [("--buget", "--budget"), ("--metod", "--method")])
def test_unknown_flag_is_answered_with_a_similar_one(ungrid, picture, word, meant):
    done = ungrid("fit", picture, word, "3")
    assert done.code == 2
    assert f"Did you mean {meant}" in done.err


def test_unknown_verb_is_answered_with_a_similar_one(ungrid):
    done = ungrid("evaluat", "x.field")
    assert done.code == 2
    assert "Did you mean 'evaluate'" in done.err


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to another process")
def test_interrupt_saves_what_was_reached(picture, tmp_path):
    target = tmp_path / "w.field"
    code = "from ungrid.cli import main; main()"
    words = ["fit", str(picture), "-o", str(target), "--budget", "100", "--threads", "1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert next(line for line in process.stderr if line.startswith("step"))  # the fit has begun
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f'"outputs": ["{target}"]' in out.splitlines()[-1]
    assert library.load(target)(np.zeros((1, 2))).shape == (1, 3)


def test_a_blend_with_itself_is_the_picture(ungrid, picture, tmp_path):
    """Up to the constant, which comes from the picture's mean; the file says what was blended."""
    target = tmp_path / "blend.field"
    words = ["--supervise", "gradient", "--blend", picture, "--steps", "150", "--json"]
    metrics = ungrid("fit", picture, "-o", target, *words).object["metrics"]
    assert "psnr_db" not in metrics  # a blend has no truth
    assert metrics["differences_relative_l2"] < 0.3
    assert ungrid("evaluate", target, "--json").object["metrics"]["psnr_db"] > 25.0
    assert library.read_header(target)["provenance"]["blend"] == str(picture)


def test_an_eikonal_term_of_a_table_of_distances(ungrid, tmp_path):
    """The distance to a circle of radius 0.5."""
    points = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    table = np.column_stack([points, np.linalg.norm(points, axis=1) - 0.5])
    np.savetxt(tmp_path / "circle.csv", table, delimiter=",", header="x,y,distance", comments="")
    words = [
        "--coords",
        "x,y",
        "--values",
        "distance",
        "--supervise",
        "distance",
        "--eikonal",
        "0.01",
        "--steps",
        "150",
    ]
    done = ungrid("fit", tmp_path / "circle.csv", "-o", tmp_path / "circle.field", *words, "--json")
    assert done.code == 0
    assert done.object["metrics"]["heldout_mae"] < 0.02


def test_words_of_the_flags():
    assert source_stem(Path("a/dragon.obj.xz")) == "dragon"
    assert source_stem(Path("my.photo.png")) == "my.photo"
    assert names("lon, lat") == ["lon", "lat"]
    assert indices("time=0, level=-1") == {"time": 0, "level": -1}
    assert [holdout_of(text) for text in (None, "0.25", "even", "station")] == [None, 0.25, "even", "station"]
