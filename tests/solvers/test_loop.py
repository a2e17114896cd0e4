"""The loop on problems with known answers; interruption, resumption, divergence."""

import math
import warnings

import pytest
import torch
from torch import nn

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import Field
from ungrid.objectives import Term
from ungrid.sampling import AllPoints, RandomPoints
from ungrid.solvers import Adam, Limits, Outcome, fit_terms, remove_checkpoint
from ungrid.solvers.checkpoint import read_checkpoint


class Line(Field):
    """u(x) = a x + b: least squares has a closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.domain, self.out_names = Box(x=(-1, 1)), ("u",)
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x, footprint=None):
        return self.weight[0] * x + self.weight[1]

    def arguments(self):
        return {}


X = torch.linspace(-1, 1, 64)[:, None]
Y = torch.sin(2 * X) + 0.3


def terms(sampler=None):
    return [Term(points=sampler or AllPoints(X, Y))]


def test_adam_finds_the_least_squares_line():
    line = Line()
    result = fit_terms(line, terms(), Adam(lr=0.05, final=1e-3), Limits(steps=600))
    exact = torch.linalg.lstsq(torch.cat([X, torch.ones_like(X)], dim=1), Y).solution[:, 0]
    torch.testing.assert_close(line.weight.detach(), exact, atol=1e-4, rtol=0)
    assert result.outcome is Outcome.steps
    assert result.stats["steps"] == 600


def test_terms_are_added_with_their_weights():
    """Two terms that pull a constant to 0 and 1 with weights 1 and 3 meet at 3/4."""
    two = [Term(points=AllPoints(X, torch.zeros_like(X))), Term(points=AllPoints(X, torch.ones_like(X)), weight=3.0)]
    line = Line()
    fit_terms(line, two, Adam(lr=0.05, final=1e-3), Limits(steps=600))
    assert line.weight[1].item() == pytest.approx(0.75, abs=1e-4)


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not():
    weights = []
    for seed in (0, 0, 1):
        line = Line()
        fit_terms(line, terms(RandomPoints(X, Y, size=5)), Adam(lr=0.01), Limits(steps=20), seed=seed)
        weights.append(line.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


class _StopsAt:
    """A solver that is interrupted at one step."""

    def __init__(self, inner: Adam, step: int) -> None:
        self.inner, self.at = inner, step

    def init(self, u, terms, *, seed=0):
        return self.inner.init(u, terms, seed=seed)

    def step(self, u, terms, state, *, progress=0.0):
        if state.step == self.at:
            raise KeyboardInterrupt
        return self.inner.step(u, terms, state, progress=progress)


@pytest.mark.parametrize("killed_at", [1, 7, 19])
def test_resuming_gives_the_bits_of_not_having_stopped(tmp_path, monkeypatch, killed_at):
    monkeypatch.setattr("ungrid.solvers.loop.CHECKPOINT_EVERY", 0.0)
    sampler, adam, limits = RandomPoints(X, Y, size=5), Adam(lr=0.01), Limits(steps=20)
    whole = Line()
    fit_terms(whole, terms(sampler), adam, limits, seed=3)
    cut = Line()
    first = fit_terms(cut, terms(sampler), _StopsAt(adam, killed_at), limits, seed=3, checkpoint=tmp_path)
    assert first.outcome is Outcome.interrupted
    again = Line()
    result = fit_terms(again, terms(sampler), adam, limits, seed=3, checkpoint=tmp_path, resume=True)
    assert result.stats["steps"] == 20
    assert torch.equal(again.weight, whole.weight)


def test_a_damaged_newest_checkpoint_falls_back_on_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr("ungrid.solvers.loop.CHECKPOINT_EVERY", 0.0)
    fit_terms(Line(), terms(), Adam(), Limits(steps=6), checkpoint=tmp_path)
    newest = max(tmp_path.iterdir(), key=lambda file: torch.load(file, weights_only=True)["turn"])
    newest.write_bytes(newest.read_bytes()[:100])
    assert read_checkpoint(tmp_path)["step"] == 5
    for file in tmp_path.iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="checkpoint"):
        read_checkpoint(tmp_path)
    remove_checkpoint(tmp_path)
    assert not tmp_path.exists()


def test_divergence_gives_back_the_best_field():
    line = Line()
    poisoned = Y.clone()

    def metrics(u):
        poisoned[0] = math.nan  # the step after the first report diverges
        return {"score": 1.0}

    with warnings.catch_warnings():
        result = fit_terms(
            line, terms(AllPoints(X, poisoned)), Adam(), Limits(budget=5), metrics=metrics, better="score"
        )
    assert result.outcome is Outcome.diverged
    assert torch.isfinite(line.weight).all()


def test_the_best_field_is_returned_and_patience_ends_the_run(monkeypatch):
    monkeypatch.setattr("ungrid.solvers.loop.FIRST_REPORT", 0.0)
    monkeypatch.setattr("ungrid.solvers.loop.GROWTH", 1.0)
    scores = iter([1.0, 5.0, 2.0, 1.0, 0.5, 0.1, 0.0])
    seen = []

    def metrics(u):
        seen.append(u.weight.detach().clone())
        return {"score": next(scores)}

    line = Line()
    result = fit_terms(line, terms(), Adam(lr=0.1), Limits(steps=100), metrics=metrics, better="score", patience=3)
    assert result.outcome is Outcome.converged
    assert torch.equal(line.weight, seen[1])


def test_a_time_budget_is_kept():
    result = fit_terms(Line(), terms(), Adam(), Limits(budget=0.3))
    assert result.outcome is Outcome.budget
    assert 0.3 <= result.stats["seconds"] < 1.5


@pytest.mark.parametrize("limits", [{"budget": 0.0}, {"budget": -1.0}, {"steps": 0}])
def test_limits_must_be_positive(limits):
    with pytest.raises(InputError, match="positive"):
        Limits(**limits)
