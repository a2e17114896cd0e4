"""A posteriori error bounds of fields, with the word for how they are known and with their assumptions."""

from ungrid.certificates.bound import Bound as Bound
from ungrid.certificates.choose import certifier as certifier
from ungrid.certificates.choose import certify as certify
from ungrid.certificates.conservation import certify_conservation as certify_conservation
from ungrid.certificates.eigenvalues import smallest_eigenvalue as smallest_eigenvalue
from ungrid.certificates.elliptic import Certifier as Certifier
from ungrid.certificates.goals import certify_flux as certify_flux
from ungrid.certificates.goals import certify_mean as certify_mean
from ungrid.certificates.lagrange import Interpolant as Interpolant
from ungrid.certificates.parabolic import certify_evolution as certify_evolution
from ungrid.certificates.waves import certify_wave as certify_wave
