"""Fields of signed distance from triangle meshes.

Convention: negative inside; coordinates in the mesh's own units, axes x, y, z. The field's domain is the mesh's bounding box
with a margin; distances are exact at the sample points (closest triangle), signs come from the mesh's orientation where it
is watertight and from the winding number where it is not.
"""

import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid, TriangleMesh
from ungrid.fields import Field, NeuralField
from ungrid.io.meshes import SurfaceDistance, distance_to_surface, sample_surface
from ungrid.metrics import iou
from ungrid.objectives import Term, UniformPoints, slope, spatial_gradient
from ungrid.sampling import PointSamples, RandomPoints
from ungrid.signals.gridded import Objective
from ungrid.signals.methods import Recipe, neural_field
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, Limits, fit_terms

MARGIN = 0.1  # of the longest edge of the bounding box, on every side
SHARES = 0.3, 0.2  # of the rows of samples: very near the surface, near; the rest are anywhere
NEAR, FAR = 0.004, 0.03  # standard deviations of samples about the surface, in longest edges
POOL = 1_200_000  # samples of the distance at most: far from the surface a node of the finest level needs some, too
PER_SECOND, PER_STEP, LEAST = 15_000, 2_000, 100_000  # fewer of them for a short fit, whose time they would take
ROW = 8  # neighbouring samples along the last axis, half a cell apart: the kernels serve them as one run
CELLS = 128  # of the longest axis of the grid that sizes the levels
LEARNING_RATE, TABLE_RATE, FINAL = 3e-3, 2e-2, 1e-3  # more digits than a picture needs: the steps must end small
BATCH = 1 << 16
FINER = 16  # cells for each scattered distance: a surface has more detail than its volume has samples
CHECKED = 40_000  # further samples of the distance, on which the best field is chosen
SLOPES = 1 << 10  # points of a step at which the gradient is taken: each costs as much as about 30 distances
SPREAD = 0.01  # distances are weighted by 1 / (|distance| + SPREAD), in longest edges: first the surface must be right
NOISY_SPREAD = 0.15  # of scattered ones, whose errors may not shrink towards the surface


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


def distance_grid(samples: PointSamples) -> RegularGrid:
    """A grid of cubes on the box of distance samples, with `FINER` cells for each of the samples.

    Raises:
        InputError: if the axes differ in their units: a distance needs one.
    """
    if len({axis.unit for axis in samples.domain.axes}) > 1:
        units = [f"{axis.name} ({axis.unit})" for axis in samples.domain.axes]
        raise InputError(f"distances over {', '.join(units)}", "axes of one unit")
    lengths = samples.domain.high - samples.domain.low
    cell = float(np.prod(lengths) / (FINER * len(samples.points))) ** (1 / samples.domain.dim)
    return RegularGrid(samples.domain, tuple(max(2, round(length / cell)) for length in lengths.tolist()))


def distance_samples(
    mesh: TriangleMesh, grid: RegularGrid, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, SurfaceDistance]:
    """Points (count, 3) and their signed distances with gradients, in rows of `ROW` along z, the last axis.

    First the rows very near the surface, then those near it, then those anywhere (`SHARES`).
    """
    rows = count // ROW
    near, close = (int(share * rows) for share in SHARES)
    surface, _ = sample_surface(mesh, near + close, rng)
    longest = longest_edge(mesh)
    spread = np.repeat([NEAR, FAR], [near, close])[:, None] * longest
    around = surface + spread * rng.standard_normal(surface.shape)
    anywhere = rng.uniform(grid.box.low, grid.box.high, (rows - near - close, 3))
    along = np.zeros((ROW, 3))
    along[:, -1] = (np.arange(ROW) - (ROW - 1) / 2) * grid.spacing[-1] / 2
    points = (np.concatenate([around, anywhere])[:, None] + along).reshape(-1, 3)
    points = np.clip(points, grid.box.low, grid.box.high)
    return points, distance_to_surface(mesh, points)


