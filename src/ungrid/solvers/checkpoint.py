"""Checkpoints: a folder with everything that a run needs to go on with the same bits.

Two files take turns, each written to a temporary name and renamed, so that a crash at any moment leaves one whole.
"""

import os
from pathlib import Path
from typing import Any

import torch

from ungrid._base.errors import InputError

NAMES = ("even.pt", "odd.pt")


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
