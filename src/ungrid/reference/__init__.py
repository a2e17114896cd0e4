"""The referee: classical methods that share no code with the neural side."""

from ungrid.reference.interpolation import Cubic as Cubic
from ungrid.reference.interpolation import InverseDistance as InverseDistance
from ungrid.reference.interpolation import LocalKriging as LocalKriging
from ungrid.reference.interpolation import RadialBasis as RadialBasis
from ungrid.reference.interpolation import Variogram as Variogram
from ungrid.reference.interpolation import fit_variogram as fit_variogram
from ungrid.reference.interpolation import merge_repeated as merge_repeated
