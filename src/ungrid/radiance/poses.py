"""Cameras of plain photographs, by structure from motion.

COLMAP does the work through pycolmap (Schönberger and Frahm 2016, *Structure-from-motion revisited*): features, matches, and an
incremental model with one lens for all photographs of a size. What comes out is written as COLMAP's own files, so that any
other program can use it too.
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.io.scenes import picture_size

FEW = 30  # verified matches with the best partner, below which a photograph shares too little with the others
FEWEST = 3  # photographs that have to be placed
EXHAUSTIVE = 150  # photographs up to which every pair is matched
KEYS = 50  # frames of a clip of which every pair is matched: where a turn ends, it meets its beginning
AS_GOOD = 1.01  # times the reprojection error with a distorted lens: then the lens is taken to be plain


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
        sequential: whether they follow each other, as the frames of a clip do: then neighbours are matched, and 50 of them
            with each other.
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
    sizes = [picture_size(file) for file in photographs]
    for size in sorted(set(sizes)):
        alike = [name for name, own in zip(names, sizes, strict=True) if own == size]
        colmap.extract_features(database, folder, image_names=alike, camera_mode=colmap.CameraMode.SINGLE)
    if sequential or len(names) > EXHAUSTIVE:
        _match_in_order(colmap, database, names)
    else:
        colmap.match_exhaustive(database)
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
    for number in models:
        if number != best:
            shutil.rmtree(work / str(number), ignore_errors=True)
    _straighten(colmap, models[best], work / str(best))
    return Posed(work / str(best), len(placed), reasons)


def _match_in_order(colmap: Any, database: Path, names: list[str]) -> None:
    """Neighbours with each other, and every pair of some that are spread over all: their places would drift otherwise."""
    colmap.match_sequential(database)
    pairs = database.with_name("pairs.txt")
    spread = names[:: math.ceil(len(names) / KEYS)]
    keys = [name for name in spread if " " not in name]  # a space separates the two of a pair in the list
    if len(keys) < 2:
        return
    pairs.write_text("\n".join(map(" ".join, combinations(keys, 2))))
    options = colmap.ImportedPairingOptions()
    options.match_list_path = str(pairs)
    colmap.match_image_pairs(database, pairing_options=options)


def _straighten(colmap: Any, model: Any, folder: Path) -> None:
    """Write the model with a plain lens instead, where that fits as well.

    Distortion and focal length are hardly told apart: with both, focal lengths came out too long by 1.4 % (a traced clip) and
    2.1 % (fern, beside what its authors found).
    """
    plain = colmap.Reconstruction(model)
    for camera in plain.cameras.values():
        camera.params = [*camera.params[:3], 0.0]
    options, problem = colmap.BundleAdjustmentOptions(), colmap.BundleAdjustmentConfig()
    options.refine_extra_params = options.print_summary = False
    for number in plain.reg_image_ids():
        problem.add_image(number)
    problem.fix_gauge(colmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    colmap.create_default_bundle_adjuster(options, problem, plain).solve()
    plain.update_point_3d_errors()
    if plain.compute_mean_reprojection_error() <= AS_GOOD * model.compute_mean_reprojection_error():
        plain.write(folder)


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
