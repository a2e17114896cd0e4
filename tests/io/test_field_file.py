"""Field files: there and back to the bit, and nothing but an InputError for whatever else lies on the disk."""

import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

import ungrid
from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box
from ungrid.encodings import FourierFeatures, Identity, SplineGrid
from ungrid.fields import Field, FunctionField, NeuralField
from ungrid.io import field_file
from ungrid.networks import MLP, GridDecoder, Siren

DOMAIN = Box(Axis("t", 0.0, 2.0, "s"), Axis("x", -1.0, 3.0, "m"))
POINTS = np.random.default_rng(0).uniform([0, -1], [2, 3], (50, 2))


def fourier(metadata: dict[str, Any] | None = None) -> NeuralField:
    network = MLP(12, 2, width=8, depth=2, activation="tanh", seed=1)
    return NeuralField(
        DOMAIN,
        FourierFeatures(2, 6, (1.5, 3.0), seed=2),
        network,
        out_names=("pressure", "speed"),
        value_scale=(2.0, 0.5),
        value_offset=(101.3, 0.0),
        metadata=metadata,
    )


def grid() -> NeuralField:
    encoding = SplineGrid(((4, 6), (8, 12)), (3, 2), extent=(1.0, 1.0), order=2, max_entries=100)
    return NeuralField(DOMAIN, encoding, GridDecoder(5, 1, width=4, depth=2), out_names=("u",), spacing=(0.1, 0.2))


def siren() -> NeuralField:
    return NeuralField(DOMAIN, Identity(2), Siren(2, 1, width=8, depth=2, first_omega0=5), out_names=("u",)).double()


@pytest.mark.parametrize("make", [fourier, grid, siren])
def test_there_and_back_to_the_bit(make: Any, tmp_path: Path) -> None:
    field = make()
    expected = field(POINTS)
    path = field_file.save(field, tmp_path / "a.field")
    assert path == tmp_path / "a.field"
    assert os.listdir(tmp_path) == ["a.field"]
    again = field_file.load(path)
    assert type(again) is type(field)
    assert np.array_equal(again(POINTS), expected)
    assert again(POINTS).dtype == expected.dtype
    assert again.domain == field.domain
    assert again.out_names == field.out_names
    assert [weight.requires_grad for weight in again.parameters()] == [True] * len(list(field.parameters()))
    assert field_file.save(again, tmp_path / "b.field").read_bytes() == path.read_bytes()


def test_trained_weights_are_kept_not_drawn_again(tmp_path: Path) -> None:
    field = fourier()
    with torch.no_grad():
        for weight in field.parameters():
            weight += 0.25
    again = field_file.load(field_file.save(field, tmp_path / "a.field"))
    assert np.array_equal(again(POINTS), field(POINTS))
    assert not np.array_equal(again(POINTS), fourier()(POINTS))


def test_header(tmp_path: Path) -> None:
    provenance = {"source": "a.png", "seed": np.int64(3), "psnr_db": math.inf, "history": [{"loss": math.nan}]}
    metadata = {"kind": "audio", "rate": 8000, "class": "not one", "marks": [1, 2.5, None, True]}
    field = fourier(metadata)
    header = field_file.read_header(field_file.save(field, tmp_path / "a.field", provenance=provenance))
    assert (header["format"], header["version"], header["ungrid"]) == ("ungrid-field", 1, ungrid.__version__)
    assert header["axes"][0] == {"name": "t", "low": 0, "high": 2, "unit": "s"}
    assert header["out_names"] == ["pressure", "speed"]
    assert header["arguments"]["value_offset"] == [101.3, 0]
    assert header["provenance"] == {"source": "a.png", "seed": 3, "psnr_db": "inf", "history": [{"loss": None}]}
    again = field_file.load(tmp_path / "a.field")
    assert again.arguments()["metadata"] == metadata
    assert again.arguments()["value_scale"] == (2.0, 0.5)


def test_half_precision(tmp_path: Path) -> None:
    field = fourier()
    full, half = (field_file.save(field, tmp_path / f"{half}.field", half=half) for half in (False, True))
    parameters = sum(weight.numel() for weight in field.parameters())
    assert full.stat().st_size - half.stat().st_size == pytest.approx(2 * parameters, abs=64)
    again = field_file.load(half)
    for name, weight in field.state_dict().items():
        stored = again.state_dict()[name]
        assert stored.dtype == torch.float32
        torch.testing.assert_close(stored, weight, rtol=0 if "frequencies" in name else 2**-11, atol=1e-7)


