"""A family of problems that differ in one number, as one field over that number and the problem's own axes.

Some members are solved; between them the solution is interpolated by cubic splines, along the logarithm of the number where
it spans decades. That needs no training: on a full grid the spline's numbers are three small systems, one for each axis.

Convention: the members that are solved are equally spaced along the first axis of the field, and the first and the last of
them are the ends of the family. The field's first axis is the number's logarithm (``log_nu``) or the number itself.

Sources: de Boor 1978, *A practical guide to splines*, chapter XVII (tensor products). Solutions of a family from a few of them:
Noor and Peters 1980, *Reduced basis technique for nonlinear analysis of structures*.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.encodings import SplineGrid
from ungrid.encodings.grid import PAD, PIECES
from ungrid.equations import Problem
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.networks import Linear
from ungrid.pde.ladder import solve

STIFFNESS = 1e-5  # of the fourth differences that settle the numbers beyond the outermost samples
Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Family:
    """The solutions of a family of problems.

    Attributes:
        field: over the number (or its logarithm) and the axes of the problems.
        name: of the number.
        low: the least number.
        high: the largest one.
        logarithmic: whether the field's first axis is its natural logarithm.
        members: the numbers that were solved.
        stats: seconds of solving and of joining, and the relative residuals that the solver reported.
    """

    field: NeuralField
    name: str
    low: float
    high: float
    logarithmic: bool
    members: tuple[float, ...]
    stats: dict[str, Any]

    def at(self, number: float) -> NeuralField:
        """The solution for one number of the family, over the problem's axes: the same values, with fewer numbers.

        Raises:
            InputError: if the number lies outside of the family.
        """
        if not self.low <= number <= self.high:
            raise InputError(f"{self.name} = {number}", f"a number from {self.low} to {self.high}")
        encoding, box = self.field.encoding, self.field.domain
        assert isinstance(encoding, SplineGrid)
        place = math.log(number) if self.logarithmic else number
        cells, first = encoding.cells[0], box.axes[0]
        rows = spline_rows(np.array([(place - first.low) / first.length * cells[0]]), cells[0])
        table = encoding.table.detach().reshape([n + 2 * PAD for n in cells])
        kept = torch.from_numpy(rows).to(table.dtype) @ table.flatten(1)
        made = _spline_field(Box(*box.axes[1:]), cells[1:], self.field.out_names)
        return with_table(made, kept.reshape(-1))


def solve_family(
    make: Callable[[float], Problem],
    low: float,
    high: float,
    *,
    name: str = "nu",
    members: int = 12,
    shape: tuple[int, ...],
    logarithmic: bool | None = None,
    budget: float = 10.0,
    seed: int = 0,
    report: Report | None = None,
) -> Family:
    """Solve some members of a family, and join them to one field.

    Args:
        make: from the number to the problem; all on one box, or on one interval over one time, with one unknown value.
        low: the least number.
        high: the largest one.
        name: of the number.
        members: how many are solved.
        shape: samples along each axis of the problem, fine enough for its sharpest member.
        logarithmic: whether members are spaced by the logarithm; None: where the ends are apart by more than 4.
        budget: seconds for each member.
        seed: of the solver.
        report: called after each member with `step`, `number` and `seconds`.

    Raises:
        InputError: if there are fewer than 4 members, or the ends or the problems do not fit.
    """
    if members < 4 or not low < high:
        raise InputError(f"{members} members from {low} to {high}", "at least 4, and a first end below the second")
    logs = high / low > 4 if logarithmic is None and low > 0 else bool(logarithmic)
    places = np.linspace(math.log(low), math.log(high), members) if logs else np.linspace(low, high, members)
    numbers = [float(n) for n in (np.exp(places) if logs else places)]
    numbers[0], numbers[-1] = low, high
    domain = make(low).domain
    box = Box(*domain.axes)
    if len(shape) != box.dim:
        raise InputError(f"samples {shape} of a problem over {box.dim} axes", "one number for each axis")
    began, snapshots, residuals = time.perf_counter(), [], []
    for k, number in enumerate(numbers):
        result = solve(make(number), budget=budget, seed=seed)
        if len(result.field.out_names) != 1:
            raise InputError(f"a family of {len(result.field.out_names)} unknown values", "one")
        snapshots.append(result.field.on_grid(RegularGrid(box, shape))[..., 0])
        residuals.append(result.stats["relative_residual"])
        if report is not None:
            report({"step": k + 1.0, "number": number, "seconds": time.perf_counter() - began})
    solved = time.perf_counter() - began
    step = (places[-1] - places[0]) / (members - 1)
    first = Axis(
        f"log_{name}" if logs else name, float(places[0] - step / 2), float(places[-1] + step / 2), f"1 ({name})"
    )
    field = interpolating_field(Box(first, *box.axes), np.stack(snapshots), result.field.out_names)
    stats = {
        "seconds": solved,
        "joining_seconds": time.perf_counter() - began - solved,
        "relative_residuals": residuals,
    }
    return Family(field, name, low, high, logs, tuple(numbers), stats)


def interpolating_field(box: Box, samples: np.ndarray, out_names: tuple[str, ...]) -> NeuralField:
    """The cubic spline through samples at the centres of a grid on the box, as a field in double precision."""
    numbers = np.asarray(samples, dtype=np.float64)
    for axis, count in enumerate(samples.shape):
        numbers = np.moveaxis(np.tensordot(_numbers_from_samples(count), numbers, axes=(1, axis)), 0, axis)
    made = _spline_field(box, samples.shape, out_names)
    return with_table(made, torch.from_numpy(np.ascontiguousarray(numbers).reshape(-1)))


def spline_rows(places: np.ndarray, cells: int) -> np.ndarray:
    """Cubic B-splines at places (n,) in cells from the low end of an axis: (n, cells + 2 PAD), as `SplineGrid` has them."""
    t = places - 0.5 + PAD
    first = np.floor(t).astype(int)
    powers = (t - first)[:, None] ** np.arange(4)
    rows = np.zeros((len(places), cells + 2 * PAD))
    for tap, weights in enumerate(PIECES[3]):
        rows[np.arange(len(places)), first - 1 + tap] = powers @ np.array(weights)
    return rows


def _numbers_from_samples(count: int) -> np.ndarray:
    """The map from samples at cell centres to numbers of the spline through them.

    There are more numbers than samples: those at the ends make the fourth differences small, so that the spline goes on
    there as a cubic.
    """
    rows = spline_rows(np.arange(count) + 0.5, count)
    differences = np.diff(np.eye(count + 2 * PAD), n=4, axis=0)
    system = np.concatenate([rows, STIFFNESS * differences])
    return np.linalg.lstsq(system, np.eye(len(system), count), rcond=None)[0]


def _spline_field(box: Box, cells: tuple[int, ...], out_names: tuple[str, ...]) -> NeuralField:
    extent = tuple(axis.length / 2 / s for axis, s in zip(box.axes, unit_scale(box), strict=True))
    spacing = tuple(axis.length / n for axis, n in zip(box.axes, cells, strict=True))
    encoding, network = SplineGrid((tuple(cells),), (1,), extent=extent, order=3), Linear(1, 1)
    return NeuralField(box, encoding, network, out_names=out_names, spacing=spacing).double()


def with_table(field: NeuralField, numbers: Tensor) -> NeuralField:
    """The same field with these numbers in its table, and a network that gives the feature as it is."""
    with torch.no_grad():
        field.encoding.get_parameter("table").copy_(numbers)
        field.network.get_parameter("weight").fill_(1.0)
    return field
