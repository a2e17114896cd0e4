"""Fields for other programs: every class of the field file either gives the field's values or is refused by its name.

Values are compared with the field in double precision, in which numpy's reader computes; an ONNX model computes a network of
single-precision weights in single precision.
"""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ungrid import encodings, io
from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, Outlined, Segment
from ungrid.encodings import (
    Constrained,
    CornerFunctions,
    ElasticCorner,
    FourierFeatures,
    Identity,
    Joined,
    Multipoles,
    Positional,
    Products,
    RandomFeatures,
    Ridges,
    Separable,
    SplineGrid,
)
from ungrid.fields import (
    BlockField,
    BrickField,
    Field,
    FunctionField,
    LatentField,
    NerfField,
    NeuralField,
    PatchField,
    SlabField,
    SplineField,
    SteppedField,
    VideoField,
)
from ungrid.io import numpy_reader
from ungrid.io.field_file import CLASSES, description
from ungrid.io.onnx_graph import write_onnx
from ungrid.networks import MLP, GridDecoder, LightNetwork, LightVideo, Linear, Siren

BOX = Box(Axis("y", 2.0, 5.0, "m"), Axis("x", -1.0, 3.0, "m"))
SCENE = Box(x=(-1, 1), y=(-1, 1), z=(-1, 1))
READER = Path(numpy_reader.__file__)
NETWORKS = {"MLP", "Siren", "GridDecoder", "Linear"}  # from features to values; the others of the table make fields
WAVES = RandomFeatures(2, 5, scale=(2.0, 1.0), extent=(1.0, 1.0), shape="sine")
PIECES = (
    ((-0.9, -0.8, 0.9, -0.7), (0.1, 0.2, 0.9, 0.7, 0.3, 0.2, 2.8)),
    ((0.0, 0.0, 1.3, 1.3, 0.0, 0.0, 6.283185307179586),),
)


def neural(encoding, network=None, box=BOX) -> NeuralField:
    network = network or MLP(encoding.out_features, 2, width=6, depth=2, activation="tanh", seed=1)
    count = network.out_features
    names = tuple(f"u{k}" for k in range(count))
    return NeuralField(
        box, encoding, network, out_names=names, value_scale=(1.5,) * count, value_offset=(0.25,) * count
    ).requires_grad_(False)


def activated(name: str, output: str = "linear") -> NeuralField:
    return neural(Identity(2), MLP(2, 2, width=8, depth=2, activation=name, output=output))


def grid(cells, features, order=3, circles=(), box=BOX) -> NeuralField:
    extent = (0.75, 1.0) if box is BOX else (0.5, 1.0)
    encoding = SplineGrid(cells, features, extent=extent, order=order, spread=0.4, circles=circles)
    decoder = GridDecoder(encoding.out_features, 3, width=8, depth=2, seed=1)
    decoder.last.data = torch.randn(8, 3, generator=torch.Generator().manual_seed(2)) / 4
    return neural(encoding, decoder, box)


def globe() -> NeuralField:
    box = Box(Axis("lat", -90.0, 90.0, "degrees_north"), Axis("lon", -180.0, 180.0, "degrees_east"))
    encoding = SplineGrid(((4, 8), (8, 16)), (2, 1), extent=(1.0, 1.0), spread=0.4, circles=(1,))
    return neural(encoding, GridDecoder(3, 1, width=4, depth=1), box)


def over_time() -> SteppedField:
    square = Outlined([[Segment(a, b) for a, b in zip(CORNERS, CORNERS[1:] + CORNERS[:1], strict=True)]])
    space = neural(Identity(2), Siren(2, 12, width=8, depth=2, first_omega0=4.0), square)
    return SteppedField(space, (-1.0, 0.5, 3.0), out_names=("u", "v"))


CORNERS = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (0.0, 1.0)]


def spline() -> SplineField:
    u = SplineField(BOX, out_names=("u", "v"), shape=(6, 7), matrix=((0.6, 0.1), (-0.2, 0.7)), shift=(0.5, 2.5))
    u.get_buffer("near")[::5] = 0  # far from samples there, where the field is NaN
    return u.requires_grad_(False)


