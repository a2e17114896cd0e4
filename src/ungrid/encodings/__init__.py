"""Encodings: unit coordinates to features."""

from ungrid.encodings.constrained import Constrained as Constrained
from ungrid.encodings.fourier import FourierFeatures as FourierFeatures
from ungrid.encodings.grid import SplineGrid as SplineGrid
from ungrid.encodings.identity import Identity as Identity
from ungrid.encodings.positional import Positional as Positional
from ungrid.encodings.products import Products as Products
from ungrid.encodings.products import Ridges as Ridges
from ungrid.encodings.random_features import RandomFeatures as RandomFeatures
from ungrid.encodings.separable import Separable as Separable
from ungrid.encodings.singular import CornerFunctions as CornerFunctions
from ungrid.encodings.singular import ElasticCorner as ElasticCorner
from ungrid.encodings.singular import Joined as Joined
from ungrid.encodings.singular import Multipoles as Multipoles
