"""Derivatives for a training step: `JetOperator` against nested reverse mode, parameter gradients included.

Run as ``python benchmarks/jet.py [--seconds S]``; writes benchmarks/results/jet.csv. Both ways are timed in turn, and
the fastest of their steps counts, as the machine may be shared. For the eikonal equation `JetOperator` itself chooses
reverse mode, so that the spread of these ratios around 1 is the noise of the measurement.
"""

import argparse
import os
import time
from collections.abc import Callable
from itertools import product

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from record import write
from torch import Tensor

from ungrid.domains import Axis, Box
from ungrid.encodings import Identity
from ungrid.fields import NeuralField
from ungrid.networks import MLP, Siren
from ungrid.operators import Jet, JetOperator

SEED = 0
EQUATIONS: dict[str, tuple[str, Callable[[Jet], Tensor]]] = {
    "burgers": ("tx", lambda u: u.d("t") + u.value * u.d("x") - 0.01 * u.d("x", "x")),
    "heat": ("txy", lambda u: u.d("t") - u.laplacian()),
    "poisson": ("xy", lambda u: u.laplacian() - 1.0),
    "eikonal": ("xy", lambda u: u.gradient().square().sum(dim=-1) - 1.0),
}


def field(axes: str, network: str, dtype: torch.dtype) -> NeuralField:
    """Four hidden layers of 64 units on [-1, 1] in every axis."""
    d = len(axes)
    tanh = network == "tanh"
    net = MLP(d, 1, width=64, depth=4, activation="tanh", seed=SEED) if tanh else Siren(d, 1, width=64, seed=SEED)
    return NeuralField(Box(*(Axis(a, -1, 1, unit=a) for a in axes)), Identity(d), net, out_names=("u",)).to(dtype)


def milliseconds(ways: list[Callable[[], Tensor]], weights: list[Tensor], seconds: float) -> list[float]:
    """The fastest step of each way."""
    best = [float("inf")] * len(ways)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for k, way in enumerate(ways):
            start = time.perf_counter()
            torch.autograd.grad(way().square().mean(), weights, materialize_grads=True)
            best[k] = min(best[k], 1e3 * (time.perf_counter() - start))
    return best


def row(name: str, network: str, dtype: torch.dtype, n: int, seconds: float) -> dict[str, object]:
    axes, equation = EQUATIONS[name]
    u = field(axes, network, dtype)
    x = 2 * torch.rand(n, len(axes), dtype=dtype, generator=torch.Generator().manual_seed(SEED)) - 1
    operator = JetOperator(equation)
    operator(u, x)
    ways: list[Callable[[], Tensor]] = [lambda: equation(Jet(u, x)), lambda: operator(u, x)]
    reverse, ours = milliseconds(ways, list(u.parameters()), seconds)
    case = {"equation": name, "network": network, "dtype": str(dtype)[6:], "points": n}
    times = {"reverse_ms": round(reverse, 2), "jet_operator_ms": round(ours, 2), "ratio": round(reverse / ours, 2)}
    return case | {"threads": torch.get_num_threads()} | times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="per case")
    seconds = parser.parse_args().seconds
    rows = []
    for threads, dtype, n in product((1, 2), (torch.float64, torch.float32), (512, 2048)):
        torch.set_num_threads(threads)
        for network, name in product(("tanh", "siren"), EQUATIONS):
            rows.append(row(name, network, dtype, n, seconds))
    write("jet", rows, SEED)


if __name__ == "__main__":
    main()
