import gzip
import lzma

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.io import read, write
from ungrid.io.tables import local_kilometres, project, read_table, wrap_longitudes
from ungrid.sampling import PointSamples

pytest.importorskip("pyarrow")

GPS = """latitude,longitude,height,velocity_north,velocity_east,std_north,std_east
34.1,242.9,762.1,0.0165,-0.0157,0.0002,0.0003
35.2,243.8,100.5,0.0201,-0.0100,0.0001,0.0004
36.3,244.7,,0.0180,,0.0002,0.0003
37.4,245.6,55.5,0.0190,-0.0120,0.0003,0.0002
"""


def table(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_there_and_back_exactly(tmp_path, suffix):
    rng = np.random.default_rng(0)
    points, values = rng.normal(size=(50, 2)), rng.normal(size=(50, 3)) * 1e-7
    domain = Box(Axis("x", *np.sort(points[:, 0])[[0, -1]]), Axis("y", *np.sort(points[:, 1])[[0, -1]]))
    groups = np.arange(50) // 7
    samples = PointSamples(points, values, domain, ("u", "v", "w"), np.abs(values), groups)
    write(tmp_path / f"a{suffix}", samples)
    back = read(tmp_path / f"a{suffix}")
    assert np.array_equal(back.points, points)
    assert np.array_equal(back.values, values)
    assert np.array_equal(back.sigma, np.abs(values))
    assert np.array_equal(back.groups, groups)
    assert back.domain == domain
    assert back.out_names == ("u", "v", "w")
    assert back.metadata["guessed"] == ["coords", "values", "sigma", "group"]


def test_columns_are_guessed_from_their_names(tmp_path):
    samples = read(table(tmp_path, GPS))
    assert samples.metadata["coords"] == ["longitude", "latitude"]
    assert samples.out_names == ("velocity_north", "velocity_east")
    assert samples.metadata["sigma"] == ["std_north", "std_east"]
    assert samples.metadata["guessed"] == ["coords", "values", "sigma"]
    assert samples.metadata["rows"] == 4
    assert samples.metadata["dropped_rows"] == 1
    np.testing.assert_allclose(samples.points[:, 0], [-117.1, -116.2, -114.4])
    np.testing.assert_allclose(samples.sigma[1], [0.0001, 0.0004])
    assert [axis.unit for axis in samples.domain.axes] == ["degrees", "degrees"]


@pytest.mark.parametrize(
    ("header", "coords", "values"),
    [
        ("x,y,z", ["x", "y"], ["z"]),
        ("x,y,z,c", ["x", "y", "z"], ["c"]),
        ("t,c", ["t"], ["c"]),
        ("x,c", ["x"], ["c"]),
        ("id,Lon,Lat,elevation (m),time,c,d", ["Lon", "Lat", "time"], ["c", "d"]),
        ("easting,northing,depth,c", ["easting", "northing"], ["c"]),
    ],
)
def test_more_guesses(tmp_path, header, coords, values):
    width = header.count(",") + 1
    rows = [",".join(str(10 * row + column) for column in range(width)) for row in range(4)]
    metadata = read(table(tmp_path, "\n".join([header, *rows]))).metadata
    assert metadata["coords"] == coords
    assert metadata["values"] == values


def test_columns_by_name_win(tmp_path):
    path = table(tmp_path, GPS)
    samples = read(path, coords=["latitude", "longitude"], values=["height"], sigma=["std_east"])
    assert samples.out_names == ("height",)
    assert samples.metadata["guessed"] == []
    np.testing.assert_allclose(samples.points[0], [34.1, -117.1])
    assert samples.metadata["dropped_rows"] == 1


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(("pack", "end"), [(bytes, ""), (gzip.compress, ".gz"), (lzma.compress, ".xz")])
def test_separators_and_packing(tmp_path, separator, pack, end):
    text = "# a remark\nx,y,value\n1,2,3\n\n4,5,NA\n7,8,9\n".replace(",", separator)
    (tmp_path / f"a.csv{end}").write_bytes(pack(text.encode("utf-8-sig")))
    samples = read(tmp_path / f"a.csv{end}")
    assert np.array_equal(samples.points, [[1, 2], [7, 8]])
    assert np.array_equal(samples.values, [[3], [9]])


def test_groups_of_any_kind_become_codes(tmp_path):
    samples = read(table(tmp_path, "x,value,line\n1,1,B\n2,2,A\n3,3,B\n"))
    assert np.array_equal(samples.groups, [0, 1, 0])
    assert samples.metadata["group"] == "line"
    numbers = read(table(tmp_path, "x,value,boat\n1,1,7\n2,2,9\n3,3,7\n"), values=["value"], group="boat")
    assert np.array_equal(numbers.groups, [0, 1, 0])


def test_dates_become_seconds(tmp_path):
    samples = read(table(tmp_path, "time,value\n2024-02-28T12:00:00,1\n2024-03-01T12:00:01,2\n"))
    assert np.array_equal(samples.points[:, 0], [0, 2 * 86400 + 1])  # a leap year
    assert samples.metadata["time_origin"].startswith("2024-02-28T12:00:00")


def test_long_tables_are_read_in_parts(tmp_path):
    count = 150_000
    x = np.arange(count) * 0.5
    text = "x,value,line\n" + "\n".join(f"{a},{k % 11},{k // 70_000}" for k, a in enumerate(x.tolist()))
    samples = read(table(tmp_path, text))
    assert np.array_equal(samples.points[:, 0], x)
    assert np.array_equal(samples.values[:, 0], np.arange(count) % 11)
    assert np.array_equal(samples.groups, np.arange(count) // 70_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,value\n1,2\n,3\n", "'x', first in row 2"),
        ("x,value\n1,2\n3,4,5\n", "row 2 with 3 cells"),
        ("x,value\n1,2\n", "at least two"),
        ("x,value\n", "at least one"),
        ("1,2\n3,4\n", "begins with"),
        ("x,x\n3,4\n", "begins with"),
        ("x,value\n1,2\n1,3\n", "everywhere"),
        ("lon,lat,value\n1,95,2\n1,3,4\n", "latitude 95.0 in row 1"),
        ("a,b\nfoo,bar\nbaz,qux\n", "coords, values and sigma"),
    ],
)
def test_errors_say_where(tmp_path, text, message):
    path = table(tmp_path, text)
    with pytest.raises(InputError, match=message):
        read(path)


