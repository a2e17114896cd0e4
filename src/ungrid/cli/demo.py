"""`ungrid demo`: a tour on a picture that comes with scikit-image, told in chapters, written as one HTML page.

A chapter is a function of the `Tour`; a new one is added to `CHAPTERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ungrid.cli.progress import progress
from ungrid.cli.render import displayed, region_of, sampled
from ungrid.cli.run import INTERRUPTED, Run, check_target

if TYPE_CHECKING:
    import numpy as np

    from ungrid.cli.report import Report
    from ungrid.fields import Field
    from ungrid.solvers import FitResult

METHODS = ("grid", "siren", "fourier", "positional", "relu")
CROP = ((72, 136), (186, 250))  # rows and columns of the picture: a face, 64 x 64 pixels
DERIVED = ((40, 168), (160, 288))  # the part that is differentiated
ZOOM = 8
SCALES = (2.0, 3.3, 4.0)  # by which the picture is shrunk and enlarged again
CLIP_SIDE, FASTEST, CLIP_SEED = 128, 10.0, 4  # pixels of the made clip, and by how many its parts move
SCENE_VIEWS, SCENE_SIZE = 40, 96
SCENE_SHARE = 3.0  # seconds of the scene's fit for each of a picture's


@dataclass
class Tour:
    """What the chapters share."""

    run: Run
    folder: Path
    page: "Report"
    picture: "np.ndarray"  # (H, W, 3) in [0, 1]
    budget: float  # seconds of each fit
    field: "Field | None" = None  # of the whole picture; the first chapter makes it

    def fit(self, picture: "np.ndarray", **options: Any) -> "FitResult":
        """Fit to a picture under the flags of the run."""
        from ungrid import signals
        from ungrid.solvers import Outcome

        common = self.run.common
        with progress(self.run) as report:
            result = signals.fit(
                picture, budget=self.budget, steps=common.steps, seed=common.seed, device=common.device,
                threads=common.threads, report=report, **options,
            )  # fmt: skip
        if result.outcome is Outcome.interrupted:
            raise KeyboardInterrupt
        return result


def demo(
    run: Run,
    output: Annotated[Path, Option("--output", "-o", metavar="FOLDER", help="Where the page and the field go.")] = Path(
        "demo"
    ),
) -> None:
    """Take the tour: a picture, its derivatives, the methods, enlarging, between frames, a scene. Writes FOLDER/report.html."""
    budget = run.common.budget or 6.0
    if run.common.plan:
        seconds = budget * (2 + len(METHODS) + SCENE_SHARE)
        run.answer_rows({"fits": 3 + len(METHODS), "seconds": seconds, "output": str(output)})
        return
    check_target(output.absolute().parent / "report.html")
    run.start()
    with run.setting_up():
        tour = Tour(run, output, run.page("ungrid: the tour"), bundled_picture(), budget)
    output.mkdir(exist_ok=True)
    try:
        for number, chapter in enumerate(CHAPTERS, 1):
            run.say(f"{number} of {len(CHAPTERS)}: {(chapter.__doc__ or '').split('.')[0]}")
            chapter(tour)
    except KeyboardInterrupt:
        run.say("interrupted; the page has the chapters so far")
        run.code = INTERRUPTED
    page = output / "report.html"
    tour.page.write(page)
    run.outputs.append(str(page))
    run.answer(f"the tour is in {page}: open it in a browser")


def bundled_picture() -> "np.ndarray":
    """A photograph from scikit-image's wheel: (512, 512, 3) in [0, 1]."""
    from ungrid._base.optional import require

    data = require("skimage.data", "demo")
    picture: np.ndarray = data.astronaut() / 255.0
    return picture.astype("float32")


def fit_picture(tour: Tour) -> None:
    """Fitting a picture. The field is a function of continuous coordinates; it is not made of pixels any more."""
    import numpy as np

    from ungrid.io import save

    result = tour.fit(tour.picture)
    tour.field = result.field
    target = tour.folder / "astronaut.field"
    save(result.field, target, provenance={"source": "skimage.data.astronaut", **scalars(result.stats)})
    tour.run.outputs.append(str(target))
    tour.run.metrics.update(result.stats["metrics"], parameters=result.stats["parameters"])
    fitted = np.clip(values_on(result.field, tour.picture.shape[:2]), 0, 1)
    error = np.abs(fitted - tour.picture).mean(axis=-1, keepdims=True)
    tour.page.text(
        "Fitting a picture", f"A picture of 512 x 512 pixels became a field in {result.stats['seconds']:.1f} s."
    )
    tour.page.pictures(
        "The picture, and the field", {"512 x 512 pixels": tour.picture, "the field": fitted, "error x 10": 10 * error}
    )
    tour.page.curves("The fit", {"psnr db": {"grid": curve(result)}, "loss": {"grid": curve(result, "loss")}})
    tour.page.table(
        "The fit in numbers",
        {**scalars(result.stats), **result.stats["metrics"], "bytes of the file": target.stat().st_size},
    )


