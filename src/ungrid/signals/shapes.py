"""Fields of signed distance from triangle meshes.

Convention: negative inside; coordinates in the mesh's own units, axes x, y, z. The field's domain is the mesh's bounding box
with a margin; distances are exact at the sample points (closest triangle), signs come from the mesh's orientation where it
is watertight and from the winding number where it is not.
"""

import warnings
from dataclasses import replace

import numpy as np
import torch

from ungrid.domains import Axis, Box, RegularGrid, TriangleMesh
from ungrid.fields import Field, NeuralField
from ungrid.io.meshes import distance_to_surface, sample_surface
from ungrid.metrics import iou
from ungrid.objectives import Term
from ungrid.sampling import Batch, RandomPoints
from ungrid.signals.methods import Recipe, neural_field
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, fit_terms

MARGIN = 0.1  # of the longest edge of the bounding box, on every side
NEAR, FAR = 0.004, 0.03  # standard deviations of samples about the surface, in longest edges
POOL = 600_000  # samples of the distance
ROW = 8  # neighbouring samples along the last axis, half a cell apart: the kernels serve them as one run
CELLS = 128  # of the longest axis of the grid that sizes the levels
LEARNING_RATE, TABLE_RATE, FINAL = 3e-3, 2e-2, 1e-3  # more digits than a picture needs: the steps must end small
BATCH = 1 << 16
SPREAD = 0.15  # distances are weighted by 1 / (|distance| + SPREAD), in longest edges


def shape_grid(mesh: TriangleMesh) -> RegularGrid:
    """A grid of cubes around the mesh, with the margin."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    longest = float((high - low).max())
    low, high = low - MARGIN * longest, high + MARGIN * longest
    cell = float((high - low).max()) / CELLS
    shape = tuple(int(np.ceil((b - a) / cell)) for a, b in zip(low, high, strict=True))
    middle = (low + high) / 2
    axes = [
        Axis(name, m - n * cell / 2, m + n * cell / 2) for name, m, n in zip("xyz", middle.tolist(), shape, strict=True)
    ]
    return RegularGrid(Box(*axes), shape)


def distance_samples(
    mesh: TriangleMesh, grid: RegularGrid, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3) and their signed distances (count,), in rows of `ROW` along z, the last axis.

    Of the rows, 40 % are very near the surface, 30 % near, 30 % anywhere.
    """
    rows = count // ROW
    near, close = int(0.4 * rows), int(0.3 * rows)
    surface, _ = sample_surface(mesh, near + close, rng)
    longest = float(np.ptp(mesh.vertices, axis=0).max())
    spread = np.repeat([NEAR, FAR], [near, close])[:, None] * longest
    around = surface + spread * rng.standard_normal(surface.shape)
    anywhere = rng.uniform(grid.box.low, grid.box.high, (rows - near - close, 3))
    along = np.zeros((ROW, 3))
    along[:, -1] = (np.arange(ROW) - (ROW - 1) / 2) * grid.spacing[-1] / 2
    points = (np.concatenate([around, anywhere])[:, None] + along).reshape(-1, 3)
    points = np.clip(points, grid.box.low, grid.box.high)
    return points, distance_to_surface(mesh, points).value


def fit_shape(mesh: TriangleMesh, parts: Recipe, grid: RegularGrid, options: Options) -> FitResult:
    """Fit a signed distance to a mesh; sampling the distances counts as part of the fit."""
    holes = mesh.open_edges()
    if holes:
        warnings.warn(
            f"the mesh is not watertight ({holes} edges do not join two faces); inside is where the winding number exceeds "
            "one half, and distances are not reliable near the holes",
            stacklevel=3,
        )
    rng = np.random.default_rng(options.seed)
    points, distances = distance_samples(mesh, grid, POOL, rng)
    longest = float(np.ptp(mesh.vertices, axis=0).max())
    scale = longest / 4
    field = neural_field(parts, grid, ("distance",)).to(options.device)
    x = torch.from_numpy(points).to(options.device)
    target = torch.from_numpy(distances / scale).float()[:, None].to(options.device)
    weight = torch.from_numpy(SPREAD / (np.abs(distances) / longest + SPREAD)).float().to(options.device)
    check = Batch(*(torch.from_numpy(part) for part in distance_samples(mesh, grid, 40_000, rng)))

    def metrics(u: Field) -> dict[str, float]:
        predicted = _scaled(u, scale)(check.points.numpy())[:, 0]
        assert check.target is not None
        truth = check.target.numpy()
        error = np.abs(predicted - truth).mean() / longest
        return {"mae": float(error), "iou": iou(predicted < 0, truth < 0), "negative_mae": -float(error)}

    solver = (
        replace(parts.solver, lr=LEARNING_RATE, table_lr=TABLE_RATE, final=FINAL)
        if parts.method == "grid"
        else parts.solver
    )
    sampler = RandomPoints(x, target, weight, size=min(BATCH, parts.batch), together=ROW)
    result = fit_terms(
        field, [Term(points=sampler, name="distance")], solver, options.limits, seed=options.seed,
        metrics=metrics, better="negative_mae", report=options.report, checkpoint=options.checkpoint,
        resume=options.resume,
    )  # fmt: skip
    final = _scaled(result.field, scale, {"kind": "shape", "watertight": holes == 0, "open_edges": holes})
    found = metrics(result.field)
    stats = {**result.stats, "samples": POOL, "missing": 0,
             "metrics": {"iou_samples": found["iou"], "relative_mae": found["mae"]}}  # fmt: skip
    return FitResult(final, result.outcome, result.history, stats)


def _scaled(u: Field, scale: float, metadata: dict[str, object] | None = None) -> NeuralField:
    assert isinstance(u, NeuralField)
    return NeuralField(
        u.domain, u.encoding, u.network, out_names=u.out_names, value_scale=(scale,), spacing=u.spacing,
        metadata=metadata,
    )  # fmt: skip
