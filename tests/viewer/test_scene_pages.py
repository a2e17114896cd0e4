"""Pages of radiance fields: what is rounded, that a browser follows rays as the kernels do, and what a person can do.

Two fields are compared with the page: the field as it was given, from which the page may differ by what rounding does to the
numbers of its nodes; and the field of the rounded numbers, which the page must be to rounding errors.
"""

import base64
import importlib.util
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import BrickField, NerfField
from ungrid.fields.radiance import BRICK
from ungrid.kernels import bricks as kernels
from ungrid.kernels.blas import single_threaded_blas
from ungrid.radiance import Renderer, share_scene
from ungrid.radiance.frames import Extent, lattice_rays
from ungrid.radiance.lattice import LEAST, STEP, Lattice
from ungrid.radiance.page import LEVELS, TOLERANCE, around, first_camera, nodes_met, packed
from ungrid.radiance.paths import looking
from ungrid.sampling import Camera
from ungrid.viewer import share

BLOCKS = 8
KINDS = ("box", "contracted", "projective")
CUBE = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1))
CONTROLS = ["canvas", "closer", "farther", "front", "depth"]
FLOAT = 1e-4  # what single precision does to a ray: sums of some hundred terms, log(1 + e)
FLIPPED = 3 * LEAST  # a few samples whose share is `LEAST` to rounding count in one place and not in the other
FINEST = 1e-9  # a tolerance that only 255 levels come near
HARDWARE = 2.0**-8  # places between texels, at which graphics cards interpolate


def extent(kind: str) -> Extent:
    base, lengths = np.eye(4), np.full(3, 2.0)
    base[:3, 3] = 1.0
    if kind == "projective":  # as seen from the origin along -z, from a plane at distance 1 on
        device = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 0], [0, 0, 1, 2], [0, 0, 1, 0]])
        base[:3, 3] = (0.8, 0.8, 1.0)
        base, lengths = base @ device, np.array([1.6, 1.6, 2.0])
    return Extent(CUBE, base, lengths, contracted=kind == "contracted")


def poses(kind: str) -> list[np.ndarray]:
    """Around the scene, or side by side before it."""
    up = np.array([0.0, 1.0, 0.0])
    if kind == "projective":
        return [
            looking(np.array([x, y, 0.0]), np.array([0.0, 0.0, -3.0]), up) for x in (-0.1, 0.1) for y in (-0.1, 0.1)
        ]
    angles = 2 * math.pi * np.arange(6) / 6
    places = [np.array([3 * math.cos(a), 1.2, 3 * math.sin(a)]) for a in angles]
    return [looking(place, np.zeros(3), up) for place in places]


def scene(kind: str = "box", *, seed: int = 0) -> BrickField:
    """Two coloured balls, with something far behind them where the lattice reaches there; shiny by a random network."""
    part, random = extent(kind), torch.Generator().manual_seed(seed)
    blocks = (BLOCKS, BLOCKS, BLOCKS)
    view = {
        "width": 80, "height": 60, "fx": 80.0, "fy": 80.0, "cx": 40.0, "cy": 30.0, "forward_facing": kind == "projective",
        "poses": [pose.ravel().tolist() for pose in poses(kind)],
    }  # fmt: skip
    places = np.argwhere(np.ones(blocks, bool))
    made = BrickField(
        CUBE, blocks, len(places), frame=part.frame(blocks), background=(0.9, 0.8, 0.7), view=view, width=16,
        contracted=part.contracted,
    )  # fmt: skip
    local = np.argwhere(np.ones((BRICK,) * 3, bool))
    nodes = torch.from_numpy((BRICK * places[:, None] + local).reshape(-1, 3).astype(float))
    with torch.no_grad():
        x = made.to_world(nodes)
        shift = torch.tensor([0.0, 0.0, -3.0 if kind == "projective" else 0.0], dtype=torch.float64)
        inside = torch.stack([0.5 - (x - shift - torch.tensor([a, 0.0, 0.1])).norm(dim=1) for a in (-0.35, 0.4)]).amax(
            dim=0
        )
        behind = x.norm(dim=1) - 8 if kind != "box" else torch.full_like(inside, -1.0)
        made.places[:] = torch.from_numpy(places)
        made.nodes[BRICK**3 :, 0] = (20 * torch.maximum(inside, behind)).clamp(-10, 9)
        waves = torch.sin(nodes @ torch.randn(3, 7, generator=random, dtype=torch.float64) / 3)
        made.nodes[BRICK**3 :, 1:] = 0.5 + 0.4 * waves
        for weights, size in ((made.first, 1.0), (made.second, 1.0), (made.last, 0.3)):
            weights.normal_(0, size / math.sqrt(weights.shape[0]), generator=random)
    return made.requires_grad_(False)


