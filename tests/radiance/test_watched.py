"""A fit that is watched is the same fit."""

import time

import torch

from ungrid.io.scenes import read_scene
from ungrid.radiance import Renderer, reconstruct
from ungrid.radiance.builtin import write_scene


def test_watching_changes_no_bit(tmp_path):
    """The steps go through several lattices; every quantity is rendered."""
    scene = read_scene(write_scene(tmp_path, views=6, tests=1, size=32))
    camera, seen = scene.views[0].camera.resized(16, 16), []
    quantities = ("value", "depth", "normals", "opacity")

    def watch(renderer: Renderer) -> None:
        seen.append((max(renderer.field.shape), renderer.view(camera, quantities[len(seen) % 4]).shape[:2]))

    watched, alone = (reconstruct(scene, steps=40, threads=2, watch=one) for one in (watch, None))
    assert len(seen) == 40
    assert len({nodes for nodes, _ in seen}) > 1
    assert {shape for _, shape in seen} == {(16, 16)}
    for name, weights in alone.field.state_dict().items():
        assert torch.equal(weights, watched.field.state_dict()[name])


def test_the_clock_stands_still_while_somebody_looks(tmp_path):
    """Twenty steps on tiny photographs take far less than the six seconds that are slept in between."""
    scene = read_scene(write_scene(tmp_path, views=6, tests=1, size=32))
    result = reconstruct(scene, steps=20, threads=2, watch=lambda _: time.sleep(0.3))
    assert result.stats["steps"] == 20
    assert result.stats["seconds"] < 6
