"""Training of the networks that enlarge pictures and clips: Adam on absolute differences, on what `Crops` or `Moments` draws.

Sources: Chen, Liu and Wang 2021 (the loss and the data); Loshchilov and Hutter 2017, *SGDR* (cosine schedule); Polyak and
Juditsky 1992 (the average of the weights that is kept, here with exponential memory); Hinton, Vinyals and Dean 2015 (a
teacher's answers as further truth). Products run in bfloat16 where the processor multiplies it fast, parameters, sums and
the loss in float32.

Under ``torchrun`` every process takes its part of each batch and gradients are averaged (torch's DistributedDataParallel),
so that the number of processes does not change what is learned. A *sharded* run leaves each process only its share of the
weights and of what the optimiser knows of them (Zhao et al. 2023, *PyTorch FSDP*). Checkpoints hold whole tensors: a run goes
on with any number of processes, sharded or not.
"""

import copy
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ungrid._base.interrupts import Interrupts
from ungrid.networks import ContinuousNetwork, LightVideo, VideoINR
from ungrid.networks.fused import BFLOAT16
from ungrid.solvers import Outcome
from ungrid.solvers.checkpoint import check_same_run, read_checkpoint, remove_checkpoint, write_checkpoint
from ungrid.upscale.moments import Moment
from ungrid.upscale.pictures import Batch, Queries

MOTION = 0.01  # weight of a pixel of a known motion's error beside the whole range of a colour's
Network = ContinuousNetwork | LightVideo | VideoINR
Drawn = Batch | Queries | Moment


@runtime_checkable
class Source(Protocol):
    """What draws batches: `Crops`, `Moments`."""

    part: tuple[int, int]

    def batch(self, step: int) -> Drawn: ...
    def described(self) -> dict[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimiser, over all resumed parts.
        lr: the largest rate.
        warmup: steps over which the rate rises to it.
        final: the rate at the end, as a share of the largest.
        decay: of the exponential average of the weights.
        clip: the largest norm of a gradient; None leaves them.
        halvings: shares of the steps after which the rate is halved, in place of the cosine.
    """

    steps: int
    lr: float = 8e-4
    warmup: int = 500
    final: float = 1e-3
    decay: float = 0.999
    clip: float | None = 1.0
    halvings: tuple[float, ...] | None = None

    def rate(self, step: int) -> float:
        """The rate of a step."""
        if self.halvings is not None:
            passed = sum(step >= share * self.steps for share in self.halvings)
            return self.lr * 0.5**passed * min(1.0, (step + 1) / self.warmup)
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.lr * (self.final + (1 - self.final) * cosine) * min(1.0, (step + 1) / self.warmup)


class _Answers(nn.Module):
    """What a network says about a batch, as a module, for `DistributedDataParallel`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, batch: Drawn, device: torch.device) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(device.type, torch.bfloat16, enabled=BFLOAT16 or device.type == "cuda"):
            if isinstance(batch, Queries):
                low = batch.low.to(device)
                latents = self.network.latents(low)
                return self.network.at(latents, low, batch.position.to(device), batch.scales.to(device)).float(), None
            lattice = batch.rows, batch.columns, torch.tensor([batch.scale] * 2, device=device)
            if isinstance(batch, Batch):
                return self.network(batch.low.to(device), *lattice).float(), None
            frames, times = (batch.first.to(device), batch.second.to(device)), batch.times.to(device)
            if isinstance(self.network, VideoINR):
                return _at_pixels(self.network, torch.stack(frames, dim=1), times, batch).float(), None
            colours, motion = self.network.with_motion(frames, times, *lattice)
            return colours.float(), motion.float()


def _at_pixels(network: VideoINR, frames: Tensor, times: Tensor, batch: Moment) -> Tensor:
    """The published network's colours at a batch's lattice, which is a part of a whole picture's pixels."""
    side = round(frames.shape[-1] * batch.scale)
    whole = network.picture(network.encode(frames), frames, times, (side, side))
    rows, columns = (
        torch.from_numpy(np.rint((places + 0.5) * batch.scale - 0.5).astype(np.int64)).to(whole.device)
        for places in (batch.rows, batch.columns)
    )
    return whole[:, :, rows][..., columns]


