"""`ungrid export`: files that other programs read, and what it refuses."""

import importlib.util
import json
import re
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import trimesh
import typer
from typer.testing import CliRunner

from ungrid import io
from ungrid.cli.app import Verb, verb
from ungrid.cli.export import export
from ungrid.domains import Axis, Box
from ungrid.encodings import Identity, RandomFeatures
from ungrid.fields import NeuralField
from ungrid.networks import Linear, Siren

BOX = Box(Axis("z", -2.0, 2.0), Axis("y", -1.5, 1.5), Axis("x", -1.0, 1.0))


@pytest.fixture
def call():
    """Calls the verb with the given words."""
    app = typer.Typer()
    app.command(cls=Verb)(verb(export))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def slanted(tmp_path):
    """The file of u = x - 0.25 + z / 8, whose zero surface is a plane: two sines that cancel all but their slope."""
    encoding = RandomFeatures(3, 1, scale=(1.0, 1.0, 1.0), extent=(1.0, 1.0, 1.0), shape="sine").double()
    encoding.weight.copy_(encoding.weight.new_tensor([[2.5e-5, 0.0, 2e-4]]))  # unit coordinates are halves: 1e-4 of u
    encoding.bias.zero_()
    u = NeuralField(BOX, encoding, Linear(2, 1).double(), out_names=("u",))
    u.network.weight.data = u.network.weight.new_tensor([[-0.25], [1e4]])
    return io.save(u.requires_grad_(False), tmp_path / "plane.field")


def exact(points):
    return points[..., 2] - 0.25 + points[..., 0] / 8


def test_image_data(call, slanted, tmp_path):
    """As the format's description has it: x fastest, every array after its length."""
    assert call(slanted, "-o", tmp_path / "plane.vti", "--size", "4x6x8").exit_code == 0
    content = (tmp_path / "plane.vti").read_bytes()
    head, _, data = content.partition(b'<AppendedData encoding="raw">\n_')
    image = ET.fromstring(head + b"</VTKFile>").find("ImageData")
    assert image.get("WholeExtent") == "0 3 0 5 0 7"
    origin, spacing = (np.array(image.get(name).split(), float) for name in ("Origin", "Spacing"))
    (length,) = struct.unpack("=Q", data[:8])
    values = np.frombuffer(data[8 : 8 + length], np.float32).reshape(8, 6, 4)
    z, y, x = (origin[k] + spacing[k] * np.arange(n) for k, n in ((2, 8), (1, 6), (0, 4)))
    points = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)
    np.testing.assert_allclose([x[0], x[-1]], [-0.75, 0.75])
    np.testing.assert_allclose(values, exact(points), atol=1e-6)


def test_arrays(call, slanted, tmp_path):
    assert call(slanted, "-o", tmp_path / "plane.npz", "--size", "4x6x8").exit_code == 0
    with np.load(tmp_path / "plane.npz") as file:
        found = dict(file)
    assert sorted(found) == ["u", "x", "y", "z"]
    points = np.stack(np.meshgrid(found["z"], found["y"], found["x"], indexing="ij"), axis=-1)
    np.testing.assert_allclose(found["u"], exact(points), atol=1e-6)


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_a_surface(call, slanted, tmp_path, suffix):
    """The plane u = 0 with its normal, which points to where u grows."""
    path = tmp_path / f"plane{suffix}"
    assert call(slanted, "-o", path, "--size", "12x8x8", "--json").exit_code == 0
    mesh = trimesh.load(path, force="mesh")
    np.testing.assert_allclose(exact(mesh.vertices[:, ::-1]), 0, atol=1e-6)
    normal = np.array([1.0, 0.0, 1 / 8]) / np.hypot(1, 1 / 8)
    np.testing.assert_allclose(mesh.vertex_normals, np.broadcast_to(normal, mesh.vertices.shape), atol=1e-6)
    np.testing.assert_allclose(mesh.face_normals, np.broadcast_to(normal, mesh.faces.shape), atol=1e-5)
    if suffix == ".gltf":
        assert re.search(r'"uri": ?"data:', path.read_text())  # nothing beside the file


def test_onnx_is_compared(call, slanted, tmp_path):
    done = call(slanted, "-o", tmp_path / "plane.onnx", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["metrics"]["largest_difference"] < 1e-9


def test_the_reader(call, slanted, tmp_path):
    assert call(slanted, "-o", tmp_path / "alone.py").exit_code == 0
    spec = importlib.util.spec_from_file_location("alone", tmp_path / "alone.py")
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    points = np.random.default_rng(0).random((50, 3))
    np.testing.assert_allclose(alone.load(slanted)(points)[:, 0], exact(points), atol=1e-6)


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("a.stl", [], ".gltf"),
        ("a.onnx", ["--size", "2x"], "not samples of it"),
        ("a.glb", [], "signed distance"),
        ("a.npz", ["--size", "wide"], "factor such as 2x"),
    ],
)
def test_wrong_words(call, tmp_path, output, more, message):
    plane = NeuralField(Box(y=(0, 1), x=(0, 1)), Identity(2), Siren(2, 1, width=4, depth=1), out_names=("u",))
    field = io.save(plane, tmp_path / "a.field")
    done = call(field, "-o", tmp_path / output, *more)
    assert done.exit_code == 2
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.field"]


def test_a_plan_writes_nothing(call, slanted, tmp_path):
    assert "shape" in call(slanted, "-o", tmp_path / "plane.vti", "--plan").stdout
    assert not (tmp_path / "plane.vti").exists()
