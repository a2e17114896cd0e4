"""What a person can do with a page: keys, wheel, drag, touch, slider, play; by keyboard alone, and by ear."""

import base64
import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CONTROLS = {
    "picture": ["canvas", "zoom-in", "zoom-out", "reset", "slider"],
    "sound": ["canvas", "play", "zoom-in", "zoom-out", "reset"],
}


@pytest.fixture(params=["picture", "sound"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def page(kind, picture_page, sound_page, visit):
    return visit({"picture": picture_page, "sound": sound_page}[kind])


def view_of(page) -> dict:
    return page.run("(({zoom, center, low, pixel, span}) => ({zoom, center, low, pixel, span}))(ungrid.view)")


def shown(page) -> np.ndarray:
    """The colours (h, w, 3) of the canvas."""
    with Image.open(io.BytesIO(base64.b64decode(page.run("ungrid.view.canvas.toDataURL()").split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_tab_reaches_every_control_with_a_visible_ring(page, kind):
    reached = []
    for _ in CONTROLS[kind]:
        page.key("Tab")
        reached.append(page.run("document.activeElement.id"))
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == CONTROLS[kind]


def test_keys_zoom_and_move_and_reset(page):
    before = view_of(page)
    page.key("Tab")
    page.key("+", "+")
    page.key("+", "+")
    assert view_of(page)["zoom"] == pytest.approx(2.25)
    page.key("ArrowRight")
    moved = view_of(page)
    page.key("ArrowLeft")
    assert view_of(page) != moved
    page.key("-", "-")
    assert view_of(page)["zoom"] == pytest.approx(1.5)
    page.key("0", "0")
    assert view_of(page) == before
    page.run("new Promise((resolve) => setTimeout(resolve, 600))")
    assert "Zoom 1." in page.run("document.getElementById('spoken').textContent")
    assert page.errors == []


def test_buttons_by_keyboard(page, kind):
    for _ in range(CONTROLS[kind].index("zoom-in") + 1):
        page.key("Tab")
    page.key("Enter", "\r")
    assert view_of(page)["zoom"] == pytest.approx(1.5)
    page.key("Tab")
    page.key(" ", " ")
    assert view_of(page)["zoom"] == pytest.approx(1.0)


def test_the_wheel_zooms_about_the_pointer(page):
    place = page.place("canvas", 0.25, 0.25)
    page.mouse("mouseMoved", *place)
    before = page.run("ungrid.view.probed()")
    page.mouse("mouseWheel", *place, deltaX=0, deltaY=-250)
    page.run("ungrid.complete()")
    assert view_of(page)["zoom"] == pytest.approx(np.exp(250 / 300))
    assert page.run("ungrid.view.probed()") == pytest.approx(before, rel=1e-9)
    assert page.run("ungrid.timings.coarse") < 1000


def test_dragging_moves_the_field_with_the_pointer(page):
    page.run("ungrid.view.zoomBy(8)")
    start = page.place("canvas", 0.5, 0.5)
    page.mouse("mouseMoved", *start)
    grabbed = page.run("ungrid.view.probed()")
    page.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
    end = page.place("canvas", 0.4, 0.6)
    page.mouse("mouseMoved", *end, button="left", buttons=1)
    page.mouse("mouseReleased", *end, button="left", clickCount=1)
    assert page.run("ungrid.view.probed()") == pytest.approx(grabbed, rel=1e-9)


def test_two_fingers_zoom(page):
    (x, y), zoom = page.place("canvas"), 2.0
    page.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    fingers = [[{"x": x - d, "y": y, "id": 0}, {"x": x + d, "y": y, "id": 1}] for d in (30, 30 * zoom)]
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=fingers[0])
    page.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=fingers[1])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert view_of(page)["zoom"] == pytest.approx(zoom, rel=0.1)


def test_the_readout_stands_for_the_point(page):
    page.mouse("mouseMoved", *page.place("canvas", 0.3, 0.3))
    point = page.run("ungrid.view.probed()")
    points = json.dumps([point if isinstance(point, list) else [point]])
    value, gradient = page.run(f"ungrid.evaluate({points})[0][1]"), page.run(f"ungrid.gradient({points})[0][1][0]")
    cells = page.run("Array.from(document.querySelectorAll('#probe tr:nth-child(2) td'), (cell) => cell.textContent)")
    assert float(cells[0]) == pytest.approx(value, abs=1e-5)
    assert float(cells[1]) == pytest.approx(gradient, rel=1e-2)


def test_dark_and_light(picture_page, visit):
    colours = [
        visit(picture_page, prefers_color_scheme=scheme).run("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(int(part) for part in colour.strip("rgb()").split(",")) for colour in colours)
    assert light > 600
    assert dark < 150


@pytest.mark.parametrize("engine", ["WebGL2", "plain"])
def test_the_slider_shows_the_pixels(picture_page, visit, engine):
    """Left of the slider the canvas has the random pixels of the picture, each a square of one colour."""
    page = visit(picture_page, f"#{engine}")
    page.run("ungrid.complete().then(() => ungrid.view.setSlider(1))")
    seen = shown(page)
    left, top, right, bottom = page.run("ungrid.view.look().box")
    pixels = np.rint(255 * np.random.default_rng(0).random((24, 32, 3)).astype(np.float32))
    rows = (top + (np.arange(24) + 0.5) * (bottom - top) / 24).astype(int)
    columns = (left + (np.arange(32) + 0.5) * (right - left) / 32).astype(int)
    np.testing.assert_allclose(seen[rows][:, columns], pixels, atol=1)
    assert page.errors == []


def test_the_picture_comes_back_with_the_graphics(picture_page, visit):
    """After the browser has taken WebGL away and given it back, the canvas is as it was.

    Tiles are as large as the page is fast at the time, so a value's last digit may differ, and with it a rounded colour.
    """
    page = visit(picture_page)
    page.run("ungrid.complete()")
    before = shown(page)
    page.run("""new Promise((resolve) => {
        const { gl, canvas } = ungrid.engine, lose = gl.getExtension("WEBGL_lose_context");
        canvas.addEventListener("webglcontextlost", () => setTimeout(() => lose.restoreContext(), 10));
        canvas.addEventListener("webglcontextrestored", () => setTimeout(resolve, 10));
        lose.loseContext();
    })""")
    page.run("ungrid.complete()")
    np.testing.assert_allclose(shown(page), before, atol=1)


def test_the_slider_by_keyboard(picture_page, visit):
    page = visit(picture_page)
    for _ in CONTROLS["picture"]:
        page.key("Tab")
    page.key("ArrowLeft")
    assert page.run("ungrid.view.slider") == pytest.approx(0.499)
    assert page.run("document.getElementById('divider').style.left") == "49.9%"


def test_a_sound_is_sampled_and_played(sound_page, visit):
    """The buffer that is played holds the field's values at the sample places, limited to [-1, 1]."""
    page = visit(sound_page)
    page.run("ungrid.complete()")
    places = ((np.arange(2000) + 0.5) / 8000).reshape(-1, 1)
    expected = np.array(page.run(f"ungrid.evaluate({json.dumps(places.tolist())})"))
    buffer = "ungrid.view.sound.buffer(new AudioContext(), 0, 0.25)"
    played = np.array(page.run(f"((made) => [0, 1].map((c) => [...made.getChannelData(c)]))({buffer})")).T
    np.testing.assert_allclose(played, np.clip(expected, -1, 1), atol=1e-6)
    button = "document.getElementById('play')"
    page.call("Runtime.evaluate", expression=f"{button}.click()", userGesture=True)
    assert page.run(f"{button}.textContent") == "Stop"
    page.call("Runtime.evaluate", expression=f"{button}.click()", userGesture=True)
    assert page.run(f"{button}.textContent") == "Play what is shown"
    assert page.errors == []


def test_a_clip_is_scrubbed_and_runs(clip_page, visit):
    """The slider of the third axis sets the time of what is drawn; playing moves it on, and back to the beginning."""
    page = visit(clip_page)
    for _ in ("canvas", "zoom-in", "zoom-out", "reset", "play", "speed", "through"):
        page.key("Tab")
    assert page.run("document.activeElement.id") == "through"
    page.key("End", code=35)
    assert page.run("document.getElementById('through-value').textContent") == "3 s"
    assert page.run("ungrid.view.probed()[0]") == pytest.approx(3.0)
    page.key("Home", code=36)
    assert page.run("ungrid.view.lattice().origin[0]") == pytest.approx(-1.0)
    page.run("document.getElementById('play').click()")
    page.run("new Promise((resolve) => setTimeout(resolve, 300))")
    page.run("document.getElementById('play').click()")
    assert 1.0 < page.run("ungrid.view.probed()[0]") < 3.0
    assert page.errors == []


def test_axe_finds_no_violation(kind, picture_page, sound_page, visit):
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core-python is not installed")
    path, scheme = {"picture": (picture_page, "light"), "sound": (sound_page, "dark")}[kind]
    page = visit(path, prefers_color_scheme=scheme)
    page.run(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; 0")
    assert page.run("axe.run().then((result) => result.violations.map((one) => one.id))") == []
