import gzip
import lzma
import struct

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import TriangleMesh
from ungrid.io import read, write
from ungrid.io.meshes import (
    distance_to_surface,
    face_normals,
    read_mesh,
    sample_surface,
    signed_distance,
    winding_number,
    write_mesh,
)

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")

CORNERS = np.array([[x, y, z] for x in (-1.0, 1) for y in (-2.0, 2) for z in (-3.0, 3)])
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])
BOX = TriangleMesh(CORNERS, FACES)
HALF = np.array([1.0, 2, 3])


def box_distance(points):
    """The signed distance to a box in closed form."""
    beyond = np.abs(points) - HALF
    return np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)


def volume(mesh):
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def triangles(mesh):
    """The corners of every face as a set that does not depend on the numbering of vertices."""
    return sorted(
        tuple(map(tuple, np.roll(t, -min(range(3), key=lambda k: tuple(t[k])), axis=0))) for t in mesh.corners
    )


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl"])
def test_there_and_back(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", BOX)
    back = read(tmp_path / f"a{suffix}")
    assert triangles(back) == triangles(BOX)
    assert len(back.vertices) == 8
    assert back.open_edges() == 0


def test_obj_is_exact(tmp_path):
    mesh = TriangleMesh(np.random.default_rng(0).normal(size=(8, 3)), FACES)
    write(tmp_path / "a.obj", mesh)
    assert {tuple(v) for v in read(tmp_path / "a.obj").vertices} == {tuple(v) for v in mesh.vertices}


@pytest.mark.parametrize(("pack", "end"), [(gzip.compress, ".gz"), (lzma.compress, ".xz")])
def test_packed_meshes(tmp_path, pack, end):
    write(tmp_path / "a.obj", BOX)
    (tmp_path / f"b.obj{end}").write_bytes(pack((tmp_path / "a.obj").read_bytes()))
    assert triangles(read(tmp_path / f"b.obj{end}")) == triangles(BOX)


def test_seams_are_closed_quads_are_split_and_degenerate_faces_go(tmp_path):
    lines = [f"v {x} {y} {z}" for quad in QUADS for x, y, z in CORNERS[list(quad)]]  # every quad has its own vertices
    lines += [f"f {4 * k + 1} {4 * k + 2} {4 * k + 3} {4 * k + 4}" for k in range(6)] + ["f 1 1 2"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    mesh = read(tmp_path / "a.obj")
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    assert mesh.open_edges() == 0


def test_a_mesh_stored_inside_out_is_turned(tmp_path):
    write(tmp_path / "a.ply", TriangleMesh(CORNERS, FACES[:, ::-1]))
    assert volume(read(tmp_path / "a.ply")) == pytest.approx(48)
    write(tmp_path / "b.ply", TriangleMesh(CORNERS, FACES[2:, ::-1]))
    assert volume(read(tmp_path / "b.ply")) < 0  # an open one has no inside; it stays


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_colours_are_written(tmp_path, suffix):
    colors = np.random.default_rng(1).integers(0, 256, (8, 3))
    write_mesh(tmp_path / f"a{suffix}", BOX, colors=colors / 255)
    loaded = trimesh.load_mesh(tmp_path / f"a{suffix}", process=False)
    stored = {
        tuple(v): tuple(c[:3]) for v, c in zip(loaded.vertices.tolist(), loaded.visual.vertex_colors, strict=True)
    }
    assert stored == {tuple(v): tuple(c) for v, c in zip(CORNERS.tolist(), colors, strict=True)}


def test_distance_and_gradient_of_a_box():
    points = np.random.default_rng(2).uniform(-5, 5, (2000, 3))
    distance = distance_to_surface(BOX, points)
    np.testing.assert_allclose(distance.value, box_distance(points), atol=1e-12)
    np.testing.assert_allclose(signed_distance(BOX, points), distance.value)
    np.testing.assert_allclose(np.linalg.norm(distance.gradient, axis=1), 1, atol=1e-12)
    step = 1e-6
    for k in range(3):
        ahead, behind = points + step * np.eye(3)[k], points - step * np.eye(3)[k]
        slope = (box_distance(ahead) - box_distance(behind)) / (2 * step)
        smooth = np.abs(np.sort(np.abs(points) - HALF, axis=1)[:, -1] - np.sort(np.abs(points) - HALF)[:, -2]) > 1e-3
        np.testing.assert_allclose(distance.gradient[smooth, k], slope[smooth], atol=1e-5)


def test_distance_agrees_with_every_triangle_in_turn():
    """The fast search against the smallest distance to 20 faces, each found by dense sampling from above."""
    sphere = trimesh.creation.icosphere(subdivisions=0)
    mesh = TriangleMesh(np.asarray(sphere.vertices, float), np.asarray(sphere.faces, np.int64))
    points = np.random.default_rng(7).uniform(-2, 2, (50, 3))
    u, v = (a[np.add(*np.mgrid[0:60, 0:60]) < 60] / 59 for a in np.mgrid[0:60, 0:60])
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    dense = a[:, None] + u[:, None] * (b - a)[:, None] + v[:, None] * (c - a)[:, None]
    nearest = np.linalg.norm(dense.reshape(1, -1, 3) - points[:, None], axis=2).min(axis=1)
    distance = np.abs(signed_distance(mesh, points))
    assert (distance <= nearest + 1e-12).all()
    np.testing.assert_allclose(distance, nearest, atol=0.01)


def test_on_the_surface_the_gradient_is_the_normal():
    points, normals = sample_surface(BOX, 500, np.random.default_rng(3))
    distance = distance_to_surface(BOX, points)
    np.testing.assert_allclose(distance.value, 0, atol=1e-12)
    np.testing.assert_allclose(distance.gradient, normals, atol=1e-12)


def test_an_open_mesh_takes_its_sign_from_the_winding_number():
    bowl = TriangleMesh(CORNERS, FACES[1:])  # half of one side is missing
    points = np.random.default_rng(4).uniform(-0.5, 0.5, (300, 3)) * HALF
    assert (signed_distance(bowl, points) < 0).all()
    assert (signed_distance(bowl, points + 3 * HALF) > 0).all()


def test_winding_number_is_the_solid_angle():
    points = np.random.default_rng(5).uniform(-4, 4, (400, 3))
    inside = (np.abs(points) < HALF).all(axis=1)
    np.testing.assert_allclose(winding_number(BOX, points), inside, atol=0.02)
    a, b, c = np.moveaxis(BOX.corners[None, 1:] - points[:, None, None], 2, 0)  # van Oosterom, Strackee 1983
    la, lb, lc = (np.linalg.norm(v, axis=-1) for v in (a, b, c))
    numerator = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
    dots = [np.einsum("nfi,nfi->nf", u, v) * w for u, v, w in ((a, b, lc), (b, c, la), (c, a, lb))]
    exact = 2 * np.arctan2(numerator, la * lb * lc + sum(dots)).sum(axis=1) / (4 * np.pi)
    np.testing.assert_allclose(winding_number(TriangleMesh(CORNERS, FACES[1:]), points), exact, atol=0.02)


def test_surface_samples_are_uniform_in_area():
    n = 40_000
    points, normals = sample_surface(BOX, n, np.random.default_rng(6))
    assert np.abs(box_distance(points)).max() < 1e-12
    areas = {0: 4 * 6, 1: 2 * 6, 2: 2 * 4}  # of a side across each axis
    for axis, area in areas.items():
        share = area * 2 / 88
        count = (np.abs(normals[:, axis]) == 1).sum()
        assert abs(count - n * share) < 4 * np.sqrt(n * share * (1 - share))
    # the mean of y^2 over the sides across x is 2^2 / 3; its standard deviation there is 2^2 * 2 / sqrt(45)
    sides = points[np.abs(normals[:, 0]) == 1]
    assert abs((sides[:, 1] ** 2).mean() - 4 / 3) < 4 * (8 / np.sqrt(45)) / np.sqrt(len(sides))
    np.testing.assert_allclose(face_normals(BOX) @ np.ones(3), np.sign(face_normals(BOX).sum(axis=1)))


def test_what_is_no_mesh(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (tmp_path / "b.obj").write_text("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "c.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    (tmp_path / "d.stl").write_bytes(bytes(80) + struct.pack("<I", 10**9) + bytes(50))
    (tmp_path / "e.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1000000000\nend_header\n")
    for name in "abcde":
        with pytest.raises(InputError):
            read(next(tmp_path.glob(f"{name}.*")))
    (tmp_path / "a.obj").rename(tmp_path / "a.off")
    with pytest.raises(InputError, match="a mesh named"):
        read_mesh(tmp_path / "a.off")
    with pytest.raises(InputError, match="colours"):
        write_mesh(tmp_path / "f.stl", BOX, colors=np.zeros((8, 3)))
    with pytest.raises(InputError, match="finite"):
        signed_distance(BOX, np.full((2, 3), np.nan))