def zoom(tour: Tour) -> None:
    """Zooming in. The field is asked between the pixels, beside bicubic interpolation of the pixels."""
    import numpy as np

    from ungrid.metrics import psnr

    assert tour.field is not None
    (top, bottom), (left, right) = CROP
    pixels = tour.picture[top:bottom, left:right]
    shape = (ZOOM * (bottom - top), ZOOM * (right - left))
    large = values_on(tour.field, shape, (interval(CROP[0]), interval(CROP[1])))
    tour.page.pictures(
        f"Zooming in {ZOOM} times",
        {
            "the pixels": resized(pixels, shape, "NEAREST"),
            "bicubic": resized(pixels, shape, "BICUBIC"),
            "the field": large,
        },
    )
    half = (tour.picture.shape[0] // 2, tour.picture.shape[1] // 2)
    coarse = tour.picture.reshape(half[0], 2, half[1], 2, 3).mean(axis=(1, 3))
    field = tour.fit(coarse).field
    seen = {"field": values_on(field, tour.picture.shape[:2])}
    seen |= {name: resized(coarse, tour.picture.shape[:2], name.upper()) for name in ("bicubic", "bilinear")}
    scores = {name: psnr(np.clip(values, 0, 1), tour.picture) for name, values in seen.items()}
    tour.page.table(
        "The same against the truth: fitted to half the rows and columns, compared with all pixels",
        {name: {"PSNR, dB": score} for name, score in scores.items()},
    )
    tour.run.metrics["zoom_psnr_db"] = scores


def differentiate(tour: Tour) -> None:
    """Differentiating. Gradient and Laplacian are exact derivatives of the field, without a stencil."""
    import numpy as np

    assert tour.field is not None
    (top, bottom), (left, right) = DERIVED
    pixels, shape = tour.picture[top:bottom, left:right], (bottom - top, right - left)
    part = region_of("{}:{},{}:{}".format(*interval(DERIVED[0]), *interval(DERIVED[1])), tour.field.domain.box)
    shown = {
        f"{quantity} of the field": displayed(sampled(tour.field, part, shape, quantity), quantity).values
        for quantity in ("gradient", "laplacian")
    }
    differences = np.stack(np.gradient(pixels, axis=(0, 1)), axis=-1)
    length = np.sqrt(np.square(differences).sum(axis=(-1, -2)))[..., None]
    shown["differences of neighbouring pixels"] = np.clip(length / np.percentile(length, 99.5), 0, 1)
    large = (2 * shape[0], 2 * shape[1])
    tour.page.pictures("Derivatives", {caption: resized(values, large, "NEAREST") for caption, values in shown.items()})


def compare_methods(tour: Tour) -> None:
    """Comparing the methods. Every one gets the same seconds on the same picture."""
    curves, rows, crops = {}, {}, {}
    for method in METHODS:
        tour.run.say(f"  {method}")
        result = tour.fit(tour.picture, method=method)
        curves[method] = curve(result)
        rows[method] = {
            "PSNR, dB": result.stats["metrics"]["psnr_db"],
            **scalars(result.stats, "steps", "seconds", "parameters"),
        }
        part = values_on(result.field, (192, 192), (interval(CROP[0]), interval(CROP[1])))
        crops[f"{method}, {rows[method]['PSNR, dB']:.1f} dB"] = part
    tour.page.curves(f"The methods, {tour.budget:g} s each", {"psnr db": curves})
    tour.page.table("At the end", rows)
    tour.page.pictures("What they look like close up", crops)
    tour.run.metrics["methods_psnr_db"] = {method: row["PSNR, dB"] for method, row in rows.items()}


def enlarge(tour: Tour) -> None:
    """Enlarging. A network that has learned from other pictures makes this one continuous: no fit, any scale."""
    import numpy as np

    from ungrid.upscale import benchmark_psnr, bicubic, load, pair

    light, scores = load("light"), {}
    stored = np.rint(255 * tour.picture).astype(np.uint8)
    for scale in SCALES:
        low, truth = pair(stored, scale)
        given, shape = low.astype(np.float32) / 255, (truth.shape[0], truth.shape[1])
        seen = {"network": light.enlarge(given, shape=shape), "bicubic": bicubic(given, shape).clip(0, 1)}
        shave = int(np.ceil(scale))
        scores[f"x {scale:g}"] = {f"{k}, dB": benchmark_psnr(v, truth / 255, shave) for k, v in seen.items()}
    (top, bottom), (left, right) = CROP
    pixels, shape = tour.picture[top:bottom, left:right], (ZOOM * (bottom - top), ZOOM * (right - left))
    large = light.enlarge(tour.picture[: 2 * bottom, : 2 * right], float(ZOOM))
    cut = slice(ZOOM * top, ZOOM * bottom), slice(ZOOM * left, ZOOM * right)
    tour.page.pictures(
        f"Enlarged {ZOOM} times",
        {
            "the pixels": resized(pixels, shape, "NEAREST"),
            "bicubic": resized(pixels, shape, "BICUBIC"),
            "network": large[cut],
        },
    )
    tour.page.table("From fewer pixels, against the truth: PSNR of luminance", scores)
    tour.run.metrics["enlarged_psnr_db"] = scores


def go_between(tour: Tour) -> None:
    """Between frames. What a network finds between two frames of a clip in which parts of the photograph move."""
    import numpy as np

    from ungrid.metrics import psnr
    from ungrid.upscale import load_video
    from ungrid.upscale.synthetic import drawn, random_layers

    stored, side = np.rint(255 * tour.picture).astype(np.uint8), 4 * CLIP_SIDE
    layers = random_layers([stored], CLIP_SIDE, FASTEST, np.random.default_rng(CLIP_SEED))
    first, truth, second = (drawn(layers, time, CLIP_SIDE) for time in (0.0, 0.5, 1.0))
    found = load_video().between(first, second, [0.5], 1)[0]
    blended = (first + second) / 2
    panels = {"first frame": first, "blended": blended, "network": found, "truth": truth, "second frame": second}
    shown = {name: resized(picture, (side, side), "NEAREST") for name, picture in panels.items()}
    tour.page.pictures("Halfway between two frames", shown)
    scores = {name: {"PSNR, dB": psnr(panels[name], truth)} for name in ("blended", "network")}
    tour.page.table("Against the truth", scores)
    tour.run.metrics["between_psnr_db"] = {name: row["PSNR, dB"] for name, row in scores.items()}


def see_a_scene(tour: Tour) -> None:
    """Photographs to a scene. Views that no camera took, from pictures of a traced scene with known cameras."""
    import numpy as np

    from ungrid import radiance
    from ungrid.cli.views import coloured
    from ungrid.io import save
    from ungrid.io.scenes import picture, read_scene
    from ungrid.radiance.builtin import write_scene
    from ungrid.radiance.paths import orbit
    from ungrid.solvers import Outcome

    common = tour.run.common
    scene = read_scene(write_scene(tour.folder / "scene", views=SCENE_VIEWS, tests=2, size=SCENE_SIZE))
    with progress(tour.run) as report:
        result = radiance.reconstruct(
            scene, budget=SCENE_SHARE * tour.budget, steps=common.steps, seed=common.seed, threads=common.threads,
            report=report,
        )  # fmt: skip
    if result.outcome is Outcome.interrupted:
        raise KeyboardInterrupt
    target = save(result.field, tour.folder / "scene.field", provenance={"source": "traced", **scalars(result.stats)})
    tour.run.outputs.append(str(target))
    renderer, view = radiance.Renderer(result.field), scene.held_out[0]
    truth = picture(view, scene.background)[0].astype(np.float32) / 255
    found = radiance.held_out_metrics(result.field, scene)
    tour.run.metrics["scene_psnr_db"] = found["heldout_psnr_db"]
    tour.page.text(
        "Photographs to a scene",
        f"{len(scene.views)} pictures of {SCENE_SIZE} x {SCENE_SIZE} pixels became a radiance field in "
        f"{result.stats['seconds']:.1f} s; views that were kept out are met to {found['heldout_psnr_db']:.1f} dB.",
    )
    large = (3 * SCENE_SIZE, 3 * SCENE_SIZE)
    camera = view.camera.resized(*large)
    (depth,) = coloured([renderer.view(camera, "depth")], "depth", scene.background)
    shown = {
        "a view that was kept out": resized(truth, large, "NEAREST"),
        "the field there, three times finer": renderer.view(camera),
        "its depth": depth,
    }
    around = [one.resized(*large) for one in orbit(result.field, 6)[1:4]]
    for number, one in enumerate(around, 1):
        shown[f"on a turn around it, {number}"] = renderer.view(one)
    tour.page.pictures("New views", shown)


CHAPTERS: tuple[Callable[[Tour], None], ...] = (
    fit_picture,
    zoom,
    differentiate,
    compare_methods,
    enlarge,
    go_between,
    see_a_scene,
)


def values_on(
    u: "Field", shape: tuple[int, ...], region: tuple[tuple[float, float], ...] | None = None
) -> "np.ndarray":
    """The field on a grid, for a picture."""
    from ungrid.signals import sample_grid

    return sample_grid(u, shape, region=region)


def interval(pixels: tuple[int, int]) -> tuple[float, float]:
    """From pixel edge to pixel edge of the 512 pixels that span [-1, 1]."""
    return pixels[0] / 256 - 1, pixels[1] / 256 - 1


def resized(picture: "np.ndarray", shape: tuple[int, ...], how: str) -> "np.ndarray":
    """Pillow's interpolation, channel by channel in floating point."""
    import numpy as np
    from PIL import Image

    channels = [
        Image.fromarray(channel).resize((shape[1], shape[0]), Image.Resampling[how])
        for channel in np.moveaxis(picture, -1, 0)
    ]
    return np.clip(np.stack([np.asarray(channel) for channel in channels], axis=-1), 0, 1)


def curve(result: "FitResult", name: str = "psnr_db") -> list[tuple[float, float]]:
    """A column of the history over the seconds."""
    return [(row["seconds"], row[name]) for row in result.history]


def scalars(stats: dict[str, Any], *names: str) -> dict[str, Any]:
    """The single numbers and words of the stats; only those called `names` where some are given."""
    return {k: v for k, v in stats.items() if isinstance(v, (int, float, str)) and (not names or k in names)}
