"""`ungrid nerf SCENE -o F.field`: posed photographs to a radiance field."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError
from ungrid.cli.fit import provenance, record, shown_metrics
from ungrid.cli.progress import described, progress
from ungrid.cli.run import Run, check_target, readable
from ungrid.cli.view import PORT, Port, announce, follow, scene_viewer, scenery

if TYPE_CHECKING:
    from ungrid.domains import Box
    from ungrid.fields import Field
    from ungrid.io.scenes import Scene
    from ungrid.solvers import FitResult

BUDGET = 120.0  # seconds
FRAMES = 100  # of a clip
METHODS = ("bricks", "nerf")
GREYS = {"white": 1.0, "black": 0.0}  # the backgrounds by name


def nerf(
    run: Run,
    scene: Annotated[
        Path,
        Argument(
            help="Folder with transforms_train.json (Blender), transforms.json (instant-ngp, nerfstudio), "
            "poses_bounds.npy (LLFF), sparse/0 (COLMAP), *_par.txt (Middlebury) or cameras_sphere.npz (NeuS); "
            "or photographs alone, or a clip, whose cameras are then found."
        ),
    ],
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="F.field", help="Where to; default: the folder's name, here.")
    ] = None,
    background: Annotated[str, Option(help="white or black, behind transparent pixels.")] = "white",
    holdout: Annotated[
        int, Option(min=0, metavar="N", help="Hold every N-th view out, where the scene has no split; 0: none.")
    ] = 8,
    box: Annotated[
        str | None, Option(metavar="X0:X1,Y0:Y1,Z0:Z1", help="Part of the world to keep; default: what cameras see.")
    ] = None,
    alpha_start: Annotated[
        bool, Option("--alpha-start", help="Begin with what the silhouettes of photographs with alpha leave: faster.")
    ] = False,
    unbounded: Annotated[
        bool | None,
        Option("--unbounded/--bounded", help="Whether there is a world behind the scene; default: looks at the rims."),
    ] = None,
    refine_poses: Annotated[
        bool, Option("--refine-poses", help="Move and turn the cameras while fitting, where poses are not exact.")
    ] = False,
    shrink: Annotated[int, Option(min=1, metavar="N", help="Take means over squares of N x N pixels.")] = 1,
    method: Annotated[str, Option(help="bricks, or nerf: the paper's networks, for a GPU or patience.")] = "bricks",
    scale_by: Annotated[
        tuple[str, str, str] | None,
        Option(
            "--scale-by",
            metavar="PHOTO:X,Y PHOTO:X,Y LENGTH",
            help="A length between two marks in photographs, such as 120mm: then the field has this unit.",
        ),
    ] = None,
    half: Annotated[bool, Option("--half", help="Store the weights in 16 bits: half the file.")] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the checkpoint of an interrupted run.")] = False,
    view: Annotated[bool, Option("--view", help="Show the fit in a browser while it runs.")] = False,
    port: Port = PORT,
) -> None:
    """Fit a radiance field to photographs with cameras, and measure it on the views that were held out."""
    target = output or Path(scene.resolve().name.split(".")[0] + ".field")
    check_target(target, (".field",))
    choices: dict[str, Any] = {"alpha_start": alpha_start, "refine_poses": refine_poses}
    check(background, method, bricks_only=view or unbounded is not None or any(choices.values()))
    if view and scale_by is not None:  # the paths that the viewer writes would not be in the field's unit
        raise InputError("--view with --scale-by", "one of the two", "ungrid view shows the field when it is done")
    run.start()
    if method == "bricks" and run.device != "cpu":
        run.say(f"bricks are fitted on the CPU; --method nerf uses {run.device}")
        run.device = "cpu"
    with run.setting_up():
        from ungrid import radiance
        from ungrid._base.optional import require
        from ungrid.io import save
        from ungrid.io.scenes import has_cameras, picture, read_posed, read_scene
        from ungrid.solvers import Outcome, remove_checkpoint

        process, count = run.processes()
        reading: dict[str, Any] = {"background": GREYS[background], "holdout": holdout, "shrink": shrink}
        if view:
            require("viser", "view")  # before hours may have gone into cameras
        kept = box_of(box)
        alone = [] if not scene.exists() or has_cameras(scene) else photographs_of(scene, target, plan=run.common.plan)
        if scale_by is not None:
            radiance.check_marks(None, *scale_by)
    if count > 1 and (alone or method == "nerf" or view):
        raise InputError(
            f"{count} processes for --method nerf, for --view, or for photographs whose cameras are to be found",
            "photographs with cameras, --method bricks", "one process alone finds cameras, and writes them beside the field",
        )  # fmt: skip
    if alone and run.common.plan:
        counted = FRAMES if scene.is_file() else len(alone)
        run.answer_rows({"photographs": counted, "cameras": "to be found", "output": str(target)})
        return
    poses = find_cameras(run, alone, target, sequential=not scene.is_dir()) if alone else {}
    given = (
        read_posed(Path(poses["photographs"]), Path(poses["model"]), **reading)
        if poses
        else read_scene(scene, **reading)
    )
    if scale_by is not None:
        radiance.check_marks(given, *scale_by)
    for note in given.notes:
        run.say(note)
    budget = run.common.budget or BUDGET
    if run.common.plan:
        run.details["plan"] = planned(given, budget)
        run.answer_rows({**run.details["plan"], "output": str(target)})
        return
    with run.setting_up():
        for one in given.held_out:
            picture(one, given.background)  # a damaged one would be noticed when the fit is done
    checkpoint = target.with_suffix(".checkpoint")
    if resume and not checkpoint.is_dir():
        run.say(f"there is no checkpoint {checkpoint}: starting at the beginning")
    viewer, watch = None, None
    if view:
        viewer = run.opened.enter_context(scene_viewer(target, [one.camera for one in given.views], port))
        viewer.say("The photographs are being read.")
        announce(run, viewer, target)
    with progress(run) as report:
        if viewer is not None:
            watch, report = follow(viewer, report)
        options: dict[str, Any] = {
            "budget": budget, "steps": run.common.steps, "box": kept, "seed": run.common.seed,
            "threads": run.common.threads, "report": report, "checkpoint": checkpoint, "resume": resume,
        }  # fmt: skip
        if method == "nerf":
            result = radiance.reconstruct_nerf(given, device=run.device, **options)
        else:
            result = radiance.reconstruct(given, unbounded=unbounded, watch=watch, **choices, **options)
    if process > 0:
        return
    protocol = radiance.protocol(given, alpha_start=alpha_start)
    settings: dict[str, Any] = {
        "background": background, "holdout": holdout, "box": box, "shrink": shrink, **choices,
        "unbounded": result.stats.get("unbounded", False), "method": method, "poses": poses, "scale": 1.0,
        "protocol": protocol,
    }  # fmt: skip
    shown = result.field
    save(shown, target, provenance=provenance(scene, result, settings), half=half)  # it is safe before it is measured
    with suppress(KeyboardInterrupt):
        result.stats["metrics"] = radiance.held_out_metrics(shown, given)
    if scale_by is not None:
        shown, settings["scale"] = in_unit(run, shown, given, scale_by)
    save(shown, target, provenance=provenance(scene, result, settings), half=half)
    if result.outcome not in (Outcome.interrupted, Outcome.diverged):
        remove_checkpoint(checkpoint)
    run.outputs.append(str(target))
    record(run, result)
    run.details["protocol"] = protocol
    run.say(f"{result.outcome.value}: {described(result.history[-1])}" if result.history else result.outcome.value)
    fill_page(run, scene, given, result)
    run.answer(f"{target}: {readable(target.stat().st_size)} bytes, {readable(shown_metrics(run.metrics))}")
    if viewer is not None and result.outcome is not Outcome.interrupted:
        viewer.say(f"{result.outcome.value}: {target.name} is written.")
        with suppress(KeyboardInterrupt):
            viewer.stay(scenery(radiance.Renderer(result.field)), while_watched=True)


def check(background: str, method: str, *, bricks_only: bool) -> None:
    """Refuses names that are not there, and options that the paper's networks do not have.

    Raises:
        InputError: for one of them.
    """
    if background not in GREYS:
        raise InputError(f"the background {background!r}", "white or black")
    if method not in METHODS:
        raise InputError(f"the method {method!r}", " or ".join(METHODS))
    if method == "nerf" and bricks_only:
        raise InputError(
            "--alpha-start, --refine-poses, --unbounded, --bounded or --view with --method nerf", "--method bricks"
        )


def photographs_of(scene: Path, target: Path, *, plan: bool) -> list[Path]:
    """The photographs of a folder without cameras; of a clip its sharpest frames, written beside the target, or itself."""
    from ungrid.cli.render import CLIPS
    from ungrid.io.scenes import photographs_in
    from ungrid.io.video import write_sharp_frames

    if scene.suffix.lower() in CLIPS and plan:
        return [scene]
    if scene.suffix.lower() in CLIPS:
        return write_sharp_frames(scene, target.with_suffix(".poses") / "frames", FRAMES)
    return photographs_in(scene)


def find_cameras(run: Run, photographs: list[Path], target: Path, *, sequential: bool) -> dict[str, str]:
    """Where the photographs and the model of their cameras are; a model that an earlier run left is taken again."""
    from ungrid.io.colmap import find_model, read_model
    from ungrid.radiance.poses import pose_photographs

    work = target.with_suffix(".poses") / "cameras"
    model = find_model(work) if work.is_dir() else None
    names = {file.name for file in photographs}
    if model is not None and {one.name for one in read_model(model).photographs} <= names:
        run.say(f"the cameras in {model} are used; delete it to find them again")
    else:
        found = pose_photographs(photographs, work, sequential=sequential, seed=run.common.seed, say=run.say)
        run.say(f"{found.placed} of {len(photographs)} photographs placed")
        for note in found.notes:
            run.say(note)
        run.details["not_placed"] = list(found.notes)
        model = found.model
    return {"photographs": str(photographs[0].parent), "model": str(model)}


def in_unit(run: Run, field: "Field", given: "Scene", scale_by: tuple[str, str, str]) -> tuple["Field", float]:
    """The field in the unit of a length between two marks, and by what its coordinates were multiplied."""
    from ungrid import radiance
    from ungrid.fields import RadianceField

    assert isinstance(field, RadianceField)
    try:
        factor, unit = radiance.scale_of(field, given, *scale_by)
    except InputError:
        run.say("the field is written in the unit of its cameras; --resume with other marks makes it again in seconds")
        raise
    run.details["scale"] = {"factor": factor, "unit": unit}
    return radiance.scaled(field, factor, unit), factor


def box_of(text: str | None) -> "Box | None":
    """The box that ``--box`` names.

    Raises:
        InputError: if it is not three intervals.
    """
    from ungrid.domains import Axis, Box

    if text is None:
        return None
    try:
        ends = [[float(end) for end in part.split(":")] for part in text.split(",")]
        (x0, x1), (y0, y1), (z0, z1) = ends
    except ValueError:
        raise InputError(f"the box {text!r}", "X0:X1,Y0:Y1,Z0:Z1") from None
    return Box(Axis("x", x0, x1), Axis("y", y0, y1), Axis("z", z0, z1))


def planned(scene: "Scene", budget: float) -> dict[str, object]:
    """What a run would do."""
    camera = scene.views[0].camera
    pixels = sum(view.camera.width * view.camera.height for view in scene.views)
    return {
        "views": len(scene.views), "held_out": len(scene.held_out), "resolution": f"{camera.width}x{camera.height}",
        "rays": pixels, "pictures_mb": round(3 * pixels / 1e6, 1), "budget_seconds": budget,
    }  # fmt: skip


def fill_page(run: Run, scene: Path, given: "Scene", result: "FitResult") -> None:
    """What ``--report`` shows: held-out views beside the field's, depths, the curve, and the protocol."""
    if run.common.report is None:
        return
    import numpy as np

    from ungrid.cli.picture import in_colours
    from ungrid.io.scenes import picture
    from ungrid.radiance import Renderer

    page = run.page(f"A radiance field of {scene.name}")
    renderer = Renderer(result.field)
    for view in (given.held_out or given.views)[:3]:
        truth = picture(view, given.background)[0].astype(np.float32) / 255
        shown, depth = renderer.view(view.camera), renderer.view(view.camera, "depth")[..., 0].astype(np.float64)
        panels = {"photograph": truth, "field": shown, "error, four times": 4 * np.abs(shown - truth)}
        if np.isfinite(depth).any():
            panels["depth"] = in_colours(depth, float(np.nanmin(depth)), float(np.nanmax(depth)))
        page.pictures(view.name, panels)
    page.curves("The fit", {"psnr db": {"rays": [(row["seconds"], row["psnr_db"]) for row in result.history]}})
    rows = {row["view"]: {k: v for k, v in row.items() if k != "view"} for row in run.metrics.get("heldout_views", ())}
    page.table("Held-out views", rows)
    page.table("Protocol", run.details["protocol"])
