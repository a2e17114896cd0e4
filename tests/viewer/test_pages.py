"""The page of a field: what is in the file, and that a browser evaluates, draws and moves the field as Python does.

Values are compared with the field in double precision, which is what the page computes; the field itself, in float32,
rounds them.
"""

import base64
import copy
import io
import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.encodings import Constrained, FourierFeatures, Identity, Positional, Ridges, SplineGrid
from ungrid.fields import FunctionField, NeuralField
from ungrid.networks import MLP, GridDecoder, Linear, Siren
from ungrid.sampling import GridSamples
from ungrid.viewer import share

COLOURS = ("red", "green", "blue")
PICTURE = RegularGrid.isotropic((32, 40), ("y", "x"))
CLIP = Box(Axis("t", 0.0, 0.4, "s"), *PICTURE.box.axes)
SECONDS = Box(Axis("t", 0.0, 0.5, "s"))
RATE = 8000


def picture(encoding, network, names=COLOURS, **given) -> NeuralField:
    metadata = {"kind": "image", "shape": list(PICTURE.shape)}
    given = {"spacing": tuple(PICTURE.spacing.tolist()), **given}
    return NeuralField(PICTURE.box, encoding, network, out_names=names, metadata=metadata, **given).requires_grad_(
        False
    )


def sound(encoding, network, names=("sound",)) -> NeuralField:
    metadata = {"kind": "audio", "sample_rate": RATE, "shape": [RATE // 2]}
    return NeuralField(
        SECONDS, encoding, network, out_names=names, spacing=(1 / RATE,), metadata=metadata
    ).requires_grad_(False)


def clip(encoding, network) -> NeuralField:
    spacing = (0.04, *PICTURE.spacing.tolist())
    return NeuralField(
        CLIP, encoding, network, out_names=COLOURS, spacing=spacing, metadata={"kind": "video"}, value_offset=(0.5,) * 3
    ).requires_grad_(False)


def grid(cells, features, extent, order=3, channels=3) -> tuple[SplineGrid, GridDecoder]:
    """A grid with a decoder whose last layer is not zero, as it is before training."""
    encoding = SplineGrid(cells, features, extent=extent, order=order, spread=0.4)
    decoder = GridDecoder(encoding.out_features, channels, width=16, depth=2, seed=1)
    decoder.last.data = torch.randn(16, channels, generator=torch.Generator().manual_seed(2)) / 8
    return encoding, decoder


def grid_picture(order: int = 3, channels: int = 3, **given) -> NeuralField:
    parts = grid(((32, 40), (16, 20), (8, 10), (4, 5)), (1, 2, 3, 5), (0.8, 1.0), order, channels)
    names = {1: ("grey",), 2: ("grey", "alpha"), 3: COLOURS, 4: (*COLOURS, "alpha")}[channels]
    return picture(*parts, names, value_scale=(0.6,) * channels, value_offset=(0.5,) * channels, **given)


def siren_picture(**given) -> NeuralField:
    return picture(Identity(2), Siren(2, 3, width=48, depth=3), value_offset=(0.5,) * 3, **given)


def perceptron_picture(encoding, activation="relu") -> NeuralField:
    return picture(encoding, MLP(encoding.out_features, 3, width=32, depth=2, activation=activation, output="logistic"))


FIELDS: dict[str, Callable[[], NeuralField]] = {
    "grid picture": grid_picture,
    "linear grid": lambda: grid_picture(order=1),
    "quadratic grid": lambda: grid_picture(order=2),
    "grey with alpha": lambda: grid_picture(channels=2),
    "siren picture": lambda: siren_picture(),
    "fourier picture": lambda: perceptron_picture(FourierFeatures(2, 50, 10.0)),
    "positional picture": lambda: perceptron_picture(Positional(2, 7)),
    "relu picture": lambda: perceptron_picture(Identity(2)),
    "tanh picture": lambda: perceptron_picture(Identity(2), "tanh"),
    "silu picture": lambda: perceptron_picture(Identity(2), "silu"),
    "softplus picture": lambda: perceptron_picture(Identity(2), "softplus"),
    "gelu picture": lambda: perceptron_picture(Identity(2), "gelu"),
    "linear features": lambda: picture(Positional(2, 4), Linear(18, 3)),
    "grid clip": lambda: clip(*grid(((10, 16, 20), (5, 8, 10)), (1, 3), (1.0, 0.8, 1.0))),
    "siren clip": lambda: clip(Identity(3), Siren(3, 3, width=24, depth=2)),
    "grid sound": lambda: sound(*grid(((4000,), (500,), (60,)), (1, 1, 2), (1.0,), channels=2), ("left", "right")),
    "siren sound": lambda: sound(Identity(1), Siren(1, 1, width=32, depth=2, first_omega0=3000.0)),
    "positional sound": lambda: sound(Positional(1, 11), MLP(23, 1, width=32, depth=2)),
}


def in_double(u: NeuralField) -> NeuralField:
    return copy.deepcopy(u).double()


def random_points(u: NeuralField, count: int) -> np.ndarray:
    place = np.random.default_rng(5).random((count, u.domain.dim))
    return u.domain.low + place * (u.domain.high - u.domain.low)


def random_views(u: NeuralField, count: int) -> list[tuple[dict[str, list[float]], np.ndarray]]:
    """Lattices of 10 x 10 points, down to a millionth of the domain and the first wider than it, with points (100, d)."""
    rng, found = np.random.default_rng(6), []
    for k in range(count):
        size = (u.domain.high - u.domain.low) * (10.0 ** rng.uniform(-6 if k % 2 else -1, 0) if k else 1.3)
        origin = u.domain.low + rng.random(u.domain.dim) * (u.domain.high - u.domain.low - size)
        across, down = (np.eye(u.domain.dim)[-1:-3:-1] * size / 10) if u.domain.dim > 1 else (size / 100, size / 10)
        steps = np.stack(np.meshgrid(np.arange(10), np.arange(10), indexing="ij"), axis=-1).reshape(-1, 2)
        points = origin + steps[:, :1] * down + steps[:, 1:] * across
        found.append(({"origin": origin.tolist(), "across": across.tolist(), "down": down.tolist()}, points))
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_values_agree(visit, tmp_path, name):
    """The evaluator at 1000 random points to 1e-9, and what is drawn to 1e-5: the shaders compute in float32."""
    u = FIELDS[name]()
    page = visit(share(u, tmp_path / "page.html").path, size=(200, 200))
    exact, points = in_double(u), random_points(u, 1000)
    values = np.array(page.run(f"ungrid.evaluate({json.dumps(points.tolist())})"))
    np.testing.assert_allclose(values, exact(points), atol=1e-9)
    assert page.run("ungrid.engine.name") == "WebGL2"
    for view, on_view in random_views(u, 10):
        drawn = np.array(page.run(f"ungrid.sample({json.dumps(view)}, 10, 10)"))
        np.testing.assert_allclose(drawn, exact(on_view), atol=1e-5)
    assert page.errors == []
    assert page.requests == []


@pytest.mark.parametrize("name", ["grid picture", "quadratic grid", "siren picture", "gelu picture", "grid sound"])
def test_gradients_agree(visit, tmp_path, name):
    """With torch's derivatives in double precision; the first layer of a grid is an own chain of products."""
    u = FIELDS[name]()
    page = visit(share(u, tmp_path / "page.html").path, "#plain", size=(200, 200))
    points = random_points(u, 50)
    x = torch.from_numpy(points).requires_grad_()
    values = in_double(u)(x)
    expected = [
        torch.autograd.grad(values[:, c].sum(), x, retain_graph=True)[0].numpy() for c in range(values.shape[1])
    ]
    found = np.array(page.run(f"ungrid.gradient({json.dumps(points.tolist())})"))
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-9, atol=1e-9)


def test_points_outside_and_round_a_circle(visit, tmp_path):
    """A grid goes on with the values of its surface; longitudes are wrapped."""
    box = Box(Axis("lat", -60.0, 60.0, "degrees_north"), Axis("lon", -180.0, 180.0, "degrees_east"))
    encoding = SplineGrid(((12, 36), (4, 9)), (1, 2), extent=(1.0, 1.0), spread=1.0, circles=(1,))
    u = NeuralField(box, encoding, Linear(3, 1), out_names=("height",)).requires_grad_(False)
    page = visit(share(u, tmp_path / "page.html").path, size=(200, 200))
    points = np.array([[70.0, 10.0], [-60.0, 180.0], [0.0, 185.0], [0.0, -175.0], [59.9, -540.0]])
    found = np.array(page.run(f"ungrid.evaluate({json.dumps(points.tolist())})"))
    np.testing.assert_allclose(found, in_double(u)(points), atol=1e-9)
    assert found[2] == pytest.approx(found[3], abs=1e-9)
    assert page.errors == []


def canvas_pixels(page) -> np.ndarray:
    page.run("ungrid.complete()")
    address = page.run("document.getElementById('canvas').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")) / 255


