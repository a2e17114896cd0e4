"""How good a field is on samples: the metrics that suit the kind of signal."""

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import Axis, RegularGrid, TriangleMesh
from ungrid.fields import Field
from ungrid.io.meshes import distance_to_surface
from ungrid.metrics import iou, mae, mse, relative_l2, rmse, ssim
from ungrid.sampling import GridSamples, PointSamples
from ungrid.signals.gridded import psnr, split_grid
from ungrid.signals.points import split_points

IOU_CELLS = 128  # of the longest axis of the grid on which a shape's occupancy is compared


def evaluate(field: Field, samples: GridSamples | PointSamples | TriangleMesh) -> dict[str, float]:
    """Metrics of a field on samples.

    Args:
        field: any field over the axes of the samples.
        samples: what it should give.

    Returns:
        Gridded samples: psnr_db, mse, rmse, mae, largest_error, relative_l2, and ssim of pictures. Scattered samples: rmse,
        mae, relative_l2. A mesh: iou on a grid of 128 cells along its longest axis, and the mean error of the distance
        on that grid as a share of the longest edge.

    Raises:
        InputError: if the samples do not have the field's axes or values.
    """
    if isinstance(samples, TriangleMesh):
        return _evaluate_shape(field, samples)
    names = [axis.name for axis in samples_axes(samples)]
    ours = [axis.name for axis in field.domain.axes]
    if names != ours or len(samples.out_names) != len(field.out_names):
        raise InputError(
            f"samples over {names} with values {list(samples.out_names)}",
            f"axes {ours} with values {list(field.out_names)}",
        )
    if isinstance(samples, PointSamples):
        values = field(samples.points)
        return {
            "rmse": rmse(values, samples.values),
            "mae": mae(values, samples.values),
            "relative_l2": relative_l2(values, samples.values),
        }
    values = field.on_grid(samples.grid)
    found = {
        "psnr_db": psnr(field, samples),
        "mse": mse(values, samples.values),
        "rmse": rmse(values, samples.values),
        "mae": mae(values, samples.values),
        "largest_error": float(np.nanmax(np.abs(values - samples.values))),
        "relative_l2": relative_l2(values, samples.values),
    }
    if samples.kind == "image" and min(samples.grid.shape) >= 11 and not samples.missing:
        found["ssim"] = ssim(np.clip(values, 0, samples.peak), samples.values, samples.peak)
    return found


def evaluate_heldout(
    field: Field, samples: GridSamples | PointSamples, holdout: float | str | None, seed: int
) -> dict[str, float]:
    """Metrics on the samples that the fit left out, as ``heldout_...``: the split of `ungrid.fit` is made again.

    Args:
        field: fitted with this hold-out and seed, to the samples that it left.
        samples: all of them, as read for the fit.
        holdout: as given to the fit.
        seed: likewise.
    """
    if isinstance(samples, GridSamples):
        hidden = split_grid(samples, holdout, seed)[1]
        return {} if hidden is None else _renamed(evaluate(field, hidden))
    return _renamed(evaluate(field, split_points(samples, holdout, seed)[1]))


def _renamed(found: dict[str, float]) -> dict[str, float]:
    return {f"heldout_{name}": value for name, value in found.items()}


def samples_axes(samples: GridSamples | PointSamples) -> tuple[Axis, ...]:
    """The axes of the samples' box."""
    return samples.grid.box.axes if isinstance(samples, GridSamples) else samples.domain.axes


def _evaluate_shape(field: Field, mesh: TriangleMesh) -> dict[str, float]:
    lengths = field.domain.high - field.domain.low
    shape = tuple(int(np.ceil(IOU_CELLS * length / lengths.max())) for length in lengths)
    grid = RegularGrid(field.domain.box, shape)
    predicted = field.on_grid(grid)[..., 0]
    truth = distance_to_surface(mesh, grid.points().reshape(-1, 3)).value.reshape(shape)
    longest = float(np.ptp(mesh.vertices, axis=0).max())
    return {
        "iou": iou(predicted < 0, truth < 0),
        "relative_mae": float(np.abs(predicted - truth).mean() / longest),
    }
