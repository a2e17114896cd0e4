"""From photographs to a field, on the built-in scene, whose colours, depths and normals are known exactly."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from ungrid._base.errors import InputError
from ungrid.domains import Box, TriangleMesh
from ungrid.fields import BrickField
from ungrid.fields.radiance import EMPTY
from ungrid.io import load, save
from ungrid.io.meshes import sample_surface
from ungrid.io.scenes import Scene, picture, read_scene
from ungrid.metrics import chamfer, psnr
from ungrid.radiance import Renderer, held_out_metrics, reconstruct, surface
from ungrid.radiance.builtin import SOLIDS, Ball, Block, surface_points, trace, write_scene
from ungrid.radiance.frames import Extent
from ungrid.radiance.lattice import new_field
from ungrid.radiance.paths import orbit
from ungrid.sampling import camera_rays
from ungrid.solvers import FitResult, Outcome

SIZE, STEPS = 48, 400
MODULE = importlib.import_module("ungrid.radiance.reconstruct")  # whose name in the room is the function


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=24, tests=4, size=SIZE, glossy=False))


@pytest.fixture(scope="module")
def fitted(scene: Scene) -> FitResult:
    return reconstruct(scene, steps=STEPS, seed=0, threads=2)


def test_new_views_are_far_better_than_the_nearest_photographs(scene: Scene, fitted: FitResult) -> None:
    found = held_out_metrics(fitted.field, scene)
    nearest = []
    for view in scene.held_out:
        away = [np.linalg.norm(view.camera.position - other.camera.position) for other in scene.views]
        both = (picture(one, scene.background)[0] / 255.0 for one in (view, scene.views[int(np.argmin(away))]))
        nearest.append(psnr(*both))
    assert found["heldout_psnr_db"] > np.mean(nearest) + 6
    assert 0.8 < found["heldout_ssim"] <= 1


def test_depths_and_normals_are_those_of_the_solids(scene: Scene, fitted: FitResult) -> None:
    """Where both meet something: half of the depths within the two spacings over which a surface is spread."""
    renderer = Renderer(fitted.field)
    spacing = 1 / fitted.field.stretch
    apart, aligned = [], []
    for view in scene.held_out:
        _, t, normals = trace(*camera_rays(view.camera))
        depth, directions = renderer.view(view.camera, "depth").ravel(), camera_rays(view.camera)[1]
        both = np.isfinite(t) & np.isfinite(depth)
        assert both.mean() > 0.15
        exact = t * (directions @ view.camera.forward)
        apart.append(np.abs(depth - exact)[both])
        found = renderer.view(view.camera, "normals").reshape(-1, 3)
        aligned.append(np.einsum("ni,ni->n", found, normals)[both])
    assert np.median(np.concatenate(apart)) < 2 * spacing
    assert np.median(np.concatenate(aligned)) > np.cos(np.radians(30))


def test_the_surface_is_closed_coloured_and_where_it_should_be(fitted: FitResult) -> None:
    """Within two spacings on the mean, both ways; what is enclosed is solid, so there is no surface inside."""
    pytest.importorskip("skimage")
    mesh, colors = surface(fitted.field)
    spacing = 1 / fitted.field.stretch
    assert mesh.open_edges() == 0
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    assert np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6 > 0  # its volume: the faces look outwards
    points, _ = sample_surface(mesh, 4000, np.random.default_rng(0))
    assert chamfer(points, surface_points(4000)) < 2 * spacing
    assert colors.shape == mesh.vertices.shape
    warm = colors[:, 0] - colors[:, 2] > 0.4  # only the red ball and the yellow block are
    truth = surface_points(20000)
    places = truth[cKDTree(truth).query(mesh.vertices)[1]]
    ball, block = SOLIDS[1], SOLIDS[3]
    assert isinstance(ball, Ball)
    assert isinstance(block, Block)
    on_ball = np.linalg.norm(places - ball.center, axis=1) < ball.radius + 0.01
    on_block = ((places >= np.array(block.low) - 0.01) & (places <= np.array(block.high) + 0.01)).all(axis=1)
    assert (on_ball | on_block)[warm].mean() > 0.8  # of all vertices a third lie on them


def lattice_of(dense: np.ndarray) -> BrickField:
    """A field over the unit box whose nodes (48, 48, 48) are opaque or empty."""
    field = new_field(Extent(Box(x=(0, 1), y=(0, 1), z=(0, 1)), np.eye(4), np.ones(3)), 48, (1.0, 1.0, 1.0), 0)
    bricks = dense.reshape(12, 4, 12, 4, 12, 4).transpose(0, 2, 4, 1, 3, 5).reshape(-1)
    with torch.no_grad():
        field.nodes[64:, 0] = torch.from_numpy(np.where(bricks, 20.0, EMPTY)).float()
    return field


def volume(mesh: TriangleMesh, field: BrickField) -> float:
    """In cubes of a spacing."""
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6 * field.stretch**3)


def test_a_hull_that_leaks_is_solid_inside() -> None:
    """A hollow ball with a hole: the surface has the ball's volume, but for a pit, and no wall inside; a speck is left out."""
    pytest.importorskip("skimage")
    nodes = np.moveaxis(np.indices((48, 48, 48)), 0, -1)
    away = np.linalg.norm(nodes - 23.5, axis=-1)
    hole = (nodes[..., 2] > 23.5) & (np.linalg.norm(nodes[..., :2] - 23.5, axis=-1) < 2)
    dense = (away <= 16) & (away > 12) & ~hole
    dense[1, 1, 1] = True
    field = lattice_of(dense)
    mesh, _ = surface(field)
    # Faces lie three quarters of a spacing outside of the last dense nodes, which are up to one inside of the radius.
    assert 4 / 3 * np.pi * 15.75**3 < volume(mesh, field) < 4 / 3 * np.pi * 16.75**3
    assert np.linalg.norm((mesh.vertices - 0.5) * field.stretch, axis=1).min() > 10


