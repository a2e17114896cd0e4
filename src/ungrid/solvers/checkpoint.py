"""Checkpoints: a folder with everything that a run needs to go on with the same bits.

Two files take turns, each written to a temporary name and renamed, so that a crash at any moment leaves one whole.
Each carries a fingerprint of its run, so that it cannot be mistaken for another's.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ungrid._base.errors import InputError
from ungrid._base.interrupts import Interrupts
from ungrid._base.random import torch_generator
from ungrid.fields import Field
from ungrid.objectives import Term

NAMES = ("even.pt", "odd.pt")
STAGES_EVERY = 2.0  # seconds: a `Journal` repeats at most these and one stage

T = TypeVar("T")


def write_checkpoint(folder: Path, turn: int, content: dict[str, Any]) -> None:
    """Store `content` (tensors, numbers, strings, lists, dictionaries) as the checkpoint number `turn`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / NAMES[turn % 2]
    partial = target.with_suffix(".partial")
    with open(partial, "wb") as file:
        torch.save({**content, "turn": turn}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, target)


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest whole checkpoint of the folder, or None where there is none yet."""
    found = []
    for name in NAMES:
        if (folder / name).exists():
            try:
                found.append(torch.load(folder / name, weights_only=True, map_location="cpu"))
            except Exception as error:  # torch.load raises many types for a damaged file
                damaged = error
    if not found and any((folder / name).exists() for name in NAMES):
        raise InputError(f"the checkpoint in {folder} ({damaged})", "a whole checkpoint", "delete it and start again")
    return max(found, key=lambda content: content["turn"], default=None)


def remove_checkpoint(folder: Path) -> None:
    """Delete the checkpoint's own files, and the folder if nothing else is in it."""
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
        (folder / name).with_suffix(".partial").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def fingerprint(u: Field, terms: list[Term], seed: int, steps: int | None) -> dict[str, str]:
    """What makes a run the same run, part by part; the samples by the first batch of every term."""
    weights = u.state_dict()
    batches = [term.points.draw(0, torch_generator(place)) for place, term in enumerate(terms)]
    return {
        "field": str([(name, tuple(weight.shape)) for name, weight in weights.items()]),
        "initial weights": _digest(list(weights.values())),
        "terms": str([(term.name, term.weight) for term in terms]),
        "samples": _digest([part for batch in batches for part in batch if part is not None]),
        "seed": str(seed),
        "steps": str(steps),
    }


def check_same_run(folder: Path, content: dict[str, Any], run: dict[str, str]) -> None:
    """Refuse a checkpoint that another run wrote.

    Raises:
        InputError: it names what differs.
    """
    stored = content.get("fingerprint", {})
    if differing := [name for name, value in run.items() if stored.get(name) != value]:
        raise InputError(
            f"the checkpoint in {folder}, which has other {', '.join(differing)}",
            "one of a run with the same source, method and flags",
            "give those, or leave out --resume to start again",
        )


def _digest(tensors: list[Tensor]) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def digest(arrays: list[np.ndarray]) -> str:
    """A hash of the bytes of arrays."""
    return _digest([torch.from_numpy(np.ascontiguousarray(array)) for array in arrays])


class Journal:
    """The results of a computation's stages, kept in a checkpoint, so that a resumed run makes none of them again.

    A computation that is a function of its stages' results goes on to the same bits wherever it was cut.

    Args:
        folder: of the checkpoint; None keeps nothing.
        run: the fingerprint, part by part.
        resume: start from the checkpoint where there is one.

    Attributes:
        interrupts: checked between stages; in effect inside its ``with`` block.

    Raises:
        InputError: if the checkpoint is damaged or has another fingerprint.
    """

    def __init__(self, folder: Path | None = None, run: dict[str, str] | None = None, *, resume: bool = False) -> None:
        self.folder, self.run = folder, run or {}
        self.results: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self.earlier, self.turn = 0.0, 0
        if resume and folder is not None and (content := read_checkpoint(folder)) is not None:
            check_same_run(folder, content, self.run)
            self.results, self.history = _exchanged(content["results"], torch.Tensor, Tensor.numpy), content["history"]
            self.earlier, self.turn = content["seconds"], content["turn"]
        self.began = self.last_save = time.perf_counter()
        self.interrupts = Interrupts()

    @property
    def seconds(self) -> float:
        """Since the beginning, over all resumed parts."""
        return self.earlier + time.perf_counter() - self.began

    def stage(self, name: str, make: Callable[[], T]) -> T:
        """The result of a stage: the stored one, or that of `make`.

        Results are numbers, strings, arrays, and lists and dictionaries of them. A stage may consist of others, named
        ``name/...``, whose results are dropped when it is done.
        """
        if name not in self.results:
            self.results[name] = make()
            for part in [other for other in self.results if other.startswith(name + "/")]:
                del self.results[part]
            if time.perf_counter() - self.last_save >= STAGES_EVERY:
                self.save()
            self.interrupts.check()
        return self.results[name]

    def save(self) -> None:
        """Write the checkpoint."""
        if self.folder is None:
            return
        if self.turn == 0:  # an earlier run's checkpoints would look newer than the first of this one
            remove_checkpoint(self.folder)
        self.turn += 1
        results = _exchanged(self.results, np.ndarray, lambda array: torch.from_numpy(np.ascontiguousarray(array)))
        content = {"results": results, "history": self.history, "seconds": self.seconds, "fingerprint": self.run}
        write_checkpoint(self.folder, self.turn, content)
        self.last_save = time.perf_counter()


def _exchanged(content: Any, kind: type, exchange: Callable[[Any], Any]) -> Any:
    """Nested lists and dictionaries with every object of a kind exchanged."""
    if isinstance(content, kind):
        return exchange(content)
    if isinstance(content, dict):
        return {name: _exchanged(value, kind, exchange) for name, value in content.items()}
    return [_exchanged(value, kind, exchange) for value in content] if isinstance(content, list) else content
