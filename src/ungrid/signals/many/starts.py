"""Learned starts: what pictures have in common is learned once, and a new one needs a few gradient steps.

The field of a picture is a spline grid (its *modulation*: numbers of its own) under a small decoder (the network that all
share). Learned by gradient descent through gradient descent are the decoder, and how far every step goes on every level of
the grid and on the decoder; the grid itself starts at zero. With ``shared=True`` the decoder stays as it was learned, so
that a picture is its grid alone.

Convention: a picture's pixels are a full grid, on which a level of the spline grid is two small matrices, one for each axis.
Values are normalised as those of many signals are (`ungrid.signals.many.networks.normalised`). A step moves a number of the
grid by ``rate * cells * dL/dnumber`` with L the mean squared error and the cells of its level: the number sees the pixels
around it only, and so the rate depends on the size of neither picture nor level. Schedules that are shorter than a fit begin
again.

Sources: Finn, Abbeel and Levine 2017 (MAML); Li, Zhou, Chen and Li 2017 (Meta-SGD: learned rates); Antoniou, Edwards and
Storkey 2019 (rates for each step, losses of several steps); Nichol, Achiam and Schulman 2018 (Reptile); Dupont et al. 2022
(COIN++: modulations of a shared network).
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid._base.random import torch_generator
from ungrid.encodings import SplineGrid
from ungrid.encodings.grid import PAD
from ungrid.fields import NeuralField
from ungrid.fields.neural import unit_scale
from ungrid.io.arrays import from_array
from ungrid.io.field_file import load_model, save_model
from ungrid.networks import GridDecoder
from ungrid.sampling import GridSamples
from ungrid.signals.levels import level_cells
from ungrid.signals.many.networks import normalised

FEATURES = (1, 2, 2, 2, 2)  # of the levels, the finest first: half a number and a bit for every number of a picture
WIDTH = 16
STEPS = 10  # of the schedule that is learned
FIRST_RATES = (0.15, 0.15, 0.15, 0.15, 0.15, 0.02)  # of the levels and of the decoder, before anything is learned
SHIPPED = Path(__file__).parent / "photographs.model"
Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class LearnedStart:
    """A decoder, and the rates of the steps with which pictures are fitted from it.

    Attributes:
        decoder: shared by all pictures.
        features: of every level of a picture's grid.
        rates: (steps, levels + 1), the decoder's last.
        card: how it came about.
    """

    decoder: GridDecoder
    features: tuple[int, ...]
    rates: Tensor
    card: dict[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write it as a model file."""
        own = {"kind": "start", "features": list(self.features), "rates": self.rates.tolist()}
        return save_model(self.decoder, path, card={**self.card, **own})


@dataclass(frozen=True)
class Started:
    """A field that was fitted from a learned start, its PSNR in dB before every step and at the end, and steps taken."""

    field: NeuralField
    psnr_db: list[float]
    steps: int


def new_start(
    *, channels: int = 3, features: tuple[int, ...] = FEATURES, steps: int = STEPS, seed: int = 0
) -> LearnedStart:
    """A start of which nothing has been learned."""
    decoder = GridDecoder(sum(features), channels, width=WIDTH, depth=2, seed=seed)
    first = torch.tensor([*FIRST_RATES[: len(features)], FIRST_RATES[-1]])
    return LearnedStart(decoder, features, first.repeat(steps, 1), {})


def load_start(path: str | Path = SHIPPED) -> LearnedStart:
    """A learned start from a model file; without a path the one for photographs that comes with the package.

    Raises:
        InputError: if the file holds no learned start.
    """
    decoder, card = load_model(path)
    if not isinstance(decoder, GridDecoder) or card.get("kind") != "start":
        raise InputError(f"{path} as a learned start", "a model that `ungrid train start` made")
    return LearnedStart(decoder, tuple(card["features"]), torch.tensor(card["rates"]), card)


