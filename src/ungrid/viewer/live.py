"""The live viewer: a page that shows a scene from wherever its reader goes, rendered here, by viser.

Convention: viser's cameras are quaternions w, x, y, z from the camera to the world, with OpenCV axes (x right, y down, looking
along z), and vertical angles of view in radians; ours are those of `ungrid.sampling.cameras`. The server listens on 127.0.0.1
alone. Pictures are made by the thread that calls `Viewer.show`; viser's threads only note cameras and what is pressed.
"""

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ungrid._base.errors import InputError
from ungrid._base.interrupts import Interrupts
from ungrid._base.optional import require
from ungrid.domains import TriangleMesh
from ungrid.sampling import Camera

ADDRESS = "127.0.0.1"
OPENCV = np.diag([1.0, -1.0, -1.0])  # from our axes of a camera to OpenCV's
LEVELS = (32, 16, 8, 4, 2, 1)  # pixels of the window along a side of one of the picture's
QUICK = 0.08  # seconds of the first picture of a camera, at most, where the coarsest level allows it
LONGEST, REST = 0.5, 3.0  # of a sparing viewer: seconds of a picture, and the pause after a finer one in lengths of it
BAND = 0.05  # seconds, after which a picture is given up if its camera has moved
FIRST_GUESS = 1e-5  # seconds for a ray, before any was followed
QUALITY = 90  # of JPEG
PAUSE = 0.02  # seconds between two looks for moved cameras
LEAVING = 3.0  # seconds without a window, after which nobody looks: a page that is loaded again comes back sooner
FRUSTUM = 0.06  # of the distance to what the cameras look at
SEEN, ADDED = (40, 90, 200), (220, 60, 30)  # colours of the given cameras, and of the path's


@dataclass(frozen=True)
class Scenery:
    """What is rendered.

    Attributes:
        view: values (height, width, channels) of a quantity, seen by a camera.
        paint: a picture (height, width, 3) in [0, 1] of such values.
    """

    view: Callable[[Camera, str], np.ndarray]
    paint: Callable[[np.ndarray, str], np.ndarray]


class Refinement:
    """Which picture a window gets next: a coarse one when its camera has moved, finer ones while it stands.

    A level is the number of the window's pixels along a side of one of the picture's.
    """

    def __init__(self) -> None:
        self.wanted: Any = None
        self.version, self.level, self.ready = -1, LEVELS[0], 0.0

    def next(self, wanted: Any, version: int, cost: float, now: float, *, longest: float = math.inf) -> int | None:
        """The level of the next picture; None if the window has what it can have.

        Args:
            wanted: what the window shows: anything that differs from before when its camera has moved.
            version: of the scene, which may change under a standing camera.
            cost: seconds that a picture of level 1 would take.
            now: the time in seconds.
            longest: seconds that a picture may take, the coarsest apart.
        """
        finest = _level(cost, longest)
        if wanted != self.wanted:
            return max(_level(cost, min(QUICK, longest)), finest)
        if now < self.ready:
            return None
        if self.level > finest:
            return LEVELS[LEVELS.index(self.level) + 1]
        return None if version == self.version else finest

    def made(self, wanted: Any, version: int, level: int, ready: float) -> None:
        """Note a picture that was made; one of the same camera is due at the time `ready` again."""
        self.wanted, self.version, self.level, self.ready = wanted, version, level, ready


def _level(cost: float, seconds: float) -> int:
    """The finest level whose picture takes no longer, or the coarsest one."""
    return next((level for level in reversed(LEVELS) if cost / level**2 <= seconds), LEVELS[0])


