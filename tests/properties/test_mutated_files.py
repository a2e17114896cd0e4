"""Damaged files of every kind are read or answered with an InputError: nothing else, in bounded time and memory."""

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, TriangleMesh
from ungrid.io import from_array, read, write
from ungrid.io.audio import write_audio
from ungrid.sampling import PointSamples

COUNT = 80  # mutants of each of the 21 files: 1,680
MEMORY = 400 << 20  # bytes for one mutant: the unquestioned 64 MiB of a decoder as float32, and the copies on the way
SECONDS = 5.0  # for one mutant, on a busy machine

RNG = np.random.default_rng(0)
PICTURE = RNG.random((24, 20, 3)).astype(np.float32)
SOUND = from_array(PICTURE.ravel(), spacing=(1 / 8000,))
VOLUME = RNG.random((9, 8, 7)).astype(np.float32)
TABLE = PointSamples(
    np.stack([np.arange(40.0), np.arange(40) % 7], axis=1), RNG.random((40, 2)), Box(x=(0, 39), y=(0, 6)), ("u", "v")
)
TETRAHEDRON = TriangleMesh(np.vstack([np.zeros(3), np.eye(3)]), np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))


def sixteen_bit(path: Path) -> None:
    samples = from_array(PICTURE)
    samples.metadata["bit_depth"] = 16
    write(path, samples)


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.png": lambda path: write(path, from_array(PICTURE)),
    "16.png": sixteen_bit,
    "a.jpg": lambda path: write(path, from_array(PICTURE)),
    "a.webp": lambda path: write(path, from_array(PICTURE)),
    "a.tif": lambda path: write(path, from_array(PICTURE)),
    "16.tif": sixteen_bit,
    "a.wav": lambda path: write(path, SOUND),
    "16.wav": lambda path: write_audio(
        path, from_array(PICTURE[..., 0].ravel(), spacing=(1 / 8000,)), subtype="PCM_16"
    ),
    "a.flac": lambda path: write(path, SOUND),
    "a.npy": lambda path: write(path, from_array(VOLUME)),
    "a.npz": lambda path: np.savez_compressed(path, a=VOLUME),
    "a.nii": lambda path: write(path, from_array(VOLUME)),
    "a.nii.gz": lambda path: write(path, from_array(VOLUME)),
    "a.nrrd": lambda path: write(path, from_array(VOLUME)),
    "a.obj": lambda path: write(path, TETRAHEDRON),
    "a.ply": lambda path: write(path, TETRAHEDRON),
    "a.stl": lambda path: write(path, TETRAHEDRON),
    "a.csv": lambda path: write(path, TABLE),
    "a.parquet": lambda path: write(path, TABLE),
    "classic.nc": lambda path: classic_netcdf(path),
    "a.mp4": lambda path: write(path, from_array(np.stack([PICTURE] * 5), spacing=(0.1, 1, 1))),
}


def classic_netcdf(path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    xarray.Dataset({"a": (("t", "y", "x"), VOLUME)}).to_netcdf(path, format="NETCDF3_CLASSIC", engine="netcdf4")


def flipped(data: bytes, rng: np.random.Generator, end: int) -> bytes:
    array = np.frombuffer(data, dtype=np.uint8).copy()
    places = rng.integers(0, min(end, len(array)), rng.integers(1, 9))
    array[places] = rng.integers(0, 256, len(places))
    return array.tobytes()


def mutant(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: bytes flipped anywhere or in the header, extreme numbers in the header, cut, cut out, doubled, joined."""
    a, b = np.sort(rng.integers(0, len(data), 2))
    place = rng.integers(0, min(400, len(data) - 4))
    extreme = [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\x00\x01\x86\xa0"]
    choices: list[Callable[[], bytes]] = [
        lambda: flipped(data, rng, len(data)),
        lambda: flipped(data, rng, 64),
        lambda: flipped(data, rng, 400),
        lambda: data[:place] + extreme[rng.integers(len(extreme))] + data[place + 4 :],
        lambda: data[:a],
        lambda: data[:a] + data[b:],
        lambda: data[:b] + data[a:],
        lambda: data + data,
        lambda: data + rng.bytes(50),
        lambda: data[:a] + rng.bytes(b - a) + data[b:],
        lambda: data[:a] + bytes(b - a) + data[b:],
    ]
    return choices[rng.integers(len(choices))]()


def peak_memory() -> int:
    """The most bytes that this process ever had in memory (tracemalloc races with the decoders' own threads)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", WRITERS)
def test_mutants_are_read_or_refused(tmp_path, name, capfd, caplog):
    for module in {".wav": "soundfile", ".flac": "soundfile", ".mp4": "av", ".parquet": "pyarrow"}.items():
        if name.endswith(module[0]):
            pytest.importorskip(module[1])
    original, damaged = tmp_path / name, tmp_path / f"damaged_{name}"
    WRITERS[name](original)
    read(original)
    data, rng = original.read_bytes(), np.random.default_rng(len(name))
    refused = 0
    for number in range(COUNT):
        damaged.write_bytes(mutant(data, rng))
        start, before = time.perf_counter(), peak_memory()
        try:
            read(damaged)
        except InputError:
            refused += 1
        assert time.perf_counter() - start < SECONDS, number
        assert peak_memory() - before < MEMORY, number
    assert refused > 0
    assert capfd.readouterr() == ("", "")  # nothing of the decoders' own remarks
    assert not [record for record in caplog.records if record.name.split(".")[0] in ("nibabel", "tifffile", "trimesh")]


def test_axis_names_of_the_table_survive(tmp_path):
    """The unmutated table is what was written, so that refusals above come from the damage."""
    write(tmp_path / "a.csv", TABLE)
    samples = read(tmp_path / "a.csv")
    assert isinstance(samples, PointSamples)
    assert samples.domain.axes == (Axis("x", 0.0, 39.0), Axis("y", 0.0, 6.0))
    assert np.array_equal(samples.values, TABLE.values)
