"""Shapes and places from photographs of the built-in scene, whose geometry is known exactly.

    python benchmarks/shapes.py mesh      # Chamfer distance of the surface, as a share of the box
    python benchmarks/shapes.py clip      # a blurred clip: cameras found, the surface in millimetres
    python benchmarks/shapes.py poses     # poses disturbed by 1 degree and 1 % of the distance, and found again

All write benchmarks/results/shapes.csv. The unit of the scene counts as 100 mm. The clip is scaled by two places of the plate
that are marked in its first frame; its surface is moved by the rotation and shift, without a scale, that bring the cameras
nearest to the true ones. Its size is measured in four ways: by the scale that brings it onto what the cameras see of the true
surface; between the side faces of the plate, 180 x 180 mm; by the box around all of it, 180 x 180 x 90 mm, which the noisiest
vertices make too large, and what grows below the plate, where no camera looks; and by the box around all but a thousandth of
it at either end. Poses are compared after the similarity that brings the cameras nearest to the true ones.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import write
from scipy.spatial import cKDTree

from ungrid.domains import TriangleMesh
from ungrid.io.meshes import sample_surface
from ungrid.io.scenes import Scene, read_posed, read_scene
from ungrid.io.video import write_sharp_frames
from ungrid.metrics import chamfer
from ungrid.radiance import held_out_metrics, reconstruct, scale_of, scaled, surface
from ungrid.radiance.builtin import EXPOSURE, clip_cameras, surface_points, write_clip, write_scene
from ungrid.radiance.poses import pose_photographs
from ungrid.radiance.refine import moved
from ungrid.sampling import Camera, CameraArrays

BOX = 2.0  # the side of the scene's box
UNIT = 100.0  # mm
POINTS = 300_000  # on either surface: between two samples of one surface 0.16 % of the box are left
MARKS = np.array([[0.85, -0.85, -0.5], [0.85, 0.85, -0.5]])  # on the plate's edge towards the first camera
FRAMES, KEPT, SIZE = 96, 48, 480
ROUNDS, FEWER = 40, 30_000  # of nearest points, and how many true ones
DEGREES, SHARE = 1.0, 0.01


def similarity(found: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that bring points (n, 3) nearest to others (Umeyama 1991)."""
    a, b = found - found.mean(axis=0), truth - truth.mean(axis=0)
    u, s, v = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    turn = u * signs @ v
    scale = float((s * signs).sum() / (a**2).sum())
    return scale, turn, truth.mean(axis=0) - scale * turn @ found.mean(axis=0)


def size_of(points: np.ndarray, truth: np.ndarray) -> float:
    """The size of a surface as a share of the true one's, both sampled, by iterated nearest points.

    To every true point belongs the nearest one of the surface; the tenth of them that is farthest apart does not count.
    """
    size = 1.0
    for _ in range(ROUNDS):
        apart, nearest = cKDTree(points).query(truth)
        near = apart <= np.quantile(apart, 0.9)
        scale, turn, shift = similarity(points[nearest[near]], truth[near])
        points, size = scale * points @ turn.T + shift, size / scale
    return size


def width_of(points: np.ndarray, axis: int) -> float:
    """Millimetres between the plate's two side faces along x or y: medians of the outermost points of cells of 2 mm."""
    low, high = UNIT * np.array([[-0.84, -0.58], [0.84, -0.52]])  # away from the edges
    across = points[:, [1 - axis, 2]]
    side = ((across > low) & (across < high)).all(axis=1)
    cells, cell = np.unique(np.floor(across[side] / 2), axis=0, return_inverse=True)
    first, last = np.full(len(cells), np.inf), np.full(len(cells), -np.inf)
    np.minimum.at(first, cell, points[side, axis])
    np.maximum.at(last, cell, points[side, axis])
    return float(np.median(last) - np.median(first))


