import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.io import read, write

xarray = pytest.importorskip("xarray")
pytest.importorskip("netCDF4")

TIME, LAT, LON = np.array([10.0, 16, 22]), np.array([60.0, 50, 40, 30]), np.array([200.0, 210, 220, 230, 240])
DATA = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)


def dataset(**more):
    coords = {
        "time": ("time", TIME, {"units": "hours since 2000-01-01"}),
        "latitude": ("latitude", LAT, {"units": "degrees_north"}),
        "longitude": ("longitude", LON, {"units": "degrees_east"}),
    }
    variables = {"heat": (("time", "latitude", "longitude"), DATA, {"units": "K"}), **more}
    return xarray.Dataset(variables, coords)


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF4"])
def test_axes_increase_and_values_follow(tmp_path, kind):
    dataset().to_netcdf(tmp_path / "a.nc", format=kind, engine="netcdf4")
    samples = read(tmp_path / "a.nc")
    assert [(axis.name, axis.unit) for axis in samples.grid.box.axes] == [
        ("time", "hours"),
        ("latitude", "degrees_north"),
        ("longitude", "degrees_east"),
    ]
    np.testing.assert_allclose(samples.grid.centers(0), [0, 6, 12])
    np.testing.assert_allclose(samples.grid.centers(1), [30, 40, 50, 60])
    np.testing.assert_allclose(samples.grid.centers(2), LON - 360)
    assert np.array_equal(samples.values[..., 0], DATA[:, ::-1])
    assert samples.out_names == ("heat",)
    assert samples.metadata["unit"] == "K"
    assert samples.metadata["time_start"] == 10.0


def test_there_and_back(tmp_path):
    dataset().to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    first = read(tmp_path / "a.nc")
    first.values[1, 2, 3] = np.nan
    write(tmp_path / "b.nc", first)
    back = read(tmp_path / "b.nc")
    assert np.array_equal(back.values, first.values, equal_nan=True)
    assert back.metadata == first.metadata
    for k in range(3):
        np.testing.assert_allclose(back.grid.centers(k), first.grid.centers(k))


def test_packed_integers_and_fill_values(tmp_path):
    truth = np.where(np.arange(60).reshape(3, 4, 5) % 7 == 0, np.nan, np.arange(60).reshape(3, 4, 5) * 0.25 + 5)
    packing = {"dtype": "int16", "scale_factor": 0.25, "add_offset": 5.0, "_FillValue": -999}
    packed = dataset(heat=(("time", "latitude", "longitude"), truth))
    packed.to_netcdf(tmp_path / "a.nc", encoding={"heat": packing}, engine="netcdf4")
    samples = read(tmp_path / "a.nc")
    assert np.array_equal(samples.values[..., 0], truth[:, ::-1], equal_nan=True)
    assert samples.missing == 9


def test_select_leaves_dimensions_out(tmp_path):
    dataset(wind=(("time", "latitude", "longitude"), DATA + 1)).to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    samples = read(tmp_path / "a.nc", variable="wind", select={"time": -1})
    assert np.array_equal(samples.values[..., 0], DATA[2, ::-1] + 1)
    assert samples.metadata["selected"] == ["time=22"]
    with pytest.raises(InputError, match=r"heat \(time, latitude, longitude\); wind"):
        read(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"time \(3\)"):
        read(tmp_path / "a.nc", variable="wind", select={"time": 3})
    with pytest.raises(InputError, match="level"):
        read(tmp_path / "a.nc", variable="wind", select={"level": 0})


def test_unequal_spacing_names_the_remedy(tmp_path):
    uneven = dataset().assign_coords(time=("time", np.array([0.0, 1, 5])))
    uneven.to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    with pytest.raises(InputError, match=r"time.*select"):
        read(tmp_path / "a.nc")
    assert read(tmp_path / "a.nc", select={"time": 0}).values.shape == (4, 5, 1)


def test_dimensions_without_coordinates_count_from_zero(tmp_path):
    xarray.Dataset({"a": (("i", "j"), DATA[0])}).to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    np.testing.assert_allclose(read(tmp_path / "a.nc").grid.centers(1), np.arange(5))


def test_damage(tmp_path):
    dataset().to_netcdf(tmp_path / "a.nc", format="NETCDF3_CLASSIC", engine="netcdf4")
    data = (tmp_path / "a.nc").read_bytes()
    for length in (20, 100, 300):
        (tmp_path / "b.nc").write_bytes(data[:length])
        with pytest.raises(InputError):
            read(tmp_path / "b.nc")
