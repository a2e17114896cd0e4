"""Fitting many signals into one store: `fit_many(source, "STORE.zarr")`.

Convention: a shard is a number of consecutive signals of one shape. It is read, fitted and written by one call of
`fit_shard`, here or in another process, and its bytes depend on nothing but its signals and the settings. So it does not
matter who fits which shard, and a shard whose worker died is simply fitted again.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ungrid._base.devices import set_threads
from ungrid._base.errors import InputError
from ungrid._base.interrupts import Interrupts
from ungrid.io.field_store import FieldStore, Group, Rows, check_store_name, create_store
from ungrid.kernels.blas import single_threaded_blas
from ungrid.networks import Siren
from ungrid.sampling import GridSamples
from ungrid.signals.many.batch import Schedule, Trained, fit_batch
from ungrid.signals.many.networks import field_of, network_for, normalised, unit_points
from ungrid.signals.many.sources import Item, Many, Shape, items_of, shape_of
from ungrid.solvers import Outcome

TARGET_DB = 35.0
SHARD = 64
READING = threading.Lock()  # NetCDF's library is not made for threads
Report = Callable[[dict[str, float]], None]


@runtime_checkable
class Executor(Protocol):
    """Anything that can map a function over work: an executor of `concurrent.futures`, a pool, a Dask client."""

    def map(self, function: Callable[[Any], Any], work: Any, /) -> Iterable[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How every signal is fitted; a store remembers them.

    Attributes:
        target_db: PSNR at which a signal is done.
        width, depth: of the sine layers; a width of None is chosen by the size of the signals.
        seed: of the weights that all networks start from.
        chained: each signal starts from the one before it, within a shard.
        steps: at most, for a signal.
    """

    target_db: float = TARGET_DB
    width: int | None = None
    depth: int = 2
    seed: int = 0
    chained: bool = False
    steps: int = 500

    @property
    def schedule(self) -> Schedule:
        """Of a fit from the common weights."""
        return Schedule(steps=self.steps)

    @property
    def following(self) -> Schedule:
        """Of a fit from the signal before: short steps, so as not to throw away what is there, and a short memory."""
        return Schedule(steps=self.steps, lr=1e-3, betas=(0.8, 0.95))


@dataclass(frozen=True)
class Shard:
    """One piece of work: rows of a group of a store."""

    store: Path
    group: int
    first: int
    items: tuple[Item, ...]
    shape: Shape
    settings: Settings
    threads: int


@dataclass(frozen=True)
class ManyResult:
    """A store, why fitting stopped, and figures: signals, fitted, missing, seconds, setup_seconds, steps, psnr_db."""

    store: FieldStore
    outcome: Outcome
    stats: dict[str, Any]


