"""Linear difference equations with constant coefficients, and how they come from differential ones.

Conventions.

    sum_k b_k y[n - k] = sum_k a_k x[n - k],      H(z) = Y(z) / X(z) = sum_k a_k z^-k / sum_k b_k z^-k :

**b belongs to the output y, a to the input x.** scipy.signal has the letters the other way round; `swap_letters` is the only
place where they change sides. Samples are taken at t = n step, steps in seconds, frequencies in hertz; all signals are real
and 0 before the first sample unless the past is given. Ordinary differential equations have ascending coefficients,

    sum_j output_j y^(j) = sum_j input_j x^(j),

and linear systems are ``s' = A s + B x, y = C s + D x`` with one input and one output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
from scipy import linalg, optimize, signal

from ungrid._base.errors import InputError
from ungrid.reference.z_transform import ZTransform, cancelled, rational

Method = Literal["forward", "backward", "tustin", "zero-order hold"]
_WEIGHTS = {"forward": 0.0, "tustin": 0.5, "backward": 1.0}  # of the new sample in the rule of integration
_MOST_STATES = 20  # coefficients of a polynomial with more clustered roots than that say nothing about them


def swap_letters(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From (b, a) here to (b, a) of scipy.signal, and back: b = output and a = input here are its a and b."""
    return np.asarray(second, dtype=np.float64), np.asarray(first, dtype=np.float64)


