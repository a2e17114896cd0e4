"""Mean error of a network with all parameter gradients in one walk over the batch.

A chunk of rows goes forward and straight backward, so that its activations are still in the cache, and nothing of the
size of the batch is allocated. The plain twin is the mean of ``measure(network(x), target)`` under autograd, where the
measure of a linear output is `squares` and of a logistic one `divergences`.

Convention: rows are samples. Of layer l, ``z = h_(l-1) W_l^T`` is the product, ``h = f(z + b_l)`` the output and
``slope = f'(z + b_l)``; g stands for the gradient of the loss by the array in question.

In bfloat16 the products between hidden layers and the stored activations are bfloat16; the parameters, the first layer
(coordinates need their digits), the last layer, the residual and all sums over chunks stay float32. Processors without
instructions for it multiply the rounded factors in float32: equal in precision, and slower than float32 alone.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ungrid._base.errors import InputError
from ungrid.kernels.sine import scale_and_sum

CHUNK = {"float32": 1024, "bfloat16": 2048}  # rows; an activation of 256 columns is 1 MB, about a core's second cache
BFLOAT16 = "AVX512" in torch.backends.cpu.get_cpu_capability()  # else a product in it takes 500 times as long
SMALLEST_PART = 256  # rows for which a thread is worth starting

T = TypeVar("T")
Precision = Literal["float32", "bfloat16"]
Activate = Callable[[int, Tensor, Tensor, Tensor, Tensor], None]
"""``(layer, z, bias, h, slope)``: writes h and slope."""
Measure = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(sums of the last layer, target)``: the error of every number, and its derivative by the sums."""


