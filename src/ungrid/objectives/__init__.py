"""Terms, norms and regularisers."""

from ungrid.objectives.eikonal import UniformPoints as UniformPoints
from ungrid.objectives.eikonal import slope as slope
from ungrid.objectives.eikonal import spatial_gradient as spatial_gradient
from ungrid.objectives.term import DivergenceTerm as DivergenceTerm
from ungrid.objectives.term import FieldLike as FieldLike
from ungrid.objectives.term import Norm as Norm
from ungrid.objectives.term import Operator as Operator
from ungrid.objectives.term import Term as Term
from ungrid.objectives.term import mean_absolute as mean_absolute
from ungrid.objectives.term import mean_square as mean_square
from ungrid.objectives.term import total_loss as total_loss
from ungrid.objectives.term import value as value
