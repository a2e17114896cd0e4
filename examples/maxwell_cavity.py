"""An electric field that swings between conductors: Maxwell's equations in a cube, and its laws on spheres and loops in it."""

from ungrid import pde
from ungrid.pde.integral_laws import integral_laws

chosen = pde.example("resonator-3d")
problem = chosen.make()
result = pde.solve(problem, budget=1.0)  # the smallest basis; with 30 seconds the error is 1e-4

points = pde.check_points(problem, 0)
relative_error = pde.distance(result.field, pde.exact_values(problem, chosen.exact, points), points).relative_l2
laws = integral_laws(result.field, problem, count=3)

if __name__ == "__main__":
    print(f"{result.stats['features']} features, {result.stats['modes']} modes, relative error {relative_error:.1e}")
    for law, off in laws.items():
        print(f"{law}: off by at most {off.max():.1e} of what is integrated")
