"""The paper's NeRF: sampling and compositing against their integrals, gradients, and a small scene end to end."""

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import NerfField
from ungrid.fields.nerf import compositing, intervals, inverse_cdf
from ungrid.fields.radiance import box_frame
from ungrid.io import load, save
from ungrid.io.scenes import read_scene
from ungrid.radiance import NerfSettings, Renderer, held_out_metrics, reconstruct_nerf, surface
from ungrid.radiance.builtin import write_scene

BOX = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1))
SMALL = NerfSettings(rays=256, rate=2e-3, network={"width": 32, "depth": 3, "octaves": 4, "samples": (16, 16)})


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return read_scene(write_scene(tmp_path_factory.mktemp("scene"), views=12, tests=2, size=32))


def small(seed=0, **options):
    given = {"width": 8, "depth": 3, "octaves": 2, "samples": (6, 5), **options}
    return NerfField(BOX, (2, 2, 2), frame=box_frame(BOX, (8, 8, 8)), seed=seed, **given).double()


def rays(count, seed=0):
    """Through the lattice, with their jitter."""
    random = torch.Generator().manual_seed(seed)
    start = torch.rand(count, 3, generator=random, dtype=torch.float64) * 2 - 4
    along = torch.rand(count, 3, generator=random, dtype=torch.float64) * 4 + 1.5 - start
    return (
        start,
        along,
        along / along.norm(dim=1, keepdim=True),
        torch.rand(count, 11, generator=random, dtype=torch.float64),
    )


def test_shares_and_what_is_left_add_up_to_one_and_are_exact_for_constant_density():
    random = torch.Generator().manual_seed(0)
    depths = torch.rand(5, 9, generator=random, dtype=torch.float64)
    torch.testing.assert_close(compositing(depths).sum(dim=1) + torch.exp(-depths.sum(dim=1)), torch.ones(5).double())
    parts = torch.full((1, 50), 0.04, dtype=torch.float64)  # an optical depth of 2, however it is cut
    torch.testing.assert_close(compositing(parts).sum(), 1 - torch.exp(torch.tensor(-2.0).double()))


def test_samples_are_drawn_in_proportion_to_the_weights():
    edges, weights = torch.tensor([[0.0, 1.0, 3.0, 4.0]]), torch.tensor([[1.0, 2.0, 0.0]])
    uniform = (torch.arange(30_000) + 0.5)[None] / 30_000
    drawn = inverse_cdf(edges, weights, uniform)[0]
    shares = [float(((drawn >= a) & (drawn < b)).float().mean()) for a, b in ((0, 1), (1, 2), (2, 3), (3, 4))]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-3)
    assert (drawn.diff() >= 0).all()
    everywhere = inverse_cdf(edges, torch.zeros(1, 3), uniform)[0]  # nothing is known: all parts alike
    assert float((everywhere < 1).float().mean()) == pytest.approx(1 / 3, abs=1e-3)


def test_intervals_end_at_the_faces_of_the_lattice():
    start = torch.tensor([[-7.0, 3.0, 3.0], [3.0, 3.0, 3.0], [-7.0, 30.0, 3.0]]).double()
    along = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]).double()
    edges, spacing = intervals(start, along, (8, 8, 8), 4)
    torch.testing.assert_close(edges[:, 0], torch.tensor([3.5, 0.0, 7.0]).double())
    torch.testing.assert_close(edges[:2, -1], torch.tensor([7.0, 3.0]).double())
    assert edges[2, -1] == edges[2, 0]  # beside the lattice: empty
    torch.testing.assert_close(spacing[:, 0], torch.tensor([2.0, 1.0, 1.0]).double())


def test_an_empty_scene_is_the_background():
    u = small(background=(0.2, 0.4, 0.6))
    for network in (u.coarse, u.fine):
        network.density.weight.data.zero_()
        network.density.bias.data.fill_(-1000.0)
    color, opacity, _ = u.render(*rays(4))
    assert torch.equal(color, torch.tensor([0.2, 0.4, 0.6], dtype=torch.float64).expand(4, 2, 3))
    assert torch.equal(opacity, torch.zeros(4).double())


