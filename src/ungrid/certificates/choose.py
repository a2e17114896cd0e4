"""Which certificate is for which problem.

Convention: a field gives values (n, 1) at points (n, d), in the order of the problem's axes, the time last.
"""

from collections.abc import Callable
from typing import Any

from ungrid.certificates.bound import Bound
from ungrid.certificates.conservation import CertifierInL1
from ungrid.certificates.elliptic import Certifier
from ungrid.certificates.lagrange import FieldLike
from ungrid.certificates.parabolic import certify_evolution
from ungrid.certificates.waves import CertifierOfWaves
from ungrid.equations import Problem, SecondOrder
from ungrid.equations.equation import is_zero


def certify(field: FieldLike, problem: Problem, mesh: Any = None, **options: Any) -> Bound:
    """Bounds of the error of a field, in the norm that the problem's certificate has (`certifier`).

    Args:
        field: values (n, 1) at points (n, d).
        problem: a stationary one, of heat, a wave or a viscous conservation law.
        mesh: of scikit-fem, of space, for stationary problems and heat; None makes one.
        options: of `Certifier`, `certify_evolution`, `certify_wave` or `certify_conservation`.

    Returns:
        The bound of the error of an interpolant, ``bound.certified_object``, which has the given boundary values. To certify
        many fields of one stationary problem, keep a `Certifier`.

    Raises:
        InputError: if the problem is of another kind, or the field's values are not finite.
    """
    if mesh is not None:
        options = {"mesh": mesh, **options}
    return certifier(problem, **options)(field)


def certifier(problem: Problem, **options: Any) -> Callable[[FieldLike], Bound]:
    """What bounds the error of fields for a problem.

    Without time in the norm of energy (`Certifier`). A second derivative in time: in the largest norm of energy over time
    (`certify_wave`). Transport and a first derivative: in the largest L1 norm over time (`certify_conservation`). Heat: in
    the norm of energy over space and time (`certify_evolution`).

    Raises:
        InputError: if there is no bound for such a problem.
    """
    equation = problem.equation
    if not problem.changes:
        return Certifier(problem, **options)
    if isinstance(equation, SecondOrder) and not is_zero(equation.inertia):
        return CertifierOfWaves(problem, **options)
    if isinstance(equation, SecondOrder) and not (equation.nonlinearity is None and is_zero(equation.velocity)):
        return CertifierInL1(problem, **options)
    return lambda field: certify_evolution(field, problem, **options)
