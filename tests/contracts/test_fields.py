"""What every field keeps: shapes, dtype, gradients, seeds, its own description and its file."""

import inspect
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from ungrid import fields
from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.encodings import FourierFeatures, Identity, Positional, SplineGrid
from ungrid.fields import (
    Field,
    FunctionField,
    LatentField,
    NeuralField,
    PatchField,
    RadianceField,
    SlabField,
    SplineField,
    SteppedField,
    VideoField,
)
from ungrid.io import field_file
from ungrid.networks import MLP, GridDecoder, Siren
from ungrid.operators import Jet

BOX = Box(Axis("t", 2.0, 5.0, "s"), Axis("x", -1.0, 3.0, "m"))
NAMES = ("u", "v")


def exact(x: Tensor) -> Tensor:
    return torch.stack([torch.sin(x[..., 0]) * x[..., 1], x[..., 1] ** 2], dim=-1)


def neural(encoding: nn.Module, network: Callable[[int], nn.Module], box: Box = BOX) -> NeuralField:
    return NeuralField(
        box, encoding, network(encoding.out_features), out_names=NAMES, value_scale=(2.0, 2.0), value_offset=(0.5, -1.0)
    )


def slab(low: float, high: float, seed: int) -> NeuralField:
    box = Box(Axis("t", 2.0, 5.0, "s"), Axis("x", low, high, "m"))
    return neural(Identity(2), lambda n: Siren(n, 2, width=8, depth=2, first_omega0=4.0, seed=seed), box)


def over_time(first: Axis, seed: int) -> SteppedField:
    """Three times along the axis x, from a network over the axis t alone."""
    network = Siren(1, 12, width=8, depth=2, first_omega0=4.0, seed=seed)
    names = tuple(f"{kind}_{k}" for kind in ("value", "rate") for k in range(6))
    space = NeuralField(Box(first), Identity(1), network, out_names=names)
    return SteppedField(space, (-1.0, 0.5, 3.0), out_names=NAMES, axis="x", unit="m")


SAMPLES: dict[str, Callable[[int], Field]] = {
    "SteppedField": lambda seed: over_time(Axis("t", 2.0, 5.0, "s"), seed),
    "PatchField": lambda seed: PatchField(
        (over_time(Axis("t", 2.0, 3.0, "s"), seed), over_time(Axis("t", 3.0, 5.0, "s"), seed + 1))
    ),
    "SlabField": lambda seed: SlabField((slab(-1.0, 0.5, seed), slab(0.5, 0.9, seed + 1), slab(0.9, 3.0, seed + 2))),
    "FunctionField": lambda seed: FunctionField(BOX, exact, NAMES),
    "Siren": lambda seed: neural(Identity(2), lambda n: Siren(n, 2, width=8, depth=2, first_omega0=4.0, seed=seed)),
    "Fourier, tanh": lambda seed: neural(
        FourierFeatures(2, 5, 1.0, seed=seed), lambda n: MLP(n, 2, width=6, depth=2, activation="tanh", seed=seed)
    ),
    "positional, relu": lambda seed: neural(Positional(2, 2), lambda n: MLP(n, 2, width=6, depth=1, seed=seed)),
    "grid": lambda seed: neural(
        SplineGrid(((3, 4), (6, 8)), (2, 2), extent=(1.0, 1.0), seed=seed, spread=0.5),
        lambda n: GridDecoder(n, 2, width=8, seed=seed),
    ),
    "SplineField": lambda seed: SplineField(
        BOX,
        out_names=NAMES,
        shape=(6, 7),
        matrix=((0.6, 0.1), (-0.2, 0.7)),
        shift=(0.5, 2.5),
        levels=(0.5, 0.9),
        multipliers=((0.7, 1.6), (0.6, 1.7)),
        deviations=(1.0, 1.1),
        seed=seed,
    ),
}
Make = Callable[[int], Field]


