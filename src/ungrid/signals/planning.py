"""What a fit would take: numbers, seconds and memory, without fitting.

Convention: MB are 10^6 bytes of the whole process, of which this one, with all that a fit loads, is a measure. Seconds are of
the optimisation alone.
"""

import math
import time
from typing import Any

import torch

from ungrid._base.devices import choose_device, set_threads
from ungrid._base.memory import peak_memory
from ungrid.domains import RegularGrid, TriangleMesh
from ungrid.encodings.grid import PAD
from ungrid.objectives import Term
from ungrid.sampling import GridBatches, GridSamples, PointSamples
from ungrid.signals.bandwidth import Bandwidth, choose_bandwidth
from ungrid.signals.between import fills_gaps, learned
from ungrid.signals.fit import Source, choose_method, compile_kernels, load_samples
from ungrid.signals.gridded import SCORED_BATCHES, split_grid
from ungrid.signals.measurements import FOLDS, measurements
from ungrid.signals.methods import Recipe, neural_field, recipe
from ungrid.signals.points import equivalent_grid, split_points
from ungrid.signals.shapes import pool, shape_grid
from ungrid.signals.spline_cost import FEW, Work, machine_speed
from ungrid.signals.spline_posterior import node_count
from ungrid.solvers import Limits
from ungrid.solvers.loop import REPORTED_SHARE

PROBE_SECONDS = 0.3
PASSES = 3  # through the field in a step, for one in a report: there, back by the values, back by the weights
CORNER = 96  # samples on a side of what is tried of a picture
COPIES = 8  # of the weights: gradients, moments, the best field, the file
BYTES_PER_SAMPLE = 12
BYTES_PER_NODE = 10_000  # of the closed form: factor, bands of every fold, draws


def plan(
    source: Source,
    method: str = "auto",
    *,
    budget: float = 10.0,
    steps: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    holdout: float | str | None = None,
) -> dict[str, Any]:
    """What `fit` would do with these arguments.

    Returns:
        method, samples (values that it is fitted to), parameters, bytes (of the file), seconds and memory_mb. Seconds: the
        budget, or for a number of steps those steps and their reports at the speed of the few that are tried for 0.3 s; and
        the choice of a bandwidth. The closed form of scattered samples takes the budget for its search and adds the table and
        the fits by a model of their cost, at the speed of a small factorisation that is tried.

    Raises:
        InputError: if the source or an argument cannot be used.
    """
    set_threads(threads)
    samples, limits, name = load_samples(source), Limits(budget=budget, steps=steps), choose_method(method)
    if isinstance(samples, PointSamples) and method == "auto":
        return _closed_form(samples, limits)
    out_names: tuple[str, ...] = ("distance",)
    chosen: Bandwidth | None = None
    if isinstance(samples, TriangleMesh):
        grid, count = shape_grid(samples), pool(limits)
    elif isinstance(samples, PointSamples):
        given = split_points(samples, holdout, 0)[0]
        grid, out_names, count = equivalent_grid(given), given.out_names, given.values.size
        chosen = choose_bandwidth(name, given, seed=0)
    else:
        kept = split_grid(samples, holdout, 0)[0]
        if fills_gaps(method, holdout, kept):
            return _between(kept)
        grid, out_names, count = kept.grid, kept.out_names, kept.values.size - kept.missing * len(kept.out_names)
        chosen = choose_bandwidth(name, kept, seed=0)
    parts = recipe(name, grid, len(out_names), seed=0, bandwidth=None if chosen is None else chosen.value)
    parameters = sum(p.numel() for part in (parts.encoding, parts.network) for p in part.parameters())
    seconds = limits.budget
    if limits.steps is not None:
        scored = SCORED_BATCHES * min(1 / REPORTED_SHARE, limits.steps) / PASSES  # of reports, in steps
        seconds = (limits.steps + scored) * step_seconds(parts, grid, out_names, choose_device(device))
    if chosen is not None:
        seconds += chosen.seconds
    return _rows(name, count, parameters, seconds, count * BYTES_PER_SAMPLE + parameters * 4 * COPIES)


def _between(given: GridSamples) -> dict[str, Any]:
    """A lattice twice as fine; the seconds are those of a corner of the picture, and of choosing on a quarter of it."""
    height, width = given.grid.shape
    parameters = math.prod(2 * n + 1 + 2 * PAD for n in given.grid.shape) * len(given.out_names)
    corner = given.values[:CORNER, :CORNER]
    began = time.perf_counter()
    learned(corner)
    seconds = (time.perf_counter() - began) * 1.25 * height * width / math.prod(corner.shape[:2])
    return _rows("spline between the samples", given.values.size, parameters, seconds, parameters * 4 * COPIES)


def step_seconds(parts: Recipe, grid: RegularGrid, out_names: tuple[str, ...], device: torch.device) -> float:
    """Seconds of one step of a recipe: the fastest of those tried, on values that are all zero; its weights change."""
    compile_kernels(parts, grid, out_names)
    field = neural_field(parts, grid, out_names).to(device)
    values = torch.zeros(1, device=device).expand(*grid.shape, len(out_names))
    terms = [Term(points=GridBatches(grid, values, size=parts.batch))]
    state, fastest, began = parts.solver.init(field, terms), math.inf, time.perf_counter()
    while state.step < 2 or time.perf_counter() - began < PROBE_SECONDS:
        start = time.perf_counter()
        state = parts.solver.step(field, terms, state)  # its loss is read, so the device has finished
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


def _closed_form(samples: PointSamples, limits: Limits) -> dict[str, Any]:
    data = measurements(samples)
    nodes = node_count(data)
    searches = FOLDS + 1 if len(data) < FEW else 1
    work = Work.expected(data, limits.budget / searches, limits.steps, machine_speed())
    parameters = nodes * len(samples.out_names)
    return _rows("spline", samples.values.size, parameters, work.total, nodes * BYTES_PER_NODE + len(data) * 100)


def _rows(method: str, samples: int, parameters: int, seconds: float, memory: float) -> dict[str, Any]:
    return {
        "method": method,
        "samples": samples,
        "parameters": parameters,
        "bytes": 4 * parameters,
        "seconds": round(seconds, 2),
        "memory_mb": round((peak_memory() + memory) / 1e6, 1),
    }