@dataclass(frozen=True)
class DifferenceEquation:
    """``sum_k b_k y[n - k] = sum_k a_k x[n - k]``.

    Attributes:
        b: of the output y; b[0] is not 0.
        a: of the input x.
        step: seconds between samples.
    """

    b: tuple[float, ...]
    a: tuple[float, ...]
    step: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for coefficients that give no recursion."""
        if not (len(self.b) and len(self.a) and np.isfinite([*self.b, *self.a]).all()):
            raise InputError(f"b = {self.b}, a = {self.a}", "finite coefficients of both sides")
        if self.b[0] == 0:
            raise InputError("b[0] = 0", "another number, for y[n] to follow from the past", "shift the equation")
        if not self.step > 0:
            raise InputError(f"a step of {self.step}", "a positive number of seconds")

    def normalised(self) -> "DifferenceEquation":
        """The same equation with b[0] = 1."""
        b, a = (tuple(c / self.b[0] for c in side) for side in (self.b, self.a))
        return DifferenceEquation(b, a, self.step)

    # In z

    def transfer(self) -> ZTransform:
        """H(z) with the region of convergence of the causal impulse response: outside the outermost pole."""
        radius = np.abs(np.roots(np.trim_zeros(self.b, "b"))).max(initial=0.0)
        return rational(self.a, self.b, inner=float(radius))

    def poles(self) -> np.ndarray:
        """Finite poles of H(z), complex, with their multiplicity."""
        return self.transfer().poles()

    def zeros(self) -> np.ndarray:
        """Finite zeros of H(z), complex, with their multiplicity."""
        return self.transfer().zeros()

    def is_stable(self) -> bool:
        """Whether all poles that zeros do not cancel lie inside the unit circle: bounded input gives bounded output."""
        return bool((np.abs(cancelled(self.transfer()).poles()) < 1).all())

    def frequency_response(self, frequencies: np.ndarray) -> np.ndarray:
        """``H(exp(2 pi i f step))``: gain and phase of waves exp(2 pi i f t), complex.

        Args:
            frequencies: hertz, any shape; meaningful up to 1 / (2 step).
        """
        return self.transfer().formula(np.exp(2j * np.pi * self.step * np.asarray(frequencies)))

    # In time

    def times(self, count: int) -> np.ndarray:
        """Of the first samples, in seconds."""
        return np.arange(count) * self.step

    def simulate(self, x: np.ndarray, past_y: Sequence[float] = (), past_x: Sequence[float] = ()) -> np.ndarray:
        """The output to an input, by scipy's compiled recursion.

        Args:
            x: (n,).
            past_y: y[-1], y[-2], ...; 0 where not given.
            past_x: x[-1], x[-2], ...

        Returns:
            (n,).
        """
        theirs = swap_letters(self.b, self.a)
        state = signal.lfiltic(*theirs, np.asarray(past_y, dtype=np.float64), np.asarray(past_x, dtype=np.float64))
        return signal.lfilter(*theirs, np.asarray(x, dtype=np.float64), zi=state)[0]

    def recurse(self, x: np.ndarray, past_y: Sequence[float] = (), past_x: Sequence[float] = ()) -> np.ndarray:
        """The same as `simulate`, written out: y[n] from the equation itself."""
        k, m = len(self.b) - 1, len(self.a) - 1
        before_y, before_x = ([*past, *[0.0] * n][:n][::-1] for past, n in ((past_y, k), (past_x, m)))
        x, y = np.r_[before_x, np.asarray(x, dtype=np.float64)], np.array(before_y)
        for n in range(m, len(x)):
            right = sum(c * x[n - i] for i, c in enumerate(self.a))
            left = sum(c * y[len(y) - i] for i, c in enumerate(self.b) if i)
            y = np.append(y, (right - left) / self.b[0])
        return y[k:]

    def impulse_response(self, count: int) -> np.ndarray:
        """Of x = 1, 0, 0, ...; (count,). Its z-transform is H."""
        return self.simulate(np.eye(1, count)[0])

    def step_response(self, count: int) -> np.ndarray:
        """Of x = 1, 1, 1, ...; (count,)."""
        return self.simulate(np.ones(count))


# From differential equations


def from_ode(
    output: Sequence[float],
    input: Sequence[float],
    step: float,
    method: Method = "tustin",
) -> DifferenceEquation:
    """A difference equation for ``sum_j output_j y^(j) = sum_j input_j x^(j)``.

    With w = 1 / z the derivative s becomes ``(1 - w) / (T w)`` (forward difference), ``(1 - w) / T`` (backward), ``2 / T (1 -
    w) / (1 + w)`` (Tustin 1947, the trapezoidal rule); the zero-order hold is exact for inputs that are constant between
    samples. Forward differences are of order 1 and can be unstable where the equation is not; backward ones of order 1 and
    Tustin's of order 2 never are.

    Args:
        output: ascending: of y, y', y'', ...
        input: ascending: of x, x', ...
        step: T, seconds.
        method: which of the four.

    Raises:
        InputError: no derivative of the output, or more derivatives of the input than of it for a method that needs the past
            only.
    """
    left, right = (np.trim_zeros(np.asarray(c, dtype=np.float64), "b") for c in (output, input))
    if not len(left) or not len(right):
        raise InputError(f"coefficients {output} and {input}", "a number other than 0 on both sides")
    if method == "zero-order hold":
        return from_state_space(*state_space_of(left, right), step, method)
    order = max(len(left), len(right)) - 1
    if method == "forward" and len(right) > len(left):
        raise InputError(
            f"{len(right) - 1} derivatives of the input", f"at most {len(left) - 1}", "take another method"
        )
    above, below = {
        "forward": ([1.0, -1.0], [0.0, step]),
        "backward": ([1.0, -1.0], [step]),
        "tustin": ([2.0, -2.0], [step, step]),
    }[method]
    b, a = (_substituted(side, above, below, order) for side in (left, right))
    return DifferenceEquation(tuple(b / b[0]), tuple(a / b[0]), step)


def _substituted(ascending: np.ndarray, above: list[float], below: list[float], order: int) -> np.ndarray:
    """``sum_j c_j above^j below^(order - j)``, ascending in w; the common denominator is dropped on both sides."""
    total = np.zeros(1)
    for j, c in enumerate(ascending):
        term = reduce(np.convolve, [above] * j + [below] * (order - j), np.array([c]))
        size = max(len(total), len(term))
        total = np.pad(total, (0, size - len(total))) + np.pad(term, (0, size - len(term)))
    return total


class StateSpace(NamedTuple):
    """``s' = A s + B x, y = C s + D x`` with one input and one output."""

    matrix: np.ndarray  # A, (n, n)
    input: np.ndarray  # B, (n,)
    output: np.ndarray  # C, (n,)
    direct: float = 0.0  # D


