"""How large a grid a signal gets.

Convention: level 0 is the finest. Its lattice is `ratio` times as fine as the samples on every axis; every further level
halves it. Levels carry few features where they have many nodes: a picture's finest level holds one number for each sample
position (about its brightness), coarser levels hold what varies slowly (about its colour), and the decoder joins them.
"""

import math

FEATURES = (1, 1, 2, 4, 4, 4, 4, 4)
FEATURES_OF_A_LINE = (1, 1, 1, 1, 1, 1, 1, 1)  # along one axis coarse levels save nothing; they only speed up the fit
COARSEST = 3  # cells of the longest axis below which no further level is added
SHARE = 0.5  # numbers in the field for each number in the samples, unless asked otherwise


def level_features(dim: int) -> tuple[int, ...]:
    """Features at each node of every level, finest first."""
    return FEATURES_OF_A_LINE if dim == 1 else FEATURES


def level_cells(shape: tuple[int, ...], ratio: float) -> tuple[tuple[int, ...], ...]:
    """Cells of every level on every axis for samples of `shape`; along a single axis a level is a quarter of the last."""
    step = 4 if len(shape) == 1 else 2
    levels: list[tuple[int, ...]] = []
    for k in range(len(FEATURES)):
        cells = tuple(max(1, round(n * ratio / step**k)) for n in shape)
        if levels and max(cells) < COARSEST:
            break
        levels.append(cells)
    return tuple(levels)


def table_size(cells: tuple[tuple[int, ...], ...], padding: int = 4) -> int:
    """Numbers in the tables of dense levels."""
    features = level_features(len(cells[0]))
    return sum(math.prod(n + padding for n in level) * f for level, f in zip(cells, features, strict=False))


def finest_ratio(shape: tuple[int, ...], numbers: float) -> float:
    """The largest ratio, at most 1, whose tables hold at most `numbers` numbers."""
    low, high = 0.0, 1.0
    if table_size(level_cells(shape, 1.0)) <= numbers:
        return 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if table_size(level_cells(shape, middle)) <= numbers else (low, middle)
    return low
