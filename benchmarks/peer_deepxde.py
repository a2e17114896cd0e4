"""One problem by DeepXDE, with the settings of its own demos; run by `equation_peers.py` as a process of its own.

Conventions: reads points (n, 2) in the order of DeepXDE's inputs from an .npz; writes a JSON list of rows
``[seconds, relative L2, relative energy or null]`` and whether the training ended by itself. The clock starts when the network
is made and stands still while an error is measured.

Nets, numbers of points, Adam steps and learning rates, then L-BFGS, are those of DeepXDE's examples Poisson_Lshape, heat and
Burgers (Lu et al. 2021). L-BFGS reports after every 20 instead of every 1,000 iterations, so that its errors can be measured;
its state goes on.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepxde as dde
import numpy as np
import torch

SEED, REPORTED = 0, 20  # iterations of L-BFGS


class Polygon(dde.geometry.Polygon):
    """With points in the precision of the network: under numpy 2 its own are of double precision."""

    def random_points(self, n: int, random: str = "pseudo") -> np.ndarray:
        return np.asarray(super().random_points(n, random), dtype=dde.config.real(np))

    def random_boundary_points(self, n: int, random: str = "pseudo") -> np.ndarray:
        return np.asarray(super().random_boundary_points(n, random), dtype=dde.config.real(np))


@dataclass(frozen=True)
class Demo:
    """What a demo trains: data, layers, the initialisation of their weights, and Adam's steps before L-BFGS."""

    data: Callable[[], Any]
    layers: list[int]
    weights: str
    steps: int


def everywhere(_: np.ndarray, on_boundary: bool) -> bool:
    return on_boundary


def lshape() -> Any:
    def equation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return -dde.grad.hessian(u, x, i=0, j=0) - dde.grad.hessian(u, x, i=1, j=1) - 1

    region = Polygon([[0, 0], [1, 0], [1, -1], [-1, -1], [-1, 1], [0, 1]])
    wall = dde.icbc.DirichletBC(region, lambda x: 0, everywhere)
    return dde.data.PDE(region, equation, wall, num_domain=1200, num_boundary=120, num_test=1500)


def over_time(low: float, end: float, equation: Callable[..., torch.Tensor], sign: float, **tests: int) -> Any:
    """An equation on (low, 1) over (0, end), from sign · sin(πx), with zeros at both ends."""
    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(low, 1), dde.geometry.TimeDomain(0, end))
    wall = dde.icbc.DirichletBC(domain, lambda x: 0, everywhere)
    start = dde.icbc.IC(domain, lambda x: sign * np.sin(np.pi * x[:, 0:1]), everywhere)
    return dde.data.TimePDE(domain, equation, [wall, start], num_domain=2540, num_boundary=80, num_initial=160, **tests)


def heat() -> Any:
    def equation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)

    return over_time(0, 1.0, equation, 1.0, num_test=2540)


def burgers() -> Any:
    def equation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        rate, slope = (dde.grad.jacobian(u, x, i=0, j=j) for j in (1, 0))
        return rate + u * slope - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)

    return over_time(-1, 0.99, equation, -1.0)


DEMOS = {
    "lshape": Demo(lshape, [2, 50, 50, 50, 50, 1], "Glorot uniform", 50_000),
    "heat": Demo(heat, [2, 20, 20, 20, 1], "Glorot normal", 20_000),
    "burgers": Demo(burgers, [2, 20, 20, 20, 1], "Glorot normal", 15_000),
}


class Watch(dde.callbacks.Callback):
    """Measures the error every few seconds, and stops the training at the cap."""

    def __init__(self, truth: dict[str, np.ndarray], cap: float, every: float) -> None:
        super().__init__()
        self.truth, self.cap, self.every = truth, cap, every
        self.began, self.measuring, self.due = time.perf_counter(), 0.0, 0.0
        self.rows: list[tuple[float, float, float | None]] = []
        self.stopped = False

    def on_epoch_end(self) -> None:
        seconds = time.perf_counter() - self.began - self.measuring
        if seconds >= self.due:
            self.measure(seconds)
        if seconds > self.cap:
            self.stopped = self.model.stop_training = True

    def on_train_end(self) -> None:
        self.measure(time.perf_counter() - self.began - self.measuring)

    def measure(self, seconds: float) -> None:
        start = time.perf_counter()
        found = self.model.predict(self.truth["points"])
        error = float(np.linalg.norm(found - self.truth["values"]) / np.linalg.norm(self.truth["values"]))
        self.rows.append((seconds, error, self.energy()))
        self.due = seconds + self.every
        self.measuring += time.perf_counter() - start

    def energy(self) -> float | None:
        if "gradients" not in self.truth:
            return None
        slopes = self.model.predict(self.truth["rule"], operator=lambda x, u: dde.grad.jacobian(u, x, i=0))
        squares = ((slopes - self.truth["gradients"]) ** 2).sum(axis=1)
        return math.sqrt(self.truth["weights"] @ squares)


def train(demo: Demo, watch: Watch) -> None:
    """Adam, then L-BFGS unless the cap came first."""
    model = dde.Model(demo.data(), dde.nn.FNN(demo.layers, "tanh", demo.weights))
    model.compile("adam", lr=1e-3)
    model.train(iterations=demo.steps, callbacks=[watch])
    if not watch.stopped:
        options = dde.optimizers.config.LBFGS_options
        options["fun_per_step"] = options["fun_per_step"] * REPORTED // options["iter_per_step"]
        options["iter_per_step"] = REPORTED
        model.compile("L-BFGS")
        model.train(callbacks=[watch])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=list(DEMOS))
    parser.add_argument("solver", choices=["float32", "float64"])
    parser.add_argument("truth", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, required=True)
    parser.add_argument("--every", type=float, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dde.config.set_default_float(given.solver)
    dde.config.set_random_seed(SEED)
    watch = Watch(dict(np.load(given.truth)), given.cap, given.every)
    train(DEMOS[given.problem], watch)
    given.out.write_text(json.dumps({"rows": watch.rows, "ended": not watch.stopped}))


if __name__ == "__main__":
    main()
