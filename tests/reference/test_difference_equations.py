"""Difference equations against the differential ones they come from, closed forms and their own recursion written out."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg, signal

from ungrid._base.errors import InputError
from ungrid.reference.difference_equations import (
    DifferenceEquation,
    QuarterCar,
    from_ode,
    from_state_space,
    identify_arx,
    identify_output_error,
    state_space_of,
    swap_letters,
)
from ungrid.reference.finite_differences import Dirichlet, Neumann, Operator, discretise
from ungrid.reference.marching import CRANK_NICOLSON, EXPLICIT_EULER, IMPLICIT_EULER, march
from ungrid.reference.z_transform import Exponential, convolve, final_value, initial_value

METHODS = ("forward", "backward", "tustin", "zero-order hold")
CAR = QuarterCar()
LEFT, RIGHT = (5.0, 1.2, 2.0), (3.0, 0.5)  # 2 y'' + 1.2 y' + 5 y = 0.5 x' + 3 x


def ode(s):
    return np.polyval(RIGHT[::-1], s) / np.polyval(LEFT[::-1], s)


def test_letters_are_swapped_once():
    """b = (1, -0.5) of y and a = (2, 3, 4) of x: y[n] = y[n-1] / 2 + 2 x[n] + 3 x[n-1] + 4 x[n-2], by hand."""
    b, a = (1.0, -0.5), (2.0, 3.0, 4.0)
    equation = DifferenceEquation(b, a)
    np.testing.assert_array_equal(equation.impulse_response(5), [2, 4, 6, 3, 1.5])
    theirs = swap_letters(b, a)
    np.testing.assert_array_equal(theirs[0], a)  # scipy calls the input's coefficients b
    np.testing.assert_array_equal(signal.lfilter(*theirs, [1.0, 0, 0, 0, 0]), [2, 4, 6, 3, 1.5])
    assert [tuple(side) for side in swap_letters(*theirs)] == [b, a]


coefficients = st.lists(st.floats(-2, 2), min_size=1, max_size=4)
signals = st.lists(st.floats(-1, 1), min_size=1, max_size=12)


@settings(max_examples=50)
@given(st.floats(0.5, 2), coefficients, coefficients, signals, coefficients, coefficients)
def test_compiled_recursion_is_the_equation(first, b, a, x, past_y, past_x):
    """Against the recursion written out, and both against the equation itself, at every n and with any past."""
    equation = DifferenceEquation((first, *b), tuple(a))
    y = equation.simulate(np.array(x), past_y, past_x)
    scale = 1 + np.abs(y).max()
    np.testing.assert_allclose(equation.recurse(np.array(x), past_y, past_x) / scale, y / scale, atol=1e-12)
    ys, xs = (np.r_[np.pad(past, (0, 4))[:4][::-1], now] for past, now in ((past_y, y), (past_x, x)))
    for n in range(4, len(xs)):
        left = sum(c * ys[n - k] for k, c in enumerate(equation.b))
        right = sum(c * xs[n - k] for k, c in enumerate(equation.a))
        assert abs(left - right) <= 1e-12 * scale * (1 + sum(map(abs, equation.b)))


# In z


def test_transfer_function_is_the_sum_of_the_impulse_response():
    equation = DifferenceEquation((1.0, -0.9, 0.5), (0.0, 2.0, -1.0, 0.3))
    h, transfer = equation.impulse_response(400), equation.transfer()
    assert transfer.region.inner == pytest.approx(np.sqrt(0.5))
    for z in (1.0, 1.1j, -0.9 + 0.3j):
        assert complex(transfer(z)) == pytest.approx((h * complex(z) ** -np.arange(400.0)).sum(), abs=1e-12)
    np.testing.assert_allclose(transfer.sequence(np.arange(-3, 30)), [0, 0, 0, *h[:30]], atol=1e-12)
    assert initial_value(transfer) == 0
    assert final_value(convolve(transfer, Exponential(1.0).transform())) == pytest.approx(
        equation.step_response(400)[-1]
    )


def test_poles_and_zeros():
    """(z - 0.5) (z + 0.25) / ((z - 0.9j) (z + 0.9j)); a delay by three samples adds three poles at 0."""
    equation = DifferenceEquation((1.0, 0.0, 0.81), (1.0, -0.25, -0.125))
    np.testing.assert_allclose(np.sort_complex(equation.poles()), [-0.9j, 0.9j], atol=1e-12)
    np.testing.assert_allclose(np.sort_complex(equation.zeros()), [-0.25, 0.5], atol=1e-12)
    late = DifferenceEquation((1.0, 0.0, 0.81), (0.0, 0.0, 0.0, 1.0, -0.25, -0.125))
    np.testing.assert_allclose(np.sort(np.abs(late.poles())), [0, 0, 0, 0.9, 0.9], atol=1e-12)
    assert equation.is_stable()
    assert late.is_stable()


def test_stability_looks_past_cancelled_poles():
    assert not DifferenceEquation((1.0, -1.0), (1.0,)).is_stable()
    assert not DifferenceEquation((1.0, -2.0), (1.0,)).is_stable()
    assert DifferenceEquation((1.0, -2.0), (3.0, -6.0)).is_stable()  # y = 3 x in disguise


def test_frequency_response_is_the_gain_of_a_long_wave():
    equation = from_ode(LEFT, RIGHT, 0.05)
    f = 0.4
    t = equation.times(4000)
    y = equation.simulate(np.cos(2 * np.pi * f * t))
    h = complex(equation.frequency_response(np.array(f)))
    np.testing.assert_allclose(y[2000:], (h * np.exp(2j * np.pi * f * t[2000:])).real, atol=1e-9)


# From differential equations


@pytest.mark.parametrize(
    ("method", "s"),
    [
        ("forward", lambda z, t: (z - 1) / t),
        ("backward", lambda z, t: (1 - 1 / z) / t),
        ("tustin", lambda z, t: 2 / t * (z - 1) / (z + 1)),
    ],
)
def test_substitutions(method, s):
    for z in (1.3, 0.4j, -0.2 + 0.7j):
        found = from_ode(LEFT, RIGHT, 0.2, method).transfer().formula(z)
        assert complex(found) == pytest.approx(ode(s(z, 0.2)), rel=1e-12)


def test_backward_difference_of_a_derivative():
    """y = x' needs no past output: (x[n] - x[n-1]) / T; and forward differences cannot say it."""
    assert from_ode((1.0,), (0.0, 1.0), 0.5, "backward") == DifferenceEquation((1.0,), (2.0, -2.0), 0.5)
    with pytest.raises(InputError, match="1 derivatives of the input; expected at most 0"):
        from_ode((1.0,), (0.0, 1.0), 0.5, "forward")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("right", [RIGHT, (3.0, 0.5, 0.7)])  # without and with a direct path
