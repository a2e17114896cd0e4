"""`ungrid view` and `ungrid nerf --view`: what is refused, paths, and the end by Ctrl-C."""

import importlib.util
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ungrid as library
from ungrid._base.errors import InputError
from ungrid.cli.app import app
from ungrid.cli.view import painted, save_path
from ungrid.radiance.builtin import write_scene
from ungrid.radiance.paths import own_cameras, read_camera_path

viser_only = pytest.mark.skipif(importlib.util.find_spec("viser") is None, reason="viser is not installed (extra view)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene"), views=12, tests=2, size=32)


@pytest.fixture(scope="module")
def scene(folder, tmp_path_factory) -> Path:
    from ungrid.io import save
    from ungrid.io.scenes import read_scene
    from ungrid.radiance import reconstruct

    return save(reconstruct(read_scene(folder), steps=60).field, tmp_path_factory.mktemp("field") / "scene.field")


@pytest.fixture(scope="module")
def shape(tmp_path_factory) -> Path:
    """A ball, as the distances of points from it."""
    folder = tmp_path_factory.mktemp("shape")
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    distance = np.linalg.norm(points, axis=1) - 0.6
    np.savetxt(folder / "ball.csv", np.column_stack([points, distance]), delimiter=",", header="x,y,z,d", comments="")
    words = ("fit", str(folder / "ball.csv"), "-o", str(folder / "ball.field"), "--supervise", "distance")
    assert CliRunner().invoke(app, [*words, "--steps", "60"]).exit_code == 0
    return folder / "ball.field"


def test_a_picture_is_refused_and_told_of_share(ungrid, field):
    done = ungrid("view", field)
    assert done.code == 2
    assert "over y, x" in done.err
    assert "a scene of photographs or a shape" in done.err
    assert f"ungrid share {field}" in done.err


def test_a_file_that_is_not_there(ungrid, tmp_path):
    done = ungrid("view", tmp_path / "nowhere.field")
    assert done.code == 2
    assert "does not exist" in done.err


def test_without_viser_the_extra_is_named(ungrid, scene, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    for words in (("view", scene), ("nerf", folder, "-o", tmp_path / "a.field", "--view")):
        done = ungrid(*words)
        assert done.code == 2
        assert "pip install 'ungrid[view]'" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [(("--method", "nerf"), "--method bricks"), (("--scale-by", "a.png:1,1", "a.png:2,2", "120mm"), "one of the two")],
)
def test_fits_that_cannot_be_watched(ungrid, folder, tmp_path, flags, message):
    done = ungrid("nerf", folder, "-o", tmp_path / "a.field", "--view", *flags)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("port", ["80", "70000"])
def test_ports_that_cannot_be_had(ungrid, scene, port):
    assert ungrid("view", scene, "--port", port).code == 2


def test_the_plan_opens_no_page(ungrid, scene, folder, tmp_path):
    assert "views, rendered here" in ungrid("view", scene, "--plan").out
    done = ungrid("nerf", folder, "-o", tmp_path / "a.field", "--view", "--plan", "--json")
    assert (done.code, "address" in done.object) == (0, False)


def test_a_path_is_what_render_reads(ungrid, scene, tmp_path):
    field = tmp_path / "scene.field"
    field.write_bytes(scene.read_bytes())
    views = own_cameras(library.load(field))[:3]
    told = save_path(field, views, seconds=0.1)
    assert "7 frames" in told  # three from each view to the next, and the last
    assert str(tmp_path / "scene.path.json") in told
    cameras, fps = read_camera_path(tmp_path / "scene.path.json")
    assert (len(cameras), fps) == (7, 30.0)
    path, picture = tmp_path / "scene.path.json", tmp_path / "first.png"
    assert ungrid("render", field, "-o", picture, "--camera", path).code == 0
    assert ungrid("render", field, "-o", tmp_path / "own.png").code == 0
    first, own = (library.read(file).values for file in (picture, tmp_path / "own.png"))
    np.testing.assert_allclose(first, own, atol=1.5 / 255)


def test_a_path_without_views(tmp_path):
    with pytest.raises(InputError, match="Add this view"):
        save_path(tmp_path / "scene.field", [], seconds=1.0)


def test_a_depth_that_meets_nothing_is_background():
    nothing = painted(np.full((4, 6, 1), np.nan), "depth", (0.2, 0.5, 0.9))
    np.testing.assert_allclose(nothing, np.broadcast_to([0.2, 0.5, 0.9], (4, 6, 3)), atol=1e-7)
    some = painted(np.array([[[np.nan], [1.0], [3.0]]]), "depth", (0.2, 0.5, 0.9))
    np.testing.assert_allclose(some[0], [[0.2, 0.5, 0.9], [1, 1, 1], [0.1, 0.1, 0.1]], atol=1e-6)


def until_address(words: list[str | Path]) -> subprocess.Popen[str]:
    """The command in a process of its own, when it has said where its page is; it answers to Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ungrid", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for line in process.stderr:
        if re.search(r"http://127\.0\.0\.1:\d+ shows ", line):
            return process
    raise AssertionError(f"no address: {words}")


@viser_only
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scene", "shape"])
def test_ctrl_c_ends_it_well(request, kind):
    if kind == "shape":
        pytest.importorskip("skimage")
    process = until_address(["view", request.getfixturevalue(kind), "--json"])
    process.send_signal(signal.SIGINT)
    out, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["address"].startswith("http://127.0.0.1:")
    assert "Traceback" not in log


@viser_only
@pytest.mark.slow
def test_a_fit_that_nobody_watches_ends_by_itself(folder, tmp_path):
    process = until_address(["nerf", folder, "-o", tmp_path / "a.field", "--view", "--steps", "5", "--json"])
    out, log = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)["outputs"] == [str(tmp_path / "a.field")]
    assert "Traceback" not in log
