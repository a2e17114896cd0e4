"""Scattered measurements to a field with calibrated intervals, in closed form.

The field is a cubic spline on a lattice with a Gaussian prior (`ungrid.solvers.least_squares`). What is chosen, by its
error on held-out groups of the training samples: the prior's weight, tension and decay, how far the lattice is
stretched along the directions in which the field is smooth, and how much of the given standard errors is believed
(`ungrid.signals.spline_search`). Intervals: `ungrid.signals.conformal`.

The work is a sequence of stages (a trial of the search, the calibration on a fold, a row of the table), each a function
of the samples, the options and the stages before; a `Journal` keeps their results in a checkpoint.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import SplineField
from ungrid.kernels.blas import single_threaded_blas
from ungrid.reference.interpolation import Interpolation
from ungrid.sampling import PointSamples
from ungrid.signals.comparison import (
    CLASSICAL,
    MOST_TESTED,
    conformal_half_width,
    given_to,
    summary,
    values_and_half_widths,
)
from ungrid.signals.conformal import Intervals, calibrated
from ungrid.signals.measurements import Measurements, group_folds, measurements, some
from ungrid.signals.spline_cost import FEW, Work
from ungrid.signals.spline_posterior import Folded, Frame, Settings, as_field, frame_of, node_count
from ungrid.signals.spline_search import Search
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.checkpoint import Journal, digest

Holdout = Literal["auto", "random", "groups"]
Report = Callable[[dict[str, float]], None]

_SEARCH_SECONDS = 15.0  # for the search, where no budget is given
_FIRST_REPORT, _GROWTH, _LONGEST_SILENCE = 0.25, 1.4, 20.0  # seconds, as in the fit loop


def fit_scattered(
    samples: PointSamples,
    *,
    holdout: Holdout = "auto",
    seed: int = 0,
    budget: float | None = None,
    steps: int | None = None,
    harmonic: bool = False,
    checkpoint: Path | None = None,
    resume: bool = False,
    report: Report | None = None,
) -> FitResult:
    """Fit a field with calibrated intervals to scattered measurements, and compare it with the classical methods.

    Repeated places are merged; given standard errors weigh the samples. The table is made from samples that took no
    part in fitting or choosing; then the field is fitted to all. Ctrl-C ends it with the best settings so far.

    Args:
        samples: measurements at points in one, two or three coordinates. Axes in degrees (by their unit) become local
            kilometres; project other geographic coordinates with `ungrid.io.tables.project` first.
        holdout: hold out whole ``samples.groups`` or random samples; "auto" takes the groups where there are any.
            Random hold-out flatters every method if the samples lie in lines, tracks or clusters.
        seed: of the folds and the posterior draws.
        budget: seconds for choosing the settings, divided among the searches: six of less than 3000 places (one for
            each fold of the table), one of more; default 15. A search makes 17 trials at least, of which 9 are short.
        steps: trials of settings in every search instead; equal steps and seed give the same bits.
        harmonic: ask for a solution of Laplace's equation: a potential field in three coordinates of one unit.
        checkpoint: a folder for checkpoints; it stays, for the caller to delete once the field is safe.
        resume: go on from the checkpoint where there is one.
        report: called with rows of the history: step (trials), seconds, loss (what the search minimises: RMSE plus MAE on
            held-out samples in standard deviations), rmse (there, in the values' units), progress, eta.

    Returns:
        The field, a `SplineField`: value and ``interval``, NaN farther from the samples than twice the distance over
        which the hold-out tested it. In the stats: ``table``, one row for each method with rmse, mae, coverage_90,
        interval_width, interval_score (means over the columns) and the number of samples it was given, the field's row
        again as ``heldout_...``, ``settings``. Interrupted before the calibration the field has no intervals, and the
        table has the rows that were done.

    Raises:
        InputError: with less than 10 different places, more than 3 coordinates, or less than two groups; for a
            checkpoint that is damaged or belongs to other samples or options.
    """
    start = time.perf_counter()
    data = measurements(samples, harmonic=harmonic)
    if holdout == "groups" and samples.groups is None:
        raise InputError("samples without groups", "a column of lines, tracks or stations", "use holdout='random'")
    if holdout == "random" or samples.groups is None:
        data = replace(data, groups=np.arange(len(data)))
    folds = list(group_folds(data.groups, seed))
    options = {"seed": seed, "steps": steps, "harmonic": harmonic, "hold-out": holdout}
    run = _Run(Journal(checkpoint, _fingerprint(samples, options), resume=resume), report, seed=seed, harmonic=harmonic)
    run.journal.began = start
    run.next_report = run.journal.seconds + _FIRST_REPORT  # not while stored stages are read back
    few = len(data) < FEW  # then every fold is tested and the search is repeated on all samples
    run.steps, run.budget = steps, budget or _SEARCH_SECONDS
    if few:
        run.budget /= 1 + len(folds)
    else:
        folds = folds[:1]
    run.work = Work.expected(data, run.budget, steps)
    table: list[dict[str, Any]] = []
    try:
        with single_threaded_blas(), run.journal.interrupts:  # most matrices are small
            settings = _table(run, data, folds, samples, table)
            field, chosen = run.fit(
                "field", data, samples.domain, samples.out_names, settings=None if few else settings
            )
        outcome, run.finished = Outcome.exact, run.work.total
    except KeyboardInterrupt:
        run.journal.save()
        field, chosen = run.best_so_far(data, samples.domain, samples.out_names)
        outcome = Outcome.interrupted
    if run.trials:
        run.observe()
    stats: dict[str, Any] = {
        "method": "spline-posterior",
        "seconds": run.journal.seconds,
        "steps": run.trials,
        "parameters": field.weights.numel(),
        "holdout": "random" if holdout == "random" or samples.groups is None else "groups",
        "samples": len(samples.points),
        "places": len(data),
        "settings": dataclasses.asdict(chosen),
        "table": table,
    }
    if table:
        stats |= {f"heldout_{name}": value for name, value in table[0].items() if name not in ("method", "samples")}
    return FitResult(field, outcome, run.journal.history, stats)


def fit_field(
    data: Measurements,
    domain: Box,
    out_names: tuple[str, ...],
    *,
    settings: Settings | None = None,
    seed: int = 0,
    seconds: float = _SEARCH_SECONDS,
    steps: int | None = None,
    harmonic: bool = False,
) -> tuple[SplineField, Settings]:
    """Choose the settings by cross-validation over the groups of `data`, calibrate on the same folds, and fit to all.

    Args:
        data: what `measurements` gave.
        domain: of the field.
        out_names: of the values.
        settings: None searches for them.
        seed: of the folds and draws.
        seconds: for the search.
        steps: trials of the search instead.
        harmonic: as in `fit_scattered`.
    """
    run = _Run(Journal(), None, seed=seed, harmonic=harmonic)
    run.budget, run.steps = seconds, steps
    with single_threaded_blas():
        return run.fit("field", data, domain, out_names, settings=settings)


class _Run:
    """The stages of one fit, and what is reached so far: that is what an interruption gives back."""

    def __init__(self, journal: Journal, report: Report | None, *, seed: int, harmonic: bool) -> None:
        self.journal, self.report, self.seed, self.harmonic = journal, report, seed, harmonic
        self.budget, self.work = _SEARCH_SECONDS, Work()
        self.steps: int | None = None
        self.settings = Settings()
        self.frame: Frame | None = None
        self.intervals: Intervals | None = None
        self.trials, self.finished = 0, 0.0
        self.loss = self.rmse = math.nan
        self.next_report = _FIRST_REPORT

    def fit(
        self, name: str, data: Measurements, domain: Box, out_names: tuple[str, ...], *, settings: Settings | None
    ) -> tuple[SplineField, Settings]:
        """As `fit_field`; `name` is the field's in the journal."""
        folds, stage = list(group_folds(data.groups, self.seed + 1)), self.journal.stage
        found = stage(f"{name}/frame", lambda: vars(frame_of(data, folds, self.harmonic, self.seed)))
        self.frame = frame = Frame(**found)
        if settings is None:
            made = stage(f"{name}/search", partial(self._search, f"{name}/search", data, frame, folds))
            settings, self.trials = Settings(**made["settings"]), made["trials"]
            self.loss, self.rmse = made["loss"], made["rmse"]
        self.settings = settings
        nodes = node_count(data)
        problem = Folded(data, frame, settings.stretch, nodes, folds, harmonic=self.harmonic)
        parts = []
        for k in range(len(folds)):
            parts.append(stage(f"{name}/fold {k}", partial(self._held_out, problem, k)))
            self.advance(self.work.fold)
        self.intervals = calibrated(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        solved = problem.solve(settings, draws_seed=self.seed)
        self.advance(self.work.fold)
        return as_field(solved, data, frame.reach, domain, out_names, self.intervals), settings

    def _search(self, name: str, data: Measurements, frame: Frame, folds: list[np.ndarray]) -> dict[str, Any]:
        before, finished = self.trials, self.finished

        def watch(best: Settings, error: float, rmse: float, share: float) -> None:
            self.settings, self.loss, self.rmse = best, error, rmse
            self.trials = before + search.done
            self.finished = finished + share * self.work.search
            self.advance(0.0)

        search = Search(data, frame, folds, self.journal, name, watch=watch, seed=self.seed, harmonic=self.harmonic)
        settings = dataclasses.asdict(search.run(self.steps, self.budget))
        return {"settings": settings, "trials": self.trials, "loss": self.loss, "rmse": self.rmse}

    def _held_out(self, problem: Folded, fold: int) -> list[np.ndarray]:
        """Held-out absolute errors and there the logarithms of posterior deviation and local slope, all (n, c)."""
        solved = problem.solve(self.settings, held=fold, draws_seed=self.seed)
        design = problem.held_out_design(fold)
        error = np.abs(problem.held_out_values(solved, fold) - problem.data.values[problem.folds[fold]])
        return [error, design @ solved.log_deviation, design @ solved.log_slope]

    def best_so_far(self, data: Measurements, domain: Box, out_names: tuple[str, ...]) -> tuple[SplineField, Settings]:
        """A field of all samples with the settings and the intervals that are reached; the default ones if none are."""
        everything = [np.ones(len(data), dtype=bool)]
        if self.frame is None:
            folds = list(group_folds(data.groups, self.seed + 1))
            self.frame = frame_of(data, folds[:1], self.harmonic, self.seed)
        problem = Folded(data, self.frame, self.settings.stretch, node_count(data), everything, harmonic=self.harmonic)
        solved = problem.solve(self.settings, draws_seed=None if self.intervals is None else self.seed)
        return as_field(solved, data, self.frame.reach, domain, out_names, self.intervals), self.settings

    def advance(self, seconds: float) -> None:
        """So many of the expected seconds of work are done; reports when it is time."""
        self.finished += seconds
        if self.trials and self.journal.seconds >= self.next_report:
            self.observe()

    def observe(self) -> None:
        """Adds a row to the history."""
        seconds = self.journal.seconds
        row = {"step": float(self.trials), "seconds": seconds, "loss": self.loss, "rmse": self.rmse}
        self.journal.history.append(row)
        self.next_report = min(seconds * _GROWTH, seconds + _LONGEST_SILENCE)
        if self.report is not None:
            progress = min(1.0, self.finished / max(self.work.total, 1e-9))
            self.report({**row, "progress": progress, "eta": seconds * (1 / max(progress, 1e-9) - 1)})


def _table(
    run: _Run, data: Measurements, folds: list[np.ndarray], samples: PointSamples, table: list[dict[str, Any]]
) -> Settings:
    """One row for each method, ours first, on samples that none of them has seen; and the settings of the last fold.

    The rows come into `table` as they are complete.
    """
    ours, seed = "spline posterior", run.seed
    names = [ours, *(name for name in CLASSICAL if name != "cubic" or data.points.shape[1] < 3)]
    found: dict[str, list[list[np.ndarray]]] = {name: [] for name in names}
    given = dict.fromkeys(names, 0)
    truth = []
    for k, held in enumerate(folds):
        train, test = data.take(~held), some(data.take(held), MOST_TESTED, seed)
        truth.append(test.values)

        def fitted(k: int = k, train: Measurements = train, test: Measurements = test) -> dict[str, Any]:
            field, settings = run.fit(f"table {k}/field", train, samples.domain, samples.out_names, settings=None)
            row = [*values_and_half_widths(field, test.points / data.scale)]
            found = {"row": row, "settings": dataclasses.asdict(settings)}
            return {**found, "trials": run.trials, "loss": run.loss, "rmse": run.rmse}

        result = run.journal.stage(f"table {k}/field", fitted)
        found[ours].append(result["row"])
        given[ours] = max(given[ours], len(train))
        settings = run.settings = Settings(**result["settings"])
        run.trials, run.loss, run.rmse = result["trials"], result["loss"], result["rmse"]
        for name in names[1:]:
            part = given_to(name, train, seed)
            given[name] = max(given[name], len(part))
            make = partial(_classical, run.journal, f"table {k}/{name}", CLASSICAL[name], part, test, seed)
            found[name].append(run.journal.stage(f"table {k}/{name}", make))
            run.advance(run.work.classical)
        run.finished = (k + 1) * run.work.each_table_fold
    y = np.concatenate(truth)
    for name in names:
        row = summary(name, y, *map(np.concatenate, zip(*found[name], strict=True)))
        table.append({**row, "samples": given[name]})
    return settings


def _classical(
    journal: Journal, name: str, method: Interpolation, train: Measurements, test: Measurements, seed: int
) -> list[np.ndarray]:
    """A classical method's values and half widths at the tested samples."""
    half = journal.stage(f"{name}/half width", partial(conformal_half_width, method, train, seed))
    value = journal.stage(f"{name}/values", lambda: method.fit(train.points, train.values)(test.points))
    return [value, np.broadcast_to(half, value.shape)]


def _fingerprint(samples: PointSamples, options: dict[str, Any]) -> dict[str, str]:
    """What makes a run the same run, part by part."""
    parts = [samples.points, samples.values, samples.sigma, samples.groups]
    axes = [(axis.name, axis.unit) for axis in samples.domain.axes]
    return {
        "method": "spline posterior",
        "samples": digest([np.asarray(part) for part in parts if part is not None]),
        "axes": str(axes),
        **{name: str(value) for name, value in options.items()},
    }