def test_cells_that_are_no_numbers_are_named(tmp_path):
    with pytest.raises(InputError, match="'abc' in column 'x', row 2"):
        read_table(table(tmp_path, "x,value\n1,2\nabc,3\n"), coords=["x"], values=["value"])


def test_unknown_columns_are_named(tmp_path):
    with pytest.raises(InputError, match="column 'speed'; expected one of latitude, longitude"):
        read(table(tmp_path, GPS), values=["speed"])


def test_longitudes_have_one_convention():
    np.testing.assert_allclose(wrap_longitudes(np.array([242.9, 317.4])), [-117.1, -42.6])
    assert np.array_equal(wrap_longitudes(np.array([-10.0, 20.0])), [-10, 20])
    across = wrap_longitudes(np.array([179.0, -179.0, 181.5]))
    np.testing.assert_allclose(across, [179, 181, 181.5])
    np.testing.assert_allclose(np.cos(np.deg2rad(across)), np.cos(np.deg2rad([179, -179, 181.5])))


def test_local_kilometres_agree_with_the_sphere():
    longitudes, latitudes = np.array([10.0, 10.01]), np.array([45.0, 45.01])
    points = local_kilometres(longitudes, latitudes)
    a, b = np.deg2rad([longitudes, latitudes])
    cosine = np.sin(b[0]) * np.sin(b[1]) + np.cos(b[0]) * np.cos(b[1]) * np.cos(a[1] - a[0])
    assert np.linalg.norm(points[1] - points[0]) == pytest.approx(6371 * np.arccos(cosine), rel=1e-4)


def test_projection_to_the_zone_of_its_meridian():
    pytest.importorskip("pyproj")
    points = np.array([[9.0, 0.0], [9.0, 48.0]])  # the central meridian of UTM 32 lies at 500 km by definition
    utm = project(points, "EPSG:4326", "EPSG:32632")
    np.testing.assert_allclose(utm[:, 0], 500_000, atol=1e-3)
    assert utm[0, 1] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(project(utm, "EPSG:32632", "EPSG:4326"), points, atol=1e-9)
    with pytest.raises(InputError, match="EPSG:0"):
        project(points, "EPSG:0", "EPSG:4326")