def means_on_canvas(page, u: NeuralField, n: int) -> np.ndarray:
    """The field in double precision, averaged over n x n points in each pixel of the canvas."""
    view, (width, height) = page.run("ungrid.view.lattice()"), page.run("ungrid.view.size")
    origin, across, down = (np.array(view[name]) for name in ("origin", "across", "down"))
    shifts = (np.arange(n) + 0.5) / n - 0.5
    i, j, a, b = np.meshgrid(np.arange(width), np.arange(height), shifts, shifts, indexing="xy")
    points = origin + (i + a)[..., None] * across + (j + b)[..., None] * down
    return in_double(u)(points).mean(axis=(2, 3))


@pytest.mark.parametrize(
    ("engine", "make", "n"),
    [
        ("WebGL2", grid_picture, 1),
        ("WebGL2", grid_picture, 2),
        ("WebGL2", siren_picture, 2),
        ("plain", grid_picture, 1),
        ("plain", siren_picture, 2),
    ],
)
def test_the_canvas_shows_the_values(visit, tmp_path, engine, make, n):
    """To half a step of 8 bits; where pixels are wider than the samples' distance as means over them."""
    u = make(spacing=(0.03 / n,) * 2)
    page = visit(share(u, tmp_path / "page.html").path, f"#{engine}", size=(160, 400))
    assert page.run("ungrid.engine.name") == engine
    assert page.run("ungrid.view.subsamples()") == n
    expected = np.clip(means_on_canvas(page, u, n), 0, 1)
    shown = canvas_pixels(page)
    inside = (slice(1, -1), slice(1, -1))  # the outermost pixels may lie half outside of the picture
    box = page.run("ungrid.view.look().box")
    top, bottom = int(np.ceil(box[1])), int(np.floor(box[3]))
    np.testing.assert_allclose(shown[top:bottom][inside], expected[top:bottom][inside], atol=0.5 / 255 + 2e-5)
    assert page.errors == []


