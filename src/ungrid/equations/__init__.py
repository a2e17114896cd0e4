"""Equations, conditions and problems as frozen data, without torch: what solver, referee and certificate all read."""

from ungrid.equations.coefficients import ByMaterial as ByMaterial
from ungrid.equations.coefficients import Coefficient as Coefficient
from ungrid.equations.coefficients import Unknown as Unknown
from ungrid.equations.coefficients import UnknownFunction as UnknownFunction
from ungrid.equations.conditions import Condition as Condition
from ungrid.equations.conditions import Cooling as Cooling
from ungrid.equations.conditions import Dirichlet as Dirichlet
from ungrid.equations.conditions import Heating as Heating
from ungrid.equations.conditions import Initial as Initial
from ungrid.equations.conditions import Measured as Measured
from ungrid.equations.conditions import Neumann as Neumann
from ungrid.equations.conditions import Periodic as Periodic
from ungrid.equations.conditions import Robin as Robin
from ungrid.equations.equation import Advection as Advection
from ungrid.equations.equation import AllenCahn as AllenCahn
from ungrid.equations.equation import Burgers as Burgers
from ungrid.equations.equation import Equation as Equation
from ungrid.equations.equation import Heat as Heat
from ungrid.equations.equation import Helmholtz as Helmholtz
from ungrid.equations.equation import KdV as KdV
from ungrid.equations.equation import Poisson as Poisson
from ungrid.equations.equation import SecondOrder as SecondOrder
from ungrid.equations.equation import Strong as Strong
from ungrid.equations.equation import Wave as Wave
from ungrid.equations.problem import Problem as Problem
