"""-Δu = 1 on the L-shape, u = 0 on its boundary: the solution is singular at the re-entrant corner.

The integral of u is 0.2140758036 (from refined finite elements).
"""

from ungrid import pde

lshape = pde.Box(x=(-1, 1), y=(-1, 1)) - pde.Box(x=(0, 1), y=(0, 1))
problem = pde.Problem(lshape, pde.Poisson(source=1.0), [pde.Dirichlet(0.0)])
result = pde.solve(problem, budget=1.0)

points, weights = lshape.quadrature(12)
error_of_the_integral = abs(float(weights @ result.field(points)[:, 0]) - 0.2140758036)

if __name__ == "__main__":
    print(f"{error_of_the_integral:.1e} after {result.stats['seconds']:.1f} s")
