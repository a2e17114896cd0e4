"""Training of the networks that enlarge pictures: Adam on absolute differences, on what `Crops` draws.

Sources: Chen, Liu and Wang 2021 (the loss and the data); Loshchilov and Hutter 2017, *SGDR* (cosine schedule); Polyak and
Juditsky 1992 (the average of the weights that is kept, here with exponential memory). Convolutions and the perceptron run
in bfloat16 where the processor multiplies it fast, parameters, sums and the loss in float32.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ungrid.networks.fused import BFLOAT16
from ungrid.solvers.checkpoint import read_checkpoint, write_checkpoint
from ungrid.upscale.pictures import Batch, Crops


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: of the optimiser, over all resumed parts.
        lr: the largest rate.
        warmup: steps over which the rate rises to it.
        final: the rate at the end, as a share of the largest.
        decay: of the exponential average of the weights.
        clip: the largest norm of a gradient.
    """

    steps: int
    lr: float = 8e-4
    warmup: int = 500
    final: float = 1e-3
    decay: float = 0.999
    clip: float = 1.0

    def rate(self, step: int) -> float:
        """The rate of a step."""
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.lr * (self.final + (1 - self.final) * cosine) * min(1.0, (step + 1) / self.warmup)


def loss_of(network: nn.Module, batch: Batch) -> torch.Tensor:
    """The mean absolute difference."""
    with torch.autocast("cpu", torch.bfloat16, enabled=BFLOAT16):
        found = network(batch.low, batch.rows, batch.columns, torch.tensor([batch.scale] * 2))
    return (found.float() - batch.high).abs().mean()


class Training:
    """A run that can be cut and taken up again.

    Args:
        network: changed in place.
        crops: what it learns from.
        schedule: how.
        folder: of the checkpoint.
    """

    def __init__(self, network: nn.Module, crops: Crops, schedule: Schedule, folder: Path | None = None) -> None:
        self.network, self.crops, self.schedule, self.folder = network, crops, schedule, folder
        self.optimizer = torch.optim.Adam(network.parameters(), lr=schedule.lr, betas=(0.9, 0.99))
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.done, self.seconds, self.history = 0, 0.0, list[dict[str, float]]()

    def resume(self) -> bool:
        """Go to where the checkpoint is; whether there was one."""
        content = read_checkpoint(self.folder) if self.folder else None
        if content is None:
            return False
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.average, self.done, self.seconds = content["average"], content["done"], content["seconds"]
        self.history = content["history"]
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        if self.folder is None:
            return
        content: dict[str, Any] = {name: getattr(self, name) for name in ("average", "done", "seconds", "history")}
        content |= {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        write_checkpoint(self.folder, self.done, content)

    def run(
        self, *, until: int | None = None, every: int = 500, report: Callable[["Training"], None] | None = None
    ) -> None:
        """Step until the end of the schedule, or `until`; save and report every so many steps."""
        end = min(until or self.schedule.steps, self.schedule.steps)
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.crops.batch, self.done)
            began, total = time.perf_counter(), 0.0
            while self.done < end:
                batch, coming = coming.result(), ahead.submit(self.crops.batch, self.done + 1)
                total += self.step(batch)
                if self.done % every == 0 or self.done == end:
                    now = time.perf_counter()
                    self.seconds += now - began
                    row = {"step": self.done, "seconds": self.seconds, "loss": total / (self.done % every or every)}
                    self.history.append(row)
                    self.save()
                    if report is not None:
                        report(self)
                    began, total = time.perf_counter(), 0.0

    def step(self, batch: Batch) -> float:
        """One step; the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.done)
        self.optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.network, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimizer.step()
        self.done += 1
        kept = min(self.schedule.decay, self.done / (self.done + 10))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - kept)
        return float(loss.detach())
