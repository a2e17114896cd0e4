"""What the contract tests share: the classes of a room, and one run of every test for each sample.

A contract module has a table `SAMPLES`: name -> function of a seed that makes an object. Tests with the argument `make`
run for every entry; a class of the room that no entry makes fails the module's `test_every_class_has_a_sample`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

MANY = 2000  # numbers of a module, above which not every one is moved by itself


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "make" in metafunc.fixturenames:
        samples = metafunc.module.SAMPLES
        metafunc.parametrize("make", samples.values(), ids=samples.keys())
    if "batch" in metafunc.fixturenames:
        metafunc.parametrize("batch", [(), (5,), (2, 3), (0,)], ids=str)


def _concrete_classes(room: ModuleType, base: type) -> set[type]:
    """Every public, concrete subclass of `base` that is defined in a module of the room, exported or not."""
    modules = [
        room,
        *(importlib.import_module(f"{room.__name__}.{m.name}") for m in pkgutil.iter_modules(room.__path__)),
    ]
    return {
        cls
        for module in modules
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base)
        and cls.__module__.startswith(room.__name__)
        and not name.startswith("_")
        and not inspect.isabstract(cls)
    }


@pytest.fixture
def concrete_classes() -> Callable[[ModuleType, type], set[type]]:
    return _concrete_classes


def _same_state(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def same_state() -> Callable[[nn.Module, nn.Module], bool]:
    return _same_state


@pytest.fixture
def check_arguments() -> Callable[[nn.Module], None]:
    """`arguments()` names exactly the constructor's parameters and builds the same object again."""

    def check(module: nn.Module) -> None:
        arguments = module.arguments()
        assert list(arguments) == list(inspect.signature(type(module)).parameters)
        again = type(module)(**arguments)
        assert again.arguments() == arguments
        assert _same_state(again, module)

    return check


@pytest.fixture
def check_gradients() -> Callable[[nn.Module, Tensor], None]:
    """Gradients of points and parameters, in double precision, against finite differences."""

    def check(module: nn.Module, x: Tensor) -> None:
        module = module.double()
        names = [name for name, _ in module.named_parameters()]
        weights = [weight.detach().clone().requires_grad_() for _, weight in module.named_parameters()]

        def call(points: Tensor, *values: Tensor) -> Tensor:
            return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (points,))

        along_one_direction = sum(weight.numel() for weight in weights) > MANY  # a random one for all numbers
        assert torch.autograd.gradcheck(call, (x.double().requires_grad_(), *weights), fast_mode=along_one_direction)

    return check
