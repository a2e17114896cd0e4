"""Several processes that work on one thing: those that ``torchrun`` has started, or this one alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
import torch.distributed

T = TypeVar("T")


@contextmanager
def processes() -> Iterator[tuple[int, int]]:
    """This process's number and how many there are: those of ``torchrun`` where it has started us, else (0, 1)."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield (0, 1)
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield part()
    finally:
        torch.distributed.destroy_process_group()


def part() -> tuple[int, int]:
    """This process's number and how many there are, within `processes`; (0, 1) outside."""
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def summed(array: np.ndarray) -> np.ndarray:
    """The sum of every process's array, in place; all have the same shape."""
    if part()[1] > 1:
        torch.distributed.all_reduce(torch.from_numpy(array))
    return array


def largest(array: np.ndarray) -> np.ndarray:
    """The largest of every process's array, number by number, in place."""
    if part()[1] > 1:
        torch.distributed.all_reduce(torch.from_numpy(array), torch.distributed.ReduceOp.MAX)
    return array


def of_first(number: float) -> float:
    """The first process's number: what clocks say, for example, which differ."""
    return float(summed(np.array([number if part()[0] == 0 else 0.0]))[0])


def shared(own: dict[int, T]) -> dict[int, T]:
    """The objects of all processes, by their numbers; what is shared is pickled, and goes to our own processes only."""
    every: list[dict[int, T]] = [own] * part()[1]
    if len(every) > 1:
        torch.distributed.all_gather_object(every, own)
    return {number: one for some in every for number, one in some.items()}
