"""Draws the pages' pictures by the pages' own code: runs their Python blocks, and keeps the PNG files that they leave.

python docs/pictures/chapters.py                   # every page with code
python docs/pictures/chapters.py course/siren view

Convention: a page is named by its path under ``docs``, without the suffix. Its blocks run one after another in an empty
folder, each in a namespace of its own, and a warning is an error: so do ``tests/examples`` run them. What `make.py` draws
belongs to no single page.
"""

import contextlib
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from PIL import Image

DOCS = Path(__file__).parents[1]
PICTURES = Path(__file__).parent
LARGEST = 150_000  # bytes of a picture
COLOURS = (256, 128, 64, 32)  # of a palette
GREYS, NEARLY_WHITE = 12, 248


def blocks_of(text: str) -> list[str]:
    """The Python blocks of a page, without their fences."""
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def run(page: Path, folder: Path) -> list[Path]:
    """Run a page's blocks in a folder; gives the pictures that they leave there."""
    matplotlib.use("Agg")
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for block in blocks_of(page.read_text(encoding="utf-8")):
                exec(compile(block, str(page), "exec"), {"__name__": page.stem})
        finally:
            pyplot.close("all")
    return sorted(folder.glob("*.png"))


def keep(picture: Path, target: Path) -> int:
    """Write a picture, with a palette where it would be too large without, and give its bytes.

    Raises:
        SystemExit: if it is too large with few colours, too.
    """
    with Image.open(picture) as whole:
        flat = whole.convert("RGB")
    for one in (flat, *(with_palette(flat, colours) for colours in COLOURS)):
        one.save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            return target.stat().st_size
    raise SystemExit(f"{target.name}: {target.stat().st_size} bytes; fewer pixels, please")


def with_palette(picture: Image.Image, colours: int) -> Image.Image:
    """A picture in so many colours, dithered; some are grey, for letters, and what is nearly white becomes white."""
    palette = picture.quantize(colours - GREYS)
    found = np.array(palette.getpalette()).reshape(-1, 3)
    found[found.min(axis=1) >= NEARLY_WHITE] = 255
    greys = np.linspace(0, 255, GREYS).astype(int).repeat(3)
    palette.putpalette([*found.ravel().tolist(), *greys.tolist()])
    return picture.quantize(palette=palette)


def draw(page: Path) -> None:
    """Run a page in a temporary folder and keep its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = run(page, Path(folder))
        seconds = time.perf_counter() - began
        sizes = [f"{picture.name} {keep(picture, PICTURES / picture.name):,} bytes" for picture in made]
    print(f"{page.relative_to(DOCS)}: {seconds:.1f} s; {', '.join(sizes) or 'no picture'}", flush=True)


if __name__ == "__main__":
    named = [DOCS / f"{name}.md" for name in sys.argv[1:]] or sorted(DOCS.rglob("*.md"))
    for one in named:
        if blocks_of(one.read_text(encoding="utf-8")):
            draw(one)
