"""What fitting many signals would take, without fitting them: a few are fitted on trial.

Convention: MB are 10^6 bytes, beside what Python and torch themselves take. Seconds are of the fits alone.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ungrid._base.devices import set_threads
from ungrid._base.errors import InputError
from ungrid._base.memory import peak_memory
from ungrid.sampling import GridSamples
from ungrid.signals.many.batch import bytes_per_thread
from ungrid.signals.many.fit import SHARD, TARGET_DB, Settings, compile_kernel, fit_samples, grouped
from ungrid.signals.many.networks import network_for
from ungrid.signals.many.sources import Item, Many, Shape, items_of

TRIED = 6  # signals of a group, spread over it
COPIES = 3  # of a shard's samples: as read, normalised, stacked


def plan_many(
    source: Many,
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
) -> dict[str, Any]:
    """What `fit_many` would do with these arguments.

    Returns:
        signals, missing, shapes, parameters (of one field), bytes (of the store), seconds and memory_mb.

    Raises:
        InputError: if nothing can be fitted.
    """
    count = set_threads(threads)
    settings = Settings(target_db=target_db, width=width, depth=depth, seed=seed, chained=warm, steps=steps)
    items = items_of(source, variable=variable, select=select)
    groups, missing = grouped(items)
    if not groups:
        raise InputError(f"{len(items)} signals of which none can be read", "at least one")
    compile_kernel()
    parts = [_group(shape, of_shape, settings, count, shard) for shape, of_shape in groups.items()]
    return {
        "signals": len(items),
        "missing": len(missing),
        "shapes": len(groups),
        "parameters": max(part["parameters"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        "seconds": round(sum(part["seconds"] for part in parts), 2),
        "memory_mb": round((peak_memory() + max(part["memory"] for part in parts)) / 1e6, 1),
    }


def _group(shape: Shape, items: list[Item], settings: Settings, threads: int, shard: int) -> dict[str, Any]:
    """Parameters, bytes, seconds and bytes of memory of one group, by a trial."""
    network = network_for(shape, width=settings.width, depth=settings.depth, seed=settings.seed)
    parameters = sum(weight.numel() for weight in network.parameters())
    side_by_side = min(threads, -(-len(items) // shard)) if settings.chained else min(threads, len(items))
    at_work = min(shard, len(items)) * (side_by_side if settings.chained else 1)
    samples = at_work * shape.grid.size * len(shape.out_names) * 4 * COPIES
    return {
        "parameters": parameters,
        "bytes": len(items) * (4 * parameters + 16 * len(shape.out_names) + 12 + 200),
        "seconds": _trial_seconds(shape, items, settings) * len(items) / side_by_side,
        "memory": samples + at_work * 4 * parameters + side_by_side * bytes_per_thread(network, shape.grid.size),
    }


def _trial_seconds(shape: Shape, items: list[Item], settings: Settings) -> float:
    """Seconds of reading and fitting one signal on one thread; of a chain its later links."""
    if settings.chained:
        chosen = items[:TRIED]
    else:
        chosen = [items[k] for k in np.unique(np.linspace(0, len(items) - 1, TRIED).astype(int))]
    began = time.perf_counter()
    signals: list[GridSamples] = [item.reader() for item in chosen]
    reading = time.perf_counter() - began
    began = time.perf_counter()
    fit_samples(signals, shape, settings, 1)
    fitting = time.perf_counter() - began
    if settings.chained and len(signals) > 2:
        began = time.perf_counter()
        fit_samples(signals[:2], shape, settings, 1)
        fitting = max(0.0, fitting - (time.perf_counter() - began)) * len(signals) / (len(signals) - 2)
    return (reading + fitting) / len(signals)
