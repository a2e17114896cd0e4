"""`ungrid train liif|videoinr FOLDER -o M.model`: networks that learn from many pictures. Under torchrun, on many devices."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.progress import progress
from ungrid.cli.run import Run, check_target, readable
from ungrid.cli.start import train_start

if TYPE_CHECKING:
    import numpy as np

    from ungrid.networks import ContinuousNetwork, LightVideo, VideoINR
    from ungrid.upscale import Source

PICTURES = ("light", "edsr-liif", "rdn-liif", "edsr-metasr", "rdn-metasr", "edsr-subpixel", "rdn-subpixel")
NETWORKS = {"liif": PICTURES, "videoinr": ("light", "videoinr")}
PARTS = {"ensemble": "local_ensemble", "unfold": "feat_unfold", "cell": "cell_decode"}
RATES = {"light": 8e-4}  # the largest learning rate; of the others:
OTHER_RATE = 1e-4
START_RATE = 3e-3
SIDES = {"liif": 48, "videoinr": 64, "start": 48}  # pixels of a small picture's side
HELD_OUT = 10  # every so many pictures one is held out
TRIALS = 3  # steps whose speed turns a budget into steps
SCALES = (2.0, 3.0, 4.0)
SHRINK = 2  # of clips, whose compression it hides


@dataclass(frozen=True)
class Prepared:
    """What is trained, on what.

    Attributes:
        network: with the weights that it begins with.
        source: from (rank, ranks) to what draws this process's batches.
        measure: PSNRs in dB of what came of it, by name.
        card: of the data.
    """

    network: "ContinuousNetwork | LightVideo | VideoINR"
    source: "Callable[[tuple[int, int]], Source]"
    measure: Callable[[Any], dict[str, Any]]
    card: dict[str, Any]


def train(
    run: Run,
    kind: Annotated[
        str,
        Argument(
            metavar="KIND",
            help="liif: pictures at any scale; videoinr: clips, in time too; start: of fits of pictures.",
        ),
    ],
    data: Annotated[list[Path], Argument(metavar="FOLDER", help="Folders of pictures; for videoinr of clips as well.")],
    output: Annotated[Path, Option("--output", "-o", metavar="M.model", help="Where to.")],
    network: Annotated[str, Option(help=f"{', '.join(PICTURES[:-1])} or {PICTURES[-1]}.")] = "light",
    scale: Annotated[
        int | None, Option(min=1, help="One for all: of a subpixel network 2, 3 or 4; of clips any.")
    ] = None,
    without: Annotated[
        list[str] | None, Option(metavar="PART", help="Of LIIF: leave out ensemble, unfold or cell.")
    ] = None,
    batch: Annotated[int, Option(min=1, help="Crops of a step.")] = 16,
    side: Annotated[
        int | None, Option(min=8, help="Pixels of a small picture's side; default: 48, or 64 of clips.")
    ] = None,
    queries: Annotated[int, Option(min=1, help="Places of a crop that LIIF and MetaSR are asked for.")] = 2304,
    lr: Annotated[float | None, Option(help="Largest learning rate; default: 8e-4 for light, else 1e-4.")] = None,
    init: Annotated[
        Path | None, Option(metavar="M.model", help="Start from these weights; videoinr also from a model of pictures.")
    ] = None,
    teacher: Annotated[Path | None, Option(metavar="M.model", help="Of liif: learn from its answers, too.")] = None,
    spoil: Annotated[bool, Option("--spoil", help="Of liif: small pictures get noise and the blocks of JPEG.")] = False,
    sharded: Annotated[
        bool, Option("--sharded", help="Under torchrun: each process keeps its share of the weights only.")
    ] = False,
    half: Annotated[bool, Option("--half", help="Store the weights in 16 bits: half the file.")] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
) -> None:
    """Train a network on folders of pictures, by the protocol of its authors; the average of its weights is kept."""
    if kind not in (*NETWORKS, "start"):
        raise InputError(f"training of {kind!r}", f"{', '.join(NETWORKS)} or start")
    check_target(output, (".model",))
    if lr is not None and not 0 < lr < math.inf:
        raise InputError(f"a learning rate of {lr:g}", "a positive number")
    if kind == "start":
        train_start(run, data, output, init, side or SIDES[kind], batch, lr or START_RATE)
        return
    if network not in NETWORKS[kind]:
        raise InputError(f"the network {network!r} of {kind}", ", ".join(NETWORKS[kind]))
    if wrong := [part for part in without or () if part not in PARTS or not network.endswith("liif")]:
        raise InputError(f"{network} without {wrong[0]!r}", f"a LIIF without {', '.join(PARTS)}")
    if kind == "liif" and (scale is not None) != network.endswith("subpixel"):
        raise InputError(f"{network} with --scale {scale}", "a scale with a subpixel network, and only there")
    if kind == "videoinr" and (teacher is not None or spoil):
        raise InputError("--teacher or --spoil of videoinr", "those flags with liif")
    run.start()
    side = side or SIDES[kind]
    with run.setting_up():
        from ungrid.io import save_model
        from ungrid.solvers import Outcome, remove_checkpoint
        from ungrid.solvers.checkpoint import read_checkpoint
        from ungrid.solvers.processes import of_first
        from ungrid.upscale import Schedule, Training, load

        part = run.processes()
        seed = run.common.seed
        if kind == "liif":
            drawn = None if network == "light" or scale else queries
            prepared = of_pictures(data, network, without or [], scale, init, batch, side, drawn, spoil, seed)
        else:
            prepared = of_clips(data, network, scale, init, batch, side, seed)
        built = prepared.network.train().to(run.device)
        taught = None if teacher is None else load(teacher).to(run.device).network
    checkpoint = output.with_suffix(".checkpoint")
    rate = lr or RATES.get(network, OTHER_RATE)
    source = prepared.source(part)
    stored = read_checkpoint(checkpoint) if resume else None
    steps = run.common.steps or (stored.get("steps") if stored else None)
    if steps is None or run.common.plan:
        speed = seconds_of_step(built, prepared.source((0, 1)))
        steps = steps or max(1, int((run.common.budget or 600.0) / speed))
        steps = int(of_first(steps))  # processes differ in speed
    if run.common.plan:
        run.details["plan"] = {"steps": steps, "seconds": steps * speed, **prepared.card}
        run.answer_rows({**run.details["plan"], "output": str(output)})
        return
    training = Training(built, source, Schedule(steps=steps, lr=rate), checkpoint, teacher=taught, sharded=sharded)
    if resume and not training.resume():
        run.say(f"there is no checkpoint {checkpoint}: starting at the beginning")
    with progress(run) as report:
        outcome = training.run(report=report if part[0] == 0 else None, seconds=run.common.budget)
    built = training.averaged().cpu()
    if part[0] > 0:
        return
    card = {
        "kind": kind, "network": network, "without": without or [], **prepared.card, "steps": training.done,
        "of_steps": steps, "batch": batch, "side": side, "lr": rate, "seed": seed, "seconds": training.seconds,
        "processes": part[1], "metrics": {}, "init": None if init is None else init.name,
        "teacher": None if teacher is None else teacher.name, "data": [folder.name for folder in data],
    }  # fmt: skip
    save_model(built, output, card=card, half=half)  # it is safe before it is measured
    found = prepared.measure(built)
    save_model(built, output, card={**card, "metrics": found}, half=half)
    if outcome == Outcome.steps:
        remove_checkpoint(checkpoint)
    run.seconds = training.seconds
    run.outputs.append(str(output))
    run.metrics.update(found)
    run.details.update({"steps": training.done, "outcome": outcome.name})
    page = run.page(f"Training of {network}")
    page.curves("Training", {"loss": {network: [(row["seconds"], row["loss"]) for row in training.history]}})
    run.answer(f"{output}: {outcome.value}, {training.done} steps, {readable(found)}")


def of_pictures(
    data: list[Path], network: str, without: list[str], scale: int | None, init: Path | None, batch: int, side: int,
    queries: int | None, spoil: bool, seed: int,
) -> Prepared:  # fmt: skip
    """A network that enlarges pictures."""
    from ungrid.upscale import Crops, load, picture_files, read_picture, read_pictures

    files = picture_files(data)
    held = files[HELD_OUT // 2 :: HELD_OUT]
    pictures = read_pictures([file for file in files if file not in set(held)], side)
    kept_out = [read_picture(file) for file in held]  # before hours of training
    built: ContinuousNetwork = load(init).network if init else built_network(network, without, scale, seed)

    def source(part: tuple[int, int]) -> "Source":
        given: dict[str, Any] = {"queries": queries, "scale": scale, "spoil": spoil}
        return Crops(pictures, size=batch, side=side, part=part, seed=seed, **given)

    card = {"pictures": len(pictures), "held_out": len(held), "queries": queries, "scale": scale, "spoil": spoil}
    return Prepared(built, source, lambda network: measured(network, kept_out), card)


def of_clips(
    data: list[Path], network: str, scale: int | None, init: Path | None, batch: int, side: int, seed: int
) -> Prepared:
    """A network that finds what lies between the frames of a clip; the light one's for pictures stays as it is."""
    from ungrid.networks import LightVideo
    from ungrid.upscale import Moments, clip_files, picture_files, read_clip, read_pictures

    found = clip_files(data)
    folders = {path for path in found if path.is_dir()}
    files = [file for file in picture_files(data) if file.parent not in folders]
    clips = [part for path in found for part in read_clip(path, SHRINK)]
    pictures = read_pictures(files, side)
    built = video_network(network, init, seed)
    if isinstance(built, LightVideo):
        built.image.requires_grad_(False)

    def source(part: tuple[int, int]) -> "Source":
        return Moments(pictures, clips, size=batch, side=side, scale=scale, part=part, seed=seed)

    card = {"pictures": len(pictures), "clips": [path.name for path in found], "shrink": SHRINK, "scale": scale}
    return Prepared(built, source, lambda network: {}, card)


