"""Cameras of plain photographs, by structure from motion.

COLMAP does the work through pycolmap (Schönberger and Frahm 2016, *Structure-from-motion revisited*): features, matches, and an
incremental model with one lens for all photographs. What comes out is written as COLMAP's own files, so that any other program
can use it too.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ungrid._base.errors import InputError
from ungrid._base.optional import require

FEW = 30  # verified matches with the best partner, below which a photograph shares too little with the others
FEWEST = 3  # photographs that have to be placed
EXHAUSTIVE = 150  # photographs up to which every pair is matched


@dataclass(frozen=True)
class Posed:
    """What was found.

    Attributes:
        model: the folder of the model with the most photographs.
        placed: how many.
        notes: for each photograph that could not be placed, why.
    """

    model: Path
    placed: int
    notes: tuple[str, ...]


def pose_photographs(
    photographs: list[Path], work: Path, *, sequential: bool = False, seed: int = 0, say: Callable[[str], None] = print
) -> Posed:
    """Find the cameras of photographs.

    Args:
        photographs: in one folder.
        work: a folder for COLMAP's database and models; what an earlier run left there is deleted.
        sequential: whether they follow each other, as the frames of a clip do: then only neighbours are matched.
        seed: of COLMAP's random samples.
        say: is told what is done.

    Raises:
        InputError: with less than three photographs, or if less than three can be placed.
        MissingExtraError: without pycolmap.
    """
    if len(photographs) < FEWEST:
        raise InputError(
            f"{len(photographs)} photographs without cameras", f"{FEWEST} or more that show the same scene"
        )
    colmap: Any = require("pycolmap", "photos")
    colmap.logging.minloglevel = colmap.logging.ERROR
    colmap.set_random_seed(seed)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    database, folder, names = work / "database.db", photographs[0].parent, [file.name for file in photographs]
    say(f"finding the cameras of {len(names)} photographs")
    colmap.extract_features(database, folder, image_names=names, camera_mode=colmap.CameraMode.SINGLE)
    match = colmap.match_sequential if sequential or len(names) > EXHAUSTIVE else colmap.match_exhaustive
    match(database)
    options = colmap.IncrementalPipelineOptions()
    options.random_seed = seed
    models = colmap.incremental_mapping(database, folder, work, options)
    best = max(models, key=lambda number: models[number].num_reg_images(), default=None)
    placed = set() if best is None else {image.name for image in models[best].images.values() if image.has_pose}
    reasons = _reasons(colmap, database, [name for name in names if name not in placed])
    if len(placed) < FEWEST:
        raise InputError(
            f"{len(placed)} of {len(names)} photographs that could be placed; {'; '.join(reasons[:5])}",
            f"{FEWEST} or more", "take photographs that overlap by two thirds, of a scene with texture that does not move",
        )  # fmt: skip
    return Posed(work / str(best), len(placed), reasons)


def _reasons(colmap: Any, database: Path, names: list[str]) -> tuple[str, ...]:
    """Why photographs were not placed, as far as the database tells."""
    opened = colmap.Database.open(database)
    numbers = {image.name: image.image_id for image in opened.read_all_images()}
    pairs, inliers = opened.read_two_view_geometry_num_inliers()
    best: dict[int, int] = {}
    for pair, count in zip(pairs, inliers, strict=True):
        for number in colmap.pair_id_to_image_pair(pair):
            best[number] = max(best.get(number, 0), count)
    found = []
    for name in names:
        count = best.get(numbers.get(name, -1), 0)
        why = f"shares {count} points with any other" if count < FEW else "its place was ambiguous"
        found.append(f"{name} was not placed: {why}")
    opened.close()
    return tuple(found)
