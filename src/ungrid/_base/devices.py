"""The one place that chooses a device and sets the number of threads."""

import os

import torch

from ungrid._base.errors import InputError


def choose_device(name: str = "auto", *, needs_float64: bool = False) -> torch.device:
    """The device called `name`; ``"auto"`` takes cuda, then mps, then cpu.

    Args:
        name: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        needs_float64: leave out devices without double precision (mps) from the automatic choice.

    Raises:
        InputError: if the device is unknown or this machine does not have it.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        order = ("cuda", "cpu") if needs_float64 else ("cuda", "mps", "cpu")
        return torch.device(next(kind for kind in order if has[kind]))
    kind = name.split(":")[0]
    if kind not in has:
        raise InputError(f"device {name!r}", "auto, cuda, cuda:N, mps or cpu")
    if not has[kind]:
        present = ", ".join(kind for kind, there in has.items() if there)
        raise InputError(f"device {name!r}, which this machine does not have", present, "use --device auto")
    return torch.device(name)


def set_threads(threads: int | None = None) -> int:
    """Set the threads of torch and of the numba kernels; None means all available cores. Returns the number."""
    import numba

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads", "1 or more")
    count = threads or available
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    return count