@pytest.mark.parametrize("engine", ["WebGL2", "plain"])
def test_transparent_pixels_lie_on_the_ground(visit, tmp_path, engine):
    u, values = grid_picture(channels=2), np.zeros((32, 40, 2), np.float32)
    values[..., 0], values[..., 1] = 1.0, 0.2
    against = GridSamples(PICTURE, values, u.out_names, "image")
    page = visit(share(u, tmp_path / "page.html", against=against).path, f"#{engine}", size=(200, 200))
    page.run("ungrid.complete().then(() => ungrid.view.setSlider(1))")
    ground = np.array(page.run("ungrid.view.look().background"))
    middle = canvas_pixels(page)[80, 80]
    np.testing.assert_allclose(middle, ground + 0.2 * (1 - ground), atol=1.5 / 255)


@pytest.mark.parametrize("make", [grid_picture, lambda: grid_picture(channels=2)])
def test_the_first_frame_needs_no_shader(visit, tmp_path, make):
    """What is put into a texture for the first frame is what the shaders compute after it."""
    page = visit(share(make(), tmp_path / "page.html").path, size=(200, 200))
    page.run("ungrid.complete()")
    script = """(() => {
        const { engine, view } = ungrid, { gl } = engine, lattice = view.lattice();
        const read = () => {
            const values = new Float32Array(9 * 7 * 4);
            engine.into(engine.coarse, 0, 0, 9, 7);
            gl.readPixels(0, 0, 9, 7, gl.RGBA, gl.FLOAT, values);
            return [...values];
        };
        engine.fillWithoutShaders("coarse", lattice, 9, 7);
        const plain = read();
        engine.fill("coarse", { x: 0, y: 0, width: 9, height: 7 }, lattice, 1);
        return [plain, read()];
    })()"""
    plain, drawn = np.array(page.run(script))
    np.testing.assert_allclose(plain, drawn, atol=1e-5)
    assert np.abs(drawn).max() > 0.1