def points(*batch: int) -> Tensor:
    unit = torch.rand(*batch, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.tensor([2.0, -1.0]) + torch.tensor([3.0, 4.0]) * (0.05 + 0.9 * unit)


def dtype_of(field: Field) -> torch.dtype:
    """That of its weights; a field without weights computes in its input's."""
    return next((weight.dtype for weight in field.parameters()), torch.float64)


def test_every_class_has_a_sample(concrete_classes: Callable[[ModuleType, type], set[type]]) -> None:
    elsewhere = (RadianceField, LatentField, VideoField)  # `test_radiance_fields.py`, `test_continuous_networks.py`,
    plain = {cls for cls in concrete_classes(fields, Field) if not issubclass(cls, elsewhere)}  # `test_video_field.py`
    assert plain == {type(make(0)) for make in SAMPLES.values()}


def test_shape_and_dtype(make: Make, batch: tuple[int, ...]) -> None:
    field, x = make(0), points(*batch)
    assert field(x).shape == (*batch, 2)
    assert field(x).dtype == dtype_of(field)
    assert field.double()(x).dtype == torch.float64
    assert len(field.out_names) == 2


def test_arrays_give_arrays(make: Make, batch: tuple[int, ...]) -> None:
    field, x = make(0), points(*batch)
    values = field(x.numpy())
    assert isinstance(values, np.ndarray)
    assert values.shape == (*batch, 2)
    torch.testing.assert_close(torch.from_numpy(values), field(x).detach(), rtol=1e-5, atol=1e-5)


def test_points_do_not_see_each_other(make: Make) -> None:
    field, x = make(0).double(), points(2, 3)
    one_by_one = torch.stack([torch.stack([field(point) for point in row]) for row in x])
    torch.testing.assert_close(field(x), one_by_one)


def test_a_grid_is_its_points(make: Make) -> None:
    field, grid = make(0), RegularGrid(BOX, (5, 7))
    values = field.on_grid(grid)
    assert values.shape == (5, 7, 2)
    np.testing.assert_allclose(values, field(grid.points()), rtol=1e-5, atol=1e-5)


def test_a_small_footprint_is_the_value(make: Make) -> None:
    field, x = make(0).double(), points(5)
    got = field(x, torch.tensor([1e-6, 1e-6], dtype=torch.float64))
    torch.testing.assert_close(got, field(x), rtol=1e-4, atol=1e-4)


def test_the_input_is_left_alone(make: Make) -> None:
    x, array = points(5), points(5).numpy()
    make(0)(x).sum()
    make(0)(array)
    assert torch.equal(x, points(5))
    assert not x.requires_grad
    assert np.array_equal(array, points(5).numpy())


def test_wrong_columns(make: Make) -> None:
    with pytest.raises(InputError, match="columns t, x"):
        make(0)(torch.zeros(4, 3))
    with pytest.raises(InputError, match="columns t, x"):
        make(0)(np.zeros(2).reshape(2, 1))


def test_gradients(make: Make, check_gradients: Callable[[nn.Module, Tensor], None]) -> None:
    check_gradients(make(0), points(3))


def test_jets_know_the_axes_and_the_units(make: Make) -> None:
    field, x, h = make(0).double(), points(5), 1e-5
    jet = Jet(field, x)
    for name, step in zip(("t", "x"), h * torch.eye(2, dtype=torch.float64), strict=True):
        slope = (field(x + step) - field(x - step)) / (2 * h)
        torch.testing.assert_close(jet.d(name), slope, rtol=1e-6, atol=1e-6)
    plain = Jet(lambda p: field(p), x, axes=("t", "x"))
    for names in (("t",), ("t", "x"), ("x", "x")):
        torch.testing.assert_close(jet.d(*names), plain.d(*names))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_fused_square_error_is_the_mean_of_squares(make: Make, weighted: bool) -> None:
    field, x = make(0), points(40).float()
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(40, 2, generator=generator)
    weight = torch.rand(40, generator=generator) if weighted else None
    slow, fast = Field.square_error(field, x, target, weight), field.square_error(x, target, weight)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    weights = list(field.parameters())
    for one, other in zip(*(torch.autograd.grad(e, weights) if weights else () for e in (fast, slow)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_fused_divergence_is_the_plain_one(weighted: bool, scale: float) -> None:
    encoding = Positional(2, 2)
    network = MLP(encoding.out_features, 2, width=6, depth=2, output="logistic", seed=0)
    field = NeuralField(BOX, encoding, network, out_names=NAMES, value_scale=(scale, scale))
    generator = torch.Generator().manual_seed(1)
    target, weight = torch.rand(40, 2, generator=generator), torch.rand(40, generator=generator) if weighted else None
    slow, fast = (
        error(points(40).float(), target, weight)
        for error in (lambda *a: Field.divergence(field, *a), field.divergence)
    )
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-6)
    assert field.divergence(points(40), field(points(40)).detach()) < 1e-6
    weights = list(field.parameters())
    for one, other in zip(*(torch.autograd.grad(e, weights) for e in (fast, slow)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_seeds(make: Make, same_state: Callable[[nn.Module, nn.Module], bool]) -> None:
    before = torch.random.get_rng_state()
    assert same_state(make(3), make(3))
    assert same_state(make(3), make(4)) == (len(make(3).state_dict()) == 0)
    assert torch.equal(torch.random.get_rng_state(), before), "a global generator was used"


def test_arguments(make: Make) -> None:
    field = make(5)
    if isinstance(field, FunctionField):
        with pytest.raises(InputError, match="Python function"):
            field.arguments()
        return
    arguments = field.arguments()
    assert set(arguments) == set(inspect.signature(type(field)).parameters)
    again = type(field)(**arguments)
    assert again.arguments() == arguments
    assert np.array_equal(again(points(5).numpy()), field(points(5).numpy()))


def test_field_file(make: Make, tmp_path: Path) -> None:
    for seed, double in product((1, 2), (False, True)):
        field = make(seed).double() if double else make(seed)
        if isinstance(field, FunctionField):
            with pytest.raises(InputError):
                field_file.save(field, tmp_path / "a.field")
            continue
        again = field_file.load(field_file.save(field, tmp_path / "a.field"))
        assert torch.equal(again(points(5)), field(points(5)))
        assert np.array_equal(again(points(5).numpy()), field(points(5).numpy()))
        assert (again.domain, again.out_names) == (field.domain, field.out_names)


def test_the_shape_checks_are_on() -> None:
    """(N, 2) - (N,) would broadcast for N = 2, the classic silent error; `conftest.py` has the annotations checked."""
    with pytest.raises(TypeCheckError):
        SAMPLES["Siren"](0).square_error(points(2).float(), torch.zeros(2))
