"""`ungrid render`: sizes, regions, formats, surfaces."""

import numpy as np
import pytest
import torch
from PIL import Image

import ungrid as library
from ungrid._base.errors import InputError
from ungrid.cli.render import displayed, region_of, shape_of
from ungrid.cli.surface import zero_surface
from ungrid.domains import Box, RegularGrid
from ungrid.fields import FunctionField
from ungrid.sampling import GridSamples


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ([], (40, 32)),
        (["--size", "2x"], (80, 64)),
        (["--size", "0.5x"], (20, 16)),
        (["--size", "50x30"], (50, 30)),
        (["--region", ":,0:1"], (20, 32)),
        (["--region", ":,0:1", "--size", "3x"], (60, 96)),
    ],
)
def test_sizes_of_pictures(ungrid, field, tmp_path, words, size):
    output = tmp_path / "out.png"
    done = ungrid("render", field, "-o", output, *words, "--json")
    assert done.code == 0
    assert done.object["outputs"] == [str(output)]
    with Image.open(output) as picture:
        assert picture.size == size


def test_arrays_hold_means_over_the_cells(ungrid, field, tmp_path):
    """A picture of 40 pixels on [-1, 1] in cells of two pixels: close to the mean over many points of each cell."""
    ungrid("render", field, "-o", tmp_path / "out.npy", "--size", "10x8", "--region=-0.4:0.4,0:1")
    fine = [-0.4 + 0.01 * (np.arange(80) + 0.5), 0.01 * (np.arange(100) + 0.5)]
    values = library.load(field)(np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1))
    means = values.reshape(8, 10, 10, 10, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), means, atol=0.01)


def test_plan_writes_nothing(ungrid, field, tmp_path):
    done = ungrid("render", field, "-o", tmp_path / "out.png", "--size", "10x8", "--plan", "--json")
    assert done.object["plan"]["shape"] == [8, 10]
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "wide"], "the size 'wide'"),
        (["--size", "0x"], "the size '0x'"),
        (["--size", "4x5x6"], "XxY"),
        (["--size", "99999x99999"], "at most"),
        (["--region", "0:1"], "y0:y1,x0:x1"),
        (["--region", "0:0.5,1:0"], "an interval inside -1:1"),
        (["--region", "0:5,0:1"], "an interval inside -0.8:0.8"),
        (["--region", "a:b,0:1"], "numbers"),
        (["--quantity", "colour"], "value, gradient, laplacian"),
        (["--fps", "25"], "a field with an axis t"),
    ],
)
def test_wrong_flags(ungrid, field, tmp_path, words, message):
    done = ungrid("render", field, "-o", tmp_path / "out.png", *words, "--json")
    assert done.code == 2
    assert message in done.object["error"]
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(("name", "message"), [("out.xyz", "one of"), ("waves.field", "never changes a source")])
def test_wrong_outputs(ungrid, field, tmp_path, name, message):
    before = field.read_bytes()
    done = ungrid("render", field, "-o", tmp_path / name, "--json")
    assert done.code == 2
    assert message in done.object["error"]
    assert field.read_bytes() == before


def clip() -> FunctionField:
    return FunctionField(Box(t=(0, 2), y=(-0.5, 0.5), x=(-1, 1)), lambda x: x[..., :1], ("grey",))


def test_sizes_of_clips():
    u, box = clip(), clip().domain.box
    assert shape_of(u, box, "64x32x10", None) == (10, 32, 64)
    assert shape_of(u, box, "64x32x10", 25) == (50, 32, 64)
    default = shape_of(u, box, None, None)
    assert shape_of(u, box, "64x32", None) == (default[0], 32, 64)
    assert shape_of(u, box, "2x", None) == (default[0], 2 * default[1], 2 * default[2])


def test_regions():
    box = clip().domain.box
    part = region_of("0.5:1,:,:0", box)
    assert [(axis.low, axis.high) for axis in part.axes] == [(0.5, 1.0), (-0.5, 0.5), (-1.0, 0.0)]
    assert region_of(None, box) == box


def picture_of(values: np.ndarray, kind: str, names: tuple[str, ...]) -> GridSamples:
    return GridSamples(RegularGrid.isotropic(values.shape[:2], ("y", "x")), values.astype(np.float32), names, kind)