def test_rounded_numbers(visit, tmp_path):
    """The page is smaller, and says by how much its values differ from those of the field: by less than was allowed."""
    u = grid_picture()
    exact, rough = share(u, tmp_path / "exact.html"), share(u, tmp_path / "rough.html", tolerance=3e-3)
    assert rough.size < exact.size
    assert exact.rounding == 0
    assert 0 < rough.rounding <= 3e-3
    page = visit(rough.path, size=(200, 200))
    points = random_points(u, 1000)
    found = np.array(page.run(f"ungrid.evaluate({json.dumps(points.tolist())})"))
    changes = np.abs(found - in_double(u)(points))
    assert changes.max() == pytest.approx(rough.rounding, rel=0.5)
    assert f"{rough.rounding:.1e}" in page.run("document.getElementById('facts').textContent")
    assert share(u, tmp_path / "finest.html", tolerance=1e-9).rounding == 0  # 16 bits are too few


def test_the_file_stands_alone(tmp_path):
    """No address of anything outside, and a policy that forbids asking for it."""
    text = share(grid_picture(), tmp_path / "page.html", title="<b>&", facts={"Source": "</script>"}).path.read_text()
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(", text)
    assert "default-src 'none'" in text
    assert "<title>&lt;b&gt;&amp;</title>" in text
    assert text.count("</script>") == 3
    assert "{{" not in text


def test_a_picture_of_ordinary_size_stays_small(tmp_path):
    """512 x 512 pixels as `ungrid fit` chooses their grid, pixels included: 3 MB at most."""
    from ungrid.signals.methods import neural_field, recipe

    lattice = RegularGrid.isotropic((512, 512), ("y", "x"))
    u = neural_field(recipe("grid", lattice, 3, seed=0), lattice, COLOURS)
    u.metadata["kind"] = "image"
    y, x = np.mgrid[0:512, 0:512] / 40
    pixels = np.stack([0.5 + 0.4 * np.sin(x + y), 0.5 + 0.4 * np.cos(x), 0.5 + 0.3 * np.sin(y)], axis=-1)
    pixels += np.random.default_rng(0).normal(0, 0.01, pixels.shape)
    against = GridSamples(lattice, pixels.astype(np.float32), COLOURS, "image")
    assert share(u, tmp_path / "page.html", against=against).size < 3e6


def test_what_a_page_cannot_show(tmp_path):
    picture_of_numbers = GridSamples(PICTURE, np.zeros((32, 40, 1), np.float32), ("grey",), "image")
    wide = GridSamples(RegularGrid.isotropic((32, 80), ("y", "x")), np.zeros((32, 80, 3), np.float32), COLOURS, "image")
    edge = ((-0.8, -1.0, -0.8, 1.0),)
    constrained = picture(Constrained(Ridges(2, 4), (edge,), ((0.0,),), (-0.8, -1.0), (0.8, 1.0)), Linear(6, 3))
    hashed = SplineGrid(((64, 64),), (4,), extent=(0.8, 1.0), max_entries=512)
    series = Box(t=(0, 1), x=(0, 1), y=(0, 1), z=(0, 1))
    cases = [
        (grid_picture(), "page.txt", {}, "ends in .html"),
        (grid_picture(), "none/page.html", {}, "existing folder"),
        (grid_picture(), "page.html", {"against": picture_of_numbers}, "red, green, blue"),
        (grid_picture(), "page.html", {"against": wide}, "80 x 32 pixels"),
        (constrained, "page.html", {}, "the encoding Constrained"),
        (picture(hashed, Linear(4, 3)), "page.html", {}, "dense levels"),
        (FunctionField(PICTURE.box, lambda x: x, ("u", "v")), "page.html", {}, "FunctionField"),
        (NeuralField(series, Identity(4), Linear(4, 1), out_names=("u",)), "page.html", {}, "4 axes"),
    ]
    for u, name, given, message in cases:
        with pytest.raises(InputError, match=message):
            share(u, tmp_path / name, **given)
        assert not (tmp_path / name).exists()
