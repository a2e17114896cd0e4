"""Photographs to a radiance field: stages of finer lattices and larger pictures, each fitted by Adam on random rays.

Convention: `psnr_db` in the history is that of the rays of the steps since the last row, before each step; rays that meet
nothing are not drawn, and count as right. Nothing is chosen by held-out views, which are only measured when all is done.

Under ``torchrun`` (`ungrid.solvers.processes`) every process fits its share of each step's rays, and all add up their
gradients: the number of processes does not change what is learned. The first one's clock counts.

Source of the plan: Sun et al. 2022, *Direct voxel grid optimization* (coarse geometry first, progressive scaling), and
`ungrid.kernels.bricks` for the model.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ungrid._base.devices import set_threads
from ungrid._base.errors import InputError
from ungrid._base.interrupts import Interrupts
from ungrid.domains import Box
from ungrid.fields import BrickField
from ungrid.fields.radiance import BRICK
from ungrid.io.scenes import Scene
from ungrid.kernels import bricks as kernels
from ungrid.kernels.blas import single_threaded_blas
from ungrid.radiance.frames import Extent, extent_of
from ungrid.radiance.hull import visual_hull
from ungrid.radiance.lattice import Lattice, new_field, refined, within_hull
from ungrid.radiance.paths import seen_by
from ungrid.radiance.pictures import Pictures, draw_rays, has_surroundings, read_pictures, smaller, that_reach
from ungrid.radiance.refine import refined_poses
from ungrid.radiance.render import Renderer
from ungrid.sampling import CameraArrays
from ungrid.solvers import FitResult, Outcome
from ungrid.solvers.checkpoint import check_same_run, digest, read_checkpoint, remove_checkpoint, write_checkpoint
from ungrid.solvers.loop import CHECKPOINT_EVERY, FIRST_REPORT, GROWTH, LONGEST_SILENCE, Limits
from ungrid.solvers.processes import largest, of_first, part, summed

Report = Callable[[dict[str, float]], None]
Watch = Callable[[Renderer], None]

NODES_PER_PIXEL = 0.8  # of the last lattice, along its longest axis, at most
NODES = ((60.0, 160), (900.0, 256), (math.inf, 320))  # at most, for fits of less than so many seconds
WIDER = 1.5  # times as many where all of space is in the lattice, of which the scene has half
ENDS = (0.03, 0.10, 0.25, 1.0)  # of the stages, as shares of the run
RAYS = (8192, 10240, 7168, 7168)  # in a step of each, at most
PIXELS_PER_RAY = 8  # so that small scenes take small steps
DENSITY_RATE, COLOR_RATE, DECODER_RATE = 0.3, 0.03, 3e-3
DECAY = 0.1  # of the rates within a stage; in the last one they fall to zero in a line
BETAS = (0.9, 0.99)
SMOOTHNESS = 3e-4 / 65536  # of colours and features, for each ray of a step
DENSITY_SMOOTHNESS = (1e-4 / 65536, 1e-5 / 65536)  # of raw densities; of bounded lattices the second
MANY, FEW = 50, 12  # photographs: with fewer than the first, what stands alone is pressed more to be smooth
SPARSITY = 3e-5 / 65536  # of raw densities, for each ray of a step, before a background
SMOOTH_EVERY = 4  # steps, with so much more weight: it takes a fifth of a step
MASK_EVERY, LOOK_EVERY = 16, 400  # steps
POSE_EVERY = 20  # steps, after which cameras are found anew


@dataclass(frozen=True)
class Stage:
    """One lattice and one size of the pictures."""

    longest: int
    shrink: int
    rays: int
    begin: float
    end: float


def stages_for(
    pixels: int, budget: float | None, *, alpha_start: bool = False, contracted: bool = False
) -> tuple[Stage, ...]:
    """Stages for pictures of so many pixels along a side, each with half the spacing of the one before.

    A start from silhouettes needs no first stage. A fit by steps counts as one of some minutes.
    """
    most = next(nodes for seconds, nodes in NODES if (budget or 120.0) < seconds)
    last = max(64, 8 * round((WIDER if contracted else 1.0) * min(NODES_PER_PIXEL * pixels, most) / 8))
    begins = (0.0, *ENDS[:-1])
    stages = []
    for k, (begin, end, rays) in enumerate(zip(begins, ENDS, RAYS, strict=True)):
        halvings = len(ENDS) - 1 - k
        shrink = max(1, min(2**halvings, pixels // 32))
        stages.append(Stage(max(32, last >> halvings), shrink, rays, begin, end))
    return (replace(stages[1], begin=0.0), *stages[2:]) if alpha_start else tuple(stages)


class Moments:
    """Adam's running means, and room for gradients, of a lattice and its decoder."""

    def __init__(self, lattice: Lattice, threads: int, decoder: list[np.ndarray] | None = None) -> None:
        nodes, bricks = lattice.nodes, len(lattice.places)
        self.mean, self.square = np.zeros_like(nodes), np.zeros_like(nodes)
        self.grads = np.zeros((threads, *nodes.shape), np.float32)
        self.touched = np.zeros((threads, bricks), np.uint64)
        self.seen = np.zeros((threads, bricks), np.float32)
        self.decoder = decoder or [np.zeros_like(w) for w in lattice.decoder for _ in range(2)]
        self.steps = 0

    def add_up(self, decoder: list[np.ndarray]) -> None:
        """Add the gradients of all processes, of the bricks that any of them touched."""
        if part()[1] == 1:
            return
        touched = largest(np.any(self.touched > 0, axis=0).astype(np.uint8)) > 0
        bricks = self.grads.reshape(len(self.grads), len(touched), BRICK**3, -1)
        total = summed(bricks[:, touched].sum(axis=0))
        bricks[:, touched] = 0
        bricks[0, touched] = total
        self.touched[:] = 0
        self.touched[0, touched] = np.packbits(total.any(axis=2), axis=1, bitorder="little").view("<u8")[:, 0]
        self.seen[0] = largest(self.seen.max(axis=0))
        for parts in decoder:
            whole = summed(parts.sum(axis=0))
            parts[:] = 0
            parts[0] = whole

    def adam(self, lattice: Lattice, density_rate: float, color_rate: float) -> None:
        """A step of the nodes."""
        self.steps += 1
        scales = [1 / (1 - beta**self.steps) for beta in BETAS]
        numbers = map(np.float32, (*BETAS, *scales))
        arrays = (self.grads, self.touched, self.mean, self.square, weights_of(density_rate, color_rate))
        kernels.adam(lattice.index, lattice.places, lattice.nodes, lattice.cells, *arrays, *numbers)

    def adam_decoder(self, lattice: Lattice, grads: list[np.ndarray], rate: float, step: int) -> None:
        """A step of the decoder, which is never started anew."""
        for k, (weights, parts) in enumerate(zip(lattice.decoder, grads, strict=True)):
            gradient = parts.sum(axis=0)
            mean, square = self.decoder[2 * k : 2 * k + 2]
            mean += (1 - BETAS[0]) * (gradient - mean)
            square += (1 - BETAS[1]) * (gradient**2 - square)
            scaled = np.sqrt(square / (1 - BETAS[1] ** step)) + 1e-12
            weights -= np.float32(rate) * (mean / (1 - BETAS[0] ** step) / scaled).astype(np.float32)


