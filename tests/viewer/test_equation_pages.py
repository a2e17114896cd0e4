"""Pages of solutions of equations and of shapes: the probe's numbers, what is drawn, and that everything is reached by keys.

The probe computes in double precision, as the field does; what is drawn comes from the same numbers.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Arc, Axis, Box, Outlined, Segment, SpaceTime, Time
from ungrid.encodings import (
    CornerFunctions,
    ElasticCorner,
    Identity,
    Joined,
    Multipoles,
    Products,
    RandomFeatures,
    Ridges,
    Separable,
)
from ungrid.fields import Field, FunctionField, NeuralField, SlabField, SteppedField
from ungrid.networks import Linear, Siren
from ungrid.viewer import share
from ungrid.viewer.share import outline

SQUARE = Box(x=(-1, 1), y=(-1, 1))
LSHAPE = SQUARE - Box(x=(0, 1), y=(0, 1))
WAVES = RandomFeatures(2, 9, scale=(3.0, 2.0), extent=(1.0, 1.0))


def solution(encoding, domain=LSHAPE, channels=1) -> NeuralField:
    names = tuple("uvw"[:channels])
    network = Linear(encoding.out_features, channels, seed=2)
    return NeuralField(domain, encoding, network, out_names=names).double().requires_grad_(False)


def slab(low: float, high: float) -> NeuralField:
    return solution(Products(Ridges(1, 5), 3, 0.25), Box(Axis("x", 0.0, 1.0, "m"), Axis("t", low, high, "s")))


def over_time() -> SteppedField:
    corners = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0)]
    square = Outlined([[Segment(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]])
    space = solution(WAVES, square)
    space = NeuralField(square, WAVES, Linear(10, 12), out_names=tuple(f"s{k}" for k in range(12))).double()
    return SteppedField(space.requires_grad_(False), (-1.0, 0.5, 3.0), out_names=("u", "v"))


SOLUTIONS = {
    "features and corners": lambda: solution(
        Joined((WAVES, CornerFunctions((0.0, 0.0), 1.57, 4.71, (2 / 3, 1.5, 2.0)), CornerFunctions(
            (0.1, 0.2), 0.4, 2.0, (0.7, 1.0), cosine=True, cut=4.0)))
    ),
    "elastic corner": lambda: solution(
        ElasticCorner((0.1, 0.2), 2.6, 3.0, ((0.55, 0.0), (1.6, 0.2), (1.0, 0.0)), cut=4.7), SQUARE, 2
    ),
    "hole": lambda: solution(Joined((WAVES, Multipoles((0.1, 0.2), 0.3, 2))), SQUARE),
    "separable": lambda: solution(Separable((5, 4), (1.0, 1.0)), SQUARE),
    "oscillations": lambda: solution(RandomFeatures(1, 9, scale=(9.0,), extent=(1.0,), shape="sine"), Box(t=(0, 2))),
    "slabs": lambda: SlabField((slab(0.0, 0.5), slab(0.5, 1.0))),
    "over time": over_time,
}  # fmt: skip


def points_in(u: Field, count: int = 1000) -> np.ndarray:
    share_ = np.random.default_rng(5).random((count, u.domain.dim))
    points = u.domain.low + share_ * (u.domain.high - u.domain.low)
    return points[u.domain.contains(points)]


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_probe_agrees_in_double_precision(visit, tmp_path, name):
    """Values and gradients to 1e-9, and the drawn map to 1e-4 of the range."""
    u = SOLUTIONS[name]()
    page = visit(share(u, tmp_path / "page.html").path, size=(120, 300))
    points = points_in(u)
    x = torch.from_numpy(points).requires_grad_()
    values = u(x)
    slopes = [torch.autograd.grad(values[:, c].sum(), x, retain_graph=True)[0] for c in range(values.shape[1])]
    found = np.array(page.run(f"ungrid.evaluate({json.dumps(points.tolist())})"))
    np.testing.assert_allclose(found, values.detach(), rtol=1e-9, atol=1e-9)
    gradients = np.array(page.run(f"ungrid.gradient({json.dumps(points[:100].tolist())})"))
    np.testing.assert_allclose(gradients, torch.stack(slopes, dim=1)[:100], rtol=1e-9, atol=1e-9)
    view = {
        "origin": u.domain.low.tolist(),
        "across": [0.03, *[0.02] * (u.domain.dim - 1)],
        "down": [0.0] * u.domain.dim,
    }
    drawn = np.array(page.run(f"ungrid.sample({json.dumps(view)}, 20, 1)"), dtype=float)
    line = u.domain.low + np.arange(20)[:, None] * np.array(view["across"])
    inside = u.domain.contains(line) & ~np.isnan(drawn).any(axis=1)
    assert inside.sum() >= 18  # all but the ends on the outline
    np.testing.assert_allclose(drawn[inside], u(line[inside]), atol=1e-4 * np.ptp(values.detach().numpy()))
    assert page.run("ungrid.engine.name") == "plain"
    assert page.errors == []
    assert page.requests == []


def test_a_solution_beside_the_field(visit, tmp_path):
    """Its values, the differences, their legend; outside of the domain nothing."""
    u = SOLUTIONS["features and corners"]()

    def other(x: np.ndarray) -> np.ndarray:
        return u(x) - 0.01 * (x[:, :1] + 2 * x[:, 1:])  # linear: without an error of interpolation

    page = visit(share(u, tmp_path / "page.html", beside={"exact": other}).path, size=(200, 400))
    points = points_in(u, 200)
    found = np.array(page.run(f"ungrid.evaluate({json.dumps(points.tolist())})"))
    inner = np.abs(points).min(axis=1) > 0.02  # whose lattice cells lie in the domain
    expected = np.concatenate([u(points), other(points), u(points) - other(points)], axis=1)
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-8)
    assert page.run("[...document.getElementById('channel').options].map((o) => o.text)") == [
        "u", "u, exact", "u − exact",
    ]  # fmt: skip
    page.run("ungrid.complete()")
    outside = page.run("[...document.getElementById('canvas').getContext('2d').getImageData(120, 60, 1, 1).data]")
    ground = page.run("ungrid.view.look().background")
    np.testing.assert_allclose(np.array(outside[:3]) / 255, ground, atol=0.5 / 255)
    page.run("{ const s = document.getElementById('channel'); s.value = 2; s.dispatchEvent(new Event('change')); }")
    least, largest = (
        float(page.run(f"document.getElementById('{name}').textContent")) for name in ("least", "largest")
    )
    assert -least == largest == pytest.approx(0.03, rel=1e-2)
    assert page.errors == []


def test_a_slider_of_time(visit, tmp_path):
    """The curve at one time, moved by its slider with the keyboard."""
    page = visit(share(SOLUTIONS["slabs"](), tmp_path / "page.html").path, size=(300, 500))
    page.run("document.getElementById('moment').focus()")
    for _ in range(3):
        page.key("ArrowRight")
    assert page.run("ungrid.view.profile.place") == pytest.approx(0.003)
    assert "at t = 0.003 s" in page.run("document.getElementById('profile-canvas').getAttribute('aria-label')")
    page.run("document.getElementById('run').click()")
    page.run("new Promise((done) => setTimeout(done, 200))")
    assert page.run("ungrid.view.profile.place") > 0.01
    assert page.errors == []


def test_sliders_of_the_number_of_a_family(visit, tmp_path):
    """The number, not its logarithm: beside the curve of a line, and beside the slices of what is over space and time."""
    number = Axis("log_nu", np.log(0.01), np.log(1.0), "1 (nu)")
    u = solution(WAVES, Box(number, Axis("x", 0.0, 2.0, "m")))
    page = visit(share(u, tmp_path / "line.html").path, size=(300, 500))
    assert page.run("document.getElementById('moment-name').textContent") == "nu"
    page.run("{ const s = document.getElementById('moment'); s.value = 500; s.dispatchEvent(new Event('input')); }")
    assert page.run("document.getElementById('moment-value').textContent") == "nu = 0.1"
    curve = page.run("[...ungrid.view.profile.values()]")
    points = np.stack([np.full(241, np.log(0.1)), np.linspace(0, 2, 241)], axis=1)
    np.testing.assert_allclose(np.array(curve)[:, None], u(points), atol=1e-9)
    wave = RandomFeatures(3, 9, scale=(1.0,) * 3, extent=(1.0,) * 3)
    over = solution(wave, Box(number, Axis("x", 0.0, 2.0, "m"), Axis("t", 0.0, 2.0, "s")))
    slices = visit(share(over, tmp_path / "time.html").path, size=(300, 500))
    assert slices.run("document.getElementById('through-name').textContent") == "nu"
    assert slices.run("document.getElementById('through-value').textContent") == "0.1"
    assert page.errors == slices.errors == []


def test_slices_of_time(visit, tmp_path):
    """A plane over time has the slider of slices, which runs."""
    page = visit(share(over_time(), tmp_path / "page.html").path, size=(200, 300))
    assert page.run("document.getElementById('through-name').textContent") == "t"
    assert not page.run("document.getElementById('play').hidden")
    assert page.errors == []


def test_outlines():
    """Around a plane region, in as many loops as it has, also over time; boxes need none."""
    ring = Outlined([[Arc((0.0, 0.0), (1.0, 1.0))], [Arc((0.0, 0.0), (0.5, 0.5))]])
    loops = outline(SpaceTime(ring, Time(0.0, 1.0)))
    assert sorted(round(float(np.hypot(*np.array(loop).T).max()), 12) for loop in loops) == [0.5, 1.0]
    assert [len(loop) for loop in outline(LSHAPE)] == [6]
    assert outline(SQUARE) == outline(Box(t=(0, 1))) == []


RADIUS, CENTER = 0.6, np.array([0.1, -0.05, 0.2])


def ball() -> NeuralField:
    """The distance from a sphere, nearly: a polynomial that is zero on it with slope one."""
    encoding = Separable((3, 3, 3), (1.0, 0.9, 0.8))
    box = Box(x=(-1, 1), y=(-0.9, 0.9), z=(-0.8, 0.8))
    u = NeuralField(box, encoding, Linear(27, 1), out_names=("distance",), metadata={"kind": "shape"}).double()
    rng = np.random.default_rng(0)
    points = box.low + rng.random((200, 3)) * (box.high - box.low)
    target = (((points - CENTER) ** 2).sum(axis=1) - RADIUS**2) / (2 * RADIUS)
    features = encoding(u.unit(torch.from_numpy(points)))
    u.network.weight.data = torch.linalg.lstsq(features, torch.from_numpy(target)[:, None]).solution
    return u.requires_grad_(False)


def test_the_surface_of_a_shape(visit, tmp_path):
    """Rays meet the sphere where geometry says; the pixels of its picture are those whose rays meet it."""
    page = visit(share(ball(), tmp_path / "page.html").path, size=(260, 500))
    page.run("ungrid.complete()")
    assert page.run("ungrid.surface.timings.fine") is not None
    width, height = page.run("ungrid.surface.size")
    eye = np.array(page.run("ungrid.surface.camera().eye"))
    shown = np.array(page.run("[...ungrid.surface.context.getImageData(0, 0, ...ungrid.surface.size).data]"))
    ground = np.rint(255 * np.array(page.run("ungrid.view.look().background")))
    drawn = np.abs(shown.reshape(height, width, 4)[..., :3] - ground).max(axis=2) > 3
    for x, y in [(width // 2, height // 2), (width // 2 + 20, height // 2 - 30), (5, 5), (width // 3, height // 2)]:
        direction = np.array(page.run(f"ungrid.surface.ray(ungrid.surface.camera(), {x + 0.5}, {y + 0.5})"))
        b = (eye - CENTER) @ direction
        square = b**2 - ((eye - CENTER) ** 2).sum() + RADIUS**2
        found = page.run(f"ungrid.surface.probe([{x + 0.5}, {y + 0.5}])")
        assert (found is not None) == (square > 0) == drawn[y, x]
        if square > 0:
            place = eye - (b + np.sqrt(square)) * direction
            np.testing.assert_allclose(found["place"], place, atol=1e-7)
            np.testing.assert_allclose(found["normal"], (place - CENTER) / RADIUS, atol=1e-6)
    assert page.errors == []


def test_a_shape_by_keyboard(visit, tmp_path):
    page = visit(share(ball(), tmp_path / "page.html").path, size=(260, 500))
    page.run("document.getElementById('surface').focus()")
    yaw = page.run("ungrid.surface.yaw")
    page.key("ArrowRight")
    page.key("+", "+", 187)
    assert page.run("ungrid.surface.yaw") == pytest.approx(yaw + 0.15)
    assert page.run("ungrid.surface.distance") == pytest.approx(1.55 / 1.25)
    page.run("document.getElementById('cut').click()")
    page.run("ungrid.complete()")
    found = page.run("ungrid.surface.probe()")
    assert found is None or found["place"][2] <= 1e-9  # the half before the slice through the middle is gone
    reached = []
    for _ in range(14):
        page.key("Tab")
        reached.append(page.run("document.activeElement.id"))
    assert {"closer", "farther", "front", "cut", "canvas", "zoom-in", "through"} <= set(reached)
    assert page.errors == []


@pytest.mark.parametrize("make", [SOLUTIONS["slabs"], ball, over_time])
def test_axe_finds_no_violation(visit, tmp_path, make):
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed")
    page = visit(share(make(), tmp_path / "page.html", title="A page").path, size=(300, 500))
    page.run(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; 0")
    assert page.run("axe.run().then((result) => result.violations.map((one) => one.id))") == []


def test_what_no_page_shows(tmp_path):
    with pytest.raises(InputError, match="a FunctionField for a page"):
        share(FunctionField(SQUARE, lambda x: x, ("u", "v")), tmp_path / "page.html")
    four = NeuralField(
        Box(x=(0, 1), y=(0, 1), z=(0, 1), t=(0, 1)), Identity(4), Siren(4, 1, width=4, depth=1), out_names=("u",)
    )
    with pytest.raises(InputError, match="4 axes"):
        share(four, tmp_path / "page.html")
