import dataclasses
import math

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.sampling import PointSamples
from ungrid.signals.comparison import CLASSICAL, values_and_half_widths
from ungrid.signals.measurements import group_folds, measurements
from ungrid.signals.scattered import fit_field, fit_scattered
from ungrid.signals.spline_posterior import Folded
from ungrid.signals.spline_search import FEWEST
from ungrid.solvers import FitResult, Outcome

BOX = Box(x=(0, 10), y=(0, 10))


def lines(seed: int, count: int = 24, each: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Straight lines through the square at random angles and offsets: points and the line of every point."""
    rng = np.random.default_rng(seed)
    start, end = rng.uniform(0, 10, (2, count, 1, 2))
    t = np.linspace(0, 1, each)[:, None]
    return (start + t * (end - start)).reshape(-1, 2), np.repeat(np.arange(count), each)


def gaussian_process(points: np.ndarray, seed: int, noise: float = 0.05) -> np.ndarray:
    """A draw of variance 1 with the Matérn correlation of smoothness 3/2 and length 2, measured with noise."""
    h = math.sqrt(3) * np.linalg.norm(points[:, None] - points, axis=-1) / 2
    root = np.linalg.cholesky((1 + h) * np.exp(-h) + noise**2 * np.eye(len(points)))
    return root @ np.random.default_rng(seed).standard_normal((len(points), 1))


def test_intervals_cover_new_lines_of_a_gaussian_process() -> None:
    """Half of 48 lines is measured; 90 % intervals hold 85 to 95 % of the other half, and 50 % ones about half."""
    inside = np.zeros(3)
    for seed in range(2):
        points, groups = lines(seed, 48)
        values, train = gaussian_process(points, seed), groups < 24
        data = measurements(PointSamples(points[train], values[train], BOX, ("u",), None, groups[train]))
        field, _ = fit_field(data, BOX, ("u",), steps=12)
        for k, level in enumerate((0.5, 0.9, 0.99)):
            value, half = values_and_half_widths(field, points[~train], level)
            there = ~np.isnan(value)
            inside[k] += np.mean((np.abs(value - values[~train]) <= half)[there]) / 2
            assert there.mean() > 0.9
    assert 0.4 < inside[0] < 0.62
    assert 0.85 <= inside[1] <= 0.95
    assert inside[2] > 0.95


def test_the_table_has_every_method_on_the_same_samples() -> None:
    points, groups = lines(2, 25, 12)
    values = gaussian_process(points, 2)
    result = fit_scattered(PointSamples(points, values, BOX, ("u",), None, groups), steps=10)
    table = result.stats["table"]
    assert [row["method"] for row in table] == ["spline posterior", *CLASSICAL]
    assert all(0 < row["mae"] <= row["rmse"] for row in table)
    assert result.stats["holdout"] == "groups"
    assert result.stats["heldout_rmse"] == table[0]["rmse"]
    assert table[0]["rmse"] < min(row["rmse"] for row in table if row["method"] in ("inverse distance", "cubic"))
    assert table[0]["interval_score"] < min(row["interval_score"] for row in table[1:])


def test_folds_hold_out_whole_groups_once() -> None:
    groups = np.random.default_rng(0).integers(0, 13, 200)
    folds = np.stack(list(group_folds(groups, 0)))
    assert (folds.sum(axis=0) == 1).all()
    for held in folds:
        assert not set(groups[held]) & set(groups[~held])
    with pytest.raises(InputError, match="one group"):
        list(group_folds(np.zeros(9, dtype=int), 0))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_smooth_functions_of_one_to_three_coordinates(d: int) -> None:
    """Two values; noise-free samples of smooth functions: the error is far below their spread."""
    rng = np.random.default_rng(d)
    points = rng.uniform(0, 3, (500, d))
    truth = lambda p: np.stack([np.sin(p.sum(axis=1)), np.cos(p[:, 0]) * 10], axis=1)  # noqa: E731
    box = Box(*(Axis(name, 0.0, 3.0) for name in "xyz"[:d]))
    data = measurements(PointSamples(points, truth(points), box, ("u", "v")))
    field, _ = fit_field(data, box, ("u", "v"), steps=12)
    at = rng.uniform(0.3, 2.7, (100, d))
    error = field(at) - truth(at)
    assert (np.abs(error).max(axis=0) < (0.05, 0.3)).all()


def test_the_field_is_differentiable_masked_and_can_be_saved() -> None:
    points, groups = lines(3)
    values = np.sin(points[:, :1]) + points[:, 1:]
    data = measurements(PointSamples(points, values, BOX, ("u",), None, groups))
    box = Box(x=(-500, 500), y=(-500, 500))
    field, _ = fit_field(data, box, ("u",), steps=12)
    x = torch.tensor([[4.0, 5.0], [6.0, 4.0]], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(field(x).sum(), x, create_graph=True)
    torch.testing.assert_close(first[:, 1], torch.ones(2, dtype=torch.float64), rtol=0.05, atol=0.05)
    (second,) = torch.autograd.grad(first[:, 0].sum(), x)
    torch.testing.assert_close(second[:, 0], -torch.sin(x[:, 0]).detach(), rtol=0.3, atol=0.15)
    assert np.isnan(field(np.array([[400.0, 5.0], [-400.0, -400.0]]))).all()
    again = type(field)(**field.arguments()).double()
    again.load_state_dict(field.state_dict())
    low, high = again.interval(x.detach(), 0.9)
    assert (low < field(x)).all()
    assert (field(x) < high).all()
    wider = again.interval(x.detach(), 0.99)
    assert (wider[1] - wider[0] > high - low).all()
    assert (again.standard_deviation(x) > 0).all()
    with pytest.raises(InputError, match="level"):
        field.interval(x, 0.3)


def test_degrees_are_kilometres_and_longitudes_shrink() -> None:
    """At 60 degrees north a degree of longitude is half as long as one of latitude: 55.6 km."""
    rng = np.random.default_rng(0)
    box = Box(Axis("longitude", 0.0, 2.0, "degrees"), Axis("latitude", 59.0, 61.0, "degrees"))
    points = rng.uniform([0, 59], [2, 61], (200, 2))
    data = measurements(PointSamples(points - [0, points[:, 1].mean() - 60], points, box, ("a", "b")))
    np.testing.assert_allclose(data.scale, [111.195 / 2, 111.195], rtol=1e-9)


def test_sigmas_weigh_and_repeats_merge() -> None:
    """One place measured as 0 with sigma 1 and as 5 with sigma 2 is 1 with sigma^2 0.8."""
    points = np.concatenate([[[0.0, 0.0], [0.0, 0.0]], np.random.default_rng(0).uniform(1, 5, (20, 2))])
    values, sigma = np.zeros((22, 1)), np.ones((22, 1))
    values[1], sigma[1] = 5.0, 2.0
    data = measurements(PointSamples(points, values, BOX, ("u",), sigma))
    k = int(np.argmin(data.points.sum(axis=1)))
    assert len(data) == 21
    assert data.values[k, 0] == pytest.approx(1.0)
    assert data.variance[k, 0] == pytest.approx(0.8)


def test_bad_samples_with_small_sigma_would_show() -> None:
    """The same samples, half of them with an error of 3: given the sigmas, the field stays near the good half."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 10, (600, 2))
    sigma = np.where(np.arange(600) % 2, 0.01, 3.0)[:, None]
    values = np.sin(points[:, :1]) + sigma * rng.standard_normal((600, 1))
    errors = []
    for given in (sigma, None):
        data = measurements(PointSamples(points, values, BOX, ("u",), given))
        field, _ = fit_field(data, BOX, ("u",), steps=12)
        at = rng.uniform(1, 9, (200, 2))
        errors.append(np.sqrt(np.mean((field(at) - np.sin(at[:, :1])) ** 2)))
    assert errors[0] < 0.2
    assert errors[0] < 0.5 * errors[1]


def test_a_harmonic_field_is_continued_upwards() -> None:
    """The potential of a point source 2 below, measured between heights 0 and 0.5, asked at 1.2."""
    rng = np.random.default_rng(0)
    points = rng.uniform([-4, -4, 0], [4, 4, 0.5], (600, 3))
    potential = lambda p: 1 / np.linalg.norm(p - [0.3, -0.2, -2.0], axis=1, keepdims=True)  # noqa: E731
    box = Box(Axis("x", -4.0, 4.0, "km"), Axis("y", -4.0, 4.0, "km"), Axis("z", 0.0, 2.0, "km"))
    data = measurements(PointSamples(points, potential(points), box, ("u",)), harmonic=True)
    at = np.concatenate([rng.uniform(-1.5, 1.5, (100, 2)), np.full((100, 1), 0.7)], axis=1)
    field, _ = fit_field(data, box, ("u",), steps=12, harmonic=True)
    error = np.abs(field(at) - potential(at))
    assert np.nanmax(error) < 0.02
    assert not np.isnan(error).any()


def test_what_cannot_be_fitted() -> None:
    points, groups = lines(5)
    samples = PointSamples(points, points[:, :1], BOX, ("u",), None, groups)
    with pytest.raises(InputError, match="without groups"):
        fit_scattered(dataclasses.replace(samples, groups=None), holdout="groups")
    with pytest.raises(InputError, match="three"):
        fit_scattered(samples, harmonic=True)
    with pytest.raises(InputError, match="10 or more"):
        fit_scattered(PointSamples(points[:5], points[:5, :1], BOX, ("u",)))
    with pytest.raises(InputError, match="NaN"):
        fit_scattered(dataclasses.replace(samples, values=np.full((len(points), 1), np.nan)))


PLACES, TRACK = lines(6, 10, 6)
NEVER = -2
ONE_RIVAL = {"inverse distance": CLASSICAL["inverse distance"]}
TRACKS = PointSamples(PLACES, np.sin(PLACES[:, :1]), BOX, ("u",), None, TRACK)


@pytest.fixture
def one_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ungrid.signals.scattered.CLASSICAL", ONE_RIVAL)


@pytest.fixture(scope="module")
def whole() -> tuple[FitResult, int]:
    """The uninterrupted fit to the tracks, and how many solves it took."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ungrid.signals.scattered.CLASSICAL", ONE_RIVAL)
        count = interrupted_after(patch, NEVER)
        return fit_scattered(TRACKS, steps=11), count[0]


def interrupted_after(monkeypatch: pytest.MonkeyPatch, solves: int) -> list[int]:
    """Ctrl-C in the solve after so many, once; the list's only entry counts the solves."""
    plain, count = Folded.solve, [0]

    def solve(self, *words, **named):
        count[0] += 1
        if count[0] == solves + 1:
            raise KeyboardInterrupt
        return plain(self, *words, **named)

    monkeypatch.setattr(Folded, "solve", solve)
    return count


@pytest.mark.usefixtures("one_rival")
@pytest.mark.parametrize("solves", [0, 22, 30, 180])
def test_interrupted_and_resumed_gives_the_same_bits_and_repeats_one_stage(
    tmp_path, monkeypatch, whole, solves
) -> None:
    """Cut in the first frame, in a trial, in the calibration of a fold, in the last search."""
    monkeypatch.setattr("ungrid.solvers.checkpoint.STAGES_EVERY", 0.0)
    expected, total = whole
    with monkeypatch.context() as patch:
        interrupted_after(patch, solves)
        cut = fit_scattered(TRACKS, steps=11, checkpoint=tmp_path)
    assert cut.outcome is Outcome.interrupted
    assert bool(torch.isfinite(cut.field(torch.tensor(TRACKS.points[:5]))).all())
    with monkeypatch.context() as patch:
        rest = interrupted_after(patch, NEVER)
        again = fit_scattered(TRACKS, steps=11, checkpoint=tmp_path, resume=True)
    assert again.outcome is Outcome.exact
    assert again.stats["steps"] == expected.stats["steps"] == 6 * 11
    assert total <= solves + rest[0] <= total + 5  # the longest stage, a trial, solves five folds
    for name, value in expected.field.state_dict().items():
        assert torch.equal(again.field.state_dict()[name], value), name
    assert again.field.multipliers == expected.field.multipliers
    assert again.stats["table"] == expected.stats["table"]


@pytest.mark.usefixtures("one_rival")
def test_a_checkpoint_of_other_samples_or_options_is_refused(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupted_after(patch, 20)
        fit_scattered(TRACKS, steps=11, checkpoint=tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    other = dataclasses.replace(TRACKS, values=TRACKS.values + 1)
    for samples, named, words in (
        (other, "samples", {"steps": 11}),
        (TRACKS, "steps", {"steps": 12}),
        (TRACKS, "seed", {"steps": 11, "seed": 1}),
        (TRACKS, "hold-out", {"steps": 11, "holdout": "random"}),
    ):
        with pytest.raises(InputError, match=f"which has other.*{named}"):
            fit_scattered(samples, checkpoint=tmp_path, resume=True, **words)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("one_rival")
def test_a_resumed_search_makes_as_many_trials_as_the_clock_gave_it(tmp_path, monkeypatch) -> None:
    """The number that the seconds gave is in the checkpoint, so that the second machine's clock does not change it."""
    monkeypatch.setattr("ungrid.solvers.checkpoint.STAGES_EVERY", 0.0)
    with monkeypatch.context() as patch:
        interrupted_after(patch, 20)
        fit_scattered(TRACKS, budget=1e-3, checkpoint=tmp_path)
    rows = []
    result = fit_scattered(TRACKS, budget=1e-3, checkpoint=tmp_path, resume=True, report=rows.append)
    assert result.stats["steps"] == 6 * FEWEST
    assert rows[-1]["step"] == result.history[-1]["step"] == result.stats["steps"]
    assert rows[-1]["progress"] == pytest.approx(1.0)
    assert all(0 <= row["progress"] <= 1 and row["eta"] >= 0 for row in rows)
    assert result.history[-1]["rmse"] > 0
