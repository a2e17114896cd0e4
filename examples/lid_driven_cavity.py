"""A closed box of a fluid whose lid moves with the speed 4 x (1 - x), at Reynolds number 100.

The result is the largest difference of the velocity along the middle line from finite elements; the fluid below the eye of the
vortex flows back. Also: ``ungrid solve cavity --budget 20``.
"""

import numpy as np

from ungrid import pde
from ungrid.reference.flow_elements import solve_flow

problem = pde.example("cavity").make()
result = pde.solve(problem, budget=5.0)
field = result.field

height = np.linspace(0, 1, 201)
line = np.column_stack([np.full_like(height, 0.5), height])
profile = field(line)[:, 0]  # the velocity along x on the middle line
elements = solve_flow(problem, h=1 / 24)
largest_difference = float(np.abs(profile - elements(line)[:, 0]).max())

if __name__ == "__main__":
    back = float(-np.minimum(profile, 0).mean())
    print(f"{back:.4f} flows back below the eye; finite elements differ by at most {largest_difference:.1e}")
