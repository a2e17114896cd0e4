"""What every fit of a signal takes, whatever the signal is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ungrid.solvers import Limits

Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Limits, seed, device, checkpoints and reports of a fit; see `ungrid.fit`."""

    limits: Limits
    seed: int
    device: torch.device
    checkpoint: Path | None
    resume: bool
    report: Report | None
