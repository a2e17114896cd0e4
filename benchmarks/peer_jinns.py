"""One problem by jinns with an optimiser of second order; run by `equation_peers.py` as a process of its own.

Conventions: reads points (n, 2) in the order (x, t) from an .npz; writes rows ``[seconds, relative L2, null]`` and whether the
training ended by itself as JSON. jinns's own inputs are (t, x). The clock starts after the first step, so that compilation
does not count; parameters are kept as they pass, and their errors are measured when the training has ended.

Net and numbers of points are those of DeepXDE's demos; float64. The optimisers are jinns's own with their defaults:
`vanilla_ngd` (natural gradient, Müller and Zeinhofer 2023) and `scale_by_SSBroyden_family` (self-scaled Broyden, Urbán,
Stefanou and Pons 2025). Training ends by itself where a parameter becomes NaN, or after `MOST_STEPS`.
"""

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

jax.config.update("jax_enable_x64", True)  # before anything makes an array

import jax.numpy as jnp  # noqa: E402
import jinns  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from jax.experimental import io_callback  # noqa: E402
from jinns.solver import GetJinnsVariableName as Name  # noqa: E402
from jinns.validation import AbstractValidationModule  # noqa: E402

WIDTH, MOST_STEPS = 20, 100_000


class Heat(jinns.loss.PDENonStatio):
    """u_t = ν u_xx."""

    def equation(self, t_x: jax.Array, u: Any, params: Any) -> jax.Array:
        def slopes(at: jax.Array) -> jax.Array:
            return jax.grad(lambda place: u(place, params)[0])(at)

        second = jax.grad(lambda at: slopes(at)[1])(t_x)[1]
        return (slopes(t_x)[0] - params.eq_params.nu * second)[None]


PROBLEMS: dict[
    str, tuple[Any, float, float, float, float]
] = {  # equation, ν, lower end, end of time, sign of the start
    "heat": (Heat, 0.4, 0.0, 1.0, 1.0),
    "burgers": (jinns.loss.BurgersEquation, 0.01 / np.pi, -1.0, 0.99, -1.0),
}


class Diary:
    """Parameters with the seconds at which they were reached."""

    def __init__(self, cap: float, every: float) -> None:
        self.cap, self.every, self.due = cap, every, 0.0
        self.began: float | None = None
        self.stopped = False
        self.entries: list[tuple[float, list[np.ndarray]]] = []

    def __call__(self, leaves: list[np.ndarray]) -> np.ndarray:
        """Write down what is due; whether to stop."""
        now = time.perf_counter()
        self.began = now if self.began is None else self.began
        seconds = now - self.began
        self.stopped = seconds > self.cap
        if seconds >= self.due or self.stopped:
            self.entries.append((seconds, [np.array(leaf) for leaf in leaves]))
            self.due = seconds + self.every
        return np.asarray(self.stopped)


class Watch(AbstractValidationModule):
    """What jinns calls after every step; it validates nothing."""

    diary: Diary = eqx.field(static=True)
    call_every: int = eqx.field(kw_only=True, default=1)

    def __call__(self, params: Any) -> tuple["Watch", jax.Array, jax.Array, jax.Array]:
        stop = io_callback(self.diary, jax.ShapeDtypeStruct((), bool), jax.tree.leaves(params))
        return self, stop, jnp.array(0.0), jnp.array(False)


def callback_value(params: Any, loss: Any, batch: Any) -> jax.Array:
    """The loss; jinns asks for such a name and for no closure."""
    return loss(params, batch)[0]


def callback_gradient(params: Any, loss: Any, batch: Any) -> Any:
    return jax.grad(lambda p: loss(p, batch)[0])(params)


SSBROYDEN = {
    "value": Name("train_loss_value"), "grad_pt": Name("grads"), "loss": Name("loss"), "batch": Name("batch"),
    "value_fn": callback_value, "grad_fn": callback_gradient,
}  # fmt: skip


def optimiser(name: str) -> dict[str, Any]:
    """The arguments of `jinns.solve`."""
    if name == "natural-gradient":
        search = optax.scale_by_backtracking_linesearch(max_backtracking_steps=15)
        return {"optimizer": jinns.optimizers.vanilla_ngd(linesearch=search)}
    family = jinns.optimizers.scale_by_SSBroyden_family()
    return {"optimizer": family, "extra_optax_args_and_kwargs": SSBROYDEN}


def network(key: jax.Array) -> tuple[Any, Any]:
    layers: list[tuple[Any, ...]] = []
    for pair in pairwise([2, WIDTH, WIDTH, WIDTH, 1]):
        layers += [(eqx.nn.Linear, *pair), (jax.nn.tanh,)]
    return jinns.nn.PINN_MLP.create(key=key, eqx_list=tuple(layers[:-1]), eq_type="PDENonStatio")


def train(problem: str, solver: str, diary: Diary) -> tuple[Any, Any]:
    """The network and its last parameters."""
    equation, nu, low, end, sign = PROBLEMS[problem]
    keys = jax.random.split(jax.random.PRNGKey(0))
    u, weights = network(keys[0])
    params = jinns.parameters.Params(nn_params=weights, eq_params={"nu": jnp.array(nu)})
    data = jinns.data.CubicMeshPDENonStatio(
        key=keys[1], n=2540, nb=80, ni=160, dim=1, min_pts=(low,), max_pts=(1.0,), tmin=0.0, tmax=end, method="uniform"
    )
    loss = jinns.loss.LossPDENonStatio(
        u=u, params=params, dynamic_loss=equation(), boundary_condition=jinns.loss.Dirichlet(),
        initial_condition_fun=lambda x: sign * jnp.sin(jnp.pi * x),
        loss_weights=jinns.loss.LossWeightsPDENonStatio(dyn_loss=1.0, initial_condition=1.0, boundary_loss=1.0),
    )  # fmt: skip
    found = jinns.solve(
        n_iter=MOST_STEPS, init_params=params, data=data, loss=loss, validation=Watch(diary=diary),
        verbose=False, **optimiser(solver),
    )  # fmt: skip
    return u, found[0]


def measured(u: Any, params: Any, diary: Diary, truth: dict[str, np.ndarray]) -> list[tuple[float, float, None]]:
    """The error of every entry."""
    structure = jax.tree.structure(params)
    values = jax.jit(lambda p: jax.vmap(lambda at: u(at, p))(jnp.asarray(truth["points"][:, ::-1])))
    rows = []
    for seconds, leaves in diary.entries:
        found = np.asarray(values(jax.tree.unflatten(structure, leaves)))
        error = float(np.linalg.norm(found - truth["values"]) / np.linalg.norm(truth["values"]))
        if np.isfinite(error):
            rows.append((seconds, error, None))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=list(PROBLEMS))
    parser.add_argument("solver", choices=["natural-gradient", "ssbroyden"])
    parser.add_argument("truth", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, required=True)
    parser.add_argument("--every", type=float, required=True)
    given = parser.parse_args()
    diary = Diary(given.cap, given.every)
    u, params = train(given.problem, given.solver, diary)
    rows = measured(u, params, diary, dict(np.load(given.truth)))
    given.out.write_text(json.dumps({"rows": rows, "ended": not diary.stopped}))


if __name__ == "__main__":
    main()
