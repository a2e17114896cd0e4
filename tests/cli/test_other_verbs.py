"""`ungrid evaluate`, `info`, `doctor`, `demo`, and what all verbs share."""

import json

import numpy as np
import pytest
from PIL import Image

import ungrid as library
from ungrid.cli import demo
from ungrid.cli.run import finite, readable


def test_evaluate_against_another_file(ungrid, field, tmp_path):
    """Against a constant picture the error is the distance from that constant."""
    other = tmp_path / "grey.png"
    Image.fromarray(np.full((32, 40, 3), 128, np.uint8)).save(other)
    found = ungrid("evaluate", field, "--against", other, "--json").object
    values = library.sample_grid(library.load(field), (32, 40), footprint=False)
    assert found["metrics"]["mse"] == pytest.approx(np.mean((values - 128 / 255) ** 2), rel=1e-4)


def test_evaluate_without_its_source(ungrid, field, picture):
    picture.unlink()
    done = ungrid("evaluate", field, "--json")
    assert done.code == 2
    assert "--against" in done.object["error"]


def test_info_of_a_field(ungrid, field):
    found = ungrid("info", field, "--json").object["info"]
    assert found["axes"] == ["y[-0.8:0.8]", "x[-1:1]"]
    assert found["values"] == ["red", "green", "blue"]
    assert found["steps"] == 60
    assert "red green blue" in ungrid("info", field).out


def test_info_of_a_source(ungrid, picture):
    found = ungrid("info", picture, "--json").object["info"]
    assert (found["kind"], found["shape"], found["missing"]) == ("image", [32, 40], 0)


@pytest.mark.parametrize("verb", ["info", "evaluate", "render"])
def test_a_file_that_is_no_field(ungrid, tmp_path, verb):
    fake = tmp_path / "fake.field"
    fake.write_bytes(b"not a field at all")
    rest = {"render": ["-o", tmp_path / "out.png"]}.get(verb, [])
    done = ungrid(verb, fake, *rest, "--json")
    assert done.code == 2
    assert "fake.field" in done.object["error"]


def test_doctor(ungrid):
    found = ungrid("doctor", "--json").object["doctor"]
    import torch

    assert found["torch"] == torch.__version__
    assert found["device"] == "cpu"
    assert set(found["extras"]).isdisjoint(found["missing_extras"])


def test_doctor_has_a_remedy_for_a_cuda_build_without_gpu():
    from ungrid.cli.doctor import remedies

    good = {"cuda_build": False, "gpu": "none", "missing_extras": [], "threads": 2, "cores": 2, "features": ["avx2"]}
    good["allocator"] = "glibc, tuned"
    assert remedies(good) == []
    assert "CPU build" in remedies({**good, "cuda_build": True})[0]
    assert remedies({**good, "cuda_build": True, "gpu": "some card"}) == []
    assert "ungrid[video]" in remedies({**good, "missing_extras": ["video"]})[0]
    assert "--threads" in remedies({**good, "threads": 8})[0]
    assert "export MALLOC_TOP_PAD_=" in remedies({**good, "allocator": "glibc, default"})[0]


@pytest.mark.slow
def test_demo_writes_its_page(ungrid, tmp_path, monkeypatch):
    """On a part of the picture that has all that is cut from it, and a small scene."""
    whole = demo.bundled_picture()
    monkeypatch.setattr(demo, "bundled_picture", lambda: whole[:320, :320])
    monkeypatch.setattr(demo, "SCENE_VIEWS", 12)
    monkeypatch.setattr(demo, "SCENE_SIZE", 32)
    done = ungrid("demo", "-o", tmp_path / "tour", "--steps", "1", "--json")
    page = (tmp_path / "tour" / "report.html").read_text()
    assert done.code == 0
    written = ("astronaut.field", "scene.field", "report.html")
    assert done.object["outputs"] == [str(tmp_path / "tour" / name) for name in written]
    assert set(done.object["metrics"]["methods_psnr_db"]) == {"grid", "siren", "fourier", "positional", "relu"}
    assert page.count("<img") == 3 + 3 + 3 + 5 + 3 + 5 + 6


def test_version_and_help(ungrid):
    assert ungrid("--version").out == f"ungrid {library.__version__}\n"
    for verb in ("fit", "render", "view", "share", "export", "evaluate", "info", "doctor", "demo"):
        text = ungrid(verb, "--help").out
        for flag in ("json", "seed", "device", "threads", "budget", "steps", "report", "quiet", "plan"):
            assert f"--{flag} " in text


def test_json_has_no_nan():
    value = {"a": float("nan"), "b": [np.float32(1.5), np.int64(2)], "c": (float("inf"), None, True, "x")}
    assert json.loads(json.dumps(finite(value), allow_nan=False)) == {
        "a": None,
        "b": [1.5, 2.0],
        "c": [None, None, True, "x"],
    }


def test_readable():
    assert readable(1234567) == "1 234 567"
    assert readable({"a": 0.123456789, "b": None}) == "a 0.123457, b -"
