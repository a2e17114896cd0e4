"""Draws the README's picture: one field of a photograph, asked for values, for a detail, and for derivatives."""

from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import ungrid

SIDE = 384  # pixels of every panel
REGION = ((-0.72, -0.47), (-0.27, -0.02))  # y and x: a face


def panel(values: np.ndarray, title: str) -> Image.Image:
    picture = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    ImageDraw.Draw(picture).text((10, 8), title, fill="white", stroke_width=2, stroke_fill="black", font_size=20)
    return picture


def main() -> None:
    photograph = skimage.data.astronaut().astype(np.float32) / 255
    field = ungrid.fit(photograph, budget=20).field
    size = (SIDE, SIDE)
    detail = ungrid.sample_grid(field, size, region=REGION)
    gradient = np.linalg.norm(ungrid.sample_grid(field, size, quantity="gradient").mean(axis=2), axis=-1)
    laplacian = ungrid.sample_grid(field, size, region=REGION, quantity="laplacian").mean(axis=-1)
    spread = np.percentile(np.abs(laplacian), 98)
    panels = [
        panel(ungrid.sample_grid(field, size), "the field"),
        panel(detail, "a detail, 6 times larger"),
        panel(gradient / np.percentile(gradient, 99), "its gradient"),
        panel(0.5 + laplacian / spread / 2, "the detail's Laplacian"),
    ]
    tour = Image.new("RGB", (SIDE * len(panels), SIDE))
    for k, part in enumerate(panels):
        tour.paste(part, (k * SIDE, 0))
    tour.quantize(192).save(Path(__file__).with_name("tour.png"), optimize=True)


if __name__ == "__main__":
    main()
