"""A quarter of a car drives over a kerb: the ODE solver against the difference equation, which a noisy record gives back."""

import numpy as np
from scipy.integrate import solve_ivp

from ungrid.reference.difference_equations import DifferenceEquation, QuarterCar, identify_arx

car = QuarterCar(sprung_mass=300.0, unsprung_mass=40.0, spring=18e3, damper=1.5e3, tyre=180e3)  # kg, N/m, N s/m
step = 0.01  # s
equation = car.difference_equation(step)  # sum b_k y[n-k] = sum a_k x[n-k]: y the body's height, x the road's
largest_pole = np.abs(equation.poles()).max()

# The step response (a kerb of 1 m: the model is linear), once by integration, once by recursion
times = equation.times(300)
matrix, road, body, _ = car.state_space()
curve = solve_ivp(
    lambda t, s: matrix @ s + road, (0.0, times[-1]), np.zeros(4), method="DOP853", t_eval=times, rtol=1e-10, atol=1e-12
)
largest_difference = np.abs(body @ curve.y - equation.step_response(len(times))).max()

# Forty seconds on a rough road with gusts of wind: b and a from the record alone, by least squares
rng = np.random.default_rng(0)
x = np.cumsum(0.01 * rng.standard_normal(4000))
gusts = 1e-4 * rng.standard_normal(len(x))
y = equation.simulate(x) + DifferenceEquation(equation.b, (1.0,), step).simulate(gusts)
found = identify_arx(x, y, order=4, inputs=4, step=step, delay=1)
errors = np.r_[found.b_errors[1:], found.a_errors[1:]]
off = np.r_[found.equation.b[1:], found.equation.a[1:]] - np.r_[equation.b[1:], equation.a[1:]]
worst_coefficient = (np.abs(off) / errors).max()  # in standard errors
