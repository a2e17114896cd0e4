"""Photographs to a `NerfField`: the networks of the paper, fitted to random rays by Adam.

Convention: a point of the term is a ray in the lattice's coordinates: origin, direction, the direction of view in the world,
and the random numbers that place its samples, so that a batch says everything of a step.

Source: Mildenhall et al. 2020, section 5.3 and its code: the mean squared errors of both networks, Adam from 5e-4 down to a
tenth of it, random rays of all photographs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ungrid._base.devices import set_threads
from ungrid.domains import Box
from ungrid.fields import NerfField
from ungrid.io.scenes import Scene
from ungrid.objectives import Term
from ungrid.radiance.frames import extent_of
from ungrid.radiance.paths import seen_by
from ungrid.radiance.pictures import Pictures, draw_rays, read_pictures
from ungrid.sampling import Batch, Sampler
from ungrid.solvers import Adam, FitResult, Limits, fit_terms

Report = Callable[[dict[str, float]], None]

LONGEST = 128  # nodes of the lattice along its longest axis, which only gives the box a spacing
RATE, FINAL = 5e-4, 0.1
PIXELS_PER_RAY, FEWEST = 4, 64  # so that small scenes take small steps
WATCHED = 1024  # rays by which the history says how far the fit is


@dataclass(frozen=True)
class NerfSettings:
    """What is built, and how large a step is.

    Attributes:
        rays: in a step, at most.
        rate: of Adam at the start.
        matrix_rate: of weight matrices, by orthogonal steps (`ungrid.solvers.Adam`); None leaves them to Adam, as the paper.
        final: the rates at the end, as a share of those at the start.
        network: further arguments of `NerfField`.
    """

    rays: int = 1024
    rate: float = RATE
    matrix_rate: float | None = None
    final: float = FINAL
    network: dict[str, Any] = field(default_factory=dict)


class PictureRays(Sampler):
    """Random rays of photographs.

    Args:
        pictures: the photographs.
        u: the field whose lattice and samples they are for.
        size: rays in a batch.
    """

    def __init__(self, pictures: Pictures, u: NerfField, size: int) -> None:
        self.pictures, self.u, self.size = pictures, u, size

    def draw(self, step: int, generator: torch.Generator) -> Batch:
        random = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        (start, along), views, target = draw_rays(self.pictures, self.u, step * self.size, self.size)
        jitter = random.random((self.size, sum(self.u.samples)), dtype=np.float32)
        points = np.concatenate([start, along, views, jitter], axis=1)
        device = next(self.u.parameters()).device
        return Batch(torch.from_numpy(points).to(device), torch.from_numpy(target)[:, None].to(device))


def rendered(u: Any, rays: Tensor) -> Tensor:
    """The colours of rays by the coarse and the fine network, (n, 2, 3): the observation operator of photographs."""
    found: Tensor = u.render(rays[:, :3], rays[:, 3:6], rays[:, 6:9], rays[:, 9:])[0]
    return found


def reconstruct_nerf(
    scene: Scene,
    *,
    settings: NerfSettings | None = None,
    budget: float = 120.0,
    steps: int | None = None,
    box: Box | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "cpu",
    report: Report | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FitResult:
    """Fit a `NerfField` to photographs.

    Args:
        scene: of `ungrid.io.scenes.read_scene`.
        settings: of networks and steps; None for the paper's.
        budget: seconds of optimisation.
        steps: a number of steps instead.
        box: the part of the world to keep; None finds what the cameras look at.
        seed: of the rays and of the networks' first weights.
        threads: of the CPU; None takes all cores.
        device: where the networks are trained.
        report: called with each row of the history.
        checkpoint: a folder; it stays when the fit ends.
        resume: go on from the checkpoint where there is one.

    Returns:
        The field, on the CPU.

    Raises:
        InputError: as `reconstruct`.
    """
    set_threads(threads)
    chosen, extent = settings or NerfSettings(), extent_of(scene, box)
    blocks = extent.blocks(LONGEST)
    u = NerfField(
        extent.domain, blocks, frame=extent.frame(blocks), background=scene.background, view=seen_by(scene), seed=seed,
        **chosen.network,
    ).to(device)  # fmt: skip
    pictures = read_pictures(scene.views, scene.background)
    rays = PictureRays(pictures, u, min(chosen.rays, max(FEWEST, pictures.total // PIXELS_PER_RAY)))
    term = Term(points=rays, operator=rendered, weight=2.0, name="photographs")  # the sum of both networks' errors
    watched, truth, _ = PictureRays(pictures, u, min(WATCHED, rays.size)).draw(0, torch.Generator().manual_seed(seed))
    assert truth is not None

    def metrics(_: Any) -> dict[str, float]:
        with torch.no_grad():
            error = (rendered(u, watched)[:, 1:] - truth).square().mean()
        return {"psnr_db": -10 * math.log10(max(float(error), 1e-10))}

    solver = Adam(
        lr=chosen.rate, matrix_lr=chosen.matrix_rate, final=chosen.final, betas=(0.9, 0.999), eps=1e-8
    )  # fmt: skip
    result = fit_terms(
        u, [term], solver, Limits(budget=budget, steps=steps), seed=seed, metrics=metrics, report=report,
        checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    u.to("cpu")
    result.stats.update(
        method="networks of place and direction (NeRF)", views=len(scene.views), background=list(scene.background),
        alpha_start=False, metrics={},
    )  # fmt: skip
    return result
