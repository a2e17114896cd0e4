"""The fit loop and its strategies."""

from ungrid.solvers.result import FitResult as FitResult
from ungrid.solvers.result import Outcome as Outcome
