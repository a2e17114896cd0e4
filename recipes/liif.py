"""The trainings of LIIF's paper, whole, and the one of the light model that the package ships.

    python recipes/liif.py edsr FOLDER ... -o edsr-liif.model     # EDSR-baseline-LIIF, as Chen, Liu and Wang 2021 train it
    python recipes/liif.py rdn FOLDER ... -o rdn-liif.model       # RDN-LIIF
    python recipes/liif.py light FOLDER ... -o light.model        # the shipped one; folders: T91, BSDS500, photographs
    python recipes/liif.py light FOLDER ... -o denoise.model --init light.model --spoil --lr 2e-4 --steps 5000
    torchrun --nproc-per-node 4 recipes/liif.py rdn FOLDER ... -o rdn-liif.model

The paper: a million steps of 16 crops of 48 x 48 with a scale uniform in 1 to 4 each, 2304 queries, Adam at 1e-4, halved after
200, 400, 600 and 800 of 1000 epochs; DIV2K's 800 training pictures (other folders give other networks). Flips and
transpositions, absolute differences. That is for GPUs; on a CPU only the light one is of use: 17,500 steps of 8 crops of
32 x 32 took an hour and three quarters on two cores, and, where the processor multiplies bfloat16 fast, 20,000 further ones
of 16 crops of 48 x 48 (``--init``, ``--size 16 --side 48 --lr 5e-4``) 80 minutes. Every run goes on from its checkpoint when
it is started again; ``--steps`` shortens it with its schedule.
"""

import argparse
from pathlib import Path

from ungrid._base.devices import choose_device, set_threads
from ungrid.io import save_model
from ungrid.networks import EDSR, LIIF, RDN, LightNetwork
from ungrid.solvers.processes import processes
from ungrid.upscale import Crops, Schedule, Training, load, picture_files, read_pictures

PAPER = {"steps": 1_000_000, "size": 16, "side": 48, "queries": 2304}
LIGHT = {"steps": 20_000, "size": 8, "side": 32, "queries": None}
HELD_OUT = 29  # of the light model: every so many pictures one is not trained on


def paper_schedule(steps: int) -> Schedule:
    return Schedule(steps=steps, lr=1e-4, warmup=1, clip=None, halvings=(0.2, 0.4, 0.6, 0.8))


def light_schedule(steps: int, lr: float) -> Schedule:
    return Schedule(steps=steps, lr=lr, warmup=500)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=("edsr", "rdn", "light"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int, help="crops of a batch")
    parser.add_argument("--side", type=int, help="pixels of a small crop's side")
    parser.add_argument("--lr", type=float, default=8e-4, help="largest rate, of the light network")
    parser.add_argument("--init", type=Path, help="start from this model")
    parser.add_argument("--spoil", action="store_true", help="noise and JPEG on the small pictures")
    given = parser.parse_args(words)
    light = given.network == "light"
    setting = LIGHT if light else PAPER
    steps = given.steps or setting["steps"]
    set_threads(None)
    files = picture_files(given.folders)
    if light:
        held = set(files[::HELD_OUT])
        files = [file for file in files if file not in held]
    network = load(given.init).network if given.init else BUILT[given.network]()
    network.train().to(choose_device("auto"))
    with processes() as part:
        side = given.side or setting["side"]
        crops = Crops(
            read_pictures(files, side), size=given.size or setting["size"], side=side,
            queries=setting["queries"], spoil=given.spoil, part=part,
        )  # fmt: skip
        schedule = light_schedule(steps, given.lr) if light else paper_schedule(steps)
        training = Training(network, crops, schedule, given.output.with_suffix(".checkpoint"))
        training.resume()
        training.run(report=lambda row: print({name: round(value, 5) for name, value in row.items()}, flush=True))
        learned = training.averaged().cpu()
    if part[0] == 0:
        card = {
            "recipe": given.network, "data": [folder.name for folder in given.folders], "steps": training.done,
            "of_steps": steps, "seconds": round(training.seconds), "batch": crops.size, "side": crops.side,
            "queries": crops.queries, "spoil": given.spoil, "init": given.init and given.init.name,
        }  # fmt: skip
        save_model(learned, given.output, card=card, half=light)


BUILT = {"edsr": lambda: LIIF(EDSR()), "rdn": lambda: LIIF(RDN()), "light": LightNetwork}

if __name__ == "__main__":
    main()
