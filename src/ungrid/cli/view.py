"""`ungrid view F.field`: a scene or a shape in a browser, seen from anywhere; and what `ungrid nerf --view` shows.

Convention: the page is served to this machine alone, on 127.0.0.1, and needs no network.
"""

import itertools
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.progress import Row, described
from ungrid.cli.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from ungrid.fields import Field, RadianceField
    from ungrid.radiance import Renderer
    from ungrid.sampling import Camera
    from ungrid.viewer import Scenery, Viewer

PORT = 8080
Port = Annotated[
    int, Option(min=1024, max=64000, help="Of the page, on 127.0.0.1; the next free one where it is taken.")
]


def view(
    run: Run, field: Annotated[Path, Argument(metavar="F.field", help="A scene or a shape.")], port: Port = PORT
) -> None:
    """Show a scene of photographs, or the surface of a shape, in a browser on this machine, until Ctrl-C."""
    run.start()
    with run.setting_up():
        from ungrid import io
        from ungrid.cli.render import metadata_of
        from ungrid.fields import RadianceField

        u = io.load(field)
    scene = isinstance(u, RadianceField)
    if not scene and metadata_of(u).get("kind") != "shape":
        axes = ", ".join(axis.name for axis in u.domain.axes)
        raise InputError(
            f"{field}, a {type(u).__name__} over {axes} with {', '.join(u.out_names)}",
            "a scene of photographs or a shape",
            f"ungrid share {field} -o {field.stem}.html shows it",
        )
    if run.common.plan:
        run.answer_rows({"field": str(field), "shows": "views, rendered here" if scene else "the surface"})
        return
    with suppress(KeyboardInterrupt):  # the way to end it
        if isinstance(u, RadianceField):
            view_scene(run, u, field, port)
        else:
            view_shape(run, u, field, port)


def view_scene(run: Run, u: "RadianceField", field: Path, port: int) -> None:
    """Views of a radiance field."""
    from ungrid.radiance import Renderer
    from ungrid.radiance.paths import own_cameras

    seen = scenery(Renderer(u))
    with scene_viewer(field, own_cameras(u), port) as viewer:
        viewer.say(field.name)
        announce(run, viewer, field)
        viewer.stay(seen)


def view_shape(run: Run, u: "Field", field: Path, port: int) -> None:
    """The zero surface of a shape."""
    from ungrid.cli.render import shape_of
    from ungrid.cli.surface import zero_surface
    from ungrid.viewer import Viewer

    mesh = zero_surface(u, u.domain.box, shape_of(u, u.domain.box, None, None))
    with Viewer(port, f"ungrid: {field.stem}") as viewer:
        viewer.add_mesh(mesh)
        viewer.say(f"{field.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
        announce(run, viewer, field)
        viewer.stay()


def scene_viewer(field: Path, cameras: "list[Camera]", port: int) -> "Viewer":
    """A viewer that begins at the first of a scene's cameras, and writes paths beside the field."""
    import numpy as np

    from ungrid.radiance.frames import meeting_point
    from ungrid.radiance.render import QUANTITIES
    from ungrid.viewer import Viewer

    def save(views: "list[Camera]", seconds: float) -> str:
        return save_path(field, views, seconds)

    viewer = Viewer(port, f"ungrid: {field.stem}", quantities=QUANTITIES)
    try:
        target = meeting_point(cameras)
    except InputError:  # cameras that look outwards turn around the middle between them
        target = np.mean([camera.position for camera in cameras], axis=0)
    viewer.begin(cameras[0], target, np.mean([camera.matrix[:3, 1] for camera in cameras], axis=0))
    viewer.add_cameras(cameras)
    viewer.add_path(save)
    return viewer


def announce(run: Run, viewer: "Viewer", field: Path) -> None:
    """Say where the page is."""
    run.details["address"] = viewer.address
    run.say(f"{viewer.address} shows {field}; Ctrl-C ends it")


def save_path(field: Path, views: "list[Camera]", seconds: float) -> str:
    """Write a smooth path through views beside the field, and say how it is rendered.

    Raises:
        InputError: if there are no views.
    """
    from ungrid.cli.views import RATE
    from ungrid.radiance.paths import through, write_camera_path

    if not views:
        raise InputError("a path without views", "at least one", "press 'Add this view' where it should begin")
    target = field.with_suffix(".path.json")
    frames = through(views, max(1, round(seconds * RATE)))
    write_camera_path(target, frames, RATE)
    return f"{len(frames)} frames: ungrid render {field} -o {field.stem}.mp4 --camera {target}"


def follow(
    viewer: "Viewer", report: "Callable[[Row], None]"
) -> "tuple[Callable[[Renderer], None], Callable[[Row], None]]":
    """What a fit calls after every step, and with every row of its history, for the viewer to show it."""
    versions = itertools.count()

    def watch(renderer: "Renderer") -> None:
        viewer.show(scenery(renderer), version=next(versions), sparing=True)

    def told(row: Row) -> None:
        report(row)
        viewer.say(described(row))

    return watch, told


def scenery(renderer: "Renderer") -> "Scenery":
    """What a viewer shows of a radiance field."""
    from ungrid.viewer import Scenery

    def paint(values: "np.ndarray", quantity: str) -> "np.ndarray":
        return painted(values, quantity, renderer.field.background)

    return Scenery(renderer.view, paint)


def painted(values: "np.ndarray", quantity: str, background: tuple[float, float, float]) -> "np.ndarray":
    """A view as a picture (height, width, 3) in [0, 1]; plain background where a depth meets nothing at all."""
    import numpy as np

    from ungrid.cli.views import coloured

    if quantity == "depth" and not np.isfinite(values).any():
        return np.broadcast_to(np.asarray(background, np.float32), (*values.shape[:2], 3))
    return coloured([values], quantity, background)[0]