def _whole(value: Tensor) -> Tensor:
    """A tensor of which every process may have a share, whole; all have to call it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _like(own: Tensor, whole: Tensor) -> Tensor:
    """A whole tensor, laid out as an own one is."""
    moved = whole.to(own.device)
    return distribute_tensor(moved, own.device_mesh, own.placements) if isinstance(own, DTensor) else moved


class Training:
    """A run that can be cut and taken up again.

    Args:
        network: changed in place.
        source: of the batches that it learns from.
        schedule: how.
        folder: of the checkpoint; None keeps none.
        teacher: a network whose answers count like the truth, with a weight.
        weight: of the teacher's answers, in [0, 1].
        sharded: whether each of several processes keeps its share of the weights only.

    Attributes:
        average: the weights' exponential average, which is what a run is for.
        history: rows of step, seconds and loss.
    """

    def __init__(
        self,
        network: Network,
        source: Source,
        schedule: Schedule,
        folder: Path | None = None,
        *,
        teacher: Network | None = None,
        weight: float = 0.5,
        sharded: bool = False,
    ) -> None:
        self.network = network
        self.source, self.schedule, self.folder = source, schedule, folder
        self.teacher, self.weight = None if teacher is None else _Answers(teacher.eval()), weight
        self.device = next(network.parameters()).device
        answers = _Answers(network)
        self.answers: nn.Module = answers
        self.result = network
        if sharded and source.part[1] > 1:  # of weights that lie as they are written
            self.result = copy.deepcopy(network).cpu()
            fully_shard(answers)
        else:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if not sharded and source.part[1] > 1:
            self.answers = DistributedDataParallel(answers)
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(learned, lr=schedule.lr, betas=(0.9, 0.99))
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.done, self.seconds, self.history = 0, 0.0, list[dict[str, float]]()
        self.run_of = {
            "network": str([(name, tuple(value.shape)) for name, value in self.average.items()]),
            "schedule": str(schedule),
            **source.described(),
        }

    def resume(self) -> bool:
        """Go to where the checkpoint is; whether there was one.

        Raises:
            InputError: if it is damaged, or of another run.
        """
        content = read_checkpoint(self.folder) if self.folder else None
        if content is None:
            return False
        check_same_run(cast(Path, self.folder), content, self.run_of)
        given = {"model_state_dict": content["network"], "optim_state_dict": content["optimizer"]}
        set_state_dict(self.network, self.optimizer, **given, options=StateDictOptions(full_state_dict=True))
        self.average = {name: _like(self.average[name], value) for name, value in content["average"].items()}
        self.done, self.seconds, self.history = content["done"], content["seconds"], content["history"]
        return True

    def save(self) -> None:
        """Write the checkpoint, by the first process; all have to call it."""
        if self.folder is None:
            return
        whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
        network, optimizer = get_state_dict(self.network, self.optimizer, options=whole)
        content: dict[str, Any] = {name: getattr(self, name) for name in ("done", "seconds", "history")}
        content |= {
            "steps": self.schedule.steps, "network": network, "optimizer": optimizer,
            "average": {name: _whole(value) for name, value in self.average.items()},
        }  # fmt: skip
        if self.source.part[0] == 0:
            write_checkpoint(self.folder, len(self.history), {**content, "fingerprint": self.run_of})

    def averaged(self) -> Network:
        """The network with the average of its weights, which are copied into it; of a sharded run, where all processes have to
        call it, a copy on the CPU.
        """
        self.result.load_state_dict({name: _whole(value) for name, value in self.average.items()})
        return self.result.eval()

    def run(
        self,
        *,
        seconds: float | None = None,
        every: int = 500,
        report: Callable[[dict[str, float]], None] | None = None,
    ) -> Outcome:
        """Step until the end of the schedule; save and report every so many steps.

        Args:
            seconds: stop after these, with a checkpoint to go on from.
            every: steps between checkpoints.
            report: called with rows of step, seconds, loss, progress and eta.
        """
        if self.done == 0 and self.folder is not None and self.source.part[0] == 0:
            remove_checkpoint(self.folder)  # another run's would look newer
        first, began, total, count = self.done, time.perf_counter(), 0.0, 0
        steps, before = self.schedule.steps, self.seconds
        with ThreadPoolExecutor(1) as ahead, Interrupts() as interrupts:
            coming = ahead.submit(self.source.batch, self.done)
            while self.done < steps:
                batch, coming = coming.result(), ahead.submit(self.source.batch, self.done + 1)
                total, count = total + self.step(batch), count + 1
                spent = time.perf_counter() - began
                asked = self._any(interrupts.asked)
                late = self._any(seconds is not None and spent >= seconds)
                if self.done % every == 0 or self.done == steps or late or asked:
                    self.seconds = before + spent
                    row = {"step": float(self.done), "seconds": self.seconds, "loss": total / count}
                    self.history.append(row)
                    self.save()
                    total, count = 0.0, 0
                    if report is not None:
                        left = (steps - self.done) * spent / (self.done - first)
                        eta = left if seconds is None else min(left, seconds - spent)
                        report({**row, "progress": self.done / steps, "eta": max(0.0, eta)})
                if asked:
                    return Outcome.interrupted
                if late:
                    return Outcome.budget
        return Outcome.steps

    def _any(self, here: bool) -> bool:
        """Whether it holds in any process, so that all stop at the same step."""
        if self.source.part[1] == 1:
            return here
        found = torch.tensor(float(here), device=self.device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return bool(found > 0)

    def step(self, batch: Drawn) -> float:
        """One step; the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.done)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        if self.schedule.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimizer.step()
        self.done += 1
        kept = min(self.schedule.decay, self.done / (self.done + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - kept)
        return float(loss.detach())

    def loss(self, batch: Drawn) -> Tensor:
        """The mean absolute difference to the truth, or to the truth and the teacher; that of known motions beside it."""
        found, motion = self.answers(batch, self.device)
        loss = (found - batch.high.to(self.device)).abs().mean()
        if isinstance(batch, Moment) and motion is not None:
            known = batch.known.to(self.device)[:, None, None, None]
            loss = loss + MOTION * (known * (motion - batch.motion.to(self.device))).abs().mean()
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught, _ = self.teacher(batch, self.device)
        return (1 - self.weight) * loss + self.weight * (found - taught).abs().mean()
