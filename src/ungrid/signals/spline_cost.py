"""What the stages of a closed-form fit take, for the progress of a running one and for plans.

Convention: seconds of one core of a common laptop, divided by the machine's speed.
"""

from dataclasses import dataclass

from ungrid.signals.measurements import FOLDS, Measurements
from ungrid.signals.spline_posterior import MOST_SEARCHED, node_count, search_nodes
from ungrid.signals.spline_search import FEWEST, SCAN

FEW = 3000  # below this every fold of the table is run, above only one


@dataclass(frozen=True, kw_only=True)
class Work:
    """Seconds of the stages.

    Attributes:
        search: one search.
        fold: one fit with its draws; a field takes one for each fold and one for all samples.
        classical: one classical method on one fold of the table.
        table_folds: folds of the table.
        searches: how many.
    """

    search: float = 0.0
    fold: float = 0.0
    classical: float = 0.0
    table_folds: int = 0
    searches: int = 0

    @property
    def each_table_fold(self) -> float:
        return self.search + (FOLDS + 1) * self.fold + 4 * self.classical

    @property
    def total(self) -> float:
        last = (FOLDS + 1) * self.fold + (self.search if self.searches > self.table_folds else 0.0)
        return self.table_folds * self.each_table_fold + last

    @classmethod
    def expected(
        cls, data: Measurements, table_folds: int, budget: float, steps: int | None, speed: float = 1.0
    ) -> "Work":
        """The work of `fit_scattered`.

        Args:
            data: all samples.
            table_folds: how many folds of the table are run.
            budget: seconds for one search.
            steps: trials of one search instead.
            speed: of this machine.
        """
        d, n = data.points.shape[1], len(data)
        trial = factor_seconds(search_nodes(data), d) / speed
        equations = SAMPLE_SECONDS[d] * min(n, MOST_SEARCHED) / speed  # again whenever stretch or nugget change
        full = FOLDS * trial + 0.4 * equations
        if steps is None:
            search = max(budget, SCAN * 2 * trial + (FEWEST - SCAN) * full)
        else:
            search = min(steps, SCAN) * 2 * trial + max(0, steps - SCAN) * full
        fold = (1.6 * factor_seconds(node_count(data), d) + SAMPLE_SECONDS[d] * n / FOLDS) / speed
        tested = min(n / FOLDS, 10_000)
        classical = (3e-4 * tested + 1e-5 * n) / speed
        searches = table_folds + (1 if n < FEW else 0)
        return cls(search=search, fold=fold, classical=classical, table_folds=table_folds, searches=searches)


SAMPLE_SECONDS = {1: 1e-6, 2: 4e-6, 3: 4e-5}  # of the normal equations, for each sample


def factor_seconds(nodes: int, dim: int) -> float:
    """Seconds of one factorisation and a solve, measured: in two dimensions the arithmetic grows as nodes^1.5 at last."""
    if dim == 1:
        return 5e-6 * nodes
    return 1e-6 * nodes**1.28 if dim == 2 else 2.5e-7 * nodes**1.65
