"""The fit loop and its strategies."""

from ungrid.solvers.adam import Adam as Adam
from ungrid.solvers.checkpoint import remove_checkpoint as remove_checkpoint
from ungrid.solvers.loop import Limits as Limits
from ungrid.solvers.loop import fit_terms as fit_terms
from ungrid.solvers.result import FitResult as FitResult
from ungrid.solvers.result import Outcome as Outcome