def numbers(x: Tensor) -> np.ndarray:
    """The tensor's memory as the kernels read it: float32, or the bits of bfloat16."""
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def squares(sums: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared differences."""
    residual = sums - target
    return residual.square(), 2 * residual


def divergences(sums: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Kullback-Leibler divergences of ``sigmoid(sums)`` from the target, both as probabilities in [0, 1]; 0 where equal.

    That is the cross-entropy less the target's own entropy. Near 0 and 1 its derivative does not vanish with the slope of
    the logistic function, as that of a squared difference does.
    """
    rest = 1 - target
    entropy = torch.special.entr(target) + torch.special.entr(rest)
    return functional.softplus(sums) - target * sums - entropy, torch.sigmoid(sums) - target


def weighted_mean(errors: Tensor, weight: Tensor | None) -> Tensor:
    """The mean over rows and columns; `weight` of the rows is (N,), (N, 1) or None."""
    return errors.mean() if weight is None else (errors * weight.reshape(-1, 1)).mean()


def mean_square_error(values: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The mean over rows and columns of ``weight (values - target)^2``; `weight` is (N,), (N, 1) or None."""
    return weighted_mean(squares(values, target)[0], weight)


def fused_mean(
    last_sums: Callable[[Tensor], Tensor],
    layers: list[nn.Linear],
    activate: Activate,
    x: Tensor,
    target: Tensor,
    weight: Tensor | None,
    measure: Measure,
    precision: Precision = "float32",
) -> Tensor:
    """The weighted mean of ``measure(last_sums(x), target)``, attached to the parameters and to x.

    Fused where everything is float32 on a CPU, and then good for first derivatives only; else the plain formula.

    Args:
        last_sums: the plain twin, up to the sums of the last layer.
        layers: its layers; `activate` stands between them.
        activate: the activation.
        x: (N, in_features).
        target: (N, out_features).
        weight: (N,) or (N, 1), or None.
        measure: `squares` or `divergences`.
        precision: of the products between hidden layers; the plain formula keeps that of the parameters.
    """
    expected = (len(x), layers[-1].out_features)
    if target.shape != expected:
        raise InputError(f"a target of shape {tuple(target.shape)}", f"{expected}")
    if not _runs_fused(layers, x, target, weight):
        return weighted_mean(measure(last_sums(x), target)[0], weight)
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    loss: Tensor = _FusedMean.apply(x, target, weight, activate, measure, precision, *parameters)
    return loss


def _runs_fused(layers: list[nn.Linear], x: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    data = [target] if weight is None else [target, weight]
    tensors = [x, *data, *(layer.weight for layer in layers)]
    ours = all(tensor.dtype == torch.float32 and tensor.device.type == "cpu" for tensor in tensors)
    return ours and len(layers) > 1 and len(x) > 0 and not any(tensor.requires_grad for tensor in data)


class _FusedMean(torch.autograd.Function):
    """Computes the gradients with the loss; the backward pass only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        target: Tensor,
        weight: Tensor | None,
        activate: Activate,
        measure: Measure,
        precision: Precision,
        *parameters: Tensor,
    ) -> Tensor:
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        parts = min(torch.get_num_threads(), -(-len(x) // SMALLEST_PART))

        def walk_part(part: int) -> _Walk:
            rows = range(part * len(x) // parts, (part + 1) * len(x) // parts)
            walk = _Walk(list(parameters), activate, measure, min(CHUNK[precision], len(rows)), precision)
            walk.over(rows, x, target, weight, by_x)
            return walk

        walks = on_threads(walk_part, parts)
        ctx.by_x = by_x
        shares = zip(*(walk.gradients() for walk in walks), strict=True)
        ctx.by_parameters = [torch.stack(share).sum(dim=0) for share in shares]
        return x.new_tensor(sum(walk.loss for walk in walks))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph: the gradients would silently count as constants
            raise InputError(
                "a second derivative of a fused error", "first derivatives", "differentiate forward(x) instead"
            )
        by_x = None if ctx.by_x is None else g * ctx.by_x
        return by_x, None, None, None, None, None, *(g * gradient for gradient in ctx.by_parameters)


def on_threads(work: Callable[[int], T], parts: int) -> list[T]:
    """``[work(0), ..., work(parts - 1)]``, each on a thread of its own whose torch operations use no further threads.

    Threads with rows of their own wait for each other once in a step instead of once in an operation.
    """

    def alone(part: int) -> T:
        torch.set_num_threads(1)  # for this thread, and as the default of threads that start later: reset below
        with torch.no_grad():
            return work(part)

    if parts == 1:
        return [work(0)]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(parts) as pool:
            return list(pool.map(alone, range(parts)))
    finally:
        torch.set_num_threads(threads)


class _Walk:
    """One thread's buffers for a chunk, and its sums over chunks."""

    def __init__(
        self, parameters: list[Tensor], activate: Activate, measure: Measure, rows: int, precision: Precision
    ) -> None:
        self.loss = 0.0
        self.chunk = rows
        self.activate, self.measure = activate, measure
        self.weights, self.biases = parameters[::2], parameters[1::2]
        self.widths = [len(bias) for bias in self.biases]
        hidden = self.widths[:-1]
        low = torch.bfloat16 if precision == "bfloat16" else torch.float32
        # Only what enters a product between hidden layers is of low precision.
        self.products = [self.weights[0], *(weight.to(low) for weight in self.weights[1:-1]), self.weights[-1]]
        self.h = [torch.empty(rows, m, dtype=low) for m in hidden[:-1]]
        self.h += [torch.empty(rows, hidden[-1], dtype=torch.float32)]
        self.slopes = [torch.empty(rows, m, dtype=low) for m in hidden]
        self.z = {dtype: torch.empty(rows * max(hidden), dtype=dtype) for dtype in {low, torch.float32}}
        self.g = {dtype: torch.empty(rows * max(hidden), dtype=dtype) for dtype in {low, torch.float32}}
        # Laid out along the longer side: the product of a narrow layer is several times faster this way.
        self.by_weights = [_zeros(*weight.shape) for weight in self.weights]
        self.by_hidden_biases = [torch.zeros(m, dtype=torch.float32) for m in hidden]
        self.by_last_bias = torch.zeros(self.widths[-1], dtype=torch.float32)

    def over(self, rows: range, x: Tensor, target: Tensor, weight: Tensor | None, by_x: Tensor | None) -> None:
        """Walk over some rows of the batch; fills those rows of `by_x`."""
        for start in range(rows.start, rows.stop, self.chunk):
            chunk = slice(start, min(start + self.chunk, rows.stop))
            errors, slopes = self.measure(self.forward(x[chunk]), target[chunk])
            if weight is not None:
                errors, slopes = (part * weight[chunk].reshape(-1, 1) for part in (errors, slopes))
            self.loss += errors.sum().item() / target.numel()
            self.backward(x[chunk], slopes / target.numel(), None if by_x is None else by_x[chunk])

    def forward(self, x: Tensor) -> Tensor:
        """The network's values on a chunk; keeps what `backward` needs."""
        n = len(x)
        inputs = x
        for layer, weight in enumerate(self.products[:-1]):
            z = _rows(self.z[weight.dtype], n, self.widths[layer])
            _multiply(inputs, weight.T, z)
            h = self.h[layer][:n]
            self.activate(layer, z, self.biases[layer], h, self.slopes[layer][:n])
            inputs = h
        return torch.addmm(self.biases[-1], inputs, self.weights[-1].T)

    def backward(self, x: Tensor, g: Tensor, by_x: Tensor | None) -> None:
        """Add the gradients of a chunk whose values have the gradient g; fill `by_x`."""
        n = len(x)
        self.by_last_bias += g.sum(dim=0)
        for layer in range(len(self.widths) - 1, 0, -1):
            inputs = self.h[layer - 1][:n]
            self._add_weight_gradient(layer, g, inputs)
            # g by the outputs of the layer below, then by its sums, in the type of the next product.
            by_h = _rows(self.z[g.dtype], n, self.widths[layer - 1])
            _multiply(g, self.products[layer], by_h)
            lower = self.products[layer - 1].dtype
            g = _rows(self.g[lower], n, self.widths[layer - 1])
            slope = self.slopes[layer - 1][:n]
            scale_and_sum(numbers(by_h), numbers(slope), numbers(g), numbers(self.by_hidden_biases[layer - 1]))
        self._add_weight_gradient(0, g, x)
        if by_x is not None:
            torch.mm(g, self.weights[0], out=by_x)

    def _add_weight_gradient(self, layer: int, g: Tensor, inputs: Tensor) -> None:
        total = self.by_weights[layer]
        if g.dtype == torch.float32:
            torch.addmm(total, g.T, inputs, out=total)
        else:
            total += torch.mm(g.T, inputs) if BFLOAT16 else torch.mm(g.T.float(), inputs.float())

    def gradients(self) -> list[Tensor]:
        """Weight and bias gradients in the order of the parameters."""
        biases = [*self.by_hidden_biases, self.by_last_bias]
        weights = [total.contiguous() for total in self.by_weights]
        return [part for pair in zip(weights, biases, strict=True) for part in pair]


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out = a b``; of bfloat16 by way of float32 where that is all the processor has."""
    if out.dtype == torch.bfloat16 and not BFLOAT16:
        out.copy_(torch.mm(a.float(), b.float()))
    else:
        torch.mm(a, b, out=out)


def _rows(buffer: Tensor, n: int, m: int) -> Tensor:
    """The start of a flat buffer as an (n, m) matrix."""
    return buffer[: n * m].view(n, m)


def _zeros(n: int, m: int) -> Tensor:
    """An (n, m) matrix of zeros whose longer side is contiguous."""
    return torch.zeros(n, m, dtype=torch.float32) if n <= m else torch.zeros(m, n, dtype=torch.float32).T
