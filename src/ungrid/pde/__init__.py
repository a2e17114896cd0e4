"""Equations to fields."""

from ungrid.domains import Ball as Ball
from ungrid.domains import Box as Box
from ungrid.domains import Ellipse as Ellipse
from ungrid.domains import Interval as Interval
from ungrid.domains import Polygon as Polygon
from ungrid.domains import Time as Time
from ungrid.equations import Advection as Advection
from ungrid.equations import AllenCahn as AllenCahn
from ungrid.equations import Burgers as Burgers
from ungrid.equations import Dirichlet as Dirichlet
from ungrid.equations import Heat as Heat
from ungrid.equations import Helmholtz as Helmholtz
from ungrid.equations import Initial as Initial
from ungrid.equations import KdV as KdV
from ungrid.equations import Measured as Measured
from ungrid.equations import Neumann as Neumann
from ungrid.equations import Periodic as Periodic
from ungrid.equations import Poisson as Poisson
from ungrid.equations import Problem as Problem
from ungrid.equations import Robin as Robin
from ungrid.equations import SecondOrder as SecondOrder
from ungrid.equations import Strong as Strong
from ungrid.equations import Unknown as Unknown
from ungrid.equations import Wave as Wave
from ungrid.pde.ladder import solve as solve