def fit_many(
    source: Many,
    store: str | Path,
    *,
    target_db: float = TARGET_DB,
    steps: int = 500,
    width: int | None = None,
    depth: int = 2,
    warm: bool = False,
    seed: int = 0,
    threads: int | None = None,
    shard: int = SHARD,
    variable: str | None = None,
    select: Mapping[str, int] | None = None,
    executor: Executor | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> ManyResult:
    """Fit a network to every signal of a source, all networks of one shape together, into one store.

    Args:
        source: a folder of pictures or sounds, a NetCDF file (a field for each step of the variable's first dimension), an
            array or .npy file (for each row), or a list of files.
        store: where to; ends in ``.zarr``.
        target_db: a signal is done at this PSNR, relative to its peak (1 of pictures, 2 of sounds, else its range).
        steps: at most, for a signal.
        width: of the networks; None chooses it by the size of the signals.
        depth: of the networks.
        warm: start each signal from the one before it (steps of time), not all from the same weights.
        seed: of the weights at the start.
        threads: of this process, or with an executor of every task (then None is 1).
        shard: signals of a piece of work; with `warm` the length of a chain.
        variable: of a NetCDF file.
        select: dimensions of the variable to leave out.
        executor: an object with ``map``, to fit shards elsewhere; every process must see the same files.
        resume: go on with a store that is not complete.
        report: called after every shard with `done`, `signals`, `seconds`, `psnr_db` of its signals.

    Returns:
        The store, and figures. Signals that could not be read are in the store's manifest, with the reason.

    Raises:
        InputError: if nothing can be fitted, or the store belongs to other signals or settings.
    """
    began = time.perf_counter()
    check_store_name(Path(store))
    count = set_threads(threads)
    settings = Settings(target_db=target_db, width=width, depth=depth, seed=seed, chained=warm, steps=steps)
    items = items_of(source, variable=variable, select=select)
    target, shapes = _opened(Path(store), items, settings, shard, resume)
    each = count if executor is None else threads or 1
    work = list(_work(target, items, shapes, settings, each))
    compile_kernel()
    setup = time.perf_counter() - began
    with contextlib.nullcontext() if executor is not None or not warm else ThreadPoolExecutor(count) as chains:
        outcome = _run(work, executor or chains, report)  # a chain has one thread, so several go side by side
    seconds = time.perf_counter() - began - setup
    if not target.missing_shards():
        target.finish()
    return ManyResult(target, outcome, {**figures(target), "seconds": seconds, "setup_seconds": setup})


def grouped(items: list[Item]) -> tuple[dict[Shape, list[Item]], dict[str, str]]:
    """The items by their shape, in the order of their first item, and the reasons why the others cannot be read."""
    groups: dict[Shape, list[Item]] = {}
    missing: dict[str, str] = {}
    for item in items:
        shape = shape_of(item)
        if isinstance(shape, str):
            missing[item.name] = shape
        else:
            groups.setdefault(shape, []).append(item)
    return groups, missing


def _opened(
    path: Path, items: list[Item], settings: Settings, shard: int, resume: bool
) -> tuple[FieldStore, list[Shape]]:
    """The store, new or gone on with, and the shapes of its groups."""
    groups, missing = grouped(items)
    if not (resume and path.exists()):
        if not groups:
            why = next(iter(missing.values()), "there is none")
            raise InputError(f"{len(items)} signals of which none can be read ({why})", "at least one")
        described = [
            Group(field_of(_network(shape, settings), shape), tuple(item.name for item in of_shape))
            for shape, of_shape in groups.items()
        ]
        return create_store(path, described, missing, shard=shard, settings=asdict(settings)), list(groups)
    found = FieldStore(path)
    if found.settings != asdict(settings):
        raise InputError(f"{path} with the settings {found.settings}", f"{asdict(settings)}", "resume with the same")
    if {line["name"] for line in found.lines()} != {item.name for item in items}:
        raise InputError(f"{path} of other signals", "the signals that it was begun with", "make a new store")
    names = found.names_by_group()
    by_name = {item.name: shape for shape, of_shape in groups.items() for item in of_shape}
    shapes = [next((by_name[name] for name in of_group if name in by_name), None) for of_group in names]
    if None in shapes and not found.complete:
        raise InputError(f"{path} of signals that cannot be read any more", "their files")
    return found, [shape for shape in shapes if shape is not None]


def _network(shape: Shape, settings: Settings) -> Siren:
    return network_for(shape, width=settings.width, depth=settings.depth, seed=settings.seed)


def _work(
    store: FieldStore, items: list[Item], shapes: list[Shape], settings: Settings, threads: int
) -> Iterator[Shard]:
    by_name, names = {item.name: item for item in items}, store.names_by_group()
    for group, first in store.missing_shards():
        chosen = tuple(by_name[name] for name in names[group][first : first + store.shard])
        yield Shard(store.path, group, first, chosen, shapes[group], settings, threads)


def _run(work: list[Shard], executor: Executor | None, report: Report | None) -> Outcome:
    began, done = time.perf_counter(), 0
    total = sum(len(shard.items) for shard in work)
    found: Iterable[Any] = map(fit_shard, work) if executor is None else executor.map(fit_shard, work)
    try:
        with Interrupts() as interrupts, single_threaded_blas():
            for part in found:
                count, psnr_db = part.result() if hasattr(part, "result") else part  # Dask maps to futures
                done += count
                if report is not None:
                    seconds = time.perf_counter() - began
                    report({"done": done, "signals": total, "seconds": seconds, "psnr_db": psnr_db})
                interrupts.check()
    except KeyboardInterrupt:
        return Outcome.interrupted
    return Outcome.converged


def compile_kernel() -> None:
    """Run one tiny batch, so that compilation counts as set-up."""
    network = Siren(1, 1, width=4, depth=2)
    x = np.linspace(-1, 1, 4, dtype=np.float32)[:, None]
    fit_batch(network, x, np.zeros((1, 4, 1), dtype=np.float32), np.zeros(1), Schedule(steps=1))


def fit_shard(shard: Shard) -> tuple[int, float]:
    """Read, fit and write one shard.

    Returns:
        How many signals it has, and the mean PSNR in dB of those that were fitted (NaN if none was).
    """
    read = [_read(item, shard.shape) for item in shard.items]
    there = [k for k, samples in enumerate(read) if isinstance(samples, GridSamples)]
    rows = _empty_rows(shard, read)
    if there:
        kept = [samples for samples in read if isinstance(samples, GridSamples)]
        trained, scales, offsets = fit_samples(kept, shard.shape, shard.settings, shard.threads)
        _fill(rows, there, kept, trained, scales, offsets, shard.settings)
    FieldStore(shard.store).write(shard.group, shard.first, rows)
    return len(shard.items), float(rows.psnr_db[there].mean()) if there else float("nan")


def fit_samples(
    signals: list[GridSamples], shape: Shape, settings: Settings, threads: int
) -> tuple[Trained, np.ndarray, np.ndarray]:
    """Fit signals of one shape: what was trained, scales (n,) and offsets (n, c)."""
    network = _network(shape, settings)
    targets, offsets, scales = zip(*(normalised(samples) for samples in signals), strict=True)
    scale = np.array(scales)
    goals = np.array([goal(settings.target_db, samples.peak) for samples in signals]) / scale**2
    x, wanted = unit_points(shape), np.stack(targets)
    if not settings.chained:
        trained = fit_batch(network, x, wanted, goals, settings.schedule, threads=threads)
        return trained, scale, np.stack(offsets)
    head = fit_batch(network, x, wanted[:1], goals[:1], settings.schedule)
    rest = fit_batch(network, x, wanted[1:], goals[1:], settings.following, start=head.weights[0], chained=True)
    joined = (np.concatenate([getattr(head, name), getattr(rest, name)]) for name in ("weights", "errors", "steps"))
    return Trained(*joined), scale, np.stack(offsets)


def goal(target_db: float, peak: float) -> float:
    """The mean squared error that a PSNR means."""
    return float(peak**2 * 10 ** (-target_db / 10))


def _read(item: Item, shape: Shape) -> GridSamples | str:
    try:
        with READING:
            samples = item.reader()
    except (InputError, OSError) as error:
        return str(error)
    if Shape(samples.grid, samples.out_names, samples.kind) != shape:
        return f"{item.name} has changed: its samples are on another grid now"
    return samples


def _empty_rows(shard: Shard, read: list[GridSamples | str]) -> Rows:
    n, c = len(read), len(shard.shape.out_names)
    parameters = sum(weight.numel() for weight in _network(shard.shape, shard.settings).parameters())
    lines: list[dict[str, Any]] = [
        {"name": item.name, **({"error": found} if isinstance(found, str) else {})}
        for item, found in zip(shard.items, read, strict=True)
    ]
    return Rows(
        np.full((n, parameters), np.nan, dtype=np.float32), np.full((n, c), np.nan), np.full((n, c), np.nan),
        np.full(n, np.nan), np.zeros(n, dtype=np.int32), lines,
    )  # fmt: skip


def _fill(
    rows: Rows, there: list[int], signals: list[GridSamples], trained: Trained, scales: np.ndarray, offsets: np.ndarray,
    settings: Settings,
) -> None:  # fmt: skip
    for k, (row, samples) in enumerate(zip(there, signals, strict=True)):
        if not np.isfinite(trained.errors[k]):
            rows.lines[row]["error"] = "the training diverged"
            continue
        error = max(float(trained.errors[k]) * scales[k] ** 2, 1e-30)
        rows.weights[row], rows.value_scale[row], rows.value_offset[row] = trained.weights[k], scales[k], offsets[k]
        rows.psnr_db[row] = 10 * np.log10(samples.peak**2 / error)
        rows.steps[row] = trained.steps[k]
        reached = bool(rows.psnr_db[row] >= settings.target_db - 1e-9)
        metadata = {**samples.metadata, "kind": samples.kind, "peak": samples.peak, "shape": list(samples.grid.shape)}
        rows.lines[row] |= {
            "outcome": "converged" if reached else "steps", "psnr_db": float(rows.psnr_db[row]),
            "steps": int(rows.steps[row]), "metadata": metadata,
        }  # fmt: skip


def figures(store: FieldStore) -> dict[str, Any]:
    """Counts, steps and PSNRs of a store."""
    lines = store.lines()
    fitted = [line for line in lines if "outcome" in line]
    psnr, steps = [line["psnr_db"] for line in fitted], [line["steps"] for line in fitted]
    return {
        "signals": len(lines),
        "fitted": len(fitted),
        "converged": sum(line["outcome"] == "converged" for line in fitted),
        "missing": sum("error" in line for line in lines),
        "steps": int(sum(steps)),
        "psnr_db": float(np.mean(psnr)) if psnr else float("nan"),
        "least_psnr_db": float(min(psnr)) if psnr else float("nan"),
    }
