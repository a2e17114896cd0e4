"""How large a grid a signal gets.

Convention: level 0 is the finest. Its lattice is `ratio` times as fine as the samples on every axis; every further level
halves it. Levels carry few features where they have many nodes: a picture's finest level holds one number for each sample
position (about its brightness), coarser levels hold what varies slowly (about its colour), and the decoder joins them.
"""

import math

from ungrid.encodings.grid import PAD

PLENTY = ((1, 2, 4, 4), (1, 2, 2, 4), (1, 1, 2, 4), (1, 1, 2, 2), (1, 1, 1, 2), (1, 1, 1, 1))
LINE = ((1, 1, 1, 1),)  # along one axis coarse levels save nothing; they only speed up the fit
COARSEST = 3  # cells of the longest axis below which no further level is added
MOST_LEVELS = 8
SHARE = 0.5  # numbers in the field for each number in the samples, unless asked otherwise


def choose_levels(shape: tuple[int, ...], numbers: float) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Cells and features of every level, for at most `numbers` numbers.

    Where a node for each sample can be paid for, the nodes are the samples' places exactly and the coarser levels get what
    is left: a lattice that is almost but not quite as fine as the samples beats against them, and is worse between them.
    """
    cells = level_cells(shape, 1.0)
    choices = LINE if len(shape) == 1 else PLENTY
    for start in choices:
        features = level_features(start, len(cells))
        if table_size(cells, features) <= numbers:
            return cells, features
    start = choices[len(choices) // 2 - 1]
    ratio = finest_ratio(shape, numbers, start)
    cells = level_cells(shape, ratio)
    return cells, level_features(start, len(cells))


def level_features(start: tuple[int, ...], levels: int) -> tuple[int, ...]:
    """The features of the finest levels, and the last of them again for all coarser ones."""
    return (*start, *[start[-1]] * levels)[:levels]


def level_cells(shape: tuple[int, ...], ratio: float) -> tuple[tuple[int, ...], ...]:
    """Cells of every level on every axis for samples of `shape`; along a single axis a level is a quarter of the last."""
    step = 4 if len(shape) == 1 else 2
    levels: list[tuple[int, ...]] = []
    for k in range(MOST_LEVELS):
        cells = tuple(max(1, round(n * ratio / step**k)) for n in shape)
        if levels and max(cells) < COARSEST:
            break
        levels.append(cells)
    return tuple(levels)


def table_size(cells: tuple[tuple[int, ...], ...], features: tuple[int, ...]) -> int:
    """Numbers in the tables of dense levels."""
    return sum(math.prod(n + 2 * PAD for n in level) * f for level, f in zip(cells, features, strict=True))


def finest_ratio(shape: tuple[int, ...], numbers: float, start: tuple[int, ...]) -> float:
    """The largest ratio below 1 whose tables hold at most `numbers` numbers."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        cells = level_cells(shape, middle)
        fits = table_size(cells, level_features(start, len(cells))) <= numbers
        low, high = (middle, high) if fits else (low, middle)
    return low
