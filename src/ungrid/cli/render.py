"""`ungrid render F.field -o OUT`: a field on any grid, in any format.

Convention: `--size` is written with the last axis first, as pictures are (``1024x768`` is 1024 wide), `--region` in the
order of the field's axes (``y0:y1,x0:x1``), in the field's own units.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.run import Run, check_target

if TYPE_CHECKING:
    import numpy as np

    from ungrid.domains import Box
    from ungrid.fields import Field
    from ungrid.sampling import GridSamples, PointSamples

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
CLIPS = (".mp4", ".m4v", ".mov", ".mkv")
TABLES = (".csv", ".parquet")
SURFACES = (".obj", ".ply", ".stl", ".glb")
QUANTITIES = ("value", "gradient", "laplacian")
SEEN = ("depth", "normals", "opacity")  # further ones, of radiance fields
LONGEST = {1: 4096, 2: 512, 3: 128}  # samples of the longest axis where the field does not come from a grid
MOST_SAMPLES = 1 << 30
POINTS_AT_ONCE = 1 << 16


def render(
    run: Run,
    field: Annotated[Path, Argument(metavar="F.field", help="The field.")],
    output: Annotated[
        Path,
        Option(
            "--output", "-o", help="png jpg tif webp, wav flac, mp4, nii nrrd npy nc vtu, csv parquet, obj ply stl glb."
        ),
    ],
    size: Annotated[
        str | None, Option(metavar="WxH|2x", help="Samples along each axis, or a factor; default: as it was fitted.")
    ] = None,
    region: Annotated[
        str | None,
        Option(metavar="Y0:Y1,X0:X1", help="Part of the domain, in its coordinates; an empty end is the edge."),
    ] = None,
    quantity: Annotated[
        str, Option(help="value, gradient or laplacian; of views: value, depth, normals or opacity.")
    ] = "value",
    interval: Annotated[
        float | None,
        Option(metavar="LEVEL", help="Add the ends of the interval of this probability, for fields that have one."),
    ] = None,
    rate: Annotated[float | None, Option(help="Samples a second, for sounds.")] = None,
    fps: Annotated[float | None, Option(help="Pictures a second, for clips.")] = None,
    camera: Annotated[
        Path | None, Option(metavar="PATH.json", help="Camera path of nerfstudio, for radiance fields.")
    ] = None,
    orbit: Annotated[
        int | None, Option(min=1, metavar="FRAMES", help="Views of a turn around the scene, for radiance fields.")
    ] = None,
) -> None:
    """Sample a field on a grid of any size and write it; averaged over the cells where the grid is coarser."""
    check_target(output, source=field)
    if quantity not in QUANTITIES + SEEN:
        raise InputError(f"the quantity {quantity!r}", ", ".join(QUANTITIES + SEEN))
    suffix = output.suffix.lower()
    if interval is not None and (quantity != "value" or suffix in (*PICTURES, *SURFACES)):
        raise InputError(
            f"an interval of the {quantity} as {suffix}", "--quantity value, as csv, parquet, nc, tif or npy"
        )
    run.start()
    with run.setting_up():
        from ungrid import io
        from ungrid.fields import RadianceField

        u = io.load(field)
    if isinstance(u, RadianceField) and suffix in (*PICTURES, *CLIPS):
        from ungrid.cli.views import render_views

        if (region, rate, interval) != (None, None, None):
            raise InputError("a part, a rate or an interval of views of a scene", "--size, --fps, --camera or --orbit")
        render_views(
            run, u, output, size=size, quantity=quantity, path=camera, orbit=orbit, fps=fps, clip=suffix in CLIPS
        )
        return
    if isinstance(u, RadianceField) and suffix in SURFACES:
        from ungrid.cli.views import render_surface

        if quantity != "value" or (size, region, camera, orbit) != (None, None, None, None):
            raise InputError(
                f"a size, part, view or quantity of a scene as {suffix}", "its whole surface, with colours"
            )
        render_surface(run, u, output)
        return
    if quantity in SEEN or camera is not None or orbit is not None:
        raise InputError(f"views as {suffix} of a {type(u).__name__}", "a radiance field, as a picture or a clip")
    part = region_of(region, u.domain.box)
    drawn = suffix in CLIPS and metadata_of(u).get("kind") != "video"  # then every sample of time is a picture
    shape = shape_of(u, part, size, (None if drawn else fps) if rate is None else rate)
    if run.common.plan:
        run.details["plan"] = {"shape": list(shape), "memory_mb": math.prod(shape) * len(u.out_names) * 4 / 1e6}
        run.answer_rows({**run.details["plan"], "output": str(output)})
        return
    if suffix in SURFACES:
        from ungrid.cli.surface import zero_surface

        io.write(output, zero_surface(u, part, shape))
    else:
        samples = sampled(u, part, shape, quantity)
        if interval is not None:
            samples = with_interval(u, samples, interval)
        if suffix in TABLES:
            io.write(output, as_points(samples))
        else:
            io.write(output, shown_as(samples, suffix, quantity, fps))
        show_on_page(run, field, samples, quantity)
    run.outputs.append(str(output))
    run.details["shape"] = list(shape)
    run.answer(f"{output}: {' x '.join(map(str, reversed(shape)))}")


def region_of(text: str | None, box: "Box") -> "Box":
    """The part of `box` that ``--region`` names.

    Raises:
        InputError: if it is not one interval for each axis, inside the domain.
    """
    from ungrid.domains import Axis, Box

    if text is None:
        return box
    expected = ",".join(f"{axis.name}0:{axis.name}1" for axis in box.axes)
    intervals = [part.split(":") for part in text.split(",")]
    if len(intervals) != box.dim or any(len(interval) != 2 for interval in intervals):
        raise InputError(f"the region {text!r}", expected)
    axes = []
    for axis, (first, last) in zip(box.axes, intervals, strict=True):
        low = _number(first, text, expected) if first.strip() else axis.low
        high = _number(last, text, expected) if last.strip() else axis.high
        slack = 1e-6 * axis.length
        if not axis.low - slack <= low < high <= axis.high + slack:
            raise InputError(f"{first}:{last} along {axis.name}", f"an interval inside {axis.low:g}:{axis.high:g}")
        axes.append(Axis(axis.name, low, high, axis.unit))
    return Box(*axes)


def _number(text: str, whole: str, expected: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} in {whole!r}", f"numbers: {expected}") from None


def shape_of(u: "Field", part: "Box", size: str | None, per_second: float | None) -> tuple[int, ...]:
    """Samples along every axis of `part`.

    Args:
        u: the field; the grid that it was fitted to gives the density.
        part: the region.
        size: as the flag has it: ``2x``, or a number for each axis, the last axis first; a clip's first axis may be
            left out.
        per_second: along the axis t, in place of the density there.

    Raises:
        InputError: if the size is not of this form, or too large.
    """
    share = [b.length / a.length for a, b in zip(u.domain.axes, part.axes, strict=True)]
    shape = [max(1, round(n * s)) for n, s in zip(fitted_shape(u), share, strict=True)]
    names = [axis.name for axis in part.axes]
    if size is not None:
        shape = _sized(size, shape, names)
    if per_second is not None:
        if "t" not in names or not 0 < per_second < math.inf:
            raise InputError(f"{per_second} samples a second", "a positive rate, for a field with an axis t")
        shape[names.index("t")] = max(1, round(part.axes[names.index("t")].length * per_second))
    if math.prod(shape) > MOST_SAMPLES:
        raise InputError(
            f"a size of {'x'.join(map(str, reversed(shape)))}", f"at most {MOST_SAMPLES} samples", "give a region"
        )
    return tuple(shape)


def _sized(size: str, shape: list[int], names: list[str]) -> list[int]:
    expected = "x".join(name.upper() for name in reversed(names)) + ", or a factor such as 2x"
    try:
        if size.endswith("x"):
            factor = float(size[:-1])
            kept = names[0] == "t" and len(names) == 3  # a factor is for the pictures of a clip, not for their number
            scaled = [n if kept and k == 0 else max(1, round(n * factor)) for k, n in enumerate(shape)]
            if 0 < factor < math.inf:
                return scaled
        numbers = [int(number) for number in size.split("x")][::-1]
        if names[0] == "t" and len(numbers) == len(shape) - 1:
            numbers.insert(0, shape[0])
        if len(numbers) == len(shape) and min(numbers) > 0:
            return numbers
    except (ValueError, OverflowError):
        pass
    raise InputError(f"the size {size!r}", expected)


def fitted_shape(u: "Field") -> tuple[int, ...]:
    """The grid that the field was fitted to, or one with square cells where it was not fitted to a grid."""
    stored = metadata_of(u).get("shape")
    if stored is not None and len(stored) == u.domain.dim:
        return tuple(stored)
    longest = max(axis.length for axis in u.domain.axes)
    return tuple(max(2, round(LONGEST.get(u.domain.dim, 48) * axis.length / longest)) for axis in u.domain.axes)


def metadata_of(u: "Field") -> dict[str, Any]:
    """What the field knows of its signal; a field that is no signal knows nothing."""
    from ungrid.fields import NeuralField

    return u.metadata if isinstance(u, NeuralField) else {}


def sampled(u: "Field", part: "Box", shape: tuple[int, ...], quantity: str) -> "GridSamples":
    """The field on the grid, with what its writer needs to know."""
    from ungrid.domains import RegularGrid
    from ungrid.sampling import GridSamples
    from ungrid.signals import sample_grid

    bounds = tuple((axis.low, axis.high) for axis in part.axes)
    values = sample_grid(u, shape, region=bounds, quantity=quantity).reshape(*shape, -1).astype("float32")
    left = () if quantity == "value" else ("bit_depth", "subtype", "unit")  # a derivative has none of these
    metadata = {name: value for name, value in metadata_of(u).items() if name not in left}
    kind, peak = metadata.get("kind", "grid"), float(metadata.get("peak") or 1.0)
    return GridSamples(RegularGrid(part, shape), values, quantity_names(u, quantity), kind, peak, metadata)


def with_interval(u: "Field", samples: "GridSamples", level: float) -> "GridSamples":
    """The samples with the ends of the field's interval at the cell centres as further values.

    Raises:
        InputError: if the field has no intervals, or none of this level.
    """
    from dataclasses import replace

    import numpy as np
    import torch

    from ungrid.fields import SplineField

    if not isinstance(u, SplineField):
        raise InputError("an interval of a field without one", "a field of scattered samples by the method auto")
    parts = torch.as_tensor(samples.grid.points()).reshape(-1, u.domain.dim).split(POINTS_AT_ONCE)
    with torch.no_grad():
        both = [torch.cat(u.interval(part, level), dim=-1) for part in parts]
    ends = torch.cat(both).reshape(*samples.grid.shape, -1).numpy().astype(np.float32)
    names = tuple(f"{name}_{end}" for end in ("lower", "upper") for name in u.out_names)
    values = np.concatenate([samples.values, ends], axis=-1)
    return replace(samples, values=values, out_names=(*samples.out_names, *names))


def as_points(samples: "GridSamples") -> "PointSamples":
    """A row for each cell centre at which there is a value."""
    import numpy as np

    from ungrid.sampling import PointSamples

    values = samples.values.reshape(-1, len(samples.out_names)).astype(np.float64)
    there = ~np.isnan(values).any(axis=1)
    if not there.any():
        raise InputError("a region in which the field has no value", "one nearer to the samples")
    points = samples.grid.points().reshape(len(values), -1)
    return PointSamples(points[there], values[there], samples.grid.box, samples.out_names)


def quantity_names(u: "Field", quantity: str) -> tuple[str, ...]:
    """Names of the values: ``red``; ``d_red_d_y``, ``d_red_d_x``; ``laplacian_red``."""
    if quantity == "gradient":
        return tuple(f"d_{name}_d_{axis.name}" for name in u.out_names for axis in u.domain.axes)
    return tuple(f"laplacian_{name}" if quantity == "laplacian" else name for name in u.out_names)


def displayed(samples: "GridSamples", quantity: str) -> "GridSamples":
    """Samples as a picture in [0, 1].

    Pictures are shown as they are, other values from their smallest (black) to their largest (white); of a gradient its
    length, of a Laplacian its mean over the channels with zero at middle grey, both up to the 99.5th percentile. A first
    axis x points to the right, and the second one upwards.
    """
    import numpy as np

    from ungrid.domains import Box, RegularGrid
    from ungrid.sampling import GridSamples

    values, grid = samples.values, samples.grid
    if grid.box.axes[0].name == "x" and grid.box.dim == 2:
        values, grid = values.swapaxes(0, 1)[::-1], RegularGrid(Box(*grid.box.axes[::-1]), grid.shape[::-1])
    if quantity == "value" and samples.kind in ("image", "video"):
        return samples
    if quantity == "gradient":
        length = np.sqrt(np.square(values).sum(axis=-1, keepdims=True))
        shown = length / _typical(length)
    elif quantity == "laplacian":
        mean = values.mean(axis=-1, keepdims=True)
        shown = 0.5 + 0.5 * mean / _typical(mean)
    else:
        low, high = np.nanmin(values), np.nanmax(values)
        shown = (values - low) / (high - low if high > low else 1.0)
    names = samples.out_names if shown.shape[-1] == len(samples.out_names) else (quantity,)
    shown = np.where(np.isnan(shown), 1.0, np.clip(shown, 0, 1))  # white outside of a domain
    return GridSamples(grid, shown.astype("float32"), names, "image")


def shown_as(samples: "GridSamples", suffix: str, quantity: str, fps: float | None) -> "GridSamples":
    """The samples as the file's kind shows them: pictures and clips have colours between 0 and 1."""
    if suffix in PICTURES:
        return displayed(samples, quantity)
    if suffix in CLIPS and samples.kind != "video":
        from ungrid.cli.animation import RATE, animated

        return animated(samples, fps or RATE)
    return samples


def _typical(values: "np.ndarray") -> float:
    import numpy as np

    return float(np.nanpercentile(np.abs(values), 99.5)) or 1.0


def show_on_page(run: Run, field: Path, samples: "GridSamples", quantity: str) -> None:
    """What ``--report`` shows of a picture."""
    if run.common.report is not None and samples.values.ndim == 3:
        page = run.page(f"{field.name}: {quantity}")
        page.pictures(quantity, {f"{samples.grid.shape}": displayed(samples, quantity).values})