def state_space_of(output: Sequence[float] | np.ndarray, input: Sequence[float] | np.ndarray) -> StateSpace:
    """The controllable form of an ordinary differential equation (see `from_ode`).

    Raises:
        InputError: more derivatives of the input than of the output, or none of the output.
    """
    b, a = np.asarray(output, dtype=np.float64), np.asarray(input, dtype=np.float64)
    n = len(b) - 1
    if n < 1 or len(a) > n + 1:
        raise InputError(
            f"{n} derivatives of the output, {len(a) - 1} of the input", "at least 1, and not more of the input"
        )
    a = np.pad(a, (0, n + 1 - len(a))) / b[-1]
    matrix = np.eye(n, k=1)
    matrix[-1] = -b[:-1] / b[-1]
    return StateSpace(matrix, np.eye(1, n, n - 1)[0], a[:-1] - a[-1] * b[:-1] / b[-1], float(a[-1]))


def from_state_space(
    matrix: np.ndarray,
    input: np.ndarray,
    output: np.ndarray,
    direct: float,
    step: float,
    method: Method = "tustin",
) -> DifferenceEquation:
    """A difference equation between the input and the output of a linear system.

    A semi-discrete equation ``u' = -K u + B x`` is one: A = -K, and C picks or averages nodes. b has as many entries as there
    are states, and one more.

    Args:
        matrix: A, (n, n), in 1 / s; n up to 20.
        input: B, (n,).
        output: C, (n,).
        direct: D.
        step: seconds.
        method: as for `from_ode`.

    Raises:
        InputError: shapes that do not fit, or more than 20 states.
    """
    n = len(matrix)
    if np.shape(matrix) != (n, n) or np.shape(input) != (n,) or np.shape(output) != (n,):
        shapes = f"A {np.shape(matrix)}, B {np.shape(input)}, C {np.shape(output)}"
        raise InputError(shapes, "(n, n), (n,), (n,)")
    if n > _MOST_STATES:
        raise InputError(
            f"{n} states",
            f"at most {_MOST_STATES}",
            "a polynomial of that degree is lost in rounding; keep the matrices",
        )
    sampled = _sampled(StateSpace(matrix, input, output, direct), step, method)
    b, a = _polynomials(sampled)
    return DifferenceEquation(tuple(b.tolist()), tuple(a.tolist()), step)


def _sampled(system: StateSpace, step: float, method: Method) -> StateSpace:
    """``s[n+1] = A s[n] + B x[n], y[n] = C s[n] + D x[n]``.

    Franklin, Powell and Workman (1998), "Digital Control of Dynamic Systems", sections 4.3 and 6.1.
    """
    n = len(system.matrix)
    if method == "zero-order hold":
        block = np.zeros((n + 1, n + 1))
        block[:n, :n], block[:n, n] = system.matrix, system.input
        flow = linalg.expm(step * block)
        return StateSpace(flow[:n, :n], flow[:n, n], system.output, system.direct)
    weight = _WEIGHTS[method]  # of the state s[n+1] in the derivative; the state kept is s[n] - weight T s'[n]
    inverse = np.linalg.inv(np.eye(n) - weight * step * system.matrix)
    kept = inverse @ (np.eye(n) + (1 - weight) * step * system.matrix)
    driven = step * inverse @ system.input
    direct = system.direct + weight * system.output @ driven
    return StateSpace(kept, driven, system.output @ inverse, float(direct))


def _polynomials(system: StateSpace) -> tuple[np.ndarray, np.ndarray]:
    """b, the characteristic polynomial, and a, its product with the impulse response D, C B, C A B, ...

    What is only rounding in a is 0.
    """
    b, response, state = np.poly(system.matrix).real, [system.direct], system.input
    for _ in range(len(system.matrix)):
        response.append(float(system.output @ state))
        state = system.matrix @ state
    a, size = (np.convolve(p, q)[: len(b)] for p, q in ((b, response), (np.abs(b), np.abs(response))))
    return b, np.where(np.abs(a) > 1e-14 * size, a, 0.0)


# From records


@dataclass(frozen=True)
class Identified:
    """An equation found from a record, b[0] = 1.

    Attributes:
        equation: the estimate.
        b_errors: standard errors of b, 0 for b[0].
        a_errors: standard errors of a, 0 for coefficients that the delay sets to 0.
        noise: standard deviation of the noise.
    """

    equation: DifferenceEquation
    b_errors: np.ndarray
    a_errors: np.ndarray
    noise: float


