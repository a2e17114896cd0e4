"""The search for the settings of a spline posterior, by the error on held-out groups.

A scan over decades of weight and tension on two folds, then one setting after the other on all folds, with steps that
shrink. The search is a function of its trials' errors, which are stages of a journal: a resumed one makes the same
choices.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ungrid.signals.measurements import Measurements
from ungrid.signals.spline_posterior import MOST_SEARCHED, Folded, Frame, Settings, search_nodes
from ungrid.solvers.checkpoint import Journal

_SWEEPS = 3
_TRIALS = (8, 60)  # after the scan, where the clock decides: at least, so that the weight is found, and at most
_SCAN = [(weight, tension) for weight in (1e-4, 1e-2, 1.0) for tension in (0.1, 1.0, 10.0)]  # where to start
_FIRST_STEPS = {"weight": 8.0, "nugget": 8.0, "stretch": 0.5, "tension": 4.0, "decay": 4.0}
SCAN, FEWEST, MOST = len(_SCAN), len(_SCAN) + _TRIALS[0], len(_SCAN) + _TRIALS[1]
SCAN_FOLDS = 2

Watch = Callable[[Settings, float, float, float], None]


class Search:
    """One search; `best` are the best settings so far.

    Args:
        data: the samples, of which a random part takes part.
        frame: their unit and directions.
        folds: which samples are held out.
        journal: keeps the errors of the trials.
        name: of the search in the journal.
        watch: called after every trial with the best settings, their error and RMSE, and the share that is over.
        seed: of the choice of the samples.
        harmonic: as in `fit_scattered`.
    """

    def __init__(
        self, data: Measurements, frame: Frame, folds: list[np.ndarray], journal: Journal, name: str, *, watch: Watch,
        seed: int, harmonic: bool,
    ) -> None:  # fmt: skip
        rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:MOST_SEARCHED])
        self.data, self.folds = data.take(rows), [fold[rows] for fold in folds]
        self.frame, self.journal, self.name, self.watch, self.harmonic = frame, journal, name, watch, harmonic
        self.steps = {name: step for name, step in _FIRST_STEPS.items() if name != "nugget" or data.has_sigma}
        if data.points.shape[1] == 1 or harmonic:
            del self.steps["stretch"]
        if harmonic:  # then the prior's own form matters little
            del self.steps["tension"], self.steps["decay"]
        self.best = Settings(stretch=self.steps.get("stretch", 0.0))
        self.least, self.rmse = math.inf, math.nan
        self.done, self.trials = 0, FEWEST
        self._problems: dict[float, Folded] = {}

    def run(self, steps: int | None, seconds: float) -> Settings:
        """The best settings of `steps` trials, or of as many as fit into the seconds by the time of the second."""
        plain = self.best
        for k, (weight, tension) in enumerate(_SCAN[:steps]):
            spent = self._try(replace(plain, weight=weight, tension=tension), self.folds[:SCAN_FOLDS])
            if k == 0:
                self.trials = FEWEST if steps is None else steps
            elif k == 1:
                self.trials = self.journal.stage(f"{self.name}/trials", partial(self._count, steps, seconds, spent))
        if self.trials > self.done:
            self.least = math.inf  # on two folds only
            self._try(self.best, self.folds)
        for _sweep in range(_SWEEPS):
            for name, sign in [(name, sign) for name in self.steps for sign in (1, -1)]:
                better = True
                while better and self.done < self.trials:
                    before = self.least
                    self._try(_moved(self.best, name, self.steps[name], sign), self.folds)
                    better = self.least < before
            self.steps = {n: step / 2 if n == "stretch" else math.sqrt(step) for n, step in self.steps.items()}
        return self.best

    def _count(self, steps: int | None, seconds: float, scan_trial: float) -> int:
        if steps is not None:
            return steps
        trial = scan_trial * len(self.folds) / min(SCAN_FOLDS, len(self.folds))
        return SCAN + int(np.clip((seconds - SCAN * scan_trial) / trial, *_TRIALS))

    def _try(self, settings: Settings, folds: list[np.ndarray]) -> float:
        """One trial, after which `best` is the better one; returns its seconds when it was made."""
        number = self.done
        error, rmse, spent = self.journal.stage(
            f"{self.name}/trial {number}", lambda: self._timed(settings, len(folds))
        )
        self.done += 1
        if error < self.least:
            self.best, self.least, self.rmse = settings, error, rmse
        self.watch(self.best, self.least, self.rmse, self.done / self.trials)
        return spent

    def _timed(self, settings: Settings, folds: int) -> list[float]:
        start = time.perf_counter()
        error, rmse = self._error(settings, folds)
        return [error, rmse, time.perf_counter() - start]

    def _error(self, settings: Settings, folds: int) -> tuple[float, float]:
        """RMSE plus MAE over the held-out samples, in standard deviations, means over the columns; infinite out of range.

        Samples with a large variance count less, however much of the variances the settings believe. Beside it the
        RMSE in the values' units.
        """
        if not (-0.5 <= settings.stretch <= 2 and 1e-3 < settings.decay < 30 and 1e-3 < settings.tension < 1e3):
            return math.inf, math.inf
        problem, errors, weights = self._problem(settings.stretch), [], []
        for k, held in enumerate(self.folds[:folds]):
            try:
                solved = problem.solve(settings, held=k)
            except np.linalg.LinAlgError:
                return math.inf, math.inf
            errors.append(problem.held_out_values(solved, k) - self.data.values[held])
            weights.append(1 / (self.data.variance[held] + Settings.nugget))
        w = np.concatenate(weights) / np.concatenate(weights).mean(axis=0)
        spread = np.maximum(self.data.values.std(axis=0), np.finfo(np.float64).tiny)
        e = np.concatenate(errors) / spread
        rms = np.sqrt((w * e**2).mean(axis=0))
        return float((rms + (np.sqrt(w) * np.abs(e)).mean(axis=0)).mean()), float((rms * spread).mean())

    def _problem(self, stretch: float) -> Folded:
        """The normal equations of a stretch; those of the two latest are kept."""
        if stretch not in self._problems:
            nodes = search_nodes(self.data)
            made = Folded(self.data, self.frame, stretch, nodes, self.folds, harmonic=self.harmonic)
            self._problems = dict([*self._problems.items(), (stretch, made)][-2:])
        return self._problems[stretch]


def _moved(settings: Settings, name: str, step: float, sign: int) -> Settings:
    """One setting changed by a step: the stretch by adding, all others by a factor."""
    value = getattr(settings, name)
    return replace(settings, **{name: value + sign * step if name == "stretch" else value * step**sign})