def basis(samples: int, cells: int) -> Tensor:
    """Cubic B-splines of a level at the sample centres of an axis, (samples, cells + 2 PAD), as `SplineGrid` has them."""
    place = (torch.arange(samples, dtype=torch.float64) + 0.5) * cells / samples - 0.5 + PAD
    first, f = place.floor().long(), place % 1
    taps = torch.stack([(1 - f) ** 3, 4 - 6 * f**2 + 3 * f**3, 1 + 3 * f + 3 * f**2 - 3 * f**3, f**3], dim=1) / 6
    made = torch.zeros(samples, cells + 2 * PAD, dtype=torch.float64)
    return made.scatter_(1, first[:, None] - 1 + torch.arange(4), taps).float()


def cells_of(shape: tuple[int, ...], levels: int) -> tuple[tuple[int, ...], ...]:
    """Cells of every level: one for each pixel, then half as many on each axis, and so on.

    Raises:
        InputError: if the picture is too small for so many levels.
    """
    cells = level_cells(shape, 1.0)
    if len(shape) != 2 or len(cells) < levels:
        raise InputError(
            f"samples of shape {shape}", f"a picture of at least {3 * 2 ** (levels - 1)} pixels on its longer side"
        )
    return cells[:levels]


class Pixels:
    """The pixels of pictures of one shape, as `decoded` needs them."""

    def __init__(self, shape: tuple[int, ...], features: tuple[int, ...]) -> None:
        self.shape, self.features = shape, features
        self.cells = cells_of(shape, len(features))
        self.bases = [tuple(basis(n, m) for n, m in zip(shape, level, strict=True)) for level in self.cells]

    def empty(self, pictures: int) -> list[Tensor]:
        """Grids of zeros: for each level (pictures, features, nodes down, nodes across)."""
        return [
            torch.zeros(pictures, f, *(n + 2 * PAD for n in level))
            for f, level in zip(self.features, self.cells, strict=True)
        ]

    def encoded(self, tables: list[Tensor]) -> Tensor:
        """Features of all pixels, (pictures, pixels, features)."""
        maps = [y @ table @ x.T for (y, x), table in zip(self.bases, tables, strict=True)]
        return torch.cat(maps, dim=1).flatten(2).mT


def decode(weights: dict[str, Tensor], decoder: GridDecoder, z: Tensor) -> Tensor:
    """The decoder's values of features, with weights in place of its own: for all pictures, or stacked for each."""
    if weights["skip"].ndim == 2:
        return torch.func.functional_call(decoder, weights, (z,))
    return torch.func.vmap(lambda own, one: torch.func.functional_call(decoder, own, (one,)))(weights, z)


def errors_along(
    start: LearnedStart, targets: Tensor, pixels: Pixels, steps: int, *, shared: bool, graph: bool,
    enough: Tensor | None = None,
) -> Iterator[tuple[Tensor, list[Tensor], dict[str, Tensor]]]:  # fmt: skip
    """Gradient steps from the start: before each and at the end the errors (pictures,), the grids and the decoders.

    Args:
        start: the start; its rates and weights may require gradients.
        targets: (pictures, pixels, c), normalised.
        pixels: of the pictures.
        steps: how many.
        shared: keep the decoder.
        graph: remember how the steps were made, to differentiate through them.
        enough: (pictures,) errors at which all may stop.
    """
    tables = [table.requires_grad_() for table in pixels.empty(len(targets))]
    count = len(targets)
    own = {name: w if shared else w.expand(count, *w.shape) for name, w in start.decoder.named_parameters()}
    if not graph:
        own = {name: w.detach().clone().requires_grad_(not shared) for name, w in own.items()}
    for step in range(steps + 1):
        errors = (decode(own, start.decoder, pixels.encoded(tables)) - targets).square().mean(dim=(1, 2))
        yield errors, tables, own
        if step == steps or (enough is not None and bool((errors <= enough).all())):
            return
        moving = [*tables] if shared else [*tables, *own.values()]
        slopes = torch.autograd.grad(errors.sum(), moving, create_graph=graph)
        rates = start.rates[step % len(start.rates)]
        moved = [
            table - rate * cells[0] * cells[1] * slope
            for table, rate, cells, slope in zip(tables, rates, pixels.cells, slopes, strict=False)
        ]
        if not shared:
            pairs = zip(own.items(), slopes[len(tables) :], strict=True)
            own = {name: w - rates[-1] * slope for (name, w), slope in pairs}
        if not graph:
            moved = [table.detach().requires_grad_() for table in moved]
            own = {name: w.detach().requires_grad_(not shared) for name, w in own.items()}
        tables = moved


