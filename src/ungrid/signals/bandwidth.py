"""The bandwidth of a method that has one, from the samples: closed-form fits of small windows, scored on held-out samples.

Random features alone would ask for a bandwidth near that of the signal, and a network after them for a smaller one, because
its layers make higher frequencies from those it gets. So a window is fitted by what a wide network of the method converges
to: kernel ridge regression with its neural tangent kernel (Jacot, Gabriel and Hongler 2018; behind Fourier features Tancik
et al. 2020, section 4). No features are drawn: the kernels are those of infinitely many. The ridge stands for a fit that
stops before the finest detail is learned.

Convention: unit coordinates, the longest axis spans [-1, 1]. Candidates are standard deviations σ of the first layer's
frequencies, in cycles across that axis; a SIREN's ω0 with the same deviation is √3 π d σ, since its weights are U(±1/d).
A trained SIREN moves its frequencies further than its kernel says, so its ω0 is that divided by `SIREN_REACH`.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ungrid.fields.neural import unit_scale
from ungrid.sampling import GridSamples, PointSamples
from ungrid.signals.methods import DEPTH

FACTOR = 1.5  # from one candidate to the next
WINDOWS = 6
WINDOW_SAMPLES = 576  # of a grid: 24 x 24 samples of a picture
WINDOW_POINTS = 320  # fewer: the gaps of scattered points are all different, so that their kernels cost more
CONSIDERED = 256  # windows, of which those are taken where the signal varies
SMALLEST_WINDOW = 32  # samples that are not missing
HELD_OUT = 0.25
RIDGES = (0.03, 0.3)  # next to a kernel of 1 at no distance
SHORTEST_CYCLE = 0.05  # of a candidate's cycles across a window: below it a window cannot tell two candidates apart
# Measured, and rough: on three pictures of 96 x 96 the best of a few ω0 was the kernel's own divided by 1.2, 3.7 and 5.5.
SIREN_REACH = 3.0
LEAST_ERROR = 1e-6  # relative errors below it count as equal


@dataclass(frozen=True)
class Bandwidth:
    """A choice and its reasons.

    Attributes:
        value: σ in cycles across the longest axis (fourier), or ω0 of the first layer (siren).
        errors: every candidate and its held-out mean square error, relative to the window's variance (the geometric mean
            over windows).
        seconds: what the choice took.
    """

    value: float
    errors: tuple[tuple[float, float], ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Window:
    """Neighbouring samples, and how far they are apart.

    Attributes:
        values: (m, c), none of them missing.
        gaps: (u, d) differences of unit coordinates, each listed once where the samples lie on a grid.
        pair: (m, m) which gap lies between two samples.
    """

    values: np.ndarray
    gaps: Tensor
    pair: Tensor


def choose_bandwidth(method: str, samples: GridSamples | PointSamples, *, seed: int) -> Bandwidth | None:
    """The bandwidth with the least held-out error on windows of the samples; equal seeds give the same.

    Args:
        method: "fourier" or "siren"; other methods have no bandwidth.
        samples: what the fit is given, and nothing else; missing ones are left out.
        seed: of the windows considered and of the samples held out in them.

    Returns:
        The choice, or None where there is nothing to choose by: no bandwidth, a constant signal, very few samples.
    """
    if method not in ("fourier", "siren"):
        return None
    began, rng = time.perf_counter(), np.random.default_rng(seed)
    windows = grid_windows(samples, rng) if isinstance(samples, GridSamples) else point_windows(samples, rng)
    if not windows:
        return None
    sigmas = candidates(samples, windows)
    splits = [rng.permutation(len(window.values)) for window in windows]
    logs = [
        np.mean([math.log(LEAST_ERROR + heldout_error(method, s, *each)) for each in zip(windows, splits, strict=True)])
        for s in sigmas
    ]
    unit = 1.0 if method == "fourier" else math.sqrt(3) * math.pi * windows[0].gaps.shape[1] / SIREN_REACH
    errors = tuple((sigma * unit, float(np.exp(log))) for sigma, log in zip(sigmas, logs, strict=True))
    return Bandwidth(min(errors, key=lambda row: row[1])[0], errors, time.perf_counter() - began)


def candidates(samples: GridSamples | PointSamples, windows: list[Window]) -> list[float]:
    """σ on a geometric ladder, from what a window can tell from a constant to half the samples' highest frequency."""
    if isinstance(samples, GridSamples):
        finest = max(samples.grid.shape) / 4
    else:
        finest = len(samples.points) ** (1 / samples.domain.dim) / 4
    extent = max(float(window.gaps.abs().max()) / 2 for window in windows)  # of the longest axis
    first = max(1.0, SHORTEST_CYCLE / extent)
    count = 1 + max(0, math.floor(math.log(max(finest / first, 1.0), FACTOR) + 1e-9))
    return [first * FACTOR**k for k in range(count)]


def grid_windows(samples: GridSamples, rng: np.random.Generator) -> list[Window]:
    """Blocks of neighbouring samples where the signal varies."""
    shape, scale = samples.grid.shape, np.array(unit_scale(samples.grid.box))
    sides = window_sides(shape)
    tiles = tuple(n // side for n, side in zip(shape, sides, strict=True))
    count = math.prod(tiles)
    drawn = rng.choice(count, min(count, CONSIDERED), replace=False)
    corners = np.stack(np.unravel_index(drawn, tiles), axis=-1) * sides
    blocks = [
        samples.values[tuple(slice(i, i + side) for i, side in zip(corner, sides, strict=True))] for corner in corners
    ]
    places = np.indices(sides).reshape(len(sides), -1).T  # (samples of a block, d)
    spans = tuple(2 * side - 1 for side in sides)
    gaps = (np.indices(spans).reshape(len(sides), -1).T - (np.array(sides) - 1)) * samples.grid.spacing / scale
    windows = []
    for values in varied([block.reshape(-1, block.shape[-1]) for block in blocks]):
        known = ~np.isnan(values).any(axis=1)
        at = places[known]
        steps = at[:, None] - at[None] + (np.array(sides) - 1)
        pair = np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), spans)
        windows.append(Window(values[known], torch.from_numpy(gaps).float(), torch.from_numpy(pair)))
    return windows


