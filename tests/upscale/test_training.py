"""Training: batches are what the protocol says, losses fall, runs go on with the same bits, processes add up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.networks import EDSR, LIIF, LightNetwork
from ungrid.solvers import Outcome
from ungrid.solvers.checkpoint import read_checkpoint
from ungrid.upscale import Batch, Crops, Queries, Schedule, Training, mean_psnr, picture_files, read_pictures, tiles
from ungrid.upscale.resize import resized


def waves(seed: int = 0, side: int = 120) -> np.ndarray:
    """A picture of sums of waves up to 0.2 cycles a pixel (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    total = sum(np.sin(2 * np.pi * (k[0] * y + k[1] * x) + p)[..., None] * rng.uniform(-1, 1, 3)
                for k, p in zip(rng.uniform(-0.2, 0.2, (8, 2)), rng.uniform(0, 6, 8), strict=True))  # fmt: skip
    return np.rint(127.5 + 127 * np.tanh(total / 2)).astype(np.uint8)


PICTURES = [waves(k) for k in range(3)]


def crops(**given) -> Crops:
    return Crops(PICTURES, **{"size": 4, "side": 12, "window": 20, **given})


def network(seed: int = 0) -> LightNetwork:
    return LightNetwork(blocks=1, width=8, features=8, hidden=8, splines=5, seed=seed)


def test_batches_are_pieces_of_the_pictures() -> None:
    """Where the scale is 1 the small picture is the crop itself; else each window is found in some picture, turned."""
    for step in range(6):
        batch = crops().batch(step)
        assert isinstance(batch, Batch)
        assert batch.low.shape == (4, 3, 12, 12)
        assert batch.high.shape == (4, 3, len(batch.rows), len(batch.columns))
        assert 1 <= batch.scale <= 4
        spacing = np.diff(batch.rows)
        np.testing.assert_allclose(spacing, 1 / batch.scale)
        window = np.rint(batch.high[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        places = [found(window[i][:, j][:6, :6], t) for i in FLIPS for j in FLIPS for t in (0, 1)]
        assert any(places)


FLIPS = (slice(None), slice(None, None, -1))


def found(part: np.ndarray, transposed: int) -> bool:
    """Whether a piece is somewhere in a picture."""
    part = part.swapaxes(0, 1) if transposed else part
    for picture in PICTURES:
        views = np.lib.stride_tricks.sliding_window_view(picture, part.shape[:2], axis=(0, 1))
        if (views == part.transpose(2, 0, 1)).all(axis=(2, 3, 4)).any():
            return True
    return False


def test_the_small_picture_is_where_its_positions_say() -> None:
    """Smooth pictures: interpolated at the positions, it is the truth."""
    smooth = [resized(p[:30, :30].astype(np.float64), (240, 240)).clip(0, 255).astype(np.uint8) for p in PICTURES]
    for step in range(4):
        batch = Crops(smooth, size=2, side=24, window=40).batch(step)
        assert isinstance(batch, Batch)
        start = LightNetwork(blocks=1, width=4, features=4)  # bicubic interpolation
        guess = start(batch.low, batch.rows, batch.columns, torch.tensor([batch.scale] * 2))
        assert float((guess - batch.high).detach()[..., 8:-8, 8:-8].abs().mean()) < 0.02


def test_queries_are_pixels_with_scales_of_their_own() -> None:
    queries = crops(queries=50).batch(0)
    assert isinstance(queries, Queries)
    assert queries.position.shape == (4, 50, 2)
    assert queries.high.shape == (4, 50, 3)
    assert len(set(queries.scales[:, 0].tolist())) > 2
    pixel = (queries.position + 0.5) * queries.scales[:, None].double() - 0.5
    np.testing.assert_allclose(pixel, pixel.round(), atol=1e-4)


def test_parts_of_a_batch_are_the_batch() -> None:
    whole, parts = crops(queries=20).batch(3), [crops(queries=20, part=(k, 2)).batch(3) for k in range(2)]
    for name in ("low", "high", "position", "scales"):
        joined = torch.stack([getattr(part, name) for part in parts], dim=1).flatten(0, 1)
        assert torch.equal(joined, getattr(whole, name))
    with pytest.raises(InputError, match="multiple"):
        crops(part=(0, 3))


def test_it_learns_what_bicubic_interpolation_lacks() -> None:
    training = Training(network(), crops(), Schedule(steps=120, lr=3e-3, warmup=10))
    before = mean_psnr(lambda low, shape: tiles.enlarge(network(), low, shape), PICTURES[:1], 2)
    assert training.run() == Outcome.steps
    learned = training.averaged()
    assert mean_psnr(lambda low, shape: tiles.enlarge(learned, low, shape), PICTURES[:1], 2) > before + 0.5
    assert training.history[-1]["step"] == 120


def test_liif_learns() -> None:
    liif = LIIF(EDSR(blocks=1, features=8, seed=0), hidden=16, seed=1)
    training = Training(liif, crops(queries=64), Schedule(steps=120, lr=5e-3, warmup=20))
    batch = training.source.batch(1000)
    before = float(training.loss(batch).detach())
    training.run()
    assert float(training.loss(batch).detach()) < 0.8 * before


def test_the_average_is_the_average() -> None:
    training = Training(network(), crops(), Schedule(steps=5, lr=1e-2, decay=0.6))
    name = "decoder.kernels"
    expected = training.average[name].clone()
    for step in range(5):
        training.step(training.source.batch(step))
        kept = min(0.6, (step + 1) / (step + 11))
        expected = kept * expected + (1 - kept) * training.network.state_dict()[name]
    torch.testing.assert_close(training.average[name], expected)


def test_a_teacher_pulls() -> None:
    """With all weight on a teacher that is bicubic interpolation, the loss of bicubic interpolation is zero."""
    training = Training(network(), crops(), Schedule(steps=1), teacher=network(), weight=1.0)
    assert float(training.loss(training.source.batch(0)).detach()) < 1e-6
    half = Training(network(), crops(), Schedule(steps=1), teacher=network(), weight=0.5)
    alone = Training(network(), crops(), Schedule(steps=1))
    batch = crops().batch(0)
    torch.testing.assert_close(half.loss(batch), alone.loss(batch) / 2)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Python's own handler, which scripts that start the tests in the background take away."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_resumed_runs_have_the_same_bits(tmp_path: Path) -> None:
    schedule = Schedule(steps=12, warmup=3)
    whole = Training(network(), crops(), schedule)
    whole.run()
    for folder, stop in ((tmp_path / "a", 4), (tmp_path / "b", 8)):
        first = Training(network(), crops(), schedule, folder)
        first.run(
            every=4, report=lambda row, stop=stop: signal.raise_signal(signal.SIGINT) if row["step"] == stop else None
        )
        assert first.done < 12
        second = Training(network(5), crops(), schedule, folder)
        assert second.resume()
        assert second.done == first.done
        second.run()
        for name, value in whole.average.items():
            assert torch.equal(second.average[name], value)
    with pytest.raises(InputError, match="batches"):
        Training(network(), crops(seed=1), schedule, tmp_path / "a").resume()
    assert not Training(network(), crops(), schedule, tmp_path / "none").resume()


PROGRAM = """
import sys, torch
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
import test_training as t
import torch.distributed as dist
import ungrid.upscale.training
ungrid.upscale.training.BFLOAT16 = False  # its roundings would hide what is compared
rank, place, steps = int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
whole = ungrid.upscale.training._whole
for kind in sys.argv[5:]:
    folder, schedule = place / kind, t.Schedule(steps=steps, warmup=2)
    folder.mkdir(exist_ok=True)
    training = t.Training(
        t.network(), t.crops(part=(rank, 2)), schedule, folder / "check", sharded=kind == "sharded"
    )
    training.loss(training.source.batch(0)).backward()
    grads = {name: whole(value.grad) for name, value in training.network.named_parameters() if value.grad is not None}
    torch.save(grads, folder / f"grads{rank}.pt")
    training.run(every=3)
    torch.save(training.averaged().state_dict(), folder / f"average{rank}.pt")
"""


def start(folder: Path, steps: int, *kinds: str) -> list[subprocess.Popen[bytes]]:
    """Two processes that train one after the other in each way."""
    (folder / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_WAIT_POLICY": "passive"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    words = [sys.executable, str(folder / "program.py"), str(Path(__file__).parent)]
    return [
        subprocess.Popen([*words, str(rank), str(folder), str(steps), *kinds], env=environment) for rank in range(2)
    ]


KINDS = ("copied", "sharded")  # what each process keeps of the network


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left, in a folder for each kind."""
    folder = tmp_path_factory.mktemp("two")
    for process in start(folder, 6, *KINDS):
        assert process.wait(200) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one(two: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Gradients of halves are those of the whole batch; what two processes wrote, one reads, to the same bits."""
    monkeypatch.setattr("ungrid.upscale.training.BFLOAT16", False)
    folder = two / kind
    alone = Training(network(), crops(), Schedule(steps=6, warmup=2))
    alone.loss(alone.source.batch(0)).backward()
    for rank in range(2):
        grads = torch.load(folder / f"grads{rank}.pt", weights_only=True)
        for name, value in alone.network.named_parameters():
            if value.grad is not None:
                torch.testing.assert_close(grads[name], value.grad, atol=1e-6, rtol=1e-4)
    alone.optimizer.zero_grad()
    alone.run()
    together = torch.load(folder / "average0.pt", weights_only=True)
    for name, value in alone.average.items():
        torch.testing.assert_close(together[name], value, atol=1e-4, rtol=1e-3)
    reader = Training(network(), crops(), Schedule(steps=6, warmup=2), folder / "check")
    assert reader.resume()
    assert reader.done == 6
    assert len(reader.optimizer.state) == len(alone.optimizer.state)
    for name, value in reader.averaged().state_dict().items():
        assert torch.equal(value, together[name])


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ungrid.upscale.training.BFLOAT16", False)
    running, folder = start(tmp_path, 4000, "copied"), tmp_path / "copied"
    deadline = time.monotonic() + 200
    while not (folder / "check").is_dir() or read_checkpoint(folder / "check") is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    running[0].kill()
    for process in running:
        process.kill()
        process.wait(60)
    content = read_checkpoint(folder / "check")
    assert content is not None
    second = Training(network(), crops(), Schedule(steps=4000, warmup=2), folder / "check")
    assert second.resume()
    alone = Training(network(), crops(), Schedule(steps=4000, warmup=2))
    for training in (second, alone):
        while training.done < content["done"] + 2:
            training.step(training.source.batch(training.done))
    for name, value in alone.average.items():
        torch.testing.assert_close(second.average[name], value, atol=1e-3, rtol=1e-2)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture"):
        picture_files([tmp_path])
    from PIL import Image

    (tmp_path / "deep").mkdir()
    Image.fromarray(PICTURES[0][:60, :60]).save(tmp_path / "deep" / "b.png")
    with pytest.raises(InputError, match="larger"):
        read_pictures(picture_files([tmp_path]))
    Image.fromarray(np.tile(PICTURES[0], (2, 2, 1))).save(tmp_path / "a.jpg")
    assert [p.shape for p in read_pictures(picture_files([tmp_path]))] == [(240, 240, 3), (60, 60, 3)]


def test_spoiled_pictures_keep_their_truth() -> None:
    clean, spoilt = crops().batch(1), crops(spoil=True).batch(1)
    assert isinstance(clean, Batch)
    assert isinstance(spoilt, Batch)
    assert torch.equal(clean.high, spoilt.high)
    away = (clean.low - spoilt.low).abs().amax(dim=(1, 2, 3))
    assert float(away.max()) > 2 / 255
    assert float((clean.low - spoilt.low).abs().mean()) < 0.1


def test_rates() -> None:
    cosine = Schedule(steps=100, lr=1.0, warmup=10, final=0.1)
    assert [round(cosine.rate(k), 3) for k in (0, 50, 100)] == [0.1, 0.55, 0.1]
    paper = Schedule(steps=1000, lr=1.0, warmup=1, halvings=(0.2, 0.4, 0.6, 0.8))
    assert [paper.rate(k) for k in (0, 199, 200, 400, 600, 999)] == [1, 1, 0.5, 0.25, 0.125, 0.0625]


@pytest.mark.parametrize("name", ["edsr", "rdn", "light"])
def test_recipes_run(name: str, tmp_path: Path) -> None:
    import importlib.util

    from PIL import Image

    from ungrid.upscale import load

    spec = importlib.util.spec_from_file_location("recipe", Path(__file__).parents[2] / "recipes" / "liif.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    for k in range(2):
        Image.fromarray(waves(k, 200)).save(tmp_path / f"{k}.png")
    threads = torch.get_num_threads()
    recipe.main([name, str(tmp_path), "-o", str(tmp_path / "a.model"), "--steps", "1", "--size", "1"])
    torch.set_num_threads(threads)
    model = load(tmp_path / "a.model")
    assert (model.card["recipe"], model.card["steps"]) == (name, 1)
    assert model.enlarge(np.zeros((6, 7, 3)), 2).shape == (12, 14, 3)
