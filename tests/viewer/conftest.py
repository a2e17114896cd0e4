"""Pages in a headless Chromium, driven over a pipe by its DevTools protocol; skipped where there is no Chromium.

Convention: one browser for all tests of this folder. A page collects the errors of its console, and every request that
is neither to the file itself nor to data inside it.
"""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ungrid.domains import Axis, Box, RegularGrid
from ungrid.encodings import Identity
from ungrid.fields import NeuralField
from ungrid.networks import Siren
from ungrid.sampling import GridSamples
from ungrid.viewer import share

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60.0  # seconds for one answer


class Browser:
    """A Chromium process and the two pipes to it: messages in JSON, each ended by a zero byte."""

    def __init__(self, program: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()  # to the browser, from the browser
        script = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(ours[0], theirs[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ours[0])
        os.close(theirs[1])
        self.writing, self.reading = ours[1], theirs[0]
        self.numbers, self.buffer, self.events = itertools.count(1), b"", list[dict[str, Any]]()

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come in between are kept."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def receive(self) -> dict[str, Any]:
        """The next message."""
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            if not select.select([self.reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("no answer from the browser")
            if not (part := os.read(self.reading, 1 << 20)):
                raise ConnectionError("the browser has ended")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def close(self) -> None:
        self.call("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self.writing)
        os.close(self.reading)


class Page:
    """One page of the browser."""

    def __init__(
        self,
        browser: Browser,
        address: str,
        size: tuple[int, int],
        features: dict[str, str],
        ready: str = "ungrid.ready",
    ) -> None:
        self.browser = browser
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])
        self.call("Page.navigate", url=address)
        while not self.run("document.readyState === 'complete' && location.href !== 'about:blank'"):
            time.sleep(0.01)
        self.run(ready)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def run(self, script: str) -> Any:
        """The value of an expression, after its promise where it is one."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def key(self, name: str, text: str = "", code: int = 0) -> None:
        """Press a key and let it go."""
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
        given = {"key": name, "windowsVirtualKeyCode": codes.get(name, code)} | ({"text": text} if text else {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def place(self, element: str, across: float = 0.5, down: float = 0.5) -> tuple[int, int]:
        """The place in the window, in whole pixels, at about a share of the width and the height of an element."""
        box = self.run(f"document.getElementById('{element}').getBoundingClientRect().toJSON()")
        return round(box["x"] + across * box["width"]), round(box["y"] + down * box["height"])

    def mouse(self, kind: str, x: float, y: float, **given: Any) -> None:
        """A mouse event at a place of the window."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **given)

    def screenshot(self, path: Path | None = None) -> bytes:
        content = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        if path is not None:
            path.write_bytes(content)
        return content

    @property
    def errors(self) -> list[str]:
        """What the console and the log have complained about."""
        found = []
        for event in self._events():
            kind, given = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(json.dumps(given["exceptionDetails"]))
            elif kind == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(given["args"]))
            elif kind == "Log.entryAdded" and given["entry"]["level"] == "error":
                found.append(given["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses outside of the file that were asked for."""
        asked = [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]
        return [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]

    def _events(self, method: str = "") -> list[dict[str, Any]]:
        self.call("Runtime.evaluate", expression="0")  # what happened before has arrived then
        own = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event for event in own if method in ("", event["method"])]

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser, or the reason why tests with it are skipped."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    made = Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page from disk: ``visit(path, fragment="", size=(420, 420), **media_features)``."""
    pages: list[Page] = []

    def opened(path: Path, fragment: str = "", size: tuple[int, int] = (420, 420), **features: str) -> Page:
        media = {name.replace("_", "-"): value for name, value in features.items()}
        pages.append(Page(browser, path.as_uri() + fragment, size, media))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.fixture
def visit_server(browser: Browser) -> Iterator[Callable[[str, tuple[int, int]], Page]]:
    """Opens a page of a server on this machine: ``visit_server(address, size)``."""
    pages: list[Page] = []

    def opened(address: str, size: tuple[int, int]) -> Page:
        pages.append(Page(browser, address, size, {}, ready="true"))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


@pytest.fixture(scope="session")
def picture_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small picture, with random pixels to compare it with."""
    lattice = RegularGrid.isotropic((24, 32), ("y", "x"))
    names = ("red", "green", "blue")
    u = NeuralField(
        lattice.box, Identity(2), Siren(2, 3, width=16, depth=2, first_omega0=6.0), out_names=names,
        spacing=tuple(lattice.spacing.tolist()), metadata={"kind": "image"}, value_offset=(0.5,) * 3,
    ).requires_grad_(False)  # fmt: skip
    pixels = np.random.default_rng(0).random((24, 32, 3)).astype(np.float32)
    against = GridSamples(lattice, pixels, names, "image")
    return share(u, tmp_path_factory.mktemp("pages") / "picture.html", against=against).path


@pytest.fixture(scope="session")
def sound_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sound of two channels."""
    u = NeuralField(
        Box(Axis("t", 0.0, 0.25, "s")), Identity(1), Siren(1, 2, width=16, depth=2, first_omega0=300.0),
        out_names=("left", "right"), spacing=(1 / 8000,), metadata={"kind": "audio", "sample_rate": 8000},
    ).requires_grad_(False)  # fmt: skip
    return share(u, tmp_path_factory.mktemp("pages") / "sound.html").path


@pytest.fixture(scope="session")
def clip_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a clip of two seconds."""
    lattice = RegularGrid.isotropic((24, 32), ("y", "x"))
    u = NeuralField(
        Box(Axis("t", 1.0, 3.0, "s"), *lattice.box.axes), Identity(3), Siren(3, 1, width=8, depth=2),
        out_names=("grey",), metadata={"kind": "video"},
    ).requires_grad_(False)  # fmt: skip
    return share(u, tmp_path_factory.mktemp("pages") / "clip.html").path