def window_sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sides of a window of about `WINDOW_SAMPLES` samples: a cube, longer where another axis is too short for it."""
    sides, left = [0] * len(shape), float(WINDOW_SAMPLES)
    for done, axis in enumerate(sorted(range(len(shape)), key=lambda k: shape[k])):
        sides[axis] = min(shape[axis], max(1, round(left ** (1 / (len(shape) - done)))))
        left /= sides[axis]
    return tuple(sides)


def point_windows(samples: PointSamples, rng: np.random.Generator) -> list[Window]:
    """The nearest neighbours of some of the points, where the signal varies."""
    points = samples.points / np.array(unit_scale(samples.domain))
    centers = rng.choice(len(points), min(len(points), CONSIDERED), replace=False)
    count = min(WINDOW_POINTS, len(points))
    near = [np.argpartition(((points - points[i]) ** 2).sum(axis=1), count - 1)[:count] for i in centers]
    blocks = [np.concatenate([points[rows], samples.values[rows]], axis=1) for rows in near]
    windows, dim = [], points.shape[1]
    for block in varied(blocks, skip=dim):
        known = block[~np.isnan(block).any(axis=1)]
        at, m = torch.from_numpy(known[:, :dim]).float(), len(known)
        gaps = (at[:, None] - at[None]).reshape(-1, dim)
        windows.append(Window(known[:, dim:], gaps, torch.arange(m * m).reshape(m, m)))
    return windows


def varied(blocks: list[np.ndarray], skip: int = 0) -> list[np.ndarray]:
    """At most `WINDOWS` of the blocks (m, skip + c), from the half that varies more, at evenly spaced ranks."""
    full = [block for block in blocks if (~np.isnan(block).any(axis=1)).sum() >= SMALLEST_WINDOW]
    if not full:
        return []
    variances = np.array([np.nanvar(block[:, skip:], axis=0, dtype=np.float64) for block in full])
    levels = np.array([np.nanmean(np.square(block[:, skip:], dtype=np.float64), axis=0) for block in full])
    relative = np.where(variances > 1e-12 * levels, variances, 0.0)  # what rounding leaves of a constant is no signal
    relative /= np.maximum(relative.mean(axis=0), np.finfo(np.float64).tiny)
    total = relative.sum(axis=1)
    ranked = [k for k in np.argsort(-total, kind="stable") if total[k] > 0]
    half = ranked[: max(WINDOWS, len(ranked) // 2)]
    if not half:
        return []
    ranks = np.unique(np.linspace(0, len(half) - 1, WINDOWS).round().astype(int))
    return [full[half[rank]] for rank in ranks]


def heldout_error(method: str, sigma: float, window: Window, order: np.ndarray) -> float:
    """Mean square error of kernel ridge regression on the samples held out, relative to their variance; the best ridge's."""
    kernel = tangent_kernel(method, sigma, window.gaps)
    held = round(HELD_OUT * len(order))
    out, known = torch.from_numpy(order[:held]), torch.from_numpy(order[held:])
    values = window.values.astype(np.float64)
    spread = values.std(axis=0)
    normal = torch.from_numpy((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).float()
    mean = normal[known].mean(dim=0)
    gram, cross = kernel[window.pair[known][:, known]], kernel[window.pair[out][:, known]]
    errors = []
    for ridge in RIDGES:
        factor = torch.linalg.cholesky(gram + ridge * torch.eye(len(known)))
        predicted = mean + cross @ torch.cholesky_solve(normal[known] - mean, factor)
        errors.append(float(((predicted - normal[out]) ** 2).mean()))
    return min(errors)


def tangent_kernel(method: str, sigma: float, gaps: Tensor) -> Tensor:
    """The neural tangent kernel (u,) of a method's infinitely wide network at coordinates `gaps` (u, d) apart; 1 at 0.

    With the correlation ρ of the first layer's features, every layer after it takes (Θ, ρ) to (Θ κ'(ρ) + κ(ρ), κ(ρ)).
    """
    if method == "fourier":
        correlation = torch.exp(-((math.pi * sigma) ** 2) / 2 * (gaps**2).sum(dim=1))
        layers = DEPTH
    else:  # E cos(ω0 w·gap) for w uniform in the cube; the biases spread the phases
        correlation = torch.sinc(math.sqrt(3) * sigma * gaps).prod(dim=1)
        layers = DEPTH - 1
    total = correlation
    for _ in range(layers):
        slope, correlation = relu_duals(correlation) if method == "fourier" else sine_duals(correlation)
        total = total * slope + correlation
    return total / (layers + 1)


def relu_duals(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """κ' and κ of the ReLU: its arc-cosine kernels of orders 0 and 1 (Cho and Saul 2009, equations 4 and 6), 1 at 1."""
    correlation = correlation.clamp(-1, 1)
    angle = torch.arccos(correlation)
    slope = (math.pi - angle) / math.pi
    return slope, slope * correlation + torch.sqrt(1 - correlation**2) / math.pi


def sine_duals(correlation: Tensor) -> tuple[Tensor, Tensor]:
    """κ' and κ of a sine of Gaussian numbers of variance 1 (SIREN's initialisation) and any phase: both exp(ρ - 1)."""
    value = torch.exp(correlation - 1)
    return value, value
