"""Networks: features to values."""

from ungrid.networks.mlp import MLP as MLP
from ungrid.networks.siren import Siren as Siren
from ungrid.networks.decoder import GridDecoder as GridDecoder
