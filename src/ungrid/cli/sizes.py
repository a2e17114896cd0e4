"""How large a result shall be, in words, and whether there is room for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ungrid._base.errors import InputError
from ungrid._base.memory import obtainable_memory


@dataclass(frozen=True)
class Wanted:
    """A size: factors (down, across), or rows (None: as the source's sides ask) and columns."""

    factors: tuple[float, float] | None = None
    pixels: tuple[int | None, int] | None = None


def wanted_size(scale: str | None, size: str | None) -> Wanted:
    """What ``--scale`` or ``--size`` names.

    Raises:
        InputError: if it is not one of the two, or names no size.
    """
    if (scale is None) == (size is None):
        raise InputError(f"scale {scale} and size {size}", "one of --scale and --size")
    return Wanted(factors=factors_of(scale)) if scale is not None else Wanted(pixels=pixels_of(str(size)))


def factors_of(text: str) -> tuple[float, float]:
    """The factors (down, across) that ``--scale`` names.

    Raises:
        InputError: if it names none, or one that is not positive.
    """
    try:
        parts = [float(part) for part in text.lower().split("x")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 2) or not all(0 < part < float("inf") for part in parts):
        raise InputError(f"the scale {text!r}", "a number above 0 such as 3.7, or two such as 2x1.5")
    return parts[-1], parts[0]


def pixels_of(text: str) -> tuple[int | None, int]:
    """Rows (None: as the picture's sides ask) and columns that ``--size`` names.

    Raises:
        InputError: if it names none.
    """
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"the size {text!r}", "pixels such as 1920x1080, or a width such as 1920")
    return (int(parts[1]) if len(parts) == 2 else None), int(parts[0])


def shape_of(size: tuple[int, int], wanted: Wanted) -> tuple[int, int]:
    """Rows and columns of the result."""
    if wanted.factors is not None:
        rows, columns = (max(1, round(n * factor)) for n, factor in zip(size, wanted.factors, strict=True))
        return rows, columns
    assert wanted.pixels is not None
    given, columns = wanted.pixels
    return given or max(1, round(size[0] * columns / size[1])), columns


def check_memory(needed: float, what: str) -> None:
    """Refuse what the machine's memory cannot hold.

    Raises:
        InputError: it says what is missing.
    """
    if needed > obtainable_memory():
        raise InputError(
            f"{what}, which needs {needed / 1e9:.3g} GB of memory",
            f"{obtainable_memory() / 1e9:.3g} GB",
            "a smaller one",
        )


def check_disk(stored: float, what: str, target: Path) -> None:
    """Refuse a result that the disk cannot hold.

    Raises:
        InputError: it says what is missing.
    """
    place = next(folder for folder in target.absolute().parents if folder.exists())
    if stored > shutil.disk_usage(place).free:
        raise InputError(f"{what}, up to {stored / 1e9:.3g} GB on disk", f"that much room in {place}", "a smaller one")
