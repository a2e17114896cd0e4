"""Small fields and rays that every test of the room uses."""

import math

import numpy as np
import pytest
import torch

from ungrid.domains import Box
from ungrid.fields import BrickField
from ungrid.fields.radiance import BRICK
from ungrid.radiance.frames import Extent

CUBE = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1))


def extent() -> Extent:
    base = np.eye(4)
    base[:3, 3] = 1
    return Extent(CUBE, base, np.full(3, 2.0))


@pytest.fixture
def field() -> BrickField:
    """Random numbers on a lattice of 3 x 3 x 3 bricks, half of which are kept."""
    random = torch.Generator().manual_seed(0)
    places = np.argwhere(np.random.default_rng(1).random((3, 3, 3)) < 0.5)
    made = BrickField(
        CUBE, (3, 3, 3), len(places), frame=extent().frame((3, 3, 3)), background=(0.2, 0.5, 0.9), width=8
    )
    with torch.no_grad():
        made.places[:] = torch.from_numpy(places)
        made.nodes[BRICK**3 :].normal_(0, 1, generator=random)
        made.nodes[BRICK**3 :, 0] -= 3.0
        for weights in (made.first, made.second, made.last):
            weights.normal_(0, 1 / math.sqrt(weights.shape[0]), generator=random)
    return made


@pytest.fixture
def rays(field: BrickField) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Origins and directions in the lattice, views and jitter, float32; some rays miss it."""
    random = np.random.default_rng(2)
    target = random.uniform(-2, 13, (200, 3))
    start = random.uniform(0, 11, (200, 3))
    start[np.arange(200), random.integers(0, 3, 200)] = 0.0
    along = target - start
    views = along / np.linalg.norm(along, axis=1, keepdims=True)
    made = (start, along, views, random.random(200))
    return tuple(np.ascontiguousarray(part, np.float32) for part in made)  # type: ignore[return-value]
