"""Many signals at once: the batch against its plain twin, the store, what is missing, resuming, executors."""

import importlib
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ungrid
from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.io import FieldStore
from ungrid.kernels import many_sirens
from ungrid.networks import Siren
from ungrid.signals.many import fit_many, plan_many
from ungrid.signals.many.batch import (
    Schedule,
    fit_batch,
    fit_plain,
    square_errors,
    values,
    weights_of,
    with_weights,
)  # fmt: skip
from ungrid.signals.many.networks import choose_width, parameters_of
from ungrid.signals.many.sources import items_of


def waves(count: int, side: int = 10) -> np.ndarray:
    """Smooth pictures (count, side, side, 3) in [0, 1], each with waves of its own."""
    y, x = np.mgrid[0:side, 0:side] / side
    phases = np.linspace(0, 3, count)[:, None, None]
    parts = [np.sin(3 * x + phases), np.cos(2 * y - phases), np.sin(2 * x + 2 * y + phases)]
    return (0.5 + 0.4 * np.stack(parts, axis=-1)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures, of which two are larger, beside a file that is no picture, a damaged one and a broken link."""
    made = tmp_path / "pictures"
    (made / "more").mkdir(parents=True)
    for k, picture in enumerate([*waves(5), *waves(2, 12)]):
        path = made / ("more" if k == 4 else "") / f"p{k}.png"
        Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(path)
    (made / "damaged.png").write_bytes((made / "p0.png").read_bytes()[:60])
    (made / "gone.png").symlink_to(made / "nowhere.png")
    (made / "notes.md").write_text("no picture")
    return made


def content(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def test_gradient_of_the_kernel_is_that_of_autograd():
    rng = np.random.default_rng(0)
    network = Siren(2, 3, width=8, depth=3, first_omega0=4.0, seed=1)
    x = rng.uniform(-1, 1, (150, 2)).astype(np.float32)
    target = rng.normal(size=(150, 3)).astype(np.float32)
    target[7] = np.nan
    theta, gradient = weights_of(network), np.empty(len(weights_of(network)), dtype=np.float32)
    memory = [np.empty((3, 64, 8), dtype=np.float32) for _ in range(2)]  # chunks of 64: two whole ones and a rest
    total = many_sirens.squares_and_gradient(
        x, target, theta, np.array([2, 8, 8, 8, 3]), np.array(network.frequencies), gradient, *memory, memory[0][0].copy()
    )  # fmt: skip
    exact = torch.from_numpy(theta).double()[None].requires_grad_()
    mean = square_errors(network, exact, torch.from_numpy(x).double(), torch.from_numpy(target).double()[None])
    (by_weights,) = torch.autograd.grad(mean.sum(), exact)
    known = 149 * 3
    assert total == pytest.approx(mean.item() * known, rel=1e-5)
    assert 2 / known * gradient == pytest.approx(by_weights[0].numpy(), abs=1e-5 * float(by_weights.abs().max()))


def test_grouped_products_are_the_networks_one_by_one():
    x, networks = torch.randn(9, 2), [Siren(2, 1, width=6, depth=2, seed=k) for k in range(3)]
    rows = torch.stack([torch.from_numpy(weights_of(network)) for network in networks])
    alone = torch.stack([with_weights(networks[0], row.numpy())(x) for row in rows])
    torch.testing.assert_close(values(networks[0], rows, x), alone, rtol=1e-5, atol=1e-5)


def test_batch_is_its_plain_twin_in_float64_to_rounding():
    network = Siren(1, 1, width=6, depth=2, first_omega0=3.0, seed=0)
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    targets = np.stack([np.sin(2 * x), 0.3 * np.cos(3 * x)])
    goals = np.array([1e-9, 0.02])
    schedule = Schedule(steps=12, lr=1e-3)
    fast = fit_batch(network, x, targets, goals, schedule)
    start = torch.from_numpy(weights_of(network)).double()[None]
    tensors = [torch.from_numpy(part).double() for part in (x, targets, goals)]
    weights, errors, steps = fit_plain(network, *tensors, schedule, start=start)
    assert fast.steps.tolist() == steps.tolist()
    assert fast.steps[0] == 12
    assert fast.errors == pytest.approx(errors.numpy(), rel=1e-3)
    assert fast.weights == pytest.approx(weights.numpy(), abs=1e-4)


def test_every_network_stops_at_its_own_goal_and_threads_do_not_matter():
    network = Siren(2, 3, width=16, depth=2, first_omega0=10.0, seed=0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 10, dtype=np.float32)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    targets = waves(6).reshape(6, 100, 3) - 0.5
    goals = np.geomspace(1e-2, 1e-4, 6)
    one, two = (fit_batch(network, grid, targets, goals, Schedule(), threads=k) for k in (1, 2))
    assert (one.errors <= goals).all()
    assert one.steps[0] < one.steps[-1] < 500
    assert (one.weights == two.weights).all()
    alone = fit_batch(network, grid, targets[3:4], goals[3:4], Schedule())
    assert (alone.weights[0] == one.weights[3]).all()


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match="coordinates"):
        fit_batch(Siren(2, 1, width=4, depth=1), np.zeros((5, 2)), np.zeros((1, 5, 2)), np.zeros(1), Schedule())


def test_the_width_is_the_largest_with_no_more_parameters_than_numbers():
    assert parameters_of(2, 3, 48, 2) == sum(p.numel() for p in Siren(2, 3, width=48, depth=2).parameters())
    width = choose_width(32 * 32 * 3, 2, 3, 2)
    assert parameters_of(2, 3, width, 2) <= 32 * 32 * 3 < parameters_of(2, 3, width + 16, 2)
    assert choose_width(1, 2, 3, 2) == 16


def test_a_folder_becomes_a_store_and_the_rest_is_listed(folder, tmp_path):
    result = fit_many(folder, tmp_path / "s.zarr", target_db=30.0, threads=1)
    assert (result.stats["signals"], result.stats["fitted"], result.stats["missing"]) == (10, 7, 3)
    assert result.stats["least_psnr_db"] >= 30.0
    store = FieldStore(tmp_path / "s.zarr")
    reasons = {line["name"]: line["error"] for line in store.lines() if "error" in line}
    assert set(reasons) == {"damaged.png", "gone.png", "notes.md"}
    assert "does not exist" in reasons["gone.png"]
    assert sorted(store) == ["more/p4.png", "p0.png", "p1.png", "p2.png", "p3.png", "p5.png", "p6.png"]
    for name in ("p0.png", "more/p4.png", "p6.png"):
        field = ungrid.io.load(tmp_path / "s.zarr" / name)
        samples = ungrid.read(folder / name)
        error = np.square(field.on_grid(samples.grid) - samples.values).mean()
        line = next(line for line in store.lines() if line["name"] == name)
        assert -10 * np.log10(error) == pytest.approx(line["psnr_db"], abs=1e-3)
        assert line["psnr_db"] >= 30.0
    with pytest.raises(InputError, match="damaged"):
        store["damaged.png"]
    with pytest.raises(InputError, match="one of the 7"):
        store["p99.png"]


def test_a_field_of_a_store_is_saved_like_any_other(tmp_path):
    result = fit_many(waves(2), tmp_path / "s.zarr", target_db=25.0, threads=1)
    field = result.store["1"]
    ungrid.save(field, tmp_path / "one.field")
    points = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    assert (ungrid.io.load(tmp_path / "one.field")(points) == field(points)).all()


def test_stores_are_equal_whoever_fits_them_and_resuming_loses_nothing(folder, tmp_path):
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    settings = {"target_db": 28.0, "shard": 2}
    fit_many(folder, whole, threads=2, **settings)

    class Dying:
        """Maps the first two pieces of work, then raises."""

        def map(self, function, work, /):
            for piece in work[:2]:
                yield function(piece)
            raise RuntimeError("the machine is gone")

    with pytest.raises(RuntimeError):
        fit_many(folder, parts, executor=Dying(), **settings)
    halfway = FieldStore(parts)
    assert not halfway.complete
    assert len(halfway) == 4
    with pytest.raises(InputError, match="settings"):
        fit_many(folder, parts, resume=True, target_db=29.0, shard=2)
    with pytest.raises(InputError, match="resume"):
        fit_many(folder, parts, **settings)
    with ThreadPoolExecutor(2) as pool:
        done = fit_many(folder, parts, executor=pool, resume=True, **settings)
    assert done.store.complete
    assert content(parts) == content(whole)
    assert fit_many(folder, parts, resume=True, **settings).stats["fitted"] == 7
    (folder / "p9.png").write_bytes((folder / "p0.png").read_bytes())
    with pytest.raises(InputError, match="other signals"):
        fit_many(folder, parts, resume=True, **settings)


def test_a_file_that_vanishes_after_the_start_is_listed(folder, tmp_path):
    class Deleting:
        def map(self, function, work, /):
            (folder / "p1.png").unlink()
            return map(function, work)

    result = fit_many(folder, tmp_path / "s.zarr", target_db=25.0, executor=Deleting())
    assert (result.stats["fitted"], result.stats["missing"]) == (6, 4)
    assert np.isnan(result.store._root["g000/weights"][2]).all()


def test_a_store_is_zarr_that_others_read(tmp_path):
    zarr = pytest.importorskip("zarr")
    fit_many(waves(3), tmp_path / "s.zarr", target_db=25.0, threads=1, shard=2)
    group = zarr.open_group(tmp_path / "s.zarr" / "g000", mode="r")
    assert group["weights"].shape == (3, parameters_of(2, 3, choose_width(300, 2, 3, 2), 2))
    assert group["psnr_db"].metadata.dimension_names == ("signal",)
    assert (group["psnr_db"][:] >= 25.0).all()
    lines = [json.loads(line) for line in (tmp_path / "s.zarr" / "manifest.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["0", "1", "2"]


def test_steps_of_a_variable_start_from_the_step_before(tmp_path):
    xarray = pytest.importorskip("xarray")
    t, y, x = np.arange(6.0), np.linspace(0, 1, 9), np.linspace(0, 2, 11)
    drifting = np.sin(3 * x[None, None] + y[None, :, None] + 0.02 * t[:, None, None]) + 0.01 * t[:, None, None]
    drifting[:, 0, 0] = np.nan
    dataset = xarray.Dataset({"u": (("time", "y", "x"), drifting)}, {"time": t, "y": y, "x": x})
    dataset.to_netcdf(tmp_path / "u.nc")
    cold = fit_many(tmp_path / "u.nc", tmp_path / "cold.zarr", target_db=40.0, threads=1)
    warm = fit_many(tmp_path / "u.nc", tmp_path / "warm.zarr", target_db=40.0, threads=2, warm=True)
    assert [item.name for item in items_of(tmp_path / "u.nc")] == [f"time={k}" for k in range(6)] == list(warm.store)
    assert warm.stats["least_psnr_db"] >= 40.0
    steps = {
        name: [line["steps"] for line in result.store.lines()] for name, result in (("cold", cold), ("warm", warm))
    }
    assert steps["warm"][0] == steps["cold"][0]
    assert 3 * sum(steps["warm"][1:]) < sum(steps["cold"][1:])
    grid = RegularGrid.through({"y": y, "x": x})
    found = warm.store["time=5"].on_grid(grid)[..., 0]
    there = ~np.isnan(drifting[5])
    assert np.abs(found - drifting[5])[there].max() < 0.1


def test_plan_says_what_the_store_takes(folder, tmp_path):
    planned = plan_many(folder, target_db=28.0, threads=1)
    result = fit_many(folder, tmp_path / "s.zarr", target_db=28.0, threads=1)
    assert (planned["signals"], planned["missing"], planned["shapes"]) == (10, 3, 2)
    stored = sum(weights.numel() for name in result.store for weights in result.store[name].parameters())
    assert stored * 4 < planned["bytes"] < 2 * sum(map(len, content(tmp_path / "s.zarr").values()))


@pytest.mark.parametrize("source", [np.zeros(3), Path("nothing"), []], ids=["a line", "no folder", "no files"])
def test_what_is_no_set_of_signals_is_refused(source, tmp_path):
    with pytest.raises(InputError):
        fit_many(source, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_store_and_renders_a_field_of_it(ungrid_command, folder, tmp_path):
    done = ungrid_command("fit", folder, "-o", tmp_path / "s.zarr", "--target", "28", "--json", "--threads", "1")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["metrics"]["fitted"] == 7
    assert "notes.md" in done.stderr
    again = ungrid_command("render", tmp_path / "s.zarr" / "p0.png", "-o", tmp_path / "p.png", "--size", "20x20")
    assert again.exit_code == 0, again.stderr
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (20, 20)
    assert ungrid_command("fit", folder, "-o", tmp_path / "t.zarr", "--budget", "3").exit_code == 2
    assert ungrid_command("fit", folder, "-o", tmp_path / "t.zarr", "--plan").exit_code == 0
    assert not (tmp_path / "t.zarr").exists()


@pytest.fixture
def ungrid_command():
    from typer.testing import CliRunner

    from ungrid.cli.app import app

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


class Suicidal:
    """Wraps a piece of work so that the first worker that takes it dies on the spot."""

    def __init__(self, function, mark: Path) -> None:
        self.function, self.mark = function, mark

    def __call__(self, piece):
        if piece.first == 2 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.function(piece)


def test_dask_gives_the_same_store_and_a_killed_worker_loses_nothing(folder, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` (Dask) is not installed")
    importlib.import_module("cloudpickle").register_pickle_by_value(sys.modules[__name__])
    settings = {"target_db": 28.0, "shard": 2}
    fit_many(folder, tmp_path / "here.zarr", threads=1, **settings)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:

        class Killing:
            def map(self, function, work, /):
                return client.map(Suicidal(function, tmp_path / "killed"), work, retries=2)

        fit_many(folder, tmp_path / "there.zarr", executor=Killing(), **settings)
    assert (tmp_path / "killed").exists()
    assert content(tmp_path / "there.zarr") == content(tmp_path / "here.zarr")