class Viewer:
    """A page at `address`, for any number of windows.

    Args:
        port: where it listens; the next free one where it is taken.
        title: of its panel.
        quantities: that can be chosen from; none where nothing is rendered.

    Raises:
        MissingExtraError: if viser is not installed.
    """

    def __init__(self, port: int, title: str, *, quantities: Sequence[str] = ()) -> None:
        viser = require("viser", "view")
        with contextlib.redirect_stdout(io.StringIO()):  # viser prints, and standard output is for answers
            self.server: Any = viser.ViserServer(host=ADDRESS, port=port, label=title, verbose=False)
        self.windows: dict[int, Refinement] = {}
        self.interrupts = Interrupts()
        self.ray_seconds = FIRST_GUESS
        self.size = 1.0  # of frusta, in the world's unit
        gui = self.server.gui
        gui.configure_theme(show_logo=False, show_share_button=False)  # sharing would go through a server elsewhere
        self.state = gui.add_markdown("")
        self.quantity = gui.add_dropdown("Quantity", quantities) if quantities else None

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{ADDRESS}:{self.server.get_port()}"

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *exception: Any) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def say(self, text: str) -> None:
        """Show a line of text in the panel."""
        self.state.content = text

    def begin(self, camera: Camera, target: np.ndarray, up: np.ndarray) -> None:
        """Let windows begin at a camera, and turn around the point (3,) on its axis that is nearest to `target` (3,)."""
        distance = float((target - camera.position) @ camera.forward)
        if distance <= 0:  # it looks away from there
            distance = float(np.linalg.norm(target - camera.position)) or 1.0
        self.size = FRUSTUM * distance
        self.server.scene.set_up_direction(up)
        first = self.server.initial_camera
        first.position, first.look_at = camera.position, camera.position + distance * camera.forward
        first.up, first.fov = camera.matrix[:3, 1], _angle(camera)
        first.near, first.far = distance / 1e3, distance * 1e3

    def add_cameras(self, cameras: Sequence[Camera]) -> None:
        """Show cameras as frusta, which a box in the panel hides."""
        frusta = self._add_frusta("/cameras", cameras, SEEN)
        shown = self.server.gui.add_checkbox("Cameras", True)

        @shown.on_update
        def _(_: Any) -> None:
            frusta.visible = shown.value

    def add_path(self, save: Callable[[list[Camera], float], str]) -> None:
        """Let views be recorded.

        Args:
            save: called with the views and the seconds from one to the next; what it answers is shown, as is its `InputError`.
        """
        gui = self.server.gui
        with gui.add_folder("Camera path"):
            seconds = gui.add_number("Seconds from view to view", 2.0, min=0.1, max=60.0, step=0.1)
            add, clear, write = (gui.add_button(name) for name in ("Add this view", "Clear", "Save"))
        views: list[Camera] = []
        frusta: list[Any] = []

        @add.on_click
        def _(event: Any) -> None:
            camera = None if event.client is None else window_camera(event.client.camera)
            if camera is not None:
                views.append(camera)
                frusta.append(self._add_frusta(f"/path/{len(frusta)}", [camera], ADDED))

        @clear.on_click
        def _(_: Any) -> None:
            views.clear()
            while frusta:
                frusta.pop().remove()

        @write.on_click
        def _(event: Any) -> None:
            try:
                answer = save(list(views), float(seconds.value))
            except InputError as error:
                answer = str(error)
            if event.client is not None:
                event.client.add_notification("Camera path", answer)

    def add_mesh(self, mesh: TriangleMesh) -> None:
        """Show a surface, y upwards, as in the page that `share` makes of a shape; windows begin before it."""
        self.server.scene.add_mesh_simple("/surface", mesh.vertices, mesh.faces, color=(170, 180, 200), side="double")
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        first = self.server.initial_camera
        self.server.scene.set_up_direction("+y")
        first.position, first.look_at = middle + 1.5 * radius * np.array([0.6, 0.5, 1.0]), middle
        first.near, first.far = radius / 1e3, radius * 1e3

    def show(self, scenery: Scenery, *, version: int = 0, sparing: bool = False) -> bool:
        """Make the next picture of every window that is due one; whether there were any.

        Args:
            scenery: what is seen; used only during the call.
            version: of the scene, which tells that a window with a standing camera needs a new picture.
            sparing: leave most of the time to the caller: no long pictures, and a pause after each but the first of a camera.
        """
        clients = self.server.get_clients()
        self.windows = {number: self.windows.get(number) or Refinement() for number in clients}
        due = [self._show_one(client, self.windows[n], scenery, version, sparing) for n, client in clients.items()]
        return any(due)

    def stay(self, scenery: Scenery | None = None, *, while_watched: bool = False) -> None:
        """Show a scene, for ever or only while somebody looks; without a scene just keep the page.

        Raises:
            KeyboardInterrupt: at Ctrl-C, between two pictures.
        """
        left = time.perf_counter() if self.server.get_clients() else -math.inf
        with self.interrupts:
            while not while_watched or time.perf_counter() - left < LEAVING:
                self.interrupts.check()
                if while_watched and self.server.get_clients():
                    left = time.perf_counter()
                if scenery is None or not self.show(scenery):
                    time.sleep(PAUSE)

    def _show_one(self, client: Any, window: Refinement, scenery: Scenery, version: int, sparing: bool) -> bool:
        wanted, camera = self._wanted(client), window_camera(client.camera)
        if camera is None:
            return False
        cost = self.ray_seconds * camera.width * camera.height
        longest = LONGEST if sparing else math.inf
        level = window.next(wanted, version, cost, time.perf_counter(), longest=longest)
        if level is None:
            return False
        coarse = wanted != window.wanted  # a picture that a moving camera does not give up
        began = time.perf_counter()

        def given_up() -> bool:
            return self.interrupts.asked or (not coarse and self._wanted(client) != wanted)

        picture = self._rendered(scenery, shrunk(camera, level), given_up)
        if picture is not None:
            pixels = np.rint(255 * picture).astype(np.uint8)
            client.scene.set_background_image(pixels, format="jpeg", jpeg_quality=QUALITY)
            client.flush()
            now = time.perf_counter()
            rest = REST * min(now - began, LONGEST) if sparing and not coarse else 0.0
            window.made(wanted, version, level, now + rest)
        return True

    def _wanted(self, client: Any) -> tuple[float, str]:
        return client.camera.update_timestamp, self._quantity

    @property
    def _quantity(self) -> str:
        return "" if self.quantity is None else self.quantity.value

    def _rendered(self, scenery: Scenery, camera: Camera, given_up: Callable[[], bool]) -> np.ndarray | None:
        """A picture (height, width, 3), made band by band; None if it was given up in between."""
        quantity, rows = self._quantity, max(1, int(BAND / self.ray_seconds / camera.width))
        began, parts = time.perf_counter(), list[np.ndarray]()
        for band in bands(camera, rows):
            if parts and given_up():
                return None
            parts.append(scenery.view(band, quantity))
            self.ray_seconds = (time.perf_counter() - began) / (camera.width * sum(len(part) for part in parts))
        return scenery.paint(np.concatenate(parts), quantity)

    def _add_frusta(self, name: str, cameras: Sequence[Camera], color: tuple[int, int, int]) -> Any:
        """Cameras as one object, since a page draws hundreds of them slowly."""
        lines = np.concatenate([frustum(camera, self.size) for camera in cameras])
        return self.server.scene.add_line_segments(name, lines, color, thickness=1.5, thickness_units="screen")


