"""A fit that is killed at any moment goes on to the same bits, and a checkpoint of another run is refused."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ungrid as library
from ungrid.io import write

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals to another process")

EVERY = 0.05  # seconds from one checkpoint to the next, in the driver
DRIVER = f"import ungrid.solvers.loop as loop; loop.CHECKPOINT_EVERY = {EVERY}; from ungrid.cli import main; main()"
STEPS = 1500


def fixed_words(picture: Path, target: Path) -> list[str]:
    return ["fit", str(picture), "-o", str(target), "--steps", str(STEPS), "--threads", "2", "--seed", "4"]


@pytest.fixture
def start(picture: Path):
    """Starts fits of the picture in processes of their own, with frequent checkpoints."""
    running = []

    def begin(target: Path, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, *fixed_words(picture, target), *words],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def newest(folder: Path) -> float:
    """When the newest checkpoint was written; 0 where there is none."""
    return max((file.stat().st_mtime for file in folder.glob("*.pt")), default=0.0)


def weights(field: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in library.load(field).state_dict().items()}


@pytest.mark.slow
def test_killed_and_resumed_gives_the_bits_of_the_uninterrupted_run(start, ungrid, picture, tmp_path):
    whole, cut, folder = tmp_path / "whole.field", tmp_path / "cut.field", tmp_path / "cut.checkpoint"
    assert ungrid(*fixed_words(picture, whole)).code == 0
    chance, kills = random.Random(0), 0
    for words in ([], ["--resume"]):
        process, before = start(cut, *words), newest(folder)
        while process.poll() is None and newest(folder) == before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 3 * EVERY))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    assert not cut.exists()
    assert start(cut, "--resume").wait(timeout=100) == 0
    expected, found = weights(whole), weights(cut)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert library.read_header(cut)["provenance"]["steps"] == STEPS
    assert not folder.exists()


def test_a_resumed_run_repeats_no_more_than_the_time_between_checkpoints(ungrid, picture, tmp_path, monkeypatch):
    """Interrupted after the k-th checkpoint, a run takes the remaining steps and no other."""
    from ungrid.solvers import Adam
    from ungrid.solvers.checkpoint import read_checkpoint

    monkeypatch.setattr("ungrid.solvers.loop.CHECKPOINT_EVERY", 0.0)  # one with every step
    taken, plain = [], Adam.step

    def step(self, u, terms, state, *, progress=0.0):
        if len(taken) == 17:
            taken.append(-1)
            raise KeyboardInterrupt
        taken.append(state.step)
        return plain(self, u, terms, state, progress=progress)

    monkeypatch.setattr(Adam, "step", step)
    words = ["fit", picture, "-o", tmp_path / "w.field", "--steps", "30", "--json"]
    assert ungrid(*words).code == 130
    assert library.load(tmp_path / "w.field")(np.zeros((1, 2))).shape == (1, 3)
    reached = read_checkpoint(tmp_path / "w.checkpoint")["step"]
    del taken[:-1]
    assert ungrid(*words, "--resume").object["steps"] == 30
    fit_steps = [k for k in taken if k >= 0]
    assert reached == 17
    assert fit_steps == list(range(17, 30))


@pytest.fixture
def interrupted(ungrid, picture, tmp_path, monkeypatch) -> Path:
    """The field of a fit that was interrupted at step 10, beside its checkpoint."""
    from ungrid.solvers import Adam

    monkeypatch.setattr("ungrid.solvers.loop.CHECKPOINT_EVERY", 0.0)
    plain = Adam.step

    def step(self, u, terms, state, *, progress=0.0):
        if state.step == 10:
            raise KeyboardInterrupt
        return plain(self, u, terms, state, progress=progress)

    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", step)
        assert ungrid("fit", picture, "-o", tmp_path / "w.field", "--steps", "30").code == 130
    return tmp_path / "w.field"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--seed", "1"], "seed"),
        (["--steps", "40"], "steps"),
        (["--method", "siren"], "field"),
        (["--total-variation", "0.1"], "terms"),
        (["--holdout", "0.2"], "samples"),
    ],
)
def test_a_checkpoint_of_other_flags_is_refused(ungrid, picture, interrupted, words, named):
    before = {file: file.read_bytes() for file in interrupted.with_suffix(".checkpoint").iterdir()}
    rest = words if "--steps" in words else ["--steps", "30", *words]
    done = ungrid("fit", picture, "-o", interrupted, "--resume", *rest, "--json")
    assert done.code == 2
    assert "which has other" in done.object["error"]
    assert named in done.object["error"]
    assert {file: file.read_bytes() for file in before} == before


def test_a_checkpoint_of_another_source_is_refused(ungrid, picture, interrupted, tmp_path):
    samples = library.read(picture)
    write(tmp_path / "other.png", type(samples)(samples.grid, 1 - samples.values, samples.out_names, "image"))
    done = ungrid("fit", tmp_path / "other.png", "-o", interrupted, "--steps", "30", "--resume", "--json")
    assert done.code == 2
    assert "other samples" in done.object["error"]


def test_a_fresh_run_leaves_no_older_checkpoint_behind(ungrid, picture, interrupted):
    """Without --resume the checkpoint of before is not gone back to, and a finished run leaves none."""
    assert ungrid("fit", picture, "-o", interrupted, "--steps", "12", "--seed", "7").code == 0
    assert not interrupted.with_suffix(".checkpoint").exists()


TABLE_DRIVER = "import ungrid.solvers.checkpoint as c; c.STAGES_EVERY = 0.02; from ungrid.cli import main; main()"


@pytest.mark.slow
def test_a_killed_fit_of_a_table_goes_on_to_the_same_bits(ungrid, tmp_path):
    """Scattered measurements in closed form: killed at a random moment, resumed."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 3, (150, 2))
    rows = np.column_stack([x, np.sin(x[:, 0]) * x[:, 1] + 0.01 * rng.standard_normal(150), np.arange(150) % 10])
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="x,y,v,track", comments="")

    def words(target: Path) -> list[str]:
        flags = ["--values", "v", "--group", "track", "--steps", "12", "--threads", "2"]
        return ["fit", str(tmp_path / "t.csv"), "-o", str(target), *flags]

    def begin(target: Path, *more: str) -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([sys.executable, "-c", TABLE_DRIVER, *words(target), *more], **quiet)

    whole, cut, folder = tmp_path / "whole.field", tmp_path / "cut.field", tmp_path / "cut.checkpoint"
    assert ungrid(*words(whole)).code == 0
    process = begin(cut)
    try:
        while process.poll() is None and not newest(folder):
            time.sleep(0.002)
        time.sleep(random.Random().uniform(0.0, 0.5))  # whenever: the claim is for every moment
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not cut.exists()
    assert begin(cut, "--resume").wait(timeout=100) == 0
    expected, found = weights(whole), weights(cut)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert not folder.exists()
