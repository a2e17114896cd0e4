"""Trains `ungrid.networks.HalfLattice` on made pictures, and writes the weights that the package ships.

    python recipes/half_lattice.py --steps 6000 -o src/ungrid/signals/models/half_lattice.model

The pictures are dead leaves (Lee, Mumford and Huang 2001, *Occlusion models for natural images*): discs, boxes, bars, rings
and strokes that cover each other, with sizes by a power law, plain or with a texture of waves or 1/f noise, drawn three
times as fine and averaged over boxes. No photograph is used. The network sees every other pixel of each axis and is asked
for the rest; the loss is the mean logarithm of a picture's mean square error, which is what a mean PSNR measures.
A run takes about 15 minutes on two cores; it goes on from its checkpoint if it is cut off.
"""

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from ungrid.networks.half_lattice import HalfLattice

SIDE, FINE = 96, 3
PICTURES, BATCH = 1400, 8
LR = 2e-3
LEAST = 1e-5  # mean square error that counts as none


def waves(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A plane wave (h, w) of deviation 1, its wavelength between 2.5 and 40 pixels."""
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    k = 2 * np.pi / (FINE * np.exp(rng.uniform(np.log(2.5), np.log(40))))
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.sqrt(2) * np.sin(k * (np.cos(angle) * x + np.sin(angle) * y) + phase)


def noise(side: int, rng: np.random.Generator) -> np.ndarray:
    """Isotropic noise (side, side) of deviation 1 whose amplitude falls by a power of the frequency between 0.8 and 2."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    f[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / f ** rng.uniform(0.8, 2.0)
    made = np.fft.irfft2(spectrum, (side, side))
    return made / made.std()


def segment_distance(y: np.ndarray, x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of every place to the segment from a to b."""
    along = np.clip(((y - a[0]) * (b - a)[0] + (x - a[1]) * (b - a)[1]) / max(((b - a) ** 2).sum(), 1e-9), 0, 1)
    return np.hypot(y - a[0] - along * (b - a)[0], x - a[1] - along * (b - a)[1])


def leaf(side: int, rng: np.random.Generator) -> np.ndarray:
    """The mask (side, side) of one shape."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    cy, cx = rng.uniform(-0.1 * side, 1.1 * side, 2)
    size = (
        FINE * (2.0**-2 - rng.uniform() * (2.0**-2 - 40.0**-2)) ** -0.5
    )  # density of radii ~ r^-3 from 2 to 40 pixels
    angle = rng.choice([0.0, rng.uniform(0, np.pi)], p=[0.3, 0.7])
    u, v = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy), np.cos(angle) * (y - cy) - np.sin(angle) * (x - cx)
    kind = rng.choice(["disc", "box", "bar", "ring", "stroke"], p=[0.25, 0.2, 0.15, 0.15, 0.25])
    if kind == "disc":
        return np.hypot(u, v * rng.uniform(1, 2)) < size
    if kind == "box":
        return (np.abs(u) < size) & (np.abs(v) < size * rng.uniform(0.3, 1))
    if kind == "bar":
        return (np.abs(u) < 4 * size) & (np.abs(v) < FINE * rng.uniform(0.4, 2.5))
    if kind == "ring":
        return np.abs(np.hypot(u, v * rng.uniform(1, 1.6)) - 1.5 * size) < FINE * rng.uniform(0.4, 3)
    width, at, mask = FINE * rng.uniform(0.5, 4), np.array([cy, cx]), np.zeros((side, side), dtype=bool)
    for _ in range(rng.integers(1, 4)):  # a stroke: joined segments with round ends, as of a letter
        turn, length = rng.choice([0, 0.25, 0.5, 0.75, rng.uniform()]) * 2 * np.pi, FINE * rng.uniform(4, 25)
        to = at + length * np.array([np.sin(turn), np.cos(turn)])
        mask |= segment_distance(y, x, at, to) < width
        at = to
    return mask


def colour(rng: np.random.Generator) -> np.ndarray:
    """A colour: white, black, grey or any, as photographs and prints have them."""
    kind = rng.uniform()
    if kind < 0.15:
        return np.full(3, rng.choice([0.0, 1.0]))
    grey = rng.uniform()
    return np.full(3, grey) if kind < 0.35 else np.clip(grey + rng.normal(0, 0.25 if kind < 0.8 else 0.6, 3), 0, 1)


def picture(rng: np.random.Generator) -> np.ndarray:
    """One picture (SIDE, SIDE, 3) in [0, 1]."""
    side, plain = FINE * SIDE, rng.uniform() < 0.35  # prints: few shapes, no texture
    canvas = np.ones((side, side, 1)) * colour(rng)
    if not plain:
        canvas = canvas + rng.uniform(0, 0.25) * noise(side, rng)[..., None] * rng.uniform(0.5, 1.2, 3)
    for _ in range(rng.integers(6, 25) if plain else rng.integers(20, 90)):
        paint = np.ones((side, side, 1)) * colour(rng)
        if not plain and rng.uniform() < 0.6:
            texture = waves((side, side), rng) if rng.uniform() < 0.35 else noise(side, rng)
            paint = paint + np.exp(rng.uniform(np.log(0.01), np.log(0.3))) * texture[..., None] * rng.uniform(
                0.5, 1.2, 3
            )
        mask = leaf(side, rng)[..., None]
        canvas = np.where(mask, paint, canvas)
    boxes = np.clip(canvas, 0, 1).reshape(SIDE, FINE, SIDE, FINE, 3).mean(axis=(1, 3))
    if not plain and rng.uniform() < 0.5:  # lenses are not sharp to the pixel
        boxes = gaussian_filter(boxes, (*[rng.uniform(0.3, 0.9)] * 2, 0))
    return boxes.astype(np.float32)


def pictures(folder: Path, count: int) -> torch.Tensor:
    """The training pictures (count, 3, SIDE, SIDE), made once and kept."""
    kept = folder / f"pictures_{count}.npy"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            made = list(pool.map(picture, np.random.default_rng(0).spawn(count), chunksize=20))
        np.save(kept, (255 * np.stack(made)).round().astype(np.uint8))
    return torch.from_numpy(np.load(kept)).permute(0, 3, 1, 2).float() / 255


def loss_of(network: HalfLattice, whole: torch.Tensor) -> torch.Tensor:
    """The mean logarithm of the mean square errors at the pixels that are not known; whole (b, 3, SIDE, SIDE)."""
    found = network(whole[..., ::2, ::2])
    first, (p, q) = network.margin, found.shape[-2:]
    places = [whole[..., a::2, b::2][..., first : first + p, first : first + q] for a in (0, 1) for b in (0, 1)]
    errors = (found[:, 1:] - torch.stack(places[1:], dim=1)).square().mean(dim=(1, 2, 3, 4))
    return torch.log(errors + LEAST).mean()


def train(folder: Path, steps: int) -> HalfLattice:
    """Adam with a cosine schedule; random orientations; a checkpoint every 200 steps."""
    whole = pictures(folder, PICTURES)
    network = HalfLattice()
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    checkpoint, done = folder / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
    began, mean = time.perf_counter(), 0.0
    for step in range(done, steps):
        generator = torch.Generator().manual_seed(step)
        rows = torch.randint(len(whole), (BATCH,), generator=generator)
        turns, flip = torch.randint(8, (1,), generator=generator).item() % 4, step % 2
        batch = torch.rot90(whole[rows], int(turns), (2, 3))
        batch = batch.flip(3) if flip else batch
        for group in optimizer.param_groups:
            group["lr"] = LR * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2) * min(1, (step + 1) / 100)
        optimizer.zero_grad()
        loss = loss_of(network, batch)
        loss.backward()
        optimizer.step()
        mean += 10 / math.log(10) * -float(loss.detach()) / 200
        if (step + 1) % 200 == 0:
            print(f"{step + 1} steps, {time.perf_counter() - began:.0f} s, {mean:.2f} dB", flush=True)
            mean = 0.0
            torch.save(
                {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, checkpoint
            )
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--folder", type=Path, default=Path("build/half_lattice"), help="pictures and checkpoint")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    network = train(given.folder, given.steps)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: weight.detach().half().contiguous() for name, weight in network.state_dict().items()}, given.output
    )


if __name__ == "__main__":
    main()
