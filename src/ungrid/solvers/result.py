"""What a solver gives back: data, not a message on the screen."""

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any

from ungrid.fields import Field


class Outcome(enum.Enum):
    """Why a fit stopped; the value is the text for a person."""

    budget = "the time budget is used up"
    steps = "the requested number of steps is done"
    converged = "nothing improves any more"
    exact = "solved directly, nothing left to iterate"
    interrupted = "interrupted; this is the best field reached"
    diverged = "the loss became NaN or infinite; this is the last good field"


@dataclass(frozen=True)
class FitResult:
    """A fitted field and how it was reached.

    Attributes:
        field: the best field seen.
        outcome: why the fit stopped.
        history: one row for each report: {"step", "seconds", "loss", metric names...}.
        stats: single numbers and settings: seconds, steps, parameters, the method and what was chosen for it, metrics.
    """

    field: Field
    outcome: Outcome
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    stats: dict[str, Any] = dataclasses.field(default_factory=dict)
