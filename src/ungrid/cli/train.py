"""`ungrid train liif FOLDER -o M.model`: networks that learn from many pictures. Under torchrun, on many devices."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.progress import progress
from ungrid.cli.run import Run, check_target, readable

if TYPE_CHECKING:
    from ungrid.networks import ContinuousNetwork
    from ungrid.upscale import Crops

KINDS = ("liif",)
NETWORKS = ("light", "edsr-liif", "rdn-liif", "edsr-metasr", "rdn-metasr")
PARTS = {"ensemble": "local_ensemble", "unfold": "feat_unfold", "cell": "cell_decode"}
HELD_OUT = 10  # every so many pictures one is held out
TRIALS = 3  # steps whose speed turns a budget into steps
SCALES = (2.0, 3.0, 4.0)


def train(
    run: Run,
    kind: Annotated[str, Argument(metavar="KIND", help="liif: pictures at any scale.")],
    data: Annotated[list[Path], Argument(metavar="FOLDER", help="Folders of pictures.")],
    output: Annotated[Path, Option("--output", "-o", metavar="M.model", help="Where to.")],
    network: Annotated[str, Option(help="light, edsr-liif, rdn-liif, edsr-metasr or rdn-metasr.")] = "light",
    without: Annotated[
        list[str] | None, Option(metavar="PART", help="Of LIIF: leave out ensemble, unfold or cell.")
    ] = None,
    batch: Annotated[int, Option(min=1, help="Crops of a step.")] = 16,
    side: Annotated[int, Option(min=8, help="Pixels of a small picture's side.")] = 48,
    queries: Annotated[int, Option(min=1, help="Places of a crop that LIIF and MetaSR are asked for.")] = 2304,
    lr: Annotated[float | None, Option(help="Largest learning rate; default: 8e-4 for light, else 1e-4.")] = None,
    init: Annotated[Path | None, Option(metavar="M.model", help="Start from these weights.")] = None,
    teacher: Annotated[Path | None, Option(metavar="M.model", help="Learn from its answers, too.")] = None,
    spoil: Annotated[bool, Option("--spoil", help="Small pictures get noise and the blocks of JPEG.")] = False,
    half: Annotated[bool, Option("--half", help="Store the weights in 16 bits: half the file.")] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
) -> None:
    """Train a network on folders of pictures, by the protocol of LIIF's authors; the best average of its weights is kept."""
    if kind not in KINDS:
        raise InputError(f"training of {kind!r}", " or ".join(KINDS))
    check_target(output, (".model",))
    if network not in NETWORKS:
        raise InputError(f"the network {network!r}", ", ".join(NETWORKS))
    if wrong := [part for part in without or () if part not in PARTS or not network.endswith("liif")]:
        raise InputError(f"{network} without {wrong[0]!r}", f"a LIIF without {', '.join(PARTS)}")
    run.start()
    with run.setting_up():
        from ungrid.io import save_model
        from ungrid.networks import ContinuousNetwork
        from ungrid.solvers import Outcome, remove_checkpoint
        from ungrid.solvers.checkpoint import read_checkpoint
        from ungrid.upscale import Crops, Schedule, Training, load, picture_files, processes, read_pictures

        files = picture_files(data)
        held = files[HELD_OUT // 2 :: HELD_OUT]
        pictures = read_pictures([file for file in files if file not in set(held)], side)
        built: ContinuousNetwork = (
            load(init).network if init else built_network(network, without or [], run.common.seed)
        )
        built.train().to(run.device)
        taught = None if teacher is None else load(teacher).to(run.device).network
    checkpoint = output.with_suffix(".checkpoint")
    drawn = None if network == "light" else queries
    rate = lr or (8e-4 if network == "light" else 1e-4)
    with processes() as part:
        crops = Crops(pictures, size=batch, side=side, queries=drawn, spoil=spoil, part=part, seed=run.common.seed)
        stored = read_checkpoint(checkpoint) if resume else None
        steps = run.common.steps or (stored["steps"] if stored else None)
        if steps is None or run.common.plan:
            speed = seconds_of_step(built, crops)
            steps = steps or max(1, int((run.common.budget or 600.0) / speed))
        if run.common.plan:
            run.details["plan"] = {"steps": steps, "seconds": steps * speed, "pictures": len(pictures)}
            run.answer_rows({**run.details["plan"], "output": str(output)})
            return
        training = Training(built, crops, Schedule(steps=steps, lr=rate), checkpoint, teacher=taught)
        if resume and not training.resume():
            run.say(f"there is no checkpoint {checkpoint}: starting at the beginning")
        with progress(run) as report:
            outcome = training.run(report=report if part[0] == 0 else None, seconds=run.common.budget)
        if part[0] > 0:
            return
    averaged = training.averaged().cpu()
    found = measured(averaged, held, side)
    card = {
        "network": network, "without": without or [], "pictures": len(pictures), "held_out": len(held),
        "steps": training.done, "of_steps": steps, "batch": batch, "side": side, "queries": drawn, "lr": rate, "spoil": spoil,
        "seed": run.common.seed, "seconds": training.seconds, "processes": part[1], "metrics": found,
        "init": None if init is None else init.name, "teacher": None if teacher is None else teacher.name,
        "data": [folder.name for folder in data],
    }  # fmt: skip
    save_model(averaged, output, card=card, half=half)
    if outcome == Outcome.steps:
        remove_checkpoint(checkpoint)
    run.seconds = training.seconds
    run.outputs.append(str(output))
    run.metrics.update(found)
    run.details.update({"steps": training.done, "outcome": outcome.name})
    page = run.page(f"Training of {network}")
    page.curves("Training", {"loss": {network: [(row["seconds"], row["loss"]) for row in training.history]}})
    run.answer(f"{output}: {outcome.value}, {training.done} steps, {readable(found)}")


def built_network(name: str, without: list[str], seed: int) -> "ContinuousNetwork":
    """A network with random weights."""
    from ungrid.networks import EDSR, LIIF, RDN, LightNetwork, MetaSR

    if name == "light":
        return LightNetwork(seed=seed)
    encoder = EDSR(seed=seed) if name.startswith("edsr") else RDN(seed=seed)
    if name.endswith("metasr"):
        return MetaSR(encoder, seed=seed + 1)
    return LIIF(encoder, seed=seed + 1, **{PARTS[part]: False for part in without})


def seconds_of_step(network: "ContinuousNetwork", crops: "Crops") -> float:
    """How long a step takes, by some on a copy."""
    import copy

    from ungrid.upscale import Schedule, Training

    alone = copy.copy(crops)
    alone.part = (0, 1)
    trial = Training(copy.deepcopy(network), alone, Schedule(steps=TRIALS))
    trial.step(crops.batch(0))
    began = time.perf_counter()
    for step in range(TRIALS):
        trial.step(crops.batch(step))
    return (time.perf_counter() - began) / TRIALS


def measured(network: "ContinuousNetwork", held: list[Path], side: int) -> dict[str, Any]:
    """PSNR of luminance in dB on the held-out pictures, beside bicubic interpolation's."""
    from ungrid.upscale import bicubic, enlarge, mean_psnr, read_pictures

    if not held:
        return {}
    pictures, found = read_pictures(held, side), dict[str, Any]()
    for scale in SCALES:
        fitting = [picture for picture in pictures if min(picture.shape[:2]) > 8 * scale]
        found[f"x{scale:g}_psnr_db"] = mean_psnr(lambda low, shape: enlarge(network, low, shape), fitting, scale)
        found[f"x{scale:g}_bicubic_db"] = mean_psnr(bicubic, fitting, scale)
    return found