def built_network(name: str, without: list[str], scale: int | None, seed: int) -> "ContinuousNetwork":
    """A network of pictures with random weights."""
    from ungrid.networks import EDSR, LIIF, RDN, LightNetwork, MetaSR, SubPixel

    if name == "light":
        return LightNetwork(seed=seed)
    encoder = EDSR(seed=seed) if name.startswith("edsr") else RDN(seed=seed)
    if name.endswith("metasr"):
        return MetaSR(encoder, seed=seed + 1)
    if scale is not None:
        return SubPixel(encoder, scale=scale, seed=seed + 1)
    return LIIF(encoder, seed=seed + 1, **{PARTS[part]: False for part in without})


def video_network(name: str, init: Path | None, seed: int) -> "LightVideo | VideoINR":
    """A network of clips: that of a file, or a new one; a light one around the network of pictures of a file or of the package.

    Raises:
        InputError: if the file holds neither.
    """
    from ungrid.io import load_model
    from ungrid.networks import LightNetwork, LightVideo, VideoINR
    from ungrid.upscale import load

    if name == "videoinr" and init is None:
        return VideoINR(seed=seed)
    found: Any = load("light").network if init is None else load_model(init)[0]
    if isinstance(found, VideoINR if name == "videoinr" else LightVideo):
        return found
    if name == "videoinr" or not isinstance(found, LightNetwork):
        raise InputError(f"{init} with a {type(found).__name__}", f"a model for {name} of clips")
    return LightVideo(found, seed=seed)


def seconds_of_step(network: "ContinuousNetwork | LightVideo | VideoINR", source: "Source") -> float:
    """How long a step takes, by some on a copy."""
    import copy

    from ungrid.upscale import Schedule, Training

    trial = Training(copy.deepcopy(network), source, Schedule(steps=TRIALS))
    trial.step(source.batch(0))
    began = time.perf_counter()
    for step in range(TRIALS):
        trial.step(source.batch(step))
    return (time.perf_counter() - began) / TRIALS


def measured(network: "ContinuousNetwork", pictures: list["np.ndarray"]) -> dict[str, Any]:
    """PSNR of luminance in dB on the held-out pictures, beside bicubic interpolation's; none too small for a scale."""
    from ungrid.upscale import bicubic, enlarge, mean_psnr

    found: dict[str, Any] = {}
    for scale in SCALES:
        fitting = [picture for picture in pictures if min(picture.shape[:2]) > 8 * scale]
        if not fitting:
            continue
        found[f"x{scale:g}_psnr_db"] = mean_psnr(lambda low, shape: enlarge(network, low, shape), fitting, scale)
        found[f"x{scale:g}_bicubic_db"] = mean_psnr(bicubic, fitting, scale)
    return found