def identify_arx(
    x: np.ndarray, y: np.ndarray, *, order: int, inputs: int, step: float = 1.0, delay: int = 0
) -> Identified:
    """Least squares for ``y[n] = -sum b_k y[n-k] + sum a_k x[n-k] + e[n]``, e white ("ARX").

    Ljung (1999), "System Identification", section 10.1. Consistent if the noise e drives the equation; noise that is added
    to a recorded output drives it through b and biases b towards more damping: for that `identify_output_error`.

    Args:
        x: input, (n,).
        y: output, (n,).
        order: number of past outputs, the highest k of b.
        inputs: number of coefficients a.
        step: seconds.
        delay: number of samples before the input acts: a[0] to a[delay - 1] are 0.

    Raises:
        InputError: records of unequal or too small length, or an input that does not excite all coefficients.
    """
    first, known = max(order, delay + inputs - 1), order + inputs
    if np.shape(x) != np.shape(y) or len(x) - first <= known:
        raise InputError(
            f"records of shapes {np.shape(x)} and {np.shape(y)}", f"equal ones, longer than {first + known}"
        )
    columns = [-y[first - k : len(y) - k] for k in range(1, order + 1)]
    columns += [x[first - k : len(x) - k] for k in range(delay, delay + inputs)]
    regressors = np.stack(columns, axis=1)
    theta, _, rank, _ = np.linalg.lstsq(regressors, y[first:], rcond=None)
    if rank < known:
        raise InputError(f"a record that determines {rank} of {known} coefficients", "a richer input, or a lower order")
    return _identified(theta, y[first:] - regressors @ theta, regressors, order, delay, step)


def _identified(
    theta: np.ndarray, residual: np.ndarray, jacobian: np.ndarray, order: int, delay: int, step: float
) -> Identified:
    variance = float(residual @ residual) / (len(residual) - len(theta))
    triangle = np.linalg.qr(jacobian, mode="r")  # without squaring the condition
    errors = np.sqrt(variance) * np.linalg.norm(np.linalg.inv(triangle), axis=1)
    (b, a), (b_errors, a_errors) = _sides(theta, order, delay), _sides(errors, order, delay)
    b_errors[0] = 0.0
    return Identified(DifferenceEquation(tuple(b.tolist()), tuple(a.tolist()), step), b_errors, a_errors, variance**0.5)


def _sides(theta: np.ndarray, order: int, delay: int) -> tuple[np.ndarray, np.ndarray]:
    return np.r_[1.0, theta[:order]], np.r_[np.zeros(delay), theta[order:]]


