"""Networks: features to values."""

from ungrid.networks.decoder import GridDecoder as GridDecoder
from ungrid.networks.mlp import MLP as MLP
from ungrid.networks.siren import Siren as Siren
