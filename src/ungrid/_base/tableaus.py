"""Coefficients of Runge-Kutta methods.

Source: Alexander 1977, *Diagonally implicit Runge-Kutta methods for stiff o.d.e.'s*, theorem 5: order 3, L-stable.
"""

GAMMA = 0.4358665215084590  # the root of x³ - 3x² + 3x/2 - 1/6 in (1/6, 1/2)
ALEXANDER = (
    (GAMMA,),
    ((1 - GAMMA) / 2, GAMMA),
    ((-6 * GAMMA**2 + 16 * GAMMA - 1) / 4, (6 * GAMMA**2 - 20 * GAMMA + 5) / 4, GAMMA),
)