def random_rays(kind: str, count: int = 1000) -> np.ndarray:
    """From where cameras are to where the balls are: (count, 6), directions of any length."""
    random = np.random.default_rng(3)
    eyes = np.stack([pose[:3, 3] for pose in poses(kind)])[random.integers(0, len(poses(kind)), count)]
    target = random.uniform(-0.9, 0.9, (count, 3)) - (0, 0, 3 * (kind == "projective"))
    return np.concatenate([eyes, (target - eyes) * random.uniform(0.5, 2, (count, 1))], axis=1)


def followed(field: BrickField, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (n, 3), opacities (n,) and depths (n,) by the kernels; depths in lengths of the directions."""
    lattice, lengths = Lattice(field), np.linalg.norm(rays[:, 3:], axis=1, keepdims=True)
    views = rays[:, 3:] / lengths
    start, along = lattice_rays(field, rays[:, :3], views)
    color, middle, opacity = np.empty_like(start), np.empty_like(start), np.empty(len(start), np.float32)
    background = np.array(field.background, np.float32)
    with single_threaded_blas():
        kernels.render(
            start, along, views.astype(np.float32), background, lattice.bricks, lattice.how, lattice.decoder, color, opacity,
            middle,
        )  # fmt: skip
    places = field.to_world(torch.from_numpy(middle / np.maximum(opacity, 1e-6)[:, None]).double()).numpy()
    depth = ((places - rays[:, :3]) * views).sum(axis=1) / lengths[:, 0]
    return color, opacity, np.where(opacity >= 0.5, depth, np.nan)


def stored_of(field: BrickField, tolerance: float = FINEST) -> tuple[BrickField, np.ndarray, np.ndarray, np.ndarray]:
    """What the page of a field stores: of the coarsest levels that do not change colours by more than the tolerance."""
    camera, met = first_camera(field), nodes_met(Lattice(field))
    truth = Renderer(field).view(camera)
    made = [packed(field, met, count) for count in LEVELS]
    fine = [one for one in made if np.abs(Renderer(one[0]).view(camera) - truth).max() <= tolerance]
    return (fine or made[-1:])[0]


def half_gaps(field: BrickField) -> np.ndarray:
    """By how much rounding changes each of a node's eight numbers at most: half the widest gap of its table."""
    table = stored_of(field)[3].astype(float)[:, 1:]
    return np.diff(table, axis=1).max(axis=1) / 2


def opened(visit: Callable[..., Any], field: BrickField, tmp_path: Path, fragment: str = "", **given: Any) -> Any:
    made = share_scene(field, tmp_path / "scene.html", title="Balls", tolerance=FINEST)
    return visit(made.path, fragment, **given)


def numbers(page: Any, script: str, *given: np.ndarray) -> np.ndarray:
    """What a function of the page says of lists of points; NaN where it says null."""
    words = ", ".join(json.dumps(part.tolist()) for part in given)
    return np.array(page.run(f"{script}({words})"), dtype=float)


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_rays_agree(visit, tmp_path, kind):
    """The page's double precision with the kernels' single one, colours and depths; few samples are at the threshold."""
    field, rays = scene(kind), random_rays(kind)
    page = opened(visit, field, tmp_path, size=(200, 300))
    color, opacity, depth = followed(stored_of(field)[0], rays)
    assert 0.2 < opacity.mean()
    found = numbers(page, "ungrid.evaluate", rays)
    differences = np.abs(found[:, :3] - color).max(axis=1)
    assert differences.max() < FLIPPED + FLOAT
    assert np.quantile(differences, 0.9) < FLOAT
    clear = np.abs(opacity - 0.5) > FLIPPED
    np.testing.assert_array_equal(np.isnan(found[clear, 3]), np.isnan(depth[clear]))
    met = clear & (opacity > 0.5)
    assert np.quantile(np.abs(found[met, 3] / depth[met] - 1), 0.9) < 10 * FLOAT
    assert page.errors == []
    assert page.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_rounding_does_at_points(visit, tmp_path, kind):
    """Densities and colours at 1000 points of cells that can be seen, within what the gaps of the tables allow.

    The softplus of a raw density changes no more than it; what the network adds, no more than the product of its weights'
    sizes times the changes of its inputs.
    """
    field, gaps = scene(kind), half_gaps(scene(kind))
    random = np.random.default_rng(4)
    lattice = torch.from_numpy(random.uniform(0, 4 * BLOCKS - 1.01, (40000, 3)))
    points = field.double().to_world(lattice)
    seen = field.raw(field.to_lattice(points))[:, 0] > float(Lattice(scene(kind)).how.floor)
    points = points[seen].numpy()[:1000]
    assert len(points) == 1000
    directions = random.normal(size=(1000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    page = opened(visit, scene(kind), tmp_path, size=(200, 300))
    scale = field.depth_per_node * field.stretch
    np.testing.assert_allclose(
        numbers(page, "ungrid.density", points), field(points)[:, 0], atol=scale * gaps[0] * 1.001
    )
    first, second, last = (w.abs().numpy() for w in (field.first, field.second, field.last))
    added = gaps[1:] @ first[:7] @ second @ last
    expected = field.color(torch.from_numpy(points), torch.from_numpy(directions)).numpy()
    found = numbers(page, "ungrid.colour", points, directions)
    assert (np.abs(found - expected) <= 1.001 * (gaps[1:4] + added)).all()


def test_what_is_left_out_cannot_be_seen(visit, tmp_path):
    """At all points of the box: where cells cannot be seen, a step of a ray has at most the optical depth `LEAST`."""
    field = scene()
    points = np.random.default_rng(5).uniform(-1, 1, (1000, 3))
    page, stored = opened(visit, field, tmp_path, size=(200, 300)), stored_of(field)[1]
    scale, gap = field.depth_per_node * field.stretch, half_gaps(field)[0]
    most = max(scale * gap, LEAST / STEP * field.stretch)
    np.testing.assert_allclose(numbers(page, "ungrid.density", points), field.double()(points)[:, 0], atol=1.001 * most)
    assert 0 < stored.sum() < 0.7 * field.kept * BRICK**3


@pytest.mark.parametrize("kind", KINDS)
def test_the_shaders_follow_rays_too(visit, tmp_path, kind):
    """Lattices of 10 x 10 rays by WebGL2, whose hardware interpolates, and by the evaluator, which the kernels agree with."""
    field = scene(kind)
    page = opened(visit, field, tmp_path, size=(200, 300))
    assert page.run("ungrid.engine.name") == "WebGL2"
    steepest = np.abs(np.diff(field.nodes[:, 0].reshape(-1, 4, 4, 4).numpy(), axis=3)).max()
    for pose in poses(kind)[:3]:
        across, down = 0.07 * pose[:3, 0], -0.07 * pose[:3, 1]
        first = -pose[:3, 2] - 4.5 * across - 4.5 * down
        view = {"origin": [*pose[:3, 3], *first], "across": [0, 0, 0, *across], "down": [0, 0, 0, *down]}
        drawn = np.array(page.run(f"ungrid.sample({json.dumps(view)}, 10, 10)"), dtype=float)
        steps = np.stack(np.meshgrid(np.arange(10), np.arange(10), indexing="ij"), axis=-1).reshape(-1, 2)
        rays = np.concatenate(
            [np.tile(pose[:3, 3], (100, 1)), first + steps[:, 1:] * across + steps[:, :1] * down], axis=1
        )
        exact = numbers(page, "ungrid.evaluate", rays)
        differences = np.abs(drawn[:, :3] - exact[:, :3]).max(axis=1)
        assert differences.max() < FLIPPED + HARDWARE * steepest
        assert np.median(differences) < HARDWARE
        both = ~np.isnan(exact[:, 3]) & ~np.isnan(drawn[:, 3])
        assert (np.isnan(exact[:, 3]) == np.isnan(drawn[:, 3])).sum() >= 98
        assert np.median(np.abs(drawn[both, 3] / exact[both, 3] - 1)) < HARDWARE
    assert page.errors == []


def canvas_pixels(page: Any) -> np.ndarray:
    page.run("ungrid.complete()")
    address = page.run("document.getElementById('canvas').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")) / 255


@pytest.mark.parametrize("engine", ["WebGL2", "plain"])
def test_the_canvas_shows_what_the_field_renders(visit, tmp_path, engine):
    """The first view is what `Renderer` makes of the rounded field, from where the page says that its camera is."""
    field = scene()
    page = opened(visit, field, tmp_path, f"#{engine}", size=(160, 300))
    assert page.run("ungrid.engine.name") == engine
    shown = canvas_pixels(page)
    height, width = shown.shape[:2]
    camera = page.run("ungrid.view.camera()")
    pose = np.eye(4)
    pose[:3] = np.stack([camera[name] for name in ("right", "up", "back", "eye")], axis=1)
    focal = min(width, height) / 2 / page.run("ungrid.field.camera.lens")
    there = Camera(tuple(pose.ravel()), width, height, focal, focal, width / 2, height / 2)
    differences = np.abs(Renderer(stored_of(field)[0]).view(there) - shown)
    if engine == "plain":
        assert differences.max() < FLIPPED + 0.51 / 255
    assert differences.mean() < 0.01  # means over 2 x 2 rays at rest differ at the balls' edges
    assert page.errors == []


def test_depth_instead_of_colours(visit, tmp_path):
    page = opened(visit, scene(), tmp_path, size=(300, 400))
    colours = canvas_pixels(page)
    page.run("document.getElementById('depth').click()")
    depths = canvas_pixels(page)
    assert np.abs(colours - depths).mean() > 0.05
    assert page.run("!document.getElementById('legend').hidden")
    least, largest = (
        float(page.run(f"document.getElementById('{name}').textContent")) for name in ("least", "largest")
    )
    assert 1.5 < least < largest < 4.5
    background = page.run("getComputedStyle(document.documentElement).getPropertyValue('--back')").strip()
    corner = [int(background[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    np.testing.assert_allclose(depths[2, 2], corner, atol=1 / 255)
    page.run("document.getElementById('depth').click()")
    np.testing.assert_array_equal(canvas_pixels(page), colours)


def test_the_line_stands_for_the_ray(visit, tmp_path):
    page = opened(visit, scene(), tmp_path, size=(300, 400))
    page.mouse("mouseMoved", *page.place("canvas", 0.5, 0.5))
    met = page.run("ungrid.view.probe()")
    text = page.run("document.getElementById('place').textContent")
    assert text.startswith("Pointer: red, green, blue")
    assert ", ".join(f"{part:.3f}" for part in met["colour"]) in text
    assert f"x, y, z = {', '.join(f'{part:.3f}' for part in met['place'])}" in text
    page.mouse("mouseMoved", *page.place("canvas", 0.01, 0.01))
    assert "nothing there" in page.run("document.getElementById('place').textContent")


def view_of(page: Any) -> dict[str, float]:
    return page.run("(({yaw, pitch, distance}) => ({yaw, pitch, distance}))(ungrid.view)")


def test_tab_reaches_every_control_and_keys_turn(visit, tmp_path):
    page = opened(visit, scene(), tmp_path)
    reached = []
    for _ in CONTROLS:
        page.key("Tab")
        reached.append(page.run("document.activeElement.id"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == CONTROLS
    page.key(" ", " ")
    assert page.run("document.getElementById('depth').checked")
    page.run("document.getElementById('canvas').focus()")
    before = view_of(page)
    for name in ("ArrowRight", "ArrowUp"):
        page.key(name)
    page.key("+", "+")
    after = view_of(page)
    assert after["yaw"] > before["yaw"]
    assert after["pitch"] > before["pitch"]
    assert after["distance"] == pytest.approx(0.8 * before["distance"])
    page.key("0", "0")
    assert view_of(page) == before
    page.run("new Promise((resolve) => setTimeout(resolve, 600))")
    assert "In the middle: red, green, blue" in page.run("document.getElementById('spoken').textContent")
    assert page.errors == []


def test_wheel_drag_and_touch(visit, tmp_path):
    page = opened(visit, scene(), tmp_path)
    place = page.place("canvas", 0.5, 0.5)
    page.mouse("mouseWheel", *place, deltaX=0, deltaY=-300)
    page.run("ungrid.complete()")
    assert view_of(page)["distance"] == pytest.approx(math.exp(-0.5))
    assert page.run("ungrid.timings.coarse") < 1000
    page.mouse("mousePressed", *place, button="left", buttons=1, clickCount=1)
    page.mouse("mouseMoved", place[0] + 30, place[1], button="left", buttons=1)
    page.mouse("mouseReleased", place[0] + 30, place[1], button="left", clickCount=1)
    assert view_of(page)["yaw"] == pytest.approx(-0.2)
    page.run("ungrid.view.reset()")
    page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    fingers = [
        [{"x": place[0] - d, "y": place[1], "id": 0}, {"x": place[0] + d, "y": place[1], "id": 1}] for d in (30, 60)
    ]
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers[0])
    page.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=fingers[1])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert view_of(page)["distance"] == pytest.approx(0.5, rel=0.1)


def test_photographs_from_one_side_are_not_seen_from_behind(visit, tmp_path):
    page = opened(visit, scene("projective"), tmp_path)
    page.run("ungrid.view.turnBy(3, 3)")
    start = page.run("ungrid.field.camera")
    assert view_of(page)["yaw"] == pytest.approx(start["swing"])
    assert view_of(page)["pitch"] == pytest.approx(start["pitch"] + start["swing"])


@pytest.mark.parametrize(("scheme", "engine"), [("light", "WebGL2"), ("dark", "plain")])
def test_axe_finds_no_violation(visit, tmp_path, scheme, engine):
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed")
    page = opened(visit, scene(), tmp_path, f"#{engine}", prefers_color_scheme=scheme)
    page.run("document.getElementById('depth').click()")
    page.run(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; 0")
    assert page.run("axe.run().then((result) => result.violations.map((one) => one.id))") == []


def test_the_page_begins_where_the_first_photograph_was_taken():
    for kind in KINDS[:2]:
        field = scene(kind)
        start = around(field, first_camera(field))
        up, side = np.array(start["up"]), np.array(start["side"])
        back = math.cos(start["pitch"]) * side + math.sin(start["pitch"]) * up
        np.testing.assert_allclose(
            np.array(start["middle"]) + start["distance"] * back, poses(kind)[0][:3, 3], atol=1e-9
        )
        assert start["lens"] == pytest.approx(0.5)  # of the longer side of its pictures


def test_a_scene_without_cameras_or_bricks(visit, tmp_path):
    empty = BrickField(CUBE, (2, 2, 2), 0, width=16)
    page = opened(visit, empty, tmp_path, size=(200, 300))
    np.testing.assert_allclose(canvas_pixels(page), 1.0, atol=1 / 255)
    assert page.errors == []


@pytest.mark.parametrize("tolerance", [FINEST, TOLERANCE])
def test_the_page_says_what_was_rounded(visit, tmp_path, tolerance):
    """The largest change of a colour in the picture of the first view; fewer levels, where that is allowed, are smaller."""
    field = scene()
    made = share_scene(field, tmp_path / "scene.html", facts={"Method": "by hand"}, tolerance=tolerance)
    kept, stored, _, table = stored_of(field, tolerance)
    change = np.abs(Renderer(kept).view(first_camera(field)) - Renderer(field).view(first_camera(field))).max()
    assert made.rounding == pytest.approx(float(change))
    assert (made.rounding <= tolerance) == (tolerance == TOLERANCE)
    page = visit(made.path, size=(200, 300))
    text = page.run("document.getElementById('facts').textContent")
    assert f"{table.shape[1] - 1} levels for a number; colours change by up to {change:.1e}" in text
    assert "Method: by hand" in text
    assert made.size < 4 / 3 * stored.sum() * 8 * math.log2(table.shape[1]) / 8 + 150_000  # base64, and the scripts
    rays = random_rays("box", 100)
    found = numbers(page, "ungrid.evaluate", rays)
    assert np.abs(found[:, :3] - followed(kept, rays)[0]).max() < FLIPPED + FLOAT


def test_what_a_page_cannot_show(tmp_path):
    with pytest.raises(InputError, match="a NerfField for the page of a scene"):
        share_scene(NerfField(CUBE, (2, 2, 2), frame=extent("box").frame((2, 2, 2))), tmp_path / "page.html")
    with pytest.raises(InputError, match="share_scene"):
        share(scene(), tmp_path / "page.html")
    with pytest.raises(InputError, match=r"ends in \.html"):
        share_scene(scene(), tmp_path / "page.txt")