def mesh(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("diffuse", "glossy"):
            scene = read_scene(
                write_scene(Path(folder) / kind, views=60, tests=6, size=200, glossy=kind == "glossy", below=True)
            )
            result = reconstruct(scene, budget=seconds)
            found, _ = surface(result.field)
            points, _ = sample_surface(found, POINTS, np.random.default_rng(0))
            row = {
                "what": f"mesh, {kind}", "seconds": round(result.stats["seconds"], 1),
                "psnr_db": round(held_out_metrics(result.field, scene)["heldout_psnr_db"], 2),
                "chamfer_percent_of_box": round(100 * chamfer(points, surface_points(POINTS)) / BOX, 3),
                "open_edges": found.open_edges(),
            }  # fmt: skip
            write("shapes", [row], key=("what",))


def mark(camera: Camera, point: np.ndarray) -> str:
    """The pixel that shows a point, as `ungrid nerf --scale-by` takes it."""
    x, y, z = camera.matrix[:3, :3].T @ (point - camera.position)
    return f"{camera.cx - camera.fx * x / z:.2f},{camera.cy + camera.fy * y / z:.2f}"


def clip(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = write_sharp_frames(write_clip(folder / "clip.mp4", frames=FRAMES, size=SIZE), folder / "frames", KEPT)
        began = time.perf_counter()
        posed = pose_photographs(frames, folder / "cameras", sequential=True)
        found_in = time.perf_counter() - began
        scene = read_posed(folder / "frames", posed.model, holdout=8)
        numbers = np.array([int(view.path.stem.split("_")[1]) for view in scene.views])
        truth = clip_cameras((numbers + EXPOSURE / 3) / FRAMES, SIZE)
        result = reconstruct(scene, budget=seconds)
        first = f"{scene.views[0].path.name}:"
        marks = [first + mark(truth[0], MARKS[0]), first + mark(truth[0], MARKS[1])]
        factor, unit = scale_of(result.field, scene, *marks, f"{UNIT * np.ptp(MARKS, axis=0).max()}mm")
        shape, _ = surface(scaled(result.field, factor, unit))
        places = factor * np.stack([view.camera.position for view in scene.views])
        true_places = UNIT * np.stack([camera.position for camera in truth])
        scale, turn, _ = similarity(places, true_places)
        shift = true_places.mean(axis=0) - turn @ places.mean(axis=0)
        moved_shape = TriangleMesh(shape.vertices @ turn.T + shift, shape.faces)
        sides = np.ptp(moved_shape.vertices, axis=0)
        points, _ = sample_surface(moved_shape, POINTS, np.random.default_rng(0))
        whole = UNIT * surface_points(POINTS)
        seen = whole[whole[:, 2] > whole[:, 2].min() + 1e-3]  # the plate's lower face is in no picture
        row = {
            "what": "clip", "seconds": round(result.stats["seconds"], 1), "cameras_seconds": round(found_in, 1),
            "psnr_db": round(held_out_metrics(result.field, scene)["heldout_psnr_db"], 2),
            "placed": f"{posed.placed} of {len(frames)}", "cameras_scale": round(1 / scale, 4),
            "box_mm": " x ".join(f"{side:.1f}" for side in sides),
            "most_mm": " x ".join(f"{side:.1f}" for side in np.diff(np.quantile(points, [0.001, 0.999], axis=0), axis=0)[0]),
            "widths_mm": " x ".join(f"{width_of(points, axis):.1f}" for axis in (0, 1)),
            "size_percent": round(100 * size_of(points, seen[:: len(seen) // FEWER]) - 100, 2),
            "chamfer_percent_of_box": round(100 * chamfer(points, whole) / (UNIT * BOX), 3),
        }  # fmt: skip
        write("shapes", [row], key=("what",))


def disturbed(scene: Scene, seed: int = 0) -> Scene:
    """Every fitted camera turned by a degree and moved by a hundredth of its distance, in random directions."""
    random = np.random.default_rng(seed)
    cameras = CameraArrays.of([view.camera for view in scene.views])
    axes = random.standard_normal((2, len(scene.views), 3))
    axes /= np.linalg.norm(axes, axis=2, keepdims=True)
    away = np.linalg.norm(cameras.positions, axis=1, keepdims=True)
    poses = moved(cameras, np.concatenate([np.radians(DEGREES) * axes[0], SHARE * away * axes[1]], axis=1)).matrices
    views = tuple(
        replace(view, camera=replace(view.camera, pose=tuple(pose.ravel().tolist())))
        for view, pose in zip(scene.views, poses, strict=True)
    )
    return replace(scene, views=views)


def pose_errors(poses: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Median degrees, and median shifts as percent of the distance, after the best similarity."""
    scale, turn, shift = similarity(poses[:, :3, 3], truth[:, :3, 3])
    apart = np.linalg.norm(scale * poses[:, :3, 3] @ turn.T + shift - truth[:, :3, 3], axis=1)
    product = np.einsum("nij,nkj->nik", turn @ poses[:, :3, :3], truth[:, :3, :3])
    angles = np.degrees(np.arccos(((np.trace(product, axis1=1, axis2=2) - 1) / 2).clip(-1, 1)))
    return float(np.median(angles)), 100 * float(np.median(apart / np.linalg.norm(truth[:, :3, 3], axis=1)))


def poses(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scene = read_scene(write_scene(Path(folder) / "scene", views=60, tests=6, size=400, glossy=False))
        worse = disturbed(scene)
        truth = np.stack([view.camera.matrix for view in scene.views])
        for name, refine in (("disturbed poses, not refined", False), ("disturbed poses, refined", True)):
            result = reconstruct(worse, budget=seconds, refine_poses=refine)
            found = np.reshape(result.field.view["poses"], (-1, 4, 4))
            degrees, percent = pose_errors(found, truth)
            row = {
                "what": name, "seconds": round(result.stats["seconds"], 1), "degrees": round(degrees, 4),
                "percent": round(percent, 4), "psnr_of_rays_db": round(result.history[-1]["psnr_db"], 2),
            }  # fmt: skip
            write("shapes", [row], key=("what",))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mesh", "clip", "poses"))
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    {"mesh": mesh, "clip": clip, "poses": poses}[given.what](given.seconds)
