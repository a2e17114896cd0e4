"""The fit loop: a solver's steps under a time budget or a number of steps, with reports, checkpoints and the best field.

Convention: `seconds` is wall-clock time of the optimisation, with the evaluation of the metrics, over all resumed parts.
With a number of steps, reports follow steps and not the clock, since the best field is chosen among them: then the result
depends on the seed alone.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ungrid._base.errors import InputError
from ungrid._base.interrupts import Interrupts
from ungrid.fields import Field
from ungrid.objectives import Term
from ungrid.solvers.checkpoint import check_same_run, fingerprint, read_checkpoint, remove_checkpoint, write_checkpoint
from ungrid.solvers.result import FitResult, Outcome
from ungrid.solvers.state import State

FIRST_REPORT = (
    0.25  # seconds; every report comes at GROWTH times the seconds of the last, so their cost stays a fixed share
)
GROWTH = 1.4
LONGEST_SILENCE = 20.0
REPORTED_SHARE = 0.05  # of a given number of steps: the first report, and the longest way from one to the next
CHECKPOINT_EVERY = 5.0  # seconds: the most work that a killed run repeats, with one step and one report on top

Metrics = Callable[[Field], dict[str, float]]
Report = Callable[[dict[str, float]], None]


@runtime_checkable
class Solver(Protocol):
    """A strategy of `fit`: makes a state, and takes steps with it."""

    def init(self, u: Field, terms: list[Term], *, seed: int = 0) -> State: ...

    def step(self, u: Field, terms: list[Term], state: State, *, progress: float = 0.0) -> State: ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a fit ends: after `steps` steps where given, otherwise after `budget` seconds."""

    budget: float = 10.0
    steps: int | None = None

    def __post_init__(self) -> None:
        if not self.budget > 0 or (self.steps is not None and self.steps < 1):
            raise InputError(f"a budget of {self.budget} s and {self.steps} steps", "positive numbers")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the run that is over, in [0, 1]."""
        return min(1.0, step / self.steps if self.steps is not None else seconds / self.budget)


def fit_terms(
    u: Field,
    terms: list[Term],
    solver: Solver,
    limits: Limits,
    *,
    seed: int = 0,
    metrics: Metrics | None = None,
    better: str | None = None,
    patience: int | None = None,
    report: Report | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FitResult:
    """Minimise the sum of the terms over the weights of `u`, in place.

    Args:
        u: the field; its weights change.
        terms: the objective.
        solver: the strategy, for example ``Adam()``.
        limits: time or steps.
        seed: of all random draws.
        metrics: evaluated on the field at every report; its names appear in the history.
        better: the metric whose largest value marks the best field; None takes the last field.
        patience: stop when that metric has not improved for so many reports.
        report: called with every row of the history.
        checkpoint: a folder for checkpoints; it stays when the fit ends, for the caller to delete once the field is safe.
        resume: go on from the checkpoint where there is one.

    Returns:
        The result with the best field; after Ctrl-C the outcome is `Outcome.interrupted`.

    Raises:
        InputError: if the checkpoint is damaged, or belongs to other samples, terms, seed, steps or initial weights.
    """
    run = _Run(u, terms, solver, limits, seed, metrics, better, report, checkpoint)
    if resume and checkpoint is not None:
        run.restore(read_checkpoint(checkpoint))
    try:
        with Interrupts() as interrupts:
            outcome = run.until_done(patience, interrupts)
    except KeyboardInterrupt:
        outcome = Outcome.interrupted
    return run.result(outcome)


class _Run:
    """The moving parts of one call of `fit_terms`."""

    def __init__(
        self, u: Field, terms: list[Term], solver: Solver, limits: Limits, seed: int, metrics: Metrics | None,
        better: str | None, report: Report | None, checkpoint: Path | None,
    ) -> None:  # fmt: skip
        self.u, self.terms, self.solver, self.limits = u, terms, solver, limits
        self.metrics, self.better, self.report, self.checkpoint = metrics, better, report, checkpoint
        self.fingerprint = {} if checkpoint is None else fingerprint(u, terms, seed, limits.steps)
        self.state = solver.init(u, terms, seed=seed)
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] | None = None
        self.best_score, self.reports_without_gain = -math.inf, 0
        self.earlier, self.began = 0.0, time.perf_counter()
        self.last_save, self.turn = time.perf_counter(), 0
        self.next_report = FIRST_REPORT if limits.steps is None else math.ceil(limits.steps * REPORTED_SHARE)

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.began

    def until_done(self, patience: int | None, interrupts: Interrupts) -> Outcome:
        while (progress := self.limits.progress(self.state.step, self.seconds)) < 1.0:
            self.state = self.solver.step(self.u, self.terms, self.state, progress=progress)
            if not math.isfinite(self.state.loss):
                return Outcome.diverged
            if self.state.settled:
                return Outcome.converged
            if (self.seconds if self.limits.steps is None else self.state.step) >= self.next_report:
                self.observe()
                if patience is not None and self.reports_without_gain >= patience:
                    return Outcome.converged
            if self.checkpoint is not None and time.perf_counter() - self.last_save >= CHECKPOINT_EVERY:
                self.save()
            interrupts.check()
        return Outcome.budget if self.limits.steps is None else Outcome.steps

    def observe(self) -> None:
        """Adds a row to the history, and remembers the field if it is the best so far."""
        row = {"step": float(self.state.step), "seconds": self.seconds, "loss": self.state.loss}
        if self.metrics is not None:
            row |= self.metrics(self.u)
        if self.better is not None:
            score = row[self.better]
            self.reports_without_gain = 0 if score > self.best_score else self.reports_without_gain + 1
            if score > self.best_score:
                self.best_score = score
                self.best = {name: value.detach().clone() for name, value in self.u.state_dict().items()}
        self.history.append(row)
        self.next_report = self._after(self.state.step)
        if self.report is not None:
            progress = self.limits.progress(self.state.step, row["seconds"])
            self.report({**row, "progress": progress, "eta": row["seconds"] * (1 / max(progress, 1e-9) - 1)})

    def _after(self, step: int) -> float:
        """When the next report is due, in seconds, or in steps where their number is given."""
        if self.limits.steps is None:
            return min(self.seconds * GROWTH, self.seconds + LONGEST_SILENCE)
        return min(math.ceil(step * GROWTH), step + math.ceil(self.limits.steps * REPORTED_SHARE))

    def result(self, outcome: Outcome) -> FitResult:
        if outcome is not Outcome.diverged and (not self.history or self.history[-1]["step"] < self.state.step):
            self.observe()
        if self.best is not None:
            self.u.load_state_dict(self.best)
        parameters = sum(p.numel() for p in self.u.parameters())
        stats = {"seconds": self.seconds, "steps": self.state.step, "parameters": parameters}
        return FitResult(self.u, outcome, self.history, stats)

    def save(self) -> None:
        """Writes the checkpoint."""
        assert self.checkpoint is not None
        if self.turn == 0:  # an earlier run's checkpoints would look newer than the first of this one
            remove_checkpoint(self.checkpoint)
        self.turn += 1
        content = {
            "weights": self.u.state_dict(),
            "optimizer": self.state.optimizer.state_dict(),
            "step": self.state.step,
            "seconds": self.seconds,
            "history": self.history,
            "best": self.best,
            "best_score": self.best_score,
            "reports_without_gain": self.reports_without_gain,
            "next_report": self.next_report,
            "fingerprint": self.fingerprint,
        }
        write_checkpoint(self.checkpoint, self.turn, content)
        self.last_save = time.perf_counter()

    def restore(self, content: dict[str, Any] | None) -> None:
        """Goes on from a checkpoint's content; None starts at the beginning."""
        if content is None:
            return
        assert self.checkpoint is not None
        check_same_run(self.checkpoint, content, self.fingerprint)
        self.u.load_state_dict(content["weights"])
        self.state.optimizer.load_state_dict(content["optimizer"])
        self.state.step, self.earlier, self.turn = content["step"], content["seconds"], content["turn"]
        self.history, self.best, self.best_score = content["history"], content["best"], content["best_score"]
        self.reports_without_gain, self.next_report = content["reports_without_gain"], content["next_report"]