def longest_edge(mesh: TriangleMesh) -> float:
    """Of the mesh's bounding box."""
    return float(np.ptp(mesh.vertices, axis=0).max())


@dataclass(frozen=True, eq=False)
class Distances:
    """Signed distances (N,) at points (N, d), `together` neighbours in a row; gradients (N, d) where they are known.

    `longest` is the length of the shape, to which errors and `spread` (as `SPREAD`) are relative.
    """

    points: np.ndarray
    values: np.ndarray
    longest: float
    spread: float
    together: int = 1
    gradients: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """The distance that the network gives as 1."""
        return self.longest / 4

    def part(self, keep: np.ndarray) -> "Distances":
        """The numbered samples."""
        gradients = None if self.gradients is None else self.gradients[keep]
        return replace(self, points=self.points[keep], values=self.values[keep], gradients=gradients)

    def errors(self, u: Field) -> dict[str, float]:
        """Of a field of distances: the mean absolute error as a share of `longest`, the agreement of the insides."""
        predicted = u(self.points)[:, 0]
        error = float(np.abs(predicted - self.values).mean() / self.longest)
        return {"iou_samples": iou(predicted < 0, self.values < 0), "relative_mae": error}


def fit_shape(
    mesh: TriangleMesh, parts: Recipe, grid: RegularGrid, objective: Objective, options: Options,
    holdout: float | str | None = None,
) -> FitResult:  # fmt: skip
    """Fit a signed distance to a mesh; sampling the distances counts as part of the fit, and of a budget.

    Args:
        mesh: the surface.
        parts: the recipe.
        grid: as `shape_grid` gives it; the field is defined on its box.
        objective: with the weights of the eikonal term and of the normals.
        options: as `ungrid.fit` takes them.
        holdout: a fraction of the samples that is left out, to measure on.

    Raises:
        InputError: if the hold-out is no fraction.
    """
    if holdout is not None and not (isinstance(holdout, float) and 0 < holdout < 1):
        raise InputError(f"a hold-out of {holdout!r} of a mesh", "a fraction of the distance samples between 0 and 1")
    holes = mesh.open_edges()
    if holes:
        warnings.warn(
            f"the mesh is not watertight ({holes} edges do not join two faces); inside is where the winding number exceeds "
            "one half, and distances are not reliable near the holes",
            stacklevel=3,
        )
    began = time.perf_counter()
    rng = np.random.default_rng(options.seed)
    drawn, check = (sampled(mesh, grid, count, rng) for count in (pool(options.limits), CHECKED))
    given, hidden = drawn, None
    if holdout is not None:
        rows = rng.permutation(len(drawn.points) // ROW)
        index = (rows[:, None] * ROW + np.arange(ROW)).reshape(-1)
        kept = ROW * max(1, round((1 - holdout) * len(rows)))
        given, hidden = drawn.part(np.sort(index[:kept])), drawn.part(index[kept:])
    seconds = time.perf_counter() - began
    return fitted_distances(given, check, hidden, parts, grid, objective, after(options, seconds),
                            {"kind": "shape", "watertight": holes == 0, "open_edges": holes}, seconds)  # fmt: skip


def fit_distances(
    given: PointSamples, hidden: PointSamples, parts: Recipe, grid: RegularGrid, objective: Objective, options: Options
) -> FitResult:
    """Fit a signed distance to scattered samples of it; `hidden` ones are only measured on."""
    longest = float((given.domain.high - given.domain.low).max()) / (1 + 2 * MARGIN)
    own, other = (Distances(part.points, part.values[:, 0], longest, NOISY_SPREAD) for part in (given, hidden))
    return fitted_distances(own, own, other, parts, grid, objective, options, {"kind": "shape"}, 0.0)


def pool(limits: Limits) -> int:
    """How many samples of the distance a fit within these limits draws."""
    wanted = PER_SECOND * limits.budget if limits.steps is None else PER_STEP * limits.steps
    return int(min(POOL, max(LEAST, wanted)))


def sampled(mesh: TriangleMesh, grid: RegularGrid, count: int, rng: np.random.Generator) -> Distances:
    """`distance_samples` as a value."""
    points, found = distance_samples(mesh, grid, count, rng)
    return Distances(points, found.value, longest_edge(mesh), SPREAD, ROW, found.gradient)


def after(options: Options, seconds: float) -> Options:
    """The options with a budget that is so much smaller, though never less than half."""
    budget = options.limits.budget
    return replace(options, limits=replace(options.limits, budget=max(budget - seconds, budget / 2)))


def fitted_distances(
    given: Distances, check: Distances, hidden: Distances | None, parts: Recipe, grid: RegularGrid,
    objective: Objective, options: Options, metadata: dict[str, object], seconds: float,
) -> FitResult:  # fmt: skip
    """The fit itself: the best field on `check` is kept, errors are of `check` and of the hidden samples."""
    field = neural_field(parts, grid, ("distance",)).to(options.device)

    def metrics(u: Field) -> dict[str, float]:
        found = check.errors(_scaled(u, check.scale))
        return {"mae": found["relative_mae"], "iou": found["iou_samples"], "negative_mae": -found["relative_mae"]}

    solver = (
        replace(parts.solver, lr=LEARNING_RATE, table_lr=TABLE_RATE, final=FINAL)
        if parts.method == "grid"
        else parts.solver
    )
    result = fit_terms(
        field, distance_terms(given, grid, parts.batch, objective, options.device), solver, options.limits,
        seed=options.seed, metrics=metrics, better=None if given is check else "negative_mae", report=options.report,
        checkpoint=options.checkpoint, resume=options.resume,
    )  # fmt: skip
    final = _scaled(result.field, given.scale, metadata)
    found = check.errors(final)
    if hidden is not None:
        share = hidden.errors(final)["relative_mae"]
        found |= {"heldout_relative_mae": share, "heldout_mae": share * hidden.longest}
    stats = {**result.stats, "samples": len(given.points), "missing": 0, "metrics": found}
    stats["seconds"] += seconds
    return FitResult(final, result.outcome, result.history, stats)


def distance_terms(
    given: Distances, grid: RegularGrid, batch: int, objective: Objective, device: torch.device
) -> list[Term]:
    """The terms on a field of ``distance / scale``: the distances, and where they have a weight normals and slopes."""
    scale, size = given.scale, min(BATCH, batch, len(given.points))
    points = torch.from_numpy(given.points).to(device)
    target = torch.from_numpy(given.values / scale).float()[:, None].to(device)
    falling = 1 / (np.abs(given.values) / given.longest + given.spread)
    weight = torch.from_numpy(falling / falling.mean()).float().to(device)
    distances = RandomPoints(points, target, weight, size=size, together=given.together)
    terms = [Term(points=distances, name="distance")]
    if objective.normals:
        assert given.gradients is not None
        near = np.abs(given.values) < FAR * given.longest
        normals = torch.from_numpy(given.gradients[near]).float().to(device)
        sampler = RandomPoints(points[torch.from_numpy(near).to(device)], normals, size=min(SLOPES, len(normals)))
        terms.append(Term(points=sampler, operator=lambda u, x: scale * spatial_gradient(u, x),
                          weight=objective.normals, name="normals"))  # fmt: skip
    if objective.eikonal:
        everywhere = UniformPoints(grid.box, SLOPES, device)
        terms.append(Term(points=everywhere, operator=lambda u, x: scale * slope(u, x), target=1.0,
                          weight=objective.eikonal, name="eikonal"))  # fmt: skip
    return terms


def _scaled(u: Field, scale: float, metadata: dict[str, object] | None = None) -> NeuralField:
    assert isinstance(u, NeuralField)
    return NeuralField(
        u.domain, u.encoding, u.network, out_names=u.out_names, value_scale=(scale,), spacing=u.spacing,
        metadata=metadata,
    )  # fmt: skip