def test_both_ways_to_a_difference_equation_agree(method, right):
    direct = from_ode(LEFT, right, 0.1, method).normalised()
    states = from_state_space(*state_space_of(LEFT, right), 0.1, method)
    np.testing.assert_allclose(states.b, direct.b, atol=1e-13)
    np.testing.assert_allclose(states.a, np.pad(direct.a, (0, 3 - len(direct.a))), atol=1e-13)


@pytest.mark.parametrize("step", [0.01, 0.5, 4.0])
def test_zero_order_hold_of_a_lag(step):
    """2 y' + y = 3 x: y[n] = q y[n-1] + 3 (1 - q) x[n-1], q = exp(-T / 2)."""
    q = np.exp(-step / 2)
    found = from_ode((1.0, 2.0), (3.0,), step, "zero-order hold")
    np.testing.assert_allclose([*found.b, *found.a], [1, -q, 0, 3 * (1 - q)], atol=1e-14)


@pytest.mark.parametrize(("method", "order"), [("forward", 1), ("backward", 1), ("tustin", 2), ("zero-order hold", 1)])
def test_order_of_the_response_to_a_wave(method, order):
    """H(exp(i w T)) tends to G(i w) as T^order, over four refinements; the hold alone delays by half a step."""
    f = 0.35
    errors = []
    for step in 0.02 * 2.0 ** -np.arange(5):
        h = from_ode(LEFT, RIGHT, float(step), method).frequency_response(np.array(f))
        errors.append(abs(complex(h) - ode(2j * np.pi * f)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.abs(orders - order).max() < 0.15


@settings(max_examples=50)
@given(st.floats(0.05, 20), st.floats(0.01, 0.99), st.floats(0.01, 10))
def test_implicit_rules_keep_stability_and_the_forward_one_loses_it_at_its_limit(omega, damping, step):
    """y'' + 2 d w y' + w^2 y = x is stable; forward differences are up to T = 2 d / w."""
    equation = (omega**2, 2 * damping * omega, 1.0)
    assert from_ode(equation, (1.0,), step, "backward").is_stable()
    assert from_ode(equation, (1.0,), step, "tustin").is_stable()
    assert from_ode(equation, (1.0,), 0.99 * 2 * damping / omega, "forward").is_stable()
    assert not from_ode(equation, (1.0,), 1.01 * 2 * damping / omega, "forward").is_stable()


@pytest.mark.parametrize(
    ("method", "scheme"), [("forward", EXPLICIT_EULER), ("backward", IMPLICIT_EULER), ("tustin", CRANK_NICOLSON)]
)
def test_semi_discrete_heat(method, scheme):
    """A rod heated at one end, insulated at the other: the recursion of its middle is the scheme for the whole rod."""
    step, x = 0.01, lambda t: np.sin(5 * t)
    axis = np.linspace(0, 1, 7)
    system = discretise([axis], Operator(), [(Dirichlet(lambda s, t: x(t)), Neumann(0.0))])
    source = (system.matrix.toarray()[:, :1]).ravel()[system.free]
    equation = from_state_space(-system.inner.toarray(), -source, np.eye(6)[2], 0.0, step, method)
    times = np.arange(60) * step
    whole = march(system, 0.0, times, scheme=scheme)
    np.testing.assert_allclose(equation.simulate(x(times)), whole[:, 3], atol=1e-9)
    assert equation.is_stable()


# From records


def record(equation, count, noise, seed, drives):
    rng = np.random.default_rng(seed)
    x, e = rng.standard_normal(count), noise * rng.standard_normal(count)
    if drives:
        return x, equation.simulate(x) + DifferenceEquation(equation.b, (1.0,)).simulate(e)
    return x, equation.simulate(x) + e


LIGHT = DifferenceEquation((1.0, -1.5, 0.8), (0.0, 0.5, 0.3))


@pytest.mark.parametrize("identify", [identify_arx, identify_output_error])
def test_without_noise_the_coefficients_come_back(identify):
    equation = CAR.difference_equation(0.02)
    x, y = record(equation, 400, 0.0, 0, True)
    found = identify(x, y, order=4, inputs=4, step=0.02, delay=1)
    np.testing.assert_allclose(found.equation.b, equation.b, atol=1e-7)
    np.testing.assert_allclose(found.equation.a, equation.a, atol=1e-7)
    assert found.noise < 1e-8


@pytest.mark.parametrize(("identify", "drives"), [(identify_arx, True), (identify_output_error, False)])
def test_standard_errors(identify, drives):
    """Over 100 records the squared errors, in standard errors, average 1: four coefficients, so 1 +- 4 sqrt(2 / 100)."""
    squares = []
    for seed in range(100):
        x, y = record(LIGHT, 400, 0.2, seed, drives)
        found = identify(x, y, order=2, inputs=2, delay=1)
        off = np.subtract([*found.equation.b[1:], *found.equation.a[1:]], [*LIGHT.b[1:], *LIGHT.a[1:]])
        squares.append((off / np.r_[found.b_errors[1:], found.a_errors[1:]]) ** 2)
        assert found.noise == pytest.approx(0.2, rel=0.2)
        assert found.b_errors[0] == found.a_errors[0] == 0
    mean = np.mean(squares, axis=0)
    assert np.abs(mean - 1).max() < 4 * np.sqrt(2 / 100)


def test_noise_on_the_output_misleads_arx_and_not_the_output_error():
    """The expected bias is of the order noise^2 / var(y) and does not shrink with the record."""
    x, y = record(LIGHT, 4000, 1.0, 0, False)
    arx = identify_arx(x, y, order=2, inputs=2, delay=1)
    fit = identify_output_error(x, y, order=2, inputs=2, delay=1)
    assert abs(arx.equation.b[1] - LIGHT.b[1]) > 10 * arx.b_errors[1]
    assert abs(fit.equation.b[1] - LIGHT.b[1]) < 4 * fit.b_errors[1]


# The vehicle


@pytest.mark.parametrize("output", ["body", "wheel"])
def test_car_in_states_and_as_an_equation(output):
    system = CAR.state_space(output)
    for s in (0.0, 3j, -1 + 20j):
        inner = np.linalg.solve(s * np.eye(4) - system.matrix, system.input)
        assert complex(CAR.transfer(s, output)) == pytest.approx(complex(system.output @ inner), rel=1e-10)
    assert float(CAR.transfer(0.0, output)) == pytest.approx(1)  # on a raised road the car stands higher by as much


def test_undamped_car_swings_at_its_natural_frequencies():
    """Of the stiffness and mass matrices; the body's lies near sqrt(k t / (k + t) / m), the springs being in series."""
    car = QuarterCar(damper=0.0)
    stiffness = np.array([[car.spring, -car.spring], [-car.spring, car.spring + car.tyre]])
    squares = linalg.eigvalsh(stiffness, np.diag([car.sprung_mass, car.unsprung_mass]))
    found = np.sort(np.abs(np.linalg.eigvals(car.state_space().matrix).imag))
    np.testing.assert_allclose(found[::2], np.sqrt(squares), rtol=1e-10)
    series = car.spring * car.tyre / (car.spring + car.tyre)
    assert np.sqrt(squares[0]) == pytest.approx(np.sqrt(series / car.sprung_mass), rel=0.01)


@pytest.mark.parametrize("output", ["body", "wheel"])
@pytest.mark.parametrize("step", [0.001, 0.01, 0.05])
def test_step_response_three_ways(output, step):
    equation = CAR.difference_equation(step, output=output)
    times = equation.times(round(2 / step))
    system = CAR.state_space(output)
    done = integrate.solve_ivp(
        lambda t, s: system.matrix @ s + system.input,
        (0, 2),
        np.zeros(4),
        t_eval=times,
        rtol=1e-11,
        atol=1e-13,
        method="DOP853",
    )
    exact = CAR.step_response(times, output)
    np.testing.assert_allclose(system.output @ done.y, exact, atol=1e-9)
    np.testing.assert_allclose(equation.step_response(len(times)), exact, atol=1e-8)
    assert equation.is_stable()
    assert np.abs(equation.poles()).max() < 1
    np.testing.assert_allclose(
        np.sort(np.abs(equation.poles())), np.sort(np.exp(np.linalg.eigvals(system.matrix).real * step)), atol=1e-5
    )


def test_example():
    """Its number, the poles and the coefficients from the noisy record."""
    found = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "quarter_car.py"))
    assert found["largest_difference"] < 1e-4
    assert found["largest_pole"] < 1
    assert found["worst_coefficient"] < 4


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: DifferenceEquation((0.0, 1.0), (1.0,)), r"b\[0\] = 0"),
        (lambda: DifferenceEquation((1.0, np.nan), (1.0,)), "finite coefficients"),
        (lambda: DifferenceEquation((), (1.0,)), "finite coefficients of both sides"),
        (lambda: DifferenceEquation((1.0,), (1.0,), 0.0), "a step of 0.0; expected a positive number"),
        (lambda: from_ode((0.0,), (1.0,), 0.1), "other than 0 on both sides"),
        (lambda: from_ode((1.0,), (1.0, 1.0), 0.1, "zero-order hold"), "at least 1, and not more of the input"),
        (lambda: from_state_space(np.eye(2), np.ones(3), np.ones(2), 0.0, 0.1), r"B \(3,\)"),
        (lambda: from_state_space(np.eye(30), np.ones(30), np.ones(30), 0.0, 0.1), "30 states; expected at most 20"),
        (lambda: identify_arx(np.ones(9), np.ones(8), order=1, inputs=1), "equal ones"),
        (lambda: identify_arx(np.ones(4), np.ones(4), order=2, inputs=2), "longer than"),
        (lambda: identify_arx(np.ones(50), np.ones(50), order=2, inputs=2), "determines 1 of 4 coefficients"),
    ],
)
def test_wrong_use_names_the_part(wrong, words):
    with pytest.raises(InputError, match=words):
        wrong()
