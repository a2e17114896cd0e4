"""`ungrid info FILE`: what is in a field file, or in a source."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from ungrid.cli.run import Run


def info(run: Run, file: Annotated[Path, Argument(help="A field, or any source that can be fitted.")]) -> None:
    """Say what is in a file: a field's axes, values, method and metrics; or what a source holds."""
    with run.setting_up():
        from ungrid import io
    rows = field_rows(io.read_header(file)) if file.suffix.lower() == ".field" else source_rows(io.read(file))
    if file.suffix.lower() == ".field":
        run.metrics.update(rows["metrics"] or {})
    run.details["info"] = rows
    run.page(file.name).table("Content", rows)
    run.answer_rows(
        {"file": str(file), "bytes": file.stat().st_size, **{k: v for k, v in rows.items() if v is not None}}
    )


def field_rows(header: dict[str, Any]) -> dict[str, Any]:
    """The header of a field file in a few lines."""
    origin = header.get("provenance", {})
    return {
        "class": header["class"],
        "axes": [axis_text(axis["name"], axis["low"], axis["high"], axis["unit"]) for axis in header["axes"]],
        "values": header["out_names"],
        **{
            name: origin.get(name) for name in ("source", "method", "seed", "seconds", "steps", "parameters", "holdout")
        },
        "metrics": origin.get("metrics"),
        "written_by": f"ungrid {header.get('ungrid', '?')}, format {header['version']}",
    }


def source_rows(samples: Any) -> dict[str, Any]:
    """What a source holds, in a few lines."""
    from ungrid.domains import TriangleMesh
    from ungrid.sampling import PointSamples

    if isinstance(samples, TriangleMesh):
        return {
            "kind": "mesh",
            "vertices": len(samples.vertices),
            "faces": len(samples.faces),
            "low": samples.vertices.min(axis=0).tolist(),
            "high": samples.vertices.max(axis=0).tolist(),
            "watertight": samples.open_edges() == 0,
        }
    box = samples.domain if isinstance(samples, PointSamples) else samples.grid.box
    rows: dict[str, Any] = {
        "axes": [axis_text(a.name, a.low, a.high, a.unit) for a in box.axes],
        "values": samples.out_names,
    }
    if isinstance(samples, PointSamples):
        return {"kind": "points", "samples": len(samples.points), **rows}
    return {"kind": samples.kind, "shape": list(samples.grid.shape), "missing": samples.missing, **rows}


def axis_text(name: str, low: float, high: float, unit: str) -> str:
    """``x[-1:1]``, with the unit if there is one."""
    return f"{name}[{low:.6g}:{high:.6g}{' ' + unit if unit else ''}]"
