"""Many signals at once: batches of small networks, learned starts, one store."""

from ungrid.signals.many.batch import Schedule as Schedule
from ungrid.signals.many.fit import ManyResult as ManyResult
from ungrid.signals.many.fit import fit_many as fit_many
from ungrid.signals.many.plan import plan_many as plan_many
