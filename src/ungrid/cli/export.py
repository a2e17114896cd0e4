"""`ungrid export F.field -o OUT`: the field for other programs.

Convention: .onnx is the function itself, .py the reader that evaluates the field file with numpy alone; .npz and .vti are
samples on a grid, .glb and .gltf the zero surface of a shape.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.run import Run, check_target

if TYPE_CHECKING:
    import numpy as np

    from ungrid.domains import TriangleMesh
    from ungrid.fields import Field

FUNCTIONS, SAMPLES, MESHES = (".onnx", ".py"), (".npz", ".vti"), (".glb", ".gltf")
CHECKED = 1000  # random points at which onnxruntime's values are compared with the field's
CLOSE = 1e-5  # that they may differ by, as a share of the largest value


def export(
    run: Run,
    field: Annotated[Path, Argument(metavar="F.field", help="The field.")],
    output: Annotated[
        Path, Option("--output", "-o", metavar="OUT", help="Where to, by its suffix: .onnx .py .npz .vti .glb .gltf.")
    ],
    size: Annotated[
        str | None, Option(metavar="WxH|2x", help="Samples along each axis, or a factor; of .npz, .vti, .glb, .gltf.")
    ] = None,
) -> None:
    """Write a field for other programs: as ONNX, for numpy alone, for VTK, as a glTF surface."""
    check_target(output, (*FUNCTIONS, *SAMPLES, *MESHES), source=field)
    suffix = output.suffix.lower()
    if size is not None and suffix in FUNCTIONS:
        raise InputError(f"a size of {suffix}", "none: it is the function, not samples of it")
    run.start()
    with run.setting_up():
        from ungrid import io

        u = io.load(field)
    shape = _shape(u, size) if suffix in (*SAMPLES, *MESHES) else None
    if run.common.plan:
        run.answer_rows({"output": str(output), "shape": shape and list(shape)})
        return
    if suffix == ".onnx":
        _write_onnx(run, u, output)
    elif suffix == ".py":
        _write_reader(u, output)
    elif suffix in SAMPLES:
        assert shape is not None
        _write_samples(u, shape, output)
    else:
        assert shape is not None
        _write_surface(run, u, shape, output)
    run.outputs.append(str(output))
    run.details["bytes"] = output.stat().st_size
    run.answer(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def _shape(u: "Field", size: str | None) -> tuple[int, ...]:
    from ungrid.cli.render import shape_of

    return shape_of(u, u.domain.box, size, None)


def _write_onnx(run: Run, u: "Field", output: Path) -> None:
    """The model, and where onnxruntime is installed how far its values are from the field's."""
    from ungrid.io.onnx_graph import largest_difference, write_onnx

    write_onnx(output, u)
    if (apart := largest_difference(output, u, count=CHECKED, seed=run.common.seed)) is None:
        run.say("onnxruntime is not installed, so the model was not compared with the field")
        return
    run.metrics["largest_difference"] = apart
    run.say(f"onnxruntime's values differ by at most {apart:.1e} at {CHECKED} random points")
    if not math.isfinite(apart) or apart > CLOSE:
        run.say("that is more than rounding should do: large weights of the field cancel each other")


def _write_reader(u: "Field", output: Path) -> None:
    """The reader, where it can read this field."""
    import inspect

    from ungrid.io import numpy_reader
    from ungrid.io.field_file import description
    from ungrid.io.files import replacing

    weights = {name: w.detach().cpu().numpy() for name, w in u.state_dict().items()}
    try:
        numpy_reader.PlainField(description(u), weights)
    except numpy_reader.UnknownClassError as error:
        raise InputError(f"{error.given} for numpy alone", error.expected, "or write samples: .npz") from error
    with replacing(output) as temporary:
        temporary.write_text(inspect.getsource(numpy_reader), encoding="utf-8")


def _write_samples(u: "Field", shape: tuple[int, ...], output: Path) -> None:
    """Values at the centres of the grid's cells themselves, not means over the cells."""
    from ungrid.domains import RegularGrid
    from ungrid.io.image_data import write_npz, write_vti
    from ungrid.sampling import GridSamples

    grid = RegularGrid(u.domain.box, shape)
    values = u.on_grid(grid).astype("float32")
    samples = GridSamples(grid, values, u.out_names, "grid")
    (write_npz if output.suffix.lower() == ".npz" else write_vti)(output, samples)


def _write_surface(run: Run, u: "Field", shape: tuple[int, ...], output: Path) -> None:
    from ungrid.cli.surface import zero_surface
    from ungrid.io.gltf import write_gltf

    mesh = zero_surface(u, u.domain.box, shape)
    write_gltf(output, mesh, _normals(u, mesh))
    run.details.update(vertices=len(mesh.vertices), faces=len(mesh.faces))


def _normals(u: "Field", mesh: "TriangleMesh") -> "np.ndarray":
    """The field's gradient at the vertices, in the order x, y, z."""
    import torch

    from ungrid.operators import Jet

    names = [axis.name for axis in u.domain.axes]
    points = torch.from_numpy(mesh.vertices[:, ["xyz".index(name) for name in names]])
    jet = Jet(u, points)
    return torch.cat([jet.d(name) for name in "xyz"], dim=-1).detach().double().numpy()
