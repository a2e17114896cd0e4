import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import TriangleMesh
from ungrid.io import from_array, read, write
from ungrid.io.files import replacing
from ungrid.sampling import GridSamples

SUFFIXES = (
    *(".png", ".jpg", ".tif", ".bmp", ".webp", ".wav", ".flac", ".mp4", ".mkv", ".avi", ".nii", ".nii.gz", ".nrrd"),
    *(".npy", ".npz", ".obj", ".ply", ".stl", ".csv", ".csv.xz", ".csv.gz", ".parquet", ".nc"),
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"x", b"this is not a signal\n" * 30, bytes(5000), bytes(range(256)) * 20, b"\x1f\x8b\x08abc"],
    ids=["empty", "zero", "letter", "text", "zeros", "bytes", "gzip"],
)
def test_rubbish_of_every_name_is_an_input_error(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(InputError):
        read(tmp_path / f"a{suffix}")


def test_places_that_are_no_files(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(InputError, match="path"):
        read("a\0b.png")
    (tmp_path / "a.xyz").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(InputError, match=r"unknown kind '\.xyz'"):
        read(tmp_path / "a.xyz")


def test_the_content_decides(tmp_path):
    write(tmp_path / "a.png", from_array(np.zeros((4, 4))))
    (tmp_path / "a.png").rename(tmp_path / "a.wav")
    assert read(tmp_path / "a.wav").kind == "image"
    (tmp_path / "a.wav").rename(tmp_path / "picture")
    assert read(tmp_path / "picture").kind == "image"


def test_options_that_do_not_apply_are_refused(tmp_path):
    write(tmp_path / "a.png", from_array(np.zeros((4, 4))))
    with pytest.raises(InputError, match=r"coords, scale for a\.png"):
        read(tmp_path / "a.png", coords=["x"], scale=2)


def test_unknown_targets():
    triangle = TriangleMesh(np.eye(3), np.array([[0, 1, 2]]))
    for name, samples in (("a.gif", from_array(np.zeros((4, 4)))), ("a.png", triangle)):
        with pytest.raises(InputError, match=r"named|written"):
            write(name, samples)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_reading_leaves_the_source_and_the_samples_alone(tmp_path):
    samples = from_array(np.random.default_rng(0).random((5, 6, 3)))
    before = samples.values.copy()
    for name in ("a.png", "a.tif", "a.npy", "a.webp"):
        write(tmp_path / name, samples)
        stored = (tmp_path / name).read_bytes()
        again = read(tmp_path / name)
        assert isinstance(again, GridSamples)
        assert (tmp_path / name).read_bytes() == stored
    assert np.array_equal(samples.values, before)