def test_a_ray_converges_to_the_integral_of_the_field():
    """Many samples of the fine network by hand, against ``∫ T σ c``."""
    u = small(samples=(400, 1))
    for network in (u.coarse, u.fine):
        network.density.bias.data.fill_(-1.0)
    start, along, views, _ = rays(3)
    jitter = torch.full((3, 401), 0.5, dtype=torch.float64)
    found, opacity, _ = u.render(start, along, views, jitter)
    edges, spacing = intervals(start, along, u.shape, 20_000)
    t = (edges[:, 1:] + edges[:, :-1]) / 2
    places = start[:, None] + t[..., None] * along[:, None]
    raw, color = u.seen(u.fine, places, views[:, None].expand_as(places))
    depth = torch.nn.functional.softplus(raw[..., 0]) * u.depth_per_node * spacing * edges.diff(dim=1)
    shares = compositing(depth)
    exact = (shares[..., None] * color).sum(dim=1) + (1 - shares.sum(dim=1))[:, None]
    torch.testing.assert_close(found[:, 1], exact, rtol=0, atol=2e-2)
    torch.testing.assert_close(opacity, shares.sum(dim=1), rtol=0, atol=1e-2)


def test_gradients_are_those_of_differences():
    u, given = small(octaves=1), rays(3)
    weights = [u.coarse.color.weight, u.fine.density.bias, u.fine.trunk.layers[1].weight]
    u.render(*given)[0].square().sum().backward()
    for weight in weights:
        flat, step = weight.data.view(-1), 1e-6
        flat[0] += step
        above = float(u.render(*given)[0].detach().square().sum())
        flat[0] -= 2 * step
        below = float(u.render(*given)[0].detach().square().sum())
        flat[0] += step
        assert float(weight.grad.view(-1)[0]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8)


def test_the_sixth_of_eight_layers_sees_the_place_again():
    """As in the paper's code, which joins the encoded place to the output of the fifth."""
    u = NerfField(BOX, (2, 2, 2))
    sizes = [layer.in_features for layer in u.fine.trunk.layers]
    assert sizes == [63, 256, 256, 256, 256, 63 + 256, 256, 256]
    assert u.fine.aside.in_features == 256 + 27
    assert sum(p.numel() for p in u.fine.parameters()) == 595_844  # what the paper's code has for each network


def test_a_scene_is_learned_saved_and_turned_into_a_surface(scene, tmp_path):
    result = reconstruct_nerf(scene, settings=SMALL, steps=250, seed=0, threads=2)
    found = held_out_metrics(result.field, scene)
    blank = reconstruct_nerf(scene, settings=SMALL, steps=1, seed=0, threads=2)
    assert found["heldout_psnr_db"] > held_out_metrics(blank.field, scene)["heldout_psnr_db"] + 4
    assert result.history[-1]["psnr_db"] > result.history[0]["psnr_db"]
    again, camera = load(save(result.field, tmp_path / "a.field")), scene.held_out[0].camera
    shown = Renderer(result.field).view(camera)
    np.testing.assert_array_equal(Renderer(again).view(camera), shown)
    depth = Renderer(again).view(camera, "depth")
    assert np.nanmedian(depth) == pytest.approx(3.6, abs=0.6)  # where the cameras stand
    result.field.fine.density.bias.data += 4  # after so few steps nothing is opaque within a spacing of the lattice
    mesh, colors = surface(result.field)
    assert mesh.open_edges() == 0
    assert len(colors) == len(mesh.vertices)


def test_equal_seeds_give_equal_fields(scene):
    fit = {"settings": SMALL, "steps": 12, "threads": 2}
    first, second = (reconstruct_nerf(scene, seed=1, **fit).field for _ in range(2))
    other = reconstruct_nerf(scene, seed=2, **fit).field
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.fine.feature.weight, other.fine.feature.weight)


def test_what_cannot_be_built():
    with pytest.raises(InputError, match="trunk 'tanh'"):
        NerfField(BOX, (2, 2, 2), trunk="tanh")
    with pytest.raises(InputError, match="samples"):
        NerfField(BOX, (2, 2, 2), samples=(0, 4))
