"""How a source is read: the flags that say so, as one value that is stored with the field and read again by `evaluate`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ungrid._base.errors import InputError

if TYPE_CHECKING:
    from ungrid.domains import TriangleMesh
    from ungrid.sampling import GridSamples, PointSamples

    Samples = GridSamples | PointSamples | TriangleMesh


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The flags of reading, as they were written; None where a flag was not given.

    Attributes:
        coords, values, sigma: columns of a table, with commas between them.
        group: column of a table.
        variable: of a NetCDF or npz file.
        select: ``name=index,...``, dimensions of a NetCDF variable to leave out.
        scale: box of pixels of a clip to average.
        crs_from, crs_to: coordinate reference systems of a table's first two coordinates (east, north).
    """

    coords: str | None = None
    values: str | None = None
    sigma: str | None = None
    group: str | None = None
    variable: str | None = None
    select: str | None = None
    scale: int | None = None
    crs_from: str | None = None
    crs_to: str | None = None

    def samples(self, source: Path) -> "Samples":
        """The source's samples.

        Raises:
            InputError: if the source cannot be read, or a flag does not apply to it.
        """
        from ungrid.io import read

        if (self.crs_from is None) != (self.crs_to is None):
            raise InputError("one of --crs-from and --crs-to", "both", "for example 4326 and 32633")
        samples = read(
            source, coords=names(self.coords), values=names(self.values), sigma=names(self.sigma), group=self.group,
            variable=self.variable, select=indices(self.select), scale=self.scale,
        )  # fmt: skip
        return samples if self.crs_from is None else projected(samples, self.crs_from, str(self.crs_to))

    def given(self) -> dict[str, Any]:
        """The flags that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def names(text: str | None) -> list[str] | None:
    """``"lon, lat"`` as a list."""
    return None if text is None else [name.strip() for name in text.split(",")]


def indices(text: str | None) -> dict[str, int] | None:
    """``"time=0, level=-1"`` as a dictionary.

    Raises:
        InputError: if it is not of this form.
    """
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): int(index) for name, index in pairs}
    except ValueError:
        raise InputError(f"--select {text!r}", "name=index, with commas between them") from None


def projected(samples: "Samples", crs_from: str, crs_to: str) -> "PointSamples":
    """Scattered samples with their first two coordinates in another reference system, in that system's units.

    Raises:
        InputError: if they are not scattered over two coordinates or more, or a system is unknown.
    """
    from ungrid._base.optional import require
    from ungrid.domains import Axis, Box
    from ungrid.io.tables import project
    from ungrid.sampling import PointSamples

    if not isinstance(samples, PointSamples) or samples.domain.dim < 2:
        raise InputError("--crs-from without a table of two coordinates", "longitude and latitude, or x and y")
    systems = [f"EPSG:{crs}" if crs.isdigit() else crs for crs in (crs_from, crs_to)]
    points = samples.points.copy()
    points[:, :2] = project(points[:, :2], *systems)
    geographic = require("pyproj", "table").CRS(systems[1]).is_geographic
    titles, unit = (("longitude", "latitude"), "degrees") if geographic else (("x", "y"), "m")
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    plane = [Axis(titles[k], low[k], high[k], unit) for k in range(2)]
    metadata = {**samples.metadata, "crs_from": systems[0], "crs_to": systems[1]}
    return replace(samples, points=points, domain=Box(*plane, *samples.domain.axes[2:]), metadata=metadata)
