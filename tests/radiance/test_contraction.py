"""All of space in one lattice: the map, the pieces of rays, and the kernels against their twin."""

import numpy as np
import pytest
import torch

from tests.radiance.test_bricks import gradients, rendered
from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import BrickField
from ungrid.fields.radiance import BRICK, contract, expand
from ungrid.io.scenes import Scene, read_scene
from ungrid.kernels import bricks as kernels
from ungrid.radiance import held_out_metrics, reconstruct, surface
from ungrid.radiance.builtin import write_scene
from ungrid.radiance.frames import Extent, extent_of, lattice_rays
from ungrid.radiance.lattice import Lattice, new_field
from ungrid.radiance.pictures import has_surroundings, read_pictures
from ungrid.radiance.twin import render_rays

BLOCKS = 5


@pytest.fixture
def whole() -> BrickField:
    """Random numbers in a contracted lattice of a cube of half width 1 around (0.5, 0, 0)."""
    base = np.eye(4)
    base[:3, 3] = (0.5, 1.0, 1.0)
    cube = Box(x=(-0.5, 1.5), y=(-1, 1), z=(-1, 1))
    made = new_field(Extent(cube, base, np.full(3, 2.0), contracted=True), BRICK * BLOCKS, (0.2, 0.5, 0.9), 0)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        made.nodes[BRICK**3 :].normal_(0, 1, generator=random)
        made.nodes[BRICK**3 :, 0] -= 4.0
        made.last.normal_(0, 0.1, generator=random)
    return made


@pytest.fixture
def lines() -> tuple[np.ndarray, np.ndarray]:
    """Rays of the world: from inside and outside of the cube, some along its axes."""
    random = np.random.default_rng(0)
    origins = random.normal(0, 2, (60, 3))
    directions = random.normal(0, 1, (60, 3))
    directions[:6] = np.concatenate([np.eye(3), -np.eye(3)])
    return origins, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_the_map_keeps_the_cube_and_holds_everything() -> None:
    points = torch.from_numpy(np.random.default_rng(0).standard_cauchy((2000, 3)))
    inside = points.abs().amax(dim=1) <= 1
    there = contract(points)
    assert torch.equal(there[inside], points[inside])
    assert 1 < float(there[~inside].abs().max()) < 2
    torch.testing.assert_close(expand(there), points, rtol=1e-6, atol=1e-9)
    far = contract(torch.tensor([[3e9, 1e9, -3e8]], dtype=torch.float64))
    torch.testing.assert_close(far, torch.tensor([[2, 1 / 3, -0.1]], dtype=torch.float64))


def test_points_of_rays_lie_on_their_pieces_in_order(whole: BrickField, lines: tuple[np.ndarray, np.ndarray]) -> None:
    """Every point of a ray, however far, is on one of the pieces, each of which begins in the world where the last one ends."""
    ends = np.empty((kernels.PIECES, 2, 3))
    near = kernels.NEAR  # half widths, which are units of this world
    for origin, direction in zip(*lines, strict=True):
        start, along = lattice_rays(whole, origin[None], direction[None])
        count = kernels.pieces(start[0], along[0], whole.blocks, ends)
        assert 1 <= count <= 7
        one, other = (whole.to_world(torch.from_numpy(part)) for part in (ends[: count - 1, 1], ends[1:count, 0]))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
        t = near + np.concatenate([np.linspace(0, 8, 400), np.geomspace(8, 1e6, 100)])
        places = whole.to_lattice(torch.from_numpy(origin + t[:, None] * direction)).numpy()
        parts = ends[:count, 1] - ends[:count, 0]
        share = np.einsum("npi,pi->np", places[:, None] - ends[:count, 0], parts) / (parts**2).sum(axis=1)
        foot = ends[:count, 0] + share.clip(0, 1)[..., None] * parts
        away = np.linalg.norm(places[:, None] - foot, axis=2)
        assert away.min(axis=1).max() < 1e-3
        which = np.where(away < 1e-3, np.arange(count), -1).max(axis=1)
        assert (np.diff(which) >= 0).all()
        assert np.abs(places[-1] - ends[count - 1, 1]).max() < 1e-3


def test_places_go_to_the_world_and_back(whole: BrickField) -> None:
    points = torch.from_numpy(np.random.default_rng(1).normal(0, 3, (500, 3)))
    torch.testing.assert_close(whole.to_world(whole.to_lattice(points)), points, rtol=1e-6, atol=1e-6)