def slab(low: float, high: float) -> NeuralField:
    return neural(Products(Ridges(1, 4), 3, 1.0), box=Box(Axis("x", -1.0, 3.0, "m"), Axis("t", low, high, "s")))


def corner(**given) -> CornerFunctions:
    return CornerFunctions((0.1, 0.2), 0.4, 4.7, (2 / 3, 2.0), **given)


def video() -> VideoField:
    image = LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5)
    return VideoField(LightVideo(image, width=8, depth=1), shape=(19, 26))


SAMPLES: dict[str, Callable[[], Field]] = {
    "relu": lambda: activated("relu"),
    "gelu": lambda: activated("gelu"),
    "silu": lambda: activated("silu"),
    "softplus": lambda: activated("softplus"),
    "tanh, logistic": lambda: activated("tanh", "logistic"),
    "siren": lambda: neural(Identity(2), Siren(2, 3, width=16, depth=3)),
    "fourier": lambda: neural(FourierFeatures(2, 6, (2.0, 3.0))),
    "positional": lambda: neural(Positional(2, 6)),
    "waves only": lambda: neural(Positional(2, 3, include_input=False)),
    "grid": lambda: grid(((30, 40), (15, 20), (3, 4)), (1, 2, 3)),
    "quadratic grid": lambda: grid(((6, 8),), (3,), order=2),
    "linear grid": lambda: grid(((6, 8), (3, 4)), (2, 2), order=1),
    "globe": globe,
    "double": lambda: neural(WAVES, Linear(6, 2)).double(),
    "joined": lambda: neural(Joined((WAVES, corner(), corner(cosine=True, cut=5.5)))).double(),
    "elastic": lambda: neural(ElasticCorner((0.1, 0.2), 2.6, 3.0, ((0.55, 0.0), (1.6, 0.2), (1.0, 0.0)), cut=4.7)),
    "hole": lambda: neural(Multipoles((0.1, 0.2), 0.3, 2)),
    "constrained": lambda: neural(
        Constrained(WAVES, PIECES, ((1.0,), (0.5, 0.1, -0.2, 0.3)), (-1.0, -1.0), (1.0, 1.0))
    ),
    "constrained at ends": lambda: neural(
        Constrained(Ridges(1, 3), (((-1.0,),), ((1.0,),)), ((0.5,), (0.2, 0.1)), (-1.0,), (1.0,)), box=Box(x=(0, 1))
    ),
    "separable": lambda: neural(Separable((4, 3), (1.0, 0.9))),
    "slabs": lambda: SlabField((slab(0.0, 0.5), slab(0.5, 2.0))),
    "over time": over_time,
    "spline": spline,
}
REFUSED: dict[str, tuple[Callable[[], Field], str]] = {
    "PatchField": (lambda: PatchField((over_time(),)), "PatchField"),
    "BlockField": (
        lambda: BlockField((BrickField(SCENE, (1, 1, 1), 1, width=4),), ((0,), (0,), (0,))),
        "BlockField",
    ),
    "BrickField": (lambda: BrickField(SCENE, (1, 1, 1), 1, width=4), "BrickField"),
    "NerfField": (lambda: NerfField(SCENE, (1, 1, 1), width=4, depth=2, octaves=1, direction_octaves=1), "NerfField"),
    "LatentField": (
        lambda: LatentField(LightNetwork(blocks=1, width=6, features=5, hidden=4, splines=5), shape=(3, 4)),
        "LatentField",
    ),
    "VideoField": (video, "VideoField"),
    "hashed grid": (
        lambda: neural(SplineGrid(((16, 16),), (1,), extent=(1.0, 1.0), max_entries=64), MLP(1, 1, width=4, depth=1)),
        "SplineGrid with hashed levels",
    ),
    "FunctionField": (lambda: FunctionField(BOX, lambda x: x, ("u", "v")), "Python function"),
}


