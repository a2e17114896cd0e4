"""Learned starts: the grid as matrices, gradients through gradient steps, files, the start that ships."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.encodings import SplineGrid
from ungrid.signals.many.starts import (
    SHIPPED,
    STEPS,
    LearnedStart,
    Pixels,
    _maml,
    crops,
    errors_along,
    fit_from_start,
    learn_start,
    load_start,
    new_start,
)  # fmt: skip


def waves(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth picture (height, width, 3) in [0, 1]."""
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    y, x = np.mgrid[0:height, 0:width] / 8
    return (
        0.5 + 0.4 * np.stack([np.sin(x + y + phases[0]), np.cos(x - phases[1]), np.sin(2 * y + phases[2])], -1)
    ).astype(np.float32)


def test_features_by_matrices_are_those_of_the_grid():
    features, shape = (1, 2), (9, 13)
    pixels = Pixels(shape, features)
    generator = torch.Generator().manual_seed(0)
    tables = [torch.randn(table.shape, generator=generator) for table in pixels.empty(1)]
    grid = RegularGrid.isotropic(shape, ("y", "x"))
    extent = tuple(axis.length / 2 for axis in grid.box.axes)
    encoding = SplineGrid(pixels.cells, features, extent=extent, order=3)
    with torch.no_grad():
        encoding.table.copy_(torch.cat([table[0].permute(1, 2, 0).reshape(-1) for table in tables]))
        direct = encoding(torch.from_numpy(grid.points().reshape(-1, 2)).float())
    torch.testing.assert_close(pixels.encoded(tables)[0], direct, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_the_field_is_what_the_steps_left_and_the_error_falls(shared):
    picture = waves(20, 26)
    fit = fit_from_start(picture, new_start(features=(1, 2, 2)), target_db=60.0, steps=5, shared=shared)
    assert fit.steps == 5
    assert fit.psnr_db[0] < fit.psnr_db[2] < fit.psnr_db[-1]
    error = np.square(fit.field.on_grid(RegularGrid.isotropic((20, 26), ("y", "x"))) - picture).mean()
    assert -10 * np.log10(error) == pytest.approx(fit.psnr_db[-1], abs=1e-3)


def test_gradient_through_the_steps_is_that_of_differences():
    """Central differences of the outer loss in a rate, in double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        begun = new_start(features=(1, 1), steps=2)
        pixels = Pixels((8, 8), begun.features)
        pixels.bases = [tuple(part.double() for part in level) for level in pixels.bases]
        targets = crops([waves(16, 16)], 2, 8, torch.Generator().manual_seed(0)).double()

        def loss(rates: torch.Tensor) -> torch.Tensor:
            start = LearnedStart(begun.decoder, begun.features, rates, {})
            return list(errors_along(start, targets, pixels, 2, shared=False, graph=True))[-1][0].log().mean()

        rates = begun.rates.double().requires_grad_()
        (slope,) = torch.autograd.grad(loss(rates), rates)
        step = torch.zeros_like(rates)
        step[0, 0] = 1e-5
        difference = (loss(rates.detach() + step) - loss(rates.detach() - step)) / 2e-5
        assert slope[0, 0].item() == pytest.approx(difference.item(), rel=1e-5)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("method", ["maml", "reptile"])
def test_learning_makes_new_pictures_easier(method):
    pictures = [waves(24, 24, seed) for seed in range(6)]
    before = new_start(features=(1, 2, 2), steps=3)
    after = learn_start(pictures, method=method, iterations=12, size=2, side=16, lr=1e-2, begun=before)
    unseen = waves(24, 24, 99)
    reached = [fit_from_start(unseen, begun, target_db=90.0, steps=3).psnr_db[-1] for begun in (before, after)]
    assert reached[1] > reached[0]
    repeated = before.rates[torch.arange(STEPS) % 3]  # a shorter schedule begins again
    assert torch.allclose(after.rates, repeated) == (method == "reptile")


def test_a_start_is_kept_in_a_file(tmp_path):
    start = new_start(seed=3)
    start.save(tmp_path / "s.model")
    again = load_start(tmp_path / "s.model")
    picture = waves(60, 50)
    one, two = (fit_from_start(picture, s, target_db=40.0, steps=3).psnr_db for s in (start, again))
    assert one == two


def test_what_no_start_fits_is_refused():
    with pytest.raises(InputError, match="channels"):
        fit_from_start(waves(60, 60)[..., :1], new_start())
    with pytest.raises(InputError, match="longer side"):
        fit_from_start(waves(8, 8), new_start())
    with pytest.raises(InputError, match="maml"):
        learn_start([waves(60, 60)], method="luck")
    with pytest.raises(InputError, match="pixels a side"):
        learn_start([waves(20, 60)])


def test_the_start_that_ships_is_small_and_beats_random_weights():
    assert SHIPPED.stat().st_size < 2_000_000
    y, x = np.mgrid[0:72, 0:80]
    texture = np.random.default_rng(0).normal(0, 0.03, (72, 80, 1))  # grey, as most of what photographs show
    picture = np.clip(waves(72, 80) * 0.5 + 0.2 + 0.2 * (x + y > 70)[..., None] + texture, 0, 1).astype(np.float32)
    learned, fresh = (fit_from_start(picture, start, target_db=60.0, steps=6) for start in (None, new_start()))
    assert learned.psnr_db[-1] >= 30.0
    assert learned.psnr_db[-1] > fresh.psnr_db[-1] + 3.0


def test_the_command_learns_a_start(tmp_path):
    from typer.testing import CliRunner

    from ungrid.cli.app import app

    (tmp_path / "pictures").mkdir()
    for k in range(3):
        Image.fromarray(np.uint8(255 * waves(56, 56, k))).save(tmp_path / "pictures" / f"{k}.png")
    words = [
        "train",
        "start",
        tmp_path / "pictures",
        "-o",
        tmp_path / "s.model",
        "--steps",
        "2",
        "--batch",
        "1",
        "--json",
    ]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["outputs"] == [str(tmp_path / "s.model")]
    assert load_start(tmp_path / "s.model").card["iterations"] == 2


@pytest.mark.parametrize("shared", [False, True])
def test_the_outer_gradient_reaches_decoder_and_rates(shared):
    """The decoder's rate counts only where the decoder follows the picture."""
    begun = new_start(features=(1, 1), steps=2)
    start = LearnedStart(begun.decoder, begun.features, begun.rates.clone().requires_grad_(), {})
    targets = crops([waves(16, 16)], 2, 12, torch.Generator().manual_seed(0))
    _maml(start, targets, Pixels((12, 12), (1, 1)), shared=shared)
    assert all(weight.grad is not None for weight in begun.decoder.parameters())
    assert start.rates.grad is not None
    assert (start.rates.grad[:, :-1] != 0).all()
    assert ((start.rates.grad[:, -1] == 0) == shared).all()
