"""Fields from scattered measurements by the neural methods; `scattered` has the closed form that "auto" takes.

Convention: values are fitted in standard deviations from their mean, weighted by the inverse squares of the given standard
errors. Held-out samples are whole groups (lines, tracks, stations) where the samples have groups.
"""

from dataclasses import replace

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.fields import Field, NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.metrics import mae, rmse
from ungrid.objectives import Term
from ungrid.sampling import PointSamples, RandomPoints
from ungrid.signals.methods import Recipe, neural_field
from ungrid.signals.options import Options
from ungrid.solvers import FitResult, fit_terms

HELD_OUT = 0.1  # of the groups, where no other fraction is asked for


def equivalent_grid(samples: PointSamples) -> RegularGrid:
    """A grid on the samples' box with about as many cells as there are samples, and cells of one shape in unit coordinates."""
    lengths = np.array([axis.length for axis in samples.domain.axes]) / np.array(unit_scale(samples.domain))
    cell = (np.prod(lengths) / len(samples.points)) ** (1 / samples.domain.dim)
    return RegularGrid(samples.domain, tuple(max(2, round(length / cell)) for length in lengths.tolist()))


def split_points(samples: PointSamples, holdout: float | str | None, seed: int) -> tuple[PointSamples, PointSamples]:
    """The samples to fit to and those kept out.

    Args:
        samples: all of them.
        holdout: a fraction; "groups" or "random" (a tenth); None takes groups where there are any.
        seed: of the draw.

    Raises:
        InputError: if the hold-out is of another kind, or groups are asked for and there are none.
    """
    if holdout == "groups" and samples.groups is None:
        raise InputError("samples without groups", "a column of lines, tracks or stations", "use a hold-out of random")
    if not (holdout in (None, "groups", "random") or (isinstance(holdout, float) and 0 < holdout < 1)):
        raise InputError(f"a hold-out of {holdout!r}", 'a fraction between 0 and 1, "groups" or "random"')
    fraction = holdout if isinstance(holdout, float) else HELD_OUT
    alone = holdout == "random" or samples.groups is None
    groups = np.arange(len(samples.points)) if alone else np.asarray(samples.groups)
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    out = np.isin(groups, names[: max(1, round(fraction * len(names)))])
    return _subset(samples, ~out), _subset(samples, out)


def fit_points(given: PointSamples, hidden: PointSamples, parts: Recipe, options: Options) -> FitResult:
    """Fit the field of a recipe to scattered samples; `hidden` ones are only measured on."""
    offset, scale = given.values.mean(axis=0), given.values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    field = neural_field(parts, equivalent_grid(given), given.out_names).to(options.device)
    x = torch.from_numpy(given.points).to(options.device)
    target = torch.from_numpy((given.values - offset) / scale).float().to(options.device)

    def metrics(u: Field) -> dict[str, float]:
        return {"rmse": rmse(_in_units(u, offset, scale)(given.points), given.values)}

    term = Term(points=RandomPoints(x, target, _weights(given), size=min(len(x), parts.batch)))
    result = fit_terms(
        field, [term], parts.solver, options.limits, seed=options.seed, metrics=metrics, report=options.report,
        checkpoint=options.checkpoint, resume=options.resume,
    )  # fmt: skip
    final = _in_units(result.field, offset, scale)
    predicted = final(hidden.points)
    found = {
        "rmse": rmse(final(given.points), given.values),
        "heldout_rmse": rmse(predicted, hidden.values),
        "heldout_mae": mae(predicted, hidden.values),
    }
    stats = {**result.stats, "samples": given.values.size, "missing": 0, "metrics": found}
    return FitResult(final, result.outcome, result.history, stats)


def _subset(samples: PointSamples, keep: np.ndarray) -> PointSamples:
    return replace(
        samples, points=samples.points[keep], values=samples.values[keep],
        sigma=None if samples.sigma is None else samples.sigma[keep],
        groups=None if samples.groups is None else samples.groups[keep],
    )  # fmt: skip


def _weights(samples: PointSamples) -> torch.Tensor | None:
    """Inverse squared standard errors, over columns, with mean 1."""
    if samples.sigma is None:
        return None
    least = np.maximum(samples.sigma, 1e-3 * np.median(samples.sigma))
    weight = (1 / np.square(least)).mean(axis=1)
    return torch.from_numpy(weight / weight.mean()).float()


def _in_units(u: Field, offset: np.ndarray, scale: np.ndarray) -> NeuralField:
    assert isinstance(u, NeuralField)
    return NeuralField(
        u.domain, u.encoding, u.network, out_names=u.out_names, value_scale=tuple(scale.tolist()),
        value_offset=tuple(offset.tolist()), spacing=u.spacing, metadata={"kind": "points"},
    )  # fmt: skip