def classes_in(described) -> set[str]:
    if isinstance(described, dict):
        own = {described["class"]} if isinstance(described.get("class"), str) else set()
        return own.union(*map(classes_in, described.values()))
    return set().union(*map(classes_in, described)) if isinstance(described, list) else set()


def random_points(u: Field, count: int = 1000) -> np.ndarray:
    share = np.random.default_rng(3).random((count, u.domain.dim))
    return u.domain.low + share * (u.domain.high - u.domain.low)


def in_double(u: Field) -> np.ndarray:
    return copy.deepcopy(u).double()(random_points(u))


def run(path: Path, points: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["u"], {"x": points})[0]


def test_every_class_of_the_field_file_is_here():
    """Fields, encodings, and networks on features; a class that is added to the table must be exported or refused."""
    mine = {n for n, c in CLASSES.items() if isinstance(c, type) and issubclass(c, Field)}
    mine |= NETWORKS | {n for n in CLASSES if n in vars(encodings)}
    known = set().union(*(classes_in(description(make())) for make in SAMPLES.values()))
    assert known & mine == set(numpy_reader.BUILDERS)
    assert mine == set(numpy_reader.BUILDERS) | (set(REFUSED) & set(CLASSES))


@pytest.mark.parametrize("name", SAMPLES)
def test_numpy_alone_and_onnx_give_the_field(name, tmp_path):
    u = SAMPLES[name]()
    expected = in_double(u)
    reader = numpy_reader.load(io.save(u, tmp_path / "a.field"))
    np.testing.assert_allclose(reader(random_points(u)), expected, rtol=1e-9, atol=1e-9)
    assert [axis["name"] for axis in reader.axes] == [axis.name for axis in u.domain.axes]
    write_onnx(tmp_path / "a.onnx", u)
    found = run(tmp_path / "a.onnx", random_points(u))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, np.nanmax(np.abs(expected))))
    np.testing.assert_allclose(found, u(random_points(u)), rtol=0, atol=1e-5 * max(1.0, np.nanmax(np.abs(expected))))


@pytest.mark.parametrize("name", REFUSED)
def test_other_classes_are_refused_by_name(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        write_onnx(tmp_path / "a.onnx", make())
    assert list(tmp_path.iterdir()) == []


def test_a_model_says_what_it_is(tmp_path):
    u = SAMPLES["grid"]()
    write_onnx(tmp_path / "a.onnx", u)
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert told["out_names"] == list(u.out_names)
    assert told["axes"][1] == {"name": "x", "low": -1.0, "high": 3.0, "unit": "m"}
    assert run(tmp_path / "a.onnx", random_points(u, 7)).shape == (7, 3)
    assert run(tmp_path / "a.onnx", random_points(u, 0)).shape == (0, 3)


def test_the_reader_needs_neither_torch_nor_ungrid(tmp_path):
    """A copy of the file, in a Python that refuses to import them."""
    u = SAMPLES["grid"]()
    io.save(u, tmp_path / "a.field")
    (tmp_path / "reader.py").write_text(READER.read_text())
    np.save(tmp_path / "points.npy", random_points(u))
    script = (
        "import sys; sys.modules.update(torch=None, ungrid=None, scipy=None)\n"
        "import numpy, reader\n"
        "numpy.save('values.npy', reader.load('a.field')(numpy.load('points.npy')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "values.npy"), in_double(u), rtol=0, atol=1e-9)


def test_corners_of_the_plane_have_their_angles(tmp_path):
    """The angle about a corner on all sides of it, on the edges too, by numpy and by ONNX."""
    u = neural(CornerFunctions((0.0, 0.0), 0.0, 4.7, (2 / 3,)), Linear(1, 1), Box(x=(-1, 1), y=(-1, 1))).double()
    write_onnx(tmp_path / "a.onnx", u)
    turns = np.linspace(-np.pi, np.pi, 17)[:-1]
    points = np.concatenate([[[0.0, 0.0]], 0.5 * np.stack([np.cos(turns), np.sin(turns)], axis=1).round(15)])
    np.testing.assert_allclose(run(tmp_path / "a.onnx", points), u(points), rtol=0, atol=1e-12)