def fit_from_start(
    picture: GridSamples | np.ndarray, start: LearnedStart | None = None, *, target_db: float = 30.0, steps: int = 100,
    shared: bool = False,
) -> Started:  # fmt: skip
    """Fit a field to a picture from a learned start.

    Args:
        picture: as an array (H, W, c) or as samples.
        start: None takes the one for photographs.
        target_db: PSNR at which to stop.
        steps: at most.
        shared: fit the picture's grid alone, and keep the decoder as it was learned.

    Raises:
        InputError: if the picture has missing pixels or another number of channels, or is too small.
    """
    samples = from_array(picture) if isinstance(picture, np.ndarray) else picture
    begun = load_start() if start is None else start
    if samples.missing or len(samples.out_names) != begun.decoder.out_features:
        raise InputError(
            f"samples of {len(samples.out_names)} channels, {samples.missing} of them missing",
            f"a complete picture of {begun.decoder.out_features} channels",
        )
    values, offset, scale = normalised(samples)
    pixels = Pixels(samples.grid.shape, begun.features)
    wanted = torch.tensor([samples.peak**2 * 10 ** (-target_db / 10) / scale**2])
    along: list[float] = []
    walk = errors_along(begun, torch.from_numpy(values)[None], pixels, steps, shared=shared, graph=False, enough=wanted)
    for errors, tables, own in walk:
        along.append(float(10 * np.log10(samples.peak**2 / (errors.item() * scale**2))))
        last = tables, own
    return Started(_field(samples, pixels, begun, *last, offset, scale), along, len(along) - 1)


def _field(
    samples: GridSamples, pixels: Pixels, start: LearnedStart, tables: list[Tensor], own: dict[str, Tensor],
    offset: np.ndarray, scale: float,
) -> NeuralField:  # fmt: skip
    """The same function as a field."""
    box = samples.grid.box
    extent = tuple(axis.length / 2 / s for axis, s in zip(box.axes, unit_scale(box), strict=True))
    encoding = SplineGrid(pixels.cells, start.features, extent=extent, order=3)
    table = torch.cat([table.detach()[0].permute(1, 2, 0).reshape(-1) for table in tables])
    decoder = GridDecoder(**start.decoder.arguments())
    with torch.no_grad():
        encoding.table.copy_(table)
        for name, weight in decoder.named_parameters():
            weight.copy_(own[name].detach().reshape(weight.shape))
    return NeuralField(
        box, encoding, decoder, out_names=samples.out_names, value_scale=(scale,) * len(samples.out_names),
        value_offset=tuple(offset.tolist()), spacing=tuple(float(h) for h in samples.grid.spacing),
        metadata={**samples.metadata, "kind": samples.kind, "peak": samples.peak, "shape": list(samples.grid.shape)},
    )  # fmt: skip


def crops(pictures: list[np.ndarray], count: int, side: int, generator: torch.Generator) -> Tensor:
    """Random squares of pictures (H, W, c), turned over at random, normalised: (count, side², c)."""
    made: list[Tensor] = []
    while len(made) < count:
        draw = torch.rand(5, generator=generator).tolist()
        picture = pictures[int(draw[0] * len(pictures))]
        top, left = (int(d * (n - side + 1)) for d, n in zip(draw[1:3], picture.shape, strict=False))
        square = picture[top : top + side, left : left + side].astype(np.float32)
        square = square[:: 1 if draw[3] < 0.5 else -1, :: 1 if draw[4] < 0.5 else -1].reshape(side * side, -1)
        scale = 4 * square.std(axis=0).mean()
        if scale > 0:  # a square of one colour teaches nothing
            made.append(torch.from_numpy((square - square.mean(axis=0)) / scale))
    return torch.stack(made)


