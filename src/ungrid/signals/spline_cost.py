"""What the stages of a closed-form fit take, for the progress of a running one and for plans.

Convention: seconds of one quiet core of the machine on which they were measured, divided by `speed`.
"""

import time
from dataclasses import dataclass

import numpy as np

from ungrid.signals.comparison import MOST_TESTED
from ungrid.signals.measurements import FOLDS, Measurements
from ungrid.signals.spline_posterior import MOST_SEARCHED, node_count, search_nodes
from ungrid.signals.spline_search import FEWEST, MOST, SCAN, SCAN_FOLDS
from ungrid.solvers.least_squares import Lattice, Posterior, SplinePrior, normal_equations

FEW = 3000  # places; below this every fold of the table is run, above only one
_EQUATIONS = {1: 3e-7, 2: 1e-6, 3: 6e-6}  # for each sample: normal equations, splines at the held-out samples
_PROBES = 3


@dataclass(frozen=True, kw_only=True)
class Work:
    """Seconds of the stages; see `expected`.

    Attributes:
        search: one search for the settings.
        fold: one fit with its draws; a field takes one for each fold and one for all samples.
        frame: the distances and directions, once for every field.
        classical: one classical method on one fold of the table.
        table_folds: folds of the table.
        searches: how many.
    """

    search: float = 0.0
    fold: float = 0.0
    frame: float = 0.0
    classical: float = 0.0
    table_folds: int = 0
    searches: int = 0

    @property
    def each_table_fold(self) -> float:
        return self.frame + self.search + (FOLDS + 1) * self.fold + 4 * self.classical

    @property
    def total(self) -> float:
        last = self.frame + (FOLDS + 1) * self.fold + self.search * (self.searches - self.table_folds)
        return self.table_folds * self.each_table_fold + last

    @classmethod
    def expected(cls, data: Measurements, budget: float, steps: int | None, speed: float = 1.0) -> "Work":
        """The work of `fit_scattered`.

        Args:
            data: all samples.
            budget: seconds for one search.
            steps: trials of one search instead.
            speed: of this machine.
        """
        (n, d), few = data.points.shape, len(data) < FEW
        searched = min(n, MOST_SEARCHED)
        factor = factor_seconds(search_nodes(data), d) + _EQUATIONS[d] * searched / FOLDS
        trial = FOLDS * factor / speed
        short = SCAN_FOLDS * factor / speed
        within = np.clip(budget, *(SCAN * short + (count - SCAN) * trial for count in (FEWEST, MOST)))
        search = float(within) if steps is None else min(steps, SCAN) * short + max(0, steps - SCAN) * trial
        return cls(
            search=search,
            fold=(2.2 * factor_seconds(node_count(data), d) + _EQUATIONS[d] * n) / speed,
            frame=(1.5e-5 * n + factor) / speed,
            classical=(0.05 + 2.5e-4 * min(n / FOLDS, MOST_TESTED) + 3e-6 * n) / speed,
            table_folds=FOLDS if few else 1,
            searches=FOLDS + 1 if few else 1,
        )


def factor_seconds(nodes: int, dim: int) -> float:
    """Seconds of one factorisation and one solve, measured; three dimensions fill the factors most."""
    constant, power = {1: (1.5e-6, 1.0), 2: (1.5e-6, 1.15), 3: (1.2e-9, 2.2)}[dim]
    return 1e-3 + constant * nodes**power


def machine_speed() -> float:
    """The speed of this machine at this moment, from the fastest of three small factorisations."""
    lattice, fastest = Lattice((90, 90), 1.0), np.inf
    equations = normal_equations(lattice, np.ones((1, 2)), np.ones(1), np.ones((1, 1)))
    for _ in range(_PROBES):
        start = time.perf_counter()
        Posterior(equations, SplinePrior(weight=1.0, tension=1.0, decay=1.0)).mean()
        fastest = min(fastest, time.perf_counter() - start)
    return factor_seconds(lattice.size, 2) / fastest
