"""Fitting one signal: `fit(source)` reads it, chooses the method, and hands it to the room's specialists."""

import copy
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from ungrid._base.devices import choose_device, set_threads
from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid, TriangleMesh
from ungrid.fields import Field, NeuralField
from ungrid.io.arrays import from_array
from ungrid.io.source import read
from ungrid.sampling import GridSamples, PointSamples
from ungrid.signals.bandwidth import Bandwidth, choose_bandwidth
from ungrid.signals.between import fills_gaps, fit_between
from ungrid.signals.gridded import Objective, fit_gridded, is_bounded, split_grid
from ungrid.signals.methods import METHODS, Recipe, neural_field, recipe
from ungrid.signals.options import Options, Report
from ungrid.signals.points import equivalent_grid, fit_points, split_points
from ungrid.signals.scattered import fit_scattered
from ungrid.signals.shapes import distance_grid, fit_distances, fit_shape, shape_grid
from ungrid.solvers import FitResult, Limits

Source = str | Path | np.ndarray | GridSamples | PointSamples | TriangleMesh


def fit(
    source: Source,
    method: str = "auto",
    *,
    budget: float = 10.0,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    holdout: float | str | None = None,
    supervise: str = "values",
    target: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    total_variation: float = 0.0,
    eikonal: float = 0.0,
    normals: float = 0.0,
    harmonic: bool = False,
    init: Field | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> FitResult:
    """Fit a field to the samples of one signal.

    Args:
        source: a file, an array, or samples as the readers of ``ungrid.io`` give them.
        method: "auto", "grid", "siren", "fourier", "positional" or "relu".
        budget: seconds of optimisation.
        steps: a number of steps instead; equal steps, seed and threads give the same bits.
        seed: of every random draw.
        device: "auto", "cpu", "cuda", "mps".
        threads: of the CPU; None takes all cores.
        holdout: samples kept out of the fit, to measure on: a fraction of them, or "even" (fit to every other sample of each
            axis only); of scattered samples "groups" or "random"; None fits to all.
        supervise: "values", or of a grid the samples' differences alone: "gradient" (steps to the next sample), "central"
            (central differences), "laplacian" (Sitzmann et al. 2020, 4.1);
            "distance" says that scattered values are signed distances to a surface, negative inside.
        target: differences to fit to instead of the samples' own, per sample: (*shape, d, c) gradients, for example
            `ungrid.signals.mixed_gradient` of two pictures, or (*shape, c) Laplacians.
        weights: of the samples, in the shape of the grid.
        total_variation: weight of the mean absolute difference between neighbours (Rudin, Osher and Fatemi 1992), in the
            signal's normalised values; 0 leaves it out.
        eikonal: of distances, the weight of the mean of ``(|grad u| - 1)^2`` over the box (Gropp et al. 2020), next to the mean
            squared error of the distances in quarters of the shape's length. It helps where samples are few (0.001) or
            noisy (0.1 at noise of a tenth of their standard deviation); where exact samples are plenty, as a mesh gives
            them, it only costs time.
        normals: of meshes, the weight of the mean squared error of the gradient at the samples near the surface.
        harmonic: of scattered samples in three coordinates: ask for a solution of Laplace's equation.
        init: a field of the same method to start from, for example of the frame before.
        checkpoint: a folder for checkpoints; delete it (`ungrid.solvers.remove_checkpoint`) when the field is saved.
        resume: go on from the checkpoint.
        report: called with each row of the history.

    Returns:
        The field, why the fit stopped, the history, and in ``stats`` the method, seconds, parameters and metrics. For
        "fourier" and "siren" also the bandwidth, chosen on held-out samples, with every candidate's error; the seconds
        that takes are within ``seconds`` and on top of the budget.

    Raises:
        InputError: if the source or an argument cannot be used.
    """
    began = time.perf_counter()
    set_threads(threads)
    folder = None if checkpoint is None else Path(checkpoint)
    options = Options(
        limits=Limits(budget=budget, steps=steps), seed=seed, device=choose_device(device), checkpoint=folder,
        resume=resume, report=report,
    )  # fmt: skip
    samples = load_samples(source)
    objective = Objective(supervise, weights, total_variation, target, eikonal, normals)
    check_applies(samples, method, objective, harmonic)
    name = choose_method(method)
    chosen: Bandwidth | None = None
    if isinstance(samples, GridSamples):
        given, hidden = split_grid(samples, holdout, seed)
        if hidden is not None and objective.plain and fills_gaps(method, holdout, given):
            setup = time.perf_counter() - began
            result = fit_between(given, hidden, options)
            result.stats.update(setup_seconds=setup, method=f"{result.stats['between']} spline")
            return result
        chosen = choose_bandwidth(name, given, seed=seed) if init is None else None
        width = None if chosen is None else chosen.value
        bounded = objective.supervise == "values" and is_bounded(given)
        planned = recipe(name, given.grid, len(given.out_names), seed=seed, bandwidth=width, bounded=bounded)
        parts = started_from(init, planned)
        compile_kernels(parts, given.grid, given.out_names)
        setup = time.perf_counter() - began
        result = fit_gridded(given, hidden, parts, objective, options)
    elif isinstance(samples, TriangleMesh):
        grid = shape_grid(samples)
        parts = started_from(init, recipe(name, grid, 1, seed=seed))
        compile_kernels(parts, grid, ("distance",))
        setup = time.perf_counter() - began
        result = fit_shape(samples, parts, grid, objective, options, holdout)
    elif supervise == "distance":
        given_points, hidden_points = split_points(samples, holdout, seed)
        grid = distance_grid(given_points)
        parts = started_from(init, recipe(name, grid, 1, seed=seed))
        compile_kernels(parts, grid, samples.out_names)
        setup = time.perf_counter() - began
        result = fit_distances(given_points, hidden_points, parts, grid, objective, options)
    elif method == "auto":
        setup, name = time.perf_counter() - began, "spline"
        result = _fit_scattered(samples, holdout, options, harmonic)
    else:
        given_points, hidden_points = split_points(samples, holdout, seed)
        grid = equivalent_grid(given_points)
        chosen = choose_bandwidth(name, given_points, seed=seed) if init is None else None
        width = None if chosen is None else chosen.value
        parts = started_from(init, recipe(name, grid, len(samples.out_names), seed=seed, bandwidth=width))
        compile_kernels(parts, grid, samples.out_names)
        setup = time.perf_counter() - began
        result = fit_points(given_points, hidden_points, parts, options)
    if chosen is not None:  # a scan of the values is part of the fit
        setup -= chosen.seconds
        result.stats["seconds"] += chosen.seconds
        result.stats["bandwidth"] = asdict(chosen)
    result.stats.update(setup_seconds=setup, method=name)
    return result


def _fit_scattered(samples: PointSamples, holdout: float | str | None, options: Options, harmonic: bool) -> FitResult:
    """The closed form; the budget is for choosing its settings, the steps are trials of them."""
    if holdout not in (None, "groups", "random"):
        raise InputError(f"a hold-out of {holdout!r} of scattered samples", '"groups" or "random"')
    kind = cast(Literal["auto", "random", "groups"], "auto" if holdout is None else holdout)
    return fit_scattered(
        samples, holdout=kind, seed=options.seed, budget=options.limits.budget, steps=options.limits.steps,
        harmonic=harmonic, checkpoint=options.checkpoint, resume=options.resume, report=options.report,
    )  # fmt: skip


def load_samples(source: Source) -> GridSamples | PointSamples | TriangleMesh:
    """The samples of a source: read, wrapped, or as they are.

    Raises:
        InputError: if it cannot be read, or samples on a grid are infinite.
    """
    found = read(source) if isinstance(source, str | Path) else source
    samples = from_array(found) if isinstance(found, np.ndarray) else found
    if isinstance(samples, GridSamples) and (count := int(np.isinf(samples.values).sum())):
        raise InputError(f"{count} infinite samples", "finite ones", "NaN marks samples that are missing")
    return samples


def choose_method(method: str) -> str:
    """The method to use.

    Raises:
        InputError: if there is no such method.
    """
    if method not in ("auto", *METHODS):
        raise InputError(f"the method {method!r}", f"one of auto, {', '.join(METHODS)}")
    return "grid" if method == "auto" else method


def started_from(init: Field | None, parts: Recipe) -> Recipe:
    """The recipe with the encoding and the network of `init`, copied.

    Raises:
        InputError: if `init` is not a field of this method over as many axes with as many values.
    """
    if init is None:
        return parts
    if not isinstance(init, NeuralField) or _kind(init.encoding, init.network) != _kind(parts.encoding, parts.network):
        raise InputError(
            f"a start from a {type(init).__name__}", f"a field of the method {parts.method!r} of this size"
        )
    return replace(parts, encoding=copy.deepcopy(init.encoding), network=copy.deepcopy(init.network))


def _kind(encoding: nn.Module, network: nn.Module) -> tuple[object, ...]:
    output = getattr(network, "output", "linear")
    return type(encoding), type(network), encoding.dim, network.out_features, output


def compile_kernels(parts: Recipe, grid: RegularGrid, out_names: tuple[str, ...]) -> None:
    """Run one tiny step, so that compilation counts as set-up."""
    field = neural_field(parts, grid, out_names)
    points = torch.as_tensor(grid.box.low)[None].repeat(2, 1)
    loss = field.divergence if parts.logistic else field.square_error
    loss(points, torch.zeros(2, len(out_names)))
    with torch.no_grad():
        field(points)


def check_applies(
    samples: GridSamples | PointSamples | TriangleMesh, method: str, objective: Objective, harmonic: bool
) -> None:
    """Refuse what a fit to samples of this kind would leave out without a word.

    Raises:
        InputError: an objective that samples of this kind do not have; `harmonic` beside the closed form.
    """
    if harmonic and not (isinstance(samples, PointSamples) and method == "auto"):
        raise InputError("a harmonic field", "scattered samples and the method 'auto'")
    gridded, mesh = isinstance(samples, GridSamples), isinstance(samples, TriangleMesh)
    if (objective.differences or objective.weights is not None or objective.total_variation) and not gridded:
        raise InputError("supervision by differences, weights or total variation", "samples on a grid")
    distances = objective.supervise == "distance"
    if distances and not (isinstance(samples, PointSamples) and len(samples.out_names) == 1):
        raise InputError('supervision by "distance"', "scattered samples of one value", "a mesh needs no such word")
    if objective.eikonal and not (mesh or distances):
        raise InputError("an eikonal term", 'a mesh, or scattered samples with supervise="distance"')
    if objective.normals and not mesh:
        raise InputError("a term of normals", "a mesh")
