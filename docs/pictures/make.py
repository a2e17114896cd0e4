"""Draws the README's pictures: a photograph as a field; two solutions; a scene; an enlargement; a moment; a flow; a
scattered wave.

python docs/pictures/make.py tour equations scene enlargement moment cavity disk
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import ungrid
from ungrid import pde, radiance, upscale
from ungrid.cli.picture import in_colours, in_two_colours
from ungrid.cli.views import coloured
from ungrid.domains import Ball, Domain, RegularGrid
from ungrid.equations.maxwell import Medium
from ungrid.io.scenes import picture, read_scene
from ungrid.pde.scattering import DiskScattering, scatter
from ungrid.radiance.builtin import write_scene
from ungrid.reference.cylinder import CylinderScattering
from ungrid.reference.flow_elements import solve_flow
from ungrid.reference.yee import scattered_by_disk
from ungrid.upscale.synthetic import drawn, random_layers

SIDE = 384  # pixels of every panel
REGION = ((-0.72, -0.47), (-0.27, -0.02))  # y and x: a face


def panel(values: np.ndarray, title: str) -> Image.Image:
    picture = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    ImageDraw.Draw(picture).text((10, 8), title, fill="white", stroke_width=2, stroke_fill="black", font_size=20)
    return picture


def tour() -> None:
    photograph = skimage.data.astronaut().astype(np.float32) / 255
    field = ungrid.fit(photograph, budget=20).field
    size = (SIDE, SIDE)
    detail = ungrid.sample_grid(field, size, region=REGION)
    gradient = np.linalg.norm(ungrid.sample_grid(field, size, quantity="gradient").mean(axis=2), axis=-1)
    laplacian = ungrid.sample_grid(field, size, region=REGION, quantity="laplacian").mean(axis=-1)
    spread = np.percentile(np.abs(laplacian), 98)
    panels = [
        panel(ungrid.sample_grid(field, size), "the field"),
        panel(detail, "a detail, 6 times larger"),
        panel(gradient / np.percentile(gradient, 99), "its gradient"),
        panel(0.5 + laplacian / spread / 2, "the detail's Laplacian"),
    ]
    beside(panels, "tour.png")


def beside(panels: list[Image.Image], name: str) -> None:
    strip = Image.new("RGB", (SIDE * len(panels), SIDE))
    for k, part in enumerate(panels):
        strip.paste(part, (k * SIDE, 0))
    strip.quantize(192).save(Path(__file__).with_name(name), optimize=True)


def upright(field: Callable[[np.ndarray], np.ndarray], domain: Domain) -> np.ndarray:
    """Values over a plane domain, (SIDE, SIDE): the first axis to the right, the second upwards; NaN outside."""
    points = RegularGrid(domain.box, (SIDE, SIDE)).points().reshape(-1, 2)
    values, there = np.full(len(points), np.nan), domain.contains(points)
    values[there] = np.asarray(field(points[there]))[:, 0]
    return values.reshape(SIDE, SIDE).T[::-1]


def equations() -> None:
    lshape, shock = pde.example("poisson-lshape").make(), pde.example("burgers").make()
    ours = upright(pde.solve(lshape, budget=3.0).field, lshape.domain)
    elements = upright(pde.reference(lshape, tolerance=1e-4), lshape.domain)
    apart, high = np.nanpercentile(np.abs(ours - elements), 99), np.nanmax(ours)
    front = upright(pde.solve(shock, budget=60.0).field, shock.domain)
    panels = [
        panel(in_colours(ours, 0, high), "Poisson, by least squares"),
        panel(in_colours(elements, 0, high), "by finite elements"),
        panel(in_two_colours(ours - elements, apart), f"the difference, 99 % below {apart:.0e}"),
        panel(in_colours(front, -1, 1), "a shock forms (time upwards)"),
    ]
    beside(panels, "equations.png")


def scene() -> None:
    with tempfile.TemporaryDirectory() as folder:
        given = read_scene(write_scene(folder, views=60, tests=4, size=128))
        field = radiance.reconstruct(given, budget=60.0).field
        view = given.held_out[2]
        photograph = Image.fromarray(picture(view, given.background)[0]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    renderer, camera = radiance.Renderer(field), view.camera.resized(SIDE, SIDE)
    depth, normals = (
        coloured([renderer.view(camera, kind)], kind, given.background)[0] for kind in ("depth", "normals")
    )
    panels = [
        panel(np.asarray(photograph) / 255, "a view that was kept out"),
        panel(renderer.view(camera), "the field there, three times finer"),
        panel(depth, "its depth"),
        panel(normals, "its normals"),
    ]
    beside(panels, "scene.png")


def enlargement() -> None:
    truth = skimage.data.astronaut()[10 : 10 + SIDE, 60 : 60 + SIDE]
    small = upscale.shrunk(truth, 4).astype(np.float32) / 255
    plain = upscale.bicubic(small, (SIDE, SIDE)).clip(0, 1)
    ours = upscale.load("light").enlarge(small, 4.0)
    scores = [upscale.benchmark_psnr(one, truth / 255, 4) for one in (plain, ours)]
    pixels = np.asarray(Image.fromarray((255 * small).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    panels = [
        panel(pixels / 255, f"{small.shape[1]} x {small.shape[0]} pixels"),
        panel(plain, f"bicubic interpolation, {scores[0]:.1f} dB"),
        panel(ours, f"ungrid, {scores[1]:.1f} dB"),
        panel(truth / 255, "the truth"),
    ]
    beside(panels, "upscale.png")


def moment() -> None:
    """Halfway between two frames of a made clip, four times as large."""
    small, shape = SIDE // 4, (SIDE, SIDE)
    layers = random_layers([skimage.data.astronaut()], SIDE, 48.0, np.random.default_rng(4))
    first, truth, second = (drawn(layers, time, SIDE) for time in (0.0, 0.5, 1.0))
    given = [upscale.resized(end, (small, small)).clip(0, 1).astype(np.float32) for end in (first, second)]
    blended = sum(upscale.bicubic(end, shape) for end in given).clip(0, 2) / 2
    ours = upscale.load_video().between(given[0], given[1], [0.5], shape=shape)[0]
    scores = [upscale.benchmark_psnr(one, truth, 4) for one in (blended, ours)]
    ends = [np.asarray(Image.fromarray((255 * end).astype(np.uint8)).resize(shape, Image.Resampling.NEAREST)) / 255
            for end in given]  # fmt: skip
    panels = [
        panel(
            np.hstack([ends[0][:, : SIDE // 2], ends[1][:, SIDE // 2 :]]), f"two frames of {small} x {small}: half each"
        ),
        panel(blended, f"blended, bicubic: {scores[0]:.1f} dB"),
        panel(ours, f"ungrid: {scores[1]:.1f} dB"),
        panel(truth, "the truth between them"),
    ]
    beside(panels, "moment.png")


def cavity() -> None:
    """The flow in a closed box whose lid moves, and what finite elements make of it."""
    problem = pde.example("cavity").make()
    result, fem = pde.solve(problem, budget=20.0), solve_flow(problem, h=1 / 32)
    fields = {"ours": result.field, "elements": fem}
    speeds = {name: upright(lambda x, f=f: np.linalg.norm(f(x)[:, :2], axis=1)[:, None], problem.domain)
              for name, f in fields.items()}  # fmt: skip
    apart = speeds["ours"] - speeds["elements"]
    along = upright(lambda x: result.field(x)[:, :1], problem.domain)
    most = float(np.percentile(np.abs(apart), 99))
    panels = [
        panel(in_colours(speeds["ours"], 0, 1), "speed below a lid, by Newton"),
        panel(in_colours(speeds["elements"], 0, 1), "by finite elements"),
        panel(in_two_colours(apart, most), f"the difference, 99 % below {most:.0e}"),
        panel(in_two_colours(along, 0.3), "velocity to the right, or back"),
    ]
    beside(panels, "cavity.png")


def disk() -> None:
    """A plane wave that comes from the left, behind a dielectric disk: what it scatters, by three ways."""
    wavenumber, radius, permittivity, reach = 2 * np.pi, 0.5, 4.0, 1.25
    exact = CylinderScattering(wavenumber, radius, permittivity, "TM")
    ours = scatter(DiskScattering(wavenumber, radius, Medium(permittivity), reach), budget=60.0).field
    yee = scattered_by_disk(wavenumber, radius, permittivity, reach=reach, cells=32)
    around = Ball((0, 0), 1.2)
    ways = {"exact": exact, "ours": lambda x: ours(x) @ [1, 1j], "yee": yee}
    fields = {name: upright(lambda x, way=way: np.real(way(x))[:, None], around) for name, way in ways.items()}
    most = float(np.nanmax(np.abs(fields["exact"])))
    apart = [np.linalg.norm(np.nan_to_num(fields[name] - fields["exact"])) for name in ("ours", "yee")]
    share = [100 * part / np.linalg.norm(np.nan_to_num(fields["exact"])) for part in apart]
    panels = [
        panel(in_two_colours(fields["exact"], most), "scattered wave, series"),
        panel(in_two_colours(fields["ours"], most), f"ours, off by {share[0]:.2f} %"),
        panel(in_two_colours(fields["yee"], most), f"Yee's grid, off by {share[1]:.1f} %"),
        panel(in_two_colours(fields["ours"] - fields["exact"], most / 100), "ours - series, 100 times"),
    ]
    beside(panels, "disk.png")


PICTURES = {
    "tour": tour,
    "equations": equations,
    "scene": scene,
    "enlargement": enlargement,
    "moment": moment,
    "cavity": cavity,
    "disk": disk,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        PICTURES[name]()