def looking(whole: BrickField, lines: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    start, along = lattice_rays(whole, *lines)
    jitter = np.random.default_rng(3).random(len(start), dtype=np.float32)
    return start, along, lines[1].astype(np.float32), jitter


def every_sample(lattice: Lattice) -> tuple[kernels.Bricks, kernels.March]:
    how = lattice.how._replace(floor=np.float32(-1e9), least=np.float32(0), stop=np.float32(0))
    mask = np.full_like(lattice.mask, 2**64 - 1)
    return lattice.bricks._replace(mask=mask, far=np.zeros_like(lattice.far)), how


def test_the_kernel_renders_what_its_twin_does(whole: BrickField, lines: tuple[np.ndarray, np.ndarray]) -> None:
    rays = looking(whole, lines)
    color, opacity, middle = rendered(whole, rays, *every_sample(Lattice(whole)))
    tensors = [torch.from_numpy(part).double() for part in (*rays[:3], np.full_like(rays[3], 0.5))]
    with torch.no_grad():
        twin, seen = render_rays(whole.double(), *tensors)
    assert 0.2 < float(seen.mean()) < 0.999
    np.testing.assert_allclose(color, twin, atol=2e-4)
    np.testing.assert_allclose(opacity, seen, atol=2e-4)
    assert ((middle >= -1e-3) & (middle <= opacity[:, None] * (BRICK * BLOCKS))).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_are_those_of_the_twin(whole: BrickField, lines: tuple[np.ndarray, np.ndarray], threads: int) -> None:
    rays = looking(whole, lines)
    target = np.random.default_rng(3).random((len(rays[0]), 3), dtype=np.float32)
    loss, nodes, _ = gradients(whole, rays, target, threads)
    precise = whole.double()
    color, _ = render_rays(precise, *(torch.from_numpy(part).double() for part in rays))
    error = (color - torch.from_numpy(target)).square().sum()
    error.backward()
    assert loss == pytest.approx(float(error.detach()), rel=1e-4)
    exact = precise.nodes.grad[BRICK**3 :] / 2
    np.testing.assert_allclose(nodes[BRICK**3 :], exact, atol=1e-3 * float(exact.abs().max()))


def test_what_is_passed_over_would_not_have_counted(whole: BrickField, lines: tuple[np.ndarray, np.ndarray]) -> None:
    rays, lattice = looking(whole, lines), Lattice(whole)
    every = lattice.bricks._replace(mask=np.full_like(lattice.mask, 2**64 - 1), far=np.zeros_like(lattice.far))
    for fast, slow in zip(
        rendered(whole, rays, lattice.bricks, lattice.how), rendered(whole, rays, every, lattice.how), strict=True
    ):
        np.testing.assert_array_equal(fast, slow)


def test_a_contracted_lattice_has_equal_axes() -> None:
    with pytest.raises(InputError, match="equally many"):
        BrickField(Box(x=(0, 1), y=(0, 1), z=(0, 1)), (2, 3, 2), 0, contracted=True)


@pytest.fixture(scope="module")
def outdoors(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return read_scene(
        write_scene(tmp_path_factory.mktemp("outdoors"), views=20, tests=3, size=32, glossy=False, outdoors=True)
    )


def test_surroundings_are_seen_at_the_rims(outdoors: Scene, tmp_path) -> None:
    assert has_surroundings(read_pictures(outdoors.views, outdoors.background), outdoors.background)
    alone = read_scene(write_scene(tmp_path / "alone", views=3, tests=1, size=40))
    assert not has_surroundings(read_pictures(alone.views, alone.background), alone.background)
    assert extent_of(outdoors, unbounded=True).contracted


def test_a_scene_with_surroundings_is_fitted_in_a_lattice_of_all_space(outdoors: Scene) -> None:
    """Which shows new views better than one of the box alone; and its surface is that of the box."""
    pytest.importorskip("skimage")
    found = reconstruct(outdoors, steps=80, seed=0, threads=2)
    assert found.stats["unbounded"]
    boxed = reconstruct(outdoors, steps=80, seed=0, threads=2, unbounded=False)
    gain = (
        held_out_metrics(found.field, outdoors)["heldout_psnr_db"]
        - held_out_metrics(boxed.field, outdoors)["heldout_psnr_db"]
    )
    assert gain > 1
    mesh, _ = surface(found.field)
    assert mesh.open_edges() == 0
    assert (mesh.vertices >= found.field.domain.low - 0.1).all()
    assert (mesh.vertices <= found.field.domain.high + 0.1).all()
