"""Fields of signed distances, on a sphere, whose distance is known: |x| - 1."""

import numpy as np
import pytest

from ungrid._base.errors import InputError
from ungrid.domains import Axis, Box, TriangleMesh
from ungrid.sampling import PointSamples
from ungrid.signals import evaluate, fit
from ungrid.signals.shapes import pool
from ungrid.solvers import Limits


def sphere(rings: int) -> TriangleMesh:
    """A sphere of radius 1 from latitude rings; its distance is known: |x| - 1."""
    longitudes = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    latitudes = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)[1:-1]
    body = [(np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)) for b in latitudes for a in longitudes]
    vertices = np.array([*body, (0, 0, -1), (0, 0, 1)])
    n, faces = len(longitudes), []
    for r in range(len(latitudes) - 1):
        for k in range(n):
            a, b = r * n + k, r * n + (k + 1) % n
            faces += [(a, b, b + n), (a, b + n, a + n)]
    south, north, top = len(body), len(body) + 1, (len(latitudes) - 1) * n
    faces += [(south, (k + 1) % n, k) for k in range(n)] + [(north, top + k, top + (k + 1) % n) for k in range(n)]
    return TriangleMesh(vertices, np.array(faces))


def test_the_distance_of_a_sphere(monkeypatch):
    pytest.importorskip("igl")
    monkeypatch.setattr("ungrid.signals.shapes.POOL", 30_000)
    monkeypatch.setattr("ungrid.signals.shapes.CELLS", 24)
    mesh = sphere(40)
    result = fit(mesh, steps=150)
    points = np.random.default_rng(0).uniform(-1.1, 1.1, (500, 3))
    error = result.field(points)[:, 0] - (np.linalg.norm(points, axis=1) - 1)
    assert np.abs(error).mean() < 0.02
    assert evaluate(result.field, mesh)["iou"] > 0.96


def test_an_open_mesh_gives_a_field_and_a_warning(monkeypatch):
    pytest.importorskip("igl")
    monkeypatch.setattr("ungrid.signals.shapes.POOL", 5_000)
    monkeypatch.setattr("ungrid.signals.shapes.CELLS", 16)
    mesh = sphere(12)
    with pytest.warns(UserWarning, match="not watertight"):
        result = fit(TriangleMesh(mesh.vertices, mesh.faces[5:]), steps=100)
    assert result.field(np.zeros((1, 3))) < 0


def distance(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points, axis=1, keepdims=True) - 1


def distances(count: int, noise: float = 0.0, unit: str = "") -> PointSamples:
    """Samples in a cube about the unit sphere; noise in standard deviations of the distances."""
    rng = np.random.default_rng(1)
    points = rng.uniform(-1.4, 1.4, (count, 3))
    values = distance(points)
    values = values + noise * values.std() * rng.standard_normal(values.shape)
    box = Box(Axis("x", -1.4, 1.4), Axis("y", -1.4, 1.4), Axis("z", -1.4, 1.4, unit))
    return PointSamples(points, values, box, ("distance",))


def mean_error(samples: PointSamples, eikonal: float) -> float:
    field = fit(samples, steps=250, supervise="distance", eikonal=eikonal).field
    held_out = np.random.default_rng(2).uniform(-1.3, 1.3, (2000, 3))
    return float(np.abs(field(held_out) - distance(held_out)).mean())


@pytest.mark.parametrize(("count", "noise", "weight"), [(300, 0.0, 1e-2), (1000, 0.3, 0.1)], ids=["few", "noisy"])
def test_the_eikonal_term_helps_few_or_noisy_distances(count, noise, weight):
    samples = distances(count, noise)
    assert mean_error(samples, weight) < 0.85 * mean_error(samples, 0.0)


def test_normals_of_a_mesh_turn_the_gradients(monkeypatch):
    """At the surface the gradient of the distance is the point itself."""
    pytest.importorskip("igl")
    monkeypatch.setattr("ungrid.signals.shapes.POOL", 1_500)
    monkeypatch.setattr("ungrid.signals.shapes.CELLS", 16)
    mesh = sphere(24)
    normals = np.random.default_rng(0).standard_normal((500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    errors = []
    for weight in (0.0, 0.1):
        field = fit(mesh, steps=100, normals=weight).field
        step = 1e-3 * np.eye(3)
        slopes = [(field(normals + h) - field(normals - h))[:, 0] / 2e-3 for h in step]
        errors.append(np.linalg.norm(np.stack(slopes, axis=1) - normals, axis=1).mean())
    assert errors[1] < 0.8 * errors[0]


def test_a_holdout_of_a_mesh_leaves_distances_out(monkeypatch):
    pytest.importorskip("igl")
    monkeypatch.setattr("ungrid.signals.shapes.POOL", 4_000)
    monkeypatch.setattr("ungrid.signals.shapes.CELLS", 16)
    stats = fit(sphere(12), steps=30, holdout=0.75, eikonal=0.001).stats
    assert stats["samples"] == 1_000
    assert stats["metrics"]["heldout_relative_mae"] == pytest.approx(stats["metrics"]["relative_mae"], rel=0.3)


def test_terms_of_shapes_check_their_input():
    with pytest.raises(InputError, match="an eikonal term"):
        fit(distances(100), eikonal=0.1)
    with pytest.raises(InputError, match="a weight of -1"):
        fit(distances(100), supervise="distance", eikonal=-1.0)
    with pytest.raises(InputError, match="a term of normals"):
        fit(distances(100), supervise="distance", normals=0.1)
    with pytest.raises(InputError, match="axes of one unit"):
        fit(distances(100, unit="km"), supervise="distance")
    with pytest.raises(InputError, match="hold-out"):
        fit(sphere(8), holdout="even")


def test_a_short_fit_draws_fewer_distances():
    """Drawing takes time of the budget: at most a share of it, and never more than a long fit's."""
    counts = [pool(Limits(budget=seconds)) for seconds in (1.0, 20.0, 60.0, 1e6)]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[-1] == pool(Limits(steps=10**6))
