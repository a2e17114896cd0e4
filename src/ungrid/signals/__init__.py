"""Samples to fields: one signal, one fit."""

from ungrid.signals.evaluate import evaluate as evaluate
from ungrid.signals.evaluate import evaluate_heldout as evaluate_heldout
from ungrid.signals.fit import fit as fit
from ungrid.signals.gridded import mixed_gradient as mixed_gradient
from ungrid.signals.planning import plan as plan
from ungrid.signals.render import sample_grid as sample_grid
