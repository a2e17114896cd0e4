"""Geometry as data: frozen, with named axes, without torch."""

from ungrid.domains.box import Axis as Axis
from ungrid.domains.box import Box as Box
from ungrid.domains.box import Domain as Domain
from ungrid.domains.grid import RegularGrid as RegularGrid
from ungrid.domains.mesh import TriangleMesh as TriangleMesh