def reconstruct(
    scene: Scene,
    *,
    budget: float = 120.0,
    steps: int | None = None,
    box: Box | None = None,
    alpha_start: bool = False,
    unbounded: bool | None = None,
    refine_poses: bool = False,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
    watch: Watch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FitResult:
    """Fit a `BrickField` to photographs.

    Args:
        scene: of `ungrid.io.scenes.read_scene`.
        budget: seconds of optimisation.
        steps: a number of steps instead.
        box: the part of the world to keep; None finds what the cameras look at.
        alpha_start: begin with the visual hull of the photographs' silhouettes, which must have alpha.
        unbounded: whether the field holds all of space, by contraction, and not only the box; None looks at the rims of the
            photographs. Scenes that are seen from one side reach to infinity always.
        refine_poses: move and turn the cameras of the fitted views while fitting; ``field.view`` has the poses found.
        seed: of the rays and of the network's first weights.
        threads: of the CPU; None takes all cores.
        report: called with each row of the history.
        watch: called after every step with a renderer of the field as it is then, for the call only; what it takes is not
            counted as time of the fit, and it changes no bit of the result where the number of steps is given.
        checkpoint: a folder; it stays when the fit ends, for the caller to delete once the field is safe.
        resume: go on from the checkpoint where there is one.

    Returns:
        The field, with what its cameras were in ``field.view``; after Ctrl-C as far as it came.

    Raises:
        InputError: if a photograph cannot be read, the cameras see nothing in common, or the checkpoint is of another run.
    """
    limits = Limits(budget=budget, steps=steps)
    count = set_threads(threads)
    began = time.perf_counter()
    pictures = read_pictures(scene.views, scene.background)
    if unbounded is None:
        unbounded = (
            not alpha_start and box is None and scene.box is None and has_surroundings(pictures, scene.background)
        )
    if unbounded and alpha_start:
        raise InputError("an alpha start of a scene with surroundings", "one of the two")
    extent = extent_of(scene, box, unbounded=unbounded)
    compile_kernels(count)
    run = _Run(scene, extent, pictures, limits, seed, count, report, watch, checkpoint, alpha_start, refine_poses)
    if resume and checkpoint is not None:
        run.restore(read_checkpoint(checkpoint))
    run.setup_seconds = time.perf_counter() - began
    run.began = time.perf_counter()
    if alpha_start and run.step == 0:
        run.carve()
    with single_threaded_blas(), np.errstate(under="ignore"):
        try:
            with Interrupts() as interrupts:
                outcome = run.until_done(interrupts)
        except KeyboardInterrupt:
            outcome = Outcome.interrupted
    return run.result(outcome)


def compile_kernels(threads: int) -> None:
    """Run every kernel once, so that the clock of a fit does not count their compilation."""
    extent = Extent(Box(x=(0, 1), y=(0, 1), z=(0, 1)), np.eye(4), np.ones(3))
    lattice = Lattice(new_field(extent, 8, (1.0, 1.0, 1.0), 0))
    moments = Moments(lattice, threads)
    rays = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    for step in (SMOOTH_EVERY, MASK_EVERY):
        fit_step(
            lattice, moments, rays, rays[1], np.zeros(1, np.float32), np.zeros((1, 3), np.float32), rays[1],
            step=step,
        )  # fmt: skip


def fit_step(
    lattice: Lattice,
    moments: Moments,
    rays: tuple[np.ndarray, np.ndarray],
    views: np.ndarray,
    jitter: np.ndarray,
    target: np.ndarray,
    behind: np.ndarray,
    *,
    decay: float = 1.0,
    smoothness: float = 1.0,
    step: int = 1,
) -> float:
    """One step of Adam on the squared error of rays in the lattice's coordinates; returns the mean squared error before it.

    `behind` (rays, 3) is the colour behind the lattice; `smoothness` is a factor on the weights of smooth nodes.
    """
    threads, total = len(moments.grads), len(target)
    mine = share(total)
    rays = rays[0][mine], rays[1][mine]
    views, jitter, target, behind = views[mine], jitter[mine], target[mine], behind[mine]
    decoder = [np.zeros((threads, *w.shape), np.float32) for w in lattice.decoder]
    losses = kernels.square_error(
        *rays, views, jitter, target, behind, lattice.bricks, lattice.how, lattice.decoder, moments.grads,
        kernels.Decoder(*decoder), moments.touched, moments.seen,
    )  # fmt: skip
    moments.add_up(decoder)
    if step % SMOOTH_EVERY == 0:
        often, bounded = SMOOTH_EVERY * total, lattice.field.bounded
        weights = smoothness * weights_of(often * DENSITY_SMOOTHNESS[bounded], often * SMOOTHNESS)
        sparsity = np.float32(often * SPARSITY * bounded)
        arrays = lattice.index, lattice.places, lattice.nodes, moments.grads, moments.touched
        kernels.add_smoothness(*arrays, weights, sparsity)
    moments.adam(lattice, decay * DENSITY_RATE, decay * COLOR_RATE)
    moments.adam_decoder(lattice, decoder, decay * DECODER_RATE, step)
    if step % MASK_EVERY == 0:
        lattice.refresh()
    return float(summed(losses.sum(keepdims=True))[0]) / (3 * total)


def weights_of(density: float, others: float) -> np.ndarray:
    """One number for a node's density and one for its colours and features, (WIDTH,)."""
    return np.array([density] + [others] * (kernels.WIDTH - 1), np.float32)


def share(count: int) -> slice:
    """This process's part of so many rays."""
    number, processes = part()
    return slice(count * number // processes, count * (number + 1) // processes)


class _Run:
    """The moving parts of one call of `reconstruct`."""

    def __init__(
        self, scene: Scene, extent: Extent, pictures: Pictures, limits: Limits, seed: int, threads: int,
        report: Report | None, watch: Watch | None, checkpoint: Path | None, alpha_start: bool, refine_poses: bool,
    ) -> None:  # fmt: skip
        self.scene, self.extent, self.pictures, self.limits = scene, extent, pictures, limits
        self.seed, self.threads, self.report, self.watch, self.checkpoint = seed, threads, report, watch, checkpoint
        self.random = np.random.default_rng(seed)
        self.alpha_start, self.refine_poses = alpha_start, refine_poses
        budget = limits.budget if limits.steps is None else None
        self.stages = stages_for(
            int(np.median(pictures.widths)), budget, alpha_start=alpha_start, contracted=extent.contracted
        )
        self.stage, self.step = 0, 0
        self.rays = int(self.random.integers(1 << 40))  # the number of the next one
        self.history: list[dict[str, float]] = []
        self.error, self.since = 0.0, 0
        self.earlier, self.began, self.setup_seconds = 0.0, time.perf_counter(), 0.0
        self.last_save, self.turn = time.perf_counter(), 0
        self.next_report = FIRST_REPORT
        self.fingerprint = {
            "pictures": digest([pictures.colors[:: max(1, len(pictures.colors) // 4096)], pictures.first]),
            "cameras": digest([pictures.cameras.turns, pictures.cameras.positions, pictures.cameras.lenses]),
            "box": f"{extent.domain} {extent.contracted}", "seed": str(seed), "steps": str(limits.steps),
            "threads": str(threads), "alpha_start": str(alpha_start), "refine_poses": str(refine_poses),
        }  # fmt: skip
        self.shown = smaller(pictures, self.stages[0].shrink)
        self.drawn, self.share, self.reached = self.shown, 1.0, np.zeros(0, np.uint8)
        self.lattice = Lattice(new_field(extent, self.stages[0].longest, scene.background, seed))
        self.moments = Moments(self.lattice, threads)
        # A place that few photographs show can look right in them and be wrong: 14 of the traced scene, 700 steps, held out
        # 27.7 dB; 27.2 with a factor of 1.
        photographs = max(FEW, min(MANY, len(scene.views)))
        self.smoothness = MANY / photographs if self.lattice.field.bounded else 1.0

    @property
    def seconds(self) -> float:
        return self.earlier + time.perf_counter() - self.began

    def carve(self) -> None:
        """Begin with what the silhouettes leave."""
        field = self.lattice.field
        views = tuple(view.smaller(self.stages[0].shrink) for view in self.scene.views)
        self.lattice = Lattice(within_hull(field, visual_hull(views, field.frame, field.shape)))
        self.moments = Moments(self.lattice, self.threads)

    def until_done(self, interrupts: Interrupts) -> Outcome:
        while (progress := of_first(self.limits.progress(self.step, self.seconds))) < 1.0:
            while progress >= self.stages[self.stage].end:
                self.enter(self.stage + 1)
            self.one_step(progress)
            if not math.isfinite(self.error):
                return Outcome.diverged
            if self.watch is not None:
                self.let_watch(self.watch)
            if self.seconds >= self.next_report:
                self.observe()
            if (
                self.checkpoint is not None
                and part()[0] == 0
                and time.perf_counter() - self.last_save >= CHECKPOINT_EVERY
            ):
                self.save()
            if largest(np.array([interrupts.asked]).astype(np.uint8))[0]:
                return Outcome.interrupted
        return Outcome.budget if self.limits.steps is None else Outcome.steps

    def let_watch(self, watch: Watch) -> None:
        """Shows the field as it is; the clock of the fit stands still meanwhile."""
        start = time.perf_counter()
        watch(Renderer(self.lattice.field, self.lattice))
        self.began += time.perf_counter() - start

    def enter(self, number: int) -> None:
        """Go on to a finer lattice and larger pictures."""
        self.stage = number
        self.shown = smaller(self.pictures, self.stages[number].shrink)
        field = refined(self.lattice, self.extent, self.stages[number].longest, self.moments.seen.max(axis=0))
        self.lattice = Lattice(field)
        self.moments = Moments(self.lattice, self.threads, self.moments.decoder)
        self.look(self.lattice.far)

    def look(self, far: np.ndarray) -> None:
        """From now on draw only pixels whose rays come near what can be seen, `far` from it as in `Bricks`."""
        field, self.reached = self.lattice.field, far.copy()
        self.drawn, self.share = that_reach(self.shown, field, far)

    def place(self, cameras: CameraArrays) -> None:
        """From now on the photographs have these cameras."""
        self.pictures, self.shown, self.drawn = (
            replace(one, cameras=cameras) for one in (self.pictures, self.shown, self.drawn)
        )

    def one_step(self, progress: float) -> None:
        stage, field = self.stages[self.stage], self.lattice.field
        count = min(stage.rays, max(1024, self.shown.total // PIXELS_PER_RAY))
        if self.step % LOOK_EVERY == 0:
            self.look(self.lattice.far)
        if self.refine_poses and self.step and self.step % POSE_EVERY == 0:
            self.place(refined_poses(self.drawn, self.lattice, self.random))
        rays, views, target = draw_rays(self.drawn, field, self.rays, count)
        self.rays += count
        jitter = self.random.random(count, dtype=np.float32)
        within = (progress - stage.begin) / (stage.end - stage.begin)
        self.step += 1
        self.error += self.share * fit_step(
            self.lattice, self.moments, rays, views, jitter, target, self.behind(count),
            decay=1 - within if stage is self.stages[-1] else DECAY**within, smoothness=self.smoothness, step=self.step,
        )  # fmt: skip
        self.since += 1

    def behind(self, count: int) -> np.ndarray:
        """What lies behind rays, (count, 3): the background.

        Or random colours behind what is seen from one side: only what is opaque shows the photographs before them all.
        """
        field = self.lattice.field
        if field.bounded or field.contracted:
            return np.tile(np.array(field.background, np.float32), (count, 1))
        return self.random.random((count, 3), dtype=np.float32)

    def observe(self) -> None:
        """Adds a row to the history."""
        seconds, mean = self.seconds, self.error / max(1, self.since)
        row = {
            "step": float(self.step), "seconds": seconds, "loss": mean, "psnr_db": -10 * math.log10(max(mean, 1e-10)),
            "nodes": float(self.stages[self.stage].longest), "bricks": float(self.lattice.field.kept),
        }  # fmt: skip
        self.error, self.since = 0.0, 0
        self.history.append(row)
        self.next_report = min(seconds * GROWTH, seconds + LONGEST_SILENCE)
        if self.report is not None:
            progress = self.limits.progress(self.step, seconds)
            self.report({**row, "progress": progress, "eta": seconds * (1 / max(progress, 1e-9) - 1)})

    def result(self, outcome: Outcome) -> FitResult:
        if self.since:
            self.observe()
        field = self.lattice.field
        field.view = seen_by(self.scene)
        if self.refine_poses:
            field.view["poses"] = [pose.ravel().tolist() for pose in self.pictures.cameras.matrices]
        stats = {
            "method": "sparse bricks, deferred shading", "seconds": self.seconds, "setup_seconds": self.setup_seconds,
            "steps": self.step, "parameters": sum(p.numel() for p in field.parameters()), "bricks": field.kept,
            "nodes": max(field.shape), "views": len(self.scene.views), "background": list(field.background),
            "alpha_start": self.alpha_start, "unbounded": self.extent.contracted, "metrics": {},
        }  # fmt: skip
        return FitResult(field, outcome, self.history, stats)

    def save(self) -> None:
        """Writes the checkpoint."""
        assert self.checkpoint is not None
        if self.turn == 0:
            remove_checkpoint(self.checkpoint)
        self.turn += 1
        field, moments = self.lattice.field, self.moments
        arrays = [moments.mean, moments.square, moments.seen, *moments.decoder]
        content = {
            "weights": field.state_dict(), "blocks": list(field.blocks), "kept": field.kept, "stage": self.stage,
            "moments": [torch.from_numpy(array) for array in arrays], "moment_steps": moments.steps,
            "random": json.dumps(self.random.bit_generator.state), "step": self.step, "rays": self.rays,
            "seconds": self.seconds, "history": self.history, "error": self.error, "since": self.since,
            "fingerprint": self.fingerprint,
            "mask": torch.from_numpy(self.lattice.mask.view(np.int64)), "far": torch.from_numpy(self.lattice.far),
            "reached": torch.from_numpy(self.reached), "turns": torch.from_numpy(self.pictures.cameras.turns.copy()),
            "positions": torch.from_numpy(self.pictures.cameras.positions.copy()),
        }  # fmt: skip
        write_checkpoint(self.checkpoint, self.turn, content)
        self.last_save = time.perf_counter()

    def restore(self, content: dict[str, Any] | None) -> None:
        """Goes on from a checkpoint's content; None starts at the beginning."""
        if content is None:
            return
        assert self.checkpoint is not None
        check_same_run(self.checkpoint, content, self.fingerprint)
        self.stage, self.step, self.rays = content["stage"], content["step"], content["rays"]
        cameras = replace(self.pictures.cameras, turns=content["turns"].numpy(), positions=content["positions"].numpy())
        self.pictures = replace(self.pictures, cameras=cameras)
        self.shown = smaller(self.pictures, self.stages[self.stage].shrink)
        blocks, kept = tuple(content["blocks"]), content["kept"]
        field = BrickField(
            self.extent.domain,
            blocks,
            kept,
            frame=self.extent.frame(blocks),
            background=self.scene.background,
            contracted=self.extent.contracted,
        )
        field.load_state_dict(content["weights"])
        self.lattice = Lattice(field)
        self.lattice.mask[:] = content["mask"].numpy().view(np.uint64)
        self.lattice.far = content["far"].numpy().copy()
        self.look(content["reached"].numpy())
        mean, square, seen, *decoder = (part.numpy().copy() for part in content["moments"])
        self.moments = Moments(self.lattice, self.threads, decoder)
        self.moments.mean, self.moments.square, self.moments.seen = mean, square, seen
        self.moments.steps = content["moment_steps"]
        self.random.bit_generator.state = json.loads(content["random"])
        self.earlier, self.turn, self.history = content["seconds"], content["turn"], content["history"]
        self.error, self.since = content["error"], content["since"]
        self.next_report = self.earlier * GROWTH
