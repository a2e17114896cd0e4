import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, RegularGrid
from ungrid.io import from_array, read, write
from ungrid.io.audio import write_audio
from ungrid.sampling import GridSamples

pytest.importorskip("soundfile")


def sound(values: np.ndarray, rate: int, **metadata) -> GridSamples:
    grid = RegularGrid(Box(Axis("t", 0.0, len(values) / rate, "s")), (len(values),))
    names = ("left", "right") if values.shape[1] == 2 else ("sound",)
    return GridSamples(grid, values.astype(np.float32), names, "audio", 2.0, metadata)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_float_wav_is_exact(tmp_path, rate, channels):
    values = np.random.default_rng(rate).uniform(-1, 1, (501, channels)).astype(np.float32)
    write(tmp_path / "a.wav", sound(values, rate))
    back = read(tmp_path / "a.wav")
    assert np.array_equal(back.values, values)
    assert back.metadata["sample_rate"] == rate
    assert back.out_names == (("left", "right") if channels == 2 else ("sound",))
    assert back.peak == 2.0
    assert back.grid.box.axes[0] == Axis("t", 0.0, 501 / rate, "s")
    assert back.grid.centers(0)[0] == pytest.approx(0.5 / rate)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bits_are_exact(tmp_path, suffix):
    stored = np.r_[-32768, 32767, 0, np.random.default_rng(0).integers(-32768, 32768, 400)]
    write_audio(tmp_path / f"a{suffix}", sound(stored[:, None] / 32768, 22050), subtype="PCM_16")
    back = read(tmp_path / f"a{suffix}")
    assert np.array_equal(back.values[:, 0] * 32768, stored)
    write(tmp_path / f"b{suffix}", back)
    again = read(tmp_path / f"b{suffix}")
    assert np.array_equal(again.values, back.values)
    assert again.metadata["subtype"] == "PCM_16"


def test_loud_samples_are_clipped_in_16_bits(tmp_path):
    write_audio(tmp_path / "a.wav", sound(np.array([[2.0], [-2.0]]), 8000), subtype="PCM_16")
    assert np.array_equal(read(tmp_path / "a.wav").values[:, 0], [32767 / 32768, -1])


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_stump_is_refused(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", sound(np.random.default_rng(0).uniform(-1, 1, (5000, 1)), 8000))
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        read(tmp_path / f"b{suffix}")


def test_wrong_uses(tmp_path):
    good = sound(np.zeros((9, 1)), 8000)
    with pytest.raises(InputError, match="subtype"):
        write_audio(tmp_path / "a.flac", good, subtype="FLOAT")
    with pytest.raises(InputError, match="seconds"):
        write(tmp_path / "a.wav", from_array(np.zeros(9)))
    with pytest.raises(InputError, match="missing"):
        write(tmp_path / "a.wav", sound(np.full((9, 1), np.nan), 8000))
    with pytest.raises(InputError, match="named"):
        write_audio(tmp_path / "a.mp3", good)
