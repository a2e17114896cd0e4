import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import RegularGrid
from ungrid.io import from_array, read, write
from ungrid.io.volumes import affine_of, read_numpy
from ungrid.sampling import GridSamples

nibabel = pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")

WORLD = np.array([[2.0, 0, 0, -30], [0, 1.5, 0, 7], [0, 0, 3, 11], [0, 0, 0, 1]])
FLIPPED = WORLD * [[-1], [1], [1], [1]]
OBLIQUE = np.array([[1.0, -1, 0, 5], [1, 1, 0, 6], [0, 0, 2, 7], [0, 0, 0, 1]])
DATA = np.random.default_rng(0).integers(-100, 100, (3, 4, 5)).astype(np.int16)  # x, y, z


def nifti(path, data=DATA, affine=WORLD, unit="mm"):
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units(unit, "sec")
    nibabel.save(image, path)


@pytest.mark.parametrize("affine", [WORLD, FLIPPED, OBLIQUE], ids=["world", "flipped", "oblique"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
def test_affine_and_values_come_back(tmp_path, affine, suffix):
    nifti(tmp_path / "a.nii", affine=affine)
    samples = read(tmp_path / "a.nii")
    assert np.array_equal(samples.values[..., 0].T, DATA)
    write(tmp_path / f"b{suffix}", samples)
    back = read(tmp_path / f"b{suffix}")
    assert np.array_equal(back.metadata["affine"], affine)
    assert np.array_equal(affine_of(back), affine)
    assert np.array_equal(back.values, samples.values)
    np.testing.assert_allclose(back.grid.spacing, samples.grid.spacing)


def test_coordinates_are_the_world_where_the_axes_agree(tmp_path):
    nifti(tmp_path / "a.nii")
    grid = read(tmp_path / "a.nii").grid
    assert [axis.name for axis in grid.box.axes] == ["z", "y", "x"]
    assert [axis.unit for axis in grid.box.axes] == ["mm"] * 3
    np.testing.assert_allclose(grid.points()[4, 1, 2], (WORLD @ [2, 1, 4, 1])[2::-1])


def test_oblique_volumes_have_distances_from_the_first_voxel(tmp_path):
    nifti(tmp_path / "a.nii", affine=OBLIQUE)
    points = read(tmp_path / "a.nii").grid.points()
    np.testing.assert_allclose(points[0, 0, 0], 0, atol=1e-12)
    one = np.linalg.norm((OBLIQUE @ [2, 1, 4, 1] - OBLIQUE @ [0, 0, 0, 1])[:3])
    np.testing.assert_allclose(np.linalg.norm(points[4, 1, 2]), one)


@pytest.mark.parametrize("affine", [WORLD, OBLIQUE], ids=["world", "oblique"])
def test_the_affine_follows_a_resampled_grid(tmp_path, affine):
    nifti(tmp_path / "a.nii", affine=affine)
    samples = read(tmp_path / "a.nii")
    fine = RegularGrid(samples.grid.box, tuple(2 * n for n in samples.grid.shape))
    values = np.zeros((*fine.shape, 1), np.float32)
    new = affine_of(GridSamples(fine, values, ("value",), "volume", 1.0, samples.metadata))
    # the middle of the new voxels 0 and 1 along every axis is the centre of the old voxel 0
    np.testing.assert_allclose(new @ [0.5, 0.5, 0.5, 1], affine @ [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(new[:3, :3], affine[:3, :3] / 2)


def test_a_series_has_a_time_axis(tmp_path):
    data = np.random.default_rng(1).normal(size=(2, 3, 4, 6)).astype(np.float32)
    image = nibabel.Nifti1Image(data, WORLD)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((2, 1.5, 3, 2.5))
    nibabel.save(image, tmp_path / "a.nii")
    samples = read(tmp_path / "a.nii")
    assert samples.values.shape == (6, 4, 3, 2, 1)
    np.testing.assert_allclose(samples.grid.centers(0), 2.5 * np.arange(6))
    write(tmp_path / "b.nii", samples)
    back = read(tmp_path / "b.nii")
    assert np.array_equal(back.values, samples.values)
    np.testing.assert_allclose(back.grid.spacing, samples.grid.spacing)


def test_scaled_integers_and_units(tmp_path):
    image = nibabel.Nifti1Image(DATA, np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    image.header.set_xyzt_units("micron", "sec")
    nibabel.save(image, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:120] = np.array([0.5, 10], dtype="<f4").tobytes()  # scl_slope, scl_inter (nibabel chose 1 and 0)
    (tmp_path / "a.nii").write_bytes(data)
    samples = read(tmp_path / "a.nii")
    np.testing.assert_allclose(samples.values[..., 0].T, DATA * 0.5 + 10)
    assert samples.grid.box.axes[0].unit == "um"
    assert samples.peak == pytest.approx(np.ptp(DATA) * 0.5)


def test_xz_around_a_volume(tmp_path):
    nifti(tmp_path / "a.nii")
    (tmp_path / "b.nii.xz").write_bytes(lzma.compress((tmp_path / "a.nii").read_bytes()))
    assert np.array_equal(read(tmp_path / "b.nii.xz").values, read(tmp_path / "a.nii").values)


def test_header_bombs_are_refused(tmp_path):
    nifti(tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[40:48] = np.array([3, 30000, 30000, 30000], dtype="<i2").tobytes()
    (tmp_path / "b.nii").write_bytes(data)
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(bytes(data)))
    for name in ("b.nii", "c.nii.gz"):
        with pytest.raises(InputError, match="promises"):
            read(tmp_path / name)
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "d.npy").write_bytes(target.getvalue())
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        archive.writestr("a.npy", target.getvalue())
    for name in ("d.npy", "e.npz"):
        with pytest.raises(InputError):
            read(tmp_path / name)


def test_unpacking_stops_at_the_limit(tmp_path):
    bomb = lzma.compress(bytes(1 << 27), preset=0)  # 128 MiB of zeros in some 20 kB
    (tmp_path / "a.csv.xz").write_bytes(bomb)
    with pytest.raises(InputError, match="promises"):
        read(tmp_path / "a.csv.xz")


def test_nrrd_with_data_elsewhere_is_refused(tmp_path):
    (tmp_path / "secret.raw").write_bytes(bytes(24))
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\ndata file: secret.raw\n\n"
    (tmp_path / "a.nrrd").write_text(header)
    with pytest.raises(InputError, match="in another file"):
        read(tmp_path / "a.nrrd")


def test_nrrd_spacings_without_directions(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), DATA, {"spacings": [0.5, 1.0, 2.0]})
    np.testing.assert_allclose(read(tmp_path / "a.nrrd").grid.spacing, [2.0, 1.0, 0.5])


def test_npy_and_npz(tmp_path):
    array = np.random.default_rng(2).normal(size=(6, 7, 8)).astype(np.float32)
    write(tmp_path / "a.npy", from_array(array))
    assert np.array_equal(read(tmp_path / "a.npy").values[..., 0], array)
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)
    np.savez_compressed(tmp_path / "b.npz", first=array, second=array[0])
    assert np.array_equal(read(tmp_path / "b.npz", variable="second").values[..., 0], array[0])
    with pytest.raises(InputError, match="first, second"):
        read(tmp_path / "b.npz")
    np.save(tmp_path / "c.npy", np.array([{"a": 1}, None]), allow_pickle=True)
    with pytest.raises(InputError):
        read_numpy(tmp_path / "c.npy")


def test_axes_that_a_volume_needs(tmp_path):
    with pytest.raises(InputError, match="axes yx"):
        write(tmp_path / "a.nii", from_array(np.zeros((4, 4))))