def learn_start(
    pictures: list[np.ndarray],
    *,
    method: str = "maml",
    iterations: int = 500,
    size: int = 4,
    side: int = 48,
    lr: float = 3e-3,
    seed: int = 0,
    begun: LearnedStart | None = None,
    report: Report | None = None,
) -> LearnedStart:
    """Learn a start from pictures.

    Args:
        pictures: (H, W, c) in [0, 1], no side shorter than `side`.
        method: "maml" differentiates through the steps, and learns their rates too, in turn with decoders that follow
            the picture and with the shared one; "reptile" moves the decoder towards those that fits end with, and keeps
            the rates.
        iterations: of the outer loop.
        size: squares of an iteration.
        side: of the squares, in pixels.
        lr: of the outer loop, at its start; a cosine leads it to 0.
        seed: of weights and draws.
        begun: go on from this start.
        report: called every 10 iterations with `step`, `loss` (the mean logarithm of the error at the end).

    Raises:
        InputError: if a picture is too small, or there is no such method.
    """
    if method not in ("maml", "reptile"):
        raise InputError(f"learning by {method!r}", "maml or reptile")
    if not pictures or min(min(picture.shape[:2]) for picture in pictures) < side:
        raise InputError(f"{len(pictures)} pictures", f"pictures of at least {side} pixels a side")
    start = copy.deepcopy(begun) if begun is not None else new_start(channels=pictures[0].shape[-1], seed=seed)
    generator, pixels = torch_generator(seed), Pixels((side, side), start.features)
    rates = start.rates[torch.arange(STEPS) % len(start.rates)]  # of a start with a shorter schedule
    logs = rates.log().requires_grad_(method == "maml")
    optimizer = torch.optim.Adam(
        [
            {"params": list(start.decoder.parameters()), "lr": lr, "start": lr},
            {"params": [logs], "lr": 5 * lr, "start": 5 * lr},
        ]
    )
    for k in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = group["start"] * (1 + np.cos(np.pi * k / iterations)) / 2
        now = LearnedStart(start.decoder, start.features, logs.exp(), {})
        optimizer.zero_grad()
        targets = crops(pictures, size, side, generator)
        loss = _reptile(now, targets, pixels) if method == "reptile" else _maml(now, targets, pixels, shared=k % 2 == 1)
        torch.nn.utils.clip_grad_norm_([*start.decoder.parameters(), logs], 1.0)
        optimizer.step()
        if report is not None and (k + 1) % 10 == 0:
            report({"step": k + 1.0, "loss": loss})
    card = {"method": method, "iterations": iterations, "size": size, "side": side, "lr": lr, "seed": seed,
            "pictures": len(pictures)}  # fmt: skip
    return LearnedStart(start.decoder, start.features, logs.exp().detach(), card)


def _maml(start: LearnedStart, targets: Tensor, pixels: Pixels, *, shared: bool) -> float:
    """The gradient of the logarithms of the errors after the last steps, through all of them; returns that of the last."""
    steps = len(start.rates)
    errors = [e for e, _, _ in errors_along(start, targets, pixels, steps, shared=shared, graph=True)]
    logarithms = [e.log().mean() for e in errors[1:]]
    weights = torch.arange(1, steps + 1, dtype=torch.float32) ** 2
    loss = (weights / weights.sum() * torch.stack(logarithms)).sum()
    loss.backward()
    return float(logarithms[-1].detach())


def _reptile(start: LearnedStart, targets: Tensor, pixels: Pixels) -> float:
    """As gradient the way back from the mean of the decoders that fits end with."""
    for errors, _, own in errors_along(start, targets, pixels, len(start.rates), shared=False, graph=False):
        last = errors.detach().log().mean(), own
    for name, weight in start.decoder.named_parameters():
        weight.grad = weight.detach() - last[1][name].detach().mean(dim=0)
    return float(last[0])
