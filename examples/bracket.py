"""A steel bracket with a copper foot and cooling fins warms up for ten minutes; the drawing is `bracket.dxf`.

Heat comes in through one face (layer `heated`), leaves through the fins (`cooled`) and less well through the rest. Conductivity
falls with the temperature. The result is the highest temperature at the end, which lies on the heated face: 114.4 °C by refined
finite elements. Also: ``ungrid solve examples/bracket.py --reference --report``.
"""

from pathlib import Path

import numpy as np

from ungrid import pde
from ungrid.io.geometry import read_region

DRAWING, AMBIENT = Path(__file__).with_suffix(".dxf"), 20.0

whole = read_region(DRAWING, layers=("heated", "cooled", "foot", "bare", "hole"))
body = pde.Composite(whole, {"copper": read_region(DRAWING, layers=("copper",))}, rest="steel")
conductivity = pde.ByMaterial(steel=lambda u: 52 - 0.04 * u, copper=lambda u: 391 - 0.07 * u)  # W / (m K)
capacity = pde.ByMaterial(steel=3.85e6, copper=3.45e6)  # J / (m³ K)
problem = pde.Problem(
    body * pde.Time(0, 600, unit="s"),
    pde.SecondOrder(diffusion=conductivity, damping=capacity),
    [
        pde.Heating(6e4, conductivity, on="heated"),  # W / m²
        pde.Cooling(60, AMBIENT, conductivity, on="cooled"),  # W / (m² K)
        pde.Cooling(15, AMBIENT, conductivity, on=("foot", "bare", "hole")),
        pde.Initial(AMBIENT),
    ],
    name="bracket",
)

if __name__ == "__main__":
    result = pde.solve(problem, budget=120)
    face = np.linspace(0.078, 0.090, 50)
    points = np.column_stack([np.full(50, 0.026), face, np.full(50, 600.0)])
    print(f"{result.field(points).max():.2f} °C after {result.stats['seconds']:.0f} s of computing")
