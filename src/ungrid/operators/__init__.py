"""Derivatives of any callable: `Jet` by axis names, and the operators of vector calculus."""

from ungrid.operators.calculus import curl as curl
from ungrid.operators.calculus import divergence as divergence
from ungrid.operators.calculus import gradient as gradient
from ungrid.operators.calculus import hessian as hessian
from ungrid.operators.calculus import jacobian as jacobian
from ungrid.operators.calculus import laplacian as laplacian
from ungrid.operators.calculus import normal_derivative as normal_derivative
from ungrid.operators.jet import Jet as Jet
from ungrid.operators.jet import JetOperator as JetOperator
from ungrid.operators.jet import Jump as Jump
from ungrid.operators.jet import LocalDerivatives as LocalDerivatives
from ungrid.operators.jet import TaylorField as TaylorField
from ungrid.operators.linearise import linearise as linearise