def window_camera(camera: Any) -> Camera | None:
    """The camera of one of viser's windows, as large as the window; None while that has no pixels."""
    if min(camera.image_width, camera.image_height) < 1:
        return None
    return from_viser(camera.wxyz, camera.position, camera.fov, camera.image_width, camera.image_height)


def from_viser(wxyz: np.ndarray, position: np.ndarray, fov: float, width: int, height: int) -> Camera:
    """Our camera for one of viser's.

    Args:
        wxyz: quaternion (4,) from the camera to the world.
        position: of the camera in the world (3,).
        fov: vertical angle of view in radians.
        width: pixels.
        height: pixels.
    """
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix() @ OPENCV
    pose[:3, 3] = position
    f = 0.5 * height / math.tan(0.5 * fov)
    return Camera(tuple(pose.ravel().tolist()), width, height, f, f, width / 2, height / 2)


def frustum(camera: Camera, depth: float) -> np.ndarray:
    """The lines (8, 2, 3) from a camera to the corners of its picture at a depth, and around the picture."""
    x = (np.array([0, camera.width, camera.width, 0]) - camera.cx) / camera.fx
    y = (np.array([0, 0, camera.height, camera.height]) - camera.cy) / camera.fy
    corners = camera.position + depth * np.stack([x, -y, -np.ones(4)], axis=1) @ camera.matrix[:3, :3].T
    rays = np.stack([np.broadcast_to(camera.position, (4, 3)), corners], axis=1)
    return np.concatenate([rays, np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)])


def shrunk(camera: Camera, level: int) -> Camera:
    """The same view in pixels of `level` times the side."""
    return camera.resized(math.ceil(camera.width / level), math.ceil(camera.height / level))


def bands(camera: Camera, rows: int) -> Iterator[Camera]:
    """Cameras that see so many rows of the picture each, from its top to its bottom."""
    for top in range(0, camera.height, rows):
        yield replace(camera, height=min(rows, camera.height - top), cy=camera.cy - top)


def _angle(camera: Camera) -> float:
    """The vertical angle of view in radians."""
    return 2 * math.atan(0.5 * camera.height / camera.fy)
