"""The command, called in the process of the tests; the fits are short."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ungrid.cli.app import app


@dataclass
class Answer:
    """What one call printed and returned."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The JSON object of the last line."""
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def ungrid() -> Callable[..., Answer]:
    """Calls the command with the given words."""

    def call(*words: str | Path) -> Answer:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Answer(done.exit_code, done.stdout, done.stderr)

    return call


def waves(height: int, width: int) -> np.ndarray:
    """A smooth picture (height, width, 3) in [0, 1], with three different channels."""
    y, x = np.mgrid[0:height, 0:width] / 12
    return np.stack([0.5 + 0.4 * np.sin(x + y), 0.5 + 0.4 * np.cos(x), 0.5 + 0.3 * np.sin(y)], axis=-1)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small colour picture, 40 pixels wide and 32 high."""
    path = tmp_path / "waves.png"
    Image.fromarray(np.rint(255 * waves(32, 40)).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def field(picture: Path, ungrid: Callable[..., Answer]) -> Path:
    """A field of that picture."""
    path = picture.with_suffix(".field")
    assert ungrid("fit", picture, "-o", path, "--steps", "60", "--json").code == 0
    return path