def test_how_values_become_pictures():
    ramp = np.linspace(-3, 5, 12).reshape(3, 4, 1)
    shown = displayed(picture_of(ramp, "grid", ("height",)), "value").values
    np.testing.assert_allclose(shown.ravel(), np.linspace(0, 1, 12), atol=1e-6)
    slopes = displayed(picture_of(np.tile([3.0, 4.0], (3, 4, 1)), "image", ("a", "b")), "gradient").values
    np.testing.assert_allclose(slopes, 1.0)
    bumps = np.array([[[-2.0], [0.0], [2.0]]])
    np.testing.assert_allclose(
        displayed(picture_of(bumps, "image", ("a",)), "laplacian").values.ravel(), [0, 0.5, 1], atol=0.01
    )


def test_the_plane_is_shown_as_it_is_drawn_on_paper():
    """x to the right, y upwards: the value x + 10 y is largest at the upper right."""
    grid = RegularGrid(Box(x=(0, 1), y=(0, 1)), (4, 3))
    samples = GridSamples(grid, (grid.points() @ [1.0, 10.0])[..., None].astype(np.float32), ("u",), "grid")
    shown = displayed(samples, "value")
    assert shown.values.shape == (3, 4, 1)
    assert shown.values[0, -1, 0] == 1
    assert shown.values[-1, 0, 0] == 0
    assert shown.values[0, 0, 0] > shown.values[-1, -1, 0]


@pytest.mark.parametrize("order", ["xyz", "zyx"])
def test_surface_of_a_ball(order):
    """Radius, volume and orientation of a sphere, for axes in both orders."""
    bounds = {name: (-1.0 - 0.1 * k, 1.2) for k, name in enumerate("xyz")}
    center = torch.tensor([{"x": 0.1, "y": 0.0, "z": -0.1}[name] for name in order], dtype=torch.float64)
    u = FunctionField(
        Box(**{name: bounds[name] for name in order}),
        lambda p: (p - center).norm(dim=-1, keepdim=True) - 0.7,
        ("distance",),
    )
    mesh = zero_surface(u, u.domain.box, (48, 50, 52))
    radii = np.linalg.norm(mesh.vertices - [0.1, 0.0, -0.1], axis=1)
    assert mesh.open_edges() == 0
    np.testing.assert_allclose(radii, 0.7, atol=1e-3)
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)


def test_no_surface():
    with pytest.raises(InputError, match="change of sign"):
        zero_surface(
            FunctionField(Box(x=(0, 1), y=(0, 1), z=(0, 1)), lambda p: p[..., :1] + 1, ("d",)),
            Box(x=(0, 1), y=(0, 1), z=(0, 1)),
            (4, 4, 4),
        )
    with pytest.raises(InputError, match="signed distance"):
        zero_surface(clip(), clip().domain.box, (4, 4, 4))


def test_derivatives_against_differences(ungrid, field, tmp_path):
    """Gradient and Laplacian against central differences of the field itself, second order in the step."""
    for quantity in ("gradient", "laplacian"):
        words = ["--size", "6x5", "--region=-0.3:0.3,-0.3:0.3", "--quantity", quantity]
        assert ungrid("render", field, "-o", tmp_path / f"{quantity}.npy", *words).code == 0
    u, h = library.load(field).double(), 1e-3
    y, x = np.meshgrid(-0.3 + 0.12 * (np.arange(5) + 0.5), -0.3 + 0.1 * (np.arange(6) + 0.5), indexing="ij")
    points = np.stack([y, x], axis=-1)
    below, above = ([u(points + sign * step) for step in np.eye(2) * h] for sign in (-1, 1))
    slopes = np.stack([(b - a) / (2 * h) for a, b in zip(below, above, strict=True)], axis=-1).reshape(5, 6, 6)
    bends = sum((b - 2 * u(points) + a) / h**2 for a, b in zip(below, above, strict=True))
    np.testing.assert_allclose(np.load(tmp_path / "gradient.npy"), slopes, atol=1e-2 * np.abs(slopes).max())
    np.testing.assert_allclose(np.load(tmp_path / "laplacian.npy"), bends, atol=1e-2 * np.abs(bends).max())
    assert ungrid("render", field, "-o", tmp_path / "gradient.png", "--quantity", "gradient").code == 0
