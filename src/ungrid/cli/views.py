"""Views of a radiance field as pictures and clips: what `ungrid render` does with one."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ungrid._base.errors import InputError
from ungrid._base.optional import require
from ungrid.cli.run import Run

if TYPE_CHECKING:
    import numpy as np

    from ungrid.fields import RadianceField
    from ungrid.sampling import Camera, GridSamples

FRAMES, RATE = 60, 30.0  # of a clip: a turn in two seconds


def render_views(
    run: Run, u: "RadianceField", output: Path, *, size: str | None, quantity: str, path: Path | None, orbit: int | None,
    fps: float | None, clip: bool,
) -> None:  # fmt: skip
    """Write one view as a picture, or a path of them as a clip.

    A picture shows the first camera of the path, or of those that the field was fitted to; a clip follows the path, or goes
    around the scene.
    """
    import numpy as np

    from ungrid import io
    from ungrid.domains import Axis, Box, RegularGrid
    from ungrid.radiance.paths import orbit as around
    from ungrid.radiance.paths import own_cameras, read_camera_path
    from ungrid.radiance.render import Renderer
    from ungrid.sampling import GridSamples

    if path is not None and orbit is not None:
        raise InputError("--camera with --orbit", "one of the two")
    if fps is not None and not 0 < fps < math.inf:
        raise InputError(f"{fps:g} frames a second", "a positive number")
    if clip:
        require("av", "video")  # before all frames are made
    rate = fps or RATE
    if path is not None:
        cameras, stored = read_camera_path(path)
        rate = fps or stored or RATE
    else:
        cameras = around(u, orbit or FRAMES) if clip or orbit else own_cameras(u)
    cameras = [resized(camera, size, even=clip) for camera in (cameras if clip else cameras[:1])]
    if run.common.plan:
        run.details["plan"] = {"views": len(cameras), "size": f"{cameras[0].width}x{cameras[0].height}"}
        run.answer_rows({**run.details["plan"], "output": str(output)})
        return
    process, _ = run.processes()
    renderer = Renderer(u)
    frames = coloured([renderer.view(camera, quantity) for camera in cameras], quantity, u.background)
    if process > 0:
        return
    shape = frames[0].shape[:2]
    if clip:
        box = Box(Axis("t", 0.0, len(frames) / rate, "s"), *RegularGrid.isotropic(shape, ("y", "x")).box.axes)
        samples = GridSamples(
            RegularGrid(box, (len(frames), *shape)), np.stack(frames), ("red", "green", "blue"), "video"
        )
    else:
        samples = picture_of(frames[0])
    io.write(output, samples)
    run.outputs.append(str(output))
    run.details["shape"] = [len(frames), *shape] if clip else list(shape)
    if run.common.report is not None:
        run.page(f"{output.name}: {quantity}").pictures(quantity, {"the first view": frames[0]})
    run.answer(f"{output}: {len(frames)} view{'s' * (len(frames) > 1)} of {shape[1]} x {shape[0]}")


def render_surface(run: Run, u: "RadianceField", output: Path) -> None:
    """Write the surface, with the colours of its vertices where the format has them."""
    from ungrid.io.meshes import write_mesh
    from ungrid.radiance.surface import surface

    if run.common.plan:
        run.answer_rows({"nodes": " x ".join(map(str, u.shape)), "output": str(output)})
        return
    mesh, colors = surface(u)
    write_mesh(output, mesh, colors=None if output.suffix.lower() == ".stl" else colors)
    open_edges = mesh.open_edges()
    run.outputs.append(str(output))
    run.details.update(vertices=len(mesh.vertices), faces=len(mesh.faces), open_edges=open_edges)
    state = "watertight" if open_edges == 0 else f"{open_edges} open edges"
    run.answer(f"{output}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, {state}")


def picture_of(values: "np.ndarray") -> "GridSamples":
    """A picture (h, w, 3) as samples."""
    from ungrid.domains import RegularGrid
    from ungrid.sampling import GridSamples

    grid = RegularGrid.isotropic(values.shape[:2], ("y", "x"))
    return GridSamples(grid, values, ("red", "green", "blue"), "image")


def resized(camera: "Camera", size: str | None, *, even: bool) -> "Camera":
    """The camera at the size that ``--size`` names: ``WxH``, or a factor; clips have even sides.

    Raises:
        InputError: if it is neither.
    """
    try:
        if size is None:
            width, height = camera.width, camera.height
        elif size.endswith("x"):
            width, height = (max(1, round(side * float(size[:-1]))) for side in (camera.width, camera.height))
        else:
            width, height = (int(side) for side in size.split("x"))
        if even:
            width, height = width + width % 2, height + height % 2
        if min(width, height) < 1:
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"the size {size!r}", "WxH, or a factor such as 2x") from None
    scale = min(width / camera.width, height / camera.height)
    return replace(camera.resized(width, height), fx=scale * camera.fx, fy=scale * camera.fy)


def coloured(views: list["np.ndarray"], quantity: str, background: tuple[float, float, float]) -> list["np.ndarray"]:
    """Views as pictures in [0, 1]: near is bright in depths, normals show their coordinates, opacities are white where full."""
    import numpy as np

    if quantity == "depth":
        finite = np.concatenate([view[np.isfinite(view)] for view in views])
        if not len(finite):
            raise InputError("a depth of views that meet nothing", "a camera that looks at the scene")
        near, far = float(finite.min()), float(finite.max())
        views = [1 - 0.9 * (view - near) / max(far - near, 1e-12) for view in views]
    if quantity == "normals":
        views = [0.5 + 0.5 * view for view in views]
    full = [np.broadcast_to(view, (*view.shape[:2], 3)) for view in views]
    return [np.where(np.isnan(view), background, view).clip(0, 1).astype(np.float32) for view in full]