def identify_output_error(
    x: np.ndarray, y: np.ndarray, *, order: int, inputs: int, step: float = 1.0, delay: int = 0, rounds: int = 20
) -> Identified:
    """Least squares between the record and the simulated output: for white noise added to a recorded output.

    Starts from ARX, takes rounds of Steiglitz and McBride (1965), which filter both records by 1 / b, then Gauss-Newton on
    the output error (Ljung 1999, section 10.2). The system is taken to be at rest before the record.

    Args:
        x: input, (n,).
        y: output, (n,).
        order: number of past outputs.
        inputs: number of coefficients a.
        step: seconds.
        delay: samples before the input acts.
        rounds: of filtering.

    Raises:
        InputError: as for `identify_arx`.
    """
    found = identify_arx(x, y, order=order, inputs=inputs, step=step, delay=delay)
    for _ in range(rounds):
        filtered = (_by_stable(found.equation.b, record) for record in (x, y))
        found = identify_arx(*filtered, order=order, inputs=inputs, step=step, delay=delay)

    def residual(theta: np.ndarray) -> np.ndarray:
        return _simulated(theta, x, order, delay) - y

    def jacobian(theta: np.ndarray) -> np.ndarray:
        b, _ = _sides(theta, order, delay)
        inner, outer = (signal.lfilter([1.0], b, record) for record in (_simulated(theta, x, order, delay), x))
        columns = [-_delayed(inner, k) for k in range(1, order + 1)]
        return np.stack(columns + [_delayed(outer, k) for k in range(delay, delay + inputs)], axis=1)

    start = np.r_[_stabilised(found.equation.b)[1:], found.equation.a[delay:]]
    fit = optimize.least_squares(residual, start, jac=jacobian, x_scale="jac", xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return _identified(fit.x, fit.fun, jacobian(fit.x), order, delay, step)


def _simulated(theta: np.ndarray, x: np.ndarray, order: int, delay: int) -> np.ndarray:
    """The output of trial coefficients; where they are unstable, large numbers in place of infinite ones."""
    b, a = _sides(theta, order, delay)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(signal.lfilter(a, b, x), nan=1e30, posinf=1e30, neginf=-1e30).clip(-1e30, 1e30)


def _by_stable(b: tuple[float, ...], record: np.ndarray) -> np.ndarray:
    return signal.lfilter([1.0], _stabilised(b), record)


def _stabilised(b: tuple[float, ...]) -> np.ndarray:
    """The polynomial with its roots outside the unit circle reflected into it."""
    roots = np.roots(b)
    outside = np.abs(roots) >= 1
    if not outside.any():
        return np.asarray(b)
    roots[outside] = 0.999 / np.conj(roots[outside])
    return np.poly(roots).real


def _delayed(record: np.ndarray, k: int) -> np.ndarray:
    return np.r_[np.zeros(k), record[: len(record) - k]]


# The vehicle


@dataclass(frozen=True, kw_only=True)
class QuarterCar:
    """A quarter of a car: a body on spring and damper over a wheel on its tyre, on a road of height x.

        sprung_mass z_s''   = -spring (z_s - z_u) - damper (z_s' - z_u')
        unsprung_mass z_u'' =  spring (z_s - z_u) + damper (z_s' - z_u') + tyre (x - z_u)

    Heights are measured from rest. The usual linear model, as in Rajamani (2012), "Vehicle Dynamics and Control", chapter
    10; the default values are those of a middle-sized car.

    Attributes:
        sprung_mass: of the body, kg.
        unsprung_mass: of the wheel, kg.
        spring: stiffness, N/m.
        damper: N s/m.
        tyre: stiffness, N/m.
    """

    sprung_mass: float = 300.0
    unsprung_mass: float = 40.0
    spring: float = 18e3
    damper: float = 1.5e3
    tyre: float = 180e3

    def state_space(self, output: Literal["body", "wheel"] = "body") -> StateSpace:
        """With the state (z_s, z_s', z_u, z_u') in m and m/s; input the road's height, output z_s or z_u, in m."""
        m, u, k, c = self.sprung_mass, self.unsprung_mass, self.spring, self.damper
        matrix = np.array(
            [
                [0.0, 1.0, 0.0, 0.0],
                [-k / m, -c / m, k / m, c / m],
                [0.0, 0.0, 0.0, 1.0],
                [k / u, c / u, -(k + self.tyre) / u, -c / u],
            ]
        )
        return StateSpace(matrix, np.array([0.0, 0.0, 0.0, self.tyre / u]), np.eye(4)[0 if output == "body" else 2])

    def ode(self, output: Literal["body", "wheel"] = "body") -> tuple[np.ndarray, np.ndarray]:
        """Ascending coefficients of the output and of the road: ``(m s^2 + c s + k)(u s^2 + c s + k + t) - (c s + k)^2``."""
        m, u, k, c, t = self.sprung_mass, self.unsprung_mass, self.spring, self.damper, self.tyre
        left = np.array([k * t, c * t, k * (m + u) + t * m, c * (m + u), m * u])
        return left, t * (np.array([k, c]) if output == "body" else np.array([k, c, m]))

    def transfer(self, s: complex | np.ndarray, output: Literal["body", "wheel"] = "body") -> np.ndarray:
        """H(s), s in 1 / s; at ``s = 2 pi i f`` the response to waves of the road."""
        below, above = (np.polyval(side[::-1], s) for side in self.ode(output))
        return np.asarray(above / below)

    def difference_equation(
        self, step: float, method: Method = "zero-order hold", output: Literal["body", "wheel"] = "body"
    ) -> DifferenceEquation:
        """From the road's height to that of the body or the wheel; exact at the samples for a road of steps."""
        return from_state_space(*self.state_space(output), step, method)

    def step_response(self, times: np.ndarray, output: Literal["body", "wheel"] = "body") -> np.ndarray:
        """After a step of the road by 1 m at t = 0: ``C A^-1 (exp(A t) - I) B``, by eigenvalues; of times' shape."""
        system = self.state_space(output)
        values, vectors = np.linalg.eig(system.matrix)
        modes = (system.output @ vectors) * np.linalg.solve(vectors, system.input) / values
        growth = np.exp(np.multiply.outer(np.asarray(times), values)) - 1
        return np.asarray((growth @ modes).real)
