"""A first use of the installed wheel, in an environment that has the core dependencies only."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

COMMAND = Path(sys.executable).with_name("ungrid")


def ungrid(*arguments: str | Path) -> dict:
    """Run the command with --json and give back its object."""
    done = subprocess.run([COMMAND, *arguments, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Fit a picture of stripes, look into the file, render and measure it."""
    subprocess.run([COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL)
    ungrid("doctor")
    with tempfile.TemporaryDirectory() as folder:
        source, field, output = (Path(folder) / name for name in ("stripes.png", "stripes.field", "large.png"))
        y, x = np.mgrid[0:48, 0:64] / 16
        Image.fromarray(np.uint8(127.5 + 127.5 * np.sin(2 * x + y))).save(source)
        fit = ungrid("fit", source, "-o", field, "--budget", "2")
        assert fit["metrics"]["psnr_db"] > 30, fit
        ungrid("info", field)
        ungrid("render", field, "-o", output, "--size", "2x")
        assert Image.open(output).size == (128, 96)
        assert ungrid("evaluate", field, "--against", source)["metrics"]["psnr_db"] > 30
    sys.stderr.write("the wheel works\n")


main()