def test_a_slot_stays_open() -> None:
    """Two plates of 32 x 32 x 8 nodes with four empty ones between them: the surface has the volume of both, and no more."""
    pytest.importorskip("skimage")
    dense = np.zeros((48, 48, 48), bool)
    dense[8:40, 8:40, 12:20] = dense[8:40, 8:40, 24:32] = True
    field = lattice_of(dense)
    mesh, _ = surface(field)
    # Between the last dense nodes and the first empty ones, but for edges, which are a little rounded.
    assert 2 * 31 * 31 * 7 < volume(mesh, field) < 2 * 33 * 33 * 9


def test_opacity_is_the_silhouette(scene: Scene, fitted: FitResult) -> None:
    renderer = Renderer(fitted.field)
    for view in scene.held_out:
        exact = np.isfinite(trace(*camera_rays(view.camera))[1])
        found = renderer.view(view.camera, "opacity").ravel() > 0.5
        assert (exact == found).mean() > 0.96


def brief(scene: Scene, seed: int = 1, **given: Any) -> FitResult:
    """Some steps in each lattice, of few rays, which are enough to tell bits apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "RAYS", tuple(rays // 8 for rays in MODULE.RAYS))
        return reconstruct(scene, steps=24, seed=seed, threads=2, **given)


@pytest.fixture(scope="module")
def repeatable(scene: Scene) -> FitResult:
    return brief(scene)


def test_equal_seeds_and_steps_give_equal_bits(scene: Scene, repeatable: FitResult) -> None:
    first, second = repeatable.field, brief(scene).field
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    other = brief(scene, seed=2).field
    assert other.kept != first.kept or not torch.equal(other.nodes, first.nodes)


@pytest.mark.parametrize("cut", [2, 20])
def test_a_resumed_run_gives_the_same_bits(
    scene: Scene, repeatable: FitResult, tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in the first lattice and in a later one."""
    monkeypatch.setattr(MODULE, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(MODULE, "FIRST_REPORT", 0.0)
    monkeypatch.setattr(MODULE, "GROWTH", 1.0)

    def stop(row: dict[str, float]) -> None:
        if row["step"] >= cut:
            raise KeyboardInterrupt

    halted = brief(scene, report=stop, checkpoint=tmp_path / "c")
    assert halted.outcome is Outcome.interrupted
    resumed = brief(scene, checkpoint=tmp_path / "c", resume=True)
    assert resumed.outcome is Outcome.steps
    assert resumed.stats["steps"] == 24
    for name, weights in repeatable.field.state_dict().items():
        assert torch.equal(resumed.field.state_dict()[name], weights), name


def test_a_checkpoint_of_another_run_is_refused(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "CHECKPOINT_EVERY", 0.0)
    reconstruct(scene, steps=3, seed=1, threads=2, checkpoint=tmp_path / "c")
    with pytest.raises(InputError, match="seed"):
        reconstruct(scene, steps=3, seed=2, threads=2, checkpoint=tmp_path / "c", resume=True)


def test_the_file_renders_without_the_photographs(fitted: FitResult, tmp_path: Path) -> None:
    field = load(save(fitted.field, tmp_path / "scene.field"))
    assert isinstance(field, BrickField)
    assert isinstance(fitted.field, BrickField)
    cameras = orbit(field, 3)
    assert len(cameras) == 3
    for camera in cameras:
        np.testing.assert_array_equal(Renderer(field).view(camera), Renderer(fitted.field).view(camera))
        assert Renderer(field).view(camera, "opacity").max() > 0.9


def test_a_budget_that_is_over_at_once_leaves_a_field(scene: Scene) -> None:
    halted = reconstruct(scene, budget=1e-9, threads=2)
    assert halted.outcome is Outcome.budget
    assert halted.stats["steps"] == 0


def test_the_traced_scene_is_exact() -> None:
    """Points of the surface are met from outside at their distance, unless something stands before them."""
    points = surface_points(4000)
    origins = np.broadcast_to(np.array([0.3, -2.0, 3.0]), points.shape)
    away = np.linalg.norm(points - origins, axis=1)
    _, t, normals = trace(origins, (points - origins) / away[:, None])
    assert (t <= away + 1e-6).all()
    seen = np.abs(t - away) < 1e-6
    assert 0.3 < seen.mean() < 0.7
    assert (np.einsum("ni,ni->n", normals, points - origins)[seen] <= 1e-9).all()
    np.testing.assert_allclose(np.linalg.norm(normals[seen], axis=1), 1)
    assert len(SOLIDS) == 4
