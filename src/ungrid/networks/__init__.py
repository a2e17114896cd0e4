"""Networks: features to values."""

from ungrid.networks.decoder import GridDecoder as GridDecoder
from ungrid.networks.half_lattice import HalfLattice as HalfLattice
from ungrid.networks.linear import Linear as Linear
from ungrid.networks.mlp import MLP as MLP
from ungrid.networks.siren import Siren as Siren