class TestRefused:
    def test_weights_that_are_not_numbers(self, tmp_path: Path) -> None:
        field = siren()
        next(field.parameters()).data[0, 0] = math.nan
        with pytest.raises(InputError, match="NaN"):
            field_file.save(field, tmp_path / "a.field")
        assert os.listdir(tmp_path) == []

    def test_weights_too_large_for_half(self, tmp_path: Path) -> None:
        field = siren()
        next(field.parameters()).data[0, 0] = 1e5
        with pytest.raises(InputError, match="half"):
            field_file.save(field, tmp_path / "a.field", half=True)

    def test_fields_without_a_description(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="Python function"):
            field_file.save(FunctionField(DOMAIN, torch.sin, ("u", "v")), tmp_path / "a.field")

        class Siren(MLP):  # a known name is not enough
            pass

        network = Siren(2, 1, width=4, depth=1)
        with pytest.raises(InputError, match="class Siren"):
            field_file.save(NeuralField(DOMAIN, Identity(2), network, out_names=("u",)), tmp_path / "a.field")

    @pytest.mark.parametrize("metadata", [{"a": np.zeros(2)}, {"a": object()}])
    def test_metadata_that_is_not_plain(self, metadata: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(InputError, match="metadata"):
            field_file.save(fourier(metadata), tmp_path / "a.field")

    @pytest.mark.parametrize("name", ["a.pt", "a", "missing/a.field", "file/a.field", "folder.field"])
    def test_places(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "folder.field").mkdir()
        with pytest.raises(InputError):
            field_file.save(siren(), tmp_path / name)
        assert sorted(os.listdir(tmp_path)) == ["file", "folder.field"]

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = field_file.save(siren(), tmp_path / "a.field")
        before = path.read_bytes()

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space"):
            field_file.save(fourier(), path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["a.field"]


def rewritten(path: Path, change: Any) -> Path:
    """The file with `change` applied to its header."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["ungrid"])
    change(header)
    path.write_bytes(save_tensors(load_tensors(content), {"ungrid": json.dumps(header)}))
    return path


class TestUnreadable:
    @pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(8), b"{}" * 50])
    def test_other_files(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "a.field").write_bytes(content)
        for read in (field_file.load, field_file.read_header):
            with pytest.raises(InputError):
                read(tmp_path / "a.field")

    def test_no_file_and_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "missing.field"):
            with pytest.raises(InputError):
                field_file.load(path)

    def test_a_safetensors_file_of_someone_else(self, tmp_path: Path) -> None:
        (tmp_path / "a.field").write_bytes(save_tensors({"w": torch.ones(3)}, {"format": "pt"}))
        with pytest.raises(InputError, match="not a field file"):
            field_file.load(tmp_path / "a.field")

    def test_every_truncation(self, tmp_path: Path) -> None:
        content = field_file.save(siren(), tmp_path / "a.field").read_bytes()
        for size in [*range(0, len(content), 97), len(content) - 1]:
            (tmp_path / "cut.field").write_bytes(content[:size])
            with pytest.raises(InputError):
                field_file.load(tmp_path / "cut.field")

    def test_a_newer_version(self, tmp_path: Path) -> None:
        path = rewritten(field_file.save(siren(), tmp_path / "a.field"), lambda header: header.update(version=2))
        with pytest.raises(InputError, match="update ungrid"):
            field_file.load(path)

    @pytest.mark.parametrize("name", ["os.system", "FunctionField", "Box", ["MLP"], None])
    def test_another_class(self, name: Any, tmp_path: Path) -> None:
        path = rewritten(field_file.save(siren(), tmp_path / "a.field"), lambda header: header.update({"class": name}))
        with pytest.raises(InputError):
            field_file.load(path)

    def test_weights_of_another_shape_or_kind(self, tmp_path: Path) -> None:
        path = field_file.save(siren(), tmp_path / "a.field")
        with pytest.raises(InputError, match="do not fit"):
            field_file.load(rewritten(path, lambda h: h["arguments"]["network"]["arguments"].update(width=7)))
        field_file.save(siren(), path)
        content = path.read_bytes().replace(b'"F64"', b'"I64"')
        path.write_bytes(content)
        with pytest.raises(InputError, match="do not fit"):
            field_file.load(path)


LEAVES = st.sampled_from([None, True, -1, 0, 1, 3, 97, 2.5, -1e308, 1e308, "", "x", "relu", [], [1], {}, {"plain": 1}])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *leaves(item, (*path, key))]]


def read_or_refuse(path: Path) -> None:
    try:
        assert isinstance(field_file.load(path), Field)
    except InputError:
        return


class TestMutated:
    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_bytes(self, tmp_path: Path, data: st.DataObject) -> None:
        content = bytearray(
            field_file.save(data.draw(st.sampled_from([grid, siren]))(), tmp_path / "a.field").read_bytes()
        )
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        (tmp_path / "b.field").write_bytes(content)
        read_or_refuse(tmp_path / "b.field")

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_descriptions(self, tmp_path: Path, data: st.DataObject) -> None:
        path = field_file.save(data.draw(st.sampled_from([grid, fourier]))(), tmp_path / "a.field")

        def change(header: Any) -> None:
            *parents, last = data.draw(st.sampled_from(leaves(header)))
            for key in parents:
                header = header[key]
            header[last] = data.draw(LEAVES)

        read_or_refuse(rewritten(path, change))
